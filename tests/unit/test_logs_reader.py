# SPDX-License-Identifier: Apache-2.0
"""Two consoles into one stream: tags, order, and what damage does to either."""

import itertools
import random
import re
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recordings import Writer

from sandbox.logs import reader, replay
from sandbox.logs.explain import explained
from sandbox.logs.filters import Filter
from sandbox.logs.parse import messages, parse
from sandbox.logs.reader import Reader
from sandbox.logs.records import Level, Record, Source
from sandbox.machine import recorder
from sandbox.machine.folder import World

N, S = World.NORMAL, World.SECURE
UUID = "2f6a3c5e-9b1d-4e0f-8a67-c1d5b94e7720"


@pytest.fixture
def writer(tmp_path: Path) -> Writer:
    return Writer(tmp_path / "machine")


def texts(writer: Writer) -> list[str]:
    return [record.text for record in reader.read(writer.recording)]


# What a line tells ------------------------------------------------------------------------------

LINES = [
    (N, "NOTICE:  BL31: Built", Source.TF_A, Level.NOTICE, None, "NOTICE:  BL31: Built"),
    (N, "ERROR:   no room", Source.TF_A, Level.ERROR, None, "ERROR:   no room"),
    (N, "PANIC in EL3.", Source.TF_A, Level.ERROR, None, "PANIC in EL3."),
    (N, "[    1.224366] optee: revision", Source.KERNEL, None, None, "optee: revision"),
    (N, "<6>[    1.224366] optee: revision", Source.KERNEL, Level.INFO, None, "optee: revision"),
    (N, "<3>[    1.224366] 9p: no such", Source.KERNEL, Level.ERROR, None, "9p: no such"),
    (N, "<4>[    1.224366] WARNING: CPU: 0", Source.KERNEL, Level.WARNING, None, None),
    (N, "<6>[    1.224366] Kernel panic - not syncing: x", Source.KERNEL, Level.ERROR, None, None),
    # Through /dev/kmsg: Linux's default level says nothing.
    (N, "<12>[    2.203992] cml-ca: serving", Source.CML_CA, None, None, "cml-ca: serving"),
    (N, "<12>[    2.203992] somebody else", Source.KERNEL, None, None, "somebody else"),
    (N, "<9999>[    2.203992] none", Source.KERNEL, None, None, "none"),
    (N, "<6> [    2.203992] none", Source.CONSOLE, None, None, None),
    (N, "[    1.0] not Linux's", Source.CONSOLE, None, None, "[    1.0] not Linux's"),
    (N, "[   12.000001] Kernel panic - not syncing: x", Source.KERNEL, Level.ERROR, None,
     "Kernel panic - not syncing: x"),
    (N, "[   12.000001] WARNING: CPU: 0", Source.KERNEL, Level.WARNING, None, "WARNING: CPU: 0"),
    (N, "[    2.203992] cml-ca: serving", Source.CML_CA, None, None, "cml-ca: serving"),
    (N, "cml-ca: serving", Source.CML_CA, None, None, "cml-ca: serving"),
    (N, "[    2.203992] sandbox-agent: clock", Source.AGENT, None, None, "sandbox-agent: clock"),
    (N, "[    2.2] ERR [84] TSUP:main:8: x", Source.CONSOLE, None, None, None),
    (N, "[    2.200000] ERR [84] TEES:main:8: x", Source.TEE_SUPPLICANT, Level.ERROR, None, None),
    (N, "[    1.090309] @sandbox init 1.02", Source.CONSOLE, Level.INFO, None, None),
    (N, "[    1.090309] @sandbox failed share: x", Source.CONSOLE, Level.ERROR, None, None),
    (N, "~ # ls", Source.CONSOLE, None, None, "~ # ls"),
    (S, "[    0.040793] I/TC: Primary CPU", Source.OPTEE, Level.INFO, None, "I/TC: Primary CPU"),
    (S, "I/TC: Primary CPU", Source.OPTEE, Level.INFO, None, "I/TC: Primary CPU"),
    (S, "*[    0.040793] D/TC:0 0 f:1 x", Source.OPTEE, Level.DEBUG, None, "D/TC:0 0 f:1 x"),
    (S, "[    0.060792] I/TC: WARNING: insecure", Source.OPTEE, Level.WARNING, None, None),
    (S, f"[    2.000000] {UUID} I/TA: hello", Source.TA, Level.INFO, UUID, "I/TA: hello"),
    (S, f"[    2.000000] {UUID} F/mine:  x", Source.TA, Level.FLOW, UUID, "F/mine:  x"),
    (S, f"[    2.000000] {UUID} printf only", Source.TA, None, UUID, "printf only"),
    (S, f"[    2.000000] {UUID} E/LD:  Call stack:", Source.LDELF, Level.ERROR, UUID, None),
    (S, f"[    2.000000] E/TC:? 0 Status of TA {UUID}", Source.OPTEE, Level.ERROR, UUID, None),
    # A TA cannot pass for another one, nor for the core: what it prints follows its own UUID.
    (S, f"[    2.000000] {UUID} [    9.000000] I/TC: no", Source.TA, None, UUID, None),
    (S, f"[    2.000000] {UUID} E/TC:0 0 no", Source.TA, Level.ERROR, UUID, None),
    (S, "[    2.000000] E/TC:? 0 TA panicked with code 0x1", Source.OPTEE, Level.ERROR, None, None),
    (S, "I/TA: of an OP-TEE without times", Source.TA, Level.INFO, None, None),
    (S, "what is this", Source.CONSOLE, None, None, None),
]  # fmt: skip


