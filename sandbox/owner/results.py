# SPDX-License-Identifier: Apache-2.0
"""Results: a CBOR map, signed and sealed, opened and checked by the data owner."""

import dataclasses
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeVar
from uuid import UUID

import cbor2
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey as PublicKey

from sandbox.errors import GuestError
from sandbox.owner import cose
from sandbox.owner.sealed_file import KEY_BYTES, Sealed, derive
from sandbox.tee_abi import RequestFlag

_NONSENSE = (KeyError, TypeError, ValueError, IndexError, cbor2.CBORDecodeError)


class ResultError(GuestError):
    """A result that does not open, is for another request, or makes no sense."""


def _check_version(version: object) -> None:
    if version != 2:
        raise ResultError(f"result of version {version!r}; this client knows 2")


@dataclass(frozen=True)
class Origin:
    """Which request a result is of, and who computed it with what."""

    request_digest: bytes
    sequence: int
    model_name: str
    model_version: int
    model_digest: bytes
    output_digest: bytes  # SHA-256 over all output tensors
    device: UUID
    ta_version: str
    counter: int  # no two under one signing key are the same; higher is later in its session

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Self:
        _check_version(fields["v"])
        model = fields["model"]
        origin = cls(
            fields["request"],
            fields["sequence"],
            model["name"],
            model["version"],
            model["digest"],
            fields["output"],
            UUID(bytes=fields["device"]),
            fields["ta"],
            fields["counter"],
        )
        kinds = (bytes, int, str, int, bytes, bytes, UUID, str, int)
        values = (getattr(origin, field.name) for field in dataclasses.fields(origin))
        for value, kind in zip(values, kinds, strict=True):
            if type(value) is not kind:
                raise TypeError(f"{value!r} is no {kind.__name__}")
        return origin


@dataclass(frozen=True)
class Detection:
    label: str
    class_id: int
    score: float
    # x1, y1, x2, y2 in pixels of the photo as displayed
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Result:
    origin: Origin
    width: int
    height: int
    timings_us: dict[str, int]
    detections: tuple[Detection, ...]

    @classmethod
    def from_cbor(cls, data: bytes) -> Self:
        try:
            # Zeros follow the map, which hide how long it is.
            fields: dict[str, Any] = cbor2.load(io.BytesIO(data))
            detections = tuple(
                Detection(label, class_id, score, (box[0], box[1], box[2], box[3]))
                for label, class_id, score, box in fields["detections"]
            )
            return cls(
                Origin.from_fields(fields),
                fields["width"],
                fields["height"],
                dict(fields["timings"]),
                detections,
            )
        except _NONSENSE as error:
            raise ResultError(f"result is not what docs/wire-formats.md says: {error!r}") from error


@dataclass(frozen=True)
class Output:
    """One output tensor as the TA describes it; `data` in the order of TFLite, little endian."""

    type: int  # tflite::TensorType
    dims: tuple[int, ...]
    scale: float  # 0: not quantised
    zero_point: int
    data: bytes


@dataclass(frozen=True)
class TensorResult:
    origin: Origin
    timings_us: dict[str, int]
    outputs: tuple[Output, ...]

    @classmethod
    def from_cbor(cls, data: bytes) -> Self:
        try:
            fields: dict[str, Any] = cbor2.loads(data)
            outputs = tuple(
                Output(
                    output["type"],
                    tuple(output["dims"]),
                    output["scale"],
                    output["zero_point"],
                    output["data"],
                )
                for output in fields["outputs"]
            )
            return cls(
                Origin.from_fields(fields),
                dict(fields["timings"]),
                outputs,
            )
        except _NONSENSE as error:
            raise ResultError(f"result is not what docs/wire-formats.md says: {error!r}") from error


def open_result(
    key: bytes, request: Sealed, sealed_result: bytes, signer: PublicKey | None
) -> Result:
    """`key` is the data key that `request` was sealed with; any other pairing is refused.

    `signer`: the TA's signing key, as its evidence has it; for a request whose result is signed.
    """
    return _checked(Result.from_cbor(_open(key, request, sealed_result, signer)), request)


def open_tensor_result(
    key: bytes, request: Sealed, sealed_result: bytes, signer: PublicKey | None
) -> TensorResult:
    """The same for a request of tensors."""
    return _checked(TensorResult.from_cbor(_open(key, request, sealed_result, signer)), request)


def _open(key: bytes, request: Sealed, sealed_result: bytes, signer: PublicKey | None) -> bytes:
    flags = RequestFlag(request.header.flags)
    if RequestFlag.SIGNED in flags and signer is None:
        raise ValueError("a signed result needs the key that it is checked with")
    result_key = derive(key, b"cml-result-v1", KEY_BYTES)
    try:
        return cose.open_result(
            sealed_result,
            key=None if RequestFlag.CLEAR in flags else result_key,
            signer=signer if RequestFlag.SIGNED in flags else None,
            external_aad=request.digest,
        )
    except cose.CoseError as error:
        raise ResultError(
            f"the sealed result does not open: {error.message}",
            "It was altered, or belongs to another request.",
        ) from error


_AnyResult = TypeVar("_AnyResult", Result, TensorResult)


def _checked(result: _AnyResult, request: Sealed) -> _AnyResult:
    origin, header = result.origin, request.header
    # What follows from the keys already: said again by whoever holds them.
    if (origin.request_digest, origin.sequence) != (request.digest, header.number):
        raise ResultError("the result names another request than the one it was sealed for")
    if origin.model_digest != header.subject:
        raise ResultError("the result was made with another model than the request names")
    return result
