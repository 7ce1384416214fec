# SPDX-License-Identifier: Apache-2.0
"""Starts and ends a machine over and over, and looks for what is left: nothing may be.

    .venv/bin/python benchmarks/cycles.py [--count 100]

Exits with 1 at the first cycle that fails or leaves a process, a port, a file or shared memory.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAME = "cycles"


def sandbox(*args: str) -> Any:
    command = [sys.executable, "-m", "sandbox", "--machine", NAME, *args, "--json"]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=1800
    )
    if done.returncode != 0:
        sys.exit(f"`sandbox {args[0]}` exited with {done.returncode}:\n{done.stderr}")
    return json.loads(done.stdout)


def processes(folder: Path) -> Iterator[str]:
    """Those that name the folder in their arguments, or hold a file in it."""
    word = os.fspath(folder)
    for proc in Path("/proc").glob("[0-9]*"):
        if proc.name == str(os.getpid()):
            continue
        try:
            argv = (proc / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            held = {os.readlink(link) for link in (*(proc / "fd").iterdir(), proc / "cwd")}
        except OSError:
            continue  # it ended meanwhile
        if word in argv or any(target.startswith(word) for target in held):
            yield f"process {proc.name}: {argv}"


def ports(described: dict[str, Any]) -> list[int]:
    return [value for key, value in described.items() if key.endswith("_port") and value]


def answers(port: int) -> bool:
    with socket.socket() as client:
        client.settimeout(1.0)
        return client.connect_ex(("127.0.0.1", port)) == 0


def files(folder: Path) -> set[str]:
    """Logs of past runs are kept on purpose, and limited in number by a test of their own."""
    found = {os.fspath(path.relative_to(folder)) for path in folder.rglob("*")}
    return {path for path in found if "/runs" not in path}


def shared_memory() -> set[str]:
    return set(os.listdir("/dev/shm"))


def memory_kib(field: str) -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, value = line.split(":")
        if name == field:
            return int(value.split()[0])
    raise LookupError(field)


def cycle(folder: Path) -> float:
    """Up and down; the seconds of `up`."""
    began = time.monotonic()
    up = sandbox("up")
    took = time.monotonic() - began
    down = sandbox("down")
    assert up["started"] and down, (up, down)
    left = [*processes(folder), *(f"port {port}" for port in ports(up) if answers(port))]
    if left:
        sys.exit("left over:\n" + "\n".join(left))
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100)
    count = parser.parse_args().count
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "tmp").mkdir()
        os.environ |= {"XDG_STATE_HOME": name, "TMPDIR": os.fspath(folder / "tmp")}
        cycle(folder)
        before = files(folder), shared_memory(), memory_kib("MemAvailable")
        times = []
        for number in range(count):
            times.append(cycle(folder))
            if more := (files(folder) - before[0]) | (shared_memory() - before[1]):
                sys.exit(f"cycle {number} left files: {sorted(more)}")
        lost = before[2] - memory_kib("MemAvailable")
    print(f"{count} cycles, none failed, nothing was left")
    print(f"up: median {statistics.median(times):.2f} s, longest {max(times):.2f} s")
    print(f"the host's available memory fell by {lost} KiB ({lost / count:.0f} a cycle)")


if __name__ == "__main__":
    main()
