# SPDX-License-Identifier: Apache-2.0
"""Photos without a pause, two sessions and all cores, for as long as is asked: every result has to
be the reference's, and in the end nothing may have grown.

    .venv/bin/python benchmarks/soak.py [--minutes 120]

Exits with 1 when a result is wrong, or when secure memory or OP-TEE's heap is larger at the end
than after the first minute. Prints a JSON object.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from sandbox import paths
from sandbox.commands import trust
from sandbox.commands.detect import DEFAULT_MODEL
from sandbox.log import SilentProgress
from sandbox.machine.boot import GUEST_SHARE
from sandbox.machine.machine import Machine
from sandbox.owner.client import Client, Model, owned_model
from sandbox.owner.service import Session
from sandbox.owner.share import Share
from sandbox.tee import TEEContext
from sandbox.tee.stats import Pool, Stats

NAME = "soak"
SESSIONS = 2
SETTLE_S = 60.0


@dataclass
class Tally:
    photos: int = 0
    wrong: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def references(folder: Path) -> dict[Path, str]:
    """Each photo of the fixtures that has a golden result, and its outputs' SHA-256."""
    found = {}
    for golden in sorted((folder / "golden").glob("*.json")):
        photo = folder / "photos" / f"{golden.stem}.jpg"
        expected = json.loads(golden.read_text())
        if photo.is_file() and "outputs_sha256" in expected:
            digest = hashlib.sha256(photo.read_bytes()).hexdigest()
            if digest == expected.get("photo_sha256"):
                found[photo] = expected["outputs_sha256"]
    return found


def look(
    machine: Machine,
    model: Model,
    index: int,
    expected: dict[Path, str],
    end: threading.Event,
    tally: Tally,
) -> None:
    try:
        with machine.guest() as guest, Session(Machine.service(guest), GUEST_SHARE) as session:
            trusted = trust.of(machine, SilentProgress())
            client = Client(session, Share(machine.share), model, trusted)
            client.prepare(f"soak-{index}")
            while not end.is_set():
                for photo, digest in expected.items():
                    result = client.detect(photo.read_bytes(), 0.5, {})
                    tally.photos += 1
                    if result.origin.output_digest.hex() != digest:
                        tally.wrong.append(photo.name)
                    if end.is_set():
                        return
    except Exception as error:
        tally.errors.append(repr(error))
        end.set()


def memory(machine: Machine) -> dict[str, int]:
    with TEEContext(machine) as context, Stats(context) as stats:
        return {pool.name.lower(): stats.memory(pool).used for pool in Pool}


def sandbox(*args: str) -> None:
    command = [sys.executable, "-m", "sandbox", "--machine", NAME, *args]
    subprocess.run(command, stdin=subprocess.DEVNULL, check=True, timeout=1800)


def soak(machine: Machine, minutes: float) -> int:
    model = owned_model(paths.project_dir() / DEFAULT_MODEL)
    expected = references(paths.project_dir() / "fixtures")
    end, tallies = threading.Event(), [Tally() for _ in range(SESSIONS)]
    threads = [
        threading.Thread(target=look, args=(machine, model, i, expected, end, tallies[i]))
        for i in range(SESSIONS)
    ]
    begin = time.monotonic()
    for thread in threads:
        thread.start()
    end.wait(min(SETTLE_S, minutes * 30))
    # While photos run, too: the least of a few looks is what stays.
    early = least(machine)
    end.wait(max(0.0, begin + minutes * 60 - time.monotonic()))
    late = least(machine)
    end.set()
    for thread in threads:
        thread.join()
    report = {
        "minutes": round((time.monotonic() - begin) / 60, 1),
        "photos": sum(tally.photos for tally in tallies),
        "kinds": len(expected),
        "wrong": [name for tally in tallies for name in tally.wrong],
        "errors": [error for tally in tallies for error in tally.errors],
        "memory_after_a_minute": early,
        "memory_at_the_end": late,
    }
    print(json.dumps(report))
    grown = any(late[pool] > early[pool] for pool in early)
    return 1 if report["wrong"] or report["errors"] or grown else 0


def least(machine: Machine) -> dict[str, int]:
    looks = []
    for _ in range(20):
        looks.append(memory(machine))
        time.sleep(0.1)
    return {pool: min(look[pool] for look in looks) for pool in looks[0]}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=120.0)
    minutes = parser.parse_args().minutes
    sandbox("up")
    try:
        return soak(Machine(NAME, paths.machine_dir(NAME)), minutes)
    finally:
        sandbox("down")


if __name__ == "__main__":
    sys.exit(main())
