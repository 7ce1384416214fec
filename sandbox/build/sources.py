# SPDX-License-Identifier: Apache-2.0
"""Inputs: from the lock file to verified files and unpacked trees.

Where a file comes from, in this order:
1. the cache, `inputs/<sha256>/<name>` below the XDG cache, if its digest is right;
2. Debian's archive, after its signed indices were fetched. A version that the indices still list
   must have the sha256 that the lock file gives, else nothing is fetched;
3. the same place in the archive's pool for a version that the indices no longer list: files stay
   a while after they are superseded, and the lock file's sha256 is enough to trust one.
When all fail, `InputUnavailable` says what was tried and which version could be locked instead.
"""

import fnmatch
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from sandbox import paths, process
from sandbox.build import lock, store
from sandbox.build.archive import Archive, InputUnavailable, Listed
from sandbox.build.lock import Input, InputFile, Kind, Lock
from sandbox.errors import InfraError
from sandbox.log import Progress

UNPACK_TIMEOUT_S = 300


class InputMismatch(InfraError):
    """The signed index gives a file another sha256 than the lock file does."""


@lru_cache(maxsize=1)
def _load(path: Path, mtime_ns: int) -> Lock:
    del mtime_ns
    return lock.load(path)


def locked() -> Lock:
    """The project's lock file."""
    path = paths.project_dir() / "optee-build" / "inputs.toml"
    return _load(path, path.stat().st_mtime_ns)


def patches(name: str) -> list[Path]:
    """Our own patches to an input, in the order in which they apply."""
    return sorted((paths.project_dir() / "optee-build" / "patches" / name).glob("*.patch"))


def _archive(inputs: Lock) -> Archive:
    return Archive(paths.cache_dir() / "apt", [entry.suite for entry in inputs.inputs])


def cached_path(file: InputFile) -> Path:
    return paths.inputs_cache_dir() / file.sha256 / file.name


def _in_cache(file: InputFile) -> bool:
    """Whether the cache holds the file, whole. One that went bad is removed."""
    path = cached_path(file)
    if not path.is_file():
        return False
    # The mark spares hashing 100 MB on every start; anything that changed the file since breaks it.
    mark = path.with_name(path.name + ".verified")
    status = path.stat()
    seal = f"{status.st_size} {status.st_mtime_ns}\n"
    if mark.is_file() and mark.read_text() == seal and status.st_size == file.size_bytes:
        return True
    if status.st_size == file.size_bytes and store.file_digest(path) == file.sha256:
        mark.write_text(seal)
        return True
    path.unlink()
    mark.unlink(missing_ok=True)
    return False


def fetch(
    names: Sequence[str] | None,
    progress: Progress,
    *,
    inputs: Lock | None = None,
    archive: Archive | None = None,
) -> dict[str, tuple[Path, ...]]:
    """The verified files of the named inputs (all, if None).

    If one is missing, all that are missing are fetched with it, in one go; but only the named ones
    are worth an error.
    """
    inputs = inputs or locked()
    entries = list(inputs.inputs) if names is None else [inputs.input(n) for n in names]
    if _missing(entries):
        archive = archive or _archive(inputs)
        paths.inputs_cache_dir().mkdir(parents=True, exist_ok=True)
        with (
            progress.step("fetch inputs") as step,
            store.locked(paths.inputs_cache_dir() / ".lock", step),
        ):
            # Another process may have fetched them while this one waited.
            if _missing(entries):
                missing = _missing(inputs.inputs)
                with progress.step("fetch and verify Debian's package indices"):
                    archive.refresh()
                listed = archive.listed(list(dict.fromkeys(entry for entry, _ in missing)))
                _check(entries, listed)
                said = _download(missing, archive, progress)
                if gone := _missing(entries):
                    raise _unavailable(gone, inputs.path, archive, listed, said)
    return {e.name: tuple(cached_path(f) for f in e.files) for e in entries}


def _missing(entries: Sequence[Input]) -> list[tuple[Input, InputFile]]:
    return [(e, f) for e in entries for f in e.files if not _in_cache(f)]


def _check(entries: Sequence[Input], listed: Mapping[str, Listed | None]) -> None:
    for entry in entries:
        found = listed.get(entry.name)
        for file in entry.files:
            if found is not None and file not in found.files:
                raise InputMismatch(
                    f"{entry.name} {entry.version}: Debian's signed index does not list"
                    f" {file.path} with the sha256 of the lock file ({file.sha256})",
                    f"If the lock file was edited by hand: `sandbox inputs update {entry.name}`.",
                )


def _download(
    missing: list[tuple[Input, InputFile]],
    archive: Archive,
    progress: Progress,
) -> str:
    targets = {file: _partial_path(file) for _, file in missing}
    total = sum(file.size_bytes for file in targets)
    for path in targets.values():
        path.parent.mkdir(parents=True, exist_ok=True)
    count = f"{len(targets)} file{'s' if len(targets) > 1 else ''}"
    with progress.step(f"download {count}") as step:

        def poll() -> None:
            step.amount(sum(_size(p) for p in targets.values()), total)

        said = archive.download(targets, poll)
        poll()
    for file, path in targets.items():
        if _size(path) >= file.size_bytes:
            if store.file_digest(path) == file.sha256:
                path.replace(cached_path(file))
            else:
                path.unlink()
    return said


