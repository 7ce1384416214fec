# SPDX-License-Identifier: Apache-2.0
"""RNN, UNIDIRECTIONAL_SEQUENCE_RNN, UNIDIRECTIONAL_SEQUENCE_LSTM: float32; SVDF: also int8.

Each engine runs a model once, from a state of zeros; so does LiteRT here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from conformance import (
    FLOAT32,
    INT8,
    INT16,
    INT32,
    Array,
    Engine,
    add,
    check,
    refused,
    relaxed,
    seeds,
)
from graphs import Refused
from hypothesis import given
from hypothesis import strategies as st
from tflite_models import Model

from sandbox.tee_abi import Status

ACTIVATIONS = [0, 1, 2, 3, 4]
TANH = schema.ActivationFunctionType.TANH
RELU = schema.ActivationFunctionType.RELU
SIGN_BIT = schema.ActivationFunctionType.SIGN_BIT
# Sums in another order, and LiteRT's sigmoid and tanh are approximations of its own.
CLOSE = {"rtol": 1e-5, "atol": 5e-6}


@dataclass
class Builder:
    rng: np.random.Generator
    model: Model

    def weights(self, *shape: int) -> int:
        values = self.rng.uniform(-0.5, 0.5, shape).astype(np.float32)
        return self.model.tensor(shape, data=values, type_=FLOAT32)

    def state(self, *shape: int) -> int:
        index = self.model.tensor(shape, type_=FLOAT32)
        self.model.graph.tensors[index].isVariable = True
        return index

    def ends(self, source: int, target: int) -> Model:
        self.model.graph.inputs, self.model.graph.outputs = [source], [target]
        return self.model


@dataclass
class Sizes:
    batch: int = 2
    time: int = 3
    inputs: int = 4
    units: int = 5
    hidden: int = 5
    time_major: bool = False

    def sequence(self, values: int) -> list[int]:
        outer = [self.time, self.batch] if self.time_major else [self.batch, self.time]
        return [*outer, values]


sizes = st.builds(
    Sizes,
    batch=st.integers(1, 3),
    time=st.integers(1, 5),
    inputs=st.integers(1, 9),
    units=st.integers(1, 9),
    hidden=st.integers(1, 9),
    time_major=st.booleans(),
)


def sequence_rnn(size: Sizes, activation: int, rng: np.random.Generator) -> Model:
    build = Builder(rng, Model())
    source = build.model.tensor(size.sequence(size.inputs), type_=FLOAT32)
    inputs = [
        source,
        build.weights(size.units, size.inputs),
        build.weights(size.units, size.units),
        build.weights(size.units),
        build.state(size.batch, size.units),
    ]
    target = build.model.tensor(size.sequence(size.units), type_=FLOAT32)
    options = schema.SequenceRNNOptionsT()
    options.timeMajor = size.time_major
    options.fusedActivationFunction = activation
    add(build.model, "UNIDIRECTIONAL_SEQUENCE_RNN", inputs, [target], options)
    return build.ends(source, target)


def rnn(size: Sizes, activation: int, rng: np.random.Generator) -> Model:
    build = Builder(rng, Model())
    source = build.model.tensor([size.batch, size.inputs], type_=FLOAT32)
    inputs = [
        source,
        build.weights(size.units, size.inputs),
        build.weights(size.units, size.units),
        build.weights(size.units),
        build.state(size.batch, size.units),
    ]
    target = build.model.tensor([size.batch, size.units], type_=FLOAT32)
    options = schema.RNNOptionsT()
    options.fusedActivationFunction = activation
    add(build.model, "RNN", inputs, [target], options)
    return build.ends(source, target)


def svdf(
    size: Sizes, activation: int, rng: np.random.Generator, rank: int = 2, bias: bool = True
) -> Model:
    build = Builder(rng, Model())
    filters = size.units * rank
    source = build.model.tensor([size.batch, size.inputs], type_=FLOAT32)
    inputs = [
        source,
        build.weights(filters, size.inputs),
        build.weights(filters, size.time),
        build.weights(size.units) if bias else -1,
        build.state(size.batch, filters * size.time),
    ]
    target = build.model.tensor([size.batch, size.units], type_=FLOAT32)
    options = schema.SVDFOptionsT()
    options.rank = rank
    options.fusedActivationFunction = activation
    add(build.model, "SVDF", inputs, [target], options)
    return build.ends(source, target)


@dataclass
class Parts:
    """What an LSTM may have or lack."""

    input_gate: bool = True
    peephole: bool = False
    projection: bool = False
    projection_bias: bool = False
    norm: bool = False
    cell_clip: float = 0.0
    projection_clip: float = 0.0
    activation: int = TANH


def lstm(size: Sizes, parts: Parts, rng: np.random.Generator) -> Model:
    build = Builder(rng, Model())
    cells = size.units
    hidden = size.hidden if parts.projection else cells
    source = build.model.tensor(size.sequence(size.inputs), type_=FLOAT32)
    used = [parts.input_gate, True, True, True]

    def gates(wanted: list[bool], *shape: int) -> list[int]:
        return [build.weights(*shape) if want else -1 for want in wanted]

    peephole = [parts.peephole and parts.input_gate, parts.peephole, parts.peephole]
    inputs = [
        source,
        *gates(used, cells, size.inputs),
        *gates(used, cells, hidden),
        *gates(peephole, cells),
        *gates(used, cells),
        build.weights(hidden, cells) if parts.projection else -1,
        build.weights(hidden) if parts.projection and parts.projection_bias else -1,
        build.state(size.batch, hidden),
        build.state(size.batch, cells),
    ]
    if parts.norm:
        inputs += gates(used, cells)
    target = build.model.tensor(size.sequence(hidden), type_=FLOAT32)
    options = schema.UnidirectionalSequenceLSTMOptionsT()
    options.fusedActivationFunction = parts.activation
    options.cellClip = parts.cell_clip
    options.projClip = parts.projection_clip
    options.timeMajor = size.time_major
    add(build.model, "UNIDIRECTIONAL_SEQUENCE_LSTM", inputs, [target], options)
    return build.ends(source, target)


@relaxed
@given(size=sizes, activation=st.sampled_from(ACTIVATIONS), seed=seeds)
def test_sequence_rnn(engines: list[Engine], size: Sizes, activation: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    check(engines, sequence_rnn(size, activation, rng), rng, **CLOSE)


@relaxed
@given(size=sizes, activation=st.sampled_from(ACTIVATIONS), seed=seeds)
def test_rnn(engines: list[Engine], size: Sizes, activation: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    check(engines, rnn(size, activation, rng), rng, **CLOSE)


@relaxed
@given(
    size=sizes,
    activation=st.sampled_from(ACTIVATIONS),
    rank=st.integers(1, 3),
    bias=st.booleans(),
    seed=seeds,
)
def test_svdf(
    engines: list[Engine], size: Sizes, activation: int, rank: int, bias: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    check(engines, svdf(size, activation, rng, rank, bias), rng, **CLOSE)


def svdf_int8(
    size: Sizes, rng: np.random.Generator, rank: int, bias: bool, zero_points: tuple[int, int]
) -> Model:
    model = Model()
    filters = size.units * rank

    def random(type_: type, *shape: int) -> Array:
        limits = np.iinfo(type_)
        return rng.integers(limits.min, limits.max, shape).astype(type_)

    source = model.tensor([size.batch, size.inputs], [0.03], [zero_points[0]])
    state = model.tensor([size.batch, filters * size.time], [0.002], [0], type_=INT16)
    model.graph.tensors[state].isVariable = True
    time = random(np.int16, filters, size.time)
    inputs = [
        source,
        model.tensor([filters, size.inputs], [0.01], data=random(np.int8, filters, size.inputs)),
        model.tensor([filters, size.time], [1e-4], data=time, type_=INT16),
        model.tensor([size.units], data=random(np.int16, size.units).astype(np.int32), type_=INT32)
        if bias
        else -1,
        state,
    ]
    scale = float(rng.choice([0.01, 0.05, 0.3]))
    target = model.tensor([size.batch, size.units], [scale], [zero_points[1]])
    options = schema.SVDFOptionsT()
    options.rank = rank
    options.fusedActivationFunction = RELU
    add(model, "SVDF", inputs, [target], options, version=3)
    model.graph.inputs, model.graph.outputs = [source], [target]
    return model


extremes = st.sampled_from([-128, -3, 0, 127])


@relaxed
@given(
    size=sizes,
    rank=st.integers(1, 3),
    bias=st.booleans(),
    points=st.tuples(extremes, extremes),
    seed=seeds,
)
def test_svdf_in_int8(
    engines: list[Engine],
    size: Sizes,
    rank: int,
    bias: bool,
    points: tuple[int, int],
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    check(engines, svdf_int8(size, rng, rank, bias, points), rng)


SOURCE, STATE, FEATURE, TIME, TARGET = 0, 1, 2, 3, 5  # in the order they are made in


@pytest.mark.parametrize(
    ("tensor", "scale", "zero_point"),
    [
        *((tensor, None, 0) for tensor in (SOURCE, STATE, FEATURE, TIME, TARGET)),
        *((tensor, 1e-3, 1) for tensor in (STATE, FEATURE, TIME)),
        *((tensor, 3e38, 0) for tensor in (SOURCE, FEATURE, TIME)),
        (TARGET, 1e-38, 0),
    ],
)
def test_svdf_in_int8_of_other_scales_is_refused(
    engines: list[Engine], tensor: int, scale: float | None, zero_point: int
) -> None:
    model = svdf_int8(Sizes(), np.random.default_rng(1), 1, True, (0, 0))
    if scale is None:
        model.graph.tensors[tensor].quantization = None
    else:
        model.graph.tensors[tensor].quantization.scale = [scale]
        model.graph.tensors[tensor].quantization.zeroPoint = [zero_point]
    assert refused(engines[0], model).status == Status.MODEL_QUANTIZATION


def test_svdf_in_int8_has_relu(engines: list[Engine]) -> None:
    """LiteRT insists on it too."""
    for activation in (0, TANH):
        model = svdf_int8(Sizes(), np.random.default_rng(1), 1, True, (0, 0))
        model.graph.operators[0].builtinOptions.fusedActivationFunction = activation
        assert refused(engines[0], model).status == Status.MODEL_UNSUPPORTED_OP


clips = st.sampled_from([0.0, 0.0, 0.3, 5.0])


@relaxed
@given(
    size=sizes,
    parts=st.builds(
        Parts,
        input_gate=st.booleans(),
        peephole=st.booleans(),
        projection=st.booleans(),
        projection_bias=st.booleans(),
        cell_clip=clips,
        projection_clip=clips,
        activation=st.sampled_from([TANH, TANH, *ACTIVATIONS[1:]]),
    ),
    seed=seeds,
)
def test_lstm(engines: list[Engine], size: Sizes, parts: Parts, seed: int) -> None:
    rng = np.random.default_rng(seed)
    check(engines, lstm(size, parts, rng), rng, **CLOSE)


@relaxed
@given(
    size=sizes,
    parts=st.builds(
        Parts,
        input_gate=st.booleans(),
        peephole=st.booleans(),
        projection=st.booleans(),
        norm=st.just(True),
    ),
    seed=seeds,
)
def test_lstm_with_layer_normalisation(
    engines: list[Engine], size: Sizes, parts: Parts, seed: int
) -> None:
    """One cell is normalised to 0 times 10000: what is left of rounding differs too much."""
    size.units = max(size.units, 3)
    rng = np.random.default_rng(seed)
    check(engines, lstm(size, parts, rng), rng, rtol=1e-5, atol=2e-5)


MAKERS: list[Callable[[np.random.Generator], Model]] = [
    lambda rng: sequence_rnn(Sizes(), TANH, rng),
    lambda rng: rnn(Sizes(), TANH, rng),
    lambda rng: lstm(Sizes(hidden=7), Parts(peephole=True, projection=True), rng),
    lambda rng: svdf(Sizes(), RELU, rng),
]
makers = pytest.mark.parametrize("make", MAKERS, ids=["sequence_rnn", "rnn", "lstm", "svdf"])


@makers
def test_a_state_is_cleared_before_each_run(
    engines: list[Engine], make: Callable[[np.random.Generator], Model]
) -> None:
    """Two operators of the same state: the second does not see what the first left."""
    rng = np.random.default_rng(1)
    model = make(rng)
    first = model.graph.operators[0]
    target = model.graph.outputs[0]
    shape = model.graph.tensors[target].shape
    again = model.tensor(shape, type_=FLOAT32)
    second = model.operator(
        model.model.operatorCodes[0].builtinCode,
        first.inputs,
        [again],
        first.builtinOptionsType,
        first.builtinOptions,
        version=1,
    )
    assert second.inputs == first.inputs
    model.graph.outputs = [target, again]
    value = rng.standard_normal(model.graph.tensors[model.graph.inputs[0]].shape)
    for engine in engines:
        found = engine.run(model.pack(), [value.astype(np.float32)])
        np.testing.assert_array_equal(found[0], found[1])


def test_a_large_batch_in_tiles(engines: list[Engine]) -> None:
    rng = np.random.default_rng(2)
    size = Sizes(batch=40, time=4, inputs=30, units=40, hidden=40)
    check(engines, lstm(size, Parts(), rng), rng, **CLOSE)
    check(engines, sequence_rnn(size, TANH, rng), rng, **CLOSE)


# Refusals -----------------------------------------------------------------------------------------


def state_of(model: Model) -> int:
    """The last of them."""
    return max(i for i, tensor in enumerate(model.graph.tensors) if tensor.isVariable)


@makers
def test_a_state_that_is_none_is_refused(
    engines: list[Engine], make: Callable[[np.random.Generator], Model]
) -> None:
    rng = np.random.default_rng(3)
    model = make(rng)
    state = model.graph.tensors[state_of(model)]
    state.isVariable = False
    assert refused(engines[0], model).status == Status.MODEL_MALFORMED  # nobody writes it

    model = make(rng)
    model.graph.tensors[state_of(model)].isVariable = False
    model.graph.inputs.append(state_of(make(rng)))
    assert refused(engines[0], model).status == Status.MODEL_UNSUPPORTED_OP

    model = make(rng)
    state = model.graph.tensors[state_of(model)]
    constant = model.tensor(state.shape, data=np.zeros(state.shape, np.float32), type_=FLOAT32)
    model.graph.tensors[constant].isVariable = True
    operator = model.graph.operators[0]
    operator.inputs = [constant if i == state_of(make(rng)) else i for i in operator.inputs]
    assert refused(engines[0], model).status == Status.MODEL_UNSUPPORTED_OP


@makers
def test_a_state_of_another_size_is_refused(
    engines: list[Engine], make: Callable[[np.random.Generator], Model]
) -> None:
    model = make(np.random.default_rng(3))
    model.graph.tensors[state_of(model)].shape = [2, 4]
    assert refused(engines[0], model).status == Status.MODEL_SHAPE


@makers
def test_a_state_in_place_of_weights_is_refused(
    engines: list[Engine], make: Callable[[np.random.Generator], Model]
) -> None:
    model = make(np.random.default_rng(3))
    for place in range(3):
        model = make(np.random.default_rng(3))
        operator = model.graph.operators[0]
        other = operator.inputs[place]
        if other >= 0:
            model.graph.tensors[state_of(model)].shape = model.graph.tensors[other].shape
            operator.inputs[place] = state_of(model)
            assert refused(engines[0], model).status in (
                Status.MODEL_UNSUPPORTED_OP,
                Status.MODEL_SHAPE,
            )


def test_a_variable_of_an_operator_without_state_is_refused(engines: list[Engine]) -> None:
    """It would hold what an earlier run left in the arena."""
    model = Model()
    source, state, target = (model.tensor([4], [1.0], [0]) for _ in range(3))
    model.graph.tensors[state].isVariable = True
    options = schema.AddOptionsT()
    add(model, "ADD", [source, state], [target], options, version=2)
    assert refused(engines[0], Builder(np.random.default_rng(1), model).ends(source, target)) == (
        Refused(Status.MODEL_MALFORMED, 0, "a tensor is read before it is written")
    )


def test_one_tensor_for_both_states_is_refused(engines: list[Engine]) -> None:
    model = lstm(Sizes(), Parts(), np.random.default_rng(3))
    model.graph.operators[0].inputs[18] = model.graph.operators[0].inputs[19]
    assert refused(engines[0], model).status == Status.MODEL_UNSUPPORTED_OP


@makers
def test_tensors_of_other_shapes_are_refused(
    engines: list[Engine], make: Callable[[np.random.Generator], Model]
) -> None:
    """Each in turn with one more in each dimension, and of another rank."""
    rng = np.random.default_rng(3)
    for index in range(len(make(rng).graph.tensors)):
        old = list(make(rng).graph.tensors[index].shape)
        others = [[*old, 1], *([*old[:i], old[i] + 1, *old[i + 1 :]] for i in range(len(old)))]
        if index == state_of(make(rng)) or make(rng).graph.tensors[index].isVariable:
            others = others[1:]  # a state may be of any rank
        for shape in others:
            model = make(rng)
            tensor = model.graph.tensors[index]
            tensor.shape = shape
            if tensor.buffer:
                values = np.zeros(shape, np.float32)
                model.model.buffers[tensor.buffer].data = np.frombuffer(values.tobytes(), np.uint8)
            assert refused(engines[0], model).status == Status.MODEL_SHAPE, (index, shape)


@makers
def test_tensors_of_other_types_are_refused(
    engines: list[Engine], make: Callable[[np.random.Generator], Model]
) -> None:
    rng = np.random.default_rng(3)
    for index in range(len(make(rng).graph.tensors)):
        model = make(rng)
        tensor = model.graph.tensors[index]
        tensor.type = INT8
        if tensor.buffer:
            values = np.zeros(tensor.shape, np.int8)
            model.model.buffers[tensor.buffer].data = np.frombuffer(values.tobytes(), np.uint8)
        assert refused(engines[0], model).status == Status.MODEL_UNSUPPORTED_TYPE, index


@makers
def test_an_unknown_activation_is_refused(
    engines: list[Engine], make: Callable[[np.random.Generator], Model]
) -> None:
    for activation in (SIGN_BIT, 6, 127):
        model = make(np.random.default_rng(3))
        model.graph.operators[0].builtinOptions.fusedActivationFunction = activation
        assert refused(engines[0], model).status == Status.MODEL_UNSUPPORTED_OP


@pytest.mark.parametrize("missing", [i for i in range(1, 20) if i not in (17,)])
def test_an_lstm_with_a_tensor_missing_is_refused(engines: list[Engine], missing: int) -> None:
    parts = Parts(peephole=True, projection=True)
    model = lstm(Sizes(hidden=7), parts, np.random.default_rng(3))
    model.graph.operators[0].inputs[missing] = -1
    expected = (Status.MODEL_MALFORMED, Status.MODEL_SHAPE)  # no projection: another size
    assert refused(engines[0], model).status in expected


@pytest.mark.parametrize("missing", [20, 21, 22, 23])
def test_layer_normalisation_in_part_is_refused(engines: list[Engine], missing: int) -> None:
    model = lstm(Sizes(), Parts(norm=True), np.random.default_rng(3))
    model.graph.operators[0].inputs[missing] = -1
    assert refused(engines[0], model).status == Status.MODEL_MALFORMED


def test_an_lstm_of_another_number_of_tensors_is_refused(engines: list[Engine]) -> None:
    for count in (1, 19, 23):
        model = lstm(Sizes(), Parts(norm=True), np.random.default_rng(3))
        model.graph.operators[0].inputs = model.graph.operators[0].inputs[:count]
        assert refused(engines[0], model).status == Status.MODEL_MALFORMED


def test_diagonal_recurrent_weights_are_refused(engines: list[Engine]) -> None:
    rng = np.random.default_rng(3)
    for gate in range(4):
        model = lstm(Sizes(), Parts(), rng)
        model.graph.operators[0].inputs[5 + gate] = Builder(rng, model).weights(5)
        status = Status.MODEL_UNSUPPORTED_OP if gate == 3 else Status.MODEL_SHAPE
        assert refused(engines[0], model).status == status


def test_an_lstm_without_activation_is_refused(engines: list[Engine]) -> None:
    """LiteRT computes output gate * update then, where it should be output gate * cell."""
    model = lstm(Sizes(), Parts(activation=0), np.random.default_rng(3))
    assert refused(engines[0], model).status == Status.MODEL_UNSUPPORTED_OP


@pytest.mark.parametrize("clip", [-1.0, float("nan"), float("inf")])
def test_impossible_clips_are_refused(engines: list[Engine], clip: float) -> None:
    for parts in (Parts(cell_clip=clip), Parts(projection_clip=clip)):
        model = lstm(Sizes(), parts, np.random.default_rng(3))
        assert refused(engines[0], model).status == Status.MODEL_MALFORMED


@pytest.mark.parametrize("rank", [0, -1, 3, 2**31 - 1])
def test_a_rank_that_does_not_divide_is_refused(engines: list[Engine], rank: int) -> None:
    model = svdf(Sizes(), TANH, np.random.default_rng(3))
    options: Any = model.graph.operators[0].builtinOptions
    options.rank = rank
    assert refused(engines[0], model).status == Status.MODEL_SHAPE


def test_numbers_that_are_not_finite_do_no_harm(engines: list[Engine]) -> None:
    rng = np.random.default_rng(4)
    wild = np.array([np.nan, np.inf, -np.inf, 3e38, -3e38, 1], np.float32)
    for make in MAKERS:
        model = make(rng)
        shape = model.graph.tensors[model.graph.inputs[0]].shape
        value: Array = rng.choice(wild, shape)
        for engine in engines:
            engine.run(model.pack(), [value])
