# SPDX-License-Identifier: Apache-2.0
"""From addresses to names.

OP-TEE puts itself and each TA at random addresses, and tells nobody. But each sample brings the
code around its program counter, and that code is in exactly one of the ELF files that we built, at
an offset that gives the address the file is loaded at. So a name is only given to a sample whose
code was recognised; the rest is called unknown.
"""

import struct
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from sandbox.debug.profile import linux
from sandbox.debug.profile.elf import Elf
from sandbox.debug.profile.sampler import Place, Sample
from sandbox.debug.profile.stacks import Frame, Kind, Stack

UNKNOWN = "[unknown]"
# Fewer bytes of code than this are in many places.
_DISTINCT_BYTES = 24
# A call returns behind itself: the instruction before belongs to the caller for certain.
_CALL_BYTES = 4
# `stp x29, x30, [sp, #-N]!`, the first instruction of most functions; N is in bits 15 to 21.
_PUSH_RECORD, _PUSH_MASK = 0xA9807BFD, 0xFFC07FFF
# struct thread_scall_regs of OP-TEE's core: elr, spsr, x0 to x14, x30, sp_el0.
_SCALL_REGISTERS = struct.Struct("<19Q")
_SCALL_ELR, _SCALL_X30 = 0, 17
_LOADER = "ldelf"
_SCALL_ENTRY = "el0_svc"
_SCALL_HANDLER = "thread_scall_handler"

_KINDS = {
    Place.USER: Kind.USER,
    Place.KERNEL: Kind.KERNEL,
    Place.HYPERVISOR: Kind.KERNEL,
    Place.TA: Kind.TA,
    Place.CORE: Kind.CORE,
    Place.SPM: Kind.CORE,
    Place.FIRMWARE: Kind.FIRMWARE,
}


@dataclass(frozen=True)
class Loaded:
    """An ELF file at the addresses it was found at."""

    name: str
    elf: Elf
    base: int
    # While a TA runs, the core has only its entry code mapped, and at other addresses.
    entry_only: bool = False

    def function(self, address: int) -> str | None:
        return self.elf.function(address - self.base)

    def holds(self, address: int) -> bool:
        return any(part.address <= address - self.base < part.end for part in self.elf.segments)

    def runs(self, address: int, code: bytes) -> bool:
        return bool(code) and self.elf.code(address - self.base, len(code)) == code


