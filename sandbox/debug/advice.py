# SPDX-License-Identifier: Apache-2.0
"""What a panic means, in words: the headline, what usually is the matter, what to look at."""

from dataclasses import dataclass, field

from sandbox.debug.codes import Code, Fault, fault_status, panic_code, result, syndrome
from sandbox.debug.dump import Dump, Region
from sandbox.debug.stack import Frame, Stack
from sandbox.machine.console import Trouble

# An access this close to address 0 is a field or element of something that is not there.
_NULL_BYTES = 0x1000
# How far beyond the end of a stack an access still is an overflow of it: a large local array.
_OVERFLOW_BYTES = 0x10000
# What gcc puts where a program must not come: after a division by a constant zero, for example.
_GCC_TRAP = 1000
# The panic of plat-vexpress/flash_otp.c (OP-TEE's patch 0005).
_NO_OTP = "no valid OTP"
_STACK_SIZE = "TA_STACK_SIZE in user_ta_header_defines.h"


@dataclass
class Words:
    headline: str
    meaning: list[str] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)
    code: Code | None = None


def words(dump: Dump, stack: Stack) -> Words:
    said = {
        Trouble.TA_PANIC: _ta,
        Trouble.TEE_PANIC: _core,
        Trouble.TEE_ASSERTION: _core,
        Trouble.LDELF_FAILURE: _loading,
        Trouble.OUT_OF_SECURE_MEMORY: _secure_memory,
        Trouble.FIRMWARE_PANIC: _firmware,
    }.get(dump.trouble, _kernel)(dump, stack)
    said.meaning += [f"said before: {text}" for text in dump.words if text not in said.headline]
    return said


def _at(frame: Frame | None) -> str:
    """` in f() at file:line`, as much of it as is known."""
    if frame is None or frame.function is None:
        return ""
    return f" in {frame.function}()" + (f" at {frame.place}" if frame.place else "")


def _in(stack: Stack) -> str:
    """Like `_at`, with the library's function if the TA was in one."""
    frames, index = stack.frames(), stack.culprit()
    if not index:
        return _at(_culprit(stack))
    inner = _api_call(stack) or frames[0]
    return f" in {inner.function}(), called{_at(frames[index])}"


def _fault(dump: Dump) -> Fault | None:
    if dump.fsr is not None and dump.abort is not None and dump.abort.type != "undef":
        return fault_status(dump.fsr, data=dump.abort.type == "data")
    return syndrome(dump.esr) if dump.esr is not None else None


def _culprit(stack: Stack) -> Frame | None:
    index = stack.culprit()
    return None if index is None else stack.frames()[index]


# TAs ---------------------------------------------------------------------------------------------


def _ta(dump: Dump, stack: Stack) -> Words:
    if dump.abort is not None:
        return _ta_abort(dump, stack)
    if dump.code is None:
        return Words("a TA panicked; how, is not in these lines")
    code = panic_code(dump.code)
    culprit = _culprit(stack)
    if dump.assertion is not None:
        failed = dump.assertion
        said = Words(
            f"assertion '{failed.text}' failed in {failed.function}() at"
            f" {failed.file}:{failed.line}",
            ["An assert() did not hold, and the TA was ended."],
            code=code,
        )
        if "bget" in failed.file or "malloc" in failed.file:
            said.meaning = [
                "The heap's own records do not fit: memory was freed twice, freed though it was"
                " never allocated, or written past its end. That may have been long before.",
            ]
            said.advice = [
                f"the call{_at(culprit)}: is what it frees the beginning of a live allocation?",
                "CFG_TEE_TA_MALLOC_DEBUG=y checks the heap at every call;"
                " CFG_TA_SANITIZE_KADDRESS=y finds the write itself",
            ]
        return said
    if "stack smashing detected" in dump.words:
        return Words(
            f"a local array was written past its end{_at(culprit)}",
            [
                "The function's guard value had changed when it returned. The return address behind"
                " it may be overwritten too, so the call stack can end in nonsense.",
            ],
            ["each copy into a local array of that function, and the length that it trusts"],
            code,
        )
    api = _api_call(stack)
    if api is not None and culprit is not None:
        return Words(
            f"{api.function}() panicked with {code}, called{_at(culprit)}",
            [code.meaning],
            [
                f"the arguments of {api.function}(){_at(culprit)}, and the state of the handles;"
                " the function's description in the TEE Internal Core API lists its panic reasons",
                *([f"why it refused: {api.place}"] if api.place else []),
            ],
            code,
        )
    if culprit is not None:
        return Words(
            f"TEE_Panic(0x{code.value:x}){f', {code.name},' * bool(code.name)} was called"
            + _at(culprit),
            ["The TA gave up itself, at that line."],
            code=code,
        )
    return Words(f"a TA panicked with {code}", [code.meaning], code=code)


