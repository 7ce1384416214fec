# SPDX-License-Identifier: Apache-2.0
"""sandbox model: what the TA will make of a model, models from Keras, and models that stay."""

import argparse
from pathlib import Path

from sandbox.commands import model_import, model_inspect, model_vault
from sandbox.model import profiles


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "model",
        help="look into models, import them from Keras, keep them in the secure world",
        description="TFLite models before the TA has them, and those that stay in its vault."
        " docs/models.md has more.",
        epilog="Example: sandbox model inspect detector.tflite",
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB", title="verbs")

    inspecting = verbs.add_parser(
        "inspect",
        help="operators, memory over time, and where it fits",
        description="Prepare a model as the TA does, with the TA's own code, and print what came"
        " out: operators and kernels, the plan of the arena, secure memory by profile, the largest"
        " photos, and what would make it smaller. No machine is needed.",
        epilog="Examples: sandbox model inspect detector.tflite --svg arena.svg;"
        " sandbox model inspect big.tflite --profile rpi3",
    )
    inspecting.add_argument("model", type=Path, metavar="MODEL", help="a .tflite file")
    inspecting.add_argument("--json", action="store_true", help="print one JSON object")
    inspecting.add_argument("--svg", type=Path, metavar="FILE", help="draw the arena over time")
    inspecting.add_argument(
        "--profile",
        choices=[profile.name for profile in profiles.PROFILES],
        help="for this machine alone (all; the plan shown is of the first, sandbox)",
    )
    inspecting.set_defaults(run=model_inspect.run)

    importing = verbs.add_parser(
        "import",
        help="convert a Keras model to int8",
        description="Convert a Keras file or a SavedModel to an int8 .tflite file, calibrated with"
        " a folder of photos (resized as the TA does) or arrays; say how well int8 agrees with"
        " float32, and check it as inspect does. Needs TensorFlow: the extra `import`.",
        epilog="Example: sandbox model import detector.keras --out detector.tflite"
        " --calibration photos --input-size 204x204",
    )
    model_import.add_options(importing)
    importing.set_defaults(run=model_import.run)
    model_vault.add_verbs(verbs)
