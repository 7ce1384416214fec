# SPDX-License-Identifier: Apache-2.0
"""The main job: every golden photo, through the real stack."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import big_photo
import goldens
import pytest
from PIL import Image, ImageChops, ImageOps
from real_stack import MODEL, ROOT, Client, golden, run_sandbox, sha256

from sandbox.machine.machine import Machine
from sandbox.owner.results import ResultError, open_result

BOX_TOLERANCE_PX = 0.01
SCORE_TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def detected(
    machine: Machine,
    photo_paths: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, dict[str, Any]]:
    """All photos in one call: several sessions at work at once."""
    del machine
    out = tmp_path_factory.mktemp("out")
    ran = run_sandbox("detect", *photo_paths.values(), "--json", "--out", out)
    assert ran.status == 0, ran.stderr
    assert [Path(each["image"]) for each in ran.json_lines] == list(photo_paths.values())
    return {Path(each["image"]).stem: each for each in ran.json_lines}


GOLDEN = sorted(p.stem for p in (ROOT / "fixtures/golden").glob("*.json"))


def test_there_is_a_golden_result_for_each_photo(photo_paths: dict[str, Path]) -> None:
    assert sorted(photo_paths) == GOLDEN


def test_photos_are_fetched(tmp_path: Path) -> None:
    ran = run_sandbox("photos", "fetch", "--out", tmp_path, "--json")
    assert ran.status == 0, ran.stderr
    assert tmp_path / "dog.jpg" in set(map(Path, ran.json))
    assert set(map(Path, ran.json)) == set(tmp_path.iterdir())


@pytest.mark.parametrize("name", GOLDEN)
def test_photo_gives_its_golden_result(
    name: str, detected: dict[str, dict[str, Any]], photo_paths: dict[str, Path]
) -> None:
    said, expected = detected[name], golden(name)
    assert sha256(photo_paths[name].read_bytes()) == expected["photo_sha256"]
    assert said["model"]["sha256"] == sha256(MODEL.read_bytes()) == expected["model_sha256"]
    assert (said["width"], said["height"]) == (expected["width"], expected["height"])
    # All output tensors of the network, bit for bit, by their digest.
    assert said["model"]["output_sha256"] == expected["outputs_sha256"]
    assert [d["label"] for d in said["detections"]] == [d["label"] for d in expected["detections"]]
    for ours, theirs in zip(said["detections"], expected["detections"], strict=True):
        assert ours["score"] == pytest.approx(theirs["score"], abs=SCORE_TOLERANCE)
        assert ours["box"] == pytest.approx(theirs["box"], abs=BOX_TOLERANCE_PX)


def test_the_bicycle(detected: dict[str, dict[str, Any]]) -> None:
    best = detected["dog"]["detections"][0]
    assert best["label"] == "bicycle"
    assert best["score"] > 0.9


def test_picture_differs_from_the_photo_at_the_boxes(
    detected: dict[str, dict[str, Any]], photo_paths: dict[str, Path]
) -> None:
    said = detected["dog"]
    with Image.open(photo_paths["dog"]) as opened:
        photo = ImageOps.exif_transpose(opened).convert("RGB")
    with Image.open(said["picture"]) as opened:
        picture = opened.convert("RGB")
    assert picture.size == photo.size
    x1, y1, x2, y2 = said["detections"][0]["box"]
    edge = (int(x1), int(y1) + 60, int(x1) + 2, int(y2) - 60)
    changed = ImageChops.difference(photo.crop(edge), picture.crop(edge))
    assert changed.getbbox() is not None


def test_timings_name_each_part(detected: dict[str, dict[str, Any]]) -> None:
    timings = detected["dog"]["timings_ms"]
    assert {"seal", "service", "open", "jpeg", "network", "boxes", "total"} <= set(timings)
    assert timings["network"] > 0


def test_text_output_has_label_score_and_box(
    photo_paths: dict[str, Path], machine: Machine
) -> None:
    del machine
    ran = run_sandbox("detect", photo_paths["dog"])
    assert ran.status == 0, ran.stderr
    assert "bicycle" in ran.stdout
    assert "0.99" in ran.stdout


def test_a_photo_of_24_megapixels(machine: Machine, tmp_path: Path) -> None:
    """Decoded while it arrives, in memory that does not grow with it."""
    del machine
    photo = tmp_path / "big.jpg"
    big_photo.write(photo)
    ran = run_sandbox("detect", photo, "--json", timeout_s=300.0)
    assert ran.status == 0, ran.stderr
    said = ran.json
    assert said["width"] * said["height"] >= 24_000_000
    assert said["model"]["output_sha256"] == goldens.result(photo)["outputs_sha256"]


def test_bad_photos_are_named_and_good_ones_beside_them_are_done(
    photo_paths: dict[str, Path], machine: Machine
) -> None:
    del machine
    bad = ROOT / "fixtures/photos/chelsea.bad-cmyk.jpg"
    ran = run_sandbox("detect", bad, photo_paths["chelsea"], "--json")
    assert ran.status == 2
    refused, good = ran.json_lines
    assert refused["error"]["name"] == "JPEG_COLORSPACE"
    assert [d["label"] for d in good["detections"]] == ["cat"]


def test_a_missing_photo_is_the_users_error(machine: Machine) -> None:
    del machine
    ran = run_sandbox("detect", "no-such.jpg")
    assert ran.status == 2
    assert "no-such.jpg" in ran.stderr


def test_sessions_run_at_the_same_time(connect: Callable[[str], Client]) -> None:
    """Two sessions with keys of their own; each opens only what is its own."""
    first, second = connect("e2e-one"), connect("e2e-two")
    for client in (first, second):
        client.provision()
        client.load()
    photo = (ROOT / "fixtures/photos/astronaut.jpg").read_bytes()
    request = first.seal(photo)
    answer = first.infer_bytes(request.data)
    assert open_result(first.data_key, request, answer, first.signer).detections
    with pytest.raises(ResultError):
        open_result(second.data_key, request, answer, first.signer)
    for client in (first, second):
        client.assert_works()


def test_a_result_opens_for_its_own_request_only(client: Client) -> None:
    photo = (ROOT / "fixtures/photos/chelsea.jpg").read_bytes()
    first, second = client.seal(photo), client.seal(photo)
    answer = client.infer_bytes(first.data)
    open_result(client.data_key, first, answer, client.signer)
    with pytest.raises(ResultError):
        open_result(client.data_key, second, answer, client.signer)


def test_golden_results_are_of_this_model() -> None:
    for path in (ROOT / "fixtures/golden").glob("*.json"):
        assert json.loads(path.read_text())["model_sha256"] == sha256(MODEL.read_bytes())
