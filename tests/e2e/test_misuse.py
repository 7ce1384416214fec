# SPDX-License-Identifier: Apache-2.0
"""Commands that no honest client sends, straight through /dev/tee0: refused, and no panic."""

import os
import random
from pathlib import Path

import cbor2
import pytest
from raw_client import (
    ACCESS_DENIED,
    BAD_PARAMETERS,
    EXCESS_DATA,
    FINISH,
    NONE,
    NOT_SUPPORTED,
    RESULT,
    SHORT_BUFFER,
    SUCCESS,
    TARGET_DEAD,
    Owner,
    Probe,
    cml,
    line,
)

from sandbox.machine.boot import GUEST_SHARE
from sandbox.machine.guest import Guest
from sandbox.machine.machine import Machine
from sandbox.owner import keys
from sandbox.owner.share import Share
from sandbox.tee_abi import (
    HEADER_BYTES,
    MODEL_LIST_MAX_BYTES,
    MODEL_NAME_MAX_BYTES,
    MODEL_SOURCE_BYTES,
    PUSH_MAX_BYTES,
    Command,
    Status,
)

# What each command takes, as cml_ta.h says.
RIGHT = {
    Command.INFO: ("out:1024", NONE, NONE, NONE),
    Command.PROVISION_KEY: ("value:1", "in:300", "out:16", NONE),
    Command.MODEL_BEGIN: (f"in:{HEADER_BYTES}", NONE, NONE, NONE),
    Command.MODEL_PUSH: ("in:100", NONE, NONE, NONE),
    Command.MODEL_FINISH: ("out:32", NONE, NONE, NONE),
    Command.INFER_BEGIN: (f"in:{HEADER_BYTES}", NONE, NONE, NONE),
    Command.INFER_PUSH: ("in:100", NONE, NONE, NONE),
    Command.INFER_FINISH: ("outval", NONE, NONE, NONE),
    Command.RESULT: ("out:16384", NONE, NONE, NONE),
    Command.MODEL_USE: (f"in:{MODEL_SOURCE_BYTES}", "out:32", NONE, NONE),
    Command.WORK: ("value:1", "outval", NONE, NONE),
    Command.ATTEST: ("in:32", "out:2048", NONE, NONE),
    Command.OWN_KEY: ("value:1", "out:75", NONE, NONE),
    Command.OWN_KEY_CSR: ("value:2", "out:512", NONE, NONE),
    Command.OWN_KEY_ROTATE: ("value:3", "outval", NONE, NONE),
    Command.MODEL_STORE: (NONE, NONE, NONE, NONE),
    Command.MODEL_LIST: (f"out:{MODEL_LIST_MAX_BYTES}", NONE, NONE, NONE),
    Command.MODEL_REMOVE: ("in:5", NONE, NONE, NONE),
    Command.MODEL_ACTIVATE: ("in:5", NONE, NONE, NONE),
    Command.KEY_LIST: ("out:512", NONE, NONE, NONE),
    Command.KEY_REMOVE: ("in:16", NONE, NONE, NONE),
    Command.MODEL_DESCRIBE: ("out:3072", NONE, NONE, NONE),
}
# Their effect outlasts the session, and has tests of its own.
LASTING = {Command.OWN_KEY_ROTATE, Command.MODEL_STORE}
KINDS = (NONE, "value:1", "inval:1", "outval", "in:100", "out:100", "inout:100")


def test_every_other_set_of_parameter_types_is_refused(probe: Probe) -> None:
    """Each parameter of each command, given as each other kind; and all four at once."""
    lines = []
    for command, right in RIGHT.items():
        for position in range(4):
            for kind in KINDS:
                if kind.split(":")[0] != right[position].split(":")[0]:
                    changed = [*right[:position], kind, *right[position + 1 :]]
                    lines.append(line(command, *changed))
        lines += [line(command, *[kind] * 4) for kind in KINDS if (kind,) * 4 != right]
    results = probe.run([*lines, line(Command.INFO, *RIGHT[Command.INFO])])
    wrong = [
        (asked, f"{got:#x}")
        for asked, got in zip(lines, results, strict=False)
        if got != BAD_PARAMETERS
    ]
    assert wrong == []
    assert results[-1] == SUCCESS


# The default build answers ENCRYPT_ABSENT, whatever the parameters: test_sealed_models.py.
ABSENT = {Command.ENCRYPT_BEGIN, Command.ENCRYPT_PUSH, Command.ENCRYPT_FINISH}


