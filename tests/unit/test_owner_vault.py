# SPDX-License-Identifier: Apache-2.0
"""What an owner keeps of models that were pushed, and what the normal world may tell of them."""

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from test_owner_service import GOOD, Says

from sandbox.__main__ import main
from sandbox.commands.trust import Believed
from sandbox.errors import GuestError, UserError
from sandbox.owner.client import Client, Model, NotStored, StoredModel
from sandbox.owner.service import Session, Stored
from sandbox.owner.share import Share
from sandbox.owner.vault import NotInVault, Record

DEVICE = UUID("00010203-0405-0607-0809-0a0b0c0d0e0f")
DIGEST = bytes(range(32))
ENTRY: dict[str, Any] = {
    "name": "door",
    "version": 3,
    "digest": DIGEST.hex(),
    "size": 1000,
    "active": True,
    "key_id": "ab" * 16,
    "file": "cd" * 32,
}


def says(*entries: object) -> Session:
    return Session(Says(json.dumps({"ok": True, "vault": "00", "models": entries})), "/mnt/share")


def test_what_is_told_is_read() -> None:
    assert says(ENTRY).models() == [Stored("door", 3, DIGEST, 1000, True, b"\xab" * 16, "cd" * 32)]


@pytest.mark.parametrize(
    "entry",
    [
        5,
        "door",
        {},
        {**ENTRY, "name": "\x1b[31m"},
        {**ENTRY, "name": 5},
        {**ENTRY, "version": "3"},
        {**ENTRY, "version": True},
        {**ENTRY, "digest": "zz"},
        {**ENTRY, "size": None},
        {**ENTRY, "active": 1},
        {**ENTRY, "file": "../../etc/passwd"},
    ],
)
def test_nonsense_that_is_told_is_the_guests_error(entry: object) -> None:
    with pytest.raises(GuestError):
        says(entry).models()


def test_a_record_is_what_was_saved() -> None:
    record = Record.load(DEVICE)
    assert (record.models, record.active) == ({}, None)
    door = StoredModel("door", 3, DIGEST, DEVICE)
    made = Record.update(DEVICE, lambda record: record.with_model(door))
    assert Record.load(DEVICE) == made
    assert made.expected("door") == made.expected(None) == door
    assert str(DEVICE) in made.path.name
    assert stat.S_IMODE(made.path.parent.stat().st_mode) == 0o700
    assert [path.name for path in made.path.parent.iterdir()] == [made.path.name]
    # Another device's is another.
    assert Record.load(UUID(int=1)).models == {}


def test_what_is_active_goes_with_its_model() -> None:
    door, window = (StoredModel(name, 1, DIGEST, DEVICE) for name in ("door", "window"))
    record = Record.load(DEVICE).with_model(door).with_model(window)
    assert record.active == "door"
    assert record.without("window").active == "door"
    assert record.without("door").active is None
    assert record.with_active("window").without("door").active == "window"


def test_processes_that_push_at_once_lose_nothing() -> None:
    def note(index: int) -> None:
        model = StoredModel(f"m{index}", 1, DIGEST, DEVICE)
        Record.update(DEVICE, lambda record: record.with_model(model))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(note, range(16)))
    assert set(Record.load(DEVICE).models) == {f"m{index}" for index in range(16)}


def test_what_is_not_in_the_record_is_not_expected() -> None:
    record = Record.load(DEVICE)
    with pytest.raises(NotInVault, match="active"):
        record.expected(None)
    with pytest.raises(NotInVault, match="'door'"):
        record.expected("door")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": 2}', '{"format": 1, "models": [5], "active": null}']
)
def test_a_damaged_record_is_no_empty_one(text: str) -> None:
    path = Record.update(DEVICE, lambda record: record).path
    path.write_text(text)
    with pytest.raises(UserError, match=str(path)):
        Record.load(DEVICE)


def test_a_version_is_above_the_last_if_the_content_is_another() -> None:
    record = Record.load(DEVICE)
    model = Model("door", b"content", bytes(32))
    assert record.version_for(model) == 1
    same = record.with_model(StoredModel("door", 4, model.digest, DEVICE))
    assert same.version_for(model) == 4
    assert same.version_for(Model("door", b"other", bytes(32))) == 5
    assert same.version_for(Model("window", b"other", bytes(32))) == 1


class Told:
    """A session whose normal world tells and serves what it likes."""

    def __init__(self, models: list[Stored], digest: bytes) -> None:
        self._models = models
        self._digest = digest

    def models(self) -> list[Stored]:
        return self._models

    def load_stored(self, file: str) -> bytes:
        return self._digest


@pytest.mark.parametrize(
    ("digest", "served"), [(bytes(32), bytes(32)), (DIGEST, bytes(32))], ids=["older", "other"]
)
def test_what_its_owner_did_not_push_is_not_used(
    digest: bytes, served: bytes, tmp_path: Path
) -> None:
    told = Stored("door", 3, digest, 1000, True, b"\xab" * 16, "cd" * 32)
    expected = StoredModel("door", 3, DIGEST, DEVICE)
    session: Any = Told([told], served)
    with pytest.raises(NotStored, match="door"):
        Client(session, Share(tmp_path), expected, Believed())._load_stored(expected)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["model", "push", "m.tflite", "--version", "0"], "from 1 to 2^64 - 1"),
        (["model", "push", "m.tflite", "--version", str(1 << 64)], "from 1 to 2^64 - 1"),
    ],
)
def test_versions_out_of_range_are_refused(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["model", "push", "m.tflite", "--name", "a/b"], "'a/b' is no name for a model"),
        (["model", "remove", "x" * 33], "is no name for a model"),
        (["model", "activate", ""], "is no name for a model"),
        (["detect", "PHOTO", "--model", "m.tflite", "--vault"], "--model and --vault"),
    ],
)
def test_what_no_machine_needs_to_be_asked(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = tmp_path / "photo.jpg"
    photo.touch()
    assert main([str(photo) if word == "PHOTO" else word for word in words]) == 2
    assert said in capsys.readouterr().err


def test_requests_of_the_vault() -> None:
    lines = Says(json.dumps({**GOOD, "digest": DIGEST.hex()}))
    session = Session(lines, "/mnt/share")
    session.store(Path("/anywhere/model"))
    session.remove("door")
    session.activate("door")
    assert session.load_stored("cd" * 32) == DIGEST
    assert lines.heard == [
        "store /mnt/share/model",
        "remove door",
        "activate door",
        f"vault {'cd' * 32}",
    ]
