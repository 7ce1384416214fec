# SPDX-License-Identifier: Apache-2.0
"""Operators that make each element from one element: QUANTIZE, CAST, RELU, EXP, ABS and so on."""

from typing import Any

import numpy as np
import numpy.typing as npt
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
    draw_values,
    refused,
    relaxed,
    seeds,
    shapes,
)
from hypothesis import given
from hypothesis import strategies as st
from tflite_models import Model

from sandbox.tee_abi import Status

UINT8, FLOAT16 = schema.TensorType.UINT8, schema.TensorType.FLOAT16
TYPES = sorted(DTYPES)
SHAPE = (3, 37)

# Operators of floats alone, or with a quantised form as well: those in LiteRT's reference kernels,
# and the two that only its optimised ones have.
FLOATS = "ABS NEG SQUARE SQRT RSQRT EXP LOG SIN COS FLOOR SIGN CEIL ROUND".split()
RELUS = "RELU RELU6 RELU_N1_TO_1 RELU_0_TO_1".split()
ONLY_BUILTIN = {"CEIL", "ROUND"}

Quantization = tuple[float, int]
Ends = tuple[int, Quantization | None]  # type, scale and zero point


def unary(
    name: str, shape: tuple[int, ...], source: Ends, target: Ends, *, version: int = 1
) -> Model:
    """One operator, from the graph's input to its output."""
    model = Model()
    tensors = []
    for type_, quantization in (source, target):
        scale, zero = ([quantization[0]], [quantization[1]]) if quantization else ((), ())
        tensors.append(model.tensor(shape, scale, zero, type_=type_))
    add(model, name, tensors[:1], tensors[1:], version=version)
    model.graph.inputs, model.graph.outputs = tensors[:1], tensors[1:]
    return model


def same(name: str, type_: int, one: Quantization | None, two: Quantization | None = None) -> Model:
    """Both tensors of one type, with room for every number of 8 bits."""
    return unary(name, (2, 128), (type_, one), (type_, two or one))


def constant(name: str, data: npt.NDArray[Any], source: Ends, target: Ends) -> Model:
    """The operator's input is a constant; an ADD that needs it as a float follows."""
    model = Model()
    quantization = source[1]
    scale, zero = ([quantization[0]], [quantization[1]]) if quantization else ((), ())
    weights = model.tensor(data.shape, scale, zero, data=data, type_=source[0])
    made = model.tensor(data.shape, type_=target[0])
    add(model, name, [weights], [made])
    other = model.tensor([1], type_=INT32)
    out = model.tensor([1], type_=INT32)
    add(model, "ABS", [other], [out])
    model.graph.inputs, model.graph.outputs = [other], [out, made]
    return model


def every(type_: int) -> npt.NDArray[Any]:
    """All numbers of an 8-bit type, in the shape that same() has."""
    limits = np.iinfo(DTYPES[type_])
    return np.arange(limits.min, limits.max + 1).astype(DTYPES[type_]).reshape(2, 128)


def zero_point(data: st.DataObject, type_: int, *, asymmetric: bool = False) -> int:
    """Of int16 it is 0, for most operators."""
    if type_ == INT32 or (type_ == INT16 and not asymmetric):
        return 0
    limits = np.iinfo(DTYPES[type_])
    ends = [limits.min, limits.min + 1, 0, limits.max - 1, limits.max]
    return data.draw(st.sampled_from(ends) | st.integers(int(limits.min), int(limits.max)))


def scale(data: st.DataObject, least: float = -8, most: float = 1) -> float:
    power = data.draw(st.floats(least, most))
    return float(np.float32(2.0**power))


def quantization(
    data: st.DataObject,
    type_: int,
    least: float = -8,
    most: float = 1,
    *,
    asymmetric: bool = False,
) -> Ends:
    zero = zero_point(data, type_, asymmetric=asymmetric)
    return type_, (scale(data, least, most), zero)


# QUANTIZE ----------------------------------------------------------------------------------------

