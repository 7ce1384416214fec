# SPDX-License-Identifier: Apache-2.0
"""Reference values: what a verifier compares evidence with. docs/attestation.md has the format."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sandbox.reference.core import CoreValue

FORMAT = 1


@dataclass(frozen=True)
class TaValue:
    uuid: UUID
    name: str
    version: str  # empty: the file does not say
    sha256: bytes


@dataclass(frozen=True)
class ReferenceValues:
    core: CoreValue
    tas: tuple[TaValue, ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "version": FORMAT,
            "optee_core": {"version": self.core.version, "sha256": self.core.sha256.hex()},
            "tas": [
                {
                    "uuid": str(ta.uuid),
                    "name": ta.name,
                    "version": ta.version,
                    "sha256": ta.sha256.hex(),
                }
                for ta in self.tas
            ],
        }
