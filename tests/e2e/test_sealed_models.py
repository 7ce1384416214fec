# SPDX-License-Identifier: Apache-2.0
"""Keys that the device keeps, and models sealed with them: from a key to a digit that is read."""

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from real_stack import ROOT, Client, Ran, run_sandbox, sha256
from test_hostile_input import refused
from test_trust import TA_FILE
from vault_device import TRUST, MakeDevice, VaultDevice

from sandbox.build import recipe
from sandbox.log import SilentProgress
from sandbox.machine.boot import GUEST_SHARE
from sandbox.machine.folder import World
from sandbox.machine.guest import Guest
from sandbox.machine.machine import Machine
from sandbox.owner import keys, sealed_file
from sandbox.owner.client import Client as Owner
from sandbox.owner.client import Model, SealedModel
from sandbox.owner.description import DescriptionError
from sandbox.owner.sealed_file import key_id
from sandbox.owner.service import Session
from sandbox.owner.share import Share
from sandbox.tee import MemrefIn, MemrefOut, TEEContext
from sandbox.tee_abi import ERROR_BASE, STORED_KEYS_MAX_COUNT, TA_UUID, Command, Status

MODEL = ROOT / "fixtures/models/mnist_mlp_int8.tflite"
SINE = ROOT / "fixtures/models/sine_f32.tflite"
DIGITS = ROOT / "fixtures/digits"
SEVEN = DIGITS / "7.png"


def failed(ran: Ran, name: str) -> None:
    """With --json, its name is on standard output."""
    assert ran.status != 0, ran
    assert ran.json_lines[-1]["error"]["name"] == name, ran


@pytest.fixture
def sealed(tmp_path: Path) -> tuple[Path, Path]:
    """The file of a new key, and the model that it seals."""
    key = tmp_path / "owner.key"
    keys.make_key_file(key)
    output = tmp_path / "m.sealed"
    model = sealed_file.seal_model(key.read_bytes(), MODEL.read_bytes(), name="digits")
    output.write_bytes(model.data)
    return key, output


# As a user calls it -----------------------------------------------------------------------------


def test_from_a_new_key_to_ten_digits(machine: Machine, tmp_path: Path) -> None:
    key, output = tmp_path / "owner.key", tmp_path / "m.sealed"
    made = run_sandbox("store-key", "--new", key, "--json")
    assert made.status == 0, made.stderr
    identity = made.json["key_id"]
    assert identity == key_id(key.read_bytes()).hex()
    assert key.stat().st_mode & 0o777 == 0o600
    assert run_sandbox("store-key", "--list").stdout.split() == [identity]

    checked = run_sandbox("verify-model", "--input", MODEL, "--json")
    assert checked.status == 0 and checked.json["inputs"][0]["shape"] == [1, 28, 28]
    encrypt = ("encrypt-model", "--input", MODEL, "--output", output, "--key-file", key)
    ran = run_sandbox(*encrypt, "--name", "digits", "--version", "3", "--json")
    assert ran.status == 0, ran.stderr
    assert ran.json["sha256"] == sha256(MODEL.read_bytes())

    pictures = [word for digit in range(10) for word in ("-i", DIGITS / f"{digit}.png")]
    ran = run_sandbox("infer", "--model", output, *pictures, "--json")
    assert ran.status == 0, ran.stderr
    # As LiteRT reads them: this nine has it in doubt, too.
    assert [line["class"] for line in ran.json_lines] == [*range(9), 8]
    for line in ran.json_lines:
        assert (line["model"]["name"], line["model"]["version"]) == ("digits", 3)
        assert line["model"]["sha256"] == sha256(MODEL.read_bytes())
        assert line["label"] is None and 0 < line["score"] <= 1

    assert run_sandbox("store-key", "--remove", identity).status == 0
    failed(run_sandbox("infer", "--model", output, "-i", SEVEN, "--json"), "KEY_MISSING")
    # Whoever has the key needs no device that keeps it; and leaves nothing behind.
    ran = run_sandbox("infer", "--model", output, "-i", SEVEN, "--key-file", key)
    assert ran.status == 0 and "class 7, score 0.99" in ran.stdout, ran
    failed(run_sandbox("infer", "--model", output, "-i", SEVEN, "--json"), "KEY_MISSING")


