# SPDX-License-Identifier: Apache-2.0
"""A good model, and what can be wrong with one: LIES are well-formed, BENT_BYTES are not.

Each lie is a function whose name says why the model is bad. It bends the base model; beside it
stand the status and the operator with which the engine has to refuse it, and a part of the reason.
"""

import functools
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from tflite_models import Conv, Model, Quantized, add_add, add_conv

from sandbox.tee_abi import Status

# Operators and tensors of the base model
CONV, DEPTHWISE, ADD = 0, 1, 2
INPUT, WEIGHTS, BIAS, MIDDLE, DW_WEIGHTS, DW_BIAS, DW_OUT, SUM = range(8)


def base() -> Model:
    """One of each operator: a good model, 8 tensors, 2 outputs."""
    rng = np.random.default_rng(7)
    model = Model()
    tensor = model.tensor([1, 6, 6, 4], [0.1], [-5])
    conv = Conv(
        out_channels=8,
        kernel=(3, 3),
        strides=(2, 2),
        dilations=(1, 1),
        padding=schema.Padding.SAME,
        activation=3,
        spread=64.0,
        output_zero_point=-128,
        weight_scales=(0.01, 0.02),
        per_channel=True,
        bias_bits=15,
    )
    middle = add_conv(model, tensor, conv, rng)
    assert middle == MIDDLE
    depthwise = Conv(
        out_channels=0,
        kernel=(3, 3),
        strides=(1, 1),
        dilations=(1, 1),
        padding=schema.Padding.SAME,
        activation=0,
        spread=64.0,
        output_zero_point=3,
        weight_scales=(0.01, 0.02),
        per_channel=True,
        bias_bits=15,
        depth_multiplier=1,
    )
    out = add_conv(model, middle, depthwise, rng)
    assert out == DW_OUT
    scale = max(model.graph.tensors[i].quantization.scale[0] for i in (MIDDLE, DW_OUT))
    total = add_add(model, middle, out, 0, Quantized(scale, 1))
    assert total == SUM
    model.graph.inputs, model.graph.outputs = [INPUT], [SUM, DW_OUT]
    return model


@dataclass(frozen=True)
class Lie:
    why: str
    bend: Callable[[Model], None]
    status: Status
    op_index: int
    reason: str  # a part of it


def bent(
    status: Status, op_index: int, reason: str
) -> Callable[[Callable[[Model], None]], Callable[[Model], None]]:
    """Adds a function that bends a model to the table, its name being why it is bad."""

    def add(bend: Callable[[Model], None]) -> Callable[[Model], None]:
        LIES.append(Lie(bend.__name__, bend, status, op_index, reason))
        return bend

    return add


LIES: list[Lie] = []


def tensor(model: Model, index: int) -> Any:
    return model.graph.tensors[index]


def op(model: Model, index: int) -> Any:
    return model.graph.operators[index]


def set_data(model: Model, index: int, data: bytes) -> None:
    buffer = model.model.buffers[tensor(model, index).buffer]
    buffer.data = np.frombuffer(data, np.uint8)


# --- the model as a whole


@bent(Status.MODEL_MALFORMED, -1, "schema version")
def schema_version_2(model: Model) -> None:
    model.model.version = 2


@bent(Status.MODEL_LIMIT, -1, "one subgraph")
def two_subgraphs(model: Model) -> None:
    model.model.subgraphs *= 2


@bent(Status.MODEL_LIMIT, -1, "one subgraph")
def no_subgraph(model: Model) -> None:
    model.model.subgraphs = []


@bent(Status.MODEL_LIMIT, -1, "no operator")
def no_operators(model: Model) -> None:
    model.graph.operators = []


@bent(Status.MODEL_MALFORMED, 0, "written twice")
def input_that_an_operator_writes(model: Model) -> None:
    model.graph.inputs = [INPUT, MIDDLE]


@bent(Status.MODEL_LIMIT, -1, "no input, or more than 16")
def no_input(model: Model) -> None:
    model.graph.inputs = []


@bent(Status.MODEL_LIMIT, -1, "or more than 16")
def too_many_inputs(model: Model) -> None:
    model.graph.inputs = [INPUT] * 17