def test_every_command_is_in_the_table() -> None:
    assert set(RIGHT) == set(Command) - ABSENT


def test_commands_that_do_not_exist(probe: Probe) -> None:
    ids = [max(Command) + 1, 255, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]
    assert probe.run([line(i, NONE, NONE, NONE, NONE) for i in ids]) == [NOT_SUPPORTED] * len(ids)


def test_commands_out_of_order(probe: Probe) -> None:
    expected = {
        Command.MODEL_PUSH: cml(Status.BAD_STATE),
        Command.MODEL_FINISH: cml(Status.BAD_STATE),
        Command.INFER_PUSH: cml(Status.BAD_STATE),
        Command.INFER_FINISH: cml(Status.BAD_STATE),
        Command.RESULT: cml(Status.RESULT_MISSING),
        Command.MODEL_STORE: cml(Status.MODEL_MISSING),
        Command.MODEL_REMOVE: cml(Status.KEY_MISSING),
        Command.MODEL_ACTIVATE: cml(Status.KEY_MISSING),
    }
    lines = [line(command, *RIGHT[command]) for command in expected]
    assert probe.run(lines) == list(expected.values())


def test_memory_that_is_none_small_or_large(probe: Probe) -> None:
    short = cml(Status.HEADER_MALFORMED)
    cose, replayed = cml(Status.COSE_MALFORMED), cml(Status.KEY_REPLAYED)
    cases: list[tuple[str, int | set[int]]] = [
        (line(Command.INFO, "out:0", NONE, NONE, NONE), SHORT_BUFFER),
        (line(Command.INFO, "out:1", NONE, NONE, NONE), SHORT_BUFFER),
        (line(Command.INFO, "nullout:0", NONE, NONE, NONE), SHORT_BUFFER),
        (line(Command.INFO, "out:4000000", NONE, NONE, NONE), SUCCESS),
        (line(Command.MODEL_BEGIN, "in:0", NONE, NONE, NONE), short),
        (line(Command.MODEL_BEGIN, "nullin:0", NONE, NONE, NONE), short),
        (line(Command.MODEL_BEGIN, f"in:{HEADER_BYTES - 1}", NONE, NONE, NONE), short),
        (line(Command.MODEL_BEGIN, f"in:{HEADER_BYTES + 1}", NONE, NONE, NONE), short),
        (line(Command.MODEL_BEGIN, f"in:{PUSH_MAX_BYTES}", NONE, NONE, NONE), short),
        (line(Command.MODEL_BEGIN, f"in:{PUSH_MAX_BYTES + 1}", NONE, NONE, NONE), EXCESS_DATA),
        (line(Command.INFER_BEGIN, "nullin:0", NONE, NONE, NONE), short),
        (line(Command.INFER_BEGIN, "in:4000000", NONE, NONE, NONE), EXCESS_DATA),
        (line(Command.PROVISION_KEY, "value:1", "nullin:0", "out:16", NONE), cose),
        (line(Command.PROVISION_KEY, "value:1", "in:0", "out:16", NONE), cose),
        (line(Command.PROVISION_KEY, "value:1", "in:15", "out:16", NONE), cose),
        (line(Command.PROVISION_KEY, "value:1", "in:300", "out:16", NONE), replayed),
        (line(Command.PROVISION_KEY, "value:1", "in:300", "out:15", NONE), SHORT_BUFFER),
        (line(Command.PROVISION_KEY, "value:1", "in:300", "nullout:0", NONE), SHORT_BUFFER),
        (
            line(Command.PROVISION_KEY, "value:1", "in:4000000", "out:16", NONE),
            cml(Status.COSE_LIMIT),
        ),
        (line(Command.PROVISION_KEY, "value:0", "in:300", "out:16", NONE), BAD_PARAMETERS),
        (line(Command.PROVISION_KEY, "value:3", "in:300", "out:16", NONE), replayed),
        (line(Command.PROVISION_KEY, "value:4", "in:300", "out:16", NONE), BAD_PARAMETERS),
        (line(Command.PROVISION_KEY, "value:257", "in:300", "out:16", NONE), BAD_PARAMETERS),
        (line(Command.RESULT, "nullout:0", NONE, NONE, NONE), cml(Status.RESULT_MISSING)),
        (line(Command.ATTEST, "in:7", "out:2048", NONE, NONE), BAD_PARAMETERS),
        (line(Command.ATTEST, "nullin:0", "out:2048", NONE, NONE), BAD_PARAMETERS),
        (line(Command.ATTEST, "in:65", "out:2048", NONE, NONE), EXCESS_DATA),
        (line(Command.ATTEST, "in:8", "out:100", NONE, NONE), SHORT_BUFFER),
        (line(Command.ATTEST, "in:64", "out:2048", NONE, NONE), SUCCESS),
        (line(Command.OWN_KEY, "value:0", "out:75", NONE, NONE), BAD_PARAMETERS),
        (line(Command.OWN_KEY, "value:3", "out:75", NONE, NONE), BAD_PARAMETERS),
        (line(Command.OWN_KEY, "value:1", "out:74", NONE, NONE), SHORT_BUFFER),
        (line(Command.OWN_KEY_CSR, "value:1", "out:512", NONE, NONE), BAD_PARAMETERS),
        (line(Command.OWN_KEY_CSR, "value:2", "out:10", NONE, NONE), SHORT_BUFFER),
        (line(Command.OWN_KEY_ROTATE, "value:0", "outval", NONE, NONE), BAD_PARAMETERS),
        (line(Command.MODEL_LIST, "nullout:0", NONE, NONE, NONE), SHORT_BUFFER),
        (line(Command.MODEL_LIST, "out:10", NONE, NONE, NONE), SHORT_BUFFER),
        (line(Command.MODEL_LIST, "out:4000000", NONE, NONE, NONE), SUCCESS),
        (line(Command.KEY_LIST, "out:0", NONE, NONE, NONE), SHORT_BUFFER),
        (line(Command.KEY_LIST, "nullout:0", NONE, NONE, NONE), SHORT_BUFFER),
        (line(Command.KEY_REMOVE, "in:15", NONE, NONE, NONE), BAD_PARAMETERS),
        (line(Command.KEY_REMOVE, "nullin:0", NONE, NONE, NONE), BAD_PARAMETERS),
        (line(Command.KEY_REMOVE, "in:17", NONE, NONE, NONE), EXCESS_DATA),
        (line(Command.KEY_REMOVE, "in:16", NONE, NONE, NONE), cml(Status.KEY_UNKNOWN)),
        (line(Command.MODEL_DESCRIBE, "out:0", NONE, NONE, NONE), cml(Status.MODEL_MISSING)),
    ]
    for command in (Command.MODEL_REMOVE, Command.MODEL_ACTIVATE):
        for size in (MODEL_NAME_MAX_BYTES + 1, 4000000):
            cases.append((line(command, f"in:{size}", NONE, NONE, NONE), EXCESS_DATA))
        for memory in ("nullin:0", "in:0", f"in:{MODEL_NAME_MAX_BYTES}"):
            cases.append((line(command, memory, NONE, NONE, NONE), cml(Status.KEY_MISSING)))
    # A size without memory: somebody refuses, or OP-TEE makes the size 0.
    for command, size in [
        (Command.MODEL_BEGIN, HEADER_BYTES),
        (Command.INFER_BEGIN, HEADER_BYTES),
        (Command.MODEL_BEGIN, 0xFFFFFFFFFFFFFFFF),
        (Command.INFER_BEGIN, 1 << 40),
    ]:
        refusals = {-1, BAD_PARAMETERS, EXCESS_DATA, ACCESS_DENIED, short}
        cases.append((line(command, f"nullin:{size}", NONE, NONE, NONE), refusals))
    results = probe.run([asked for asked, _ in cases])
    for (asked, expected), got in zip(cases, results, strict=True):
        allowed = expected if isinstance(expected, set) else {expected}
        assert got in allowed, (asked, f"{got:#x}")


