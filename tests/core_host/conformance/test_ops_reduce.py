# SPDX-License-Identifier: Apache-2.0
"""MEAN, SUM, REDUCE_MAX, _MIN, _PROD, _ANY, _ALL: exact in every type, float32 too."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from conformance import (
    BOOL,
    DTYPES,
    FLOAT32,
    INT8,
    INT16,
    INT32,
    INT64,
    Engine,
    add,
    check,
    refused,
    relaxed,
    scales,
    seeds,
    shapes,
)
from hypothesis import given
from hypothesis import strategies as st
from tflite_models import Model

from sandbox.tee_abi import Status

UINT8 = schema.TensorType.UINT8
QUANTIZED = (INT8, INT16, UINT8)
NUMBERS = (INT8, INT16, UINT8, FLOAT32, INT32, INT64)
TYPES = {
    "MEAN": NUMBERS,
    "SUM": NUMBERS,
    "REDUCE_MAX": NUMBERS,
    "REDUCE_MIN": NUMBERS,
    "REDUCE_PROD": (INT8, INT16, FLOAT32, INT32, INT64),
    "REDUCE_ANY": (BOOL,),
    "REDUCE_ALL": (BOOL,),
}
RESCALING = ("MEAN", "SUM", "REDUCE_PROD")


@dataclass(frozen=True)
class Reduction:
    name: str = "MEAN"
    type: int = INT8
    shape: tuple[int, ...] = (2, 3, 4)
    axes: tuple[int, ...] = (1,)
    keep: bool = False
    scales: tuple[float, float] = (0.5, 0.5)
    zero_points: tuple[int, int] = (0, 0)

    @property
    def reduced(self) -> set[int]:
        return {axis % len(self.shape) for axis in self.axes} if self.shape else set()

    @property
    def count(self) -> int:
        return int(np.prod([self.shape[axis] for axis in self.reduced], dtype=np.int64))

    def model(self, target: Sequence[int] | None = None) -> Model:
        if target is None:
            target = [
                1 if axis in self.reduced else size
                for axis, size in enumerate(self.shape)
                if self.keep or axis not in self.reduced
            ]
        model = Model()
        quantized = self.type in QUANTIZED
        source, result = (
            model.tensor(
                shape,
                [self.scales[i]] if quantized else [],
                [self.zero_points[i]] if quantized else [],
                type_=self.type,
            )
            for i, shape in enumerate((self.shape, target))
        )
        axes = model.tensor([len(self.axes)], data=np.array(self.axes, np.int32), type_=INT32)
        options = schema.ReducerOptionsT()
        options.keepDims = self.keep
        add(model, self.name, [source, axes], [result], options)
        model.graph.inputs, model.graph.outputs = [source], [result]
        return model


@st.composite
def reductions(draw: st.DrawFn, names: Sequence[str]) -> Reduction:
    name = draw(st.sampled_from(names))
    type_ = draw(st.sampled_from(TYPES[name]))
    shape = draw(shapes(1, 6, 4) | shapes(1, 4, 9) | shapes(4, 4, 7))
    axes = st.integers(-len(shape), len(shape) - 1)
    case = Reduction(
        name=name,
        type=type_,
        shape=shape,
        axes=tuple(draw(st.lists(axes, min_size=1, max_size=7))),
        keep=draw(st.booleans()),
    )
    if type_ in QUANTIZED:
        limits = np.iinfo(DTYPES[type_])
        points = st.sampled_from([limits.min, limits.max]) | st.integers(limits.min, limits.max)
        if type_ == INT16:
            points = st.just(0)
        case = replace(case, zero_points=(draw(points), draw(points)))
        if name == "REDUCE_PROD":
            # The factor of a step is the first over the second; products are to stay in range.
            ratio = float(np.float32(2.0 ** draw(st.floats(-9, -1))))
            case = replace(case, scales=(ratio * 0.5 ** (1 / case.count), 0.5))
        else:
            case = replace(case, scales=(draw(scales), draw(scales)))
        if name not in RESCALING:
            case = replace(
                case, scales=(case.scales[0],) * 2, zero_points=(case.zero_points[0],) * 2
            )
    return case


@relaxed
@given(case=reductions(["MEAN"]), seed=seeds)
def test_mean(engines: list[Engine], case: Reduction, seed: int) -> None:
    check(engines, case.model(), np.random.default_rng(seed))


@relaxed
@given(case=reductions(["SUM"]), seed=seeds)
def test_sum(engines: list[Engine], case: Reduction, seed: int) -> None:
    """Of int8 and int16 below."""
    if case.type not in (INT8, INT16):
        check(engines, case.model(), np.random.default_rng(seed))


@relaxed
@given(case=reductions(["SUM"]), seed=seeds)
def test_sum_of_int8(engines: list[Engine], case: Reduction, seed: int) -> None:
    """As the reference sums uint8, of which the kernel is the same.

    LiteRT 2.3.0's reference takes every quantised type for uint8 when it sums (its issue 4079).
    """
    points = tuple(np.random.default_rng(seed).integers(0, 256, 2).tolist())
    case = replace(case, type=UINT8, zero_points=points)
    value = np.random.default_rng(seed).integers(0, 256, case.shape).astype(np.uint8)
    [theirs] = check(engines, case.model(), [value])
    signed = replace(case, type=INT8, zero_points=(points[0] - 128, points[1] - 128))
    shifted = (value.astype(np.int32) - 128).astype(np.int8)
    for engine in engines:
        [mine] = engine.run(signed.model().pack(), [shifted])
        np.testing.assert_array_equal(mine.astype(np.int32) + 128, theirs)


@relaxed
@given(case=reductions(["SUM"]), seed=seeds)
def test_sum_of_int16(engines: list[Engine], case: Reduction, seed: int) -> None:
    """As the reference sums uint8, as far as that goes; see above."""
    case = replace(case, type=UINT8, zero_points=(0, 0))
    value = np.random.default_rng(seed).integers(0, 256, case.shape).astype(np.uint8)
    [theirs] = check(engines, case.model(), [value])
    case = replace(case, type=INT16)
    for engine in engines:
        [mine] = engine.run(case.model().pack(), [value.astype(np.int16)])
        np.testing.assert_array_equal(np.clip(mine, 0, 255), theirs)


@relaxed
@given(case=reductions(["SUM"]), power=st.integers(0, 5), seed=seeds)
def test_sum_of_int16_of_either_sign(
    engines: list[Engine], case: Reduction, power: int, seed: int
) -> None:
    """LiteRT's optimised kernel sums in float32, which is exact with these scales."""
    case = replace(case, type=INT16, zero_points=(0, 0), scales=(0.25 * 2**power, 0.25))
    value = np.random.default_rng(seed).integers(-1000, 1001, case.shape).astype(np.int16)
    check(engines, case.model(), [value], resolver="builtin")


