# SPDX-License-Identifier: Apache-2.0
"""What the tests of this project add to the pytest plugin's fixtures: photos, and sessions of our
client application."""

import contextlib
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from devices import devices
from raw_client import Owner, Probe, owner_of, probe_in
from real_stack import ROOT, Client
from vault_device import MakeDevice, VaultDevice

from sandbox.commands import photos
from sandbox.log import SilentProgress
from sandbox.machine.boot import GUEST_SHARE
from sandbox.machine.machine import Machine
from sandbox.owner.service import Session
from sandbox.owner.share import Share
from sandbox.testing.lab import ImagesFor


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session", autouse=True)
def environment(sandbox_environment: dict[str, str]) -> Iterator[None]:
    """The command `sandbox` means the tests' machine too, and never the user's machines or keys."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in sandbox_environment.items():
            patch.setenv(name, value)
        # Half the default: less for the memory search to go through.
        patch.setenv("SANDBOX_MEMORY_MIB", "512")
        yield


@pytest.fixture(scope="session")
def photo_paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every good photo by name, those from the Debian package too."""
    fetched = photos.fetch(tmp_path_factory.mktemp("photos"), SilentProgress())
    found = {path.stem: path for path in fetched}
    manifest = tomllib.loads((ROOT / photos.MANIFEST).read_text())
    for name, entry in manifest.items():
        if "fetched_from" not in entry and "bad" not in entry:
            found[Path(name).stem] = ROOT / "fixtures/photos" / name
    return found


Connect = Callable[[str], Client]


@contextlib.contextmanager
def sessions(machine: Machine) -> Iterator[Connect]:
    """Sessions by name; all are hung up, and closed in the TA, at the end."""
    with contextlib.ExitStack() as stack:
        guest = stack.enter_context(machine.guest())

        def attach(name: str) -> Client:
            session = stack.enter_context(Session(Machine.service(guest), GUEST_SHARE))
            stack.callback(session.close_session, name)
            return Client(session, Share(machine.share), name)

        yield attach


@pytest.fixture
def connect(machine: Machine) -> Iterator[Connect]:
    """Sessions of one test."""
    with sessions(machine) as attach:
        yield attach


@pytest.fixture(scope="module")
def client(machine: Machine) -> Iterator[Client]:
    """A session with keys and the detector, the same for all tests of a file: it survives each."""
    with sessions(machine) as attach:
        made = attach("e2e-client")
        made.provision()
        made.load()
        yield made


@pytest.fixture(scope="module")
def probe(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Probe]:
    """Commands that no honest client sends."""
    with probe_in(machine, tmp_path_factory.mktemp("probe")) as made:
        yield made


@pytest.fixture
def owner(machine: Machine, probe: Probe) -> Iterator[Owner]:
    """For any session of this TA."""
    with owner_of(machine) as made:
        yield made


@pytest.fixture(scope="module")
def make_device(
    sandbox_images: ImagesFor, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MakeDevice]:
    """Devices of a test file's own; they are off."""
    state = tmp_path_factory.mktemp("devices")
    with devices(state, lambda machine: VaultDevice(machine, sandbox_images)) as make:
        yield make
