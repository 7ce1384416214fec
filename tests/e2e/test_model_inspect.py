# SPDX-License-Identifier: Apache-2.0
"""What `sandbox model inspect` says beforehand is what the TA then takes, within 2 %."""

import contextlib
import dataclasses
import hashlib
import io
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import cbor2
import pytest
from PIL import Image
from real_stack import MODEL, ROOT, Client, provision

from sandbox.build import recipe
from sandbox.commands import detect, model_inspect, run
from sandbox.log import SilentProgress
from sandbox.machine.boot import GUEST_SHARE
from sandbox.machine.machine import Machine
from sandbox.model import profiles, report
from sandbox.model.profiles import TA_CODE_BYTES, TA_SESSION_BYTES
from sandbox.model.report import Cpu, Detector, Report
from sandbox.owner import keys, sealed_file, service
from sandbox.owner.service import InputRefused
from sandbox.tee import MemrefIn, MemrefOut, Session, TEEContext, TeeError, ValueOut
from sandbox.tee.stats import Memory, Pool, Stats
from sandbox.tee_abi import (
    ERROR_BASE,
    HEADER_BYTES,
    INFO_MAX_BYTES,
    MODEL_SOURCE_BYTES,
    PUSH_MAX_BYTES,
    TA_UUID,
    Command,
    Status,
)

SHARE = 0.02
PHOTO = ROOT / "fixtures/photos/chelsea.jpg"
MODELS = ROOT / "fixtures/models"


def near(said: int, true: int) -> bool:
    return abs(said - true) <= SHARE * true


class Owner:
    """Both owners' keys and a sealed model, for sessions without the client application."""

    def __init__(self, model: bytes) -> None:
        self._keys = {slot: keys.new_key() for slot in (keys.Slot.DATA, keys.Slot.MODEL)}
        self._model = sealed_file.seal_model(self._keys[keys.Slot.MODEL], model).data
        self._digest = hashlib.sha256(model).digest()
        self._sequence = itertools.count(1)

    def photo(self) -> bytes:
        return sealed_file.seal_photo(
            self._keys[keys.Slot.DATA],
            PHOTO.read_bytes(),
            score_threshold=0.5,
            sequence=next(self._sequence),
            model_digest=self._digest,
        ).data

    def tensors(self, size: int) -> bytes:
        return sealed_file.seal_tensors(
            self._keys[keys.Slot.DATA],
            bytes(size),
            sequence=next(self._sequence),
            model_digest=self._digest,
        ).data

    def provision(self, session: Session) -> None:
        for slot, key in self._keys.items():
            provision(session, slot, key)

    def load(self, session: Session) -> None:
        self.provision(session)
        push(session, Command.MODEL_BEGIN, self._model)
        session.invoke(Command.MODEL_FINISH, (MemrefOut(32),))

    def use(self, session: Session) -> None:
        """What another session has loaded."""
        self.provision(session)
        source = MemrefIn(self._model[:MODEL_SOURCE_BYTES])
        session.invoke(Command.MODEL_USE, (source, MemrefOut(32)))


def info(session: Session) -> dict[str, Any]:
    (out,) = session.invoke(Command.INFO, (MemrefOut(INFO_MAX_BYTES),))
    fields: dict[str, Any] = cbor2.loads(out.data)
    return fields


def push(session: Session, begin: Command, sealed: bytes) -> None:
    """All but the end of it; the command that pushes comes after the one that begins."""
    session.invoke(begin, (MemrefIn(sealed[:HEADER_BYTES]),))
    for at in range(HEADER_BYTES, len(sealed), PUSH_MAX_BYTES):
        session.invoke(Command(begin + 1), (MemrefIn(sealed[at : at + PUSH_MAX_BYTES]),))


def finish(session: Session) -> None:
    (size,) = session.invoke(Command.INFER_FINISH, (ValueOut(),))
    session.invoke(Command.RESULT, (MemrefOut(size.a),))


@pytest.fixture
def context(machine: Machine) -> Iterator[TEEContext]:
    with TEEContext(machine) as made:
        yield made


