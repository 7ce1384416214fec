# SPDX-License-Identifier: Apache-2.0
"""The measurements of `sandbox bench`, each as a JSON object: figures first, what follows after."""

import contextlib
import hashlib
import os
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox import paths, process
from sandbox.bench import layers as layers_of
from sandbox.bench import measuring_ta, model_file, picture, programs
from sandbox.bench.figures import Difference, Figure, interleaved, quotient
from sandbox.bench.layers import Measured, Peak
from sandbox.build import images
from sandbox.commands import bench_service
from sandbox.commands.bench_service import MIB
from sandbox.commands.context import Context
from sandbox.commands.detect import MAX_SESSIONS, Model
from sandbox.errors import GuestError
from sandbox.log import Progress
from sandbox.machine import qemu_v8
from sandbox.machine.boot import GUEST_SHARE
from sandbox.machine.folder import check_name
from sandbox.machine.machine import Machine, State
from sandbox.owner.service import Session, TaError

# What each sample takes at least: long enough for a TA's clock of milliseconds.
SAMPLE_MS = 400
LAYER_MS = 40
# For secure memory, weights and activations once, whoever works on them
MANY_WORKERS = 4
# Bits of enum cml_cpu
_CPU_BITS = {"neon": 1, "dotprod": 2, "i8mm": 4, "fast scalar": 8}
_OUTPUTS_LIMIT = 16 * MIB

# Of the peers: what it is, and its place in the drawing. None: not measured here, and why.
NAMES = {
    "xnnpack1": "LiteRT with XNNPACK, 1 thread",
    "xnnpack2": "LiteRT with XNNPACK, 2 threads",
    "builtin1": "LiteRT, built-in kernels, 1 thread",
    "reference1": "LiteRT, reference kernels",
    "ree1": "our engine in the normal world, 1 thread",
    "ta1": "our engine in the TA, 1 worker",
    "ta2": "our engine in the TA, 2 workers",
}
_NO_REFERENCE = (
    "reference1: LiteRT 2.3's C API takes kernel_mode = reference, and runs its built-in kernels"
    " all the same: the time is left out"
)


@dataclass(frozen=True)
class Subject:
    """What is measured."""

    model: Model
    model_path: Path
    photo: Path

    @property
    def jpeg(self) -> bytes:
        return self.photo.read_bytes()

    def as_json(self) -> dict[str, Any]:
        return {
            "model": self.model_path.name,
            "model_sha256": self.model.digest.hex(),
            "photo": self.photo.name,
            "photo_bytes": len(self.jpeg),
        }


def cpu_names(bits: int) -> list[str]:
    return [name for name, bit in _CPU_BITS.items() if bits & bit] or ["portable"]


def machine_as_json(machine: Machine, context: Context) -> dict[str, Any]:
    record = machine.status().record
    qemu = process.run([context.config.qemu, "--version"], timeout_s=30).stdout.decode()
    return {
        "host_cpu": _host_cpu(),
        "host_cores": qemu_v8.host_cores(),
        "load_average": list(os.getloadavg()),
        "kernel": platform.release(),
        "qemu": qemu.splitlines()[0],
        "acceleration": qemu_v8.ACCELERATION,
        "guest_cpu": qemu_v8.QEMU_V8.cpu,
        "guest_cores": record.cores if record is not None else None,
    }


def _host_cpu() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.machine()


def free_sessions(machine: Machine) -> None:
    """What earlier calls of `sandbox detect` keep open takes the secure memory that we need."""
    with (
        machine.guest() as guest,
        Session(Machine.service(guest), GUEST_SHARE) as session,
    ):
        for name in (bench_service.SESSION, *(f"detect-{i}" for i in range(MAX_SESSIONS))):
            # Most are not there.
            with contextlib.suppress(TaError):
                session.close_session(name)


# Peers ------------------------------------------------------------------------------------------


