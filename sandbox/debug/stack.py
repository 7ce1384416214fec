# SPDX-License-Identifier: Apache-2.0
"""The call stack and registers of a dump, with names: which ELF file an address is in, and where.

OP-TEE moves the core and each TA to another place at every start (ASLR); the dump says where.
"""

from dataclasses import dataclass
from pathlib import Path

from sandbox.debug.dump import Dump, KernelCall
from sandbox.debug.symbolise import (
    Location,
    SourceLine,
    Symboliser,
    excerpt,
    is_call,
    link_address,
    mapped_bytes,
)
from sandbox.machine.console import Trouble

# How a panic is printed is no news: these frames are left out.
_MACHINERY = {
    "print_kernel_stack", "__do_panic", "_assert_break", "_assert_log", "_assert_trap",
    "abort_print_error", "print_oom",
    "unw_get_kernel_stack", "__print_stack_unwind", "print_stack_arm64", "__abort_print",
    "get_fault_type", "abort_handler", "el1_sync_abort", "_utee_panic", "utee_panic", "TEE_Panic",
    "__stack_chk_fail", "read_pc", "read_fp", "backtrace", "get_stack_hard_limits",
}  # fmt: skip
_LINUX_MACHINERY = {
    "dump_backtrace", "show_stack", "dump_stack_lvl", "dump_stack", "panic", "die",
    "dump_header", "oom_kill_process", "out_of_memory",
}  # fmt: skip
# Where OP-TEE keeps the libraries that are linked into the core and into each TA.
_LIBRARIES = ("lib/libutee/", "lib/libutils/", "lib/libunw/", "lib/libmbedtls/", "lib/libdl/")
_ENTRY = "user_ta_header.c"


@dataclass(frozen=True)
class Frame:
    """One call. An inlined function has a frame of its own, before that of its caller."""

    address: int | None
    image: str  # core, ldelf, bl31, a TA's UUID, or a module of Linux; "" if unknown
    function: str | None
    file: str | None
    line: int | None
    inlined: bool = False
    library: bool = False  # one of OP-TEE's
    source: tuple[SourceLine, ...] = ()
    note: str = ""

    @property
    def place(self) -> str:
        if self.file is None:
            return ""
        return f"{self.file}:{self.line}" if self.line else self.file

    def __str__(self) -> str:
        where = self.place or (f"0x{self.address:x}" if self.address is not None else "")
        image = f"[{self.image}]" if self.image and not self.place else ""
        notes = ", ".join(n for n in ("inlined" if self.inlined else "", self.note) if n)
        parts = (self.function or "?", where, image, f"({notes})" if notes else "")
        return "  ".join(part for part in parts if part)


@dataclass(frozen=True)
class Register:
    name: str
    value: int
    symbol: str = ""


