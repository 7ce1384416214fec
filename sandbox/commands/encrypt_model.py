# SPDX-License-Identifier: Apache-2.0
"""sandbox encrypt-model: a model, sealed by its owner, or by the TA."""

import argparse
import hashlib
import json
from pathlib import Path

from sandbox.commands import store_key, trust
from sandbox.commands.context import Context
from sandbox.commands.model_vault import version
from sandbox.errors import HostError, UserError
from sandbox.owner import keys, sealed_file
from sandbox.owner.client import read
from sandbox.owner.sealed_file import DIGEST_BYTES, Header, check_name, key_id, name_from
from sandbox.owner.service import TaError
from sandbox.owner.share import Share
from sandbox.tee_abi import HEADER_BYTES, MODEL_MAX_BYTES, Kind

SESSION = "encrypt-model"
# What the stream adds: its header, and a tag for each of its segments.
_OVERHEAD_BYTES = 1 << 16


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "encrypt-model",
        help="seal a model",
        description="Seal a model with its owner's key, on the owner's machine: no machine of the"
        " sandbox is needed. With --in-ta, a trusted application that was built for it (`sandbox"
        " up --encrypt-model`) seals the model with a key that the device keeps.",
        epilog="Example: sandbox encrypt-model --input m.tflite --output m.sealed"
        " --key-file model.key",
    )
    parser.add_argument("--input", type=Path, required=True, metavar="MODEL", help="a .tflite file")
    parser.add_argument(
        "--output", type=Path, required=True, metavar="FILE", help="where the sealed model goes"
    )
    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument("--key-file", type=Path, metavar="FILE", help="the owner's key, 32 bytes")
    who.add_argument(
        "--in-ta",
        action="store_true",
        help="let the TA do it: the model passes through the normal world in the clear",
    )
    parser.add_argument(
        "--key-id",
        type=store_key.identity,
        metavar="KEYID",
        help="with --in-ta: a key of `sandbox store-key --list`",
    )
    parser.add_argument("--name", metavar="NAME", help="what the model is called (the file's name)")
    parser.add_argument(
        "--version", type=version, default=1, metavar="V", help="of the model, 1 and up (1)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    trust.add_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, context: Context) -> int:
    if args.in_ta != (args.key_id is not None):
        raise UserError("--in-ta and --key-id go together")
    name = check_name(args.name) if args.name is not None else name_from(args.input.stem)
    plain = read(args.input)
    if args.in_ta:
        identity = args.key_id
        sealed = _in_ta(args, context, plain, name)
    else:
        key = keys.read_key_file(args.key_file)
        identity = key_id(key)
        sealed = sealed_file.seal_model(key, plain, name=name, version=args.version).data
    try:
        args.output.write_bytes(sealed)
    except OSError as error:
        raise HostError(f"cannot write {args.output}: {error.strerror}") from error
    digest = hashlib.sha256(plain).hexdigest()
    with context.progress.printing():
        if args.json:
            described = {
                "output": str(args.output),
                "name": name,
                "version": args.version,
                "key_id": identity.hex(),
                "sha256": digest,
                "size": len(sealed),
            }
            print(json.dumps(described))
        else:
            print(f"{args.output}: {name}, version {args.version}, key {identity.hex()}")
            print(f"  the model's SHA-256: {digest}")
    return 0


def _in_ta(args: argparse.Namespace, context: Context, plain: bytes, name: str) -> bytes:
    if not 1 <= len(plain) <= MODEL_MAX_BYTES:
        raise UserError(f"a model has 1 byte to {MODEL_MAX_BYTES >> 20} MiB, not {len(plain)}")
    subject = name.encode().ljust(DIGEST_BYTES, b"\0")
    header = Header(Kind.MODEL, args.key_id, args.version, len(plain), subject).pack()
    machine = context.machine()
    trusted = trust.of(machine, context.progress, args)
    share = Share(machine.share)
    with store_key.attached(machine, SESSION) as session:
        # What another TA makes of a model is of no use to anybody.
        trusted.keys_of(session)
        request, answer = share.put(header + plain, "plain"), share.new_path("sealed")
        try:
            session.encrypt(request, answer)
            sealed = share.take(answer, len(header) + len(plain) + _OVERHEAD_BYTES)
        except TaError as error:
            if error.status == "ENCRYPT_ABSENT":
                error.hints = (
                    "`sandbox down`, then `sandbox up --encrypt-model`, boots a TA that does."
                    " Or seal it with --key-file.",
                )
            raise
        finally:
            share.drop(request)
            share.drop(answer)
    if sealed[:HEADER_BYTES] != header:
        raise sealed_file.SealedFileError("what came back is not this model's sealed file")
    return sealed
