# SPDX-License-Identifier: Apache-2.0
"""The machine's flash: a device is made once, its firmware at each start."""

import hashlib
import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sandbox.errors import InfraError, UserError
from sandbox.log import SilentProgress
from sandbox.machine import flash
from sandbox.machine.deadline import Deadline
from sandbox.machine.folder import World
from sandbox.machine.machine import Machine, State

MakeQemu = Callable[..., str]
MakeMachine = Callable[..., Machine]

COUNTER = slice(flash.OTP, flash.OTP + flash.COUNTER_SIZE)


@pytest.fixture
def firmware(tmp_path: Path) -> Path:
    image = tmp_path / "flash.bin"
    image.write_bytes(b"first" * 1000)
    return image


def test_a_new_device_has_firmware_a_key_and_an_erased_counter(
    tmp_path: Path, firmware: Path
) -> None:
    bank = tmp_path / "flash.img"
    flash.prepare(bank, firmware)
    content = bank.read_bytes()
    assert len(content) == 64 << 20
    assert content.startswith(firmware.read_bytes())
    assert content[COUNTER] == b"\xff" * (1 << 20)
    # As flash_otp.h of OP-TEE's patch 0005 has it.
    magic, version, length = struct.unpack_from("<8sII", content, 0x3F00000)
    assert (magic, version, length) == (b"OPTEEOTP", 1, 16)
    key = content[0x3F00010:0x3F00020]
    assert content[0x3F00020:0x3F00040] == hashlib.sha256(content[0x3F00000:0x3F00020]).digest()
    assert flash.hardware_unique_key(bank) == key
    assert any(key)


def test_only_its_owner_reads_it_and_it_takes_little_of_the_disk(
    tmp_path: Path, firmware: Path
) -> None:
    bank = tmp_path / "flash.img"
    flash.prepare(bank, firmware)
    assert bank.stat().st_mode & 0o777 == 0o600
    assert bank.stat().st_blocks * 512 < 2 << 20
    assert list(tmp_path.glob("*.new")) == []


def test_two_devices_have_two_keys(tmp_path: Path, firmware: Path) -> None:
    banks = [tmp_path / name for name in ("one.img", "other.img")]
    for bank in banks:
        flash.prepare(bank, firmware)
    assert len({flash.hardware_unique_key(bank) for bank in banks}) == 2


@pytest.mark.parametrize("length", [3, 20_000])
def test_new_firmware_leaves_the_device_as_it_was(
    length: int, tmp_path: Path, firmware: Path
) -> None:
    bank = tmp_path / "flash.img"
    flash.prepare(bank, firmware)
    with bank.open("r+b") as file:
        file.seek(flash.OTP)
        file.write(b"\x00\x00\xf0")  # OP-TEE counted up to 20
    before = bank.read_bytes()[flash.OTP :]
    firmware.write_bytes(b"2" * length)
    flash.prepare(bank, firmware)
    after = bank.read_bytes()
    assert after.startswith(b"2" * length)
    assert after[flash.OTP :] == before


def test_an_interrupted_making_is_no_device(tmp_path: Path, firmware: Path) -> None:
    bank = tmp_path / "flash.img"
    (tmp_path / "flash.new").write_bytes(b"half")
    flash.prepare(bank, firmware)
    assert len(flash.hardware_unique_key(bank)) == 16


def test_what_is_no_flash_bank_is_refused(tmp_path: Path, firmware: Path) -> None:
    bank = tmp_path / "flash.img"
    bank.write_bytes(b"x" * 1000)
    with pytest.raises(InfraError, match="not the 67108864 bytes"):
        flash.prepare(bank, firmware)
    assert bank.read_bytes() == b"x" * 1000


def test_firmware_that_would_reach_into_the_otp_is_refused(tmp_path: Path, firmware: Path) -> None:
    bank = tmp_path / "flash.img"
    flash.prepare(bank, firmware)
    before = bank.read_bytes()
    with firmware.open("r+b") as file:
        file.truncate(flash.OTP + 1)
    with pytest.raises(InfraError, match="would reach into"):
        flash.prepare(bank, firmware)
    assert bank.read_bytes() == before


@pytest.mark.parametrize("at", [0, 8, 12, 16, 31, 32, 63])
def test_a_key_that_is_not_whole_is_no_key(at: int, tmp_path: Path, firmware: Path) -> None:
    bank = tmp_path / "flash.img"
    flash.prepare(bank, firmware)
    with bank.open("r+b") as file:
        file.seek(flash.KEY + at)
        (byte,) = file.read(1)
        file.seek(flash.KEY + at)
        file.write(bytes([byte ^ 1]))
    with pytest.raises(InfraError, match="no valid hardware unique key"):
        flash.hardware_unique_key(bank)


# Of a machine: the fake QEMU never looks at it ---------------------------------------------------


@dataclass(frozen=True)
class Images:
    flash: Path
    kernel: Path
    initrd: Path
    symbols: Mapping[str, Path] = field(default_factory=dict)


def up(machine: Machine, image: Path) -> None:
    machine.up(
        Images(image, image, image),
        cores=2,
        memory_mib=512,
        timeout_s=30.0,
        progress=SilentProgress(),
    )


def test_the_device_lasts_until_it_is_scrapped_or_destroyed(
    qemu: MakeQemu, machines: MakeMachine, firmware: Path
) -> None:
    machine = machines(qemu())
    up(machine, firmware)
    folder = machine.folder
    key = flash.hardware_unique_key(folder.flash)
    (folder.storage / "dirf.db").write_bytes(b"sealed")
    machine.down()
    up(machine, firmware)
    assert flash.hardware_unique_key(folder.flash) == key
    assert (folder.storage / "dirf.db").read_bytes() == b"sealed"

    machine.scrap()
    assert not folder.flash.exists() and not folder.storage.exists()
    assert folder.log(World.NORMAL).exists()
    up(machine, firmware)
    assert flash.hardware_unique_key(folder.flash) != key
    assert list(folder.storage.iterdir()) == []

    assert machine.destroy()
    assert not folder.path.exists()
    assert not machine.destroy()
    machine.scrap()
    assert machine.status().state is State.DOWN


def test_who_waits_for_a_machine_that_is_destroyed_gets_the_new_one_or_is_told(
    machines: MakeMachine,
) -> None:
    folder = machines().folder
    folder.create()
    waiting = threading.Event()
    outcome: list[object] = []

    def wait() -> None:
        waiting.set()
        try:
            with folder.locked(Deadline(10.0)):
                outcome.append(folder.path.is_dir())
        except UserError as error:
            outcome.append(error.message)

    for made_anew in (True, False):
        thread = threading.Thread(target=wait)
        with folder.locked(Deadline(1.0)):
            thread.start()
            assert waiting.wait(5.0)
            time.sleep(0.2)
            folder.remove()
            if made_anew:
                folder.create()
        thread.join(10.0)
    assert outcome[0] is True
    assert "was destroyed meanwhile" in str(outcome[1])
