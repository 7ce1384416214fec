# SPDX-License-Identifier: Apache-2.0
"""Who said a line, when, and how bad it is: all from the line itself.

<6>[   12.345678] optee: initialized driver             Linux's log, its level and its own clock
<12>[   12.345678] cml-ca: serving ...                  a daemon, through /dev/kmsg
NOTICE:  BL31: ...                                      TF-A
[   12.345678] I/TC:0 0 init_primary:1 ...              OP-TEE's core, on the CPU's counter
[   12.345678] 2f6a3c5e-9b1d-4e0f-8a67-c1d5b94e7720 I/TA: ...   a TA, as the core says
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from sandbox.logs.records import Level, Source
from sandbox.machine.console import BAD_PATTERNS, clean
from sandbox.machine.folder import World

UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"

_STAMP = r"\[ {0,11}(?P<stamp>\d{1,12}\.\d{6})\] ?"
# Eight times the facility, and the level (console_msg_format=syslog).
# CONFIG_PRINTK_CALLER would add "[    T1] "; Debian's kernel has it off.
_KERNEL = re.compile(rf"(?:<(?P<priority>\d{{1,4}})>)?{_STAMP}")
_KERNEL_IN = re.compile(rb"(?:<\d{1,4}>)?\[ {0,11}\d{1,12}\.\d{6}\] ")
_SECURE = re.compile(rf"\*?{_STAMP}(?:(?P<ta>{UUID}) )?")
_TRACE = re.compile(r"\*?(?P<level>[UEIDFM])/(?P<prefix>\w{1,16}):")
_TRUSTED_FIRMWARE = re.compile(r"(?P<level>ERROR|WARNING|NOTICE|INFO|VERBOSE): +")
_FIRMWARE_PANIC = re.compile(r"PANIC (?:in EL3|at PC)|ASSERT: |Unhandled .*Exception |BACKTRACE:")
_DAEMON = re.compile(r"(?P<daemon>tee-supplicant|cml-ca|sandbox-agent)(?:\[\d+\])?: ")
# tee-supplicant's and libteec's own form: ERR [84] TEES:main:803: ... (TSUP in older ones)
_TEE_CLIENT = re.compile(r"(?P<level>ERR|INF|DBG|FLW) \[\d+\] (?P<prefix>TEES|TSUP|TEEC):")
_NAMED_TA = re.compile(UUID)
_CLOCK = re.compile(r"clock (?P<count>\d{1,20}) (?P<frequency>\d{1,12})$")

_LEVELS = {
    "E": Level.ERROR,
    "I": Level.INFO,
    "D": Level.DEBUG,
    "F": Level.FLOW,
    "M": Level.INFO,
    "ERROR": Level.ERROR,
    "WARNING": Level.WARNING,
    "NOTICE": Level.NOTICE,
    "INFO": Level.INFO,
    "VERBOSE": Level.DEBUG,
    "ERR": Level.ERROR,
    "INF": Level.INFO,
    "DBG": Level.DEBUG,
    "FLW": Level.FLOW,
}
# Linux's, from 0, emergency, to 7, debugging (linux/kern_levels.h)
_KERNEL_LEVELS = (*[Level.ERROR] * 4, Level.WARNING, Level.NOTICE, Level.INFO, Level.DEBUG)
_SECURE_SOURCES = {"TC": Source.OPTEE, "LD": Source.LDELF}
_WARNING = re.compile(r"[ :]WARNING\b")
_BAD = {
    world: re.compile("|".join(f"(?:{p.regex.pattern})" for p in BAD_PATTERNS if p.world is world))
    for world in World
}


@dataclass(frozen=True, slots=True)
class Parsed:
    stamp_s: float | None  # on the clock of who printed it: see Clocks
    source: Source
    level: Level | None
    ta: str | None
    text: str
    raw: str
    counter_s: float | None = None  # in the one line that tells both of the normal world's clocks


def messages(world: World, line: bytes) -> Iterator[tuple[int, bytes]]:
    """The messages of one line, each with its place in it.

    It is one, but for Linux's: that does not wait for the end of a prompt.
    """
    found = _KERNEL_IN.search(line) if world is World.NORMAL else None
    if found is not None and clean(line[: found.start()]):
        yield 0, line[: found.start()]
        yield found.start(), line[found.start() :]
    else:
        yield 0, line


def parse(world: World, line: str) -> Parsed:
    return _secure(line) if world is World.SECURE else _normal(line)


def _normal(line: str) -> Parsed:
    stamp_s, text = None, line
    if head := _KERNEL.match(line):
        stamp_s, text = float(head["stamp"]), line[head.end() :]
    source, level = Source.CONSOLE if stamp_s is None else Source.KERNEL, None
    counter_s = None
    if daemon := _DAEMON.match(text):
        source = Source(daemon["daemon"].removeprefix("sandbox-"))
        if stamp_s is not None and (clock := _CLOCK.match(text, daemon.end())):
            counter_s = int(clock["count"]) / max(int(clock["frequency"]), 1)
        level = _LEVELS.get(text[daemon.end() :].partition(":")[0].upper())
    elif client := _TEE_CLIENT.match(text):
        source = Source.CONSOLE if client["prefix"] == "TEEC" else Source.TEE_SUPPLICANT
        level = _LEVELS[client["level"]]
    elif text.startswith("@sandbox "):
        source, level = Source.CONSOLE, Level.INFO
        if text.startswith("@sandbox failed "):
            level = Level.ERROR
    elif stamp_s is None:
        if firmware := _TRUSTED_FIRMWARE.match(text):
            source, level = Source.TF_A, _LEVELS[firmware["level"]]
        elif _FIRMWARE_PANIC.match(text):
            source, level = Source.TF_A, Level.ERROR
    elif head and head["priority"] and int(head["priority"]) < len(_KERNEL_LEVELS):
        # The kernel's own: what comes through /dev/kmsg has the level that Linux gives all of it.
        level = _KERNEL_LEVELS[int(head["priority"])]
    elif text.startswith("WARNING: "):
        level = Level.WARNING
    return Parsed(stamp_s, source, _worst(World.NORMAL, level, text), None, text, line, counter_s)


def _secure(line: str) -> Parsed:
    stamp_s, ta, text = None, None, line
    if head := _SECURE.match(line):
        stamp_s, ta, text = float(head["stamp"]), head["ta"], line[head.end() :]
    level = None
    if trace := _TRACE.match(text):
        source = _SECURE_SOURCES.get(trace["prefix"], Source.TA)
        if ta and source is Source.OPTEE:
            source = Source.TA  # whatever it pretends
        level = _LEVELS.get(trace["level"])
        if level is Level.INFO and _WARNING.search(text, trace.end() - 1):
            level = Level.WARNING
    elif ta:
        source = Source.TA
    else:
        source = Source.CONSOLE if stamp_s is None else Source.OPTEE
    if ta is None and source is Source.OPTEE and (named := _NAMED_TA.search(text)):
        ta = named[0]
    return Parsed(stamp_s, source, _worst(World.SECURE, level, text), ta, text, line)


def _worst(world: World, level: Level | None, text: str) -> Level | None:
    return Level.ERROR if _BAD[world].search(text) else level
