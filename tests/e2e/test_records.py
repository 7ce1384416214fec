# SPDX-License-Identifier: Apache-2.0
"""The TA's records in secure storage, damaged one by one in every way that a file can be.

That of its keys and of the counter of results, and the vault: whatever is done to a
record's file, the TA names it, never panics, and never begins anew; with the file back, it goes on.
The rules of the folder as a whole are in test_root_of_trust.py.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import cbor2
import pytest
from devices import Device, Moment, devices
from real_stack import ROOT, provision
from test_root_of_trust import TA as STORAGE_TA

from sandbox.devkit import push
from sandbox.owner import cose, keys, sealed_file
from sandbox.owner.results import open_tensor_result
from sandbox.tee import (
    MemrefIn,
    MemrefOut,
    Parameter,
    Session,
    TEEContext,
    TeeError,
    ValueIn,
    ValueOut,
)
from sandbox.tee_abi import (
    CSR_MAX_BYTES,
    ERROR_BASE,
    MODEL_LIST_MAX_BYTES,
    RESULT_MAX_BYTES,
    TA_UUID,
    TOKEN_MAX_BYTES,
    Command,
    OwnKey,
    Status,
)
from sandbox.testing.applications import BuildTa
from sandbox.testing.lab import ImagesFor

SINE = (ROOT / "fixtures/models/sine_f32.tflite").read_bytes()
DAMAGED = ERROR_BASE + Status.STORAGE_DAMAGED
BLOCK = 4096
FIRST_ATTEMPTS = 4
RECORDS = ("counter", "generations", "vault")


class User:
    """Keys, a model, and one session of the TA itself."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._data_key, self._model_key = os.urandom(32), os.urandom(32)
        self._sequence = 0
        provision(session, keys.Slot.DATA, self._data_key)
        provision(session, keys.Slot.MODEL, self._model_key)
        self._model = sealed_file.seal_model(self._model_key, SINE)
        self.digest = self.load()
        self._signer = cose.decode_key(self.own_key(OwnKey.SIGNING))

    def load(self) -> bytes:
        self._call(Command.MODEL_BEGIN, MemrefIn(self._model.header.pack()))
        self._call(Command.MODEL_PUSH, MemrefIn(self._model.stream))
        return self._call(Command.MODEL_FINISH, MemrefOut(32))[0].data

    def _call(self, command: Command, *parameters: Parameter) -> list[MemrefOut]:
        return self.session.invoke(command, parameters)  # type: ignore[return-value]

    def own_key(self, which: OwnKey) -> bytes:
        return self._call(Command.OWN_KEY, ValueIn(which), MemrefOut(75))[1].data

    def own_keys(self) -> tuple[bytes, ...]:
        return tuple(self.own_key(which) for which in OwnKey)

    def rotate(self) -> None:
        self._call(Command.OWN_KEY_ROTATE, ValueIn(OwnKey.SIGNING), ValueOut())

    def result_number(self) -> int:
        self._sequence += 1
        sealed = sealed_file.seal_tensors(
            self._data_key, bytes(4), sequence=self._sequence, model_digest=self.digest
        )
        self._call(Command.INFER_BEGIN, MemrefIn(sealed.header.pack()))
        self._call(Command.INFER_PUSH, MemrefIn(sealed.stream))
        self._call(Command.INFER_FINISH, ValueOut())
        answer = self._call(Command.RESULT, MemrefOut(RESULT_MAX_BYTES))[0].data
        result = open_tensor_result(self._data_key, sealed, answer, self._signer)
        return result.origin.counter

    def models(self) -> bytes:
        return self._call(Command.MODEL_LIST, MemrefOut(MODEL_LIST_MAX_BYTES))[0].data

    def store(self) -> None:
        self._call(Command.MODEL_STORE)


@dataclass(frozen=True)
class Record:
    """One of them: its file, and who asks for it."""

    path: Path
    older: bytes  # what the file was before its last change
    calls: tuple[Callable[[], object], ...]  # each needs the record
    value: Callable[[], object]
    is_good: Callable[[object], bool]  # what `value` gives


