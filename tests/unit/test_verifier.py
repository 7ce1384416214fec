# SPDX-License-Identifier: Apache-2.0
"""Appraisal: what must be refused is, by name; the rest is affirmed."""

import json
import random
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import evidence_maker
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier
from evidence_maker import HUK, NONCE, evidence
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.authority.manufacturer import Manufacturer
from sandbox.errors import UserError
from sandbox.verifier import chain, errors, policy
from sandbox.verifier import verifier as verifier_module
from sandbox.verifier.appraisal import Appraisal, Tier, Verdict, tier_of
from sandbox.verifier.nonces import Nonces
from sandbox.verifier.policy import Policy
from sandbox.verifier.reference import Reference
from sandbox.verifier.verifier import Verifier

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
REFERENCE = Reference.from_json(json.dumps(evidence_maker.reference()))
DEFAULT = policy.default_toml(REFERENCE)
DEVICE = uuid.UUID(bytes=evidence_maker.device_id(HUK))
OTHER_DIGEST = "ab" * 32


@pytest.fixture
def maker(tmp_path: Path) -> Manufacturer:
    return Manufacturer(tmp_path / "maker", clock=lambda: NOW - timedelta(days=1))


Appraise = Callable[..., Appraisal]


@pytest.fixture
def appraise(maker: Manufacturer) -> Appraise:
    """Default evidence by the default policy, but for what a test says."""

    def run(
        token: bytes | None = None,
        *,
        nonce: bytes = NONCE,
        toml: str = DEFAULT,
        certificates: list[x509.Certificate] | None = None,
        at: datetime = NOW,
        reference: Reference = REFERENCE,
        **options: Any,
    ) -> Appraisal:
        if certificates is None:
            certificates = [maker.endorse(HUK)]
        options.setdefault("crls", [maker.crl()])
        verifier = Verifier(
            Policy.from_toml(toml),
            reference,
            [maker.certificate()],
            endorsements=lambda device: certificates if device == DEVICE else [],
            clock=lambda: at,
            **{k: v for k, v in options.items() if k in ("crls", "nonces")},
        )
        rest = {k: v for k, v in options.items() if k not in ("crls", "nonces")}
        return verifier.appraise(evidence() if token is None else token, nonce, **rest)

    return run


def refused(appraisal: Appraisal, kind: type[UserError], check: str) -> UserError:
    """It is refused, for this reason and no other."""
    failed = [c for c in appraisal.checks if c.verdict is Verdict.FAIL]
    assert [c.name for c in failed] == [check]
    assert appraisal.tier is Tier.CONTRAINDICATED and not appraisal.affirming
    with pytest.raises(UserError) as raised:
        appraisal.raise_for_status()
    assert type(raised.value) is kind
    for key in ("wrapping_key", "signing_key", "accepted"):
        with pytest.raises(kind):
            getattr(appraisal, key)
    return raised.value


def test_good_evidence_is_affirmed(appraise: Appraise) -> None:
    found = appraise()
    assert found.affirming, found.as_json()
    found.raise_for_status()
    assert found.vector == {"instance-identity": 2, "configuration": 2, "executables": 2}
    assert found.wrapping_key == ec.derive_private_key(11, ec.SECP256R1()).public_key()
    assert found.signing_key == ec.derive_private_key(12, ec.SECP256R1()).public_key()
    assert all(check.verdict is Verdict.PASS for check in found.checks)


# Who says so ------------------------------------------------------------------------------------


def test_a_signature_of_another_key_is_refused(appraise: Appraise) -> None:
    """The normal world has its own key, and says that it is the device."""
    forged = evidence(scalar=evidence_maker.private_scalar(bytes(16)))
    found = appraise(forged)
    refused(found, errors.SignatureRefused, "signature")
    assert found.vector == {"instance-identity": 99}
    assert found.checks[-1].verdict is Verdict.NOT_JUDGED


