# SPDX-License-Identifier: Apache-2.0
"""Gives OP-TEE's secure storage another number, as only somebody who knows the device's key can.

For what a device would take months to come to. The formats are those of OP-TEE's fs_htree.c,
huk_subkey.c and tee_fs_key_manager.c.
"""

import hashlib
import hmac
import os
import struct
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_HEAD = struct.Struct("<16s16s16s16sI")  # iv, tag, encrypted key, encrypted metadata, number
_NODES = 4096
_NODE_SIZE = 66
_HASH_SIZE = 16  # as much of it as goes into the head


def set_number(dirf: Path, huk: bytes, number: int) -> None:
    """`dirf.db` as it is, but as if it had been committed `number` times."""
    data = bytearray(dirf.read_bytes())
    heads = [_HEAD.unpack_from(data, _HEAD.size * n) for n in range(2)]
    numbers = [head[4] for head in heads]
    used = max(range(2), key=lambda n: numbers[n] if numbers[n] & 1 == n else -1)
    if number & 1 != used:
        raise ValueError(f"the parity of {numbers[used]} stays: it says which head is in use")
    iv, tag, wrapped, sealed, _ = heads[used]
    node = _NODES + _NODE_SIZE * used
    root = bytes(data[node : node + _HASH_SIZE])

    storage_key = _hmac(huk, b"BEEF" * 8 + b"ONLY_FOR_tee_fs_ssk\0")
    wrapping = Cipher(algorithms.AES(_hmac(storage_key, b"\0")), modes.ECB()).decryptor()
    key = AESGCM(wrapping.update(wrapped) + wrapping.finalize())

    def bound(number: int, iv: bytes) -> bytes:
        return b"".join((root, struct.pack("<I", number), wrapped, iv))

    metadata = key.decrypt(iv, sealed + tag, bound(numbers[used], iv))
    iv = os.urandom(16)
    made = key.encrypt(iv, metadata, bound(number, iv))
    _HEAD.pack_into(data, _HEAD.size * used, iv, made[16:], wrapped, made[:16], number)
    dirf.write_bytes(data)


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, hashlib.sha256)