PAIRS = [
    (first, second)
    for first, seconds in (
        (INT8, (INT8, UINT8, INT16)),
        (UINT8, (INT8, UINT8, INT16)),
        (INT16, (INT8, INT16, INT32)),
        (INT32, (INT8, INT16)),
    )
    for second in seconds
]


@relaxed
@given(shape=shapes(), type_=st.sampled_from([INT8, UINT8, INT16]), data=st.data(), seed=seeds)
def test_floats_are_quantised(
    engines: list[Engine], shape: tuple[int, ...], type_: int, data: st.DataObject, seed: int
) -> None:
    model = unary("QUANTIZE", shape, (FLOAT32, None), quantization(data, type_, asymmetric=True))
    check(engines, model, np.random.default_rng(seed))


@pytest.mark.parametrize("type_", [INT8, UINT8, INT16])
def test_halves_are_rounded_away_from_zero_and_all_is_clamped(
    engines: list[Engine], type_: int
) -> None:
    values = np.array(
        [0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 0.49999997, -0.49999997, 1e-40, -0.0, 63.5, 64, 127.49]
        + [127.5, -128.5, -128.51, 255.5, 32767.5, -32768.5, 1e6, -1e6, 2e9, -2e9],
        np.float32,
    )
    for zero in (0, 5):
        model = unary("QUANTIZE", values.shape, (FLOAT32, None), (type_, (1.0, zero)))
        check(engines, model, [values])


def test_floats_beyond_32_bits_are_clamped_and_nan_is_the_least(engines: list[Engine]) -> None:
    """LiteRT converts them to int32 first, which C++ does not define."""
    values = np.array([3e9, 1e30, np.inf, -1e30, -np.inf, np.nan], np.float32)
    model = unary("QUANTIZE", values.shape, (FLOAT32, None), (INT8, (0.5, 3)))
    for engine in engines:
        (found,) = engine.run(model.pack(), [values])
        assert found.tolist() == [127, 127, 127, -128, -128, -128]


@relaxed
@given(shape=shapes(), pair=st.sampled_from(PAIRS), data=st.data(), seed=seeds)
def test_numbers_are_quantised_again(
    engines: list[Engine],
    shape: tuple[int, ...],
    pair: tuple[int, int],
    data: st.DataObject,
    seed: int,
) -> None:
    asymmetric = pair != (INT16, INT16)
    source, target = (quantization(data, type_, asymmetric=asymmetric) for type_ in pair)
    check(engines, unary("QUANTIZE", shape, source, target), np.random.default_rng(seed))


@pytest.mark.parametrize(("source", "target"), [(INT8, UINT8), (UINT8, INT8), (INT8, INT8)])
def test_numbers_with_the_same_scale_are_only_shifted(
    engines: list[Engine], source: int, target: int
) -> None:
    for shift in (-128, -127, 0, 100, 128):
        ends = [(type_, 128 if type_ == UINT8 else 0) for type_ in (source, target)]
        zero = ends[0][1] + shift
        if not np.iinfo(DTYPES[source]).min <= zero <= np.iinfo(DTYPES[source]).max:
            continue
        model = unary("QUANTIZE", (2, 128), (source, (0.1, zero)), (target, (0.1, ends[1][1])))
        check(engines, model, [every(source)])


@pytest.mark.parametrize("exponent", [-40, -33, -32, -31, -9, 8, 20, 29])
def test_scales_far_apart(engines: list[Engine], exponent: int) -> None:
    """Left shifts wrap in the reference."""
    model = unary("QUANTIZE", (2, 128), (INT8, (2.0**exponent, 3)), (INT8, (1.0, -2)))
    check(engines, model, [every(INT8)])


