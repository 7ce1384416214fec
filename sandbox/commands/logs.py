# SPDX-License-Identifier: Apache-2.0
"""sandbox logs: what both worlds print on their consoles."""

import argparse
import contextlib
import json
import time
from collections import deque
from collections.abc import Iterable

from sandbox.commands.context import Context
from sandbox.errors import UserError
from sandbox.machine.console import Follower, Line
from sandbox.machine.folder import World

_POLL_S = 0.1


def line_count(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"a number, not {text!r}")
    return int(text)


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "logs",
        help="print the consoles of both worlds",
        description="Print what both worlds said on their consoles since the machine was started,"
        " or in its last boot if it is down. OP-TEE prints no times, so the two are printed one"
        " after the other, and with --follow in the order in which lines arrive.",
        epilog="Example: sandbox logs --world secure --follow",
    )
    parser.add_argument("--world", type=World, choices=list(World), help="only one of them")
    parser.add_argument("--follow", action="store_true", help="go on until interrupted")
    parser.add_argument(
        "--lines", type=line_count, metavar="N", help="only the last N lines of each console"
    )
    parser.add_argument(
        "--json", action="store_true", help='one {"world", "text"} object for each line'
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, context: Context) -> int:
    machine = context.machine()
    worlds = [args.world] if args.world else list(World)
    logs = [(world, machine.folder.log(world)) for world in worlds]
    if not args.follow and not any(path.exists() for _, path in logs):
        raise UserError(
            f"machine {machine.name!r} has no consoles: it was never started",
            "`sandbox up` starts it.",
        )
    with contextlib.ExitStack() as opened:
        followers = [
            opened.enter_context(contextlib.closing(Follower(world, path))) for world, path in logs
        ]
        for follower in followers:
            recorded = [*follower.read(), *([] if args.follow else follower.rest())]
            # deque(maxlen=None) keeps all.
            _print(deque(recorded, maxlen=args.lines), args.json, prefix=len(worlds) > 1)
        while args.follow:
            for follower in followers:
                _print(follower.read(), args.json, prefix=len(worlds) > 1)
            time.sleep(_POLL_S)
    return 0


def _print(lines: Iterable[Line], as_json: bool, *, prefix: bool) -> None:
    for line in lines:
        if as_json:
            print(json.dumps({"world": str(line.world), "text": line.text}), flush=True)
        else:
            print(f"{line.world:<6} | {line.text}" if prefix else line.text, flush=True)
