# SPDX-License-Identifier: Apache-2.0
"""gdb's machine interface: one record a line.

https://sourceware.org/gdb/current/onlinedocs/gdb.html/GDB_002fMI-Output-Syntax.html
"""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Any

_HEAD = re.compile(r"(\d*)([\^*+=])([\w-]+)")
_NAME = re.compile(r"([\w-]+)=")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r"\\([0-7]{3}|.)")
_CONTROL = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "a": "\a", "e": "\x1b"}


class Kind(Enum):
    RESULT = "^"
    EXECUTION = "*"
    STATUS = "+"
    NOTIFICATION = "="
    CONSOLE = "~"
    TARGET = "@"
    LOG = "&"


@dataclass(frozen=True)
class Record:
    kind: Kind
    token: int | None
    name: str  # of a result or event: done, error, stopped; of a stream "", with its text below
    text: str
    values: dict[str, Any]


class NotMi(ValueError):
    """A line that is none of the machine interface's."""


def parse(line: str) -> Record | None:
    """One line of gdb's output; None for its prompt."""
    line = line.rstrip("\r\n")
    if line.strip() in ("(gdb)", ""):
        return None
    if line[0] in "~@&":
        text, end = _string(line, 1)
        if end != len(line):
            raise NotMi(line)
        return Record(Kind(line[0]), None, "", text, {})
    match = _HEAD.match(line)
    if match is None:
        raise NotMi(line)
    token, kind, name = match.groups()
    values: dict[str, Any] = {}
    at = match.end()
    while at < len(line):
        if line[at] != ",":
            raise NotMi(line)
        key, value, at = _result(line, at + 1)
        values[key] = value
    return Record(Kind(kind), int(token) if token else None, name, "", values)


def quoted(text: str) -> str:
    """As a string in a command."""
    plain = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{plain}"'


def _result(line: str, at: int) -> tuple[str, Any, int]:
    match = _NAME.match(line, at)
    if match is None:
        raise NotMi(line)
    value, end = _value(line, match.end())
    return match[1], value, end


def _value(line: str, at: int) -> tuple[Any, int]:
    opening = line[at : at + 1]
    if opening == '"':
        return _string(line, at)
    if opening == "{":
        return _items(line, at + 1, "}")
    if opening == "[":
        return _items(line, at + 1, "]")
    raise NotMi(line)


def _items(line: str, at: int, closing: str) -> tuple[Any, int]:
    """What is in a tuple or list. gdb writes `frame=` before each item of a list of frames, and
    breakpoints with several locations as a tuple followed by another: names are dropped in lists.
    """
    fields: dict[str, Any] = {}
    members: list[Any] = []
    while line[at : at + 1] != closing:
        if fields or members:
            if line[at : at + 1] != ",":
                raise NotMi(line)
            at += 1
        if _NAME.match(line, at):
            key, value, at = _result(line, at)
            fields[key] = value
        else:
            value, at = _value(line, at)
        members.append(value)
    return (fields if closing == "}" else members), at + 1


def _string(line: str, at: int) -> tuple[str, int]:
    match = _STRING.match(line, at)
    if match is None:
        raise NotMi(line)
    # Octal escapes are bytes of UTF-8, others single characters.
    raw = _ESCAPE.sub(_unescape, match[1])
    return raw.encode("latin-1", "replace").decode(errors="replace"), match.end()


def _unescape(match: re.Match[str]) -> str:
    escaped = match[1]
    return chr(int(escaped, 8) & 0xFF) if len(escaped) == 3 else _CONTROL.get(escaped, escaped)
