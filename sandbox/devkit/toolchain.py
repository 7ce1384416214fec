# SPDX-License-Identifier: Apache-2.0
"""What a client application is compiled and linked with, and what it loads in the guest."""

import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from sandbox import process
from sandbox.build import images, recipe, sources, store
from sandbox.devkit import elf
from sandbox.log import Progress

# Where libteec and libckteec, the client's side of PKCS#11, come from.
_CLIENT_PACKAGES = ("libteec2", "libckteec0t64")
_LIBRARY_FOLDER = "usr/lib/aarch64-linux-gnu"
# Each guest has these: its own programs need them.
IN_EVERY_GUEST = {"libc.so.6", "libteec.so.2", "ld-linux-aarch64.so.1"}

_CMAKE = """\
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER {cross}gcc)
set(CMAKE_CXX_COMPILER {cross}g++)
set(CMAKE_C_FLAGS_INIT "-isystem {client}/include")
set(CMAKE_CXX_FLAGS_INIT "-isystem {client}/include")
set(CMAKE_EXE_LINKER_FLAGS_INIT "-L{client}/lib")
set(CMAKE_SHARED_LINKER_FLAGS_INIT "-L{client}/lib")
set(CMAKE_PREFIX_PATH {client})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
# As quiet as make -s.
set_property(GLOBAL PROPERTY RULE_MESSAGES OFF)
set_property(GLOBAL PROPERTY TARGET_MESSAGES OFF)
"""


def client_library(progress: Progress) -> Path:
    """The folder that makefiles want as TEEC_EXPORT: `include/` and `lib/` of OP-TEE's client."""
    headers = sources.unpacked("optee-client-dev", progress)
    packages = [sources.unpacked(name, progress) for name in _CLIENT_PACKAGES]

    def build(work: store.Work) -> None:
        shutil.copytree(headers / "usr" / "include", work.folder / "include")
        lib = work.folder / "lib"
        lib.mkdir()
        for package in packages:
            for path in sorted((package / _LIBRARY_FOLDER).glob("*.so*")):
                shutil.copy2(path, lib, follow_symlinks=False)
        for path in sorted(lib.glob("*.so.*")):
            # What -lteec looks for.
            link = lib / (path.name.partition(".so")[0] + ".so")
            if not link.is_symlink():
                link.symlink_to(path.name)

    parts = {"packages": [tree.name for tree in (headers, *packages)]}
    return store.result("client-library", parts, build, progress)


def cmake_file(folder: Path, client: Path) -> Path:
    path = folder / "toolchain.cmake"
    path.write_text(_CMAKE.format(cross=recipe.CROSS, client=client))
    return path


def libraries(programs: Iterable[Path], own: Sequence[Path], progress: Progress) -> dict[str, Path]:
    """The shared libraries that programs load, and those that these load, by the name they use.

    From the project itself, from the guest's packages, or from the cross compiler, which has
    those of C++. Raises ElfError if one is nowhere: the program would not start.
    """
    wanted = [(need, path) for path in programs for need in _needed(path)]
    found: dict[str, Path] = {}
    while wanted:
        name, by = wanted.pop()
        if name in found or name in IN_EVERY_GUEST:
            continue
        path = _find(name, own, progress)
        if path is None:
            raise elf.ElfError(
                f"{by.name} needs {name}, which neither the guest nor the cross compiler has",
                "Link it statically.",
            )
        found[name] = path
        wanted += [(need, path) for need in _needed(path)]
    return dict(sorted(found.items()))


def _find(name: str, own: Sequence[Path], progress: Progress) -> Path | None:
    for path in own:
        described = elf.program(path)
        if path.name == name or (described is not None and described.soname == name):
            return path
    for package in (*images.LIBRARIES, *_CLIENT_PACKAGES):
        path = sources.unpacked(package, progress) / _LIBRARY_FOLDER / name
        if path.is_file():
            return path
    asked = process.run([f"{recipe.CROSS}gcc", f"-print-file-name={name}"], timeout_s=30.0)
    path = Path(os.fsdecode(asked.stdout.strip()))
    return path if path.is_absolute() and path.is_file() else None


def _needed(path: Path) -> tuple[str, ...]:
    described = elf.program(path)
    return described.needed if described is not None else ()
