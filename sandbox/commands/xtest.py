# SPDX-License-Identifier: Apache-2.0
"""sandbox xtest: OP-TEE's own test suite, on the machine that runs."""

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from sandbox.build import images
from sandbox.commands.context import Context
from sandbox.commands.exec import seconds
from sandbox.errors import GuestError
from sandbox.log import Step
from sandbox.xtest import cases, history, install, junit, results, runner
from sandbox.xtest.history import Comparison, History
from sandbox.xtest.output import Reader
from sandbox.xtest.results import Case, Run

# The longest that a case is silent on an idle host is a tenth of this (docs/xtest.md).
_SILENCE_S = 300.0
_LEVELS = range(16)
# How much of a failure the terminal gets; the JUnit file has all.
_EXCERPT_LINES = 30
_CONSOLE_LINES = 15


def level(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) in _LEVELS:
        return int(text)
    raise argparse.ArgumentTypeError(f"a number from 0 to {_LEVELS[-1]}, not {text!r}")


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "xtest",
        help="run OP-TEE's own test suite",
        description="Run xtest, OP-TEE's own test suite, on the machine that is up. What it needs"
        " is brought into the guest at its first use; no reboot. Each case is compared with the"
        " last time that it ran on this machine. Exit status 4 if a case failed.",
        epilog="Examples: sandbox xtest; sandbox xtest sample; sandbox xtest 4000 pkcs11 -x 4011;"
        " sandbox xtest regression_1004 --junit out/xtest.xml",
    )
    parser.add_argument(
        "words",
        nargs="*",
        metavar="GROUP|CASE",
        help="regression, pkcs11, 4000, regression_4000, 4006, regression_4006, sample (what the"
        " project's tests run); all if none is given",
    )
    parser.add_argument(
        "-x",
        "--exclude",
        action="append",
        default=[],
        metavar="GROUP|CASE",
        help="run all but these; may be repeated",
    )
    parser.add_argument(
        "-l",
        "--level",
        type=level,
        default=0,
        metavar="N",
        help=f"xtest's own level, 0 to {_LEVELS[-1]}: more and longer tests (0)",
    )
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=_SILENCE_S,
        metavar="S",
        help=f"give up when xtest says nothing for so many seconds ({_SILENCE_S:.0f})",
    )
    parser.add_argument("--list", action="store_true", help="print the cases and run none")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write a JUnit XML report")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, context: Context) -> int:
    tests = images.tests(context.progress)
    titles = cases.titles(tests.program)
    selected = cases.select(args.words, args.exclude, tuple(titles))
    if args.list:
        if args.json:
            print(json.dumps({"cases": [{"case": n, "title": titles[n]} for n in selected]}))
        else:
            print("\n".join(f"{name:<26}{titles[name]}" for name in selected))
        return 0
    machine = context.machine()
    with machine.guest() as guest, (records := History(machine.folder.path)).locked():
        if args.junit:
            # Said now rather than after minutes.
            junit.make_room(args.junit)
        if not install.installed(guest, tests.archive):
            with context.progress.step("bring xtest into the guest"):
                install.install(guest, tests.archive, machine.share)
        earlier = records.runs()
        with context.progress.step("xtest") as step:
            done = runner.run(
                machine,
                guest,
                selected,
                everything=len(selected) == len(titles),
                level=args.level,
                silence_s=args.timeout,
                report=_Watcher(context, step, selected, history.last_of_each(earlier)),
            )
        records.add(done)
    comparison = history.compare(done, earlier)
    if args.junit:
        junit.write(args.junit, done)
    if args.json:
        print(json.dumps(_as_json(done, comparison)))
    else:
        _print(done, comparison)
    return 0 if done.passed else GuestError.exit_code


