# SPDX-License-Identifier: Apache-2.0
"""Models that stay: what the vault keeps, for whom, and what is made of a normal world that lies.

A machine of this file's own: it goes down and up, is killed, and its storage is put back.
"""

import contextlib
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from devices import Moment
from real_stack import MODEL, ROOT, golden, run_sandbox
from test_hostile_input import refused
from test_run import reference
from test_trust import TA_FILE, one_byte_changed
from vault_device import TRUST, MakeDevice, VaultDevice, own

from sandbox.authority.device import device_uuid
from sandbox.errors import SandboxError
from sandbox.machine import flash
from sandbox.machine.boot import GUEST_SHARE, StorageRefused
from sandbox.machine.guest import Guest
from sandbox.machine.machine import Machine
from sandbox.owner import keys
from sandbox.owner.client import Client, Model, NotStored, StoredModel
from sandbox.owner.service import Session, Stored, TaError
from sandbox.owner.share import Share
from sandbox.owner.vault import NotInVault, Vault

SINE = ROOT / "fixtures/models/sine_f32.tflite"
MNIST = ROOT / "fixtures/models/mnist_cnn_int8.tflite"
CHELSEA = ROOT / "fixtures/photos/chelsea.jpg"
# Each puts one model or two into a vault of sixteen.
OWNERS_AT_ONCE = 6


@pytest.fixture(scope="module")
def device(make_device: MakeDevice) -> VaultDevice:
    return make_device("vault").up()


@pytest.fixture(scope="module")
def owners() -> list[bytes]:
    return []


@pytest.fixture
def key(device: VaultDevice, owners: list[bytes]) -> bytes:
    """An owner who was never here before."""
    if len(owners) == OWNERS_AT_ONCE:
        device.clear_up(owners)
    owners.append(os.urandom(32))
    return owners[-1]


def model(path: Path, key: bytes, version: int = 1, name: str = "model") -> Model:
    return Model(name, path.read_bytes(), key, version)


def uuid_of(device: VaultDevice) -> UUID:
    """Not on the normal world's word."""
    return device_uuid(flash.hardware_unique_key(device.machine.folder.flash))


# What stays -------------------------------------------------------------------------------------


def test_models_stay_and_need_not_be_sent_again(device: VaultDevice, key: bytes) -> None:
    detector, sine = model(MODEL, key, 3, "detector"), model(SINE, key, 7, "sine")
    listed = own(device.push(detector, sine), key)
    assert {(one.name, one.version, one.digest, one.size) for one in listed} == {
        ("detector", 3, detector.digest, len(detector.data)),
        ("sine", 7, sine.digest, len(sine.data)),
    }
    assert [one.name for one in listed if one.active] == ["detector"]
    device.down()
    device.up()
    assert own(device.listed(), key) == listed

    with device.machine.guest() as guest:
        with Session(Machine.service(guest), GUEST_SHARE) as session:
            expected = StoredModel("detector", 3, detector.digest, uuid_of(device))
            client = Client(session, device.share, expected, TRUST)
            client.prepare("user")
            assert session.info().model_key_id is None
            result = client.detect(CHELSEA.read_bytes(), 0.5, {})
            session.close_session("user")
        assert result.origin.output_digest.hex() == golden("chelsea")["outputs_sha256"]
        assert result.origin.model_name == "detector" and result.origin.model_version == 3

        with Session(Machine.service(guest), GUEST_SHARE) as session:
            expected = StoredModel("sine", 7, sine.digest, uuid_of(device))
            client = Client(session, device.share, expected, TRUST)
            client.prepare("user")
            inputs, outputs = reference(SINE, None)
            found = client.run(inputs[0].tobytes(), {}).outputs[0]
            np.testing.assert_allclose(
                np.frombuffer(found.data, np.float32), outputs[0].reshape(-1), atol=1e-4
            )
            session.close_session("user")

    # Nothing older gets there after a reboot either.
    with device.vault(key) as vault:
        assert refused(lambda: vault.push(model(SINE, key, 6, "sine"))) == "MODEL_ROLLBACK"


