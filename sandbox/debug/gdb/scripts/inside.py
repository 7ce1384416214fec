# SPDX-License-Identifier: Apache-2.0
"""Runs inside gdb, in gdb's own Python: finds out where OP-TEE and the TAs really are.

gdb knows one address space; the machine has many, and draws its places at random. So:

- Symbols are loaded at once, but where no code can be (_NOWHERE). Breakpoints can be set, sources
  listed and names completed before there is anything to stop in.
- OP-TEE is entered where it was linked, and jumps from there to where it has moved itself. At the
  next call we read from its own variable how far that is.
- OP-TEE enters a TA through one function. There we read from its own structures which instance of
  which TA this is and where it lies, and move the TA's symbols, and with them its breakpoints.
- QEMU's breakpoints are virtual addresses, in whatever address space. Those in a TA get a
  condition, $_here(), that asks the core which space it is in.

Breakpoints of our own are invisible and never stop for the user. Standard library and gdb only.
"""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gdb
import gdb.unwinder

# Not canonical: bits 63 to 48 of an address that can be in use are all equal.
_NOWHERE = 0x0010_0000_0000_0000
_EL0, _EL1 = 0, 1
_NON_SECURE = 1  # bit NS of SCR_EL3
_ASID_SHIFT = 48
_HERE = "$_here()"
# More instances than secure memory has room for: a list that is longer is no list.
_MAX_INSTANCES = 256
_MAX_CORES = 64
_COMPARED_BYTES = 64
_PAGE = 4096
_MASK = (1 << 64) - 1
# Where the fields that we read are in OP-TEE's structures; asked of the symbols that it was built
# with. A context is a struct user_ta_ctx.
_FIELDS = {
    "session_context": "&((struct ts_session *)0)->ctx",
    "next": "&((struct user_ta_ctx *)0)->ta_ctx.link.tqe_next",
    "link": "&((struct user_ta_ctx *)0)->ta_ctx",
    "ts": "&((struct user_ta_ctx *)0)->ta_ctx.ts_ctx",
    "uuid": "&((struct user_ta_ctx *)0)->ta_ctx.ts_ctx.uuid",
    "ops": "&((struct user_ta_ctx *)0)->ta_ctx.ts_ctx.ops",
    "initializing": "&((struct user_ta_ctx *)0)->ta_ctx.is_initializing",
    "load": "&((struct user_ta_ctx *)0)->uctx.load_addr",
    "asid": "&((struct user_ta_ctx *)0)->uctx.vm_info.asid",
}
_PLACES = {
    "call": "&vector_std_smc_entry",
    "moved": "(unsigned long)&((struct core_mmu_config *)&boot_mmu_config)->map_offset",
    "enter": "&user_ta_enter",
    "contexts": "&tee_ctxes",
    "user_ops": "&user_ta_ops",
}


def _say(text: str) -> None:
    gdb.write(f"[sandbox] {text}\n")
    gdb.flush()


def _quiet(command: str) -> None:
    gdb.execute(command, to_string=True)


def _quoted(path: str) -> str:
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _number(expression: str) -> int:
    return int(gdb.parse_and_eval(f"(unsigned long)({expression})"))


def _exception_level() -> int:
    return _number("$cpsr") >> 2 & 3


def _secure() -> bool:
    return not _number("$SCR_EL3") & _NON_SECURE


def _in_a_ta() -> bool:
    return _exception_level() == _EL0 and _secure()


def _asid() -> int:
    # OP-TEE gives each context an even number, and the one after it for use in EL1.
    return _number("$TTBR0_EL1") >> _ASID_SHIFT & ~1


def _read(address: int, size: int) -> bytes:
    return bytes(gdb.selected_inferior().read_memory(address, size))


def _word(address: int, size: int = 8) -> int:
    return int.from_bytes(_read(address, size), "little")


class Symbols:
    """The symbols of one ELF file at one place."""

    def __init__(self, elf: dict[str, Any], offset: int) -> None:
        self._text: int = elf["text"] + offset & _MASK
        _quiet(f"add-symbol-file {_quoted(elf['path'])} -o {offset:#x}")

    def drop(self) -> None:
        _quiet(f"remove-symbol-file -a {self._text:#x}")


class Event(gdb.Breakpoint):  # type: ignore[misc]
    """A place in OP-TEE that tells us something; it never stops there for the user."""

    def __init__(self, address: int, handler: Callable[[], None]) -> None:
        super().__init__(f"*{address:#x}", internal=True)
        self.silent = True
        self._handler = handler

    def stop(self) -> bool:
        # The same address may be something else in the other world.
        if _exception_level() == _EL1 and _secure():
            self._handler()
        return False


class Core:
    """Where OP-TEE is, once it is known."""

    def __init__(self, config: dict[str, Any], found: Callable[[int], None]) -> None:
        self._found = found
        _quiet(f"symbol-file {_quoted(config['core']['path'])}")
        self.fields = {name: _number(text) for name, text in _FIELDS.items()}
        self._places = {name: _number(text) for name, text in _PLACES.items()}
        _quiet("symbol-file")
        self._offset: int | None = None
        self._call = Event(self._places["call"], self._called)

    def place(self, name: str) -> int:
        assert self._offset is not None
        # It may have moved down: then the offset is what a register makes of a negative number.
        return self._places[name] + self._offset & _MASK

    def _called(self) -> None:
        if self._offset is None:
            self._call.enabled = False
            self._offset = _word(self._places["moved"])
            _say(f"OP-TEE has moved itself by {self._offset:#x}")
            self._found(self._offset)


