# SPDX-License-Identifier: Apache-2.0
"""sandbox attest: evidence of a machine's TA, shown and judged."""

import argparse
import json
import os
from pathlib import Path
from typing import Any

from sandbox.commands import trust, verify_steps
from sandbox.commands.context import Context
from sandbox.errors import UserError
from sandbox.machine.boot import GUEST_SHARE
from sandbox.machine.machine import Machine
from sandbox.owner.service import Session

SESSION = "attest"
_NONCE_BYTES = 32


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "attest",
        help="ask the inference TA for evidence, and judge it",
        description="Ask the inference TA for evidence of the device, of OP-TEE and of its own code"
        " (an Entity Attestation Token), print what it says, and judge it as `sandbox detect` does"
        " before it sends a photo. Exits with 0 only if all holds. docs/attestation.md has more.",
        epilog="Example: sandbox attest --out token.cbor",
    )
    parser.add_argument(
        "--nonce",
        type=verify_steps.nonce,
        metavar="HEX",
        help="the challenge of somebody else, who is to judge it (random)",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the token here")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    trust.add_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, context: Context) -> int:
    # Imported late: other verbs do without.
    from rich.console import Console

    from sandbox.verifier import show
    from sandbox.verifier.evidence import decode

    nonce: bytes = args.nonce or os.urandom(_NONCE_BYTES)
    machine = context.machine()
    with machine.guest() as guest, Session(Machine.service(guest), GUEST_SHARE) as session:
        with context.progress.step("evidence"):
            session.attach(SESSION)
            token = session.attest(nonce)
            session.close_session(SESSION)
    if args.out is not None:
        verify_steps.write(args.out, token)
    appraisal = None
    if not args.no_verify:
        with context.progress.step("policy and reference values"):
            verifier = trust.verifier(
                machine,
                context.progress,
                policy_file=args.policy,
                reference_file=args.reference,
            )
        appraisal = verifier.appraise(token, nonce)
    with context.progress.printing():
        if args.json:
            described: dict[str, Any] = {"nonce": nonce.hex(), "token": token.hex()}
            evidence = decode(token) if appraisal is None else appraisal.evidence
            if evidence is not None:
                described["evidence"] = show.evidence_json(evidence)
            if appraisal is not None:
                described["appraisal"] = appraisal.as_json()
            print(json.dumps(described))
            return 0 if appraisal is None or appraisal.good else UserError.exit_code
        console = Console(highlight=False)
        show.print_evidence(decode(token), console)
        if appraisal is not None:
            console.print()
            show.print_appraisal(appraisal, console)
    if appraisal is not None:
        appraisal.raise_for_status()
    return 0
