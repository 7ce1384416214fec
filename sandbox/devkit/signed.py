# SPDX-License-Identifier: Apache-2.0
"""Read the header of a .ta file: what OP-TEE's sign_encrypt.py writes and its loader checks.

    struct shdr                 magic, type, sizes of image, hash and signature
    hash, signature
    struct shdr_bootstrap_ta    uuid as in RFC 4122, version
    struct shdr_encrypted_ta    sizes of nonce and tag, then both; if encrypted
    image                       the stripped ELF file, or its ciphertext

A TA that is signed by a subkey begins with a shdr for each subkey, each with a shdr_subkey as its
image and a name after it. Numbers are little endian; signed_hdr.h in the dev kit is the original.
"""

import hashlib
import struct
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from uuid import UUID

from sandbox.errors import UserError

MAGIC = 0x4F545348
# Four times the secure memory of the machine: no TA is larger.
SIZE_LIMIT = 64 << 20
SUBKEY_LIMIT = 16
_SHDR = struct.Struct("<IIIIHH")
_BOOTSTRAP = struct.Struct("<16sI")
_ENCRYPTED = struct.Struct("<IIHH")
_SUBKEY = struct.Struct("<16sIIIII")


class TaFileError(UserError):
    """A .ta file is not what OP-TEE would load."""


class ImageType(IntEnum):
    TA = 0  # without a UUID: no longer loaded
    BOOTSTRAP_TA = 1
    ENCRYPTED_TA = 2
    SUBKEY = 3


@dataclass(frozen=True)
class SignedTa:
    uuid: UUID
    version: int
    encrypted: bool
    image_size: int
    digest: bytes  # of header and image, which the signature is over


def read(path: Path) -> SignedTa:
    """The header of a .ta file; raises TaFileError unless the file is whole and unaltered."""
    try:
        with path.open("rb") as file:
            data = file.read(SIZE_LIMIT + 1)
    except OSError as error:
        raise TaFileError(f"cannot read {path}: {error.strerror}") from error
    try:
        return parse(data)
    except ValueError as error:
        raise TaFileError(
            f"{path} is no TA that OP-TEE would load: {error}",
            "Build it again: the dev kit's sign_encrypt.py writes the header.",
        ) from None


def parse(data: bytes) -> SignedTa:
    """The same for bytes; raises ValueError. The signature itself is OP-TEE's to verify."""
    if len(data) > SIZE_LIMIT:
        raise ValueError(f"it is larger than {SIZE_LIMIT >> 20} MiB")
    reader = _Reader(data)
    for _ in range(SUBKEY_LIMIT + 1):
        header = reader.take(_SHDR.size)
        magic, kind, image_size, _, hash_size, signature_size = _SHDR.unpack(header)
        if magic != MAGIC:
            raise ValueError(f"its magic number is {magic:#010x}, not {MAGIC:#010x}")
        digest = reader.take(hash_size)
        reader.take(signature_size)
        if kind == ImageType.SUBKEY:
            _skip_subkey(reader, image_size)
            continue
        return _ta(reader, kind, image_size, header, digest)
    raise ValueError(f"more than {SUBKEY_LIMIT} subkeys")


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._offset = 0

    def take(self, count: int) -> bytes:
        taken = self._data[self._offset : self._offset + count]
        if len(taken) != count:
            raise ValueError("it ends within its header or image")
        self._offset += count
        return taken

    def left(self) -> int:
        return len(self._data) - self._offset


def _skip_subkey(reader: _Reader, image_size: int) -> None:
    if image_size < _SUBKEY.size:
        raise ValueError(f"a subkey of {image_size} bytes")
    _, name_size, *_ = _SUBKEY.unpack(reader.take(_SUBKEY.size))
    reader.take(image_size - _SUBKEY.size)
    reader.take(name_size)


def _ta(reader: _Reader, kind: int, image_size: int, header: bytes, digest: bytes) -> SignedTa:
    if kind not in (ImageType.BOOTSTRAP_TA, ImageType.ENCRYPTED_TA):
        raise ValueError(f"its image type is {kind}, which has no UUID or is unknown")
    signed = [header, reader.take(_BOOTSTRAP.size)]
    uuid, version = _BOOTSTRAP.unpack(signed[1])
    encrypted = kind == ImageType.ENCRYPTED_TA
    if encrypted:
        signed.append(reader.take(_ENCRYPTED.size))
        _, _, nonce_size, tag_size = _ENCRYPTED.unpack(signed[-1])
        signed.append(reader.take(nonce_size + tag_size))
    if reader.left() != image_size:
        raise ValueError(f"its image has {reader.left()} bytes, the header says {image_size}")
    signed.append(reader.take(image_size))
    if hashlib.sha256(b"".join(signed)).digest() != digest:
        raise ValueError("its SHA-256 is not the one in its header")
    return SignedTa(UUID(bytes=uuid), version, encrypted, image_size, digest)
