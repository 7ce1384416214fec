# SPDX-License-Identifier: Apache-2.0
"""sandbox/tee_abi.py says what the C headers say."""

import re
import struct
import tomllib
import uuid
from pathlib import Path

import pytest

from sandbox import tee_abi
from sandbox.owner.service import ATTACH_S

ROOT = Path(__file__).parents[2]
HEADERS = [
    "ta/include/cml_ta.h",
    "ta/core/crypto.h",
    "ta/core/header.h",
    "ta/core/key_message.h",
    "ta/inference/identity.h",
    "ta/core/result.h",
    "ta/core/status.h",
]


def c_source() -> str:
    """All headers as one text, without comments and line continuations."""
    text = "\n".join((ROOT / name).read_text() for name in HEADERS)
    text = re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.DOTALL)
    return text.replace("\\\n", " ")


SOURCE = c_source()
MACROS = dict(re.findall(r"^#define[ \t]+(\w+)[ \t]+(\S.*)$", SOURCE, re.MULTILINE))


def value(name: str) -> int:
    """An integer macro, other macros in it replaced, its arithmetic done by Python."""
    text = MACROS[name]
    while identifiers := set(re.findall(r"\b[A-Z_][A-Z0-9_]*\b", text)):
        for identifier in identifiers:
            text = re.sub(rf"\b{identifier}\b", f"({MACROS[identifier]})", text)
    text = re.sub(r"\b(0x[0-9a-fA-F]+|\d+)[uUlL]+\b", r"\1", text)
    assert re.fullmatch(r"[\s\w()*+<-]+", text), text
    result = eval(text, {"__builtins__": {}})  # digits and operators only
    assert isinstance(result, int)
    return result


def enumerators(enum: str, prefix: str) -> dict[str, int]:
    body = re.search(rf"enum {enum} \{{(.*?)\}};", SOURCE, re.DOTALL)
    assert body
    found = re.findall(rf"{prefix}(\w+) = (\d+)", body.group(1))
    assert found
    return {name: int(number) for name, number in found}


@pytest.mark.parametrize(
    ("python", "c"),
    [
        (tee_abi.ABI_VERSION, "TA_CML_ABI_VERSION"),
        (tee_abi.ERROR_BASE, "TA_CML_ERROR_BASE"),
        (tee_abi.PUSH_MAX_BYTES, "TA_CML_PUSH_MAX_SIZE"),
        (tee_abi.INFO_MAX_BYTES, "TA_CML_INFO_MAX_SIZE"),
        (tee_abi.RESULT_MAX_BYTES, "CML_RESULT_MAX_SIZE"),
        (tee_abi.CHALLENGE_BYTES, "TA_CML_CHALLENGE_SIZE"),
        (tee_abi.KEY_MESSAGE_MAX_BYTES, "TA_CML_KEY_MESSAGE_MAX_SIZE"),
        (tee_abi.NONCE_MIN_BYTES, "TA_CML_NONCE_MIN_SIZE"),
        (tee_abi.NONCE_MAX_BYTES, "TA_CML_NONCE_MAX_SIZE"),
        (tee_abi.TOKEN_MAX_BYTES, "TA_CML_TOKEN_MAX_SIZE"),
        (tee_abi.CSR_MAX_BYTES, "TA_CML_CSR_MAX_SIZE"),
        (tee_abi.STORED_KEYS_MAX_COUNT, "TA_CML_STORED_KEYS_MAX_COUNT"),
        (tee_abi.KEY_LIST_MAX_BYTES, "TA_CML_KEY_LIST_MAX_SIZE"),
        (tee_abi.DESCRIPTION_MAX_BYTES, "TA_CML_DESCRIPTION_MAX_SIZE"),
        (tee_abi.HEADER_BYTES, "CML_HEADER_SIZE"),
        (tee_abi.PHOTO_MAX_BYTES, "CML_PHOTO_MAX_LEN"),
        (tee_abi.MODEL_MAX_BYTES, "CML_MODEL_MAX_LEN"),
    ],
)
def test_number(python: int, c: str) -> None:
    assert python == value(c)


