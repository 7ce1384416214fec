# SPDX-License-Identifier: Apache-2.0
"""Every fuzz target, briefly. FUZZ_SECONDS lengthens it.

A target is fuzz/fuzz_<name>.c. It starts from the files in fuzz/seeds/<name>/ and from what SEEDS
makes for it. Models are bent where it matters: fuzz/mutate_model.c. What crashes a target is kept
in out/fuzz/, and once understood becomes a seed that is named <thing>.bad-<why>.
"""

import hashlib
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ai_edge_litert import schema_py_generated as schema
from bad_models import BENT_BYTES, LIES, base
from seeds import models as conformance_models
from seeds import with_open_shapes

from sandbox import paths

FUZZ_DIR = Path(__file__).parent / "fuzz"
TARGETS = sorted(path.stem.removeprefix("fuzz_") for path in FUZZ_DIR.glob("fuzz_*.c"))
FUZZ_S = float(os.environ.get("FUZZ_SECONDS", "8"))
# Loading the seeds, and the exit of a sanitized process
MARGIN_S = 60
MAX_LEN_BYTES = 64 * 1024
RSS_LIMIT_MIB = 1024
ONE_INPUT_TIMEOUT_S = 10
# Fewer inputs than this a second, and the target is not testing anything.
MIN_RATE_HZ = 10


def models() -> Iterator[bytes]:
    yield base().pack()
    for lie in LIES:
        model = base()
        lie.bend(model)
        yield model.pack()
    for bend in BENT_BYTES.values():
        yield bend()
    for model in conformance_models().values():
        yield model
        yield with_open_shapes(model)
    for path in sorted((paths.project_dir() / "fixtures" / "models").glob("*.tflite")):
        yield path.read_bytes()


def photos() -> Iterator[bytes]:
    for path in sorted((paths.project_dir() / "fixtures" / "photos").glob("*.jpg")):
        yield path.read_bytes()


def options() -> Iterator[bytes]:
    """Of the custom operators among the models."""
    for packed in conformance_models().values():
        for operator in schema.ModelT.InitFromPackedBuf(packed, 0).subgraphs[0].operators:
            if operator.customOptions is not None:
                yield bytes(operator.customOptions)


SEEDS: dict[str, Callable[[], Iterator[bytes]]] = {
    "model": models,
    "jpeg": photos,
    "flexbuffer": options,
}


def seeds(name: str) -> Iterator[bytes]:
    for path in sorted((FUZZ_DIR / "seeds" / name).glob("*")):
        yield path.read_bytes()
    if name in SEEDS:
        yield from SEEDS[name]()


@pytest.fixture(scope="session")
def fuzzers(core_make: Callable[[str], Path]) -> Path:
    return core_make("fuzz") / "fuzz"


def test_there_are_targets() -> None:
    assert "model" in TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_fuzz(fuzzers: Path, tmp_path: Path, name: str) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for seed in seeds(name):
        if len(seed) <= MAX_LEN_BYTES:
            (corpus / hashlib.sha256(seed).hexdigest()).write_bytes(seed)
    kept = paths.project_dir() / "out" / "fuzz"
    kept.mkdir(parents=True, exist_ok=True)
    argv = [
        os.fspath(fuzzers / f"fuzz_{name}"),
        f"-max_total_time={FUZZ_S:.0f}",
        f"-max_len={MAX_LEN_BYTES}",
        f"-rss_limit_mb={RSS_LIMIT_MIB}",
        f"-timeout={ONE_INPUT_TIMEOUT_S}",
        f"-artifact_prefix={kept}/{name}-",
        "-print_final_stats=1",
        os.fspath(corpus),
    ]
    done = subprocess.run(argv, capture_output=True, timeout=FUZZ_S + MARGIN_S, check=False)
    report = done.stderr.decode(errors="replace")
    assert done.returncode == 0, report[-6000:]
    found = re.search(r"number_of_executed_units:\s*(\d+)", report)
    assert found and int(found[1]) > MIN_RATE_HZ * FUZZ_S, report[-2000:]