def test_any_altered_byte_of_the_payload_or_the_signature_is_refused(appraise: Appraise) -> None:
    token = evidence()
    begin = token.index(evidence_maker.PROFILE.encode())
    for at in [*range(begin, len(token), 37), len(token) - 1]:
        altered = token[:at] + bytes([token[at] ^ 1]) + token[at + 1 :]
        assert not appraise(altered).affirming


def test_evidence_of_another_profile_is_refused(appraise: Appraise) -> None:
    found = appraise(evidence({265: "tag:psacertified.org,2023:psa#tfm"}))
    refused(found, errors.ProfileRefused, "profile")


def test_another_implementation_is_refused(appraise: Appraise) -> None:
    found = appraise(evidence({2396: bytes(32)}))
    refused(found, errors.ProfileRefused, "implementation")
    assert found.vector["hardware"] == 97


def test_what_is_no_token_is_refused(appraise: Appraise) -> None:
    found = appraise(b"\xd2\x84")
    refused(found, errors.EvidenceTruncated, "format")
    assert found.evidence is None and found.vector == {"instance-identity": 1}


def test_a_key_twice_that_cannot_be_decoded_is_refused(appraise: Appraise) -> None:
    """Before any signature is looked at, so anybody can send it."""
    payload = b"\xa2\x61\xff\0\x61\xff\0"
    token = b"\xd2\x84\x43\xa1\x01\x26\xa0" + bytes([0x40 | len(payload)]) + payload
    error = refused(appraise(token + b"\x58\x40" + bytes(64)), errors.EvidenceDuplicate, "format")
    assert "0x61ff" in error.message


def test_a_device_that_nobody_endorsed_is_refused(appraise: Appraise) -> None:
    refused(appraise(evidence(huk=bytes(16))), chain.CertificateUntrusted, "certificate")


def test_another_devices_certificate_is_refused(maker: Manufacturer, appraise: Appraise) -> None:
    """Endorsed, genuine, and with a certificate of its own: but it says that it is another."""
    theirs = bytes(16)
    certificate = maker.endorse(theirs)
    liar = evidence(scalar=evidence_maker.private_scalar(theirs))
    error = refused(appraise(liar, certificates=[certificate]), errors.DeviceRefused, "device")
    assert str(DEVICE) in error.message
    # And evidence of ours does not verify with their key.
    found = appraise(evidence(), certificates=[certificate])
    refused(found, errors.SignatureRefused, "signature")


def test_a_key_id_of_another_device_is_refused(appraise: Appraise) -> None:
    refused(appraise(evidence(kid=b"\x01" + bytes(16))), errors.DeviceRefused, "device")


# The chain --------------------------------------------------------------------------------------


