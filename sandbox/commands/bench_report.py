# SPDX-License-Identifier: Apache-2.0
"""What `sandbox bench` tells: as text, and as the engine's part of docs/performance.md."""

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from sandbox import paths
from sandbox.bench import layers as layers_of
from sandbox.bench import picture
from sandbox.bench.figures import table
from sandbox.bench.layers import Measured, Peak
from sandbox.commands.bench_peers import NAMES
from sandbox.commands.bench_steps import Subject, layers_picture
from sandbox.errors import UserError

# What the engine is meant to reach: at most, or at least.
GOALS = {
    "ta1_vs_xnnpack1": ("TA, one worker / XNNPACK, one thread", "<=", 0.58),
    "ta2_vs_xnnpack2": ("TA, two workers / XNNPACK, two threads", "<=", 0.60),
    "ta2_vs_ta1": ("TA, two workers / one worker, one photo", "<=", 0.55),
    "tee_vs_ree": ("TA / the same engine in the normal world, one worker", "<=", 1.05),
    "peak_share_conv": ("share of the peak, all convolutions", ">=", 0.65),
    "peak_share_pointwise": ("share of the peak, pointwise layers", ">=", 0.80),
    "secure_memory_mib": ("secure memory, detector with 4 workers, MiB", "<=", 8.0),
}
PAGE = "docs/performance.md"
PEERS_PICTURE = "docs/pictures/bench.peers.svg"
LAYERS_PICTURE = "docs/pictures/bench.layers.svg"
BEGIN = "<!-- sandbox bench --report: begin -->"
END = "<!-- sandbox bench --report: end -->"
_MIB = 1 << 20

Head = Sequence[str]
Rows = list[tuple[str, ...]]


def _where(found: dict[str, Any]) -> str:
    machine = found["machine"]
    load = ", ".join(f"{value:.2f}" for value in machine["load_average"])
    return (
        f"{machine['host_cpu']}, {machine['host_cores']} cores; load {load} at the beginning."
        f" {machine['qemu']}, {machine['acceleration']}, `-cpu {machine['guest_cpu']}`,"
        f" {machine['guest_cores']} cores."
    )


def _peers(found: dict[str, Any]) -> tuple[Head, Rows]:
    base = found["seconds"]["xnnpack1"]["median"]
    cpu = found["host_cpu_seconds"]
    rows: Rows = []
    for name, words in NAMES.items():
        taken = found["seconds"][name]
        if taken is None:
            rows.append((words, "not measured", "", "", ""))
            continue
        own = cpu.get("measuring_ta" if name == "ta1" else name)
        rows.append(
            (
                words,
                f"{own['median'] * 1e3:.0f}" if own else "",
                f"{taken['median'] * 1e3:.0f}",
                f"{100 * taken['spread']:.0f} %",
                f"{taken['median'] / base:.2f}",
            )
        )
    return ("network", "host CPU, ms ", "ms ", "spread ", "to XNNPACK, 1 thread "), rows


def _ratios(found: dict[str, Any]) -> tuple[Head, Rows]:
    rows: Rows = []
    for name, (words, sign, goal) in GOALS.items():
        value = found["ratios"][name]
        if value is None:
            rows.append((words, "not measured", "", f"{sign} {goal:.2f}", ""))
            continue
        met = value <= goal if sign == "<=" else value >= goal
        cpu = found["ratios_of_host_cpu"].get(name)
        rows.append(
            (
                words,
                f"{value:.2f}",
                "" if cpu is None else f"{cpu:.2f}",
                f"{sign} {goal:.2f}",
                "yes" if met else "no",
            )
        )
    return ("figure", "value ", "of host CPU ", "goal ", "met"), rows


def _groups(found: dict[str, Any]) -> tuple[Head, Rows]:
    rows: Rows = [
        (
            name,
            str(group["count"]),
            f"{group['seconds'] * 1e3:.1f}",
            f"{group['macs'] / 1e6:.1f}",
            f"{100 * group['peak_share']:.0f} %",
            f"{group['host_cpu_seconds'] * 1e3:.1f}",
            f"{100 * group['peak_share_of_host_cpu']:.0f} %",
        )
        for name, group in found["groups"].items()
        if group["count"]
    ]
    head = ("layers", "count ", "ms ", "M MACs ", "of the peak ", "host CPU, ms ", "of its peak ")
    return head, rows


def _agreement(found: dict[str, Any]) -> tuple[Head, Rows]:
    rows: Rows = [
        (
            NAMES.get(name, "our engine in the measuring TA"),
            str(each["most"]),
            f"{each['mean']:.2f}",
            f"{100 * each['share']:.1f} %",
        )
        for name, each in found["agreement"].items()
    ]
    return ("outputs beside our engine's", "most, steps ", "mean ", "differ "), rows


def _phases(service: dict[str, Any]) -> tuple[Head, Rows]:
    rows: Rows = [
        (name, f"{each['median'] * 1e3:.1f}", f"{100 * each['spread']:.0f} %")
        for name, each in service["phases"].items()
    ]
    return ("phase", "ms ", "spread "), rows


