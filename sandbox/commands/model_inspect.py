# SPDX-License-Identifier: Apache-2.0
"""sandbox model inspect: how the engine plans a model, and which machines have room for it."""

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from sandbox.build import recipe
from sandbox.commands.context import Context
from sandbox.errors import HostError
from sandbox.log import Progress
from sandbox.model import doctor, profiles, report, svg, text
from sandbox.model.as_json import as_json
from sandbox.model.doctor import Fit
from sandbox.model.profiles import Profile
from sandbox.model.report import Cpu, Report

_WIDTH_MAX = 160


def run(args: argparse.Namespace, context: Context) -> int:
    wanted = [profiles.named(args.profile)] if args.profile else profiles.PROFILES
    found, fits = look(args.model, wanted, context.progress)
    if args.svg:
        write(args.svg, svg.render(found, args.model.name))
    with context.progress.printing():
        if args.json:
            print(json.dumps(as_json(found, fits, str(args.model))))
            return 0
        width = min(shutil.get_terminal_size().columns, _WIDTH_MAX)
        print(f"{text.title(found, args.model.name)}\n\n{text.report_text(found, fits, width)}")
        if args.svg:
            print(f"\npicture: {args.svg}")
    return 0


def look(
    model: Path, wanted: Sequence[Profile], progress: Progress
) -> tuple[Report, tuple[Fit, ...]]:
    """The plan for the first profile, and whether the model fits each.

    The TA measures whether kernels without vectors are faster: it has to fit with either.
    """
    program = recipe.model_report(progress)
    by_cpu: dict[Cpu, list[Report]] = {}
    for cpu in dict.fromkeys(profile.cpu for profile in wanted):
        rooms = sorted({profiles.room_bytes(p) for p in wanted if p.cpu == cpu})
        limits = [*rooms, report.ARENA_ALONE, report.UNLIMITED]
        by_cpu[cpu] = [
            report.inspect(program, model, each, limits) for each in (cpu, cpu | Cpu.FAST_SCALAR)
        ]
    fits = tuple(
        doctor.worse(doctor.fit(plan, profile) for plan in by_cpu[profile.cpu])
        for profile in wanted
    )
    return by_cpu[wanted[0].cpu][0], fits


def write(path: Path, content: str) -> None:
    try:
        path.write_text(content)
    except OSError as error:
        raise HostError(f"cannot write {path}: {error.strerror}") from error
