# SPDX-License-Identifier: Apache-2.0
"""The owners' side of one TA session: keys and a model go in, then requests and their results."""

import functools
import hashlib
import itertools
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey as PublicKey

from sandbox import paths
from sandbox.errors import GuestError, SandboxError, UserError
from sandbox.owner import keys, results, sealed_file
from sandbox.owner.description import Description, open_description
from sandbox.owner.results import Result, TensorResult
from sandbox.owner.sealed_file import Header, Sealed, SealedFileError
from sandbox.owner.service import Session
from sandbox.owner.share import Share
from sandbox.tee_abi import MODEL_SOURCE_BYTES, TENSORS_MAX_BYTES, Kind

RESULT_MAX_BYTES = 1 << 16


@dataclass(frozen=True)
class Model:
    """A model and the key of the one who owns it."""

    name: str
    data: bytes
    key: bytes
    version: int = 1

    @functools.cached_property
    def digest(self) -> bytes:
        return hashlib.sha256(self.data).digest()

    @functools.cached_property
    def sealed(self) -> bytes:
        """Once: sessions that send the same sealed file share the model in secure memory."""
        name = sealed_file.name_from(self.name)
        return sealed_file.seal_model(self.key, self.data, name=name, version=self.version).data


class OtherDevice(GuestError):
    """The evidence is of another device than the normal world had named, or than was expected."""


class NotStored(UserError):
    """The device's vault has not the model that its owner has put there."""


@dataclass(frozen=True)
class StoredModel:
    """A model in a device's vault, as its owner knows it."""

    name: str
    version: int
    digest: bytes
    device: UUID


@dataclass(frozen=True)
class SealedModel:
    """A model's sealed file. Without its key, the device has to keep that."""

    name: str
    data: bytes
    key: bytes | None = None

    def __post_init__(self) -> None:
        header = Header.unpack(self.data)
        if header.kind is not Kind.MODEL:
            raise SealedFileError(f"{self.name} is a sealed {header.kind.name.lower()}, no model")
        if self.key is not None and sealed_file.key_id(self.key) != header.key_id:
            raise SealedFileError(
                f"{self.name} is sealed with another key: {header.key_id.hex()} is its id",
                "Name the file of that key.",
            )

    @functools.cached_property
    def header(self) -> Header:
        return Header.unpack(self.data)


def owners_key() -> bytes:
    """The key that this user has as an owner of models."""
    return keys.kept_key(paths.state_dir() / "owners" / "model.key")


def owned_model(path: Path) -> Model:
    return Model(path.stem, read(path), owners_key())


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error


class _Timer:
    """Notes how long each part took."""

    def __init__(self, into: dict[str, float]) -> None:
        self._into = into
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self._into[name] = (now - self._last) * 1000
        self._last = now


@dataclass(frozen=True)
class TaKeys:
    """What the owners need to know of a TA, and believe."""

    wrapping: PublicKey
    signing: PublicKey
    challenge: bytes  # of the session, for the next key
    device: UUID
    code: bytes | None  # its measurement; None: nobody has judged it

    def expect_device(self, device: UUID) -> None:
        if self.device != device:
            raise OtherDevice(
                f"the TA is on device {self.device}, and not on {device}",
                "The normal world named another device, or leads to another.",
            )


class Trust(Protocol):
    """Decides whether the TA at the other end gets anything."""

    def keys_of(self, session: Session) -> TaKeys:
        """Raises a SandboxError if it does not."""

    def check_model(self, digest: bytes) -> None:
        """Raises a SandboxError if no photo is to be seen by this model."""


