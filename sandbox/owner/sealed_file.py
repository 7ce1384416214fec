# SPDX-License-Identifier: Apache-2.0
"""Sealed files: a 72-byte header and a Tink stream (docs/wire-formats.md, ta/core/header.h)."""

import functools
import hashlib
import io
import re
import struct
from dataclasses import dataclass

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from tink import TinkError, proto_keyset_format, secret_key_access, streaming_aead
from tink.proto import aes_gcm_hkdf_streaming_pb2, common_pb2, tink_pb2

from sandbox.errors import UserError
from sandbox.tee_abi import (
    HEADER_BYTES,
    HEADER_FORMAT,
    HEADER_MAGIC,
    MODEL_MAX_BYTES,
    MODEL_NAME_MAX_BYTES,
    PHOTO_MAX_BYTES,
    TENSORS_MAX_BYTES,
    Kind,
    RequestFlag,
)

SIGNED = RequestFlag.SIGNED
KEY_BYTES = 32
KEY_ID_BYTES = 16
DIGEST_BYTES = 32
SEGMENT_BYTES = 65536

_HEADER = struct.Struct(HEADER_FORMAT)
_COPY_BYTES = 1 << 20
_MAX_BYTES = {
    Kind.PHOTO: PHOTO_MAX_BYTES,
    Kind.MODEL: MODEL_MAX_BYTES,
    Kind.TENSORS: TENSORS_MAX_BYTES,
}


class SealedFileError(UserError):
    """A file is no sealed file, or cannot be made one."""


def derive(key: bytes, info: bytes, length: int) -> bytes:
    """HKDF-SHA256 (RFC 5869) with an empty salt."""
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=info).derive(key)


def key_id(key: bytes) -> bytes:
    """Names a key without telling it; the TA computes the same."""
    return derive(key, b"cml-key-id-v1", KEY_ID_BYTES)


@dataclass(frozen=True)
class Header:
    """The associated data of the stream that follows it."""

    kind: Kind
    key_id: bytes
    # A model's version; of a request, its sequence number under its key.
    number: int
    plaintext_bytes: int
    # A model's name and zeros; of a request, SHA-256 of the model that may see it.
    subject: bytes
    score_threshold_permille: int = 0
    # Of a request: what its result is to be.
    flags: int = 0

    def pack(self) -> bytes:
        return _HEADER.pack(
            HEADER_MAGIC,
            self.kind,
            self.flags,
            self.score_threshold_permille,
            self.key_id,
            self.number,
            self.plaintext_bytes,
            self.subject,
        )

    @classmethod
    def unpack(cls, data: bytes) -> "Header":
        if len(data) < HEADER_BYTES or not data.startswith(HEADER_MAGIC):
            raise SealedFileError("not a sealed file: it does not begin with CML2")
        _, kind, flags, threshold, key, number, length, subject = _HEADER.unpack_from(data)
        if kind not in tuple(Kind) or flags & ~int(SIGNED | RequestFlag.CLEAR):
            raise SealedFileError(f"sealed file of an unknown kind ({kind}, {flags})")
        return cls(Kind(kind), key, number, length, subject, threshold, flags)


@functools.cache
def _register() -> None:
    streaming_aead.register()


def _primitive(key: bytes) -> streaming_aead.StreamingAead:
    _register()
    stream_key = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingKey(
        version=0,
        key_value=key,
        params=aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingParams(
            ciphertext_segment_size=SEGMENT_BYTES,
            derived_key_size=32,
            hkdf_hash_type=common_pb2.SHA256,
        ),
    )
    keyset = tink_pb2.Keyset(
        primary_key_id=1,
        key=[
            tink_pb2.Keyset.Key(
                key_data=tink_pb2.KeyData(
                    type_url="type.googleapis.com/google.crypto.tink.AesGcmHkdfStreamingKey",
                    value=stream_key.SerializeToString(),
                    key_material_type=tink_pb2.KeyData.SYMMETRIC,
                ),
                status=tink_pb2.ENABLED,
                key_id=1,
                output_prefix_type=tink_pb2.RAW,
            )
        ],
    )
    handle = proto_keyset_format.parse(keyset.SerializeToString(), secret_key_access.TOKEN)
    return handle.primitive(streaming_aead.StreamingAead)


