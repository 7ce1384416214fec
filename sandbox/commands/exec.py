# SPDX-License-Identifier: Apache-2.0
"""sandbox exec: run a command in the guest's normal world."""

import argparse
import os
import sys

from sandbox.commands.context import Context
from sandbox.commands.watched import add_allow, watched
from sandbox.errors import UserError

_STDIN = 0


def seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"a number of seconds, not {text!r}")
    return value


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "exec",
        help="run a command in the guest",
        description="Run a command in the normal world, as root. Its arguments arrive as"
        " they are given; input and output are passed on byte by byte; its exit status is ours."
        " Failures of the sandbox itself are told apart by a message on standard error. If a"
        " console shows trouble meanwhile, such as a panic of a TA, that is explained and the exit"
        " status is 4, whatever the command's was.",
        epilog="Examples: sandbox exec -- uname -a; sandbox exec -- sh -c 'dmesg | tail'",
    )
    parser.add_argument(
        "--timeout", type=seconds, metavar="S", help="give up after so many seconds (never)"
    )
    add_allow(parser)
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- CMD [ARG...]")
    parser.set_defaults(run=run)


def _input() -> bytes | int:
    # A person at a terminal has `sandbox console`.
    return b"" if sys.stdin is None or os.isatty(_STDIN) else _STDIN


def run(args: argparse.Namespace, context: Context) -> int:
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not command:
        raise UserError("no command given", "For example: sandbox exec -- uname -a")

    def out(data: bytes) -> None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    def err(data: bytes) -> None:
        sys.stderr.buffer.write(data)
        sys.stderr.buffer.flush()

    machine = context.machine()
    with watched(machine, args.allow), machine.guest() as guest:
        return guest.stream(command, timeout_s=args.timeout, stdin=_input(), stdout=out, stderr=err)