@bent(Status.MODEL_LIMIT, -1, "more than 32")
def no_output(model: Model) -> None:
    model.graph.outputs = []


@bent(Status.MODEL_LIMIT, -1, "more than 32")
def thirty_three_outputs(model: Model) -> None:
    model.graph.outputs = [SUM] * 33


@bent(Status.MODEL_LIMIT, -1, "4096 tensors")
def too_many_tensors(model: Model) -> None:
    model.graph.tensors *= 513


@bent(Status.MODEL_LIMIT, -1, "2048 operators")
def too_many_operators(model: Model) -> None:
    model.graph.operators *= 683


@bent(Status.MODEL_MALFORMED, -1, "is no tensor")
def input_index_negative(model: Model) -> None:
    model.graph.inputs = [-1]


@bent(Status.MODEL_MALFORMED, -1, "is no tensor")
def input_index_too_large(model: Model) -> None:
    model.graph.inputs = [8]


@bent(Status.MODEL_MALFORMED, -1, "is no tensor")
def output_index_too_large(model: Model) -> None:
    model.graph.outputs = [2**31 - 1]


@bent(Status.MODEL_MALFORMED, -1, "no operator writes")
def output_is_the_input(model: Model) -> None:
    model.graph.outputs = [SUM, INPUT]


@bent(Status.MODEL_MALFORMED, -1, "no operator writes")
def output_that_nobody_writes(model: Model) -> None:
    spare = model.tensor([3, 3, 8], [0.1], [0])
    model.graph.outputs = [spare]


@bent(Status.MODEL_SHAPE, -1, "not of its shape's size")
def input_is_a_constant(model: Model) -> None:
    tensor(model, INPUT).buffer = tensor(model, WEIGHTS).buffer
    set_data(model, WEIGHTS, bytes(6 * 6 * 4))


# --- order and ownership


@bent(Status.MODEL_MALFORMED, 0, "before it is written")
def operators_out_of_order(model: Model) -> None:
    model.graph.operators.reverse()


@bent(Status.MODEL_MALFORMED, 2, "written twice")
def tensor_written_twice(model: Model) -> None:
    op(model, ADD).outputs = [DW_OUT]


@bent(Status.MODEL_MALFORMED, 2, "written twice")
def input_is_overwritten(model: Model) -> None:
    tensor(model, INPUT).shape = [1, 3, 3, 8]
    tensor(model, WEIGHTS).shape = [8, 3, 3, 8]
    set_data(model, WEIGHTS, bytes(8 * 3 * 3 * 8))
    op(model, CONV).builtinOptions.strideH = op(model, CONV).builtinOptions.strideW = 1
    op(model, ADD).outputs = [INPUT]


@bent(Status.MODEL_MALFORMED, 2, "before it is written")
def addition_reads_what_it_writes(model: Model) -> None:
    op(model, ADD).inputs = [MIDDLE, SUM]


@bent(Status.MODEL_MALFORMED, 2, "a constant is written")
def output_has_data(model: Model) -> None:
    buffer = schema.BufferT()
    buffer.data = np.zeros(3 * 3 * 8, np.uint8)
    model.model.buffers.append(buffer)
    tensor(model, SUM).buffer = len(model.model.buffers) - 1


# --- operators


@bent(Status.MODEL_UNSUPPORTED_OP, 1, "not supported")
def unknown_operator(model: Model) -> None:
    model.model.operatorCodes[DEPTHWISE].builtinCode = schema.BuiltinOperator.SOFTMAX
    model.model.operatorCodes[DEPTHWISE].deprecatedBuiltinCode = schema.BuiltinOperator.SOFTMAX


@bent(Status.MODEL_UNSUPPORTED_OP, 1, "not supported")
def custom_operator(model: Model) -> None:
    code = model.model.operatorCodes[DEPTHWISE]
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    code.customCode = b"mine"


@bent(Status.MODEL_UNSUPPORTED_OP, 1, "version")
def version_too_new(model: Model) -> None:
    model.model.operatorCodes[DEPTHWISE].version = 8


@bent(Status.MODEL_UNSUPPORTED_OP, 1, "version")
def version_0(model: Model) -> None:
    model.model.operatorCodes[DEPTHWISE].version = 0