@relaxed
@given(case=reductions(["REDUCE_MAX", "REDUCE_MIN"]), seed=seeds)
def test_max_and_min(engines: list[Engine], case: Reduction, seed: int) -> None:
    check(engines, case.model(), np.random.default_rng(seed))


@relaxed
@given(case=reductions(["REDUCE_PROD"]), seed=seeds)
def test_prod(engines: list[Engine], case: Reduction, seed: int) -> None:
    check(engines, case.model(), np.random.default_rng(seed))


@relaxed
@given(case=reductions(["REDUCE_ANY", "REDUCE_ALL"]), seed=seeds, odds=st.floats(0, 1))
def test_any_and_all(engines: list[Engine], case: Reduction, seed: int, odds: float) -> None:
    value = np.random.default_rng(seed).random(case.shape) < odds
    check(engines, case.model(), [value])


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("axes", [(1, 2), (2, 1), (-2, -3)])
@pytest.mark.parametrize("type_", [INT8, INT16, UINT8, FLOAT32])
def test_mean_of_height_and_width(
    engines: list[Engine], type_: int, axes: tuple[int, ...], keep: bool
) -> None:
    """What classifiers do; LiteRT's optimised kernels, not the reference, treat it on its own."""
    case = Reduction("MEAN", type_, (2, 7, 7, 70), axes, keep, (0.023, 0.0173), (0, 0))
    if type_ == INT8:
        case = replace(case, zero_points=(-128, -128))
    check(engines, case.model(), np.random.default_rng(5))


