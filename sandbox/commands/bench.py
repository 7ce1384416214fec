# SPDX-License-Identifier: Apache-2.0
"""sandbox bench: how fast the engine is, beside others and beside what the machine can do."""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandbox import paths
from sandbox.commands.context import Context
from sandbox.errors import UserError

if TYPE_CHECKING:
    from sandbox.commands.bench_steps import Subject

_PHOTO = "fixtures/photos/astronaut.jpg"
_RUNS = 9
_LAYER_RUNS = 3

_EPILOG = """\
examples:
  sandbox bench --peers --json
  sandbox bench --layers --svg layers.svg
  sandbox bench --report

Under emulation a time says little about hardware; a ratio within one run says more. Do nothing
else on the host meanwhile. docs/performance.md explains the figures, and has those of a run."""


def run_count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"a number from 1 to 1000, not {text!r}")
    return int(text)


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "bench",
        help="measure the engine: peers, layers, phases of a request",
        description="Measure the engine in the TA and beside it. Uses the machine if it is up, else"
        " boots it and ends it afterwards. Without a switch, everything.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--peers",
        action="store_true",
        help="LiteRT with XNNPACK in the normal world, our engine there, and in the TA, in turn",
    )
    what.add_argument(
        "--layers",
        action="store_true",
        help="each layer in the TA: time, multiply-accumulates, share of the peak",
    )
    what.add_argument(
        "--report",
        action="store_true",
        help="everything, and write it into docs/performance.md and docs/pictures",
    )
    parser.add_argument("--svg", type=Path, metavar="FILE", help="also draw the layers")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--runs", type=run_count, metavar="N", help=f"rounds ({_RUNS}; of layers: {_LAYER_RUNS})"
    )
    parser.add_argument(
        "--model",
        type=Path,
        metavar="FILE",
        help="another .tflite detector; it goes to the normal world in the clear",
    )
    parser.add_argument("--photo", type=Path, metavar="FILE", help="another JPEG file")
    parser.set_defaults(run=run)


def _subject(args: argparse.Namespace) -> "Subject":
    from sandbox.commands.bench_steps import Subject
    from sandbox.commands.detect import DEFAULT_MODEL
    from sandbox.owner import keys
    from sandbox.owner.client import Model

    model_path = args.model or paths.project_dir() / DEFAULT_MODEL
    photo = args.photo or paths.project_dir() / _PHOTO
    for path in (model_path, photo):
        if not path.is_file():
            raise UserError(f"no such file: {path}")
    try:
        model = Model(model_path.stem, model_path.read_bytes(), keys.new_key())
    except OSError as error:
        raise UserError(f"cannot read {model_path}: {error.strerror}") from error
    return Subject(model, model_path, photo)


def run(args: argparse.Namespace, context: Context) -> int:
    # Imported late: all of it stands on libraries that other verbs do without.
    from sandbox.commands import bench_peers, bench_report, bench_steps
    from sandbox.commands.watched import watched

    subject = _subject(args)
    if args.svg is not None and not args.svg.absolute().parent.is_dir():
        raise UserError(f"no folder {args.svg.absolute().parent}", "Name another with --svg.")
    found: dict[str, Any] = {"command": ["sandbox", *sys.argv[1:]], **subject.as_json()}
    began = time.monotonic()
    each = peak = None
    with bench_steps.running(context) as machine, watched(machine):
        found["machine"] = bench_steps.machine_as_json(machine, context)
        if args.layers:
            runs = args.runs or _LAYER_RUNS
            more, each, peak = bench_steps.layers(machine, subject, runs, context.progress)
            found |= {"runs": runs, **more}
        else:
            runs = args.runs or _RUNS
            if not args.peers:
                found["service"] = bench_steps.service(machine, subject, runs, context.progress)
            more, each, peak = bench_peers.peers(machine, subject, runs, context)
            found |= {"runs": runs, **more}
    found["took_s"] = round(time.monotonic() - began, 1)
    if args.svg is not None:
        try:
            args.svg.write_text(bench_steps.layers_picture(each, peak, subject))
        except OSError as error:
            raise UserError(f"cannot write {args.svg}: {error.strerror}") from error
    if args.report:
        for path in bench_report.write(found, each, peak, subject):
            context.progress.note(f"wrote {path}")
    if args.json:
        print(json.dumps(found))
    elif args.layers:
        print(bench_report.layers_text(found, each, peak))
    else:
        print(bench_report.text(found, each, peak))
    return 0
