# SPDX-License-Identifier: Apache-2.0
"""What a machine boots from: flash, kernel, and an initramfs written without root.

The initramfs is several cpio archives after one another, which Linux unpacks in turn: a base that
changes with Debian's packages, and a small one with our TA and client. The machine room adds a
third, with each machine's own keys. None is compressed: the emulator reads it from the host's page
cache, and the emulated CPU would take longer to decompress it.
"""

import gzip
import io
import lzma
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile

from sandbox import cpio, paths
from sandbox.build import fip, recipe, sources, store
from sandbox.log import Progress

# BL1 runs from the start of the flash, and looks for the firmware package here.
FIP_OFFSET = 0x40000

# Roots of the guest's module tree; what they depend on comes with them.
MODULES = ("virtio_mmio", "virtio_net", "9p", "9pnet_virtio", "optee")
PROGRAMS = (
    ("tee-supplicant", "usr/sbin/tee-supplicant"),
    ("dropbear-bin", "usr/sbin/dropbear"),
    ("openssh-sftp-server", "usr/lib/openssh/sftp-server"),
)
LIBRARIES = ("libc6", "libteec2", "libcrypt1", "libtomcrypt1", "libtommath1", "libgmp10", "zlib1g")
XTEST = "optee-test-qemu"
TEST_LIBRARIES = ("libckteec0t64", "libssl3t64", "libzstd1")
# Merged /usr, as Debian has it: programs and libraries live below usr/.
LINKS = {
    **{"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "init": "usr/bin/busybox"},
    "usr/lib/sftp-server": "openssh/sftp-server",  # where dropbear looks
}
FOLDERS = (
    *("dev", "etc", "mnt", "proc", "root", "run", "sys", "tmp", "usr", "var", "usr/bin"),
    *("usr/sbin", "usr/lib", "var/lib", "var/lib/tee", "var/log", "mnt/share", "etc/dropbear"),
    *("etc/init.d", "root/.ssh", "usr/lib/optee_armtz", "usr/lib/tee-supplicant"),
    *("usr/lib/tee-supplicant/plugins", "usr/lib/modules", "usr/lib/openssh"),
)
PERMISSIONS = {
    **dict.fromkeys(("root", "root/.ssh", "etc/dropbear", "var/lib/tee"), 0o700),
    "tmp": 0o1777,
}


@dataclass(frozen=True)
class BootImages:
    flash: Path
    kernel: Path
    initrd: Path  # shared by all machines: a machine's own archive may follow it
    ta_dev_kit: Path
    symbols: Mapping[str, Path]  # unstripped ELF files: core, ldelf, bl31, and TAs by UUID
    manifest: dict[str, Any]


def prepare(cores: int, progress: Progress, *, encrypt_model: bool = False) -> BootImages:
    """Everything that a boot with this many cores needs; from a warm cache, in milliseconds.

    `encrypt_model`: with the inference TA that seals models, too (recipe.py).
    """
    folders = {
        "firmware": recipe.trusted_firmware(progress),
        "optee-os": recipe.optee_os(cores, progress),
        "flash": _flash(cores, progress),
        "kernel": _kernel(progress),
        "base": _base(progress),
        "applications": _applications(progress, encrypt_model=encrypt_model),
    }
    initrd = _joined("initrd", [folders["base"], folders["applications"]], progress)
    return BootImages(
        folders["flash"] / "flash.bin",
        folders["kernel"] / "Image",
        initrd,
        recipe.ta_dev_kit(progress),
        recipe.symbols(cores, progress, encrypt_model=encrypt_model),
        {
            "inputs": {e.name: e.version for e in sources.locked().inputs},
            "results": {name: folder.name for name, folder in folders.items()},
            "core_slots": recipe.core_slots(cores),
            "encrypt_model": encrypt_model,
        },
    )


def _flash(cores: int, progress: Progress) -> Path:
    """TF-A and OP-TEE as they lie in the machine's first, secure flash bank."""
    firmware = recipe.trusted_firmware(progress)
    optee = recipe.optee_os(cores, progress)

    def build(work: store.Work) -> None:
        bl1 = (firmware / "bl1.bin").read_bytes()
        if len(bl1) > FIP_OFFSET:
            raise store.BuildError(f"bl1.bin has {len(bl1)} bytes and would reach into the package")
        stages = {
            "bl2": firmware / "bl2.bin",
            "bl31": firmware / "bl31.bin",
            "bl32": optee / "core" / "tee-header_v2.bin",
            "bl32-extra1": optee / "core" / "tee-pager_v2.bin",
            "bl32-extra2": optee / "core" / "tee-pageable_v2.bin",
        }
        package = fip.pack({name: path.read_bytes() for name, path in stages.items()})
        (work.folder / "flash.bin").write_bytes(bl1.ljust(FIP_OFFSET, b"\xff") + package)

    return store.result("flash", {"stages": [firmware.name, optee.name]}, build, progress)


def _kernel(progress: Progress) -> Path:
    tree = sources.unpacked("linux", progress)

    def build(work: store.Work) -> None:
        image = recipe.only(tree, "boot/vmlinuz-*").read_bytes()
        if image[:2] == b"\x1f\x8b":
            image = gzip.decompress(image)
        # Documentation/arch/arm64/booting.rst: the header's magic number at byte 56.
        if image[56:60] != b"ARMd":
            raise store.BuildError("the kernel is no arm64 Image, compressed or not")
        (work.folder / "Image").write_bytes(image)

    return store.result("kernel", {"linux": tree.name}, build, progress)


def _joined(name: str, folders: Sequence[Path], progress: Progress) -> Path:
    """One initramfs out of the archives of several results."""

    def build(work: store.Work) -> None:
        with (work.folder / "initrd.cpio").open("wb") as out:
            for folder in folders:
                with recipe.only(folder, "*.cpio").open("rb") as archive:
                    shutil.copyfileobj(archive, out)

    parts = {"archives": [folder.name for folder in folders]}
    return store.result(name, parts, build, progress) / "initrd.cpio"


# The guest's files ------------------------------------------------------------------------------


def _base(progress: Progress) -> Path:
    """Linux's user land: busybox, tee-supplicant, dropbear, their libraries, modules, our init."""
    guest = paths.project_dir() / "optee-build" / "guest"
    packages = ("linux", "busybox-static", *(name for name, _ in PROGRAMS), XTEST, *LIBRARIES)
    trees = {name: sources.unpacked(name, progress) for name in packages}
    parts = {
        "packages": {name: tree.name for name, tree in trees.items()},
        "guest": store.tree_digest([guest]),
    }

    def build(work: store.Work) -> None:
        libraries = [trees[name] for name in LIBRARIES]
        programs = [(path, recipe.only(trees[package], path)) for package, path in PROGRAMS]
        files = [
            *_links_and_folders(),
            cpio.character_device("dev/console", 5, 1),
            cpio.file("usr/bin/busybox", _read(trees["busybox-static"], "usr/bin/busybox"), 0o755),
            *_applets(guest / "applets"),
            *_files_below(guest / "etc", "etc"),
            *_modules(trees["linux"]),
            *(cpio.file(path, found.read_bytes(), 0o755) for path, found in programs),
            *_libraries([found for _, found in programs], libraries),
            *_plugins(trees[XTEST]),
        ]
        _write(work.folder / "base.cpio", files)

    return store.result("guest-base", parts, build, progress, "assemble the guest's base")


def _applications(progress: Progress, *, encrypt_model: bool) -> Path:
    """Our TA, its client, our agent: apart, because they change often and the base does not."""
    ta = recipe.inference_ta(progress, encrypt_model=encrypt_model)
    client = recipe.client_application(progress)
    agent = recipe.agent(progress)

    def build(work: store.Work) -> None:
        files = [
            *_tas(ta),
            cpio.file("usr/bin/cml-ca", client.read_bytes(), 0o755),
            cpio.file("usr/sbin/sandbox-agent", agent.read_bytes(), 0o755),
        ]
        _write(work.folder / "applications.cpio", files)

    parts = {"ta": ta.name, "client": client.parent.name, "agent": agent.parent.name}
    return store.result("guest-applications", parts, build, progress)


@dataclass(frozen=True)
class Tests:
    archive: Path  # to unpack in a guest that runs
    program: Path


def tests(progress: Progress) -> Tests:
    """xtest, its TAs and libraries, and OP-TEE's own TAs: what the guest's base lacks."""
    optee = recipe.optee_os(1, progress)
    names = (XTEST, *(package for package, _ in PROGRAMS))
    libraries = (*TEST_LIBRARIES, *LIBRARIES)
    trees = {name: sources.unpacked(name, progress) for name in (*names, *libraries)}
    suite = trees[XTEST]
    xtest = suite / "usr/bin/xtest"

    def build(work: store.Work) -> None:
        folders = [trees[name] for name in libraries]
        present = {
            entry.path
            for entry in _libraries([trees[name] / path for name, path in PROGRAMS], folders)
        }
        files = [
            cpio.file("usr/bin/xtest", xtest.read_bytes(), 0o755),
            *(e for e in _libraries([xtest], folders) if e.path not in present),
            *_tas(suite / "usr/lib/optee_armtz"),
            *_tas(optee / "ta"),
        ]
        _write(work.folder / "tests.cpio", files)

    parts = {"optee-os": optee.name, "packages": {n: tree.name for n, tree in trees.items()}}
    made = store.result("guest-tests", parts, build, progress, "assemble xtest's archive")
    return Tests(made / "tests.cpio", xtest)


def _write(path: Path, entries: Iterable[cpio.Entry]) -> None:
    with path.open("wb") as out:
        cpio.write(out, entries)


def _read(tree: Path, path: str) -> bytes:
    return (tree / path).read_bytes()


def _links_and_folders() -> Iterator[cpio.Entry]:
    # The root itself too: dropbear trusts no key in a tree that others may write to.
    yield cpio.directory(".")
    for path in FOLDERS:
        yield cpio.directory(path, PERMISSIONS.get(path, 0o755))
    for link, target in LINKS.items():
        yield cpio.symlink(link, target)


def _applets(listing: Path) -> Iterator[cpio.Entry]:
    for name in listing.read_text().split():
        yield cpio.symlink(f"usr/bin/{name}", "busybox")


def _files_below(folder: Path, target: str) -> Iterator[cpio.Entry]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            inside = f"{target}/{path.relative_to(folder)}"
            executable = path.stat().st_mode & stat.S_IXUSR
            yield cpio.file(inside, path.read_bytes(), 0o755 if executable else 0o644)


def _tas(folder: Path) -> Iterator[cpio.Entry]:
    for path in sorted(folder.glob("*.ta")):
        yield cpio.file(f"usr/lib/optee_armtz/{path.name}", path.read_bytes(), 0o444)


def _plugins(tree: Path) -> Iterator[cpio.Entry]:
    """What xtest calls in tee-supplicant, which loads it only when it starts.

    So it is there from the boot on: a tee-supplicant that starts anew knows none of the memory that
    OP-TEE keeps for it, and calls into it fail.
    """
    folder = "usr/lib/tee-supplicant/plugins"
    for path in sorted((tree / folder).glob("*.plugin")):
        yield cpio.file(f"{folder}/{path.name}", path.read_bytes())


def _modules(tree: Path) -> Iterator[cpio.Entry]:
    """The modules of MODULES and what they need, decompressed, with the modules.dep of depmod."""
    release = recipe.only(tree, "usr/lib/modules/*").name
    root = f"usr/lib/modules/{release}"
    available = {_module_name(path): path for path in sorted((tree / root).rglob("*.ko*"))}
    wanted = list(MODULES)
    loaded: dict[str, tuple[bytes, list[str]]] = {}
    while wanted:
        name = wanted.pop()
        if name in loaded:
            continue
        if name not in available:
            raise store.BuildError(
                f"the kernel package unpacks no module {name}",
                "Add its path to `keep` of the input linux in optee-build/inputs.toml.",
            )
        data = available[name].read_bytes()
        if available[name].suffix == ".xz":
            data = lzma.decompress(data)
        needs = _module_depends(data)
        loaded[name] = (data, needs)
        wanted += needs
    yield cpio.directory(root)
    lines = []
    for name, (data, _) in sorted(loaded.items()):
        yield cpio.file(f"{root}/{name}.ko", data)
        lines.append(f"{name}.ko: {' '.join(f'{n}.ko' for n in _closure(name, loaded))}".rstrip())
    yield cpio.file(f"{root}/modules.dep", "".join(f"{line}\n" for line in lines).encode())


def _module_name(path: Path) -> str:
    # The kernel's own name for a module has no dash.
    return path.name.split(".")[0].replace("-", "_")


def _module_depends(data: bytes) -> list[str]:
    section = ELFFile(io.BytesIO(data)).get_section_by_name(".modinfo")
    for field in (section.data() if section else b"").split(b"\0"):
        if field.startswith(b"depends=") and field != b"depends=":
            return field.removeprefix(b"depends=").decode().replace("-", "_").split(",")
    return []


def _closure(name: str, loaded: Mapping[str, tuple[bytes, list[str]]]) -> list[str]:
    """All that a module needs, nearest first: modprobe loads the list from its end."""
    found: list[str] = []
    todo = list(loaded[name][1])
    while todo:
        need = todo.pop(0)
        # One that is needed again further down has to be loaded earlier still.
        if need in found:
            found.remove(need)
        found.append(need)
        todo += loaded[need][1]
    return found


def _libraries(programs: Sequence[Path], trees: Sequence[Path]) -> Iterator[cpio.Entry]:
    """The shared libraries that the programs load, and those that these load."""
    available: dict[str, Path] = {}
    for tree in trees:
        for path in sorted((tree / "usr/lib").rglob("*.so*")):
            if path.parent.name in ("lib", "aarch64-linux-gnu"):
                available[path.name] = path
    todo = [need for program in programs for need in _needed(program)]
    done: set[str] = set()
    while todo:
        name = todo.pop()
        if name in done:
            continue
        if name not in available:
            raise store.BuildError(f"no input has the library {name}")
        done.add(name)
        todo += _needed(available[name])
    # The loader is named by an absolute path in each program; merged /usr makes it this one.
    folder = "usr/lib/aarch64-linux-gnu"
    yield cpio.directory(folder)
    for name in sorted(done):
        yield cpio.file(f"{folder}/{name}", available[name].resolve().read_bytes(), 0o755)
    yield cpio.symlink("usr/lib/ld-linux-aarch64.so.1", "aarch64-linux-gnu/ld-linux-aarch64.so.1")


def _needed(path: Path) -> list[str]:
    with path.open("rb") as file:
        dynamic = ELFFile(file).get_section_by_name(".dynamic")
        if not isinstance(dynamic, DynamicSection):
            return []
        return [
            vars(tag)["needed"] for tag in dynamic.iter_tags() if tag.entry.d_tag == "DT_NEEDED"
        ]