@bent(Status.MODEL_MALFORMED, 0, "index beyond a vector")
def opcode_index_too_large(model: Model) -> None:
    op(model, CONV).opcodeIndex = 3


@bent(Status.MODEL_MALFORMED, 0, "kind of options")
def options_of_another_operator(model: Model) -> None:
    op(model, CONV).builtinOptionsType = schema.BuiltinOptions.AddOptions
    op(model, CONV).builtinOptions = schema.AddOptionsT()


@bent(Status.MODEL_SHAPE, 0, "below 1")
def no_options(model: Model) -> None:
    op(model, CONV).builtinOptionsType = 0
    op(model, CONV).builtinOptions = None


@bent(Status.MODEL_MALFORMED, 0, "number of tensors")
def five_inputs(model: Model) -> None:
    op(model, CONV).inputs = [INPUT] * 5


@bent(Status.MODEL_MALFORMED, 0, "number of tensors")
def convolution_of_four_inputs(model: Model) -> None:
    op(model, CONV).inputs = [INPUT, WEIGHTS, BIAS, BIAS]


@bent(Status.MODEL_MALFORMED, 1, "number of tensors")
def depthwise_of_one_input(model: Model) -> None:
    op(model, DEPTHWISE).inputs = [MIDDLE]


@bent(Status.MODEL_MALFORMED, 2, "number of tensors")
def addition_without_output(model: Model) -> None:
    op(model, ADD).outputs = []


@bent(Status.MODEL_MALFORMED, 0, "refers to no tensor")
def operand_too_large(model: Model) -> None:
    op(model, CONV).inputs = [INPUT, WEIGHTS, 8]


@bent(Status.MODEL_MALFORMED, 0, "refers to no tensor")
def operand_below_minus_one(model: Model) -> None:
    op(model, CONV).inputs = [INPUT, WEIGHTS, -2]


@bent(Status.MODEL_MALFORMED, 0, "lacks a required tensor")
def weights_left_out(model: Model) -> None:
    op(model, CONV).inputs = [INPUT, -1, BIAS]


@bent(Status.MODEL_MALFORMED, 0, "lacks a required tensor")
def output_left_out(model: Model) -> None:
    op(model, CONV).outputs = [-1]


@bent(Status.MODEL_UNSUPPORTED_OP, 0, "activation")
def activation_tanh(model: Model) -> None:
    op(model, CONV).builtinOptions.fusedActivationFunction = schema.ActivationFunctionType.TANH


@bent(Status.MODEL_UNSUPPORTED_OP, 2, "activation")
def activation_of_no_kind(model: Model) -> None:
    op(model, ADD).builtinOptions.fusedActivationFunction = 6


@bent(Status.MODEL_UNSUPPORTED_TYPE, 0, "neither SAME nor VALID")
def padding_of_no_kind(model: Model) -> None:
    op(model, CONV).builtinOptions.padding = 2


# --- geometry


@bent(Status.MODEL_SHAPE, 0, "below 1")
def stride_0(model: Model) -> None:
    op(model, CONV).builtinOptions.strideH = 0


@bent(Status.MODEL_SHAPE, 1, "below 1")
def stride_negative(model: Model) -> None:
    op(model, DEPTHWISE).builtinOptions.strideW = -1


@bent(Status.MODEL_SHAPE, 0, "below 1")
def dilation_0(model: Model) -> None:
    op(model, CONV).builtinOptions.dilationWFactor = 0


@bent(Status.MODEL_LIMIT, 0, "over 1024")
def stride_that_overflows(model: Model) -> None:
    op(model, CONV).builtinOptions.strideH = 2**31 - 1


@bent(Status.MODEL_LIMIT, 1, "over 1024")
def dilation_that_overflows(model: Model) -> None:
    op(model, DEPTHWISE).builtinOptions.dilationHFactor = 2**31 - 1


@bent(Status.MODEL_SHAPE, 0, "larger than its input")
def valid_kernel_larger_than_input(model: Model) -> None:
    op(model, CONV).builtinOptions.padding = schema.Padding.VALID
    op(model, CONV).builtinOptions.dilationHFactor = 3


@bent(Status.MODEL_SHAPE, 0, "what the operator computes")
def output_too_large(model: Model) -> None:
    tensor(model, MIDDLE).shape = [1, 3, 4, 8]


