# SPDX-License-Identifier: Apache-2.0
"""A run as JUnit XML, in the form that pytest writes and Jenkins and GitLab read."""

import re
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

from sandbox.xtest import cases
from sandbox.xtest.results import Case, Outcome, Run

# What XML 1.0 cannot hold, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SUITE = "xtest"


def make_room(path: Path) -> None:
    """Raises OSError where nothing can be written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.open("a").close()


def write(path: Path, run: Run) -> None:
    root = ElementTree.Element("testsuites")
    not_run = run.not_run
    problem = bool(run.problem)
    suite = ElementTree.SubElement(
        root,
        "testsuite",
        name=_SUITE,
        tests=str(len(run.cases) + len(not_run) + problem),
        failures=str(sum(case.outcome is Outcome.FAILED for case in run.cases)),
        errors=str(sum(case.outcome is Outcome.UNFINISHED for case in run.cases) + problem),
        skipped=str(sum(case.outcome is Outcome.SKIPPED for case in run.cases) + len(not_run)),
        time=f"{run.seconds:.3f}",
        timestamp=datetime.fromtimestamp(run.began, UTC).isoformat(timespec="seconds"),
    )
    for case in run.cases:
        _case(suite, case)
    for name in not_run:
        element = _element(suite, cases.group(name), name, 0.0)
        ElementTree.SubElement(element, "skipped", message="xtest did not come to it")
    if problem:
        element = _element(suite, "run", "whole", run.seconds)
        ElementTree.SubElement(element, "error", message=_text(run.problem))
    ElementTree.indent(root)
    ElementTree.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def _element(
    suite: ElementTree.Element, group: str, name: str, seconds: float
) -> ElementTree.Element:
    return ElementTree.SubElement(
        suite,
        "testcase",
        classname=f"{_SUITE}.{group}",
        name=_text(name),
        time=f"{seconds:.3f}",
    )


def _case(suite: ElementTree.Element, case: Case) -> None:
    name = f"{case.name} {case.title}".strip()
    element = _element(suite, cases.group(case.name), name, case.seconds)
    if case.outcome is Outcome.PASSED:
        return
    tag = {
        Outcome.SKIPPED: "skipped",
        Outcome.FAILED: "failure",
        Outcome.UNFINISHED: "error",
    }[case.outcome]
    told = ElementTree.SubElement(element, tag, message=_text(case.reason))
    if case.bad:
        told.text = _text("\n".join(excerpt_lines(case)))
        if case.console:
            console = ElementTree.SubElement(element, "system-out")
            console.text = _text("\n".join(case.console))


def excerpt_lines(case: Case) -> list[str]:
    """What xtest printed in the parts that failed."""
    lines = []
    for excerpt in case.excerpts:
        lines += [f"{excerpt.name} {excerpt.title}".strip()]
        lines += [f"  {line}" for line in excerpt.lines]
    return lines


def _text(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