def _api_call(stack: Stack) -> Frame | None:
    """The function of the API that panicked: the outermost one of the library before the TA."""
    index = stack.culprit()
    if not index:
        return None
    library = [f for f in stack.frames()[:index] if f.function is not None and f.library]
    public = [f for f in library if str(f.function).startswith(("TEE_", "__GP11_TEE_"))]
    return next(reversed(public or library), None)


def _ta_abort(dump: Dump, stack: Stack) -> Words:
    abort = dump.abort
    assert abort is not None
    fault = _fault(dump)
    culprit = _culprit(stack)
    if abort.type == "prefetch":
        return _bad_jump(abort.address, fault, culprit)
    if abort.type == "undef":
        return _bad_instruction(abort.address, fault, culprit)
    return _bad_access(dump, abort.address, fault, _in(stack))


def _bad_jump(address: int, fault: Fault | None, culprit: Frame | None) -> Words:
    null = address < _NULL_BYTES
    return Words(
        f"jumped to 0x{address:x}, which is no code{', from the call' * (culprit is not None)}"
        + _at(culprit),
        [
            "A function pointer is NULL: it was never set, or its structure was wiped."
            if null
            else "A function pointer or a return address was overwritten, or is used after its"
            " memory was freed.",
            *([f"The processor says: {fault}."] if fault else []),
        ],
        ["the function pointer of that call; if there is none, local arrays of that function"],
    )


def _bad_instruction(address: int, fault: Fault | None, culprit: Frame | None) -> Words:
    if fault is not None and fault.trap is not None:
        said = Words(f"ran into a trap (brk #{fault.trap}){_at(culprit)}")
        if fault.trap == _GCC_TRAP:
            said.meaning = [
                "The compiler put a trap there because the code can only go wrong at that point: a"
                " division by a constant zero, a constant NULL pointer, __builtin_unreachable(). (A"
                " division by a variable that is 0 gives 0 on this processor, and no abort.)",
            ]
        return said
    return Words(
        f"undefined instruction at 0x{address:x}{_at(culprit)}",
        [
            f"The processor says: {fault or 'it is no instruction'}.",
            "The code was overwritten, data was run as code, or the TA was compiled for a processor"
            " with more instructions than this one has (-march, -mcpu).",
        ],
    )


def _bad_access(dump: Dump, address: int, fault: Fault | None, where: str) -> Words:
    verb = {True: "wrote to", False: "read from", None: "accessed"}[fault.write if fault else None]
    region = next((r for r in dump.regions if address in r), None)
    stack = next((r for r in dump.regions if r.name == "stack"), None)
    said = Words(f"{verb} 0x{address:x}{where}")
    if fault is not None:
        said.meaning.append(f"The processor says: {fault}.")
    pointer = _stack_pointer(dump)
    lost = stack is not None and _ran_on(dump, pointer, stack)
    if stack is not None and (lost or _is_overflow(pointer, address, stack)):
        said.headline = f"stack overflow{where}"
        beyond = f"it {verb} 0x{address:x}, below that."
        if lost:
            beyond = (
                f"the stack pointer is 0x{stack.address - pointer:x} bytes below that, in memory"
                " that lies there by chance: what the TA had there is overwritten."
            )
        said.meaning.append(
            f"The TA has used up its stack: 0x{stack.size:x} bytes that end at"
            f" 0x{stack.address:x}, and {beyond}"
        )
        said.advice = [
            f"{_STACK_SIZE}: is it enough for the deepest path?",
            "recursion without an end, and large local arrays, in the functions of the call stack",
        ]
    elif address < _NULL_BYTES:
        said.headline = f"{verb} a NULL pointer (0x{address:x}){where}"
        if address:
            said.meaning.append(
                f"The pointer was NULL, and offset {address} (0x{address:x}) of what it should"
                " point to was meant: a field of a structure, or an element of an array."
            )
        said.advice = [
            "where that pointer comes from: an allocation that was not checked, a parameter of the"
            " client that is NULL or of another type (compare param_types first)",
        ]
    elif dump.abort is not None and "alignment" in dump.abort.fault:
        said.meaning.append(
            "Atomic and exclusive accesses must be aligned to their size, and so must all that goes"
            " to device memory."
        )
    elif region is not None:
        said.meaning.append(_what_is_there(region, dump))
    else:
        said.meaning.append(
            "Nothing is mapped there: the pointer is not set, was overwritten, or its memory was"
            " unmapped; a parameter's memory is there during its command only."
        )
    return said