@bent(Status.MODEL_SHAPE, 0, "what the operator computes")
def output_too_small(model: Model) -> None:
    tensor(model, MIDDLE).shape = [1, 3, 3, 7]


@bent(Status.MODEL_SHAPE, 2, "what the operator computes")
def sum_of_another_shape(model: Model) -> None:
    tensor(model, SUM).shape = [1, 3, 3, 4]


@bent(Status.MODEL_SHAPE, 2, "do not broadcast")
def addition_of_unlike_shapes(model: Model) -> None:
    op(model, ADD).inputs = [MIDDLE, INPUT]


@bent(Status.MODEL_SHAPE, 0, "what the operator computes")
def batch_of_two(model: Model) -> None:
    tensor(model, INPUT).shape = [2, 6, 6, 4]


@bent(Status.MODEL_SHAPE, -1, "no elements")
def dimension_0(model: Model) -> None:
    tensor(model, INPUT).shape = [1, 0, 6, 4]


@bent(Status.MODEL_SHAPE, -1, "below 0")
def dimension_negative(model: Model) -> None:
    tensor(model, INPUT).shape = [1, 6, -6, 4]


@bent(Status.MODEL_LIMIT, -1, "over 16 Mi")
def dimension_too_large(model: Model) -> None:
    tensor(model, INPUT).shape = [1, (1 << 24) + 1, 1, 1]


@bent(Status.MODEL_LIMIT, -1, "16 Mi elements")
def size_that_overflows(model: Model) -> None:
    tensor(model, INPUT).shape = [65536, 65536, 65536, 65536]


@bent(Status.MODEL_SHAPE, 0, "4 dimensions")
def rank_5(model: Model) -> None:
    tensor(model, INPUT).shape = [1, 6, 6, 4, 1]


@bent(Status.MODEL_SHAPE, 0, "4 dimensions")
def weights_of_rank_3(model: Model) -> None:
    tensor(model, WEIGHTS).shape = [8, 3, 12]


@bent(Status.MODEL_SHAPE, 0, "input's channels")
def grouped_convolution(model: Model) -> None:
    tensor(model, WEIGHTS).shape = [8, 3, 3, 2]
    set_data(model, WEIGHTS, bytes(8 * 3 * 3 * 2))


@bent(Status.MODEL_SHAPE, 1, "depth multiplier")
def depth_multiplier_too_large(model: Model) -> None:
    op(model, DEPTHWISE).builtinOptions.depthMultiplier = 2


@bent(Status.MODEL_SHAPE, 1, "depth multiplier")
def depth_multiplier_0(model: Model) -> None:
    op(model, DEPTHWISE).builtinOptions.depthMultiplier = 0


@bent(Status.MODEL_SHAPE, 1, "depth multiplier")
def depth_multiplier_that_wraps(model: Model) -> None:
    # 8 * 0x20000001 is 8 modulo 2^32.
    op(model, DEPTHWISE).builtinOptions.depthMultiplier = 0x20000001


@bent(Status.MODEL_SHAPE, 1, "first dimension")
def depthwise_weights_of_two_batches(model: Model) -> None:
    tensor(model, DW_WEIGHTS).shape = [3, 1, 3, 8]


@bent(Status.MODEL_LIMIT, 0, "65536 weights a channel")
def kernel_too_large(model: Model) -> None:
    tensor(model, WEIGHTS).shape = [8, 128, 129, 4]
    set_data(model, WEIGHTS, bytes(8 * 128 * 129 * 4))


@bent(Status.MODEL_LIMIT, 0, "multiply-accumulates")
def too_much_work(model: Model) -> None:
    tensor(model, INPUT).shape = [1, 1024, 1024, 4]
    tensor(model, MIDDLE).shape = [1, 1024, 1024, 8]
    op(model, CONV).builtinOptions.strideH = op(model, CONV).builtinOptions.strideW = 1
    tensor(model, WEIGHTS).shape = [8, 15, 15, 4]
    set_data(model, WEIGHTS, bytes(8 * 15 * 15 * 4))


