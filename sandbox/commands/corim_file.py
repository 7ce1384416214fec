# SPDX-License-Identifier: Apache-2.0
"""Reference values and endorsements, written as a CoRIM for other verifiers."""

import uuid
from pathlib import Path

from cryptography.x509.oid import NameOID

from sandbox import paths
from sandbox.authority.manufacturer import Manufacturer
from sandbox.commands import verify_steps
from sandbox.verifier import corim
from sandbox.verifier.kept_key import kept_key
from sandbox.verifier.reference import Reference

SIGNER = "optee-sandbox reference values"


def write(path: Path, reference_values: str, *, signed: bool) -> None:
    """The reference values of `sandbox reference-values`, and every device endorsed here."""
    endorsements = {}
    for certificate in Manufacturer().certificates():
        (serial,) = certificate.subject.get_attributes_for_oid(NameOID.SERIAL_NUMBER)
        endorsements[uuid.UUID(str(serial.value))] = certificate
    data = corim.export(Reference.from_json(reference_values), endorsements)
    if signed:
        data = corim.sign(data, kept_key(paths.verifier_dir() / "corim.pem"), SIGNER)
    verify_steps.write(path, data)
