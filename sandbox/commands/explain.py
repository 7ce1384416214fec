# SPDX-License-Identifier: Apache-2.0
"""sandbox explain: what the panics on a console, or in a file, mean."""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from sandbox.commands.context import Context
from sandbox.debug.panics import Explainer, Panic
from sandbox.debug.symbolise import ElfFiles, FirstOf
from sandbox.errors import UserError
from sandbox.machine.console import clean
from sandbox.machine.folder import World
from sandbox.machine.symbols import Symbols

_LINE_LIMIT = 1 << 16


def place(text: str) -> Path:
    path = Path(text)
    if not path.exists():
        raise argparse.ArgumentTypeError(f"no such file or folder: {text}")
    return path


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "explain",
        help="explain panics, with functions, lines and source",
        description="Find the panics of TAs, OP-TEE, TF-A and Linux, and say who panicked, where in"
        " the source, and what it usually means: in the consoles of the machine (also of its last"
        " boot, when it is down), or in FILE, which may come from any board with OP-TEE.",
        epilog="Examples: sandbox explain; sandbox explain uart.log --symbols optee_os/out"
        " --symbols my_ta; xclip -o | sandbox explain - --symbols my_ta.elf",
    )
    parser.add_argument(
        "file", nargs="?", metavar="FILE", help="a log, or - for standard input (the machine's)"
    )
    parser.add_argument(
        "--symbols",
        action="append",
        default=[],
        type=place,
        metavar="DIR|ELF",
        help="<uuid>.elf of a TA, tee.elf, ldelf.elf or bl31.elf, or a folder with such files in it"
        " or below; may be given again",
    )
    parser.add_argument(
        "--source",
        action="append",
        default=[],
        type=place,
        metavar="DIR",
        help="where sources are that the ELF files name by relative paths; may be given again",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object for each panic")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, context: Context) -> int:
    machine = context.machine()
    elves = FirstOf(ElfFiles(args.symbols), Symbols(machine.folder.symbols))
    explainer = Explainer(elves, [path.resolve() for path in args.source])
    if args.file is not None:
        panics = _of_file(explainer, args.file)
    else:
        logs = [(world, machine.folder.log(world)) for world in World]
        if not any(path.exists() for _, path in logs):
            raise UserError(
                f"machine {machine.name!r} has no consoles: it was never started",
                "Name a file with a console's output, or - for standard input.",
            )
        panics = _of_machine(explainer, logs)
    count = 0
    for panic in panics:
        if args.json:
            print(json.dumps(panic.as_json()), flush=True)
        else:
            print(("\n" if count else "") + panic.report(), flush=True)
        count += 1
    if not count and not args.json:
        print("no panic in these lines")
    return 0


def _of_machine(explainer: Explainer, logs: list[tuple[World, Path]]) -> Iterator[Panic]:
    for world, path in logs:
        if not path.exists():
            continue
        with path.open("rb") as file:
            while raw := file.readline(_LINE_LIMIT):
                yield from explainer.feed(clean(raw), world)
        yield from explainer.flush()


def _of_file(explainer: Explainer, name: str) -> Iterator[Panic]:
    try:
        with open(sys.stdin.fileno() if name == "-" else name, "rb", closefd=name != "-") as file:
            while raw := file.readline(_LINE_LIMIT):
                # Both worlds may be in it, as on boards with one serial port.
                yield from explainer.feed(clean(raw))
    except OSError as error:
        raise UserError(f"cannot read {name}: {error.strerror}") from error
    yield from explainer.flush()
