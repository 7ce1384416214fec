# SPDX-License-Identifier: Apache-2.0
"""Two clean builds, in different folders and with different caches, are one and the same.

Not part of the suite, because it builds OP-TEE twice: `make reproducible`.
"""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from sandbox import paths, process
from sandbox.reference import core, ta

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 3600
FOLDERS = ("sandbox", "ta", "host", "optee-build")
BUILD = """
import json, sys
from sandbox.build import recipe
from sandbox.log import progress_for
progress = progress_for(sys.stderr)
made = {
    "optee": recipe.optee_os(1, progress),
    "firmware": recipe.trusted_firmware(progress),
    "ta": recipe.inference_ta(progress),
    "sealing": recipe.inference_ta(progress, encrypt_model=True),
    "measuring": recipe.measuring_ta(progress),
}
json.dump({name: str(path) for name, path in made.items()}, sys.stdout)
"""
Builds = tuple[dict[str, Path], dict[str, Path]]


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> Builds:
    """Each with its own sources and an empty cache; what was downloaded is shared."""
    first = tmp_path_factory.mktemp("a")
    second = tmp_path_factory.mktemp("a-folder-whose-name-is-a-good-deal-longer") / "and" / "deeper"
    return _build(first), _build(second)


def _build(folder: Path) -> dict[str, Path]:
    source, cache = folder / "source", folder / "cache"
    for name in FOLDERS:
        shutil.copytree(ROOT / name, source / name)
    (cache / paths.APP).mkdir(parents=True)
    (cache / paths.APP / "inputs").symlink_to(paths.inputs_cache_dir())
    done = process.run(
        [sys.executable, "-c", BUILD],
        timeout_s=TIMEOUT_S,
        cwd=source,
        env=os.environ | {"XDG_CACHE_HOME": os.fspath(cache), "PYTHONPATH": os.fspath(source)},
    )
    return {name: Path(path) for name, path in json.loads(done.stdout).items()}


@pytest.mark.parametrize(
    "name",
    [
        *(f"optee/core/{name}" for name in ("tee-header_v2.bin", "tee-pager_v2.bin")),
        *(f"firmware/{name}.bin" for name in ("bl1", "bl2", "bl31")),
    ],
)
def test_what_is_in_the_flash(builds: Builds, name: str) -> None:
    where, _, path = name.partition("/")
    one, other = ((build[where] / path).read_bytes() for build in builds)
    assert len(one) > 0
    assert one == other


def test_the_measurement_of_the_core(builds: Builds) -> None:
    one, other = (
        core.measure(
            build["optee"] / "core" / "tee-pager_v2.bin", build["optee"] / "symbols" / "core.elf"
        )
        for build in builds
    )
    assert one == other


@pytest.mark.parametrize("where", ["optee", "ta", "sealing", "measuring"])
def test_the_measurements_of_tas(builds: Builds, where: str) -> None:
    """A .ta file has its signature, which is salted: what is signed is the same."""
    one, other = (
        {path.name: ta.measure(path) for path in build[where].rglob("*.ta")} for build in builds
    )
    assert one
    assert one == other
