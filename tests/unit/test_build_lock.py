# SPDX-License-Identifier: Apache-2.0
"""The lock file: what is read is what was written, and nonsense is refused by name."""

from dataclasses import replace
from pathlib import Path

import pytest

from sandbox import paths
from sandbox.build import lock
from sandbox.build.lock import Kind

PROJECT_LOCK = paths.project_dir() / "optee-build" / "inputs.toml"

GOOD = """\
[[input]]
name = "kernel"
kind = "deb"
package = "linux-image-6.1-arm64"
arch = "arm64"
version = "1:6.1.2-3+deb12u1"
suite = "trixie"
via = "linux-image-arm64"
why = "it boots"
keep = ["boot/*"]
[[input.file]]
path = "pool/main/l/linux/linux-image-6.1-arm64_6.1.2_arm64.deb"
size = 10
sha256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
"""


def test_projects_lock_file_is_in_its_canonical_form() -> None:
    assert lock.render(lock.load(PROJECT_LOCK)) == PROJECT_LOCK.read_text()


def test_every_input_says_why() -> None:
    for entry in lock.load(PROJECT_LOCK).inputs:
        assert len(entry.why) > 10, entry.name


def test_good_lock_is_read(tmp_path: Path) -> None:
    path = tmp_path / "inputs.toml"
    path.write_text(GOOD)
    entry = lock.load(path).input("kernel")
    assert entry.kind is Kind.DEB
    assert (entry.version, entry.via, entry.keep) == (
        "1:6.1.2-3+deb12u1",
        "linux-image-arm64",
        ("boot/*",),
    )
    assert entry.files[0].name == "linux-image-6.1-arm64_6.1.2_arm64.deb"


def test_saved_lock_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "inputs.toml"
    path.write_text(GOOD)
    before = lock.load(path)
    tricky = replace(before.inputs[0], why='says "why" with a \\ and an ü')
    lock.save(before.replaced([tricky]))
    assert lock.load(path).inputs == (tricky,)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('name = "kernel"', 'name = "../kernel"', "no valid name"),
        ('kind = "deb"', 'kind = "rpm"', "kind must be one of deb, source, tarball"),
        ('kind = "deb"', 'kind = "source"', "only a deb has an arch"),
        ('arch = "arm64"\n', "", "arch is missing"),
        ('version = "1:6.1.2-3+deb12u1"', 'version = "newest"', "no valid version"),
        ('suite = "trixie"', "suite = 13", "suite is missing or not a text"),
        ('why = "it boots"', 'why = ""', "why is missing"),
        ("keep = [", "keep = [1, ", "keep must be a list"),
        ('path = "pool/', 'path = "/pool/', "not a path in the archive's pool"),
        ('path = "pool/main', 'path = "pool/../..', "not a path in the archive's pool"),
        ("size = 10", "size = 0", "positive number of bytes"),
        ("size = 10", "size = true", "positive number of bytes"),
        ('sha256 = "0123', 'sha256 = "123', "no valid sha256"),
        ('sha256 = "0123', 'sha256 = "ABCD', "no valid sha256"),
        ("size = 10\n", "", "a file has a path, a size and a sha256"),
        ("via =", "url =", "unknown key 'url'"),
        ("[[input]]", "[[input", "not valid TOML"),
        ("[[input]]", "x = 1\n[[input]]", "nothing else"),
        (GOOD, "", "expected [[input]] tables"),
        (GOOD, GOOD + GOOD, "two inputs are called 'kernel'"),
        (GOOD, GOOD + GOOD[GOOD.index("[[input.file]]") :], "a deb has 1 file(s), not 2"),
    ],
)
def test_nonsense_is_refused(tmp_path: Path, old: str, new: str, says: str) -> None:
    path = tmp_path / "inputs.toml"
    assert old in GOOD
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(lock.LockError) as caught:
        lock.load(path)
    assert says in caught.value.message
    assert str(path) in caught.value.message


def test_unknown_input_names_the_known_ones(tmp_path: Path) -> None:
    path = tmp_path / "inputs.toml"
    path.write_text(GOOD)
    with pytest.raises(lock.LockError) as caught:
        lock.load(path).input("u-boot")
    assert "kernel" in (caught.value.hint or "")