def test_pictures_of_many_kinds(
    machine: Machine, sealed: tuple[Path, Path], tmp_path: Path
) -> None:
    key, model = sealed
    with Image.open(SEVEN) as opened:
        pixels = np.asarray(opened.convert("L"), np.uint8)
        large = opened.convert("RGB").resize((280, 280), Image.Resampling.BICUBIC)
    (tmp_path / "7.bin").write_bytes(pixels.tobytes())
    np.save(tmp_path / "7.npy", pixels[..., None])
    large.save(tmp_path / "7.jpg", quality=95)
    # As a camera held on its side writes it: lying, and saying so.
    exif = Image.Exif()
    exif[0x0112] = 6
    large.rotate(90).save(tmp_path / "side.jpg", quality=95, exif=exif)
    (tmp_path / "labels.txt").write_text("".join(f"digit {i}\n" for i in range(10)))
    given = [SEVEN, *(tmp_path / name for name in ("7.bin", "7.npy", "7.jpg", "side.jpg"))]
    asked = ("infer", "--model", model, "--key-file", key, "--labels", tmp_path / "labels.txt")
    ran = run_sandbox(*asked, *(word for path in given for word in ("-i", path)), "--json")
    assert ran.status == 0, ran.stderr
    lines = ran.json_lines
    assert [line["label"] for line in lines] == ["digit 7"] * 5
    assert [line["resized_from"] for line in lines] == [None] * 3 + [[280, 280]] * 2
    # The same pixels are the same scores, to the bit.
    assert len({line["model"]["output_sha256"] for line in lines[:3]}) == 1
    ran = run_sandbox(*asked, "-i", tmp_path / "7.jpg")
    assert "(digit 7)" in ran.stdout and "resized from 280 x 280 to 28 x 28" in ran.stdout


def test_what_infer_refuses(machine: Machine, sealed: tuple[Path, Path], tmp_path: Path) -> None:
    key, model = sealed
    asked = ("infer", "--json", "-i", SEVEN)
    cut = tmp_path / "cut.sealed"
    cut.write_bytes(model.read_bytes()[:-70_000])
    failed(run_sandbox(*asked, "--model", cut, "--key-file", key), "STREAM_TRUNCATED")
    sine = tmp_path / "sine.sealed"
    sine.write_bytes(sealed_file.seal_model(key.read_bytes(), SINE.read_bytes()).data)
    failed(run_sandbox(*asked, "--model", sine, "--key-file", key), "NotClassifier")
    (tmp_path / "short.bin").write_bytes(bytes(783))
    short = ("infer", "--json", "-i", tmp_path / "short.bin")
    failed(run_sandbox(*short, "--model", model, "--key-file", key), "PictureError")


# What the normal world may try -------------------------------------------------------------------


def store(client: Client, key: bytes) -> None:
    client.provision_bytes("stored", client.wrap(key, keys.Slot.STORED))


@pytest.fixture
def clean(connect: Callable[[str], Client]) -> Iterator[Client]:
    """A session on a device that keeps no key, before and after."""
    client = connect("stored-keys")
    try:
        yield client
    finally:
        for identity in client.session.stored_keys():
            client.session.forget(identity)


def test_a_key_for_one_session_is_not_kept(clean: Client) -> None:
    key = os.urandom(32)
    message = clean.wrap(key, keys.Slot.MODEL)
    assert refused(lambda: clean.provision_bytes("stored", message)) == "COSE_OPEN"
    kept = clean.wrap(key, keys.Slot.STORED)
    clean.provision_bytes("stored", kept)
    assert refused(lambda: clean.provision_bytes("stored", kept)) == "KEY_REPLAYED"
    assert clean.session.info().model_key_id is None
    assert refused(lambda: clean.session.forget(os.urandom(16))) == "KEY_UNKNOWN"