def test_what_a_command_leaves_behind(probe: Probe, owner: Owner) -> None:
    """The state rules of cml_ta.h, one by one, in one session with a model."""
    one, two, three, four = (owner.photo() for _ in range(4))
    begin, push = four.begin, four.push
    small = line(Command.RESULT, "out:10", NONE, NONE, NONE)
    nothing = line(Command.INFER_PUSH, "in:0", NONE, NONE, NONE)
    null = line(Command.INFER_PUSH, "nullin:0", NONE, NONE, NONE)
    large = line(Command.INFER_PUSH, f"in:{PUSH_MAX_BYTES + 1}", NONE, NONE, NONE)
    data_key = owner.provisioned(keys.Slot.DATA)
    model_begin = line(Command.MODEL_BEGIN, owner.words["model-header"], NONE, NONE, NONE)
    garbage = line(Command.MODEL_BEGIN, f"in:{HEADER_BYTES}", NONE, NONE, NONE)
    bad, missing = cml(Status.BAD_STATE), cml(Status.RESULT_MISSING)
    steps: list[tuple[str, int]] = [
        # A result waits until it fits, and is gone once taken.
        *[(step, SUCCESS) for step in (one.begin, one.push, FINISH)],
        (small, SHORT_BUFFER),
        (RESULT, SUCCESS),
        (RESULT, missing),
        # What was served is not served again.
        (one.begin, cml(Status.REQUEST_REPLAYED)),
        # Nothing pushed is no harm; too much pushed drops the photo.
        *[(step, SUCCESS) for step in (two.begin, nothing, null, two.push, FINISH, RESULT)],
        (three.begin, SUCCESS),
        (large, EXCESS_DATA),
        (three.push, bad),
        # A BEGIN begins anew, and drops a waiting result.
        *[(step, SUCCESS) for step in (three.begin, three.push, three.begin, three.push, FINISH)],
        (begin, SUCCESS),
        (RESULT, missing),
        # A stream that goes on after its end.
        (push, SUCCESS),
        (push, cml(Status.STREAM_EXTENDED)),
        (FINISH, bad),
        # A new data key drops the photo in flight.
        *[(step, SUCCESS) for step in (begin, push, *data_key)],
        (FINISH, bad),
        # A model that is refused at its header leaves the loaded one; a good header drops it.
        (garbage, cml(Status.HEADER_MALFORMED)),
        *[(step, SUCCESS) for step in (begin, push, FINISH, RESULT)],
        (model_begin, SUCCESS),
        (begin, cml(Status.MODEL_MISSING)),
        (line(Command.MODEL_FINISH, "out:31", NONE, NONE, NONE), SHORT_BUFFER),
        (line(Command.MODEL_FINISH, "out:32", NONE, NONE, NONE), cml(Status.STREAM_TRUNCATED)),
        (line(Command.MODEL_FINISH, "out:32", NONE, NONE, NONE), bad),
    ]
    before = owner.loaded()
    results = probe.run([*before, *(asked for asked, _ in steps)])
    assert results[: len(before)] == [SUCCESS] * len(before)
    for (asked, expected), got in zip(steps, results[len(before) :], strict=True):
        assert f"{got:#x}" == f"{expected:#x}", asked


