# SPDX-License-Identifier: Apache-2.0
"""The process that loads TensorFlow: an order on standard input, a result on standard output.

Both are JSON; what goes wrong in a way that a person can mend is a result, too.
"""

import itertools
import json
import math
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from sandbox.errors import SandboxError, UserError
from sandbox.model import calibration, slim
from sandbox.model.calibration import Array, Input
from sandbox.model.keras_import import Agreement, Imported, Order

_KERAS = {".keras", ".h5", ".hdf5"}
_SIGNATURE = "serving_default"
_ERROR_LINES = 6


def convert(order: Order) -> Imported:
    """Writes order.out."""
    function, inputs, outputs = _load(Path(order.source), order.size)
    paths = calibration.files(Path(order.calibration))

    def samples() -> Iterator[list[Array]]:
        every = calibration.samples(paths, inputs, order.low, order.high)
        return itertools.islice(every, order.samples)

    count = sum(1 for _ in samples())
    data = _converted(function, samples)
    data = _named(data, [one.name for one in inputs], outputs)
    agreements = _compare(function, data, samples, inputs)
    _write(Path(order.out), data)
    return Imported(tuple((one.name, one.shape) for one in inputs), count, tuple(agreements))


# Loading ----------------------------------------------------------------------------------------


def _load(source: Path, size: tuple[int, ...]) -> tuple[Any, list[Input], list[str]]:
    """A function without variables, for a batch of 1; the names of its outputs."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    if source.is_dir():
        if not (source / "saved_model.pb").is_file():
            raise UserError(f"{source} is a folder, and no SavedModel: it has no saved_model.pb")
        call, inputs = _saved_model(source, size)
    elif not source.is_file():
        raise UserError(f"no file {source}")
    elif source.suffix.lower() in _KERAS:
        call, inputs = _keras(source, size)
    else:
        raise UserError(
            f"{source.name} is neither a Keras file ({', '.join(sorted(_KERAS))}) nor a SavedModel",
            "Save it from Keras with model.save('model.keras').",
        )
    specs = [tf.TensorSpec(one.shape, tf.float32, name=one.name) for one in inputs]
    try:
        concrete = tf.function(call).get_concrete_function(*specs)
        outputs = _output_names(concrete.structured_outputs, getattr(call, "outputs", ()))
        return convert_variables_to_constants_v2(concrete), inputs, outputs
    except Exception as error:
        raise UserError(
            f"TensorFlow cannot build the model for {_shapes(inputs)}: {_first_lines(error)}",
            "--input-size says what size the model is to have; it has to be one it can be built"
            " for.",
        ) from error


def _keras(source: Path, size: tuple[int, ...]) -> tuple[Callable[..., Any], list[Input]]:
    import keras

    try:
        model = keras.models.load_model(source, compile=False, safe_mode=True)
    except Exception as error:
        raise UserError(
            f"Keras cannot load {source.name}: {_first_lines(error)}",
            "A model with layers or functions of its own has to be saved as a SavedModel:"
            " model.export('folder').",
        ) from error
    tensors = model.inputs
    for tensor in tensors:
        _check_type(tensor.name, keras.backend.standardize_dtype(tensor.dtype))
    inputs = _inputs([(_tensor_name(t.name), tuple(t.shape)) for t in tensors], size)
    if any(tuple(t.shape)[1:] != one.shape[1:] for t, one in zip(tensors, inputs, strict=True)):
        model = _resized_model(model, inputs)

    def call(*arrays: Any) -> Any:
        return model(list(arrays) if len(arrays) > 1 else arrays[0], training=False)

    # Those of the layers, where the model does not say others.
    call.outputs = tuple(getattr(model, "output_names", ()))  # type: ignore[attr-defined]
    return call, inputs


def _resized_model(model: Any, inputs: Sequence[Input]) -> Any:
    """The same layers and weights, for inputs of another size."""
    import keras

    try:
        fresh = [keras.Input(one.shape[1:], name=one.name) for one in inputs]
        clone = keras.models.clone_model(model, input_tensors=fresh if len(fresh) > 1 else fresh[0])
        clone.set_weights(model.get_weights())
    except Exception as error:
        raise UserError(
            f"the model cannot be rebuilt for {_shapes(inputs)}: {_first_lines(error)}",
            "Its weights depend on the input's size (a Dense layer after a Flatten): keep the size"
            " that it was trained with.",
        ) from error
    return clone


def _saved_model(source: Path, size: tuple[int, ...]) -> tuple[Callable[..., Any], list[Input]]:
    import tensorflow as tf

    try:
        loaded = tf.saved_model.load(os.fspath(source))
        signature = loaded.signatures[_SIGNATURE]
    except KeyError as error:
        raise UserError(f"{source} has no signature {_SIGNATURE!r}") from error
    except Exception as error:
        raise UserError(f"cannot load {source}: {_first_lines(error)}") from error
    wanted = signature.structured_input_signature[1]
    for name, spec in wanted.items():
        _check_type(name, spec.dtype.name)
    inputs = _inputs([(name, tuple(spec.shape)) for name, spec in wanted.items()], size)

    def call(*arrays: Any) -> Any:
        given = {one.name: array for one, array in zip(inputs, arrays, strict=True)}
        return signature(**given)

    # Its variables live as long as it does.
    call.loaded = loaded  # type: ignore[attr-defined]
    return call, inputs


def _check_type(name: str, dtype: str) -> None:
    if dtype != "float32":
        raise UserError(
            f"input {name} is {dtype}: only models with float32 inputs are imported",
            "Whole numbers do not survive int8: begin the model after its Embedding.",
        )


def _tensor_name(name: str) -> str:
    """keras_tensor:0 is a name to TensorFlow, and no argument."""
    return re.sub(r"\W", "_", name.split(":")[0]) or "input"


def _inputs(
    found: Sequence[tuple[str, tuple[int | None, ...]]], size: tuple[int, ...]
) -> list[Input]:
    made = []
    for name, shape in found:
        if not shape:
            raise UserError(f"input {name} has no batch dimension")
        sizes = list(shape[1:])
        if size and len(size) == len(sizes):
            sizes = list(size)
        elif size and len(size) == 2 and len(sizes) == 3:
            sizes[:2] = size
        elif size:
            raise UserError(
                f"--input-size has {len(size)} numbers, and input {name} is {_open(shape)}",
                "Give height and width of a picture, or all dimensions but the batch.",
            )
        if any(n is None for n in sizes):
            raise UserError(
                f"input {name} is {_open(shape)}: the TA needs every size",
                "Give it with --input-size, as in --input-size 96x96.",
            )
        made.append(Input(name, (1, *(int(n) for n in sizes if n is not None))))
    return made


def _open(shape: Sequence[int | None]) -> str:
    return "[" + ", ".join("?" if n is None else str(n) for n in shape) + "]"


def _shapes(inputs: Sequence[Input]) -> str:
    return ", ".join(f"{one.name} {list(one.shape)}" for one in inputs)


# Converting -------------------------------------------------------------------------------------


def _converted(function: Any, samples: Callable[[], Iterator[list[Array]]]) -> bytes:
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = samples
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8
    try:
        return bytes(converter.convert())
    except SandboxError:
        raise
    except Exception as error:
        raise UserError(
            f"TensorFlow does not convert the model to int8: {_first_lines(error)}",
            "The message names the operator: replace the layer that it comes from.",
        ) from error


def _output_names(structured: Any, own: Sequence[str]) -> list[str]:
    """Of a dictionary its keys, in the order in which TensorFlow flattens it; else its own."""
    import tensorflow as tf

    count = len(tf.nest.flatten(structured))
    if isinstance(structured, dict) and count == len(structured):
        return sorted(structured)
    if len(set(own)) == count:
        return list(own)
    return ["output"] if count == 1 else [f"output_{i}" for i in range(count)]


def _named(data: bytes, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
    from tensorflow.lite.python import schema_py_generated as schema

    return slim.slimmed(schema, data, inputs, outputs)


def _compare(
    function: Any,
    data: bytes,
    samples: Callable[[], Iterator[list[Array]]],
    inputs: Sequence[Input],
) -> list[Agreement]:
    import tensorflow as tf

    interpreter = tf.lite.Interpreter(
        model_content=data,
        # As exact as the TA's engine, which equals the reference kernels.
        experimental_op_resolver_type=(
            tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        ),
    )
    interpreter.allocate_tensors()
    ends = interpreter.get_input_details()
    # In the order of the function's inputs, which the converter keeps.
    if [tuple(end["shape"]) for end in ends] != [one.shape for one in inputs]:
        raise UserError("the converter changed the order of the model's inputs")
    results = interpreter.get_output_details()
    floats: list[list[Array]] = [[] for _ in results]
    integers: list[list[Array]] = [[] for _ in results]
    for sample in samples():
        for end, array in zip(ends, sample, strict=True):
            interpreter.set_tensor(end["index"], _quantized(array, end))
        interpreter.invoke()
        wanted = [
            np.asarray(array) for array in tf.nest.flatten(function(*map(tf.constant, sample)))
        ]
        for i, result in enumerate(results):
            scale, zero_point = result["quantization"]
            got = interpreter.get_tensor(result["index"]).astype(np.float64)
            integers[i].append((got - zero_point) * scale)
            floats[i].append(wanted[i].astype(np.float64))
    return [
        agreement(str(result["name"]), np.stack(floats[i]), np.stack(integers[i]))
        for i, result in enumerate(results)
    ]


def _quantized(array: Array, end: Any) -> Array:
    scale, zero_point = end["quantization"]
    steps: Array = np.rint(array / scale) + zero_point
    return np.clip(steps, -128, 127).astype(np.int8)


def agreement(name: str, wanted: Array, got: Array) -> Agreement:
    """Of arrays (samples, 1, ...)."""
    if wanted.shape != got.shape:
        raise UserError(f"output {name}: int8 has {got.shape}, float32 {wanted.shape}")
    error = np.abs(wanted - got)
    noise = float(np.mean(error**2))
    signal = float(np.mean(wanted**2))
    flat = wanted.reshape(len(wanted), -1)
    best = None
    if flat.shape[1] > 1:
        same = flat.argmax(1) == got.reshape(len(got), -1).argmax(1)
        best = float(np.mean(same))
    return Agreement(
        name=name,
        shape=wanted.shape[1:],
        span=float(wanted.max() - wanted.min()),
        largest_error=float(error.max()),
        mean_error=float(error.mean()),
        snr_db=10 * math.log10(signal / noise)
        if noise and signal
        else (None if not noise else 0.0),
        same_best=best,
    )


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all."""
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, delete=False) as file:
            file.write(data)
        os.chmod(file.name, 0o644)
        os.replace(file.name, path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error


def _first_lines(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:_ERROR_LINES]) or type(error).__name__


def main() -> None:
    fields = json.load(sys.stdin)
    order = Order(**{**fields, "size": tuple(fields["size"])})
    # Whatever TensorFlow prints, the last line is ours.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    try:
        reply = asdict(convert(order))
    except SandboxError as error:
        reply = {"error": error.message, "hints": error.hints}
    with out:
        print(json.dumps(reply), file=out)


if __name__ == "__main__":
    main()
