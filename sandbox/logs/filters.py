# SPDX-License-Identifier: Apache-2.0
"""Which records one wants to see."""

import re
import warnings
from collections.abc import Set
from dataclasses import dataclass

from sandbox.logs.records import Level, Record, Source
from sandbox.machine.folder import World


def pattern(text: str, flags: re.RegexFlag = re.NOFLAG) -> re.Pattern[str]:
    """What a person typed; raises re.error. Python's doubts about its future are not for them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return re.compile(text, flags)


@dataclass(frozen=True)
class Filter:
    """What is not set lets everything through."""

    worlds: Set[World] = frozenset()
    sources: Set[Source] = frozenset()
    level: Level | None = None  # and worse; lines of no known level are held back then
    ta: str | None = None  # the beginning of a UUID
    text: re.Pattern[str] | None = None
    since_s: float | None = None

    def lets(self, record: Record) -> bool:
        if self.worlds and record.world not in self.worlds:
            return False
        if self.sources and record.source not in self.sources:
            return False
        if self.level and (record.level is None or record.level.severity > self.level.severity):
            return False
        if self.ta and not (record.ta and record.ta.startswith(self.ta)):
            return False
        if self.since_s is not None and record.time_s < self.since_s:
            return False
        return self.text is None or self.text.search(record.text) is not None
