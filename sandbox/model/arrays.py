# SPDX-License-Identifier: Apache-2.0
"""A model's inputs and outputs as NumPy arrays: from files, checked, quantised; and back."""

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sandbox.errors import HostError, UserError
from sandbox.model.schema import type_name

Array = npt.NDArray[Any]

_SUFFIXES = (".npy", ".npz")
# Types of the engine's tensors by the schema's names; files hold little-endian numbers.
_TYPES: dict[str, type[np.generic]] = {
    "float32": np.float32,
    "int32": np.int32,
    "uint8": np.uint8,
    "int64": np.int64,
    "bool": np.bool_,
    "int16": np.int16,
    "int8": np.int8,
}


class Described(Protocol):
    """An output as the TA describes it (owner/results.py)."""

    @property
    def type(self) -> int: ...
    @property
    def dims(self) -> tuple[int, ...]: ...
    @property
    def data(self) -> bytes: ...


class Port(Protocol):
    """An input or an output: of a report (report.Tensor), or as the TA describes it."""

    @property
    def name(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def scale(self) -> float: ...
    @property
    def zero_point(self) -> int: ...


def load(words: Sequence[str]) -> dict[str, Array]:
    """`FILE` or `NAME=FILE` each; the name of an array without one is empty."""
    found: dict[str, Array] = {}
    for word in words:
        name, equals, rest = word.partition("=")
        path = Path(rest if equals else word)
        for key, array in _read(path, name if equals else "").items():
            if key in found:
                raise UserError(f"input {key!r} is given twice" if key else "two unnamed inputs")
            found[key] = array
    return found


def _read(path: Path, name: str) -> dict[str, Array]:
    try:
        content = np.load(path, allow_pickle=False)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path} is no NumPy file", "numpy.save() writes .npy, numpy.savez() writes .npz."
        ) from error
    if isinstance(content, np.ndarray):
        return {name: content}
    with content:
        if name:
            raise UserError(f"{path} has names of its own", f"Say --input {path}.")
        try:
            return {key: content[key] for key in content.files}
        except (ValueError, EOFError, zipfile.BadZipFile, OSError) as error:
            raise UserError(f"{path} is damaged: {error}") from error


def inputs(tensors: Sequence[Port], arrays: Mapping[str, Array], *, dequantize: bool) -> bytes:
    """All of a model's inputs, in its order, one after another, as the TA takes them."""
    if list(arrays) == [""] and len(tensors) == 1:
        arrays = {tensors[0].name: arrays[""]}
    wanted = [tensor.name for tensor in tensors]
    if sorted(arrays) != sorted(wanted):
        given = ", ".join(repr(name) if name else "one without a name" for name in arrays)
        raise UserError(
            f"the model takes {', '.join(map(repr, wanted))}; given: {given}",
            "Say --input NAME=FILE for each.",
        )
    parts = (_input(tensor, arrays[tensor.name], dequantize) for tensor in tensors)
    return b"".join(part.tobytes() for part in parts)


def _input(tensor: Port, array: Array, dequantize: bool) -> Array:
    dtype = _dtype(tensor.type)
    if dequantize and tensor.scale and array.dtype.kind in "fiu":
        array = _quantised(array.astype(np.float64), tensor, dtype)
    elif array.dtype.newbyteorder("=") != dtype:
        hint = f"numpy.asarray(x, numpy.{dtype.name}) makes it one"
        if tensor.scale and array.dtype.kind == "f":
            hint += "; or give real numbers with --dequantize"
        raise UserError(f"input {tensor.name!r} is {tensor.type}, not {array.dtype}", f"{hint}.")
    # A batch of one may go without saying.
    if array.shape == tensor.shape[1:] and tensor.shape[:1] == (1,):
        array = array[np.newaxis]
    if array.shape != tensor.shape:
        raise UserError(
            f"input {tensor.name!r} has the shape {list(tensor.shape)}, not {list(array.shape)}"
        )
    return np.ascontiguousarray(array, dtype.newbyteorder("<"))


