# SPDX-License-Identifier: Apache-2.0
"""What the engine makes of a model, as `model-report` (ta/report/) says it.

That program is the TA's own core, compiled for arm64: nothing about kernels, sizes or places is
computed a second time here.
"""

import enum
import io
import platform
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cbor2
from PIL import Image

from sandbox import process
from sandbox.errors import InfraError, UserError
from sandbox.model import schema

_TIMEOUT_S = 300.0
# An SSD detector with many anchors, prepared under emulation, takes 0.2 s.
_EMULATORS = ("qemu-aarch64", "qemu-aarch64-static")
_TEMPLATE_SIDE = 32
_PAGE = 4096
# More than any machine has: what a photo takes if nothing is short.
UNLIMITED = 1 << 40
# For the decoder; beside it what a small baseline photo needs.
ARENA_ALONE = 0


class EmulatorMissing(InfraError):
    """No program of this machine runs arm64 code."""


class ReportFailed(InfraError):
    """model-report ended without a report: a bug."""


class ModelRefused(UserError):
    """The engine does not take the model; `status` is its name for why, as the TA's is."""

    def __init__(
        self, status: str, message: str, hints: Sequence[str], operator: "Refusal | None" = None
    ) -> None:
        super().__init__(message, tuple(hints))
        self.status = status
        self.operator = operator

    @property
    def name(self) -> str:
        return self.status


class Cpu(enum.IntFlag):
    """enum cml_cpu of ta/core/nn/graph.h."""

    NEON = 1
    DOTPROD = 2
    I8MM = 4
    FAST_SCALAR = 8

    @property
    def words(self) -> list[str]:
        return [bit.name.lower().replace("_", "-") for bit in Cpu if bit in self and bit.name]


class Place(enum.StrEnum):
    NONE = "none"  # nobody needs it
    ARENA = "arena"
    MODEL = "model"  # a constant, where it is in the file
    GRAPH = "graph"  # a constant that was computed, or weights that were copied


@dataclass(frozen=True)
class Tensor:
    index: int
    name: str
    type: str
    shape: tuple[int, ...]
    size_bytes: int
    place: Place
    offset: int
    scale: float  # 0: not quantised as a whole
    zero_point: int
    scale_count: int  # more than one: a scale for each channel

    @property
    def described(self) -> str:
        return f"{self.type} {list(self.shape)}"

    @property
    def quantisation(self) -> str:
        if self.scale:
            return f"{self.scale:.6g} ({self.zero_point:+d})"
        return f"{self.scale_count} channels" if self.scale_count > 1 else "-"


@dataclass(frozen=True)
class Operator:
    step: int  # in the order of running
    index: int  # in the file
    name: str
    kernel: str
    inputs: tuple[int, ...]  # -1: optional, absent
    outputs: tuple[int, ...]
    macs: int
    scratch_bytes: int
    tiles: int
    packed: Place  # where its rearranged weights are


@dataclass(frozen=True)
class Refusal:
    index: int
    name: str
    version: int


@dataclass(frozen=True)
class Photo:
    """The largest one, 4 to 3 and 4:2:0, where a session and its model have so much memory."""

    limit_bytes: int
    width: int  # 0: none
    height: int
    peak_bytes: int  # of all, model included
    small_peak_bytes: int  # with 640 x 480; 0: not even that

    @property
    def fits(self) -> bool:
        return self.width > 0

    @property
    def described(self) -> str:
        if not self.fits:
            return "none"
        megapixels = self.width * self.height / 1e6
        return f"{self.width} x {self.height} ({megapixels:.1f} MP)"


@dataclass(frozen=True)
class Detector:
    input_side: int
    session_bytes: int  # that each session keeps, from its first photo on
    baseline: tuple[Photo, ...]
    progressive: tuple[Photo, ...]

    def largest(self, limit_bytes: int) -> tuple[Photo | None, Photo | None]:
        """Baseline and progressive, in one of the limits; None: it was not asked for."""
        baseline, progressive = (
            next((photo for photo in photos if photo.limit_bytes == limit_bytes), None)
            for photos in (self.baseline, self.progressive)
        )
        return baseline, progressive


