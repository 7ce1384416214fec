# SPDX-License-Identifier: Apache-2.0
"""UNIDIRECTIONAL_SEQUENCE_LSTM in int8, bit for bit.

LiteRT reads the operator's intermediate tensors without looking whether there are any, so models
that lack them are for the engine alone.
"""

from dataclasses import dataclass

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from conformance import INT8, INT16, INT32, Engine, add, check, refused, relaxed, seeds
from hypothesis import given
from hypothesis import strategies as st
from tflite_models import Model

from sandbox.tee_abi import Status

TANH = schema.ActivationFunctionType.TANH
SIDE = 4  # of the intermediate tensors


@dataclass
class Lstm:
    """Every field may be bent before build()."""

    batch: int = 2
    time: int = 3
    inputs: int = 4
    cells: int = 5
    hidden: int = 5  # with a projection
    time_major: bool = False
    input_gate: bool = True
    peephole: bool = False
    projection: bool = False
    projection_bias: bool = False
    norm: bool = False
    cell_clip: float = 0.0
    projection_clip: float = 0.0
    activation: int = TANH
    input_scale: float = 0.05
    input_zero_point: int = 3
    hidden_scale: float = 1 / 128
    hidden_zero_point: int = -4
    side_scale: float = 1 / 128
    side_zero_point: int = 7
    weight_scale: float = 0.01
    cell_bits: int = 4
    seed: int = 0

    def build(self) -> Model:
        rng = np.random.default_rng(self.seed)
        model = Model()
        hidden = self.hidden if self.projection else self.cells
        used = [self.input_gate, True, True, True]
        peephole = [self.peephole and self.input_gate, self.peephole, self.peephole]

        def weights(rows: int, columns: int) -> int:
            data = rng.integers(-127, 128, (rows, columns)).astype(np.int8)
            scale = self.weight_scale * float(rng.uniform(0.5, 2))
            return model.tensor([rows, columns], [scale], data=data, type_=INT8)

        def words(limit: int, scale: float, dtype: type, type_: int, count: int) -> int:
            data = rng.integers(-limit, limit, count).astype(dtype)
            return model.tensor([count], [scale], data=data, type_=type_)

        def bias(count: int) -> int:
            return words(20000, self.weight_scale * self.input_scale, np.int32, INT32, count)

        def state(scale: float, zero_point: int, type_: int, size: int) -> int:
            index = model.tensor([self.batch, size], [scale], [zero_point], type_=type_)
            model.graph.tensors[index].isVariable = True
            return index

        outer = [self.time, self.batch] if self.time_major else [self.batch, self.time]
        source = model.tensor([*outer, self.inputs], [self.input_scale], [self.input_zero_point])
        inputs = [
            source,
            *(weights(self.cells, self.inputs) if want else -1 for want in used),
            *(weights(self.cells, hidden) if want else -1 for want in used),
            *(words(32768, 1e-4, np.int16, INT16, self.cells) if want else -1 for want in peephole),
            *(bias(self.cells) if want else -1 for want in used),
            weights(hidden, self.cells) if self.projection else -1,
            bias(hidden) if self.projection and self.projection_bias else -1,
            state(self.hidden_scale, self.hidden_zero_point, INT8, hidden),
            state(2.0 ** (self.cell_bits - 15), 0, INT16, self.cells),
        ]
        if self.norm:
            inputs += [words(9, 1e-4, np.int16, INT16, self.cells) if want else -1 for want in used]
        target = model.tensor([*outer, hidden], [self.hidden_scale], [self.hidden_zero_point])
        intermediates = [model.tensor([], [2.0**-12], [0], type_=INT16) for _ in range(SIDE)]
        intermediates.append(model.tensor([], [self.side_scale], [self.side_zero_point]))
        options = schema.UnidirectionalSequenceLSTMOptionsT()
        options.fusedActivationFunction = self.activation
        options.cellClip = self.cell_clip
        options.projClip = self.projection_clip
        options.timeMajor = self.time_major
        add(model, "UNIDIRECTIONAL_SEQUENCE_LSTM", inputs, [target], options, version=3)
        model.graph.operators[0].intermediates = intermediates
        model.graph.inputs, model.graph.outputs = [source], [target]
        return model