@bent(Status.MODEL_LIMIT, -1, "64 MiB")
def arena_too_large(model: Model) -> None:
    for index, shape in ((INPUT, [1, 2048, 2048, 4]), (MIDDLE, [1, 1024, 1024, 8])):
        tensor(model, index).shape = shape
    for index in (DW_OUT, SUM):
        tensor(model, index).shape = [1, 1024, 1024, 8]
    # Nine outputs of 8 MiB
    scale = tensor(model, SUM).quantization.scale[0]
    last = SUM
    for _ in range(7):
        last = add_add(model, MIDDLE, last, 0, Quantized(scale, 0))
        model.graph.outputs.append(last)


# --- types and constants


@bent(Status.MODEL_UNSUPPORTED_TYPE, 0, "do not go together")
def float_input(model: Model) -> None:
    tensor(model, INPUT).type = schema.TensorType.FLOAT32


@bent(Status.MODEL_UNSUPPORTED_TYPE, 0, "do not go together")
def uint8_activation(model: Model) -> None:
    tensor(model, MIDDLE).type = schema.TensorType.UINT8


@bent(Status.MODEL_UNSUPPORTED_TYPE, 0, "do not go together")
def int4_weights(model: Model) -> None:
    tensor(model, WEIGHTS).type = schema.TensorType.INT4


@bent(Status.MODEL_SHAPE, -1, "not of its shape's size")
def int8_bias(model: Model) -> None:
    tensor(model, BIAS).type = schema.TensorType.INT8


@bent(Status.MODEL_MALFORMED, 0, "before it is written")
def weights_without_data(model: Model) -> None:
    tensor(model, WEIGHTS).buffer = 0


@bent(Status.MODEL_MALFORMED, 0, "before it is written")
def bias_without_data(model: Model) -> None:
    tensor(model, BIAS).buffer = 0


@bent(Status.MODEL_UNSUPPORTED_TYPE, 1, "needs a constant")
def weights_are_an_activation(model: Model) -> None:
    op(model, DEPTHWISE).inputs = [MIDDLE, MIDDLE, DW_BIAS]


@bent(Status.MODEL_SHAPE, -1, "not of its shape's size")
def weights_data_one_byte_short(model: Model) -> None:
    set_data(model, WEIGHTS, bytes(8 * 3 * 3 * 4 - 1))


@bent(Status.MODEL_SHAPE, -1, "not of its shape's size")
def weights_data_one_byte_long(model: Model) -> None:
    set_data(model, WEIGHTS, bytes(8 * 3 * 3 * 4 + 1))


@bent(Status.MODEL_SHAPE, -1, "not of its shape's size")
def bias_data_is_int16(model: Model) -> None:
    set_data(model, DW_BIAS, bytes(16))


@bent(Status.MODEL_SHAPE, 0, "one value a channel")
def bias_too_short(model: Model) -> None:
    tensor(model, BIAS).shape = [7]
    set_data(model, BIAS, bytes(28))


@bent(Status.MODEL_SHAPE, 0, "one value a channel")
def bias_of_rank_2(model: Model) -> None:
    tensor(model, BIAS).shape = [1, 8]


@bent(Status.MODEL_MALFORMED, -1, "buffer that is not there")
def buffer_index_too_large(model: Model) -> None:
    tensor(model, WEIGHTS).buffer = 2**32 - 1


@bent(Status.MODEL_UNSUPPORTED_TYPE, -1, "outside the flatbuffer")
def buffer_beyond_the_flatbuffer(model: Model) -> None:
    buffer = model.model.buffers[tensor(model, WEIGHTS).buffer]
    buffer.data, buffer.offset, buffer.size = None, 4096, 288


@bent(Status.MODEL_MALFORMED, -1, "input is a variable")
def variable_tensor(model: Model) -> None:
    tensor(model, INPUT).isVariable = True


@bent(Status.MODEL_UNSUPPORTED_TYPE, -1, "sparse")
def sparse_weights(model: Model) -> None:
    tensor(model, WEIGHTS).sparsity = schema.SparsityParametersT()


@bent(Status.MODEL_UNSUPPORTED_TYPE, -1, "external")
def external_buffer(model: Model) -> None:
    tensor(model, WEIGHTS).externalBuffer = 1


# --- quantisation


def quantization(model: Model, index: int) -> Any:
    return tensor(model, index).quantization


