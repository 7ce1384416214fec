# SPDX-License-Identifier: Apache-2.0
"""sandbox profile: where the guest spends its time, in both worlds."""

import argparse
import contextlib
import json
import os
import sys
import threading
from collections.abc import Callable, Sequence
from enum import StrEnum, auto
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TextIO

from sandbox import process
from sandbox.commands.context import Context
from sandbox.commands.exec import seconds
from sandbox.debug.profile import exports, flamegraph
from sandbox.debug.profile.record import DEFAULT_RATE_HZ, MAX_RATE_HZ, record
from sandbox.debug.profile.stacks import Kind, Profile
from sandbox.devkit.elf import ta_description
from sandbox.errors import SandboxError, UserError
from sandbox.machine.console import clean
from sandbox.machine.machine import Machine
from sandbox.machine.symbols import Symbols

_DEFAULT_S = 5.0
_TOP = 15

_EPILOG = """\
examples:
  sandbox profile --seconds 3 --out profile.svg
  sandbox profile --out profile.svg -- cml-ca info
  sandbox profile --out profile.svg --host -- sandbox detect photo.jpg
  sandbox profile --format folded --out - | flamegraph.pl > profile.svg

A sample says what a core was doing at a moment of the machine's own time, under emulation: what
takes long here may be cheap in hardware, and the other way round. docs/profiling.md has more."""


class Format(StrEnum):
    SVG = auto()  # a flame graph for a browser
    FOLDED = auto()
    SPEEDSCOPE = auto()

    @classmethod
    def of(cls, path: Path) -> "Format":
        suffixes = {".svg": cls.SVG, ".folded": cls.FOLDED, ".txt": cls.FOLDED}
        suffixes[".json"] = cls.SPEEDSCOPE
        if path.suffix not in suffixes:
            raise UserError(
                f"cannot tell the format of {path} from its name",
                "Call it .svg, .folded or .json, or say --format.",
            )
        return suffixes[path.suffix]


def rate(text: str) -> float:
    value = seconds(text)
    if value > MAX_RATE_HZ:
        raise argparse.ArgumentTypeError(f"at most {MAX_RATE_HZ:.0f}, not {text}")
    return value


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "profile",
        help="sample where the guest spends its time, in both worlds",
        description="Sample all cores from outside: programs, Linux, TF-A, OP-TEE and TAs, by"
        " function. Prints a table; --out also writes a flame graph.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--seconds",
        type=seconds,
        metavar="S",
        help=f"for so long ({_DEFAULT_S:.0f}); with a command: its first S seconds (until it ends)",
    )
    parser.add_argument(
        "--rate",
        type=rate,
        metavar="HZ",
        default=DEFAULT_RATE_HZ,
        help=f"samples of each core a second, on average ({DEFAULT_RATE_HZ:.0f})",
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="write the profile here; - is standard output"
    )
    parser.add_argument(
        "--format",
        type=Format,
        choices=list(Format),
        help="of --out: a flame graph, folded stacks, or JSON for speedscope (by its name)",
    )
    parser.add_argument(
        "--by-core", action="store_true", help="one tower for each core, not for all together"
    )
    parser.add_argument("--idle", action="store_true", help="draw idle time too")
    parser.add_argument("--json", action="store_true", help="print the table as JSON")
    parser.add_argument(
        "--host", action="store_true", help="the command runs on this host, not in the guest"
    )
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- CMD [ARG...]")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, context: Context) -> int:
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    if args.host and not command:
        raise UserError("no command given", "For example: --host -- sandbox detect photo.jpg")
    to_stdout = args.out == Path("-")
    if to_stdout and args.json:
        raise UserError("--json and --out - both want standard output")
    form = args.format
    if args.out is not None and form is None:
        form = Format.FOLDED if to_stdout else Format.of(args.out)
    if args.out is not None and args.out.is_dir():
        raise UserError(f"{args.out} is a folder", "Name the file, too.")
    machine = context.machine()
    limit_s = args.seconds or (None if command else _DEFAULT_S)
    # What the command prints must not end up in ours.
    sink = sys.stderr if args.json or to_stdout else sys.stdout
    with contextlib.ExitStack() as stack:
        task: _Command | None = None
        if command:
            kind = _HostCommand if args.host else _GuestCommand
            task = stack.enter_context(contextlib.closing(kind(context.machine(), command, sink)))

        def going_on(elapsed_s: float) -> bool:
            return (limit_s is None or elapsed_s < limit_s) and (task is None or task.running())

        profile = record(
            machine,
            going_on,
            context.progress,
            rate_hz=args.rate,
            started=task.start if task is not None else lambda: None,
            title=partial(ta_title, machine),
        )
        status = task.finish() if task is not None else 0
    title = f"Machine {machine.name!r}" + (f": {process.quoted(command)}" if command else "")
    with context.progress.printing():
        if form is not None:
            _write(args.out, rendered(profile, form, title, by_core=args.by_core, idle=args.idle))
        if args.json:
            print(json.dumps(summary(profile)))
        elif not to_stdout:
            print(table(profile), end="")
    if form is not None and not to_stdout:
        context.progress.note(f"written: {args.out}")
    return status


def ta_title(machine: Machine, name: str) -> str:
    """What to call a TA: the begin of its UUID, and its own words."""
    path = Symbols(machine.folder.symbols).path(name)
    words = clean((ta_description(path) or "").encode()) if path is not None else ""
    return f"TA {name[:8]} {words}".strip()


