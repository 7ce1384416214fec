# SPDX-License-Identifier: Apache-2.0
"""The agent, built for this machine under sanitizers."""

from pathlib import Path

import native_build
import pytest

from sandbox import paths, process

HERE = Path(__file__).parent
SANITIZERS = {"asan": "-fsanitize=address,undefined", "tsan": "-fsanitize=thread"}


@pytest.fixture(scope="session", params=SANITIZERS)
def program(request: pytest.FixtureRequest) -> Path:
    """`sandbox-agent`, built by its own makefile."""
    built = paths.project_dir() / "out" / "agent" / request.param / "sandbox-agent"
    return native_build.build(built, "host/agent", HERE / "fake_teec.c", SANITIZERS[request.param])


@pytest.fixture(scope="session")
def fuzzers() -> Path:
    headers = native_build.teec_headers()
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
