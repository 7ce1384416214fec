# SPDX-License-Identifier: Apache-2.0
"""A report for a person's terminal."""

from collections.abc import Iterable, Sequence

from sandbox.model import doctor, lifetimes, profiles
from sandbox.model.doctor import Fit
from sandbox.model.lifetimes import Span
from sandbox.model.report import ARENA_ALONE, Operator, Report, Tensor

_NAME_WIDTH = 34
_CHART_LABEL = 34
_FULL, _FREE = "█", "·"


def title(report: Report, name: str) -> str:
    return (
        f"{name}: {report.file_bytes:,} bytes, {len(report.operators)} operators,"
        f" {report.macs:,} multiply-accumulates a run"
    )


def report_text(report: Report, fits: tuple[Fit, ...], width: int) -> str:
    found = lifetimes.spans(report)
    parts = [
        "Operators\n" + operators_table(report),
        chart(report, found, width),
        "Peak\n" + peak_table(report, found),
        "Memory\n" + memory_table(report),
        "Inputs and outputs\n" + ends_table(report),
        "Where it fits\n" + fits_table(fits),
        "What would make it smaller\n"
        + "\n".join(f"  - {words}" for words in doctor.advice(report, fits)),
    ]
    return "\n\n".join(parts)


def table(rows: Sequence[Sequence[str]], right: Iterable[int] = ()) -> str:
    """The first row is the heading."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    ends = set(right)
    lines = []
    for row in rows:
        cells = [
            cell.rjust(w) if i in ends else cell.ljust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(("  " + "  ".join(cells)).rstrip())
    return "\n".join(lines)


def operators_table(report: Report) -> str:
    rows = [("#", "operator", "kernel", "from", "to", "scale (zero point)", "MMAC", "tiles")]
    for op in report.operators:
        source = _first(report, op.inputs)
        result = report.tensors[op.outputs[0]]
        rows.append(
            (
                str(op.index),
                op.name,
                op.kernel,
                source.described if source else "-",
                result.described + (f" and {len(op.outputs) - 1}" if len(op.outputs) > 1 else ""),
                result.quantisation,
                f"{op.macs / 1e6:.2f}" if op.macs else "-",
                str(op.tiles),
            )
        )
    computed = report.file_operators - len(report.operators)
    tail = (
        f"\n  {computed} more depend on constants alone and are computed once." if computed else ""
    )
    return table(rows, right=(0, 6, 7)) + tail


def _first(report: Report, indices: Sequence[int]) -> Tensor | None:
    """The input that is no constant."""
    given = [report.tensors[i] for i in indices if i >= 0]
    return next((t for t in given if t.place.value == "arena"), given[0] if given else None)


def chart(report: Report, found: Sequence[Span], width: int) -> str:
    """Time goes down, addresses go right."""
    columns = max(16, width - _CHART_LABEL - 12)
    size = max(report.arena_bytes, 1)
    lines = [
        f"Arena of {report.arena_bytes:,} bytes, one operator a line, one character for"
        f" {size / columns / 1024:.1f} KiB"
    ]
    for op in report.operators:
        cells = [_FREE] * columns
        alive = [span for span in found if span.lives_at(op.step)]
        for span in alive:
            begin = span.offset * columns // size
            end = max(begin + 1, -(-(span.offset + span.size_bytes) * columns // size))
            for i in range(begin, min(end, columns)):
                cells[i] = _FULL
            # A tensor's begin shows where two lie side by side.
            if begin < columns:
                cells[begin] = "▌" if begin else _FULL
        label = f"{op.index:>4} {op.name}"[:_CHART_LABEL]
        live = lifetimes.live_bytes(alive, op.step)
        lines.append(f"  {label:<{_CHART_LABEL}} {live / 1024:>6.0f} {''.join(cells)}".rstrip())
    return "\n".join(lines)


def peak_table(report: Report, found: Sequence[Span]) -> str:
    peaks = lifetimes.peaks(report, found)
    if not peaks:
        return "  nothing is computed"
    top = peaks[0]
    rows = [("bytes", "share", "shape", "tensor")]
    for span in top.spans:
        share = span.size_bytes / top.live_bytes
        rows.append(
            (
                f"{span.size_bytes:,}",
                f"{share:.0%}",
                span.tensors[-1].described,
                _short(span.name),
            )
        )
    return f"  at {_operator(top.operator)}\n" + table(rows, right=(0, 1))


def _operator(op: Operator | None) -> str:
    return f"#{op.index} {op.name}" if op else "the inputs, before anything runs"


def _short(name: str) -> str:
    return name if len(name) <= _NAME_WIDTH * 2 else f"{name[: _NAME_WIDTH * 2 - 3]}..."


def memory_table(report: Report) -> str:
    # Of tiny tensors the alignment is most.
    least = lifetimes.aligned_bound(report, lifetimes.spans(report))
    over = report.arena_bytes / least - 1 if least else 0.0
    rows = [
        ("bytes", "what"),
        (f"{report.file_bytes:,}", "the model file, kept whole"),
        (f"{report.constants_bytes:,}", "  of it weights and other constants"),
        (f"{report.tables_bytes:,}", "the engine's tables"),
        (f"{report.shared_bytes:,}", "once, for all sessions: file and tables, pages whole"),
        (f"{report.arena_bytes:,}", "arena of activations"),
        (
            f"{least:,}",
            f"  the least any plan needs (the plan: {over:+.2%})",
        ),
        (f"{report.scratch_bytes:,}", "scratch of each worker"),
    ]
    if report.detector:
        rows.append(
            (
                f"{report.free_arena_bytes:,}",
                "of the arena are free for a photo, before; enough for",
            )
        )
        photos = zip(("baseline", "progressive"), report.detector.largest(ARENA_ALONE), strict=True)
        rows += [("", f"  {photo.described}, {kind}") for kind, photo in photos if photo]
        rows.append((f"{report.session_bytes:,}", "each session, from its first photo on"))
    if report.photo_request_bytes:
        rows.append((f"{report.photo_request_bytes:,}", "each photo of 640 x 480, arena included"))
    if report.tensors_request_bytes:
        rows.append((f"{report.tensors_request_bytes:,}", "each request of tensors, the same way"))
    rows.append((f"{report.load_peak_bytes:,}", "while it is loaded, before any request"))
    return table(rows, right=(0,))


def ends_table(report: Report) -> str:
    rows = [("", "name", "type and shape", "scale (zero point)", "bytes")]
    for kind, indices in (("input", report.inputs), ("output", report.outputs)):
        for index in indices:
            tensor = report.tensors[index]
            rows.append(
                (
                    kind,
                    _short(tensor.name),
                    tensor.described,
                    tensor.quantisation,
                    f"{tensor.size_bytes:,}",
                )
            )
    detector = report.detector
    if detector:
        words = f"An SSD detector, as the TA takes them, of {detector.input_side} pixels a side."
    else:
        words = f"Not a detector as `sandbox detect` takes them ({report.not_detector})."
    return table(rows, right=(4,)) + f"\n  {words}"


def fits_table(fits: tuple[Fit, ...]) -> str:
    photos = any(one.baseline for one in fits)
    head = ["profile", "room", "needs", "requests", "CPU"]
    rows = [(*head, "largest JPEG", "progressive") if photos else tuple(head)]
    for one in fits:
        row = [
            one.profile.name,
            _mib(one.room_bytes),
            _mib(one.needs_bytes),
            str(one.requests) if one.fits else "NONE",
            " ".join(one.profile.cpu.words),
        ]
        if photos:
            row.append(one.baseline.described if one.baseline else "-")
            row.append(one.progressive.described if one.progressive else "-")
        rows.append(tuple(row))
    itself = _mib(profiles.TA_CODE_BYTES + profiles.TA_SESSION_BYTES)
    legend = (
        f"  room: what OP-TEE leaves to TAs, less {itself} of the TA itself; needs: the model and"
    )
    legend += " one photo of 640 x 480" if photos else " one request"
    legend += ";\n  requests: at a time, each in a session of its own, the model in memory once"
    legend += ";\n  photos: 4 to 3, 4:2:0, with no other request" if photos else ""
    return table(rows, right=(1, 2, 3)) + "\n" + legend


def _mib(count: int) -> str:
    return f"{count / (1 << 20):.2f} MiB"
