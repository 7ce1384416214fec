# SPDX-License-Identifier: Apache-2.0
"""RESIZE_BILINEAR, RESIZE_NEAREST_NEIGHBOR: exact in every type, float32 too."""

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
    seeds,
)
from hypothesis import assume, given
from hypothesis import strategies as st
from tflite_models import Model

from sandbox.tee_abi import Status

UINT8 = schema.TensorType.UINT8
QUANTIZED = (INT8, INT16, UINT8)
BILINEAR, NEAREST = "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"
TYPES = {
    BILINEAR: (INT8, INT16, UINT8, FLOAT32),
    NEAREST: (INT8, INT16, UINT8, FLOAT32, INT32, BOOL),  # LiteRT lacks INT64
}
KINDS = [(name, type_) for name, types in TYPES.items() for type_ in types]


@dataclass(frozen=True)
class Resize:
    name: str = BILINEAR
    type: int = INT8
    shape: tuple[int, ...] = (1, 3, 4, 2)
    size: tuple[int, ...] = (5, 7)
    align_corners: bool = False
    half_pixel: bool = False
    zero_points: tuple[int, int] = (0, 0)
    scales: tuple[float, float] = (0.5, 0.5)

    def model(self, target: Sequence[int] | None = None) -> Model:
        if target is None:
            target = (self.shape[0], *self.size, self.shape[3])
        model = Model()
        source, result = (
            model.tensor(
                shape,
                [self.scales[i]] if self.type in QUANTIZED else [],
                [self.zero_points[i]] if self.type in QUANTIZED else [],
                type_=self.type,
            )
            for i, shape in enumerate((self.shape, target))
        )
        size = model.tensor([len(self.size)], data=np.array(self.size, np.int32), type_=INT32)
        options = (
            schema.ResizeBilinearOptionsT()
            if self.name == BILINEAR
            else schema.ResizeNearestNeighborOptionsT()
        )
        options.alignCorners, options.halfPixelCenters = self.align_corners, self.half_pixel
        add(model, self.name, [source, size], [result], options)
        model.graph.inputs, model.graph.outputs = [source], [result]
        return model

    @property
    def overshoots(self) -> bool:
        """Whether LiteRT reads past the image: its step, in 1/1024 of a pixel, was rounded up."""
        for inside, out in zip(self.shape[1:3], self.size, strict=True):
            if self.align_corners and out > 1:
                step = (1024 * (inside - 1) + (out - 1) // 2) // (out - 1)
            else:
                step = (1024 * inside + out // 2) // out
            last = (out - 1) * step + (step // 2 - 512 if self.half_pixel else 0)
            if last // 1024 >= inside:
                return self.name == BILINEAR and self.type in (INT8, INT16)
        return False


@st.composite
def resizes(draw: st.DrawFn) -> Resize:
    name, type_ = draw(st.sampled_from(KINDS))
    small, large = st.integers(1, 12), st.integers(1, 70)
    align, half = draw(
        st.sampled_from(
            [(False, False), (True, False), (False, True), (True, True)][
                : 3 if name == BILINEAR else 4
            ]
        )
    )
    return Resize(
        name=name,
        type=type_,
        shape=(draw(st.integers(1, 3)), draw(small), draw(large), draw(st.integers(1, 5))),
        size=(draw(large), draw(small | large)),
        align_corners=align,
        half_pixel=half,
        zero_points=(7, 7) if type_ == UINT8 else (-5, -5),
    )


@relaxed
@given(case=resizes(), seed=seeds)
def test_resizes(engines: list[Engine], case: Resize, seed: int) -> None:
    assume(not case.overshoots)
    check(engines, case.model(), np.random.default_rng(seed))


@pytest.mark.parametrize(("name", "type_"), KINDS)
@pytest.mark.parametrize("options", [(False, False), (True, False), (False, True)])
def test_usual_sizes(
    engines: list[Engine], name: str, type_: int, options: tuple[bool, bool]
) -> None:
    """Twice, half, the same, one pixel, and many tiles of odd ratios."""
    for inside, out in (
        ((7, 8), (14, 16)),
        ((14, 16), (7, 8)),
        ((5, 5), (5, 5)),
        ((9, 7), (1, 1)),
        ((33, 65), (257, 129)),
    ):
        case = Resize(name, type_, (2, *inside, 3), out, *options)
        assert not case.overshoots
        check(engines, case.model(), np.random.default_rng(4))


@pytest.mark.parametrize(("name", "type_"), KINDS)
@pytest.mark.parametrize("high", [False, True])
def test_the_extremes_of_a_type(engines: list[Engine], name: str, type_: int, high: bool) -> None:
    case = Resize(name, type_, (1, 4, 6, 1), (9, 13), half_pixel=True)
    dtype = DTYPES[type_]
    limits = np.array([0, 1]) if type_ == BOOL else np.array([-1e30, 1e30])
    if np.issubdtype(dtype, np.integer):
        limits = np.array([np.iinfo(dtype).min, np.iinfo(dtype).max])
    rng = np.random.default_rng(6)
    check(engines, case.model(), [np.full(case.shape, limits[int(high)]).astype(dtype)])
    check(engines, case.model(), [rng.choice(limits, case.shape).astype(dtype)])


@pytest.mark.parametrize("type_", [INT8, INT16])
def test_a_step_that_was_rounded_up_stays_in_the_image(engines: list[Engine], type_: int) -> None:
    """LiteRT reads past the image then. The last row is what it should have read."""
    case = Resize(BILINEAR, type_, (2, 1, 1, 3), (65, 1))
    assert case.overshoots
    value = np.arange(6).reshape(case.shape).astype(DTYPES[type_])
    for engine in engines:
        [found] = engine.run(case.model().pack(), [value])
        np.testing.assert_array_equal(found, np.repeat(value, 65, 1))


@relaxed
@given(case=resizes(), seed=seeds)
def test_nearest_neighbour_of_int64(engines: list[Engine], case: Resize, seed: int) -> None:
    """As that of int32; LiteRT lacks it."""
    case = replace(case, name=NEAREST, type=INT32)
    value = np.random.default_rng(seed).integers(-(2**31), 2**31, case.shape)
    [theirs] = check(engines, case.model(), [value.astype(np.int32)])
    for engine in engines:
        [mine] = engine.run(replace(case, type=INT64).model().pack(), [value * 3])
        np.testing.assert_array_equal(mine, theirs.astype(np.int64) * 3)


@pytest.mark.parametrize(
    ("case", "status"),
    [
        (Resize(type=INT32), Status.MODEL_UNSUPPORTED_TYPE),
        (Resize(align_corners=True, half_pixel=True), Status.MODEL_UNSUPPORTED_OP),
        (Resize(scales=(0.5, 0.25)), Status.MODEL_QUANTIZATION),
        (Resize(scales=(0.5, 0.0)), Status.MODEL_QUANTIZATION),
        (Resize(NEAREST, scales=(0.0, 0.5)), Status.MODEL_QUANTIZATION),
        (Resize(NEAREST, zero_points=(0, 1)), Status.MODEL_QUANTIZATION),
    ],
)
def test_refusals(engines: list[Engine], case: Resize, status: Status) -> None:
    assert refused(engines[0], case.model()).status == status


@pytest.mark.parametrize("name", [BILINEAR, NEAREST])
@pytest.mark.parametrize(
    "case",
    [
        Resize(shape=(1, 3, 4)),
        Resize(shape=(1, 1, 3, 4, 2)),
        Resize(shape=(2, 3, 4, 2)),
        Resize(shape=(1, 3, 4, 3)),
        Resize(size=(5,)),
        Resize(size=(5, 7, 2)),
        Resize(size=(7, 5)),
        Resize(size=(-5, 7)),
        Resize(size=(0, 7)),
        Resize(size=(2**31 - 1, -(2**31))),
    ],
)
def test_wrong_shapes_are_refused(engines: list[Engine], name: str, case: Resize) -> None:
    model = replace(case, name=name).model((1, 5, 7, 2))
    assert refused(engines[0], model).status == Status.MODEL_SHAPE


@pytest.mark.parametrize("name", [BILINEAR, NEAREST])
def test_an_image_without_elements_is_refused(engines: list[Engine], name: str) -> None:
    model = Resize(name).model()
    empty = model.tensor((1, 0, 4, 2), [0.5], [0])
    model.graph.operators[0].inputs[0] = empty
    assert refused(engines[0], model).status == Status.MODEL_SHAPE
    model = Resize(name, size=(0, 7)).model()
    assert refused(engines[0], model).status == Status.MODEL_SHAPE


@pytest.mark.parametrize("name", [BILINEAR, NEAREST])
def test_sizes_that_are_no_constant_of_int32_are_refused(engines: list[Engine], name: str) -> None:
    model = Resize(name).model()
    model.graph.tensors[2].buffer = 0
    model.graph.inputs = [0, 2]
    assert refused(engines[0], model).status == Status.MODEL_UNSUPPORTED_TYPE
    model = Resize(name).model()
    model.graph.tensors[2].type = FLOAT32
    assert refused(engines[0], model).status == Status.MODEL_UNSUPPORTED_TYPE
    model = Resize(name).model()
    model.graph.tensors[1].type = INT16
    assert refused(engines[0], model).status == Status.MODEL_UNSUPPORTED_TYPE