@pytest.mark.parametrize("name", ["MEAN", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD"])
@pytest.mark.parametrize("type_", [INT8, INT16])
@pytest.mark.parametrize("high", [False, True])
def test_the_extremes_of_a_type(engines: list[Engine], name: str, type_: int, high: bool) -> None:
    """A sum of int16 wraps."""
    count = 20 if name == "REDUCE_PROD" else 300000
    limits = np.iinfo(DTYPES[type_])
    point = limits.min if type_ == INT8 and high else 0
    case = Reduction(name, type_, (count,), (0,), zero_points=(point, point))
    if name == "REDUCE_PROD":
        case = replace(case, scales=(2.0**-8, 0.5))
    check(
        engines,
        case.model(),
        [np.full(case.shape, limits.max if high else limits.min).astype(DTYPES[type_])],
    )


@pytest.mark.parametrize("ratio", [2.0**-40, 2.0**-31, 2.0**-30, 2.0**-20, 2.0**10, 2.0**20])
def test_mean_and_sum_with_scales_far_apart(engines: list[Engine], ratio: float) -> None:
    """Where the factor's shift meets its limits."""
    for name in ("MEAN", "SUM"):
        type_, points = (INT8, (3, -5)) if name == "MEAN" else (UINT8, (130, 128))
        case = Reduction(name, type_, (5, 40), (1,), False, (ratio * 1.3, 1.0), points)
        check(engines, case.model(), np.random.default_rng(7))


@pytest.mark.parametrize("type_", [INT32, INT64])
@pytest.mark.parametrize("name", ["SUM", "REDUCE_PROD", "REDUCE_MAX", "REDUCE_MIN"])
def test_large_integers_wrap(engines: list[Engine], name: str, type_: int) -> None:
    case = Reduction(name, type_, (3, 4, 5), (0, 2))
    limits = np.iinfo(DTYPES[type_])
    rng = np.random.default_rng(8)
    value = rng.integers(limits.min, limits.max, case.shape, DTYPES[type_], endpoint=True)
    check(engines, case.model(), [value])


@pytest.mark.parametrize("name", ["REDUCE_MAX", "REDUCE_MIN"])
@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1)])
def test_infinities_and_nans(engines: list[Engine], name: str, axes: tuple[int, ...]) -> None:
    """LiteRT begins at the largest finite number unless all is reduced."""
    inf, nan = np.inf, np.nan
    case = Reduction(name, FLOAT32, (3, 3), axes)
    for values in ([inf] * 9, [-inf] * 9, [nan] * 9, [nan, 1, 2, nan, -inf, inf, 3, nan, 1]):
        check(engines, case.model(), [np.array(values, np.float32).reshape(3, 3)])


@pytest.mark.parametrize("name", list(TYPES))
def test_large_tensors(engines: list[Engine], name: str) -> None:
    """In many tiles, and along strides of all kinds."""
    type_ = INT32 if name == "SUM" else TYPES[name][0]
    for shape, axes in (((40, 50, 300), (0,)), ((900, 700), (1,)), ((64, 9, 64, 9, 3), (1, 3))):
        case = Reduction(name, type_, shape, axes, scales=(0.1, 0.1))
        check(engines, case.model(), np.random.default_rng(9))


@pytest.mark.parametrize("name", list(TYPES))
def test_a_scalar(engines: list[Engine], name: str) -> None:
    case = Reduction(name, FLOAT32 if FLOAT32 in TYPES[name] else BOOL, (), ())
    check_alone(engines, case)


@pytest.mark.parametrize("name", ["MEAN", "SUM", "REDUCE_MAX", "REDUCE_PROD"])
def test_no_axes(engines: list[Engine], name: str) -> None:
    """The elements themselves. Not given to LiteRT, which does not see such axes as constant."""
    check_alone(engines, Reduction(name, FLOAT32, (2, 3), ()))


def check_alone(engines: list[Engine], case: Reduction) -> None:
    value = np.array(np.random.default_rng(3).standard_normal(case.shape) > 0, DTYPES[case.type])
    for engine in engines:
        [found] = engine.run(case.model().pack(), [value])
        np.testing.assert_array_equal(found, value)


