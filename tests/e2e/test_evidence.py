# SPDX-License-Identifier: Apache-2.0
"""OP-TEE patch 0006: what evidence says, who gets which keys, and what is refused."""

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import cbor2
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cwt import COSE, COSEAlgs, COSEKey
from device import Device

from sandbox.__main__ import main
from sandbox.build import recipe
from sandbox.devkit.build import Built
from sandbox.devkit.push import push
from sandbox.log import SilentProgress
from sandbox.machine import flash
from sandbox.machine.machine import Machine
from sandbox.machine.start import guarded
from sandbox.reference import core, ta
from sandbox.reference.core import MeasurementError
from sandbox.tee import (
    MemrefIn,
    MemrefOut,
    Parameter,
    Session,
    TEEContext,
    TeeError,
    TeeResult,
    ValueIn,
    ValueOut,
)
from sandbox.testing.lab import ImagesFor

FOLDER = Path(__file__).with_name("evidence_ta")
TA = UUID("835a053a-67d6-4491-a18f-b691aea64a86")
OTHER_TA = UUID("835a053a-67d6-4491-a18f-b691aea64a87")
INFERENCE = UUID("2f6a3c5e-9b1d-4e0f-8a67-c1d5b94e7720")
PTA = UUID("9d2e4f8a-6b1c-4e57-a3f0-5c8d7e61b204")
LIBRARY = Path(__file__).parent / "examples/library/ta/number"
TOKEN, DERIVE_KEY, MEASUREMENT, NUMBER, LOAD = 0, 1, 2, 100, 101
NONCE = bytes(range(32))
NONE = MemrefIn(b"")
ROOM = MemrefOut(2048)
CLAIMS_MAX = 1024
CLAIMS = {8: {1: {1: 2, -1: 1}}, 270: "text", -75012: [bytes(32)]}
# Claims of the token, by their numbers.
NONCE_CLAIM, UEID, DBGSTAT, PROFILE, SUBMODS, BOOTSEED = 10, 256, 263, 265, 266, 268
LIFECYCLE, IMPLEMENTATION, COMPONENTS, UUID_CLAIM = 2395, 2396, 2399, -75001
Change = Callable[..., Built]
Open = Callable[..., Session]


@pytest.fixture(scope="module")
def device(machine: Machine) -> Device:
    """As the factory knows it that programmed its one-time memory."""
    return device_of(machine)


def device_of(machine: Machine) -> Device:
    return Device(flash.hardware_unique_key(machine.folder.flash))


@pytest.fixture(scope="module")
def changed(build_ta: Callable[[Path], Built], tmp_path_factory: pytest.TempPathFactory) -> Change:
    """Builds the TA with texts of its sources replaced."""

    def build(*replacements: tuple[str, str, str]) -> Built:
        folder = tmp_path_factory.mktemp("changed") / "evidence_ta"
        shutil.copytree(FOLDER, folder)
        for name, was, becomes in replacements:
            text = (folder / name).read_text()
            assert text.count(was) == 1
            (folder / name).write_text(text.replace(was, becomes))
        return build_ta(folder)

    return build


@pytest.fixture(scope="module")
def built(push_ta: Callable[[Path], Built]) -> Built:
    return push_ta(FOLDER)


@pytest.fixture
def session(built: Built, tee_session: Open) -> Session:
    return tee_session(TA)


@pytest.fixture
def back_to_the_first_build(push_ta: Callable[[Path], Built]) -> Iterator[None]:
    """Whatever the test pushes: the next one finds the TA that it expects."""
    yield
    push_ta(FOLDER)


def token(session: Session, nonce: bytes = NONCE, claims: Any = None) -> bytes:
    own = NONE if claims is None else MemrefIn(cbor2.dumps(claims))
    return session.invoke(TOKEN, (MemrefIn(nonce), own, ROOM))[2].data


def measurement(session: Session) -> bytes:
    return session.invoke(MEASUREMENT, (MemrefOut(32),))[0].data


