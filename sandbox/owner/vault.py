# SPDX-License-Identifier: Apache-2.0
"""The model owner's side of a device's vault: models that stay there, and what was put there.

What is in a vault the normal world tells (`Session.models`), and that something was done there: it
can withhold a command. What ought to be there is in a record of this user's own, a file for each
device: a model is used by the digest that is in the record.
"""

import dataclasses
import fcntl
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from uuid import UUID

from sandbox import paths
from sandbox.errors import UserError
from sandbox.owner import keys
from sandbox.owner.client import Model, StoredModel, Trust
from sandbox.owner.sealed_file import check_name, key_id
from sandbox.owner.service import Session, Stored, TaInfo
from sandbox.owner.share import Share

_FORMAT = 1


class NotInVault(UserError):
    """No model that this user has put there has this name."""


@dataclass(frozen=True)
class Record:
    """What this user has put into one device's vault."""

    path: Path
    models: dict[str, StoredModel]  # by name; the last version of each
    active: str | None

    @classmethod
    def load(cls, device: UUID) -> Self:
        path = paths.state_dir() / "owners" / "vault" / f"{device}.json"
        try:
            fields = json.loads(path.read_text())
            if fields["format"] != _FORMAT:
                raise ValueError(f"format {fields['format']!r}")
            models = [
                StoredModel(
                    entry["name"], int(entry["version"]), bytes.fromhex(entry["sha256"]), device
                )
                for entry in fields["models"]
            ]
            return cls(path, {model.name: model for model in models}, fields["active"])
        except FileNotFoundError:
            return cls(path, {}, None)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"cannot read {path}: {error}",
                "Move it away, and push the models again: it says which are expected.",
            ) from error

    def with_model(self, model: StoredModel) -> "Record":
        """The first one is active, as in the vault."""
        models = {**self.models, model.name: model}
        return dataclasses.replace(self, models=models, active=self.active or model.name)

    def without(self, name: str) -> "Record":
        models = {key: model for key, model in self.models.items() if key != name}
        active = None if self.active == name else self.active
        return dataclasses.replace(self, models=models, active=active)

    def with_active(self, name: str) -> "Record":
        return dataclasses.replace(self, active=name)

    @classmethod
    def update(cls, device: UUID, change: Callable[["Record"], "Record"]) -> "Record":
        """As it is now, changed; one process at a time."""
        folder = cls.load(device).path.parent
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            made = change(cls.load(device))
            made._save()
            return made
        finally:
            os.close(descriptor)

    def _save(self) -> None:
        fields = {
            "format": _FORMAT,
            "active": self.active,
            "models": [
                {"name": m.name, "version": m.version, "sha256": m.digest.hex()}
                for m in self.models.values()
            ],
        }
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        try:
            temporary.write_text(json.dumps(fields, indent=1) + "\n")
            temporary.replace(self.path)
        finally:
            temporary.unlink(missing_ok=True)

    def expected(self, name: str | None) -> StoredModel:
        """The model of this name; None: the active one."""
        wanted = self.active if name is None else name
        if wanted is None:
            raise NotInVault(
                "no model of yours is active in this device's vault",
                "`sandbox model push MODEL` puts one there; `sandbox model activate NAME` chooses.",
            )
        if wanted not in self.models:
            raise NotInVault(
                f"no model {wanted!r} of yours is in this device's vault",
                "`sandbox model push MODEL` puts one there; `sandbox model list` says what is.",
            )
        return self.models[wanted]

    def version_for(self, model: Model) -> int:
        """The version of this content: as before, or one above the last."""
        last = self.models.get(model.name)
        if last is None:
            return 1
        return last.version if last.digest == model.digest else last.version + 1


class Vault:
    """One session with a device's vault, and the owner's key for it."""

    def __init__(self, session: Session, share: Share, key: bytes, name: str) -> None:
        self._session = session
        self._share = share
        self._key = key
        self._info: TaInfo = session.attach(name)
        self.record = Record.load(self.device)

    @property
    def device(self) -> UUID:
        """On the normal world's word, until `authorize` has compared it with evidence."""
        return self._info.device

    def is_own(self, stored: Stored) -> bool:
        return stored.key_id == key_id(self._key)

    def models(self) -> list[Stored]:
        return self._session.models()

    def authorize(self, trust: Trust) -> None:
        """The TA gets the owner's key, if it is trusted, and on the device of the record."""
        ta = trust.keys_of(self._session)
        ta.expect_device(self.device)
        path = self._share.put(
            keys.wrap(self._key, keys.Slot.MODEL, ta.wrapping, ta.challenge), "key"
        )
        try:
            self._session.provision(keys.Slot.MODEL.name.lower(), path)
        finally:
            self._share.drop(path)

    def push(self, model: Model) -> StoredModel:
        path = self._share.put(model.sealed, "model")
        try:
            self._session.store(path)
        finally:
            self._share.drop(path)
        made = StoredModel(model.name, model.version, model.digest, self.device)
        self._note(lambda record: record.with_model(made))
        return made

    def remove(self, name: str) -> None:
        self._session.remove(check_name(name))
        self._note(lambda record: record.without(name))

    def activate(self, name: str) -> None:
        self._session.activate(check_name(name))
        self._note(lambda record: record.with_active(name))

    def _note(self, change: Callable[[Record], Record]) -> None:
        self.record = Record.update(self.device, change)