def test_quantize_refuses_what_it_cannot(engines: list[Engine]) -> None:
    def status(source: Ends, target: Ends) -> Status:
        found = refused(engines[0], unary("QUANTIZE", SHAPE, source, target))
        assert found.op_index == 0
        return found.status

    good = (INT8, (0.5, 0))
    for pair in [
        ((FLOAT32, None), (FLOAT32, None)),
        ((FLOAT32, None), (INT32, (0.5, 0))),
        ((INT64, None), good),
        ((BOOL, None), good),
        (good, (BOOL, None)),
        (good, (INT32, (0.5, 0))),
        (good, (99, None)),
        (good, (35, None)),
        ((INT32, (0.5, 0)), (UINT8, (0.5, 0))),
    ]:
        assert status(*pair) == Status.MODEL_UNSUPPORTED_TYPE, pair
    for pair in [
        ((FLOAT32, None), (INT8, None)),
        ((INT8, None), good),
        ((INT8, (0.5, 200)), good),
        ((FLOAT32, None), (INT8, (float("nan"), 0))),
        ((FLOAT32, None), (INT8, (-1.0, 0))),
        ((FLOAT32, None), (INT8, (0.0, 0))),
        ((INT16, (0.5, 1)), (INT16, (0.5, 0))),
        ((INT16, (0.5, 0)), (INT16, (0.5, 1))),
        ((INT8, (1e30, 0)), (INT8, (1e-30, 0))),
        ((INT8, (2.0**30, 0)), (INT8, (1.0, 0))),
    ]:
        assert status(*pair) == Status.MODEL_QUANTIZATION, pair


# DEQUANTIZE --------------------------------------------------------------------------------------


@relaxed
@given(shape=shapes(), type_=st.sampled_from([INT8, UINT8, INT16]), data=st.data(), seed=seeds)
def test_numbers_become_floats(
    engines: list[Engine], shape: tuple[int, ...], type_: int, data: st.DataObject, seed: int
) -> None:
    source = quantization(data, type_, -140, 120)
    model = unary("DEQUANTIZE", shape, source, (FLOAT32, None))
    check(engines, model, np.random.default_rng(seed))


def folded(engines: list[Engine], model: Model) -> None:
    check(engines, model, [np.array([-7], np.int32)])


@pytest.mark.parametrize("type_", [INT8, UINT8])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_constants_with_a_scale_for_each_channel(
    engines: list[Engine], type_: int, axis: int
) -> None:
    rng = np.random.default_rng(axis)
    shape = (4, 3, 4)
    data = rng.integers(0, 100, shape).astype(DTYPES[type_])
    model = constant("DEQUANTIZE", data, (type_, (1.0, 0)), (FLOAT32, None))
    q = model.graph.tensors[0].quantization
    q.scale = rng.uniform(0.01, 2, shape[axis]).astype(np.float32).tolist()
    q.zeroPoint, q.quantizedDimension = [0] * shape[axis], axis
    folded(engines, model)


def test_every_float16_becomes_a_float_while_preparing(engines: list[Engine]) -> None:
    data = np.arange(2**16, dtype=np.uint16).view(np.float16).reshape(256, 256)
    for name in ("DEQUANTIZE", "CAST"):
        model = constant(name, data, (FLOAT16, None), (FLOAT32, None))
        folded(engines, model)


@pytest.mark.parametrize("type_", [INT8, UINT8, INT16])
def test_quantised_constants_become_floats_while_preparing(
    engines: list[Engine], type_: int
) -> None:
    data = np.arange(100).astype(DTYPES[type_])
    folded(
        engines,
        constant("DEQUANTIZE", data, (type_, (0.3, 0 if type_ == INT16 else 7)), (FLOAT32, None)),
    )