def key(session: Session, label: bytes = b"sealing") -> bytes:
    return session.invoke(DERIVE_KEY, (MemrefIn(label), MemrefOut(32)))[1].data


def refused(session: Session, command: int, *params: Parameter) -> TeeResult:
    with pytest.raises(TeeError) as caught:
        session.invoke(command, params)
    return caught.value.result


def payload(encoded: bytes) -> dict[int, Any]:
    sign1 = cbor2.loads(encoded)
    claims: dict[int, Any] = cbor2.loads(sign1.value[2])
    return claims


# The token -------------------------------------------------------------------------------------


def test_the_devices_key_signed_it(session: Session, device: Device) -> None:
    encoded = token(session, claims=CLAIMS)
    verify_key = COSEKey.new({1: 2, 2: device.ueid, 3: -7, -1: 1, **_point(device.attestation_key)})
    protected, unprotected, signed = COSE.new().decode_with_headers(encoded, verify_key)
    assert protected == {1: COSEAlgs.ES256}
    assert unprotected == {4: device.ueid}
    assert signed == cbor2.loads(encoded).value[2]
    # And by hand, as RFC 9052, section 4.4, has it.
    tag = cbor2.loads(encoded)
    assert (tag.tag, len(tag.value)) == (18, 4)
    head, _, content, signature = tag.value
    assert head == bytes.fromhex("a10126")
    made_of = cbor2.dumps(["Signature1", head, b"", content])
    half = len(signature) // 2
    der = utils.encode_dss_signature(
        int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big")
    )
    device.attestation_key.verify(der, made_of, ec.ECDSA(hashes.SHA256()))
    with pytest.raises(InvalidSignature):
        device.attestation_key.verify(der, made_of + b"\0", ec.ECDSA(hashes.SHA256()))


def _point(public: ec.EllipticCurvePublicKey) -> dict[int, bytes]:
    numbers = public.public_numbers()
    return {-2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}


def test_it_says_what_is_so(session: Session, device: Device, built: Built) -> None:
    claims = payload(token(session, claims=CLAIMS))
    core_component, ta_component = claims.pop(COMPONENTS)
    seed = claims.pop(BOOTSEED)
    assert claims == {
        NONCE_CLAIM: NONCE,
        UEID: device.ueid,
        DBGSTAT: 0,
        PROFILE: "tag:optee-sandbox.example,2026:evidence#1",
        SUBMODS: {"ta": CLAIMS},
        LIFECYCLE: 0x5000,
        IMPLEMENTATION: sha256(b"optee-sandbox qemu_v8").digest(),
        UUID_CLAIM: TA.bytes,
    }
    assert len(seed) == 32
    assert any(seed)
    assert core_component == {
        1: "OP-TEE core",
        2: expected_core().sha256,
        4: expected_core().version,
        6: "sha-256",
    }
    assert ta_component == {1: "TA", 2: ta.measure(built.tas[0].ta).sha256, 6: "sha-256"}


def expected_core() -> core.CoreValue:
    built = recipe.optee_os(1, SilentProgress())
    return core.measure(built / "core" / "tee-pager_v2.bin", built / "symbols" / "core.elf")


