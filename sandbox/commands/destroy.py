# SPDX-License-Identifier: Apache-2.0
"""sandbox destroy: end the machine, and all that it was: device key, counter, secure storage."""

import argparse
import json
import sys

from sandbox.commands import endorsing
from sandbox.commands.context import Context
from sandbox.errors import UserError


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "destroy",
        help="end the machine and remove its keys and secure storage",
        description="End the machine and remove its folder: the emulated device's hardware unique"
        " key and counter, what OP-TEE stored, SSH keys, logs and test results. What the old device"
        " sealed opens nowhere any more; the next `up` makes a new device, and the old one's"
        " endorsement is revoked. Harmless if there is none.",
        epilog="Example: sandbox --machine try destroy --yes",
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, context: Context) -> int:
    machine = context.machine()
    there = machine.folder.path.is_dir()
    if there and not args.yes:
        _confirm(machine.name)
    with context.progress.step("destroy the machine"), endorsing.retired(machine):
        destroyed = machine.destroy()
    if args.json:
        print(json.dumps({"machine": machine.name, "state": "down", "destroyed": destroyed}))
    else:
        print(f"machine {machine.name!r} {'is destroyed' if destroyed else 'was not there'}")
    return 0


def _confirm(name: str) -> None:
    question = f"Destroy machine {name!r}, its keys and its secure storage for good?"
    if not sys.stdin.isatty():
        raise UserError(f"{question} Nobody is there to ask", "`sandbox destroy --yes` does not.")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UserError(f"machine {name!r} was kept", "Only `y` or `yes` is a yes.")