class Resolver:
    def __init__(
        self,
        images: Mapping[str, Elf],
        kernel: linux.Kernel | None,
        processes: Mapping[linux.Task, Sequence[linux.Mapping]],
        programs: Mapping[str, Elf],
        title: Callable[[str], str],
    ) -> None:
        """`images` by the names of machine/symbols.py, `programs` by their path in the guest,
        what each process has mapped; `title` is what people call a TA.
        """
        self._images = images
        self._kernel = kernel
        self._processes = processes
        self._programs = programs
        self._name_of = title
        self._titles: dict[str, str] = {}

    def stacks(self, samples: Iterable[Sample]) -> list[Stack]:
        samples = list(samples)
        # A system call shows the code of its TA too.
        calls = [call for call in map(_calling, samples) if call is not None]
        loaded = self._place_images([*samples, *calls])
        served = _Served()
        for sample, image in zip([*samples, *calls], loaded, strict=True):
            if image is not None and sample.place is Place.TA:
                served.add(sample, image)
        return [
            Stack(sample.core, sample.time_s, self._frames(sample, image, served))
            for sample, image in zip(samples, loaded[: len(samples)], strict=True)
        ]

    def _place_images(self, samples: Sequence[Sample]) -> list[Loaded | None]:
        """For each sample of the secure world, the image whose code it executes."""
        votes: Counter[tuple[tuple[Place, int], str, int]] = Counter()
        candidates = list[list[tuple[str, int]]]()
        known: dict[tuple[int, bytes], list[tuple[str, int]]] = {}
        for sample in samples:
            key = (sample.pc, sample.code)
            if not sample.place.secure or sample.idle:
                candidates.append([])
                continue
            if key not in known:
                known[key] = list(self._candidates(sample))
            candidates.append(known[key])
            votes.update((_space(sample), name, base) for name, base in known[key])
        made: dict[tuple[str, int], Loaded] = {}
        result: list[Loaded | None] = []
        for sample, names in zip(samples, candidates, strict=True):
            if not names and sample.place.secure and not sample.idle:
                names = self._known(sample, votes)
            if not names:
                result.append(None)
                continue
            # The same library code may be in several TAs: the neighbours tell which it is.
            best = max(names, key=lambda found: votes[(_space(sample), *found)])
            if best not in made:
                whole = max(
                    (place for place in votes if place[:2] == ((Place.CORE, 0), best[0])),
                    key=lambda place: votes[place],
                    default=None,
                )
                entry_only = whole is not None and whole[2] != best[1]
                made[best] = Loaded(best[0], self._images[best[0]], best[1], entry_only)
            result.append(made[best])
        return result

    def _candidates(self, sample: Sample) -> Iterable[tuple[str, int]]:
        code = sample.code[4:]
        if len(code) < _DISTINCT_BYTES:
            return
        for name in _images_of(sample.place, self._images):
            for base in self._images[name].bases(sample.pc, code):
                yield name, base

    def _known(
        self, sample: Sample, votes: Counter[tuple[tuple[Place, int], str, int]]
    ) -> list[tuple[str, int]]:
        """Where the code holds addresses, which a loader adjusts: at least its first words."""
        return [
            (name, base)
            for (space, name, base) in votes
            if space == _space(sample)
            and Loaded(name, self._images[name], base).runs(sample.pc, sample.code[4:12])
        ]

    def _frames(self, sample: Sample, image: Loaded | None, served: "_Served") -> tuple[Frame, ...]:
        if sample.idle:
            return (Frame("idle", Kind.IDLE),)
        if sample.place is Place.FIRMWARE:
            names = self._chain(sample, [image] if image else [])
            return (Frame("TF-A", Kind.FIRMWARE), *_named(names, Kind.FIRMWARE))
        if sample.place.secure:
            return (Frame("secure world", Kind.WORLD), *self._secure(sample, image, served))
        return (Frame("normal world", Kind.WORLD), *self._normal(sample))

    def _secure(self, sample: Sample, image: Loaded | None, served: "_Served") -> Iterable[Frame]:
        if sample.place is Place.TA:
            # ldelf works in the address space of the TA that it loads.
            ta = served.ta(sample)
            images = [image, *served.images(sample)] if image else []
            yield Frame(self._title(ta or image), Kind.TA)
            yield from _named(self._chain(sample, images), Kind.TA)
            return
        ta = served.ta(sample) if sample.asid else None
        core = _named(self._chain(sample, [image] if image else []), Kind.CORE)
        if ta is None:
            yield from (Frame("OP-TEE core", Kind.CORE), *core)
            return
        # A system call: what the TA was doing, then what the core does for it.
        yield Frame(self._title(ta), Kind.TA)
        yield from _named(self._caller(sample, image, served), Kind.TA)
        yield from core

    def _title(self, image: Loaded | None) -> str:
        if image is None:
            return f"TA {UNKNOWN}"
        if image.name not in self._titles:
            self._titles[image.name] = self._name_of(image.name)
        return self._titles[image.name]

    def _caller(self, sample: Sample, core: Loaded | None, served: "_Served") -> list[str]:
        """The stack of the TA that made a system call, outermost first."""
        if core is None or sample.crossing is None:
            return []
        entry = core.elf.start(_SCALL_HANDLER)
        back = sample.frames[sample.crossing.frame][1] - _CALL_BYTES
        if entry is None or core.function(back) != _SCALL_ENTRY:
            return []
        push = int.from_bytes(core.elf.code(entry, 4), "little")
        if push & _PUSH_MASK != _PUSH_RECORD:
            return []
        # The handler's frame is the last on the core's stack; the registers lie behind it.
        size = 8 * (128 - (push >> 15 & 0x7F))
        if len(sample.crossing.memory) < size + _SCALL_REGISTERS.size:
            return []
        saved = _SCALL_REGISTERS.unpack_from(sample.crossing.memory, size)
        addresses = [saved[_SCALL_ELR]]
        outer = [address for _, address in sample.frames[sample.crossing.frame + 1 :]]
        if saved[_SCALL_X30] not in outer[:1]:
            addresses.append(saved[_SCALL_X30])
        return _functions(addresses + outer, served.images(sample))

    def _chain(self, sample: Sample, images: Sequence[Loaded]) -> list[str]:
        """Functions of the secure world, outermost first."""
        if not images:
            return [UNKNOWN]
        if images[0].entry_only:
            # The registers are still, or again, the TA's.
            return _functions([sample.pc + _CALL_BYTES], images[:1])
        frames = sample.frames
        if sample.place is Place.CORE and sample.crossing is not None:
            # What follows is the TA's stack.
            frames = frames[: sample.crossing.frame + 1]
        addresses = [address for _, address in frames]
        own, caller = images[0].function(sample.pc), images[0].function(sample.lr - _CALL_BYTES)
        if _leaf(own, caller, sample.lr, addresses):
            addresses.insert(0, sample.lr)
        return _functions([sample.pc + _CALL_BYTES, *addresses], images)

    def _normal(self, sample: Sample) -> Iterable[Frame]:
        name = sample.task.name if sample.task else UNKNOWN
        if name.startswith("swapper/"):
            name = "swapper"
        yield Frame(name, _KINDS[sample.place])
        find = self._kernel_function if sample.place is not Place.USER else self._user(sample)
        own = find(sample.pc)
        addresses = [address for _, address in sample.frames]
        if _leaf(own, find(sample.lr - _CALL_BYTES), sample.lr, addresses):
            addresses.insert(0, sample.lr)
        names = [own or UNKNOWN]
        for address in addresses:
            found = find(address - _CALL_BYTES)
            if found is None:
                break
            names.append(found)
        yield from _named(reversed(names), _KINDS[sample.place])

    def _kernel_function(self, address: int) -> str | None:
        return self._kernel.function(address) if self._kernel is not None else None

    def _user(self, sample: Sample) -> "_UserSpace":
        mappings = self._processes.get(sample.task, ()) if sample.task else ()
        return _UserSpace(mappings, self._programs, sample)


