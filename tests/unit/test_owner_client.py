# SPDX-License-Identifier: Apache-2.0
"""The owner's side of a session whose normal world lies: what it tells beside evidence is tried,
and never believed where a key or a record depends on it."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import evidence_maker
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from evidence_maker import HUK, evidence
from test_owner_service import GOOD

from sandbox.authority.device import device_uuid
from sandbox.authority.manufacturer import Manufacturer
from sandbox.commands.keys_device import RotationRefused, rotated
from sandbox.commands.trust import Verified
from sandbox.owner.client import Client, Model, OtherDevice, StoredModel
from sandbox.owner.service import Session
from sandbox.owner.share import Share
from sandbox.owner.vault import Record, Vault
from sandbox.verifier import policy
from sandbox.verifier.errors import MeasurementRefused
from sandbox.verifier.policy import Policy
from sandbox.verifier.reference import Reference
from sandbox.verifier.verifier import Verifier

DEVICE = device_uuid(HUK)
ELSEWHERE = UUID(int=7)
OTHER_CODE = bytes(range(32))
CORE, CODE = evidence_maker.claims()[2399]


class Guest:
    """A client application with a TA behind it: evidence is genuine, and all else as it likes."""

    def __init__(self, share: Path) -> None:
        self.share = share
        self.device = DEVICE
        # What it says after a key, in place of the TA's next challenge.
        self.told: bytes | None = None
        # The TA's keys and its code; what a rotation does to them.
        self.wrapping = 11
        self.code: bytes = evidence_maker.TA_SHA256
        self.rotate: Callable[[], None] = lambda: None
        self.challenges = [os.urandom(16)]
        self.keys: dict[str, bytes] = {}
        self.heard: list[str] = []
        self._reply = ""

    def send(self, line: str) -> None:
        verb, *words = line.split()
        self.heard.append(verb)
        self._reply = json.dumps({**GOOD, "device": self.device.hex, **self._answer(verb, words)})

    def receive(self, timeout_s: float) -> str:
        return self._reply

    def close(self) -> None:
        pass

    def _answer(self, verb: str, words: list[str]) -> dict[str, object]:
        if verb == "attest":
            return {"token": self._token(bytes.fromhex(words[0])).hex()}
        if verb == "key":
            self.keys[words[0]] = (self.share / Path(words[1]).name).read_bytes()
            self.challenges.append(os.urandom(16))
            return {"challenge": (self.told or self.challenges[-1]).hex()}
        if verb == "rotate":
            self.rotate()
            return {"generation": 1}
        return {}

    def _token(self, nonce: bytes) -> bytes:
        key = ec.derive_private_key(self.wrapping, ec.SECP256R1())
        return evidence(
            {10: nonce, 2399: [CORE, {**CODE, 2: self.code}]},
            ta={8: {1: evidence_maker.cose_key(key)}, -75013: self.challenges[-1]},
        )


@pytest.fixture
def guest(tmp_path: Path) -> Guest:
    share = tmp_path / "share"
    share.mkdir()
    return Guest(share)


@pytest.fixture
def session(guest: Guest) -> Session:
    return Session(guest, "/mnt/share")


@pytest.fixture
def trusted(tmp_path: Path) -> Verified:
    """Two builds of the TA are good."""
    maker = Manufacturer(tmp_path / "maker")
    certificate = maker.endorse(HUK)
    reference = Reference.from_json(json.dumps(evidence_maker.reference()))
    both = json.dumps([evidence_maker.TA_SHA256.hex(), OTHER_CODE.hex()])
    toml = policy.default_toml(reference)
    assert toml.count('measurements = "reference"') == 1
    return Verified(
        Verifier(
            Policy.from_toml(toml.replace('measurements = "reference"', f"measurements = {both}")),
            reference,
            [maker.certificate()],
            endorsements=lambda _: [certificate],
            crls=[maker.crl()],
        )
    )


def test_each_key_answers_a_challenge_of_evidence(
    guest: Guest, session: Session, trusted: Verified
) -> None:
    """What the normal world says after the first key may be the challenge of another session."""
    guest.told = os.urandom(16)
    model = Model("door", b"a model", os.urandom(32))
    Client(session, Share(guest.share), model, trusted).prepare("test")
    assert guest.keys["data"][:16] == guest.challenges[0]
    assert guest.keys["model"][:16] == guest.challenges[1]
    assert guest.told not in {message[:16] for message in guest.keys.values()}


def test_a_model_of_one_devices_record_is_not_used_on_another(
    guest: Guest, session: Session, trusted: Verified
) -> None:
    """The normal world said ELSEWHERE when the record was looked for."""
    model = StoredModel("door", 3, bytes(32), ELSEWHERE)
    with pytest.raises(OtherDevice, match=str(ELSEWHERE)):
        Client(session, Share(guest.share), model, trusted).prepare("test")
    assert guest.keys == {} and guest.heard[-1] == "close"


def test_the_vault_of_a_device_that_is_another_gets_no_key(
    guest: Guest, session: Session, trusted: Verified
) -> None:
    """Else what is pushed here would be in the record of that device."""
    guest.device = ELSEWHERE
    vault = Vault(session, Share(guest.share), bytes(32), "test")
    with pytest.raises(OtherDevice, match=str(DEVICE)):
        vault.authorize(trusted)
    assert guest.keys == {}
    guest.device = DEVICE
    vault = Vault(session, Share(guest.share), bytes(32), "test")
    vault.authorize(trusted)
    made = vault.push(Model("door", b"a model", bytes(32)))
    assert made.device == DEVICE
    assert Record.load(DEVICE).expected("door") == made
    assert Record.load(ELSEWHERE).models == {}


def test_a_rotation_is_what_evidence_says(
    guest: Guest, session: Session, trusted: Verified
) -> None:
    guest.rotate = lambda: setattr(guest, "wrapping", 13)
    new = rotated(session, trusted, "wrapping")
    assert new == ec.derive_private_key(13, ec.SECP256R1()).public_key()
    # Of the other key nothing changed.
    guest.rotate = lambda: setattr(guest, "wrapping", 14)
    with pytest.raises(RotationRefused, match="signing"):
        rotated(session, trusted, "signing")


def test_a_rotation_that_was_withheld_is_found_out(
    guest: Guest, session: Session, trusted: Verified
) -> None:
    with pytest.raises(RotationRefused, match="evidence still has"):
        rotated(session, trusted, "wrapping")


def test_another_build_with_other_keys_is_no_rotation(
    guest: Guest, session: Session, trusted: Verified
) -> None:
    """Both builds are good, so a normal world may have both at hand."""

    def switch() -> None:
        guest.code, guest.wrapping = OTHER_CODE, 13

    guest.rotate = switch
    with pytest.raises(RotationRefused, match="not of one TA"):
        rotated(session, trusted, "wrapping")


def test_evidence_after_a_rotation_is_judged_too(
    guest: Guest, session: Session, trusted: Verified
) -> None:
    guest.rotate = lambda: setattr(guest, "code", bytes(32))
    with pytest.raises(MeasurementRefused):
        rotated(session, trusted, "wrapping")