class Forge:
    """Certificates as nobody should make them."""

    def __init__(self, name: str = "optee-sandbox emulated manufacturer") -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.root = self.certificate(self.key.public_key(), subject=self.name, ca=True)

    def certificate(
        self,
        key: ec.EllipticCurvePublicKey,
        *,
        subject: x509.Name | None = None,
        issuer: x509.Name | None = None,
        by: ec.EllipticCurvePrivateKey | None = None,
        ca: bool = False,
        usage: str | None = "digital_signature",
        days: tuple[int, int] = (-10, 10),
        names: tuple[str, ...] = ("attestation",),
        serials: tuple[str, ...] = (str(DEVICE),),
        extended: tuple[ObjectIdentifier, ...] = (),
    ) -> x509.Certificate:
        if subject is None:
            subject = x509.Name(
                [x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names]
                + [x509.NameAttribute(NameOID.SERIAL_NUMBER, serial) for serial in serials]
            )
        flags = dict.fromkeys(
            (
                *("digital_signature", "content_commitment", "key_encipherment"),
                *("data_encipherment", "key_agreement", "key_cert_sign", "crl_sign"),
                *("encipher_only", "decipher_only"),
            ),
            False,
        )
        if ca:
            flags["key_cert_sign"] = flags["crl_sign"] = True
        elif usage is not None:
            flags[usage] = True
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer or self.name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW + timedelta(days=days[0]))
            .not_valid_after(NOW + timedelta(days=days[1]))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key((by or self.key).public_key()),
                critical=False,
            )
        )
        if usage is not None:
            builder = builder.add_extension(x509.KeyUsage(**flags), critical=True)
        if extended:
            builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
        return builder.sign(by or self.key, SHA256())

    def crl(
        self, *, days: tuple[int, int] = (-1, 1), extension: x509.ExtensionType | None = None
    ) -> x509.CertificateRevocationList:
        """Of nothing."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.root.subject)
            .last_update(NOW + timedelta(days=days[0]))
            .next_update(NOW + timedelta(days=days[1]))
        )
        if extension is not None:
            builder = builder.add_extension(extension, critical=True)
        return builder.sign(self.key, SHA256())

    def verifier(self, **options: Any) -> Verifier:
        """One that trusts the forge: what is wrong is with the certificate alone."""
        options = {"crls": [self.crl()], **options}
        return Verifier(
            Policy.from_toml(DEFAULT), REFERENCE, [self.root], clock=lambda: NOW, **options
        )


DEVICE_KEY = ec.derive_private_key(
    int.from_bytes(evidence_maker.private_scalar(HUK), "big"), ec.SECP256R1()
).public_key()


def test_a_forged_chain_is_refused(maker: Manufacturer, appraise: Appraise) -> None:
    """The same names, another key: with and without the forger's root in the chain."""
    forge = Forge()
    leaf = forge.certificate(DEVICE_KEY)
    assert leaf.issuer == maker.certificate().subject
    for certificates in ([leaf], [leaf, forge.root], [leaf, forge.root, maker.certificate()]):
        found = appraise(certificates=certificates)
        refused(found, chain.CertificateUntrusted, "certificate")
        assert found.vector["instance-identity"] == 99


def test_a_device_cannot_endorse_another(maker: Manufacturer, appraise: Appraise) -> None:
    theirs = bytes(16)
    issuer = maker.endorse(theirs)
    key = ec.derive_private_key(
        int.from_bytes(evidence_maker.private_scalar(theirs), "big"), ec.SECP256R1()
    )
    leaf = Forge().certificate(DEVICE_KEY, issuer=issuer.subject, by=key)
    refused(appraise(certificates=[leaf, issuer]), chain.CertificateUntrusted, "certificate")


def test_no_certificate_at_all_is_refused(appraise: Appraise) -> None:
    refused(appraise(certificates=[]), chain.CertificateUntrusted, "certificate")
    refused(appraise(chain=[]), chain.CertificateUntrusted, "certificate")


def by_forge(certificate: Callable[[Forge], x509.Certificate]) -> Appraisal:
    forge = Forge("trusted")
    return forge.verifier().appraise(evidence(), NONCE, chain=[certificate(forge)])


def test_a_certificate_of_the_forge_itself_is_good() -> None:
    assert by_forge(lambda forge: forge.certificate(DEVICE_KEY)).affirming


@pytest.mark.parametrize("days", [(-10, -1), (1, 10)], ids=["expired", "not-yet"])
def test_a_certificate_out_of_its_time_is_refused(days: tuple[int, int]) -> None:
    found = by_forge(lambda forge: forge.certificate(DEVICE_KEY, days=days))
    error = refused(found, chain.CertificateExpired, "certificate")
    assert "valid from" in error.message


def test_names_in_certificates_do_not_write_on_the_terminal() -> None:
    names = ("\x1b[2Jattestation",)
    found = by_forge(lambda forge: forge.certificate(DEVICE_KEY, days=(-10, -1), names=names))
    error = refused(found, chain.CertificateExpired, "certificate")
    assert "?[2Jattestation" in error.message and "\x1b" not in error.message
    found = by_forge(lambda forge: forge.certificate(DEVICE_KEY, names=names))
    assert "\x1b" not in refused(found, chain.CertificateMisused, "certificate").message


