# SPDX-License-Identifier: Apache-2.0
"""A device of a test file's own: it goes down and up, is killed, and its storage is put back."""

import contextlib
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

from sandbox.commands.trust import Believed
from sandbox.log import SilentProgress
from sandbox.machine.boot import GUEST_SHARE
from sandbox.machine.machine import Machine
from sandbox.machine.start import guarded
from sandbox.owner.client import Model
from sandbox.owner.service import Session, Stored
from sandbox.owner.share import Share
from sandbox.owner.vault import Vault
from sandbox.testing.lab import ImagesFor

TRUST = Believed()


class Device:
    """A machine that is switched off, cut off, and on again."""

    def __init__(self, machine: Machine, images_for: ImagesFor) -> None:
        self.machine = machine
        self.storage = machine.folder.storage
        self._images_for = images_for
        self._guard = contextlib.ExitStack()

    def up(self) -> "Device":
        status, started = self.machine.up(
            self._images_for(2),
            cores=2,
            memory_mib=512,
            timeout_s=180.0,
            progress=SilentProgress(),
        )
        assert started and status.record is not None and status.record.qemu is not None
        self._guard.enter_context(guarded(status.record.qemu.pid))
        return self

    def down(self) -> None:
        self._guard.close()
        self.machine.down()

    def cut_off(self) -> None:
        record = self.machine.status().record
        assert record is not None and record.qemu is not None
        record.qemu.signal(signal.SIGKILL)

    def kill(self) -> None:
        self.cut_off()
        self.down()

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

    @contextlib.contextmanager
    def put_right_after(self) -> Iterator[None]:
        """The storage's files, whatever the body does to them, are back at the end."""
        good = self.machine.folder.path / "good"
        shutil.copytree(self.storage, good)
        try:
            yield
        finally:
            restore(self.storage, good)
            shutil.rmtree(good)


def restore(storage: Path, folder: Path) -> None:
    """The content: the folder itself stays mounted."""
    for path in storage.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copytree(folder, storage, dirs_exist_ok=True)


MakeDevice = Callable[[str], Device]
