# SPDX-License-Identifier: Apache-2.0
"""What the driver says of a model that is prepared: cmd_engine.c, graph_info."""

import struct
from dataclasses import dataclass

from driver import Driver

from sandbox.tee_abi import Status

_HEAD = struct.Struct("<6Q2I")
_TENSOR = struct.Struct("<2I6iQfi")


@dataclass(frozen=True)
class Tensor:
    type: int  # of the schema
    dims: tuple[int, ...]
    size: int
    scale: float
    zero_point: int


@dataclass(frozen=True)
class Info:
    arena: int
    arena_lower_bound: int
    size: int
    macs: int
    scratch: int
    operators: int
    inputs: int
    tensors: tuple[Tensor, ...]  # inputs, then outputs


@dataclass(frozen=True)
class Refused:
    status: Status
    op_index: int
    reason: str


def prepare(driver: Driver, model: bytes, cpu: int = 0) -> Info | Refused:
    status, reply = driver.call("graph_info", struct.pack("<I", cpu) + model)
    if status != Status.OK:
        op_index, _ = struct.unpack_from("<2i", reply)
        return Refused(Status(status), op_index, reply[8:].decode())
    arena, bound, size, macs, scratch, operators, inputs, outputs = _HEAD.unpack_from(reply)
    tensors = []
    for i in range(inputs + outputs):
        type_, rank, *dims, bytes_, scale, zero = _TENSOR.unpack_from(
            reply, _HEAD.size + _TENSOR.size * i
        )
        tensors.append(Tensor(type_, tuple(dims[:rank]), bytes_, scale, zero))
    return Info(arena, bound, size, macs, scratch, operators, inputs, tuple(tensors))


def info(driver: Driver, model: bytes, cpu: int = 0) -> Info:
    found = prepare(driver, model, cpu)
    assert isinstance(found, Info), found
    return found