def test_loading_from_the_vault_takes_no_more_memory_than_from_the_share(
    device: VaultDevice, key: bytes
) -> None:
    (stored,) = own(device.push(model(MODEL, key)), key)
    with device.session("from-vault") as session:
        session.load_stored(stored.file)
        from_vault = session.info().memory_peak_bytes
    other = model(MODEL, os.urandom(32))
    with device.session("from-share") as session:
        ta = TRUST.keys_of(session)
        wrapped = keys.wrap(other.key, keys.Slot.MODEL, ta.wrapping, ta.challenge)
        session.provision("model", device.share.put(wrapped, "key"))
        path = device.share.put(other.sealed, "model")
        session.load_model(path)
        device.share.drop(path)
        from_share = session.info().memory_peak_bytes
    assert from_vault == from_share
    # Tables and buffers, but not the model a second time.
    assert from_vault < len(other.data) * 1.5


def test_one_is_active_and_it_is_chosen(
    device: VaultDevice, key: bytes, owners: list[bytes]
) -> None:
    # This user's own record is one for all keys.
    device.clear_up([owner for owner in owners if owner != key])
    with device.vault(key) as vault:
        for name in ("a", "b"):
            vault.push(model(SINE, key, 1, name))
        assert [one.name for one in own(vault.models(), key) if one.active] == ["a"]
        assert vault.record.expected(None).name == "a"
        vault.activate("b")
        assert [one.name for one in own(vault.models(), key) if one.active] == ["b"]
        assert vault.record.expected(None).name == "b"
        # A newer version of it stays active.
        vault.push(model(MNIST, key, 2, "b"))
        assert [one.version for one in own(vault.models(), key) if one.active] == [2]
        vault.remove("b")
        assert [one.name for one in own(vault.models(), key)] == ["a"]
        assert not any(one.active for one in own(vault.models(), key))
        with pytest.raises(NotInVault):
            vault.record.expected(None)
        assert refused(lambda: vault.activate("b")) == "MODEL_UNKNOWN"
        assert refused(lambda: vault.remove("b")) == "MODEL_UNKNOWN"


def test_two_pushes_at_once(device: VaultDevice, key: bytes) -> None:
    def push(index: int) -> None:
        with device.vault(key, f"vault-{index}") as vault:
            vault.push(model(SINE if index else MNIST, key, 1, f"model-{index}"))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(push, range(2)))
    listed = own(device.listed(), key)
    assert {one.name for one in listed} == {"model-0", "model-1"}
    for one in listed:
        assert device.load(one) == one.digest


# Older ones ---------------------------------------------------------------------------------------


def load_as_its_owner(vault: Vault, device: VaultDevice, sent: Model) -> None:
    """As `sandbox detect` without the vault sends it."""
    path = device.share.put(sent.sealed, "model")
    try:
        vault._session.load_model(path)
    finally:
        device.share.drop(path)


def test_an_older_model_is_refused(device: VaultDevice, key: bytes) -> None:
    with device.vault(key) as vault:
        vault.push(model(SINE, key, 2))
        older = model(MNIST, key, 1)
        assert refused(lambda: vault.push(older)) == "MODEL_ROLLBACK"
        assert refused(lambda: load_as_its_owner(vault, device, older)) == "MODEL_ROLLBACK"
        # The same version is what it was; the same model may come again, sealed anew.
        assert refused(lambda: vault.push(model(MNIST, key, 2))) == "MODEL_ROLLBACK"
        vault.push(model(SINE, key, 2))
        vault.remove("model")
        assert refused(lambda: vault.push(older)) == "MODEL_ROLLBACK"
        assert refused(lambda: load_as_its_owner(vault, device, older)) == "MODEL_ROLLBACK"
        vault.push(model(MNIST, key, 3))
        (stored,) = own(vault.models(), key)
    assert device.load(stored) == model(MNIST, key).digest


# Files --------------------------------------------------------------------------------------------


def cut(path: Path, size: int) -> None:
    os.truncate(path, size)


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


DAMAGES: tuple[tuple[str, Callable[[Path], None], str], ...] = (
    ("deleted", lambda path: path.unlink(), "CA_VAULT_FILE"),
    ("empty", lambda path: cut(path, 0), "CA_VAULT_FILE"),
    ("half a header", lambda path: cut(path, 100), "CA_VAULT_FILE"),
    ("half-written", lambda path: cut(path, 1000), "STREAM_TRUNCATED"),
    ("salt", lambda path: flip(path, 80), "CA_VAULT_FILE"),
    ("nonce prefix", lambda path: flip(path, 108), "MODEL_OTHER_FILE"),
    ("length", lambda path: flip(path, 39), "MODEL_OTHER_FILE"),
    ("version", lambda path: flip(path, 31), "MODEL_ROLLBACK"),
    ("key id", lambda path: flip(path, 12), "KEY_MISSING"),
    ("content", lambda path: flip(path, 2000), "STREAM_"),
)


