# SPDX-License-Identifier: Apache-2.0
"""A record as a line of text, for a terminal or a file."""

import datetime

from sandbox.logs.records import Level, Record, Source
from sandbox.machine.folder import World

# SGR codes, ECMA-48 8.3.117. The two worlds differ; what is bad stands out in either.
_WORLD_COLOURS = {World.NORMAL: "36", World.SECURE: "35"}
_LEVEL_COLOURS = {Level.ERROR: "1;31", Level.WARNING: "33", Level.DEBUG: "2", Level.FLOW: "2"}
_SOURCE_WIDTH = max(map(len, Source))


def source_name(record: Record) -> str:
    """A TA has the beginning of its UUID beside it."""
    if record.source in (Source.TA, Source.LDELF) and record.ta:
        return f"{record.source} {record.ta[:8]}"
    return record.source


def time_text(record: Record, started_at: float | None) -> str:
    """Seconds since the machine's start; the time of day, if that is given."""
    if started_at is None:
        return f"{record.time_s:12.6f}"
    at = datetime.datetime.fromtimestamp(started_at + record.time_s).astimezone()
    return at.isoformat(sep=" ", timespec="microseconds")


def line(record: Record, *, started_at: float | None = None, colour: bool = False) -> str:
    when = time_text(record, started_at)
    who = f"{record.world:<6} {source_name(record):<{_SOURCE_WIDTH}}"
    text = record.text
    if colour:
        when = f"\x1b[2m{when}\x1b[m"
        who = f"\x1b[{_WORLD_COLOURS[record.world]}m{who}\x1b[m"
        if record.level in _LEVEL_COLOURS:
            text = f"\x1b[{_LEVEL_COLOURS[record.level]}m{text}\x1b[m"
    return f"{when} {who} {text}".rstrip()