def test_a_root_out_of_its_time_is_refused(maker: Manufacturer, appraise: Appraise) -> None:
    certificates = [maker.endorse(HUK)]
    late = NOW + timedelta(days=366 * 20)
    refused(appraise(at=late, certificates=certificates), chain.CertificateExpired, "certificate")
    forge = Forge("trusted")
    old = forge.certificate(forge.key.public_key(), subject=forge.name, ca=True, days=(-20, -11))
    verifier = Verifier(Policy.from_toml(DEFAULT), REFERENCE, [old], clock=lambda: NOW)
    found = verifier.appraise(evidence(), NONCE, chain=[forge.certificate(DEVICE_KEY)])
    assert not found.affirming and found.checks[-2].name == "certificate"


@pytest.mark.parametrize("usage", ["key_agreement", "content_commitment", None])
def test_a_key_for_something_else_is_refused(usage: str | None) -> None:
    found = by_forge(lambda forge: forge.certificate(DEVICE_KEY, usage=usage))
    refused(found, chain.CertificateMisused, "certificate")


@pytest.mark.parametrize(
    "use",
    [
        ExtendedKeyUsageOID.CODE_SIGNING,
        ExtendedKeyUsageOID.CLIENT_AUTH,
        ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    ],
)
def test_a_key_for_another_protocol_is_refused(use: ObjectIdentifier) -> None:
    found = by_forge(lambda forge: forge.certificate(DEVICE_KEY, extended=(use,)))
    error = refused(found, chain.CertificateMisused, "certificate")
    assert use.dotted_string in error.message


def test_a_certificate_authoritys_key_signs_no_evidence() -> None:
    found = by_forge(lambda forge: forge.certificate(DEVICE_KEY, ca=True))
    refused(found, chain.CertificateMisused, "certificate")


@pytest.mark.parametrize(
    "options",
    [
        {"names": ("signing",)},
        {"names": ()},
        {"names": ("attestation", "attestation")},
        {"serials": ()},
        {"serials": ("not a uuid",)},
        {"serials": (str(DEVICE), str(DEVICE))},
    ],
    ids=lambda options: str(options)[:40],
)
def test_a_certificate_that_names_no_attester_is_refused(options: dict[str, Any]) -> None:
    found = by_forge(lambda forge: forge.certificate(DEVICE_KEY, **options))
    refused(found, chain.CertificateMisused, "certificate")


def test_a_key_on_another_curve_is_refused() -> None:
    key = ec.generate_private_key(ec.SECP384R1()).public_key()
    refused(by_forge(lambda f: f.certificate(key)), chain.CertificateMisused, "certificate")


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_whatever_is_in_a_chain_ends_in_a_refusal() -> None:
    """The certificates come from the same side as the evidence."""
    forge = Forge("trusted")
    verifier = forge.verifier()
    der = forge.certificate(DEVICE_KEY).public_bytes(Encoding.DER)
    chance = random.Random(1)
    read = 0
    for at in range(len(der)):
        for _ in range(3):
            altered = bytearray(der)
            altered[at] ^= chance.randrange(1, 256)
            try:
                certificate = x509.load_der_x509_certificate(bytes(altered))
            except (ValueError, x509.InvalidVersion):
                continue
            read += 1
            found = verifier.appraise(evidence(), NONCE, chain=[certificate])
            assert not found.affirming and found.checks[-2].failure is not None
    assert read > 500


def test_a_revoked_certificate_is_refused(maker: Manufacturer, appraise: Appraise) -> None:
    certificates = [maker.endorse(HUK)]
    early = [maker.crl()]
    assert appraise(certificates=certificates, crls=early).affirming
    maker.revoke(certificates[0].serial_number, "keyCompromise")
    found = appraise(certificates=certificates, crls=[maker.crl()])
    refused(found, chain.CertificateRevoked, "revocation")
    assert found.vector == {"instance-identity": 96}
    assert found.checks[-1].verdict is Verdict.NOT_JUDGED
    # One of two lists of the issuer has it.
    both = [*early, maker.crl()]
    for crls in (both, both[::-1]):
        found = appraise(certificates=certificates, crls=crls)
        refused(found, chain.CertificateRevoked, "revocation")


