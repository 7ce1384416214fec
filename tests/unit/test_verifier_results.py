# SPDX-License-Identifier: Apache-2.0
"""What the verifier gives to others: EAR, CoRIM, and what people read."""

import base64
import hashlib
import io
import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cbor2
import evidence_maker
import jwt
import pycddl
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key
from evidence_maker import HUK, NONCE, evidence
from pycose.keys import EC2Key
from pycose.keys.curves import P256
from pycose.messages import Sign1Message
from rich.console import Console

from sandbox.authority import device
from sandbox.authority.manufacturer import Manufacturer
from sandbox.verifier import corim, ear, policy, show
from sandbox.verifier.appraisal import Appraisal
from sandbox.verifier.kept_key import SigningKeyDamaged, kept_key
from sandbox.verifier.policy import Policy
from sandbox.verifier.reference import Reference
from sandbox.verifier.verifier import Verifier

ROOT = Path(__file__).parents[2]
REFERENCE = Reference.from_json(json.dumps(evidence_maker.reference()))
DEFAULT = policy.default_toml(REFERENCE)
SCHEMA = (ROOT / "tests" / "shared" / "corim.cddl").read_text()


@pytest.fixture
def maker(tmp_path: Path) -> Manufacturer:
    return Manufacturer(tmp_path / "maker")


def appraised(maker: Manufacturer, token: bytes, *, revocation: bool = True) -> Appraisal:
    verifier = Verifier(
        Policy.from_toml(DEFAULT),
        REFERENCE,
        [maker.certificate()],
        crls=[maker.crl()] if revocation else None,
    )
    return verifier.appraise(token, NONCE, chain=[maker.endorse(HUK)])


# EAR --------------------------------------------------------------------------------------------


def test_an_ear_is_a_jwt_that_others_can_check(maker: Manufacturer, tmp_path: Path) -> None:
    key = kept_key(tmp_path / "verifier" / "ear.pem")
    token = ear.sign(appraised(maker, evidence()), key)
    public = jwt.PyJWK(ear.jwk(key.public_key()) | {"alg": "ES256"})
    found = jwt.decode(token, public, algorithms=["ES256"])
    header = jwt.get_unverified_header(token)
    assert header == {"alg": "ES256", "typ": "eat+jwt", "kid": ear.thumbprint(key.public_key())}

    # draft-ietf-rats-ear-04, figures 1 and 2.
    assert found["eat_profile"] == "tag:ietf.org,2026:rats/ear#04"
    assert set(found["ear_verifier_id"]) == {"developer", "build"}
    assert abs(found["iat"] - datetime.now(UTC).timestamp()) < 60
    assert type(found["iat"]) is type(found["exp"]) is int and found["exp"] > found["iat"]
    assert found["ear_status"] == "affirming"
    (judged,) = found["submods"].values()
    assert judged["ear_status"] == "affirming"
    assert judged["ear_trustworthiness_vector"] == {
        "instance-identity": 2,
        "configuration": 2,
        "executables": 2,
    }
    assert judged["ear_appraisal_policy_ids"] == [Policy.from_toml(DEFAULT).id]
    assert base64.urlsafe_b64decode(judged["eat_nonce"] + "==") == NONCE
    claims = judged["ear_attester_claims"]
    wrapping = ec.derive_private_key(11, ec.SECP256R1()).public_key()
    assert claims["cnf"]["jwk"] == ear.jwk(wrapping)
    assert jwt.PyJWK(claims["cnf"]["jwk"]).key == wrapping


def test_an_altered_ear_is_noticed(maker: Manufacturer, tmp_path: Path) -> None:
    key = kept_key(tmp_path / "ear.pem")
    head, body, signature = ear.sign(appraised(maker, evidence({10: bytes(32)})), key).split(".")
    claims = base64.urlsafe_b64decode(body + "==").replace(b"contraindicated", b"affirming")
    forged = ".".join([head, base64.urlsafe_b64encode(claims).rstrip(b"=").decode(), signature])
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(forged, key.public_key(), algorithms=["ES256"])


@pytest.mark.parametrize(
    ("token", "vector", "error"),
    [
        (
            evidence({10: bytes(32)}),
            {"instance-identity": 99, "configuration": 99, "executables": 99},
            "NonceRefused",
        ),
        (evidence(huk=bytes(16)), {"instance-identity": 99}, "SignatureRefused"),
        (b"", {"instance-identity": 1}, "EvidenceTruncated"),
    ],
    ids=["nonce", "signature", "nothing"],
)
def test_a_refusal_is_an_ear_too(
    token: bytes, vector: dict[str, int], error: str, maker: Manufacturer
) -> None:
    found = ear.claims(appraised(maker, token))
    (judged,) = found["submods"].values()
    assert found["ear_status"] == judged["ear_status"] == "contraindicated"
    assert judged["ear_trustworthiness_vector"] == vector
    errors = [check.get("error") for check in judged["ear_verifier_claims"]["checks"]]
    assert error in errors


