# SPDX-License-Identifier: Apache-2.0
"""Small .tflite files, built without TensorFlow, and what LiteRT's reference kernels make of them.

Weights and inputs are drawn from a seed: a failing example is small enough to read.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

Int8 = npt.NDArray[np.int8]


class Builder(flatbuffers.Builder):
    """Aligns data as the schema demands (force_align), which Python's builder does not."""

    def StartVector(self, elemSize: int, numElems: int, alignment: int) -> int:  # noqa: N802, N803
        if elemSize == 1:
            alignment = max(alignment, 16)
        return int(super().StartVector(elemSize, numElems, alignment))


@dataclass
class Model:
    """Grows tensor by tensor; `model` may be bent before `pack()`."""

    model: Any = field(default_factory=schema.ModelT)

    def __post_init__(self) -> None:
        graph = schema.SubGraphT()
        graph.tensors, graph.operators, graph.inputs, graph.outputs = [], [], [], []
        graph.name = b"main"
        empty = schema.BufferT()
        self.model.version = 3
        self.model.description = b"test"
        self.model.subgraphs = [graph]
        self.model.operatorCodes = []
        self.model.buffers = [empty]

    @property
    def graph(self) -> Any:
        return self.model.subgraphs[0]

    def tensor(
        self,
        shape: Sequence[int],
        scales: Sequence[float] | npt.NDArray[np.float32] = (),
        zero_points: Sequence[int] = (),
        *,
        data: npt.NDArray[Any] | None = None,
        type_: int = schema.TensorType.INT8,
        axis: int = 0,
    ) -> int:
        tensor = schema.TensorT()
        tensor.name = f"t{len(self.graph.tensors)}".encode()
        tensor.shape = [int(n) for n in shape]
        tensor.type = type_
        tensor.buffer = 0
        tensor.hasRank = True
        if len(scales):
            quantization = schema.QuantizationParametersT()
            quantization.scale = [float(s) for s in scales]
            quantization.zeroPoint = [int(z) for z in zero_points] or [0] * len(scales)
            quantization.quantizedDimension = axis
            tensor.quantization = quantization
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            tensor.buffer = len(self.model.buffers)
            self.model.buffers.append(buffer)
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def operator(
        self,
        builtin: int,
        inputs: Sequence[int],
        outputs: Sequence[int],
        options_type: int,
        options: Any,
        *,
        version: int,
    ) -> Any:
        code = schema.OperatorCodeT()
        code.builtinCode = builtin
        code.deprecatedBuiltinCode = min(builtin, 127)
        code.version = version
        self.model.operatorCodes.append(code)
        op = schema.OperatorT()
        op.opcodeIndex = len(self.model.operatorCodes) - 1
        op.inputs, op.outputs = list(inputs), list(outputs)
        op.builtinOptionsType = options_type
        op.builtinOptions = options
        self.graph.operators.append(op)
        return op

    def pack(self) -> bytes:
        builder = Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


@dataclass(frozen=True)
class Quantized:
    """One scale and zero point."""

    scale: float
    zero_point: int


@dataclass(frozen=True)
class Conv:
    """A CONV_2D, or a DEPTHWISE_CONV_2D if it has a depth multiplier."""

    out_channels: int  # ignored when depthwise
    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    padding: int
    activation: int
    # Output steps per unit of the accumulator's expected size (about 64 * 64 * sqrt(patch)).
    spread: float
    output_zero_point: int
    weight_scales: tuple[float, ...]  # one, or repeated over the output channels
    per_channel: bool
    bias_bits: int | None  # magnitude, about; None: no bias
    depth_multiplier: int | None = None
    narrow: bool = True  # weights from -127, as converters make them
    saturated: bool = False  # weights at their extremes