class _UserSpace:
    """Addresses of one process to names."""

    def __init__(
        self, mappings: Sequence[linux.Mapping], programs: Mapping[str, Elf], sample: Sample
    ) -> None:
        self._mappings = mappings
        self._programs = programs
        # A process may have become another program since it was asked what it maps.
        elf, address = self._place(sample.pc)
        code = sample.code[4:]
        if elf is not None and address is not None and elf.code(address, len(code)) != code:
            self._mappings = ()

    def __call__(self, address: int) -> str | None:
        part = self._mapping(address)
        if part is None:
            return None
        elf, inside = self._place(address)
        name = elf.function(inside) if elf is not None and inside is not None else None
        # Most programs of a distribution name only what they export.
        return name or f"[{part.path.rpartition('/')[2].strip('[]') or 'anonymous'}]"

    def _mapping(self, address: int) -> linux.Mapping | None:
        return next((part for part in self._mappings if part.start <= address < part.end), None)

    def _place(self, address: int) -> tuple[Elf | None, int | None]:
        """The file that is mapped there, and the address in terms of that file."""
        part = self._mapping(address)
        elf = self._programs.get(part.path) if part is not None else None
        if part is None or elf is None:
            return None, None
        return elf, elf.at_offset(part.target + address - part.start)


class _Served:
    """What was in an address space, and when: their numbers are used again."""

    def __init__(self) -> None:
        self._seen: dict[int, list[tuple[float, Loaded]]] = {}

    def add(self, sample: Sample, image: Loaded) -> None:
        self._seen.setdefault(_pair(sample), []).append((sample.time_s, image))

    def images(self, sample: Sample) -> list[Loaded]:
        """The TA that was seen nearest in time, and its loader."""
        nearest: dict[bool, tuple[float, Loaded]] = {}
        for time_s, image in self._seen.get(_pair(sample), ()):
            apart, loader = abs(time_s - sample.time_s), image.name == _LOADER
            if loader not in nearest or apart < nearest[loader][0]:
                nearest[loader] = (apart, image)
        return [image for _, image in nearest.values()]

    def ta(self, sample: Sample) -> Loaded | None:
        return next((image for image in self.images(sample) if image.name != _LOADER), None)


def _space(sample: Sample) -> tuple[Place, int]:
    """What is loaded at one place there: the core and TF-A for all, a TA in its address space."""
    return sample.place, _pair(sample) if sample.place is Place.TA else 0


def _pair(sample: Sample) -> int:
    """OP-TEE gives each TA two numbers of address spaces: with and without the core mapped."""
    return sample.asid >> 1


def _calling(sample: Sample) -> Sample | None:
    """The TA's part of a sample of its system call."""
    crossing = sample.crossing
    if sample.place is not Place.CORE or crossing is None or not sample.asid:
        return None
    caller = sample.frames[crossing.frame + 1][1]
    return replace(sample, place=Place.TA, pc=caller, code=crossing.code, crossing=None)


def _images_of(place: Place, images: Mapping[str, Elf]) -> Iterable[str]:
    if place is Place.FIRMWARE:
        return [name for name in images if name == "bl31"]
    if place is Place.CORE:
        return [name for name in images if name == "core"]
    return [name for name in images if name not in ("core", "bl31")]


def _leaf(own: str | None, caller: str | None, lr: int, addresses: Sequence[int]) -> bool:
    """Whether the caller is in the link register only.

    A function that has no frame, or none yet, leaves its caller there. One that has a frame and
    called something has its own address there; one that has not yet, the one also in its frame.
    """
    return caller is not None and caller != own and lr not in addresses[:1]


def _functions(returns: Sequence[int], images: Sequence[Loaded]) -> list[str]:
    """Names of the functions that these addresses return to, outermost first."""
    names: list[str] = []
    for address in returns:
        image = next((image for image in images if image.holds(address - _CALL_BYTES)), None)
        if image is None:
            break
        names.append(image.function(address - _CALL_BYTES) or UNKNOWN)
    return names[::-1] or [UNKNOWN]


def _named(names: Iterable[str], kind: Kind) -> list[Frame]:
    return [Frame(name, kind) for name in names]
