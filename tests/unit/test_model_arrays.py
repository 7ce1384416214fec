# SPDX-License-Identifier: Apache-2.0
"""Arrays in and out of `sandbox run`: names, shapes, types, quantisation, files."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from sandbox.errors import HostError, UserError
from sandbox.model import arrays
from sandbox.model.report import Place, Tensor

INT8, FLOAT32 = 9, 0


def tensor(name: str = "x", type_: str = "int8", shape: tuple[int, ...] = (1, 2, 3)) -> Tensor:
    quantised = type_ == "int8"
    size = int(np.prod(shape)) * (1 if quantised else 4)
    scale, zero = (0.5, -3) if quantised else (0.0, 0)
    return Tensor(0, name, type_, shape, size, Place.ARENA, 0, scale, zero, 1)


@dataclass(frozen=True)
class Came:
    type: int
    dims: tuple[int, ...]
    data: bytes


def saved(folder: Path, array: object, name: str = "x.npy") -> str:
    np.save(folder / name, np.asarray(array))
    return str(folder / name)


def test_the_only_input_needs_no_name(tmp_path: Path) -> None:
    value = np.arange(6, dtype=np.int8).reshape(1, 2, 3)
    loaded = arrays.load([saved(tmp_path, value)])
    assert arrays.inputs([tensor()], loaded, dequantize=False) == value.tobytes()
    # Nor a batch of one.
    assert arrays.inputs([tensor()], {"": value[0]}, dequantize=False) == value.tobytes()


def test_inputs_go_in_the_models_order(tmp_path: Path) -> None:
    a, b = np.full((1, 2, 3), 1, np.int8), np.full((1, 2, 3), 2, np.int8)
    np.savez(tmp_path / "both.npz", b=b, a=a)
    wanted = [tensor("a"), tensor("b")]
    for words in (
        [str(tmp_path / "both.npz")],
        [f"b={saved(tmp_path, b, 'b.npy')}", f"a={saved(tmp_path, a, 'a.npy')}"],
    ):
        found = arrays.inputs(wanted, arrays.load(words), dequantize=False)
        assert found == a.tobytes() + b.tobytes()


def test_real_numbers_are_quantised() -> None:
    real = np.array([[[0.0, 0.26, -0.26], [100.0, -100.0, 1.0]]])
    found = arrays.inputs([tensor()], {"": real}, dequantize=True)
    assert np.frombuffer(found, np.int8).tolist() == [-3, -2, -4, 127, -128, -1]
    bad = np.where(real == 0, np.nan, real)
    with pytest.raises(UserError, match="not finite"):
        arrays.inputs([tensor()], {"": bad}, dequantize=True)
    # A model of real numbers takes them as they are.
    floats = real.astype(np.float32)
    one = tensor(type_="float32")
    assert arrays.inputs([one], {"": floats}, dequantize=True) == floats.tobytes()


def test_big_endian_files_are_turned_round() -> None:
    value = np.arange(6).reshape(1, 2, 3)
    found = arrays.inputs([tensor(type_="float32")], {"": value.astype(">f4")}, dequantize=False)
    assert found == value.astype("<f4").tobytes()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"": np.zeros((1, 2, 4), np.int8)}, "has the shape"),
        ({"": np.zeros((1, 2, 3), np.int16)}, "is int8, not int16"),
        ({"": np.zeros((1, 2, 3), np.float32)}, "is int8, not float32"),
        ({"y": np.zeros((1, 2, 3), np.int8)}, "the model takes 'x'"),
        ({}, "the model takes 'x'"),
    ],
)
def test_what_does_not_fit(given: dict[str, arrays.Array], said: str) -> None:
    with pytest.raises(UserError, match=said):
        arrays.inputs([tensor()], given, dequantize=False)


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "text.npy").write_text("hello")
    np.savez(tmp_path / "named.npz", a=np.zeros(1))
    objects = np.array([{}], dtype=object)
    np.save(tmp_path / "objects.npy", objects, allow_pickle=True)
    good = saved(tmp_path, np.zeros(1))
    for words, said in (
        ([str(tmp_path / "text.npy")], "no NumPy file"),
        ([str(tmp_path / "objects.npy")], "no NumPy file"),
        ([str(tmp_path / "none.npy")], "cannot read"),
        ([f"a={tmp_path / 'named.npz'}"], "names of its own"),
        ([good, good], "two unnamed"),
        ([f"a={good}", f"a={good}"], "given twice"),
    ):
        with pytest.raises(UserError, match=said):
            arrays.load(words)


def test_outputs_by_name_and_as_real_numbers(tmp_path: Path) -> None:
    data = np.array([[[-3, 127, -128], [0, 1, 2]]], np.int8)
    twice = [tensor("y"), tensor("y")]
    came = [Came(INT8, (1, 2, 3), data.tobytes())] * 2
    plain = arrays.outputs(twice, came, dequantize=False)
    assert list(plain) == ["y", "y_2"]
    np.testing.assert_array_equal(plain["y"], data)
    real = arrays.outputs(twice, came, dequantize=True)["y"]
    assert real.dtype == np.float32
    assert real.reshape(-1)[:2].tolist() == [0.0, 65.0]
    arrays.save(tmp_path / "y.npz", plain)
    with np.load(tmp_path / "y.npz") as archive:
        assert sorted(archive.files) == ["y", "y_2"]
    with pytest.raises(UserError, match="holds one"):
        arrays.save(tmp_path / "y.npy", plain)
    with pytest.raises(UserError, match="neither"):
        arrays.check_output(tmp_path / "y.txt")


def test_outputs_that_are_not_the_models() -> None:
    with pytest.raises(HostError, match="came as float32"):
        arrays.outputs([tensor()], [Came(FLOAT32, (1, 2, 3), bytes(24))], dequantize=False)
    with pytest.raises(HostError, match="0 outputs came"):
        arrays.outputs([tensor()], [], dequantize=False)
