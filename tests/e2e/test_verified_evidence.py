# SPDX-License-Identifier: Apache-2.0
"""Evidence of a real machine, judged: from the factory to an attestation result."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import cbor2
import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from sandbox.__main__ import main
from sandbox.authority.manufacturer import Manufacturer, ensure_endorsed
from sandbox.commands import reference_values
from sandbox.devkit.build import Built
from sandbox.log import SilentProgress
from sandbox.machine import flash
from sandbox.machine.machine import Machine
from sandbox.tee import MemrefIn, MemrefOut, Session
from sandbox.verifier import chain, errors, policy
from sandbox.verifier.appraisal import Appraisal, Verdict
from sandbox.verifier.policy import Policy
from sandbox.verifier.reference import Reference
from sandbox.verifier.verifier import Verifier

FOLDER = Path(__file__).with_name("evidence_ta")
TA = UUID("835a053a-67d6-4491-a18f-b691aea64a86")
TOKEN = 0
WRAPPING = ec.derive_private_key(11, ec.SECP256R1()).public_key()


def own_claims() -> bytes:
    numbers = WRAPPING.public_numbers()
    point = {-2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
    return cbor2.dumps({8: {1: {1: 2, -1: 1, **point}}, 270: "evidence", 271: ["0.1.0"]})


def token(session: Session, nonce: bytes, claims: bytes | None = None) -> bytes:
    own = own_claims() if claims is None else claims
    return session.invoke(TOKEN, (MemrefIn(nonce), MemrefIn(own), MemrefOut(2048)))[2].data


@pytest.fixture(scope="module")
def built(push_ta: Callable[[Path], Built]) -> Built:
    return push_ta(FOLDER)


@pytest.fixture(scope="module")
def reference(machine: Machine, built: Built) -> Reference:
    """Of what runs, from the files that it was built from; nobody asks the machine."""
    record = machine.status().record
    assert record is not None
    values = reference_values.built(record.cores, SilentProgress(), [built.tas[0].ta])
    return Reference.from_json(json.dumps(values.as_json()))


@pytest.fixture(scope="module")
def toml(reference: Reference) -> str:
    """The default; this TA says a version of its own, which its file does not have."""
    return policy.default_toml(reference).replace('versions = "reference"', 'versions = "any"')


@pytest.fixture(scope="module")
def maker(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Manufacturer:
    maker = Manufacturer(tmp_path_factory.mktemp("maker"))
    maker.endorse(flash.hardware_unique_key(machine.folder.flash))
    return maker


@pytest.fixture(scope="module")
def verifier(maker: Manufacturer, reference: Reference, toml: str) -> Verifier:
    def endorsements(device: UUID) -> list[x509.Certificate]:
        found = maker.endorsement(device)
        return [] if found is None else [found]

    return Verifier(
        Policy.from_toml(toml),
        reference,
        [maker.certificate()],
        endorsements=endorsements,
        crls=[maker.crl()],
    )


@pytest.fixture
def session(built: Built, tee_session: Callable[..., Session]) -> Session:
    return tee_session(TA)


def reason(appraisal: Appraisal) -> type[Exception]:
    (failed,) = (check for check in appraisal.checks if check.verdict is Verdict.FAIL)
    assert failed.failure is not None
    return type(failed.failure)


def test_what_was_built_and_endorsed_is_affirmed(session: Session, verifier: Verifier) -> None:
    nonce = verifier.challenge()
    found = verifier.appraise(token(session, nonce), nonce)
    assert found.affirming, found.as_json()
    assert found.wrapping_key == WRAPPING
    assert found.vector == {"instance-identity": 2, "configuration": 2, "executables": 2}


def test_a_recorded_token_is_no_answer_to_the_next_challenge(
    session: Session, verifier: Verifier
) -> None:
    first = verifier.challenge()
    recorded = token(session, first)
    assert verifier.appraise(recorded, first).affirming
    assert reason(verifier.appraise(recorded, first)) is errors.NonceRefused
    assert reason(verifier.appraise(recorded, verifier.challenge())) is errors.NonceRefused


@pytest.mark.parametrize("place", ["IN_CODE\t", 'IN_CONSTANTS "', "IN_DATA\t"])
def test_a_ta_with_one_byte_changed_is_refused(
    place: str,
    verifier: Verifier,
    built: Built,
    push_ta: Callable[[Path], Built],
    tee_session: Callable[..., Session],
    tmp_path: Path,
) -> None:
    """The same UUID, signed with the same key, loaded by the same OP-TEE."""
    folder = tmp_path / "evidence_ta"
    shutil.copytree(FOLDER, folder)
    header = folder / "evidence_ta.h"
    text = header.read_text()
    assert text.count(place + "1") == 1
    header.write_text(text.replace(place + "1", place + "2"))
    try:
        push_ta(folder)
        nonce = verifier.challenge()
        found = verifier.appraise(token(tee_session(TA), nonce), nonce)
    finally:
        push_ta(FOLDER)
    assert reason(found) is errors.MeasurementRefused
    assert found.vector["executables"] == 33


def test_a_device_of_another_factory_is_refused(
    session: Session, reference: Reference, toml: str, machine: Machine, tmp_path: Path
) -> None:
    ours = Manufacturer(tmp_path / "ours")
    theirs = Manufacturer(tmp_path / "theirs")
    certificate = theirs.endorse(flash.hardware_unique_key(machine.folder.flash))
    verifier = Verifier(Policy.from_toml(toml), reference, [ours.certificate()])
    nonce = os.urandom(32)
    found = verifier.appraise(token(session, nonce), nonce, chain=[certificate])
    assert reason(found) is chain.CertificateUntrusted


def test_claims_that_are_no_keys_are_refused(session: Session, verifier: Verifier) -> None:
    """OP-TEE signs what a TA says as long as it is CBOR; what it means is the verifier's affair."""
    for claims in ({8: {1: {1: 2, -1: 1}}}, {-75012: [bytes(31)]}, {271: 7}):
        nonce = verifier.challenge()
        found = verifier.appraise(token(session, nonce, cbor2.dumps(claims)), nonce)
        assert reason(found) is errors.EvidenceType


