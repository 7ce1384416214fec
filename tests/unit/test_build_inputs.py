# SPDX-License-Identifier: Apache-2.0
"""Inputs from a small archive on a loopback port, fetched by the real apt: good days and bad."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import fake_archive
import pytest
from fake_archive import FakeArchive, deb_input, lock_of, source_input

from sandbox import paths
from sandbox.build import archive, lock, sources
from sandbox.build.archive import ArchiveError, InputUnavailable
from sandbox.build.lock import Kind, Lock
from sandbox.log import SilentProgress
from sandbox.process import ProcessError

PROGRESS = SilentProgress()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeArchive]:
    # gpg's agent wants a short path for its socket.
    base = tmp_path_factory.mktemp("a")
    (base / "root").mkdir()
    fake = FakeArchive(base / "root", base / "k")
    try:
        yield fake
    finally:
        fake.close()


@pytest.fixture
def repo(server: FakeArchive) -> Iterator[FakeArchive]:
    """An archive with two packages, like new for each test."""
    server.add_deb("hello", "1.0-1", {"usr/share/hello/a.txt": "hello", "usr/bin/hello": "#!"})
    server.add_deb("other", "1:2.0-1", {"usr/share/other/b.txt": "other"})
    server.publish()
    server.requests.clear()
    yield server
    for name in ("pool", "dists"):
        _remove(server.root / name)
    for tree in server.root.parent.glob("tree-*"):
        _remove(tree)
    server._packages.clear()
    server._sources.clear()


def _remove(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    if folder.exists():
        folder.rmdir()


@pytest.fixture
def locked(repo: FakeArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lock:
    """A project whose lock file pins what the archive has now."""
    project = tmp_path / "project"
    (project / "optee-build").mkdir(parents=True)
    state = tmp_path / "apt"
    found = lock_of(
        project / "optee-build" / "inputs.toml",
        deb_input("hello", "1.0-1", _file(repo, "hello")),
        deb_input("other", "1:2.0-1", _file(repo, "other")),
    )
    lock.save(found)
    monkeypatch.setattr(paths, "project_dir", lambda: project)
    monkeypatch.setattr(sources, "_archive", lambda _inputs: repo.archive(state))
    return found


def _file(repo: FakeArchive, package: str) -> lock.InputFile:
    path = next((repo.root / "pool").rglob(f"{package}_*.deb"))
    data = path.read_bytes()
    inside = os.fspath(path.relative_to(repo.root))
    return lock.InputFile(inside, len(data), fake_archive.sha256(data))


def test_fetched_once_then_never_again(repo: FakeArchive, locked: Lock) -> None:
    first = sources.fetch(None, PROGRESS)
    assert {name: len(files) for name, files in first.items()} == {"hello": 1, "other": 1}
    assert any("hello_1.0-1" in path for path in repo.requests)
    repo.requests.clear()
    assert sources.fetch(None, PROGRESS) == first
    assert repo.requests == []


def test_warm_cache_needs_no_network(
    repo: FakeArchive, locked: Lock, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources.fetch(None, PROGRESS)

    def no_archive(_inputs: Lock) -> archive.Archive:
        raise AssertionError("the archive was asked, with everything in the cache")

    monkeypatch.setattr(sources, "_archive", no_archive)
    tree = sources.unpacked("hello", PROGRESS)
    assert (tree / "usr/share/hello/a.txt").read_text() == "hello"


def test_file_that_went_bad_in_the_cache_is_fetched_again(repo: FakeArchive, locked: Lock) -> None:
    (path,) = sources.fetch(["hello"], PROGRESS)["hello"]
    good = path.read_bytes()
    bad = bytearray(good)
    bad[100] ^= 1
    path.write_bytes(bad)
    repo.requests.clear()
    (again,) = sources.fetch(["hello"], PROGRESS)["hello"]
    assert again.read_bytes() == good
    assert sum(request.endswith(".deb") for request in repo.requests) == 1


def test_interrupted_download_is_taken_up(repo: FakeArchive, locked: Lock) -> None:
    file = locked.input("hello").files[0]
    partial = sources._partial_path(file)
    partial.parent.mkdir(parents=True)
    partial.write_bytes((repo.root / file.path).read_bytes()[:100])
    (path,) = sources.fetch(["hello"], PROGRESS)["hello"]
    assert fake_archive.sha256(path.read_bytes()) == file.sha256
    assert not partial.exists()


def test_hole_in_the_mirror_is_named(repo: FakeArchive, locked: Lock) -> None:
    file = locked.input("hello").files[0]
    (repo.root / file.path).unlink()
    with pytest.raises(InputUnavailable) as caught:
        sources.fetch(None, PROGRESS)
    message, hint = caught.value.message, caught.value.hint or ""
    assert "hello 1.0-1 (still listed, so the mirror has a hole)" in message
    assert f"{repo.uri}/{file.path}" in message
    assert "404" in message
    assert "other" not in message.split("apt said")[0]
    # The suite has no other version: only another suite can help.
    assert "set `suite` of hello in inputs.toml" in hint
    assert caught.value.exit_code == 3
    # What could be had was kept.
    assert sources.fetch(["other"], PROGRESS)


def test_hole_in_what_is_not_needed_does_no_harm(repo: FakeArchive, locked: Lock) -> None:
    (repo.root / locked.input("hello").files[0].path).unlink()
    assert sources.fetch(["other"], PROGRESS)["other"][0].is_file()


def test_superseded_version_still_in_the_pool_is_fetched(repo: FakeArchive, locked: Lock) -> None:
    repo.drop("hello", "1.0-1")
    repo.add_deb("hello", "1.1-1", {"usr/bin/hello": "newer"})
    repo.publish()
    (path,) = sources.fetch(["hello"], PROGRESS)["hello"]
    assert path.name == "hello_1.0-1_arm64.deb"


def test_superseded_version_that_is_gone_names_the_new_one(repo: FakeArchive, locked: Lock) -> None:
    (repo.root / locked.input("hello").files[0].path).unlink()
    repo.drop("hello", "1.0-1")
    repo.add_deb("hello", "1.1-1", {"usr/bin/hello": "newer"})
    repo.publish()
    with pytest.raises(InputUnavailable) as caught:
        sources.fetch(["hello"], PROGRESS)
    assert "superseded: testing now has 1.1-1" in caught.value.message
    assert "`sandbox inputs update hello` locks what testing has now" in (caught.value.hint or "")

    changed = sources.update_lock(["hello"], PROGRESS)
    assert [(entry.name, entry.version) for entry in changed] == [("hello", "1.1-1")]
    assert sources.locked().input("hello").version == "1.1-1"
    assert sources.locked().input("other") == locked.input("other")
    assert sources.fetch(["hello"], PROGRESS)["hello"][0].name == "hello_1.1-1_arm64.deb"
    assert sources.update_lock([], PROGRESS) == []


def test_newest_is_by_debians_order_not_the_alphabets(repo: FakeArchive, locked: Lock) -> None:
    for version in ("1.9-1", "1.10-1", "1.10~rc1-1"):
        repo.add_deb("hello", version, {"usr/bin/hello": version})
    repo.publish()
    (changed,) = sources.update_lock(["hello"], PROGRESS)
    assert changed.version == "1.10-1"


def test_metapackage_leads_to_the_real_one(repo: FakeArchive, locked: Lock) -> None:
    repo.add_deb("image-7.1-arm64", "7.1-1", {"boot/vmlinuz": "kernel"})
    repo.add_deb("image-arm64", "7.1-1", {}, depends="image-7.1-arm64 (= 7.1-1)")
    repo.publish()
    kernel = deb_input(
        "kernel", "7.0-1", locked.inputs[0].files[0], package="image-7.0-arm64", via="image-arm64"
    )
    lock.save(Lock(locked.path, (*locked.inputs, kernel)))
    (changed,) = sources.update_lock(["kernel"], PROGRESS)
    assert (changed.package, changed.version) == ("image-7.1-arm64", "7.1-1")
    assert changed.via == "image-arm64"


def test_index_that_contradicts_the_lock_is_an_error(repo: FakeArchive, locked: Lock) -> None:
    entry = locked.input("hello")
    wrong = replace(entry, files=(replace(entry.files[0], sha256="0" * 64),))
    lock.save(locked.replaced([wrong]))
    repo.requests.clear()
    with pytest.raises(sources.InputMismatch) as caught:
        sources.fetch(["hello"], PROGRESS)
    assert entry.files[0].path in caught.value.message
    assert not any(request.endswith(".deb") for request in repo.requests)


def test_mirror_that_serves_other_bytes_is_not_believed(repo: FakeArchive, locked: Lock) -> None:
    file = locked.input("hello").files[0]
    (repo.root / file.path).write_bytes(bytes(file.size_bytes))
    with pytest.raises(InputUnavailable):
        sources.fetch(["hello"], PROGRESS)
    assert not sources.cached_path(file).exists()
    assert not sources._partial_path(file).exists()


@pytest.mark.parametrize("how", ["unsigned", "changed", "other key"])
def test_index_without_a_good_signature_is_refused(
    repo: FakeArchive, locked: Lock, how: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if how == "unsigned":
        repo.publish(sign=False)
    elif how == "changed":
        index = repo.root / fake_archive.DIST / "InRelease"
        index.write_text(index.read_text().replace("Origin: Test", "Origin: Evil"))
    else:
        other = archive.Mirror(repo.uri, (archive.KEYRING,))
        monkeypatch.setattr(
            sources,
            "_archive",
            lambda _inputs: archive.Archive(tmp_path / "o", [fake_archive.SUITE], [other]),
        )
    with pytest.raises(ArchiveError) as caught:
        sources.fetch(["hello"], PROGRESS)
    assert "apt cannot fetch the indices of testing" in caught.value.message
    assert not sources.cached_path(locked.input("hello").files[0]).exists()


def test_second_mirror_fills_the_holes_of_the_first(
    repo: FakeArchive, locked: Lock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # The same archive by another path: the first one's pool is empty.
    (repo.root / "second").symlink_to(repo.root)
    file = locked.input("hello").files[0]
    first = replace(repo.mirror(), uri=f"{repo.uri}/nothing-here")
    both = archive.Archive(tmp_path / "both", [fake_archive.SUITE], [repo.mirror()])
    both.refresh()
    both._mirrors = [first, replace(repo.mirror(), uri=f"{repo.uri}/second")]
    monkeypatch.setattr(sources, "_archive", lambda _inputs: both)
    try:
        (path,) = sources.fetch(["hello"], PROGRESS)["hello"]
    finally:
        (repo.root / "second").unlink()
    assert fake_archive.sha256(path.read_bytes()) == file.sha256
    assert f"/nothing-here/{file.path}" in repo.requests
    assert f"/second/{file.path}" in repo.requests


def test_unpacking_keeps_what_is_asked_for(repo: FakeArchive, locked: Lock) -> None:
    lock.save(locked.replaced([replace(locked.input("hello"), keep=("usr/share/*",))]))
    tree = sources.unpacked("hello", PROGRESS)
    files = {os.fspath(p.relative_to(tree)) for p in tree.rglob("*") if p.is_file()}
    assert files == {"usr/share/hello/a.txt", "manifest.json"}
    assert not (tree / "usr/bin").exists()


PATCH = """\
--- a/main.c
+++ b/main.c
@@ -1 +1 @@
-{old}
+{new}
"""


def _with_source(repo: FakeArchive, locked: Lock, ours: str) -> None:
    files = repo.add_source(
        "code",
        "3.0",
        {"code-3.0/main.c": "one\n", "code-3.0/debian-like.txt": "kept\n"},
        {
            "debian/patches/series": "# a comment\nfix.patch\n",
            "debian/patches/fix.patch": PATCH.format(old="one", new="two"),
        },
    )
    repo.publish()
    lock.save(Lock(locked.path, (*locked.inputs, source_input("code", "3.0-1", files))))
    folder = locked.path.parent / "patches" / "code"
    folder.mkdir(parents=True)
    (folder / "0001-ours.patch").write_text(ours)


def test_source_gets_debians_patches_then_ours(repo: FakeArchive, locked: Lock) -> None:
    _with_source(repo, locked, PATCH.format(old="two", new="three"))
    tree = sources.unpacked("code", PROGRESS)
    assert (tree / "main.c").read_text() == "three\n"
    assert (tree / "debian-like.txt").read_text() == "kept\n"
    assert not (tree / "debian").exists()


def test_patch_that_does_not_apply_is_an_error_with_the_log(
    repo: FakeArchive, locked: Lock
) -> None:
    _with_source(repo, locked, PATCH.format(old="something else", new="three"))
    with pytest.raises(ProcessError) as caught:
        sources.unpacked("code", PROGRESS)
    assert "patch failed with exit status 1" in caught.value.message
    assert "Hunk #1 FAILED" in caught.value.message
    assert not list(paths.build_cache_dir().glob("code-*"))


def test_changed_patch_makes_another_tree(repo: FakeArchive, locked: Lock) -> None:
    _with_source(repo, locked, PATCH.format(old="two", new="three"))
    before = sources.unpacked("code", PROGRESS)
    (patch,) = sources.patches("code")
    patch.write_text(PATCH.format(old="two", new="four"))
    after = sources.unpacked("code", PROGRESS)
    assert before != after
    assert (after / "main.c").read_text() == "four\n"


def test_source_versions_are_updated_with_both_files(repo: FakeArchive, locked: Lock) -> None:
    files = repo.add_source("code", "3.0", {"code-3.0/a": "a"}, {"debian/x": "x"})
    lock.save(Lock(locked.path, (*locked.inputs, source_input("code", "3.0-1", files))))
    new = repo.add_source("code", "3.1", {"code-3.1/a": "b"}, {"debian/x": "y"})
    repo.publish()
    (changed,) = sources.update_lock(["code"], PROGRESS)
    assert (changed.version, changed.kind) == ("3.1-1", Kind.SOURCE)
    assert changed.files == new


@pytest.mark.parametrize(
    "text",
    [
        "Types: deb\nURIs: http://x.example/\nSigned-By: {key}\n",
        "Types: deb\nURIs: http://x.example/\nsigned-by:  {key} /nowhere.gpg\n",
        "deb [arch=amd64 signed-by={key}] http://x.example stable main\n",
        "deb [signed-by=/nowhere.gpg,{key}] http://x.example stable main\n",
    ],
)
def test_keyrings_of_the_machines_sources_are_found(tmp_path: Path, text: str) -> None:
    key = tmp_path / "key.gpg"
    key.touch()
    entry = tmp_path / "debian.sources"
    entry.write_text(text.format(key=key))
    assert key in archive._signed_by(f"{entry}:1")


def test_embedded_key_is_not_taken_for_a_path(tmp_path: Path) -> None:
    entry = tmp_path / "debian.sources"
    entry.write_text("Types: deb\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n")
    assert archive._signed_by(f"{entry}:1") == []


def _apt_says(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    done = archive.process.Completed((), 0, "\n".join(lines).encode(), b"")
    monkeypatch.setattr(archive.process, "run", lambda *_args, **_settings: done)


def test_machine_without_a_mirror_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    _apt_says(monkeypatch, "https://docker.example/|bookworm|stable|Docker|/x.list:1")
    with pytest.raises(ArchiveError, match="no Debian mirror"):
        archive.machine_mirrors()


def test_only_debians_own_archive_is_a_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    _apt_says(
        monkeypatch,
        "https://node.example/|nodistro|main|nodesource|/x.list:1",
        "https://php.example/|bookworm|main|deb.sury|/x.list:1",
        "http://mirror.example/debian-security/|bookworm-security|main|Debian|/x.list:1",
        "http://mirror.example/debian/|bookworm-updates|main|Debian|/x.list:1",
        "http://mirror.example/debian/|bookworm|main|Debian|/x.list:1",
        "http://mirror.example/debian/|bookworm|contrib|Debian|/x.list:1",
        "http://second.example/debian/|stable|main|Debian|/x.list:1",
    )
    found = [mirror.uri for mirror in archive.machine_mirrors()]
    assert found == ["http://mirror.example/debian", "http://second.example/debian"]


def test_mirror_is_found_before_apt_was_ever_updated(monkeypatch: pytest.MonkeyPatch) -> None:
    _apt_says(monkeypatch, "http://mirror.example/debian/|bookworm|main||/x.list:1")
    assert [mirror.uri for mirror in archive.machine_mirrors()] == ["http://mirror.example/debian"]
