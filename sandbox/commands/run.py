# SPDX-License-Identifier: Apache-2.0
"""sandbox run: any model on arrays of numbers, inside the secure world."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sandbox.build import recipe
from sandbox.commands import trust
from sandbox.commands.context import Context
from sandbox.commands.detect import worker_count
from sandbox.commands.watched import serving
from sandbox.model import arrays, report
from sandbox.model.arrays import Array
from sandbox.model.report import Cpu, Report, Tensor
from sandbox.owner.client import Client, owned_model
from sandbox.owner.results import TensorResult
from sandbox.owner.share import Share

SESSION = "run"
# Of an output that is not written to a file, so many values are shown.
_SHOWN = 10


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "run",
        help="run any TensorFlow Lite model on arrays, inside the secure world",
        description="Seal the model and its inputs, run the model in the trusted application, open"
        " the sealed outputs. Inputs are NumPy files: .npy for one, .npz for several by name.",
        epilog="Example: sandbox run keywords.tflite --input x.npy --output y.npy --dequantize",
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="a .tflite file")
    parser.add_argument(
        "--input",
        action="append",
        required=True,
        metavar="[NAME=]FILE",
        help="a .npy file for the model's only input, or for the one called NAME; or a .npz file"
        " with an array for each name. May be given several times.",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="write the outputs: .npy if the model has one, or .npz, by name",
    )
    parser.add_argument(
        "--dequantize",
        action="store_true",
        help="inputs and outputs are real numbers: quantise and dequantise them by the model's"
        " scales and zero points",
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object")
    add_options(parser)
    parser.set_defaults(run=run)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Of whoever runs a model on arrays."""
    parser.add_argument(
        "--workers",
        type=worker_count,
        default=0,
        metavar="N",
        help="how many cores may work on it (all)",
    )
    trust.add_options(parser)


def run(args: argparse.Namespace, context: Context) -> int:
    model = owned_model(args.model)
    if args.output is not None:
        arrays.check_output(args.output)
    planned = report.inspect(recipe.model_report(context.progress), args.model, Cpu.NEON)
    tensors = [planned.tensors[index] for index in planned.inputs]
    inputs = arrays.inputs(tensors, arrays.load(args.input), dequantize=args.dequantize)
    machine = context.machine()
    timings_ms: dict[str, float] = {}
    trusted = trust.of(machine, context.progress, args)
    with serving(machine) as session:
        client = Client(session, Share(machine.share), model, trusted, workers=args.workers)
        with context.progress.step("keys and model"):
            client.prepare(SESSION)
        with context.progress.step(str(args.model)):
            result = client.run(inputs, timings_ms)
    found = _outputs(planned, result, dequantize=args.dequantize)
    if args.output is not None:
        arrays.save(args.output, found)
    described = _as_json(args, model.name, result, found, timings_ms)
    with context.progress.printing():
        print(json.dumps(described) if args.json else _as_text(args, found, timings_ms))
    return 0


def _outputs(planned: Report, result: TensorResult, *, dequantize: bool) -> dict[str, Array]:
    """By the file's names; what the TA says of them has to be what the file says."""
    tensors: Sequence[Tensor] = [planned.tensors[index] for index in planned.outputs]
    return arrays.outputs(tensors, result.outputs, dequantize=dequantize)


def _as_json(
    args: argparse.Namespace,
    name: str,
    result: TensorResult,
    found: dict[str, Array],
    timings_ms: dict[str, float],
) -> dict[str, Any]:
    described: dict[str, Any] = {
        "model": {
            "name": name,
            "sha256": result.origin.model_digest.hex(),
            "output_sha256": result.origin.output_digest.hex(),
        },
        "outputs": [
            {
                "name": name,
                "type": str(array.dtype),
                "shape": list(array.shape),
                "min": array.min().item() if array.size else None,
                "max": array.max().item() if array.size else None,
            }
            for name, array in found.items()
        ],
        "timings_ms": {name: round(value, 3) for name, value in timings_ms.items()},
    }
    if args.output is not None:
        described["output"] = str(args.output)
    return described


def _as_text(
    args: argparse.Namespace, found: dict[str, Array], timings_ms: dict[str, float]
) -> str:
    lines = [f"{args.model}: network {timings_ms['network']:.0f} ms in the TA"]
    for name, array in found.items():
        values = array.reshape(-1)
        shown = " ".join(f"{value:.6g}" for value in values[:_SHOWN].tolist())
        more = " ..." if values.size > _SHOWN else ""
        lines.append(f"  {name}: {array.dtype} {list(array.shape)}: {shown}{more}")
    if args.output is not None:
        lines.append(f"  written: {args.output}")
    return "\n".join(lines)
