# SPDX-License-Identifier: Apache-2.0
"""Keys go to attested code only: what the command line shows, and what the client refuses."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_public_key
from real_stack import MODEL, ROOT, Client, run_sandbox, sha256
from test_hostile_input import refused

from sandbox import process
from sandbox.authority import device
from sandbox.authority.ca import ATTESTED
from sandbox.commands import trust
from sandbox.commands.keys_device import RotationRefused, rotated
from sandbox.log import SilentProgress
from sandbox.machine import flash
from sandbox.machine.boot import GUEST_SHARE
from sandbox.machine.guest import Guest
from sandbox.machine.machine import Machine
from sandbox.owner import cose, keys
from sandbox.owner.client import Client as Owner
from sandbox.owner.client import Model
from sandbox.owner.results import ResultError
from sandbox.owner.service import Session
from sandbox.owner.share import Share
from sandbox.tee import MemrefOut, TEEContext, TeeError, TeeResult, ValueIn
from sandbox.tee_abi import CSR_MAX_BYTES, TA_UUID, Command, OwnKey
from sandbox.verifier import errors
from sandbox.verifier.verifier import Verifier

CHELSEA = ROOT / "fixtures/photos/chelsea.jpg"


@pytest.fixture(scope="module")
def verifier(machine: Machine) -> Verifier:
    return trust.verifier(machine, SilentProgress())


def test_evidence_names_this_device_this_code_and_this_session(
    client: Client, machine: Machine, verifier: Verifier
) -> None:
    nonce = os.urandom(32)
    appraisal = verifier.appraise(client.session.attest(nonce), nonce)
    assert appraisal.affirming, appraisal.checks
    evidence = appraisal.accepted
    huk = flash.hardware_unique_key(machine.folder.flash)
    assert evidence.device == device.device_uuid(huk) == client.info.device
    assert evidence.ta_uuid == TA_UUID
    assert evidence.ta.challenge == client.challenge
    assert evidence.ta.models == (bytes.fromhex(sha256(MODEL.read_bytes())),)
    assert appraisal.wrapping_key == client.wrapping
    assert appraisal.signing_key == client.signer


def test_evidence_is_for_one_nonce(client: Client, verifier: Verifier) -> None:
    token = client.session.attest(os.urandom(32))
    with pytest.raises(errors.NonceRefused):
        verifier.appraise(token, os.urandom(32)).raise_for_status()


def test_evidence_that_was_altered_is_refused(client: Client, verifier: Verifier) -> None:
    nonce = os.urandom(32)
    token = client.session.attest(nonce)
    for position in range(0, len(token), 7):
        bent = bytearray(token)
        bent[position] ^= 1
        assert not verifier.appraise(bytes(bent), nonce).affirming, position


def test_attest_shows_and_judges(machine: Machine, tmp_path: Path) -> None:
    token = tmp_path / "token.cbor"
    ran = run_sandbox("attest", "--out", token)
    assert ran.status == 0, ran.stderr
    for words in ("affirming", str(TA_UUID), "TA says: wrapping key"):
        assert words in ran.stdout
    # What somebody else needs to judge the same.
    nonce = os.urandom(16).hex()
    described = run_sandbox("attest", "--nonce", nonce, "--json", "--out", token).json
    assert described["appraisal"]["status"] == "affirming"
    assert described["evidence"]["nonce"] == nonce
    reference = tmp_path / "reference.json"
    assert run_sandbox("reference-values", "--out", reference).status == 0
    verify = ("verify", token, "--reference", reference)
    assert run_sandbox(*verify, "--nonce", nonce).status == 0
    ran = run_sandbox(*verify, "--nonce", "00" * 16)
    assert ran.status == 2
    assert "nonce" in ran.stdout


@contextmanager
def refused_photo(*options: str | Path, name: str) -> Iterator[None]:
    ran = run_sandbox("detect", CHELSEA, "--json", *options)
    assert ran.status == 2, ran
    (line,) = ran.json_lines
    assert line["error"]["name"] == name, line
    yield


def only_model(digest: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        head, models = text.split("[models]")
        return f"{head}[models]" + models.replace('allowed = "any"', f'allowed = ["{digest}"]', 1)

    return change


def policy(tmp_path: Path, change: Callable[[str], str]) -> Path:
    reference = tmp_path / "reference.json"
    run_sandbox("reference-values", "--out", reference)
    text = run_sandbox("verify", "--print-policy", "--reference", reference).stdout
    changed = change(text)
    assert changed != text
    path = tmp_path / "policy.toml"
    path.write_text(changed)
    return path


def test_a_policy_without_debugging_accepts_no_emulated_device(
    machine: Machine, tmp_path: Path
) -> None:
    strict = policy(tmp_path, lambda text: text.replace("allowed = true", "allowed = false"))
    with refused_photo("--policy", strict, name="DebugRefused"):
        pass
    assert run_sandbox("detect", CHELSEA).status == 0


def test_a_policy_that_does_not_list_the_model(machine: Machine, tmp_path: Path) -> None:
    with refused_photo("--policy", policy(tmp_path, only_model("0" * 64)), name="ModelUnlisted"):
        pass
    ours = policy(tmp_path, only_model(sha256(MODEL.read_bytes())))
    assert run_sandbox("detect", CHELSEA, "--policy", ours).status == 0


def test_measurements_that_are_not_ours(machine: Machine, tmp_path: Path) -> None:
    reference = tmp_path / "reference.json"
    run_sandbox("reference-values", "--out", reference)
    values = json.loads(reference.read_text())
    values["tas"][0]["sha256"] = "0" * 64
    reference.write_text(json.dumps(values))
    with refused_photo("--reference", reference, name="MeasurementRefused"):
        pass


def test_keys_of_the_device_and_the_ta(machine: Machine, tmp_path: Path) -> None:
    listed = run_sandbox("keys", "list", "--json").json
    assert set(listed) == {"attestation", "wrapping", "signing"}
    for label, entry in listed.items():
        pem = run_sandbox("keys", "show", label).stdout
        key = load_pem_public_key(pem.encode())
        assert isinstance(key, ec.EllipticCurvePublicKey)
        assert cose.thumbprint(key).hex() == entry["thumbprint"]
        jwk = run_sandbox("keys", "show", label, "--format", "jwk").stdout
        assert cose.from_jwk(jwk) == key
        encoded = run_sandbox("keys", "show", label, "--format", "cose").stdout
        assert cose.decode_key(bytes.fromhex(encoded)) == key


def test_a_certificate_for_the_signing_key(machine: Machine, tmp_path: Path) -> None:
    """From the TA's request to a certificate that names device and key, and away again."""
    csr, token, certificate = (tmp_path / name for name in ("s.csr", "t.cbor", "s.pem"))
    reference = tmp_path / "reference.json"
    run_sandbox("reference-values", "--out", reference)
    nonce = os.urandom(16).hex()
    assert run_sandbox("attest", "--nonce", nonce, "--out", token).status == 0
    assert run_sandbox("keys", "csr", "signing", "--out", csr).status == 0
    issue = ("keys", "issue", csr, "--out", certificate)
    proved = ("--evidence", token, "--nonce", nonce, "--reference", reference)
    ran = run_sandbox(*issue, *proved)
    assert ran.status == 0, ran.stderr
    made = x509.load_pem_x509_certificate(certificate.read_bytes())
    subject = made.subject.rfc4514_string()
    huk = flash.hardware_unique_key(machine.folder.flash)
    assert str(device.device_uuid(huk)) in subject and "signing" in subject
    shown = load_pem_public_key(run_sandbox("keys", "show", "signing").stdout.encode())
    assert made.public_key() == shown
    (attested,) = made.extensions.get_extension_for_class(x509.CertificatePolicies).value
    assert attested.policy_identifier == ATTESTED
    assert run_sandbox("keys", "revoke", certificate).status == 0
    # Somebody else's request is none of this TA's.
    other = ec.generate_private_key(ec.SECP256R1())
    forged = tmp_path / "forged.csr"
    request = x509.CertificateSigningRequestBuilder().subject_name(made.subject)
    forged.write_bytes(request.sign(other, SHA256()).public_bytes(Encoding.PEM))
    assert run_sandbox("keys", "issue", forged, *proved).status == 2


