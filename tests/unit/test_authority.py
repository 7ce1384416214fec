# SPDX-License-Identifier: Apache-2.0
"""The certificate authorities: the manufacturer's derivations, certificates, CSRs, revocation."""

import hashlib
import random
import stat
import subprocess
import sys
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import evidence_maker
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, HashAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from sandbox.authority import device
from sandbox.authority.ca import CertificateUnknown, KeyRevoked
from sandbox.authority.device import HukError, Usage
from sandbox.authority.ledger import AuthorityDamaged
from sandbox.authority.manufacturer import Manufacturer, endorse
from sandbox.authority.owner import CsrError, CsrSignatureError, OwnerAuthority, issue

ROOT = Path(__file__).parents[2]
DEVICE = "94f655b4-fb6d-5bb5-893c-adf76162679b"
HUKS = [bytes(16), b"\xff" * 16, *(hashlib.sha256(bytes([n])).digest()[:16] for n in range(64))]


# What follows from a HUK ------------------------------------------------------------------------


@pytest.mark.parametrize("huk", HUKS, ids=lambda huk: bytes(huk).hex()[:8])
def test_uuid_and_key_are_those_that_the_device_computes(huk: bytes) -> None:
    """The other way: OP-TEE's steps one by one, and OpenSSL's multiplication by pycose's key."""
    found = device.device_uuid(huk)
    assert found.bytes == evidence_maker.device_id(huk)
    assert (found.version, found.variant) == (5, uuid.RFC_4122)
    scalar = device.attestation_key(huk).private_numbers().private_value
    assert scalar.to_bytes(32, "big") == evidence_maker.private_scalar(huk)


def test_uuid_of_the_key_of_zeros_is_what_op_tee_says() -> None:
    """gpd.tee.deviceID as a TA in OP-TEE 4.10 read it, where the HUK was all zeros."""
    assert str(device.device_uuid(bytes(16))) == "94e9ab89-4c43-56ea-8b35-45dc07226830"


def test_subkey_is_hmac_as_openssl_has_it() -> None:
    mac = ["openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt"]
    key = f"hexkey:{evidence_maker.HUK.hex()}"
    done = subprocess.run(
        [*mac, key], input=b"\x06\0\0\0label", capture_output=True, check=True, timeout=30
    )
    expected = done.stdout.decode().split()[-1]
    assert device.subkey(evidence_maker.HUK, Usage.ATTESTATION, b"label").hex() == expected


