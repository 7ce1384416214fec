# SPDX-License-Identifier: Apache-2.0
"""sandbox logs: what both worlds say, in one stream."""

import argparse
import datetime
import json
import os
import re
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator

from sandbox.commands.context import Context
from sandbox.errors import UserError
from sandbox.logs import format as formatted
from sandbox.logs import reader, replay
from sandbox.logs.explain import explained
from sandbox.logs.filters import Filter, pattern
from sandbox.logs.records import Level, Record, Source
from sandbox.machine import runs
from sandbox.machine.folder import World
from sandbox.machine.machine import Machine
from sandbox.machine.runs import Recording

_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0}
_SINCE = re.compile(r"(?P<ago>\d+(?:\.\d+)?)(?P<unit>[smh])|@(?P<at>\d+(?:\.\d+)?)", re.ASCII)

_EPILOG = """\
examples:
  sandbox logs --follow                    both worlds, as they speak
  sandbox logs --world secure --level warning
  sandbox logs --ta 2f6a3c5e --since 30s   what one TA said in the last 30 seconds
  sandbox logs --run -1 --grep 'panic'     in the run before this one
  sandbox logs --run -1 --replay --speed 2
  sandbox logs --tui                       panes, search, filters; ? is help
  sandbox logs --json | jq -r 'select(.source == "optee") | .text'

docs/logs.md says where the times come from and what the order is worth."""


def line_count(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"a number, not {text!r}")
    return int(text)


def regex(text: str) -> re.Pattern[str]:
    try:
        return pattern(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"no regular expression: {error}") from error


def uuid_start(text: str) -> str:
    lower = text.lower()
    if not re.fullmatch(r"[0-9a-f-]{4,36}", lower):
        raise argparse.ArgumentTypeError(f"the UUID of a TA or its beginning, not {text!r}")
    return lower


def since(text: str) -> str:
    if not _SINCE.fullmatch(text):
        raise argparse.ArgumentTypeError(f"30s, 5m, 2h, or @12.5; not {text!r}")
    return text