def test_an_old_or_forged_revocation_list_is_refused(
    maker: Manufacturer, appraise: Appraise, tmp_path: Path
) -> None:
    crl = maker.crl()
    late = NOW + timedelta(days=8)
    refused(appraise(crls=[crl], at=late), chain.RevocationUnknown, "revocation")
    # Another authority of the same name.
    other = Manufacturer(tmp_path / "other", clock=lambda: NOW)
    for crls in ([other.crl()], [other.crl(), crl], [crl, other.crl()]):
        refused(appraise(crls=crls), chain.RevocationUnknown, "revocation")


def test_without_a_list_of_the_issuer_nothing_is_affirmed(
    maker: Manufacturer, appraise: Appraise
) -> None:
    """A certificate that was taken back: whoever withholds the list is not believed."""
    certificates = [maker.endorse(HUK)]
    maker.revoke(certificates[0].serial_number, "keyCompromise")
    for crls in ([], [Forge("somebody else").crl()]):
        found = appraise(certificates=certificates, crls=crls)
        error = refused(found, chain.RevocationUnknown, "revocation")
        assert "--no-revocation" in str(error.hints)
        assert found.vector == {"instance-identity": 99}


def test_each_issuer_of_the_path_needs_a_list() -> None:
    forge, middle = Forge("trusted"), Forge("middle")
    issuer = forge.certificate(middle.key.public_key(), subject=middle.name, ca=True)
    leaf = middle.certificate(DEVICE_KEY)
    found = {
        name: forge.verifier(crls=crls).appraise(evidence(), NONCE, chain=[leaf, issuer])
        for name, crls in {
            "both": [forge.crl(), middle.crl()],
            "root's": [forge.crl()],
            "middle's": [middle.crl()],
        }.items()
    }
    assert found["both"].affirming, found["both"].as_json()
    for name in ("root's", "middle's"):
        refused(found[name], chain.RevocationUnknown, "revocation")


def test_a_list_of_some_certificates_only_is_none() -> None:
    forge = Forge("trusted")
    partial = x509.IssuingDistributionPoint(None, None, False, True, None, False, False)
    found = forge.verifier(crls=[forge.crl(extension=partial)]).appraise(
        evidence(), NONCE, chain=[forge.certificate(DEVICE_KEY)]
    )
    refused(found, chain.RevocationUnknown, "revocation")


def test_who_goes_without_revocation_is_warned(appraise: Appraise) -> None:
    found = appraise(crls=None)
    assert found.tier is Tier.WARNING and found.good and not found.affirming
    (warned,) = (check for check in found.checks if check.verdict is not Verdict.PASS)
    assert (warned.name, warned.verdict) == ("revocation", Verdict.WARN)
    assert found.vector == {"instance-identity": -33, "configuration": 2, "executables": 2}
    assert found.as_json()["status"] == "warning"
    assert found.accepted and found.wrapping_key
    # It excuses nothing else.
    other = appraise(evidence(huk=bytes(16)), crls=None)
    refused(other, chain.CertificateUntrusted, "certificate")
    replayed = appraise(nonce=bytes(32), crls=None)
    refused(replayed, errors.NonceRefused, "nonce")
    assert replayed.vector["instance-identity"] == 99


@pytest.mark.parametrize(
    ("value", "tier"),
    [
        *((n, Tier.NONE) for n in (-1, 0, 1)),
        *((n, Tier.AFFIRMING) for n in (2, 31, -2, -32)),
        *((n, Tier.WARNING) for n in (32, 95, -33, -96)),
        *((n, Tier.CONTRAINDICATED) for n in (96, 127, -97, -128)),
    ],
)
def test_tiers_are_those_of_ar4si(value: int, tier: Tier) -> None:
    assert tier_of(value) is tier


# Freshness --------------------------------------------------------------------------------------