zero_points = st.sampled_from([-128, -1, 0, 5, 127])


@relaxed
@given(
    lstm=st.builds(
        Lstm,
        batch=st.integers(1, 3),
        time=st.integers(1, 5),
        inputs=st.integers(1, 9),
        cells=st.integers(1, 9),
        hidden=st.integers(1, 9),
        time_major=st.booleans(),
        input_gate=st.booleans(),
        projection=st.booleans(),
        projection_bias=st.booleans(),
        cell_clip=st.sampled_from([0.0, 0.0, 1e-9, 0.3, 1e9]),
        projection_clip=st.sampled_from([0.0, 0.0, 1e-9, 0.3, 1e9]),
        input_zero_point=zero_points,
        hidden_zero_point=zero_points,
        side_zero_point=zero_points,
        input_scale=st.sampled_from([0.002, 0.05, 1.0]),
        hidden_scale=st.sampled_from([0.001, 1 / 128, 0.1]),
        side_scale=st.sampled_from([0.001, 1 / 128, 0.1]),
        cell_bits=st.integers(0, 6),
        seed=seeds,
    )
)
def test_lstm(engines: list[Engine], lstm: Lstm) -> None:
    check(engines, lstm.build(), np.random.default_rng(lstm.seed))


@relaxed
@given(
    lstm=st.builds(
        Lstm,
        cells=st.just(5),
        peephole=st.just(True),
        input_gate=st.booleans(),
        projection=st.booleans(),
        time_major=st.booleans(),
        cell_bits=st.integers(0, 6),
        seed=seeds,
    )
)
def test_lstm_with_peephole(engines: list[Engine], lstm: Lstm) -> None:
    check(engines, lstm.build(), np.random.default_rng(lstm.seed))


@pytest.mark.parametrize("cell_bits", range(7))
def test_every_value_of_sigmoid_and_tanh(engines: list[Engine], cell_bits: int) -> None:
    """Biases alone make the gates: 65536 cells are all values there are."""
    for gate in range(4):
        lstm = Lstm(batch=1, time=1, inputs=1, cells=65536, projection=True, hidden=1)
        lstm.cell_bits = cell_bits
        model = lstm.build()
        everything = np.arange(-32768, 32768)
        scale = 2.0**-12 / lstm.input_scale  # one step of bias is one of the gate's sum
        for i in range(4):
            weights = model.graph.tensors[model.graph.operators[0].inputs[1 + i]]
            weights.quantization.scale = [scale]
            model.model.buffers[weights.buffer].data = np.zeros(65536, np.uint8)
            bias = model.graph.tensors[model.graph.operators[0].inputs[12 + i]]
            values = everything if i == gate else np.full(65536, 9000)
            raw = values.astype(np.int32).tobytes()
            model.model.buffers[bias.buffer].data = np.frombuffer(raw, np.uint8)
        # The state of the cells is the second output.
        model.graph.outputs.append(model.graph.operators[0].inputs[19])
        check(engines, model, [np.full((1, 1, 1), 3, np.int8)])


def test_a_large_batch_in_tiles(engines: list[Engine]) -> None:
    lstm = Lstm(batch=40, time=4, inputs=30, cells=40)
    check(engines, lstm.build(), np.random.default_rng(1))


# Refusals -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", range(14))
def test_tensors_without_scales_are_refused(engines: list[Engine], index: int) -> None:
    """Input, weights, peephole: those whose scales are used."""
    lstm = Lstm(peephole=True, projection=True)
    model = lstm.build()
    operator = model.graph.operators[0]
    places = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 16, 18]
    model.graph.tensors[operator.inputs[places[index]]].quantization = None
    assert refused(engines[0], model).status == Status.MODEL_QUANTIZATION