def test_one_owners_key_opens_no_other_owners_model(
    clean: Client, connect: Callable[[str], Client]
) -> None:
    mine, theirs = os.urandom(32), os.urandom(32)
    store(clean, mine)
    model = MODEL.read_bytes()
    for_mine, for_theirs = (sealed_file.seal_model(key, model).data for key in (mine, theirs))
    other = connect("stored-keys-other")
    other.load_bytes(for_mine)
    assert other.session.info().model_digest is not None
    assert refused(lambda: other.load_bytes(for_theirs)) == "KEY_MISSING"
    # With the other's name for its key, too.
    forged = for_theirs[:8] + key_id(mine) + for_theirs[24:]
    assert refused(lambda: other.load_bytes(forged)) == "STREAM_CONTEXT"
    # The session's own key comes first.
    other.model_key = theirs
    other.provision()
    other.load_bytes(for_theirs)
    other.load_bytes(for_mine)


class Swapping:
    """A session whose normal world loads one file, and describes another."""

    def __init__(self, session: Session, description: bytes) -> None:
        self._session = session
        self._description = description

    def describe(self) -> bytes:
        return self._description

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


def test_a_description_is_of_the_file_that_was_sent(clean: Client, machine: Machine) -> None:
    key = os.urandom(32)
    store(clean, key)
    clean.load_bytes(sealed_file.seal_model(key, SINE.read_bytes()).data)
    genuine = clean.session.describe()
    wanted = SealedModel("digits", sealed_file.seal_model(key, MODEL.read_bytes()).data)
    for lie, said in (
        (genuine, "another sealed file"),
        (genuine[:-1] + bytes([genuine[-1] ^ 1]), "not the TA's"),
        (b"", "not the TA's"),
    ):
        lying = Swapping(clean.session, lie)
        owner = Owner(lying, Share(machine.share), wanted, TRUST)  # type: ignore[arg-type]
        with pytest.raises(DescriptionError, match=said):
            owner.prepare("stored-keys")
    good = Owner(clean.session, Share(machine.share), wanted, TRUST)
    described = good.prepare("stored-keys")
    assert described is not None and described.digest.hex() == sha256(MODEL.read_bytes())


# Over reboots, and what a storage folder may be turned into --------------------------------------


def keep(device: VaultDevice, *made: bytes) -> None:
    """Model keys, in one session."""
    with device.session("keep") as session:
        ta = TRUST.keys_of(session)
        challenge = ta.challenge
        for key in made:
            path = device.share.put(keys.wrap(key, keys.Slot.STORED, ta.wrapping, challenge), "key")
            try:
                challenge = session.provision("stored", path)
            finally:
                device.share.drop(path)


def load(device: VaultDevice, sealed: bytes) -> bytes | None:
    """In a session that has no key."""
    with device.session("load") as session:
        path = device.share.put(sealed, "model")
        try:
            session.load_model(path)
        finally:
            device.share.drop(path)
        return session.info().model_digest


@pytest.fixture(scope="module")
def device(make_device: MakeDevice) -> VaultDevice:
    return make_device("stored-keys").up()


def test_keys_stay_and_storage_does_not_go_back(device: VaultDevice) -> None:
    first, second = os.urandom(32), os.urandom(32)
    model = sealed_file.seal_model(first, MODEL.read_bytes()).data
    keep(device, first)
    device.down()
    device.up()
    assert load(device, model) == bytes.fromhex(sha256(MODEL.read_bytes()))
    seen = [path for path in device.storage.rglob("*") if path.is_file()]
    seen += [device.machine.folder.log(world) for world in World]
    assert len(seen) > 3 and not [path for path in seen if first in path.read_bytes()]
    yesterday = device.machine.folder.path / "yesterday"
    shutil.copytree(device.storage, yesterday)
    before = {path.name: path.read_bytes() for path in device.storage.glob("[0-9]*")}
    with device.session() as session:
        session.forget(key_id(first))
    keep(device, second)
    # The removed key does not come back with the folder that had it, nor by its object alone.
    with device.put_right_after(), device.session() as session:
        device.restore(yesterday)
        assert refused(session.stored_keys) == "STORAGE_DAMAGED"
    (changed,) = (name for name in before if (device.storage / name).read_bytes() != before[name])
    with device.put_right_after(), device.session() as session:
        (device.storage / changed).write_bytes(bytes(byte ^ 1 for byte in before[changed]))
        for _ in range(2):
            assert refused(session.stored_keys) == "STORAGE_DAMAGED"
        path = device.share.put(model, "model")
        assert refused(lambda: session.load_model(path)) == "STORAGE_DAMAGED"
        device.share.drop(path)
    # A start with such a folder: tests/e2e/test_vault.py, whose record this is.
    assert refused(lambda: load(device, model)) == "KEY_MISSING"
    with device.session() as session:
        assert session.stored_keys() == [key_id(second)]


