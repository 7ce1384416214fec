# SPDX-License-Identifier: Apache-2.0
"""What a developer waits for all day: a command in the guest, a saved file in the running TA.

    .venv/bin/python benchmarks/developer_loop.py [--runs 20]

Boots a machine of its own. Run it on an idle host.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from sandbox import paths
from sandbox.machine.machine import Machine
from sandbox.tee import TEEContext

NAME = "loop"
# The TA that every machine has; opening a session loads and verifies it.
INFERENCE = "2f6a3c5e-9b1d-4e0f-8a67-c1d5b94e7720"


def run(command: Sequence[str | os.PathLike[str]]) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=1800)
    assert done.returncode == 0, done.stderr.decode()


def sandbox(*args: str) -> list[str]:
    return [os.fspath(Path(sys.executable).with_name("sandbox")), "--machine", NAME, *args]


def median_ms(what: Callable[[], object], runs: int) -> float:
    times = []
    for _ in range(runs):
        began = time.monotonic()
        what()
        times.append(time.monotonic() - began)
    return 1000 * statistics.median(times)


def commands(runs: int) -> list[tuple[str, float]]:
    machine = Machine(NAME, paths.machine_dir(NAME))
    python = median_ms(lambda: run([sys.executable, "-c", "pass"]), runs)
    whole = median_ms(lambda: run(sandbox("exec", "--", "true")), runs)
    with machine.guest() as guest:
        api = median_ms(lambda: guest.run(["true"], timeout_s=30), runs)
    rows = [
        ("`python -c pass`, for comparison", python),
        ("`sandbox exec -- true`, whole command", whole),
        ("... beyond Python's own start", whole - python),
        ('`guest.run(["true"])` from Python', api),
    ]
    with TEEContext(machine) as context:
        rows.append(
            (
                "a session to a TA, opened and closed",
                median_ms(lambda: context.open_session(INFERENCE).close(), min(runs, 5)),
            )
        )
    return rows


def saved_file(folder: Path, runs: int) -> list[tuple[str, float]]:
    """From a saved source file to the answer of the new TA, through the client."""
    run(sandbox("ta", "new", "loop_ta", "--into", os.fspath(folder)))
    project = folder / "loop_ta"
    source = project / "ta" / "loop_ta_ta.c"
    text = source.read_text()
    number = iter(range(1 << 16))

    def loop() -> None:
        source.write_text(f"{text}/* change {next(number)} */\n")
        run(sandbox("ta", "run", os.fspath(project)))

    def nothing() -> None:
        run(sandbox("ta", "run", os.fspath(project)))

    loop()
    return [
        ("`sandbox ta run`, one source file of the TA saved", median_ms(loop, runs)),
        ("`sandbox ta run`, nothing changed", median_ms(nothing, runs)),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as name:
        os.environ["XDG_STATE_HOME"] = name
        try:
            run(sandbox("up"))
            rows = [*commands(runs), *saved_file(Path(name), runs)]
        finally:
            run(sandbox("down"))
    print(f"\n## A developer's loop, median of {runs}\n\n| what | ms |\n|---|---|")
    for what, ms in rows:
        print(f"| {what} | {ms:.0f} |")


if __name__ == "__main__":
    main()