@bent(Status.MODEL_QUANTIZATION, 0, "one scale and one zero point")
def input_without_quantisation(model: Model) -> None:
    tensor(model, INPUT).quantization = None


@bent(Status.MODEL_QUANTIZATION, 0, "one scale and one zero point")
def activation_with_two_scales(model: Model) -> None:
    quantization(model, MIDDLE).scale = [0.1, 0.1]
    quantization(model, MIDDLE).zeroPoint = [0, 0]


@bent(Status.MODEL_QUANTIZATION, 0, "one scale and one zero point")
def scale_0(model: Model) -> None:
    quantization(model, INPUT).scale = [0.0]


@bent(Status.MODEL_QUANTIZATION, 0, "one scale and one zero point")
def scale_negative(model: Model) -> None:
    quantization(model, INPUT).scale = [-0.1]


@bent(Status.MODEL_QUANTIZATION, 0, "one scale and one zero point")
def scale_infinite(model: Model) -> None:
    quantization(model, MIDDLE).scale = [float("inf")]


@bent(Status.MODEL_QUANTIZATION, 0, "positive and finite")
def scale_of_one_channel_is_not_a_number(model: Model) -> None:
    quantization(model, WEIGHTS).scale[5] = float("nan")


@bent(Status.MODEL_QUANTIZATION, 0, "one scale and one zero point")
def zero_point_128(model: Model) -> None:
    quantization(model, INPUT).zeroPoint = [128]


@bent(Status.MODEL_QUANTIZATION, 0, "one scale and one zero point")
def zero_point_that_wraps(model: Model) -> None:
    quantization(model, INPUT).zeroPoint = [2**32]


@bent(Status.MODEL_QUANTIZATION, 0, "is not 0")
def weights_with_a_zero_point(model: Model) -> None:
    quantization(model, WEIGHTS).zeroPoint[7] = 1


@bent(Status.MODEL_QUANTIZATION, 0, "is not 0")
def bias_with_a_zero_point(model: Model) -> None:
    quantization(model, BIAS).zeroPoint[0] = 1


@bent(Status.MODEL_QUANTIZATION, 0, "as many zero points")
def weights_with_fewer_zero_points(model: Model) -> None:
    quantization(model, WEIGHTS).zeroPoint = [0]


@bent(Status.MODEL_QUANTIZATION, 0, "as many zero points")
def weights_with_too_few_scales(model: Model) -> None:
    quantization(model, WEIGHTS).scale = [0.01] * 7


@bent(Status.MODEL_QUANTIZATION, 0, "one an output channel")
def weights_without_scales(model: Model) -> None:
    tensor(model, WEIGHTS).quantization = None


@bent(Status.MODEL_QUANTIZATION, 0, "one an output channel")
def weights_quantised_along_another_dimension(model: Model) -> None:
    quantization(model, WEIGHTS).quantizedDimension = 3


@bent(Status.MODEL_QUANTIZATION, 1, "one an output channel")
def depthwise_weights_quantised_along_dimension_0(model: Model) -> None:
    quantization(model, DW_WEIGHTS).quantizedDimension = 0


@bent(Status.MODEL_QUANTIZATION, -1, "not affine")
def custom_quantisation(model: Model) -> None:
    details = schema.CustomQuantizationT()
    details.custom = [1, 2, 3]
    quantization(model, WEIGHTS).detailsType = schema.QuantizationDetails.CustomQuantization
    quantization(model, WEIGHTS).details = details


@bent(Status.MODEL_QUANTIZATION, 0, "input's times weights'")
def bias_of_another_scale(model: Model) -> None:
    quantization(model, BIAS).scale[3] *= 1000


@bent(Status.MODEL_QUANTIZATION, 0, "too small for its inputs'")
def output_scale_too_small(model: Model) -> None:
    tensor(model, BIAS).quantization = None
    quantization(model, MIDDLE).scale = [1e-38]


@bent(Status.MODEL_QUANTIZATION, 2, "too far apart")
def sum_scale_too_small(model: Model) -> None:
    quantization(model, SUM).scale = [quantization(model, MIDDLE).scale[0] / 2**20]


@bent(Status.MODEL_QUANTIZATION, 2, "too far apart")
def sum_scale_so_large_that_2_to_the_20_times_it_is_infinite(model: Model) -> None:
    quantization(model, SUM).scale = [3e38]


