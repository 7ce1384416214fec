# SPDX-License-Identifier: Apache-2.0
"""sandbox ta push --watch: build and push again and again, whatever goes wrong in between."""

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any, TextIO

from sandbox.commands import ta_steps
from sandbox.commands.context import Context
from sandbox.commands.watched import watched
from sandbox.devkit import tree
from sandbox.devkit.build import Built
from sandbox.devkit.watch import saves
from sandbox.errors import SandboxError
from sandbox.machine.console import clean
from sandbox.machine.machine import Machine

# A longer line of a command's output is shown in pieces.
_LINE_LIMIT = 4096


@dataclass(frozen=True)
class Ran:
    command: str
    status: int
    seconds: float


def watch(args: argparse.Namespace, context: Context) -> int:
    """Until interrupted."""
    cycle = _Cycle(args, context)
    try:
        for saved in saves(tree.real(args.folder)):
            # Editors write another file first, which then takes the place of the one saved.
            names = sorted(path.name for path in saved if path.exists())
            try:
                cycle.run(names)
            except SandboxError as error:
                _report(error, args)
            if not saved:
                context.progress.note(f"watching {args.folder}; Ctrl-C ends")
    except KeyboardInterrupt as interrupt:
        # SIGTERM and SIGHUP are handled where all verbs' are.
        if type(interrupt) is not KeyboardInterrupt:
            raise
    return 0


class _Cycle:
    def __init__(self, args: argparse.Namespace, context: Context) -> None:
        self._args = args
        self._context = context
        self._pushed: object = None

    def run(self, saved: list[str]) -> None:
        args, machine = self._args, self._context.machine()
        if saved and not args.json:
            print(f"{time.strftime('%H:%M:%S')}  {', '.join(saved)}", flush=True)
        built, seconds = ta_steps.take_build(args, self._context)
        state = _state(machine, built)
        if state == self._pushed:
            if not args.json:
                print(f"built in {seconds.build:.2f} s: nothing new to push", flush=True)
            return
        pushed, seconds = ta_steps.take_push(machine, built, seconds)
        self._pushed = state
        if not args.json:
            ta_steps.print_pushed(built, pushed, seconds)
        ran = _run(machine, args) if args.run_command is not None else None
        if args.json:
            described = ta_steps.as_json(built, seconds, pushed)
            described |= {"saved": saved, "run": asdict(ran) if ran is not None else None}
            print(json.dumps(described), flush=True)
        elif ran is not None:
            print(f"exit status {ran.status}, after {ran.seconds:.2f} s", flush=True)


def _state(machine: Machine, built: Built) -> object:
    """What is pushed, and where to: when nothing of it changed, pushing would change nothing."""
    record = machine.folder.read()
    files = [*(t.ta for t in built.tas), *built.programs, *built.libraries.values()]
    return (
        record.started_at if record is not None else None,
        tuple((path, path.stat().st_mtime_ns, path.stat().st_size) for path in files),
    )


def _run(machine: Machine, args: argparse.Namespace) -> Ran:
    out = _CleanLines(sys.stderr if args.json else sys.stdout)
    err = _CleanLines(sys.stderr)
    began = time.monotonic()
    with watched(machine), machine.guest() as guest:
        status = guest.stream(
            ["sh", "-c", args.run_command],
            timeout_s=args.run_timeout,
            stdin=b"",
            stdout=out.write,
            stderr=err.write,
        )
    out.end()
    err.end()
    return Ran(args.run_command, status, round(time.monotonic() - began, 3))


class _CleanLines:
    """Prints what the guest says line by line, without what would steer the terminal."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._rest = b""

    def write(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            print(clean(line), file=self._out, flush=True)
        if len(self._rest) > _LINE_LIMIT:
            self.end()

    def end(self) -> None:
        if self._rest:
            print(clean(self._rest), file=self._out, flush=True)
            self._rest = b""


def _report(error: SandboxError, args: argparse.Namespace) -> None:
    if args.json:
        described: dict[str, Any] = {"name": error.name, "message": error.message}
        print(json.dumps({"error": described | {"hint": error.hint}}), flush=True)
    hints = "".join(f"\n  {hint}" for hint in error.hints)
    print(f"sandbox: {error.message}{hints}", file=sys.stderr, flush=True)
