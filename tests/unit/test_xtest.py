# SPDX-License-Identifier: Apache-2.0
"""What xtest prints, from recordings of the real one; comparing runs; JUnit."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.errors import UserError
from sandbox.xtest import cases, history, junit, results
from sandbox.xtest.history import History, Slower
from sandbox.xtest.output import Reader, XtestError
from sandbox.xtest.results import Case, Excerpt, Outcome, Run

RECORDINGS = Path(__file__).parents[2] / "fixtures" / "xtest"
GOOD = (RECORDINGS / "xtest.good.log").read_text().splitlines()
# Two of the TAs were missing.
BAD = (RECORDINGS / "xtest.bad-no-ta.log").read_text().splitlines()
MISSING_TA = "0xffff0008 = TEEC_ERROR_ITEM_NOT_FOUND, expected 0x0 = TEEC_SUCCESS"


def reader_of(lines: Sequence[str]) -> Reader:
    reader = Reader()
    for number, line in enumerate(lines):
        reader.line(line, number / 10)
    return reader


def run_of(lines: Sequence[str], problem: str = "") -> Run:
    reader = reader_of(lines)
    reader.unfinished(problem, len(lines) / 10)
    return reader.run(began=0.0, seconds=1.0, selected=(), problem=problem)


def outcomes(run: Run) -> dict[str, Outcome]:
    return {case.name: case.outcome for case in run.cases}


# The output ---------------------------------------------------------------------------------------


def test_a_good_run() -> None:
    run = run_of(GOOD)
    assert run.passed and not run.problem
    assert (run.subtests, run.failed_subtests) == (17, 0)
    assert [(case.name, case.parts) for case in run.cases] == [
        ("regression_1001", 3),
        ("regression_1032", 0),
        ("regression_4004", 1),
        ("regression_4013", 0),
    ]
    first = run.cases[0]
    assert first.title == "Core self tests"
    assert first.seconds == pytest.approx(0.8)
    assert not first.reason and not first.excerpts and not first.console


def test_a_run_with_failures() -> None:
    run = run_of(BAD)
    assert not run.passed and not run.problem
    assert (run.subtests, run.failed_subtests) == (14, 4)
    failed = {case.name: case for case in run.failures}
    assert set(failed) == {f"regression_{number}" for number in (1004, 1012, 4004, 4013)}
    assert outcomes(run)["regression_1018"] is Outcome.PASSED
    for case in failed.values():
        assert case.reason.endswith(MISSING_TA)
        assert len(case.excerpts) == 1
        assert case.excerpts[0].lines[-1] == case.reason
    # The part that failed is quoted, not the case that it is a part of.
    assert failed["regression_1012"].excerpts[0].name == "regression_1012.1"
    assert failed["regression_1012"].excerpts[0].title == "Single Instance Multi Session"
    assert failed["regression_1004"].excerpts[0].name == "regression_1004"


@pytest.mark.parametrize("lines", [GOOD, BAD], ids=["good", "bad"])
def test_wherever_the_output_ends_the_case_is_named(lines: list[str]) -> None:
    whole = run_of(lines)
    for count in range(len(lines)):
        reader = reader_of(lines[:count])
        open_case = reader.current
        reader.unfinished("QEMU ended", count / 10)
        run = reader.run(began=0.0, seconds=1.0, selected=(), problem="QEMU ended")
        assert not run.passed
        assert [c.name for c in run.cases] == [c.name for c in whole.cases[: len(run.cases)]]
        unfinished = [case for case in run.cases if case.outcome is Outcome.UNFINISHED]
        assert [case.name for case in unfinished] == ([open_case] if open_case else [])
        assert all(case.reason == "QEMU ended" for case in unfinished)


def test_a_summary_that_is_missing_is_a_problem() -> None:
    cut = [line for line in GOOD if "test cases of which" not in line]
    assert run_of(cut).problem == "xtest did not print its summary"


def test_a_summary_that_says_otherwise_is_a_problem() -> None:
    changed = [line.replace("4 test cases of which 0", "5 test cases of which 1") for line in GOOD]
    run = run_of(changed)
    assert not run.passed and not run.failures
    assert "counts 5 cases, 1 of them failed; its lines say 4 and 0" in run.problem


def test_what_a_test_left_on_the_line_does_not_hide_how_it_ended() -> None:
    spoilt = [
        f"n = 0{line}" if line == "  regression_1001.3 OK" else line.replace("  reg", "...  reg")
        for line in GOOD
    ]
    assert outcomes(run_of(spoilt)) == outcomes(run_of(GOOD))


def test_the_summary_tells_of_a_case_whose_last_line_was_spoilt() -> None:
    for name, outcome in outcomes(run_of(BAD)).items():
        endings = [f"  {name} OK", f"  {name} FAILED"]
        run = run_of([line for line in BAD if line not in endings])
        assert outcomes(run)[name] is outcome, name


def test_a_case_that_was_left_out_is_a_problem() -> None:
    asked = ("regression_1001", "regression_1002")
    run = reader_of(GOOD).run(began=0.0, seconds=1.0, selected=asked, problem="")
    assert not run.passed and run.not_run == ("regression_1002",)


def test_a_case_is_skipped() -> None:
    # adbg_run.c; none is on our machines.
    skipped = [
        'regression_1032 SKIPPED: "no memory"' if line == "regression_1032 OK" else line
        for line in GOOD
    ]
    run = run_of(skipped)
    assert run.passed
    assert outcomes(run)["regression_1032"] is Outcome.SKIPPED
    assert run.cases[1].reason == "no memory"


def test_parts_nest() -> None:
    lines = [
        "* regression_1013 Test concurrency with concurrent TA",
        "o regression_1013.1 Using small concurrency TA",
        "o regression_1013.1.1 Busy loop",
        "  regression_1013.1.1 OK",
        "o regression_1013.1.10 SHA-256 loop",
        "x.c:1: res has an unexpected value: 0x1, expected 0x0",
        "  regression_1013.1.10 FAILED",
        "  regression_1013.1 FAILED",
        "o regression_1013.2 Using large concurrency TA",
        "said in passing",
        "  regression_1013.2 OK",
        "  regression_1013 FAILED",
    ]
    reader = reader_of(lines)
    (case,) = reader.finished
    assert case.parts == 4
    assert case.excerpts == (Excerpt("regression_1013.1.10", "SHA-256 loop", (lines[5],)),)


def test_console_lines_belong_to_the_case_that_runs() -> None:
    reader = Reader()
    reader.console("before")
    reader.line("* regression_1004 Test User Crypt TA", 0.0)
    reader.console("secure: E/TC: TA panicked")
    reader.line("  regression_1004 FAILED", 1.0)
    reader.console("after")
    assert reader.finished[0].console == ("secure: E/TC: TA panicked",)
    assert reader.finished[0].reason == "it gives no reason"


_NAMES = st.sampled_from(["regression_1001", "regression_4006_rsa", "pkcs11_1000", "benchmark_1"])
_LINES = st.one_of(
    st.sampled_from([*GOOD, *BAD]),
    st.text(),
    st.builds("* {} {}".format, _NAMES, st.text()),
    st.builds("o {}.{} {}".format, _NAMES, st.integers(0, 12), st.text()),
    st.builds("{}  {}{} {}".format, st.text(), _NAMES, st.sampled_from(["", ".1", ".1.2"]),
              st.sampled_from(["OK", "FAILED"])),
    st.builds("{} test cases of which {} failed".format, st.integers(), st.integers()),
)  # fmt: skip


@given(st.lists(st.tuples(_LINES, st.booleans())))
def test_nothing_that_a_guest_prints_is_too_much(
    tmp_path_factory: pytest.TempPathFactory, lines: list[tuple[str, bool]]
) -> None:
    reader = Reader()
    for number, (line, on_console) in enumerate(lines):
        if on_console:
            reader.console(line)
        else:
            reader.line(line, float(number))
    reader.unfinished("it ended", float(len(lines)))
    run = reader.run(began=0.0, seconds=1.0, selected=("regression_1001",), problem="")
    if run.passed:
        assert reader.complete and not run.not_run
    assert Run.from_json(run.to_json()) == run
    path = tmp_path_factory.getbasetemp() / "fuzz.xml"
    junit.write(path, run)
    suite = ElementTree.parse(path).getroot()[0]
    assert len(suite) == int(suite.attrib["tests"]) >= len(run.cases)


def test_a_guest_cannot_fill_our_memory() -> None:
    reader = Reader()
    reader.line("* regression_1001 endless", 0.0)
    for number in range(5000):
        reader.line("x" * 10_000, 0.0)
        reader.line(f"o regression_1001.{number} part", 0.0)
        reader.console("y" * 10_000)
    reader.unfinished("enough", 1.0)
    assert len(reader.run(began=0.0, seconds=0.0, selected=(), problem="").to_json()) < 200_000
    with pytest.raises(XtestError, match="more than"):
        for number in range(10_000):
            reader.line(f"* regression_{number % 10}000_{number} lie", 0.0)


# The choice of cases ------------------------------------------------------------------------------

AVAILABLE = tuple(
    [f"regression_{n}" for n in ("1001", "1002", "4005", "4006_dsa", "4006_rsa", "4101")]
    + [f"pkcs11_{n}" for n in ("1000", "1001", "1002")]
)


@pytest.mark.parametrize(
    ("words", "excluded", "expected"),
    [
        ([], [], AVAILABLE),
        (["all"], ["pkcs11"], AVAILABLE[:6]),
        (["regression"], [], AVAILABLE[:6]),
        (["4000"], [], AVAILABLE[2:6]),
        (["regression_4000"], ["4006"], ("regression_4005", "regression_4101")),
        (["1001"], [], ("regression_1001", "pkcs11_1001")),
        (["1000"], [], (*AVAILABLE[:2], *AVAILABLE[6:])),
        (["pkcs11_1000"], [], ("pkcs11_1000",)),
        (["4006_dsa", "regression_1002"], [], None),
        (["regression_4006_dsa", "regression_1002"], [], ("regression_1002", AVAILABLE[3])),
        (["4006"], [], AVAILABLE[3:5]),
    ],
)
def test_words_choose_cases(
    words: list[str], excluded: list[str], expected: tuple[str, ...] | None
) -> None:
    if expected is None:
        with pytest.raises(UserError, match=words[0]):
            cases.select(words, excluded, AVAILABLE)
    else:
        assert cases.select(words, excluded, AVAILABLE) == expected


def test_an_unknown_word_gets_advice() -> None:
    with pytest.raises(UserError) as refused:
        cases.select(["regresion_1001"], [], AVAILABLE)
    assert "Did you mean regression_1001" in str(refused.value.hint)
    with pytest.raises(UserError) as refused:
        cases.select(["9999"], [], AVAILABLE)
    assert "regression_4000" in str(refused.value.hint)
    with pytest.raises(UserError, match="no case is left"):
        cases.select(["1001"], ["all"], AVAILABLE)


# Earlier runs -------------------------------------------------------------------------------------


def case(name: str, outcome: Outcome = Outcome.PASSED, seconds: float = 1.0) -> Case:
    return Case(
        f"regression_{name}", "", outcome, seconds, 0, "" if outcome is Outcome.PASSED else "why"
    )


def run(*members: Case, began: float = 0.0) -> Run:
    return Run(began, 1.0, tuple(c.name for c in members), members, 1, 0)


def test_runs_are_compared_case_by_case() -> None:
    earlier = [
        run(case("1001"), case("1002", Outcome.FAILED), case("1003", Outcome.UNFINISHED)),
        run(case("1001", seconds=4.0), case("1004"), case("1005", seconds=0.1), began=7.0),
    ]
    now = run(
        case("1001", seconds=6.5),
        case("1002"),
        case("1003", Outcome.FAILED),
        case("1004", Outcome.FAILED),
        case("1006", Outcome.FAILED),
    )
    found = history.compare(now, earlier)
    assert found == history.Comparison(
        before=7.0,
        newly_failing=("regression_1004",),
        newly_passing=("regression_1002",),
        still_failing=("regression_1003",),
        missing=("regression_1005",),
        slower=(Slower("regression_1001", 4.0, 6.5),),
    )
    assert history.compare(now, []) is None


def test_history_keeps_the_last_runs(tmp_path: Path) -> None:
    kept = History(tmp_path)
    with kept.locked():
        assert kept.runs() == ()
        for number in range(history.KEPT + 3):
            kept.add(run(case("1001"), began=float(number)))
    found = [one.began for one in kept.runs()]
    assert found == [float(number) for number in range(3, history.KEPT + 3)]
    assert len(list((tmp_path / "xtest").iterdir())) == history.KEPT


def test_history_overlooks_what_it_cannot_read(tmp_path: Path) -> None:
    kept = History(tmp_path)
    with kept.locked():
        kept.add(run(case("1001")))
    for number, text in enumerate(("", "[]", "{}", '{"cases": 1, "selected": 2}', "\0\udc80")):
        path = tmp_path / "xtest" / f"{number + 7:06}.json"
        path.write_text(text, errors="surrogatepass")
    assert len(kept.runs()) == 1
    kept.add(run(case("1002")))
    assert kept.runs()[-1].selected == ("regression_1002",)


def test_only_one_xtest_at_a_time(tmp_path: Path) -> None:
    with History(tmp_path).locked():
        with pytest.raises(UserError, match="already"), History(tmp_path).locked():
            pass
    with History(tmp_path).locked():
        pass


def test_groups_add_up() -> None:
    found = results.groups(
        [case("1001"), case("4006_rsa", Outcome.FAILED), replace(case("1002"), parts=3)]
    )
    assert [(g.name, g.cases, g.failed, g.parts, g.seconds) for g in found] == [
        ("regression_1000", 2, 0, 3, 2.0),
        ("regression_4000", 1, 1, 0, 1.0),
    ]


# JUnit --------------------------------------------------------------------------------------------


def test_junit_says_what_the_run_says(tmp_path: Path) -> None:
    failed = Case(
        "regression_1004", "Test <User> & \"Crypt\" TA", Outcome.FAILED, 2.5, 1, "x.c:1: 1 \0 2",
        (Excerpt("regression_1004.1", "AES", ("a line", "\ud800 \x1b[31m")),),
        ("secure: E/TC: panicked",),
    )  # fmt: skip
    whole = Run(
        1_700_000_000.25,
        9.0,
        ("regression_1001", "regression_1004", "regression_1005", "regression_1006", "pkcs11_1000"),
        (
            case("1001"),
            failed,
            case("1005", Outcome.SKIPPED),
            case("1006", Outcome.UNFINISHED),
        ),
        None,
        None,
        "xtest hangs",
    )
    path = tmp_path / "new" / "xtest.xml"
    junit.make_room(path)
    junit.write(path, whole)
    root = ElementTree.parse(path).getroot()
    assert root.tag == "testsuites"
    (suite,) = root
    assert suite.attrib == {
        "name": "xtest", "tests": "6", "failures": "1", "errors": "2", "skipped": "2",
        "time": "9.000", "timestamp": "2023-11-14T22:13:20+00:00",
    }  # fmt: skip
    found = {element.attrib["name"]: element for element in suite}
    assert [element.attrib["classname"] for element in suite] == [
        *["xtest.regression_1000"] * 4, "xtest.pkcs11", "xtest.run",
    ]  # fmt: skip
    assert len(found["regression_1001"]) == 0
    failure, console = found['regression_1004 Test <User> & "Crypt" TA']
    assert (failure.tag, failure.attrib["message"]) == ("failure", "x.c:1: 1 \ufffd 2")
    assert failure.text == "regression_1004.1 AES\n  a line\n  \ufffd \ufffd[31m"
    assert (console.tag, console.text) == ("system-out", "secure: E/TC: panicked")
    assert found["regression_1005"][0].tag == "skipped"
    assert found["regression_1006"][0].tag == "error"
    assert found["pkcs11_1000"][0].attrib["message"] == "xtest did not come to it"
    assert found["whole"][0].attrib["message"] == "xtest hangs"
