# SPDX-License-Identifier: Apache-2.0
"""sandbox verify and sandbox keys, as they are typed."""

import json
import stat
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import cbor2
import evidence_maker
import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from evidence_maker import HUK, NONCE

from sandbox.__main__ import main
from sandbox.authority import ca
from sandbox.authority.manufacturer import Manufacturer, endorse
from sandbox.authority.owner import OwnerAuthority
from sandbox.commands import reference_values
from sandbox.reference.core import CoreValue
from sandbox.reference.values import ReferenceValues, TaValue

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("COLUMNS", "200")

    def call(*argv: str | Path) -> tuple[int, str, str]:
        try:
            status = main([str(word) for word in argv])
        except SystemExit as left:  # argparse
            status = int(left.code or 0)
        out, err = capsys.readouterr()
        return status, out, err

    return call


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token.cbor"
    path.write_bytes(evidence_maker.evidence())
    return path


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    path = tmp_path / "reference.json"
    path.write_text(json.dumps(evidence_maker.reference()))
    return path


def test_good_evidence_of_an_endorsed_device(run: Run, token: Path, reference: Path) -> None:
    endorse(HUK)
    status, out, err = run("verify", token, "--nonce", NONCE.hex(), "--reference", reference)
    assert (status, err) == (0, "")
    assert out.rstrip().endswith("affirming")


def test_refusals_exit_with_2_and_say_why(run: Run, token: Path, reference: Path) -> None:
    status, out, err = run("verify", token, "--nonce", NONCE.hex(), "--reference", reference)
    assert status == 2 and "no certificate of the attestation key" in err
    assert out.rstrip().endswith("contraindicated")
    endorse(HUK)
    status, _, err = run("verify", token, "--nonce", "00" * 32, "--reference", reference)
    assert status == 2 and err.startswith("sandbox: nonce: expected 0000")
    token.write_bytes(token.read_bytes() + b"\0")
    status, _, err = run("verify", token, "--nonce", NONCE.hex(), "--reference", reference)
    assert status == 2 and "1 bytes follow" in err


def test_json_is_one_object_whatever_the_result(run: Run, token: Path, reference: Path) -> None:
    argv = ("verify", token, "--nonce", NONCE.hex(), "--reference", reference, "--json")
    status, out, err = run(*argv)
    assert (status, err) == (2, "")
    found = json.loads(out)
    assert found["status"] == "contraindicated"
    assert [c["error"] for c in found["checks"] if "error" in c] == ["CertificateUntrusted"]
    endorse(HUK)
    status, out, _ = run(*argv)
    assert status == 0 and json.loads(out)["status"] == "affirming"


def test_ear_is_written_and_its_key_is_printed(
    run: Run, token: Path, reference: Path, tmp_path: Path, home: Path
) -> None:
    endorse(HUK)
    argv = ("verify", token, "--nonce", NONCE.hex(), "--reference", reference)
    assert run(*argv, "--ear", tmp_path / "ear.jwt")[0] == 0
    key = json.loads(run("verify", "--print-key")[1])
    found = jwt.decode(
        (tmp_path / "ear.jwt").read_text().strip(), jwt.PyJWK(key), algorithms=["ES256"]
    )
    assert found["ear_status"] == "affirming"
    kept = home / ".local/state/optee-sandbox/verifier/ear.pem"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    status, _, err = run(*argv, "--ear", tmp_path / "none" / "ear.jwt")
    assert status == 3 and "ear.jwt" in err


