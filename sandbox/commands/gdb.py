# SPDX-License-Identifier: Apache-2.0
"""sandbox gdb: a debugger on a TA, on OP-TEE's core, or on Linux."""

import argparse
from dataclasses import dataclass
from pathlib import Path

from sandbox import process
from sandbox.commands.context import Context
from sandbox.commands.exec import seconds
from sandbox.debug import gdb
from sandbox.debug.gdb import launch, vscode
from sandbox.errors import UserError

_EXAMPLES = """\
examples:
  sandbox gdb ta inference            then: break TA_InvokeCommandEntryPoint, continue
  sandbox gdb core -ex 'break tee_ta_open_session'
  sandbox gdb kernel --symbols vmlinux
  sandbox gdb ta inference --timeout 60 --batch -ex 'break cmd_info' -ex continue -ex backtrace
  sandbox gdb ta inference --vscode ~/my-ta

The whole machine stands still while gdb shows its prompt, and runs on when gdb has ended."""


@dataclass(frozen=True)
class Request:
    """What was asked for, apart from what is gdb's."""

    name: str
    arguments: tuple[str, ...]
    timeout_s: float | None
    symbols: Path | None
    vscode: Path | None


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "gdb",
        help="debug a TA, OP-TEE or Linux by source line",
        description="Run gdb on the machine, with the symbols of a TA (loaded already or later), of"
        " OP-TEE's core or of Linux at the addresses where they really are. What follows the target"
        " is for gdb; its exit status is ours.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="sandbox gdb [OPTION...] {ta NAME | core | kernel} [OPTION...] [GDB-OPTION...]",
    )
    _add_options(parser)
    parser.add_argument(
        "target",
        type=gdb.Kind,
        choices=list(gdb.Kind),
        help="which; NAME of a TA is its UUID, the beginning of that, or its folder's name",
    )
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    parser.set_defaults(run=run)


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--timeout", type=seconds, metavar="S", help="end gdb after so many seconds (never)"
    )
    parser.add_argument(
        "--symbols", type=Path, metavar="ELF", help="take symbols from this unstripped file"
    )
    parser.add_argument(
        "--vscode",
        nargs="?",
        type=Path,
        const=Path(),
        metavar="DIR",
        help="start nothing; write a launch configuration for VS Code into DIR/.vscode (here)",
    )


def request(args: argparse.Namespace) -> Request:
    """Our own options may also stand behind the target, where fingers put them."""
    rest: list[str] = args.rest
    name = ""
    if args.target is gdb.Kind.TA:
        if not rest or rest[0].startswith("-"):
            raise UserError("which TA?", "For example: sandbox gdb ta inference")
        name, rest = rest[0], rest[1:]
    end = rest.index("--") if "--" in rest else len(rest)
    options = argparse.ArgumentParser(prog="sandbox gdb", add_help=False, allow_abbrev=False)
    _add_options(options)
    ours, gdbs = options.parse_known_args(rest[:end], argparse.Namespace(**vars(args)))
    return Request(name, (*gdbs, *rest[end + 1 :]), ours.timeout, ours.symbols, ours.vscode)


def run(args: argparse.Namespace, context: Context) -> int:
    machine = context.machine()
    wanted = request(args)
    target = gdb.find(machine, args.target, wanted.name, wanted.symbols)
    if wanted.vscode is not None:
        written = vscode.write(wanted.vscode, machine.name, target, wanted.symbols)
        print(f"{written.file}: {written.name!r} is in VS Code's list of debug configurations")
        return 0
    with launch.prepared(machine, target, wanted.arguments) as command:
        status = process.foreground(
            command.argv,
            env=command.environment,
            pass_fds=command.handles,
            timeout_s=wanted.timeout_s,
        )
    if status is None:
        raise gdb.GdbTimeout(
            f"gdb was not done after {wanted.timeout_s:g} s, and was ended",
            "Was the breakpoint reached? `sandbox logs` shows what the machine did.",
        )
    return status if status >= 0 else 128 - status