def test_dequantize_refuses_what_it_cannot(engines: list[Engine]) -> None:
    def status(model: Model) -> Status:
        found = refused(engines[0], model)
        assert found.op_index in (0, -1)
        return found.status

    for source, target in [
        ((FLOAT32, None), (FLOAT32, None)),
        ((INT32, (0.5, 0)), (FLOAT32, None)),
        ((INT8, (0.5, 0)), (INT8, (0.5, 0))),
        ((FLOAT16, None), (FLOAT32, None)),
    ]:
        model = unary("DEQUANTIZE", SHAPE, source, target)
        assert status(model) == Status.MODEL_UNSUPPORTED_TYPE
    for type_, bad in [(INT8, None), (INT16, None), (INT16, (0.5, 1))]:
        model = unary("DEQUANTIZE", SHAPE, (type_, bad), (FLOAT32, None))
        assert status(model) == Status.MODEL_QUANTIZATION
    good = [0.5, 0.25, 2.0]
    for scales, zeros, axis in [
        (good, [0, 0, 1], 0),  # a zero point
        (good, [0, 0], 0),  # not one for each
        (good, [0, 0, 0], 1),  # not the axis
        (good, [0, 0, 0], -1),
        (good, [0, 0, 0], 7),
        ([0.5, -1.0, 2.0], [0, 0, 0], 0),
        ([0.5, float("nan"), 2.0], [0, 0, 0], 0),
        ([0.5, 0.25], [0, 0], 0),  # the axis is longer
        ([0.5] * 4, [0] * 4, 0),
        ([-0.5], [0], 0),
    ]:
        model = constant("DEQUANTIZE", np.ones((3, 5), np.int8), (INT8, (1.0, 0)), (FLOAT32, None))
        q = model.graph.tensors[0].quantization
        q.scale, q.zeroPoint, q.quantizedDimension = scales, zeros, axis
        assert status(model) == Status.MODEL_QUANTIZATION, scales


def test_an_empty_constant_with_many_scales_is_refused(engines: list[Engine]) -> None:
    data = np.ones((0, 3), np.int8)
    model = constant("DEQUANTIZE", data, (INT8, (1.0, 0)), (FLOAT32, None))
    q = model.graph.tensors[0].quantization
    q.scale, q.zeroPoint, q.quantizedDimension = [0.5] * 3, [0] * 3, 1
    refused(engines[0], model)


# CAST --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", TYPES)
@pytest.mark.parametrize("target", TYPES)
def test_every_type_becomes_every_other(engines: list[Engine], source: int, target: int) -> None:
    values = [0, 1, -1, 2, 127, 128, -128, -129, 255, 256, 32767, 32768, -32769, 2**24 + 1, -300]
    values += [2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**40 + 3, 2**53 + 1, 2**63 - 1, -(2**63)]
    dtype = DTYPES[source]
    if source == FLOAT32:
        more = [0.5, -0.5, 0.99, -0.99, 1.5, 126.9, 127.5, -128.9, 254.9, 255.5, 32767.5, 1e-40]
        more += [1e10, -1e10, 1e19, -1e19, 1e30, np.inf, -np.inf, np.nan, -0.0, 2147483520.0]
        array = np.array([*map(float, values), *more], np.float32)
    elif source == BOOL:
        array = np.array([True, False] * 40)
    else:
        array = np.array(values, np.int64).astype(dtype)
    model = unary("CAST", array.shape, (source, None), (target, None))
    check(engines, model, [array])


def test_a_bool_constant_of_any_byte_is_true(engines: list[Engine]) -> None:
    data = np.array([0, 1, 2, 255, 128], np.uint8)
    for target in (INT8, INT64, FLOAT32, BOOL):
        model = constant("CAST", data, (BOOL, None), (target, None))
        for engine in engines:
            found = engine.run(model.pack(), [np.array([1], np.int32)])[1]
            assert found.astype(int).tolist() == [0, 1, 1, 1, 1]


@pytest.mark.parametrize("target", [INT8, INT64, BOOL])
def test_float16_constants_become_integers(engines: list[Engine], target: int) -> None:
    data = np.array([0, 1.5, -2.5, 100, -0.25, 65504, -65504], np.float16)
    if target == INT8:
        data = data[:-2]
    folded(engines, constant("CAST", data, (FLOAT16, None), (target, None)))


def test_cast_refuses_types_it_does_not_know(engines: list[Engine]) -> None:
    for source, target in [(FLOAT32, FLOAT16), (FLOAT32, 5), (FLOAT32, 8), (INT8, 10), (INT8, 77)]:
        found = refused(engines[0], unary("CAST", SHAPE, (source, None), (target, None)))
        assert found.status == Status.MODEL_UNSUPPORTED_TYPE
    # What is computed while preparing is no activation, whose types are checked.
    for target in (FLOAT16, 5, 77):
        model = constant("CAST", np.ones((4, 4), np.int8), (INT8, None), (target, None))
        assert refused(engines[0], model).status == Status.MODEL_UNSUPPORTED_TYPE


