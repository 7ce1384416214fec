# SPDX-License-Identifier: Apache-2.0
"""A report for scripts: every key is always there."""

from typing import Any

from sandbox.model import doctor, lifetimes
from sandbox.model.doctor import Fit
from sandbox.model.report import ARENA_ALONE, Detector, Operator, Photo, Report, Tensor


def as_json(report: Report, fits: tuple[Fit, ...], path: str) -> dict[str, Any]:
    found = lifetimes.spans(report)
    return {
        "model": path,
        "cpu": report.cpu.words,
        "bytes": {
            "file": report.file_bytes,
            "constants": report.constants_bytes,
            "tables": report.tables_bytes,
            "arena": report.arena_bytes,
            "lower_bound": report.lower_bound_bytes,
            "free_arena": report.free_arena_bytes,
            "scratch_per_worker": report.scratch_bytes,
            "model": report.model_bytes,
            "board": report.board_bytes,
            "load_peak": report.load_peak_bytes,
            "session": report.session_bytes,
            "photo_request": report.photo_request_bytes or None,
            "tensors_request": report.tensors_request_bytes or None,
            "needed": doctor.needs_bytes(report),
        },
        "macs": report.macs,
        "inputs": [_tensor(report.tensors[i]) for i in report.inputs],
        "outputs": [_tensor(report.tensors[i]) for i in report.outputs],
        "detector": _detector(report.detector) if report.detector else None,
        "operators": [_operator(report, op) for op in report.operators],
        "computed_once": report.file_operators - len(report.operators),
        "arena": [
            {
                "tensors": [tensor.index for tensor in span.tensors],
                "name": span.name,
                "offset": span.offset,
                "size": span.size_bytes,
                "first_step": span.first,
                "last_step": span.last,
            }
            for span in found
        ],
        "peaks": [
            {
                "operator": peak.operator.index if peak.operator else None,
                "live": peak.live_bytes,
                "tensors": [tensor.index for span in peak.spans for tensor in span.tensors],
            }
            for peak in lifetimes.peaks(report, found)
        ],
        "fits": [
            {
                "profile": one.profile.name,
                "board": one.profile.board,
                "source": one.profile.source,
                "cpu": one.profile.cpu.words,
                "room": one.room_bytes,
                "quota": one.profile.quota_bytes,
                "needed": one.needs_bytes,
                "missing": one.missing_bytes,
                "requests": one.requests,
                "baseline_photo": _photo(one.baseline),
                "progressive_photo": _photo(one.progressive),
            }
            for one in fits
        ],
        "advice": doctor.advice(report, fits),
    }


def _detector(detector: Detector) -> dict[str, Any]:
    baseline, progressive = detector.largest(ARENA_ALONE)
    return {
        "input_side": detector.input_side,
        "baseline_photo_in_arena": _photo(baseline),
        "progressive_photo_in_arena": _photo(progressive),
    }


def _tensor(tensor: Tensor) -> dict[str, Any]:
    return {
        "index": tensor.index,
        "name": tensor.name,
        "type": tensor.type,
        "shape": list(tensor.shape),
        "size": tensor.size_bytes,
        "scale": tensor.scale or None,
        "zero_point": tensor.zero_point if tensor.scale else None,
        "scale_count": tensor.scale_count,
        "place": str(tensor.place),
    }


def _operator(report: Report, op: Operator) -> dict[str, Any]:
    def tensors(indices: tuple[int, ...]) -> list[dict[str, Any] | None]:
        return [_tensor(report.tensors[i]) if i >= 0 else None for i in indices]

    return {
        "index": op.index,
        "step": op.step,
        "name": op.name,
        "kernel": op.kernel,
        "inputs": tensors(op.inputs),
        "outputs": tensors(op.outputs),
        "macs": op.macs,
        "scratch": op.scratch_bytes,
        "tiles": op.tiles,
        "packed": str(op.packed),
    }


def _photo(photo: Photo | None) -> dict[str, int] | None:
    if photo is None or not photo.fits:
        return None
    return {"width": photo.width, "height": photo.height, "peak": photo.peak_bytes}
