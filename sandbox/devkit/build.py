# SPDX-License-Identifier: Apache-2.0
"""Build TAs and client applications of anybody's, with the makefiles they come with.

Nothing is written into the project. OP-TEE's dev kit takes a folder for its output; a client's
makefile, which does not, runs in a shadow tree; CMake has its build folder. All are below the XDG
cache, in a folder for each project and set of settings, so that the next build is incremental:

    ta/<folder>/    what the dev kit made of each TA: .ta, .elf, objects
    shadow/         links to the project's files, and what the clients' makefiles made
    cmake/<folder>/ CMake's build folders
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from uuid import UUID

from sandbox import paths
from sandbox.build import recipe, store
from sandbox.devkit import elf, shadow, signed, toolchain, tools, tree
from sandbox.devkit.elf import ElfError, TaFlag
from sandbox.devkit.signed import TaFileError
from sandbox.devkit.tools import CompileError
from sandbox.devkit.tree import HostFolder, HostKind, TaFolder, Tree
from sandbox.log import Progress

# What the dev kit, a shell and make take as a part of a name.
_ODD = re.compile(r"[^\w./+,=@-]")
# What CMake says besides is which compilers it found.
_CMAKE_TROUBLE = ("CMake Warning", "CMake Deprecation", "CMake Error")
# Projects built last, with each set of settings counted; the others' folders are removed. More than
# a whole run of our own tests makes.
KEPT_PROJECTS = 100


@dataclass(frozen=True)
class Settings:
    """How to build, beyond what the makefiles say."""

    optimize: bool = True  # without, variables and lines are where a debugger looks for them
    variables: tuple[tuple[str, str], ...] = ()  # for make's and cmake's command line
    colour: bool = False  # in what the compiler says


@dataclass(frozen=True)
class BuiltTa:
    """A TA, or a shared library for TAs, which OP-TEE loads in the same way."""

    uuid: UUID
    ta: Path
    elf: Path  # not stripped
    name: str  # its folder, or the one that has the `ta` folder
    description: str | None
    flags: TaFlag | None  # None for a library
    version: int


@dataclass(frozen=True)
class Built:
    folder: Path
    work: Path  # where everything that was built is
    tas: tuple[BuiltTa, ...]
    programs: tuple[Path, ...]
    libraries: Mapping[str, Path]  # that the programs load, by the name they load
    output: str  # what the compilers said: warnings


def build(folder: Path, progress: Progress, settings: Settings | None = None) -> Built:
    """Build all that is below a folder; raises CompileError, with the compiler's words."""
    settings = settings or Settings()
    found = tree.find(folder)
    kit = recipe.ta_dev_kit(progress)
    client = toolchain.client_library(progress)
    with progress.step(f"build {found.root.name}") as step:
        work = _work_folder(found.root, kit, client, settings)
        with store.locked(work / ".lock", step), _pool() as (pool, stop):
            job = _Job(found, work, kit, client, settings, stop)
            said = _all_said(pool, [partial(job.ta, ta) for ta in found.tas if ta.library])
            rest = [partial(job.ta, ta) for ta in found.tas if not ta.library]
            job.prepare_hosts()
            rest += [partial(job.host, host) for host in found.hosts]
            said += _all_said(pool, rest)
            programs, own_libraries = job.programs()
            return Built(
                found.root,
                work,
                tuple(built for ta in found.tas for built in job.built_tas(ta)),
                tuple(programs),
                toolchain.libraries(programs, own_libraries, progress),
                said,
            )


@contextlib.contextmanager
def _pool() -> Iterator[tuple[ThreadPoolExecutor, threading.Event]]:
    """Threads that each wait for a program; leaving by an exception ends the programs."""
    stop = threading.Event()
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 2) as pool:
        try:
            yield pool, stop
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _all_said(pool: ThreadPoolExecutor, jobs: Sequence[Callable[[], str]]) -> str:
    """Do all; what all of them said, if one failed as an exception."""
    said, failed = "", []
    for future in [pool.submit(job) for job in jobs]:
        try:
            said += future.result()
        except CompileError as error:
            failed.append(error)
            said += error.output
    if failed:
        raise CompileError("; ".join(error.message for error in failed), said)
    return said