def test_it_says_what_the_command_computes(
    session: Session, built: Built, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "values.json"
    assert main(["reference-values", str(FOLDER), "--out", str(out)]) == 0
    values = json.loads(out.read_text())
    core_component, ta_component = payload(token(session))[COMPONENTS]
    assert values["version"] == 1
    assert values["optee_core"] == {
        "version": core_component[4],
        "sha256": core_component[2].hex(),
    }
    mine = {"uuid": str(TA), "name": "evidence_ta", "version": "1.0"}
    assert [each["name"] for each in values["tas"]] == ["inference", "evidence_ta"]
    assert values["tas"][1] == mine | {"sha256": ta_component[2].hex()}
    assert values["tas"][0]["uuid"] == str(INFERENCE)
    # A signed file by itself: the same; and as lines.
    capsys.readouterr()
    assert main(["reference-values", "--json", str(built.tas[0].ta)]) == 0
    assert json.loads(capsys.readouterr().out)["tas"][1]["sha256"] == ta_component[2].hex()
    assert main(["reference-values"]) == 0
    core_line, inference_line = capsys.readouterr().out.splitlines()
    assert core_line == f"{core_component[2].hex()}  OP-TEE core {core_component[4]}"
    assert inference_line.startswith(values["tas"][0]["sha256"])
    assert main(["reference-values", str(tmp_path / "no.ta")]) == 2


def test_its_maps_are_in_the_order_of_rfc_8949(session: Session) -> None:
    content = cbor2.loads(token(session)).value[2]
    assert content == cbor2.dumps(cbor2.loads(content), canonical=True)


def test_a_ta_without_claims_has_no_submodule(session: Session) -> None:
    assert SUBMODS not in payload(token(session))


@pytest.mark.parametrize("size", [8, 64])
def test_nonces_of_every_size_that_a_profile_allows(session: Session, size: int) -> None:
    assert payload(token(session, bytes(size)))[NONCE_CLAIM] == bytes(size)


@pytest.mark.parametrize("size", [0, 1, 7, 65, 4096, 1 << 20])
def test_other_nonces_are_refused(session: Session, size: int) -> None:
    assert refused(session, TOKEN, MemrefIn(bytes(size)), NONE, ROOM) is TeeResult.BAD_PARAMETERS
    assert payload(token(session))[NONCE_CLAIM] == NONCE


def test_no_nonce_is_refused(session: Session) -> None:
    assert refused(session, TOKEN, MemrefIn(None), NONE, ROOM) is TeeResult.BAD_PARAMETERS


def claims_of_size(size: int) -> bytes:
    for filling in range(size):
        if len(made := cbor2.dumps({1: bytes(filling)})) == size:
            return made
    raise AssertionError(f"no map of {size} bytes")


def nested(depth: int) -> bytes:
    """Maps in one another, the innermost empty."""
    return b"\xa1\x01" * (depth - 1) + b"\xa0"


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param(b"\xa0", id="empty"),
        pytest.param(cbor2.dumps({"text": 1, -1: [1, {2: b""}], 3: None}), id="mixed"),
        pytest.param(claims_of_size(CLAIMS_MAX), id="largest"),
        pytest.param(nested(8), id="deepest"),
        pytest.param(b"\xa1\x01\x9f\x01\x02\xff", id="indefinite-array"),
        pytest.param(b"\xa2\x01\xd8\x3d\x80\x02\xf6", id="tag-of-an-empty-array"),
    ],
)
def test_claims_that_are_one_map_are_taken(session: Session, claims: bytes) -> None:
    encoded = session.invoke(TOKEN, (MemrefIn(NONCE), MemrefIn(claims), ROOM))[2].data
    assert payload(encoded)[SUBMODS] == {"ta": cbor2.loads(claims)}
    assert claims in encoded


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param(b"\xa1\x01", id="cut-off"),
        pytest.param(b"\xa0\xa0", id="two-maps"),
        pytest.param(b"\xa0\x00", id="trailing-byte"),
        pytest.param(b"\xa1\x01\x02\xff", id="trailing-break"),
        pytest.param(b"\xa0\xc5\x9f\xff", id="trailing-tagged-empty-array"),
        pytest.param(b"\xc5\x80", id="tagged-empty-array"),
        pytest.param(b"\x80", id="array"),
        pytest.param(b"\x01", id="integer"),
        pytest.param(b"\x41\xa0", id="byte-string-with-a-map"),
        pytest.param(b"\xd8\x3d\xa0", id="tagged-map"),
        pytest.param(b"\xff", id="break"),
        pytest.param(b"\x1c", id="reserved"),
        pytest.param(b"\xa1\xa0\x01", id="map-as-key"),
        pytest.param(b"\xbf\x01\xff", id="odd-map"),
        pytest.param(b"\xa1\x01\x62\xc3\x28"[:-1], id="text-cut-off"),
        pytest.param(b"\xbb" + b"\xff" * 8, id="huge-map"),
        pytest.param(b"\xa1\x01\x5b" + b"\xff" * 8, id="huge-string"),
        pytest.param(nested(9), id="too-deep"),
        pytest.param(b"\xa1\x01" + b"\x81" * 1000 + b"\x01", id="a-thousand-arrays"),
        pytest.param(b"\xa1\x01" * 500 + b"\xa0", id="five-hundred-maps"),
        pytest.param(b"\xa1\x01" + b"\xc1" * 1000 + b"\x01", id="a-thousand-tags"),
    ],
)
def test_other_claims_are_refused(session: Session, claims: bytes) -> None:
    answer = refused(session, TOKEN, MemrefIn(NONCE), MemrefIn(claims), ROOM)
    assert answer is TeeResult.BAD_FORMAT
    assert payload(token(session, claims=CLAIMS))[SUBMODS] == {"ta": CLAIMS}


