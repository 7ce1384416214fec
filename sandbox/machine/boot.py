# SPDX-License-Identifier: Apache-2.0
"""From a QEMU that was just started to a TA that answers: waits by event, never by time alone."""

import json
import re
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from sandbox.errors import GuestError, InfraError, SandboxError
from sandbox.log import Step
from sandbox.machine import qemu_v8, qmp
from sandbox.machine.agent import AGENT_PORT
from sandbox.machine.console import ConsoleAlarm, Line, Watch, excerpt, excerpts
from sandbox.machine.deadline import Deadline
from sandbox.machine.folder import Folder, Stage, World
from sandbox.machine.guest import Guest
from sandbox.machine.process_id import ProcessId

# What the guest's init announces, each when it is true: `@sandbox <event> <uptime>`.
EVENTS = ("init", "modules", "share", "tee0", "tee-supplicant", "network", "agent", "ssh")
_EVENT = re.compile(r"@sandbox (?P<event>[a-z0-9-]+) (?P<uptime>\d+(?:\.\d+)?)\s*$")
_FAILURE = re.compile(r"@sandbox failed (?P<event>[a-z0-9-]+): ?(?P<reason>.*)")
# A line of QEMU's `info usernet`: our port, then the guest's.
_FORWARD = re.compile(r"HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)\s+\S+\s+(\d+)")
# OP-TEE's last words before TF-A enters Linux, on the secure console.
_FIRMWARE_DONE = re.compile(r"Primary CPU switching to normal world boot")

# What it says when the normal world has not kept its storage as it left it, at a TA's first need.
_STORAGE = re.compile(r"Secure storage: (?!removed)([^\r\n]*)")

CLIENT = "cml-ca"
GUEST_SHARE = "/mnt/share"
SERVICE_SOCKET = "/run/cml-ca.sock"
# Its words go to the kernel's log, and so to the console, in whole lines with times.
_START_SERVICE = """
setsid "$0" serve --socket "$1" --share "$2" </dev/null >/dev/kmsg 2>&1 &
until [ -S "$1" ]; do
    kill -0 $! 2>/dev/null || { wait $!; exit $?; }
    sleep 0.02
done
"""
_NOT_FOUND = 127
# A line reaches us at most this long after it was written.
_POLL_S = 0.01

T = TypeVar("T")


class QemuError(InfraError):
    """QEMU did not start."""


class BootError(GuestError):
    """The machine started but did not become ready."""


class StorageRefused(GuestError):
    """OP-TEE loads no TA, because the machine's storage is not what its device left."""


