# SPDX-License-Identifier: Apache-2.0
"""What runs in the guest's normal world: our engine, and its peer LiteRT (benchmarks/guest)."""

import json
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from sandbox import process
from sandbox.bench.measuring_ta import UUID_, Ran
from sandbox.build import recipe, sources, wheels
from sandbox.devkit import push
from sandbox.devkit.build import Built, BuiltTa
from sandbox.errors import GuestError
from sandbox.log import Progress
from sandbox.machine.guest import Guest
from sandbox.machine.machine import Machine

# In the guest, gone when the machine is down.
FOLDER = "/tmp/cml-bench"
ENGINE = "cml-bench-engine"
LITERT = "cml-bench-litert"
_WHEEL = "litert"
# What LiteRT's library stands on: of the cross compiler, and of the guest's own C library.
_COMPILER_LIBRARIES = ("libstdc++.so.6", "libgcc_s.so.1")
_C_LIBRARIES = ("libm.so.6",)
_START_S = 180.0
_ANSWER_S = 180.0


class BenchProgramError(GuestError):
    """A measuring program in the guest said something else than what it was asked for."""


def push_engine(guest: Guest, progress: Progress) -> None:
    built = recipe.bench_program(
        ENGINE,
        {
            "LIBJPEG": sources.unpacked("libjpeg-turbo", progress),
            "CBOR": sources.unpacked("tinycbor", progress),
        },
        progress,
    )
    guest.put(f"{FOLDER}/{ENGINE}", built.read_bytes(), 0o755)


def litert_schema(progress: Progress) -> Path:
    return recipe.only(wheels.unpacked(_WHEEL, progress), "*/schema_py_generated.py")


def push_litert(guest: Guest, progress: Progress) -> None:
    library = recipe.only(wheels.unpacked(_WHEEL, progress), "*/libLiteRt.so")
    built = recipe.bench_program(LITERT, {"LITERT": library.parent}, progress)
    c_library = sources.unpacked("libc6", progress)
    files = [built, library, *(_of_compiler(name) for name in _COMPILER_LIBRARIES)]
    files += [c_library / "usr/lib/aarch64-linux-gnu" / name for name in _C_LIBRARIES]
    for path in files:
        guest.put(f"{FOLDER}/{path.name}", path.read_bytes(), 0o755)


def _of_compiler(name: str) -> Path:
    asked = process.run([f"{recipe.CROSS}gcc", f"-print-file-name={name}"], timeout_s=30)
    path = Path(asked.stdout.decode().strip())
    if not path.is_absolute():
        raise recipe.ToolMissing(
            f"the cross compiler has no {name}", "`make setup` installs g++-aarch64-linux-gnu."
        )
    return path


def prepare_folder(guest: Guest) -> None:
    guest.run(["mkdir", "-p", FOLDER], timeout_s=30, check=True)


def push_measuring_ta(machine: Machine, progress: Progress) -> None:
    folder = recipe.measuring_ta(progress)
    ta = recipe.only(folder, "*.ta")
    uuid = UUID(ta.stem)
    assert uuid == UUID_, uuid
    described = BuiltTa(uuid, ta, ta.with_suffix(".elf"), "bench", "Measures the engine", None, 0)
    push.push(machine, Built(folder, folder, (described,), (), {}, ""))


class Program:
    """One of them, running: a line in, a JSON object out; `with` ends it."""

    def __init__(self, guest: Guest, name: str, arguments: Iterable[str]) -> None:
        self._name = name
        self._lines = guest.lines([f"{FOLDER}/{name}", *arguments], timeout_s=30.0)
        try:
            hello = self._receive(_START_S)
        except BaseException:
            self._lines.close()
            raise
        assert hello is not None
        self.hello = hello

    def close(self) -> None:
        self._lines.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _receive(self, timeout_s: float) -> dict[str, Any] | None:
        line = self._lines.receive(timeout_s)
        try:
            answer = json.loads(line)
            if answer is None or isinstance(answer, dict):
                return answer
        except ValueError:
            pass
        raise BenchProgramError(f"{self._name} in the guest said {line[:200]!r}")

    def ask(self, *words: object) -> dict[str, Any] | None:
        self._lines.send(" ".join(str(word) for word in words))
        return self._receive(_ANSWER_S)

    def timed(self, *words: object) -> Ran:
        """What is timed."""
        answer = self.ask(*words)
        try:
            assert answer is not None
            return Ran(answer["us"] / 1e6 / answer["rounds"], answer["all_rounds"])
        except (AssertionError, KeyError, TypeError, ZeroDivisionError) as error:
            raise BenchProgramError(f"{self._name} in the guest said {answer!r}") from error