@pytest.mark.parametrize("case", LINES, ids=[case[1][:40] for case in LINES])
def test_a_line_tells_who_and_how_bad(
    case: tuple[World, str, Source, Level | None, str | None, str | None],
) -> None:
    world, line, source, level, ta, text = case
    parsed = parse(world, line)
    assert (parsed.source, parsed.level, parsed.ta) == (source, level, ta)
    assert parsed.raw == line
    if text is not None:
        assert parsed.text == text


def test_linux_does_not_wait_for_the_end_of_a_prompt() -> None:
    line = b"~ # [    2.203992] cml-ca: serving"
    assert list(messages(N, line)) == [(0, b"~ # "), (4, line[4:])]
    line = b"~ # <6>[    2.203992] optee: x"
    assert list(messages(N, line)) == [(0, b"~ # "), (4, line[4:])]
    # Colours before a time are no text.
    coloured = b"\x1b[31m[    2.203992] red"
    assert list(messages(N, coloured)) == [(0, coloured)]
    assert list(messages(S, line)) == [(0, line)]


# Order ------------------------------------------------------------------------------------------


def test_what_came_at_different_times_is_in_that_order(writer: Writer) -> None:
    """Whatever the lines themselves say."""
    writer.say(N, "NOTICE:  BL31")
    writer.say(S, "[    9.000000] I/TC: two")
    writer.say(N, "[    1.000000] three")
    writer.say(S, "I/TC: four")
    assert texts(writer) == ["NOTICE:  BL31", "I/TC: two", "three", "I/TC: four"]


def clock(counter_s: float, stamp_s: float) -> str:
    return f"[{stamp_s:12.6f}] sandbox-agent: clock {round(counter_s * 62_500_000)} 62500000"


def test_what_was_seen_at_once_is_in_the_order_of_its_times(writer: Writer) -> None:
    """Linux counts from 0.61 s later, and its agent says so."""
    writer.say(N, clock(1.81, 1.2))
    writer.write(N, b"[    2.000000] one\n[    2.000400] three\n[    2.000800] five\n")
    writer.write(S, b"[    2.610200] I/TC: two\n[    2.610600] I/TC: four\n")
    writer.look()
    assert texts(writer)[1:] == ["one", "I/TC: two", "three", "I/TC: four", "five"]


def test_without_the_agent_the_clocks_are_guessed_from_what_was_seen(writer: Writer) -> None:
    for number in range(20):
        at_s = number * 0.1
        writer.say(N, f"[{at_s + 1:12.6f}] n", at_s=at_s + 2.0011)
        writer.say(S, f"[{at_s + 1.65:12.6f}] I/TC: s", at_s=at_s + 2.0511)
    writer.write(N, b"[    9.000000] one\n[    9.000400] three\n")
    writer.write(S, b"[    9.600200] I/TC: two\n[    9.600600] I/TC: four\n")
    writer.look(20.0)
    assert texts(writer)[-4:] == ["one", "I/TC: two", "three", "I/TC: four"]


def test_a_console_keeps_its_own_order(writer: Writer) -> None:
    """A guest that lies about its times deceives about its own lines only."""
    writer.say(N, clock(1.0, 1.0))
    writer.write(N, b"[ 9999.000000] future\n[    0.000001] past\n[    2.000000] honest\n")
    writer.write(S, b"[    1.900000] I/TC: one\n[    2.100000] I/TC: two\n")
    writer.look()
    writer.say(S, "[    3.000000] I/TC: three")
    lines = texts(writer)
    assert [t for t in lines if "/" not in t][1:] == ["future", "past", "honest"]
    assert [t for t in lines if "/" in t] == ["I/TC: one", "I/TC: two", "I/TC: three"]
    assert lines[-1] == "I/TC: three"


def test_a_line_is_where_it_began(writer: Writer) -> None:
    writer.write(N, b"[    1.000000] lo")
    writer.look()
    writer.say(S, "[    1.500000] I/TC: short")
    writer.say(N, "ng")
    assert texts(writer) == ["long", "I/TC: short"]


