# SPDX-License-Identifier: Apache-2.0
"""Settings that outlive one command, from the environment. Arguments on the command line win."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from sandbox.errors import UserError

DEFAULT_MACHINE = "default"


def _number(environment: Mapping[str, str], key: str, default: int, low: int, high: int) -> int:
    text = environment.get(key, "")
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
        raise UserError(f"{key}={text!r}: must be a whole number from {low} to {high}")
    return int(text)


@dataclass(frozen=True)
class Config:
    machine: str = DEFAULT_MACHINE
    qemu: str = "qemu-system-aarch64"
    memory_mib: int = 1024
    boot_timeout_s: int = 120

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        return cls(
            machine=environment.get("SANDBOX_MACHINE") or cls.machine,
            qemu=environment.get("SANDBOX_QEMU") or cls.qemu,
            memory_mib=_number(environment, "SANDBOX_MEMORY_MIB", cls.memory_mib, 512, 65536),
            boot_timeout_s=_number(
                environment, "SANDBOX_BOOT_TIMEOUT_S", cls.boot_timeout_s, 1, 3600
            ),
        )


# For --help; kept here, beside what reads them.
ENVIRONMENT = {
    "SANDBOX_MACHINE": "name of the machine, as --machine",
    "SANDBOX_QEMU": "the QEMU to run instead of qemu-system-aarch64",
    "SANDBOX_MEMORY_MIB": "memory of the guest's normal world (1024)",
    "SANDBOX_BOOT_TIMEOUT_S": "how long a boot may take (120)",
    "XDG_CACHE_HOME": "where downloads and builds are kept (~/.cache)",
    "XDG_STATE_HOME": "where machines are kept (~/.local/state)",
}