def test_chain_root_and_revocation_from_files(
    run: Run, token: Path, reference: Path, tmp_path: Path
) -> None:
    """Somebody else's manufacturer: this user's is not asked."""
    maker = Manufacturer(tmp_path / "elsewhere")
    certificate = maker.endorse(HUK)
    root, leaf, crl = (tmp_path / name for name in ("root.pem", "leaf.pem", "maker.crl"))
    root.write_bytes(maker.certificate().public_bytes(Encoding.PEM))
    leaf.write_bytes(certificate.public_bytes(Encoding.PEM))
    argv = ("verify", token, "--nonce", NONCE.hex(), "--reference", reference)
    assert run(*argv, "--chain", leaf)[0] == 2
    trusted = (*argv, "--chain", leaf, "--root", root)
    status, _, err = run(*trusted)
    assert status == 2 and "no revocation list" in err
    assert "--crl" in err and "--no-revocation" in err
    status, out, err = run(*trusted, "--no-revocation")
    assert (status, err) == (0, "") and out.rstrip().endswith("warning")
    status, out, _ = run(*trusted, "--no-revocation", "--json")
    assert status == 0 and json.loads(out)["status"] == "warning"
    crl.write_bytes(maker.crl().public_bytes(Encoding.PEM))
    status, out, _ = run(*trusted, "--crl", crl)
    assert status == 0 and out.rstrip().endswith("affirming")
    status, _, err = run(*trusted, "--crl", crl, "--no-revocation")
    assert status == 2 and "--crl and --no-revocation" in err
    # One of somebody else changes nothing, before it or behind it.
    other = tmp_path / "other.crl"
    other.write_bytes(OwnerAuthority().crl().public_bytes(Encoding.PEM))
    assert run(*trusted, "--crl", other)[0] == 2
    assert run(*trusted, "--crl", other, "--crl", crl)[0] == 0
    maker.revoke(certificate.serial_number)
    crl.write_bytes(maker.crl().public_bytes(Encoding.PEM))
    status, _, err = run(*trusted, "--crl", crl)
    assert status == 2 and "was revoked" in err
    for option in ("--chain", "--root", "--crl"):
        for path in (token, tmp_path / "none"):
            status, _, err = run(*argv, option, path)
            assert status == 2 and str(path) in err


def test_a_revoked_endorsement_of_this_users_manufacturer(
    run: Run, token: Path, reference: Path
) -> None:
    Manufacturer().revoke(endorse(HUK).serial_number)
    status, _, err = run("verify", token, "--nonce", NONCE.hex(), "--reference", reference)
    assert status == 2 and "was revoked" in err


def test_what_another_user_needs_of_this_users_manufacturer(
    run: Run, token: Path, reference: Path, tmp_path: Path
) -> None:
    leaf, root, crl = (tmp_path / name for name in ("leaf.pem", "root.pem", "maker.crl"))
    certificate = endorse(HUK)
    leaf.write_bytes(certificate.public_bytes(Encoding.PEM))
    status, out, _ = run("keys", "authority", "--manufacturer")
    assert status == 0
    root.write_text(out)
    assert run("keys", "crl", "--manufacturer", "--out", crl)[0] == 0
    argv = ("verify", token, "--nonce", NONCE.hex(), "--reference", reference)
    argv += ("--chain", leaf, "--root", root, "--crl", crl)
    assert run(*argv)[0] == 0
    Manufacturer().revoke(certificate.serial_number)
    assert run("keys", "crl", "--manufacturer", "--out", crl)[0] == 0
    status, _, err = run(*argv)
    assert status == 2 and "was revoked" in err


def test_policy_is_printed_changed_and_followed(
    run: Run, token: Path, reference: Path, tmp_path: Path
) -> None:
    endorse(HUK)
    status, text, _ = run("verify", "--print-policy", "--reference", reference)
    assert status == 0 and "allowed = true" in text
    path = tmp_path / "policy.toml"
    argv = ("verify", token, "--nonce", NONCE.hex(), "--reference", reference, "--policy", path)
    path.write_text(text)
    assert run(*argv)[0] == 0
    path.write_text(text.replace("allowed = true", "allowed = false"))
    status, _, err = run(*argv)
    assert status == 2 and err.startswith("sandbox: debug: expected disabled, saw enabled")
    path.write_text(text.replace("allowed = true", "allowed = 1"))
    status, _, err = run(*argv)
    assert status == 2 and f"{path}, line 12: debug.allowed" in err


