# SPDX-License-Identifier: Apache-2.0
"""Finds the dumps of panics among the lines of consoles.

The lines are the guest's and are not trusted: whatever comes, nothing here raises, and nothing
grows beyond a limit. Lines of several cores may alternate. OP-TEE's core numbers its lines
(E/TC:core thread); ldelf does not (E/LD:), so those are dealt out by the TA that they name and by
what each dump lacks next.
"""

import re
from collections import deque

from sandbox.debug import dump_firmware as firmware
from sandbox.debug import dump_linux as linux
from sandbox.debug import dump_optee as optee
from sandbox.debug.dump import LINES_LIMIT, Dump, number
from sandbox.machine.console import Trouble, bad_pattern
from sandbox.machine.folder import World

LINE_LIMIT = 1024
OPEN_LIMIT = 8


class Parser:
    """Feed it lines in order; it gives each dump once nothing more can belong to it."""

    def __init__(self) -> None:
        # By stream: "thread 0", "core 1", "kernel", "firmware".
        self._open: dict[str, Dump] = {}
        # TAs whose state ldelf prints now, the one that was fed last at the end.
        self._states: list[Dump] = []
        # Lines that may turn out to be the first words of a panic.
        self._before: deque[str] = deque(maxlen=optee.WORDS_BEFORE)
        self._kernel_stamped = False

    @property
    def pending(self) -> bool:
        """Whether a dump has begun that more lines may belong to."""
        return bool(self._open)

    def feed(self, text: str, world: World | None = None) -> list[Dump]:
        """One line; of a file in which nobody says which world speaks, `world` is None."""
        text = text[:LINE_LIMIT]
        if world is None:
            secure = optee.OPTEE.search(text) is not None
            world = World.SECURE if secure or self._is_firmware(text) else World.NORMAL
        if world is World.SECURE and (found := optee.OPTEE.search(text)):
            return self._optee(text, found[1], found[2], found[3])
        if self._is_firmware(text):
            return self._firmware(text, world)
        return self._kernel(text) if world is World.NORMAL else []

    def flush(self) -> list[Dump]:
        """All that has begun: the console has fallen silent, or the file has ended."""
        done = list(self._open.values())
        self._open.clear()
        self._states.clear()
        self._before.clear()
        return done

    def _begin(self, key: str, dump: Dump) -> list[Dump]:
        done = self._end(key)
        while len(self._open) >= OPEN_LIMIT:
            done += self._end(next(iter(self._open)))
        self._open[key] = dump
        return done

    def _end(self, key: str) -> list[Dump]:
        dump = self._open.pop(key, None)
        if dump is None:
            return []
        self._states = [other for other in self._states if other is not dump]
        return [dump]

    # OP-TEE --------------------------------------------------------------------------------------

    def _optee(self, text: str, level: str, who: str, rest: str) -> list[Dump]:
        if who == "LD":
            return self._ldelf(text, rest)
        if who != "TC":
            # Of a TA: what it says before it panics. It has no number, so it closes nothing.
            if optee.ASSERTION.search(rest) or optee.WORDS.search(rest):
                self._before.append(text)
            return []
        numbered = optee.CORE.match(rest) if level != "I" else None
        if numbered is None:
            return []
        core, thread, said = numbered.groups()
        key = f"thread {thread}" if thread is not None else f"core {core}"
        return self._core(key, text, said)

    def _core(self, key: str, text: str, said: str) -> list[Dump]:
        dump = self._open.get(key)
        pattern = bad_pattern(World.SECURE, text)
        if pattern is not None and (dump is None or not optee.continues(dump, pattern.name, said)):
            fresh = Dump(pattern.name, World.SECURE, said.strip(), key)
            before = list(self._before)
            self._before.clear()
            for line in before:
                fresh.keep(line)
                optee.take_words(fresh, line)
            done = self._begin(key, fresh)
            fresh.keep(text)
            optee.take(fresh, said)
            return done
        if dump is None:
            return []
        if optee.take(dump, said) or not said.strip():
            dump.keep(text)
            return []
        # The thread speaks of something else.
        return self._end(key)

    def _ldelf(self, text: str, said: str) -> list[Dump]:
        if found := optee.STATUS.search(said):
            return self._state_begins(text, said, found[1].lower())
        taker = self._whose(said, optee.UUID.search(text[: -len(said)] if said else text))
        if taker is not None:
            taker.keep(text)
            last = self._states[-1]
            if taker is not last:
                # Two cores print by turns.
                taker.mixed = last.mixed = True
            optee.take_state(taker, said)
            self._states.remove(taker)
            self._states.append(taker)
            return []
        if bad_pattern(World.SECURE, text) is not None or optee.PLACED.search(said):
            # Why it could not load a TA; the core then says that it failed.
            self._before.append(text)
        return []

    def _state_begins(self, text: str, said: str, ta: str) -> list[Dump]:
        done: list[Dump] = []
        # Threads print in the order in which they panicked, mostly.
        waiting = [dump for dump in self._open.values() if optee.wants_state(dump)]
        if len(waiting) > 1:
            for dump in waiting:
                dump.mixed = True
        if not waiting:
            # The beginning of the log is lost.
            key = f"TA {ta}"
            done = self._begin(key, Dump(Trouble.TA_PANIC, World.SECURE, said.strip(), key))
            waiting = [self._open[key]]
        waiting[0].ta = ta
        waiting[0].keep(text)
        self._states.append(waiting[0])
        return done

    def _whose(self, said: str, ta: re.Match[str] | None) -> Dump | None:
        """Of the states that are being printed, the one that this line goes on with."""
        states = [d for d in self._states if ta is None or d.ta == ta[0].lower()]
        if not states:
            return None
        if found := optee.CALL.match(said):
            address = number(found[1])
            able = [d for d in reversed(states) if d.stack_began and optee.may_call(d, address)]
            # What lies in nobody's memory is a stack that was overwritten.
            rest = [states[-1]] if states[-1].stack_began else []
            return next(iter([*able, *rest]), None)
        # Of two that are equally far, the one that was fed longest ago.
        return next((dump for dump in states if optee.lacks(dump, said)), None)

    # TF-A ----------------------------------------------------------------------------------------

    def _is_firmware(self, text: str) -> bool:
        said = text.strip()
        return firmware.begins(said) or ("firmware" in self._open and firmware.is_part(said))

    def _firmware(self, text: str, world: World) -> list[Dump]:
        done: list[Dump] = []
        said = text.strip()
        if "firmware" not in self._open:
            done = self._begin("firmware", Dump(Trouble.FIRMWARE_PANIC, world, said))
        self._open["firmware"].keep(text)
        firmware.take(self._open["firmware"], said)
        return done

    # Linux ---------------------------------------------------------------------------------------

    def _kernel(self, text: str) -> list[Dump]:
        stamp = linux.PREFIX.match(text)
        said = text[stamp.end() :] if stamp else text
        dump = self._open.get("kernel")
        pattern = bad_pattern(World.NORMAL, said)
        if pattern is not None and (dump is None or not linux.continues(dump, pattern.name)):
            dump = Dump(pattern.name, World.NORMAL, said.strip())
            done = self._begin("kernel", dump)
            self._kernel_stamped = stamp is not None
            dump.keep(text)
            linux.take(dump, said)
            return [*done, *(self._end("kernel") if dump.ended else [])]
        if dump is None or (self._kernel_stamped and stamp is None):
            # Programs write to the same console.
            return []
        if pattern is None and not linux.goes_on(dump, said):
            return self._end("kernel")
        dump.keep(text)
        if pattern is not None and pattern.name is Trouble.KERNEL_PANIC:
            # What began as an oops ends as this.
            dump.trouble = Trouble.KERNEL_PANIC
        linux.take(dump, said)
        return self._end("kernel") if dump.ended or len(dump.lines) >= LINES_LIMIT else []
