# SPDX-License-Identifier: Apache-2.0
"""The client application's line protocol (host/): the normal world's side of a TA session.

What crosses here is names of files in the share and the TA's answers: never a key or a photo in
the clear. The other side is not trusted: `service` reports what it says, `results` decides.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self
from uuid import UUID

from sandbox.errors import GuestError, SandboxError, UserError
from sandbox.owner.sealed_file import check_name
from sandbox.tee_abi import STATUS_SENTENCES

# Of what the other side says, this much is shown.
_WORDS_MAX = 300
# What is the photo's or the model's fault, not the machine's.
_INPUT_PREFIXES = ("JPEG_", "MODEL_", "HEADER_", "TENSORS_", "REQUEST_MODEL")
# The service itself waits a minute for another connection's session before it says CA_BUSY, and
# opening one takes a moment: the answer must find us still listening.
ATTACH_S = 90.0


class Lines(Protocol):
    """A two-way stream of text lines to `cml-ca call`."""

    def send(self, line: str) -> None: ...

    def receive(self, timeout_s: float) -> str:
        """The next line without its end; raises GuestError when there is none."""

    def close(self) -> None: ...


class TaError(GuestError):
    """The TA or the client application refused a command; `status` is its name for why."""

    def __init__(self, status: str, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint)
        self.status = status

    @property
    def name(self) -> str:
        return self.status


class InputRefused(UserError):
    """The TA opened the input and found it unusable; `status` is its name for why."""

    def __init__(self, status: str, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint)
        self.status = status

    @property
    def name(self) -> str:
        return self.status


@dataclass(frozen=True)
class TaInfo:
    version: str
    device: UUID  # gpd.tee.deviceID
    challenge: bytes  # which the next key has to answer
    data_key_id: bytes | None
    model_key_id: bytes | None
    model_digest: bytes | None
    # Of the loaded model: activations, and what prepare allocated beside them.
    arena_bytes: int
    tables_bytes: int
    cpu: tuple[str, ...]
    memory_used_bytes: int
    memory_peak_bytes: int
    # Of the guest, where this session's photos run; None: the reply does not say (`info`).
    core: int | None

    @classmethod
    def from_reply(cls, reply: dict[str, Any]) -> Self:
        def octets(value: str | None) -> bytes | None:
            return bytes.fromhex(value) if value else None

        try:
            model = reply["model"]
            return cls(
                reply["version"],
                UUID(hex=reply["device"]),
                bytes.fromhex(reply["challenge"]),
                octets(reply["data_key_id"]),
                octets(reply["model_key_id"]),
                octets(model["digest"] if model else None),
                model["arena"] if model else 0,
                model["tables"] if model else 0,
                tuple(reply["cpu"]),
                reply["memory"]["used"],
                reply["memory"]["peak"],
                reply.get("core"),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise GuestError(f"the client application's reply makes no sense: {reply}") from error


@dataclass(frozen=True)
class Stored:
    """A model in the TA's vault, as the normal world tells."""

    name: str
    version: int
    digest: bytes
    size: int
    active: bool  # of those with its key
    key_id: bytes
    file: str  # names the sealed file

    @classmethod
    def from_reply(cls, entry: dict[str, Any]) -> Self:
        stored = cls(
            entry["name"],
            entry["version"],
            bytes.fromhex(entry["digest"]),
            entry["size"],
            entry["active"],
            bytes.fromhex(entry["key_id"]),
            entry["file"],
        )
        check_name(stored.name)
        bytes.fromhex(stored.file)
        if (type(stored.version), type(stored.size), type(stored.active)) != (int, int, bool):
            raise TypeError(f"{entry!r}")
        return stored


def _printable(said: object) -> str:
    """What the normal world says is printed to a terminal: no control characters, no novels."""
    text = str(said)[:_WORDS_MAX]
    return "".join(character if character.isprintable() else "?" for character in text)


