# SPDX-License-Identifier: Apache-2.0
"""Time that QEMU had a core of the host: what emulation costs, whatever else the host does.

A guest's clock goes on while QEMU waits for a core, so on a busy host times in the guest say
little. This says the same as they do on an idle one, for work on one of the guest's cores: the
others sleep meanwhile, and so do their threads.
"""

import statistics
from collections.abc import Callable
from pathlib import Path

from sandbox.errors import InfraError

_OVERHEADS = 5


class HostCpu:
    def __init__(self, pid: int) -> None:
        self._tasks = Path(f"/proc/{pid}/task")

    def seconds(self) -> float:
        """Of all its threads, since it was started."""
        total = 0
        try:
            for task in self._tasks.iterdir():
                # Nanoseconds on a core come first: Linux, Documentation/scheduler/sched-stats.rst
                total += int((task / "schedstat").read_text().split()[0])
        except (OSError, ValueError, IndexError) as error:
            raise InfraError(f"cannot tell how much QEMU has run: {error}") from error
        return total / 1e9

    def spent(self, what: Callable[[], object]) -> float:
        before = self.seconds()
        what()
        return self.seconds() - before

    def overhead(self, nothing: Callable[[], object]) -> float:
        """What a call costs that does next to nothing."""
        return statistics.median(self.spent(nothing) for _ in range(_OVERHEADS))
