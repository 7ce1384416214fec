# SPDX-License-Identifier: Apache-2.0
"""sandbox reference-values: what evidence has to say of code that is as it was built."""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from sandbox.build import recipe
from sandbox.commands.context import Context
from sandbox.commands.up import core_count
from sandbox.devkit import build, elf
from sandbox.errors import UserError
from sandbox.log import Progress
from sandbox.reference import core, ta
from sandbox.reference.core import MeasurementError
from sandbox.reference.values import ReferenceValues, TaValue


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "reference-values",
        help="compute the measurements that evidence has to have",
        description="Compute, from what was built and without a machine, the measurements of"
        " OP-TEE's core, of the inference TA, and of other TAs: what a verifier compares evidence"
        " with. docs/attestation.md has the rules.",
        epilog="Examples: sandbox reference-values --out values.json my_project;"
        " sandbox reference-values --corim values.corim",
    )
    parser.add_argument(
        "tas",
        nargs="*",
        type=Path,
        metavar="TA",
        help="a .ta file, a TA's .elf file beside it, or a project, which is built",
    )
    parser.add_argument(
        "--cores",
        type=core_count,
        metavar="N",
        help="for a machine with so many: one OP-TEE serves up to 8, another up to 16",
    )
    parser.add_argument(
        "--encrypt-model",
        action="store_true",
        help="of the inference TA that seals models (`sandbox up --encrypt-model`)",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON object")
    form.add_argument("--out", type=Path, metavar="FILE", help="write it to a file")
    form.add_argument(
        "--corim",
        type=Path,
        metavar="FILE",
        help="write them for other verifiers, with the keys of endorsed devices: CoRIM, signed",
    )
    parser.add_argument("--unsigned", action="store_true", help="do not sign the CoRIM")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, context: Context) -> int:
    if args.unsigned and args.corim is None:
        raise UserError("--unsigned without --corim: nothing would be signed")
    values = built(args.cores or 1, context.progress, args.tas, encrypt_model=args.encrypt_model)
    text = json.dumps(values.as_json(), indent=2)
    if args.corim is not None:
        # Imported late: most callers do without.
        from sandbox.commands import corim_file

        corim_file.write(args.corim, text, signed=not args.unsigned)
        return 0
    if args.json:
        print(text)
        return 0
    if args.out is not None:
        try:
            args.out.write_text(text + "\n")
        except OSError as error:
            raise UserError(f"cannot write {args.out}: {error.strerror}") from error
        return 0
    print(f"{values.core.sha256.hex()}  OP-TEE core {values.core.version}")
    for each in values.tas:
        print(f"{each.sha256.hex()}  {each.uuid} {each.name} {each.version}".rstrip())
    return 0


def built(
    cores: int, progress: Progress, tas: Sequence[Path] = (), *, encrypt_model: bool = False
) -> ReferenceValues:
    """Of OP-TEE's core for a machine with so many cores, the inference TA, and others."""
    inference = _inference(progress, encrypt_model=encrypt_model)
    return ReferenceValues(_core(cores, progress), (*inference, *others(tas, progress)))


def _core(cores: int, progress: Progress) -> core.CoreValue:
    built = recipe.optee_os(cores, progress)
    return core.measure(built / "core" / "tee-pager_v2.bin", built / "symbols" / "core.elf")


def _inference(progress: Progress, *, encrypt_model: bool) -> Iterator[TaValue]:
    for path in sorted(recipe.inference_ta(progress, encrypt_model=encrypt_model).glob("*.ta")):
        yield _value(path, "inference")


def others(given: Sequence[Path], progress: Progress) -> Iterator[TaValue]:
    for path in given:
        if path.is_dir():
            for built in build.build(path, progress).tas:
                if built.flags is not None:
                    yield _value(built.ta, built.name)
        elif path.suffix == ".elf":
            signed = path.with_suffix("").with_suffix(".ta")
            if not signed.is_file():
                raise MeasurementError(
                    f"{path} has no {signed.name} beside it",
                    "What OP-TEE loads and measures is the signed file.",
                )
            yield _value(signed, None)
        else:
            yield _value(path, None)


def _value(path: Path, name: str | None) -> TaValue:
    measured = ta.measure(path)
    symbols = path.with_suffix(".elf")
    there = symbols.is_file()
    return TaValue(
        measured.uuid,
        name or (elf.ta_description(symbols) if there else None) or path.stem,
        (elf.ta_version(symbols) if there else None) or "",
        measured.sha256,
    )