class Client:
    """One session of the TA, and the owners' side of it."""

    def __init__(
        self,
        session: Session,
        share: Share,
        model: Model | StoredModel | SealedModel,
        trust: Trust,
        *,
        workers: int = 0,
    ) -> None:
        """`workers`: how many cores may work on one photo; 0: all."""
        self._session = session
        self._trust = trust
        self._workers = workers
        self._share = share
        self._model = model
        # Of a sealed model the TA says it, signed.
        self._digest = b"" if isinstance(model, SealedModel) else model.digest
        # Fresh for each session: what was sealed for another opens with no key of this one.
        self._data_key = keys.new_key()
        self._sequence = itertools.count(1)
        self._signer: PublicKey | None = None

    def prepare(self, name: str) -> Description | None:
        """What the TA says of a sealed model; of others, nothing that is not known."""
        if not isinstance(self._model, SealedModel):
            self._trust.check_model(self._model.digest)
        info = self._session.attach(name)
        self._session.workers(self._workers)
        ta = self._trusted(name)
        self._provision(keys.Slot.DATA, self._data_key, ta)
        if isinstance(self._model, SealedModel):
            if self._model.key is not None:
                ta = self._trusted(name)
                self._provision(keys.Slot.MODEL, self._model.key, ta)
            return self._load_sealed(self._model, ta)
        if info.model_digest == self._model.digest:
            return None
        if isinstance(self._model, StoredModel):
            self._load_stored(self._model)
            return None
        # Judged again: the challenge that the normal world tells now may be another session's.
        self._provision(keys.Slot.MODEL, self._model.key, self._trusted(name))
        self._load(self._model.sealed)
        return None

    def _load(self, sealed: bytes) -> None:
        path = self._share.put(sealed, "model")
        try:
            self._session.load_model(path)
        finally:
            self._share.drop(path)

    def _trusted(self, name: str) -> TaKeys:
        """The TA as it is judged now; for one key."""
        try:
            ta = self._trust.keys_of(self._session)
            if isinstance(self._model, StoredModel):
                ta.expect_device(self._model.device)
        except SandboxError:
            # The next one is to meet the TA that is there then, and not this one again.
            self._session.close_session(name)
            raise
        self._signer = ta.signing
        return ta

    def _load_sealed(self, model: SealedModel, ta: TaKeys) -> Description:
        self._load(model.data)
        source = model.data[:MODEL_SOURCE_BYTES]
        description = open_description(self._session.describe(), ta.signing, source)
        self._trust.check_model(description.digest)
        self._digest = description.digest
        return description

    def _load_stored(self, model: StoredModel) -> None:
        """What the normal world tells is tried, and what came of it is looked at."""
        told = self._session.models()
        found = next((one for one in told if one.digest == model.digest), None)
        if found is None:
            names = ", ".join(f"{one.name} version {one.version}" for one in told) or "nothing"
            raise NotStored(
                f"{model.name}, version {model.version}, is not in the device's vault: {names} is",
                "`sandbox model push` puts it there.",
            )
        if self._session.load_stored(found.file) != model.digest:
            raise NotStored(f"the vault's file of {model.name} holds another model")

    def _provision(self, slot: keys.Slot, key: bytes, to: TaKeys) -> None:
        path = self._share.put(keys.wrap(key, slot, to.wrapping, to.challenge), "key")
        try:
            self._session.provision(slot.name.lower(), path)
        finally:
            self._share.drop(path)

    def detect(self, photo: bytes, threshold: float, timings_ms: dict[str, float]) -> Result:
        timer = _Timer(timings_ms)
        sealed = sealed_file.seal_photo(
            self._data_key,
            photo,
            score_threshold=threshold,
            sequence=next(self._sequence),
            model_digest=self._digest,
        )
        answer = self._ask(sealed, RESULT_MAX_BYTES, timer)
        result = results.open_result(self._data_key, sealed, answer, self._signer)
        self._note(result.timings_us, timer, timings_ms)
        return result

    def run(self, inputs: bytes, timings_ms: dict[str, float]) -> TensorResult:
        """`inputs`: all of the model's, in its order, one after another."""
        timer = _Timer(timings_ms)
        sealed = sealed_file.seal_tensors(
            self._data_key,
            inputs,
            sequence=next(self._sequence),
            model_digest=self._digest,
        )
        answer = self._ask(sealed, TENSORS_MAX_BYTES + RESULT_MAX_BYTES, timer)
        result = results.open_tensor_result(self._data_key, sealed, answer, self._signer)
        self._note(result.timings_us, timer, timings_ms)
        return result

    def _ask(self, sealed: Sealed, limit: int, timer: _Timer) -> bytes:
        """The sealed result of at most `limit` bytes."""
        request = self._share.put(sealed.data, "request")
        answer = self._share.new_path("result")
        try:
            timer.lap("seal")
            self._session.infer(request, answer)
            timer.lap("service")
            return self._share.take(answer, limit)
        finally:
            self._share.drop(request)
            self._share.drop(answer)

    def _note(
        self, timings_us: Mapping[str, int], timer: _Timer, timings_ms: dict[str, float]
    ) -> None:
        timer.lap("open")
        for name, microseconds in timings_us.items():
            timings_ms[name.removesuffix("_us")] = microseconds / 1000