def _stack_pointer(dump: Dump) -> int:
    return dump.registers.get("sp_el0", dump.registers.get("sp", 0))


def _is_overflow(pointer: int, address: int, stack: Region) -> bool:
    below = stack.address - address
    near = stack.address - _OVERFLOW_BYTES <= pointer < stack.address + _OVERFLOW_BYTES
    return 0 < below <= _OVERFLOW_BYTES and near


def _ran_on(dump: Dump, pointer: int, stack: Region) -> bool:
    """Whether all from the stack pointer up to the stack is mapped: no gap ended the overflow."""
    while pointer < stack.address:
        region = next((r for r in dump.regions if pointer in r), None)
        if region is None:
            return False
        pointer = region.address + region.size
    return pointer == stack.address


def _what_is_there(region: Region, dump: Dump) -> str:
    if region.name == "param":
        return (
            "That is memory of the client, a parameter of this command: read-only if it is an"
            " input. Copy it before changing it."
        )
    if region.elf is not None and "w" not in region.flags:
        return (
            "That is code or constant data of the TA, which nobody may change: a const was cast"
            " away?"
        )
    if region.name == "stack":
        return "That is the TA's own stack."
    if region.name == "ldelf":
        return "That belongs to ldelf, the loader: a wild pointer."
    owner = dump.elves.get(region.elf, ("", 0))[0] if region.elf is not None else ""
    return f"That is memory of the TA ({region.flags}){f', of {owner}' if owner else ''}."


# Core and loader ---------------------------------------------------------------------------------


def _core(dump: Dump, stack: Stack) -> Words:
    culprit = _culprit(stack)
    said = Words(dump.title)
    if dump.assertion is not None:
        failed = dump.assertion
        said.headline = (
            f"OP-TEE's assertion '{failed.text}' failed in {failed.function}() at"
            f" {failed.file}:{failed.line}"
        )
    elif dump.abort is not None:
        fault = _fault(dump)
        null = " (a NULL pointer)" if dump.abort.address < _NULL_BYTES else ""
        said.headline = (
            f"OP-TEE's core: {dump.abort.type} abort at 0x{dump.abort.address:x}{null}"
            f"{_at(culprit)}"
        )
        if fault is not None:
            said.meaning.append(f"The processor says: {fault}.")
    elif dump.panic is not None:
        why = f"panicked: {dump.panic.text}" if dump.panic.text else "panicked"
        function = f" in {dump.panic.function}()" if dump.panic.function else ""
        where = f" at {dump.panic.file}:{dump.panic.line}" if dump.panic.file else ""
        said.headline = f"OP-TEE's core {why}{function}{where}"
    if dump.panic is not None and dump.panic.text == _NO_OTP:
        said.meaning.append(
            "The device's one-time memory, the end of flash.img in the machine's folder, has no"
            " valid hardware unique key or counter. OP-TEE does not start without: it would have to"
            " make up a key."
        )
        said.advice.append(
            "put that machine's own flash.img back; or `sandbox destroy` ends the machine, with all"
            " that its key sealed, and the next `sandbox up` makes a new device"
        )
        return said
    if any(text.startswith("Dead canary") for text in dump.words):
        said.meaning.append(
            "A stack of the core was overrun: see CFG_STACK_THREAD_EXTRA and CFG_STACK_TMP_EXTRA."
        )
    said.meaning.append(
        "The fault is in the core or in a pseudo TA, not in a TA: no TA can cause this on its own."
        " The secure world has stopped, and every call into it will hang."
    )
    said.advice.append("`sandbox down` and `sandbox up` start afresh")
    return said


def _loading(dump: Dump, stack: Stack) -> Words:
    del stack
    if dump.code is None:
        return Words(
            "ldelf, the loader of TAs, panicked",
            ["The TA's ELF file is malformed, or was built with other tools than the dev kit's."],
        )
    code = result(dump.code)
    meaning = {
        0xFFFF0008: "There is no such TA: /lib/optee_armtz/<uuid>.ta in the guest, or one of the"
        " libraries that it is linked with, is missing.",
        0xFFFF000F: "The TA's signature does not fit: it was signed with another key than this"
        " OP-TEE trusts, or the file was altered or cut.",
        0xFFFF0005: "The file is no TA: it was altered, cut, or built for another machine.",
        0xFFFF000E: "Its file could not be read: tee-supplicant does not run, or the client was"
        " ended while its TA was being loaded.",
        0xFFFF0003: "Its version is lower than one that this device has loaded: OP-TEE takes no TA"
        " back.",
        0xF0100001: "The file in which OP-TEE keeps the versions of TAs is damaged, so it loads"
        " none: see docs/root-of-trust.md.",
        0xF0100003: "The machine's secure storage, where OP-TEE keeps the versions of TAs, is not"
        " what its device left there, so it loads none: see docs/root-of-trust.md.",
        0xFFFF000A: "The TA is of a kind that this OP-TEE does not load (32 bits, another format).",
    }.get(dump.code, code.meaning)
    who = f"TA {dump.ta}" if dump.ta else "a TA"
    return Words(f"{who} could not be loaded: {code}", [meaning] if meaning else [], code=code)


