# SPDX-License-Identifier: Apache-2.0
"""The errors a person can meet: each says what happened and what to try next.

Library code raises; only `main()` catches and exits with `exit_code`.
"""

from typing import ClassVar


class SandboxError(Exception):
    """A failure that was foreseen. `hint` is one remedy, or several as a tuple."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, hint: str | tuple[str, ...] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hints: tuple[str, ...] = (hint,) if isinstance(hint, str) else hint or ()

    @property
    def hint(self) -> str | None:
        """All hints as one text, for printing and for JSON."""
        return "\n".join(self.hints) if self.hints else None

    @property
    def name(self) -> str:
        """The heading under which docs/errors.md explains this error."""
        return type(self).__name__


class UserError(SandboxError):
    """What was asked for cannot be: an argument, a file or a setting is wrong."""

    exit_code = 2


class InfraError(SandboxError):
    """The host machine, the network, the archive or a build let us down."""

    exit_code = 3


class HostError(InfraError):
    """The host did not let us read or write a file, or use a folder."""


class GuestError(SandboxError):
    """The emulated machine, Linux in it, or the trusted application let us down."""

    exit_code = 4