def _dtype(type_: str) -> np.dtype[Any]:
    if type_ not in _TYPES:
        raise UserError(f"tensors of type {type_} cannot go in or out")
    return np.dtype(_TYPES[type_])


def _quantised(array: Array, tensor: Port, dtype: np.dtype[Any]) -> Array:
    if not np.isfinite(array).all():
        raise UserError(f"input {tensor.name!r} has values that are not finite")
    limits = np.iinfo(dtype)
    steps = np.round(array / tensor.scale) + tensor.zero_point
    return np.clip(steps, limits.min, limits.max).astype(dtype)


def outputs(
    tensors: Sequence[Port], described: Sequence[Described], *, dequantize: bool
) -> dict[str, Array]:
    """By name; names that come twice get a number."""
    if len(tensors) != len(described):
        raise HostError(f"{len(described)} outputs came, the model has {len(tensors)}")
    found: dict[str, Array] = {}
    for tensor, output in zip(tensors, described, strict=True):
        dtype = _dtype(type_name(output.type))
        if (type_name(output.type), output.dims) != (tensor.type, tensor.shape):
            raise HostError(
                f"output {tensor.name!r} came as {type_name(output.type)} {list(output.dims)}"
            )
        array = np.frombuffer(output.data, dtype.newbyteorder("<")).reshape(output.dims)
        if dequantize and tensor.scale:
            array = dequantised(array, tensor.scale, tensor.zero_point)
        name = tensor.name
        for number in range(2, 2 + len(tensors)):
            if name not in found:
                break
            name = f"{tensor.name}_{number}"
        found[name] = array
    return found


def dequantised(array: Array, scale: float, zero_point: int) -> Array:
    return ((array.astype(np.float64) - zero_point) * scale).astype(np.float32)


def real_output(output: Described, scale: float, zero_point: int) -> Array:
    """As real numbers, by what the TA says of it alone."""
    dtype = _dtype(type_name(output.type))
    array = np.frombuffer(output.data, dtype.newbyteorder("<")).reshape(output.dims)
    return dequantised(array, scale, zero_point) if scale else array


def from_pixels(tensor: Port, pixels: Array, limits: tuple[float, float] | None) -> bytes:
    """An input of 8-bit `pixels` of its shape, which stand for real numbers.

    `limits`: what black and white are. Without: 0 and 1, or for types of 8 bits the least and the
    most that they have, whatever these stand for.
    """
    dtype = _dtype(tensor.type)
    if dtype.itemsize == 1 and limits is None:
        return (pixels.astype(np.int16) + np.iinfo(dtype).min).astype(dtype).tobytes()
    low, high = limits if limits is not None else (0.0, 1.0)
    real = low + pixels.astype(np.float64) * ((high - low) / 255)
    if tensor.scale and dtype.kind in "iu":
        return np.ascontiguousarray(
            _quantised(real, tensor, dtype), dtype.newbyteorder("<")
        ).tobytes()
    if dtype.kind != "f":
        raise UserError(f"an input of type {tensor.type} without a scale takes no pictures")
    return np.ascontiguousarray(real, dtype.newbyteorder("<")).tobytes()


def check_output(path: Path) -> None:
    """Before anything is computed in vain."""
    if path.suffix not in _SUFFIXES:
        raise UserError(f"{path} is neither .npy nor .npz")


def save(path: Path, arrays: Mapping[str, Array]) -> None:
    if path.suffix == ".npy" and len(arrays) != 1:
        raise UserError(
            f"the model has {len(arrays)} outputs, and a .npy file holds one",
            "Write them to a .npz file.",
        )
    try:
        if path.suffix == ".npy":
            (array,) = arrays.values()
            np.save(path, array)
        else:
            # Not as keywords: a name may be any text.
            with zipfile.ZipFile(path, "w") as archive:
                for name, array in arrays.items():
                    with archive.open(f"{name}.npy", "w") as file:
                        np.lib.format.write_array(file, array, allow_pickle=False)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
