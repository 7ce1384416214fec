# SPDX-License-Identifier: Apache-2.0
"""The TEE client against real TAs: ours, and OP-TEE's own pseudo TAs."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import cbor2
import pytest
from real_stack import ROOT

from sandbox.build import recipe
from sandbox.errors import GuestError
from sandbox.log import SilentProgress
from sandbox.machine.agent import GuestTimeout, GuestUnreachable
from sandbox.machine.deadline import Deadline
from sandbox.machine.machine import Machine
from sandbox.tee import (
    Login,
    MemoryUse,
    MemrefIn,
    MemrefInOut,
    MemrefOut,
    MemrefPartialIn,
    MemrefPartialInOut,
    MemrefPartialOut,
    MemrefWhole,
    Session,
    TEEContext,
    TeeError,
    TeeOrigin,
    TeeResult,
    ValueIn,
    ValueInOut,
    ValueOut,
)
from sandbox.tee import wire as tee_wire
from sandbox.tee.stats import STATS_UUID, Pool, Stats
from sandbox.tee_abi import ABI_VERSION, ERROR_BASE, INFO_MAX_BYTES, TA_UUID, Command, Status

NO_SUCH_TA = UUID("5e0f5f6e-0000-4000-8000-0123456789ab")


@pytest.fixture
def context(machine: Machine) -> Iterator[TEEContext]:
    with TEEContext(machine) as made:
        yield made


@pytest.fixture
def session(context: TEEContext) -> Iterator[Session]:
    with context.open_session(TA_UUID) as made:
        yield made


def info(session: Session) -> dict[str, object]:
    (out,) = session.invoke(Command.INFO, (MemrefOut(INFO_MAX_BYTES),))
    assert out.needed == len(out.data)
    fields: dict[str, object] = cbor2.loads(out.data)
    return fields


def refusal(call: object, *args: object, **kwargs: object) -> tuple[TeeResult, TeeOrigin]:
    with pytest.raises(TeeError) as caught:
        call(*args, **kwargs)  # type: ignore[operator]
    return caught.value.result, caught.value.origin


def test_a_ta_answers(session: Session) -> None:
    assert info(session)["abi"] == ABI_VERSION


def test_a_buffer_too_small(session: Session) -> None:
    with pytest.raises(TeeError, match="SHORT_BUFFER") as caught:
        session.invoke(Command.INFO, (MemrefOut(4),))
    error = caught.value
    assert (error.result, error.origin) == (TeeResult.SHORT_BUFFER, TeeOrigin.TRUSTED_APP)
    needed = error.needed_bytes
    assert needed is not None
    (out,) = session.invoke(Command.INFO, (MemrefOut(needed),))
    assert len(out.data) == needed
    for size in (0, None):
        with pytest.raises(TeeError) as caught:
            session.invoke(Command.INFO, (MemrefOut(size),))
        assert caught.value.needed_bytes == needed


def test_what_the_ta_refuses(session: Session) -> None:
    from_ta = TeeOrigin.TRUSTED_APP
    assert refusal(session.invoke, 999) == (TeeResult.NOT_SUPPORTED, from_ta)
    for wrong in ([], [ValueIn(1, 2)], [MemrefIn(b"x")], [MemrefOut(2000), ValueOut()]):
        assert refusal(session.invoke, Command.INFO, wrong) == (TeeResult.BAD_PARAMETERS, from_ta)
    result, origin = refusal(session.invoke, Command.MODEL_FINISH, [MemrefOut(32)])
    assert (result, origin) == (ERROR_BASE + Status.BAD_STATE, from_ta)
    assert str(result) == f"0x{ERROR_BASE + Status.BAD_STATE:08x}"
    assert info(session)["abi"] == ABI_VERSION


@pytest.mark.sandbox_expects("ldelf failure")
@pytest.mark.sandbox_expects("ldelf failure")
def test_no_such_ta(context: TEEContext) -> None:
    with pytest.raises(TeeError, match="No TA|ITEM_NOT_FOUND") as caught:
        context.open_session(NO_SUCH_TA)
    error = caught.value
    assert (error.result, error.origin) == (TeeResult.ITEM_NOT_FOUND, TeeOrigin.TEE)
    assert error.hint is not None and "UUID" in error.hint


def test_no_such_tee(machine: Machine) -> None:
    assert refusal(TEEContext, machine, "no-such-tee")[0] is TeeResult.ITEM_NOT_FOUND


@pytest.mark.sandbox_expects("out of secure memory")
@pytest.mark.sandbox_expects("out of secure memory")
def test_a_memref_too_big_for_op_tee(session: Session) -> None:
    result, _ = refusal(session.invoke, Command.MODEL_PUSH, [MemrefIn(bytes(32 << 20))])
    # Of two lists of its pages, the first or the second has no room in OP-TEE's heap.
    assert result in (TeeResult.OUT_OF_MEMORY, TeeResult.GENERIC)
    assert info(session)["abi"] == ABI_VERSION


def test_shared_memory_keeps_its_bytes(context: TEEContext, session: Session) -> None:
    (expected,) = session.invoke(Command.INFO, (MemrefOut(INFO_MAX_BYTES),))
    with context.allocate(8192) as allocated, context.register(b"\xa5" * 8192) as registered:
        for memory in (allocated, registered):
            before = memory.read()
            (part,) = session.invoke(Command.INFO, (MemrefPartialOut(memory, 4000, 2048),))
            after = memory.read()
            assert after[4000 : 4000 + part.needed] == expected.data
            assert after[:4000] == before[:4000]
            assert after[4000 + part.needed :] == before[4000 + part.needed :]
            # Past its end
            asked = [MemrefPartialOut(memory, 8000, 2048)]
            bad = (TeeResult.BAD_PARAMETERS, TeeOrigin.API)
            assert refusal(session.invoke, Command.INFO, asked) == bad
        assert registered.read(4) == b"\xa5" * 4
        with context.allocate(INFO_MAX_BYTES, MemoryUse.OUTPUT) as output:
            (whole,) = session.invoke(Command.INFO, (MemrefWhole(output),))
            assert output.read(whole.needed) == expected.data
            # Made for the TA to write, not to read
            asked = [MemrefPartialIn(output, 0, 8)]
            assert refusal(session.invoke, Command.INFO, asked)[0] is TeeResult.BAD_PARAMETERS
        with pytest.raises(ValueError, match="8190 to 8194 of 8192"):
            allocated.write(b"four", 8190)
    with pytest.raises(ValueError, match="released"):
        allocated.read()


def test_sessions_and_threads_at_once(context: TEEContext) -> None:
    """Each has a TA instance of its own, with a challenge of its own."""
    keys: list[object] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            with context.open_session(TA_UUID) as session:
                keys.append(info(session)["challenge"])
                for _ in range(10):
                    assert info(session)["challenge"] in keys
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    assert not errors
    assert len(set(keys)) == len(threads)
    assert len(keys) == 3


def test_one_session_from_several_threads(session: Session) -> None:
    errors: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(10):
                assert info(session)["abi"] == ABI_VERSION
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    assert not errors


def test_login_methods(context: TEEContext) -> None:
    for login in (Login.PUBLIC, Login.USER, Login.GROUP):
        context.open_session(STATS_UUID, login=login, group=0).close()
    # Linux's driver knows no applications.
    result, _ = refusal(context.open_session, STATS_UUID, login=Login.APPLICATION)
    assert result is TeeResult.BAD_PARAMETERS


def test_closing(machine: Machine) -> None:
    context = TEEContext(machine)
    session = context.open_session(TA_UUID)
    session.close()
    session.close()
    with pytest.raises(ValueError, match="closed"):
        session.invoke(Command.INFO)
    other = context.open_session(TA_UUID)
    context.close()
    other.close()  # harmless: its context took it along
    with pytest.raises(GuestUnreachable, match="closed"):
        context.open_session(TA_UUID)


def test_python_checks_what_it_can(context: TEEContext, session: Session) -> None:
    for wrong in (-1, 1 << 32):
        with pytest.raises(ValueError, match="32 bits"):
            ValueIn(wrong)
        with pytest.raises(ValueError, match="32 bits"):
            session.invoke(wrong)
    with pytest.raises(ValueError, match="5 parameters"):
        session.invoke(0, [ValueIn()] * 5)
    with pytest.raises(ValueError, match="must be 0 to"):
        MemrefOut((32 << 20) + 1)
    with pytest.raises(ValueError, match="all memrefs"):
        session.invoke(0, [MemrefOut(20 << 20), MemrefOut(20 << 20)])
    with pytest.raises(ValueError, match="there are 3 bytes"):
        MemrefInOut(b"abc", 2)
    with pytest.raises(ValueError, match="must be 1 to"):
        context.allocate(0)


# A TA that does what it is told (client_ta/) --------------------------------------------------

CLIENT_TA = UUID("91c6d3f2-0b7e-4f55-9d18-c2a4806b7e35")
TURN, WAIT, WORK, PANIC, LOOK = range(5)


@pytest.fixture(scope="module")
def pushed(push_ta: Callable[[Path], object]) -> None:
    push_ta(Path(__file__).with_name("client_ta"))


@pytest.fixture
def odd(pushed: None, context: TEEContext) -> Iterator[Session]:
    with context.open_session(CLIENT_TA, (ValueInOut(1, 2),)) as made:
        assert made.opened_with == (ValueInOut(2, 1),)
        yield made


def test_parameters_both_ways(odd: Session, context: TEEContext) -> None:
    data = bytes(range(256)) * 1000
    value, memory = odd.invoke(TURN, (ValueInOut(0xFFFFFFFF, 7), MemrefInOut(data)))
    assert (value, memory.data) == (ValueInOut(7, 0xFFFFFFFF), data[::-1])
    with context.register(data) as shared:
        odd.invoke(TURN, (ValueInOut(), MemrefPartialInOut(shared, 100, 1000)))
        assert shared.read() == data[:100] + data[100:1100][::-1] + data[1100:]


def test_a_ta_that_heeds_cancellation(odd: Session) -> None:
    result, origin = refusal(odd.invoke, WAIT, [ValueIn(3_600_000)], timeout_s=0.5)
    assert (result, origin) == (TeeResult.CANCEL, TeeOrigin.TRUSTED_APP)
    # It is the call that was cancelled, not the session.
    odd.invoke(WAIT, [ValueIn(1)])


def test_a_ta_that_does_not_but_ends(odd: Session) -> None:
    odd.invoke(WORK, [ValueIn(1500)], timeout_s=0.5)


def test_a_ta_that_does_neither(
    pushed: None, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tee_wire, "CANCEL_GRACE_S", 0.5)
    with TEEContext(machine) as context:
        session = context.open_session(CLIENT_TA)
        with pytest.raises(GuestTimeout, match="nor when it was cancelled"):
            session.invoke(WORK, [ValueIn(4000)], timeout_s=0.5)
        with pytest.raises(GuestUnreachable, match="was given up"):
            session.invoke(TURN)
        session.close()


@pytest.mark.sandbox_expects("TA panic")
def test_a_ta_that_panics(odd: Session, context: TEEContext) -> None:
    for _ in range(2):
        dead = (TeeResult.TARGET_DEAD, TeeOrigin.TEE)
        assert refusal(odd.invoke, PANIC, [ValueIn(0xDEAD)]) == dead
    with context.open_session(CLIENT_TA) as another:
        another.invoke(WAIT, [ValueIn(1)])


def test_memory_that_changes_during_a_call(odd: Session, context: TEEContext) -> None:
    """What a test for double fetches stands on."""
    with context.allocate(4096) as memory:
        calling = threading.Thread(
            target=odd.invoke, args=(LOOK, [MemrefPartialInOut(memory, 0, 1)])
        )
        calling.start()
        deadline = Deadline(60.0)
        number = 0
        while calling.is_alive() and not deadline.expired:
            # A look before the TA's first is lost on it.
            number = number % 200 + 2
            memory.write(bytes([number]))
            calling.join(0.05)
        calling.join(60)
        assert not calling.is_alive()
        assert memory.read(1) == bytes([number + 1])


def test_results_have_op_tees_numbers(machine: Machine) -> None:
    kit = recipe.ta_dev_kit(SilentProgress()) / "include"
    theirs: dict[str, int] = {}
    for path in (*kit.glob("tee_api_defines*.h"), *kit.glob("*isocket*.h")):
        found = r"^#define TEE_(?:ERROR_|(?=ISOCKET_(?:ERROR|WARNING)|SUCCESS))(\w+)\s+(0x\w+)"
        for word, value in re.findall(found, path.read_text(), re.MULTILINE):
            theirs[word.replace("ISOCKET_ERROR_", "ISOCKET_")] = int(value, 16)
    assert len(theirs) > 40
    ours = {result.name: result.value for result in TeeResult}
    # One that is not an error, but a note in a driver's code.
    assert theirs.keys() - ours.keys() <= {"HEALTH_TEST_FAIL"}
    assert {name: theirs.get(name) for name in ours} == ours


# Statistics ------------------------------------------------------------------------------------


def test_memory_and_times(context: TEEContext) -> None:
    with Stats(context) as stats:
        ram, heap = stats.memory(Pool.TA_RAM), stats.memory(Pool.CORE_HEAP)
        for memory in (ram, heap):
            assert 0 < memory.used <= memory.peak <= memory.size
        with context.open_session(TA_UUID):
            assert stats.memory(Pool.TA_RAM).used > ram.used
        first, second = stats.times(), stats.times()
        assert first.tee_s <= second.tee_s


def test_loaded_tas(context: TEEContext, session: Session) -> None:
    def ours() -> int:
        return sum(ta.sessions for ta in stats.loaded_tas() if ta.uuid == TA_UUID)

    with Stats(context) as stats:
        before = ours()
        assert before >= 1
        with context.open_session(TA_UUID):
            assert ours() == before + 1
        assert ours() == before
        loaded = next(ta for ta in stats.loaded_tas() if ta.uuid == TA_UUID)
        assert not loaded.panicked and 0 < loaded.heap.used <= loaded.heap.size
    del session


# When somebody goes away -----------------------------------------------------------------------

HOLDER = """
import sys
from sandbox.machine.machine import Machine
from sandbox.tee import TEEContext
from sandbox.tee_abi import TA_UUID
context = TEEContext(Machine.named())
session = context.open_session(TA_UUID)
print("open", flush=True)
sys.stdin.read()
"""


KILL_ITS_PROCESS = """
for process in $(pidof sandbox-agent); do
    ls -l /proc/$process/fd | grep -q /dev/tee0 && kill -9 $process && echo killed