def _partial_path(file: InputFile) -> Path:
    final = cached_path(file)
    return final.with_name(f"{final.name}.partial")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _unavailable(
    gone: list[tuple[Input, InputFile]],
    inputs_path: Path,
    archive: Archive,
    listed: Mapping[str, Listed | None],
    said: str,
) -> InputUnavailable:
    lines = []
    hints = []
    entries = {e.name: e for e, _ in gone}
    newest = archive.newest(list(entries.values()))
    for entry in entries.values():
        files = ", ".join(f.name for e, f in gone if e is entry)
        found = newest[entry.name]
        if listed[entry.name] is not None:
            state = "still listed, so the mirror has a hole"
        else:
            now = f"{entry.suite} now has {found.version}" if found else "no version is left"
            state = f"superseded: {now}"
        lines.append(f"{entry.name} {entry.version} ({state}): cannot fetch {files}")
        if found is None or found.version == entry.version:
            hints.append(
                f"Another suite may have a whole one: set `suite` of {entry.name} in"
                f" {inputs_path.name}, then `sandbox inputs update {entry.name}` and the tests."
            )
        else:
            hints.append(
                f"`sandbox inputs update {entry.name}` locks what {entry.suite} has now;"
                " run the tests after it."
            )
    tried = "\n".join(f"{m.uri}/{f.path}" for _, f in gone for m in archive.mirrors)
    return InputUnavailable(
        "\n".join(lines) + f"\nTried:\n{tried}" + (f"\napt said:\n{said}" if said else ""),
        (*hints, "A mirror's hole may close by itself: try again later, or with another mirror."),
    )


def unpacked(name: str, progress: Progress) -> Path:
    """The tree of a locked input, cached: a package's files, or source with its patches applied."""
    entry = locked().input(name)
    ours = patches(name)
    parts = {
        "input": entry.name,
        "version": entry.version,
        "files": {file.name: file.sha256 for file in entry.files},
        "keep": list(entry.keep),
        "patches": {patch.name: store.file_digest(patch) for patch in ours},
    }

    def build(work: store.Work) -> None:
        files = [cached_path(file) for file in entry.files]
        if entry.kind is Kind.DEB:
            _unpack_deb(files[0], entry.keep, work)
        else:
            _unpack_source(files, ours, work)

    return store.result(
        name,
        parts,
        build,
        progress,
        f"unpack {name} {entry.version}",
        needs=lambda: fetch([name], progress),
    )


def _unpack_deb(package: Path, keep: Sequence[str], work: store.Work) -> None:
    work.run(["dpkg-deb", "--extract", package, work.folder], timeout_s=UNPACK_TIMEOUT_S)
    if keep:
        for path in sorted(work.folder.rglob("*"), reverse=True):
            inside = os.fspath(path.relative_to(work.folder))
            if path.is_dir() and not path.is_symlink():
                if not any(path.iterdir()):
                    path.rmdir()
            elif not any(fnmatch.fnmatchcase(inside, pattern) for pattern in keep):
                path.unlink()


def _unpack_source(files: Sequence[Path], ours: Sequence[Path], work: store.Work) -> None:
    def run(*argv: process.Argument, cwd: Path | None = None) -> None:
        work.run(argv, cwd=cwd, timeout_s=UNPACK_TIMEOUT_S)

    run("tar", "-xf", files[0], "-C", work.folder, "--strip-components=1", "--no-same-owner")
    series: list[Path] = []
    if len(files) > 1:
        run("tar", "-xf", files[1], "-C", work.folder, "--no-same-owner")
        folder = work.folder / "debian" / "patches"
        listing = folder / "series"
        names = listing.read_text().splitlines() if listing.is_file() else []
        series = [folder / n.split()[0] for n in names if n.strip() and not n.startswith("#")]
    for patch in [*series, *ours]:
        # No backups and no fuzz: a patch that only almost fits is looked at by a person.
        run("patch", "-p1", "--batch", "--fuzz=0", "-i", patch, cwd=work.folder)
    shutil.rmtree(work.folder / "debian", ignore_errors=True)


def update_lock(
    names: Sequence[str],
    progress: Progress,
    *,
    inputs: Lock | None = None,
    archive: Archive | None = None,
    say: Callable[[str], None] | None = None,
) -> list[Input]:
    """Lock what the suites have now for the named inputs (all, if none); returns what changed."""
    inputs = inputs or locked()
    entries = [inputs.input(n) for n in names] or list(inputs.inputs)
    archive = archive or _archive(inputs)
    with progress.step("fetch and verify Debian's package indices"):
        archive.refresh()
    newest = archive.newest(entries)
    changed = []
    for entry in entries:
        found = newest[entry.name]
        if found is None:
            raise InputUnavailable(
                f"{entry.name}: {entry.suite} has no package {entry.package}",
                "Set another suite for it in optee-build/inputs.toml.",
            )
        new = replace(entry, package=found.package, version=found.version, files=found.files)
        if new != entry:
            changed.append(new)
            (say or progress.note)(f"{entry.name}: {entry.version} -> {new.version}")
    if changed:
        lock.save(inputs.replaced(changed))
    return changed
