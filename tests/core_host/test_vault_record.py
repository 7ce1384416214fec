# SPDX-License-Identifier: Apache-2.0
"""The vault's rules against a model of them in Python; its record's sealing against AESGCM."""

import os
import random
import struct
from dataclasses import dataclass, field

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from driver import Driver

from sandbox.tee_abi import Status

MODELS_MAX, REMOVED_MAX = 16, 48
STORE, REMOVE, ACTIVATE, CHECK = range(4)
Id = tuple[bytes, bytes]
Operation = tuple[int, Id, int, bytes]
OWNER, OTHER = b"o" * 16, b"p" * 16


def digest(number: int) -> bytes:
    return bytes([number]) * 32


def store(name: bytes, version: int, content: int = 1, owner: bytes = OWNER) -> Operation:
    return STORE, (owner, name), version, digest(content)


def remove(name: bytes, owner: bytes = OWNER) -> Operation:
    return REMOVE, (owner, name), 0, digest(0)


def activate(name: bytes, owner: bytes = OWNER) -> Operation:
    return ACTIVATE, (owner, name), 0, digest(0)


def check(name: bytes, version: int, owner: bytes = OWNER) -> Operation:
    return CHECK, (owner, name), version, digest(0)


@dataclass
class Rules:
    """What ta/core/vault.h says."""

    models: dict[Id, tuple[int, bytes]] = field(default_factory=dict)
    removed: dict[Id, tuple[int, bytes]] = field(default_factory=dict)
    active: dict[bytes, Id] = field(default_factory=dict)

    def run(self, operation: Operation) -> Status:
        kind, which, version, content = operation
        floor = self.models.get(which) or self.removed.get(which)
        if kind in (STORE, CHECK) and floor and version < floor[0]:
            return Status.MODEL_ROLLBACK
        if kind == CHECK:
            return Status.OK
        if kind == STORE:
            if floor and version == floor[0] and content != floor[1]:
                return Status.MODEL_ROLLBACK
            if which not in self.models and len(self.models) == MODELS_MAX:
                return Status.MODEL_VAULT_FULL
            self.models[which] = version, content
            self.removed.pop(which, None)
            self.active.setdefault(which[0], which)
            return Status.OK
        if which not in self.models:
            return Status.MODEL_UNKNOWN
        if kind == ACTIVATE:
            self.active[which[0]] = which
            return Status.OK
        if len(self.removed) == REMOVED_MAX:
            return Status.MODEL_VAULT_FULL
        self.removed[which] = self.models.pop(which)
        if self.active.get(which[0]) == which:
            del self.active[which[0]]
        return Status.OK

    def state(self) -> set[tuple[Id, int, bytes, bool]]:
        return {
            (which, version, content, self.active.get(which[0]) == which)
            for which, (version, content) in self.models.items()
        }


def run(
    native: Driver, operations: list[Operation]
) -> tuple[list[Status], set[tuple[Id, int, bytes, bool]]]:
    payload = b"".join(
        struct.pack("<I", kind)
        + owner
        + struct.pack("<I", len(name))
        + name
        + struct.pack("<Q", version)
        + content
        for kind, (owner, name), version, content in operations
    )
    status, reply = native.call("vault", payload)
    assert status == Status.OK
    answers = [Status(struct.unpack_from("<I", reply, 8 * i)[0]) for i in range(len(operations))]
    rest = reply[8 * len(operations) :]
    (count,) = struct.unpack_from("<I", rest)
    rest = rest[4:]
    assert len(rest) == count * 96
    models = set()
    for offset in range(0, len(rest), 96):
        owner, name, version, content, active = struct.unpack_from("<16s32sQ32sQ", rest, offset)
        models.add(((owner, name.rstrip(b"\0")), version, content, bool(active)))
    assert len(models) == count
    return answers, models


OK, ROLLBACK, FULL, UNKNOWN = (
    Status.OK,
    Status.MODEL_ROLLBACK,
    Status.MODEL_VAULT_FULL,
    Status.MODEL_UNKNOWN,
)


