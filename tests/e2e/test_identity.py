# SPDX-License-Identifier: Apache-2.0
"""The record behind the TA's keys and its results' numbers, and sessions that are kept for later.

The adversary here is more than the normal world: it has a TA of the same UUID that OP-TEE loads,
and so may read, write and delete what secure storage has for that UUID.
"""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import cbor2
import pytest
from real_stack import ROOT, Client, provision
from test_hostile_input import refused
from test_trust import TA_FILE

from sandbox.commands.trust import Believed
from sandbox.machine.boot import GUEST_SHARE
from sandbox.machine.guest import Guest
from sandbox.machine.machine import Machine
from sandbox.owner import keys, sealed_file
from sandbox.owner.client import Model
from sandbox.owner.results import ResultError, open_result
from sandbox.owner.service import Session
from sandbox.owner.share import Share
from sandbox.owner.vault import Vault
from sandbox.tee import MemrefIn, MemrefOut, TEEContext, TeeError, ValueIn, ValueOut
from sandbox.tee import Session as TEESession
from sandbox.tee_abi import (
    ERROR_BASE,
    HEADER_BYTES,
    MODEL_LIST_MAX_BYTES,
    MODEL_SOURCE_BYTES,
    TA_UUID,
    Command,
    OwnKey,
    Status,
)
from sandbox.testing.applications import BuildTa

CHELSEA = ROOT / "fixtures/photos/chelsea.jpg"
SINE = ROOT / "fixtures/models/sine_f32.tflite"
STORE, LOAD, REMOVE = range(3)
RECORD_BYTES = 16 + 96 + 16
Connect = Callable[[str], Client]
Impostor = Callable[[], contextlib.AbstractContextManager[TEESession]]


def as_words(uuid: UUID) -> str:
    """As C has it."""
    numbers = [f"{uuid.time_low:#x}", f"{uuid.time_mid:#x}", f"{uuid.time_hi_version:#x}"]
    return f"{{ {', '.join(numbers)}, {{ {', '.join(map(hex, uuid.bytes[8:]))} }} }}"


@pytest.fixture(scope="module")
def impostor(
    machine: Machine, build_ta: BuildTa, tmp_path_factory: pytest.TempPathFactory
) -> Impostor:
    """A session of another TA with the UUID of ours; what is opened before and after is ours."""
    folder = tmp_path_factory.mktemp("impostor") / "storage_ta"
    shutil.copytree(Path(__file__).with_name("storage_ta"), folder)
    makefile = folder / "ta/Makefile"
    makefile.write_text(
        "".join(
            f"BINARY := {TA_UUID}\n" if line.startswith("BINARY") else line
            for line in makefile.read_text().splitlines(keepends=True)
        )
    )
    header = folder / "ta/user_ta_header_defines.h"
    text = header.read_text()
    assert "STORAGE_TA_UUID" in text
    header.write_text(text.replace("STORAGE_TA_UUID", as_words(TA_UUID)))
    (built,) = build_ta(folder).tas

    @contextlib.contextmanager
    def open_session() -> Iterator[TEESession]:
        with machine.guest() as guest, TEEContext(machine) as context:
            genuine = guest.get(TA_FILE)
            guest.put(TA_FILE, built.ta.read_bytes(), 0o444)
            try:
                with context.open_session(TA_UUID) as session:
                    yield session
            finally:
                guest.put(TA_FILE, genuine, 0o444)

    return open_session


@pytest.fixture(scope="module")
def record(machine: Machine) -> MemrefIn:
    """Its name: that of the code, as the vault's."""
    with TEEContext(machine) as context, context.open_session(TA_UUID) as session:
        (listed,) = session.invoke(Command.MODEL_LIST, (MemrefOut(MODEL_LIST_MAX_BYTES),))
    return MemrefIn(b"cml-identity-v1." + cbor2.loads(listed.data)["vault"].hex().encode())