@dataclass(frozen=True)
class Report:
    cpu: Cpu
    file_bytes: int
    file_operators: int
    tables_bytes: int
    arena_bytes: int
    lower_bound_bytes: int
    scratch_bytes: int
    first_input_bytes: int
    macs: int
    # In whole pages, as the TA counts:
    model_bytes: int  # file and tables: in memory once, for all sessions
    board_bytes: int  # where sessions find each other's work: once
    load_peak_bytes: int  # of the session that loads it
    tensors_request_bytes: int  # at most, beside those; 0: no result could have the outputs
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    operators: tuple[Operator, ...]
    tensors: tuple[Tensor, ...]
    detector: Detector | None
    not_detector: str  # the status, when it is none

    @property
    def shared_bytes(self) -> int:
        """In memory once, however many sessions use the model."""
        return self.model_bytes + self.board_bytes

    @property
    def session_bytes(self) -> int:
        """What a session keeps for it between requests."""
        return self.detector.session_bytes if self.detector else 0

    @property
    def photo_request_bytes(self) -> int:
        """At most, for 640 x 480, beside model and session; 0: it is unknown or none."""
        photos = self.detector.baseline if self.detector else ()
        peak = max((photo.small_peak_bytes for photo in photos), default=0)
        return peak - self.shared_bytes - self.session_bytes if peak else 0

    @property
    def request_bytes(self) -> int:
        """Of the request that the model is for: a photo, or tensors."""
        return self.photo_request_bytes or self.tensors_request_bytes

    @property
    def arena_block_bytes(self) -> int:
        """Of each request; it is shared with helpers."""
        return -(-self.arena_bytes // _PAGE) * _PAGE

    @property
    def free_arena_bytes(self) -> int:
        """Where a photo's decoder works before the network does."""
        return self.arena_bytes - self.first_input_bytes

    @property
    def constants_bytes(self) -> int:
        """Of the file; what several operators share counts once."""
        spans = {(t.offset, t.size_bytes) for t in self.tensors if t.place is Place.MODEL}
        return sum(size for _, size in spans)


def inspect(program: Path, model: Path, cpu: Cpu, limits: Sequence[int] = ()) -> Report:
    """`limits`: bytes of secure memory that a session with its model may have, to try photos in."""
    with tempfile.TemporaryDirectory() as folder:
        templates = _templates(Path(folder)) if limits else []
        argv: list[process.Argument] = [*_runner(), program, str(int(cpu)), model, *templates]
        if limits:
            argv += ["--", *map(str, limits)]
        done = process.run(argv, timeout_s=_TIMEOUT_S, check=False)
    if done.status == 2:
        raise UserError(done.stderr.decode(errors="replace").strip())
    try:
        if done.status:
            raise ValueError
        fields = cbor2.loads(done.stdout)
    except (ValueError, cbor2.CBORDecodeError) as error:
        raise ReportFailed(
            process.describe_status(program.name, done.status)
            + f": {done.stderr.decode(errors='replace').strip() or 'it said nothing'}",
            "This is a bug: please report it, with the model.",
        ) from error
    if fields["status"] != "OK":
        raise _refused(model, fields)
    return _report(fields, cpu, limits)


def _runner() -> list[process.Argument]:
    if platform.machine() in ("aarch64", "arm64"):
        return []
    for name in _EMULATORS:
        if shutil.which(name):
            return [name, "-cpu", "max"]
    raise EmulatorMissing(
        f"{_EMULATORS[0]} is not installed",
        "`make setup` installs it (Debian's package qemu-user): models are planned by the TA's own"
        " arm64 code.",
    )


def _templates(folder: Path) -> list[Path]:
    """Two small photos, whose sides model-report changes: baseline, then progressive."""
    paths = []
    for progressive in (False, True):
        path = folder / f"{progressive}.jpg"
        data = io.BytesIO()
        picture = Image.new("RGB", (_TEMPLATE_SIDE, _TEMPLATE_SIDE))
        picture.save(data, "JPEG", subsampling="4:2:0", progressive=progressive)
        path.write_bytes(data.getvalue())
        paths.append(path)
    return paths


def _text(octets: bytes) -> str:
    """Of the file: it may hold anything, and is shown on terminals."""
    text = octets.decode(errors="replace")
    return "".join(character if character.isprintable() else "?" for character in text)


def _refused(model: Path, fields: Mapping[str, Any]) -> ModelRefused:
    status = fields["status"]
    operator = None
    where = "the file"
    if fields["op_index"] >= 0:
        operator = _refusal(fields, fields["op_index"])
        where = f"operator {operator.index}, {operator.name} (version {operator.version})"
    message = f"{model.name} is refused: {status}: {where}: {fields['reason']}"
    hints = list(_HINTS.get(status, (_ERRORS_PAGE,)))
    others: dict[tuple[str, int], Refusal] = {}
    for found in fields["unsupported"]:
        one = _refusal(found, found["index"])
        others.setdefault((one.name, one.version), one)
    if len(others) > 1:
        names = [f"{one.name} (version {one.version}, #{one.index})" for one in others.values()]
        hints.insert(0, f"Not supported in this file: {', '.join(names)}.")
    return ModelRefused(status, message, hints, operator)


def _refusal(fields: Mapping[str, Any], index: int) -> Refusal:
    name = schema.operator_name(fields["builtin_code"], _text(fields["custom_code"]))
    return Refusal(index, name, fields["version"])


_ERRORS_PAGE = "docs/errors.md explains it."
_OPERATORS_PAGE = "docs/operators.md lists what is supported, with types and limits."
_HINTS: dict[str, tuple[str, ...]] = {
    "MODEL_UNSUPPORTED_OP": (
        _OPERATORS_PAGE,
        "Build the model from operators of that list, or end it before this one and do the rest"
        " outside.",
        "In Keras, another layer or activation often makes another operator.",
    ),
    "MODEL_UNSUPPORTED_TYPE": (
        _OPERATORS_PAGE,
        "Convert all of the model to int8 (`sandbox model import`), or leave it all in float32:"
        " float16 and hybrid models are not supported.",
    ),
    "MODEL_QUANTIZATION": (
        "Convert again, with a calibration that shows the model what it will see"
        " (`sandbox model import --calibration`).",
    ),
    "MODEL_SHAPE": (
        "Fix the input's shape when converting, batch included:"
        " `sandbox model import --input-size`.",
    ),
    "MODEL_MALFORMED": ("Is it a .tflite file, and whole? Convert or fetch it again.",),
    "MODEL_LIMIT": ("docs/errors.md lists the limits; a smaller input often is enough.",),
}


def _report(fields: Mapping[str, Any], cpu: Cpu, limits: Sequence[int]) -> Report:
    found = fields["detector"]
    detector = None
    if found["status"] == "OK":
        photos = [
            tuple(Photo(limit, *row) for limit, row in zip(limits, rows, strict=True))
            for rows in fields["photos"]
        ] or [(), ()]
        detector = Detector(found["input_size"], found["session"], *photos)
    return Report(
        cpu=cpu,
        file_bytes=fields["file"],
        file_operators=fields["file_operators"],
        tables_bytes=fields["tables"],
        arena_bytes=fields["arena"],
        lower_bound_bytes=fields["lower_bound"],
        scratch_bytes=fields["scratch"],
        first_input_bytes=fields["first_input"],
        macs=fields["macs"],
        model_bytes=fields["memory"]["model"],
        board_bytes=fields["memory"]["board"],
        load_peak_bytes=fields["memory"]["load_peak"],
        tensors_request_bytes=fields["memory"]["tensors_request"],
        inputs=tuple(fields["inputs"]),
        outputs=tuple(fields["outputs"]),
        operators=tuple(
            Operator(
                step,
                op["index"],
                op["name"],
                op["kernel"],
                tuple(op["inputs"]),
                tuple(op["outputs"]),
                op["macs"],
                op["scratch"],
                op["tiles"],
                Place(op["packed"]),
            )
            for step, op in enumerate(fields["operators"])
        ),
        tensors=tuple(
            Tensor(
                index,
                _text(tensor["name"]) or f"tensor {index}",
                schema.type_name(tensor["type"]),
                tuple(tensor["shape"]),
                tensor["size"],
                Place(tensor["place"]),
                tensor["offset"],
                tensor["scale"],
                tensor["zero_point"],
                tensor["scales"],
            )
            for index, tensor in enumerate(fields["tensors"])
        ),
        detector=detector,
        not_detector="" if detector else found["status"],
    )
