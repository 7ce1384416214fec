# SPDX-License-Identifier: Apache-2.0
"""sandbox keys issue, revoke, crl, authority: what the owner's certificate authority does."""

import argparse
import json
import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from sandbox.authority import ca
from sandbox.authority.manufacturer import Manufacturer
from sandbox.authority.owner import CERTIFICATE_DAYS, CSR_MAX_BYTES, OwnerAuthority
from sandbox.commands import verify_steps
from sandbox.commands.context import Context
from sandbox.errors import UserError


def days(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 3650:
        raise argparse.ArgumentTypeError(f"not a number of days from 1 to 3650: {text!r}")
    return int(text)


def add_verbs(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    issuing = verbs.add_parser(
        "issue",
        help="issue a certificate for a key that a TA asked for",
        description="Check a certificate signing request (PKCS#10) that a TA made, and issue an"
        " X.509 certificate: key on P-256, signed by itself, device's UUID in the subject. Only for"
        " a key that the evidence names, of a TA that the policy affirms; the certificate has a"
        " policy that says so. --unattested issues one without, to whoever has the key."
        " The same request again renews: the earlier certificate stays valid until it ends.",
        epilog="Example: sandbox keys issue signing.csr --out signing.pem --evidence token.cbor"
        " --nonce 00112233445566778899aabbccddeeff",
    )
    issuing.add_argument("csr", type=Path, metavar="CSR", help="the request, PEM or DER")
    issuing.add_argument("--out", type=Path, metavar="FILE", help="write the certificate here")
    issuing.add_argument(
        "--days", type=days, default=CERTIFICATE_DAYS, help=f"validity ({CERTIFICATE_DAYS})"
    )
    issuing.add_argument("--evidence", type=Path, metavar="FILE", help="evidence of the same TA")
    issuing.add_argument(
        "--unattested",
        action="store_true",
        help="issue without evidence: the request proves that its maker has the key, and not that"
        " a TA has it",
    )
    verify_steps.add_options(issuing)
    issuing.set_defaults(run=issue)

    revoking = verbs.add_parser(
        "revoke",
        help="take a certificate back",
        description="Take a certificate back, and print or write the new revocation list (CRL)."
        " Its key gets no other certificate, unless the reason says that the key is good.",
        epilog="Example: sandbox keys revoke signing.pem --reason keyCompromise --out owner.crl",
    )
    revoking.add_argument("certificate", metavar="CERT|SERIAL", help="PEM file, or serial number")
    revoking.add_argument("--reason", choices=ca.REASONS, default="unspecified", help="RFC 5280's")
    revoking.add_argument("--out", type=Path, metavar="FILE", help="write the list here")
    revoking.set_defaults(run=revoke)

    listing = verbs.add_parser(
        "crl",
        help="print the revocation list",
        description=f"Sign the revocation list anew, for {ca.CRL_DAYS} days, and print it in PEM.",
    )
    listing.add_argument("--out", type=Path, metavar="FILE", help="write the list here")
    _add_manufacturer(listing)
    listing.set_defaults(run=crl)

    showing = verbs.add_parser(
        "authority",
        help="print the authority's certificate, or what it issued",
        description="Print the root certificate of the owner's authority in PEM: what relying"
        " parties trust. With --issued, what it issued instead.",
    )
    showing.add_argument("--issued", action="store_true", help="list the certificates issued")
    showing.add_argument("--json", action="store_true", help="print one JSON object")
    _add_manufacturer(showing)
    showing.set_defaults(run=authority)


def _add_manufacturer(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--manufacturer",
        action="store_true",
        help="of this user's emulated manufacturer instead: for another's `sandbox verify`",
    )


def _authority(args: argparse.Namespace) -> ca.Authority:
    return Manufacturer() if args.manufacturer else OwnerAuthority()


def issue(args: argparse.Namespace, context: Context) -> int:
    csr = verify_steps.read_limited(args.csr, CSR_MAX_BYTES, "certificate signing request")
    device, keys = None, None
    if args.evidence is not None:
        if args.unattested or args.no_revocation:
            raise UserError(
                "the certificate would say that its key was attested: --unattested and"
                " --no-revocation do not go with --evidence"
            )
        accepted = verify_steps.appraise(args, args.evidence, context.progress).accepted
        device = accepted.device
        keys = [key for key in (accepted.ta.wrapping_key, accepted.ta.signing_key) if key]
    elif args.nonce is not None:
        raise UserError("--nonce without --evidence: there is nothing that it would be compared to")
    elif not args.unattested:
        raise UserError(
            "a request proves that its maker has the key, and not that a TA has it",
            (
                "Name evidence of the same TA with --evidence and --nonce: `sandbox attest` asks"
                " for it.",
                "--unattested issues a certificate that does not say that its key was attested.",
            ),
        )
    certificate = OwnerAuthority().issue(csr, days=args.days, device=device, keys=keys)
    _put(certificate.public_bytes(Encoding.PEM), args.out)
    if args.out is not None:
        print(
            f"{args.out}: {ca.subject_text(certificate.subject)}, serial"
            f" {certificate.serial_number:x}, until {certificate.not_valid_after_utc:%Y-%m-%d}"
        )
    return 0


def revoke(args: argparse.Namespace, context: Context) -> int:
    del context
    owner = OwnerAuthority()
    entry = owner.revoke(_serial(args.certificate), args.reason)
    _put(owner.crl().public_bytes(Encoding.PEM), args.out)
    print(f"revoked: {entry.subject}, serial {entry.serial} ({entry.reason})", file=sys.stderr)
    return 0


def crl(args: argparse.Namespace, context: Context) -> int:
    del context
    _put(_authority(args).crl().public_bytes(Encoding.PEM), args.out)
    return 0


def authority(args: argparse.Namespace, context: Context) -> int:
    del context
    chosen = _authority(args)
    pem = chosen.certificate().public_bytes(Encoding.PEM).decode()
    entries = chosen.issued()
    if args.json:
        issued = [
            {
                "serial": e.serial,
                "subject": e.subject,
                "not_after": e.not_after,
                "reason": e.reason,
                "attested": e.attested,
            }
            for e in entries
        ]
        print(json.dumps({"certificate": pem, "issued": issued}))
    elif args.issued:
        for entry in entries:
            state = f"revoked ({entry.reason})" if entry.revoked_at is not None else "issued"
            seen = "attested" if entry.attested else "-"
            print(f"{entry.serial:<40}  {state:<28}  {seen:<8}  {entry.subject}")
        if not entries:
            print("nothing was issued")
    else:
        print(pem, end="")
    return 0


def _serial(text: str) -> int:
    path = Path(text)
    if not path.exists():
        try:
            return int(text.replace(":", ""), 16)
        except ValueError as error:
            raise UserError(f"neither a file nor a serial number: {text}") from error
    data = verify_steps.read_limited(path, 1 << 16, "certificate")
    try:
        return x509.load_pem_x509_certificate(data).serial_number
    except (ValueError, x509.InvalidVersion) as error:
        raise UserError(f"{path}: no certificate in PEM: {error}") from error


def _put(pem: bytes, out: Path | None) -> None:
    if out is None:
        print(pem.decode(), end="")
    else:
        verify_steps.write(out, pem)