@pytest.fixture
def raw(machine: Machine) -> Iterator[Callable[[], TEESession]]:
    """Sessions of our TA, without the client application."""
    with contextlib.ExitStack() as stack:

        def connect() -> TEESession:
            context = stack.enter_context(TEEContext(machine))
            return stack.enter_context(context.open_session(TA_UUID))

        yield connect


def own_key(session: TEESession, which: OwnKey) -> bytes:
    return session.invoke(Command.OWN_KEY, (ValueIn(which), MemrefOut(75)))[1].data


def own_keys(session: TEESession) -> list[bytes]:
    return [own_key(session, which) for which in OwnKey]


def photo_number(client: Client) -> int:
    return client.infer(CHELSEA.read_bytes()).origin.counter


# The record ---------------------------------------------------------------------------------------


def test_who_deletes_the_record_rotates_the_keys(
    client: Client, connect: Connect, impostor: Impostor, record: MemrefIn
) -> None:
    """No old key comes back, and no number is given twice with one signing key."""
    before = (client.wrapping, client.signer)
    numbers = [photo_number(client)]
    message = client.wrap(os.urandom(32), keys.Slot.DATA)
    with impostor() as other_code:
        other_code.invoke(REMOVE, (record,))

    # The session that is open has the new keys as well, and no number of the old block.
    assert refused(lambda: client.provision_bytes("data", message)) == "COSE_RECIPIENT"
    sealed = client.seal(CHELSEA.read_bytes())
    answer = client.infer_bytes(sealed.data)
    with pytest.raises(ResultError):
        open_result(client.data_key, sealed, answer, before[1])
    after = connect("identity-after")
    assert after.wrapping != before[0] and after.signer != before[1]
    again = [open_result(client.data_key, sealed, answer, after.signer).origin.counter]
    after.share_model(client)
    again.append(photo_number(after))
    client.wrapping, client.signer = after.wrapping, after.signer
    again.append(photo_number(client))
    assert len(set(again)) == len(again)
    # They begin anew, so it is the other key that tells them from those before.
    assert min(again) <= min(numbers)


@pytest.mark.parametrize("rotations", [0, 1, 2])
def test_a_record_that_other_code_made_is_damaged(
    rotations: int, raw: Callable[[], TEESession], impostor: Impostor, record: MemrefIn
) -> None:
    """How often a key was rotated cannot be set back: only a record as a whole is genuine."""
    session = raw()
    for _ in range(rotations):
        session.invoke(Command.OWN_KEY_ROTATE, (ValueIn(OwnKey.SIGNING), ValueOut()))
    mine = own_keys(session)
    with impostor() as other_code:
        good = other_code.invoke(LOAD, (record, MemrefOut(1024)))[1].data
        assert len(good) == RECORD_BYTES
        for forged in (
            good[:16] + bytes(8) + good[24:],
            good[:-1] + bytes([good[-1] ^ 1]),
            bytes([good[0] ^ 1]) + good[1:],
            os.urandom(len(good)),
            good[:-16],
        ):
            other_code.invoke(STORE, (record, MemrefIn(forged)))
            for _ in range(2):
                with pytest.raises(TeeError) as caught:
                    own_keys(session)
                assert caught.value.result == ERROR_BASE + Status.STORAGE_DAMAGED
        # What remains (docs/threat-model.md): a whole record of before.
        other_code.invoke(STORE, (record, MemrefIn(good)))
    assert own_keys(session) == mine == own_keys(raw())


def test_zeros_are_no_record_and_give_new_keys(
    raw: Callable[[], TEESession], impostor: Impostor, record: MemrefIn
) -> None:
    session = raw()
    seen = [own_keys(session)]
    for forged in (b"", bytes(RECORD_BYTES)):
        with impostor() as other_code:
            other_code.invoke(STORE, (record, MemrefIn(forged)))
        seen.append(own_keys(session))
        assert own_keys(raw()) == seen[-1]
    assert len({key for pair in seen for key in pair}) == 2 * len(seen)


