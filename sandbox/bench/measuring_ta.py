# SPDX-License-Identifier: Apache-2.0
"""The measuring TA (ta/bench), from here. ta/include/cml_bench_ta.h says what it is given."""

import itertools
import struct
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from uuid import UUID

from sandbox.bench.figures import Figure, figure
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
_LOAD_S = 120.0
_CALL_S = 120.0


@dataclass(frozen=True)
class Loop:
    index: int
    name: str
    mac_s: float  # seconds of a multiply-accumulate


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

    def run(self, operator: int, at_least_ms: int) -> float:
        """Seconds of one round of an operator, or of the NETWORK."""
        _, time = self._session.invoke(
            CMD_RUN, (ValueIn(operator, at_least_ms), ValueOut()), timeout_s=_CALL_S
        )
        return time.b / 1e6 / time.a

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
        return Loop(index, name.data.decode(), time.b / 1e6 / time.a / macs.a)

    def loops(self, at_least_ms: int) -> list["Loop"]:
        """All that this processor can run."""
        found = []
        for index in itertools.count():
            try:
                loop = self.loop(index, at_least_ms)
            except IndexError:
                break
            if loop is not None:
                found.append(loop)
        return found

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


def measure(
    ta: MeasuringTa, rounds: int, at_least_ms: int, step: Step
) -> tuple[list[Measured], Peak, Figure]:
    """All layers, the peak and the whole network, in turn, `rounds` times.

    The fastest inner loop has its turn between the layers, too: what else the host does meanwhile
    is in both, then.
    """
    layers = ta.layers()
    samples: list[list[float]] = [[] for _ in layers]
    loops: dict[str, list[float]] = {}
    whole = []
    for turn in range(rounds):
        words = f"round {turn + 1} of {rounds}"
        step.update(f"{words}: the peak")
        found = ta.loops(at_least_ms)
        for loop in found:
            loops.setdefault(loop.name, []).append(loop.mac_s)
        best = min(found, key=lambda loop: loop.mac_s)
        step.update(f"{words}: the network")
        whole.append(ta.run(NETWORK, at_least_ms))
        for each in layers:
            step.update(f"{words}: layer {each.index} of {len(layers)}")
            samples[each.index].append(ta.run(each.index, at_least_ms))
            if each.index % _LAYERS_A_PEAK == 0:
                again = ta.loop(best.index, at_least_ms)
                assert again is not None
                loops[best.name].append(again.mac_s)
    peak = Peak({name: figure(taken) for name, taken in loops.items()})
    measured = [Measured(each, figure(samples[each.index])) for each in layers]
    return measured, peak, figure(whole)
