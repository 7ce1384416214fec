# SPDX-License-Identifier: Apache-2.0
"""sandbox completion: a completion script, made from the same parser as the help."""

import argparse

from sandbox.commands.context import Context

SHELLS = ("bash", "zsh", "fish")


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "completion",
        help="print a completion script for a shell",
        description="Print a script that completes verbs and options of `sandbox`.",
        epilog="Example, for bash: source <(sandbox completion bash)",
    )
    parser.add_argument("shell", choices=SHELLS)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, context: Context) -> int:
    del context
    import shtab

    from sandbox.cli import make_parser

    print(shtab.complete(make_parser(), shell=args.shell))
    return 0
