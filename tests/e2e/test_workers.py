# SPDX-License-Identifier: Apache-2.0
"""Several sessions, one model, and several cores on one photo: with a normal world that helps, and
with one that does what it likes. Whatever it does, a photo's result is right or there is none."""

import contextlib
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import real_stack
from real_stack import MODEL, ROOT, Client, golden

from sandbox import process
from sandbox.logs import reader
from sandbox.machine import runs
from sandbox.machine.guest import Guest
from sandbox.machine.machine import Machine
from sandbox.owner import keys, sealed_file
from sandbox.owner.results import open_result
from sandbox.tee import (
    MemrefIn,
    MemrefOut,
    Session,
    TEEContext,
    TeeError,
    TeeResult,
    ValueIn,
    ValueOut,
)
from sandbox.tee.stats import Pool, Stats
from sandbox.tee_abi import (
    ERROR_BASE,
    MODEL_SOURCE_BYTES,
    TA_UUID,
    WORK_MAX_MS,
    Command,
    Status,
)

PHOTO = ROOT / "fixtures/photos/chelsea.jpg"
MIB = 1 << 20
# Within this, a worker is sure to be caught with a tile.
WITHHELD_S = 180
ANEW = "a worker is late: the network begins anew"


@pytest.fixture
def context(machine: Machine) -> Iterator[TEEContext]:
    with TEEContext(machine) as made:
        yield made


Open = Callable[[], Session]


@pytest.fixture
def raw(context: TEEContext) -> Iterator[Open]:
    """Sessions of the TA without the client application."""
    with contextlib.ExitStack() as stack:
        yield lambda: stack.enter_context(context.open_session(TA_UUID))


@pytest.fixture(scope="module")
def sealed_model() -> tuple[bytes, bytes]:
    """A key, and the detector sealed with it: once, as its owner gives it away."""
    key = keys.new_key()
    return key, sealed_file.seal_model(key, MODEL.read_bytes()).data


@pytest.fixture
def ready(
    connect: Callable[[str], Client], sealed_model: tuple[bytes, bytes]
) -> Callable[[str], Client]:
    """Sessions that have the keys and use the same sealed model; nobody helps them by itself."""

    def make(name: str) -> Client:
        client = connect(name)
        client.model_key = sealed_model[0]
        client.provision()
        client.load_bytes(sealed_model[1])
        client.session.workers(1)
        return client

    return make


def work(session: Session, ms: int, first: int = 0) -> int:
    _, tiles = session.invoke(Command.WORK, (ValueIn(ms, first), ValueOut()))
    return tiles.a


class Worker:
    """A session that is called to work, again and again, until the end."""

    def __init__(self, session: Session, ms: int = 20) -> None:
        self.tiles = 0
        self._end = threading.Event()
        self._pool = ThreadPoolExecutor(1)
        self._done = self._pool.submit(self._run, session, ms)

    def _run(self, session: Session, ms: int) -> None:
        while not self._end.is_set():
            self.tiles += work(session, ms)

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._done.result(timeout=60)
        self._pool.shutdown()


def helped(client: Client, session: Session, limit_s: float = 60.0) -> int:
    """Photos, each of them right, until the other session has done tiles of one."""
    deadline = time.monotonic() + limit_s
    with Worker(session) as worker:
        while not worker.tiles and time.monotonic() < deadline:
            client.assert_works()
    return worker.tiles


def used(context: TEEContext) -> int:
    with Stats(context) as stats:
        return stats.memory(Pool.TA_RAM).used


def refused(session: Session, command: Command, *params: object) -> int:
    with pytest.raises(TeeError) as caught:
        session.invoke(command, params)  # type: ignore[arg-type]
    return int(caught.value.result)


def cml(status: Status) -> int:
    return ERROR_BASE + status


# Who helps, and what it changes --------------------------------------------------------------


def test_another_session_does_a_share(ready: Callable[[str], Client], raw: Open) -> None:
    client = ready("workers-owner")
    assert helped(client, raw()) > 0


def test_the_client_application_brings_helpers(
    ready: Callable[[str], Client], context: TEEContext
) -> None:
    client = ready("workers-owner")
    client.session.workers(0)
    client.assert_works()
    with Stats(context) as stats:
        ours = [ta for ta in stats.loaded_tas() if ta.uuid == TA_UUID]
    # The owner's, and a helper for each core.
    assert sum(ta.sessions for ta in ours) >= 2
    client.assert_works()


def test_nothing_to_do(raw: Open) -> None:
    session = raw()
    begin = time.monotonic()
    assert work(session, 0) == 0
    assert work(session, 100) == 0
    assert 0.1 <= time.monotonic() - begin < 30
    too_long = (ValueIn(WORK_MAX_MS + 1, 0), ValueOut())
    assert refused(session, Command.WORK, *too_long) == TeeResult.BAD_PARAMETERS
    assert work(session, 0, 0xFFFFFFFF) == 0