def test_constants_are_folded(engines: list[Engine]) -> None:
    """As a graph computes sizes: the product of a constant shape."""
    case = Reduction("REDUCE_PROD", INT32, (3,), (0,), keep=True)
    model = case.model()
    other = model.tensor([2], type_=INT32)
    sink = model.tensor([1], type_=INT32)
    axes = model.tensor([1], data=np.array([0], np.int32), type_=INT32)
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(np.array([2, 3, 5], np.int32).tobytes(), np.uint8)
    model.graph.tensors[0].buffer = len(model.model.buffers)
    model.model.buffers.append(buffer)
    options = schema.ReducerOptionsT()
    options.keepDims = True
    add(model, "SUM", [other, axes], [sink], options)
    model.graph.inputs, model.graph.outputs = [other], [sink, model.graph.outputs[0]]
    check(engines, model, np.random.default_rng(1))


@pytest.mark.parametrize(
    ("case", "status"),
    [
        (Reduction(type=BOOL), Status.MODEL_UNSUPPORTED_TYPE),
        (Reduction("REDUCE_ANY", INT8), Status.MODEL_UNSUPPORTED_TYPE),
        (Reduction("REDUCE_PROD", UINT8), Status.MODEL_UNSUPPORTED_TYPE),
        (Reduction(scales=(0.0, 0.5)), Status.MODEL_QUANTIZATION),
        (Reduction(scales=(0.5, 0.0)), Status.MODEL_QUANTIZATION),
        (Reduction("SUM", scales=(2.0**31, 0.5)), Status.MODEL_QUANTIZATION),
        (Reduction("REDUCE_PROD", scales=(2.0**9, 0.5)), Status.MODEL_QUANTIZATION),
        (Reduction("REDUCE_MAX", scales=(0.5, 0.25)), Status.MODEL_QUANTIZATION),
        (Reduction("REDUCE_MIN", zero_points=(0, 1)), Status.MODEL_QUANTIZATION),
        (Reduction("REDUCE_MIN", scales=(0.5, 0.0)), Status.MODEL_QUANTIZATION),
        (Reduction(type=INT16, zero_points=(1, 0)), Status.MODEL_QUANTIZATION),
        (Reduction(type=INT16, zero_points=(0, 1)), Status.MODEL_QUANTIZATION),
    ],
)
def test_refusals(engines: list[Engine], case: Reduction, status: Status) -> None:
    assert refused(engines[0], case.model()).status == status


@pytest.mark.parametrize("axis", [3, -4, 2**31 - 1, -(2**31)])
def test_axes_out_of_range_are_refused(engines: list[Engine], axis: int) -> None:
    model = replace(Reduction(), axes=(0, axis)).model((3, 4))
    assert refused(engines[0], model).status == Status.MODEL_SHAPE


def test_outputs_that_are_not_what_is_computed_are_refused(engines: list[Engine]) -> None:
    for shape in ((2, 1, 4), (2, 3), (3, 4), (2,), (), (2, 3, 4)):
        assert refused(engines[0], Reduction().model(shape)).status == Status.MODEL_SHAPE
    model = Reduction().model()
    model.graph.tensors[1].type = INT16
    assert refused(engines[0], model).status == Status.MODEL_UNSUPPORTED_TYPE


def test_axes_that_are_no_constant_of_int32_are_refused(engines: list[Engine]) -> None:
    model = Reduction().model()
    model.graph.tensors[2].buffer = 0
    model.graph.inputs = [0, 2]
    assert refused(engines[0], model).status == Status.MODEL_UNSUPPORTED_TYPE
    model = Reduction().model()
    model.graph.tensors[2].type = FLOAT32
    assert refused(engines[0], model).status == Status.MODEL_UNSUPPORTED_TYPE


def test_an_input_without_elements_is_refused(engines: list[Engine]) -> None:
    model = Reduction().model()
    empty = model.tensor((2, 0, 4), [0.5], [0])
    model.graph.operators[0].inputs[0] = empty
    assert refused(engines[0], model).status == Status.MODEL_SHAPE
