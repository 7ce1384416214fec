# SPDX-License-Identifier: Apache-2.0
"""sandbox ta: build, push, run and start trusted applications of one's own."""

import argparse
import json
import re
from dataclasses import asdict
from pathlib import Path

from sandbox.commands import exec as exec_command
from sandbox.commands import ta_steps
from sandbox.commands.context import Context
from sandbox.commands.exec import seconds
from sandbox.commands.watched import add_allow
from sandbox.devkit import guest_tas, project
from sandbox.errors import UserError
from sandbox.machine.console import clean

_VARIABLE = re.compile(r"[A-Za-z_][\w-]*=.*", re.ASCII | re.DOTALL)


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
        epilog="Examples: sandbox ta push hello_world;"
        " sandbox ta push hello_world --watch --run optee_example_hello_world",
    )
    _add_build_options(pushing)
    pushing.add_argument(
        "--watch", action="store_true", help="again whenever a file is saved, until interrupted"
    )
    pushing.add_argument(
        "--run",
        dest="run_command",
        metavar="CMD",
        help="with --watch: after each push, run this in the guest's shell",
    )
    pushing.add_argument(
        "--run-timeout",
        type=seconds,
        default=60.0,
        metavar="S",
        help="how long CMD may take (60)",
    )
    pushing.set_defaults(run=run_push)

    running = verbs.add_parser(
        "run",
        help="build, push, and run the client application",
        description="Build, push, and run the client application in the guest, as `sandbox exec`"
        " would: its input, output and exit status are passed on. The exit status is 4 if a TA"
        " panics meanwhile.",
        epilog="Example: sandbox ta run aes -- --verbose",
    )
    _add_build_options(running, as_json=False)
    running.add_argument("--program", metavar="NAME", help="which one, if there are several")
    add_allow(running)
    running.add_argument("arguments", nargs="*", metavar="-- ARG", help="passed to the program")
    running.set_defaults(run=run_run)

    writing = verbs.add_parser(
        "new",
        help="write a new project",
        description="Write a project with a TA, a client application and a test, in a new folder.",
        epilog="Example: sandbox ta new counter && sandbox ta run counter",
    )
    writing.add_argument("name", metavar="NAME", help="of a-z 0-9 _; also the folder's")
    writing.add_argument("--cpp", action="store_true", help="in C++")
    writing.add_argument(
        "--into", type=Path, default=Path(), metavar="DIR", help="where the folder goes (here)"
    )
    writing.set_defaults(run=run_new)

    listing = verbs.add_parser(
        "list",
        help="which TAs the machine has",
        description="Print the TAs in the guest's folder: from the image, or pushed since.",
        epilog="Example: sandbox ta list --json",
    )
    listing.add_argument("--json", action="store_true", help="print one JSON object")
    listing.set_defaults(run=run_list)


def _add_build_options(parser: argparse.ArgumentParser, *, as_json: bool = True) -> None:
    parser.add_argument(
        "folder", type=Path, metavar="DIR", help="a project, a `ta` folder, or many"
    )
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


def run_build(args: argparse.Namespace, context: Context) -> int:
    built, seconds = ta_steps.take_build(args, context)
    if args.json:
        print(json.dumps(ta_steps.as_json(built, seconds)))
        return 0
    for ta in built.tas:
        print(f"TA       {ta.uuid}  {ta.name}\n         {ta.ta}")
    for program in built.programs:
        print(f"program  {program.name}\n         {program}")
    return 0


def run_push(args: argparse.Namespace, context: Context) -> int:
    if args.watch:
        # Stands on a library that the other verbs can do without.
        from sandbox.commands.ta_watch import watch

        return watch(args, context)
    if args.run_command is not None:
        raise UserError("--run goes with --watch", "`sandbox ta run DIR` runs a project's program.")
    built, seconds = ta_steps.take_build(args, context)
    pushed, seconds = ta_steps.take_push(context.machine(), built, seconds)
    if args.json:
        print(json.dumps(ta_steps.as_json(built, seconds, pushed)))
    else:
        ta_steps.print_pushed(built, pushed, seconds)
    return 0


def run_run(args: argparse.Namespace, context: Context) -> int:
    built, seconds = ta_steps.take_build(args, context)
    names = [program.name for program in built.programs]
    wanted = args.program or (names[0] if len(names) == 1 else None)
    if wanted not in names:
        raise UserError(
            f"no program {wanted} here" if wanted else f"{len(names)} programs to choose from",
            f"--program NAME, out of: {', '.join(names)}" if names else "There is only a TA.",
        )
    pushed, _ = ta_steps.take_push(context.machine(), built, seconds)
    for remark in pushed.remarks:
        context.progress.note(f"note: {remark}")
    # As `sandbox exec` with these words, whatever its other options are.
    parser = argparse.ArgumentParser()
    exec_command.add_parser(parser.add_subparsers())
    asked = parser.parse_args(["exec", "--", wanted, *args.arguments])
    asked.allow = args.allow
    return exec_command.run(asked, context)


def run_list(args: argparse.Namespace, context: Context) -> int:
    found = guest_tas.tas(context.machine())
    if args.json:
        print(json.dumps({"tas": [asdict(ta) for ta in found]}, default=str))
        return 0
    for ta in found:
        name = clean((ta.description or "").encode())
        print(f"{ta.uuid}  {ta.size_bytes / 1024:6.0f} KiB  {ta.origin:<6}  {name}".rstrip())
    return 0


def run_new(args: argparse.Namespace, context: Context) -> int:
    del context
    language = project.Language.CPP if args.cpp else project.Language.C
    written = project.new(args.name, args.into, language)
    for path in written.files:
        print(path)
    print(f"UUID {written.uuid}; `sandbox ta run {written.folder}` builds, pushes and runs it")
    return 0
