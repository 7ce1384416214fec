# SPDX-License-Identifier: Apache-2.0
"""What `sandbox bench` measures through the service, as `sandbox detect` uses it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sandbox.bench.figures import Figure, figure
from sandbox.commands import trust
from sandbox.commands.detect import MAX_SESSIONS, detect
from sandbox.errors import GuestError
from sandbox.log import Progress, SilentProgress, Step
from sandbox.machine.boot import GUEST_SHARE
from sandbox.machine.deadline import Deadline
from sandbox.machine.guest import Guest
from sandbox.machine.machine import Machine
from sandbox.owner.client import Client, Model
from sandbox.owner.results import Result
from sandbox.owner.service import Session, TaInfo
from sandbox.owner.share import Share
from sandbox.tee import TEEContext
from sandbox.tee.stats import Pool, Stats

SESSION = "bench"
_THRESHOLD = 0.5
# Bytes behind the end of a JPEG file: they are read, copied and decrypted, and nothing else.
_TRAILING_BYTES = 4 << 20
_POLL_S = 0.5
# So many, that all workers have had their share of one.
_PHOTOS = 3
MIB = 1 << 20


@dataclass(frozen=True)
class Asked:
    """One photo, asked for and answered: seconds of each phase, and what was found."""

    seconds: dict[str, float]
    result: Result


class Service:
    """A session of the inference TA, with keys and a model."""

    def __init__(self, session: Session, client: Client) -> None:
        self._session = session
        self._client = client

    def ask(self, photo: bytes, workers: int = 1) -> Asked:
        self._session.workers(workers)
        timings: dict[str, float] = {}
        began = time.perf_counter()
        result = self._client.detect(photo, _THRESHOLD, timings)
        timings["total"] = (time.perf_counter() - began) * 1000
        return Asked({name: ms / 1000 for name, ms in timings.items()}, result)

    def network(self, photo: bytes, workers: int = 1) -> float:
        """Seconds that the network took, as the TA says in the sealed result."""
        return self.ask(photo, workers).seconds["network"]

    def info(self) -> TaInfo:
        return self._session.info()


@contextmanager
def service(machine: Machine, model: Model, progress: Progress) -> Iterator[Service]:
    """The session is closed in the end, and its secure memory free again."""
    with (
        machine.guest() as guest,
        Session(Machine.service(guest), GUEST_SHARE) as session,
    ):
        trusted = trust.of(machine, progress)
        client = Client(session, Share(machine.share), model, trusted)
        with progress.step("session, keys and model"):
            client.prepare(SESSION)
        try:
            yield Service(session, client)
        finally:
            session.close_session(SESSION)


@dataclass(frozen=True)
class SecureMemory:
    """OP-TEE's TA RAM: TAs' code, data, stacks, and all that they map."""

    size_bytes: int
    used_bytes: int
    instances: int  # of TAs that are loaded


def secure_memory(machine: Machine) -> SecureMemory:
    """What is in use now: OP-TEE's own, if no TA is loaded."""
    with TEEContext(machine) as context, Stats(context) as stats:
        memory = stats.memory(Pool.TA_RAM)
        return SecureMemory(memory.size, memory.used, stats.loaded_count())


def wait_for_room(machine: Machine, needed_bytes: int, timeout_s: float = 20.0) -> None:
    """Sessions that end, or let go of a model, may take a moment. Asking for more than there is
    would be trouble on the secure world's console; so this looks first."""
    deadline = Deadline(timeout_s)
    while True:
        memory = secure_memory(machine)
        free = memory.size_bytes - memory.used_bytes
        if free >= needed_bytes:
            return
        if deadline.expired:
            raise GuestError(
                f"{needed_bytes / MIB:.1f} MiB of secure memory are needed, {free / MIB:.1f} MiB"
                " are free",
                "Sessions of other programs may have the rest: `sandbox down` ends them all.",
            )
        time.sleep(_POLL_S)


