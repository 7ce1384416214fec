# SPDX-License-Identifier: Apache-2.0
"""What would make a model smaller in secure memory, or make it fit: measured where the plan tells,
"about" where another model would have to be made to know."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from sandbox.model import lifetimes, profiles
from sandbox.model.profiles import Profile
from sandbox.model.report import Photo, Place, Report, Tensor
from sandbox.tee_abi import MODEL_MAX_BYTES, TENSORS_MAX_BYTES

# The planner, tables and rounding take this much more or less in a model that is not there.
_GUESS_MARGIN = 0.05
# Of a file: less is not worth a word.
_WORTH_SHARE = 0.05
_FLOATS = ("float32", "float16")


@dataclass(frozen=True)
class Fit:
    """One profile's verdict."""

    profile: Profile
    room_bytes: int
    needs_bytes: int  # the model, loaded, and one request
    missing_bytes: int
    requests: int  # so many, of a session each, have room at a time
    baseline: Photo | None
    progressive: Photo | None

    @property
    def fits(self) -> bool:
        return self.requests > 0


def needs_bytes(report: Report) -> int:
    """To be loaded, and to run for one request; for a detector, a photo of 640 x 480."""
    return max(report.load_peak_bytes, _in_use_bytes(report))


def _in_use_bytes(report: Report) -> int:
    return report.shared_bytes + report.session_bytes + report.request_bytes


def _lent_bytes(report: Report) -> int:
    """What one request has in blocks that sessions share: OP-TEE limits their sum."""
    return report.shared_bytes + report.arena_block_bytes


def fit(report: Report, profile: Profile) -> Fit:
    """`report` is of the profile's CPU and has photos for its room, if it is of a detector."""
    room = profiles.room_bytes(profile)
    needs = needs_bytes(report)
    missing = max(0, needs - room)
    if profile.quota_bytes is not None:
        missing = max(missing, _lent_bytes(report) - profile.quota_bytes)
    photos = report.detector.largest(room) if report.detector else (None, None)
    return Fit(
        profile,
        room,
        needs,
        missing,
        0 if missing or not _is_taken(report) else _requests(report, profile),
        *photos,
    )


def worse(fits: Iterable[Fit]) -> Fit:
    """Of several plans of a model for one profile."""
    return min(fits, key=lambda one: (one.requests, -one.missing_bytes, -one.needs_bytes))


def _is_taken(report: Report) -> bool:
    """Whether the TA's limits, which no room changes, let it run."""
    return report.file_bytes <= MODEL_MAX_BYTES and report.request_bytes > 0


def _requests(report: Report, profile: Profile) -> int:
    """The model is there once; each request has a session, an instance of the TA, of its own."""
    left = profile.ta_ram_bytes - profiles.TA_CODE_BYTES - report.shared_bytes
    each = profiles.TA_SESSION_BYTES + report.session_bytes + report.request_bytes
    count = left // each
    if profile.quota_bytes is not None and report.arena_bytes:
        lent = (profile.quota_bytes - report.shared_bytes) // report.arena_block_bytes
        count = min(count, lent)
    return count


def image_input(report: Report) -> Tensor | None:
    """(n, height, width, channels): what a smaller input would be smaller in."""
    if len(report.inputs) != 1:
        return None
    tensor = report.tensors[report.inputs[0]]
    shape = tensor.shape
    return tensor if len(shape) == 4 and min(shape[1:3]) > 1 else None


def smaller_side(report: Report, one: Fit) -> int | None:
    """The side of a square input, or height of another, at which the model would about fit.

    Activations shrink with the area, everything else stays. None: it is not the input that counts.
    """
    tensor = image_input(report)
    left = one.room_bytes * (1 - _GUESS_MARGIN) - (_in_use_bytes(report) - report.arena_bytes)
    quota = one.profile.quota_bytes
    if quota is not None:
        left = min(left, quota * (1 - _GUESS_MARGIN) - report.shared_bytes)
    if report.load_peak_bytes > one.room_bytes or tensor is None:
        return None
    if left <= 0 or left >= report.arena_bytes:
        return None
    side = int(tensor.shape[1] * math.sqrt(left / report.arena_bytes))
    side -= side % 4
    return side if side >= 16 else None