@pytest.mark.parametrize("nonce", [bytes(32), NONCE[:-1], NONCE + b"\0", bytes(8)])
def test_another_nonce_is_refused(nonce: bytes, appraise: Appraise) -> None:
    found = appraise(nonce=nonce)
    refused(found, errors.NonceRefused, "nonce")
    # Also for whoever reads one claim of the vector and not the status.
    assert set(found.vector.values()) == {99}


def test_evidence_without_a_nonce_is_refused(appraise: Appraise) -> None:
    refused(appraise(evidence({10: evidence_maker.GONE})), errors.EvidenceMissing, "format")


class Time:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_an_answer_counts_once_and_in_time(appraise: Appraise) -> None:
    time = Time()
    nonces = Nonces(300, time)
    nonce = nonces.issue()
    token = evidence({10: nonce})
    time.now += 299
    assert appraise(token, nonce=nonce, nonces=nonces).affirming
    replayed = appraise(token, nonce=nonce, nonces=nonces)
    refused(replayed, errors.NonceRefused, "freshness")
    assert set(replayed.vector.values()) == {99}

    late = nonces.issue()
    time.now += 301
    found = appraise(evidence({10: late}), nonce=late, nonces=nonces)
    assert "too late" in refused(found, errors.NonceRefused, "freshness").message
    # Ours, but never given out.
    invented = appraise(nonce=NONCE, nonces=nonces)
    refused(invented, errors.NonceRefused, "freshness")


def test_a_wrong_answer_uses_the_nonce_up(appraise: Appraise) -> None:
    nonces = Nonces(300, Time())
    nonce = nonces.issue()
    assert not appraise(b"", nonce=nonce, nonces=nonces).affirming
    found = appraise(evidence({10: nonce}), nonce=nonce, nonces=nonces)
    refused(found, errors.NonceRefused, "freshness")


def test_the_verifiers_own_challenges(maker: Manufacturer) -> None:
    certificates = [maker.endorse(HUK)]
    verifier = Verifier(
        Policy.from_toml(DEFAULT),
        REFERENCE,
        [maker.certificate()],
        endorsements=lambda _: certificates,
        crls=[maker.crl()],
        clock=lambda: NOW,
    )
    first, second = verifier.challenge(), verifier.challenge()
    assert first != second and len(first) == 32
    token = evidence({10: first})
    assert not verifier.appraise(token, second).affirming
    assert verifier.appraise(token, first).affirming
    assert not verifier.appraise(token, first).affirming


