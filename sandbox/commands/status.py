# SPDX-License-Identifier: Apache-2.0
"""sandbox status: what runs, how it was started, where its things are."""

import argparse
import json

from sandbox.commands import report
from sandbox.commands.context import Context


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "status",
        help="tell whether the machine is up, and how it was started",
        description="Tell whether the machine is up, and how it was started. What a machine left"
        " that died is cleaned up on the way. Exits with 0 whatever the state is.",
        epilog="Example: sandbox status --json | jq -r .state",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, context: Context) -> int:
    machine = context.machine()
    status = machine.status()
    if args.json:
        print(json.dumps(report.as_json(machine, status)))
        return 0
    print(report.as_text(machine, status))
    if status.record is not None and status.record.stages:
        print("the start took")
        print(report.stage_table(status.record.stages))
    return 0
