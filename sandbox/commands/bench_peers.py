# SPDX-License-Identifier: Apache-2.0
"""`sandbox bench --peers`: the engine in the TA beside itself in the normal world, and LiteRT."""

import contextlib
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sandbox.bench import layers as layers_of
from sandbox.bench import measuring_ta, model_file, programs
from sandbox.bench.figures import Difference, Figure, figure, interleaved, quotient
from sandbox.bench.layers import Measured, Peak
from sandbox.commands import bench_service, bench_steps
from sandbox.commands.bench_service import MIB
from sandbox.commands.context import Context
from sandbox.errors import GuestError
from sandbox.log import Progress
from sandbox.machine.machine import Machine

# What each sample takes at least: long enough for a TA's clock of milliseconds.
SAMPLE_MS = 400
# For secure memory, weights and activations once, whoever works on them
MANY_WORKERS = 4
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
    "reference1: LiteRT took kernel_mode = reference, and computed what reference kernels do not"
    "{same}: the time is left out"
)


def peers(
    machine: Machine, subject: bench_steps.Subject, runs: int, context: Context
) -> tuple[dict[str, Any], list[Measured], Peak]:
    """Everybody, in turn, on one photo; then the layers and the peak; then secure memory."""
    progress = context.progress
    bench_steps.free_sessions(machine)
    before = bench_service.secure_memory(machine)
    seconds: dict[str, Figure | None] = dict.fromkeys(NAMES)
    remarks: list[str] = []
    with contextlib.ExitStack() as stack:
        measured, hello = _everybody(machine, subject, runs, progress, stack, remarks)
        seconds |= measured.times
    with bench_steps.measuring(machine, subject, hello["cpu"]) as ta:
        with progress.step("measuring TA: layers and peak") as step:
            found = measuring_ta.measure(
                ta,
                bench_steps.host_cpu(machine),
                runs_of_layers(runs),
                bench_steps.LAYER_MS,
                step,
            )
        in_ta = ta.infer(measured.model_input, len(measured.expected))
    agreement = {
        **measured.agreement,
        "measuring_ta": Difference.of(measured.expected, in_ta).as_json(),
    }
    peak = found.peak
    groups = layers_of.groups(found.layers)
    host_cpu = {**measured.cpu, "measuring_ta": found.network_cpu}
    memory = _memory(machine, subject, before, context, remarks)
    return (
        {
            "seconds": {name: f.as_json() if f else None for name, f in seconds.items()},
            "measuring_ta_seconds": found.network.as_json(),
            "host_cpu_seconds": {name: f.as_json() for name, f in host_cpu.items()},
            "macs": hello["macs"],
            "cpu": {
                "ree": bench_steps.cpu_names(hello["cpu"]),
                "ta": bench_steps.cpu_names(ta.cpu),
            },
            "agreement": agreement,
            "xnnpack_took_the_whole_model": measured.whole_model,
            "service_agrees": measured.service_agrees,
            "peak": peak.as_json(),
            "groups": {name: group.as_json(peak) for name, group in groups.items()},
            "layers": [layer.as_json(peak) for layer in found.layers],
            "secure_memory": memory,
            "ratios": {
                "ta1_vs_xnnpack1": quotient(seconds["ta1"], seconds["xnnpack1"]),
                "ta2_vs_xnnpack2": quotient(seconds["ta2"], seconds["xnnpack2"]),
                "ta2_vs_ta1": quotient(seconds["ta2"], seconds["ta1"]),
                "tee_vs_ree": quotient(seconds["ta1"], seconds["ree1"]),
                "peak_share_conv": groups["convolutions"].share(peak),
                "peak_share_pointwise": groups["pointwise"].share(peak),
                "secure_memory_mib": _detector_mib(memory, MANY_WORKERS),
            },
            # Of what one core has to do, told apart from what a busy host makes of it
            "ratios_of_host_cpu": {
                "ta1_vs_xnnpack1": quotient(found.network_cpu, measured.cpu["xnnpack1"]),
                "tee_vs_ree": quotient(found.network_cpu, measured.cpu["ree1"]),
                "peak_share_conv": groups["convolutions"].cpu_share(peak),
                "peak_share_pointwise": groups["pointwise"].cpu_share(peak),
            },
            "remarks": remarks,
        },
        found.layers,
        peak,
    )


def _detector_mib(memory: dict[str, Any], workers: int) -> float | None:
    """Of the detector, with code and all: what OP-TEE has for itself is not its doing."""
    peak = memory["peak_bytes"][str(workers)]
    return None if peak is None else (peak - memory["optee_bytes"]) / MIB