def _workers(service: dict[str, Any]) -> tuple[Head, Rows]:
    one = service["workers"]["1"]["median"]
    rows: Rows = [
        (count, f"{each['median'] * 1e3:.0f}", f"{each['median'] / one:.2f}")
        if each
        else (count, "not measured", "")
        for count, each in service["workers"].items()
    ]
    return ("workers on one photo ", "network, ms ", "to one "), rows


def _throughput(service: dict[str, Any]) -> tuple[Head, Rows]:
    rates = service["photos_per_s"]
    rows: Rows = [
        (count, f"{rate:.2f}", f"{rate / rates['1']:.2f}") for count, rate in rates.items()
    ]
    return ("photos in flight ", "photos a second ", "to one "), rows


def _memory(found: dict[str, Any]) -> tuple[Head, Rows]:
    sizes: dict[str, int | None] = {}
    if "service" in found:
        memory = found["service"]["memory"]
        sizes |= {
            "weights (the model file, in place)": memory["model_bytes"],
            "arena: activations, before them the JPEG decoder": memory["arena_bytes"],
            "the engine's tables": memory["tables_bytes"],
        }
    for count, peak in found["secure_memory"]["peak_bytes"].items():
        own = None if peak is None else peak - found["secure_memory"]["optee_bytes"]
        sizes[f"**the detector at its peak, code and all, workers on a photo: {count}**"] = own
    sizes["OP-TEE itself, in the same RAM"] = found["secure_memory"]["optee_bytes"]
    sizes["that RAM, whole"] = found["secure_memory"]["size_bytes"]
    rows: Rows = [
        (name, f"{size:,}", f"{size / _MIB:.2f}") if size is not None else (name, "", "")
        for name, size in sizes.items()
    ]
    return ("secure memory", "bytes ", "MiB "), rows


def text(found: dict[str, Any], each: list[Measured], peak: Peak) -> str:
    parts = []
    if "service" in found:
        service = found["service"]
        parts += [_phases(service), _workers(service), _throughput(service)]
    parts += [_peers(found), _agreement(found), _groups(found), _memory(found), _ratios(found)]
    told = [table(*part) for part in parts]
    if "service" in found:
        told.insert(3, layers_of.as_text(each, peak))
    remarks = [f"note: {remark}" for remark in found["remarks"]]
    return "\n\n".join([_where(found).replace("`", ""), *told, *remarks])


def layers_text(found: dict[str, Any], each: list[Measured], peak: Peak) -> str:
    where = _where(found).replace("`", "")
    return f"{where}\n\n{layers_of.as_text(each, peak)}"


# The page ---------------------------------------------------------------------------------------


def _markdown(head: Head, rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(cell.strip() for cell in head) + " |"]
    lines.append("|" + "".join("---:|" if cell.endswith(" ") else "---|" for cell in head))
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def section(found: dict[str, Any]) -> str:
    """The engine's part of the page, from the figures of one run."""
    service = found["service"]
    remarks = "\n".join(f"- {remark}." for remark in found["remarks"])
    peak = found["peak"]
    return f"""\
Written by `sandbox bench --report` from the figures of one run: `{shlex.join(found["command"])}`, {found["runs"]} rounds.
{_where(found)}
Model `{found["model"]}`, photo `{found["photo"]}`. Times are medians; the spread is from the least to the most.

{_markdown(*_ratios(found))}

{_markdown(*_peers(found))}

![All of them side by side](pictures/bench.peers.svg)

{_markdown(*_groups(found))}

The peak is a matrix product with both operands packed, in the same TA: {peak["rate_text"]}. It is the best of {len(peak["loops"])} inner loops.

![Each layer](pictures/bench.layers.svg)

{_markdown(*_agreement(found))}

{_markdown(*_phases(service))}

{_markdown(*_workers(service))}

{_markdown(*_throughput(service))}

{_markdown(*_memory(found))}

{remarks}
"""  # noqa: E501


def write(found: dict[str, Any], each: list[Measured], peak: Peak, subject: Subject) -> list[Path]:
    """The page's section and both pictures; gives the files that were written."""
    root = paths.project_dir()
    page = root / PAGE
    try:
        before, begin, rest = page.read_text().partition(BEGIN)
        _, end, after = rest.partition(END)
    except OSError as error:
        raise UserError(f"cannot read {page}: {error.strerror}") from error
    if not begin or not end:
        raise UserError(
            f"{page} has no place for the figures", f"It goes between {BEGIN} and {END}"
        )
    described = {
        **found,
        "peak": {**found["peak"], "rate_text": f"{peak.rate / 1e9:.2f} GMAC/s, {peak.name}"},
    }
    seconds = [
        (words, found["seconds"][name]["median"])
        for name, words in NAMES.items()
        if found["seconds"][name] is not None
    ]
    title = "One photo through the network, in one run"
    subtitle = f"{found['model']}; {_where(found).replace('`', '')}"
    texts = {
        page: f"{before}{BEGIN}\n\n{section(described)}\n{END}{after}",
        root / PEERS_PICTURE: picture.comparison(seconds, title, subtitle),
        root / LAYERS_PICTURE: layers_picture(each, peak, subject),
    }
    try:
        for path, content in texts.items():
            path.write_text(content)
    except OSError as error:
        raise UserError(f"cannot write {error.filename}: {error.strerror}") from error
    return list(texts)
