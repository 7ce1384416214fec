# SPDX-License-Identifier: Apache-2.0
"""Memory that changes while the TA reads it: what it accepts was genuine when it was read, once.

A TA that reads a second time what it should have copied is found out: an older model loads, is
used, or comes back after it was removed.
"""

import os
import struct
from collections.abc import Callable

import cbor2
import pytest
from raw_client import FINISH, NONE, SUCCESS, Owner, Probe, blinking, cml, line, racing
from real_stack import ROOT, Client, golden

from sandbox.commands import trust
from sandbox.log import SilentProgress
from sandbox.machine.boot import GUEST_SHARE
from sandbox.machine.machine import Machine
from sandbox.owner import keys
from sandbox.owner.results import open_result
from sandbox.owner.share import Share
from sandbox.tee_abi import (
    MODEL_SOURCE_BYTES,
    Command,
    Status,
)

SINE = (ROOT / "fixtures/models/sine_f32.tflite").read_bytes()
# Where the lowest byte of a model's version is in its header.
VERSION_AT = struct.calcsize(">4sBBH16sQ") - 1
OLDER, NEWER = 1, 2
# An ECDH takes a fiftieth of a second under emulation, the network a sixth.
KEY_RACES = 20
RACES = 30
# Evidence takes a tenth of a second, two commits of the vault as much.
TOKEN_RACES = 16
# Of a byte that is either of two: some are read twice within a microsecond.
BLINKS = 60
NAME_RACES = 3
# Where other work keeps the host's cores, the two threads may seldom run at the same time.
RACE_ROUNDS = 10


def race(probe: Probe, owner: Owner, share: Share) -> list[int]:
    """What RACES photos came to, all altered while they were pushed."""
    first = len(owner.photos)
    photos = [owner.photo() for _ in range(RACES)]
    saved = [share.new_path("result") for _ in range(RACES)]
    lines = owner.loaded()
    header = len(lines)
    for photo, path in zip(photos, saved, strict=True):
        # One push of a small photo: the TA reads it once, and hashes what it read.
        lines += [photo.begin, racing(photo.push), FINISH]
        lines.append(line(Command.RESULT, f"save:{GUEST_SHARE}/{path.name}", NONE, NONE, NONE))
    results = probe.run([*lines, *owner.inferred()])
    assert results[-4:] == [SUCCESS] * 4
    outcomes = []
    for i, path in enumerate(saved):
        began, pushed, finished, taken = results[header + 4 * i : header + 4 * i + 4]
        assert began == SUCCESS
        refused = {cml(Status.STREAM_HEADER), cml(Status.STREAM_CONTEXT)}
        refused |= {cml(Status.STREAM_TRUNCATED), cml(Status.STREAM_SPLICED)}
        if pushed == SUCCESS and finished == SUCCESS:
            assert taken == SUCCESS
            result = open_result(
                owner.data_key, owner.photos[first + i], share.take(path, 1 << 16), owner.signer
            )
            assert result.origin.output_digest.hex() == golden("chelsea")["outputs_sha256"]
        elif pushed == SUCCESS:
            assert finished in refused, f"{finished:#x}"
        else:
            assert pushed in refused, f"{pushed:#x}"
        outcomes.append(finished)
        share.drop(path)
    return outcomes


def test_a_photo_that_changes_while_the_ta_reads_it(
    probe: Probe, owner: Owner, machine: Machine
) -> None:
    """What the TA accepts was genuine when it read it: its result opens, and is the golden one."""
    for _ in range(RACE_ROUNDS):
        if set(race(probe, owner, Share(machine.share))) != {SUCCESS}:
            return
    pytest.fail("no photo was altered in time: the race was never on")


