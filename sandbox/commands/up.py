# SPDX-License-Identifier: Apache-2.0
"""sandbox up: get, build and boot what is not there yet."""

import argparse
import json
import time

from sandbox.authority.manufacturer import ensure_endorsed
from sandbox.build import images
from sandbox.commands import report
from sandbox.commands.context import Context
from sandbox.commands.watched import explaining
from sandbox.errors import UserError
from sandbox.machine import flash, qemu_v8
from sandbox.machine.folder import Stage
from sandbox.machine.machine import State


def core_count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= qemu_v8.MAX_CORES:
        raise argparse.ArgumentTypeError(f"a number from 1 to {qemu_v8.MAX_CORES}, not {text!r}")
    return int(text)


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "up",
        help="build what is missing and start the machine",
        description="Fetch and build what is not in the cache, boot the machine, and return when"
        " the trusted application answers. Harmless if it is up already.",
        epilog="Example: sandbox up --cores 4",
    )
    parser.add_argument(
        "--cores",
        type=core_count,
        metavar="N",
        help=f"cores of the machine, 1 to {qemu_v8.MAX_CORES} (default: the host's, 2 to 8)",
    )
    parser.add_argument(
        "--encrypt-model",
        action="store_true",
        help="with a TA that seals models, for `sandbox encrypt-model --in-ta`: it has another"
        " measurement and other keys, and is not for production",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, context: Context) -> int:
    machine = context.machine()
    cores = args.cores or qemu_v8.default_cores()
    encrypt_model = args.encrypt_model
    before = machine.status()
    if before.state is State.UP and before.record is not None:
        if args.cores not in (None, before.record.cores):
            raise UserError(
                f"machine {machine.name!r} is up already, with {before.record.cores} cores",
                f"`sandbox down`, then `sandbox up --cores {args.cores}`.",
            )
        cores = before.record.cores
        if args.encrypt_model and not before.record.encrypt_model:
            raise UserError(
                f"machine {machine.name!r} is up already, with a TA that seals no models",
                "`sandbox down`, then `sandbox up --encrypt-model`.",
            )
        encrypt_model = before.record.encrypt_model
    if before.remark:
        context.progress.note(before.remark)
    began = time.monotonic()
    prepared = images.prepare(cores, context.progress, encrypt_model=encrypt_model)
    preparing = Stage("images", round(time.monotonic() - began, 3))
    with explaining(machine):
        status, started = machine.up(
            prepared,
            cores=cores,
            memory_mib=context.config.memory_mib,
            timeout_s=context.config.boot_timeout_s,
            progress=context.progress,
            encrypt_model=encrypt_model,
        )
    # As a factory does it, which knows the key of the device that it makes.
    ensure_endorsed(flash.hardware_unique_key(machine.folder.flash))
    assert status.record is not None
    # Of this call, even if the machine was started by an earlier one.
    stages = (preparing, *status.record.stages) if started else status.record.stages
    outdated = not started and status.record.images != qemu_v8.image_paths(prepared)
    if args.json:
        described = report.as_json(machine, status)
        described |= {
            "started": started,
            "outdated": outdated,
            "stages": report.stages_as_json(stages),
        }
        print(json.dumps(described))
        return 0
    if started:
        print(report.stage_table(stages))
        print(f"machine {machine.name!r} is up; cores: {report.cores_text(status.record)}")
    else:
        print(f"machine {machine.name!r} is up already")
        if not status.answers:
            print("It does not answer: see `sandbox logs`; `sandbox down` ends it.")
    if status.record.encrypt_model:
        print(report.SEALS_MODELS)
    if outdated:
        print(
            "It was booted from other images than the sources would give now;"
            " `sandbox down` and `sandbox up` boot those."
        )
    return 0
