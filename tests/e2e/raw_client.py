# SPDX-License-Identifier: Apache-2.0
"""A client of the inference TA that keeps no rules: tee_probe.c in the guest, and both owners.

What it is to do is lines for the probe (see tee_probe.c); some of its words are files in the share.
"""

import contextlib
import hashlib
import shlex
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cbor2
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey as PublicKey
from real_stack import MODEL, ROOT

from sandbox import process
from sandbox.machine.boot import GUEST_SHARE
from sandbox.machine.guest import Guest
from sandbox.machine.machine import Machine
from sandbox.owner import cose, keys, sealed_file
from sandbox.owner.sealed_file import Sealed
from sandbox.owner.share import Share
from sandbox.tee import MemrefOut, TEEContext, ValueIn
from sandbox.tee_abi import (
    ERROR_BASE,
    PUSH_MAX_BYTES,
    TA_UUID,
    Command,
    OwnKey,
    Status,
)

SUCCESS = 0
ACCESS_DENIED = 0xFFFF0001
EXCESS_DATA = 0xFFFF0004
BAD_PARAMETERS = 0xFFFF0006
NOT_SUPPORTED = 0xFFFF000A
SHORT_BUFFER = 0xFFFF0010
TARGET_DEAD = 0xFFFF3024
NONE = "none"


def cml(status: Status) -> int:
    return ERROR_BASE + status


class Probe:
    def __init__(self, guest: Guest) -> None:
        self._guest = guest

    def run(self, lines: list[str]) -> list[int]:
        """The TEE_Result of each line (two of a `twin`), in one session of its own."""
        text = "".join(f"{line}\n" for line in ["open", *lines])
        # Its threads would go on in the guest if only we stopped waiting.
        asked = ["timeout", "-s", "KILL", "100", "/tmp/tee_probe"]
        done = self._guest.run(asked, timeout_s=120.0, stdin=text.encode())
        said = done.stdout.decode().splitlines()
        count = 1 + len(lines) + sum(line.startswith("twin ") for line in lines)
        assert (done.status, len(said)) == (0, count), (done, said)
        results = [int(line.split()[0], 16) if line.startswith("0x") else -1 for line in said]
        assert results[0] == SUCCESS, said[0]
        return results[1:]


def line(command: int, *params: str) -> str:
    return shlex.join([str(int(command)), *params])


@dataclass(frozen=True)
class Question:
    """A challenge that the probe saves, and where it waits for the key that answers it."""

    saved: Path
    answer: Path
    slot: keys.Slot
    key: bytes