def _secure_memory(dump: Dump, stack: Stack) -> Words:
    code = result(dump.code) if dump.code is not None else None
    advice = [
        "close sessions that nobody needs: each instance of a TA has its own stack, heap and data",
        "TA_STACK_SIZE and TA_DATA_SIZE of the TAs: they are taken whole when a session opens",
    ]
    if dump.wanted_bytes is not None:
        return Words(
            f"the heap of OP-TEE's core had no {dump.wanted_bytes} bytes left"
            + _at(_culprit(stack)),
            [
                "Sessions, objects, mappings of TAs and the lists of shared memory's pages live in"
                " that heap: CFG_CORE_HEAP_SIZE."
            ],
            [*advice[:1], "shared memory that a client keeps registered: 2 bytes a KiB"],
            code,
        )
    if "Page tables" in dump.title:
        return Words(
            "OP-TEE has no page tables left for what a TA should see",
            [
                "Each 2 MiB of a TA's address space takes one, a parameter in shared memory too:"
                " CFG_PGT_CACHE_ENTRIES (twice the number of threads, unless it is set).",
            ],
            ["large memory parameters: hand them over in pieces", *advice[:1]],
            code,
        )
    who = f" to load TA {dump.ta}" if dump.ta else ""
    return Words(
        f"there is not enough secure memory{who}",
        [dump.title, "QEMU's virt board has 16 MiB of secure RAM for OP-TEE and all TAs."],
        advice,
        code,
    )


# TF-A and Linux ----------------------------------------------------------------------------------


def _firmware(dump: Dump, stack: Stack) -> Words:
    # After a panic, the register still has what came before.
    taken = "Exception" in dump.title and dump.esr is not None
    fault = syndrome(dump.esr) if taken and dump.esr is not None else None
    return Words(
        f"Trusted Firmware-A stopped: {dump.title}{_at(_culprit(stack))}",
        [
            *([f"The processor says: {fault}."] if fault else []),
            "EL3 handles every switch between the worlds: the whole machine has stopped.",
        ],
        ["`sandbox down` and `sandbox up` start afresh"],
    )


_LINUX = {
    Trouble.KERNEL_PANIC: (
        ["Linux has stopped for good: it went on from an error that it cannot survive."],
        ["what was said before it, and `sandbox down` and `sandbox up`"],
    ),
    Trouble.KERNEL_OOPS: (
        [
            "A driver or the kernel itself used a bad pointer. The process that ran was ended;"
            " locks that it held stay locked, so that others may hang from now on.",
        ],
        ["the first function of the call stack that is yours: a module's name is in brackets"],
    ),
    Trouble.KERNEL_BUG: (["The kernel found its own state to be impossible."], []),
    Trouble.KERNEL_STALL: (
        [
            "A core has not come through the scheduler for long. In this machine, that is mostly a"
            " call into the secure world that does not return (a TA or the core that loops), or a"
            " host that is far too busy.",
        ],
        ["`sandbox status`, the host's load, and the TA that ran"],
    ),
    Trouble.KERNEL_HANG: (
        [
            "A process waits for something that does not come: an answer of tee-supplicant, a TA"
            " that is busy, a lock that an oops left behind.",
        ],
        [],
    ),
    Trouble.OUT_OF_MEMORY: (
        ["Linux ran out of memory and ended a process to get some."],
        ["SANDBOX_MEMORY_MIB gives the machine more"],
    ),
}


def _kernel(dump: Dump, stack: Stack) -> Words:
    del stack
    where = f" in {dump.kernel_pc['pc'].function}()" if "pc" in dump.kernel_pc else ""
    task = f" (running: {dump.task})" if dump.task else ""
    meaning, advice = _LINUX.get(dump.trouble, ([], []))
    said = Words(f"{dump.title}{where}{task}", list(meaning), list(advice))
    if dump.abort is not None and dump.abort.address < _NULL_BYTES:
        said.meaning.append(
            f"The address 0x{dump.abort.address:x} is a NULL pointer and an offset."
        )
    if dump.esr is not None:
        said.meaning.append(f"The processor says: {syndrome(dump.esr)}.")
    return said
