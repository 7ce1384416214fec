# SPDX-License-Identifier: Apache-2.0
"""The one place that catches errors and exits."""

import argparse
import contextlib
import dataclasses
import errno
import gc
import json
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from sandbox.cli import make_parser
from sandbox.config import Config
from sandbox.errors import HostError, SandboxError
from sandbox.log import progress_for

BUG = 1
# What a disk, its owner or a setting is to blame for. Any other error of the system is our bug.
_HOST_ERRORS = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EIO,
    errno.EMFILE,
    errno.EEXIST,
    errno.ENOTDIR,
    errno.EISDIR,
}


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP: like Ctrl-C, it unwinds through everything that has to be undone."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    del frame
    raise Terminated(number)


def _report(error: SandboxError, args: argparse.Namespace) -> None:
    if args.machine is not None:
        # What we advise to type shall mean the machine that the user named.
        named = f"`sandbox --machine {args.machine} "
        error.hints = tuple(hint.replace("`sandbox ", named) for hint in error.hints)
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
    # Closed first: an interrupted verb may leave threads that still report.
    with contextlib.closing(progress_for(sys.stderr)) as progress:
        status: int = args.run(args, Context(config, progress))
    sys.stdout.flush()
    return status


def _foreseen(error: OSError) -> SandboxError | None:
    if error.errno not in _HOST_ERRORS:
        return None
    what = f"cannot use {error.filename}: " if error.filename else ""
    return HostError(
        f"{what}{error.strerror}",
        (
            "Is the disk full, or does the file or folder belong to somebody else?",
            "XDG_CACHE_HOME and XDG_STATE_HOME say where the sandbox keeps its files.",
        ),
    )


def _show_debugging() -> None:
    # Imported late: few want it.
    import logging

    logging.basicConfig(level=logging.DEBUG, format="%(name)s: %(message)s")


def _show_traceback() -> None:
    import traceback

    traceback.print_exc()


def main(argv: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    args = make_parser([] if words[:1] in (["-h"], ["--help"]) else words).parse_args(words)
    if args.debug:
        _show_debugging()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _terminate)
    try:
        return _run(args)
    except SandboxError as error:
        if args.debug:
            _show_traceback()
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
        foreseen = _foreseen(error) if isinstance(error, OSError) else None
        if foreseen is not None:
            _report(foreseen, args)
            return foreseen.exit_code
        print(
            f"sandbox: a bug: {type(error).__name__}: {error}\n"
            "  Please report it, with what the same command prints with --debug.",
            file=sys.stderr,
        )
        return BUG


def script() -> NoReturn:
    """The console script."""
    status = main()
    # Python would look for garbage among all that was loaded, just before it all goes: that is 5 ms
    # of the 50 that running a command in the guest may take.
    gc.freeze()
    sys.exit(status)


if __name__ == "__main__":
    script()