@bent(Status.MODEL_UNSUPPORTED_OP, 0, "activation")
def bound_of_the_activation_overflows(model: Model) -> None:
    # 6 / 1e-12 does not fit in 32 bits.
    for index, scale in ((INPUT, 1e-9), (MIDDLE, 1e-12)):
        quantization(model, index).scale = [scale]
    tensor(model, BIAS).quantization = None


# --- the flatbuffer itself


@functools.cache
def packed() -> bytes:
    return base().pack()


@functools.cache
def read() -> Any:
    return schema.Model.GetRootAs(packed(), 0)


def at(pos: int, layout: str, value: int) -> bytes:
    """The packed base model with one number replaced."""
    data = bytearray(packed())
    struct.pack_into(layout, data, pos, value)
    return bytes(data)


def vtable_of(table: Any) -> int:
    pos: int = table._tab.Pos
    return pos - int(struct.unpack_from("<i", packed(), pos)[0])


def field_of(table: Any, number: int) -> int:
    """Where a field of a table stands."""
    (place,) = struct.unpack_from("<H", packed(), vtable_of(table) + 4 + 2 * number)
    assert place
    return int(table._tab.Pos + place)


def vector_of(table: Any, number: int) -> int:
    """Where the count of a vector stands."""
    pos = field_of(table, number)
    return pos + int(struct.unpack_from("<I", packed(), pos)[0])


BENT_BYTES: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "7 bytes": lambda: packed()[:7],
    "another identifier": lambda: at(4, "<I", 0x334C4659),
    "root offset 0": lambda: at(0, "<I", 0),
    "root offset beyond the end": lambda: at(0, "<I", len(packed())),
    "root offset at the very end": lambda: at(0, "<I", len(packed()) - 2),
    "root offset huge": lambda: at(0, "<I", 2**32 - 4),
    "root misaligned": lambda: at(0, "<I", read()._tab.Pos + 2),
    "vtable before the file": lambda: at(read()._tab.Pos, "<i", 2**31 - 4),
    "vtable after the file": lambda: at(read()._tab.Pos, "<i", -(2**31)),
    "vtable at an odd place": lambda: at(read()._tab.Pos, "<i", read()._tab.Pos - 9),
    "vtable of no size": lambda: at(vtable_of(read()), "<H", 0),
    "vtable of odd size": lambda: at(vtable_of(read()), "<H", 7),
    "vtable longer than the file": lambda: at(vtable_of(read()), "<H", 65534),
    "table of no size": lambda: at(vtable_of(read()) + 2, "<H", 0),
    "table longer than the file": lambda: at(vtable_of(read()) + 2, "<H", 65535),
    "field on the vtable offset": lambda: at(vtable_of(read()) + 4, "<H", 2),
    "field beyond its table": lambda: at(vtable_of(read()) + 4, "<H", 65532),
    "field misaligned": lambda: at(vtable_of(read()) + 4, "<H", 5),
    "vector at offset 0": lambda: at(field_of(read(), 2), "<I", 0),
    "vector beyond the file": lambda: at(field_of(read(), 2), "<I", 2**32 - 1),
    "vector misaligned": lambda: at(
        field_of(read(), 2), "<I", vector_of(read(), 2) - field_of(read(), 2) + 2
    ),
    "vector of 2^32 - 1 elements": lambda: at(vector_of(read(), 2), "<I", 2**32 - 1),
    "vector of 2^30 elements": lambda: at(vector_of(read(), 1), "<I", 2**30),
    "buffers end at the file's end": lambda: at(vector_of(read(), 4), "<I", len(packed()) // 4),
    "tensor's shape is huge": lambda: at(vector_of(read().Subgraphs(0).Tensors(0), 0), "<I", 2**29),
    "tensor's quantization is a number": lambda: at(
        field_of(read().Subgraphs(0).Tensors(0), 4), "<I", 1
    ),
    "weights are longer than the file": lambda: at(vector_of(read().Buffers(1), 0), "<I", 2**31),
    "operator's options lead outside": lambda: at(
        field_of(read().Subgraphs(0).Operators(0), 4), "<I", 2**31
    ),
}
