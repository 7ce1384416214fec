# SPDX-License-Identifier: Apache-2.0
"""Where lines come from: threads that read recordings and tell the program what they found."""

import threading
import time
from collections.abc import Callable

from textual.message import Message

from sandbox.logs import reader
from sandbox.logs.explain import explained
from sandbox.logs.reader import Reader
from sandbox.logs.records import Record
from sandbox.logs.tui.messages import LinesCame, RunBegan, RunEnded, SourceFailed
from sandbox.machine.runs import Recording

Tell = Callable[[Message], object]
# At once to the program, so that it stays quick while much comes.
_BATCH = 2000
_POLL_S = 0.1
_FRAME_S = 0.05
SPEEDS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 64.0)


class Source:
    """Base: a thread that ends soon after it was asked to."""

    def __init__(self, recording: Recording, tell: Tell) -> None:
        self.recording = recording
        self._tell = tell
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._guarded, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(2.0)

    def _guarded(self) -> None:
        try:
            self.run()
        except OSError as error:
            self._tell(SourceFailed(f"cannot read {self.recording.path}: {error.strerror}"))

    def run(self) -> None:
        raise NotImplementedError


class Following(Source):
    """The run that is, and those that take its place."""

    def run(self) -> None:
        current: Reader | None = None
        batch: list[Record] = []
        for came in reader.follow(self.recording, poll_s=_POLL_S):
            if self._over.is_set():
                return
            if came.reader is not current:
                self._send(batch)
                batch = []
                current = came.reader
                self._tell(RunBegan(current.started_at))
            if came.record is not None:
                batch.append(came.record)
            if batch and (came.record is None or len(batch) >= _BATCH):
                self._send(batch)
                batch = []

    def _send(self, batch: list[Record]) -> None:
        if batch:
            self._tell(LinesCame(batch))


class Replaying(Source):
    """A run again, at its own speed times a factor that may be changed; without one, at once."""

    def __init__(self, recording: Recording, tell: Tell, speed: float | None) -> None:
        super().__init__(recording, tell)
        self.speed = speed
        self.paused = False
        self.now_s = 0.0
        self.end_s = 0.0

    def run(self) -> None:
        one = Reader(self.recording)
        records = list(explained(one.finish(), self.recording))
        one.close()
        self._tell(RunBegan(one.started_at))
        self.end_s = records[-1].time_s if records else 0.0
        at, last = 0, time.monotonic()
        while at < len(records) and not self._over.is_set():
            now = time.monotonic()
            if self.speed is None:
                self.now_s = self.end_s
            elif not self.paused:
                self.now_s += (now - last) * self.speed
            last = now
            end = at
            while end < min(len(records), at + _BATCH) and records[end].time_s <= self.now_s:
                end += 1
            if end > at:
                self._tell(LinesCame(records[at:end]))
                at = end
            else:
                self._over.wait(_FRAME_S)
        self._tell(RunEnded())

    def faster(self, steps: int) -> None:
        if self.speed is not None:
            nearest = min(range(len(SPEEDS)), key=lambda n: abs(SPEEDS[n] - (self.speed or 1.0)))
            self.speed = SPEEDS[max(0, min(nearest + steps, len(SPEEDS) - 1))]
