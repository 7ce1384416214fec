# SPDX-License-Identifier: Apache-2.0
"""The pytest plugin: options, hooks and fixtures. docs/pytest.md is about them.

Every project whose environment has the sandbox loads this module, so it imports nothing of ours
until a test asks for one of its fixtures.
"""

import contextlib
import functools
import sys
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    from sandbox.build.images import BootImages
    from sandbox.debug.gdb import Gdb
    from sandbox.devkit.build import Built
    from sandbox.devkit.build import Settings as BuildSettings
    from sandbox.log import Progress
    from sandbox.machine.guest import Guest
    from sandbox.machine.machine import Machine
    from sandbox.tee import Parameter, Session, TEEContext
    from sandbox.testing.applications import BuildTa
    from sandbox.testing.bench import Bench
    from sandbox.testing.console import Console
    from sandbox.testing.lab import BootMachine, ImagesFor, Lab, Settings
    from sandbox.testing.share import SharedFolder

_NAME = "pytest"
# All fixtures that have to do with a machine ask for this one, if not directly.
_ROOT_FIXTURE = "_sandbox_lab"
_BENCH: pytest.StashKey["Bench"] = pytest.StashKey()
_NO_MACHINE: pytest.StashKey[str] = pytest.StashKey()
_EXPECTS = "sandbox_expects"
# What is between a test's call and the place where we raise.
_OUR_MODULES = ("sandbox", "contextlib")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("sandbox", "machines with OP-TEE, under QEMU")
    group.addoption(
        "--sandbox-cores",
        type=int,
        metavar="N",
        help="cores of each machine (default: the host's, 2 to 8; ini option: sandbox_cores)",
    )
    group.addoption(
        "--sandbox-machine",
        metavar="NAME",
        help="use the machine that `sandbox --machine NAME up` started, or start it so, and leave"
        " it up: saves the boot when tests are run again and again",
    )
    group.addoption(
        "--sandbox-keep",
        action="store_true",
        help=f"leave the machines of this run up, in your own state folder: the session's is"
        f" `sandbox --machine {_NAME}`",
    )
    parser.addini("sandbox_cores", "cores of each machine", type="int", default=0)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        f"{_EXPECTS}(*names): the bad patterns that this test provokes on a console, such as"
        " 'TA panic'; it fails if one does not come",
    )


# Each test: what the consoles say meanwhile ------------------------------------------------------


def _bench(item: pytest.Item) -> "Bench | None":
    """The consoles, if the test has to do with machines at all."""
    if _ROOT_FIXTURE not in _fixtures(item):
        return None
    return _bench_of(item.config)


def _fixtures(item: pytest.Item) -> Collection[str]:
    """The names of all fixtures that the test asks for, directly or not."""
    return getattr(item, "fixturenames", ())


def _bench_of(config: pytest.Config) -> "Bench":
    from sandbox.testing.bench import Bench

    return config.stash.setdefault(_BENCH, Bench())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None]:
    if (bench := _bench(item)) is None:
        if item.get_closest_marker(_EXPECTS) is not None:
            pytest.fail(f"the marker {_EXPECTS} on a test that uses no machine", False)
        return (yield)
    with _blamed(bench, item):
        if "machine" in _fixtures(item) and (why := item.config.stash.get(_NO_MACHINE, "")):
            pytest.skip(f"the session's machine did not boot: {why}")
        bench.begin(item.nodeid, (n for m in item.iter_markers(_EXPECTS) for n in m.args))
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    if (bench := _bench(item)) is None:
        return (yield)
    with _blamed(bench, item):
        result = yield
        if missing := bench.missing():
            pytest.fail(f"expected by the marker {_EXPECTS}, but not seen: {missing}", False)
        return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None]:
    if (bench := _bench(item)) is None:
        return (yield)
    with _blamed(bench, item):
        return (yield)


@contextlib.contextmanager
def _blamed(bench: "Bench", item: pytest.Item) -> Iterator[None]:
    """What is bad on a console fails what would pass, and explains what fails."""
    try:
        yield
    except (Exception, pytest.fail.Exception) as error:
        if not item.config.getoption("fulltrace"):
            _end_at_the_caller(error)
        # A fixture's error comes again for each test that asks for it.
        if not hasattr(error, "__notes__"):
            for hint in getattr(error, "hints", ()):
                error.add_note(f"hint: {hint}")
        for alarm in bench.alarms():
            error.add_note(f"meanwhile: {alarm.message}")
        raise
    except (pytest.skip.Exception, pytest.xfail.Exception):
        _raise_first(bench)
        raise
    _raise_first(bench)