def test_versions_of_the_vault_hold_for_kept_keys(device: VaultDevice) -> None:
    """Which key opens it does not matter: what was replaced does not come back."""
    key, plain = os.urandom(32), SINE.read_bytes()
    keep(device, key)
    device.push(Model("sine", plain, key, version=2))
    old, new, other = (
        sealed_file.seal_model(key, plain, name=name, version=version).data
        for name, version in (("sine", 1), ("sine", 3), ("another", 1))
    )
    assert refused(lambda: load(device, old)) == "MODEL_ROLLBACK"
    for allowed in (new, other):
        assert load(device, allowed) == bytes.fromhex(sha256(plain))
    with device.session() as session:
        session.forget(key_id(key))
    # The vault's own copy of the key is for the vault's own file.
    assert refused(lambda: load(device, new)) == "MODEL_OTHER_FILE"
    assert refused(lambda: load(device, other)) == "KEY_MISSING"


def test_no_more_keys_than_there_is_room_for(device: VaultDevice) -> None:
    with device.session() as session:
        there = session.stored_keys()
    made = [os.urandom(32) for _ in range(STORED_KEYS_MAX_COUNT - len(there))]
    # One that is there needs no room.
    keep(device, *made, made[3])
    assert refused(lambda: keep(device, os.urandom(32))) == "KEY_STORE_FULL"
    with device.session() as session:
        assert session.stored_keys() == [*there, *map(key_id, made)]
        session.forget(key_id(made[5]))
    keep(device, os.urandom(32))
    assert refused(lambda: keep(device, made[5])) == "KEY_STORE_FULL"


# A TA that seals ----------------------------------------------------------------------------------


def symbols(elf: Path) -> set[str]:
    listed = subprocess.run(
        [f"{recipe.CROSS}nm", elf], capture_output=True, text=True, check=True, timeout=60
    )
    return {line.split()[-1] for line in listed.stdout.splitlines() if line}


HELPER = {
    *("cml_sealer_new", "cml_sealer_push", "cml_sealer_finish", "cml_sealer_free"),
    *("cml_cmd_encrypt_begin", "cml_cmd_encrypt_push", "cml_cmd_encrypt_finish"),
}


def build(*, encrypt_model: bool) -> Path:
    """The .ta file."""
    folder = recipe.inference_ta(SilentProgress(), encrypt_model=encrypt_model)
    return folder / f"{TA_UUID}.ta"


def test_production_builds_have_no_helper() -> None:
    absent, present = (symbols(build(encrypt_model=on).with_suffix(".elf")) for on in (False, True))
    assert not {name for name in absent if name.startswith(("cml_sealer", "cml_cmd_encrypt"))}
    assert present >= HELPER
    # Both are whole: what is left out is this and nothing else.
    assert "cml_stream_push" in absent and "TA_InvokeCommandEntryPoint" in absent


def test_production_builds_say_so(machine: Machine, tmp_path: Path) -> None:
    commands = (Command.ENCRYPT_BEGIN, Command.ENCRYPT_PUSH, Command.ENCRYPT_FINISH)
    with TEEContext(machine) as context, context.open_session(TA_UUID) as session:
        for command in commands:
            for params in ((), (MemrefIn(bytes(72)), MemrefOut(40))):
                with pytest.raises(Exception, match="0x80c4001a|ENCRYPT_ABSENT"):
                    session.invoke(command, params)
    assert ERROR_BASE + Status.ENCRYPT_ABSENT == 0x80C4001A
    asked = ("encrypt-model", "--input", MODEL, "--output", tmp_path / "m", "--json")
    failed(run_sandbox(*asked, "--in-ta", "--key-id", "00" * 16), "ENCRYPT_ABSENT")
    assert not (tmp_path / "m").exists()


