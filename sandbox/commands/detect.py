# SPDX-License-Identifier: Apache-2.0
"""sandbox detect: seal photos, have the TA look at them, open and check what it says."""

import argparse
import json
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox import paths
from sandbox.commands import trust
from sandbox.commands.context import Context
from sandbox.commands.watched import watched
from sandbox.errors import GuestError, SandboxError, UserError
from sandbox.log import Progress
from sandbox.machine.boot import GUEST_SHARE
from sandbox.machine.guest import Guest
from sandbox.machine.machine import Machine
from sandbox.owner import draw
from sandbox.owner.client import Client, Model, Trust, owned_model, read
from sandbox.owner.results import Result
from sandbox.owner.service import Session
from sandbox.owner.share import Share

DEFAULT_MODEL = "fixtures/models/ssdlite_mobilenet_v2_coco80_204_int8.tflite"
# While one waits for the share or the client, the other computes; cores that are idle help both.
MAX_SESSIONS = 2
WORKERS_MAX = 256
_POLL_S = 0.2


def score(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.001 <= value <= 1:
        raise argparse.ArgumentTypeError(f"a number from 0.001 to 1, not {text!r}")
    return value


def worker_count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= WORKERS_MAX:
        raise argparse.ArgumentTypeError(f"a number from 1 to {WORKERS_MAX}, not {text!r}")
    return int(text)


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "detect",
        help="find objects in photos, inside the secure world",
        description="Seal each photo, send it through the normal world to the trusted application,"
        " open the sealed result, and print boxes and labels.",
        epilog="Example: sandbox detect holiday.jpg --out out",
    )
    parser.add_argument("photos", nargs="+", type=Path, metavar="PHOTO", help="a JPEG file")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="write each photo with its boxes into DIR"
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object per photo, one a line"
    )
    parser.add_argument(
        "--threshold",
        type=score,
        default=0.5,
        metavar="SCORE",
        help="leave out detections below this score, 0.001 to 1 (0.5)",
    )
    parser.add_argument(
        "--model", type=Path, metavar="FILE", help="another .tflite detector than the built-in one"
    )
    parser.add_argument(
        "--workers",
        type=worker_count,
        default=0,
        metavar="N",
        help="how many cores may work on one photo (all)",
    )
    trust.add_options(parser)
    parser.set_defaults(run=run)


@dataclass
class Outcome:
    photo: Path
    result: Result | None = None
    error: SandboxError | None = None
    timings_ms: dict[str, float] = field(default_factory=dict)
    picture: Path | None = None
    done: threading.Event = field(default_factory=threading.Event)


def _work(
    index: int,
    machine: Machine,
    guest: Guest,
    model: Model,
    trusted: Trust,
    threshold: float,
    workers: int,
    waiting: "queue.SimpleQueue[Outcome]",
    progress: Progress,
) -> Exception | None:
    """Take photos until there are none. Returns why this worker could not begin."""
    try:
        with Session(Machine.service(guest), GUEST_SHARE) as session:
            client = Client(session, Share(machine.share), model, trusted, workers=workers)
            with progress.step(f"session {index + 1}: keys and model"):
                client.prepare(f"detect-{index}")
            while True:
                try:
                    outcome = waiting.get_nowait()
                except queue.Empty:
                    return None
                _look(client, outcome, threshold, progress)
    except Exception as error:
        return error


def _look(client: Client, outcome: Outcome, threshold: float, progress: Progress) -> None:
    begin = time.perf_counter()
    try:
        with progress.step(str(outcome.photo)):
            outcome.result = client.detect(read(outcome.photo), threshold, outcome.timings_ms)
    except SandboxError as error:
        outcome.error = error
    finally:
        outcome.timings_ms["total"] = (time.perf_counter() - begin) * 1000
        outcome.done.set()


def detect(
    machine: Machine,
    photos: Sequence[Path],
    model: Model,
    *,
    trusted: Trust,
    threshold: float,
    sessions: int,
    workers: int = 0,
    progress: Progress,
    report: Callable[[Outcome], None] = lambda _: None,
) -> list[Outcome]:
    """Each photo's outcome, in the order given; `report` gets each as soon as its turn is."""
    outcomes = [Outcome(photo) for photo in photos]
    waiting: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
    for outcome in outcomes:
        waiting.put(outcome)
    count = max(1, min(len(photos), sessions))
    troubles: list[Exception | None] = [None] * count
    with machine.guest() as guest:

        def begin(index: int) -> None:
            troubles[index] = _work(
                index, machine, guest, model, trusted, threshold, workers, waiting, progress
            )

        threads = [threading.Thread(target=begin, args=(i,), daemon=True) for i in range(count)]
        for thread in threads:
            thread.start()
        for outcome in outcomes:
            while not outcome.done.wait(_POLL_S):
                if not any(thread.is_alive() for thread in threads):
                    break
            _settle(outcome, troubles)
            report(outcome)
        for thread in threads:
            thread.join()
    return outcomes