def test_showing_judges_nothing(run: Run, token: Path) -> None:
    status, out, _ = run("verify", token, "--show")
    assert status == 0 and evidence_maker.TA_SHA256.hex() in out
    status, out, _ = run("verify", token, "--show", "--json")
    assert json.loads(out)["nonce"] == NONCE.hex()
    token.write_bytes(b"")
    status, _, err = run("verify", token, "--show")
    assert status == 2 and "not complete" in err


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ((), "no evidence"),
        (("TOKEN",), "any age"),
        (("TOKEN", "--nonce", "xyz"), "not hexadecimal"),
        (("TOKEN", "--nonce", "00"), "1 bytes"),
        (("TOKEN", "--show", "--print-key"), "not allowed with"),
        (("none", "--show"), "cannot read none"),
    ],
)
def test_wrong_use_is_2(argv: tuple[str, ...], words: str, run: Run, token: Path) -> None:
    status, _, err = run("verify", *(token if word == "TOKEN" else word for word in argv))
    assert status == 2 and words in err


def test_without_a_file_the_local_build_is_compared_with(
    run: Run, token: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The build has its own tests: here it says what evidence_maker's device has."""
    values = ReferenceValues(
        CoreValue("4.10.0", evidence_maker.CORE_SHA256),
        (
            TaValue(
                UUID(bytes=evidence_maker.TA_UUID), "inference", "0.1.0", evidence_maker.TA_SHA256
            ),
        ),
    )
    monkeypatch.setattr(reference_values, "built", lambda *_, **__: values)
    endorse(HUK)
    assert run("verify", token, "--nonce", NONCE.hex())[0] == 0
    status, out, _ = run("verify", "--print-policy")
    assert status == 0 and str(values.tas[0].uuid) in out


def test_reference_values_as_corim(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = ReferenceValues(CoreValue("4.10.0", evidence_maker.CORE_SHA256), ())
    monkeypatch.setattr(reference_values, "built", lambda *_, **__: values)
    endorse(HUK)
    unsigned, signed = tmp_path / "unsigned.corim", tmp_path / "signed.corim"
    assert run("reference-values", "--corim", unsigned, "--unsigned")[0] == 0
    assert run("reference-values", "--corim", signed)[0] == 0
    message = cbor2.loads(signed.read_bytes())
    assert message.tag == 18 and message.value[2] == unsigned.read_bytes()
    _, keys = (cbor2.loads(tag.value)[4] for tag in cbor2.loads(message.value[2]).value[1])
    assert [triple[0][1].value[1:] for triple in keys[3]] == [evidence_maker.device_id(HUK)]
    status, _, err = run("reference-values", "--unsigned")
    assert status == 2 and "without --corim" in err


# Keys -------------------------------------------------------------------------------------------

DEVICE = "94f655b4-fb6d-5bb5-893c-adf76162679b"


def write_request(path: Path, key: ec.EllipticCurvePrivateKey, name: str = "signing") -> Path:
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, name),
            x509.NameAttribute(NameOID.SERIAL_NUMBER, DEVICE),
        ]
    )
    csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, SHA256())
    path.write_bytes(csr.public_bytes(Encoding.PEM))
    return path


def policies(certificate: x509.Certificate) -> list[x509.ObjectIdentifier]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.CertificatePolicies)
    except x509.ExtensionNotFound:
        return []
    return [policy.policy_identifier for policy in found.value]