class Stack:
    """A device that has used all of its records, and sessions."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self._sessions = ExitStack()

    def close(self) -> None:
        self._sessions.close()

    def open(self) -> Session:
        context = self._sessions.enter_context(TEEContext(self.device.machine))
        return self._sessions.enter_context(context.open_session(TA_UUID))

    def user(self) -> User:
        return User(self.open())

    def changed_by(self, act: Callable[[], object]) -> tuple[Path, bytes]:
        """The one object that `act` changes, and what it was."""
        before = self._objects()
        act()
        after = self._objects()
        (name,) = (name for name in before if after[name] != before[name])
        return self.device.storage / name, before[name]

    def _objects(self) -> dict[str, bytes]:
        files = self.device.storage.iterdir()
        return {path.name: path.read_bytes() for path in files if path.name.isdigit()}


@pytest.fixture(scope="module")
def make_device(
    sandbox_images: ImagesFor, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Device]]:
    state = tmp_path_factory.mktemp("devices")
    with devices(state, lambda machine: Device(machine, sandbox_images)) as make:
        yield make


@pytest.fixture(scope="module")
def device(make_device: Callable[[str], Device]) -> Device:
    made = make_device("records")
    made.boot()
    return made


@pytest.fixture(scope="module")
def foreign(device: Device, build_ta: BuildTa) -> bytes:
    """The file of another TA's object."""
    push.push(device.machine, build_ta(Path(__file__).with_name("storage_ta")))
    before = {path.name for path in device.storage.iterdir()}
    with TEEContext(device.machine) as context, context.open_session(STORAGE_TA) as session:
        session.invoke(0, (MemrefIn(b"x"), MemrefIn(os.urandom(9000))))
    (name,) = {path.name for path in device.storage.iterdir()} - before
    return (device.storage / name).read_bytes()


@pytest.fixture
def stack(device: Device) -> Iterator[Stack]:
    made = Stack(device)
    yield made
    made.close()
    assert "panicked" not in device.secure_log


def counter(stack: Stack) -> Record:
    # Numbers are taken by the block: a session needs the record for its first result only.
    first, second, asking = stack.user(), stack.user(), stack.user()
    first.result_number()
    path, older = stack.changed_by(second.result_number)
    numbers = [second.result_number()]

    def is_above(number: object) -> bool:
        assert isinstance(number, int)
        numbers.append(number)
        return numbers[-1] > numbers[-2]

    def number() -> object:
        with TEEContext(stack.device.machine) as context, context.open_session(TA_UUID) as fresh:
            return User(fresh).result_number()

    return Record(path, older, (asking.result_number,), number, is_above)


def generations(stack: Stack) -> Record:
    path, older = stack.changed_by(stack.user().rotate)
    keys_of_ta = stack.user().own_keys()
    asking = stack.open()
    evidence = (MemrefIn(bytes(32)), MemrefOut(TOKEN_MAX_BYTES))
    csr = (ValueIn(OwnKey.SIGNING), MemrefOut(CSR_MAX_BYTES))
    rotated = (ValueIn(OwnKey.WRAPPING), ValueOut())

    def own_keys() -> object:
        with TEEContext(stack.device.machine) as context, context.open_session(TA_UUID) as fresh:
            return tuple(
                fresh.invoke(Command.OWN_KEY, (ValueIn(which), MemrefOut(75)))[1].data
                for which in OwnKey
            )

    return Record(
        path,
        older,
        (
            lambda: asking.invoke(Command.ATTEST, evidence),
            lambda: asking.invoke(Command.OWN_KEY_CSR, csr),
            lambda: asking.invoke(Command.OWN_KEY_ROTATE, rotated),
            lambda: provision(asking, keys.Slot.DATA, bytes(32)),
            lambda: asking.invoke(Command.OWN_KEY, (ValueIn(OwnKey.SIGNING), MemrefOut(75))),
        ),
        own_keys,
        lambda found: found == keys_of_ta,
    )


def vault(stack: Stack) -> Record:
    user, asking = stack.user(), stack.user()
    stack.user().store()
    path, older = stack.changed_by(user.store)
    listed = user.models()
    return Record(
        path,
        older,
        (asking.load, asking.store, asking.models),
        asking.models,
        lambda models: models == listed,
    )


MAKE = {"counter": counter, "generations": generations, "vault": vault}


def refused(record: Record) -> None:
    """Each call, and again: it is not forgotten for having been named."""
    for call in (*record.calls, record.calls[0]):
        with pytest.raises(TeeError) as caught:
            call()
        assert caught.value.result == DAMAGED, caught.value