@pytest.mark.parametrize("seed", range(2))
def test_random_commands_never_kill_the_ta(probe: Probe, owner: Owner, seed: int) -> None:
    """Good and bad parts in any order; at the end the session does its work all the same."""
    dice = random.Random(seed)
    owner.photo()
    words = [*owner.words.values(), "in:0", f"in:{HEADER_BYTES}", "in:300", "in:65536", "nullin:0"]
    outs = ["out:0", "out:16", "out:32", "out:1024", "out:16384", "nullout:0"]
    lines = []
    for _ in range(100):
        command = dice.choice([each for each in RIGHT if each not in LASTING])
        params = list(RIGHT[command])
        for i, kind in enumerate(params):
            if kind.startswith("in:"):
                params[i] = dice.choice(words)
            elif kind.startswith("out:"):
                params[i] = dice.choice(outs)
            elif kind.startswith("value:"):
                params[i] = f"value:{dice.choice([0, 1, 2, 3])}"
        lines.append(line(command, *params))
    good = [*owner.loaded(), *owner.inferred()]
    results = probe.run([*lines, *good])
    assert TARGET_DEAD not in results
    assert -1 not in results
    assert results[-len(good) :] == [SUCCESS] * len(good)


def test_sessions_left_open_by_a_client_that_dies_are_closed(probe: Probe, guest: Guest) -> None:
    """Ten clients end without closing: their secure memory is free again."""
    for _ in range(10):
        probe.run([line(Command.INFO, *RIGHT[Command.INFO])])
    assert guest.run(["cml-ca", "info"], timeout_s=60.0).status == os.EX_OK


# Of each command that fails. Memory is compared to the byte, so one would show, if it leaks always.
LEAKS = 25