def _work_folder(root: Path, kit: Path, client: Path, settings: Settings) -> Path:
    parts = [root, kit, client, settings.optimize, settings.variables]
    key = hashlib.sha256(json.dumps(parts, default=os.fspath).encode()).hexdigest()[:16]
    base = paths.project_cache_dir()
    work = base / f"{_plain(root.name)[:40]}-{key}"
    if not work.is_dir():
        work.mkdir(parents=True, exist_ok=True)
        # Another process may be doing the same.
        with contextlib.suppress(FileNotFoundError):
            used = sorted(base.iterdir(), key=lambda path: path.stat().st_mtime_ns)
            for old in used[:-KEPT_PROJECTS]:
                shutil.rmtree(old, ignore_errors=True)
    os.utime(work)
    return work


def _plain(name: str) -> str:
    return _ODD.sub("_", name)


class _Job:
    """One build of one project."""

    def __init__(
        self,
        found: Tree,
        work: Path,
        kit: Path,
        client: Path,
        settings: Settings,
        stop: threading.Event,
    ) -> None:
        self._tree = found
        self._work = work
        self._kit = kit
        self._client = client
        self._settings = settings
        self._stop = stop
        self._env = tools.environment(colour=settings.colour)
        if not settings.optimize:
            # For clients: makefiles add theirs to these.
            self._env |= {"CFLAGS": "-O0 -g", "CXXFLAGS": "-O0 -g"}
        self._shadow = work / "shadow"

    # TAs ----------------------------------------------------------------------------------------

    def ta(self, folder: TaFolder) -> str:
        out = self._ta_out(folder)
        out.mkdir(parents=True, exist_ok=True)
        variables = {"O": os.fspath(out)}
        if not self._settings.optimize:
            # The dev kit appends these to its own flags, as the last of all.
            variables |= {"CFLAGS_ta_arm64": "-O0", "CXXFLAGS_ta_arm64": "-O0"}
        said = self._make(folder.path, variables, "all")
        if len(list(out.glob("*.ta"))) > 1:
            # The UUID was changed: what was built under the old one is in the way.
            for old in [*out.glob("*.ta"), *out.glob("*.elf")]:
                old.unlink()
            said += self._make(folder.path, variables, "all")
        return said

    def built_tas(self, folder: TaFolder) -> Iterator[BuiltTa]:
        where = self._tree.relative(folder.path)
        found = sorted(self._ta_out(folder).glob("*.ta"))
        if not found and not folder.library:
            raise TaFileError(
                f"{where}: make made no .ta file",
                "Its Makefile has to set BINARY and include $(TA_DEV_KIT_DIR)/mk/ta_dev_kit.mk.",
            )
        for path in found:
            yield _checked(path, where, self._name(folder))

    def _ta_out(self, folder: TaFolder) -> Path:
        inside = folder.path.relative_to(self._tree.root)
        return self._work / "ta" / _plain(os.fspath(inside))

    def _name(self, folder: TaFolder) -> str:
        return folder.path.parent.name if folder.path.name == "ta" else folder.path.name

    # Client applications ------------------------------------------------------------------------

    def prepare_hosts(self) -> None:
        if not any(host.kind is HostKind.MAKE for host in self._tree.hosts):
            return
        shadow.update(self._tree.root, self._shadow)
        # Few makefiles of clients know which source includes which header.
        digest = shadow.header_digest(self._tree.root)
        mark = self._work / "headers"
        if not mark.is_file() or mark.read_text() != digest:
            for path in shadow.built(self._shadow):
                path.unlink()
            mark.write_text(digest)

    def host(self, folder: HostFolder) -> str:
        if folder.kind is HostKind.CMAKE:
            return self._cmake(folder)
        place = self._shadow / folder.path.relative_to(self._tree.root)
        return self._make(place, {}, named=folder.path)

    def _cmake(self, folder: HostFolder) -> str:
        out = self._cmake_out(folder)
        said = ""
        if not (out / "Makefile").is_file():
            out.mkdir(parents=True, exist_ok=True)
            given = dict(self._settings.variables)
            given |= {
                "CMAKE_TOOLCHAIN_FILE": os.fspath(toolchain.cmake_file(out, self._client)),
                # A part of a larger tree counts on the top to have these set.
                "CMAKE_INSTALL_BINDIR": "bin",
                "CMAKE_INSTALL_LIBDIR": "lib",
            }
            argv = ["cmake", "-G", "Unix Makefiles", "-S", os.fspath(folder.path), "-B"]
            argv += [os.fspath(out), "-Wno-dev", "--no-warn-unused-cli"]
            argv += [f"-D{key}={value}" for key, value in given.items()]
            said = self._run(argv, folder.path, folder.path)
            if not any(word in said for word in _CMAKE_TROUBLE):
                said = ""
        return said + self._run([*self._make_argv(), "-C", os.fspath(out)], out, folder.path)

    def _cmake_out(self, folder: HostFolder) -> Path:
        return self._work / "cmake" / _plain(os.fspath(folder.path.relative_to(self._tree.root)))

    def programs(self) -> tuple[list[Path], list[Path]]:
        """What was built for the guest: programs, and shared libraries."""
        places = []
        if any(host.kind is HostKind.MAKE for host in self._tree.hosts):
            places.append(self._shadow)
        places += [self._cmake_out(h) for h in self._tree.hosts if h.kind is HostKind.CMAKE]
        programs: dict[str, Path] = {}
        libraries = []
        for path in (path for place in places for path in shadow.built(place)):
            if "CMakeFiles" in path.parts:
                continue
            is_a = elf.program(path)
            if is_a is None:
                continue
            if is_a.machine != "AArch64":
                raise ElfError(
                    f"{path.name} was built for {is_a.machine}, not for the guest's AArch64",
                    "Its makefile has to compile with $(CC) or with $(CROSS_COMPILE)gcc.",
                )
            if is_a.library:
                libraries.append(path)
            elif path.name in programs:
                raise ElfError(
                    f"two programs are called {path.name}",
                    "All go to /usr/bin in the guest: build one of their folders alone.",
                )
            else:
                programs[path.name] = path
        return list(programs.values()), libraries

    # Both ---------------------------------------------------------------------------------------

    def _make_argv(self) -> list[str]:
        return ["make", "-s", "--no-print-directory", f"-j{os.cpu_count() or 2}"]

    def _make(
        self, folder: Path, variables: Mapping[str, str], *targets: str, named: Path | None = None
    ) -> str:
        given = {
            "CROSS_COMPILE": recipe.CROSS,
            "CROSS_COMPILE64": recipe.CROSS,
            "HOST_CROSS_COMPILE": recipe.CROSS,
            "TA_CROSS_COMPILE": recipe.CROSS,
            "TA_DEV_KIT_DIR": os.fspath(self._kit),
            "TEEC_EXPORT": os.fspath(self._client),
            "OPTEE_CLIENT_EXPORT": os.fspath(self._client),
            "PLATFORM": "vexpress-qemu_armv8a",
            "PYTHON3": sys.executable,
            **variables,
            **dict(self._settings.variables),
        }
        argv = [*self._make_argv(), *targets, *(f"{k}={v}" for k, v in given.items())]
        return self._run(argv, folder, named or folder)

    def _run(self, argv: Sequence[str], folder: Path, named: Path) -> str:
        # As make says it: editors find files by it.
        entering = f"make: Entering directory '{named}'\n"
        try:
            said = tools.run(
                argv, self._tree.relative(named), cwd=folder, env=self._env, stop=self._stop
            )
        except CompileError as error:
            raise CompileError(error.message, entering + error.output) from None
        return entering + said if said.strip() else ""


def _checked(path: Path, where: str, name: str) -> BuiltTa:
    """A TA whose UUID is one and the same wherever it is written; OP-TEE loads no other."""
    header = signed.read(path)
    unstripped = path.with_suffix(".elf")
    head = elf.ta_head(unstripped)
    if str(header.uuid) != path.stem:
        raise TaFileError(
            f"{where}: {path.name} was signed as {header.uuid}",
            "Write BINARY in its Makefile in lower case, as 8-4-4-4-12 digits.",
        )
    if head is not None and head.uuid != header.uuid:
        raise TaFileError(
            f"{where}: the Makefile's BINARY is {header.uuid}, but TA_UUID is {head.uuid}",
            "TA_UUID in user_ta_header_defines.h has to be the same.",
        )
    return BuiltTa(
        header.uuid,
        path,
        unstripped,
        name,
        elf.ta_description(unstripped) if head is not None else None,
        head.flags if head is not None else None,
        header.version,
    )
