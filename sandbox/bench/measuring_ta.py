# SPDX-License-Identifier: Apache-2.0
"""The measuring TA (ta/bench), from here. ta/include/cml_bench_ta.h says what it is given."""

import contextlib
import itertools
import struct
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from uuid import UUID

from sandbox.bench.figures import Figure, figure
from sandbox.bench.host_cpu import HostCpu
from sandbox.bench.layers import Layer, Measured, Peak
from sandbox.log import Step
from sandbox.machine.machine import Machine
from sandbox.tee import (
    MemrefIn,
    MemrefOut,
    TEEContext,
    TeeError,
    TeeResult,
    ValueIn,
    ValueInOut,
    ValueOut,
)

UUID_ = UUID("7d1c4a52-0f6e-4c0b-9a35-5b6f1f0c8e21")
CMD_LOAD = 0
CMD_LAYERS = 1
CMD_RUN = 2
CMD_PEAK = 3
CMD_INFER = 4
NETWORK = 0xFFFFFFFF
NAME_BYTES = 32
SHAPES = 3
RANK = 4
LAYER = struct.Struct(f"<{NAME_BYTES}sQII{SHAPES * RANK}i")

_LOOP_NAME_BYTES = 64
_LAYERS_A_PEAK = 8
_LEAST_S = 1e-9
_LOAD_S = 120.0
_CALL_S = 120.0


@dataclass(frozen=True)
class Ran:
    seconds: float  # of a round
    all_rounds: int  # with those that were not timed


@dataclass(frozen=True)
class Loop:
    index: int
    name: str
    mac_s: float  # seconds of a multiply-accumulate
    macs: int  # of a round
    all_rounds: int  # with those that were not timed


class MeasuringTa:
    """A session with it; `with` closes it. It holds a model in secure memory of its own.

    `cpu`: bits of enum cml_cpu, which kernels to use; 0: what it finds to be fast.
    """

    def __init__(self, machine: Machine, model: bytes, cpu: int = 0) -> None:
        self._context = TEEContext(machine)
        try:
            self._session = self._context.open_session(UUID_)
            _, counts, macs, sizes = self._session.invoke(
                CMD_LOAD,
                (MemrefIn(model), ValueInOut(cpu), ValueOut(), ValueOut()),
                timeout_s=_LOAD_S,
            )
        except BaseException:
            self._context.close()
            raise
        self.operator_count = counts.a
        self.cpu = counts.b
        self.macs = macs.a | macs.b << 32
        self.arena_bytes = sizes.a
        self.memory_bytes = sizes.b

    def close(self) -> None:
        try:
            self._session.close()
        finally:
            self._context.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def layers(self) -> tuple[Layer, ...]:
        (got,) = self._session.invoke(CMD_LAYERS, (MemrefOut(self.operator_count * LAYER.size),))
        return tuple(
            layer(index, fields) for index, fields in enumerate(LAYER.iter_unpack(got.data))
        )

    def run(self, operator: int, at_least_ms: int) -> Ran:
        """An operator, or the NETWORK; once, if it need not take any time."""
        asked = (ValueIn(operator, at_least_ms), ValueOut(), ValueOut())
        _, time, rounds = self._session.invoke(CMD_RUN, asked, timeout_s=_CALL_S)
        return Ran(time.b / 1e6 / time.a, rounds.a)

    def loop(self, index: int, at_least_ms: int) -> "Loop | None":
        """An inner loop on packed matrices; None if this processor cannot run it.

        Raises IndexError when there are no more.
        """
        asked = (
            ValueIn(index, at_least_ms),
            ValueOut(),
            ValueOut(),
            MemrefOut(_LOOP_NAME_BYTES),
        )
        try:
            _, time, macs, name = self._session.invoke(CMD_PEAK, asked, timeout_s=_CALL_S)
        except TeeError as error:
            if error.result is TeeResult.ITEM_NOT_FOUND:
                raise IndexError(index) from error
            if error.result is TeeResult.NOT_SUPPORTED:
                return None
            raise
        mac_s = time.b / 1e6 / time.a / macs.a
        return Loop(index, name.data.decode(), mac_s, macs.a, macs.b)

    def infer(self, model_input: bytes, outputs_size: int) -> bytes:
        _, outputs = self._session.invoke(
            CMD_INFER, (MemrefIn(model_input), MemrefOut(outputs_size)), timeout_s=_CALL_S
        )
        return bytes(outputs.data)


