# SPDX-License-Identifier: Apache-2.0
"""What a loaded model takes, as the TA signs it (docs/wire-formats.md, ta/core/describe.h)."""

from dataclasses import dataclass
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey as PublicKey

from sandbox.errors import GuestError
from sandbox.owner import cose
from sandbox.owner.sealed_file import DIGEST_BYTES

_PURPOSE = b"cml-model-v1"
_VERSION = 1
_RANK_MAX = 8


class DescriptionError(GuestError):
    """A model's description is not the TA's, is of another file, or makes no sense."""


@dataclass(frozen=True)
class Input:
    type: int  # tflite::TensorType
    dims: tuple[int, ...]
    scale: float  # 0: not quantised
    zero_point: int

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> "Input":
        made = cls(fields["type"], tuple(fields["dims"]), fields["scale"], fields["zero_point"])
        numbers = (made.type, made.zero_point, *made.dims)
        if any(type(value) is not int for value in numbers) or type(made.scale) is not float:
            raise TypeError(f"{fields!r}")
        if len(made.dims) > _RANK_MAX or any(size < 1 for size in made.dims):
            raise ValueError(f"{made.dims}")
        return made


@dataclass(frozen=True)
class Description:
    digest: bytes  # SHA-256 of the model
    inputs: tuple[Input, ...]


def open_description(message: bytes, signer: PublicKey, source: bytes) -> Description:
    """`source`: header and stream header of the sealed file that was to be loaded."""
    try:
        payload = cose.verify1(message, signer, _PURPOSE).payload
    except cose.CoseError as error:
        raise DescriptionError(
            f"the model's description is not the TA's: {error.message}",
            "It was altered, or another key has signed it.",
        ) from error
    try:
        fields: dict[str, Any] = cbor2.loads(payload)
        if fields["v"] != _VERSION:
            raise ValueError(f"version {fields['v']!r}")
        loaded, digest = fields["source"], fields["digest"]
        if type(digest) is not bytes or len(digest) != DIGEST_BYTES:
            raise ValueError("no digest")
        inputs = tuple(Input.from_fields(each) for each in fields["inputs"])
    except (KeyError, TypeError, ValueError, cbor2.CBORDecodeError) as error:
        raise DescriptionError(
            f"the model's description is not what docs/wire-formats.md says: {error!r}"
        ) from error
    if loaded != source:
        raise DescriptionError(
            "the model that is loaded came in another sealed file",
            "The normal world has loaded something else: nothing was sent to it.",
        )
    return Description(digest, inputs)