@pytest.fixture(autouse=True, scope="module")
def no_other_models(machine: Machine) -> None:
    """Commands leave sessions for the next command, with a model; here memory is counted."""
    with (
        machine.guest() as guest,
        service.Session(Machine.service(guest), GUEST_SHARE) as session,
    ):
        for name in (run.SESSION, *map(detect.session_name, range(4))):
            session.close_session(name)


Open = Callable[[], Session]


@pytest.fixture
def raw(context: TEEContext) -> Iterator[Open]:
    with contextlib.ExitStack() as stack:
        yield lambda: stack.enter_context(context.open_session(TA_UUID))


@pytest.fixture(scope="module")
def detector() -> Owner:
    return Owner(MODEL.read_bytes())


def plan(session: Session, name: str) -> Report:
    """For the kernels that the TA chose: which of two is faster it measures, and does not say.

    The session has loaded the model and had no request.
    """
    program = recipe.model_report(SilentProgress())
    said = info(session)
    cpu = Cpu(sum(bit for bit in Cpu if bit.words[0] in said["cpu"]))
    plans = [
        report.inspect(program, MODELS / name, each, [report.UNLIMITED])
        for each in (cpu, cpu | Cpu.FAST_SCALAR)
    ]
    tables, peak = said["model"]["tables"], said["memory"]["peak"]
    return min(
        plans, key=lambda one: (abs(one.tables_bytes - tables), abs(one.load_peak_bytes - peak))
    )


def detector_of(planned: Report) -> Detector:
    assert planned.detector is not None
    return planned.detector


# What one session counts ---------------------------------------------------------------------


def test_the_model_takes_what_was_said(detector: Owner, raw: Open) -> None:
    session, other = raw(), raw()
    detector.load(session)
    planned = plan(session, MODEL.name)
    said = info(session)
    assert said["model"]["arena"] == planned.arena_bytes
    assert near(planned.tables_bytes, said["model"]["tables"]), said
    assert near(planned.model_bytes, said["memory"]["used"]), said
    assert near(planned.load_peak_bytes, said["memory"]["peak"]), said
    # Another session loads nothing: it has what is there.
    detector.use(other)
    memory = info(other)["memory"]
    assert memory["used"] == memory["peak"] == said["memory"]["used"]


def test_a_photo_takes_what_was_said(detector: Owner, raw: Open) -> None:
    session = raw()
    detector.load(session)
    planned = plan(session, MODEL.name)
    push(session, Command.INFER_BEGIN, detector.photo())
    finish(session)
    memory = info(session)["memory"]
    said = detector_of(planned).baseline[0].small_peak_bytes
    assert near(said, memory["peak"]), (said, memory)
    kept = planned.shared_bytes + planned.session_bytes
    assert near(kept, memory["used"]), (kept, memory)


@pytest.mark.parametrize(
    "name",
    [
        MODEL.name,
        "sine_f32.tflite",
        "keyword_spotter_int8.tflite",
        "lstm_classifier_int8.tflite",
        "unet_int8.tflite",
        "mobilenet_v2_int8.tflite",
    ],
)
def test_tensors_take_what_was_said(name: str, raw: Open) -> None:
    owner, session = Owner((MODELS / name).read_bytes()), raw()
    owner.load(session)
    planned = plan(session, name)
    loaded = info(session)["memory"]
    assert near(planned.model_bytes, loaded["used"]), (planned.model_bytes, loaded)
    assert near(planned.load_peak_bytes, loaded["peak"]), (planned.load_peak_bytes, loaded)
    inputs = sum(planned.tensors[index].size_bytes for index in planned.inputs)
    push(session, Command.INFER_BEGIN, owner.tensors(inputs))
    finish(session)
    peak = info(session)["memory"]["peak"]
    said = max(planned.load_peak_bytes, planned.shared_bytes + planned.tensors_request_bytes)
    assert near(said, peak), (said, peak)


# What OP-TEE counts --------------------------------------------------------------------------