class Session:
    """A named TA session that the client application keeps open between connections."""

    def __init__(self, lines: Lines, guest_share: str) -> None:
        self._lines = lines
        self._guest_share = guest_share

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lines.close()

    def _call(self, *words: str, timeout_s: float = 30.0) -> dict[str, Any]:
        self._lines.send(" ".join(words))
        line = self._lines.receive(timeout_s)
        try:
            reply: dict[str, Any] = json.loads(line)
            if reply["ok"]:
                return reply
            status = _printable(reply["error"])
            command, origin, code, words_of_it = (
                _printable(reply.get(key, "?")) for key in ("command", "origin", "code", "message")
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise GuestError(f"the client application said {line[:_WORDS_MAX]!r}") from error
        sentence = STATUS_SENTENCES.get(status, words_of_it)
        message = f"{status}: {sentence}"
        if status.startswith(_INPUT_PREFIXES):
            raise InputRefused(status, message, "docs/errors.md explains it and what to do.")
        raise TaError(
            status,
            f"{message} ({command}, {origin}, {code})",
            "docs/errors.md explains it; `sandbox logs --world secure` has what the TA said.",
        )

    def _path(self, path: Path) -> str:
        """As the guest sees a file of the share."""
        return f"{self._guest_share}/{path.name}"

    def attach(self, name: str, *, timeout_s: float = ATTACH_S) -> TaInfo:
        return TaInfo.from_reply(self._call("attach", name, timeout_s=timeout_s))

    def info(self) -> TaInfo:
        return TaInfo.from_reply(self._call("info"))

    def provision(self, slot: str, wrapped: Path) -> bytes:
        """The challenge that the next key has to answer."""
        return self._octets("challenge", "key", slot, self._path(wrapped))

    def attest(self, nonce: bytes) -> bytes:
        """Evidence of the TA over `nonce`; nobody has judged it."""
        return self._octets("token", "attest", nonce.hex())

    def own_key(self, name: str) -> bytes:
        """The public part of the TA's key of this name, COSE_Key, on the normal world's word."""
        return self._octets("cose_key", "own-key", name)

    def csr(self, name: str) -> bytes:
        """A request for a certificate (PKCS#10, DER), signed by that key."""
        return self._octets("csr", "csr", name)

    def rotate(self, name: str) -> int:
        """How often the key of this name has been rotated now."""
        reply = self._call("rotate", name)
        if type(reply.get("generation")) is not int:
            raise GuestError(f"the client application's reply makes no sense: {reply}")
        return int(reply["generation"])

    def _octets(self, member: str, *words: str, timeout_s: float = 60.0) -> bytes:
        reply = self._call(*words, timeout_s=timeout_s)
        try:
            return bytes.fromhex(reply[member])
        except (KeyError, TypeError, ValueError) as error:
            raise GuestError(f"the client application's reply makes no sense: {reply}") from error

    def load_model(self, sealed: Path) -> None:
        self._call("model", self._path(sealed), timeout_s=120.0)

    def models(self) -> list[Stored]:
        """What is in the vault."""
        reply = self._call("models", timeout_s=60.0)
        try:
            return [Stored.from_reply(entry) for entry in reply["models"]]
        except (KeyError, TypeError, ValueError, SandboxError) as error:
            raise GuestError(f"the client application's reply makes no sense: {reply}") from error

    def store(self, sealed: Path) -> None:
        """Load a model and put it into the vault; its key is in the session."""
        self._call("store", self._path(sealed), timeout_s=120.0)

    def load_stored(self, file: str) -> bytes:
        """Load a model of the vault by the name of its file. The digest of what was loaded."""
        return self._octets("digest", "vault", file, timeout_s=120.0)

    def remove(self, name: str) -> None:
        """Of the vault's models with the session's model key."""
        self._call("remove", name, timeout_s=60.0)

    def activate(self, name: str) -> None:
        self._call("activate", name, timeout_s=60.0)

    def stored_keys(self) -> list[bytes]:
        """Ids of the keys that the device keeps, as the normal world tells."""
        reply = self._call("keys", timeout_s=60.0)
        try:
            return [bytes.fromhex(each) for each in reply["keys"]]
        except (KeyError, TypeError, ValueError) as error:
            raise GuestError(f"the client application's reply makes no sense: {reply}") from error

    def forget(self, identity: bytes) -> None:
        """The device keeps the key of this id no more."""
        self._call("forget", identity.hex(), timeout_s=60.0)

    def describe(self) -> bytes:
        """What the loaded model takes, COSE_Sign1; nobody has checked it."""
        return self._octets("description", "describe")

    def encrypt(self, plain: Path, sealed: Path) -> None:
        """`plain`: a header and what it announces. `sealed` is then in the share."""
        self._call("encrypt", self._path(plain), self._path(sealed), timeout_s=120.0)

    def workers(self, count: int) -> None:
        """How many cores may work on a photo of this connection's from now on; 0: all."""
        self._call("workers", str(count))

    def infer(self, sealed: Path, result: Path) -> None:
        """`result` is then in the share."""
        self._call("infer", self._path(sealed), self._path(result), timeout_s=300.0)

    def close_session(self, name: str) -> None:
        """End the TA session itself, and everything that hangs from it."""
        self._call("close", name)
