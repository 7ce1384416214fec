# SPDX-License-Identifier: Apache-2.0
"""Every folder the sandbox reads or writes. Standard library only; nothing is created here."""

import os
from pathlib import Path

from sandbox.errors import UserError

APP = "optee-sandbox"


def _xdg(variable: str, default: str) -> Path:
    # The specification says to ignore a relative path in these variables.
    value = os.environ.get(variable, "")
    return Path(value) if value and Path(value).is_absolute() else Path.home() / default


def cache_dir() -> Path:
    """Downloads and build results, keyed by content: safe to delete at any time."""
    return _xdg("XDG_CACHE_HOME", ".cache") / APP


def inputs_cache_dir() -> Path:
    return cache_dir() / "inputs"


def build_cache_dir() -> Path:
    return cache_dir() / "build"


def project_cache_dir() -> Path:
    """Builds of other people's TAs: a folder each."""
    return cache_dir() / "projects"


def state_dir() -> Path:
    """Machines, keys and secure storage: deleting it loses them."""
    return _xdg("XDG_STATE_HOME", ".local/state") / APP


def machine_dir(name: str) -> Path:
    return state_dir() / "machines" / name


def authority_dir() -> Path:
    """Keys and records of the emulated manufacturer and of the owner's certificate authority."""
    return state_dir() / "authority"


def manufacturer_dir(state: Path | None = None) -> Path:
    """In another folder of machines than the user's own, a manufacturer of its own."""
    return (authority_dir() if state is None else state / APP / "authority") / "manufacturer"


def verifier_dir() -> Path:
    """The verifier's own signing key."""
    return state_dir() / "verifier"


def project_dir() -> Path:
    """The source tree: optee-build/, ta/ and host/ are built from it."""
    root = Path(__file__).resolve().parent.parent
    if not (root / "optee-build" / "inputs.toml").is_file():
        raise UserError(
            f"no optee-build/inputs.toml beside the package in {root}",
            "The sandbox builds from its own source tree: install it with"
            " `pip install --editable .` in a clone (that is what `make setup` does).",
        )
    return root