@pytest.mark.parametrize(
    ("operations", "answers"),
    [
        pytest.param([store(b"a", 2), store(b"a", 1)], [OK, ROLLBACK], id="older"),
        pytest.param([store(b"a", 2), store(b"a", 2, 3)], [OK, ROLLBACK], id="same-other-content"),
        pytest.param([store(b"a", 2), store(b"a", 2)], [OK, OK], id="again"),
        pytest.param(
            [store(b"a", 2), remove(b"a"), store(b"a", 1), check(b"a", 1), store(b"a", 2)],
            [OK, OK, ROLLBACK, ROLLBACK, OK],
            id="older-than-removed",
        ),
        pytest.param(
            [store(b"a", 2), remove(b"a"), store(b"a", 2, 9)],
            [OK, OK, ROLLBACK],
            id="removed-other-content",
        ),
        pytest.param(
            [store(b"a", 9), store(b"a", 1, owner=OTHER), remove(b"b"), activate(b"b", OTHER)],
            [OK, OK, UNKNOWN, UNKNOWN],
            id="owners-have-names-of-their-own",
        ),
        pytest.param(
            [store(b"%d" % i, 1) for i in range(MODELS_MAX + 1)],
            [OK] * MODELS_MAX + [FULL],
            id="full",
        ),
        pytest.param(
            [
                operation
                for i in range(REMOVED_MAX + 1)
                for operation in (store(b"%d" % i, 1), remove(b"%d" % i))
            ],
            [OK] * (2 * REMOVED_MAX + 1) + [FULL],
            id="too-many-removed",
        ),
    ],
)
def test_rules(native: Driver, operations: list[Operation], answers: list[Status]) -> None:
    rules = Rules()
    assert [rules.run(operation) for operation in operations] == answers
    found, models = run(native, operations)
    assert found == answers
    assert models == rules.state()


@pytest.mark.parametrize("seed", range(20))
def test_any_sequence_follows_the_rules(native: Driver, seed: int) -> None:
    chance = random.Random(seed)
    names = [b"n%d" % i for i in range(chance.choice([3, 20, 70]))]
    operations: list[Operation] = [
        (
            chance.choices(range(4), [6, 2, 1, 1])[0],
            (chance.choice([OWNER, OTHER]), chance.choice(names)),
            chance.randint(1, 4),
            digest(chance.randint(1, 2)),
        )
        for _ in range(400)
    ]
    rules = Rules()
    expected = [rules.run(operation) for operation in operations]
    assert run(native, operations) == (expected, rules.state())


# The record ------------------------------------------------------------------------------------

KEY = os.urandom(32)
LABEL = b"cml-vault-v1"


def sealed(native: Driver, plain: bytes) -> bytes:
    status, record = native.call("vault_seal", KEY + plain)
    assert status == Status.OK
    return record


def test_a_record_is_aes_256_gcm(native: Driver) -> None:
    plain = os.urandom(200)
    record = sealed(native, plain)
    opened = AESGCM(KEY).decrypt(record[:12], record[16:], LABEL)
    assert opened == plain.ljust(len(opened), b"\0")
    assert native.call("vault_open", KEY + record) == (Status.OK, opened)
    assert sealed(native, plain)[:12] != record[:12]


def test_what_was_never_written_is_an_empty_vault(native: Driver) -> None:
    status, vault = native.call("vault_open", KEY)
    assert status == Status.OK
    assert not any(vault)


@pytest.mark.parametrize("place", [0, 11, 16, 300, -17, -16, -1])
def test_an_altered_record_is_damaged(native: Driver, place: int) -> None:
    record = bytearray(sealed(native, b"secret" * 10))
    record[place] ^= 1
    status, vault = native.call("vault_open", KEY + bytes(record))
    assert status == Status.STORAGE_DAMAGED
    assert b"secret" not in vault


def test_another_key_opens_nothing(native: Driver) -> None:
    record = sealed(native, b"secret" * 10)
    status, vault = native.call("vault_open", os.urandom(32) + record)
    assert status == Status.STORAGE_DAMAGED
    assert b"secret" not in vault


KEYS_MAX = 16


def keys(
    native: Driver, operations: list[tuple[bool, int]]
) -> tuple[list[tuple[Status, bool]], dict[int, bytes]]:
    """(remove, which) each; the answers, and which keys are there then."""
    payload = b"".join(
        struct.pack("<I", remove) + bytes([which]) * 16 + bytes([which + 100]) * 32
        for remove, which in operations
    )
    status, reply = native.call("vault_keys", payload)
    assert status == Status.OK
    answers = [
        (Status(code), bool(changed))
        for code, changed in struct.iter_unpack("<II", reply[: 8 * len(operations)])
    ]
    there = struct.iter_unpack("<16s32s", reply[8 * len(operations) :])
    return answers, {identity[0]: key for identity, key in there}


@pytest.mark.parametrize("seed", range(20))
def test_keys_that_are_kept(native: Driver, seed: int) -> None:
    chance = random.Random(seed)
    count = chance.choice([3, KEYS_MAX, 40])
    operations = [(chance.random() < 0.3, chance.randrange(count)) for _ in range(200)]
    expected: list[tuple[Status, bool]] = []
    there: set[int] = set()
    for remove, which in operations:
        if remove:
            expected.append((OK if which in there else Status.KEY_UNKNOWN, False))
            there.discard(which)
        elif which in there:
            expected.append((OK, False))
        elif len(there) == KEYS_MAX:
            expected.append((Status.KEY_STORE_FULL, False))
        else:
            expected.append((OK, True))
            there.add(which)
    answers, found = keys(native, operations)
    assert answers == expected
    assert found == {which: bytes([which + 100]) * 32 for which in there}