def ram_and_sessions(context: TEEContext) -> tuple[Memory, int]:
    """The TAs' memory, and how many sessions of our TA others have: helpers of the CA."""
    with Stats(context) as stats:
        ours = [ta.sessions for ta in stats.loaded_tas() if ta.uuid == TA_UUID]
        return stats.memory(Pool.TA_RAM), sum(ours)


def test_a_session_without_a_model_takes_what_was_said(raw: Open, context: TEEContext) -> None:
    used, others = [], 0
    for count in range(3):
        ram, sessions = ram_and_sessions(context)
        used.append(ram.used)
        if count == 0:
            others = sessions
        raw()
    assert near(TA_SESSION_BYTES, used[2] - used[1]), used
    # Where others have sessions, the code is there already.
    code = 0 if others else TA_CODE_BYTES
    assert near(code + TA_SESSION_BYTES, used[1] - used[0]), used


def test_optee_counts_what_was_said(detector: Owner, raw: Open, context: TEEContext) -> None:
    """The model and the TA's code once, all else for each session."""
    profile = profiles.DEFAULT
    _, others = ram_and_sessions(context)
    for count in range(1, 4):
        session = raw()
        if count == 1:
            detector.load(session)
            planned = plan(session, MODEL.name)
        else:
            detector.use(session)
        push(session, Command.INFER_BEGIN, detector.photo())
        finish(session)
        ram, _ = ram_and_sessions(context)
        each = TA_SESSION_BYTES + planned.session_bytes
        before = ram.size - profile.ta_ram_bytes
        said = before + TA_CODE_BYTES + planned.shared_bytes + count * each
        assert near(said + others * TA_SESSION_BYTES, ram.used), (count, said, ram)


def test_as_many_requests_have_room_as_was_said(
    detector: Owner, raw: Open, context: TEEContext
) -> None:
    """All of them are begun before the first one ends; there is no room for another one."""
    _, others = ram_and_sessions(context)
    # What sessions really take is a little less than what is counted: one more may fit.
    ram_bytes = profiles.DEFAULT.ta_ram_bytes - (others + 2) * TA_SESSION_BYTES
    profile = dataclasses.replace(profiles.DEFAULT, ta_ram_bytes=ram_bytes)
    _, (fit,) = model_inspect.look(MODEL, [profile], SilentProgress())
    assert fit.requests > 1
    # While a session is opened, OP-TEE has a copy of the TA's file: now there is room for it.
    sessions = [raw() for _ in range(fit.requests + 2)]
    begun = []

    def begin(session: Session) -> None:
        (detector.use if begun else detector.load)(session)
        push(session, Command.INFER_BEGIN, detector.photo())
        begun.append(session)

    for session in sessions[: fit.requests]:
        begin(session)
    with pytest.raises(TeeError) as caught:
        for session in sessions[fit.requests :]:
            begin(session)
    assert int(caught.value.result) == ERROR_BASE + Status.NO_MEMORY
    for session in begun:
        finish(session)


# The largest photo ---------------------------------------------------------------------------


def progressive(width: int, height: int) -> bytes:
    data = io.BytesIO()
    picture = Image.effect_noise((width, height), 40).convert("RGB")
    picture.save(data, "JPEG", progressive=True, subsampling="4:2:0", quality=60)
    return data.getvalue()


def test_the_largest_photo_is_the_largest(connect: Callable[[str], Client]) -> None:
    """Only the decoder's headers were tried beforehand; here is the whole of it."""
    client = connect("inspect-photos")
    client.provision()
    client.load()
    found, (fit,) = model_inspect.look(MODEL, [profiles.DEFAULT], SilentProgress())
    photo = fit.progressive
    assert detector_of(found).progressive and photo is not None and photo.fits
    client.infer(progressive(photo.width, photo.height))
    wider = photo.width + 16
    with pytest.raises(InputRefused) as caught:
        client.infer(progressive(wider, wider * 3 // 4))
    assert caught.value.status == "JPEG_PROGRESSIVE_TOO_LARGE"
    client.assert_works()