@pytest.mark.parametrize("size", [CLAIMS_MAX + 1, 1 << 20])
def test_too_many_claims_are_refused(session: Session, size: int) -> None:
    claims = MemrefIn(claims_of_size(CLAIMS_MAX) + bytes(size - CLAIMS_MAX))
    assert refused(session, TOKEN, MemrefIn(NONCE), claims, ROOM) is TeeResult.EXCESS_DATA


@pytest.mark.parametrize("room", [MemrefOut(None), MemrefOut(0), MemrefOut(1), MemrefOut(100)])
def test_a_short_buffer_learns_the_size(session: Session, room: MemrefOut) -> None:
    size = len(token(session))
    with pytest.raises(TeeError) as caught:
        session.invoke(TOKEN, (MemrefIn(NONCE), NONE, room))
    assert caught.value.result is TeeResult.SHORT_BUFFER
    assert caught.value.needed_bytes == size
    exact = session.invoke(TOKEN, (MemrefIn(NONCE), NONE, MemrefOut(size)))[2].data
    assert len(exact) == size
    assert refused(session, TOKEN, MemrefIn(NONCE), NONE, MemrefOut(size - 1)) is (
        TeeResult.SHORT_BUFFER
    )


@pytest.mark.parametrize(
    ("command", "params"),
    [
        (TOKEN, ()),
        (TOKEN, (MemrefIn(NONCE), NONE)),
        (TOKEN, (MemrefIn(NONCE), NONE, MemrefIn(bytes(2048)))),
        (TOKEN, (MemrefOut(32), NONE, ROOM)),
        (TOKEN, (ValueIn(1, 2), NONE, ROOM)),
        (TOKEN, (MemrefIn(NONCE), ValueIn(1, 2), ROOM)),
        (TOKEN, (MemrefIn(NONCE), NONE, ROOM, ValueOut())),
        (DERIVE_KEY, ()),
        (DERIVE_KEY, (MemrefIn(b"label"), ValueOut())),
        (DERIVE_KEY, (MemrefIn(b"label"), MemrefOut(32), ValueIn())),
        (MEASUREMENT, ()),
        (MEASUREMENT, (ValueOut(),)),
        (MEASUREMENT, (MemrefOut(32), MemrefOut(32))),
    ],
)
def test_wrong_parameters_are_refused(
    session: Session, command: int, params: tuple[Parameter, ...]
) -> None:
    assert refused(session, command, *params) is TeeResult.BAD_PARAMETERS


@pytest.mark.parametrize("command", [3, 0x7FFFFFFF, 0xFFFFFFFF])
def test_there_are_no_other_commands(session: Session, command: int) -> None:
    assert refused(session, command) is TeeResult.NOT_IMPLEMENTED


def test_the_normal_world_cannot_ask(tee_context: TEEContext) -> None:
    with pytest.raises(TeeError) as caught:
        tee_context.open_session(PTA)
    assert caught.value.result is TeeResult.ACCESS_DENIED


# Measurement and keys --------------------------------------------------------------------------


def test_the_measurement_is_what_the_files_say(session: Session, built: Built) -> None:
    assert measurement(session) == ta.measure(built.tas[0].ta).sha256


