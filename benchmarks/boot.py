# SPDX-License-Identifier: Apache-2.0
"""Where each tenth of a second of a start goes, and what more cores cost.

    .venv/bin/python benchmarks/boot.py [--runs 20]

First plain starts, timed from outside. Then starts that are stopped every few milliseconds to see
what each core does: the guest's clock stands still meanwhile, so times are the guest's own.
Run it on an idle host.
"""

import argparse
import bisect
import collections
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from sandbox import paths
from sandbox.machine import qemu_v8, qmp
from sandbox.machine.deadline import Deadline
from sandbox.machine.folder import Folder, World
from sandbox.machine.symbols import Symbols

NAME = "bench"
SAMPLED_STARTS = 5
CORES = 2
PAUSE_S = 0.003
DEPTH = 40
# Frames that say nothing about what is being done.
DRIVERS = {"start_kernel", "do_one_initcall", "kernel_init_freeable", "kernel_init"}
KERNEL_SPACE = 0xFFFF000000000000


def sandbox(*args: str) -> str:
    command = [sys.executable, "-m", "sandbox", "--machine", NAME, *args]
    return subprocess.run(
        command, check=True, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=1800
    ).stdout


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    print(f"\n## {title}\n")
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(row) + " |")


def starts(cores: int, runs: int) -> list[float]:
    """Seconds of whole `sandbox up` commands, from a warm cache."""
    times = []
    for number in range(runs + 1):
        began = time.monotonic()
        sandbox("up", "--cores", str(cores))
        # The first may build something.
        if number:
            times.append(time.monotonic() - began)
        sandbox("down")
    return times


def core_counts(runs: int) -> None:
    host = qemu_v8.host_cores()
    rows = []
    medians: dict[int, float] = {}
    for cores in (host, 2 * host):
        times = sorted(starts(cores, runs))
        medians[cores] = statistics.median(times)
        ratio = medians[cores] / medians[host]
        rows.append(
            (
                str(cores),
                *(f"{t:.2f}" for t in (times[0], medians[cores], times[-1])),
                f"{ratio:.2f}",
            )
        )
    table(
        f"`sandbox up`, whole command, {runs} starts, {host} host cores",
        ("cores of the machine", "shortest, s", "median, s", "longest, s", "ratio"),
        rows,
    )


@dataclass(frozen=True)
class Sample:
    core: int
    seconds: float  # that the guest has run
    level: str  # EL0, EL1...
    stack: tuple[int, ...]  # the innermost first


def number(text: str, register: str) -> int:
    found = re.search(rf"\b{register}=([0-9a-f]+)", text)
    return int(found[1], 16) if found else 0


def samples(folder: Folder, cores: int) -> Iterator[Sample]:
    """What every core does, until the guest's agent has been started."""
    while not folder.qmp_socket.exists():
        time.sleep(0.001)
    ran = 0.0
    with qmp.connect(folder.qmp_socket, Deadline(60.0)) as control:

        def monitor(core: int, line: str) -> str:
            words = {"command-line": line, "cpu-index": core}
            return str(control.execute("human-monitor-command", **words))

        def stack(core: int, address: int, frame: int) -> Iterator[int]:
            yield address
            for _ in range(DEPTH if address >= KERNEL_SPACE else 0):
                words = re.findall(r"0x([0-9a-f]{16})", monitor(core, f"x /2gx {frame:#x}"))
                if frame < KERNEL_SPACE or len(words) != 2:
                    return
                frame, link = (int(word, 16) for word in words)
                yield link

        going = time.monotonic()
        while ran < 60.0:
            control.execute("stop")
            ran += time.monotonic() - going
            for core in range(cores):
                registers = monitor(core, "info registers")
                level = re.search(r"\bEL(\d)", registers)
                if number(registers, "PC") and level:
                    addresses = stack(core, number(registers, "PC"), number(registers, "X29"))
                    yield Sample(core, ran, f"EL{level[1]}", tuple(addresses))
            if b"@sandbox agent" in folder.log(World.NORMAL).read_bytes():
                control.execute("cont")
                return
            control.execute("cont")
            going = time.monotonic()
            time.sleep(PAUSE_S)


class Names:
    """Functions of the kernel, by this boot's addresses; firmware by its ELF files."""

    def __init__(self, symbols: Symbols) -> None:
        found = []
        for line in sandbox("exec", "--", "cat", "/proc/kallsyms").splitlines():
            address, _, name = line.split()[:3]
            found.append((int(address, 16), name))
        found.sort()
        self._addresses = [address for address, _ in found]
        self._names = [name for _, name in found]
        self.text = next(address for address, name in found if name == "_text")
        bl31 = symbols.path("bl31")
        assert bl31 is not None
        with bl31.open("rb") as file:
            section = ELFFile(file).get_section_by_name(".symtab")
            assert isinstance(section, SymbolTableSection)
            ends = {s.name: s.entry.st_value for s in section.iter_symbols()}
        self._bl31 = range(ends["__BL31_START__"], ends["__BL31_END__"])

    def name(self, address: int) -> str:
        image = qemu_v8.QEMU_V8.kernel_address
        if image <= address < image + (64 << 20):
            # Before the kernel has turned on its page tables.
            address += self.text - image
        index = bisect.bisect(self._addresses, address) - 1
        return self._names[index] if index >= 0 else hex(address)

    def label(self, sample: Sample) -> str:
        """What it was about: the function below Linux's drivers of a start."""
        address = sample.stack[0]
        if sample.level == "EL3" or address in self._bl31:
            # The other cores sleep in its holding pen until Linux wants them.
            return "waiting" if sample.core else "TF-A"
        if sample.level == "EL0":
            return "programs"
        image = qemu_v8.QEMU_V8.kernel_address
        if address < KERNEL_SPACE and not image <= address < image + (64 << 20):
            return "TF-A, OP-TEE"
        names = [self.name(each) for each in sample.stack]
        if "do_idle" in names:
            return "waiting"
        for inner, outer in zip(names, names[1:], strict=False):
            if outer in DRIVERS and inner not in DRIVERS:
                return inner
        if any(name.startswith(("el0_", "ret_to_user", "el0t_")) for name in names):
            return "programs, in the kernel"
        for inner, outer in zip(names, names[1:], strict=False):
            if outer in {"process_one_work", "async_run_entry_fn", "kthread"}:
                return inner
        return names[0]


def tenths() -> None:
    counted: dict[int, collections.Counter[str]] = {}
    for _ in range(SAMPLED_STARTS):
        folder = Folder(paths.machine_dir(NAME))
        command = [sys.executable, "-m", "sandbox", "--machine", NAME, "up", "--cores", str(CORES)]
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as up:
            taken = list(samples(folder, CORES))
            assert up.wait(timeout=120) == 0
        names = Names(Symbols(folder.symbols))
        for sample in taken:
            counted.setdefault(int(sample.seconds * 10), collections.Counter())[
                names.label(sample)
            ] += 1
        sandbox("down")
    rows = []
    for tenth, counter in sorted(counted.items()):
        total = counter.total()
        most = [
            f"`{label}` {100 * count / total:.0f} %"
            for label, count in counter.most_common(4)
            if count / total >= 0.08
        ]
        rows.append((f"{tenth / 10:.1f}", ", ".join(most)))
    table(
        f"What the cores do until the agent answers, {SAMPLED_STARTS} sampled starts",
        ("from, s", "share of the samples"),
        rows,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_STATE_HOME"] = folder
        try:
            if runs:
                core_counts(runs)
            tenths()
        finally:
            sandbox("down")


if __name__ == "__main__":
    main()