class _KeptOpen(io.BytesIO):
    """Tink closes the file that it writes to; the bytes are still wanted then."""

    def close(self) -> None:
        pass


def seal_stream(key: bytes, associated: bytes, plain: bytes) -> bytes:
    """A Tink AES-GCM-HKDF stream of 64 KiB segments."""
    out = _KeptOpen()
    with _primitive(key).new_encrypting_stream(out, associated) as stream:
        for offset in range(0, len(plain), _COPY_BYTES):
            stream.write(plain[offset : offset + _COPY_BYTES])
    return out.getvalue()


def open_stream(key: bytes, associated: bytes, sealed: bytes) -> bytes:
    try:
        with _primitive(key).new_decrypting_stream(io.BytesIO(sealed), associated) as stream:
            return bytes(stream.read())
    except TinkError as error:
        raise SealedFileError(f"sealed stream does not open: {error}") from error


@dataclass(frozen=True)
class Sealed:
    """A sealed file in memory, and what a result for it is bound to."""

    header: Header
    stream: bytes

    @property
    def data(self) -> bytes:
        return self.header.pack() + self.stream

    @functools.cached_property
    def digest(self) -> bytes:
        """Names the request; what its result is bound to."""
        return hashlib.sha256(self.data).digest()


def _seal(header: Header, key: bytes, plain: bytes) -> Sealed:
    limit = _MAX_BYTES[header.kind]
    if not 1 <= header.number < 1 << 64:
        raise SealedFileError(f"{header.number} is not within 1 to 2^64 - 1")
    if len(header.subject) != DIGEST_BYTES:
        raise SealedFileError(f"a model's digest has 32 bytes, not {len(header.subject)}")
    if not 1 <= len(plain) <= limit:
        raise SealedFileError(
            f"a {header.kind.name.lower()} has 1 byte to {limit >> 20} MiB, not {len(plain)} bytes"
        )
    return Sealed(header, seal_stream(key, header.pack(), plain))


def seal_photo(
    key: bytes,
    jpeg: bytes,
    *,
    score_threshold: float,
    sequence: int,
    model_digest: bytes,
    flags: int = SIGNED,
) -> Sealed:
    """For the eyes of one model.

    `score_threshold`: detections below it are left out, 0.001 to 1. `sequence`: from 1, and higher
    than any before under this key. `flags`: what the result is to be, RequestFlag.
    """
    permille = round(score_threshold * 1000)
    if not 1 <= permille <= 1000:
        raise SealedFileError(f"score threshold {score_threshold} is not within 0.001 to 1")
    header = Header(
        Kind.PHOTO, key_id(key), sequence, len(jpeg), model_digest, permille, int(flags)
    )
    return _seal(header, key, jpeg)


def seal_tensors(
    key: bytes, inputs: bytes, *, sequence: int, model_digest: bytes, flags: int = SIGNED
) -> Sealed:
    """`inputs`: all of the model's, in its order, one after another. Else as `seal_photo`."""
    header = Header(
        Kind.TENSORS, key_id(key), sequence, len(inputs), model_digest, flags=int(flags)
    )
    return _seal(header, key, inputs)


_NAME = re.compile(rf"[A-Za-z0-9._-]{{1,{MODEL_NAME_MAX_BYTES}}}")


def check_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise SealedFileError(
            f"{name!r} is no name for a model: 1 to {MODEL_NAME_MAX_BYTES} of A-Z a-z 0-9 . _ -"
        )
    return name


def name_from(text: str) -> str:
    """A model's name after what a file is called."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", text)[:MODEL_NAME_MAX_BYTES].strip("._-")
    return name or "model"


def open_model(key: bytes, data: bytes) -> bytes:
    """The model in a sealed file."""
    header = Header.unpack(data)
    if header.kind is not Kind.MODEL:
        raise SealedFileError(f"a sealed {header.kind.name.lower()} is no model")
    return open_stream(key, data[:HEADER_BYTES], data[HEADER_BYTES:])


def seal_model(key: bytes, tflite: bytes, *, name: str = "model", version: int = 1) -> Sealed:
    """`version`: from 1."""
    subject = check_name(name).encode().ljust(DIGEST_BYTES, b"\0")
    return _seal(Header(Kind.MODEL, key_id(key), version, len(tflite), subject), key, tflite)