def _end_at_the_caller(error: BaseException) -> None:
    """An error that we foresaw is not to be looked for in our code."""
    from sandbox.errors import SandboxError

    last = place = error.__traceback__ if isinstance(error, SandboxError) else None
    while place is not None:
        module: str = place.tb_frame.f_globals.get("__name__", "")
        if module.partition(".")[0] not in _OUR_MODULES:
            last = place
        place = place.tb_next
    if last is not None:
        last.tb_next = None


def _raise_first(bench: "Bench") -> None:
    if alarms := bench.alarms():
        pytest.fail("\n\n".join(alarm.message for alarm in alarms), pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Both consoles go with the report of a failure: to the terminal, and to JUnit's XML."""
    del call
    report = yield
    if report.failed and (bench := _bench(item)) is not None:
        for section in bench.evidence():
            report.sections.append((section.title, section.text))
            item.user_properties.append((section.title, section.text))
        report.user_properties = list(item.user_properties)
    return report


# Fixtures ----------------------------------------------------------------------------------------


@contextlib.contextmanager
def _plainly() -> Iterator[None]:
    """What a person can put right is told without a traceback through our code."""
    from sandbox.errors import SandboxError

    try:
        yield
    except SandboxError as error:
        hints = "".join(f"\nhint: {hint}" for hint in error.hints)
        raise pytest.fail.Exception(f"{error.name}: {error}{hints}", pytrace=False) from None


def _worker(config: pytest.Config) -> str:
    """gw0, gw1... with pytest-xdist. The environment would tell a pytest within a test the same."""
    return str(getattr(config, "workerinput", {}).get("workerid", ""))


@contextlib.contextmanager
def _shown(config: pytest.Config) -> Iterator["Progress"]:
    """Steps of work that may take minutes, to be seen though pytest captures what tests print."""
    from sandbox.log import SilentProgress, progress_for

    capture = config.pluginmanager.getplugin("capturemanager")
    if capture is None or _worker(config):
        yield SilentProgress()
        return
    with capture.global_and_fixture_disabled():
        yield progress_for(sys.stderr)


@pytest.fixture(scope="session")
def _sandbox_settings(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator["Settings"]:
    from sandbox.testing.lab import Settings
    from sandbox.testing.sweeper import swept

    named: str | None = pytestconfig.getoption("--sandbox-machine")
    keep: bool = pytestconfig.getoption("--sandbox-keep")
    worker = _worker(pytestconfig)
    with _plainly():
        settings = Settings(
            name="-".join(filter(None, (named or _NAME, worker))),
            state=None if named or keep else tmp_path_factory.mktemp("sandbox"),
            cores=pytestconfig.getoption("--sandbox-cores") or pytestconfig.getini("sandbox_cores"),
            adopt=named is not None,
            keep=keep,
        )
    with swept(settings.state) if settings.state else contextlib.nullcontext():
        yield settings


@pytest.fixture(scope="session")
def _sandbox_lab(
    pytestconfig: pytest.Config, _sandbox_settings: "Settings", sandbox_images: "ImagesFor"
) -> Iterator["Lab"]:
    from sandbox.testing.lab import Lab, sigterm_interrupts

    with sigterm_interrupts():
        yield Lab(_sandbox_settings, sandbox_images, _bench_of(pytestconfig))


@pytest.fixture(scope="session")
def sandbox_environment(_sandbox_settings: "Settings") -> dict[str, str]:
    """Environment variables with which the command `sandbox` means the session's machine.

    For example `subprocess.run(["sandbox", "status"], env=os.environ | sandbox_environment)`.
    """
    return _sandbox_settings.environment


@pytest.fixture(scope="session")
def sandbox_images(pytestconfig: pytest.Config) -> "ImagesFor":
    """A function from a number of cores to what a machine boots from, by default as `sandbox up`.

    Redefine it in a conftest.py to boot something else.
    """
    from sandbox.build import images

    def prepare(cores: int) -> "BootImages":
        with _shown(pytestconfig) as progress:
            return images.prepare(cores, progress)

    return prepare


@pytest.fixture(scope="session")
def boot_machine(_sandbox_lab: "Lab") -> "BootMachine":
    """Boots machines: `with boot_machine() as one, boot_machine(cores=4) as another:`.

    They are a `sandbox.machine.machine.Machine` each, watched like the session's, and ended with
    the block.
    """
    return _sandbox_lab.machine


@pytest.fixture(scope="session")
def machine(pytestconfig: pytest.Config, _sandbox_lab: "Lab") -> Iterator["Machine"]:
    """The machine that the tests of a session share (with pytest-xdist: of each worker).

    A `sandbox.machine.machine.Machine`; booted when the first test asks for it, in a state folder
    of its own. `guest`, `console`, `push_ta`, `tee_context`... are this machine's: redefine this
    one in a conftest.py, and they follow.
    """
    with contextlib.ExitStack() as stack:
        try:
            with _plainly():
                up = stack.enter_context(_sandbox_lab.session_machine())
        except pytest.fail.Exception as error:
            # Each other test would tell the same at length.
            pytestconfig.stash[_NO_MACHINE] = str(error).partition("\n")[0]
            raise
        yield up


@pytest.fixture
def fresh_machine(boot_machine: "BootMachine") -> Iterator["Machine"]:
    """A machine booted for this test alone, and ended after it.

    For one with another number of cores, or for several, ask for `boot_machine`.
    """
    with contextlib.ExitStack() as stack:
        with _plainly():
            up = stack.enter_context(boot_machine())
        yield up


@pytest.fixture
def guest(machine: "Machine") -> Iterator["Guest"]:
    """Runs commands in Linux on `machine`: a `sandbox.machine.guest.Guest`.

    `guest.run(["uname", "-r"], timeout_s=10, check=True).stdout` is bytes.
    """
    with machine.guest() as connected:
        yield connected


@pytest.fixture
def share(machine: "Machine") -> Iterator["SharedFolder"]:
    """An empty folder that this test shares with the guest of `machine`.

    `share.host` is its path here, `share.guest` the path there.
    """
    from sandbox.testing.share import shared_folder

    with shared_folder(machine) as folder:
        yield folder


@pytest.fixture(scope="session")
def build_ta(pytestconfig: pytest.Config) -> "BuildTa":
    """Builds TAs and their clients: `build_ta(FOLDER)`, a project as `sandbox ta build` takes it.

    A path that is not absolute begins at pytest's root folder. Returns a
    `sandbox.devkit.build.Built`, whose `tas` have a `uuid` each. Built once in a session.
    """
    from sandbox.testing.applications import Builds

    builds = Builds(pytestconfig.rootpath)

    def build(folder: "Path | str", settings: "BuildSettings | None" = None) -> "Built":
        with _plainly(), _shown(pytestconfig) as progress:
            return builds.get(folder, settings, progress)

    return build


@pytest.fixture(scope="module")
def push_ta(machine: "Machine", build_ta: "BuildTa") -> "BuildTa":
    """The same, and puts them into `machine`: the next session that is opened has the new code.

    `push_ta("hello_world").tas[0].uuid`
    """
    from sandbox.testing.applications import Pushes

    pushes = Pushes(machine, build_ta)

    def push(folder: "Path | str", settings: "BuildSettings | None" = None) -> "Built":
        with _plainly():
            return pushes(folder, settings)

    return push


@pytest.fixture
def tee_context(machine: "Machine") -> Iterator["TEEContext"]:
    """A connection to the TEE of `machine`: a `sandbox.tee.TEEContext`, closed after the test."""
    from sandbox.tee import TEEContext

    with TEEContext(machine) as context:
        yield context


@pytest.fixture
def tee_session(tee_context: "TEEContext") -> Iterator[Callable[..., "Session"]]:
    """Opens sessions with TAs of `machine`, closed after the test.

    `tee_session(UUID).invoke(COMMAND, (ValueIn(1, 2), MemrefOut(16)))`
    """
    with contextlib.ExitStack() as stack:

        def open_session(
            uuid: "UUID | str", parameters: "Sequence[Parameter]" = (), **how: Any
        ) -> "Session":
            return stack.enter_context(tee_context.open_session(uuid, parameters, **how))

        yield open_session


@pytest.fixture
def gdb(machine: "Machine") -> Callable[..., contextlib.AbstractContextManager["Gdb"]]:
    """gdb on a TA, OP-TEE or Linux of `machine`, without a terminal.

    `with gdb("ta", NAME_OR_UUID) as debugger:`, or `gdb("core")`, `gdb("kernel")`; the machine
    stands still until `debugger.cont()`, and runs after the block.
    """
    from sandbox.debug.gdb import attach

    return functools.partial(attach, machine)


@pytest.fixture
def console_of(
    pytestconfig: pytest.Config, _sandbox_lab: "Lab"
) -> Callable[["Machine"], "Console"]:
    """The consoles of any machine that is up: `console_of(fresh_machine).wait_for("login")`."""
    del _sandbox_lab
    return _bench_of(pytestconfig).console


@pytest.fixture
def console(machine: "Machine", console_of: Callable[["Machine"], "Console"]) -> "Console":
    """Both consoles of `machine` since the test began: a `sandbox.testing.console.Console`.

    `console.lines()`, `console.text()`, `console.wait_for(REGEX, world=..., timeout_s=...)`, and
    `with console.expecting("TA panic"):` around what provokes one.
    """
    return console_of(machine)