def test_there_is_no_request_for_the_wrapping_key(client: Client, machine: Machine) -> None:
    """It cannot sign that it is there; nobody else signs for it: not command, client, nor TA."""
    ran = run_sandbox("keys", "csr", "wrapping")
    assert ran.status == 2 and "BEGIN" not in ran.stdout, ran
    assert refused(lambda: client.session.csr("wrapping")) == "TEE_ERROR_BAD_PARAMETERS"
    with TEEContext(machine) as context, context.open_session(TA_UUID) as session:
        for label in (OwnKey.WRAPPING, 0, 3, OwnKey.SIGNING | 1 << 8):
            with pytest.raises(TeeError) as refusal:
                session.invoke(Command.OWN_KEY_CSR, (ValueIn(label), MemrefOut(CSR_MAX_BYTES)))
            assert refusal.value.result is TeeResult.BAD_PARAMETERS
    # The signing key's is none that names the other.
    request = x509.load_der_x509_csr(client.session.csr("signing"))
    assert request.public_key() == client.signer != client.wrapping


def test_what_was_wrapped_to_a_rotated_key_opens_nowhere(
    machine: Machine, connect: Callable[[str], Client]
) -> None:
    before = connect("trust-before")
    assert run_sandbox("keys", "rotate", "wrapping").status == 0
    after = connect("trust-after")
    assert after.wrapping != before.wrapping
    assert after.signer == before.signer
    message = keys.wrap(os.urandom(32), keys.Slot.DATA, before.wrapping, after.challenge)
    assert refused(lambda: after.provision_bytes("data", message)) == "COSE_RECIPIENT"
    # Nor in a session from before, whose evidence has the new key.
    message = before.wrap(os.urandom(32), keys.Slot.DATA)
    assert refused(lambda: before.provision_bytes("data", message)) == "COSE_RECIPIENT"
    assert trust.Believed().keys_of(before.session).wrapping == after.wrapping
    after.provision()
    after.load()
    after.assert_works()


