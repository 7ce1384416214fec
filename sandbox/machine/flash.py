# SPDX-License-Identifier: Apache-2.0
"""The machine's first flash bank: firmware, and at its end the emulated one-time memory.

QEMU gives this bank to the secure world alone. OP-TEE reads the hardware unique key from it and
programs the monotonic counter, as optee-build/patches/optee-os/0005 (flash_otp.h) describes. The
file is sparse; what is in it is as secret as this user's other files, and no more: that is the
emulation.
"""

import hashlib
import os
import secrets
import struct
from pathlib import Path

from sandbox.errors import InfraError

SIZE = 64 << 20
OTP = SIZE - (2 << 20)
COUNTER_SIZE = 1 << 20
KEY = OTP + COUNTER_SIZE
KEY_LENGTH = 16

_MAGIC = b"OPTEEOTP"
_VERSION = 1
_HEAD = struct.Struct("<8sII16s")
_ERASED = 0xFF


def prepare(flash: Path, firmware: Path) -> None:
    """Put this firmware into the machine's flash; make a new device if there is none yet.

    Interrupted, it leaves no file or one whose firmware the next start writes again.
    """
    if not flash.exists():
        _manufacture(flash)
    image = firmware.read_bytes()
    if len(image) > OTP:
        raise InfraError(f"{firmware} has {len(image)} bytes and would reach into the device's OTP")
    with flash.open("r+b", buffering=0) as file:
        if file.seek(0, os.SEEK_END) != SIZE:
            raise InfraError(
                f"{flash} has not the {SIZE} bytes of a flash bank",
                "`sandbox destroy` ends this machine, its keys and its secure storage.",
            )
        # The end of a longer one from before stays behind it, where nothing of this one points.
        file.seek(0)
        file.write(image)


def hardware_unique_key(flash: Path) -> bytes:
    """What a factory would know of the device that it makes."""
    with flash.open("rb") as file:
        file.seek(KEY)
        block = file.read(_HEAD.size + hashlib.sha256().digest_size)
    magic, version, length, key = _HEAD.unpack_from(block)
    digest = hashlib.sha256(block[: _HEAD.size]).digest()
    if (magic, version, length) != (_MAGIC, _VERSION, KEY_LENGTH) or block[_HEAD.size :] != digest:
        raise InfraError(
            f"{flash} has no valid hardware unique key",
            "`sandbox destroy` ends this machine; the next `up` makes a new device.",
        )
    return bytes(key)


def key_block(key: bytes) -> bytes:
    head = _HEAD.pack(_MAGIC, _VERSION, KEY_LENGTH, key)
    return head + hashlib.sha256(head).digest()


def _manufacture(flash: Path) -> None:
    new = flash.with_suffix(".new")
    new.unlink(missing_ok=True)
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.truncate(SIZE)
        file.seek(OTP)
        file.write(bytes([_ERASED]) * COUNTER_SIZE)
        file.write(key_block(secrets.token_bytes(KEY_LENGTH)))
        file.flush()
        os.fsync(file.fileno())
    new.rename(flash)
