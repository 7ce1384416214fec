# SPDX-License-Identifier: Apache-2.0
"""A program of the guest, built for this machine by its own makefile, with a TEE that is a fake."""

import sys
from collections.abc import Sequence
from pathlib import Path

from sandbox import paths, process
from sandbox.build import sources
from sandbox.log import progress_for

_FAKE_S = 300.0
_PROGRAM_S = 600.0


def teec_headers() -> Path:
    """Of libteec."""
    return sources.unpacked("optee-client-dev", progress_for(sys.stderr)) / "usr/include"


def build(
    program: Path, source: str, fake_teec: Path, sanitizers: str, includes: Sequence[Path] = ()
) -> Path:
    """`program`, of the project's folder `source`; `includes` are for the fake libteec."""
    flags = f"{sanitizers} -fno-sanitize-recover=all -g"
    out, headers = program.parent, teec_headers()
    out.mkdir(parents=True, exist_ok=True)
    fake = out / "fake_teec.o"
    # A changed fake alone would not make make link again.
    program.unlink(missing_ok=True)
    process.run(
        ["gcc", "-Wall", "-Wextra", "-Werror", *flags.split()]
        + [f"-I{path}" for path in (headers, *includes)]
        + ["-c", "-o", fake, fake_teec],
        timeout_s=_FAKE_S,
    )
    process.run(
        ["make", "--silent", "-j2", "-C", paths.project_dir() / source, "CROSS_COMPILE="]
        + [f"O={out}", f"TEEC_INCLUDE={headers}", f"TEEC_LIB={fake}", f"EXTRA_CFLAGS={flags}"],
        timeout_s=_PROGRAM_S,
    )
    return program
