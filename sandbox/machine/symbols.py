# SPDX-License-Identifier: Apache-2.0
"""The unstripped ELF files of what a machine runs in the secure world, by name.

core.elf ldelf.elf      OP-TEE OS and its loader of TAs
bl31.elf                what TF-A leaves resident in EL3
<uuid>.elf              each TA of the image, and each that was pushed since the boot

They stay when the machine is down, so that its last logs can still be explained.
"""

import re
from collections.abc import Mapping
from pathlib import Path

_NAME = re.compile(r"[0-9a-z-]{1,48}", re.ASCII)


class Symbols:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> Path | None:
        """The ELF file called `name`, if there is one; `name` may come from a console."""
        path = self.folder / f"{name}.elf"
        return path if _NAME.fullmatch(name) and path.is_file() else None

    def names(self) -> list[str]:
        return sorted(path.stem for path in self.folder.glob("*.elf") if path.is_file())

    def start_afresh(self, files: Mapping[str, Path]) -> None:
        """What a boot begins with: links, for the build keeps these files."""
        import shutil

        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(mode=0o700, parents=True)
        for name, path in files.items():
            (self.folder / f"{name}.elf").symlink_to(path)

    def add(self, name: str, elf: Path) -> None:
        """Keep a copy: the file may be built again and then no longer be what the guest runs."""
        import shutil

        assert _NAME.fullmatch(name), name
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = self.folder / f"{name}.new"
        shutil.copyfile(elf, new)
        new.replace(self.folder / f"{name}.elf")
