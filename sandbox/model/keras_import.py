# SPDX-License-Identifier: Apache-2.0
"""Keras files and SavedModels to int8 .tflite files.

The conversion is a program of its own (`python -m sandbox.model.keras_worker`): TensorFlow takes
seconds to load, talks on standard error, and what it does to odd models may end a process.
"""

import importlib.util
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sandbox import process
from sandbox.errors import InfraError, UserError
from sandbox.log import Step

TIMEOUT_S = 3600.0


class TensorflowMissing(InfraError):
    """Importing a model needs TensorFlow, which is not installed."""


class ConversionFailed(UserError):
    """TensorFlow does not convert the model."""


class ConverterCrashed(InfraError):
    """The process that converts ended without a result."""


@dataclass(frozen=True)
class Order:
    """What is to be converted, and how; paths as text, for they travel as JSON."""

    source: str
    out: str
    calibration: str
    size: tuple[int, ...]  # of the input, without its batch; empty: as the model has it
    low: float  # what a black pixel is to the model
    high: float  # and a white one
    samples: int  # of the folder, at most


@dataclass(frozen=True)
class Agreement:
    """Of one output, over the calibration set: int8 against float32."""

    name: str
    shape: tuple[int, ...]
    span: float  # largest less smallest value in float32
    largest_error: float
    mean_error: float
    snr_db: float | None  # of float32 to the error; None: no error at all
    same_best: float | None  # share of samples with the same largest element; None: it has one


@dataclass(frozen=True)
class Imported:
    inputs: tuple[tuple[str, tuple[int, ...]], ...]
    samples: int
    agreements: tuple[Agreement, ...]


def check_tensorflow() -> None:
    if importlib.util.find_spec("tensorflow") is None:
        raise TensorflowMissing(
            "importing a model needs TensorFlow, which is not installed",
            f"{sys.executable} -m pip install -e '.[import]' installs it (some 300 MB), in the"
            " folder of the sandbox's sources.",
        )


def run(order: Order, step: Step) -> Imported:
    check_tensorflow()
    environment = {
        **os.environ,
        # Errors only; no search for GPUs.
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_ENABLE_ONEDNN_OPTS": "0",
    }
    step.update("TensorFlow converts")
    done = process.run(
        [sys.executable, "-m", "sandbox.model.keras_worker"],
        timeout_s=TIMEOUT_S,
        env=environment,
        stdin=json.dumps(asdict(order)).encode(),
        check=False,
    )
    try:
        reply = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        said = done.stderr.decode(errors="replace").splitlines()[-12:]
        raise ConverterCrashed(
            process.describe_status("the converter", done.status) + ":\n" + "\n".join(said),
            "It may need more memory than there is; else TensorFlow has a bug with this model:"
            " simplify it, or convert it by hand.",
        ) from None
    if "error" in reply:
        raise ConversionFailed(reply["error"], tuple(reply["hints"]))
    return _imported(reply)


def _imported(reply: Mapping[str, Any]) -> Imported:
    return Imported(
        tuple((name, tuple(shape)) for name, shape in reply["inputs"]),
        reply["samples"],
        tuple(
            Agreement(**{**fields, "shape": tuple(fields["shape"])})
            for fields in reply["agreements"]
        ),
    )


def table(imported: Imported) -> Sequence[Sequence[str]]:
    rows = [("output", "shape", "float32 spans", "largest error", "mean", "SNR", "same best")]
    for one in imported.agreements:
        share = 1 / one.span if one.span else 0.0
        rows.append(
            (
                one.name,
                str(list(one.shape)),
                f"{one.span:.4g}",
                f"{one.largest_error:.4g} ({one.largest_error * share:.1%})",
                f"{one.mean_error:.4g} ({one.mean_error * share:.2%})",
                "exact" if one.snr_db is None else f"{one.snr_db:.1f} dB",
                "-" if one.same_best is None else f"{one.same_best:.0%}",
            )
        )
    return rows
