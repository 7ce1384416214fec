# SPDX-License-Identifier: Apache-2.0
"""Policies and reference values: what is wrong is named, with its line."""

import json
import uuid
from pathlib import Path
from typing import Any

import evidence_maker
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.verifier import policy
from sandbox.verifier.errors import PolicyError, ReferenceValuesError
from sandbox.verifier.policy import Policy
from sandbox.verifier.reference import Reference

REFERENCE = Reference.from_json(json.dumps(evidence_maker.reference()))
DEFAULT = policy.default_toml(REFERENCE)
DIGEST = "0f" * 32
TA = uuid.UUID(bytes=evidence_maker.TA_UUID)


def test_the_default_is_read_as_it_is_meant() -> None:
    found = Policy.from_toml(DEFAULT)
    assert found.id.startswith("ni:///sha-256;") and len(found.id) == 14 + 43
    assert found.max_age_s == 300
    assert found.debug_allowed
    assert found.devices is found.cores is found.models is None
    rule = found.rule(TA)
    assert rule is not None and rule.measurements is rule.versions is None
    assert found.rule(uuid.uuid4()) is None
    assert "emulation" in DEFAULT


def test_the_id_follows_the_text_unless_it_is_given() -> None:
    assert Policy.from_toml(DEFAULT).id != Policy.from_toml(DEFAULT + "\n").id
    assert Policy.from_toml('id = "mine"\n' + DEFAULT).id == "mine"


def test_a_policy_with_everything() -> None:
    text = f"""
version = 1
[freshness]
max_age_s = 1.5
[debug]
allowed = false
[devices]
allowed = ["{TA}"]
[optee_core]
allowed = [{{ version = "4.10.0", sha256 = "{DIGEST}" }}]
[models]
allowed = ["{DIGEST}", "{"1e" * 32}"]
[[ta]]
uuid = "{TA}"
versions = ["1", "2"]
measurements = ["{DIGEST}"]
[[ta]]
uuid = "{uuid.UUID(int=1)}"
name = "other"
versions = "any"
measurements = "reference"
"""
    found = Policy.from_toml(text)
    assert (found.max_age_s, found.debug_allowed) == (1.5, False)
    assert found.devices == {TA}
    assert found.cores is not None and found.cores[0].sha256.hex() == DIGEST
    assert found.models is not None and len(found.models) == 2
    first, second = found.tas
    assert first.versions == {"1", "2"} and not first.any_version
    assert (second.name, second.any_version, second.measurements) == ("other", True, None)


def line_of(text: str, wanted: str) -> int:
    return next(n for n, line in enumerate(text.splitlines(), 1) if wanted in line)


# What is replaced, by what, and what the message has beside the line.
MISTAKES: list[tuple[str, str, str]] = [
    ("version = 1", "version = 2", "knows 1"),
    ("version = 1", "version = true", "knows 1"),
    ("version = 1", 'version = "1"', "knows 1"),
    ("max_age_s = 300", "max_age_s = 0", "not within"),
    ("max_age_s = 300", "max_age_s = nan", "not within"),
    ("max_age_s = 300", "max_age_s = inf", "not within"),
    ("max_age_s = 300", 'max_age_s = "5 min"', "no number"),
    ("max_age_s = 300", "max_age_s = true", "no number"),
    ("max_age_s = 300", "max_age = 300", "unknown key"),
    ("allowed = true", 'allowed = "yes"', "neither true nor false"),
    ("allowed = true", "allowed = 1", "neither true nor false"),
    ('versions = "reference"', 'versions = "refference"', "nor a list"),
    ('versions = "reference"', "versions = [1]", "no text"),
    ('versions = "reference"', 'versionen = "any"', "unknown key"),
    ('measurements = "reference"', 'measurements = "any"', "nor a list"),
    ('measurements = "reference"', 'measurements = ["abc"]', "SHA-256"),
    ('measurements = "reference"', f'measurements = ["{DIGEST.upper()}"]', "lower-case"),
    ('measurements = "reference"', f'measurements = ["{DIGEST}\\n"]', "SHA-256"),
    (f'uuid = "{TA}"', 'uuid = "inference"', "no UUID"),
    (f'uuid = "{TA}"', "uuid = 1", "no text"),
    ("[freshness]", "[[freshness]]", "no table"),
    ("[[ta]]", "[ta]", "no array of tables"),
    ("[debug]", "[debugging]", "unknown key"),
    ("version = 1", 'version = 1\nid = ""', "no text"),
]


@pytest.mark.parametrize(("old", "new", "words"), MISTAKES, ids=[m[1] for m in MISTAKES])
def test_a_mistake_is_named_with_its_line(old: str, new: str, words: str) -> None:
    text = DEFAULT.replace(old, new)
    assert text != DEFAULT
    with pytest.raises(PolicyError) as raised:
        Policy.from_toml(text)
    assert words in raised.value.message
    last = new.splitlines()[-1]
    assert f"line {line_of(text, last)}:" in raised.value.message


