# SPDX-License-Identifier: Apache-2.0
"""A device of a test file's own with sessions of the TA, for models and keys that stay."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from devices import Device

from sandbox.commands.trust import Believed
from sandbox.machine.boot import GUEST_SHARE
from sandbox.machine.machine import Machine
from sandbox.owner import sealed_file
from sandbox.owner.client import Model
from sandbox.owner.service import Session, Stored
from sandbox.owner.share import Share
from sandbox.owner.vault import Vault

TRUST = Believed()


def own(stored: list[Stored], key: bytes) -> list[Stored]:
    return [one for one in stored if one.key_id == sealed_file.key_id(key)]


class VaultDevice(Device):
    """A machine with sessions of the TA through its client application."""

    def up(self) -> "VaultDevice":
        self.boot()
        return self

    @contextlib.contextmanager
    def session(self, name: str = "test") -> Iterator[Session]:
        """A TA session of its own, which is gone afterwards."""
        with (
            self.machine.guest() as guest,
            Session(Machine.service(guest), GUEST_SHARE) as session,
        ):
            session.attach(name)
            yield session
            session.close_session(name)

    @property
    def share(self) -> Share:
        return Share(self.machine.share)

    @contextlib.contextmanager
    def vault(self, key: bytes, name: str = "vault") -> Iterator[Vault]:
        """Its owner's side, with the key in the TA."""
        with self.session(name) as session:
            vault = Vault(session, self.share, key, name)
            vault.authorize(TRUST)
            yield vault

    def push(self, *models: Model) -> list[Stored]:
        with self.vault(models[0].key) as vault:
            for model in models:
                vault.push(model)
            return vault.models()

    def listed(self) -> list[Stored]:
        with self.session("list") as session:
            return session.models()

    def file(self, stored: Stored) -> Path:
        (path,) = self.storage.glob(f"vault/*/{stored.file}")
        return path

    def load(self, stored: Stored) -> bytes:
        """Into a session that has no key at all."""
        with self.session("load") as session:
            digest = session.load_stored(stored.file)
            assert session.info().model_key_id is None
            return digest

    def clear_up(self, owners: list[bytes]) -> None:
        """Nothing of these owners is left: the vault has no room for what all tests put there."""
        with self.session("vault") as session:
            for key in owners:
                vault = Vault(session, self.share, key, "vault")
                vault.authorize(TRUST)
                for stored in own(vault.models(), key):
                    vault.remove(stored.name)
        owners.clear()


MakeDevice = Callable[[str], VaultDevice]
