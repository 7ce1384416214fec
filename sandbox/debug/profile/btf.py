# SPDX-License-Identifier: Apache-2.0
"""Where members of the kernel's structures are, from the type information that it carries.

An arm64 `Image` is not compressed, so its .BTF section is in it as it is.
https://docs.kernel.org/bpf/btf.html
"""

import struct

_HEADER = struct.Struct("<HBBIIIII")  # magic, version, flags, sizes and offsets
_MAGIC = b"\x9f\xeb\x01\x00" + _HEADER.size.to_bytes(4, "little")
_TYPE = struct.Struct("<III")  # name, info, size or type
_MEMBER = struct.Struct("<III")  # name, type, offset in bits
_STRUCT = 4
_BITFIELDS = 1 << 31  # in `info`: then the upper byte of an offset is a size
# Bytes that follow a type, once or for each of its `vlen` parts: by kind.
_ONCE = {1: 4, 3: 12, 14: 4, 17: 4}
_EACH = {4: 12, 5: 12, 6: 8, 13: 8, 15: 12, 19: 12}


def offsets(image: bytes, structure: str, members: tuple[str, ...]) -> dict[str, int]:
    """The offsets of these members, in bytes; ValueError if the image does not tell them."""
    start = image.find(_MAGIC)
    if start < 0:
        raise ValueError("the kernel image has no BTF type information")
    try:
        return _offsets(image, start, structure, members)
    except (struct.error, IndexError) as error:
        raise ValueError(f"the kernel's BTF type information is broken: {error}") from error


def _offsets(image: bytes, start: int, structure: str, members: tuple[str, ...]) -> dict[str, int]:
    *_, size, type_at, type_size, string_at, string_size = _HEADER.unpack_from(image, start)
    types = image[start + size + type_at :][:type_size]
    strings = image[start + size + string_at :][:string_size]
    wanted = strings.find(b"\0" + structure.encode() + b"\0") + 1
    at = 0
    while at < len(types):
        name, info, _ = _TYPE.unpack_from(types, at)
        at += _TYPE.size
        kind, count = info >> 24 & 31, info & 0xFFFF
        if name == wanted and kind == _STRUCT and count:
            found = {}
            for name, _, offset in _MEMBER.iter_unpack(types[at : at + count * _MEMBER.size]):
                text = strings[name : strings.index(0, name)].decode(errors="replace")
                found[text] = (offset & 0xFFFFFF if info & _BITFIELDS else offset) // 8
            if missing := set(members) - found.keys():
                raise ValueError(f"struct {structure} has no {', '.join(sorted(missing))}")
            return {member: found[member] for member in members}
        at += _ONCE.get(kind, 0) + _EACH.get(kind, 0) * count
    raise ValueError(f"the kernel's BTF type information has no struct {structure}")