# RELU --------------------------------------------------------------------------------------------


def relu_types(name: str) -> list[int]:
    return [INT8, UINT8, *([INT16] if name in ("RELU", "RELU6") else [])]


RELU_TYPES = [(name, type_) for name in RELUS for type_ in relu_types(name)]


@relaxed
@given(shape=shapes(), which=st.sampled_from(RELU_TYPES), data=st.data(), seed=seeds)
def test_quantised_relu(
    engines: list[Engine],
    shape: tuple[int, ...],
    which: tuple[str, int],
    data: st.DataObject,
    seed: int,
) -> None:
    name, type_ = which
    source, target = quantization(data, type_), quantization(data, type_)
    version = 1 if name in RELUS[2:] else 2
    model = unary(name, shape, source, target, version=version)
    check(engines, model, np.random.default_rng(seed))


@pytest.mark.parametrize("name", RELUS)
def test_float_relu(engines: list[Engine], name: str) -> None:
    rng = np.random.default_rng(1)
    edges = [-0.0, 0, 1, -1, 6, 6.0000005, 5.9999995, np.inf, -np.inf, np.nan, 1e-45, -1e-45]
    values = np.concatenate([np.array(edges), rng.normal(0, 4, 300)]).astype(np.float32)
    check(engines, unary(name, values.shape, (FLOAT32, None), (FLOAT32, None)), [values])


def test_relu_refuses_what_it_cannot(engines: list[Engine]) -> None:
    def status(name: str, source: Ends, target: Ends) -> Status:
        return refused(engines[0], unary(name, SHAPE, source, target)).status

    q = (0.5, 0)
    for name, type_ in [("RELU", INT32), ("RELU6", BOOL), ("RELU_N1_TO_1", INT16)]:
        assert status(name, (type_, q), (type_, q)) == Status.MODEL_UNSUPPORTED_TYPE
    assert status("RELU", (INT8, q), (UINT8, q)) == Status.MODEL_UNSUPPORTED_TYPE
    for type_, one, two in [
        (INT8, None, q),
        (INT8, q, None),
        (INT16, (0.5, 1), q),
        (INT16, q, (0.5, 1)),
        (INT8, (1e30, 0), (1e-30, 0)),
        (INT8, q, (1e-10, 0)),
        (INT8, (1e-10, 0), (1e-10, 0)),  # 6 is beyond 32 bits
        (UINT8, q, (6 / 2147483520, 255)),
        (INT8, q, (1e-45, 0)),
    ]:
        assert status("RELU6", (type_, one), (type_, two)) == Status.MODEL_QUANTIZATION, one


# Functions ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FLOATS)
def test_functions_of_floats(engines: list[Engine], name: str) -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(0, 4, 400)
    if name in ("SQRT", "RSQRT", "LOG"):
        values = np.abs(values)
    edges = [0.0, -0.0, 1, -1, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 1e-40, 8388607.5, 88.7, -87.3]
    edges += [0.49999997, -3e9, 3e9] if name not in ("SIN", "COS") else []
    values = np.concatenate([values, edges, [np.inf, -np.inf, np.nan]]).astype(np.float32)
    exact = name not in ("EXP", "LOG", "SIN", "COS")
    check(
        engines,
        unary(name, values.shape, (FLOAT32, None), (FLOAT32, None)),
        [values],
        resolver="builtin" if name in ONLY_BUILTIN else "ref",
        rtol=0 if exact else 3e-7,
    )


@pytest.mark.parametrize(
    ("name", "type_"),
    [("ABS", INT32), ("NEG", INT32), ("NEG", INT64), ("SIGN", INT32), ("LOGICAL_NOT", BOOL)],
)
def test_functions_of_plain_integers(engines: list[Engine], name: str, type_: int) -> None:
    model = unary(name, (30,), (type_, None), (type_, None))
    values = draw_values(model, 0, np.random.default_rng(3))
    if type_ != BOOL:
        limits = np.iinfo(DTYPES[type_])
        values[:5] = [0, 1, -1, limits.min, limits.max]
    check(engines, model, [values])


