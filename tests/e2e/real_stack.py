# SPDX-License-Identifier: Apache-2.0
"""What the tests on the real stack share: the command line, and the owners' side step by step."""

import hashlib
import itertools
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cbor2

from sandbox.commands.trust import Believed
from sandbox.owner import cose, keys, sealed_file
from sandbox.owner.results import Result, open_result
from sandbox.owner.sealed_file import Sealed
from sandbox.owner.service import Session, TaInfo
from sandbox.owner.share import Share
from sandbox.tee import MemrefIn, MemrefOut, ValueIn
from sandbox.tee import Session as TEESession
from sandbox.tee_abi import INFO_MAX_BYTES, Command, OwnKey

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "fixtures/models/ssdlite_mobilenet_v2_coco80_204_int8.tflite"
RESULT_MAX_BYTES = 1 << 16


@dataclass(frozen=True)
class Ran:
    status: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)

    @property
    def json_lines(self) -> list[Any]:
        return [json.loads(line) for line in self.stdout.splitlines()]


def run_sandbox(*args: str | os.PathLike[str], timeout_s: float = 600.0) -> Ran:
    """The console script, as a user runs it."""
    done = subprocess.run(
        [sys.executable, "-m", "sandbox", *map(os.fspath, args)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def golden(name: str) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads((ROOT / "fixtures/golden" / f"{name}.json").read_text())
    return fields


class Client:
    """The owners' side of one TA session, step by step, for tests that go astray on purpose."""

    def __init__(self, session: Session, share: Share, name: str) -> None:
        self.session = session
        self.share = share
        self.data_key = keys.new_key()
        self.model_key = keys.new_key()
        self.sequence = itertools.count(1)
        # Of the model that its photos are for: the detector, until another is loaded.
        self.model_digest = hashlib.sha256(MODEL.read_bytes()).digest()
        self.info: TaInfo = session.attach(name)
        # What evidence is for is tested elsewhere: here the normal world's word is enough.
        keys_of_ta = Believed().keys_of(session)
        self.wrapping, self.signer = keys_of_ta.wrapping, keys_of_ta.signing
        self.challenge = keys_of_ta.challenge

    def wrap(self, key: bytes, slot: keys.Slot) -> bytes:
        """For this session, now."""
        return keys.wrap(key, slot, self.wrapping, self.challenge)

    def provision_bytes(self, slot: str, wrapped: bytes) -> None:
        path = self.share.put(wrapped, "key")
        try:
            self.challenge = self.session.provision(slot, path)
        finally:
            self.share.drop(path)

    def provision(self) -> None:
        for slot, key in ((keys.Slot.DATA, self.data_key), (keys.Slot.MODEL, self.model_key)):
            self.provision_bytes(slot.name.lower(), self.wrap(key, slot))

    def load_bytes(self, sealed: bytes) -> None:
        path = self.share.put(sealed, "model")
        try:
            self.session.load_model(path)
        finally:
            self.share.drop(path)

    def load(self, model: bytes | None = None) -> None:
        plain = MODEL.read_bytes() if model is None else model
        self.model_digest = hashlib.sha256(plain).digest()
        self.sealed_model = sealed_file.seal_model(self.model_key, plain).data
        self.load_bytes(self.sealed_model)

    def share_model(self, other: "Client") -> None:
        """Use what the other session has loaded: two models hardly fit beside one another."""
        self.model_key, self.model_digest = other.model_key, other.model_digest
        self.provision()
        self.load_bytes(other.sealed_model)

    def infer_bytes(self, sealed: bytes) -> bytes:
        """The sealed result."""
        request = self.share.put(sealed, "photo")
        answer = self.share.new_path("result")
        try:
            self.session.infer(request, answer)
            return self.share.take(answer, RESULT_MAX_BYTES)
        finally:
            self.share.drop(request)
            self.share.drop(answer)

    def seal(self, photo: bytes, *, score_threshold: float = 0.5) -> Sealed:
        return sealed_file.seal_photo(
            self.data_key,
            photo,
            score_threshold=score_threshold,
            sequence=next(self.sequence),
            model_digest=self.model_digest,
        )

    def seal_tensors(self, inputs: bytes) -> Sealed:
        return sealed_file.seal_tensors(
            self.data_key,
            inputs,
            sequence=next(self.sequence),
            model_digest=self.model_digest,
        )

    def infer(self, photo: bytes) -> Result:
        sealed = self.seal(photo)
        return open_result(self.data_key, sealed, self.infer_bytes(sealed.data), self.signer)

    def assert_works(self) -> None:
        """A good photo gives its golden result, in this very session."""
        result = self.infer((ROOT / "fixtures/photos/chelsea.jpg").read_bytes())
        assert result.origin.output_digest.hex() == golden("chelsea")["outputs_sha256"]


def provision(session: TEESession, slot: keys.Slot, key: bytes) -> None:
    """A key into a session of the TA itself, without the client application."""
    (info,) = session.invoke(Command.INFO, (MemrefOut(INFO_MAX_BYTES),))
    challenge = cbor2.loads(info.data)["challenge"]
    _, own = session.invoke(Command.OWN_KEY, (ValueIn(OwnKey.WRAPPING), MemrefOut(75)))
    message = keys.wrap(key, slot, cose.decode_key(own.data), challenge)
    session.invoke(Command.PROVISION_KEY, (ValueIn(slot), MemrefIn(message), MemrefOut(16)))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