def peak_memory(
    machine: Machine, model: Model, photo: bytes, workers: int, progress: Progress
) -> int:
    """The most that was in use, from before a session was opened until it had looked at photos."""
    with TEEContext(machine) as context, Stats(context) as stats:
        stats.memory(Pool.TA_RAM, reset=True)
        with service(machine, model, progress) as ours:
            for _ in range(_PHOTOS):
                ours.ask(photo, workers)
        return stats.memory(Pool.TA_RAM).peak


# Phases -----------------------------------------------------------------------------------------


def phases(
    machine: Machine, ours: Service, photo: bytes, runs: int, step: Step
) -> dict[str, Figure]:
    """Of one request. What lies between the photo's file and the decoder is told from what it
    takes when the same photo has megabytes behind its end."""
    samples: dict[str, list[float]] = {}

    def note(name: str, seconds: float) -> None:
        # Differences of two times may be nothing, or less.
        samples.setdefault(name, []).append(max(seconds, 1e-6))

    longer = photo + bytes(_TRAILING_BYTES)
    with machine.guest() as guest:
        for turn in range(runs):
            step.update(f"round {turn + 1} of {runs}")
            seconds = ours.ask(photo).seconds
            more = ours.ask(longer).seconds
            byte_s = (more["service"] - seconds["service"]) / _TRAILING_BYTES
            read_s = _read_byte_s(machine, guest)
            known = {name: seconds[name] for name in ("jpeg", "network", "boxes")}
            read = read_s * len(photo)
            copy = byte_s * len(photo) - read
            note("owner seals the photo", seconds["seal"])
            note("CA reads it from the share", read)
            note("copied into the TA, decrypted", copy)
            note("JPEG and resize", known["jpeg"])
            note("network", known["network"])
            note("boxes", known["boxes"])
            note(
                "world switches, result sealed, and the rest",
                seconds["service"] - read - max(copy, 0) - sum(known.values()),
            )
            note("owner opens the result", seconds["open"])
            note("whole request", seconds["total"])
    return {name: figure(taken) for name, taken in samples.items()}


def _read_byte_s(machine: Machine, guest: Guest) -> float:
    """Seconds a byte to read a file of the share in the guest, without starting the program."""
    share = Share(machine.share)
    path = share.put(bytes(_TRAILING_BYTES), "bench")
    try:
        times = []
        for name in ("/dev/null", f"{GUEST_SHARE}/{path.name}"):
            began = time.perf_counter()
            guest.run(["dd", f"if={name}", "of=/dev/null", "bs=64k"], timeout_s=60, check=True)
            times.append(time.perf_counter() - began)
    finally:
        share.drop(path)
    return max(times[1] - times[0], 0.0) / _TRAILING_BYTES


def workers_on_one_photo(
    ours: Service, photo: bytes, most: int, runs: int, step: Step
) -> dict[int, Figure | None]:
    found: dict[int, Figure | None] = {}
    for count in range(1, most + 1):
        step.update(f"{count} of {most} workers")
        found[count] = figure(ours.network(photo, count) for _ in range(runs))
    return found


def throughput(
    machine: Machine, model: Model, photo: Path, count: int, step: Step
) -> dict[int, float]:
    """Photos a second, with so many sessions at work at once."""
    rates: dict[int, float] = {}
    trusted = trust.of(machine, SilentProgress())
    for sessions in range(1, MAX_SESSIONS + 1):
        step.update(f"{sessions} sessions")
        # The first call opens the sessions and loads the model.
        for batch in ([photo] * sessions, [photo] * count):
            began = time.monotonic()
            outcomes = detect(
                machine,
                batch,
                model,
                trusted=trusted,
                threshold=_THRESHOLD,
                sessions=sessions,
                progress=SilentProgress(),
            )
            elapsed = time.monotonic() - began
            for outcome in outcomes:
                if outcome.error is not None:
                    raise outcome.error
            rates[sessions] = len(batch) / elapsed
    return rates