def test_two_threads_on_one_session(probe: Probe, owner: Owner) -> None:
    """OP-TEE lets one in after the other: each command finds a whole session."""
    photo = owner.photo()
    lines = owner.loaded()
    before = len(lines)
    lines += [f"twin {line(Command.INFO, *RIGHT[Command.INFO])}", f"twin {photo.begin}"]
    lines += [photo.push, f"twin {FINISH}", f"twin {RESULT}"]
    results = probe.run([*lines, *owner.inferred()])
    assert results[: before + 5] == [SUCCESS] * (before + 5)
    finished, taken = results[before + 5 : before + 7], results[before + 7 : before + 9]
    assert sorted(finished) == [SUCCESS, cml(Status.BAD_STATE)]
    assert sorted(taken) == [SUCCESS, cml(Status.RESULT_MISSING)]
    assert results[before + 9 :] == [SUCCESS] * 4


# Waits until the probe has said $1 lines, so that it is inside the next command, and kills it.
KILL = """
/tmp/tee_probe <"$2" >/tmp/said & probe=$!
for _ in $(seq 3000); do
    [ "$(wc -l </tmp/said)" -ge "$1" ] && break
    usleep 10000
done
kill -9 $probe
wait $probe
echo $?
wc -l </tmp/said
"""


def test_a_client_killed_within_a_command_leaves_nothing(
    probe: Probe, owner: Owner, guest: Guest, machine: Machine
) -> None:
    """A session with a model takes more than a third of secure memory: four would not fit."""
    share = Share(machine.share)
    parts = len(owner.loaded())
    photos = [step for _ in range(51) for step in owner.inferred()[:3]]
    text = "\n".join(["open", *owner.loaded(), *photos])
    script = share.put(f"{text}\n".encode(), "script")
    # Within loading a model, its FINISH, and the network's run.
    for lines in (parts - 3, parts, parts + 3, parts + 6):
        asked = ["sh", "-c", KILL, "sh", str(lines), f"{GUEST_SHARE}/{script.name}"]
        done = guest.run(asked, timeout_s=120.0, check=True)
        status, said = (int(word) for word in done.stdout.split())
        assert status == 128 + 9
        assert lines <= said < len(text.splitlines())
    share.drop(script)
    results = probe.run([*owner.loaded(), *owner.inferred()])
    assert set(results) == {SUCCESS}


def memory_used(share: Share, path: Path) -> int:
    used: int = cbor2.loads(share.take(path, 1 << 16))["memory"]["used"]
    return used


def test_failing_commands_leak_no_memory(probe: Probe, owner: Owner, machine: Machine) -> None:
    """Many times each: photos and models that fail at their begin, push and finish."""
    share = Share(machine.share)
    before, after = share.new_path("info"), share.new_path("info")
    first, bad = owner.inferred(), owner.photo()
    begin, push = bad.begin, bad.push
    model_begin = line(Command.MODEL_BEGIN, owner.words["model-header"], NONE, NONE, NONE)
    model_push = line(Command.MODEL_PUSH, owner.words["model-1"], NONE, NONE, NONE)
    model_finish = line(Command.MODEL_FINISH, "out:32", NONE, NONE, NONE)
    failing = [
        *(line(Command.INFER_BEGIN, f"in:{HEADER_BYTES}", NONE, NONE, NONE), push),
        *(begin, FINISH),
        *(begin, push, push),
        *(begin, line(Command.INFER_PUSH, owner.words["model-1"], NONE, NONE, NONE)),
        *(RESULT, line(Command.PROVISION_KEY, "value:1", "in:300", "out:16", NONE)),
    ]
    # The first photo leaves something behind that the next ones use.
    lines = [*owner.loaded(), *first]
    lines.append(line(Command.INFO, f"save:{GUEST_SHARE}/{before.name}", NONE, NONE, NONE))
    lines += failing * LEAKS
    lines.append(line(Command.INFO, f"save:{GUEST_SHARE}/{after.name}", NONE, NONE, NONE))
    assert probe.run([*lines, *owner.inferred()])[-5:] == [SUCCESS] * 5
    assert memory_used(share, before) == memory_used(share, after) > 0

    # And without a model: each begin maps memory for one.
    lines = owner.loaded()[:4]
    lines.append(line(Command.INFO, f"save:{GUEST_SHARE}/{before.name}", NONE, NONE, NONE))
    lines += [model_begin, model_push, model_begin, model_finish] * LEAKS
    lines.append(line(Command.INFO, f"save:{GUEST_SHARE}/{after.name}", NONE, NONE, NONE))
    good = [*owner.loaded(), *owner.inferred()]
    assert probe.run([*lines, *good])[-len(good) - 1 :] == [SUCCESS] * (len(good) + 1)
    assert memory_used(share, before) == memory_used(share, after)
