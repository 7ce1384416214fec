# SPDX-License-Identifier: Apache-2.0
"""`sandbox bench` on the real stack: figures are there, and what is said of them follows from them.

No time is held against a limit here: that is for who reads docs/performance.md.
"""

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from real_stack import run_sandbox

from sandbox.commands.bench_report import GOALS, NAMES

MIB = 1 << 20


# Its own: LiteRT gets the model in the clear, which other tests look for in the normal world.
OWN = ("--machine", "e2e-bench")


@pytest.fixture(scope="module", autouse=True)
def own_machine() -> Iterator[None]:
    assert run_sandbox(*OWN, "up", "--cores", "2").status == 0
    yield
    assert run_sandbox(*OWN, "down").status == 0


@pytest.fixture(scope="module")
def peers() -> Any:
    ran = run_sandbox(*OWN, "bench", "--peers", "--runs", "2", "--json", timeout_s=900)
    assert ran.status == 0, ran.stderr
    assert "round 1 of 2" in ran.stderr or "rounds" in ran.stderr
    return ran.json


def test_everybody_was_measured_or_it_is_said_why_not(peers: Any) -> None:
    assert set(peers["seconds"]) == set(NAMES)
    for name, figure in peers["seconds"].items():
        if figure is None:
            assert any(remark.startswith(f"{name}:") for remark in peers["remarks"]), name
            continue
        assert len(figure["samples"]) == 2
        assert 0 < figure["least"] <= figure["median"] <= figure["most"]
    for name in ("xnnpack1", "xnnpack2", "builtin1", "ree1", "ta1"):
        assert peers["seconds"][name] is not None


def test_ratios_are_the_quotients_of_the_figures(peers: Any) -> None:
    ratios = peers["ratios"]
    assert set(ratios) == set(GOALS)

    def median(name: str) -> float | None:
        return peers["seconds"][name] and peers["seconds"][name]["median"]

    for name, above, below in (
        ("ta1_vs_xnnpack1", "ta1", "xnnpack1"),
        ("ta2_vs_xnnpack2", "ta2", "xnnpack2"),
        ("ta2_vs_ta1", "ta2", "ta1"),
        ("tee_vs_ree", "ta1", "ree1"),
    ):
        a, b = median(above), median(below)
        assert ratios[name] == (None if a is None or b is None else pytest.approx(a / b)), name


def test_what_it_takes_of_the_host_is_told_too(peers: Any) -> None:
    seconds = peers["host_cpu_seconds"]
    assert set(seconds) >= {"xnnpack1", "builtin1", "ree1", "measuring_ta"}
    assert all(figure["least"] > 0 for figure in seconds.values())
    ratios = peers["ratios_of_host_cpu"]
    ta = seconds["measuring_ta"]["median"]
    assert ratios["ta1_vs_xnnpack1"] == pytest.approx(ta / seconds["xnnpack1"]["median"])
    assert ratios["tee_vs_ree"] == pytest.approx(ta / seconds["ree1"]["median"])
    assert 0 < ratios["peak_share_conv"] and 0 < ratios["peak_share_pointwise"]


def test_shares_of_the_peak_follow_from_the_layers(peers: Any) -> None:
    layers = peers["layers"]
    assert sum(layer["macs"] for layer in layers) == peers["macs"]
    peak = max(loop["macs_per_s"] for loop in peers["peak"]["loops"])
    assert peers["peak"]["macs_per_s"] == peak > 0

    def share(chosen: list[Any]) -> float:
        seconds = sum(layer["seconds"]["median"] for layer in chosen)
        return float(sum(layer["macs"] for layer in chosen) / seconds / peak)

    convolutions = [layer for layer in layers if "CONV_2D" in layer["operator"]]
    pointwise = [
        layer
        for layer in layers
        if layer["operator"] == "CONV_2D" and layer["shapes"][1][1:3] == [1, 1]
    ]
    assert len(layers) == 98 and len(convolutions) == 88 and len(pointwise) == 54
    assert peers["ratios"]["peak_share_conv"] == pytest.approx(share(convolutions))
    assert peers["ratios"]["peak_share_pointwise"] == pytest.approx(share(pointwise))


def test_all_compute_the_same_network(peers: Any) -> None:
    """Our engine to the bit, wherever it runs; LiteRT's other kernels round each layer in their own
    way, so their outputs are some steps of the 256 apart after 98 of them."""
    assert peers["service_agrees"] is True
    assert peers["agreement"]["measuring_ta"] == {"most": 0, "mean": 0.0, "share": 0.0}
    assert peers["xnnpack_took_the_whole_model"] is True
    if peers["seconds"]["reference1"] is not None:
        assert peers["agreement"]["reference1"]["most"] == 0
    # The same kernels, whatever the number of threads
    assert peers["agreement"]["xnnpack1"] == peers["agreement"]["xnnpack2"]
    for name in ("xnnpack1", "builtin1"):
        apart = peers["agreement"][name]
        assert 0 < apart["mean"] < 4 and apart["most"] < 64, name
    assert peers["cpu"]["ree"] == peers["cpu"]["ta"]


def test_secure_memory_is_counted(peers: Any) -> None:
    memory = peers["secure_memory"]
    # The model is there, in place; all of it fits.
    least = 4562608
    assert memory["optee_bytes"] + least < memory["peak_bytes"]["1"] <= memory["size_bytes"]
    many = memory["peak_bytes"]["4"]
    if many is None:
        assert peers["ratios"]["secure_memory_mib"] is None
        assert any("4 workers" in remark for remark in peers["remarks"])
    else:
        used = (many - memory["optee_bytes"]) / MIB
        assert peers["ratios"]["secure_memory_mib"] == pytest.approx(used)


def test_layers_as_text_and_as_a_drawing(tmp_path: Path) -> None:
    drawing = tmp_path / "layers.svg"
    ran = run_sandbox(*OWN, "bench", "--layers", "--runs", "1", "--svg", drawing, timeout_s=600)
    assert ran.status == 0, ran.stderr
    assert "peak: " in ran.stdout and "depthwise 3x3" in ran.stdout and "█" in ran.stdout
    root = ElementTree.fromstring(drawing.read_text())
    texts = [text.text or "" for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert sum(" pointwise " in text for text in texts) == 54
    # The machine was up, so it stays up.
    assert run_sandbox(*OWN, "status", "--json").json["state"] == "up"


def test_what_cannot_be_is_said_at_once(tmp_path: Path) -> None:
    for arguments, words in (
        (["--photo", tmp_path / "none.jpg"], "no such file"),
        (["--svg", tmp_path / "none" / "x.svg"], "no folder"),
        (["--peers", "--layers"], "not allowed with"),
        (["--runs", "0"], "a number from 1"),
    ):
        ran = run_sandbox(*OWN, "bench", *arguments)
        assert ran.status == 2 and words in ran.stderr, ran.stderr
