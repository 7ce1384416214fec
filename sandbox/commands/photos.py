# SPDX-License-Identifier: Apache-2.0
"""sandbox photos: the test photos that may not be copied, from the Debian package that has them."""

import argparse
import hashlib
import json
import os
import shutil
import tomllib
from pathlib import Path

from sandbox import paths
from sandbox.build import sources
from sandbox.commands.context import Context
from sandbox.errors import InfraError
from sandbox.log import Progress

MANIFEST = "fixtures/photos/MANIFEST.toml"


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "photos",
        help="get the photos that the demo and the tests use",
        description="Some photos have no clear licence and are not part of this project. They are"
        " taken from a Debian package, checked by digest.",
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    fetch = verbs.add_parser("fetch", help="put them into a folder")
    fetch.add_argument("--out", type=Path, required=True, metavar="DIR", help="where to put them")
    fetch.add_argument("--json", action="store_true", help="print one JSON array of their paths")
    fetch.set_defaults(run=run)


class PhotoError(InfraError):
    """A package does not hold the photo that the manifest names."""


def fetch(folder: Path, progress: Progress) -> list[Path]:
    """Copies of all photos with `fetched_from` in the manifest."""
    manifest = tomllib.loads((paths.project_dir() / MANIFEST).read_text())
    folder.mkdir(parents=True, exist_ok=True)
    fetched = []
    for name, entry in manifest.items():
        if "fetched_from" not in entry:
            continue
        target = folder / name
        fetched.append(target)
        if target.is_file() and _digest(target) == entry["sha256"]:
            continue
        source, _, inside = entry["fetched_from"].partition(":")
        original = sources.unpacked(source, progress) / inside
        if not original.is_file() or _digest(original) != entry["sha256"]:
            raise PhotoError(
                f"package {source} does not hold the {inside} that {MANIFEST} names",
                f"`sandbox inputs update {source}`, then correct the manifest if that is right.",
            )
        shutil.copyfile(original, target)
    return fetched


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def run(args: argparse.Namespace, context: Context) -> int:
    fetched = fetch(args.out, context.progress)
    if args.json:
        print(json.dumps([os.fspath(path) for path in fetched]))
        return 0
    context.progress.note(f"{len(fetched)} photos in {args.out}")
    return 0