def test_times_are_the_hosts_and_never_go_back(writer: Writer) -> None:
    writer.say(N, "NOTICE:  early", at_s=0.2)
    writer.say(S, "[    0.100000] I/TC: a", at_s=0.3)
    writer.say(N, "[    5.000000] b", at_s=0.4)
    # Its clock stood still for a while: somebody stopped the machine.
    writer.say(S, "[    0.150000] I/TC: c", at_s=9.0)
    records = list(reader.read(writer.recording))
    times = [record.time_s for record in records]
    assert times == sorted(times)
    assert times[:3] == pytest.approx([0.2, 0.3, 0.4])
    assert 0.4 <= times[3] <= 9.0


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_any_interleaving_comes_out_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Lines that cause one another, seen as late and in as large pieces as may be."""
    writer = Writer(tmp_path_factory.mktemp("machine"))
    writer.say(N, clock(1.5, 1.0))
    worlds = data.draw(st.lists(st.sampled_from(list(World)), min_size=1, max_size=40))
    counter_s = 2.0
    for number, world in enumerate(worlds):
        counter_s += data.draw(st.floats(0.0001, 0.01))
        stamp_s = counter_s - (0.5 if world is N else 0.0)
        prefix = "" if world is N else "I/TC: "
        writer.write(world, f"[{stamp_s:12.6f}] {prefix}{number}\r\n".encode())
        if data.draw(st.booleans()):
            writer.look(counter_s + 0.01)
    said = [text.removeprefix("I/TC: ") for text in texts(writer)[1:]]
    assert said == [str(number) for number in range(len(worlds))]


# Damage -----------------------------------------------------------------------------------------


def story(writer: Writer) -> list[str]:
    writer.say(N, clock(1.5, 1.0), at_s=1.6)
    for number in range(10):
        writer.say(N, f"[{2 + number:12.6f}] n{number}", at_s=2.6 + number)
        writer.say(S, f"[{3 + number:12.6f}] I/TC: s{number}", at_s=3.1 + number)
    return texts(writer)


def test_without_an_index_the_lines_times_are_enough(writer: Writer) -> None:
    told = story(writer)
    writer.recording.index.unlink()
    assert texts(writer) == told
    records = list(reader.read(writer.recording))
    # Seconds of the CPU's counter then.
    assert [r.time_s for r in records if r.text == "I/TC: s3"] == [6.0]
    assert [r.time_s for r in records if r.text == "n3"] == [5.5]


@pytest.mark.parametrize("damage", ["cut", "cut-header", "empty", "other", "garbage", "beyond"])
def test_a_damaged_index_loses_no_line(writer: Writer, damage: str) -> None:
    told = story(writer)
    index = writer.recording.index
    data = index.read_bytes()
    if damage == "cut":
        index.write_bytes(data[: len(data) // 2 + 5])
    elif damage == "cut-header":
        index.write_bytes(data[:10])
    elif damage == "empty":
        index.write_bytes(b"")
    elif damage == "other":
        index.write_bytes(b"CMLIDX9\n" + data[8:])
    elif damage == "garbage":
        index.write_bytes(data[: recorder.HEADER.size] + random.Random(1).randbytes(1000))
    else:
        writer.sizes = {world: 1 << 40 for world in World}
        writer.look(99.0)
    assert sorted(texts(writer)) == sorted(told)


def test_a_recorder_that_died_holds_nothing_up(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "_INDEX_PATIENCE_S", 0.05)
    writer.say(N, "seen")
    one = Reader(writer.recording)
    assert [record.text for record in one.read()] == ["seen"]
    writer.write(S, b"I/TC: not in the index\n")
    assert list(one.read()) == []
    time.sleep(0.06)
    assert [record.text for record in one.read()] == ["I/TC: not in the index"]
    one.close()


def test_hostile_bytes_are_harmless(writer: Writer) -> None:
    writer.write(N, b"\x1b]0;title\x07\x1b[2J\x9b31mred\x00\xff[red]x[/red]\r\n")
    writer.write(S, b"I/TC: " + b"A" * 10_000 + b"\r\n" + bytes(range(256)) + b"\r\n")
    writer.look()
    joined = "".join(record.text + record.raw for record in reader.read(writer.recording))
    assert not {c for c in joined if ord(c) < 32 and c != "\t"} and "\x7f" not in joined
    assert "\x9b" not in joined and "[red]x[/red]" in joined
    assert joined.count("A") >= 20_000


# While it goes on -------------------------------------------------------------------------------


def test_an_unfinished_line_waits_for_its_end(writer: Writer) -> None:
    one = Reader(writer.recording)
    writer.write(N, b"half")
    writer.look()
    assert list(one.read()) == []
    writer.say(N, " a line")
    assert [record.text for record in one.read()] == ["half a line"]
    one.close()


def test_a_prompt_does_not_hold_up_the_other_world(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "_PATIENCE_S", 0.05)
    one = Reader(writer.recording)
    writer.write(N, b"~ # ")
    writer.look()
    writer.say(S, "I/TC: later")
    assert list(one.read()) == []
    time.sleep(0.06)
    assert [record.text for record in one.read()] == ["I/TC: later"]
    assert [record.text for record in one.finish()] == ["~ # "]
    one.close()


def test_follow_goes_over_to_the_next_run(tmp_path: Path) -> None:
    path = tmp_path / "machine"
    path.mkdir()
    stream = reader.follow(Writer(path).recording, poll_s=0.001)

    def until(text: str) -> list[str]:
        found = []
        for came in itertools.islice(stream, 5000):
            if came.record is not None:
                found.append(came.record.text)
                if came.record.text == text:
                    return found
        raise AssertionError(found)

    assert next(stream).record is None
    first = Writer(path)
    first.say(N, "one")
    assert until("one") == ["one"]
    first.write(S, b"I/TC: never ended")
    first.look()
    for file in path.iterdir():
        file.rename(path.with_name(f"old-{file.name}"))
    second = Writer(path)
    second.say(S, "I/TC: two")
    assert until("I/TC: two") == ["I/TC: never ended", "I/TC: two"]
    stream.close()


def test_reading_while_it_is_written(writer: Writer) -> None:
    """Each line once and in order, however the reads fall."""

    def write() -> None:
        for number in range(2000):
            world = (N, S)[number % 2]
            writer.write(world, f"{number}\n".encode())
            if number % 7 == 0:
                writer.look(number / 1000)
        writer.look(3.0)

    thread = threading.Thread(target=write)
    thread.start()
    one = Reader(writer.recording)
    seen: list[Record] = []
    while thread.is_alive():
        seen += one.read()
    thread.join()
    seen += one.finish()
    one.close()
    for world, first in ((N, 0), (S, 1)):
        said = [int(r.text) for r in seen if r.world is world]
        assert said == list(range(first, 2000, 2))


# Filters and replay -----------------------------------------------------------------------------


def test_filters(writer: Writer) -> None:
    writer.say(N, "NOTICE:  BL31", at_s=0.1)
    writer.say(S, "[    0.200000] E/TC:0 0 bad", at_s=0.2)
    writer.say(S, f"[    0.300000] {UUID} I/TA: good", at_s=0.3)
    records = list(reader.read(writer.recording))

    def lets(**wanted: object) -> list[int]:
        chosen = Filter(**wanted)  # type: ignore[arg-type]
        return [number for number, record in enumerate(records) if chosen.lets(record)]

    assert lets() == [0, 1, 2]
    assert lets(worlds={S}) == [1, 2]
    assert lets(sources={Source.TF_A, Source.TA}) == [0, 2]
    assert lets(level=Level.ERROR) == [1]
    assert lets(level=Level.NOTICE) == [0, 1]
    assert lets(ta=UUID[:8]) == lets(ta=UUID) == [2]
    assert lets(text=re.compile("go+d")) == [2]
    assert lets(since_s=0.15) == [1, 2]
    assert lets(worlds={S}, level=Level.ERROR) == [1]


def test_replay_keeps_the_pace(writer: Writer) -> None:
    for at_s in (1.0, 1.5, 3.5):
        writer.say(N, "x", at_s=at_s)
    now = [100.0]
    slept = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    records = replay.replay(reader.read(writer.recording), 2.0, sleep, lambda: now[0])
    assert len(list(records)) == 3
    assert slept == pytest.approx([0.25, 1.0])


def test_a_panic_is_explained_behind_its_lines(writer: Writer) -> None:
    consoles = Path(__file__).parents[2] / "fixtures" / "consoles"
    writer.write(N, (consoles / "boot.bad-tee-panic.normal.log").read_bytes())
    writer.write(S, (consoles / "boot.bad-tee-panic.secure.log").read_bytes())
    writer.look()
    plain = list(reader.read(writer.recording))
    records = list(explained(plain, writer.recording))
    added = [record for record in records if record.source is Source.SANDBOX]
    assert added[0].text.startswith("TEE panic: ") and added[0].level is Level.ERROR
    assert [record for record in records if record.source is not Source.SANDBOX] == plain
    before = records[records.index(added[0]) - 1]
    assert before.world is World.SECURE and added[0].time_s == before.time_s
    # While it goes on, silence ends a panic.
    came = []
    for item in reader.follow(writer.recording, poll_s=0.01):
        came += [item.record] if item.record else []
        if came and came[-1].source is Source.SANDBOX:
            break
    assert came[-1].text == added[0].text