@pytest.mark.parametrize("name", ["devices", "models", "optee_core"])
def test_lists_are_checked_entry_by_entry(name: str) -> None:
    head, tail = DEFAULT.split(f"[{name}]\n", 1)
    begin = tail.index("\nallowed = ") + 1
    rest = tail[tail.index("\n", begin) :]
    for value in ('"some"', "[1]", '["x"]', "[[]]", "{}", "7", '[{ version = "4" }]'):
        text = f"{head}[{name}]\nallowed = {value}{rest}"
        line = head.count("\n") + 2
        with pytest.raises(PolicyError, match=f"line {line}: {name}.allowed"):
            Policy.from_toml(text)


def test_missing_keys_and_tables_are_named() -> None:
    for line in ("version = 1", "max_age_s = 300", 'measurements = "reference"'):
        key = line.split()[0]
        with pytest.raises(PolicyError, match=f"'{key}' is missing"):
            Policy.from_toml(DEFAULT.replace(line, ""))
    with pytest.raises(PolicyError, match="line 1: 'debug' is missing"):
        Policy.from_toml("version = 1\n")


def test_a_second_rule_for_a_ta_is_named() -> None:
    rule = DEFAULT[DEFAULT.index("[[ta]]") :]
    text = f"{DEFAULT}\n{rule}"
    line = [n for n, words in enumerate(text.splitlines(), 1) if words.startswith("uuid")][1]
    with pytest.raises(PolicyError, match=f"line {line}: ta\\[1\\].uuid: .* has an entry"):
        Policy.from_toml(text)


def test_what_is_no_toml_is_named_with_its_line() -> None:
    with pytest.raises(PolicyError, match="line 2"):
        Policy.from_toml("version = 1\nversion = 1\n")


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_no_other_exception_escapes_a_policy(data: st.DataObject) -> None:
    lines = DEFAULT.splitlines()
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(lines) - 1))
        kind = data.draw(st.sampled_from(["drop", "twice", "value", "text"]))
        if kind == "drop":
            del lines[at]
        elif kind == "twice":
            lines.insert(at, lines[at])
        elif kind == "value" and "=" in lines[at]:
            value = data.draw(st.sampled_from(["1", "[]", "{}", '""', "[[1]]", "1979-05-27", "-1"]))
            lines[at] = f"{lines[at].split('=')[0]}= {value}"
        else:
            lines[at] = data.draw(st.text(max_size=12))
    try:
        Policy.from_toml("\n".join(lines))
    except PolicyError as error:
        assert "line " in error.message or "TOML" in error.message


def test_files_that_are_not_there_or_no_text(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    for kind, load in ((PolicyError, Policy.load), (ReferenceValuesError, Reference.load)):
        with pytest.raises(kind, match=str(path)):
            load(path)
    path.write_bytes(b"\xff")
    with pytest.raises(PolicyError, match="UTF-8"):
        Policy.load(path)
    path.write_bytes(b" " * (1 << 20) + b" ")
    for kind, load in ((PolicyError, Policy.load), (ReferenceValuesError, Reference.load)):
        with pytest.raises(kind, match="more than"):
            load(path)
    path.write_text(DEFAULT.replace("true", "maybe"))
    with pytest.raises(PolicyError, match=f"{path}, no TOML"):
        Policy.load(path)


# Reference values -------------------------------------------------------------------------------


def test_reference_values_are_read() -> None:
    assert REFERENCE.core.version == "4.10.0"
    assert REFERENCE.measurements(TA) == {evidence_maker.TA_SHA256}
    assert REFERENCE.versions(TA) == {"0.1.0"}
    assert REFERENCE.measurements(uuid.uuid4()) == set()


def reference(**changes: Any) -> str:
    return json.dumps({**evidence_maker.reference(), **changes})


TA_ENTRY = evidence_maker.reference()["tas"][0]
WRONG_REFERENCES = {
    "no-json": "{",
    "deep": "[" * 100_000,
    "array": "[]",
    "twice": '{"version": 1, "version": 1}',
    "version": reference(version=2),
    "version-true": reference(version=True),
    "more": reference(more=1),
    "core": reference(optee_core=None),
    "core-digest": reference(optee_core={"version": "4", "sha256": "00"}),
    "core-version": reference(optee_core={"version": 4, "sha256": DIGEST}),
    "tas": reference(tas={}),
    "ta": reference(tas=[1]),
    "ta-missing": reference(tas=[{"uuid": str(TA)}]),
    "ta-uuid": reference(tas=[{**TA_ENTRY, "uuid": "x"}]),
    "ta-name": reference(tas=[{**TA_ENTRY, "name": ""}]),
    "ta-digest": reference(tas=[{**TA_ENTRY, "sha256": DIGEST.upper()}]),
}


@pytest.mark.parametrize("name", WRONG_REFERENCES)
def test_wrong_reference_values_are_refused(name: str) -> None:
    with pytest.raises(ReferenceValuesError):
        Reference.from_json(WRONG_REFERENCES[name])