def test_thumbprint_is_over_the_members_that_rfc_7638_names() -> None:
    """What is digested, for the base point of P-256."""
    key = ec.derive_private_key(1, ec.SECP256R1()).public_key()
    by_hand = json.dumps(
        {
            "crv": "P-256",
            "kty": "EC",
            "x": "axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY",
            "y": "T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU",
        },
        separators=(",", ":"),
    )
    digest = hashlib.sha256(by_hand.encode()).digest()
    assert ear.thumbprint(key) == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def test_the_verifiers_key_is_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "verifier" / "ear.pem"
    first = kept_key(path).private_numbers()
    assert kept_key(path).private_numbers() == first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["ear.pem"]
    path.write_text("nothing")
    with pytest.raises(SigningKeyDamaged):
        kept_key(path)


# CoRIM ------------------------------------------------------------------------------------------


def exported(maker: Manufacturer) -> bytes:
    certificate = maker.endorse(HUK)
    return corim.export(REFERENCE, {device.device_uuid(HUK): certificate})


def test_corim_follows_the_drafts_cddl(maker: Manufacturer) -> None:
    schema = pycddl.Schema(SCHEMA)
    assert exported(maker).startswith(bytes.fromhex("d901f5"))  # section 11.12.1
    for data in (exported(maker), corim.export(REFERENCE)):
        schema.validate_cbor(data)


def triples(data: bytes) -> list[dict[int, Any]]:
    return [cbor2.loads(tag.value)[4] for tag in cbor2.loads(data).value[1]]


def test_corim_has_what_veraisons_psa_scheme_looks_for(maker: Manufacturer) -> None:
    references, keys = triples(exported(maker))
    ((environment, measurements),) = references[0]
    implementation = evidence_maker.claims()[2396]
    assert environment[0][0] == cbor2.CBORTag(560, implementation)
    found = {m[1][11]: (m[1][0][0], m[1][2]) for m in measurements}
    assert found == {
        "OP-TEE core": ("4.10.0", [[1, evidence_maker.CORE_SHA256]]),
        "TA": ("0.1.0", [[1, evidence_maker.TA_SHA256]]),
    }
    assert {m[0] for m in measurements} == {"psa.software-component"}
    ((environment, (key,)),) = keys[3]
    assert environment[0][0] == cbor2.CBORTag(560, implementation)
    assert environment[1] == cbor2.CBORTag(550, b"\x01" + evidence_maker.device_id(HUK))
    assert key.tag == 554
    scalar = int.from_bytes(evidence_maker.private_scalar(HUK), "big")
    expected = ec.derive_private_key(scalar, ec.SECP256R1()).public_key()
    assert load_der_public_key(base64.b64decode(key.value)) == expected


def test_each_ta_has_a_triple_of_its_own() -> None:
    raw = evidence_maker.reference()
    raw["tas"].append({**raw["tas"][0], "sha256": "cd" * 32})
    (found,) = triples(corim.export(Reference.from_json(json.dumps(raw))))
    digests = [[m[1][2][0][1] for m in measurements] for _, measurements in found[0]]
    core = evidence_maker.CORE_SHA256
    assert digests == [[core, evidence_maker.TA_SHA256], [core, bytes.fromhex("cd" * 32)]]
    raw["tas"] = []
    (found,) = triples(corim.export(Reference.from_json(json.dumps(raw))))
    assert len(found[0]) == 1 and len(found[0][0][1]) == 1


def test_the_same_values_give_the_same_corim_and_others_another(maker: Manufacturer) -> None:
    assert corim.export(REFERENCE) == corim.export(REFERENCE)
    raw = evidence_maker.reference()
    raw["tas"][0]["sha256"] = "cd" * 32
    other = corim.export(Reference.from_json(json.dumps(raw)))
    identifiers = [cbor2.loads(data).value[0] for data in (corim.export(REFERENCE), other)]
    assert identifiers[0] != identifiers[1]


