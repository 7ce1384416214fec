# SPDX-License-Identifier: Apache-2.0
"""Write cpio archives in the "newc" form that Linux unpacks into its initramfs.

Owner and times are always zero, so equal contents give equal bytes, and nobody needs to be root.
Format: Documentation/driver-api/early-userspace/buffer-format.rst in the Linux source.
"""

import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

_TRAILER = "TRAILER!!!"


@dataclass(frozen=True)
class Entry:
    """One file, as the guest will see it. `path` has no leading slash."""

    path: str
    mode: int  # type and permission bits, as in st_mode
    data: bytes = b""  # contents of a file, target of a symbolic link
    device: tuple[int, int] = (0, 0)  # major and minor number of a device node


def directory(path: str, permissions: int = 0o755) -> Entry:
    return Entry(path, stat.S_IFDIR | permissions)


def file(path: str, data: bytes, permissions: int = 0o644) -> Entry:
    return Entry(path, stat.S_IFREG | permissions, data)


def symlink(path: str, target: str) -> Entry:
    return Entry(path, stat.S_IFLNK | 0o777, target.encode())


def character_device(path: str, major: int, minor: int, permissions: int = 0o600) -> Entry:
    return Entry(path, stat.S_IFCHR | permissions, device=(major, minor))


def write(out: BinaryIO, entries: Iterable[Entry]) -> int:
    """Write one archive and return its size, a multiple of four: another may follow at once."""
    size = 0
    for number, entry in enumerate(_with_trailer(entries), start=1):
        name = entry.path.encode() + b"\0"
        is_directory = stat.S_ISDIR(entry.mode)
        fields = (
            number,  # inode: unique, or Linux would take two files for hard links
            entry.mode,
            *(0, 0),  # owner and group
            2 if is_directory else 1,  # links
            0,  # modification time
            len(entry.data),
            *(0, 0),  # device that holds the file
            *entry.device,
            len(name),
            0,  # checksum: none in this form
        )
        head = b"070701" + b"".join(b"%08X" % field for field in fields)
        for part in (head + name, entry.data):
            size += out.write(part + bytes(-len(part) % 4))
    return size


def _with_trailer(entries: Iterable[Entry]) -> Iterator[Entry]:
    yield from entries
    yield Entry(_TRAILER, 0)
