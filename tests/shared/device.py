# SPDX-License-Identifier: Apache-2.0
"""What a factory that knows a device's hardware unique key (HUK) can say of the device.

Written from docs/attestation.md and OP-TEE's sources, with another library than OP-TEE's: what the
tests expect of the secure world comes from here.
"""

import hashlib
import hmac
import struct
from dataclasses import dataclass
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric import ec

DIE_ID, ATTESTATION, TA_CODE = 2, 6, 7
DIE_ID_SIZE = 12
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@dataclass(frozen=True)
class Device:
    huk: bytes

    def subkey(self, usage: int, data: bytes = b"") -> bytes:
        return hmac.digest(self.huk, struct.pack("<I", usage) + data, "sha256")

    @property
    def uuid(self) -> UUID:
        """gpd.tee.deviceID: a version 5 UUID whose first fields are in the CPU's byte order."""
        octets = bytearray(
            hashlib.sha256(b"OPTEE" + self.subkey(DIE_ID)[:DIE_ID_SIZE]).digest()[:16]
        )
        octets[7] = octets[7] & 0x0F | 0x50
        octets[8] = octets[8] & 0x3F | 0x80
        return UUID(bytes_le=bytes(octets))

    @property
    def ueid(self) -> bytes:
        return b"\x01" + self.uuid.bytes

    @property
    def attestation_key(self) -> ec.EllipticCurvePublicKey:
        for counter in range(256):
            seed = self.subkey(ATTESTATION, b"attestation-es256" + bytes([counter]))
            scalar = int.from_bytes(seed, "big")
            if 0 < scalar < P256_ORDER:
                return ec.derive_private_key(scalar, ec.SECP256R1()).public_key()
        raise AssertionError("no key in 256 attempts")

    def ta_key(self, uuid: UUID, measurement: bytes, label: bytes) -> bytes:
        return self.subkey(TA_CODE, uuid.bytes + measurement + label)
