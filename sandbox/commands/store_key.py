# SPDX-License-Identifier: Apache-2.0
"""sandbox store-key: a model owner's key, which the device keeps."""

import argparse
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from sandbox.commands import trust
from sandbox.commands.context import Context
from sandbox.commands.watched import serving
from sandbox.machine.machine import Machine
from sandbox.owner import keys
from sandbox.owner.sealed_file import KEY_ID_BYTES, key_id
from sandbox.owner.service import Session
from sandbox.owner.share import Share

SESSION = "store-key"


def identity(text: str) -> bytes:
    """A key id, as `--list` prints it."""
    with contextlib.suppress(ValueError):
        found = bytes.fromhex(text)
        if len(found) == KEY_ID_BYTES:
            return found
    raise argparse.ArgumentTypeError(f"{KEY_ID_BYTES} bytes in hexadecimal, not {text!r}")


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "store-key",
        help="let the device keep a key that opens sealed models",
        description="Give a model owner's key to the trusted application, once its evidence is"
        " judged, for the device to keep over reboots: models that were sealed with it load in any"
        " session then. A key comes from a file and never from the command line, where everybody"
        " on the host could read it.",
        epilog="Example: sandbox store-key --new model.key",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--key-file", type=Path, metavar="FILE", help="32 bytes, for its owner alone")
    what.add_argument(
        "--new", type=Path, metavar="FILE", help="make a key, in a file that must not exist"
    )
    what.add_argument(
        "--list", action="store_true", help="print the ids of the keys that the device keeps"
    )
    what.add_argument(
        "--remove", type=identity, metavar="KEYID", help="let the device forget this one"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    trust.add_options(parser)
    parser.set_defaults(run=run)


@contextlib.contextmanager
def attached(machine: Machine, name: str) -> Iterator[Session]:
    """A TA session that ends with the block."""
    with serving(machine) as session:
        session.attach(name)
        try:
            yield session
        finally:
            session.close_session(name)


def run(args: argparse.Namespace, context: Context) -> int:
    machine = context.machine()
    if args.list:
        return _list(args, context, machine)
    if args.remove is not None:
        with attached(machine, SESSION) as session:
            session.forget(args.remove)
        return _say(args, context, "removed", args.remove)
    # Looked for first: a key that no device could have is none that is worth a file.
    with attached(machine, SESSION) as session:
        trusted = trust.of(machine, context.progress, args)
        if args.new is not None:
            ta = trusted.keys_of(session)
            key = keys.make_key_file(args.new)
        else:
            key = keys.read_key_file(args.key_file)
            ta = trusted.keys_of(session)
        share = Share(machine.share)
        path = share.put(keys.wrap(key, keys.Slot.STORED, ta.wrapping, ta.challenge), "key")
        try:
            session.provision(keys.Slot.STORED.name.lower(), path)
        finally:
            share.drop(path)
    return _say(args, context, "stored", key_id(key))


def _say(args: argparse.Namespace, context: Context, what: str, key: bytes) -> int:
    with context.progress.printing():
        if args.json:
            print(json.dumps({"key_id": key.hex(), what: True}))
        else:
            print(f"key {key.hex()} {what}")
    return 0


def _list(args: argparse.Namespace, context: Context, machine: Machine) -> int:
    with attached(machine, SESSION) as session:
        found = [each.hex() for each in session.stored_keys()]
    with context.progress.printing():
        if args.json:
            print(json.dumps({"keys": found}))
        else:
            print("\n".join(found) if found else "the device keeps no key")
    return 0