def speed(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.01 <= value <= 1e6:
        raise argparse.ArgumentTypeError(f"a factor such as 0.5 or 10, not {text!r}")
    return value


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "logs",
        help="print what both worlds say, in one stream",
        description="Print what both worlds said on their consoles since the machine was started,"
        " or in its last run if it is down, in the order in which it was said: firmware, kernel,"
        " daemons, OP-TEE and the trusted applications. Before each line: seconds since the"
        " machine's start, the world, and who said it.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    which = parser.add_argument_group("which lines")
    which.add_argument(
        "--world", type=World, choices=list(World), action="append", help="only of this world"
    )
    which.add_argument(
        "--source",
        type=Source,
        choices=list(Source),
        action="append",
        metavar="NAME",
        help=f"only from {', '.join(Source)}; may be given more than once",
    )
    which.add_argument(
        "--level",
        type=Level,
        choices=list(Level),
        metavar="LEVEL",
        help=f"only {', '.join(Level)}: this one and worse. Lines of no known level, as most of"
        " the kernel's are, do not appear then",
    )
    which.add_argument(
        "--ta", type=uuid_start, metavar="UUID", help="only of this TA; its first digits will do"
    )
    which.add_argument("--grep", type=regex, metavar="REGEX", help="only where this is found")
    which.add_argument(
        "--since",
        type=since,
        metavar="TIME",
        help="only of the last 30s, 5m or 2h, or from @12.5 on, in seconds since the start",
    )
    which.add_argument("--lines", type=line_count, metavar="N", help="of those, only the last N")
    run_group = parser.add_argument_group("which run")
    run_group.add_argument(
        "--run",
        dest="recorded",
        metavar="ID",
        help="an earlier run: -1 is the one before this, or a name from --list-runs",
    )
    run_group.add_argument("--list-runs", action="store_true", help="name the runs that are kept")
    how = parser.add_argument_group("how")
    mode = how.add_mutually_exclusive_group()
    mode.add_argument("--follow", action="store_true", help="go on until interrupted")
    how.add_argument(
        "--tui", action="store_true", help="a terminal program, with panes and search: ? is help"
    )
    mode.add_argument("--replay", action="store_true", help="print at the speed of the run")
    how.add_argument("--speed", type=speed, default=1.0, metavar="X", help="replay X times as fast")
    how.add_argument("--absolute", action="store_true", help="the time of day, not since the start")
    form = how.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object for each line")
    form.add_argument(
        "--raw", action="store_true", help="the lines as they are on the consoles, nothing before"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, context: Context) -> int:
    machine = context.machine()
    if args.list_runs:
        _list_runs(machine, as_json=args.json)
        return 0
    recording = _recording(machine, args.recorded)
    if args.follow and args.recorded is not None:
        raise UserError("an earlier run has ended: it cannot be followed", "--replay shows it.")
    if not (args.follow or args.tui) and not recording.exists:
        raise UserError(
            f"machine {machine.name!r} has no consoles: it was never started",
            "`sandbox up` starts it.",
        )
    wanted = Filter(
        worlds=frozenset(args.world or ()),
        sources=frozenset(args.source or ()),
        level=args.level,
        ta=args.ta,
        text=args.grep,
    )
    show = _printer(args)
    if args.tui:
        _tui(machine, recording, wanted, args)
    elif args.follow:
        _follow(recording, wanted, args, show)
    else:
        one = reader.Reader(recording)
        records = one.finish() if args.raw else explained(one.finish(), recording)
        kept = _kept(list(records), wanted, args, _end_s(machine, one, recording))
        one.close()
        for record in replay.replay(kept, args.speed) if args.replay else kept:
            show(record, one.started_at)
    return 0


def _tui(machine: Machine, recording: Recording, wanted: Filter, args: argparse.Namespace) -> None:
    if not sys.stdin.isatty() or not sys.stdout.isatty():
        raise UserError("--tui needs a terminal", "Without it, `sandbox logs` prints the lines.")
    # Imported late: it takes a third of a second.
    from sandbox.logs.tui.app import LogsApp
    from sandbox.logs.tui.state import optee

    # Its window is closed: there is nothing to undo, and a thread of Textual's might go on reading
    # from what is no more, for ever.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    live = recording.path == machine.folder.path
    LogsApp(
        machine.name,
        recording,
        folder=machine.folder if live else None,
        replay=args.replay,
        speed=args.speed,
        wanted=wanted,
        ask=optee(machine),
    ).run()


def _recording(machine: Machine, which: str | None) -> Recording:
    if which is None or which == "0":
        return runs.live(machine.folder)
    kept = runs.kept(machine.folder)
    for recording in kept:
        if recording.path.name == which:
            return recording
    if re.fullmatch(r"-[0-9]{1,4}", which) and 0 < -int(which) <= len(kept):
        return kept[int(which)]
    raise UserError(
        f"machine {machine.name!r} has no run {which!r}", "`sandbox logs --list-runs` has all."
    )


def _list_runs(machine: Machine, *, as_json: bool) -> None:
    kept = [*runs.kept(machine.folder), runs.live(machine.folder)]
    for number, recording in enumerate(kept, start=1 - len(kept)):
        if not recording.exists:
            continue
        started = datetime.datetime.fromtimestamp(recording.started_at()).astimezone()
        sizes = {world: _size(recording, world) for world in World}
        if as_json:
            described = {
                "run": number,
                "name": recording.name(),
                "started": started.isoformat(timespec="milliseconds"),
                "bytes": {str(world): size for world, size in sizes.items()},
            }
            print(json.dumps(described))
        else:
            said = ", ".join(f"{world} {size / 1024:.0f} KiB" for world, size in sizes.items())
            print(f"{number:>3}  {recording.name()}  {started:%Y-%m-%d %H:%M:%S}  {said}")


def _size(recording: Recording, world: World) -> int:
    path = recording.log(world)
    return path.stat().st_size if path.exists() else 0


def _end_s(machine: Machine, one: reader.Reader, recording: Recording) -> float | None:
    """The time from which --since counts back: now, if the machine runs."""
    record = machine.folder.read()
    running = record is not None and record.qemu is not None and record.qemu.alive()
    return one.now_s() if running and recording.path == machine.folder.path else None


def _since_s(text: str | None, end_s: float) -> float | None:
    found = _SINCE.fullmatch(text or "")
    if found is None:
        return None
    if found["at"]:
        return float(found["at"])
    return end_s - float(found["ago"]) * _UNITS_S[found["unit"]]


def _kept(
    records: list[Record], wanted: Filter, args: argparse.Namespace, end_s: float | None
) -> Iterable[Record]:
    """Those of what is there already that were asked for."""
    if end_s is None:
        end_s = records[-1].time_s if records else 0.0
    since_s = _since_s(args.since, end_s)
    found: Iterator[Record] = (
        record
        for record in records
        if wanted.lets(record) and (since_s is None or record.time_s >= since_s)
    )
    # deque(maxlen=None) keeps all.
    return deque(found, maxlen=args.lines)


Show = Callable[[Record, float], None]


def _follow(recording: Recording, wanted: Filter, args: argparse.Namespace, show: Show) -> None:
    """What is there, then what comes: also from later runs."""
    first: list[Record] | None = []
    for came in reader.follow(recording, explain=not args.raw):
        if came.record is not None:
            if first is not None:
                first.append(came.record)
            elif wanted.lets(came.record):
                show(came.record, came.reader.started_at)
        elif first is not None:
            for record in _kept(first, wanted, args, came.reader.now_s()):
                show(record, came.reader.started_at)
            first = None


def _printer(args: argparse.Namespace) -> Show:
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")

    def show(record: Record, started_at: float) -> None:
        if args.json:
            at = datetime.datetime.fromtimestamp(started_at + record.time_s, datetime.UTC)
            stamped = {"at": at.isoformat(timespec="microseconds"), **record.as_json()}
            text = json.dumps(stamped)
        elif args.raw:
            text = record.raw
        else:
            text = formatted.line(
                record, started_at=started_at if args.absolute else None, colour=colour
            )
        print(text, flush=args.follow or args.replay)

    return show