class Boot:
    """One boot. Whatever raises here leaves QEMU to the caller, who owns it."""

    def __init__(
        self,
        folder: Folder,
        qemu: ProcessId,
        exit_status: Callable[[], int | None],
        deadline: Deadline,
        step: Step,
    ) -> None:
        self._folder = folder
        self._qemu = qemu
        self._exit_status = exit_status
        self._deadline = deadline
        self._step = step
        self._watch = Watch(folder)
        self._stage_began = time.monotonic()
        self.stages: list[Stage] = []
        self.ports: dict[int, int] = {}  # of the host, by that of the guest

    def run(self, token: bytes) -> dict[str, Any]:
        """Returns what the TA says about itself."""
        try:
            self._control()
            self._events()
            return self._services(token)
        except ConsoleAlarm as alarm:
            self._check_storage(alarm)
            alarm.hints = self._hints()[:2]
            raise
        except GuestError as error:
            # Often the consoles know better why.
            self._settle()
            self._check_storage(error)
            raise BootError(
                f"{error.message}\n{excerpts(self._folder)}", error.hints or self._hints()
            ) from error
        finally:
            self._watch.close()

    def _stage(self, name: str) -> None:
        now = time.monotonic()
        self.stages.append(Stage(name, round(now - self._stage_began, 3)))
        self._stage_began = now

    def _settle(self) -> None:
        for _ in self._watch.lines():
            pass

    def _check_storage(self, error: GuestError) -> None:
        """Whether that is why no TA was loaded."""
        said = _STORAGE.findall(self._folder.log(World.SECURE).read_text(errors="replace"))
        if said:
            raise StorageRefused(
                f"OP-TEE refuses what is in {self._folder.storage}: {said[-1]}",
                (
                    "Put back what was in that folder when the machine ended.",
                    "Or `sandbox destroy`, and `sandbox up` for a new device: nothing makes this"
                    " one accept an older state.",
                ),
            ) from error

    def _hints(self) -> tuple[str, ...]:
        return (
            "`sandbox logs` prints both consoles of this boot whole.",
            f"QEMU's own words are in {self._folder.qemu_log}.",
            "On a busy host, give the boot more time: SANDBOX_BOOT_TIMEOUT_S=300 sandbox up",
        )

    def _control(self) -> None:
        """QEMU answers, and tells which ports the host gave to those of the guest."""
        self._step.update("waiting for QEMU")
        try:
            with qmp.connect(self._folder.qmp_socket, self._deadline.within(20.0)) as control:
                text = control.execute("human-monitor-command", **{"command-line": "info usernet"})
        except qmp.QmpError as error:
            self._qemu.wait_gone(Deadline(1.0))
            if self._qemu.alive():
                raise
            # The first line is the command.
            words = "\n".join(excerpt(self._folder.qemu_log)[1:]) or "it gave no reason"
            raise QemuError(
                f"QEMU ended at once ({self._ending()}):\n{words}",
                f"Its command line is in {self._folder.qemu_log}.",
            ) from error
        self.ports = {int(ours[2]): int(ours[1]) for ours in _FORWARD.finditer(text)}
        if not {AGENT_PORT, qemu_v8.SSH_PORT} <= set(self.ports):
            raise QemuError(f"QEMU does not forward all ports to the guest:\n{text}")
        self._stage("qemu")

    def _ending(self) -> str:
        status = self._exit_status()
        if status is None:
            return "status unknown"
        return f"signal {-status}" if status < 0 else f"exit status {status}"

    def _events(self) -> None:
        missing = list(EVENTS)
        last, last_at = "qemu", time.monotonic()
        firmware = False
        self._step.update("firmware")
        while missing:
            for line in self._lines(f"`{missing[0]}`"):
                if line.world is World.SECURE:
                    if not firmware and _FIRMWARE_DONE.search(line.text):
                        firmware = True
                        last, last_at = "firmware", time.monotonic()
                        self._stage(last)
                        self._step.update("kernel")
                    continue
                if failed := _FAILURE.search(line.text):
                    raise BootError(f"the guest reports: {failed['event']}: {failed['reason']}")
                if (event := _EVENT.search(line.text)) and event["event"] in missing:
                    last, last_at = event["event"], time.monotonic()
                    missing.remove(last)
                    self._stage("kernel" if last == EVENTS[0] else last)
                    self._step.update(f"waiting for {missing[0]}" if missing else "the agent")
            if self._deadline.expired:
                ago = time.monotonic() - last_at
                raise BootError(
                    f"no `{missing[0]}` within {self._deadline.limit_s:.0f} s: the last that came"
                    f" was `{last}`, {ago:.0f} s ago, and {self._state()}"
                )

    def _lines(self, what: str) -> list[Line]:
        """Lines of both consoles, after a moment's wait. Raises when QEMU is gone."""
        gone = self._qemu.wait_gone(Deadline(_POLL_S))
        # On a busy host one look may find what firmware said and what Linux said after it. The
        # normal world's console was read first, so nothing in it is older than the secure one's.
        lines = sorted(self._watch.lines(), key=lambda line: line.world is not World.SECURE)
        if gone:
            raise BootError(f"QEMU ended ({self._ending()}) while we waited for {what}")
        return lines

    def _state(self) -> str:
        try:
            with qmp.connect(self._folder.qmp_socket, Deadline(2.0)) as control:
                return f"QEMU is {control.execute('query-status')['status']}"
        except (SandboxError, LookupError, TypeError):
            return "QEMU does not answer"

    def _services(self, token: bytes) -> dict[str, Any]:
        return self._meanwhile("the TA", lambda: self._talk(token))

    def _talk(self, token: bytes) -> dict[str, Any]:
        with Guest(self.ports[AGENT_PORT], token, self._deadline.remaining_s) as session:
            self._step.update("waiting for the TA")
            done = session.run([CLIENT, "info"], timeout_s=self._deadline.remaining_s)
            if done.status == _NOT_FOUND:
                raise BootError(f"the guest has no {CLIENT}: its image is incomplete")
            if done.status != 0:
                words = (done.stderr or done.stdout).decode(errors="replace").strip()
                raise BootError(f"the TA does not answer: {words[-1000:]}")
            try:
                info = dict(json.loads(done.stdout))
            except (ValueError, TypeError) as error:
                raise BootError(f"`{CLIENT} info` printed no JSON: {done.stdout!r:.200}") from error
            self._stage("ta")
            self._step.update(f"starting {CLIENT}")
            done = session.run(
                ["sh", "-c", _START_SERVICE, CLIENT, SERVICE_SOCKET, GUEST_SHARE],
                timeout_s=self._deadline.remaining_s,
            )
            if done.status != 0:
                raise BootError(f"`{CLIENT} serve` ended with exit status {done.status}")
            self._stage("service")
            return info

    def _meanwhile(self, what: str, work: Callable[[], T]) -> T:
        """Do `work` in a thread while this one watches the consoles, QEMU and the time."""
        results: list[T] = []
        errors: list[BaseException] = []

        def run() -> None:
            try:
                results.append(work())
            except BaseException as error:
                errors.append(error)

        # Left alone if we raise: the caller ends QEMU, and with it the connection.
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        while thread.is_alive():
            self._lines(what)
            if self._deadline.expired:
                thread.join(1.0)
                if not errors and not results:
                    raise BootError(f"{what} did not answer within {self._deadline.limit_s:.0f} s")
        if errors:
            raise errors[0]
        return results[0]