def test_an_idle_worker_holds_no_model(
    ready: Callable[[str], Client], raw: Open, context: TEEContext
) -> None:
    client, session = ready("workers-owner"), raw()
    client.assert_works()
    work(session, 0)
    before = used(context)
    assert helped(client, session) > 0
    work(session, 0)
    assert used(context) <= before + 64 * 1024


# One model in memory -------------------------------------------------------------------------


def test_a_model_is_in_memory_once(
    ready: Callable[[str], Client],
    connect: Callable[[str], Client],
    context: TEEContext,
    sealed_model: tuple[bytes, bytes],
) -> None:
    bare = [connect(f"workers-{i}") for i in range(3)]
    for client in bare:
        client.model_key = sealed_model[0]
        client.provision()
    before = used(context)
    bare[0].load_bytes(sealed_model[1])
    one = used(context) - before
    assert len(MODEL.read_bytes()) < one < 6 * MIB
    for client in bare[1:]:
        client.load_bytes(sealed_model[1])
    assert used(context) - before < one + 64 * 1024
    for client in bare:
        client.assert_works()
    # It outlives the session that loaded it.
    bare[0].session.close_session("workers-0")
    bare[1].assert_works()


def test_a_sealed_model_is_used_by_those_who_have_its_key(
    ready: Callable[[str], Client], raw: Open, sealed_model: tuple[bytes, bytes]
) -> None:
    client = ready("workers-owner")
    key, sealed = sealed_model
    source = sealed[:MODEL_SOURCE_BYTES]
    session = raw()

    def use(data: bytes) -> int:
        return refused(session, Command.MODEL_USE, MemrefIn(data), MemrefOut(32))

    def provision(key: bytes) -> None:
        real_stack.provision(session, keys.Slot.MODEL, key)

    assert use(source) == cml(Status.KEY_MISSING)
    provision(os.urandom(32))
    assert use(source) == cml(Status.STREAM_WRONG_KEY)
    provision(key)
    for bad in (b"", source[:-1], source + b"\0", sealed[:4096]):
        assert use(bad) == cml(Status.HEADER_MALFORMED)
    # The same model, sealed another time: another file.
    again = sealed_file.seal_model(key, MODEL.read_bytes()).data[:MODEL_SOURCE_BYTES]
    assert use(again) == cml(Status.MODEL_MISSING)
    assert use(source[:-1] + bytes([source[-1] ^ 1])) == cml(Status.MODEL_MISSING)
    _, digest = session.invoke(Command.MODEL_USE, (MemrefIn(source), MemrefOut(32)))
    assert digest.data == client.session.info().model_digest
    client.assert_works()


def test_a_model_is_gone_with_its_last_session(
    ready: Callable[[str], Client], raw: Open, sealed_model: tuple[bytes, bytes]
) -> None:
    ready("workers-owner").session.close_session("workers-owner")
    session = raw()
    real_stack.provision(session, keys.Slot.MODEL, sealed_model[0])
    source = MemrefIn(sealed_model[1][:MODEL_SOURCE_BYTES])
    assert refused(session, Command.MODEL_USE, source, MemrefOut(32)) == cml(Status.MODEL_MISSING)


# A normal world that does what it likes ------------------------------------------------------


def three_photos(client: Client) -> None:
    for _ in range(3):
        client.assert_works()


def test_workers_in_any_order(ready: Callable[[str], Client], raw: Open) -> None:
    """More of them than cores, the same session from two threads, while two photos run."""
    clients = [ready(f"workers-{i}") for i in range(2)]
    shared = raw()
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(Worker(raw(), ms)) for ms in (1, 50)]
        workers += [stack.enter_context(Worker(shared, ms)) for ms in (0, 5)]
        with ThreadPoolExecutor(2) as pool:
            for done in [pool.submit(three_photos, client) for client in clients]:
                done.result(timeout=300)
    assert len(workers) == 4


def test_a_model_changes_while_workers_have_it(
    ready: Callable[[str], Client], raw: Open, sealed_model: tuple[bytes, bytes]
) -> None:
    client = ready("workers-owner")
    with Worker(raw()):
        for _ in range(3):
            client.assert_works()
            # Another file: the old one stays with the worker until it looks for work again.
            again = sealed_file.seal_model(sealed_model[0], MODEL.read_bytes()).data
            client.load_bytes(again)
    client.assert_works()


