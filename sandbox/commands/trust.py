# SPDX-License-Identifier: Apache-2.0
"""Whether a machine's TA is trusted: its evidence appraised before it gets a key, or not at all."""

import argparse
from pathlib import Path

from sandbox.commands import verify_steps
from sandbox.log import Progress
from sandbox.machine.machine import Machine
from sandbox.owner import cose
from sandbox.owner.client import TaKeys, Trust
from sandbox.owner.service import Session
from sandbox.verifier.appraisal import Appraisal
from sandbox.verifier.errors import KeyRefused, ModelUnlisted
from sandbox.verifier.verifier import Verifier


def add_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("trust")
    group.add_argument(
        "--policy",
        type=Path,
        metavar="FILE",
        help="what is accepted of a TA, in TOML (what this sandbox builds, debugging allowed:"
        " `sandbox verify --print-policy`)",
    )
    group.add_argument(
        "--reference",
        type=Path,
        metavar="FILE",
        help="measurements to expect, of `sandbox reference-values` (what the sources build)",
    )
    group.add_argument(
        "--no-verify",
        action="store_true",
        help="take the normal world's word for the TA's keys: nothing is protected then",
    )


class Verified:
    """Only a TA whose evidence the policy affirms gets keys."""

    def __init__(self, verifier: Verifier) -> None:
        self.verifier = verifier

    def appraise(self, session: Session) -> Appraisal:
        nonce = self.verifier.challenge()
        return self.verifier.appraise(session.attest(nonce), nonce)

    def keys_of(self, session: Session) -> TaKeys:
        appraisal = self.appraise(session)
        evidence = appraisal.accepted
        challenge = evidence.ta.challenge
        if challenge is None:
            raise KeyRefused(
                "the evidence names no challenge for keys",
                "Only evidence that the inference TA asked for does.",
            )
        return TaKeys(
            appraisal.wrapping_key,
            appraisal.signing_key,
            challenge,
            evidence.device,
            evidence.ta_code.measurement,
        )

    def check_model(self, digest: bytes) -> None:
        models = self.verifier.policy.models
        if models is not None and digest not in models:
            raise ModelUnlisted(
                f"the policy does not list the model {digest.hex()}",
                "Name it under `models` in the policy file, or use another model.",
            )


class Believed:
    """The normal world's word is enough."""

    def keys_of(self, session: Session) -> TaKeys:
        wrapping, signing = (
            cose.decode_key(session.own_key(name)) for name in ("wrapping", "signing")
        )
        info = session.info()
        return TaKeys(wrapping, signing, info.challenge, info.device, None)

    def check_model(self, digest: bytes) -> None:
        pass


def verifier(
    machine: Machine,
    progress: Progress,
    *,
    policy_file: Path | None = None,
    reference_file: Path | None = None,
) -> Verifier:
    """With what the sources build for this machine, unless a file says otherwise."""
    record = machine.status().record
    return verify_steps.make_verifier(
        policy_file,
        reference_file,
        progress,
        cores=record.cores if record is not None else 1,
        encrypt_model=record is not None and record.encrypt_model,
    )


def of(machine: Machine, progress: Progress, args: argparse.Namespace | None = None) -> Trust:
    """As the options of the command say."""
    if args is not None and args.no_verify:
        return Believed()
    with progress.step("policy and reference values"):
        return Verified(
            verifier(
                machine,
                progress,
                policy_file=args.policy if args is not None else None,
                reference_file=args.reference if args is not None else None,
            )
        )