def test_not_of_a_bool_constant_of_any_byte(engines: list[Engine]) -> None:
    data = np.array([0, 1, 2, 255, 128], np.uint8)
    model = constant("LOGICAL_NOT", data, (BOOL, None), (BOOL, None))
    for engine in engines:
        found = engine.run(model.pack(), [np.array([1], np.int32)])[1]
        assert found.tolist() == [True, False, False, False, False]


@relaxed
@given(shape=shapes(), type_=st.sampled_from([INT8, INT16]), data=st.data(), seed=seeds)
def test_quantised_abs(
    engines: list[Engine], shape: tuple[int, ...], type_: int, data: st.DataObject, seed: int
) -> None:
    source, target = quantization(data, type_), quantization(data, type_)
    if data.draw(st.booleans()):  # the reference does not rescale then
        target = type_, (source[1][0], target[1][1])
    check(engines, unary("ABS", shape, source, target), np.random.default_rng(seed))


@pytest.mark.parametrize("type_", [INT8, INT16])
def test_quantised_neg(engines: list[Engine], type_: int) -> None:
    model = unary("NEG", (300,), (type_, (0.5, 0)), (type_, (0.5, 0)))
    values = draw_values(model, 0, np.random.default_rng(4))
    values[0] = np.iinfo(DTYPES[type_]).min
    check(engines, model, [values])


@relaxed
@given(name=st.sampled_from(["SQRT", "RSQRT"]), data=st.data())
def test_quantised_roots(engines: list[Engine], name: str, data: st.DataObject) -> None:
    """Of every number that has one: LiteRT fails on others."""
    source, target = quantization(data, INT8), quantization(data, INT8)
    values = np.maximum(every(INT8), source[1][1]).astype(np.int8)
    check(engines, same(name, INT8, source[1], target[1]), [values])


@relaxed
@given(name=st.sampled_from(["SQRT", "RSQRT"]), data=st.data(), seed=seeds)
def test_quantised_roots_of_16_bits(
    engines: list[Engine], name: str, data: st.DataObject, seed: int
) -> None:
    source, target = quantization(data, INT16, -16, 0), quantization(data, INT16, -16, 0)
    values = np.random.default_rng(seed).integers(0, 2**15, (2, 128)).astype(np.int16)
    values[0, :4] = [0, 1, 127, 32767]
    check(engines, same(name, INT16, source[1], target[1]), [values])


def test_quantised_roots_of_negative_numbers_are_those_of_zero(engines: list[Engine]) -> None:
    values = every(INT8)
    for name, root in (("SQRT", -7), ("RSQRT", 127)):
        model = same(name, INT8, (0.5, 10), (0.5, -7))
        for engine in engines:
            (found,) = engine.run(model.pack(), [values])
            assert (found[values <= 10] == root).all()


@relaxed
@given(name=st.sampled_from(["EXP", "LOG"]), data=st.data())
def test_quantised_exp_and_log(engines: list[Engine], name: str, data: st.DataObject) -> None:
    source, target = quantization(data, INT8, -10, -2), quantization(data, INT8)
    check(engines, same(name, INT8, source[1], target[1]), [every(INT8)])


@relaxed
@given(name=st.sampled_from(["EXP", "LOG"]), data=st.data(), seed=seeds)
def test_quantised_exp_and_log_of_16_bits(
    engines: list[Engine], name: str, data: st.DataObject, seed: int
) -> None:
    source, target = quantization(data, INT16, -16, -9), quantization(data, INT16, -16, -4)
    values = np.random.default_rng(seed).integers(-(2**15), 2**15, (2, 128)).astype(np.int16)
    values[0, :6] = [0, 1, -1, 32767, -32768, 127]
    check(engines, same(name, INT16, source[1], target[1]), [values])


@pytest.mark.parametrize("output_scale", [2.0, 2 / 3, 0.4])
def test_halves_of_functions_are_rounded_away_from_zero(
    engines: list[Engine], output_scale: float
) -> None:
    """exp(0) is 1, which is 0.5, 1.5 or 2.5 steps."""
    for zero in (-10, 7):
        model = same("EXP", INT8, (0.01, 3), (output_scale, zero))
        check(engines, model, [every(INT8)])