def test_a_damaged_file_is_named(device: VaultDevice, key: bytes) -> None:
    (stored,) = own(device.push(model(MNIST, key, 3)), key)
    path = device.file(stored)
    good = path.read_bytes()
    with device.session("load") as session:
        for what, damage, name in DAMAGES:
            damage(path)
            status = refused(lambda: session.load_stored(stored.file))
            assert status.startswith(name), (what, status)
            path.write_bytes(good)
        # What is loaded would be used again, whatever its file has become.
        assert session.load_stored(stored.file) == stored.digest
        assert session.info().model_key_id is None


def test_swapped_files_are_named(device: VaultDevice, key: bytes) -> None:
    listed = own(device.push(model(SINE, key, 1, "a"), model(MNIST, key, 1, "b")), key)
    a, b = (device.file(one) for one in listed)
    a_bytes, b_bytes = a.read_bytes(), b.read_bytes()
    a.write_bytes(b_bytes)
    b.write_bytes(a_bytes)
    for one in listed:
        assert refused(lambda one=one: device.load(one)) == "CA_VAULT_FILE"  # type: ignore[misc]
    # And a normal world that serves the other model without a word is found out by its owner.
    with device.session() as session:
        served = Served(session, listed[0].file, listed[1].file)
        expected = StoredModel(listed[0].name, 1, listed[0].digest, uuid_of(device))
        a.write_bytes(a_bytes)
        b.write_bytes(b_bytes)
        with pytest.raises(NotStored, match="holds another model"):
            Client(served, device.share, expected, TRUST)._load_stored(expected)  # type: ignore[arg-type]


@dataclass
class Served:
    """A normal world that loads another file than it was asked to."""

    session: Session
    asked: str
    given: str

    def models(self) -> list[Stored]:
        return self.session.models()

    def load_stored(self, file: str) -> bytes:
        return self.session.load_stored(self.given if file == self.asked else file)


def test_a_file_that_its_owner_sealed_otherwise_is_not_the_vaults(
    device: VaultDevice, key: bytes
) -> None:
    """Same key, name, version and content, sealed a second time: it needs its key."""
    device.push(model(SINE, key))
    with device.session() as session:
        path = device.share.put(model(SINE, key).sealed, "model")
        assert refused(lambda: session.load_model(path)) == "MODEL_OTHER_FILE"
        device.share.drop(path)


def test_what_a_push_left_behind_goes_with_the_next(device: VaultDevice, key: bytes) -> None:
    (stored,) = own(device.push(model(SINE, key)), key)
    folder = device.file(stored).parent
    (folder / ".part").write_bytes(b"half")
    (folder / ("ab" * 32)).write_bytes(b"an entry never named it")
    (newer,) = own(device.push(model(MNIST, key, 2)), key)
    assert {path.name for path in folder.iterdir()} == {one.file for one in device.listed()}
    assert device.load(newer) == newer.digest


# Owners -------------------------------------------------------------------------------------------


def test_owners_have_vaults_of_their_own(device: VaultDevice, key: bytes) -> None:
    device.push(model(SINE, key, 5))
    stranger = os.urandom(32)
    with device.vault(stranger) as vault:
        assert refused(lambda: vault.remove("model")) == "MODEL_UNKNOWN"
        assert refused(lambda: vault.activate("model")) == "MODEL_UNKNOWN"
        # By the same name, lower, and with no effect on the other's.
        vault.push(model(MNIST, stranger, 1))
        assert [one.version for one in own(vault.models(), key)] == [5]
        vault.remove("model")
    assert [one.version for one in own(device.listed(), key)] == [5]
    with device.session() as session:
        assert refused(lambda: session.remove("model")) == "KEY_MISSING"
        assert refused(lambda: session.activate("model")) == "KEY_MISSING"


# Storage that is not what the device left ---------------------------------------------------------


def objects(storage: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in storage.iterdir() if path.name.isdigit()}