def test_threads_that_ask_first_at_once_share_one_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the two sessions of `sandbox detect` do."""

    class Slow(Nonces):
        def __init__(self, lifetime_s: float) -> None:
            time.sleep(0.2)
            super().__init__(lifetime_s)

    monkeypatch.setattr(verifier_module, "Nonces", Slow)
    forge = Forge("trusted")
    verifier, leaf = forge.verifier(), forge.certificate(DEVICE_KEY)
    with ThreadPoolExecutor(2) as pool:
        challenges = [pool.submit(verifier.challenge) for _ in range(2)]
        for nonce in (challenge.result() for challenge in challenges):
            found = verifier.appraise(evidence({10: nonce}), nonce, chain=[leaf])
            assert found.affirming, found.as_json()


def test_waiting_challenges_are_limited_and_old_ones_make_room() -> None:
    time = Time()
    nonces = Nonces(10, time)
    for _ in range(4096):
        nonces.issue()
    with pytest.raises(errors.NonceRefused, match="4096"):
        nonces.issue()
    time.now += 11
    assert len(nonces.issue()) == 32


def test_another_boot_is_refused_where_one_is_expected(appraise: Appraise) -> None:
    assert appraise(bootseed=evidence_maker.BOOTSEED).affirming
    found = appraise(bootseed=bytes(32))
    refused(found, errors.BootRefused, "boot")
    assert found.vector["instance-identity"] == 97


# Policy -----------------------------------------------------------------------------------------


def changed(old: str, new: str, toml: str = DEFAULT) -> str:
    assert toml.count(old) == 1, old
    return toml.replace(old, new)


def section(name: str, allowed: str) -> str:
    """The default policy with another rule in a section."""
    head, tail = DEFAULT.split(f"[{name}]\n", 1)
    begin = tail.index("\nallowed = ") + 1
    end = tail.index("\n", begin)
    return f"{head}[{name}]\n{tail[:begin]}allowed = {allowed}{tail[end:]}"


def test_debug_not_allowed(appraise: Appraise) -> None:
    strict = section("debug", "false")
    found = appraise(toml=strict)
    assert [c.name for c in found.checks if c.verdict is Verdict.FAIL] == ["debug", "lifecycle"]
    with pytest.raises(errors.DebugRefused):
        found.raise_for_status()
    assert found.vector["configuration"] == 96
    production = {263: 3, 2395: 0x3000}
    assert appraise(evidence(production), toml=strict).affirming
    refused(appraise(evidence({**production, 263: 0}), toml=strict), errors.DebugRefused, "debug")
    refused(
        appraise(evidence({**production, 2395: 0x4000}), toml=strict),
        errors.DebugRefused,
        "lifecycle",
    )


@pytest.mark.parametrize("lifecycle", [0, 0x1000, 0x2FFF, 0x3100, 0x6000, 0x7000, 0xFFFF])
def test_a_device_in_no_state_to_attest_is_refused(lifecycle: int, appraise: Appraise) -> None:
    refused(appraise(evidence({2395: lifecycle})), errors.DebugRefused, "lifecycle")


def test_a_device_that_is_not_listed_is_refused(appraise: Appraise) -> None:
    assert appraise(toml=section("devices", f'["{DEVICE}"]')).affirming
    found = appraise(toml=section("devices", f'["{uuid.uuid4()}"]'))
    refused(found, errors.DeviceRefused, "device listed")
    assert found.vector["instance-identity"] == 97
    refused(appraise(toml=section("devices", "[]")), errors.DeviceRefused, "device listed")


CORE, CODE = evidence_maker.claims()[2399]


def test_another_measurement_of_the_ta_is_refused(appraise: Appraise) -> None:
    """One byte of the TA's code is another."""
    wrong = {**CODE, 2: bytes([CODE[2][0] ^ 1]) + CODE[2][1:]}
    found = appraise(evidence({2399: [CORE, wrong]}))
    refused(found, errors.MeasurementRefused, "TA code")
    assert found.vector["executables"] == 33


@pytest.mark.parametrize(
    "component", [{**CORE, 2: bytes(32)}, {**CORE, 4: "4.9.0"}, {k: CORE[k] for k in (1, 2, 6)}]
)
def test_another_op_tee_core_is_refused(component: dict[int, Any], appraise: Appraise) -> None:
    found = appraise(evidence({2399: [component, CODE]}))
    refused(found, errors.MeasurementRefused, "OP-TEE core")


def test_a_core_of_the_policy_replaces_that_of_the_build(appraise: Appraise) -> None:
    listed = f'[{{ version = "4.10.0", sha256 = "{evidence_maker.CORE_SHA256.hex()}" }}]'
    assert appraise(toml=section("optee_core", listed)).affirming
    other = f'[{{ version = "4.10.0", sha256 = "{OTHER_DIGEST}" }}]'
    refused(appraise(toml=section("optee_core", other)), errors.MeasurementRefused, "OP-TEE core")


def test_a_ta_that_is_not_listed_is_refused(appraise: Appraise) -> None:
    """Genuine OP-TEE, genuine device: somebody else's TA asked for the evidence."""
    found = appraise(evidence({-75001: bytes(16)}))
    refused(found, errors.MeasurementRefused, "TA")
    assert found.vector["executables"] == 33


def test_another_tas_measurement_does_not_help(appraise: Appraise) -> None:
    raw = evidence_maker.reference()
    raw["tas"].append(
        {"uuid": str(uuid.UUID(int=7)), "name": "b", "version": "2", "sha256": OTHER_DIGEST}
    )
    both = Reference.from_json(json.dumps(raw))
    toml = policy.default_toml(both)
    assert appraise(reference=both, toml=toml).affirming
    wrong = {**CODE, 2: bytes.fromhex(OTHER_DIGEST)}
    found = appraise(evidence({2399: [CORE, wrong]}), reference=both, toml=toml)
    refused(found, errors.MeasurementRefused, "TA code")