def _settle(outcome: Outcome, troubles: Sequence[Exception | None]) -> None:
    """A worker that found no room leaves its photos to the others; what nobody took has failed."""
    if outcome.result is not None or outcome.error is not None:
        return
    for trouble in troubles:
        if trouble is not None and not isinstance(trouble, SandboxError):
            raise trouble
    first = next((t for t in troubles if isinstance(t, SandboxError)), None)
    outcome.error = first or GuestError(f"nothing was said about {outcome.photo}")


def _as_json(outcome: Outcome, model: Model) -> dict[str, Any]:
    described: dict[str, Any] = {"image": str(outcome.photo)}
    if outcome.error is not None:
        error = outcome.error
        described["error"] = {"name": error.name, "message": error.message, "hint": error.hint}
        return described
    assert outcome.result is not None
    result = outcome.result
    described |= {
        "width": result.width,
        "height": result.height,
        "model": {
            "name": model.name,
            "version": result.origin.model_version,
            "sha256": result.origin.model_digest.hex(),
            "output_sha256": result.origin.output_digest.hex(),
        },
        "detections": [
            {"label": d.label, "score": round(d.score, 6), "box": [round(v, 3) for v in d.box]}
            for d in result.detections
        ],
        "device": str(result.origin.device),
        "request_sha256": result.origin.request_digest.hex(),
        "counter": result.origin.counter,
        "timings_ms": {name: round(value, 3) for name, value in outcome.timings_ms.items()},
    }
    if outcome.picture is not None:
        described["picture"] = str(outcome.picture)
    return described


def _as_text(outcome: Outcome) -> str:
    if outcome.error is not None:
        lines = [f"{outcome.photo}: {outcome.error.message}"]
        return "\n".join(lines + [f"  {hint}" for hint in outcome.error.hints])
    assert outcome.result is not None
    result = outcome.result
    times = outcome.timings_ms
    lines = [
        f"{outcome.photo}: {result.width} x {result.height}, {times['total'] / 1000:.2f} s"
        f" (in the TA: JPEG {times['jpeg']:.0f} ms, network {times['network']:.0f} ms)"
    ]
    for found in result.detections:
        x1, y1, x2, y2 = found.box
        lines.append(
            f"  {found.label:<14} {found.score:.2f}   [{x1:.0f}, {y1:.0f}, {x2:.0f}, {y2:.0f}]"
        )
    if not result.detections:
        lines.append("  nothing found")
    if outcome.picture is not None:
        lines.append(f"  picture: {outcome.picture}")
    return "\n".join(lines)


def _draw(outcome: Outcome, folder: Path) -> None:
    if outcome.result is None:
        return
    picture = folder / f"{outcome.photo.stem}.boxes.png"
    try:
        draw.annotated(outcome.photo, outcome.result.detections).save(picture)
    except OSError as error:
        outcome.error = UserError(f"cannot draw {picture}: {error.strerror or error}")
        return
    outcome.picture = picture


def _folder(path: Path) -> None:
    """Before the photos are sent, so that nothing is computed in vain."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot make the folder {path}: {error.strerror}", "Choose another with --out."
        ) from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise UserError(f"cannot write into the folder {path}", "Choose another with --out.")


def run(args: argparse.Namespace, context: Context) -> int:
    for photo in args.photos:
        if photo.is_dir():
            raise UserError(f"{photo} is a folder", f"Name the photos in it: {photo}/*.jpg")
        if not photo.is_file():
            raise UserError(f"no such file: {photo}")
    stems = [photo.stem for photo in args.photos]
    if args.out is not None and len(set(stems)) < len(stems):
        raise UserError(
            "two of these photos have the same name, so their pictures would too",
            "Call `sandbox detect` for each of them, with another --out.",
        )
    model = owned_model(args.model or paths.project_dir() / DEFAULT_MODEL)
    machine = context.machine()
    if args.out is not None:
        _folder(args.out)

    def report(outcome: Outcome) -> None:
        if args.out is not None:
            _draw(outcome, args.out)
        text = json.dumps(_as_json(outcome, model)) if args.json else _as_text(outcome)
        stream = sys.stdout if args.json or outcome.error is None else sys.stderr
        with context.progress.printing():
            print(text, file=stream, flush=True)

    with watched(machine):
        outcomes = detect(
            machine,
            args.photos,
            model,
            trusted=trust.of(machine, context.progress, args),
            threshold=args.threshold,
            sessions=MAX_SESSIONS,
            workers=args.workers,
            progress=context.progress,
            report=report,
        )
    return max((o.error.exit_code for o in outcomes if o.error is not None), default=0)