@dataclass(frozen=True)
class Instance:
    """A TA in memory."""

    context: int
    uuid: bytes
    load: int
    asid: int


class Ta:
    """Symbols of a TA that follow its instances.

    Instances lie where they like, and may overlap: then those entered last have their symbols.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        self._elf: dict[str, Any] = config["ta"]
        self._size: int = self._elf["size"]
        self._uuid = bytes.fromhex(self._elf["uuid"])
        self._core = Core(config, self._core_found)
        self._loaded: dict[Instance, Symbols] = {}
        self._known: dict[int, Instance] = {}  # by address space
        self._compared: set[Instance] = set()
        self._nowhere: Symbols | None = Symbols(self._elf, _NOWHERE)
        self._enter: Event | None = None

    def _core_found(self, offset: int) -> None:
        del offset
        self._enter = Event(self._core.place("enter"), self._entered)
        # Those that were there before us.
        for instance in self._instances():
            if instance.uuid == self._uuid:
                self._known[instance.asid] = instance
                self._load(instance)

    def _entered(self) -> None:
        session = _number("$x0")
        context = _word(session + self._core.fields["session_context"]) - self._core.fields["ts"]
        instance = self._instance(context)
        if instance is None or instance.uuid != self._uuid or instance in self._loaded:
            return
        present = set(self._instances())
        self._known = {each.asid: each for each in present if each.uuid == self._uuid}
        for gone in [each for each in self._loaded if each not in present]:
            self._unload(gone)
        self._load(instance)

    def _instance(self, context: int) -> Instance | None:
        """The TA with this context; None if it is none, or not there yet."""
        fields = self._core.fields
        if _word(context + fields["ops"]) != self._core.place("user_ops"):
            return None
        if _read(context + fields["initializing"], 1) != b"\0":
            return None
        load = _word(context + fields["load"])
        asid = _word(context + fields["asid"], 4)
        return Instance(context, _read(context + fields["uuid"], 16), load, asid)

    def _instances(self) -> Iterator[Instance]:
        """OP-TEE's own list of what is loaded."""
        link = _word(self._core.place("contexts"))
        for _ in range(_MAX_INSTANCES):
            if not link:
                return
            context = link - self._core.fields["link"]
            instance = self._instance(context)
            if instance is not None:
                yield instance
            link = _word(context + self._core.fields["next"])

    def _load(self, instance: Instance) -> None:
        for other in list(self._loaded):
            if abs(other.load - instance.load) < self._size:
                if other.load != instance.load:
                    _say(f"breakpoints move from the instance at {other.load:#x}: they overlap")
                self._unload(other)
        self._loaded[instance] = Symbols(self._elf, instance.load)
        if self._nowhere is not None:
            self._nowhere.drop()
            self._nowhere = None
        _say(f"TA {self._elf['name']} is at {instance.load:#x}")

    def _unload(self, instance: Instance) -> None:
        # Never without any, or breakpoints would have nothing to stand on.
        if len(self._loaded) == 1 and self._nowhere is None:
            self._nowhere = Symbols(self._elf, _NOWHERE)
        self._loaded.pop(instance).drop()

    def here(self) -> bool:
        """Whether the code at the program counter is what the symbols there say."""
        pc = _number("$pc")
        for instance in self._loaded:
            if instance.load <= pc < instance.load + self._size:
                if not _in_a_ta() or _asid() != instance.asid:
                    return False
                self._compare(instance, pc)
        return True

    def enter(self) -> bool:
        """If the core that is shown runs the TA, show the symbols of that instance."""
        if not _in_a_ta():
            return False
        instance = self._known.get(_asid()) or self._recognised()
        if instance is not None and instance not in self._loaded:
            self._load(instance)
        return instance is not None

    def _recognised(self) -> Instance | None:
        """The instance that runs here, if this page of memory is one of the TA's code.

        It may have run since before we came, and not called OP-TEE: then nobody tells us.
        """
        here = _number("$pc") & -_PAGE
        page = _read(here, _PAGE)
        with open(self._elf["path"], "rb") as file:
            content = file.read()
        for begin, offset, size in self._elf["segments"]:
            for at in range(0, size, _PAGE):
                part = content[offset + at : offset + min(at + _PAGE, size)]
                if len(part) > _COMPARED_BYTES and page.startswith(part):
                    return Instance(0, self._uuid, here - begin - at, _asid())
        return None

    def _compare(self, instance: Instance, pc: int) -> None:
        """Is it the code that the symbols were made from? Asked once of each instance."""
        if instance in self._compared:
            return
        self._compared.add(instance)
        linked = pc - instance.load
        for begin, offset, size in self._elf["segments"]:
            if begin <= linked < begin + size:
                with open(self._elf["path"], "rb") as file:
                    file.seek(offset + linked - begin)
                    if file.read(_COMPARED_BYTES) != _read(pc, _COMPARED_BYTES):
                        _say(f"THIS IS OTHER CODE than that of {self._elf['path']}")