class Stack:
    def __init__(self, dump: Dump, symboliser: Symboliser | None) -> None:
        self._dump = dump
        self._symboliser = symboliser
        self._lacking: dict[str, str] = {}
        self._frames = tuple(self._kernel() if self._is_kernel() else self._named())

    def frames(self) -> tuple[Frame, ...]:
        return self._frames

    def culprit(self) -> int | None:
        """The innermost frame that is not of a library: what its author can change."""
        for index, frame in enumerate(self._frames):
            if frame.function is not None and not frame.library:
                return index
        return None

    def registers(self) -> tuple[Register, ...]:
        renamed = {"elr": "pc", "x30": "lr", "sp_el0": "sp", "r14": "lr"}
        values = {renamed.get(name, name): value for name, value in self._dump.registers.items()}
        first = [name for name in ("pc", "lr", "sp") if name in values]
        symbols = {n: str(c.function) for n, c in self._dump.kernel_pc.items()}
        for name, back in (("pc", 0), ("lr", 4)):
            if name in values and name not in symbols:
                # What is in lr is where a call returns to; the call is the instruction before.
                address = values[name] - back
                found = self._locate([address])
                if found.get(address, ("", ()))[1]:
                    outer = self._of(address, found)[-1]
                    symbols[name] = f"{outer.function} {outer.place}".strip()
        rest = [name for name in values if name not in first]
        return tuple(Register(name, values[name], symbols.get(name, "")) for name in first + rest)

    def remarks(self) -> tuple[str, ...]:
        dump = self._dump
        remarks = list(self._lacking.values())
        if dump.mixed:
            remarks.append(
                "several cores printed at the same time: a line may belong to the other panic"
            )
        if dump.trouble is Trouble.TA_PANIC and not dump.calls:
            remarks.append(
                "there is no call stack: OP-TEE prints one with CFG_UNWIND=y, and if the TA's stack"
                " could be read"
            )
        return tuple(remarks)

    # Addresses -----------------------------------------------------------------------------------

    def _image(self, address: int) -> tuple[str, int, int] | None:
        """Where an address is: the name of the ELF file, and the place that it was loaded to."""
        dump = self._dump
        if dump.trouble is Trouble.FIRMWARE_PANIC:
            return "bl31", -1, 0
        for region in dump.regions:
            if address in region:
                if region.elf is not None and region.elf in dump.elves:
                    name, load = dump.elves[region.elf]
                    end = max(r.address + r.size for r in dump.regions if r.elf == region.elf)
                    return name, load, end - load
                if region.name == "ldelf" and "x" in region.flags:
                    return "ldelf", region.address, 0
                return None
        if not dump.regions and dump.load_address is not None and address >= dump.load_address:
            return "core", dump.load_address, 0
        return None

    def _locate(self, addresses: list[int]) -> dict[int, tuple[str, tuple[Location, ...]]]:
        """For each address that is in an image: which, and the functions there."""
        images = {a: image for a in addresses if a >= 0 and (image := self._image(a))}
        result: dict[int, tuple[str, tuple[Location, ...]]] = {}
        for name, load, size in set(images.values()):
            own = [a for a, image in images.items() if image[0] == name]
            elf = self._symboliser.elf(name) if self._symboliser is not None else None
            if elf is None or self._symboliser is None:
                self._lack(name)
                result |= {a: (name, ()) for a in own}
                continue
            bias = 0 if load < 0 else load - link_address(elf)
            if self._is_other(elf, size, [a - bias for a in own if a in self._dump.calls[1:]]):
                self._lacking[name] = (
                    f"{elf.name} is of another build than what ran: do not trust its names and"
                    " lines here"
                )
            found = self._symboliser.locate(elf, [a - bias for a in own])
            result |= {a: (name, found[a - bias]) for a in own}
            if not any(location.line for a in own for location in result[a][1]):
                self._lacking.setdefault(
                    name, f"{elf.name} has no line numbers: build it with -g, and do not strip it"
                )
        return result

    def _is_other(self, elf: Path, size: int, calls: list[int]) -> bool:
        """Whether an ELF file cannot be what ran: of another size, or with no call where one was.

        A dump names no build, so this is all there is to go by.
        """
        if size and mapped_bytes(elf) != size:
            return True
        return self._dump.arch != "arm" and any(is_call(elf, a) is False for a in calls)

    def _lack(self, name: str) -> None:
        if self._symboliser is None:
            self._lacking[name] = "so many panics that no more symbols are looked up"
            return
        what = {"core": "OP-TEE's core", "ldelf": "ldelf", "bl31": "TF-A's BL31"}
        file = "tee" if name == "core" else name
        self._lacking[name] = (
            f"no symbols of {what.get(name, f'TA {name}')}: its build leaves {file}.elf; give that"
            " file or its folder to `sandbox explain --symbols`"
            + ("" if name in what else ", or put the TA into the machine with `sandbox ta push`")
        )

    # Frames --------------------------------------------------------------------------------------

    def _named(self) -> list[Frame]:
        dump = self._dump
        registers = dump.registers
        pc = registers.get("elr", registers.get("pc"))
        lr = registers.get("x30", registers.get("lr", registers.get("r14")))
        if dump.trouble is Trouble.FIRMWARE_PANIC and pc is None and lr is not None:
            # An exception was taken at elr_el3; a panic was called for.
            pc = registers.get("elr_el3") if "Exception in EL3" in dump.title else lr - 4
        calls = dump.calls or ([pc] if pc is not None else [])
        if calls and dump.trouble is Trouble.TA_PANIC and dump.abort is None:
            # Where the system call returns to, unlike the others: OP-TEE went back to the calls.
            calls = [calls[0] - 4, *calls[1:]]
        found = self._locate([*calls, *([lr - 4] if lr is not None else [])])
        frames: list[Frame] = []
        for index, address in enumerate(calls):
            frames += self._of(address, found)
            if index == 0 and pc is not None and lr is not None:
                frames += self._from_lr(pc, lr - 4, calls, found)
        first = next((i for i, f in enumerate(frames) if f.function not in _MACHINERY), 0)
        return frames[first:]

    def _from_lr(
        self,
        pc: int,
        call: int,
        calls: list[int],
        found: dict[int, tuple[str, tuple[Location, ...]]],
    ) -> list[Frame]:
        """The caller of a function that has not saved its return address: only lr has it.

        Unless lr is left over from a call that the function itself made, or is saved after all.
        """
        if call in calls[1:] or call not in found or not found[call][1]:
            return []
        here = found.get(pc, ("", ()))[1]
        if here and here[-1].function == found[call][1][-1].function:
            return []
        return self._of(call, found)

    def _of(self, address: int, found: dict[int, tuple[str, tuple[Location, ...]]]) -> list[Frame]:
        image, locations = found.get(address, ("", ()))
        if not locations:
            note = "" if image else "outside of all code"
            return [Frame(address, image, None, None, None, note=note)]
        return [
            Frame(
                address,
                image,
                location.function,
                location.file,
                location.line,
                location.inlined,
                _is_library(location),
                excerpt(location),
            )
            for location in locations
        ]

    # Linux ---------------------------------------------------------------------------------------

    def _is_kernel(self) -> bool:
        return bool(self._dump.kernel_calls or self._dump.kernel_pc)

    def _kernel(self) -> list[Frame]:
        calls: list[KernelCall] = list(self._dump.kernel_calls)
        pc = self._dump.kernel_pc.get("pc")
        if pc is not None and (not calls or calls[0] != pc):
            calls.insert(0, pc)
        while len(calls) > 1 and calls[0].function in _LINUX_MACHINERY:
            del calls[0]
        return [
            Frame(None, call.module, f"{call.function}+0x{call.offset:x}", None, None)
            for call in calls
        ]


def _is_library(location: Location) -> bool:
    file = location.file or ""
    return any(part in file for part in _LIBRARIES) or file.endswith(_ENTRY)