def window(size: int, kernel: int, stride: int, dilation: int, padding: int) -> int:
    """Output size; 0 or less: the kernel does not fit."""
    if padding == schema.Padding.SAME:
        return -(-size // stride)
    return (size - (kernel - 1) * dilation - 1) // stride + 1


def add_conv(model: Model, source: int, conv: Conv, rng: np.random.Generator) -> int | None:
    """Appends it; gives the output tensor, or None if the kernel does not fit."""
    tensor = model.graph.tensors[source]
    _, height, width, channels = tensor.shape
    depthwise = conv.depth_multiplier is not None
    out_channels = channels * (conv.depth_multiplier or 0) if depthwise else conv.out_channels
    shape = [
        1,
        *(
            window(size, conv.kernel[i], conv.strides[i], conv.dilations[i], conv.padding)
            for i, size in enumerate((height, width))
        ),
        out_channels,
    ]
    if min(shape) < 1:
        return None

    if depthwise:
        weights_shape, axis = (1, *conv.kernel, out_channels), 3
    else:
        weights_shape, axis = (out_channels, *conv.kernel, channels), 0
    low = -127 if conv.narrow else -128
    if conv.saturated:
        weights = rng.choice(np.array([low, 127], np.int8), weights_shape)
    else:
        weights = rng.integers(low, 128, weights_shape).astype(np.int8)
    scales = np.resize(np.array(conv.weight_scales, np.float32), out_channels)
    if not conv.per_channel:
        scales = scales[:1]
    inputs = [source, model.tensor(weights.shape, scales, data=weights, axis=axis)]
    if conv.bias_bits is not None:
        limit = 2**conv.bias_bits
        values = rng.integers(-limit, limit, out_channels).astype(np.int32)
        input_scale = np.float32(tensor.quantization.scale[0])
        inputs.append(
            model.tensor(
                [out_channels],
                input_scale * scales,
                data=values,
                type_=schema.TensorType.INT32,
            )
        )
    elif not depthwise:
        # LiteRT wants a bias here; the engine does not, so it is tested apart.
        inputs.append(
            model.tensor(
                [out_channels], data=np.zeros(out_channels, np.int32), type_=schema.TensorType.INT32
            )
        )
    patch = conv.kernel[0] * conv.kernel[1] * (1 if depthwise else channels)
    unit = tensor.quantization.scale[0] * float(scales.max())
    output_scale = unit * 4096 * patch**0.5 / conv.spread
    output = model.tensor(shape, [output_scale], [conv.output_zero_point])

    options: Any
    if depthwise:
        options = schema.DepthwiseConv2DOptionsT()
        options.depthMultiplier = conv.depth_multiplier
        builtin, options_type = schema.BuiltinOperator.DEPTHWISE_CONV_2D, 2
    else:
        options = schema.Conv2DOptionsT()
        builtin, options_type = schema.BuiltinOperator.CONV_2D, 1
    options.padding = conv.padding
    options.strideH, options.strideW = conv.strides
    options.dilationHFactor, options.dilationWFactor = conv.dilations
    options.fusedActivationFunction = conv.activation
    model.operator(builtin, inputs, [output], options_type, options, version=3)
    return output


def add_add(model: Model, a: int, b: int, activation: int, output: Quantized) -> int:
    shapes = [model.graph.tensors[i].shape for i in (a, b)]
    rank = max(len(s) for s in shapes)
    padded = [[1] * (rank - len(s)) + list(s) for s in shapes]
    shape = [max(pair) for pair in zip(*padded, strict=True)]
    target = model.tensor(shape, [output.scale], [output.zero_point])
    options = schema.AddOptionsT()
    options.fusedActivationFunction = activation
    options.potScaleInt16 = False
    model.operator(schema.BuiltinOperator.ADD, [a, b], [target], 11, options, version=2)
    return target


def reference(model: bytes, inputs: Sequence[bytes]) -> bytes:
    """All outputs, for each input, from LiteRT's reference kernels."""
    interpreter = Interpreter(
        model_content=model, experimental_op_resolver_type=OpResolverType.BUILTIN_REF
    )
    interpreter.allocate_tensors()
    details = interpreter.get_input_details()[0]
    outputs = b""
    for data in inputs:
        value = np.frombuffer(data, np.int8).reshape(details["shape"])
        interpreter.set_tensor(details["index"], value)
        interpreter.invoke()
        for output in interpreter.get_output_details():
            outputs += interpreter.get_tensor(output["index"]).tobytes()
    return outputs
