# SPDX-License-Identifier: Apache-2.0
"""What our patches to OP-TEE parse, natively under ASan and UBSan, with another parser's judgement.

FUZZ_SECONDS lengthens it. What crashes is kept in out/fuzz/.
"""

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox import paths, process
from sandbox.build import sources
from sandbox.log import progress_for

FOLDER = Path(__file__).parent
FUZZ_S = float(os.environ.get("FUZZ_SECONDS", "8"))
MARGIN_S = 60
BUILD_TIMEOUT_S = 300
MIN_RATE_HZ = 100
SANITIZE = (
    "-fsanitize=fuzzer,address,undefined",
    "-fno-sanitize-recover=all",
    "-fno-omit-frame-pointer",
)
# Taken and refused; the first two of the refused were taken once, because QCBOR had read a tag's
# content, an array without an item, as the end of all there was.
SEEDS = (
    *(bytes.fromhex("a0c59fff"), bytes.fromhex("c580"), bytes.fromhex("a101c480")),
    *(b"\xa0", b"\xa1\x01" * 7 + b"\xa0", b"\xa1\x01" * 8 + b"\xa0", b"\xa0\xa0", b"\xbf\x01\xff"),
    *(b"\xa1\x01\x9f\x01\x02\xff", b"\xa1\x01\x7f\x61a\xff", b"\xa1\x01\xfb" + bytes(8)),
    *(bytes.fromhex("a30861201a616263810102f6"), bytes.fromhex("a101d9d9f7a0")),
)


@pytest.fixture(scope="session")
def fuzzer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    progress = progress_for(sys.stderr)
    optee = sources.unpacked("optee-os", progress)
    cbor = sources.unpacked("tinycbor", progress) / "src"
    qcbor = optee / "core" / "lib" / "qcbor"
    # As OP-TEE's core compiles it.
    flags = re.findall(r"^global-cppflags-y \+= (-D\w+)$", (qcbor / "sub.mk").read_text(), re.M)
    assert len(flags) >= 4
    folder = tmp_path_factory.mktemp("fuzz")
    made = folder / "fuzz_claims"
    # Other than the TA's: what judges the claims looks into all that is in them.
    (folder / "cbor_cfg.h").write_text("#define CBOR_NO_HALF_FLOAT_TYPE 1\n")
    argv: list[process.Argument] = ["clang-14", "-g", "-O1", "-std=gnu11", *SANITIZE, *flags]
    argv += ["-Wall", "-Wextra", "-Werror", "-o", made, FOLDER / "fuzz_claims.c"]
    argv += ["-I", optee / "core" / "pta" / "evidence", "-DCBOR_EXTERNAL_CFG"]
    for included in (
        qcbor / "inc",
        optee / "lib" / "libutee" / "include",
        optee / "lib" / "libutils" / "ext" / "include",
        cbor,
        folder,
    ):
        argv += ["-isystem", included]
    argv += [optee / "core" / "pta" / "evidence" / "claims.c"]
    argv += [qcbor / "src" / name for name in ("qcbor_decode.c", "UsefulBuf.c", "ieee754.c")]
    argv += [cbor / name for name in ("cborparser.c", "cborvalidation.c")]
    argv += ["-Wno-unused-parameter", "-Wno-sign-compare", "-Wno-implicit-fallthrough"]
    process.run(argv, timeout_s=BUILD_TIMEOUT_S)
    return made


def test_fuzz_claims(fuzzer: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for seed in SEEDS:
        (corpus / hashlib.sha256(seed).hexdigest()).write_bytes(seed)
    kept = paths.project_dir() / "out" / "fuzz"
    kept.mkdir(parents=True, exist_ok=True)
    argv = [os.fspath(fuzzer), f"-max_total_time={FUZZ_S:.0f}", "-max_len=1024", "-timeout=10"]
    argv += [f"-artifact_prefix={kept}/claims-", "-print_final_stats=1", os.fspath(corpus)]
    done = subprocess.run(argv, capture_output=True, timeout=FUZZ_S + MARGIN_S, check=False)
    report = done.stderr.decode(errors="replace")
    assert done.returncode == 0, report[-6000:]
    found = re.search(r"number_of_executed_units:\s*(\d+)", report)
    assert found and int(found[1]) > MIN_RATE_HZ * FUZZ_S, report[-2000:]