def float_share(report: Report) -> float:
    """Of constants and activations, in bytes."""
    whole = floats = 0
    for tensor in report.tensors:
        if tensor.place in (Place.MODEL, Place.ARENA):
            whole += tensor.size_bytes
            floats += tensor.size_bytes if tensor.type in _FLOATS else 0
    return floats / whole if whole else 0.0


def advice(report: Report, fits: tuple[Fit, ...]) -> list[str]:
    """Sentences, the most useful first; for a model that fits everywhere, few."""
    failing = [one for one in fits if not one.fits]
    words = []
    if float_share(report) > 0.5:
        saved = 0.75 * (report.constants_bytes + report.arena_bytes)
        words.append(
            f"Convert it to int8 (`sandbox model import`): weights and activations are float32 and"
            f" would take a quarter, about {_mib(saved)} less."
        )
    if report.file_bytes > MODEL_MAX_BYTES:
        words.append(
            f"The TA takes files of {_mib(MODEL_MAX_BYTES)} at most, and this one has"
            f" {_mib(report.file_bytes)}: a smaller network (fewer channels) is needed."
        )
    if not report.request_bytes:
        words.append(
            f"The TA gives results of {_mib(TENSORS_MAX_BYTES)} at most: fewer or smaller outputs"
            " are needed."
        )
    words += [_for_one(report, one) for one in failing if one.missing_bytes]
    batch = image_input(report)
    if batch is not None and batch.shape[0] > 1:
        words.append(
            f"Convert it for a batch of 1 in place of {batch.shape[0]}: activations shrink"
            f" {batch.shape[0]} times."
        )
    other = report.file_bytes - report.constants_bytes
    if other > _WORTH_SHARE * report.file_bytes and other > 64 << 10:
        words.append(
            f"{_mib(other)} of the file are no weights (names, metadata, quantisation) and are kept"
            " in memory with them: `sandbox model import` writes less of them."
        )
    copied = [op for op in report.operators if op.packed is Place.GRAPH]
    if copied:
        steps = ", ".join(f"#{op.index} {op.name}" for op in copied[:4])
        words.append(
            f"The tables hold a second, rearranged copy of the weights of {steps}"
            f"{', ...' if len(copied) > 4 else ''}: several operators share them, or the kernel"
            " rounds their number up."
        )
    words += _peak_words(report)
    return words


def _for_one(report: Report, one: Fit) -> str:
    start = f"{one.profile.name} lacks {_mib(one.missing_bytes)}: "
    fixed = report.file_bytes + report.tables_bytes
    side = smaller_side(report, one)
    tensor = image_input(report)
    if side is not None and tensor is not None:
        return start + (
            f"an input of about {side} in place of {tensor.shape[1]} pixels would fit (activations"
            " shrink with its area)."
        )
    if fixed >= one.room_bytes:
        return start + (
            f"weights and tables alone take {_mib(fixed)} of its {_mib(one.room_bytes)}: a smaller"
            " network (fewer channels) is needed, whatever the input."
        )
    if report.load_peak_bytes > one.room_bytes:
        return start + (
            f"while it is loaded, weights and tables take {_mib(report.load_peak_bytes)} of its"
            f" {_mib(one.room_bytes)}: a smaller network (fewer channels) is needed, whatever the"
            " input."
        )
    return start + "smaller activations are needed: see the peak below."


def _peak_words(report: Report) -> list[str]:
    found = lifetimes.peaks(report, lifetimes.spans(report))
    if not found or not found[0].live_bytes:
        return []
    top = found[0]
    where = f"#{top.operator.index} {top.operator.name}" if top.operator else "the inputs"
    words = f"The arena's size is set at {where} ({_kib(top.live_bytes)} alive)"
    lower = [peak for peak in found[1:] if peak.live_bytes < top.live_bytes]
    if lower:
        nearest = lower[0]
        at = f"#{nearest.operator.index} {nearest.operator.name}" if nearest.operator else "inputs"
        equal = sum(peak.live_bytes == top.live_bytes for peak in found)
        also = f" and {equal - 1} more" if equal > 1 else ""
        words += f"{also}: were that smaller, {at} would be next with {_kib(nearest.live_bytes)}"
    return [words + "."]


def _mib(count: float) -> str:
    return f"{count / (1 << 20):.2f} MiB"


def _kib(count: int) -> str:
    return f"{count / 1024:.0f} KiB"