def test_issue_revoke_and_list(run: Run, tmp_path: Path) -> None:
    csr = write_request(tmp_path / "signing.csr", ec.generate_private_key(ec.SECP256R1()))
    out_file = tmp_path / "signing.pem"
    unattested = ("keys", "issue", csr, "--unattested")
    status, out, _ = run(*unattested, "--out", out_file, "--days", "3")
    assert status == 0 and f"serialNumber={DEVICE}" in out
    status, out, _ = run(*unattested)
    certificate = x509.load_pem_x509_certificate(out.encode())
    assert certificate.issuer == OwnerAuthority().certificate().subject

    status, out, err = run("keys", "revoke", out_file, "--reason", "superseded")
    first = x509.load_pem_x509_certificate(out_file.read_bytes())
    crl = x509.load_pem_x509_crl(out.encode())
    assert status == 0 and [entry.serial_number for entry in crl] == [first.serial_number]
    assert f"{first.serial_number:x}" in err
    status, out, _ = run("keys", "revoke", f"{certificate.serial_number:X}")
    assert len(list(x509.load_pem_x509_crl(out.encode()))) == 2
    assert run("keys", "crl", "--out", tmp_path / "owner.crl")[0] == 0
    assert len(list(x509.load_pem_x509_crl((tmp_path / "owner.crl").read_bytes()))) == 2

    status, out, _ = run("keys", "authority", "--issued")
    assert out.count(DEVICE) == 2 and "revoked (superseded)" in out
    status, out, _ = run("keys", "authority", "--json")
    assert [entry["attested"] for entry in json.loads(out)["issued"]] == [False, False]
    status, out, _ = run("keys", "authority")
    assert x509.load_pem_x509_certificate(out.encode()) == OwnerAuthority().certificate()
    status, _, err = run(*unattested)
    assert status == 2 and "was revoked" in err


def test_a_key_is_certified_for_evidence_that_names_it(
    run: Run, token: Path, reference: Path, tmp_path: Path
) -> None:
    endorse(HUK)
    attested = ("--evidence", token, "--nonce", NONCE.hex(), "--reference", reference)
    # The TA of evidence_maker has these scalars.
    wrapping = write_request(
        tmp_path / "wrapping.csr", ec.derive_private_key(11, ec.SECP256R1()), "wrapping"
    )
    status, out, _ = run("keys", "issue", wrapping, *attested)
    assert status == 0 and out.startswith("-----BEGIN CERTIFICATE")
    assert policies(x509.load_pem_x509_certificate(out.encode())) == [ca.ATTESTED]
    # A relying party that has never heard of the other way to get one can tell them apart.
    status, out, _ = run("keys", "issue", wrapping, "--unattested")
    assert status == 0 and policies(x509.load_pem_x509_certificate(out.encode())) == []
    status, out, _ = run("keys", "authority", "--json")
    assert [entry["attested"] for entry in json.loads(out)["issued"]] == [True, False]
    status, out, _ = run("keys", "authority", "--issued")
    assert ["attested" in line for line in out.splitlines()] == [True, False]
    for option in ("--unattested", "--no-revocation"):
        status, out, err = run("keys", "issue", wrapping, *attested, option)
        assert (status, out) == (2, "") and option in err
    other = write_request(tmp_path / "other.csr", ec.generate_private_key(ec.SECP256R1()))
    status, out, err = run("keys", "issue", other, *attested)
    assert (status, out) == (2, "") and "none of those" in err
    late = ("--evidence", token, "--nonce", "00" * 32, "--reference", reference)
    status, out, err = run("keys", "issue", wrapping, *late)
    assert (status, out) == (2, "") and "nonce" in err
    assert len(OwnerAuthority().issued()) == 2


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("issue", "none.csr"), "cannot read none.csr"),
        (("issue", "CSR"), "not that a TA has it"),
        (("issue", "CSR", "--days", "0"), "not a number of days"),
        (("issue", "CSR", "--nonce", "00" * 8), "without --evidence"),
        (("revoke", "none.pem"), "neither a file nor a serial number"),
        (("revoke", "12345"), "no certificate of serial number 12345"),
        (("revoke", "CSR"), "no certificate in PEM"),
        (("revoke", "12345", "--reason", "removeFromCRL"), "invalid choice"),
    ],
)
def test_wrong_use_of_keys_is_2(
    argv: tuple[str, ...], words: str, run: Run, tmp_path: Path
) -> None:
    csr = write_request(tmp_path / "a.csr", ec.generate_private_key(ec.SECP256R1()))
    status, _, err = run("keys", *(csr if word == "CSR" else word for word in argv))
    assert status == 2 and words in err