@pytest.mark.parametrize("damage", ["flipped", "deleted", "yesterdays"])
def test_a_damaged_record_is_damaged_for_good(device: VaultDevice, key: bytes, damage: str) -> None:
    """OP-TEE would forget it, and with it which versions were there: it does not."""
    with device.vault(key) as vault:
        vault.push(model(SINE, key, 1))
        before = objects(device.storage)
        vault.push(model(MNIST, key, 2))
    after = objects(device.storage)
    (record,) = (name for name in after if after[name] != before.get(name))
    path = device.storage / record
    with device.put_right_after():
        if damage == "flipped":
            # Wherever in it: of a block and of its hash there are two each.
            path.write_bytes(bytes(byte ^ 1 for byte in after[record]))
        elif damage == "deleted":
            path.unlink()
        else:
            path.write_bytes(before[record])
        with device.session() as session:
            for _ in range(3):
                assert refused(session.models) == "STORAGE_DAMAGED"
            share_path = device.share.put(model(SINE, key, 1).sealed, "model")
            assert refused(lambda: session.load_model(share_path)) == "STORAGE_DAMAGED"
            device.share.drop(share_path)
    assert [one.version for one in own(device.listed(), key)] == [2]


def test_yesterdays_folder_is_detected(device: VaultDevice, key: bytes, tmp_path: Path) -> None:
    device.push(model(SINE, key, 1))
    shutil.copytree(device.storage, tmp_path / "yesterday")
    device.push(model(MNIST, key, 2))
    with device.session() as session:
        with device.put_right_after():
            device.restore(tmp_path / "yesterday")
            # A session from before: a new one would not be opened.
            assert refused(session.models) == "STORAGE_DAMAGED"
        assert [one.version for one in own(session.models(), key)] == [2]


def test_a_start_with_yesterdays_or_another_devices_folder_is_refused(
    device: VaultDevice, key: bytes, make_device: MakeDevice, tmp_path: Path
) -> None:
    device.push(model(SINE, key, 1))
    shutil.copytree(device.storage, tmp_path / "yesterday")
    (stored,) = own(device.push(model(MNIST, key, 2)), key)
    other = make_device("other").up()
    (theirs,) = other.push(model(MNIST, os.urandom(32), 9))
    other.down()
    # Its files alone are no model of this device's.
    copied = shutil.copy(other.file(theirs), device.file(stored).parent)
    assert own(device.listed(), key) == [stored]
    assert refused(lambda: device.load(theirs)) == "KEY_MISSING"
    Path(copied).unlink()
    device.down()
    for folder, said in ((tmp_path / "yesterday", "rolled back"), (other.storage, "device")):
        with device.put_right_after():
            device.restore(folder)
            with pytest.raises(StorageRefused, match=said):
                device.up()
            device.down()
    device.up()
    assert own(device.listed(), key) == [stored]
    assert device.load(stored) == stored.digest


# Power cuts ---------------------------------------------------------------------------------------


def kept(device: VaultDevice, key: bytes, digest: bytes) -> int:
    """The version that is there after a start, whole."""
    device.up()
    (stored,) = own(device.listed(), key)
    assert device.load(stored) == digest
    return stored.version


