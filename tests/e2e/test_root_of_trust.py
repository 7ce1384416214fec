# SPDX-License-Identifier: Apache-2.0
"""What a device is, what of its past cannot be undone, and what is made of damaged storage.

Machines of these tests' own: they go down and up, are killed, and get each other's storage.
"""

import contextlib
import os
import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from uuid import UUID

import pytest
from devices import Device, devices
from numbered_storage import set_number

from sandbox.devkit import push
from sandbox.devkit.build import Built
from sandbox.errors import SandboxError
from sandbox.machine import flash
from sandbox.machine.boot import StorageRefused
from sandbox.machine.console import ConsoleAlarm
from sandbox.machine.folder import World
from sandbox.machine.machine import Machine
from sandbox.tee import (
    MemrefIn,
    MemrefOut,
    Parameter,
    Session,
    TEEContext,
    TeeError,
    TeeOrigin,
    TeeResult,
)
from sandbox.testing.applications import BuildTa
from sandbox.testing.lab import ImagesFor

TA = UUID("c0a5b8e2-61f4-4f7b-9d38-2e7b05c1fa96")
STORE, LOAD, REMOVE, DEVICE, RANDOM = range(5)
GONE = TeeResult.STORAGE_NOT_AVAILABLE
CORRUPT = TeeResult.CORRUPT_OBJECT
NOT_FOUND = TeeResult.ITEM_NOT_FOUND
KILLED_ROUNDS = 4


class StorageDevice(Device):
    """A machine that has the storage TA whenever it is up."""

    def __init__(self, machine: Machine, images_for: ImagesFor, ta: Built) -> None:
        super().__init__(machine, images_for)
        self._ta = ta
        self._lasting = contextlib.ExitStack()
        self._session: Session | None = None

    def up(self) -> "StorageDevice":
        self.boot()
        push.push(self.machine, self._ta)
        return self

    def down(self) -> None:
        self._session = None
        # Of a machine that lost its power nothing can be closed.
        with contextlib.suppress(SandboxError, OSError):
            self._lasting.close()
        super().down()

    @property
    def lasting(self) -> Session:
        """One session until the machine goes down."""
        if self._session is None:
            self._session = self._lasting.enter_context(self.session())
        return self._session

    @contextlib.contextmanager
    def session(self) -> Iterator[Session]:
        with TEEContext(self.machine) as context, context.open_session(TA) as session:
            yield session

    def identity(self) -> tuple[bytes, bytes]:
        device, key = self.lasting.invoke(DEVICE, (MemrefOut(16), MemrefOut(32)))
        return device.data, key.data

    def store(self, name: bytes, content: bytes) -> None:
        self.lasting.invoke(STORE, (MemrefIn(name), MemrefIn(content)))

    def load(self, name: bytes) -> bytes:
        return self.lasting.invoke(LOAD, (MemrefIn(name), MemrefOut(16384)))[1].data

    def refusal(self, name: bytes) -> TeeResult:
        with pytest.raises(TeeError) as caught:
            self.load(name)
        return caught.value.result


MakeDevice = Callable[[str], StorageDevice]


@pytest.fixture(scope="module")
def make_device(
    sandbox_images: ImagesFor, build_ta: BuildTa, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MakeDevice]:
    ta = build_ta(Path(__file__).with_name("storage_ta"))
    state = tmp_path_factory.mktemp("devices")
    with devices(state, lambda machine: StorageDevice(machine, sandbox_images, ta)) as make:
        yield make


@pytest.fixture(scope="module")
def one(make_device: MakeDevice) -> StorageDevice:
    return make_device("one").up()


@pytest.fixture(scope="module")
def other(make_device: MakeDevice) -> StorageDevice:
    return make_device("other").up()


@pytest.fixture(scope="module")
def expendable(make_device: MakeDevice) -> StorageDevice:
    """A device that loses its power now and then, and is destroyed in the end."""
    return make_device("expendable").up()


@contextlib.contextmanager
def put_right_after(device: StorageDevice) -> Iterator[Session]:
    """Stores x, and has the body do to the storage what it likes, but commit.

    With a session from before: TAs are loaded only if the storage tells which versions were.
    """
    device.store(b"x", b"second")
    with device.session() as session:
        with device.put_right_after():
            yield session
        assert device.load(b"x") == b"second"


