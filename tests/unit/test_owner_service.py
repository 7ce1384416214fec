# SPDX-License-Identifier: Apache-2.0
"""The other end of the line protocol is the normal world: it may say anything."""

import json
from typing import Any

import pytest

from sandbox.errors import GuestError, SandboxError
from sandbox.owner.service import InputRefused, Session, TaError


class Says:
    """A client application that answers each request with the same line."""

    def __init__(self, line: str) -> None:
        self.line = line
        self.heard: list[str] = []

    def send(self, line: str) -> None:
        self.heard.append(line)

    def receive(self, timeout_s: float) -> str:
        return self.line

    def close(self) -> None:
        pass


GOOD: dict[str, Any] = {
    "ok": True,
    "version": "0.1.0",
    "device": "000102030405060708090a0b0c0d0e0f",
    "challenge": "ab" * 16,
    "data_key_id": None,
    "model_key_id": None,
    "model": None,
    "cpu": ["neon"],
    "memory": {"used": 1, "peak": 2},
}


def test_info_is_read() -> None:
    info = Session(Says(json.dumps(GOOD)), "/mnt/share").attach("name")
    assert info.challenge == b"\xab" * 16
    assert (info.model_digest, info.memory_peak_bytes) == (None, 2)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "null",
        "5",
        "[]",
        "{}",
        "not json",
        '"ok"',
        "[" * 100_000,
        '{"ok": false}',
        '{"ok": true}',
        json.dumps({**GOOD, "challenge": 5}),
        json.dumps({**GOOD, "challenge": "zz"}),
        json.dumps({**GOOD, "model": 5}),
        json.dumps({**GOOD, "memory": None}),
    ],
)
def test_nonsense_is_the_guests_error(line: str) -> None:
    with pytest.raises(GuestError):
        Session(Says(line), "/mnt/share").attach("name")


@pytest.mark.parametrize(
    ("error", "kind"),
    [("JPEG_CORRUPT", InputRefused), ("STREAM_TRUNCATED", TaError), ("CA_BUSY", TaError)],
)
def test_errors_keep_their_names(error: str, kind: type[SandboxError]) -> None:
    with pytest.raises(kind) as caught:
        Session(Says(json.dumps({"ok": False, "error": error})), "/mnt/share").attach("name")
    assert caught.value.name == error


def test_what_is_said_cannot_steer_the_terminal() -> None:
    said = {"ok": False, "error": "X\x1b[2J", "message": "\x07" * 10_000, "origin": "\u202e"}
    with pytest.raises(TaError) as caught:
        Session(Says(json.dumps(said)), "/mnt/share").attach("name")
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 2000
