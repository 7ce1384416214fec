# SPDX-License-Identifier: Apache-2.0
"""The ELF files of a machine's secure world: found by name, and by no other path."""

from pathlib import Path

import pytest

from sandbox.machine.symbols import Symbols

TA = "2f6a3c5e-9b1d-4e0f-8a67-c1d5b94e7720"


@pytest.fixture
def core(tmp_path: Path) -> Path:
    path = tmp_path / "tee.elf"
    path.write_bytes(b"core")
    return path


@pytest.fixture
def symbols(tmp_path: Path, core: Path) -> Symbols:
    made = Symbols(tmp_path / "machine" / "symbols")
    made.start_afresh({"core": core})
    return made


def test_a_boot_begins_with_what_was_built(symbols: Symbols) -> None:
    path = symbols.path("core")
    assert path is not None and path.read_bytes() == b"core"
    assert symbols.names() == ["core"]
    assert symbols.path(TA) is None


def test_a_pushed_ta_is_kept_as_it_was_pushed(symbols: Symbols, tmp_path: Path) -> None:
    elf = tmp_path / "ta.elf"
    elf.write_bytes(b"first")
    symbols.add(TA, elf)
    elf.write_bytes(b"second")
    path = symbols.path(TA)
    assert path is not None and path.read_bytes() == b"first"
    symbols.add(TA, elf)
    assert path.read_bytes() == b"second"
    assert symbols.names() == [TA, "core"]


def test_the_next_boot_forgets_what_was_pushed(symbols: Symbols, core: Path) -> None:
    symbols.add(TA, core)
    symbols.start_afresh({"core": core})
    assert symbols.names() == ["core"]


def test_a_link_into_a_cache_that_was_emptied(symbols: Symbols, core: Path) -> None:
    core.unlink()
    assert symbols.path("core") is None
    assert symbols.names() == []


@pytest.mark.parametrize("name", ["../../keys/client", "", "core\n", "CORE", "a" * 49, "core.elf"])
def test_a_console_cannot_name_other_files(symbols: Symbols, name: str) -> None:
    assert symbols.path(name) is None