@pytest.mark.parametrize("place", [1, 6, 10, 16])
def test_zero_points_of_weights_are_refused(engines: list[Engine], place: int) -> None:
    model = Lstm(peephole=True, projection=True).build()
    tensor = model.graph.tensors[model.graph.operators[0].inputs[place]]
    tensor.quantization.zeroPoint = [1]
    assert refused(engines[0], model).status == Status.MODEL_QUANTIZATION


@pytest.mark.parametrize("scale", [2.0**-16, 2.0**-8, 0.001, 1e30])
def test_a_cell_state_of_another_scale_is_refused(engines: list[Engine], scale: float) -> None:
    model = Lstm().build()
    cell = model.graph.tensors[model.graph.operators[0].inputs[19]]
    cell.quantization.scale = [scale]
    assert refused(engines[0], model).status == Status.MODEL_QUANTIZATION


@pytest.mark.parametrize("place", [0, 1, 5, 16])
def test_scales_too_far_apart_are_refused(engines: list[Engine], place: int) -> None:
    model = Lstm(projection=True).build()
    tensor = model.graph.tensors[model.graph.operators[0].inputs[place]]
    tensor.quantization.scale = [3e38]
    assert refused(engines[0], model).status == Status.MODEL_QUANTIZATION


def test_an_output_of_another_scale_is_refused(engines: list[Engine]) -> None:
    model = Lstm().build()
    model.graph.tensors[model.graph.outputs[0]].quantization.scale = [0.3]
    assert refused(engines[0], model).status == Status.MODEL_QUANTIZATION


def test_missing_intermediates_are_refused(engines: list[Engine]) -> None:
    for count in (0, 4):
        model = Lstm().build()
        operator = model.graph.operators[0]
        operator.intermediates = operator.intermediates[:count]
        assert refused(engines[0], model).status == Status.MODEL_QUANTIZATION
    for index, status in (
        (-1, Status.MODEL_QUANTIZATION),
        (-2, Status.MODEL_MALFORMED),
        (99999, Status.MODEL_MALFORMED),
    ):
        model = Lstm().build()
        model.graph.operators[0].intermediates[SIDE] = index
        assert refused(engines[0], model).status == status


@pytest.mark.parametrize("place", [2, 7, 13, 16, 17])
def test_weights_that_change_are_refused(engines: list[Engine], place: int) -> None:
    model = Lstm(projection=True, projection_bias=True).build()
    tensor = model.graph.operators[0].inputs[place]
    model.graph.tensors[tensor].buffer = 0
    model.graph.inputs.append(tensor)
    assert refused(engines[0], model).status == Status.MODEL_UNSUPPORTED_TYPE


@pytest.mark.parametrize("place", range(1, 20))
def test_tensors_of_other_types_are_refused(engines: list[Engine], place: int) -> None:
    model = Lstm(peephole=True, projection=True, projection_bias=True).build()
    tensor = model.graph.tensors[model.graph.operators[0].inputs[place]]
    tensor.type = schema.TensorType.UINT8
    if tensor.buffer:
        data = np.zeros(int(np.prod(tensor.shape)), np.uint8)
        model.model.buffers[tensor.buffer].data = data
    tensor.quantization = None
    assert refused(engines[0], model).status == Status.MODEL_UNSUPPORTED_TYPE


@pytest.mark.parametrize(
    "lstm",
    [
        Lstm(norm=True),
        Lstm(peephole=True, projection=True, hidden=4),
        Lstm(activation=schema.ActivationFunctionType.RELU),
    ],
)
def test_what_is_not_supported_is_refused(engines: list[Engine], lstm: Lstm) -> None:
    assert refused(engines[0], lstm.build()).status == Status.MODEL_UNSUPPORTED_OP
