# SPDX-License-Identifier: Apache-2.0
"""sandbox verify: whether evidence is of a device and code that may be relied on."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox import paths
from sandbox.commands import verify_steps
from sandbox.commands.context import Context
from sandbox.errors import UserError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "verify",
        help="judge evidence of a device and its TA",
        description="Appraise evidence (an Entity Attestation Token): its form, the certificate"
        " of the attestation key, the signature, the challenge, and what the token says, by"
        " reference values and a policy. Prints one line a check; exits with 0 only if all hold"
        " (but for what --no-revocation leaves out)."
        " docs/verifier.md has more.",
        epilog="Examples: sandbox verify token.cbor --nonce 00112233445566778899aabbccddeeff"
        " --reference reference.json --ear result.jwt; sandbox verify token.cbor --show;"
        " sandbox verify --print-policy --reference reference.json > policy.toml",
    )
    parser.add_argument(
        "evidence", nargs="?", type=Path, metavar="EVIDENCE", help="a token, or - for input"
    )
    verify_steps.add_options(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--ear",
        type=Path,
        metavar="FILE",
        help="write the result as a signed EAR (JWT), whatever it is",
    )
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--show", action="store_true", help="print the evidence, judge nothing")
    instead.add_argument(
        "--print-policy", action="store_true", help="print a policy to begin with (TOML)"
    )
    instead.add_argument(
        "--print-key", action="store_true", help="print the key that checks an EAR (JWK)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, context: Context) -> int:
    if args.print_key:
        return _print_key()
    if args.print_policy:
        # Imported late, as below: other verbs do without.
        from sandbox.verifier import policy

        reference = verify_steps.reference_values(args.reference, context.progress)
        print(policy.default_toml(reference), end="")
        return 0
    if args.evidence is None:
        raise UserError("no evidence to verify", "Name a file; `sandbox verify --help` has more.")
    return _show(args, context) if args.show else _judge(args, context)


def _print_key() -> int:
    from sandbox.verifier import ear

    key = _key().public_key()
    print(json.dumps({**ear.jwk(key), "alg": "ES256", "kid": ear.thumbprint(key)}))
    return 0


def _key() -> "ec.EllipticCurvePrivateKey":
    from sandbox.verifier.kept_key import kept_key

    return kept_key(paths.verifier_dir() / "ear.pem")


def _show(args: argparse.Namespace, context: Context) -> int:
    from rich.console import Console

    from sandbox.verifier import show
    from sandbox.verifier.evidence import decode

    evidence = decode(verify_steps.read_evidence(args.evidence))
    with context.progress.printing():
        if args.json:
            print(json.dumps(show.evidence_json(evidence)))
        else:
            show.print_evidence(evidence, Console(highlight=False))
    return 0


def _judge(args: argparse.Namespace, context: Context) -> int:
    from rich.console import Console

    from sandbox.verifier import ear, show

    appraisal = verify_steps.appraise(args, args.evidence, context.progress)
    if args.ear is not None:
        verify_steps.write(args.ear, ear.sign(appraisal, _key()).encode() + b"\n")
    with context.progress.printing():
        if args.json:
            # The whole answer, also of a refusal, is this object.
            print(json.dumps(appraisal.as_json()))
            return 0 if appraisal.good else UserError.exit_code
        show.print_appraisal(appraisal, Console(highlight=False))
    appraisal.raise_for_status()
    return 0
