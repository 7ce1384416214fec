# SPDX-License-Identifier: Apache-2.0
"""The one place that catches errors and exits."""

import argparse
import dataclasses
import json
import logging
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from sandbox.cli import make_parser
from sandbox.config import Config
from sandbox.errors import SandboxError
from sandbox.log import progress_for

BUG = 1


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP: like Ctrl-C, it unwinds through everything that has to be undone."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    del frame
    raise Terminated(number)


def _report(error: SandboxError, args: argparse.Namespace) -> None:
    if getattr(args, "json", False):
        described = {"name": error.name, "message": error.message, "hint": error.hint}
        print(json.dumps({"error": described}))
    print(f"sandbox: {error.message}", file=sys.stderr)
    if len(error.hints) == 1:
        print(f"  {error.hints[0]}", file=sys.stderr)
    elif error.hints:
        print("Things to try:", file=sys.stderr)
        for hint in error.hints:
            print(f"  - {hint}", file=sys.stderr)


def _run(args: argparse.Namespace) -> int:
    from sandbox.commands.context import Context

    config = Config.from_environment()
    if args.machine is not None:
        config = dataclasses.replace(config, machine=args.machine)
    status: int = args.run(args, Context(config, progress_for(sys.stderr)))
    sys.stdout.flush()
    return status


def main(argv: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    args = make_parser([] if words[:1] in (["-h"], ["--help"]) else words).parse_args(words)
    if args.debug:
        logging.basicConfig(level=logging.DEBUG, format="%(name)s: %(message)s")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _terminate)
    try:
        return _run(args)
    except SandboxError as error:
        if args.debug:
            logging.exception("traceback of the error below")
        _report(error, args)
        return error.exit_code
    except Terminated as signalled:
        return 128 + signalled.number
    except KeyboardInterrupt:
        print("sandbox: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # Whoever read our output has seen enough. Python would complain again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except Exception as error:
        if args.debug:
            raise
        print(
            f"sandbox: a bug: {type(error).__name__}: {error}\n"
            "  Please report it, with what the same command prints with --debug.",
            file=sys.stderr,
        )
        return BUG


if __name__ == "__main__":
    sys.exit(main())
