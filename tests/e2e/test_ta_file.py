# SPDX-License-Identifier: Apache-2.0
"""A TA's file is the normal world's, which may hand out another at each start of the TA."""

import shutil
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sandbox import process
from sandbox.devkit.build import Built
from sandbox.machine.guest import Guest
from sandbox.machine.machine import Machine
from sandbox.tee import Session, TEEContext, TeeError, TeeResult, ValueInOut

ADDER = Path(__file__).with_name("adder")
CMD_ADD = 0
ELF = b"\x7fELF"
LATE_FREE = "/tmp/late_free"


@pytest.fixture(scope="module")
def genuine(build_ta: Callable[[Path], Built]) -> tuple[uuid.UUID, bytes]:
    """The TA that adds, and its signed file."""
    (ta,) = build_ta(ADDER).tas
    return ta.uuid, ta.ta.read_bytes()


Change = Callable[[str], bytes]


@pytest.fixture(scope="module")
def calculates(
    build_ta: Callable[[Path], Built], tmp_path_factory: pytest.TempPathFactory
) -> Change:
    """The signed file of a build that does other than add."""

    def build(operator: str) -> bytes:
        folder = tmp_path_factory.mktemp("other") / "adder"
        shutil.copytree(ADDER, folder)
        source = folder / "ta/adder.c"
        text = source.read_text()
        assert text.count("value.a += params") == 1
        source.write_text(text.replace("value.a += params", f"value.a {operator}= params"))
        (ta,) = build_ta(folder).tas
        return ta.ta.read_bytes()

    return build


@pytest.fixture(scope="module")
def altered(genuine: tuple[uuid.UUID, bytes], calculates: Change) -> bytes:
    """The signed header of the genuine file, and the code of a build that multiplies."""
    file, other = genuine[1], calculates("*")
    made = file[: file.index(ELF)] + other[other.index(ELF) :]
    assert len(made) == len(file) and made != file
    return made


@pytest.fixture
def path(guest: Guest, genuine: tuple[uuid.UUID, bytes]) -> Iterator[str]:
    """Where the TA's file is, and that it is gone afterwards."""
    path = f"/lib/optee_armtz/{genuine[0]}.ta"
    try:
        yield path
    finally:
        guest.run(["rm", "-f", path], timeout_s=20.0, check=True)


@pytest.fixture
def late_free(guest: Guest, tmp_path: Path) -> Iterator[list[str]]:
    """The command that has tee-supplicant withhold its next answer to a session that is done with
    a TA's file."""
    program = tmp_path / "late_free"
    argv: list[process.Argument] = ["aarch64-linux-gnu-gcc", "-static", "-O1", "-o", program]
    process.run([*argv, Path(__file__).with_name("late_free.c")], timeout_s=60.0)
    guest.put(LATE_FREE, program.read_bytes(), 0o755)
    try:
        asked = guest.run(["pidof", "tee-supplicant"], timeout_s=20.0, check=True)
        yield [LATE_FREE, asked.stdout.decode().strip()]
    finally:
        guest.run(["rm", "-f", LATE_FREE], timeout_s=20.0, check=True)


def three_and_two(session: Session) -> int:
    return session.invoke(CMD_ADD, (ValueInOut(3, 2),))[0].a


def opened(machine: Machine, ta: uuid.UUID) -> TeeResult | int:
    """What a new session makes of 3 and 2, or why there is none."""
    with TEEContext(machine) as context:
        try:
            session = context.open_session(ta)
        except TeeError as error:
            return error.result
        with session:
            return three_and_two(session)


@pytest.mark.sandbox_expects("ldelf failure")
def test_an_altered_file_is_refused(
    machine: Machine, guest: Guest, genuine: tuple[uuid.UUID, bytes], altered: bytes, path: str
) -> None:
    ta, file = genuine
    for position in (file.index(ELF), file.index(ELF) + 0x1000, len(file) - 1):
        bent = bytearray(file)
        bent[position] ^= 1
        guest.put(path, bytes(bent), 0o444)
        assert opened(machine, ta) == TeeResult.SECURITY, position
    guest.put(path, altered, 0o444)
    assert opened(machine, ta) == TeeResult.SECURITY
    guest.put(path, file, 0o444)
    assert opened(machine, ta) == 5


@pytest.mark.sandbox_expects("ldelf failure")
def test_no_session_runs_what_another_was_refused(
    machine: Machine,
    guest: Guest,
    genuine: tuple[uuid.UUID, bytes],
    calculates: Change,
    altered: bytes,
    path: str,
    late_free: list[str],
) -> None:
    """A session whose file is refused is withheld before it has given anything back; the next is
    served the genuine file, and must not be given pages of the other. That the two are there at
    the same time takes a third, of another build: while the first instance of a TA is being loaded,
    OP-TEE lets no other begin."""
    ta, file = genuine
    guest.put(path, calculates("-"), 0o444)
    with TEEContext(machine) as context, context.open_session(ta) as first:
        assert three_and_two(first) == 1
        guest.put(path, altered, 0o444)
        with ThreadPoolExecutor(1) as pool, guest.lines(late_free) as lines:
            assert lines.receive(20.0) == "tracing"
            refused = pool.submit(opened, machine, ta)
            try:
                assert lines.receive(60.0) == "held"
                guest.put(path, file, 0o444)
                answer = opened(machine, ta)
                assert not refused.done()
            finally:
                lines.send("go on")
            assert refused.result(timeout=60) == TeeResult.SECURITY
        assert answer == 5
        assert opened(machine, ta) == 5
