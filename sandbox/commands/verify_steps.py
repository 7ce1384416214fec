# SPDX-License-Identifier: Apache-2.0
"""What the commands that judge evidence share: options, files, and the verifier they make."""

import argparse
import json
import sys
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from sandbox.authority.manufacturer import Manufacturer
from sandbox.errors import HostError, UserError
from sandbox.log import Progress
from sandbox.verifier import chain, policy
from sandbox.verifier.appraisal import Appraisal
from sandbox.verifier.errors import NonceRefused
from sandbox.verifier.evidence import NONCE_BYTES, TOKEN_MAX_BYTES
from sandbox.verifier.policy import Policy
from sandbox.verifier.reference import Reference
from sandbox.verifier.verifier import Verifier


def nonce(text: str) -> bytes:
    try:
        value = bytes.fromhex(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"not hexadecimal: {text!r}") from error
    if len(value) not in NONCE_BYTES:
        raise argparse.ArgumentTypeError(
            f"{len(value)} bytes, not {NONCE_BYTES.start} to {NONCE_BYTES.stop - 1}"
        )
    return value


def add_options(parser: argparse.ArgumentParser) -> None:
    """What evidence is judged by."""
    parser.add_argument(
        "--nonce", type=nonce, metavar="HEX", help="the challenge that the evidence answers"
    )
    parser.add_argument(
        "--policy", type=Path, metavar="FILE", help="TOML; else what --print-policy prints"
    )
    parser.add_argument(
        "--reference",
        type=Path,
        metavar="FILE",
        help="of `sandbox reference-values` (the local build's)",
    )
    parser.add_argument(
        "--chain",
        type=Path,
        metavar="FILE",
        help="PEM: certificate of the attestation key, then any between it and the root (what"
        " this user's emulated manufacturer issued for the device)",
    )
    parser.add_argument(
        "--root",
        type=Path,
        metavar="FILE",
        help="PEM: manufacturers that are trusted (this user's emulated one)",
    )
    parser.add_argument(
        "--crl",
        type=Path,
        metavar="FILE",
        action="append",
        default=[],
        help="PEM: revocation list of the manufacturer (this user's own, for its own devices);"
        " needed with --root, and once more for each other issuer in --chain",
    )
    parser.add_argument(
        "--no-revocation",
        action="store_true",
        help="do not ask whether the certificate was taken back: the appraisal warns, and does"
        " not affirm",
    )


def read_limited(path: Path, limit: int, what: str) -> bytes:
    """`-` is standard input."""
    try:
        own = str(path) != "-"
        with open(path if own else sys.stdin.fileno(), "rb", closefd=own) as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > limit:
        raise UserError(f"{path} has more than {limit} bytes: no {what}")
    return data


def write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise HostError(f"cannot write {path}: {error.strerror}") from error


def read_evidence(path: Path) -> bytes:
    return read_limited(path, TOKEN_MAX_BYTES, "evidence")


def reference_values(
    path: Path | None, progress: Progress, cores: int = 1, *, encrypt_model: bool = False
) -> Reference:
    """`cores`, `encrypt_model`: of the machine, if the local build is compared with."""
    if path is not None:
        return Reference.load(path)
    # Imported late: it knows how everything is built.
    from sandbox.commands import reference_values as local

    built = local.built(cores, progress, encrypt_model=encrypt_model)
    return Reference.from_json(json.dumps(built.as_json()))


def make_policy(path: Path | None, reference: Reference) -> Policy:
    if path is not None:
        return Policy.load(path)
    return Policy.from_toml(policy.default_toml(reference))


def make_verifier(
    policy_file: Path | None,
    reference_file: Path | None,
    progress: Progress,
    root: Path | None = None,
    crl_files: Sequence[Path] = (),
    *,
    no_revocation: bool = False,
    cores: int = 1,
    encrypt_model: bool = False,
) -> Verifier:
    """By the files named, and otherwise by what this user's sandbox has."""
    reference = reference_values(reference_file, progress, cores, encrypt_model=encrypt_model)
    manufacturer = Manufacturer()

    def endorsements(device: uuid.UUID) -> Sequence[x509.Certificate]:
        found = manufacturer.endorsement(device)
        return [] if found is None else [found]

    if no_revocation and crl_files:
        raise UserError("--crl and --no-revocation: one of them says what is wanted")
    crls = [manufacturer.crl()] if root is None else []
    crls += map(chain.load_crl, crl_files)
    return Verifier(
        make_policy(policy_file, reference),
        reference,
        [manufacturer.certificate()] if root is None else chain.load_certificates(root),
        endorsements=endorsements,
        crls=None if no_revocation else crls,
        clock=lambda: datetime.now(UTC),
    )


def appraise(args: argparse.Namespace, evidence: Path, progress: Progress) -> Appraisal:
    if args.nonce is None:
        raise NonceRefused(
            "without the challenge, evidence may be of any age",
            "Name it with --nonce; `sandbox verify --show` prints evidence without judging it.",
        )
    verifier = make_verifier(
        args.policy,
        args.reference,
        progress,
        args.root,
        args.crl,
        no_revocation=args.no_revocation,
    )
    certificates = chain.load_certificates(args.chain) if args.chain is not None else None
    return verifier.appraise(read_evidence(evidence), args.nonce, chain=certificates)
