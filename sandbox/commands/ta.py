# SPDX-License-Identifier: Apache-2.0
"""sandbox ta: build, push, run and start trusted applications of one's own."""

import argparse
import json
import re
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sandbox.commands import exec as exec_command
from sandbox.commands.context import Context
from sandbox.devkit import build, guest_tas, push
from sandbox.devkit.elf import TaFlag
from sandbox.devkit.tools import CompileError
from sandbox.errors import UserError
from sandbox.machine.console import clean

_VARIABLE = re.compile(r"[A-Za-z_][\w-]*=.*", re.ASCII | re.DOTALL)


@dataclass(frozen=True)
class Seconds:
    """How long each part took; 0 for one that was not done."""

    build: float = 0.0
    push: float = 0.0


def variable(text: str) -> tuple[str, str]:
    if not _VARIABLE.fullmatch(text):
        raise argparse.ArgumentTypeError(f"NAME=VALUE, not {text!r}")
    name, _, value = text.partition("=")
    return name, value


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "ta",
        help="build TAs of your own and push them into the machine",
        description="Trusted applications of anybody's: in the layout of OP-TEE's examples, with"
        " the makefiles they come with. docs/trusted-applications.md has more.",
        epilog="Example: sandbox ta push optee_examples/hello_world",
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB", title="verbs")

    building = verbs.add_parser(
        "build",
        help="build TAs and client applications",
        description="Build every TA and client application below a folder, with its own makefiles,"
        " OP-TEE's TA dev kit and a cross compiler. Nothing is written into the folder.",
        epilog="Example: sandbox ta build optee_examples --set CFG_TEE_TA_LOG_LEVEL=4",
    )
    _add_build_options(building)
    building.set_defaults(run=run_build)

    pushing = verbs.add_parser(
        "push",
        help="build, and put into the running machine",
        description="Build, and replace the TAs and client applications in the running machine:"
        " the next session uses the new code. They are gone when the machine is down.",
        epilog="Example: sandbox ta push hello_world",
    )
    _add_build_options(pushing)
    pushing.set_defaults(run=run_push)

    running = verbs.add_parser(
        "run",
        help="build, push, and run the client application",
        description="Build, push, and run the client application in the guest, as `sandbox exec`"
        " would: its input, output and exit status are passed on.",
        epilog="Example: sandbox ta run aes -- --verbose",
    )
    _add_build_options(running, as_json=False)
    running.add_argument("--program", metavar="NAME", help="which one, if there are several")
    running.add_argument("arguments", nargs="*", metavar="-- ARG", help="passed to the program")
    running.set_defaults(run=run_run)

    listing = verbs.add_parser(
        "list",
        help="which TAs the machine has",
        description="Print the TAs in the guest's folder: from the image, or pushed since.",
        epilog="Example: sandbox ta list --json",
    )
    listing.add_argument("--json", action="store_true", help="print one JSON object")
    listing.set_defaults(run=run_list)


def _add_build_options(parser: argparse.ArgumentParser, *, as_json: bool = True) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="a project, a `ta` folder or more")
    parser.add_argument(
        "--set",
        dest="variables",
        type=variable,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a variable for make and cmake, before those of the makefiles",
    )
    parser.add_argument(
        "-O0",
        dest="optimize",
        action="store_false",
        help="do not optimise, for a debugger (needs more stack)",
    )
    if as_json:
        parser.add_argument("--json", action="store_true", help="print one JSON object")


def _build(args: argparse.Namespace, context: Context) -> tuple[build.Built, float]:
    began = time.monotonic()
    settings = build.Settings(
        optimize=args.optimize,
        variables=tuple(args.variables),
        colour=sys.stderr.isatty(),
    )
    try:
        built = build.build(args.folder, context.progress, settings)
    except CompileError as error:
        _show(error.output, context)
        raise
    _show(built.output, context)
    return built, round(time.monotonic() - began, 3)


def _show(said: str, context: Context) -> None:
    """What the compilers said, as they said it."""
    with context.progress.printing():
        print(said, end="", file=sys.stderr, flush=True)


def run_build(args: argparse.Namespace, context: Context) -> int:
    built, seconds = _build(args, context)
    if args.json:
        print(json.dumps(_as_json(built, Seconds(build=seconds))))
        return 0
    for ta in built.tas:
        print(f"TA       {ta.uuid}  {ta.name}\n         {ta.ta}")
    for program in built.programs:
        print(f"program  {program.name}\n         {program}")
    return 0


def run_push(args: argparse.Namespace, context: Context) -> int:
    built, build_s = _build(args, context)
    began = time.monotonic()
    pushed = push.push(context.machine(), built)
    seconds = Seconds(build_s, round(time.monotonic() - began, 3))
    if args.json:
        print(json.dumps(_as_json(built, seconds) | _pushed_as_json(pushed)))
        return 0
    names = {f"{ta.uuid}.ta": f"  {ta.name}" for ta in built.tas}
    for file in pushed.files:
        print(f"{file.size_bytes / 1024:6.0f} KiB  {file.path}{names.get(file.path.name, '')}")
    for remark in pushed.remarks:
        print(f"note: {remark}")
    print(f"built in {seconds.build:.2f} s, pushed in {seconds.push:.2f} s")
    return 0


def run_run(args: argparse.Namespace, context: Context) -> int:
    built, _ = _build(args, context)
    names = [program.name for program in built.programs]
    wanted = args.program or (names[0] if len(names) == 1 else None)
    if wanted not in names:
        raise UserError(
            f"no program {wanted} here" if wanted else f"{len(names)} programs to choose from",
            f"--program NAME, out of: {', '.join(names)}" if names else "There is only a TA.",
        )
    for remark in push.push(context.machine(), built).remarks:
        context.progress.note(f"note: {remark}")
    command = [wanted, *args.arguments]
    return exec_command.run(argparse.Namespace(command=command, timeout=None), context)


def run_list(args: argparse.Namespace, context: Context) -> int:
    found = guest_tas.tas(context.machine())
    if args.json:
        print(json.dumps({"tas": [asdict(ta) for ta in found]}, default=str))
        return 0
    for ta in found:
        name = clean((ta.description or "").encode())
        print(f"{ta.uuid}  {ta.size_bytes / 1024:6.0f} KiB  {ta.origin:<6}  {name}".rstrip())
    return 0


def _as_json(built: build.Built, seconds: Seconds) -> dict[str, Any]:
    return {
        "folder": str(built.folder),
        "tas": [
            {
                "uuid": str(ta.uuid),
                "name": ta.name,
                "description": ta.description,
                "version": ta.version,
                "flags": None if ta.flags is None else [_flag_name(flag) for flag in ta.flags],
                "ta": str(ta.ta),
                "elf": str(ta.elf),
            }
            for ta in built.tas
        ],
        "programs": [str(program) for program in built.programs],
        "libraries": {name: str(path) for name, path in built.libraries.items()},
        "seconds": asdict(seconds),
    }


def _flag_name(flag: TaFlag) -> str:
    return (flag.name or "").lower()


def _pushed_as_json(pushed: push.Pushed) -> dict[str, Any]:
    return {
        "files": [{"path": str(f.path), "size_bytes": f.size_bytes} for f in pushed.files],
        "remarks": list(pushed.remarks),
    }