def test_a_scalar_out_of_range_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not met in practice: one HUK in four thousand million has it."""
    right = hashlib.sha256(b"right").digest()
    answers = {0: bytes(32), 1: device.P256_ORDER.to_bytes(32, "big"), 2: right}

    def subkey(huk: bytes, usage: Usage, data: bytes = b"") -> bytes:
        assert usage is Usage.ATTESTATION and data[:-1] == b"attestation-es256"
        return answers[data[-1]]

    monkeypatch.setattr(device, "subkey", subkey)
    key = device.attestation_key(bytes(16))
    assert key.private_numbers().private_value == int.from_bytes(right, "big")


@pytest.mark.parametrize("huk", [b"", bytes(15), bytes(17)])
def test_a_huk_of_another_length_is_refused(huk: bytes) -> None:
    with pytest.raises(HukError):
        device.device_uuid(huk)


# The manufacturer -------------------------------------------------------------------------------


def verify_with_openssl(tmp_path: Path, *files: Path) -> bool:
    root, leaf, *others = files
    argv = ["openssl", "verify", "-x509_strict", "-CAfile", str(root), *map(str, others), str(leaf)]
    return subprocess.run(argv, capture_output=True, timeout=30).returncode == 0


def write_pem(path: Path, what: x509.Certificate | x509.CertificateRevocationList) -> Path:
    path.write_bytes(what.public_bytes(Encoding.PEM))
    return path


def test_endorsement_is_a_certificate_that_openssl_accepts(tmp_path: Path) -> None:
    maker = Manufacturer(tmp_path / "maker")
    certificate = maker.endorse(evidence_maker.HUK)
    root = write_pem(tmp_path / "root.pem", maker.certificate())
    leaf = write_pem(tmp_path / "leaf.pem", certificate)
    assert verify_with_openssl(tmp_path, root, leaf)
    other = write_pem(tmp_path / "other.pem", Manufacturer(tmp_path / "other").certificate())
    assert not verify_with_openssl(tmp_path, other, leaf)

    subject = {attribute.oid: attribute.value for attribute in certificate.subject}
    assert subject == {NameOID.COMMON_NAME: "attestation", NameOID.SERIAL_NUMBER: DEVICE}
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical and usage.value.digital_signature and not usage.value.key_cert_sign
    assert 64 <= certificate.serial_number.bit_length() <= 159


def test_a_device_is_endorsed_once_and_found_again(tmp_path: Path) -> None:
    maker = Manufacturer(tmp_path)
    first = maker.endorse(evidence_maker.HUK)
    assert maker.endorse(evidence_maker.HUK) == first
    assert Manufacturer(tmp_path).endorsement(uuid.UUID(DEVICE)) == first
    other = maker.endorse(bytes(16))
    assert other.subject != first.subject and other.serial_number != first.serial_number
    assert maker.endorsement(uuid.uuid4()) is None
    maker.revoke(first.serial_number, "keyCompromise")
    # Whoever verifies is to see that it was revoked, not that there is none.
    assert maker.endorsement(uuid.UUID(DEVICE)) == first
    assert maker.certificates() == [other]
    with pytest.raises(KeyRevoked):
        maker.endorse(evidence_maker.HUK)


def test_keys_are_private_and_in_the_state_folder(home: Path) -> None:
    endorse(evidence_maker.HUK)
    folder = home / ".local/state/optee-sandbox/authority/manufacturer"
    for path in [folder / "key.pem", folder / "issued.json", *(folder / "issued").iterdir()]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


ENDORSE_ONE = """
import sys
from pathlib import Path
from sandbox.authority.manufacturer import Manufacturer
maker = Manufacturer(Path(sys.argv[1]))
huk = bytes([int(sys.argv[2])] * 16)
sys.stdin.read()
certificate = maker.endorse(huk)
print(maker.certificate().serial_number, certificate.serial_number)
"""


def test_processes_at_once_make_one_authority_and_lose_nothing(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", ENDORSE_ONE, str(tmp_path / "maker")]
    # Two of them ask for the same device.
    processes = [
        subprocess.Popen(
            [*argv, str(number // 2)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
        )
        for number in range(8)
    ]
    answers = [process.communicate(timeout=60)[0].split() for process in _let_go(processes)]
    assert len({root for root, _ in answers}) == 1
    assert len({serial for _, serial in answers}) == 4
    assert len(Manufacturer(tmp_path / "maker").issued()) == 4


def _let_go(processes: "list[subprocess.Popen[bytes]]") -> "list[subprocess.Popen[bytes]]":
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
    return processes


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("key.pem", b"nothing"),
        ("certificate.pem", b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"),
        ("issued.json", b"{"),
        ("issued.json", b'[{"serial": "x"}]'),
        ("issued.json", b'[{"serial": "xyz", "subject": "", "key": "", "not_after": 1}]'),
        ("issued.json", b"[1]"),
    ],
)
def test_damage_is_named(name: str, content: bytes, tmp_path: Path) -> None:
    maker = Manufacturer(tmp_path)
    maker.endorse(bytes(16))
    (tmp_path / name).write_bytes(content)
    with pytest.raises(AuthorityDamaged, match=name):
        maker.endorse(evidence_maker.HUK)


# The owner's authority --------------------------------------------------------------------------


def request(
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey,
    name: str | None = "signing",
    serial: str | None = DEVICE,
    *,
    extension: x509.ExtensionType | None = None,
    algorithm: HashAlgorithm | None = None,
) -> bytes:
    attributes = []
    if name is not None:
        attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, name))
    if serial is not None:
        attributes.append(x509.NameAttribute(NameOID.SERIAL_NUMBER, serial))
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(attributes))
    if extension is not None:
        builder = builder.add_extension(extension, critical=True)
    return builder.sign(key, algorithm or SHA256()).public_bytes(Encoding.PEM)


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.mark.parametrize(
    ("label", "usage"), [("signing", "digital_signature"), ("wrapping", "key_agreement")]
)
def test_a_request_becomes_a_certificate_for_this_use_alone(
    label: str, usage: str, tmp_path: Path
) -> None:
    owner, key = OwnerAuthority(tmp_path / "owner"), new_key()
    certificate = owner.issue(request(key, label))
    assert certificate.public_key() == key.public_key()
    subject = {attribute.oid: attribute.value for attribute in certificate.subject}
    assert subject == {NameOID.COMMON_NAME: label, NameOID.SERIAL_NUMBER: DEVICE}
    value = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    names = ("digital_signature", "key_agreement", "key_cert_sign", "crl_sign", "key_encipherment")
    assert [name for name in names if getattr(value, name)] == [usage]
    life = certificate.not_valid_after_utc - datetime.now(UTC)
    assert timedelta(days=89) < life <= timedelta(days=90)
    root = write_pem(tmp_path / "root.pem", owner.certificate())
    assert verify_with_openssl(tmp_path, root, write_pem(tmp_path / "leaf.pem", certificate))


def test_der_is_read_too_and_the_function_of_the_module_issues() -> None:
    csr = x509.load_pem_x509_csr(request(new_key()))
    assert issue(csr.public_bytes(Encoding.DER)).public_key() == csr.public_key()


def flipped_signature(pem: bytes) -> bytes:
    der = bytearray(x509.load_pem_x509_csr(pem).public_bytes(Encoding.DER))
    der[-1] ^= 1
    return bytes(der)


def test_a_request_signed_with_another_key_is_refused(tmp_path: Path) -> None:
    """Proof of possession: the attacker asks for a certificate of the TA's public key."""
    mine, theirs = new_key(), new_key()
    honest = x509.load_pem_x509_csr(request(mine)).public_bytes(Encoding.DER)
    point = [
        k.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        for k in (mine, theirs)
    ]
    for forged in (honest.replace(point[0], point[1]), flipped_signature(request(mine))):
        with pytest.raises(CsrSignatureError):
            OwnerAuthority(tmp_path).issue(forged)
    assert OwnerAuthority(tmp_path).issued() == []


