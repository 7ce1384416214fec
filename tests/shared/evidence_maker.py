# SPDX-License-Identifier: Apache-2.0
"""Makes evidence as docs/verifier.md says it, by pycose and not by anything of the sandbox.

The device's side, so to speak: its key and UUID are derived byte by byte from the HUK, in the way
of OP-TEE's C code.
"""

import hashlib
import hmac
import struct
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from pycose.algorithms import Es256
from pycose.headers import KID, Algorithm
from pycose.keys import EC2Key
from pycose.keys.curves import P256
from pycose.messages import Sign1Message

PROFILE = "tag:optee-sandbox.example,2026:evidence#1"
HUK = bytes(range(0x40, 0x50))
NONCE = bytes(range(32))
BOOTSEED = bytes(reversed(range(32)))
CORE_SHA256 = hashlib.sha256(b"core").digest()
TA_SHA256 = hashlib.sha256(b"ta").digest()
MODEL = hashlib.sha256(b"model").digest()
TA_UUID = bytes.fromhex("bc8a6d0e2f7c4b5fa1f0c3d2e1b0a998")
# What an alteration may remove from a map.
GONE = object()


def huk_subkey(huk: bytes, usage: int, data: bytes) -> bytes:
    mac = hmac.new(huk, digestmod=hashlib.sha256)
    mac.update(struct.pack("<I", usage))
    mac.update(data)
    return mac.digest()


def device_id(huk: bytes) -> bytes:
    """As tee_uuid_to_octets() has it, field by field."""
    die_id = huk_subkey(huk, 2, b"")[:12]
    memory = hashlib.sha256(b"OPTEE" + die_id).digest()[:16]
    time_low, time_mid, time_high = struct.unpack("<IHH", memory[:8])
    time_high = time_high & 0x0FFF | 5 << 12
    node = bytes([memory[8] & 0x3F | 0x80]) + memory[9:]
    return struct.pack(">IHH", time_low, time_mid, time_high) + node


def private_scalar(huk: bytes) -> bytes:
    return huk_subkey(huk, 6, b"attestation-es256\x00")


def cose_key(private: ec.EllipticCurvePrivateKey) -> dict[int, Any]:
    numbers = private.public_key().public_numbers()
    return {1: 2, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}


def ta_claims() -> dict[int, Any]:
    return {
        8: {1: cose_key(ec.derive_private_key(11, ec.SECP256R1()))},
        -75011: cose_key(ec.derive_private_key(12, ec.SECP256R1())),
        270: "inference",
        271: ["0.1.0"],
        -75012: [MODEL],
        -75013: bytes(16),
    }


def claims(huk: bytes = HUK) -> dict[Any, Any]:
    return {
        265: PROFILE,
        10: NONCE,
        256: b"\x01" + device_id(huk),
        268: BOOTSEED,
        263: 0,
        2395: 0x5000,
        2396: hashlib.sha256(b"optee-sandbox qemu_v8").digest(),
        2399: [
            {1: "OP-TEE core", 2: CORE_SHA256, 4: "4.10.0", 6: "sha-256"},
            {1: "TA", 2: TA_SHA256, 6: "sha-256"},
        ],
        -75001: TA_UUID,
        266: {"ta": ta_claims()},
    }


def altered(base: dict[Any, Any], changes: dict[Any, Any]) -> dict[Any, Any]:
    return {k: v for k, v in {**base, **changes}.items() if v is not GONE}


def sign(
    payload: bytes,
    scalar: bytes,
    *,
    protected: dict[Any, Any] | None = None,
    unprotected: dict[Any, Any] | None = None,
) -> bytes:
    key = EC2Key(crv=P256, d=scalar)
    message = Sign1Message(
        phdr={Algorithm: Es256} if protected is None else protected,
        uhdr=unprotected or {},
        payload=payload,
    )
    message.key = key
    encoded: bytes = message.encode()
    return encoded


def evidence(
    changes: dict[Any, Any] | None = None,
    *,
    ta: dict[Any, Any] | None = None,
    huk: bytes = HUK,
    scalar: bytes | None = None,
    kid: bytes | None = None,
) -> bytes:
    """A token of the device with this HUK; `changes` to its claims, `ta` to those of the TA."""
    found = altered(claims(huk), changes or {})
    if ta is not None:
        found[266] = {"ta": altered(ta_claims(), ta)}
    ueid = b"\x01" + device_id(huk)
    return sign(
        cbor2.dumps(found),
        scalar or private_scalar(huk),
        unprotected={KID: kid if kid is not None else ueid},
    )


def reference() -> dict[str, Any]:
    return {
        "version": 1,
        "optee_core": {"version": "4.10.0", "sha256": CORE_SHA256.hex()},
        "tas": [
            {
                "uuid": "bc8a6d0e-2f7c-4b5f-a1f0-c3d2e1b0a998",
                "name": "inference",
                "version": "0.1.0",
                "sha256": TA_SHA256.hex(),
            }
        ],
    }
