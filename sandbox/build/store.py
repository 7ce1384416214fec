# SPDX-License-Identifier: Apache-2.0
"""Build results, each under a name made from everything that went into it.

A result is built in a hidden folder and renamed when whole, so what is there is good. Two
processes that want the same one build it once. manifest.json in it says what went in.
"""

import contextlib
import fcntl
import hashlib
import inspect
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sandbox import paths, process
from sandbox.errors import InfraError, SandboxError
from sandbox.log import Progress, Step

MANIFEST = "manifest.json"
# The whole of the longest build, with room for a slow machine.
LOCK_TIMEOUT_S = 1800.0
# Of each name, the results used last are kept: edits to the TA would fill the disk otherwise.
KEPT_RESULTS = 6


class BuildError(InfraError):
    """A build step failed; the message has the tail of its log."""


class Work:
    """Handed to a build function: where to put the result, and how to run programs."""

    def __init__(self, folder: Path, log: Path, step: Step, lock: int) -> None:
        self.folder = folder
        self.log = log
        self.step = step
        self._lock = lock

    def run(
        self,
        argv: Sequence[process.Argument],
        *,
        timeout_s: float,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Run a program to its end, its output in the log and its last line on display.

        It holds the lock too: should this process be killed, nobody builds in the same folder
        before what it started is gone.
        """
        process.run(
            argv,
            timeout_s=timeout_s,
            cwd=cwd,
            env=env,
            log=self.log,
            poll=self._show_log,
            pass_fds=(self._lock,),
        )

    def _show_log(self) -> None:
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - 400))
                lines = file.read().decode(errors="replace").split("\n")
        except OSError:
            return
        # The last one may still be being written.
        if len(lines) > 1:
            self.step.update(lines[-2].strip()[-60:])


def result(
    name: str,
    parts: Mapping[str, Any],
    build: Callable[[Work], None],
    progress: Progress,
    title: str | None = None,
    *,
    needs: Callable[[], object] | None = None,
) -> Path:
    """The folder of a result, built now if it is not there.

    `parts` is all that it depends on, besides the text of `build` itself. `needs` is called
    before a build: what it makes is reported, and timed, on its own.
    """
    recipe = hashlib.sha256(inspect.getsource(build).encode()).hexdigest()
    text = json.dumps({**parts, "recipe": recipe}, sort_keys=True)
    key = hashlib.sha256(f"{name}\n{text}".encode()).hexdigest()[:16]
    base = paths.build_cache_dir()
    final = base / f"{name}-{key}"
    if _is_there(final):
        return final
    if needs is not None:
        needs()
    (base / "logs").mkdir(parents=True, exist_ok=True)
    log = base / "logs" / f"{final.name}.log"
    with progress.step(title or f"build {name}") as step:
        with locked(base / f".{final.name}.lock", step) as lock:
            if _is_there(final):
                return final
            # The same name each time: paths that a compiler records do not vary.
            temporary = base / f".{final.name}.new"
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir()
            log.write_bytes(b"")
            try:
                build(Work(temporary, log, step, lock))
                manifest = {"name": name, "key": key, "parts": dict(parts)}
                (temporary / MANIFEST).write_text(json.dumps(manifest, sort_keys=True, indent=1))
                temporary.rename(final)
                _prune(name)
            except SandboxError:
                raise
            except OSError as error:
                raise BuildError(f"building {name} failed: {error}", f"The log is {log}") from error
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    return final


def _is_there(final: Path) -> bool:
    if not (final / MANIFEST).is_file():
        return False
    # The folder's time says when it was last used.
    with contextlib.suppress(OSError):
        os.utime(final)
    return True


def _prune(name: str) -> None:
    pattern = re.compile(re.escape(name) + r"-[0-9a-f]{16}")
    found = [f for f in paths.build_cache_dir().iterdir() if pattern.fullmatch(f.name)]
    found.sort(key=lambda folder: folder.stat().st_mtime_ns, reverse=True)
    for folder in found[KEPT_RESULTS:]:
        # Renamed first, so that nobody finds half of it.
        away = folder.with_name(f".{folder.name}.old")
        with contextlib.suppress(OSError):
            folder.rename(away)
        shutil.rmtree(away, ignore_errors=True)


def manifest(folder: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
    return loaded


@contextlib.contextmanager
def locked(path: Path, step: Step) -> Iterator[int]:
    """Keep other processes out; while one keeps us out, the step says so.

    Gives the lock's file descriptor: a program that inherits it keeps the lock.
    """
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    with path.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise BuildError(
                        f"another process has held {path} for {LOCK_TIMEOUT_S:.0f} s",
                        f"`fuser {path}` names it.",
                    ) from None
                step.update("waiting for another process")
                time.sleep(0.2)
        yield file.fileno()


def file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tree_digest(roots: Iterable[Path], patterns: Iterable[str] = ("*",)) -> dict[str, str]:
    """Relative name to sha256 for all files below the roots, for use in `parts`."""
    found: dict[str, str] = {}
    for root in roots:
        for pattern in patterns:
            for path in root.rglob(pattern):
                if path.is_file():
                    found[f"{root.name}/{path.relative_to(root)}"] = file_digest(path)
    return dict(sorted(found.items()))
