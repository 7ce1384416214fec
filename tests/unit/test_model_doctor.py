# SPDX-License-Identifier: Apache-2.0
"""What is said about a report; the reports are made up, so that nothing is compiled here."""

import dataclasses
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from ai_edge_litert import schema_py_generated as litert

from sandbox.model import doctor, lifetimes, profiles, schema, svg, text
from sandbox.model.as_json import as_json
from sandbox.model.profiles import TA_CODE_BYTES, TA_SESSION_BYTES, Profile
from sandbox.model.report import Cpu, Detector, Operator, Photo, Place, Report, Tensor

ROOT = Path(__file__).parents[2]


def tensor(index: int, size: int, offset: int = 0, place: Place = Place.ARENA, **other) -> Tensor:  # type: ignore[no-untyped-def]
    fields = {
        "name": f"t{index}",
        "type": "int8",
        "shape": (1, 16, 16, size // 256),
        "scale": 0.1,
        "zero_point": 0,
        "scale_count": 1,
        **other,
    }
    return Tensor(index=index, size_bytes=size, offset=offset, place=place, **fields)


def operator(step: int, inputs: tuple[int, ...], outputs: tuple[int, ...]) -> Operator:
    return Operator(step, step, "CONV_2D", "neon", inputs, outputs, 1000, 0, 1, Place.NONE)


def chain(**changes) -> Report:  # type: ignore[no-untyped-def]
    """Input 0 of 1 KiB to 1 of 4 KiB, to 2 of 2 KiB, computed in place to 3; 4 is weights."""
    tensors = (
        tensor(0, 1024, 0),
        tensor(1, 4096, 1024),
        tensor(2, 2048, 5120),
        tensor(3, 2048, 5120),
        tensor(4, 8192, 64, Place.MODEL),
    )
    operators = (operator(0, (0, 4, -1), (1,)), operator(1, (1,), (2,)), operator(2, (2,), (3,)))
    fields = {
        "cpu": Cpu.NEON,
        "file_bytes": 9000,
        "file_operators": 3,
        "tables_bytes": 1000,
        "arena_bytes": 7168,
        "lower_bound_bytes": 6144,
        "scratch_bytes": 100,
        "first_input_bytes": 1024,
        "macs": 3000,
        "model_bytes": 12_000,
        "board_bytes": 4000,
        "load_peak_bytes": 15_000,
        "tensors_request_bytes": 9000,
        "inputs": (0,),
        "outputs": (3,),
        "operators": operators,
        "tensors": tensors,
        "detector": None,
        "not_detector": "MODEL_NOT_DETECTOR",
        **changes,
    }
    return Report(**fields)


def board(ram: int, quota: int | None = None) -> Profile:
    return Profile("board", "a board", ram, Cpu.NEON, "made up", quota)


def test_a_span_is_what_takes_one_place_in_turn() -> None:
    found = lifetimes.spans(chain())
    assert [[t.index for t in span.tensors] for span in found] == [[0], [1], [2, 3]]
    assert [(span.first, span.last) for span in found] == [(-1, 0), (0, 1), (1, 3)]
    assert lifetimes.profile(found, 3) == [5120, 6144, 2048]


def test_the_peak_names_its_operator_and_tensors() -> None:
    report = chain()
    (top,) = lifetimes.peaks(report, lifetimes.spans(report))
    assert top.operator is report.operators[1] and top.live_bytes == 6144
    assert [span.tensors[0].index for span in top.spans] == [1, 2]


def test_a_model_is_there_once_and_each_request_for_itself() -> None:
    once, each = TA_CODE_BYTES + 16_000, TA_SESSION_BYTES + 9000
    assert doctor.fit(chain(), board(once + each)).requests == 1
    assert doctor.fit(chain(), board(once + 4 * each - 1)).requests == 3
    lacking = doctor.fit(chain(), board(once + each - 1))
    assert not lacking.fits and lacking.missing_bytes == 1


def test_a_detectors_sessions_keep_something_each() -> None:
    photo = Photo(1 << 40, 4000, 3000, 99_000, 16_000 + 500 + 20_000)
    report = chain(detector=Detector(16, 500, (photo,), (photo,)), not_detector="")
    assert (report.session_bytes, report.request_bytes) == (500, 20_000)
    once, each = TA_CODE_BYTES + 16_000, TA_SESSION_BYTES + 500 + 20_000
    assert doctor.fit(report, board(once + 2 * each)).requests == 2
    assert doctor.fit(report, board(once + 2 * each - 1)).requests == 1


def test_loading_may_take_more_than_running() -> None:
    report = chain(load_peak_bytes=50_000)
    itself = TA_CODE_BYTES + TA_SESSION_BYTES
    assert doctor.fit(report, board(itself + 50_000)).fits
    lacking = doctor.fit(report, board(itself + 49_999))
    assert not lacking.fits and lacking.missing_bytes == 1
    assert "while it is loaded" in doctor.advice(report, (lacking,))[0]


def test_what_sessions_share_has_a_limit_of_its_own() -> None:
    """An arena of 7168 bytes is two pages."""
    ram = 1 << 30
    assert doctor.fit(chain(), board(ram, 16_000 + 3 * 8192)).requests == 3
    assert doctor.fit(chain(), board(ram, 16_000 + 3 * 8192 - 1)).requests == 2
    lacking = doctor.fit(chain(), board(ram, 16_000 + 8192 - 1))
    assert not lacking.fits and lacking.missing_bytes == 1


def test_a_smaller_input_is_proposed_where_activations_are_to_blame() -> None:
    mib = 1 << 20
    report = chain(
        arena_bytes=10 * mib, tensors_request_bytes=12 * mib - 16_000, lower_bound_bytes=10 * mib
    )
    itself = TA_CODE_BYTES + TA_SESSION_BYTES
    lacking = doctor.fit(report, board(itself + 6 * mib))
    # 3.7 MiB are left for activations: 16 * sqrt(0.37) is too small to be a picture
    assert doctor.smaller_side(report, lacking) is None
    large = dataclasses.replace(
        report, tensors=(tensor(0, 1024, shape=(1, 320, 240, 3)), *report.tensors[1:])
    )
    side = doctor.smaller_side(large, lacking)
    assert side is not None and 180 <= side <= 196
    assert (side / 320) ** 2 * 10 * mib + 2 * mib <= 6 * mib
    words = " ".join(doctor.advice(large, (lacking,)))
    assert f"about {side} in place of 320 pixels" in words
    limited = doctor.fit(large, board(1 << 30, 6 * mib))
    side = doctor.smaller_side(large, limited)
    assert side is not None and (side / 320) ** 2 * 10 * mib + 16_000 <= 6 * mib


def test_weights_that_are_too_many_are_said_to_be() -> None:
    mib = 1 << 20
    report = chain(file_bytes=11 * mib, model_bytes=12 * mib, load_peak_bytes=12 * mib)
    lacking = doctor.fit(report, board(TA_CODE_BYTES + TA_SESSION_BYTES + 4 * mib))
    assert "a smaller network" in doctor.advice(report, (lacking,))[0]


def test_of_two_plans_the_worse_one_counts() -> None:
    one = board(TA_CODE_BYTES + TA_SESSION_BYTES + 30_000)
    small, large, none = (
        doctor.fit(chain(load_peak_bytes=count), one) for count in (15_000, 28_000, 31_000)
    )
    assert small.fits and large.fits and not none.fits
    for fits in ((small, large, none), (none, large, small)):
        assert doctor.worse(fits) is none
        assert doctor.worse(fit for fit in fits if fit.fits) is large


def test_outputs_that_no_result_can_have_fit_nowhere() -> None:
    report = chain(tensors_request_bytes=0)
    huge = doctor.fit(report, board(1 << 30))
    assert not huge.fits
    assert "16.00 MiB at most" in doctor.advice(report, (huge,))[0]


def test_files_that_the_ta_does_not_take_fit_nowhere() -> None:
    report = chain(file_bytes=(12 << 20) + 1)
    huge = doctor.fit(report, board(1 << 30))
    assert not huge.fits
    assert "12.00 MiB at most" in doctor.advice(report, (huge,))[0]


def test_float_models_are_told_of_int8() -> None:
    tensors = tuple(dataclasses.replace(t, type="float32") for t in chain().tensors)
    assert "Convert it to int8" in doctor.advice(chain(tensors=tensors), ())[0]
    assert not any("int8" in words for words in doctor.advice(chain(), ()))


def test_batches_are_told_of() -> None:
    tensors = (tensor(0, 1024, shape=(4, 8, 8, 4)), *chain().tensors[1:])
    assert any("batch of 1 in place of 4" in w for w in doctor.advice(chain(tensors=tensors), ()))


def test_every_form_shows_the_same_plan() -> None:
    report = chain()
    fits = tuple(doctor.fit(report, profile) for profile in profiles.PROFILES)
    shown = text.report_text(report, fits, 80)
    assert "7,168" in shown and "t2 = t3" in shown and "+16.67%" in shown
    assert "16,000  once" in shown and "9,000  each request of tensors" in shown
    assert all(
        len(line) <= 80 for line in text.chart(report, lifetimes.spans(report), 80).split("\n")
    )
    fields = as_json(report, fits, "m.tflite")
    assert fields["bytes"]["arena"] == 7168 and len(fields["arena"]) == 3
    assert fields["bytes"]["tensors_request"] == 9000
    assert fields["bytes"]["photo_request"] is None
    assert fields["bytes"]["needed"] == 25_000
    assert [fit["profile"] for fit in fields["fits"]] == [p.name for p in profiles.PROFILES]
    drawing = ElementTree.fromstring(svg.render(report, "a <model> & more"))
    assert len(drawing.findall("{*}rect")) == 4


def test_the_chart_puts_bytes_where_they_are() -> None:
    lines = text.chart(chain(), lifetimes.spans(chain()), 34 + 12 + 56).split("\n")
    bars = [line[-56:] for line in lines[1:]]
    # 128 bytes a character: 1 KiB is 8 of them.
    assert bars[0] == "█" * 8 + "▌" + "█" * 31 + "·" * 16
    assert bars[1] == "·" * 8 + "▌" + "█" * 31 + "▌" + "█" * 15
    assert bars[2] == "·" * 40 + "▌" + "█" * 15


def test_names_are_the_schemas() -> None:
    operators = vars(litert.BuiltinOperator)
    assert [operators[name] for name in schema.BUILTIN_OPERATORS] == list(
        range(len(schema.BUILTIN_OPERATORS))
    )
    types = vars(litert.TensorType)
    assert [types[name.upper()] for name in schema.TENSOR_TYPES] == list(
        range(len(schema.TENSOR_TYPES))
    )
    assert schema.operator_name(32, "Mine") == "CUSTOM Mine"
    assert schema.operator_name(9999) == "operator 9999"


def test_cpu_bits_are_the_engines() -> None:
    header = (ROOT / "ta/core/nn/graph.h").read_text()
    bits = dict(re.findall(r"CML_CPU_(\w+) = 1 << (\d)", header))
    assert {name: 1 << int(shift) for name, shift in bits.items()} == {
        bit.name: bit.value for bit in Cpu
    }


@pytest.mark.parametrize("profile", profiles.PROFILES[1:], ids=lambda p: p.name)
def test_a_boards_memory_is_what_its_source_says(profile: Profile) -> None:
    numbers = dict(re.findall(r"(TZDRAM|TEE_RAM) (0x[0-9a-f]+)", profile.source))
    tee = int(numbers.get("TEE_RAM", "0x200000"), 16)
    assert profile.ta_ram_bytes == int(numbers["TZDRAM"], 16) - tee


def test_the_sandboxs_limit_is_what_optee_is_built_with() -> None:
    options = (ROOT / "optee-build/optee-os.options").read_text()
    found = re.search(r"^CFG_INSTANCE_MEMORY_QUOTA=(\w+)$", options, re.MULTILINE)
    assert found and profiles.DEFAULT.quota_bytes == int(found[1], 0)
