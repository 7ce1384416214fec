# SPDX-License-Identifier: Apache-2.0
"""One machine for the whole session, in a state folder of its own; the cache is the user's."""

import contextlib
import os
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from real_stack import ROOT, Client, run_sandbox

from sandbox import paths
from sandbox.commands import photos
from sandbox.log import SilentProgress
from sandbox.machine.boot import GUEST_SHARE
from sandbox.machine.console import bad_pattern
from sandbox.machine.folder import World
from sandbox.machine.guest import Guest
from sandbox.machine.machine import Machine
from sandbox.owner.service import Session
from sandbox.owner.share import Share

NAME = "e2e"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session", autouse=True)
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """No test touches the user's machines or keys."""
    folder = tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", os.fspath(folder))
        patch.setenv("SANDBOX_MACHINE", NAME)
        # Half the default: less for the memory search to go through.
        patch.setenv("SANDBOX_MEMORY_MIB", "512")
        yield folder


@pytest.fixture(scope="session")
def booted(state: Path) -> Iterator[dict[str, Any]]:
    """What `sandbox up --json` says."""
    del state
    ran = run_sandbox("up", "--json", timeout_s=1800.0)
    try:
        assert ran.status == 0, ran.stderr
        yield ran.json
    finally:
        down = run_sandbox("down")
    assert down.status == 0, down.stderr


@pytest.fixture(scope="session")
def machine(booted: dict[str, Any]) -> Machine:
    del booted
    return Machine(NAME, paths.machine_dir(NAME))


@pytest.fixture
def guest(machine: Machine) -> Iterator[Guest]:
    with machine.guest() as connected:
        yield connected


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


@pytest.fixture(autouse=True)
def no_panic(request: pytest.FixtureRequest) -> Iterator[None]:
    """Neither world has broken down during the test."""
    if "booted" not in request.fixturenames:
        yield
        return
    machine: Machine = request.getfixturevalue("machine")
    logs = {world: machine.folder.log(world) for world in World}
    begin = {world: log.stat().st_size for world, log in logs.items()}
    expected = {n for m in request.node.iter_markers("sandbox_expects") for n in m.args}
    yield
    for world, log in logs.items():
        for line in log.read_bytes()[begin[world] :].decode(errors="replace").splitlines():
            pattern = bad_pattern(world, line)
            assert pattern is None or pattern.name in expected, f"{pattern.name}: {line}"
