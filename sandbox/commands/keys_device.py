# SPDX-License-Identifier: Apache-2.0
"""sandbox keys list, show, csr, rotate: the key pairs of a machine's device and its TA."""

import argparse
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from sandbox.authority import device
from sandbox.authority.manufacturer import ATTESTATION_NAME, Manufacturer
from sandbox.commands import trust, verify_steps
from sandbox.commands.context import Context
from sandbox.errors import GuestError, UserError
from sandbox.machine import flash
from sandbox.machine.boot import GUEST_SHARE
from sandbox.machine.machine import Machine
from sandbox.owner import cose
from sandbox.owner.client import TaKeys, Trust
from sandbox.owner.service import Session

SESSION = "keys"
# Of the TA, and what each is for.
_OF_THE_TA = {
    "wrapping": "ECDH-ES: owners wrap their keys to it",
    "signing": "ES256: signs results",
}
_LABELS = (ATTESTATION_NAME, *_OF_THE_TA)
_FORMATS = ("pem", "jwk", "cose")


class RotationRefused(GuestError):
    """The machine says that a key was replaced, and evidence does not."""


def add_verbs(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    listing = verbs.add_parser(
        "list",
        help="list the key pairs of the device and of the TA",
        description="List the key pairs by label, with their RFC 9679 thumbprints. None is stored:"
        " the device's attestation key follows from its hardware unique key, the TA's from that,"
        " its code, and salts that each rotation draws anew. The TA's come from judged evidence.",
    )
    listing.add_argument("--json", action="store_true", help="print one JSON object")
    trust.add_options(listing)
    listing.set_defaults(run=list_keys)

    showing = verbs.add_parser(
        "show",
        help="print the public part of a key",
        description="Print the public part of a key; of the TA's only after its evidence was"
        " judged.",
        epilog="Example: sandbox keys show signing --format jwk",
    )
    showing.add_argument("label", choices=_LABELS, metavar="LABEL", help=", ".join(_LABELS))
    showing.add_argument(
        "--format",
        choices=_FORMATS,
        default="pem",
        help="pem: SubjectPublicKeyInfo; jwk: RFC 7517; cose: COSE_Key in hexadecimal (pem)",
    )
    trust.add_options(showing)
    showing.set_defaults(run=show)

    requesting = verbs.add_parser(
        "csr",
        help="have the TA make a request for a certificate",
        description="Print a certificate signing request (PKCS#10) for the TA's signing key, made"
        " and signed in the secure world, with the device's UUID in its subject.",
        epilog="Example: sandbox keys csr signing --out signing.csr",
    )
    requesting.add_argument("label", choices=["signing"], metavar="LABEL", help="signing")
    requesting.add_argument("--out", type=Path, metavar="FILE", help="write it here")
    requesting.set_defaults(run=csr)

    rotating = verbs.add_parser(
        "rotate",
        help="replace a key pair of the TA by another",
        description="From now on the TA has another key of this name. What was wrapped to the old"
        " one opens nowhere; results that it signed stay signed by it. The TA's evidence is judged"
        " before and after: the normal world, which carries the command, can withhold it, and is"
        " found out then.",
    )
    rotating.add_argument(
        "label", choices=list(_OF_THE_TA), metavar="LABEL", help=", ".join(_OF_THE_TA)
    )
    trust.add_options(rotating)
    rotating.set_defaults(run=rotate)


@contextlib.contextmanager
def _session(machine: Machine) -> Iterator[Session]:
    with machine.guest() as guest, Session(Machine.service(guest), GUEST_SHARE) as session:
        session.attach(SESSION)
        try:
            yield session
        finally:
            session.close_session(SESSION)


def _keys_of_ta(
    args: argparse.Namespace, context: Context, machine: Machine
) -> dict[str, ec.EllipticCurvePublicKey]:
    trusted = trust.of(machine, context.progress, args)
    with context.progress.step("evidence"), _session(machine) as session:
        return _of_the_ta(trusted.keys_of(session))


def _of_the_ta(keys: TaKeys) -> dict[str, ec.EllipticCurvePublicKey]:
    return {"wrapping": keys.wrapping, "signing": keys.signing}


def _attestation_key(machine: Machine) -> ec.EllipticCurvePublicKey:
    """As its manufacturer endorsed it."""
    of = device.device_uuid(flash.hardware_unique_key(machine.folder.flash))
    certificate = Manufacturer().endorsement(of)
    if certificate is None:
        raise UserError(
            f"no manufacturer has endorsed the device {of}",
            "`sandbox up` does, for each device that it makes.",
        )
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    return key


def list_keys(args: argparse.Namespace, context: Context) -> int:
    machine = context.machine()
    found = {ATTESTATION_NAME: _attestation_key(machine), **_keys_of_ta(args, context, machine)}
    uses = {ATTESTATION_NAME: "ES256: OP-TEE signs evidence with it", **_OF_THE_TA}
    with context.progress.printing():
        if args.json:
            print(
                json.dumps(
                    {
                        label: {
                            "curve": "P-256",
                            "use": uses[label],
                            "thumbprint": cose.thumbprint(key).hex(),
                        }
                        for label, key in found.items()
                    }
                )
            )
            return 0
        for label, key in found.items():
            print(f"{label:<12} P-256  {cose.thumbprint(key).hex()}  {uses[label]}")
    return 0


def show(args: argparse.Namespace, context: Context) -> int:
    machine = context.machine()
    if args.label == ATTESTATION_NAME:
        key = _attestation_key(machine)
    else:
        key = _keys_of_ta(args, context, machine)[args.label]
    with context.progress.printing():
        if args.format == "pem":
            print(cose.to_pem(key), end="")
        else:
            print(cose.to_jwk(key) if args.format == "jwk" else cose.encode_key(key).hex())
    return 0


def csr(args: argparse.Namespace, context: Context) -> int:
    with context.progress.step("certificate signing request"), _session(context.machine()) as ta:
        der = ta.csr(args.label)
    try:
        pem = x509.load_der_x509_csr(der).public_bytes(Encoding.PEM)
    except ValueError as error:
        raise GuestError(f"what came from the machine is no PKCS#10 request: {error}") from error
    if args.out is not None:
        verify_steps.write(args.out, pem)
        return 0
    with context.progress.printing():
        print(pem.decode(), end="")
    return 0


def rotated(session: Session, trusted: Trust, label: str) -> ec.EllipticCurvePublicKey:
    """The new key, from evidence: the answer to the command is the normal world's word."""
    before = trusted.keys_of(session)
    session.rotate(label)
    after = trusted.keys_of(session)
    if (after.device, after.code) != (before.device, before.code):
        raise RotationRefused(
            f"the {label} key's evidence before and after is not of one TA on one device",
            "Nothing is known of the key that was to be replaced.",
        )
    old, new = (_of_the_ta(keys)[label] for keys in (before, after))
    if cose.thumbprint(new) == cose.thumbprint(old):
        raise RotationRefused(
            f"the machine says that the {label} key was replaced, and evidence still has"
            f" {cose.thumbprint(old).hex()}",
            "The normal world has withheld the command: treat the key as being in use.",
        )
    return new


def rotate(args: argparse.Namespace, context: Context) -> int:
    machine = context.machine()
    trusted = trust.of(machine, context.progress, args)
    with context.progress.step(f"another {args.label} key"), _session(machine) as session:
        key = rotated(session, trusted, args.label)
    with context.progress.printing():
        print(f"{args.label}: replaced, now {cose.thumbprint(key).hex()}")
    return 0