# The device --------------------------------------------------------------------------------------


def test_two_devices_differ_and_each_stays_what_it_is(
    one: StorageDevice, other: StorageDevice
) -> None:
    mine, theirs = one.identity(), other.identity()
    assert mine[0] != theirs[0] and mine[1] != theirs[1]
    one.store(b"lasting", b"content")
    before = one.counter()
    one.down()
    assert one.counter() == before
    one.up()
    assert one.counter_at_boot() == before
    assert one.identity() == mine
    assert one.load(b"lasting") == b"content"


def test_the_log_of_a_boot_names_the_emulation_and_no_insecure_default(one: StorageDevice) -> None:
    assert "emulated root of trust, key and counter are in QEMU's flash" in one.secure_log
    assert "insecure" not in one.secure_log.lower()


def test_random_numbers_are_not_those_of_another_boot(
    one: StorageDevice, other: StorageDevice
) -> None:
    seen = set()
    for device in (one, other):
        with device.session() as session:
            for _ in range(2):
                seen.add(session.invoke(RANDOM, (MemrefOut(32),))[0].data)
    assert len(seen) == 4


def test_each_commit_counts(one: StorageDevice) -> None:
    before = one.counter()
    for n in range(1, 4):
        one.store(b"counted", bytes([n]))
        assert one.counter() == before + n


@pytest.mark.parametrize(
    ("at", "content"),
    [
        pytest.param(flash.KEY, b"\xff" * 64, id="erased"),
        pytest.param(flash.KEY, bytes(64), id="zeros"),
        pytest.param(flash.KEY, flash.key_block(bytes(16)), id="key-of-zeros"),
        pytest.param(flash.KEY + 16, b"another key.....", id="wrong-digest"),
        pytest.param(flash.OTP, b"\xff\xf0", id="damaged-counter"),
    ],
)
def test_without_a_valid_key_and_counter_there_is_no_boot(
    at: int, content: bytes, make_device: MakeDevice, sandbox_images: ImagesFor
) -> None:
    device = make_device("invalid")
    device.folder.create()
    flash.prepare(device.folder.flash, sandbox_images(2).flash)
    with device.folder.flash.open("r+b") as bank:
        bank.seek(at)
        bank.write(content)
    with pytest.raises(ConsoleAlarm) as caught:
        device.boot()
    assert "no valid OTP" in caught.value.message
    what = "monotonic counter in flash is damaged" if at == flash.OTP else "no valid hardware uni"
    assert f"OTP: the {what}" in device.secure_log or f"there is {what}" in device.secure_log
    # Before Linux, and so before anything could ask for a key.
    assert "Linux" not in device.folder.log(World.NORMAL).read_text(errors="replace")
    device.machine.destroy()


# Power cuts --------------------------------------------------------------------------------------


def test_after_a_power_cut_the_last_commit_or_the_next_is_there(
    expendable: StorageDevice,
) -> None:
    device = expendable
    device.store(b"n", b"0")
    chance = random.Random(5)
    attempted = done = 0

    def store_on() -> None:
        nonlocal attempted, done
        with contextlib.suppress(SandboxError, OSError), device.session() as session:
            while True:
                attempted += 1
                session.invoke(STORE, (MemrefIn(b"n"), MemrefIn(b"%d" % attempted)))
                done = attempted

    for _ in range(KILLED_ROUNDS):
        before = done
        thread = threading.Thread(target=store_on)
        thread.start()
        deadline = time.monotonic() + 60.0
        while done < before + 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert done >= before + 3
        time.sleep(chance.uniform(0.0, 0.3))
        device.kill()
        thread.join(60.0)
        assert not thread.is_alive()
        counted = device.counter()
        device.up()
        assert device.counter_at_boot() == counted
        assert done <= int(device.load(b"n")) <= attempted
        assert "Secure storage" not in device.secure_log


