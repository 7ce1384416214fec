# SPDX-License-Identifier: Apache-2.0
"""Where the time and the secure memory of the main job go: prints docs/performance.md's tables.

    .venv/bin/python benchmarks/stages.py [--runs N]

Boots a machine of its own, several times. Run it on an idle host: every figure is a median, and
what can be is a ratio within this run.
"""

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from elftools.elf.elffile import ELFFile

from sandbox import paths
from sandbox.build import recipe
from sandbox.commands import photos
from sandbox.commands.detect import MAX_SESSIONS, Model, Worker, detect
from sandbox.log import SilentProgress
from sandbox.machine.boot import GUEST_SHARE
from sandbox.machine.machine import Machine
from sandbox.owner import keys
from sandbox.owner.service import Session, TaInfo
from sandbox.owner.share import Share

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "fixtures/models/ssdlite_mobilenet_v2_coco80_204_int8.tflite"
NAME = "bench"


def sandbox(*args: str) -> str:
    command = [sys.executable, "-m", "sandbox", "--machine", NAME, *args]
    return subprocess.run(
        command, check=True, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=1800
    ).stdout


def median(values: Iterable[float]) -> float:
    return statistics.median(list(values))


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    print(f"\n## {title}\n")
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(row) + " |")


def boots(runs: int) -> None:
    """`up` and `down` from a warm cache; the machine is up afterwards."""
    sandbox("up")
    sandbox("down")
    stages: dict[str, list[float]] = {}
    wall: list[float] = []
    for _ in range(runs):
        began = time.monotonic()
        said = json.loads(sandbox("up", "--json"))
        wall.append(time.monotonic() - began)
        for stage in said["stages"]:
            stages.setdefault(stage["name"], []).append(stage["seconds"])
        sandbox("down")
    rows = [(name, f"{median(times):.2f}") for name, times in stages.items()]
    rows.append(("**whole command**", f"**{median(wall):.2f}**"))
    table(f"`sandbox up`, warm cache, median of {runs}", ("stage", "s"), rows)
    sandbox("up")


def one_photo(machine: Machine, model: Model, photo: bytes, runs: int) -> None:
    rows: list[tuple[str, str]] = []
    with machine.guest() as guest, Session(Machine.service(guest), GUEST_SHARE) as session:
        worker = Worker(session, Share(machine.share), model)
        began = time.monotonic()
        worker.prepare("bench-one")
        prepared_ms = (time.monotonic() - began) * 1000
        rows.append(("once: session, keys, model", f"{prepared_ms:.0f}"))
        loaded = session.info()
        timings: list[dict[str, float]] = []
        for _ in range(runs):
            taken: dict[str, float] = {}
            worker.detect(photo, 0.5, taken)
            timings.append(taken)
        after = session.info()
        session.close_session("bench-one")
    for name in timings[0]:
        rows.append((name, f"{median(t[name] for t in timings):.1f}"))
    table(f"One photo (768x576, 160 kB) on one core, median of {runs}", ("part", "ms"), rows)
    print(
        "\n`service` is the whole way through the normal world and the TA. `jpeg` (with the"
        "\nresize), `network` and `boxes` are inside it, as measured by the TA. `seal` and `open`"
        "\nare the owner's."
    )
    secure_memory(len(model.data), loaded, after)


def code_bytes() -> int:
    """What the TA's segments take in memory: code, constants, data, heap."""
    (image,) = recipe.inference_ta(SilentProgress()).rglob("*.ta")
    signed = image.read_bytes()
    elf = ELFFile(io.BytesIO(signed[signed.index(b"\x7fELF") :]))
    return sum(s["p_memsz"] for s in elf.iter_segments() if s["p_type"] == "PT_LOAD")


def secure_memory(model_bytes: int, loaded: TaInfo, after: TaInfo) -> None:
    peak = after.memory_peak_bytes - loaded.memory_used_bytes
    code = code_bytes()
    rows = [
        ("weights (the model file, in place)", model_bytes),
        ("arena (activations; before them, the JPEG decoder)", loaded.arena_bytes),
        ("the engine's tables", loaded.tables_bytes),
        ("a photo under way: stream, state, result", peak),
        ("**peak of a session**", after.memory_peak_bytes),
        ("the TA itself: code (shared by sessions), data, heap", code),
    ]
    mib = 1 << 20
    table(
        "Secure memory",
        ("what", "bytes", "MiB"),
        [(what, f"{size:,}", f"{size / mib:.2f}") for what, size in rows],
    )


def throughput(machine: Machine, model: Model, photo: Path, count: int) -> None:
    rates: dict[int, float] = {}
    for sessions in range(1, MAX_SESSIONS + 1):
        # The first call opens the sessions and loads the model.
        for batch in ([photo] * sessions, [photo] * count):
            began = time.monotonic()
            outcomes = detect(
                machine,
                batch,
                model,
                threshold=0.5,
                sessions=sessions,
                progress=SilentProgress(),
            )
            rates[sessions] = len(batch) / (time.monotonic() - began)
            assert all(outcome.error is None for outcome in outcomes), outcomes
    table(
        f"Many photos ({count}), open sessions",
        ("sessions", "photos a second", "ratio to one"),
        [(str(n), f"{rate:.2f}", f"{rate / rates[1]:.2f}") for n, rate in rates.items()],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=10)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_STATE_HOME"] = folder
        try:
            boots(args.runs)
            machine = Machine(NAME, paths.machine_dir(NAME))
            status: dict[str, Any] = json.loads(sandbox("status", "--json"))
            model = Model(MODEL.stem, MODEL.read_bytes(), keys.new_key())
            fetched = photos.fetch(Path(folder) / "photos", SilentProgress())
            dog = next(path for path in fetched if path.stem == "dog")
            one_photo(machine, model, dog.read_bytes(), args.runs)
            throughput(machine, model, dog, 4 * args.runs)
            print(f"\nMachine: {status['cores']} cores on {os.cpu_count()} of the host.")
        finally:
            sandbox("down")


if __name__ == "__main__":
    main()
