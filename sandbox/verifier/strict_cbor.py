# SPDX-License-Identifier: Apache-2.0
"""Looks through CBOR before cbor2 decodes it: cbor2 takes more than a token may be.

What passes is one item, with nothing behind it, of definite lengths in shortest form, with no key
twice, no deeper than a token is, and without floats, `undefined` and tags (but the outermost).
So each key has one encoding, and equal keys are equal bytes.
"""

import cbor2

from sandbox.verifier import errors

# Three levels around what a TA says, and the eight that OP-TEE lets it have.
DEPTH_MAX = 11

_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _TAG, _SIMPLE = range(8)
# What follows the initial byte, by its low five bits (RFC 8949, section 3).
_ARGUMENT_BYTES = {24: 1, 25: 2, 26: 4, 27: 8}
_SHORTEST = {24: 24, 25: 1 << 8, 26: 1 << 16, 27: 1 << 32}
_INDEFINITE = 31
_FALSE, _NULL = 20, 22


def loads(data: bytes, *, tag: int | None = None) -> object:
    """The item in `data`; `tag`: the outermost has to be this one, and its content is returned."""
    scanner = _Scanner(data)
    if tag is not None:
        scanner.expect_tag(tag)
    begin = scanner.at
    scanner.item(0)
    if scanner.at != len(data):
        raise errors.EvidenceTrailing(f"{len(data) - scanner.at} bytes follow the item")
    try:
        return cbor2.loads(data[begin:])
    except (cbor2.CBORDecodeError, ValueError, RecursionError) as error:
        raise errors.EvidenceType(f"no CBOR that can be decoded: {error}") from error


class _Scanner:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def expect_tag(self, tag: int) -> None:
        major, number = self._head()
        if (major, number) != (_TAG, tag):
            raise errors.EvidenceType(f"the outermost item is not of tag {tag}")

    def item(self, depth: int) -> None:
        if depth > DEPTH_MAX:
            raise errors.EvidenceNesting(f"items within items, more than {DEPTH_MAX} deep")
        major, number = self._head()
        if major in (_BYTES, _TEXT):
            self._skip(number)
        elif major == _ARRAY:
            self._enough(number)
            for _ in range(number):
                self.item(depth + 1)
        elif major == _MAP:
            self._enough(2 * number)
            self._entries(number, depth + 1)
        elif major == _TAG:
            raise errors.EvidenceType(f"tag {number} where a token has none")
        elif major == _SIMPLE and not _FALSE <= number <= _NULL:
            raise errors.EvidenceType(f"simple value {number} where a token has none")

    def _entries(self, count: int, depth: int) -> None:
        seen: set[bytes] = set()
        for _ in range(count):
            begin = self.at
            if self._data[begin : begin + 1] and self._data[begin] >> 5 not in (
                _UNSIGNED,
                _NEGATIVE,
                _TEXT,
            ):
                raise errors.EvidenceType("a key of a map is neither a number nor a text")
            self.item(depth)
            key = self._data[begin : self.at]
            if key in seen:
                raise errors.EvidenceDuplicate(f"a map has the key 0x{key.hex()} twice")
            seen.add(key)
            self.item(depth)

    def _head(self) -> tuple[int, int]:
        """Major type and argument."""
        first = self._take(1)[0]
        major, low = first >> 5, first & 31
        if low < 24:
            return major, low
        if low == _INDEFINITE:
            raise errors.EvidenceIndefinite("an item of indefinite length")
        if low not in _ARGUMENT_BYTES or major == _SIMPLE:
            # Of simple values these are floats, and those that nobody has assigned.
            raise errors.EvidenceType(f"initial byte 0x{first:02x}, which a token does not have")
        number = int.from_bytes(self._take(_ARGUMENT_BYTES[low]), "big")
        if number < _SHORTEST[low]:
            raise errors.EvidenceNotShortest(f"{number} is not written in its shortest form")
        return major, number

    def _take(self, count: int) -> bytes:
        begin = self.at
        self._skip(count)
        return self._data[begin : self.at]

    def _skip(self, count: int) -> None:
        self._enough(count)
        self.at += count

    def _enough(self, count: int) -> None:
        """Each item has a byte at least, so a length is checked before anything is counted."""
        if count > len(self._data) - self.at:
            raise errors.EvidenceTruncated(
                f"the CBOR ends after {len(self._data)} bytes, and is not complete"
            )
