# SPDX-License-Identifier: Apache-2.0
"""Tell when files of a project are saved."""

import queue
import threading
from collections.abc import Iterator
from pathlib import Path

import watchfiles

# An editor saves one file in several steps, and "save all" several files: done after so long a
# silence, or when it goes on for too long.
_SILENCE_MS = 20
_LIMIT_MS = 500
_IDLE_MS = 100


def saves(folder: Path) -> Iterator[frozenset[Path]]:
    """The files that were saved, each time that some were; at first, when it watches, none.

    What is saved while the caller is busy comes next. Files of editors and of git do not count.
    """
    found: queue.SimpleQueue[frozenset[Path] | Exception] = queue.SimpleQueue()
    stop = threading.Event()

    def watch() -> None:
        begun = False
        try:
            for changes in watchfiles.watch(
                folder,
                step=_SILENCE_MS,
                debounce=_LIMIT_MS,
                rust_timeout=_IDLE_MS,
                yield_on_timeout=True,
                stop_event=stop,
            ):
                if changes or not begun:
                    begun = True
                    found.put(frozenset(Path(path) for _, path in changes))
        except Exception as error:
            found.put(error)

    # In the main thread, the library would make an interrupt of any signal.
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        while True:
            saved = found.get()
            if isinstance(saved, Exception):
                raise saved
            yield saved
    finally:
        stop.set()
        watcher.join()