def layer(index: int, fields: tuple[object, ...]) -> Layer:
    name, macs, tiles, packed, *sizes = fields
    assert isinstance(name, bytes) and isinstance(macs, int) and isinstance(tiles, int)
    numbers = [size for size in sizes if isinstance(size, int)]
    shapes = tuple(tuple(numbers[at : at + RANK]) for at in range(0, SHAPES * RANK, RANK))
    return Layer(index, name.rstrip(b"\0").decode(), macs, tiles, bool(packed), shapes)


@dataclass(frozen=True)
class Found:
    """Of the layers, the peak and the whole network: what they take, and of the host's cores."""

    layers: list[Measured]
    peak: Peak
    network: Figure
    network_cpu: Figure


class _Samples:
    """Of one thing: times, and shares of the host's cores."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.cpu: list[float] = []


def measure(ta: MeasuringTa, cpu: HostCpu, rounds: int, at_least_ms: int, step: Step) -> Found:
    """All layers, the peak and the whole network, in turn, `rounds` times.

    The fastest inner loop has its turn between the layers, too: what else the host does meanwhile
    is in both, then.
    """
    layers = ta.layers()
    smallest = min(layers, key=lambda layer: (layer.macs == 0, layer.macs)).index
    samples = [_Samples() for _ in layers]
    loops: dict[str, _Samples] = {}
    network = _Samples()
    overhead = cpu.overhead(lambda: ta.run(smallest, 0))

    def alone(once_s: float, spent_s: float, rounds: int) -> float:
        """Of the host's cores for a round: a call has its price, whatever it is about."""
        if rounds < 2:
            # It takes so long that this hardly matters.
            return max(spent_s - overhead, _LEAST_S)
        return max(spent_s - once_s, _LEAST_S) / (rounds - 1)

    def run(operator: int, into: _Samples) -> None:
        once_s = cpu.spent(lambda: ta.run(operator, 0))
        before = cpu.seconds()
        ran = ta.run(operator, at_least_ms)
        into.cpu.append(alone(once_s, cpu.seconds() - before, ran.all_rounds))
        into.times.append(ran.seconds)

    def loop(index: int) -> Loop | None:
        # Packing the matrices is in it, too.
        once_s = cpu.spent(lambda: ta.loop(index, 0))
        before = cpu.seconds()
        found = ta.loop(index, at_least_ms)
        spent_s = cpu.seconds() - before
        if found is not None:
            into = loops.setdefault(found.name, _Samples())
            into.cpu.append(alone(once_s, spent_s, found.all_rounds) / found.macs)
            into.times.append(found.mac_s)
        return found

    for turn in range(rounds):
        words = f"round {turn + 1} of {rounds}"
        step.update(f"{words}: the peak")
        tried = []
        with contextlib.suppress(IndexError):
            for index in itertools.count():
                tried.append(loop(index))
        best = min((each for each in tried if each is not None), key=lambda each: each.mac_s)
        step.update(f"{words}: the network")
        run(NETWORK, network)
        for each in layers:
            step.update(f"{words}: layer {each.index} of {len(layers)}")
            run(each.index, samples[each.index])
            if each.index % _LAYERS_A_PEAK == 0:
                loop(best.index)
    return Found(
        [
            Measured(each, figure(taken.times), figure(taken.cpu))
            for each, taken in zip(layers, samples, strict=True)
        ],
        Peak(
            {name: figure(taken.times) for name, taken in loops.items()},
            {name: figure(taken.cpu) for name, taken in loops.items()},
        ),
        figure(network.times),
        figure(network.cpu),
    )
