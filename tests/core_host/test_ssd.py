# SPDX-License-Identifier: Apache-2.0
"""Boxes from output tensors, against fixtures/make/postprocess.py on random tensors."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import postprocess
import pytest
from driver import Driver
from hypothesis import given, settings
from hypothesis import strategies as st
from media_calls import FIXTURES, Box, Tensor, detect, until_it_works
from numpy.typing import NDArray
from postprocess import Quantization

from sandbox.tee_abi import Status

BOX_TOLERANCE_PX = 0.01
SCORE_TOLERANCE = 1e-4
INPUT = Tensor(np.zeros((1, 204, 204, 3), np.int8), 1 / 127.5, -1)
LEVELS = 6

Outputs = list[NDArray[np.int8]]


def tensors(outputs: Outputs, quantization: Sequence[Quantization]) -> list[Tensor]:
    return [INPUT] + [
        Tensor(data, q.scale, q.zero_point) for data, q in zip(outputs, quantization, strict=True)
    ]


def random_outputs(seed: int, *, candidates: float, spread: int) -> Outputs:
    """`candidates`: share of class values from the whole range; the others are low."""
    source = np.random.default_rng(seed)
    outputs = []
    for index, shape in enumerate(postprocess.output_shapes()):
        if index < LEVELS:
            outputs.append(source.integers(-spread, spread + 1, shape).clip(-128, 127))
        else:
            high = source.random(shape) < candidates
            values = np.where(high, source.integers(-128, 128, shape), -128)
            outputs.append(values)
    return [output.astype(np.int8) for output in outputs]


def assert_as_reference(
    driver: Driver,
    outputs: Outputs,
    width: int,
    height: int,
    quantization: Sequence[Quantization] = postprocess.OUTPUT_QUANTIZATION,
    threshold_permille: int = 500,
) -> list[Box]:
    found = detect(
        driver,
        tensors(outputs, quantization),
        width,
        height,
        threshold_permille=threshold_permille,
    )
    expected = postprocess.detect(outputs, width, height, quantization)
    assert not isinstance(found, Status), found
    assert [d.class_id for d in found] == [d.class_id for d in expected]
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.box == pytest.approx(theirs.box, abs=BOX_TOLERANCE_PX)
        assert ours.score == pytest.approx(theirs.score, abs=SCORE_TOLERANCE)
    return found


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    candidates=st.sampled_from([0.0, 0.0002, 0.002, 0.02]),
    spread=st.integers(0, 128),
    width=st.integers(1, 16384),
    height=st.integers(1, 16384),
)
def test_random_tensors(
    native: Driver, seed: int, candidates: float, spread: int, width: int, height: int
) -> None:
    outputs = random_outputs(seed, candidates=candidates, spread=spread)
    assert_as_reference(native, outputs, width, height)


QUANTIZATIONS = st.builds(
    Quantization,
    scale=st.floats(2**-20, 8, width=32),
    zero_point=st.integers(-128, 127),
)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    box=st.builds(
        Quantization, scale=st.floats(2**-10, 1, width=32), zero_point=st.integers(-128, 127)
    ),
    classes=st.lists(QUANTIZATIONS, min_size=LEVELS, max_size=LEVELS),
)
def test_random_quantization(
    native: Driver, seed: int, box: Quantization, classes: list[Quantization]
) -> None:
    """Each level with a scale of its own: order is by logit, not by value."""
    outputs = random_outputs(seed, candidates=0.002, spread=60)
    assert_as_reference(native, outputs, 640, 480, [box] * LEVELS + classes)


@pytest.mark.parametrize("permille", [1, 10, 499, 500, 501, 900, 999, 1000])
def test_thresholds(native: Driver, permille: int, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = random_outputs(permille, candidates=0.001, spread=30)
    if permille == 1000:
        assert (
            detect(
                native,
                tensors(outputs, postprocess.OUTPUT_QUANTIZATION),
                100,
                100,
                threshold_permille=permille,
            )
            == []
        )
        return
    monkeypatch.setattr(postprocess, "THRESHOLD", permille / 1000)
    assert_as_reference(native, outputs, 100, 100, threshold_permille=permille)


def empty_outputs() -> Outputs:
    return [
        np.full(shape, 0 if index < LEVELS else -128, np.int8)
        for index, shape in enumerate(postprocess.output_shapes())
    ]


def test_threshold_is_inclusive(native: Driver) -> None:
    """Logit 0 is score 0.5."""
    outputs = empty_outputs()
    outputs[LEVELS + 2][0, 1, 2, 80 * 3 + 7] = postprocess.CLASS.zero_point
    outputs[LEVELS + 2][0, 3, 3, 80 * 3 + 7] = postprocess.CLASS.zero_point - 1
    found = assert_as_reference(native, outputs, 640, 480)
    assert [(d.class_id, d.score) for d in found] == [(7, 0.5)]


def test_every_anchor(native: Driver) -> None:
    """One candidate at each anchor, a class each; most boxes do not touch."""
    for level, output in enumerate(empty_outputs()[LEVELS:]):
        flat = output.size // 80
        for start in range(0, flat, 100):
            outputs = empty_outputs()
            cells = outputs[LEVELS + level].reshape(flat, 80)
            for index in range(start, min(start + 100, flat)):
                cells[index, index % 80] = 127 - (index - start) // 2
            assert_as_reference(native, outputs, 2040, 2040)


def test_ties_go_by_anchor_then_class(native: Driver) -> None:
    outputs = empty_outputs()
    for level in (5, 0, 3):
        outputs[LEVELS + level][0, 0, 0, 80 * 1 + 9] = 100
        outputs[LEVELS + level][0, 0, 0, 80 * 1 + 3] = 100
        outputs[LEVELS + level][0, 0, 0, 80 * 2 + 4] = 100
    found = assert_as_reference(native, outputs, 100, 100)
    assert [d.class_id for d in found][:3] == [3, 9, 4]


def test_around_the_iou_threshold(native: Driver) -> None:
    """Two boxes of one centre, one of them ever lower: IoU from 0.03 to 0.85."""
    quantization = [Quantization(0.05, 127)] * LEVELS + [postprocess.CLASS] * LEVELS
    counts = set()
    for height in range(-128, 128):
        outputs = empty_outputs()
        # The one cell of level 4: the squares of two scales
        outputs[4][:] = 127
        outputs[4].reshape(-1, 4)[5, 2] = height
        outputs[LEVELS + 4].reshape(-1, 80)[[0, 5], 5] = 100, 90
        counts.add(len(assert_as_reference(native, outputs, 300, 300, quantization)))
    assert counts == {1, 2}


def test_at_most_100(native: Driver) -> None:
    outputs = random_outputs(3, candidates=0.3, spread=120)
    assert len(assert_as_reference(native, outputs, 640, 480)) == 100


def test_everything_is_a_candidate(native: Driver) -> None:
    """74,640 candidates, one box for all of a class: the walk goes to its end."""
    outputs = empty_outputs()
    for output in outputs[LEVELS:]:
        output[:] = 100
    for level in range(LEVELS):
        # The largest boxes there are: they cover the photo, whatever their centre
        outputs[level].reshape(-1, 4)[:, 2:] = 127
    found = assert_as_reference(native, outputs, 640, 480)
    assert 80 <= len(found) <= 100


def test_infinite_boxes_are_dropped(native: Driver) -> None:
    outputs = empty_outputs()
    huge = Quantization(1e6, 0)
    outputs[LEVELS][0, 0, 0, 5] = 127
    outputs[0][0, 0, 0, 0:4] = (0, 0, 127, 127)
    assert_as_reference(native, outputs, 640, 480, [huge] * LEVELS + [postprocess.CLASS] * LEVELS)
    # inf - inf: not a number
    outputs[0][0, 0, 0, 0:4] = (127, 127, 127, 127)
    biggest = Quantization(3e38, 0)
    found = assert_as_reference(
        native, outputs, 640, 480, [biggest] * LEVELS + [postprocess.CLASS] * LEVELS
    )
    assert found == []


@pytest.mark.parametrize(
    ("y", "x", "dy", "dx"), [(0, 6, -127, 0), (12, 6, 127, 0), (6, 0, 0, -127), (6, 12, 0, 127)]
)
def test_boxes_outside_are_dropped(native: Driver, y: int, x: int, dy: int, dx: int) -> None:
    """Small boxes pushed over the edge, and the same ones left inside."""
    outputs = empty_outputs()
    outputs[LEVELS][0, y, x, 0] = 127
    outputs[0][0, y, x, 0:4] = (dy, dx, -100, -100)
    assert assert_as_reference(native, outputs, 640, 480) == []
    outputs[0][0, y, x, 0:4] = (-dy, -dx, -100, -100)
    assert len(assert_as_reference(native, outputs, 640, 480)) == 1


def test_on_arm64(arm64: Driver) -> None:
    for seed in range(12):
        outputs = random_outputs(seed, candidates=0.002, spread=10 * seed)
        assert_as_reference(arm64, outputs, 640, 480)


def reshaped(index: int, *shape: int) -> list[Tensor]:
    made = tensors(empty_outputs(), postprocess.OUTPUT_QUANTIZATION)
    made[index] = replace(made[index], data=np.zeros(shape, np.int8))
    return made


@pytest.mark.parametrize(
    "made",
    [
        reshaped(0, 1, 204, 204, 1),
        reshaped(0, 1, 204, 203, 3),
        reshaped(0, 2, 204, 204, 3),
        reshaped(0, 1, 203, 203, 3)[:1] + reshaped(1, 1, 14, 14, 12)[1:],
        reshaped(0, 1, 1024, 1024, 3),
        reshaped(1, 1, 13, 13, 24),
        reshaped(1, 1, 13, 12, 12),
        reshaped(7, 1, 13, 13, 273),
        reshaped(12, 1, 1, 1, 240),
        [replace(INPUT, scale=1 / 255), *reshaped(0, 1)[1:]],
        [replace(INPUT, zero_point=0), *reshaped(0, 1)[1:]],
    ],
    ids=lambda made: " ".join(f"{t.data.shape[1]}x{t.data.shape[-1]}" for t in made[:3]),
)
def test_other_networks_are_refused(native: Driver, made: list[Tensor]) -> None:
    assert detect(native, made, 100, 100) == Status.MODEL_NOT_DETECTOR


def test_another_size(native: Driver) -> None:
    """The network at its trained size, 300: the same rules with other grids."""
    grids = (19, 10, 5, 3, 2, 1)
    made = [Tensor(np.zeros((1, 300, 300, 3), np.int8), 1 / 127.5, -1)]
    for channels, q in ((4, postprocess.BOX), (80, postprocess.CLASS)):
        for level, n in enumerate(grids):
            data = np.full((1, n, n, (6 if level else 3) * channels), 0 if channels == 4 else -128)
            made.append(Tensor(data.astype(np.int8), q.scale, q.zero_point))
    made[12].data[0, 0, 0, 16] = 127
    found = detect(native, made, 300, 300)
    assert not isinstance(found, Status)
    (dog,) = found
    assert dog.class_id == 16
    # The one cell of the last level: a square of 0.95 of the side, in the middle
    assert dog.box == pytest.approx((7.5, 7.5, 292.5, 292.5), abs=1e-3)


def test_every_failing_allocation(native: Driver) -> None:
    made = tensors(empty_outputs(), postprocess.OUTPUT_QUANTIZATION)
    for index in until_it_works(10):
        result = detect(native, made, 10, 10, fail_allocation=index)
        if result == []:
            assert index == 3
            break
        assert result == Status.NO_MEMORY


def test_labels(native: Driver) -> None:
    status, reply = native.call("labels")
    assert status == Status.OK
    assert reply == (FIXTURES / "models" / "coco80.labels.txt").read_bytes()
