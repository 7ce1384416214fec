# SPDX-License-Identifier: Apache-2.0
"""Certification requests (PKCS#10) of ta/core, read by pyca/cryptography and by OpenSSL."""

import os
import shutil
import struct
import subprocess
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID
from driver import Driver

from sandbox.tee_abi import Status

CSR_MAX_BYTES = 464
DEVICE = UUID("9d2e4f8a-6b1c-4e57-a3f0-5c8d7e61b204")


def csr(
    native: Driver,
    private: ec.EllipticCurvePrivateKey,
    label: bytes = b"signing",
    device: UUID = DEVICE,
    *,
    room: int = CSR_MAX_BYTES,
    fail_call: int = -1,
) -> tuple[int, bytes]:
    scalar = private.private_numbers().private_value.to_bytes(32, "big")
    return native.call("csr", struct.pack("<qI", fail_call, room) + scalar + device.bytes + label)


@pytest.mark.parametrize("label", ["wrapping", "signing", "x", "a b'c,d=e+f", "y" * 64])
def test_is_what_it_says(native: Driver, label: str) -> None:
    # Of several signatures, some have r or s with leading zeros or the highest bit set.
    for _ in range(20):
        private = ec.generate_private_key(ec.SECP256R1())
        device = UUID(bytes=os.urandom(16))
        status, der = csr(native, private, label.encode(), device)
        assert status == Status.OK
        request = x509.load_der_x509_csr(der)
        assert request.is_signature_valid
        assert request.public_key() == private.public_key()
        assert isinstance(request.signature_hash_algorithm, SHA256)
        assert not list(request.extensions)
        assert [(name.oid, name.value) for name in request.subject] == [
            (NameOID.COMMON_NAME, label),
            (NameOID.SERIAL_NUMBER, str(device)),
        ]


def test_is_der_as_pyca_writes_it(native: Driver) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    _, der = csr(native, private)
    names = [(NameOID.COMMON_NAME, "signing"), (NameOID.SERIAL_NUMBER, str(DEVICE))]
    subject = x509.Name([x509.NameAttribute(oid, value) for oid, value in names])
    theirs = x509.CertificateSigningRequestBuilder().subject_name(subject)
    signed = theirs.sign(private, SHA256())
    assert x509.load_der_x509_csr(der).tbs_certrequest_bytes == signed.tbs_certrequest_bytes


def test_openssl_reads_it(native: Driver) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not here")
    _, der = csr(native, ec.generate_private_key(ec.SECP256R1()))
    argv = ["openssl", "req", "-inform", "DER", "-verify", "-noout", "-text", "-nameopt", "RFC2253"]
    done = subprocess.run(argv, input=der, capture_output=True, timeout=30, check=True)
    text = done.stdout.decode()
    assert "verify OK" in (done.stderr + done.stdout).decode()
    assert f"serialNumber={DEVICE},CN=signing" in text
    assert "ecdsa-with-SHA256" in text


def test_altered_it_is_not_valid(native: Driver) -> None:
    _, der = csr(native, ec.generate_private_key(ec.SECP256R1()))
    label = der.index(b"signing")
    altered = der[:label] + b"sighing" + der[label + 7 :]
    assert not x509.load_der_x509_csr(altered).is_signature_valid


@pytest.mark.parametrize("label", [b"", b"y" * 65, b"new\nline", b"nul\0", b"\xc3\xa4", b"\x7f"])
def test_labels_that_cannot_be_used(native: Driver, label: bytes) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    assert csr(native, private, label) == (Status.INTERNAL, b"")


def test_room(native: Driver) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    status, longest = csr(native, private, b"y" * 64)
    assert (status, len(longest) < CSR_MAX_BYTES) == (Status.OK, True)
    for room in (0, 1, 64, 200, 300):
        assert csr(native, private, b"y" * 64, room=room) == (Status.INTERNAL, b"")


def test_failures_of_the_cryptography_are_passed_on(native: Driver) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    calls = 0
    while (made := csr(native, private, fail_call=calls))[0] != Status.OK:
        assert made == (Status.NO_MEMORY, b"")
        calls += 1
    # Public key, three for the hash, signature
    assert calls == 5