def test_a_signed_corim_is_checked_by_another_implementation(maker: Manufacturer) -> None:
    key = ec.derive_private_key(5, ec.SECP256R1())
    unsigned = exported(maker)
    data = corim.sign(unsigned, key, "tests")
    assert data.startswith(bytes.fromhex("d284"))  # section 11.12.2
    message = Sign1Message.decode(data)
    message.key = EC2Key(crv=P256, d=(5).to_bytes(32, "big"))
    assert message.verify_signature()
    assert message.payload == unsigned
    header = cbor2.loads(data).value[0]
    schema = pycddl.Schema("start = protected-corim-header-map\n" + SCHEMA)
    schema.validate_cbor(header)
    assert cbor2.loads(cbor2.loads(header)[8]) == {0: {0: "tests"}}
    message.payload = unsigned + b"\0"
    assert not message.verify_signature()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda top: cbor2.CBORTag(502, top.value),
        lambda top: cbor2.CBORTag(501, {**top.value, 0: b"short"}),
        lambda top: cbor2.CBORTag(501, {**top.value, 1: []}),
        lambda top: cbor2.CBORTag(501, {**top.value, 3: "tag:arm.com,2025:psa#1.0.0"}),
        lambda top: cbor2.CBORTag(501, {k: v for k, v in top.value.items() if k != 1}),
        lambda top: cbor2.CBORTag(501, {**top.value, 1: [_respelled(top.value[1][0])]}),
    ],
    ids=["tag", "id", "no-tags", "profile-without-its-tag", "tags-missing", "digest-of-20-bytes"],
)
def test_the_schema_refuses_what_is_wrong(spoil: Any, maker: Manufacturer) -> None:
    """So that a schema which accepts anything is noticed."""
    data = cbor2.dumps(spoil(cbor2.loads(exported(maker))))
    with pytest.raises(pycddl.ValidationError):
        pycddl.Schema(SCHEMA).validate_cbor(data)


def _respelled(tag: cbor2.CBORTag) -> cbor2.CBORTag:
    comid = cbor2.loads(tag.value)
    comid[4][0][0][1][0][1][2][0][1] = bytes(20)
    return cbor2.CBORTag(506, cbor2.dumps(comid))


# For people -------------------------------------------------------------------------------------


def printed(function: Any, what: Any, width: int = 160) -> str:
    out = io.StringIO()
    function(what, Console(file=out, width=width, highlight=False))
    return out.getvalue()


def test_an_appraisal_is_a_line_a_check(maker: Manufacturer) -> None:
    good = printed(show.print_appraisal, appraised(maker, evidence()))
    assert "affirming" in good and "NO" not in good
    bad = printed(show.print_appraisal, appraised(maker, evidence({10: bytes(32)})))
    (line,) = (line for line in bad.splitlines() if line.startswith("nonce"))
    assert NONCE.hex() in line and bytes(32).hex() in line and line.rstrip().endswith("NO")
    assert bad.rstrip().endswith("contraindicated")


def test_what_nobody_asked_is_a_warning_wherever_it_is_read(maker: Manufacturer) -> None:
    found = appraised(maker, evidence(), revocation=False)
    claims = json.loads(json.dumps(ear.claims(found)))
    (judged,) = claims["submods"].values()
    assert claims["ear_status"] == judged["ear_status"] == "warning"
    assert judged["ear_trustworthiness_vector"]["instance-identity"] == -33
    text = printed(show.print_appraisal, found)
    (line,) = (line for line in text.splitlines() if line.startswith("revocation"))
    assert "no list is asked" in line and line.rstrip().endswith("warning")
    assert text.rstrip().endswith("warning")


def test_evidence_is_printed_as_it_is(maker: Manufacturer) -> None:
    token = evidence({-70000: 1, "\x1b[2J": 2}, ta={270: "[red]inference"})
    found = appraised(maker, token).evidence
    assert found is not None
    text = printed(show.print_evidence, found)
    assert "[red]inference" in text and "\x1b" not in text
    for words in (str(found.device), evidence_maker.TA_SHA256.hex(), "enabled", "-70000"):
        assert words in text
    narrow = printed(show.print_evidence, found, width=60)
    assert evidence_maker.MODEL.hex() in narrow.replace("\n", "").replace(" ", "")
    described = json.loads(json.dumps(show.evidence_json(found)))
    assert described["ta"]["models"] == [evidence_maker.MODEL.hex()]


def test_result_as_json_names_the_error(maker: Manufacturer) -> None:
    found = appraised(maker, evidence(scalar=bytes(31) + b"\x01")).as_json()
    assert found["status"] == "contraindicated"
    checks = found["checks"]
    assert isinstance(checks, list)
    assert [c["error"] for c in checks if "error" in c] == ["SignatureRefused"]


def test_an_ear_that_expired_is_refused_by_its_reader(maker: Manufacturer) -> None:
    verifier = Verifier(
        Policy.from_toml(DEFAULT),
        REFERENCE,
        [maker.certificate()],
        clock=lambda: datetime.now(UTC) - timedelta(hours=2),
    )
    key = ec.generate_private_key(ec.SECP256R1())
    token = ear.sign(verifier.appraise(evidence(), NONCE, chain=[maker.endorse(HUK)]), key)
    with pytest.raises(jwt.ExpiredSignatureError):
        jwt.decode(token, key.public_key(), algorithms=["ES256"])
