# SPDX-License-Identifier: Apache-2.0
"""sandbox model push, list, remove, activate: models that stay in the secure world."""

import argparse
import contextlib
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

from sandbox.commands import trust
from sandbox.commands.context import Context
from sandbox.commands.watched import serving
from sandbox.machine.machine import Machine
from sandbox.owner.client import owned_model, owners_key
from sandbox.owner.sealed_file import check_name, name_from
from sandbox.owner.service import Stored
from sandbox.owner.share import Share
from sandbox.owner.vault import Record, Vault

SESSION = "vault"


def version(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) < 1 << 64:
        raise argparse.ArgumentTypeError(f"a number from 1 to 2^64 - 1, not {text!r}")
    return int(text)


def add_verbs(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    pushing = verbs.add_parser(
        "push",
        help="put a model into a device's vault",
        description="Seal a model and put it into the vault of the machine's device, with its key:"
        " it stays there over reboots, and `sandbox detect --vault` uses it without sending it."
        " No older version of it, and none before a removed one, gets there again.",
        epilog="Example: sandbox model push detector.tflite --name front-door --version 3",
    )
    pushing.add_argument("model", type=Path, metavar="MODEL", help="a .tflite file")
    pushing.add_argument("--name", metavar="NAME", help="what it is called (the file's name)")
    pushing.add_argument(
        "--version",
        type=version,
        metavar="V",
        help="1 and up (one above what this user has pushed last, if the model is another)",
    )
    pushing.add_argument("--json", action="store_true", help="print one JSON object")
    trust.add_options(pushing)
    pushing.set_defaults(run=push)

    listing = verbs.add_parser(
        "list",
        help="print what is in the vault",
        description="Print what is in the vault, as the normal world tells it, beside what this"
        " user has put there. A model that is in use is checked, whatever is told here.",
    )
    listing.add_argument("--json", action="store_true", help="print one JSON object")
    listing.set_defaults(run=list_models)

    for name, run, sentence in (
        ("remove", remove, "take a model out of the vault"),
        ("activate", activate, "choose the model that is used when none is named"),
    ):
        verb = verbs.add_parser(
            name,
            help=sentence,
            description=f"{sentence[0].upper()}{sentence[1:]}. It needs the key of the model. That"
            " it was done is the normal world's word: it can withhold the command, and the model"
            " stays as it was. What `sandbox detect --vault` uses is checked, whatever is told.",
        )
        verb.add_argument("name", metavar="NAME", help="what it is called")
        trust.add_options(verb)
        verb.set_defaults(run=run)


@contextlib.contextmanager
def _vault(machine: Machine) -> Iterator[Vault]:
    with serving(machine) as session:
        vault = Vault(session, Share(machine.share), owners_key(), SESSION)
        try:
            yield vault
        finally:
            # It holds the owner's key, and a model in secure memory.
            session.close_session(SESSION)


def push(args: argparse.Namespace, context: Context) -> int:
    name = check_name(args.name) if args.name is not None else name_from(args.model.stem)
    model = dataclasses.replace(owned_model(args.model), name=name)
    machine = context.machine()
    trusted = trust.of(machine, context.progress, args)
    trusted.check_model(model.digest)
    with _vault(machine) as vault:
        chosen = args.version if args.version is not None else vault.record.version_for(model)
        with context.progress.step(f"{name}, version {chosen}"):
            vault.authorize(trusted)
            stored = vault.push(dataclasses.replace(model, version=chosen))
        active = vault.record.active == name
        device = vault.device
    described = {
        "name": stored.name,
        "version": stored.version,
        "sha256": stored.digest.hex(),
        "active": active,
        "device": str(device),
    }
    with context.progress.printing():
        if args.json:
            print(json.dumps(described))
        else:
            print(
                f"{stored.name}, version {stored.version}{', active' if active else ''}:"
                f" in the vault of {device}"
            )
    return 0


def list_models(args: argparse.Namespace, context: Context) -> int:
    with _vault(context.machine()) as vault:
        models = [(stored, vault.is_own(stored)) for stored in vault.models()]
        record = vault.record
        device = vault.device
    missing = _missing(record, [stored for stored, own in models if own])
    if args.json:
        described = {
            "device": str(device),
            "models": [
                {
                    "name": stored.name,
                    "version": stored.version,
                    "sha256": stored.digest.hex(),
                    "size": stored.size,
                    "active": stored.active,
                    "key_id": stored.key_id.hex(),
                    "own": own,
                }
                for stored, own in models
            ],
            "missing": missing,
        }
        with context.progress.printing():
            print(json.dumps(described))
        return 0
    with context.progress.printing():
        for stored, own in models:
            state = "active" if stored.active else ""
            owner = "" if own else f"  key {stored.key_id.hex()}"
            print(
                f"{stored.name:<32}  version {stored.version:<4}  {stored.size:>9,} bytes"
                f"  {stored.digest.hex()[:16]}  {state}{owner}".rstrip()
            )
        if not models:
            print("the vault is empty")
        for name in missing:
            model = record.models[name]
            print(f"{name}: version {model.version} was put there, and is not what is told now")
    return 0


def _missing(record: Record, own: list[Stored]) -> list[str]:
    """Names of models that were put there, and are not told."""
    told = {(stored.name, stored.version, stored.digest) for stored in own}
    return [
        name
        for name, model in record.models.items()
        if (name, model.version, model.digest) not in told
    ]


def remove(args: argparse.Namespace, context: Context) -> int:
    check_name(args.name)
    machine = context.machine()
    trusted = trust.of(machine, context.progress, args)
    with _vault(machine) as vault:
        vault.authorize(trusted)
        vault.remove(args.name)
    return 0


def activate(args: argparse.Namespace, context: Context) -> int:
    check_name(args.name)
    machine = context.machine()
    trusted = trust.of(machine, context.progress, args)
    with _vault(machine) as vault:
        vault.authorize(trusted)
        vault.activate(args.name)
    return 0