def _follow(ta: Ta, event: Any) -> None:
    """When the user interrupts, show the core that is in the TA, if one is."""
    if not isinstance(event, gdb.SignalEvent) or event.stop_signal != "SIGINT":
        return
    for core in range(_MAX_CORES):
        try:
            _show_core(core)
        except gdb.error:
            break
        if ta.enter():
            # What gdb has just printed was where another core is.
            _say(f"core {core} is in the TA:")
            gdb.execute("frame")
            return
    _show_core(0)


def _show_core(number: int) -> None:
    _quiet(f"monitor core {number}")
    _quiet("maintenance flush register-cache")


class Here(gdb.Function):  # type: ignore[misc]
    """Whether a breakpoint in a TA was hit in that TA's address space."""

    def __init__(self, ta: Ta) -> None:
        super().__init__(_HERE.strip("$()"))
        self._ta = ta

    def invoke(self) -> bool:
        return self._ta.here()


def _only_here(breakpoint: Any) -> None:
    """Add our condition to the user's, when they make a breakpoint or change its condition."""
    if breakpoint.number < 0 or breakpoint.type != gdb.BP_BREAKPOINT:
        return
    condition = breakpoint.condition
    if condition is None:
        breakpoint.condition = _HERE
    elif not condition.startswith(_HERE):
        breakpoint.condition = f"{_HERE} && ({condition})"


@dataclass(frozen=True)
class FrameId:
    """What tells one frame from another, in the form that gdb wants."""

    sp: Any
    pc: Any


class FramePointers(gdb.unwinder.Unwinder):  # type: ignore[misc]
    """Callers, found by the frame records that the frame pointer leads along."""

    def __init__(self, name: str, applies: Callable[[Any], bool]) -> None:
        super().__init__(name)
        self._applies = applies

    def __call__(self, pending: Any) -> Any:
        if not self._applies(pending):
            return None
        pc = pending.read_register("pc")
        sp, pointer = pending.read_register("sp"), int(pending.read_register("x29")) & _MASK
        word = gdb.lookup_type("unsigned long")
        caller, outer = (_word(pointer + 8), _word(pointer)) if pointer else (0, 0)
        found = pending.create_unwind_info(FrameId(sp, pc))
        for name in (f"x{number}" for number in range(19, 29)):
            found.add_saved_register(name, pending.read_register(name))
        for name, value in (("pc", caller), ("x30", caller), ("x29", outer), ("sp", pointer + 16)):
            found.add_saved_register(name, gdb.Value(value).cast(word))
        return found


def _optee_assembler(pending: Any) -> bool:
    """It does not describe its frames: gdb would find the same one for ever.

    The frame pointer there is still that of the caller in C, which is left out.
    """
    return bool(pending.read_register("pc") == pending.read_register("x30"))


def _linux_caller(pending: Any) -> bool:
    """Linux always keeps frame records, and we may have no description of its frames."""
    pointer, pc = (int(pending.read_register(name)) & _MASK for name in ("x29", "pc"))
    return bool(pending.level() > 0 and pointer >> 63 and pc >> 63)


class CoreSymbols:
    """The core's own symbols, moved when we know where to."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._elf: dict[str, Any] = config["core"]
        self._core = Core(config, self._found)
        self._symbols = Symbols(self._elf, _NOWHERE)

    def _found(self, offset: int) -> None:
        real = Symbols(self._elf, offset)
        self._symbols.drop()
        self._symbols = real


def _prepare(config: dict[str, Any]) -> None:
    for setting in config["settings"]:
        _quiet(setting)
    if config["target"] == "ta":
        ta = Ta(config)
        Here(ta)
        gdb.events.stop.connect(lambda event: _follow(ta, event))
        gdb.events.breakpoint_created.connect(_only_here)
        gdb.events.breakpoint_modified.connect(_only_here)
    elif config["target"] == "core":
        CoreSymbols(config)
        frames = FramePointers("optee-assembler", _optee_assembler)
        gdb.unwinder.register_unwinder(None, frames)
    else:
        Symbols(config["kernel"], config["kernel"]["offset"])
        gdb.unwinder.register_unwinder(None, FramePointers("linux", _linux_caller))
    # QEMU would take it at its word, and end the machine.
    kill = "raise gdb.GdbError('`sandbox down` ends the machine; `detach` lets it run.')"
    _quiet(f"define hook-kill\npython {kill}\nend")
    _quiet(f"target remote {config['remote']}")
    gdb.set_convenience_variable("_sandbox_ready", 1)
    _say(config["welcome"])


def main() -> None:
    try:
        _prepare(json.loads(os.environ.pop("SANDBOX_GDB")))
    except (gdb.error, RuntimeError) as error:
        gdb.write(f"sandbox gdb: cannot begin: {error}\n", gdb.STDERR)
        gdb.execute("quit 1")


main()
