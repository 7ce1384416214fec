# SPDX-License-Identifier: Apache-2.0
"""sandbox infer: a sealed classifier on pictures, inside the secure world."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sandbox.commands import run as running
from sandbox.commands import trust
from sandbox.commands.context import Context
from sandbox.commands.watched import serving
from sandbox.errors import UserError
from sandbox.model import arrays, labels
from sandbox.model.arrays import Array
from sandbox.model.schema import type_name
from sandbox.owner import keys, pictures, sealed_file
from sandbox.owner.client import Client, SealedModel, read
from sandbox.owner.description import Description, Input
from sandbox.owner.pictures import Frame, Picture
from sandbox.owner.results import TensorResult
from sandbox.owner.service import TaError
from sandbox.owner.share import Share

SESSION = "infer"
_SHOWN = 3


class NotClassifier(UserError):
    """The model does not take a picture, or gives something else than a score for each class."""


@dataclass(frozen=True)
class Port:
    """The input as `arrays` wants it."""

    name: str
    type: str
    shape: tuple[int, ...]
    scale: float
    zero_point: int

    @classmethod
    def of(cls, described: Input) -> "Port":
        return cls(
            "the picture",
            type_name(described.type),
            described.dims,
            described.scale,
            described.zero_point,
        )


@dataclass(frozen=True)
class Seen:
    path: Path
    picture: Picture
    scores: Array
    result: TensorResult
    timings_ms: dict[str, float]

    @property
    def best(self) -> list[int]:
        order = np.argsort(-self.scores, kind="stable")
        return [int(index) for index in order[:_SHOWN]]


def real_range(text: str) -> tuple[float, float]:
    low, comma, high = text.partition(",")
    try:
        if comma and float(low) != float(high) and np.isfinite([float(low), float(high)]).all():
            return float(low), float(high)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"two numbers as 0,1 or -1,1, not {text!r}")


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "infer",
        help="classify pictures with a sealed model",
        description="Load a sealed model (`sandbox encrypt-model`) into the trusted application,"
        " with a key that the device keeps (`sandbox store-key`) or with --key-file; then seal"
        " each picture, and open the sealed scores of its classes.",
        epilog="Example: sandbox infer --model m.sealed -i 7.png -i 8.png",
    )
    parser.add_argument("--model", type=Path, required=True, metavar="FILE", help="a sealed model")
    parser.add_argument(
        "-i",
        "--image",
        action="append",
        type=Path,
        required=True,
        metavar="FILE",
        help="a PNG or JPEG file, which is made grey and resized if the model wants that; .bin, its"
        " pixels, a byte each; or .npy, an array of uint8. May be given several times.",
    )
    parser.add_argument("--key-file", type=Path, metavar="FILE", help="the model's key, 32 bytes")
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="FILE",
        help="names of the classes, a line each (those in the model, if its key is given)",
    )
    parser.add_argument(
        "--range",
        type=real_range,
        metavar="LOW,HIGH",
        help="the real numbers that black and white are (of inputs of 8 bits, the least and the"
        " most that they have; of others, 0,1)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object a picture")
    running.add_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, context: Context) -> int:
    for path in args.image:
        if not path.is_file():
            raise UserError(f"no such file: {path}")
    key = keys.read_key_file(args.key_file) if args.key_file is not None else None
    model = SealedModel(args.model.name, read(args.model), key)
    names: Sequence[str] | None = None
    if args.labels is not None:
        names = labels.of_file(args.labels)
    machine = context.machine()
    trusted = trust.of(machine, context.progress, args)
    with serving(machine) as session:
        client = Client(session, Share(machine.share), model, trusted, workers=args.workers)
        try:
            with context.progress.step("keys and model"):
                described = _prepare(client, model)
            port, frame = _frame(described)
            for path in args.image:
                picture = pictures.load(path, frame)
                inputs = arrays.from_pixels(port, picture.pixels, args.range)
                timings_ms: dict[str, float] = {}
                with context.progress.step(str(path)):
                    result = client.run(inputs, timings_ms)
                seen = Seen(path, picture, _scores(result), result, timings_ms)
                if names is None:
                    names = _own_labels(model, len(seen.scores))
                with context.progress.printing():
                    print(_as_json(seen, names) if args.json else _as_text(seen, names, frame))
        finally:
            # Whoever comes next has to have the key, too.
            session.close_session(SESSION)
    return 0


def _prepare(client: Client, model: SealedModel) -> Description:
    try:
        described = client.prepare(SESSION)
    except TaError as error:
        if error.status == "KEY_MISSING":
            error.hints = (
                f"The model is sealed with the key {model.header.key_id.hex()}, which the device"
                " does not keep: `sandbox store-key --key-file FILE`, or name the file with"
                " --key-file.",
            )
        raise
    assert described is not None
    return described


def _frame(described: Description) -> tuple[Port, Frame]:
    ports = [Port.of(each) for each in described.inputs]
    frame = Frame.of(ports[0].shape) if len(ports) == 1 else None
    if frame is None:
        found = ", ".join(f"{port.type} {list(port.shape)}" for port in ports) or "nothing"
        raise NotClassifier(
            f"the model takes {found}, and not one picture",
            "1 x height x width, or 1 x height x width x 1 or 3. `sandbox run` runs any model.",
        )
    return ports[0], frame


def _scores(result: TensorResult) -> Array:
    """One for each class."""
    if len(result.outputs) == 1:
        (output,) = result.outputs
        scores = arrays.real_output(output, output.scale, output.zero_point)
        if scores.size and scores.size == scores.shape[-1]:
            return scores.reshape(-1)
    shapes = ", ".join(str(list(output.dims)) for output in result.outputs)
    raise NotClassifier(
        f"the model gives {shapes}, and not a score for each class",
        "`sandbox run` shows any output.",
    )


def _own_labels(model: SealedModel, count: int) -> Sequence[str]:
    """Those in the model, if it can be opened here."""
    if model.key is None:
        return ()
    opened = sealed_file.open_model(model.key, model.data)
    return labels.of_model(opened, count)


def _label(names: Sequence[str], index: int) -> str | None:
    return names[index] if index < len(names) else None


def _class(seen: Seen, names: Sequence[str], index: int) -> dict[str, Any]:
    return {
        "class": index,
        "label": _label(names, index),
        "score": round(float(seen.scores[index]), 6),
    }


def _as_json(seen: Seen, names: Sequence[str]) -> str:
    origin = seen.result.origin
    best = [_class(seen, names, index) for index in seen.best]
    described = {
        "image": str(seen.path),
        **best[0],
        "best": best,
        "resized_from": list(seen.picture.resized_from) if seen.picture.resized_from else None,
        "model": {
            "name": origin.model_name,
            "version": origin.model_version,
            "sha256": origin.model_digest.hex(),
            "output_sha256": origin.output_digest.hex(),
        },
        "device": str(origin.device),
        "counter": origin.counter,
        "timings_ms": {name: round(value, 3) for name, value in seen.timings_ms.items()},
    }
    return json.dumps(described)


def _as_text(seen: Seen, names: Sequence[str], frame: Frame) -> str:
    def line(index: int) -> str:
        name = _label(names, index)
        return f"class {index}{f' ({name})' if name else ''}, score {seen.scores[index]:.3f}"

    text = f"{seen.path}: {line(seen.best[0])}"
    if seen.picture.resized_from:
        width, height = seen.picture.resized_from
        text += f"\n  resized from {width} x {height} to {frame.width} x {frame.height}"
    return text