def test_keys_and_headers_that_change_while_the_ta_reads_them(probe: Probe, owner: Owner) -> None:
    """Either what was meant or a refusal by name; afterwards the session works."""
    begin = owner.photo().begin
    lines = []
    for slot in (keys.Slot.DATA, keys.Slot.MODEL) * KEY_RACES:
        lines += [racing(asked) for asked in owner.provisioned(slot)]
    lines += [racing(begin)] * RACES
    good = [*owner.loaded(), *owner.inferred()]
    results = probe.run([*lines, *good])
    wrapped, begun = results[1 : 4 * KEY_RACES : 2], results[4 * KEY_RACES :][:RACES]
    refusals = {Status.KEY_REPLAYED, *(s for s in Status if s.name.startswith("COSE_"))}
    assert set(wrapped) <= {SUCCESS, *(cml(status) for status in refusals)}
    refusals = {Status.HEADER_MALFORMED, Status.HEADER_KIND, Status.HEADER_LIMIT}
    refusals |= {Status.STREAM_WRONG_KEY, Status.KEY_MISSING, Status.MODEL_MISSING}
    assert set(begun) <= {cml(status) for status in refusals}
    assert results[-len(good) :] == [SUCCESS] * len(good)


def test_an_older_models_header_that_says_in_turn_that_it_is_new(
    probe: Probe, owner: Owner
) -> None:
    """The rule is that of the version with which its content opens: the older one is refused."""
    newer, older = (owner.sealed_model(SINE, "raced", version) for version in (NEWER, OLDER))
    lines = [*owner.provisioned(keys.Slot.MODEL), *newer.lines()]
    lines.append(line(Command.MODEL_STORE, *[NONE] * 4))
    kept = len(lines)
    word = blinking(older.header, VERSION_AT, OLDER ^ NEWER)
    begin = line(Command.MODEL_BEGIN, word, NONE, NONE, NONE)
    lines += [begin, *older.rest] * BLINKS
    lines += newer.lines()
    lines.append(line(Command.MODEL_REMOVE, owner.put(b"raced"), NONE, NONE, NONE))
    results = probe.run(lines)
    assert results[:kept] == [SUCCESS] * kept
    assert results[-4:] == [SUCCESS] * 4
    raced = [tuple(results[kept + 3 * i : kept + 3 * i + 3]) for i in range(BLINKS)]
    bad, context = cml(Status.BAD_STATE), cml(Status.STREAM_CONTEXT)
    allowed = {(cml(Status.MODEL_ROLLBACK), bad, bad), (SUCCESS, SUCCESS, context)}
    # Both came: it was read at either time.
    assert set(raced) == allowed, {tuple(f"{each:#x}" for each in one) for one in raced}


def names_gone(probe: Probe, owner: Owner, names: tuple[str, str]) -> set[str]:
    """Which were removed by a name that was the one or the other, in NAME_RACES attempts."""
    newer, older = (
        [owner.sealed_model(SINE, name, version) for name in names] for version in (NEWER, OLDER)
    )
    first, last = owner.put(names[0].encode()), owner.put(names[1].encode())
    word = blinking(first, len(names[0]) - 1, ord(names[0][-1]) ^ ord(names[1][-1]))
    listed = [owner.new_path() for _ in range(NAME_RACES)]
    lines = owner.provisioned(keys.Slot.MODEL)
    begun = len(lines)
    for path in listed:
        for one in newer:
            lines += [*one.lines(), line(Command.MODEL_STORE, *[NONE] * 4)]
        lines += [
            line(Command.MODEL_ACTIVATE, word, NONE, NONE, NONE),
            line(Command.MODEL_REMOVE, word, NONE, NONE, NONE),
            line(Command.MODEL_LIST, f"save:{GUEST_SHARE}/{path.name}", NONE, NONE, NONE),
            *(line(Command.MODEL_BEGIN, one.header, NONE, NONE, NONE) for one in older),
        ]
    good = [*newer[0].lines(), *newer[1].lines()]
    cleared = [
        line(Command.MODEL_REMOVE, each, NONE, NONE, NONE)
        for each in (racing(first), racing(last), first, last)
    ]
    results = probe.run([*lines, *good, *cleared])
    step = 2 * 4 + 5
    rollback = cml(Status.MODEL_ROLLBACK)
    gone = set()
    for i, path in enumerate(listed):
        answers = results[begun + step * i : begun + step * (i + 1)]
        assert answers == [SUCCESS] * (step - 2) + [rollback] * 2, [f"{a:#x}" for a in answers]
        left = cbor2.loads(path.read_bytes())["models"]
        ((name, version),) = ((one["name"], one["version"]) for one in left if one["name"] in names)
        assert version == NEWER
        gone |= {*names} - {name}
    after = results[begun + step * NAME_RACES :]
    assert after[: len(good)] == [SUCCESS] * len(good)
    # The one that was left went once, by its own name and no other.
    assert set(after[len(good) :]) == {SUCCESS, cml(Status.MODEL_UNKNOWN)}
    assert after.count(SUCCESS) == len(good) + 1
    return gone