def test_sessions_that_make_the_record_at_once_have_the_same_keys(
    raw: Callable[[], TEESession], impostor: Impostor, record: MemrefIn
) -> None:
    sessions = [raw() for _ in range(4)]
    before = own_keys(sessions[0])
    with impostor() as other_code:
        other_code.invoke(REMOVE, (record,))
    with ThreadPoolExecutor(len(sessions)) as pool:
        found = list(pool.map(own_keys, sessions))
    assert all(pair == found[0] for pair in found)
    assert not {*found[0]} & {*before}


# Sessions that the normal world keeps -------------------------------------------------------------


def test_a_rotation_reaches_sessions_that_are_open(
    client: Client, raw: Callable[[], TEESession]
) -> None:
    """Their evidence, their certificate requests, what they open and what they sign."""
    before = Believed().keys_of(client.session)
    client.wrapping, client.signer = before.wrapping, before.signing
    client.assert_works()
    for which in OwnKey:
        raw().invoke(Command.OWN_KEY_ROTATE, (ValueIn(which), ValueOut()))
    # First of all a photo: nothing else has told the session.
    sealed = client.seal(CHELSEA.read_bytes())
    answer = client.infer_bytes(sealed.data)
    with pytest.raises(ResultError):
        open_result(client.data_key, sealed, answer, before.signing)
    stale = keys.wrap(os.urandom(32), keys.Slot.DATA, before.wrapping, client.challenge)
    assert refused(lambda: client.provision_bytes("data", stale)) == "COSE_RECIPIENT"
    after = Believed().keys_of(client.session)
    assert after.wrapping != before.wrapping and after.signing != before.signing
    open_result(client.data_key, sealed, answer, after.signing)
    client.wrapping, client.signer = after.wrapping, after.signing
    client.provision()
    client.assert_works()


@pytest.mark.parametrize("removed", [False, True], ids=["newer", "removed"])
def test_a_session_that_chose_a_model_before_hears_of_what_came_since(
    removed: bool, machine: Machine, guest: Guest, raw: Callable[[], TEESession]
) -> None:
    key = os.urandom(32)
    parked = raw()
    with Session(Machine.service(guest), GUEST_SHARE) as session:
        vault = Vault(session, Share(machine.share), key, "parked")
        vault.authorize(Believed())
        vault.push(Model("model", SINE.read_bytes(), key, 1))
        (stored,) = (one for one in vault.models() if one.key_id == sealed_file.key_id(key))
        (path,) = machine.folder.storage.glob(f"vault/*/{stored.file}")
        first = path.read_bytes()
        # No session has it any more: the parked one learns that it has to load it.
        session.close_session("parked")
        use = (MemrefIn(first[:MODEL_SOURCE_BYTES]), MemrefOut(32))
        with pytest.raises(TeeError) as caught:
            parked.invoke(Command.MODEL_USE, use)
        assert caught.value.result == ERROR_BASE + Status.MODEL_MISSING

        session.attach("parked")
        vault.authorize(Believed())
        if removed:
            vault.remove("model")
        else:
            vault.push(Model("model", SINE.read_bytes(), key, 2))
        with pytest.raises(TeeError) as caught:
            parked.invoke(Command.MODEL_BEGIN, (MemrefIn(first[:HEADER_BYTES]),))
        expected = Status.KEY_MISSING if removed else Status.MODEL_ROLLBACK
        assert caught.value.result == ERROR_BASE + expected
        # With its owner's key, an older version is refused all the same.
        if not removed:
            provision(parked, keys.Slot.MODEL, key)
            with pytest.raises(TeeError) as caught:
                parked.invoke(Command.MODEL_BEGIN, (MemrefIn(first[:HEADER_BYTES]),))
            assert caught.value.result == ERROR_BASE + Status.MODEL_ROLLBACK
            vault.remove("model")
        session.close_session("parked")
