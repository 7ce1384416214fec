# SPDX-License-Identifier: Apache-2.0
"""What is made of named stacks: shares, a flame graph, other tools' formats."""

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from sandbox.commands import profile as command
from sandbox.commands.profile import Format
from sandbox.debug.profile import exports, flamegraph
from sandbox.debug.profile.stacks import Frame, Kind, Profile, Stack
from sandbox.errors import UserError

SVG = "{http://www.w3.org/2000/svg}"

HOSTILE = """<script>alert('"&;]]>')</script>\x1b\ud800\x00\n"""


def profile_of(*stacks: Stack, cores: int = 2) -> Profile:
    stops = max(1, len(stacks) // cores)
    return Profile(stacks, cores, stops, 0.01 * stops, 0.001 * stops)


def stack(*frames: str, kind: Kind = Kind.TA, core: int = 0) -> Stack:
    world = Frame("secure world", Kind.WORLD)
    return Stack(core, 0.0, (world, *(Frame(name, kind) for name in frames)))


IDLE = Stack(1, 0.0, (Frame("idle", Kind.IDLE),))


def test_shares_and_functions() -> None:
    seventy = [stack("TA", "main", "a")] * 7
    thirty = [stack("TA", "main", "b", "b")] * 3
    profile = profile_of(*seventy, *thirty, *[IDLE] * 10)
    assert profile.places()[Kind.TA] == 10 and profile.places(1)[Kind.IDLE] == 10
    assert profile.owners() == [(Frame("TA", Kind.TA), 10)]
    found = {f.frame.name: (f.self_count, f.total_count) for f in profile.functions()}
    # A function that calls itself was there once.
    assert found == {"a": (7, 7), "b": (3, 3), "main": (0, 10)}
    said = command.summary(profile)
    assert said["places"]["ta"] == {"percent": 50.0, "by_core": [100.0, 0.0]}
    assert [(f["name"], f["self_percent"]) for f in said["functions"]][:2] == [
        ("a", 70.0),
        ("b", 30.0),
    ]
    assert "70.0 %" in command.table(profile) and "main" not in command.table(profile)


def boxes(svg: str) -> dict[str, tuple[float, float, int]]:
    """Each frame's left edge, width and depth."""
    found = {}
    for group in ElementTree.fromstring(svg).iter(f"{SVG}g"):
        if group.get("class") == "f":
            rect = group.find(f"{SVG}rect")
            assert rect is not None
            place = float(rect.attrib["x"]), float(rect.attrib["width"])
            found[group.attrib["data-n"]] = (*place, int(group.attrib["data-d"]))
    return found


def test_the_width_of_a_frame_is_its_share() -> None:
    drawn = boxes(
        flamegraph.svg(profile_of(*[stack("TA", "a")] * 3, stack("TA", "b"), *[IDLE] * 4), "title")
    )
    whole = drawn["busy"][1]
    assert drawn["a"][1] == pytest.approx(0.75 * whole) and drawn["b"][1] == pytest.approx(
        whole / 4
    )
    assert drawn["b"][0] == pytest.approx(drawn["a"][0] + drawn["a"][1], abs=0.02)
    assert [drawn[name][2] for name in ("busy", "secure world", "TA", "a")] == [0, 1, 2, 3]
    assert "idle" not in drawn


def test_idle_time_and_cores_are_drawn_on_request() -> None:
    drawn = boxes(
        flamegraph.svg(profile_of(stack("TA", "a"), IDLE), "title", by_core=True, idle=True)
    )
    assert drawn["idle"][1] == pytest.approx(drawn["all"][1] / 2)
    assert drawn["core 0"][2] == drawn["core 1"][2] == 1


def test_nothing_that_the_guest_calls_a_function_gets_out_of_the_picture() -> None:
    profile = profile_of(stack(HOSTILE, "x" * 10_000))
    svg = flamegraph.svg(profile, HOSTILE)
    root = ElementTree.fromstring(svg.encode())
    assert len([*root.iter(f"{SVG}script")]) == 1
    assert svg.count("<script>") == 1 and svg.count("]]>") == 1
    assert "alert" not in next(root.iter(f"{SVG}script")).text  # type: ignore[operator]


def test_a_profile_without_busy_samples_is_a_picture_too() -> None:
    assert boxes(flamegraph.svg(profile_of(IDLE, IDLE), "idle")) == {}


def test_folded_stacks_have_one_line_each() -> None:
    text = exports.folded(profile_of(stack("TA", "a;b\nc"), stack("TA", "a;b\nc"), IDLE))
    assert text == "idle 1\nsecure world;TA;a:b c 2\n"
    assert "core 1;idle 1\n" in exports.folded(profile_of(IDLE), by_core=True)


def test_speedscope_has_all_cores_and_each() -> None:
    profile = profile_of(stack("TA", "a"), IDLE, stack("TA", "b"), IDLE)
    found = json.loads(exports.speedscope(profile, "title"))
    frames = [frame["name"] for frame in found["shared"]["frames"]]
    assert [p["name"] for p in found["profiles"]] == ["all cores", "core 0", "core 1"]
    for part in found["profiles"]:
        assert part["type"] == "sampled" and len(part["samples"]) == len(part["weights"])
        assert sum(part["weights"]) == pytest.approx(part["endValue"])
    core = [[frames[i] for i in s] for s in found["profiles"][1]["samples"]]
    assert core == [["secure world", "TA", "a"], ["secure world", "TA", "b"]]


@pytest.mark.parametrize(
    ("name", "form"),
    [("a.svg", Format.SVG), ("b.folded", Format.FOLDED), ("c.json", Format.SPEEDSCOPE)],
)
def test_the_format_is_in_the_name(name: str, form: Format) -> None:
    assert Format.of(Path(name)) is form


def test_a_name_without_a_format() -> None:
    with pytest.raises(UserError, match="cannot tell the format"):
        Format.of(Path("profile.png"))


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        command._write(tmp_path / "file" / "profile.svg", "")