def test_uuid() -> None:
    numbers = [int(n, 16) for n in re.findall(r"0x[0-9a-f]+", MACROS["TA_CML_UUID"])]
    packed = struct.pack(">IHH8B", *numbers)
    assert tee_abi.TA_UUID == uuid.UUID(bytes=packed)


def test_version_is_that_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert MACROS["TA_CML_VERSION"] == f'"{project["version"]}"'


def test_commands() -> None:
    prefix = "TA_CML_CMD_"
    commands = {n.removeprefix(prefix): value(n) for n in MACROS if n.startswith(prefix)}
    assert {c.name: c.value for c in tee_abi.Command} == commands


def test_kinds_and_slots() -> None:
    assert {k.name: k.value for k in tee_abi.Kind} == enumerators("cml_kind", "CML_KIND_")
    slots = enumerators("cml_key_slot", "CML_KEY_SLOT_")
    assert {s.name: s.value for s in tee_abi.KeySlot} == slots
    own = enumerators("cml_identity_key", "CML_IDENTITY_")
    assert {k.name: k.value for k in tee_abi.OwnKey} == own
    flags = enumerators("cml_request_flag", "CML_REQUEST_")
    assert {f.name: f.value for f in tee_abi.RequestFlag} == flags


def test_statuses_and_their_sentences() -> None:
    listed = re.findall(r'\bX\((\w+),\s*(\d+),\s*"([^"]*)"\)', SOURCE)
    assert len(listed) > 30
    assert {s.name: s.value for s in tee_abi.Status} == {n: int(v) for n, v, _ in listed}
    assert {name: sentence for name, _, sentence in listed} == tee_abi.STATUS_SENTENCES


def test_client_application_has_the_same_names_and_numbers() -> None:
    names = (ROOT / "host/names.c").read_text()
    table = re.search(r"statuses\[\] = \{\n(.*?)\n\};", names, re.DOTALL)
    assert table
    listed = {n: int(v) for v, n in re.findall(r'\{ (\d+), "(\w+)" \}', table.group(1))}
    assert listed == {s.name: s.value for s in tee_abi.Status if s}

    client = "\n".join(path.read_text() for path in (ROOT / "host").glob("*.c"))
    numbers = dict(re.findall(r"^#define[ \t]+(\w+)[ \t]+(\d+)$", client, re.MULTILINE))
    assert int(numbers["STATUS_NO_MEMORY"]) == tee_abi.Status.NO_MEMORY
    assert int(numbers["SLOT_DATA"]) == tee_abi.KeySlot.DATA
    assert int(numbers["SLOT_MODEL"]) == tee_abi.KeySlot.MODEL
    assert int(numbers["SLOT_STORED"]) == tee_abi.KeySlot.STORED
    assert int(numbers["OWN_KEY_WRAPPING"]) == tee_abi.OwnKey.WRAPPING
    assert int(numbers["OWN_KEY_SIGNING"]) == tee_abi.OwnKey.SIGNING
    assert int(numbers["HEADER_SIZE"]) == tee_abi.HEADER_BYTES


def test_a_busy_session_is_waited_for_until_the_client_application_gives_up() -> None:
    waits = re.search(r"#define SESSION_WAIT_S\s+(\d+)", (ROOT / "host/sessions.h").read_text())
    assert waits and int(waits.group(1)) + 10 < ATTACH_S


def test_header_layout() -> None:
    """Offsets and sizes as the table in header.h has them."""
    rows = re.findall(
        r"^ \*\s+(\d+)\s+(\d+)\s{2}\S", (ROOT / "ta/core/header.h").read_text(), re.MULTILINE
    )
    sizes = [int(size) for _, size in rows]
    assert [int(offset) for offset, _ in rows] == [sum(sizes[:i]) for i in range(len(sizes))]
    fields = re.findall(r"(\d*)([sBHQ])", tee_abi.HEADER_FORMAT)
    assert sizes == [struct.calcsize(f">{count}{code}") for count, code in fields]
    assert struct.calcsize(tee_abi.HEADER_FORMAT) == tee_abi.HEADER_BYTES == sum(sizes)
    assert f'"{tee_abi.HEADER_MAGIC.decode()}"' in (ROOT / "ta/core/header.c").read_text()