@pytest.mark.parametrize("name", RECORDS)
def test_a_damaged_record_is_named_and_never_begins_anew(
    name: str, stack: Stack, device: Device, foreign: bytes
) -> None:
    record = MAKE[name](stack)
    good = record.path.read_bytes()
    # Of the same size, where there is one: of the TA's own, which have one key.
    mine = sorted(
        (path.read_bytes() for path in device.storage.iterdir() if path.name.isdigit()),
        key=lambda data: (data == good, data == foreign, abs(len(data) - len(good))),
    )

    # Whatever of the file is in use.
    damages = [None, b"", good[:10], good[:BLOCK], bytes(len(good)), record.older]
    damages += [foreign, mine[0]]
    damages.append(bytes(byte ^ 1 for byte in good))
    for damage in damages:
        if damage is None:
            record.path.unlink()
        else:
            record.path.write_bytes(damage)
        refused(record)
    record.path.write_bytes(good)
    # Of heads, nodes and data there are two each, and one of them is in use.
    refusals = 0
    for spoil in (*(flipped(block) for block in range(len(good) // BLOCK + 1)), cut(1), cut(BLOCK)):
        good = record.path.read_bytes()
        record.path.write_bytes(spoil(good))
        try:
            assert record.is_good(record.value())
        except TeeError as error:
            assert error.result == DAMAGED, error
            refusals += 1
            refused(record)
            record.path.write_bytes(good)
    assert refusals >= 2
    # It may have been written meanwhile, over what was spoiled and not in use.
    assert record.is_good(record.value())
    record.calls[0]()


def flipped(block: int) -> Callable[[bytes], bytes]:
    begin, end = block * BLOCK, (block + 1) * BLOCK
    return lambda good: good[:begin] + bytes(b ^ 0x20 for b in good[begin:end]) + good[end:]


def cut(size: int) -> Callable[[bytes], bytes]:
    return lambda good: good[:-size]


# The first writes ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Used:
    keys: tuple[bytes, ...]
    number: int
    models: int  # how many the vault has


def use(device: Device) -> Used:
    """Every record: the keys, a result's number, a model into the vault."""
    stack = Stack(device)
    user = stack.user()
    own_keys, number = user.own_keys(), user.result_number()
    user.store()
    models = len(cbor2.loads(user.models())["models"])
    stack.close()
    return Used(own_keys, number, models)


def first_moments(make_device: Callable[[str], Device]) -> tuple[Device, list[Moment], Used]:
    """A device's first use, from before its first commit; it is off again."""
    for attempt in range(FIRST_ATTEMPTS):
        device = make_device(f"first-{attempt}")
        with device.watched() as moments:
            device.boot()
            used = use(device)
        device.down()
        assert (used.number, used.models) == (1, 1)
        # On a busy host we may look too late.
        if moments[0].count == 0:
            return device, moments, used
    pytest.fail("the first commit was over each time before we looked")


def test_a_power_cut_at_the_first_writes_of_a_device(make_device: Callable[[str], Device]) -> None:
    """Old or new, and never stuck: dirf.db, a record's creation, its first content, the last."""
    device, moments, used = first_moments(make_device)
    alone = [i for i, moment in enumerate(moments) if moment.names() <= {"dirf.db"}]
    chosen = {
        "the first file": 0,
        "the first commit is written": [i for i in alone if not moments[i].count][-1],
        "and counted": next(i for i, moment in enumerate(moments) if moment.count),
        "a record's file": alone[-1] + 1,
        "its first content": alone[-1] + 4,
        "the first model, with its key, is written": len(moments) - 2,
    }
    kept = []
    for index in sorted(set(chosen.values())):
        device.put_back(moments[index])
        device.boot()
        assert device.counter_at_boot() == moments[index].count
        found = use(device)
        # The keys of then, or two that are new: the record came as a whole.
        assert found.keys == used.keys or not {*found.keys} & {*used.keys}
        kept.append(found.keys == used.keys)
        # What was committed is kept, and of numbers some may be left out.
        assert found.number >= 1
        # The one from now, and the first if that commit was met.
        assert found.models in ((1, 2) if index == len(moments) - 2 else (1,)), index
        assert "rolled back" not in device.secure_log
        assert "missing" not in device.secure_log
        device.down()
    assert kept == sorted(kept) and kept[-1] and not kept[0]
