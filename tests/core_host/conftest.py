# SPDX-License-Identifier: Apache-2.0
"""The portable core as processes: built once a session, each shared by all tests."""

import fcntl
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from driver import Driver, arm64_argv, native_argv

from sandbox import paths, process
from sandbox.build import sources
from sandbox.log import progress_for

BUILD_TIMEOUT_S = 900


@pytest.fixture(scope="session")
def core_make() -> Callable[[str], Path]:
    """Makes a target of tests/core_host/Makefile; gives the folder that holds the results."""
    build = Path(os.environ.get("CORE_HOST_BUILD", paths.project_dir() / "out" / "core_host"))
    progress = progress_for(sys.stderr)
    libjpeg = sources.unpacked("libjpeg-turbo", progress)
    cbor = sources.unpacked("tinycbor", progress)

    def make(target: str) -> Path:
        build.mkdir(parents=True, exist_ok=True)
        argv = ["make", "--silent", "-j2", "-C", os.fspath(Path(__file__).parent), target]
        argv += [f"BUILD={build}", f"LIBJPEG={libjpeg}", f"CBOR={cbor}"]
        # Workers of xdist build into the same folder: the second finds it done.
        with (build / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            process.run(argv, timeout_s=BUILD_TIMEOUT_S)
        return build

    return make


@pytest.fixture(scope="session")
def native(core_make: Callable[[str], Path]) -> Iterator[Driver]:
    """For this machine, under ASan and UBSan."""
    with Driver(native_argv(core_make("x86-asan"))) as driver:
        yield driver


@pytest.fixture(scope="session")
def arm64(core_make: Callable[[str], Path]) -> Iterator[Driver]:
    """NEON kernels, under user-mode emulation of a CPU that has every extension."""
    with Driver(arm64_argv(core_make("arm64"))) as driver:
        yield driver


@pytest.fixture(scope="session")
def arm64_tiles(core_make: Callable[[str], Path]) -> Iterator[Driver]:
    """As arm64, with tiles so small that every operator falls into several."""
    with Driver(arm64_argv(core_make("arm64-tiles"), "arm64-tiles")) as driver:
        yield driver