def test_the_commands_from_the_factory_to_the_result(
    session: Session,
    machine: Machine,
    reference: Reference,
    toml: str,
    built: Built,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    record = machine.status().record
    assert record is not None
    values, rules, evidence = (tmp_path / name for name in ("values.json", "p.toml", "token.cbor"))
    nonce = os.urandom(32)
    evidence.write_bytes(token(session, nonce))
    rules.write_text(toml)
    ta, cores = str(built.tas[0].ta), str(record.cores)
    assert main(["reference-values", ta, "--cores", cores, "--out", str(values)]) == 0
    verify = ["verify", str(evidence), "--nonce", nonce.hex()]
    verify += ["--reference", str(values), "--policy", str(rules)]
    assert main(verify) == 2
    ensure_endorsed(flash.hardware_unique_key(machine.folder.flash))
    capsys.readouterr()
    assert main([*verify, "--json", "--ear", str(tmp_path / "ear.jwt")]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "affirming"
    assert main(["verify", "--print-key"]) == 0
    key = jwt.PyJWK(json.loads(capsys.readouterr().out))
    result = jwt.decode((tmp_path / "ear.jwt").read_text().strip(), key, algorithms=["ES256"])
    assert result["ear_status"] == "affirming"

    corim = tmp_path / "values.corim"
    argv = ["reference-values", ta, "--cores", cores, "--corim", str(corim), "--unsigned"]
    assert main(argv) == 0
    references, keys = (
        cbor2.loads(tag.value)[4] for tag in cbor2.loads(corim.read_bytes()).value[1]
    )
    assert [len(triple[1]) for triple in references[0]] == [2] * len(reference.tas)
    assert len(keys[3]) == 1