def test_a_name_that_changes_while_a_model_is_removed(probe: Probe, owner: Owner) -> None:
    """One of the two goes; of neither an older version comes back."""
    names = ("raced-a", "raced-b")
    gone: set[str] = set()
    for _ in range(RACE_ROUNDS):
        gone |= names_gone(probe, owner, names)
        if gone == {*names}:
            return
    pytest.fail(f"always {gone}: the race was never on")


def test_a_nonce_that_changes_while_evidence_is_made(
    probe: Probe, owner: Owner, machine: Machine
) -> None:
    """Each token is signed over one nonce: that of one moment.

    OP-TEE copies it again, so that a TA which had not would still be given one of the two.
    """
    first = os.urandom(31)
    nonces = [first + b"\1", first + b"\2"]
    word = blinking(owner.put(nonces[0]), 31, 3)
    tokens = [owner.new_path() for _ in range(TOKEN_RACES)]
    lines = [
        line(Command.ATTEST, word, f"save:{GUEST_SHARE}/{token.name}", NONE, NONE)
        for token in tokens
    ]
    lines.append(line(Command.ATTEST, "in:32", "out:2048", NONE, NONE))
    assert probe.run(lines) == [SUCCESS] * len(lines)
    verifier = trust.verifier(machine, SilentProgress())
    seen = []
    for token in tokens:
        affirmed = [
            nonce for nonce in nonces if verifier.appraise(token.read_bytes(), nonce).affirming
        ]
        assert len(affirmed) == 1
        seen += affirmed
    assert set(seen) == {*nonces}


def test_an_older_models_source_that_says_in_turn_that_it_is_new(
    probe: Probe, owner: Owner, connect: Callable[[str], Client]
) -> None:
    """MODEL_USE: one session still has the older one; no other gets it any more."""
    newer, older = (owner.sealed_model(SINE, "raced", version) for version in (NEWER, OLDER))
    other = connect("raced")
    other.model_key = owner.model_key
    other.provision()
    other.load_bytes(older.sealed.data)
    source = owner.put(older.sealed.data[:MODEL_SOURCE_BYTES])
    word = blinking(source, VERSION_AT, OLDER ^ NEWER)
    lines = [*owner.provisioned(keys.Slot.MODEL)]
    lines.append(line(Command.MODEL_USE, source, "out:32", NONE, NONE))
    lines += [*newer.lines(), line(Command.MODEL_STORE, *[NONE] * 4)]
    kept = len(lines)
    lines += [line(Command.MODEL_USE, word, "out:32", NONE, NONE)] * BLINKS
    lines += newer.lines()
    lines.append(line(Command.MODEL_REMOVE, owner.put(b"raced"), NONE, NONE, NONE))
    results = probe.run(lines)
    assert results[:kept] == [SUCCESS] * kept
    assert results[-4:] == [SUCCESS] * 4
    raced = set(results[kept : kept + BLINKS])
    assert raced == {cml(Status.MODEL_ROLLBACK), cml(Status.MODEL_MISSING)}