def test_a_push_that_is_cut_off_leaves_the_old_model_or_the_new_one(
    device: VaultDevice, key: bytes
) -> None:
    """At each step of it: the file half-written, whole, committed and not counted, counted."""
    device.push(model(MODEL, key, 1))
    newer = model(MODEL, key, 2)
    assert newer.sealed
    with device.vault(key) as vault, device.watched() as moments:
        counted = device.counter()
        vault.push(newer)
    device.down()

    def named(moment: Moment) -> set[str]:
        """Models' files that have their names."""
        return {n for n in moment.names() if n.startswith("vault/") and not n.endswith(".part")}

    before = named(moments[0])
    writing = [i for i, one in enumerate(moments) if named(one) == before and one.count == counted]
    commits = [i for i, one in enumerate(moments) if one.count > counted]
    chosen = {
        "half a file": writing[len(writing) // 2],
        "before the file has its name": writing[-1],
        "the record is written": commits[0] - 1,
        "and counted": commits[0],
        "in the end": len(moments) - 1,
    }
    versions = []
    for index in sorted(set(chosen.values())):
        device.put_back(moments[index])
        versions.append(kept(device, key, newer.digest))
        device.down()
    assert versions == sorted(versions), (chosen, versions)
    assert (versions[0], versions[-1]) == (1, 2)
    device.up()


def test_a_push_that_is_killed_leaves_the_old_model(device: VaultDevice, key: bytes) -> None:
    """QEMU itself, as soon as there is a part of the file."""
    device.push(model(SINE, key, 1))
    newer = model(MODEL, key, 2)
    assert newer.sealed

    def cut_off() -> None:
        deadline = time.monotonic() + 60.0
        while time.monotonic() < deadline:
            if any(path.stat().st_size for path in device.storage.glob("vault/*/*.part")):
                device.cut_off()
                return
            time.sleep(0.001)

    with contextlib.ExitStack() as stack:
        vault = stack.enter_context(_until_gone(device.vault(key)))
        power = threading.Thread(target=cut_off)
        power.start()
        with pytest.raises(SandboxError):
            vault.push(newer)
        power.join()
    device.down()
    assert kept(device, key, model(SINE, key).digest) == 1


@contextlib.contextmanager
def _until_gone(inner: "contextlib.AbstractContextManager[Vault]") -> Iterator[Vault]:
    """What is closed in a machine that is off, fails."""
    vault = inner.__enter__()
    yield vault
    with contextlib.suppress(Exception):
        inner.__exit__(None, None, None)


# The command line ---------------------------------------------------------------------------------


def test_commands(machine: Machine) -> None:
    pushed = run_sandbox("model", "push", MODEL, "--name", "door", "--json")
    assert pushed.status == 0, pushed.stderr
    assert pushed.json["version"] == 1 and pushed.json["active"]
    assert run_sandbox("model", "push", SINE).status == 0
    listed = run_sandbox("model", "list", "--json").json
    assert [(one["name"], one["active"], one["own"]) for one in listed["models"]] == [
        ("door", True, True),
        ("sine_f32", False, True),
    ]
    assert listed["missing"] == []
    for options in (["--vault"], ["--vault", "door"]):
        ran = run_sandbox("detect", CHELSEA, "--json", *options)
        assert ran.status == 0, ran.stdout
        (line,) = ran.json_lines
        assert line["model"]["name"] == "door"
        assert line["model"]["output_sha256"] == golden("chelsea")["outputs_sha256"]
    # A version of its own is above the last, unless nothing changed.
    assert run_sandbox("model", "push", MODEL, "--name", "door", "--json").json["version"] == 1
    newer = run_sandbox("model", "push", MNIST, "--name", "sine_f32", "--json").json
    assert newer["version"] == 2
    ran = run_sandbox("model", "push", SINE, "--version", "1")
    assert ran.status == 2 and "MODEL_ROLLBACK" in ran.stderr
    assert run_sandbox("model", "activate", "sine_f32").status == 0
    text = run_sandbox("model", "list").stdout
    assert re.search(r"^sine_f32 .*active$", text, re.M) and not re.search(r"door.*active", text)
    assert run_sandbox("model", "remove", "door").status == 0
    ran = run_sandbox("detect", CHELSEA, "--vault", "door")
    assert ran.status == 2 and "'door'" in ran.stderr
    assert run_sandbox("model", "remove", "door").status == 2
    assert run_sandbox("model", "remove", "sine_f32").status == 0
    assert "empty" in run_sandbox("model", "list").stdout


# Other code ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def other_code(guest: Guest, folder: Path) -> Iterator[None]:
    """New sessions are with a TA of the same UUID that is other code."""
    genuine = guest.get(TA_FILE)
    guest.put(TA_FILE, one_byte_changed(genuine, folder), 0o444)
    try:
        yield
    finally:
        guest.put(TA_FILE, genuine, 0o444)


def test_a_ta_with_one_byte_changed_has_another_vault(
    machine: Machine, guest: Guest, tmp_path: Path
) -> None:
    key = os.urandom(32)
    with Session(Machine.service(guest), GUEST_SHARE) as session:
        genuine = Vault(session, Share(machine.share), key, "genuine")
        genuine.authorize(TRUST)
        genuine.push(model(SINE, key))
        (stored,) = own(genuine.models(), key)
        (path,) = machine.folder.storage.glob(f"vault/*/{stored.file}")
        with other_code(guest, tmp_path), Session(Machine.service(guest), GUEST_SHARE) as other:
            other.attach("evil")
            assert other.models() == []
            with pytest.raises(TaError) as caught:
                other.load_stored(stored.file)
            assert caught.value.status == "CA_VAULT_FILE"
            copy = Share(machine.share).put(path.read_bytes(), "model")
            assert refused(lambda: other.load_model(copy)) == "KEY_MISSING"
            Share(machine.share).drop(copy)
            other.close_session("evil")
        assert session.load_stored(stored.file) == stored.digest
        genuine.remove("model")
        session.close_session("genuine")