def _memory(
    machine: Machine,
    subject: bench_steps.Subject,
    before: bench_service.SecureMemory,
    context: Context,
    remarks: list[str],
) -> dict[str, Any]:
    bench_steps.free_sessions(machine)
    # OP-TEE's own, seen where no TA is loaded: here before, or in a machine made for more cores.
    bare = None if before.instances else before.used_bytes
    peaks: dict[str, int | None] = {}
    with context.progress.step("secure memory") as step:
        for workers in (1, MANY_WORKERS):
            peaks[str(workers)] = None
            step.update(f"{workers} workers")
            try:
                with bench_steps.with_cores(machine, workers, context) as wide:
                    start = bench_service.secure_memory(wide)
                    if bare is None and not start.instances:
                        bare = start.used_bytes
                    peaks[str(workers)] = bench_service.peak_memory(
                        wide, subject.model, subject.jpeg, workers, context.progress
                    )
            except GuestError as error:
                remarks.append(f"{workers} workers on one photo: {error.message}")
    if bare is None:
        remarks.append(
            "secure memory: TAs were loaded before, so what OP-TEE itself takes is not known, and"
            " counts as the detector's"
        )
    return {
        "size_bytes": before.size_bytes,
        "optee_bytes": bare or 0,
        "peak_bytes": peaks,
    }


def runs_of_layers(runs: int) -> int:
    """Layers are 98 times as many."""
    return max(2, runs // 3)


@dataclass(frozen=True)
class _Measured:
    times: dict[str, Figure]
    cpu: dict[str, Figure]  # of the host's cores, where one of the guest's is enough
    model_input: bytes
    expected: bytes  # outputs of our engine in the normal world
    agreement: dict[str, Any]
    whole_model: bool  # XNNPACK took it
    service_agrees: bool


def _everybody(
    machine: Machine,
    subject: bench_steps.Subject,
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
        bench_steps.measuring(machine, subject) as ta,
    ):
        kernels = ta.cpu
    ours = stack.enter_context(bench_service.service(machine, subject.model, progress))
    with progress.step("our engine in the normal world"):
        engine = start(programs.ENGINE, inside("model"), inside("photo"), str(kernels))
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
    reference = litert("reference", 1)
    computed = outputs(reference)
    if computed == expected:
        peers_in_ree["reference1"] = reference
    else:
        # Version 2.3 runs its built-in kernels. Ours are held against the reference in the tests.
        same = ", but its built-in ones" if computed == outputs(peers_in_ree["builtin1"]) else ""
        remarks.append(_NO_REFERENCE.format(same=same))
        reference.close()
    agreement = {
        name: Difference.of(expected, outputs(peer)).as_json()
        for name, peer in peers_in_ree.items()
    }

    jpeg = subject.jpeg
    # The first one is not like the others, and says whether the TA computes the same.
    found = ours.ask(jpeg).result.origin.output_digest
    agrees = found == hashlib.sha256(expected).digest()

    cpu = bench_steps.host_cpu(machine)
    samples: dict[str, list[float]] = {}
    last = int(engine.hello["operators"]) - 1
    # Of an exchange with a program in the guest, whatever it is about
    overhead = cpu.overhead(lambda: engine.ask("op", last, 0))
    overhead -= engine.timed("op", last, 0).seconds

    def network(name: str, program: programs.Program) -> Callable[[], float]:
        def sample() -> float:
            before = cpu.seconds()
            ran = program.timed("network", SAMPLE_MS)
            spent = cpu.seconds() - before - overhead
            samples.setdefault(name, []).append(spent / ran.all_rounds)
            return ran.seconds

        return sample

    what = {name: network(name, peer) for name, peer in peers_in_ree.items()}
    what["ree1"] = network("ree1", engine)
    what["ta1"] = lambda: ours.network(jpeg, 1)
    what["ta2"] = lambda: ours.network(jpeg, 2)
    with progress.step(f"{len(what)} ways through the network, {runs} rounds") as step:
        times = interleaved(
            what, runs, lambda turn, name: step.update(f"round {turn + 1} of {runs}: {name}")
        )
    whole = all(
        bool(peer.hello["fully_accelerated"])
        for name, peer in peers_in_ree.items()
        if name.startswith("xnnpack")
    )
    # With two threads, this is no time.
    alone = {name: figure(taken) for name, taken in samples.items() if name.endswith("1")}
    return _Measured(times, alone, model_input, expected, agreement, whole, agrees), engine.hello
