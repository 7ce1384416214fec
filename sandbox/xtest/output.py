# SPDX-License-Identifier: Apache-2.0
"""Reads what xtest prints, line by line as it comes.

    * regression_1004 Test User Crypt TA            a case begins
    o regression_1004.1 AES encrypt                 a part of it; parts nest
    regression_1000.c:83: res has an unexpected value: 0x1, expected 0x0
      regression_1004.1 FAILED                      the part ends
      regression_1004 FAILED                        the case ends
    +-----------------------------------------------------
    regression_1004.1 FAILED first error at regression_1000.c:83
    regression_1004 FAILED                          in the summary, every case once more
    35590 subtests of which 1 failed                checks, not parts
    143 test cases of which 1 failed

Tests print what they like in between, also without ending the line, and after a crash the guest is
whatever it is: nothing here trusts the order of lines, and nothing grows without a limit.
"""

import re
from collections import deque
from dataclasses import dataclass, field, replace

from sandbox.errors import GuestError
from sandbox.xtest import cases
from sandbox.xtest.results import Case, Excerpt, Outcome, Run

_NAME = cases.NAME.pattern
_BEGIN = re.compile(rf"\* (?P<name>{_NAME})(?: (?P<title>.*))?", re.ASCII)
_PART = re.compile(rf"o (?P<name>{_NAME}(?:\.\d+)+)(?: (?P<title>.*))?", re.ASCII)
# Behind whatever a test left on the line. In the summary, without the spaces.
_END = re.compile(rf"(?:^|  )(?P<name>{_NAME})(?P<part>(?:\.\d+)*) (?P<word>OK|FAILED)$", re.ASCII)
_FIRST_ERROR = re.compile(rf"(?P<name>{_NAME})(?:\.\d+)* FAILED first error at (?P<where>\S+)")
# Above the summary, and below.
_RULE = "+-----------------------------------------------------"
_SKIPPED = re.compile(rf'(?P<name>{_NAME}) SKIPPED: "(?P<reason>.*)"')
_SUBTESTS = re.compile(r"(\d{1,9}) subtests? of which (\d{1,9}) failed")
_CASES = re.compile(r"(\d{1,9}) test cases? of which (\d{1,9}) failed")
# adbg_expect.c: the sentence that says which check failed.
_CHECK = re.compile(r"\S+\.[ch]:\d+: \S.*")
_WORDS = {"OK": Outcome.PASSED, "FAILED": Outcome.FAILED}

# More than any xtest has; only a guest that lies gets there.
_CASE_LIMIT = 2000
_DEPTH_LIMIT = 20
_TEXT_LIMIT = 300
_EXCERPT_LINES = 40
_EXCERPT_LIMIT = 20
_CONSOLE_LINES = 200


class XtestError(GuestError):
    """xtest could not be started, or what it prints is not xtest's."""


@dataclass
class _Part:
    name: str
    title: str
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=_EXCERPT_LINES))
    explained: bool = False  # a part within it has failed, and says more


@dataclass
class _Open:
    """A case that has begun: `parts` are those that are open, the case itself the outermost."""

    began: float
    parts: list[_Part]
    count: int = 0
    reason: str = ""
    excerpts: list[Excerpt] = field(default_factory=list)
    console: deque[str] = field(default_factory=lambda: deque(maxlen=_CONSOLE_LINES))