@pytest.mark.parametrize("type_", [INT8, INT16])
def test_exp_beyond_what_a_float_holds_is_the_greatest(engines: list[Engine], type_: int) -> None:
    model = same("EXP", type_, (1.0, 0))
    values = np.full((2, 128), np.iinfo(DTYPES[type_]).max, DTYPES[type_])
    for engine in engines:
        (found,) = engine.run(model.pack(), [values])
        assert (found == values).all()


QUANTISED = ["ABS", "SQRT", "RSQRT", "EXP", "LOG", "NEG"]


@pytest.mark.parametrize("name", QUANTISED)
def test_functions_refuse_what_they_cannot(engines: list[Engine], name: str) -> None:
    def status(model: Model) -> Status:
        return refused(engines[0], model).status

    q = (0.5, 0)
    for type_ in (UINT8, BOOL, 77):
        assert status(same(name, type_, q)) == Status.MODEL_UNSUPPORTED_TYPE
    model = unary(name, SHAPE, (INT8, q), (INT16, q))
    assert status(model) == Status.MODEL_UNSUPPORTED_TYPE
    for type_ in (INT8, INT16):
        for one, two in [(None, q), (q, None)]:
            model = unary(name, SHAPE, (type_, one), (type_, two))
            assert status(model) == Status.MODEL_QUANTIZATION
    for one, two in [((0.5, 1), q), (q, (0.5, 1))]:
        assert status(same(name, INT16, one, two)) == Status.MODEL_QUANTIZATION


@pytest.mark.parametrize(
    ("name", "one", "two"),
    [
        ("ABS", (1e30, 0), (1e-30, 0)),
        ("ABS", (2.0**30, 0), (1.0, 0)),
        ("RSQRT", (1e-38, 0), (1e-38, 0)),
        ("RSQRT", (1e-45, 0), (1e-45, 0)),
        ("RSQRT", (2.0**30, 0), (1.0, 0)),
        ("NEG", (0.5, 3), (0.5, 3)),
        ("NEG", (0.5, 0), (0.25, 0)),
    ],
)
def test_scales_that_do_not_go_together_are_refused(
    engines: list[Engine], name: str, one: Quantization, two: Quantization
) -> None:
    assert refused(engines[0], same(name, INT8, one, two)).status == Status.MODEL_QUANTIZATION


@pytest.mark.parametrize("name", [*QUANTISED, "CAST", "DEQUANTIZE", "QUANTIZE"])
@pytest.mark.parametrize("type_", [INT8, INT16])
def test_extreme_scales_do_no_harm(engines: list[Engine], name: str, type_: int) -> None:
    """Whatever comes out, under sanitizers: LiteRT divides by zero and converts infinities."""
    least, most = 1e-45, 3.4e38
    target = FLOAT32 if name == "DEQUANTIZE" else type_
    for one in (least, 1e-38, 1.0, most):
        for two in (least, 1e-38, 1.0, most):
            for zero in (0,) if type_ == INT16 else (-128, 127):
                model = unary(name, (2, 128), (type_, (one, zero)), (target, (two, zero)))
                values = every(INT8).astype(DTYPES[type_]) * (256 if type_ == INT16 else 1)
                status, reply = run_anyway(engines[0], model, values)
                assert status in (Status.OK, Status.MODEL_QUANTIZATION), reply


def run_anyway(engine: Engine, model: Model, values: npt.NDArray[Any]) -> tuple[Status, bytes]:
    packed = model.pack()
    payload = np.array([engine.cpu, len(packed)], np.uint32).tobytes() + packed + values.tobytes()
    status, reply = engine.driver.call("graph_run", payload)
    return Status(status), reply


# All of them -------------------------------------------------------------------------------------

EVERY = [*FLOATS, *RELUS, "LOGICAL_NOT", "QUANTIZE", "DEQUANTIZE", "CAST"]


