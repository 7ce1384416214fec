# SPDX-License-Identifier: Apache-2.0
"""sandbox model import: a Keras file or a SavedModel as int8, checked as the TA will check it."""

import argparse
import json
import re
from dataclasses import asdict
from pathlib import Path

from sandbox.commands import model_inspect
from sandbox.commands.context import Context
from sandbox.errors import UserError
from sandbox.model import doctor, keras_import, profiles, text
from sandbox.model.keras_import import Imported, Order

_SAMPLES = 200
# Below these an int8 model is not what the float model was.
_GOOD_SNR_DB, _GOOD_SAME_BEST = 15.0, 0.9


def size(word: str) -> tuple[int, ...]:
    if not re.fullmatch(r"[1-9]\d{0,7}(x[1-9]\d{0,7})*", word, re.ASCII):
        raise argparse.ArgumentTypeError(f"HEIGHTxWIDTH, as in 96x96, not {word!r}")
    return tuple(map(int, word.split("x")))


def pixels(word: str) -> tuple[float, float]:
    try:
        low, high = map(float, word.split(","))
    except ValueError:
        low = high = 0.0
    if not -1e6 < low < high < 1e6:
        raise argparse.ArgumentTypeError(f"LOW,HIGH, as in 0,255, not {word!r}")
    return low, high


def samples(word: str) -> int:
    if not re.fullmatch(r"[1-9]\d{0,5}", word, re.ASCII):
        raise argparse.ArgumentTypeError(f"a number from 1, not {word!r}")
    return int(word)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source", type=Path, metavar="SOURCE", help="a .keras or .h5 file, or a SavedModel's folder"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="the .tflite file to write"
    )
    parser.add_argument(
        "--calibration",
        type=Path,
        required=True,
        metavar="DIR",
        help="photos, or .npy and .npz files, of the kind that the model will see",
    )
    parser.add_argument(
        "--input-size",
        type=size,
        default=(),
        metavar="HxW",
        help="build the model for this size; all dimensions but the batch, if it is no picture",
    )
    parser.add_argument(
        "--pixels",
        type=pixels,
        default=(-1.0, 1.0),
        metavar="LOW,HIGH",
        help="what black and white are to the model (-1,1: what the TA feeds a detector)",
    )
    parser.add_argument(
        "--samples",
        type=samples,
        default=_SAMPLES,
        metavar="N",
        help=f"calibrate with at most so many ({_SAMPLES})",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace, context: Context) -> int:
    if args.out.suffix != ".tflite" or not args.out.absolute().parent.is_dir():
        raise UserError(f"--out {args.out}: the name of a .tflite file, in a folder that is there")
    low, high = args.pixels
    order = Order(
        source=str(args.source),
        out=str(args.out),
        calibration=str(args.calibration),
        size=args.input_size,
        low=low,
        high=high,
        samples=args.samples,
    )
    with context.progress.step(f"convert {args.source.name}") as step:
        imported = keras_import.run(order, step)
    # Refused, it stays there: the message says what is wrong with it.
    report, fits = model_inspect.look(args.out, profiles.PROFILES, context.progress)
    with context.progress.printing():
        if args.json:
            fields = {
                "out": str(args.out),
                "bytes": report.file_bytes,
                **asdict(imported),
                "fits": {one.profile.name: one.requests for one in fits},
            }
            print(json.dumps(fields))
            return 0
        print(f"{text.title(report, str(args.out))}\n")
        print(f"int8 against float32, {imported.samples} calibration samples")
        print(text.table(keras_import.table(imported)))
        for words in warnings(imported):
            print(f"  - {words}")
        print("\nMemory\n" + text.memory_table(report))
        print("\nInputs and outputs\n" + text.ends_table(report))
        print("\nWhere it fits\n" + text.fits_table(fits))
        print("\nWhat would make it smaller")
        print("\n".join(f"  - {words}" for words in doctor.advice(report, fits)))
    return 0


def warnings(imported: Imported) -> list[str]:
    words = []
    for one in imported.agreements:
        noisy = one.snr_db is not None and one.snr_db < _GOOD_SNR_DB
        other = one.same_best is not None and one.same_best < _GOOD_SAME_BEST
        if noisy or other:
            words.append(
                f"{one.name} is far from the float model: calibrate with more samples, of what the"
                " model will see and scaled as it was trained (--pixels), or train it with"
                " quantisation in mind."
            )
    return words