class _Watcher:
    """Says how far xtest is: which case, how many failed, how long it may still take."""

    def __init__(
        self, context: Context, step: Step, selected: tuple[str, ...], before: dict[str, Case]
    ) -> None:
        self._progress = context.progress
        self._step = step
        self._total = len(selected)
        self._expected_s = {n: before[n].seconds for n in selected if n in before}
        self._told: set[str] = set()

    def __call__(self, reader: Reader) -> None:
        bad = [case for case in reader.finished if case.bad]
        for case in bad:
            if case.name not in self._told:
                self._told.add(case.name)
                self._progress.note(f"{case.name} {case.outcome}: {case.reason}")
        done = {case.name for case in reader.finished}
        parts = [f"{min(len(done) + 1, self._total)} of {self._total}"]
        if reader.current:
            parts[0] += f": {reader.current} {reader.title}"
        if bad:
            parts.append(f"{len(bad)} failed")
        # Only when most of what is left has been timed once.
        left = [name for name in self._expected_s if name not in done]
        if len(left) > 0.8 * (self._total - len(done)):
            parts.append(f"about {sum(self._expected_s[name] for name in left):.0f} s left")
        self._step.update(", ".join(parts))


def _as_json(done: Run, comparison: Comparison | None) -> dict[str, Any]:
    return {
        "passed": done.passed,
        "cases": len(done.cases),
        "subtests": done.subtests,
        "failed": len(done.failures),
        "skipped": sum(case.outcome is results.Outcome.SKIPPED for case in done.cases),
        "seconds": done.seconds,
        "problem": done.problem or None,
        "not_run": done.not_run,
        "failures": [
            {
                "case": case.name,
                "title": case.title,
                "outcome": case.outcome,
                "reason": case.reason,
                "parts": [asdict(excerpt) for excerpt in case.excerpts],
                "console": case.console,
            }
            for case in done.failures
        ],
        "groups": [asdict(group) for group in results.groups(done.cases)],
        "comparison": asdict(comparison) if comparison else None,
    }


def _print(done: Run, comparison: Comparison | None) -> None:
    for case in done.failures:
        print(f"{case.name} {case.title}: {case.outcome}")
        excerpt = junit.excerpt_lines(case)
        if not any(case.reason in line for line in excerpt):
            excerpt.insert(0, case.reason)
        for line in (*excerpt[:_EXCERPT_LINES], *case.console[-_CONSOLE_LINES:]):
            print(f"  {line}")
    table = Table(box=None, pad_edge=False)
    table.add_column("group")
    for column in ("cases", "failed", "skipped", "parts", "seconds"):
        table.add_column(column, justify="right")
    for group in results.groups(done.cases):
        counts = (group.cases, group.failed, group.skipped, group.parts)
        table.add_row(group.name, *map(str, counts), f"{group.seconds:.1f}")
    Console(highlight=False).print(table)
    if comparison is not None:
        _print_comparison(comparison, quiet=not done.passed)
    if done.problem:
        print(f"the run is not whole: {done.problem}")
        if done.not_run:
            print(f"not run: {_names(done.not_run)}")
    sums = [_count(len(done.cases), "case")]
    if done.subtests is not None:
        sums.append(_count(done.subtests, "subtest"))
    print(f"{', '.join(sums)}, {len(done.failures)} failed, {done.seconds:.0f} s")


def _print_comparison(comparison: Comparison, *, quiet: bool) -> None:
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(comparison.before))
    told = [
        (what, names)
        for what, names in (
            ("newly failing", comparison.newly_failing),
            ("still failing", comparison.still_failing),
            ("newly passing", comparison.newly_passing),
            (
                "slower (a busy host is enough)",
                [f"{s.name} {s.before_s:.1f} s -> {s.now_s:.1f} s" for s in comparison.slower],
            ),
        )
        if names
    ]
    for what, names in told:
        print(f"{what}: {_names(names)}")
    if comparison.missing:
        print(f"in the last run, but not in this one: {_names(comparison.missing, 3)}")
    if not told and not quiet:
        print(f"the same outcomes as before, last on {when}")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _names(names: "tuple[str, ...] | list[str]", shown: int = 8) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