def test_a_commit_that_was_cut_off_replaces_no_later_one(
    expendable: StorageDevice, tmp_path: Path
) -> None:
    """The power goes between dirf.db and the counter; the attacker keeps what was written."""
    device = expendable
    storage = device.folder.storage
    device.store(b"x", b"before")
    shutil.copytree(storage, tmp_path / "before")
    counted = device.counter()
    device.store(b"x", b"cut off")
    assert device.counter() == counted + 1
    shutil.copytree(storage, tmp_path / "cut off")
    device.kill()
    # As it was before the last bit was programmed.
    with device.folder.flash.open("r+b") as bank:
        bank.seek(flash.OTP + counted // 8)
        bank.write(bytes([0xFF << counted % 8 & 0xFF]))
    assert device.counter() == counted

    device.restore(tmp_path / "before")
    device.up()
    assert device.load(b"x") == b"before"
    with device.session() as session:
        session.invoke(STORE, (MemrefIn(b"x"), MemrefIn(b"after")))
        shutil.copytree(storage, tmp_path / "after")
        device.restore(tmp_path / "cut off")
        refused_and_named(device, session, "rolled back")
        device.restore(tmp_path / "after")
    assert device.load(b"x") == b"after"


# The storage folder ------------------------------------------------------------------------------


def refused_and_named(device: StorageDevice, session: Session, said: str) -> None:
    """Nothing can be read, written or removed; the TA lives; the log says why."""
    mark = len(device.secure_log)
    calls: tuple[tuple[int, Sequence[Parameter]], ...] = (
        (LOAD, (MemrefIn(b"x"), MemrefOut(64))),
        (STORE, (MemrefIn(b"x"), MemrefIn(b"third"))),
        (STORE, (MemrefIn(b"new"), MemrefIn(b"third"))),
        (REMOVE, (MemrefIn(b"x"),)),
    )
    for command, parameters in calls:
        with pytest.raises(TeeError) as caught:
            session.invoke(command, parameters)
        assert caught.value.result is GONE and caught.value.origin is TeeOrigin.TRUSTED_APP
    with pytest.raises(TeeError) as caught, device.session():
        pass
    assert caught.value.result is GONE and caught.value.origin is TeeOrigin.TEE
    assert f"Secure storage: {said}" in device.secure_log[mark:]


def test_yesterdays_folder_is_refused(one: StorageDevice, tmp_path: Path) -> None:
    one.store(b"x", b"first")
    shutil.copytree(one.folder.storage, tmp_path / "yesterday")
    with put_right_after(one) as session:
        one.restore(tmp_path / "yesterday")
        refused_and_named(
            one, session, "rolled back, or of another device: dirf.db is older than commit"
        )
    # The current one again: the service goes on as if nothing had been.
    one.store(b"x", b"third")
    assert one.load(b"x") == b"third"


@pytest.mark.parametrize("ahead", [False, True], ids=["fewer-commits", "more-commits"])
def test_another_devices_folder_is_refused(
    ahead: bool, one: StorageDevice, other: StorageDevice
) -> None:
    behind, further = (one, other) if ahead else (other, one)
    behind.store(b"x", b"first")
    while further.counter() <= behind.counter() + 2:
        further.store(b"x", b"theirs")
    said = "dirf.db is damaged, or of another" if ahead else "rolled back, or of another device"
    with put_right_after(one) as session:
        one.restore(other.folder.storage)
        refused_and_named(one, session, said)
    assert other.load(b"x") in (b"first", b"theirs")


def test_a_folder_without_its_files_is_refused(one: StorageDevice) -> None:
    with put_right_after(one) as session:
        for path in one.folder.storage.iterdir():
            path.unlink()
        refused_and_named(one, session, "dirf.db is missing, commit")


def test_a_changed_dirf_db_is_refused(one: StorageDevice) -> None:
    path = one.folder.storage / "dirf.db"
    refusals = 0
    with put_right_after(one) as session:
        good = path.read_bytes()
        # Both heads, both versions of the root node, and data blocks.
        for at in (0, 40, 120, 160, 4096, 4100, 4162, 4170, 8192 + 5, 12288 + 5):
            bad = bytearray(good)
            bad[at] ^= 0x10
            path.write_bytes(bad)
            # Of two versions one is in use: the other may be anything.
            try:
                (_, loaded) = session.invoke(LOAD, (MemrefIn(b"x"), MemrefOut(64)))
                assert loaded.data == b"second"
            except TeeError as error:
                assert error.result is GONE
                refusals += 1
        assert refusals >= 3
        for content in (b"", good[:10], good[:4096], good[:5000], os.urandom(len(good))):
            path.write_bytes(content)
            refused_and_named(one, session, "")


@pytest.mark.parametrize("damage", ["deleted", "changed", "older", "zero-head"])
def test_a_damaged_object_is_corrupt_once_and_no_other_is_touched(
    damage: str, one: StorageDevice
) -> None:
    storage = one.folder.storage

    def files() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in storage.iterdir()}

    one.store(b"x", b"whole")
    before = files()
    one.store(b"y", b"old")
    (old,) = files().keys() - before.keys()
    older = files()[old]
    one.store(b"y", b"new")
    # An object that is overwritten gets another file.
    (name,) = files().keys() - before.keys()
    path = storage / name
    newest = path.read_bytes()
    if damage == "deleted":
        path.unlink()
    elif damage == "changed":
        path.write_bytes(newest[:8192] + bytes(len(newest) - 8192))
    elif damage == "older":
        path.write_bytes(older)
    else:
        # As if a power cut had kept its head from being written.
        path.write_bytes(bytes(4096) + newest[4096:])
    assert one.refusal(b"y") is CORRUPT
    assert one.refusal(b"y") is NOT_FOUND
    assert one.load(b"x") == b"whole"
    one.store(b"y", b"again")
    assert one.load(b"y") == b"again"
    with one.session() as session:
        session.invoke(REMOVE, (MemrefIn(b"y"),))


