# SPDX-License-Identifier: Apache-2.0
"""One profile of a running machine, from the first question to named stacks."""

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from sandbox.debug import rsp, stub
from sandbox.debug.profile import linux
from sandbox.debug.profile.elf import Elf
from sandbox.debug.profile.resolve import Resolver
from sandbox.debug.profile.sampler import Place, Sample, Sampler, Samples
from sandbox.debug.profile.stacks import Profile
from sandbox.errors import GuestError, InfraError, SandboxError
from sandbox.log import Progress
from sandbox.machine.guest import Guest
from sandbox.machine.machine import Machine, MachineDown
from sandbox.machine.symbols import Symbols

DEFAULT_RATE_HZ = 200.0
MAX_RATE_HZ = 2000.0
# A guest that hangs is worth a profile too: it is not asked for long.
_LOGIN_S = 10.0
_ASK_S = 10.0
_PROGRAM_S = 60.0
_PROGRAM_LIMIT = 64 << 20


def record(
    machine: Machine,
    going_on: Callable[[float], bool],
    progress: Progress,
    *,
    rate_hz: float = DEFAULT_RATE_HZ,
    started: Callable[[], object] = lambda: None,
    title: Callable[[str], str] = "TA {}".format,
) -> Profile:
    """Sample the machine while `going_on(seconds so far)`; `started` is called when that begins.

    Afterwards, and also if this process is killed meanwhile, the machine runs on by itself.
    `title` is what to call a TA, by its UUID.
    """
    status = machine.status()
    if status.record is None:
        raise MachineDown(f"machine {machine.name!r} is {status.state}", "`sandbox up` starts it.")
    with contextlib.ExitStack() as stack:
        guest, kernel = None, None
        try:
            with progress.step("ask Linux for its symbols"):
                guest = stack.enter_context(machine.guest(_LOGIN_S))
                image = Path(status.record.images["kernel"])
                kernel = linux.Kernel.of(guest, image, machine.folder.symbols)
        except (GuestError, InfraError) as error:
            progress.note(f"the normal world stays without names: {error.message}")
        processes = stack.enter_context(_Processes(guest).watching())
        with progress.step("sample"):
            samples = _sampled(machine, kernel, rate_hz, going_on, started, processes.seen)
        with progress.step("find names"):
            mapped = processes.mappings()
            symbols = Symbols(machine.folder.symbols)
            images = {name: Elf(_bytes(symbols, name)) for name in symbols.names()}
            programs = _programs(guest, samples, mapped)
            resolver = Resolver(images, kernel, mapped, programs, title)
            named = resolver.stacks(samples.samples)
    return Profile(tuple(named), samples.cores, samples.stops, samples.running_s, samples.stopped_s)


def _bytes(symbols: Symbols, name: str) -> bytes:
    path = symbols.path(name)
    return path.read_bytes() if path is not None else b""


def _sampled(
    machine: Machine,
    kernel: linux.Kernel | None,
    rate_hz: float,
    going_on: Callable[[float], bool],
    started: Callable[[], object],
    seen: Callable[[Sample], None],
) -> Samples:
    reader = linux.TaskReader(kernel) if kernel is not None else None
    with stub.opened(machine, "sandbox profile") as path, rsp.connect(path) as remote:
        sampler = Sampler(remote, reader, rate_hz)
        started()
        return sampler.run(going_on, seen)


class _Processes:
    """What the guest's processes have mapped, asked as soon as one is seen: it may soon end."""

    def __init__(self, guest: Guest | None) -> None:
        self._guest = guest
        self._asked = set[linux.Task]()
        self._found: dict[linux.Task, tuple[linux.Mapping, ...]] = {}
        self._waiting: queue.SimpleQueue[linux.Task | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, daemon=True)

    @contextlib.contextmanager
    def watching(self) -> Iterator["_Processes"]:
        self._thread.start()
        try:
            yield self
        finally:
            self._waiting.put(None)
            self._thread.join(_ASK_S)

    def seen(self, sample: Sample) -> None:
        task = sample.task
        if task is not None and sample.place is Place.USER and task not in self._asked:
            self._asked.add(task)
            self._waiting.put(task)

    def mappings(self) -> dict[linux.Task, tuple[linux.Mapping, ...]]:
        """Of all that were seen; ends the watch."""
        self._waiting.put(None)
        self._thread.join(_ASK_S)
        return dict(self._found)

    def _work(self) -> None:
        while (task := self._waiting.get()) is not None:
            if self._guest is None:
                continue
            # A process that is gone has none; a guest that hangs gives none.
            with contextlib.suppress(SandboxError):
                ran = self._guest.run(["cat", f"/proc/{task.pid}/maps"], timeout_s=_ASK_S)
                self._found[task] = tuple(linux.executable(ran.stdout))


def _programs(
    guest: Guest | None,
    samples: Samples,
    processes: Mapping[linux.Task, tuple[linux.Mapping, ...]],
) -> dict[str, Elf]:
    """The files that user code was sampled in, fetched from the guest."""
    needed = {
        part.path
        for sample in samples.samples
        if sample.place is Place.USER and sample.task is not None
        for part in processes.get(sample.task, ())
        if part.path.startswith("/")
        and any(part.start <= a < part.end for a in (sample.pc, *(a for _, a in sample.frames)))
    }
    found: dict[str, Elf] = {}
    if guest is None:
        return found
    for path in sorted(needed):
        with contextlib.suppress(SandboxError):
            script = ["head", "-c", str(_PROGRAM_LIMIT), path]
            found[path] = Elf(guest.run(script, timeout_s=_PROGRAM_S).stdout)
    return found