def peers(
    machine: Machine, subject: Subject, runs: int, context: Context
) -> tuple[dict[str, Any], list[Measured], Peak]:
    """Everybody, in turn, on one photo; then the layers and the peak; then secure memory."""
    progress = context.progress
    free_sessions(machine)
    before = bench_service.secure_memory(machine)
    seconds: dict[str, Figure | None] = dict.fromkeys(NAMES)
    remarks = [_NO_REFERENCE]
    with contextlib.ExitStack() as stack:
        measured, hello = _everybody(machine, subject, runs, progress, stack, remarks)
        seconds |= measured.times
    with _measuring(machine, subject, hello["cpu"]) as ta:
        with progress.step("measuring TA: layers and peak") as step:
            each, peak, whole = measuring_ta.measure(ta, runs_of_layers(runs), LAYER_MS, step)
        in_ta = ta.infer(measured.model_input, len(measured.expected))
    agreement = {
        **measured.agreement,
        "measuring_ta": Difference.of(measured.expected, in_ta).as_json(),
    }
    groups = layers_of.groups(each)
    memory = _memory(machine, subject, before, context, remarks)
    return (
        {
            "seconds": {name: f.as_json() if f else None for name, f in seconds.items()},
            "measuring_ta_seconds": whole.as_json(),
            "macs": hello["macs"],
            "cpu": {"ree": cpu_names(hello["cpu"]), "ta": cpu_names(ta.cpu)},
            "agreement": agreement,
            "xnnpack_took_the_whole_model": measured.whole_model,
            "service_agrees": measured.service_agrees,
            "peak": peak.as_json(),
            "groups": {name: group.as_json(peak) for name, group in groups.items()},
            "layers": [layer.as_json(peak) for layer in each],
            "secure_memory": memory,
            "ratios": {
                **_ratios(seconds, groups, peak, least=False),
                "secure_memory_mib": _detector_mib(memory, MANY_WORKERS),
            },
            "ratios_of_least": _ratios(seconds, groups, peak, least=True),
            "remarks": remarks,
        },
        each,
        peak,
    )


def _detector_mib(memory: dict[str, Any], workers: int) -> float | None:
    """Of the detector, with code and all: what OP-TEE has for itself is not its doing."""
    peak = memory["peak_bytes"][str(workers)]
    return None if peak is None else (peak - memory["optee_bytes"]) / MIB


def _memory(
    machine: Machine,
    subject: Subject,
    before: bench_service.SecureMemory,
    context: Context,
    remarks: list[str],
) -> dict[str, Any]:
    free_sessions(machine)
    optee_bytes = before.used_bytes
    if before.instances:
        optee_bytes = 0
        remarks.append(
            "secure memory: TAs were loaded before, so what OP-TEE itself takes is not known, and"
            " counts as the detector's"
        )
    peaks: dict[str, int | None] = {}
    with context.progress.step("secure memory") as step:
        for workers in (1, MANY_WORKERS):
            peaks[str(workers)] = None
            if workers > 1 and not bench_service.takes_workers():
                remarks.append(f"{workers} workers on one photo: not in this version")
                continue
            step.update(f"{workers} workers")
            try:
                with _with_cores(machine, workers, context) as wide:
                    peaks[str(workers)] = bench_service.peak_memory(
                        wide, subject.model, subject.jpeg, workers, context.progress
                    )
            except GuestError as error:
                remarks.append(f"{workers} workers on one photo: {error.message}")
    return {
        "size_bytes": before.size_bytes,
        "optee_bytes": optee_bytes,
        "peak_bytes": peaks,
    }


@contextlib.contextmanager
def _with_cores(machine: Machine, cores: int, context: Context) -> Iterator[Machine]:
    """This machine, if it has so many; else another one, for as long as it takes."""
    record = machine.status().record
    if record is not None and record.cores >= cores:
        yield machine
        return
    name = check_name(f"{machine.name}-{cores}-cores")
    wide = Machine(name, paths.machine_dir(name), qemu=context.config.qemu)
    with _booted(wide, cores, context):
        yield wide


