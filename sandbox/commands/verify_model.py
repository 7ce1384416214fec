# SPDX-License-Identifier: Apache-2.0
"""sandbox verify-model: whether the TA's loader takes a model, asked without a machine."""

import argparse
import json
from pathlib import Path

from sandbox.commands import model_inspect
from sandbox.commands.context import Context
from sandbox.errors import UserError
from sandbox.model import profiles


class ModelTooLarge(UserError):
    """The engine takes the model, and this sandbox has no room for it."""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "verify-model",
        help="say whether the TA's loader takes a model",
        description="Load a model that is not sealed with the TA's own loader, compiled for this"
        " check; no machine is needed. Exits with 0 if the TA takes it, and else with the name of"
        " the loader's error. `sandbox model inspect` says more.",
        epilog="Example: sandbox verify-model --input m.tflite",
    )
    parser.add_argument("--input", type=Path, required=True, metavar="MODEL", help="a .tflite file")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, context: Context) -> int:
    here = profiles.named("sandbox")
    found, (fit,) = model_inspect.look(args.input, [here], context.progress)
    if not fit.fits:
        raise ModelTooLarge(
            f"{args.input.name} is good, and needs {fit.missing_bytes:,} bytes more than there are",
            "`sandbox model inspect` says what takes how much.",
        )
    ports = {
        "inputs": [found.tensors[index] for index in found.inputs],
        "outputs": [found.tensors[index] for index in found.outputs],
    }
    with context.progress.printing():
        if args.json:
            described = {
                "model": str(args.input),
                "accepted": True,
                "operators": len(found.operators),
                "needs_bytes": fit.needs_bytes,
                **{
                    name: [
                        {"name": one.name, "type": one.type, "shape": list(one.shape)}
                        for one in tensors
                    ]
                    for name, tensors in ports.items()
                },
            }
            print(json.dumps(described))
        else:
            print(
                f"{args.input}: the TA takes it: {len(found.operators)} operators,"
                f" {fit.needs_bytes / 1024:.0f} KiB of secure memory"
            )
            for name, tensors in ports.items():
                print(f"  {name}: {', '.join(tensor.described for tensor in tensors)}")
    return 0
