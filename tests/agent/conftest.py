# SPDX-License-Identifier: Apache-2.0
"""The agent, built for this machine under sanitizers."""

import sys
from pathlib import Path

import pytest

from sandbox import paths, process
from sandbox.build import sources
from sandbox.log import progress_for

HERE = Path(__file__).parent
SANITIZERS = {"asan": "-fsanitize=address,undefined", "tsan": "-fsanitize=thread"}


@pytest.fixture(scope="session")
def headers() -> Path:
    """Of libteec."""
    return sources.unpacked("optee-client-dev", progress_for(sys.stderr)) / "usr/include"


@pytest.fixture(scope="session", params=SANITIZERS)
def program(request: pytest.FixtureRequest, headers: Path) -> Path:
    """`sandbox-agent`, built by its own makefile."""
    flags = f"{SANITIZERS[request.param]} -fno-sanitize-recover=all -g"
    out = paths.project_dir() / "out" / "agent" / request.param
    out.mkdir(parents=True, exist_ok=True)
    fake, built = out / "fake_teec.o", out / "sandbox-agent"
    # A changed fake alone would not make make link again.
    built.unlink(missing_ok=True)
    process.run(
        ["gcc", "-Wall", "-Wextra", "-Werror", *flags.split(), f"-I{headers}"]
        + ["-c", "-o", fake, HERE / "fake_teec.c"],
        timeout_s=300,
    )
    process.run(
        ["make", "--silent", "-j2", "-C", paths.project_dir() / "host/agent", "CROSS_COMPILE="]
        + [f"O={out}", f"TEEC_INCLUDE={headers}", f"TEEC_LIB={fake}", f"EXTRA_CFLAGS={flags}"],
        timeout_s=600,
    )
    return built


@pytest.fixture(scope="session")
def fuzzers(headers: Path) -> Path:
    out = paths.project_dir() / "out" / "agent" / "fuzz"
    out.mkdir(parents=True, exist_ok=True)
    source = paths.project_dir() / "host" / "agent"
    parts = [source / f"{name}.c" for name in ("frame", "tee_message", "operation")]
    for target in sorted((HERE / "fuzz").glob("fuzz_*.c")):
        process.run(
            ["clang-14", "-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror"]
            + ["-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all"]
            + [f"-I{source}", f"-I{headers}", "-o", out / target.stem, target, *parts],
            timeout_s=300,
        )
    return out