EC, RSA = new_key(), rsa.generate_private_key(65537, 2048)
BAD_REQUESTS = {
    "nothing": b"",
    "no-pem": b"-----BEGIN CERTIFICATE REQUEST-----\nxx\n-----END CERTIFICATE REQUEST-----\n",
    "no-der": b"\x30\x82\xff\xff",
    "too-large": bytes(20_000),
    "rsa": request(RSA),
    "p384": request(ec.generate_private_key(ec.SECP384R1())),
    "k1": request(ec.generate_private_key(ec.SECP256K1())),
    "sha384": request(EC, algorithm=SHA384()),
    "no-name": request(EC, None),
    "sealing": request(EC, "sealing"),
    "no-device": request(EC, serial=None),
    "device-no-uuid": request(EC, serial="1234"),
    "device-other-spelling": request(EC, serial=DEVICE.upper()),
    "ca": request(EC, extension=x509.BasicConstraints(ca=True, path_length=None)),
    "name": request(EC, extension=x509.SubjectAlternativeName([x509.DNSName("example.com")])),
}


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_other_requests_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(CsrError):
        OwnerAuthority(tmp_path).issue(BAD_REQUESTS[name])
    assert OwnerAuthority(tmp_path).issued() == []


def test_altered_requests_end_in_one_error(tmp_path: Path) -> None:
    """The normal world carries them."""
    der = x509.load_pem_x509_csr(request(EC)).public_bytes(Encoding.DER)
    chance = random.Random(1)
    owner = OwnerAuthority(tmp_path)
    for at in range(len(der)):
        for _ in range(3):
            altered = bytearray(der)
            altered[at] ^= chance.randrange(1, 256)
            with pytest.raises(CsrError):
                owner.issue(bytes(altered))


