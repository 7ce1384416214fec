# SPDX-License-Identifier: Apache-2.0
"""What would make a model smaller in secure memory, or make it fit: measured where the plan tells,
"about" where another model would have to be made to know."""

import math
from dataclasses import dataclass

from sandbox.model import lifetimes, profiles
from sandbox.model.profiles import Profile
from sandbox.model.report import Photo, Place, Report, Tensor
from sandbox.tee_abi import MODEL_MAX_BYTES

# The planner, tables and rounding take this much more or less in a model that is not there.
_GUESS_MARGIN = 0.05
# Of a file: less is not worth a word.
_WORTH_SHARE = 0.05
_FLOATS = ("float32", "float16")


@dataclass(frozen=True)
class Fit:
    """One profile's verdict for one session."""

    profile: Profile
    room_bytes: int
    needs_bytes: int  # the model loaded; with the smallest photo, if it is a detector
    sessions: int  # so many may be open at once
    baseline: Photo | None
    progressive: Photo | None

    @property
    def fits(self) -> bool:
        return self.sessions > 0

    @property
    def missing_bytes(self) -> int:
        return max(0, self.needs_bytes - self.room_bytes)


def needs_bytes(report: Report) -> int:
    """To be loaded and run by one session; for a detector, on a photo of 640 x 480."""
    return max(report.running_bytes, report.loading_bytes)


def fit(report: Report, profile: Profile) -> Fit:
    """`report` is of the profile's CPU and has photos for its room, if it is of a detector."""
    room = profiles.room_bytes(profile)
    needs = needs_bytes(report)
    # Each is an instance of the TA; model and tables are there once for all of them.
    own = report.running_bytes - report.shared_bytes + profiles.TA_SESSION_BYTES
    sessions = 0
    if needs <= room and report.file_bytes <= MODEL_MAX_BYTES:
        sessions = 1 + (room - needs) // own
    photos = report.detector.largest(room) if report.detector else (None, None)
    return Fit(profile, room, needs, sessions, *photos)


def image_input(report: Report) -> Tensor | None:
    """(n, height, width, channels): what a smaller input would be smaller in."""
    if len(report.inputs) != 1:
        return None
    tensor = report.tensors[report.inputs[0]]
    shape = tensor.shape
    return tensor if len(shape) == 4 and min(shape[1:3]) > 1 else None


def smaller_side(report: Report, room: int) -> int | None:
    """The side of a square input, or height of another, at which the model would about fit.

    Activations shrink with the area, everything else stays. None: it is not the input that counts.
    """
    tensor = image_input(report)
    fixed = needs_bytes(report) - report.arena_bytes
    left = room * (1 - _GUESS_MARGIN) - fixed
    if tensor is None or left <= 0 or left >= report.arena_bytes:
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
    side = smaller_side(report, one.room_bytes)
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
