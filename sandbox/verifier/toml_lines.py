# SPDX-License-Identifier: Apache-2.0
"""In which line of a TOML file a key is: tomllib does not keep that.

Reads the file line by line, so a key within a text of several lines would mislead it: what is
wrong is a line number in an error message, never a value.
"""

import re

Place = tuple[str | int, ...]

_TABLE = re.compile(r"\s*\[\s*([A-Za-z0-9_.-]+)\s*\]")
_ARRAY_OF_TABLES = re.compile(r"\s*\[\[\s*([A-Za-z0-9_.-]+)\s*\]\]")
_KEY = re.compile(r"\s*([A-Za-z0-9_-]+)\s*=")


def lines(text: str) -> dict[Place, int]:
    """Of each table and key; ("ta", 0, "uuid") is `uuid` in the first [[ta]]."""
    found: dict[Place, int] = {(): 1}
    counts: dict[str, int] = {}
    table: Place = ()
    for number, line in enumerate(text.splitlines(), 1):
        if match := _ARRAY_OF_TABLES.match(line):
            name = match[1]
            table = (name, counts.get(name, 0))
            counts[name] = counts.get(name, 0) + 1
            found.setdefault((name,), number)
        elif match := _TABLE.match(line):
            table = tuple(match[1].split("."))
        elif match := _KEY.match(line):
            found.setdefault((*table, match[1]), number)
            continue
        else:
            continue
        found.setdefault(table, number)
    return found


def line_of(found: dict[Place, int], place: Place) -> int:
    """Of the place, or of the nearest table around it."""
    while place not in found:
        place = place[:-1]
    return found[place]