class Withheld:
    """A session whose normal world says that it had a key replaced, and has not."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def rotate(self, name: str) -> int:
        return 1

    def __getattr__(self, name: str) -> object:
        return getattr(self._session, name)


def test_a_rotation_that_the_normal_world_withholds_is_found_out(
    client: Client, verifier: Verifier
) -> None:
    trusted = trust.Verified(verifier)
    with pytest.raises(RotationRefused):
        rotated(Withheld(client.session), trusted, "signing")  # type: ignore[arg-type]
    assert trusted.keys_of(client.session).signing == client.signer


class Lying:
    """A session whose normal world says what it likes of the TA's keys."""

    def __init__(self, session: object, token: bytes) -> None:
        self._session = session
        self._token = token

    def attest(self, nonce: bytes) -> bytes:
        return self._token

    def __getattr__(self, name: str) -> object:
        return getattr(self._session, name)


def test_recorded_evidence_gets_no_key(
    client: Client, machine: Machine, verifier: Verifier
) -> None:
    recorded = client.session.attest(os.urandom(32))
    trusted = trust.Verified(verifier)
    with pytest.raises(errors.NonceRefused):
        trusted.keys_of(Lying(client.session, recorded))  # type: ignore[arg-type]


def test_the_owners_client_end_to_end(machine: Machine, guest: Guest, verifier: Verifier) -> None:
    """A result is opened with the signing key of the evidence; another's signature is refused."""
    model = Model("detector", MODEL.read_bytes(), os.urandom(32), version=3)
    with Session(Machine.service(guest), GUEST_SHARE) as session:
        owner = Owner(session, Share(machine.share), model, trust.Verified(verifier))
        owner.prepare("trust-owner")
        result = owner.detect(CHELSEA.read_bytes(), 0.5, {})
        assert [found.label for found in result.detections] == ["cat"]
        assert (result.origin.model_name, result.origin.model_version) == ("detector", 3)
        owner._signer = ec.generate_private_key(ec.SECP256R1()).public_key()
        with pytest.raises(ResultError):
            owner.detect(CHELSEA.read_bytes(), 0.5, {})
        session.close_session("trust-owner")


TA_FILE = f"/lib/optee_armtz/{TA_UUID}.ta"


def one_byte_changed(genuine: bytes, folder: Path) -> bytes:
    """The TA as somebody else would build it: one letter of a log line, and a good signature.

    The key that OP-TEE accepts here is the one of its sources: whoever has these can sign.
    """
    (folder / "genuine.ta").write_bytes(genuine)
    script = ROOT / "docs/tutorial/one_letter.py"
    argv: list[process.Argument] = [sys.executable, script]
    process.run([*argv, folder / "genuine.ta", folder / "evil.ta"], timeout_s=120.0)
    return (folder / "evil.ta").read_bytes()


@pytest.fixture
def evil(guest: Guest, tmp_path: Path) -> Iterator[None]:
    """New sessions are with a TA of the same UUID that is other code."""
    genuine = guest.get(TA_FILE)
    guest.put(TA_FILE, one_byte_changed(genuine, tmp_path), 0o444)
    try:
        yield
    finally:
        guest.put(TA_FILE, genuine, 0o444)


def test_a_ta_with_one_byte_changed_gets_no_photo(machine: Machine, evil: None) -> None:
    """Signed with a good key, of the same UUID: it runs, and is not the code that was expected."""
    with TEEContext(machine) as context, context.open_session(TA_UUID):
        pass
    with refused_photo(name="MeasurementRefused"):
        pass


def test_a_ta_with_one_byte_changed_has_other_keys(
    client: Client, evil: None, connect: Callable[[str], Client]
) -> None:
    """What was wrapped to the genuine code, it cannot open, whoever hands it over."""
    other = connect("trust-evil")
    assert other.wrapping != client.wrapping
    assert other.signer != client.signer
    message = keys.wrap(os.urandom(32), keys.Slot.DATA, client.wrapping, other.challenge)
    assert refused(lambda: other.provision_bytes("data", message)) == "COSE_RECIPIENT"
    client.assert_works()