def test_evidence_binds_the_request_to_a_device_and_a_key(tmp_path: Path) -> None:
    owner, key, other = OwnerAuthority(tmp_path), new_key(), new_key()
    csr, attested = request(key), uuid.UUID(DEVICE)
    assert owner.issue(csr, device=attested, keys=[other.public_key(), key.public_key()])
    with pytest.raises(CsrError, match="evidence is of"):
        owner.issue(csr, device=uuid.uuid4(), keys=[key.public_key()])
    with pytest.raises(CsrError, match="none of those"):
        owner.issue(csr, device=attested, keys=[other.public_key()])
    with pytest.raises(CsrError, match="none of those"):
        owner.issue(csr, device=attested, keys=[])


def test_renewal_says_what_it_renews(tmp_path: Path) -> None:
    now = datetime(2026, 11, 1, tzinfo=UTC)
    owner = OwnerAuthority(tmp_path, clock=lambda: now)
    csr = request(new_key())
    first = owner.issue(csr)
    now += timedelta(days=60)
    second = owner.issue(csr)
    assert first.serial_number != second.serial_number
    assert second.not_valid_after_utc - first.not_valid_after_utc == timedelta(days=60)
    now += timedelta(days=200)
    third = owner.issue(csr)
    entries = owner.issued()
    assert [entry.renews for entry in entries] == [None, entries[0].serial, None]
    assert owner.certificates() == [third]


def test_no_certificate_outlives_the_root(tmp_path: Path) -> None:
    now = datetime(2026, 11, 1, tzinfo=UTC)
    owner = OwnerAuthority(tmp_path, clock=lambda: now)
    end = owner.certificate().not_valid_after_utc
    now = end - timedelta(days=10)
    assert owner.issue(request(new_key())).not_valid_after_utc == end


def test_revoked_certificates_are_on_a_list_that_openssl_follows(tmp_path: Path) -> None:
    owner = OwnerAuthority(tmp_path / "owner")
    good, bad = (owner.issue(request(new_key())) for _ in range(2))
    assert list(owner.crl()) == []
    entry = owner.revoke(bad.serial_number, "keyCompromise")
    again = owner.revoke(bad.serial_number, "superseded")
    assert again == entry and entry.reason == "keyCompromise"
    crl = owner.crl()
    (revoked,) = crl
    assert revoked.serial_number == bad.serial_number
    reason = revoked.extensions.get_extension_for_class(x509.CRLReason).value
    assert reason.reason is x509.ReasonFlags.key_compromise
    root = write_pem(tmp_path / "root.pem", owner.certificate())
    list_file = write_pem(tmp_path / "owner.crl", crl)
    check = (Path("-crl_check"), Path("-CRLfile"), list_file)
    paths = {c: write_pem(tmp_path / f"{c.serial_number}.pem", c) for c in (good, bad)}
    assert verify_with_openssl(tmp_path, root, paths[good], *check)
    assert not verify_with_openssl(tmp_path, root, paths[bad], *check)


def test_an_unspecified_reason_is_left_out(tmp_path: Path) -> None:
    owner = OwnerAuthority(tmp_path)
    owner.revoke(owner.issue(request(new_key())).serial_number)
    (revoked,) = owner.crl()
    assert len(revoked.extensions) == 0


def test_a_revoked_key_stays_revoked_but_for_a_reason_that_is_not_its_fault(
    tmp_path: Path,
) -> None:
    owner = OwnerAuthority(tmp_path)
    for reason in ("keyCompromise", "unspecified", "privilegeWithdrawn"):
        csr = request(new_key())
        owner.revoke(owner.issue(csr).serial_number, reason)
        with pytest.raises(KeyRevoked):
            owner.issue(csr)
    csr = request(new_key())
    owner.revoke(owner.issue(csr).serial_number, "superseded")
    assert owner.issue(csr)


def test_revoking_what_was_not_issued_is_an_error(tmp_path: Path) -> None:
    owner = OwnerAuthority(tmp_path)
    owner.certificate()
    with pytest.raises(CertificateUnknown):
        owner.revoke(12345)
