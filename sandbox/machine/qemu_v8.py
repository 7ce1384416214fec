# SPDX-License-Identifier: Apache-2.0
"""The board: QEMU's `virt` with TrustZone, as OP-TEE knows it by the name qemu_v8.

Nothing here starts anything; this is the command line and its reasons.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sandbox.errors import InfraError
from sandbox.machine.agent import AGENT_PORT
from sandbox.machine.folder import World

SSH_PORT = 22
_MIB = 1 << 20
# A thread for each virtual core, also when they are more than real ones. That was a trap (a boot
# of 4 on 2 took 24 to 60 s) until TF-A's waiting cores were made to sleep (optee-build/patches).
# Now it takes 4.0 s, or 3.2 s with one thread for all; but only so do both real cores work later.
ACCELERATION = "tcg,thread=multi"
# The build gives OP-TEE and TF-A room for this many.
MAX_CORES = 16
# More are there on demand only: OP-TEE's part in each takes 37 KiB of scarce secure memory.
_DEFAULT_MAX_CORES = 8


@dataclass(frozen=True)
class Board:
    machine: str
    cpu: str
    ram_base: int
    kernel_address: int  # where TF-A jumps to: PRELOADED_BL33_BASE
    initrd_address: int
    command_line: str


QEMU_V8 = Board(
    # secure=on: secure RAM, secure flash and a UART that the normal world cannot reach.
    machine="virt,secure=on,gic-version=3,virtualization=off",
    # Linux signs each return address if it can: emulated, that made a boot 0.5 s longer, even with
    # QEMU's own hash. SVE and SME would be saved at each switch, and nothing here uses them.
    cpu="max,pauth=off,sve=off,sme=off",
    ram_base=0x40000000,  # TF-A finds the device tree here
    # Clear of the device tree and of OP-TEE's shared memory at 0x42000000.
    kernel_address=0x44000000,
    initrd_address=0x48000000,
    # Self-tests of Linux's cryptography take 0.5 s, emulated. Its lines tell their level.
    command_line="console=ttyAMA0 rdinit=/init quiet cryptomgr.notests console_msg_format=syslog",
)


class Images(Protocol):
    """What a boot needs from the build."""

    @property
    def flash(self) -> Path: ...
    @property
    def kernel(self) -> Path: ...
    @property
    def initrd(self) -> Path: ...
    @property
    def symbols(self) -> Mapping[str, Path]: ...


def image_paths(images: Images) -> dict[str, str]:
    """Content is in the names: equal paths are equal images."""
    named = {"flash": images.flash, "kernel": images.kernel, "initrd": images.initrd}
    return {name: os.fspath(path) for name, path in named.items()}


@dataclass(frozen=True)
class Sockets:
    """Listening sockets, as file descriptors that QEMU inherits: bound before it starts."""

    consoles: Mapping[World, int]
    qmp: int

    @property
    def fds(self) -> tuple[int, ...]:
        return (*self.consoles.values(), self.qmp)


def host_cores() -> int:
    """Those this process may use: fewer than the machine has, in many a container."""
    return len(os.sched_getaffinity(0))


def default_cores() -> int:
    # Two at least, so that work in both worlds and on two sessions really interleaves.
    return min(max(2, host_cores()), _DEFAULT_MAX_CORES)


def share_security_model(share: Path) -> str:
    """How 9p keeps the guest's owners and modes: never as real ones of the host.

    Both forms also keep a symbolic link that the guest makes from being one on the host. Not every
    file system takes extended attributes; where it does not, QEMU keeps them in files beside.
    """
    try:
        os.setxattr(share, "user.optee-sandbox", b"")
        os.removexattr(share, "user.optee-sandbox")
    except OSError:
        return "mapped-file"
    return "mapped-xattr"


def _aligned(size: int) -> int:
    return (size + 3) & ~3


def arguments(
    images: Images,
    *,
    name: str,
    cores: int,
    memory_mib: int,
    access: Path,
    flash: Path,
    share: Path,
    storage: Path,
    logs: Mapping[World, Path],
    sockets: Sockets,
    board: Board = QEMU_V8,
) -> list[str]:
    """QEMU's arguments, without the program itself."""
    # The kernel takes several cpio archives one after the other. The shared one and this
    # machine's own meet in guest memory, so no file has to be copied for a boot.
    initrd_size = _aligned(images.initrd.stat().st_size)
    access_address = board.initrd_address + initrd_size
    end = access_address + access.stat().st_size
    if board.kernel_address + images.kernel.stat().st_size > board.initrd_address:
        raise InfraError(f"{images.kernel} is too big: it would reach into the initrd")
    if end > board.ram_base + memory_mib * _MIB:
        raise InfraError(
            f"{memory_mib} MiB are too few: the initrd alone ends at {end - board.ram_base >> 20}",
            "Give the machine more with SANDBOX_MEMORY_MIB.",
        )
    initrd = f"initrdmem={board.initrd_address:#x},{end - board.initrd_address:#x}"
    # fmt: off
    argv = [
        "-name", f"optee-sandbox-{name}",
        "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        # QEMU serves a guest that is nobody's friend: no new programs, no other users.
        "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
        "-machine", board.machine,
        "-cpu", board.cpu,
        "-accel", ACCELERATION,
        "-smp", str(cores),
        "-m", f"{memory_mib}M",
        # The secure world's alone (secure=on), and programmable: firmware and one-time memory.
        "-drive", f"if=pflash,unit=0,format=raw,file={_escaped(flash)}",
        "-device", _loader(images.kernel, board.kernel_address),
        "-device", _loader(images.initrd, board.initrd_address),
        "-device", _loader(access, access_address),
        # QEMU writes a command line into the device tree only if it was given a kernel; TF-A
        # starts the one loaded above.
        "-kernel", os.devnull, "-append", f"{board.command_line} {initrd}",
        # On the MMIO bus, which the device tree lists: no PCI bus has to be searched at boot.
        # The guest reaches nothing; the host reaches its agent and its SSH, at ports that the
        # host chose.
        "-netdev", "user,id=net0,restrict=on,"
                   f"hostfwd=tcp:127.0.0.1:0-:{AGENT_PORT},hostfwd=tcp:127.0.0.1:0-:{SSH_PORT}",
        "-device", "virtio-net-device,netdev=net0",
        *_export("share", share),
        # What OP-TEE gives the normal world to keep. Linux caches nothing of it, so a write that
        # tee-supplicant was told of is there, whenever the machine is killed.
        *_export("storage", storage),
    ]
    # The order of -serial is the board's order of UARTs: the first is the normal world's.
    for world in World:
        argv += [
            "-chardev", f"socket,id={world},fd={sockets.consoles[world]},server=on,wait=off,"
                        f"logfile={_escaped(logs[world])}",
            "-serial", f"chardev:{world}",
        ]
    argv += [
        "-chardev", f"socket,id=qmp,fd={sockets.qmp},server=on,wait=off",
        "-mon", "chardev=qmp,mode=control",
    ]
    # fmt: on
    return argv


def _export(tag: str, folder: Path) -> list[str]:
    model = share_security_model(folder)
    return [
        *("-fsdev", f"local,id={tag},path={_escaped(folder)},security_model={model}"),
        *("-device", f"virtio-9p-device,fsdev={tag},mount_tag={tag}"),
    ]


def _escaped(path: Path) -> str:
    """In QEMU's option lists a comma ends a value, and two commas are one."""
    return os.fspath(path).replace(",", ",,")


def _loader(path: Path, address: int) -> str:
    return f"loader,file={_escaped(path)},addr={address:#x},force-raw=on"