class Owner:
    """Both owners, with sealed files in the share as words for the probe.

    A key has to answer a challenge that the session makes: while the probe runs, a thread answers.
    """

    def __init__(self, share: Share, wrapping: PublicKey, signer: PublicKey) -> None:
        self._share = share
        self.signer = signer
        self._placed: list[Path] = []
        self._wrapping = wrapping
        self._questions: list[Question] = []
        self._end = threading.Event()
        self._answering = threading.Thread(target=self._answer, daemon=True)
        self._answering.start()
        self.data_key, self.model_key = keys.new_key(), keys.new_key()
        self._plain = (ROOT / "fixtures/photos/chelsea.jpg").read_bytes()
        model = MODEL.read_bytes()
        self._digest = hashlib.sha256(model).digest()
        self.photos: list[Sealed] = []
        sealed = sealed_file.seal_model(self.model_key, model)
        recorded = keys.wrap(self.data_key, keys.Slot.DATA, wrapping, bytes(16))
        self.words = {
            "recorded-key": self._put(recorded),
            "model-header": self._put(sealed.header.pack()),
        }
        for offset in range(0, len(sealed.stream), PUSH_MAX_BYTES):
            part = sealed.stream[offset : offset + PUSH_MAX_BYTES]
            self.words[f"model-{offset // PUSH_MAX_BYTES}"] = self._put(part)

    def _put(self, content: bytes) -> str:
        self._placed.append(self._share.put(content, "probe"))
        return f"file:{GUEST_SHARE}/{self._placed[-1].name}"

    def _answer(self) -> None:
        while not self._end.wait(0.005):
            for question in list(self._questions):
                try:
                    challenge = cbor2.loads(question.saved.read_bytes())["challenge"]
                except (OSError, cbor2.CBORDecodeError):
                    continue  # not asked yet, or not wholly
                message = keys.wrap(question.key, question.slot, self._wrapping, challenge)
                part = question.answer.with_suffix(".part")
                part.write_bytes(message)
                part.rename(question.answer)
                self._questions.remove(question)

    def provisioned(self, slot: keys.Slot) -> list[str]:
        """Two lines: the challenge, and the key that answers it."""
        key = self.data_key if slot is keys.Slot.DATA else self.model_key
        question = Question(
            self._share.new_path("challenge"), self._share.new_path("key"), slot, key
        )
        self._questions.append(question)
        self._placed += [question.saved, question.answer]
        return [
            line(Command.INFO, f"save:{GUEST_SHARE}/{question.saved.name}", NONE, NONE, NONE),
            line(
                Command.PROVISION_KEY,
                f"value:{int(slot)}",
                f"file:{GUEST_SHARE}/{question.answer.name}",
                "out:16",
                NONE,
            ),
        ]

    def photo(self) -> "Steps":
        """The next photo: each is served once."""
        sealed = sealed_file.seal_photo(
            self.data_key,
            self._plain,
            score_threshold=0.5,
            sequence=len(self.photos) + 1,
            model_digest=self._digest,
        )
        self.photos.append(sealed)
        number = len(self.photos)
        header = self.words[f"photo-header-{number}"] = self._put(sealed.header.pack())
        stream = self.words[f"photo-{number}"] = self._put(sealed.stream)
        return Steps(
            line(Command.INFER_BEGIN, header, NONE, NONE, NONE),
            line(Command.INFER_PUSH, stream, NONE, NONE, NONE),
        )

    def inferred(self) -> list[str]:
        """A photo, step by step."""
        photo = self.photo()
        return [photo.begin, photo.push, FINISH, RESULT]

    def loaded(self) -> list[str]:
        """Keys and model, step by step."""
        parts = [word for name, word in self.words.items() if name.removeprefix("model-").isdigit()]
        return [
            *self.provisioned(keys.Slot.DATA),
            *self.provisioned(keys.Slot.MODEL),
            line(Command.MODEL_BEGIN, self.words["model-header"], NONE, NONE, NONE),
            *(line(Command.MODEL_PUSH, part, NONE, NONE, NONE) for part in parts),
            line(Command.MODEL_FINISH, "out:32", NONE, NONE, NONE),
        ]

    def sealed_model(self, model: bytes, name: str, version: int) -> "Sent":
        """Any model, small enough for one push; `provisioned` says its key."""
        sealed = sealed_file.seal_model(self.model_key, model, name=name, version=version)
        stream = self._put(sealed.stream)
        return Sent(
            sealed,
            self._put(sealed.header.pack()),
            [
                line(Command.MODEL_PUSH, stream, NONE, NONE, NONE),
                line(Command.MODEL_FINISH, "out:32", NONE, NONE, NONE),
            ],
        )

    def put(self, content: bytes) -> str:
        """A word for the probe: these bytes."""
        return self._put(content)

    def new_path(self) -> Path:
        """Where the probe may save something."""
        self._placed.append(self._share.new_path("saved"))
        return self._placed[-1]

    def drop(self) -> None:
        self._end.set()
        self._answering.join()
        for path in self._placed:
            self._share.drop(path)


@dataclass(frozen=True)
class Steps:
    begin: str
    push: str


@dataclass(frozen=True)
class Sent:
    sealed: Sealed
    header: str
    rest: list[str]  # the lines after the begin

    def lines(self) -> list[str]:
        return [line(Command.MODEL_BEGIN, self.header, NONE, NONE, NONE), *self.rest]


FINISH = line(Command.INFER_FINISH, "outval", NONE, NONE, NONE)
RESULT = line(Command.RESULT, "out:16384", NONE, NONE, NONE)


def racing(word: str) -> str:
    """The same file, in memory that another thread alters while the TA reads it."""
    return word.replace("file:", "race:")


def blinking(word: str, at: int, mask: int) -> str:
    """The same file, in memory where one byte is the file's, or XORed with `mask`, in turn."""
    return word.replace("file:", f"blink:{at},{mask},")


@contextlib.contextmanager
def probe_in(machine: Machine, folder: Path) -> Iterator[Probe]:
    """tee_probe.c, statically linked, in the guest."""
    program = folder / "tee_probe"
    source = Path(__file__).parent / "tee_probe.c"
    argv: list[process.Argument] = ["aarch64-linux-gnu-gcc", "-static", "-pthread", "-O1"]
    argv += ["-Wall", "-Wextra", "-Werror", f"-I{ROOT / 'ta/include'}", "-o", program, source]
    process.run(argv, timeout_s=60.0)
    with machine.guest() as guest:
        guest.run(
            ["sh", "-c", "cat >/tmp/tee_probe && chmod +x /tmp/tee_probe"],
            timeout_s=30.0,
            stdin=program.read_bytes(),
            check=True,
        )
        yield Probe(guest)
        guest.run(["rm", "-f", "/tmp/tee_probe"], timeout_s=20.0)


@contextlib.contextmanager
def owner_of(machine: Machine) -> Iterator[Owner]:
    """For any session of this TA."""
    with TEEContext(machine) as context, context.open_session(TA_UUID) as session:
        wrapping, signer = (
            session.invoke(Command.OWN_KEY, (ValueIn(which), MemrefOut(75)))[1].data
            for which in OwnKey
        )
    made = Owner(Share(machine.share), cose.decode_key(wrapping), cose.decode_key(signer))
    yield made
    made.drop()