def test_up_says_that_the_storage_was_put_back(one: StorageDevice, tmp_path: Path) -> None:
    one.store(b"x", b"first")
    shutil.copytree(one.folder.storage, tmp_path / "yesterday")
    one.store(b"x", b"second")
    one.down()
    shutil.copytree(one.folder.storage, tmp_path / "today")
    one.restore(tmp_path / "yesterday")
    with pytest.raises(StorageRefused) as caught:
        one.boot()
    assert "rolled back" in caught.value.message
    assert any("sandbox destroy" in hint for hint in caught.value.hints)
    one.restore(tmp_path / "today")
    one.up()
    assert one.load(b"x") == b"second"


# The end of a device ---------------------------------------------------------------------------


def test_a_machine_that_was_destroyed_is_another_device(expendable: StorageDevice) -> None:
    device = expendable
    before = device.identity()
    device.store(b"x", b"gone")
    device.down()
    assert device.machine.destroy()
    assert not device.folder.path.exists()
    device.up()
    assert device.identity()[0] != before[0] and device.identity()[1] != before[1]
    assert device.refusal(b"x") is NOT_FOUND


def test_a_counter_that_is_used_up_is_named(expendable: StorageDevice) -> None:
    device = expendable
    device.store(b"x", b"kept")
    device.down()
    steps = flash.COUNTER_SIZE * 8
    # Its storage and its flash as they would be after so many commits.
    last = steps - (4 if device.counter() % 2 == 0 else 3)
    set_number(
        device.folder.storage / "dirf.db", flash.hardware_unique_key(device.folder.flash), last
    )
    with device.folder.flash.open("r+b") as bank:
        bank.seek(flash.OTP)
        bank.write(bytes(last // 8) + bytes([0xFF << last % 8 & 0xFF]))
    assert device.counter() == last

    device.up()
    assert device.counter_at_boot() == last
    assert device.load(b"x") == b"kept"
    with device.session() as session:
        while device.counter() < steps:
            session.invoke(STORE, (MemrefIn(b"y"), MemrefIn(b"last")))
        with pytest.raises(TeeError) as caught:
            session.invoke(STORE, (MemrefIn(b"z"), MemrefIn(b"too much")))
    assert caught.value.result is GONE
    assert f"OTP: all {steps} steps of the monotonic counter are used up" in device.secure_log
    device.down()
    device.machine.destroy()
