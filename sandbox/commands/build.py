# SPDX-License-Identifier: Apache-2.0
"""sandbox build: what `up` would fetch and build, without booting it."""

import argparse
import dataclasses
import json

from sandbox.build import images
from sandbox.commands.context import Context
from sandbox.commands.up import core_count
from sandbox.machine import qemu_v8


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "build",
        help="fetch and build everything, boot nothing",
        description="Fetch and build what is not in the cache: OP-TEE OS, TF-A, the trusted"
        " application, the client application, the guest. Prints where the results are.",
    )
    parser.add_argument("--cores", type=core_count, metavar="N", help="as for `up`")
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object, with what went in"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, context: Context) -> int:
    prepared = images.prepare(args.cores or qemu_v8.default_cores(), context.progress)
    described = dataclasses.asdict(prepared)
    if args.json:
        print(json.dumps(described, default=str))
    else:
        for name, value in described.items():
            if name != "manifest":
                print(f"{name:<12}{value}")
    return 0
