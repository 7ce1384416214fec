# SPDX-License-Identifier: Apache-2.0
"""sandbox down: end the machine and remove what it leaves."""

import argparse
import json

from sandbox.commands.context import Context


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "down",
        help="end the machine",
        description="End the machine and everything that belongs to it: its process, its port, its"
        " sockets, its share. The device that it is stays (its keys, its counter, its secure"
        " storage) until `sandbox destroy`, and so do SSH keys and the consoles of its last boots,"
        " for `sandbox logs`. Harmless if it is down already.",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, context: Context) -> int:
    machine = context.machine()
    with context.progress.step("end the machine"):
        ended = machine.down()
    if args.json:
        print(json.dumps({"machine": machine.name, "state": "down", "ended": ended}))
    else:
        print(f"machine {machine.name!r} {'is down' if ended else 'was down already'}")
    return 0
