# SPDX-License-Identifier: Apache-2.0
"""The steps of `sandbox ta push`, and how each is told: to people and as JSON."""

import argparse
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

from sandbox.commands.context import Context
from sandbox.devkit import build, push
from sandbox.devkit.build import Built
from sandbox.devkit.elf import TaFlag
from sandbox.devkit.push import Pushed
from sandbox.devkit.tools import CompileError
from sandbox.machine.machine import Machine


@dataclass(frozen=True)
class Seconds:
    """How long each step took; 0 for one that was not taken."""

    build: float = 0.0
    push: float = 0.0


def take_build(args: argparse.Namespace, context: Context) -> tuple[Built, Seconds]:
    began = time.monotonic()
    settings = build.Settings(
        optimize=args.optimize,
        variables=tuple(args.variables),
        colour=sys.stderr.isatty(),
    )
    try:
        built = build.build(args.folder, context.progress, settings)
    except CompileError as error:
        _show(error.output, context)
        raise
    _show(built.output, context)
    return built, Seconds(build=_since(began))


def take_push(machine: Machine, built: Built, seconds: Seconds) -> tuple[Pushed, Seconds]:
    began = time.monotonic()
    pushed = push.push(machine, built)
    return pushed, Seconds(seconds.build, _since(began))


def _since(began: float) -> float:
    return round(time.monotonic() - began, 3)


def _show(said: str, context: Context) -> None:
    """What the compilers said, as they said it."""
    with context.progress.printing():
        print(said, end="", file=sys.stderr, flush=True)


def print_pushed(built: Built, pushed: Pushed, seconds: Seconds) -> None:
    names = {f"{ta.uuid}.ta": f"  {ta.name}" for ta in built.tas}
    for file in pushed.files:
        print(f"{file.size_bytes / 1024:6.0f} KiB  {file.path}{names.get(file.path.name, '')}")
    for remark in pushed.remarks:
        print(f"note: {remark}")
    print(f"built in {seconds.build:.2f} s, pushed in {seconds.push:.2f} s", flush=True)


def as_json(built: Built, seconds: Seconds, pushed: Pushed | None = None) -> dict[str, Any]:
    described: dict[str, Any] = {
        "folder": str(built.folder),
        "tas": [
            {
                "uuid": str(ta.uuid),
                "name": ta.name,
                "description": ta.description,
                "version": ta.version,
                "flags": None if ta.flags is None else [_flag_name(flag) for flag in ta.flags],
                "ta": str(ta.ta),
                "elf": str(ta.elf),
            }
            for ta in built.tas
        ],
        "programs": [str(program) for program in built.programs],
        "libraries": {name: str(path) for name, path in built.libraries.items()},
        "seconds": asdict(seconds),
    }
    if pushed is not None:
        files = [{"path": str(file.path), "size_bytes": file.size_bytes} for file in pushed.files]
        described |= {"files": files, "remarks": list(pushed.remarks)}
    return described


def _flag_name(flag: TaFlag) -> str:
    return (flag.name or "").lower()