@pytest.mark.parametrize("room", [None, 0, 31])
def test_a_measurement_needs_its_room(session: Session, room: int | None) -> None:
    for command, params in ((MEASUREMENT, ()), (DERIVE_KEY, (MemrefIn(b"label"),))):
        with pytest.raises(TeeError) as caught:
            session.invoke(command, (*params, MemrefOut(room)))
        assert caught.value.result is TeeResult.SHORT_BUFFER
        assert caught.value.needed_bytes == 32


def test_keys_are_those_of_device_code_and_label(session: Session, device: Device) -> None:
    digest = measurement(session)
    for label in (b"x", b"sealing", b"\0" * 64, bytes(range(64))):
        assert key(session, label) == device.ta_key(TA, digest, label)


@pytest.mark.parametrize("label", [None, b"", bytes(65), bytes(1 << 20)])
def test_other_labels_are_refused(session: Session, label: bytes | None) -> None:
    answer = refused(session, DERIVE_KEY, MemrefIn(label), MemrefOut(32))
    assert answer is TeeResult.BAD_PARAMETERS


@dataclass(frozen=True)
class Seen:
    measurement: bytes
    key: bytes
    number: int


def look(session: Session) -> Seen:
    (number,) = session.invoke(NUMBER, (ValueOut(),))
    return Seen(measurement(session), key(session), number.a)


@pytest.mark.usefixtures("back_to_the_first_build")
def test_one_changed_byte_is_another_code_with_other_keys(
    built: Built,
    changed: Change,
    push_ta: Callable[[Path], Built],
    machine: Machine,
    device: Device,
) -> None:
    """In code, in constants, and in data that can be written: each is measured."""
    variants = {
        10101: built,
        20101: changed(("evidence_ta.h", "IN_CODE\t1", "IN_CODE\t2")),
        10201: changed(("evidence_ta.h", 'CONSTANTS "1"', 'CONSTANTS "2"')),
        10102: changed(("evidence_ta.h", "IN_DATA\t1", "IN_DATA\t2")),
    }
    seen = {}
    for number, variant in variants.items():
        push_ta(variant.folder)
        with TEEContext(machine) as context, context.open_session(TA) as one:
            seen[number] = look(one)
            assert seen[number].number == number
            assert seen[number].measurement == ta.measure(variant.tas[0].ta).sha256
            assert seen[number].key == device.ta_key(TA, seen[number].measurement, b"sealing")
    assert len({each.measurement for each in seen.values()}) == len(variants)
    assert len({each.key for each in seen.values()}) == len(variants)
    # Back again: what it had.
    push_ta(FOLDER)
    with TEEContext(machine) as context, context.open_session(TA) as one:
        assert look(one) == seen[10101]


def test_a_build_elsewhere_is_the_same_code(built: Built, changed: Change) -> None:
    elsewhere = changed()
    assert elsewhere.tas[0].ta != built.tas[0].ta
    assert ta.measure(elsewhere.tas[0].ta) == ta.measure(built.tas[0].ta)


def test_a_library_makes_it_other_code(
    session: Session, tee_session: Open, push_ta: Callable[[Path], Built], built: Built
) -> None:
    """From when it is loaded on, and for this instance alone."""
    library = push_ta(LIBRARY).tas[0]
    other, before = tee_session(TA), look(session)
    name = MemrefIn(str(library.uuid).encode() + b"\0")
    session.invoke(LOAD, (name,))
    after = look(session)
    assert after.measurement != before.measurement
    assert after.key != before.key
    # Once is enough: it is there.
    session.invoke(LOAD, (name,))
    assert look(session) == after
    assert look(other) == before
    other.invoke(LOAD, (name,))
    assert look(other) == after
    assert before.measurement == ta.measure(built.tas[0].ta).sha256
    with pytest.raises(MeasurementError, match="library"):
        ta.measure(library.ta)


def test_a_library_that_is_not_there_is_counted_for_nothing(session: Session) -> None:
    before = look(session)
    assert refused(session, LOAD, MemrefIn(str(PTA).encode() + b"\0")) is TeeResult.ITEM_NOT_FOUND
    assert look(session) == before


