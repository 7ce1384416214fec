# SPDX-License-Identifier: Apache-2.0
"""The names of xtest's cases, and the words that choose among them."""

import difflib
import re
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.enums import ENUM_RELOC_TYPE_AARCH64

from sandbox.errors import UserError

SUITES = ("regression", "pkcs11")
# Some have a word behind their number: regression_4007_symmetric.
NAME = re.compile(rf"(?P<suite>{'|'.join(SUITES)})_(?P<group>\d)\d{{3}}(?:_\w+)?", re.ASCII)
_NUMBER = re.compile(r"(?:(?P<suite>[a-z]\w*)_)?(?P<number>\d{4})", re.ASCII)

ALL = "all"
SAMPLE = "sample"

_POINTER_SIZE = 8
_RELATIVE = ENUM_RELOC_TYPE_AARCH64["R_AARCH64_RELATIVE"]


def titles(program: Path) -> dict[str, str]:
    """Every case that this xtest has, with its title, by name.

    xtest can list none. But each is a structure in it that begins with pointers to its name and to
    its title (adbg.h: ADBG_Case_Definition_t), and a program that may be loaded anywhere has a list
    of its pointers.
    """
    with program.open("rb") as file:
        elf = ELFFile(file)
        strings, relocations = map(elf.get_section_by_name, (".rodata", ".rela.dyn"))
        assert strings is not None and relocations is not None
        begin, text = strings["sh_addr"], strings.data()
        pointers = {
            place: target - begin
            for place, info, target in struct.iter_unpack("<QQq", relocations.data())
            if info == _RELATIVE and 0 <= target - begin < len(text)
        }

    def string(at: int) -> str:
        return str(text[at : text.index(b"\0", at)], "utf-8", "replace")

    found = {
        string(at): string(pointers[place + _POINTER_SIZE])
        for place, at in pointers.items()
        if place + _POINTER_SIZE in pointers and NAME.fullmatch(string(at))
    }
    return dict(sorted(found.items(), key=lambda case: (SUITES.index(_suite(case[0])), case)))


def _suite(name: str) -> str:
    return name.partition("_")[0]


def group(name: str) -> str:
    """The group of a case: regression_4006 is of regression_4000. The suite pkcs11 is but one."""
    suite, number, *_ = name.split("_")
    return suite if suite == "pkcs11" else f"{suite}_{number[0]}000"


def select(
    words: Sequence[str], excluded: Sequence[str], available: Sequence[str]
) -> tuple[str, ...]:
    """The cases that the words name, without the excluded ones. No word names all."""
    chosen = _named(words or (ALL,), available) - _named(excluded, available)
    if not chosen:
        raise UserError("no case is left to run", "`sandbox xtest --list` lists the cases.")
    return tuple(name for name in available if name in chosen)


def _named(words: Iterable[str], available: Sequence[str]) -> set[str]:
    found: set[str] = set()
    for word in words:
        # pkcs11_1000 is a case, and not also its group.
        exact = {word} & set(available)
        matched = exact or {name for name in available if _matches(word, name)}
        if not matched:
            raise _unknown(word, available)
        found |= matched
    return found


def _matches(word: str, name: str) -> bool:
    """As in xtest itself, a number without a suite means that of each suite."""
    if word == ALL:
        return True
    if word == SAMPLE:
        return name in SAMPLE_CASES
    suite, number, *_ = name.split("_")
    asked = _NUMBER.fullmatch(word)
    if asked is None or asked["suite"] not in (None, suite):
        return word in (name, suite)
    whole_group = asked["number"].endswith("000") and asked["number"][0] == number[0]
    return whole_group or asked["number"] == number


def _unknown(word: str, available: Sequence[str]) -> UserError:
    groups = dict.fromkeys((*SUITES, *map(group, available), SAMPLE, ALL))
    hints = [f"There are the groups {', '.join(groups)}; `sandbox xtest --list` lists the cases."]
    if close := difflib.get_close_matches(word, [*groups, *available], 2, 0.7):
        hints.insert(0, f"Did you mean {' or '.join(close)}?")
    return UserError(f"xtest has no group or case {word!r}", tuple(hints))


# What the project's own tests run: of each part of OP-TEE that our build, its options or our
# patches could break, the cheapest cases that go all the way through it. Left out: what takes long
# because it repeats (concurrency, RSA, Bleichenbacher, most of storage).
_SAMPLE = {
    "regression": (
        # The core's self tests, its mutexes on several cores, calls into pseudo TAs.
        *("1001", "1002", "1003", "1020"),
        # A TA is loaded and called, by many sessions, and panics without taking others with it.
        *("1004", "1005", "1007", "1012", "1021"),
        # Memory shared with the normal world: at the bounds, empty, read-only, joined.
        *("1016", "1017", "1018", "1025", "1032"),
        # What the dev kit promises: shared libraries, C++, thread-local storage, PAuth.
        *("1019", "1022", "1023", "1029", "1030", "1031", "1034", "1036"),
        # tee-supplicant: logins, files, a plugin, sockets.
        *("1015", "1026", "1027", "1028", "1033", "2001"),
        # Digests, AES and its modes with the CPU's instructions, curves, random numbers.
        *("4001", "4003", "4004", "4005", "4006_ecdsa", "4007_ed25519", "4007_x25519", "4010"),
        *("4012", "4015", "4016", "4018"),
        # Keys that only this device and this TA have.
        *("4013", "8001", "8002"),
        # Big numbers.
        *("4101", "4102", "4103", "4104", "4107", "4108", "4117"),
        # The client library; secure storage; mbedTLS as TAs get it.
        *("5006", "6005", "6009", "6012", "6013", "6015", "6017", "6019", "6020", "6021"),
        *("8101", "8102", "8103"),
    ),
    # OP-TEE's own PKCS #11 TA: sessions, objects, a cipher, digests, certificates, checksums.
    "pkcs11": ("1000", "1001", "1002", "1004", "1005", "1012", "1018", "1024", "1028", "1029"),
}
SAMPLE_CASES = frozenset(f"{suite}_{rest}" for suite in _SAMPLE for rest in _SAMPLE[suite])