def plain(name: str, shape: tuple[int, ...], **more: Any) -> Model:
    source: Ends = (BOOL, None) if name == "LOGICAL_NOT" else (FLOAT32, None)
    target = (INT8, (0.5, 0)) if name == "QUANTIZE" else source
    if name == "DEQUANTIZE":
        source, target = (INT8, (0.5, 0)), source
    return unary(name, shape, source, target, **more)


@pytest.mark.parametrize("name", EVERY)
def test_an_output_of_another_shape_is_refused(engines: list[Engine], name: str) -> None:
    for shape in ([37, 3], [3, 38], [111], [1, 3, 37], []):
        model = plain(name, SHAPE)
        model.graph.tensors[1].shape = list(shape)
        found = refused(engines[0], model)
        assert (found.status, found.op_index) == (Status.MODEL_SHAPE, 0)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("shape", [(), (1,), (1, 2, 3, 1, 2, 2)])
def test_ranks(engines: list[Engine], name: str, shape: tuple[int, ...]) -> None:
    resolver = "builtin" if name in ONLY_BUILTIN else "ref"
    rng = np.random.default_rng(5)
    model = plain(name, shape)
    values = np.abs(draw_values(model, 0, rng)) if name != "LOGICAL_NOT" else None
    inputs = rng if values is None else [np.asarray(values, DTYPES[model.graph.tensors[0].type])]
    check(engines, model, inputs, resolver=resolver, rtol=3e-7)


@pytest.mark.parametrize("name", EVERY)
def test_versions(engines: list[Engine], name: str) -> None:
    """The newest that LiteRT knows is accepted, the next is not; CEIL and ROUND have one."""
    newest = {"ABS": 5, "RELU": 3, "RELU6": 3, "QUANTIZE": 6, "DEQUANTIZE": 9, "CAST": 9}
    newest |= {"SQRT": 2, "RSQRT": 3, "EXP": 2, "LOG": 2, "SIN": 2, "COS": 2, "SIGN": 2}
    version = newest.get(name, 1)
    model = plain(name, SHAPE, version=version)
    values = np.abs(draw_values(model, 0, np.random.default_rng(6)).astype(np.float32))
    array = values.astype(DTYPES[model.graph.tensors[0].type])
    check(engines, model, [array], resolver="builtin", rtol=3e-7)
    found = refused(engines[0], plain(name, SHAPE, version=version + 1))
    assert found.status == Status.MODEL_UNSUPPORTED_OP


@pytest.mark.parametrize("name", EVERY)
def test_tiles_and_places(engines: list[Engine], name: str) -> None:
    """Large enough for several tiles, and one after another in the same memory."""
    shape = (300, 701)
    model = plain(name, shape)
    rng = np.random.default_rng(7)
    values = np.abs(draw_values(model, 0, rng).astype(np.float32))
    array = values.astype(DTYPES[model.graph.tensors[0].type])
    if name not in ("QUANTIZE", "DEQUANTIZE"):
        type_ = model.graph.tensors[0].type
        again = model.tensor(shape, type_=type_)
        add(model, name, model.graph.outputs, [again])
        model.graph.outputs = [again]
    resolver = "builtin" if name in ONLY_BUILTIN else "ref"
    check(engines, model, [array], resolver=resolver, rtol=1e-5 if name == "EXP" else 1e-6)


@pytest.mark.parametrize("type_", [INT8, INT16, UINT8])
def test_tiles_of_quantised_numbers(engines: list[Engine], type_: int) -> None:
    """RELU to another scale and back by QUANTIZE, then DEQUANTIZE."""
    shape = (300, 701)
    zero = 0 if type_ == INT16 else 3
    model = Model()
    tensors = [model.tensor(shape, [s], [zero], type_=type_) for s in (0.3, 0.41, 0.37)]
    tensors.append(model.tensor(shape, type_=FLOAT32))
    for i, name in enumerate(("RELU", "QUANTIZE", "DEQUANTIZE")):
        add(model, name, tensors[i : i + 1], tensors[i + 1 : i + 2], version=2)
    model.graph.inputs, model.graph.outputs = tensors[:1], tensors[-1:]
    check(engines, model, np.random.default_rng(8))
