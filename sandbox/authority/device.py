# SPDX-License-Identifier: Apache-2.0
"""What a factory that knows a device's HUK knows: its UUID and its attestation key.

The same derivations as in OP-TEE core: core/kernel/huk_subkey.c, core/kernel/otp_stubs.c and
core/tee/tee_svc.c, and optee-build/patches/optee-os/ for the attestation key.
"""

import hashlib
import hmac
import uuid
from enum import IntEnum

from cryptography.hazmat.primitives.asymmetric import ec

from sandbox.errors import UserError

HUK_BYTES = 16
# FIPS 186-5: the order of P-256's base point.
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
# RFC 9711, section 4.2.1: a random UEID of 128 bits begins with its type.
UEID_RANDOM = 1

_ATTESTATION_LABEL = b"attestation-es256"
_DEVICE_ID_PREFIX = b"OPTEE"
# FVR_DIE_ID_NUM_REGS words of 32 bits.
_DIE_ID_BYTES = 12


class HukError(UserError):
    """Bytes that are no hardware unique key."""


class Usage(IntEnum):
    """enum huk_subkey_usage, as far as it is used here."""

    DIE_ID = 2
    ATTESTATION = 6


def subkey(huk: bytes, usage: Usage, data: bytes = b"") -> bytes:
    """huk_subkey_derive(), all 32 bytes."""
    if len(huk) != HUK_BYTES:
        raise HukError(f"a hardware unique key has {HUK_BYTES} bytes, not {len(huk)}")
    return hmac.digest(huk, usage.to_bytes(4, "little") + data, "sha256")


def device_uuid(huk: bytes) -> uuid.UUID:
    """The property gpd.tee.deviceID."""
    die_id = subkey(huk, Usage.DIE_ID)[:_DIE_ID_BYTES]
    digest = hashlib.sha256(_DEVICE_ID_PREFIX + die_id).digest()
    # OP-TEE hashes into a TEE_UUID in memory: its first three fields are little endian. What it
    # sets then are the version and the variant of RFC 9562.
    return uuid.UUID(bytes_le=digest[:16], version=5)


def ueid(device: uuid.UUID) -> bytes:
    return bytes([UEID_RANDOM]) + device.bytes


def attestation_key(huk: bytes) -> ec.EllipticCurvePrivateKey:
    """The key that signs evidence: the first candidate that is a scalar of P-256."""
    for counter in range(256):
        seed = subkey(huk, Usage.ATTESTATION, _ATTESTATION_LABEL + bytes([counter]))
        scalar = int.from_bytes(seed, "big")
        if 0 < scalar < P256_ORDER:
            return ec.derive_private_key(scalar, ec.SECP256R1())
    # Each candidate fails with a probability of 2 to the power of -32.
    raise HukError("no attestation key follows from this hardware unique key")