done
"""


def test_a_killed_python_leaves_no_session(context: TEEContext) -> None:
    with Stats(context) as stats:

        def ours() -> int:
            return sum(ta.sessions for ta in stats.loaded_tas() if ta.uuid == TA_UUID)

        before = ours()
        command = [sys.executable, "-c", HOLDER]
        with subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as child:
            assert child.stdout is not None and child.stdout.readline() == b"open\n"
            assert ours() == before + 1
            child.send_signal(signal.SIGKILL)
        deadline = Deadline(60.0)
        while ours() != before:
            assert not deadline.expired


def test_the_agents_process_ends(machine: Machine) -> None:
    """As it would if Linux ran out of memory: every call says so, at once."""
    with TEEContext(machine) as context, machine.guest() as guest:
        session = context.open_session(TA_UUID)
        assert guest.run(["sh", "-c", KILL_ITS_PROCESS], timeout_s=60.0).stdout == b"killed\n"
        deadline = Deadline(60.0)
        with pytest.raises(GuestError):
            while not deadline.expired:
                session.invoke(Command.INFO, [MemrefOut(INFO_MAX_BYTES)])
        with pytest.raises(GuestError):
            context.open_session(TA_UUID)


# The page --------------------------------------------------------------------------------------


def examples() -> list[str]:
    text = (ROOT / "docs" / "tee-from-python.md").read_text()
    return re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def marks(example: str) -> list[pytest.MarkDecorator]:
    """One of them asks for a TA that is not there."""
    return [pytest.mark.sandbox_expects("ldelf failure")] * ("ITEM_NOT_FOUND" in example)


@pytest.mark.parametrize(
    "number", [pytest.param(n, marks=marks(text)) for n, text in enumerate(examples())]
)
def test_the_pages_examples_run(machine: Machine, number: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", examples()[number]],
        cwd=ROOT,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout and not done.stderr
    del machine