def _ratios(
    seconds: dict[str, Figure | None],
    groups: dict[str, layers_of.Group],
    peak: Peak,
    *,
    least: bool,
) -> dict[str, float | None]:
    def of(above: str, below: str) -> float | None:
        return quotient(seconds[above], seconds[below], least=least)

    return {
        "ta1_vs_xnnpack1": of("ta1", "xnnpack1"),
        "ta2_vs_xnnpack2": of("ta2", "xnnpack2"),
        "ta2_vs_ta1": of("ta2", "ta1"),
        "tee_vs_ree": of("ta1", "ree1"),
        "peak_share_conv": groups["convolutions"].share(peak, least=least),
        "peak_share_pointwise": groups["pointwise"].share(peak, least=least),
    }


def _measuring(machine: Machine, subject: Subject, cpu: int = 0) -> measuring_ta.MeasuringTa:
    # Its copy of the model, and about a third of that for arena, tables and code.
    bench_service.wait_for_room(machine, len(subject.model.data) * 4 // 3 + MIB)
    return measuring_ta.MeasuringTa(machine, subject.model.data, cpu)


def runs_of_layers(runs: int) -> int:
    """Layers are 98 times as many."""
    return max(2, runs // 3)


@dataclass(frozen=True)
class _Measured:
    times: dict[str, Figure]
    model_input: bytes
    expected: bytes  # outputs of our engine in the normal world
    agreement: dict[str, Any]
    whole_model: bool  # XNNPACK took it
    service_agrees: bool


def _everybody(
    machine: Machine,
    subject: Subject,
    runs: int,
    progress: Progress,
    stack: contextlib.ExitStack,
    remarks: list[str],
) -> tuple[_Measured, dict[str, Any]]:
    schema = programs.litert_schema(progress)
    guest = stack.enter_context(machine.guest())
    with progress.step("programs and models into the guest"):
        programs.prepare_folder(guest)
        programs.push_engine(guest, progress)
        programs.push_litert(guest, progress)
        programs.push_measuring_ta(machine, progress)
        for name, data in (
            ("model", subject.model.data),
            ("model-xnnpack", model_file.with_bias_scales(subject.model.data, schema)),
            ("photo", subject.jpeg),
        ):
            guest.put(f"{programs.FOLDER}/{name}", data, 0o600)

    def start(program: str, *arguments: str) -> programs.Program:
        return stack.enter_context(programs.Program(guest, program, arguments))

    def inside(name: str) -> str:
        return f"{programs.FOLDER}/{name}"

    # Whoever loads a model measures which kernels are fast; on a busy host two may find otherwise.
    # Here all are to have the same.
    with (
        progress.step("which kernels are fast in the TA"),
        _measuring(machine, subject) as ta,
    ):
        cpu = ta.cpu
    ours = stack.enter_context(bench_service.service(machine, subject.model, progress))
    with progress.step("our engine in the normal world"):
        engine = start(programs.ENGINE, inside("model"), inside("photo"), str(cpu))
        engine.ask("input", inside("input"))
    model_input = guest.get(inside("input"))

    def litert(kernels: str, threads: int) -> programs.Program:
        with progress.step(f"LiteRT, {kernels}, {threads}"):
            model = inside("model-xnnpack" if kernels == "xnnpack" else "model")
            peer = start(programs.LITERT, model, inside("input"), kernels, str(threads))
        if kernels == "xnnpack" and not peer.hello["fully_accelerated"]:
            raise programs.BenchProgramError(
                "XNNPACK did not take all of the model: its time would be another's",
                "`sandbox bench --layers` needs no peer.",
            )
        return peer

    peers_in_ree = {
        "xnnpack1": litert("xnnpack", 1),
        "xnnpack2": litert("xnnpack", 2),
        "builtin1": litert("builtin", 1),
    }

    def outputs(program: programs.Program) -> bytes:
        program.ask("outputs", inside("outputs"))
        return guest.get(inside("outputs"), max_bytes=_OUTPUTS_LIMIT)

    expected = outputs(engine)
    agreement = {
        name: Difference.of(expected, outputs(peer)).as_json()
        for name, peer in peers_in_ree.items()
    }

    jpeg = subject.jpeg
    # The first one is not like the others, and says whether the TA computes the same.
    found = ours.ask(jpeg).result.output_digest
    agrees = found == hashlib.sha256(expected).digest()

    def network(program: programs.Program) -> Callable[[], float]:
        return lambda: program.seconds("network", SAMPLE_MS)

    what: dict[str, Callable[[], float]] = {
        name: network(peer) for name, peer in peers_in_ree.items()
    }
    what["ree1"] = network(engine)
    what["ta1"] = lambda: ours.network(jpeg, 1)
    if bench_service.takes_workers():
        what["ta2"] = lambda: ours.network(jpeg, 2)
    else:
        remarks.append("ta2: this version gives one photo to one worker")
    with progress.step(f"{len(what)} ways through the network, {runs} rounds") as step:
        times = interleaved(
            what, runs, lambda turn, name: step.update(f"round {turn + 1} of {runs}: {name}")
        )
    whole = all(
        bool(peer.hello["fully_accelerated"])
        for name, peer in peers_in_ree.items()
        if name.startswith("xnnpack")
    )
    return _Measured(times, model_input, expected, agreement, whole, agrees), engine.hello


# Layers -----------------------------------------------------------------------------------------


def layers(
    machine: Machine, subject: Subject, runs: int, progress: Progress
) -> tuple[dict[str, Any], list[Measured], Peak]:
    free_sessions(machine)
    programs.push_measuring_ta(machine, progress)
    with (
        _measuring(machine, subject) as ta,
        progress.step("layers and peak, in the TA") as step,
    ):
        each, peak, whole = measuring_ta.measure(ta, runs, LAYER_MS, step)
    return (
        {
            "macs": ta.macs,
            "cpu": cpu_names(ta.cpu),
            "arena_bytes": ta.arena_bytes,
            "network_seconds": whole.as_json(),
            "peak": peak.as_json(),
            "groups": {name: g.as_json(peak) for name, g in layers_of.groups(each).items()},
            "layers": [layer.as_json(peak) for layer in each],
        },
        each,
        peak,
    )


def layers_picture(each: list[Measured], peak: Peak, subject: Subject) -> str:
    return picture.layers(each, peak, f"{subject.model_path.stem}, layer by layer in the TA")


# The service ------------------------------------------------------------------------------------


def service(machine: Machine, subject: Subject, runs: int, progress: Progress) -> dict[str, Any]:
    """Phases of one request, workers on one photo, several photos in flight."""
    free_sessions(machine)
    record = machine.status().record
    cores = record.cores if record is not None else 1
    with bench_service.service(machine, subject.model, progress) as ours:
        with progress.step("phases of one request") as step:
            phases = bench_service.phases(machine, ours, subject.jpeg, runs, step)
        with progress.step("workers on one photo") as step:
            workers = bench_service.workers_on_one_photo(ours, subject.jpeg, cores, runs, step)
        info = ours.info()
    with progress.step("several photos in flight") as step:
        rates = bench_service.throughput(machine, subject.model, subject.photo, 2 * runs, step)
    free_sessions(machine)
    return {
        "phases": {name: taken.as_json() for name, taken in phases.items()},
        "workers": {str(n): f.as_json() if f else None for n, f in workers.items()},
        "photos_per_s": {str(n): rate for n, rate in rates.items()},
        "memory": {
            "model_bytes": len(subject.model.data),
            "arena_bytes": info.arena_bytes,
            "tables_bytes": info.tables_bytes,
            "session_peak_bytes": info.memory_peak_bytes,
        },
    }


@contextlib.contextmanager
def running(context: Context) -> Iterator[Machine]:
    """The machine, if it is up; else it is booted for as long as this takes."""
    machine = context.machine()
    if machine.status().state is State.UP:
        yield machine
        return
    with _booted(machine, qemu_v8.default_cores(), context):
        yield machine


@contextlib.contextmanager
def _booted(machine: Machine, cores: int, context: Context) -> Iterator[None]:
    prepared = images.prepare(cores, context.progress)
    _, started = machine.up(
        prepared,
        cores=cores,
        memory_mib=context.config.memory_mib,
        timeout_s=context.config.boot_timeout_s,
        progress=context.progress,
    )
    try:
        yield
    finally:
        if started:
            machine.down()