@pytest.fixture(scope="module")
def programs(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    """tee_probe.c and spin.c, statically linked, in the guest."""
    folder = tmp_path_factory.mktemp("programs")
    with machine.guest() as guest:
        for name in ("tee_probe", "spin"):
            argv: list[process.Argument] = ["aarch64-linux-gnu-gcc", "-static", "-pthread", "-O1"]
            argv += [f"-I{ROOT / 'ta/include'}", "-o", folder / name]
            process.run([*argv, Path(__file__).with_name(f"{name}.c")], timeout_s=60.0)
            guest.run(
                ["sh", "-c", f"cat >/tmp/{name} && chmod +x /tmp/{name}"],
                timeout_s=30.0,
                stdin=(folder / name).read_bytes(),
                check=True,
            )
        # Else Linux keeps a twentieth of each core from whoever spins.
        guest.run(
            ["sh", "-c", "echo -1 >/proc/sys/kernel/sched_rt_runtime_us"],
            timeout_s=20.0,
            check=True,
        )
        yield guest
        guest.run(
            ["sh", "-c", "echo 950000 >/proc/sys/kernel/sched_rt_runtime_us"],
            timeout_s=20.0,
            check=True,
        )
        guest.run(["rm", "-f", "/tmp/tee_probe", "/tmp/spin"], timeout_s=20.0)


def other_core(client: Client) -> int:
    assert client.info.core is not None
    return 1 - client.info.core


def worker_on(guest: Guest, core: int, seconds: int) -> None:
    """A worker pinned to a core, from outside of the client application, until it is killed."""
    call = f"{int(Command.WORK)} value:{WORK_MAX_MS} outval none none\n"
    guest.run(
        ["timeout", "-s", "KILL", str(seconds), "taskset", str(1 << core), "/tmp/tee_probe"],
        timeout_s=seconds + 60.0,
        stdin=("open\n" + call * 1000).encode(),
    )


def begun_anew(machine: Machine) -> int:
    return sum(ANEW in record.text for record in reader.read(runs.live(machine.folder)))


def test_a_core_that_is_withheld(
    machine: Machine, ready: Callable[[str], Client], programs: Guest, context: TEEContext
) -> None:
    """The worker's core is taken away while it has a tile, for seconds: the photo is finished
    without it, and right; and when the worker comes back, nothing is left behind."""
    client = ready("workers-owner")
    core = other_core(client)
    client.assert_works()
    before = used(context)
    anew = begun_anew(machine)
    with (
        ThreadPoolExecutor(2) as pool,
        machine.guest() as second,
        machine.guest() as third,
        third.lines(["/tmp/spin", str(core)]) as spin,
    ):

        def photo(meanwhile: Callable[[], None]) -> float:
            """How long the client application took."""
            sealed = client.seal(PHOTO.read_bytes())
            request = client.share.put(sealed.data, "photo")
            answer = client.share.new_path("result")
            begin = time.monotonic()
            inferred = pool.submit(client.session.infer, request, answer)
            meanwhile()
            inferred.result(timeout=120)
            took_s = time.monotonic() - begin
            client.share.drop(request)
            result = open_result(
                client.data_key, sealed, client.share.take(answer, 1 << 16), client.signer
            )
            assert result.origin.output_digest.hex() == golden("chelsea")["outputs_sha256"]
            return took_s

        def withhold() -> None:
            # Most of the time from here on is that of the network.
            time.sleep(alone_s * random.uniform(0.2, 0.9))
            spin.send(str(round(1000 * max(0.7, 2 * alone_s))))
            assert spin.receive(60.0) == "done"

        worker = pool.submit(worker_on, second, core, WITHHELD_S)
        deadline = time.monotonic() + WITHHELD_S - 30
        alone_s = min(photo(lambda: None) for _ in range(2))
        # It takes a few: now and then the worker has no tile.
        while begun_anew(machine) == anew and time.monotonic() < deadline:
            photo(withhold)
        third.run(["killall", "-KILL", "tee_probe"], timeout_s=60.0)
        worker.result(timeout=120)
    assert begun_anew(machine) > anew
    client.assert_works()
    assert used(context) <= before + 64 * 1024


def test_workers_that_are_killed(
    machine: Machine, ready: Callable[[str], Client], programs: Guest, context: TEEContext
) -> None:
    client = ready("workers-owner")
    client.assert_works()
    before = used(context)
    with ThreadPoolExecutor(1) as pool, machine.guest() as second:
        for _ in range(3):
            worker = pool.submit(worker_on, second, other_core(client), 1)
            while not worker.done():
                client.assert_works()
            worker.result()
    client.assert_works()
    assert used(context) <= before + 64 * 1024


def test_the_golden_result_of_each_share(ready: Callable[[str], Client], raw: Open) -> None:
    """Results do not depend on who did which tile."""
    client = ready("workers-owner")
    photo = PHOTO.read_bytes()
    expected = golden("chelsea")["outputs_sha256"]
    with Worker(raw(), 1), Worker(raw(), 3):
        found = {client.infer(photo).origin.output_digest.hex() for _ in range(6)}
    assert found == {expected}