class Reader:
    """Feed it lines with the times at which they came; `run()` is what they came to so far."""

    def __init__(self) -> None:
        self._done: dict[str, Case] = {}
        self._open: _Open | None = None
        self._subtests: tuple[int, int] | None = None
        self._cases: tuple[int, int] | None = None

    @property
    def current(self) -> str:
        """The case that runs; empty between two."""
        return self._open.parts[0].name if self._open else ""

    @property
    def title(self) -> str:
        return self._open.parts[0].title if self._open else ""

    @property
    def began(self) -> float | None:
        """When the case that runs began."""
        return self._open.began if self._open else None

    @property
    def finished(self) -> tuple[Case, ...]:
        return tuple(self._done.values())

    @property
    def begun(self) -> bool:
        """Whether any case has begun."""
        return self._open is not None or bool(self._done)

    @property
    def complete(self) -> bool:
        """Whether xtest came to its end."""
        return self._cases is not None and self._subtests is not None

    def line(self, text: str, at: float) -> None:
        if begin := _BEGIN.fullmatch(text):
            self._begin(begin["name"], begin["title"] or "", at)
        elif self._open is not None and text != _RULE:
            self._within(self._open, text, at)
        elif self._open is not None:
            self._spoilt(self._open, at)
        else:
            self._summary(text)

    def console(self, text: str) -> None:
        """A line of one of the machine's consoles."""
        if self._open is not None:
            self._open.console.append(text[:_TEXT_LIMIT])

    def unfinished(self, reason: str, at: float) -> None:
        """No more lines will come: the case that runs, if any, will not end."""
        if self._open is not None:
            self._open.reason = reason
            self._close(self._open, Outcome.UNFINISHED, at)

    def run(self, *, began: float, seconds: float, selected: tuple[str, ...], problem: str) -> Run:
        subtests, failed_subtests = self._subtests or (None, None)
        return Run(
            began,
            round(seconds, 3),
            selected,
            self.finished,
            subtests,
            failed_subtests,
            problem or self._contradiction(selected),
        )

    def _contradiction(self, selected: tuple[str, ...]) -> str:
        """Where xtest's own sum is another than ours, one of us has missed something."""
        if self._cases is None or self._subtests is None:
            return "xtest did not print its summary"
        counted = len(self._done), sum(case.bad for case in self._done.values())
        if self._cases != counted:
            return (
                f"xtest counts {self._cases[0]} cases, {self._cases[1]} of them failed;"
                f" its lines say {counted[0]} and {counted[1]}"
            )
        if set(selected) - set(self._done):
            return "xtest left out cases that it was asked to run"
        return ""

    def _begin(self, name: str, title: str, at: float) -> None:
        if self._open is not None:
            self._spoilt(self._open, at)
        if len(self._done) >= _CASE_LIMIT:
            raise XtestError(f"xtest has begun more than {_CASE_LIMIT} cases")
        self._open = _Open(at, [_Part(name, title[:_TEXT_LIMIT])])

    def _spoilt(self, case: _Open, at: float) -> None:
        """Its last line did not come as it should. The summary has it once more."""
        case.reason = "xtest went on without saying how it ended"
        self._close(case, Outcome.UNFINISHED, at)

    def _within(self, case: _Open, text: str, at: float) -> None:
        text = text[:_TEXT_LIMIT]
        name = case.parts[0].name
        begin = _PART.fullmatch(text)
        if begin and begin["name"].startswith(f"{name}.") and len(case.parts) < _DEPTH_LIMIT:
            case.parts.append(_Part(begin["name"], begin["title"] or ""))
            case.count += 1
            return
        end = _END.search(text)
        if end is None or end["name"] != name:
            case.parts[-1].lines.append(text)
            if not case.reason and _CHECK.fullmatch(text):
                case.reason = text
            return
        outcome = _WORDS[end["word"]]
        ended = [n for n, part in enumerate(case.parts) if part.name == name + end["part"]]
        if ended == [0]:
            self._close(case, outcome, at)
        elif ended:
            # With it those within it, whose own ends were spoilt.
            *_, part = closed = case.parts[ended[-1] :]
            del case.parts[ended[-1] :]
            if outcome is Outcome.FAILED:
                case.parts[-1].explained = True
                if not any(part.explained for part in closed):
                    self._excerpt(case, part)

    @staticmethod
    def _excerpt(case: _Open, part: _Part) -> None:
        if len(case.excerpts) < _EXCERPT_LIMIT:
            case.excerpts.append(Excerpt(part.name, part.title, tuple(part.lines)))

    def _close(self, case: _Open, outcome: Outcome, at: float) -> None:
        self._open = None
        whole, bad = case.parts[0], outcome is not Outcome.PASSED
        if bad and not whole.explained:
            self._excerpt(case, case.parts[-1])
        self._done[whole.name] = Case(
            whole.name,
            whole.title,
            outcome,
            round(at - case.began, 3),
            case.count,
            (case.reason or "it gives no reason") if bad else "",
            tuple(case.excerpts) if bad else (),
            tuple(case.console) if bad else (),
        )

    def _summary(self, text: str) -> None:
        if sums := _SUBTESTS.fullmatch(text):
            self._subtests = int(sums[1]), int(sums[2])
        elif sums := _CASES.fullmatch(text):
            self._cases = int(sums[1]), int(sums[2])
        elif skipped := _SKIPPED.fullmatch(text):
            self._amend(skipped["name"], Outcome.SKIPPED, skipped["reason"])
        elif first := _FIRST_ERROR.fullmatch(text):
            self._amend(first["name"], Outcome.FAILED, f"first error at {first['where']}")
        elif (end := _END.fullmatch(text)) and not end["part"]:
            self._amend(end["name"], _WORDS[end["word"]], "")

    def _amend(self, name: str, outcome: Outcome, reason: str) -> None:
        """What the summary says of a case that has ended."""
        case = self._done.get(name)
        if case is None or case.outcome is Outcome.FAILED:
            return
        if outcome is Outcome.SKIPPED:
            self._done[name] = replace(case, outcome=outcome, reason=reason[:_TEXT_LIMIT])
        elif case.outcome is Outcome.UNFINISHED:
            self._done[name] = replace(
                case, outcome=outcome, reason=reason, excerpts=(), console=()
            )