@contextlib.contextmanager
def sealing_ta(guest: Guest) -> Iterator[None]:
    """New sessions are with the TA of `sandbox up --encrypt-model`."""
    genuine = guest.get(TA_FILE)
    guest.put(TA_FILE, build(encrypt_model=True).read_bytes(), 0o444)
    try:
        yield
    finally:
        guest.put(TA_FILE, genuine, 0o444)


def test_what_the_ta_seals_opens_everywhere(
    machine: Machine, guest: Guest, clean: Client, sealed: tuple[Path, Path], tmp_path: Path
) -> None:
    key, by_owner = sealed
    identity = key_id(key.read_bytes())
    store(clean, key.read_bytes())
    values = tmp_path / "reference.json"
    made = run_sandbox("reference-values", "--encrypt-model", "--out", values)
    assert made.status == 0, made.stderr
    output = tmp_path / "in_ta.sealed"
    asked = ("encrypt-model", "--input", MODEL, "--output", output, "--in-ta", "--json")
    asked = (*asked, "--key-id", identity.hex(), "--name", "digits")
    reference = ("--reference", values)
    with sealing_ta(guest):
        # It is other code: it gets no key by default, and has none of what the other keeps.
        failed(run_sandbox("store-key", "--key-file", key, "--json"), "MeasurementRefused")
        assert run_sandbox("store-key", "--list", "--json").json == {"keys": []}
        failed(run_sandbox(*asked, *reference), "KEY_UNKNOWN")
        assert run_sandbox("store-key", "--key-file", key, *reference).status == 0
        ran = run_sandbox(*asked, *reference)
        assert ran.status == 0, ran.stderr
        assert run_sandbox("store-key", "--remove", identity.hex()).status == 0
    in_ta = output.read_bytes()
    assert sealed_file.open_model(key.read_bytes(), in_ta) == MODEL.read_bytes()
    # But for salt, prefix and what follows from them, it is as its owner would have sealed it.
    owned = by_owner.read_bytes()
    assert in_ta[:73] == owned[:73] and len(in_ta) == len(owned) and in_ta != owned
    # And the production TA takes it.
    clean.load_bytes(in_ta)
    digest = clean.session.info().model_digest
    assert digest is not None and digest.hex() == sha256(MODEL.read_bytes())


def encrypt(session: Session, share: Share, plain: bytes) -> bytes:
    request, answer = share.put(plain, "plain"), share.new_path("sealed")
    try:
        session.encrypt(request, answer)
        return share.take(answer, 1 << 20)
    finally:
        share.drop(request)
        share.drop(answer)


def test_what_the_sealing_ta_refuses(machine: Machine, guest: Guest) -> None:
    share = Share(machine.share)
    key = os.urandom(32)
    good = sealed_file.seal_model(key, bytes(100_000), name="m").header.pack()
    with sealing_ta(guest), Session(Machine.service(guest), GUEST_SHARE) as session:
        session.attach("sealing")
        ta = TRUST.keys_of(session)
        path = share.put(keys.wrap(key, keys.Slot.STORED, ta.wrapping, ta.challenge), "key")
        session.provision("stored", path)
        share.drop(path)
        for request, status in (
            (b"", "HEADER_MALFORMED"),
            (good[:-1], "HEADER_MALFORMED"),
            (good + bytes(99_999), "STREAM_LENGTH"),
            (good + bytes(100_001), "STREAM_LENGTH"),
            (good[:8] + bytes(16) + good[24:] + bytes(100_000), "KEY_UNKNOWN"),
        ):
            assert refused(lambda request=request: encrypt(session, share, request)) == status
        made = encrypt(session, share, good + bytes(100_000))
        assert sealed_file.open_model(key, made) == bytes(100_000)
        session.forget(key_id(key))
        session.close_session("sealing")


def test_up_has_a_ta_that_seals_when_asked_to(machine: Machine) -> None:
    """Of a machine that is up, the option says what it is, or is refused."""
    assert json.loads(run_sandbox("status", "--json").stdout)["encrypt_model"] is False
    failed(run_sandbox("up", "--encrypt-model", "--json"), "UserError")
