# SPDX-License-Identifier: Apache-2.0
"""The measurements of `sandbox bench`, each as a JSON object: figures first, what follows after."""

import contextlib
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox import paths, process
from sandbox.authority.manufacturer import ensure_endorsed
from sandbox.bench import layers as layers_of
from sandbox.bench import measuring_ta, picture, programs
from sandbox.bench.host_cpu import HostCpu
from sandbox.bench.layers import Measured, Peak
from sandbox.build import images
from sandbox.commands import bench_service
from sandbox.commands.bench_service import MIB
from sandbox.commands.context import Context
from sandbox.commands.detect import MAX_SESSIONS
from sandbox.log import Progress
from sandbox.machine import flash, qemu_v8
from sandbox.machine.boot import GUEST_SHARE
from sandbox.machine.folder import check_name
from sandbox.machine.machine import Machine, State
from sandbox.owner.client import Model
from sandbox.owner.service import Session, TaError

# What each sample of a layer takes at least, for a clock of milliseconds.
LAYER_MS = 40
# Bits of enum cml_cpu
_CPU_BITS = {"neon": 1, "dotprod": 2, "i8mm": 4, "fast scalar": 8}


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


def host_cpu(machine: Machine) -> HostCpu:
    record = machine.status().record
    assert record is not None and record.qemu is not None
    return HostCpu(record.qemu.pid)


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


# Layers -----------------------------------------------------------------------------------------


def measuring(machine: Machine, subject: Subject, cpu: int = 0) -> measuring_ta.MeasuringTa:
    # Its copy of the model, and about a third of that for arena, tables and code.
    bench_service.wait_for_room(machine, len(subject.model.data) * 4 // 3 + MIB)
    return measuring_ta.MeasuringTa(machine, subject.model.data, cpu)


def layers(
    machine: Machine, subject: Subject, runs: int, progress: Progress
) -> tuple[dict[str, Any], list[Measured], Peak]:
    free_sessions(machine)
    programs.push_measuring_ta(machine, progress)
    with (
        measuring(machine, subject) as ta,
        progress.step("layers and peak, in the TA") as step,
    ):
        found = measuring_ta.measure(ta, host_cpu(machine), runs, LAYER_MS, step)
    each, peak = found.layers, found.peak
    return (
        {
            "macs": ta.macs,
            "cpu": cpu_names(ta.cpu),
            "arena_bytes": ta.arena_bytes,
            "network_seconds": found.network.as_json(),
            "network_host_cpu_seconds": found.network_cpu.as_json(),
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
    ensure_endorsed(flash.hardware_unique_key(machine.folder.flash))
    try:
        yield
    finally:
        if started:
            machine.down()


@contextlib.contextmanager
def with_cores(machine: Machine, cores: int, context: Context) -> Iterator[Machine]:
    """This machine, if it has so many; else another one, for as long as it takes."""
    record = machine.status().record
    if record is not None and record.cores >= cores:
        yield machine
        return
    name = check_name(f"{machine.name}-{cores}-cores")
    folder = paths.machine_dir(name)
    is_new = not folder.exists()
    wide = Machine(name, folder, qemu=context.config.qemu)
    try:
        with _booted(wide, cores, context):
            yield wide
    finally:
        if is_new:
            shutil.rmtree(folder, ignore_errors=True)