def test_another_uuid_has_other_keys(
    session: Session,
    changed: Change,
    push_ta: Callable[[Path], Built],
    tee_session: Open,
    device: Device,
) -> None:
    other_built = changed(
        ("ta/Makefile", str(TA), str(OTHER_TA)), ("evidence_ta.h", "0x4a, 0x86", "0x4a, 0x87")
    )
    push_ta(other_built.folder)
    other = tee_session(OTHER_TA)
    assert key(other) != key(session)
    assert key(other) == device.ta_key(OTHER_TA, measurement(other), b"sealing")
    assert payload(token(other))[UUID_CLAIM] == OTHER_TA.bytes


def test_sessions_on_several_cores_at_once(machine: Machine, built: Built, device: Device) -> None:
    def ask(number: int) -> tuple[Seen, set[bytes]]:
        with TEEContext(machine) as context, context.open_session(TA) as one:
            seeds = set()
            for turn in range(10):
                nonce = bytes([number, turn]) * 16
                claims = payload(token(one, nonce, {number: turn}))
                assert claims[NONCE_CLAIM] == nonce
                assert claims[SUBMODS] == {"ta": {number: turn}}
                seeds.add(claims[BOOTSEED])
            return look(one), seeds

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(ask, range(4)))
    assert len({seen for seen, _ in answers}) == 1
    assert len(set().union(*(seeds for _, seeds in answers))) == 1


@dataclass(frozen=True)
class Boot:
    claims: dict[int, Any]
    seed: bytes
    seen: Seen


@contextlib.contextmanager
def booted(machine: Machine, images_for: ImagesFor, built: Built) -> Iterator[Boot]:
    status, started = machine.up(
        images_for(2), cores=2, memory_mib=512, timeout_s=180.0, progress=SilentProgress()
    )
    assert started and status.record is not None and status.record.qemu is not None
    with guarded(status.record.qemu.pid):
        push(machine, built)
        with TEEContext(machine) as context, context.open_session(TA) as one:
            claims = payload(token(one, claims=CLAIMS))
            yield Boot(claims, claims.pop(BOOTSEED), look(one))
    machine.down()


def test_a_boot_changes_the_seed_and_nothing_else(
    sandbox_images: ImagesFor,
    build_ta: Callable[[Path], Built],
    tmp_path: Path,
    machine: Machine,
    session: Session,
) -> None:
    """One device twice, its core each time at another random address; and the session's."""
    built = build_ta(FOLDER)
    third = Machine("boots", tmp_path / "boots")
    boots = []
    try:
        for _ in range(2):
            with booted(third, sandbox_images, built) as boot:
                boots.append(boot)
        first, second = boots
        mine = device_of(third)
        assert first.claims[UEID] == mine.ueid
        assert first.seen.key == mine.ta_key(TA, first.seen.measurement, b"sealing")
    finally:
        third.destroy()
    assert first.claims == second.claims
    assert first.seen == second.seen
    assert first.seed != second.seed
    # Another device: the same code with other keys.
    here = payload(token(session, claims=CLAIMS))
    assert here.pop(BOOTSEED) not in (first.seed, second.seed)
    assert here.pop(UEID) == device_of(machine).ueid != first.claims.pop(UEID)
    assert here == first.claims
    assert measurement(session) == first.seen.measurement
    assert key(session) != first.seen.key


# Memory ----------------------------------------------------------------------------------------


def test_nothing_is_left_in_the_core(session: Session, tee_context: TEEContext) -> None:
    from sandbox.tee.stats import Pool, Stats

    def used() -> int:
        with Stats(tee_context) as stats:
            return stats.memory(Pool.CORE_HEAP).used

    def everything() -> None:
        token(session, claims=CLAIMS)
        look(session)
        refused(session, TOKEN, MemrefIn(NONCE), MemrefIn(nested(9)), ROOM)
        refused(session, TOKEN, MemrefIn(NONCE), NONE, MemrefOut(1))

    everything()
    before = used()
    for _ in range(10):
        everything()
    assert used() == before