def test_measurements_and_versions_of_the_policy(appraise: Appraise) -> None:
    code = 'measurements = "reference"'
    mine = evidence_maker.TA_SHA256.hex()
    assert appraise(toml=changed(code, f'measurements = ["{OTHER_DIGEST}", "{mine}"]')).affirming
    refused(
        appraise(toml=changed(code, f'measurements = ["{OTHER_DIGEST}"]')),
        errors.MeasurementRefused,
        "TA code",
    )
    versions = 'versions = "reference"'
    assert appraise(toml=changed(versions, 'versions = ["0.1.0"]')).affirming
    refused(
        appraise(toml=changed(versions, 'versions = ["0.2.0"]')),
        errors.VersionRefused,
        "TA version",
    )
    silent = evidence(ta={271: evidence_maker.GONE})
    # A build that knows no version expects none.
    raw = evidence_maker.reference()
    raw["tas"][0]["version"] = ""
    unknown = Reference.from_json(json.dumps(raw))
    assert appraise(silent, reference=unknown).affirming
    refused(appraise(reference=unknown), errors.VersionRefused, "TA version")
    refused(appraise(silent), errors.VersionRefused, "TA version")
    assert appraise(silent, toml=changed(versions, 'versions = "any"')).affirming


def test_a_model_that_is_not_listed_is_refused(appraise: Appraise) -> None:
    listed = section("models", f'["{evidence_maker.MODEL.hex()}"]')
    found = appraise(toml=listed)
    assert found.affirming and found.vector["sourced-data"] == 2
    assert appraise(evidence(ta={-75012: []}), toml=listed).affirming
    two = evidence(ta={-75012: [evidence_maker.MODEL, bytes(32)]})
    found = appraise(two, toml=listed)
    refused(found, errors.ModelUnlisted, "models")
    assert found.vector["sourced-data"] == 96
    refused(appraise(toml=section("models", "[]")), errors.ModelUnlisted, "models")


def test_evidence_without_keys_is_good_until_a_key_is_wanted(appraise: Appraise) -> None:
    found = appraise(evidence(ta={8: evidence_maker.GONE, -75011: evidence_maker.GONE}))
    assert found.affirming
    for key in ("wrapping_key", "signing_key"):
        with pytest.raises(errors.KeyRefused):
            getattr(found, key)


def test_each_refusal_is_met_above() -> None:
    """A new name without a test is noticed here."""
    names = {kind.__name__ for kind in errors.AttestationRefused.__subclasses__()}
    names |= {kind.__name__ for kind in errors.ChainRefused.__subclasses__()}
    text = Path(__file__).read_text()
    assert {name for name in names - {"ChainRefused"} if f".{name}" not in text} == set()


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_altered_tokens_are_refused_and_never_raise(data: st.DataObject) -> None:
    forge = Forge("trusted")
    verifier = forge.verifier()
    chain_of = [forge.certificate(DEVICE_KEY)]
    good = evidence()
    at = data.draw(st.integers(0, len(good) - 1))
    replaced = data.draw(st.binary(max_size=8))
    token = good[:at] + replaced + good[at + len(replaced) :]
    found = verifier.appraise(token, NONCE, chain=chain_of)
    # The key id is not signed, and a token without it is good.
    assert found.affirming == (token == good)


def test_appraisal_never_raises(appraise: Appraise) -> None:
    """Whatever single claim is another, and signed by the device itself."""
    for claim in evidence_maker.claims():
        for value in (None, 0, b"", "", [], {}, True, bytes(32), bytes(17)):
            good = appraise(evidence({claim: value})).affirming
            # A boot seed is any 32 bytes, and the default evidence says that debugging is enabled.
            assert good == ((claim, value) in ((268, bytes(32)), (263, 0)))