class _Command(Protocol):
    """What is profiled."""

    def __init__(self, machine: Machine, argv: Sequence[str], sink: TextIO) -> None: ...

    def start(self) -> None: ...

    def running(self) -> bool: ...

    def finish(self) -> int:
        """Its exit status, once it has one."""

    def close(self) -> None: ...


class _HostCommand:
    def __init__(self, machine: Machine, argv: Sequence[str], sink: TextIO) -> None:
        self._argv = argv
        self._sink = sink
        # So that `sandbox detect` is about the machine that is profiled.
        self._environment = {**os.environ, "SANDBOX_MACHINE": machine.name}
        self._ended = contextlib.ExitStack()
        self._poll: Callable[[], int | None] = lambda: None
        self._wait: Callable[[], int] = lambda: 0

    def start(self) -> None:
        child = process.spawn(self._argv, env=self._environment, stdout=self._sink.fileno())
        self._ended.callback(process.end, child)
        self._poll, self._wait = child.poll, child.wait

    def running(self) -> bool:
        return self._poll() is None

    def finish(self) -> int:
        status = self._wait()
        self._ended.pop_all()
        return status if status >= 0 else 128 - status

    def close(self) -> None:
        self._ended.close()


class _GuestCommand:
    def __init__(self, machine: Machine, argv: Sequence[str], sink: TextIO) -> None:
        self._machine = machine
        self._argv = argv
        self._sink = sink
        self._status = 0
        self._error: SandboxError | None = None
        # Its connection ends with us, and the command with that.
        self._thread = threading.Thread(target=self._work, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def running(self) -> bool:
        return self._thread.is_alive()

    def finish(self) -> int:
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._status

    def close(self) -> None:
        pass

    def _work(self) -> None:
        try:
            with self._machine.guest() as guest:
                self._status = guest.stream(
                    self._argv,
                    timeout_s=None,
                    stdin=b"",
                    stdout=lambda data: self._print(self._sink, data),
                    stderr=lambda data: self._print(sys.stderr, data),
                )
        except SandboxError as error:
            self._error = error

    @staticmethod
    def _print(sink: TextIO, data: bytes) -> None:
        sink.buffer.write(data)
        sink.buffer.flush()


def rendered(profile: Profile, form: Format, title: str, *, by_core: bool, idle: bool) -> str:
    match form:
        case Format.SVG:
            return flamegraph.svg(profile, title, by_core=by_core, idle=idle)
        case Format.FOLDED:
            return exports.folded(profile, by_core=by_core)
        case Format.SPEEDSCOPE:
            return exports.speedscope(profile, title)


def _write(path: Path, text: str) -> None:
    if path == Path("-"):
        print(text, end="")
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error


def _percent(count: int, whole: int) -> float:
    return round(100 * count / whole, 2) if whole else 0.0


def summary(profile: Profile) -> dict[str, Any]:
    """The table, for scripts. Percentages of places are of all time, the others of busy time."""
    cores = range(profile.cores)
    by_core = [profile.places(core) for core in cores]
    busy = profile.busy
    return {
        "seconds": round(profile.running_s, 3),
        "stopped_seconds": round(profile.stopped_s, 3),
        "cores": profile.cores,
        "stops": profile.stops,
        "samples": len(profile.stacks),
        "busy_samples": busy,
        "places": {
            place.name.lower(): {
                "percent": _percent(count, len(profile.stacks)),
                "by_core": [_percent(by_core[core][place], profile.stops) for core in cores],
            }
            for place, count in profile.places().items()
        },
        "owners": [
            {"name": frame.name, "percent": _percent(count, busy)}
            for frame, count in profile.owners()
        ],
        "functions": [
            {
                "name": function.frame.name,
                "place": function.frame.kind.name.lower(),
                "owner": function.owner,
                "self_percent": _percent(function.self_count, busy),
                "total_percent": _percent(function.total_count, busy),
            }
            for function in profile.functions()
        ],
    }


def table(profile: Profile) -> str:
    """What a person reads."""
    cores, busy = range(profile.cores), profile.busy
    by_core = [profile.places(core) for core in cores]
    still = f"to be sampled, the machine stood still for {profile.stopped_s:.1f} s more"
    lines = [flamegraph.subtitle(profile), still, "", "time of the cores"]
    lines[-1] = f"{lines[-1]:<34}{'all':>9}" + "".join(f"{f'core {c}':>9}" for c in cores)
    for place, count in profile.places().items():
        shares = [(count, len(profile.stacks))]
        shares += [(by_core[core][place], profile.stops) for core in cores]
        lines.append(f"  {place:<32}" + "".join(f"{_percent(*s):>7.1f} %" for s in shares))
    lines += ["", "who was busy"]
    for frame, count in profile.owners()[:_TOP]:
        lines.append(f"  {_percent(count, busy):5.1f} %  {frame.name}")
    lines += ["", "  self    total  function, and for whom"]
    for function in profile.functions()[:_TOP]:
        if function.self_count:
            own, total = function.self_count, function.total_count
            where = "" if function.frame.kind is not Kind.CORE else " in OP-TEE"
            lines.append(
                f"{_percent(own, busy):6.1f} % {_percent(total, busy):6.1f} %  "
                f"{function.frame.name}  ({function.owner}{where})"
            )
    return "\n".join(lines) + "\n"
