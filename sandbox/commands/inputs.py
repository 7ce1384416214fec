# SPDX-License-Identifier: Apache-2.0
"""sandbox inputs: what is fetched from the Debian archive, and which version of it."""

import argparse
import json

from sandbox.build import sources
from sandbox.commands.context import Context


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "inputs",
        help="list or update the inputs that the lock file pins",
        description="Everything that is fetched is pinned, by version and digest, in the lock file"
        " optee-build/inputs.toml.",
        epilog="Example: sandbox inputs update linux",
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    listing = verbs.add_parser("list", help="print the inputs and their versions")
    listing.add_argument("--json", action="store_true", help="print one JSON object")
    listing.set_defaults(run=list_inputs)
    update = verbs.add_parser(
        "update",
        help="pin the versions that the archive has now",
        description="Pin the versions that the archive has now; `git diff` shows what changed.",
    )
    update.add_argument("names", nargs="*", metavar="NAME", help="only these inputs (all)")
    update.add_argument("--json", action="store_true", help="print one JSON object")
    update.set_defaults(run=update_inputs)


def list_inputs(args: argparse.Namespace, context: Context) -> int:
    del context
    entries = sources.locked().inputs
    if args.json:
        print(json.dumps({entry.name: entry.version for entry in entries}))
        return 0
    width = max(len(entry.name) for entry in entries)
    for entry in entries:
        print(f"{entry.name:<{width}}  {entry.version}")
    return 0


def update_inputs(args: argparse.Namespace, context: Context) -> int:
    changed = sources.update_lock(args.names, context.progress)
    if args.json:
        print(json.dumps({entry.name: entry.version for entry in changed}))
    elif not changed:
        print("nothing changed: the archive has what is pinned")
    else:
        print(f"{len(changed)} inputs changed; `make test` tells whether they work together")
    return 0
