# SPDX-License-Identifier: Apache-2.0
"""Evidence and appraisals for a person's terminal, and as JSON."""

from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sandbox.verifier import ear
from sandbox.verifier.appraisal import Appraisal, Tier, Verdict
from sandbox.verifier.evidence import Evidence, thumbprint

_MARKS = {
    Verdict.PASS: ("yes", "green"),
    Verdict.FAIL: ("NO", "bold red"),
    Verdict.WARN: ("warning", "bold yellow"),
    Verdict.NOT_JUDGED: ("not judged", "dim"),
}
_TIER_STYLES = {Tier.AFFIRMING: "bold green", Tier.WARNING: "bold yellow"}


def _clean(text: str) -> Text:
    """Names and versions are the other side's: no control characters, no markup."""
    return Text("".join(c if c.isprintable() else "?" for c in text), overflow="fold")


def print_evidence(evidence: Evidence, console: Console) -> None:
    """What a token says. Nothing of it is checked but its form."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, value in rows(evidence):
        table.add_row(name, _clean(value))
    console.print(table)


def rows(evidence: Evidence) -> list[tuple[str, str]]:
    ta = evidence.ta
    found = [
        ("profile", evidence.profile),
        ("nonce", evidence.nonce.hex()),
        ("device (UEID)", str(evidence.device)),
        ("boot seed", evidence.bootseed.hex()),
        ("debug", evidence.debug.words),
        ("lifecycle", f"0x{evidence.lifecycle:04x}"),
        ("implementation id", evidence.implementation_id.hex()),
        ("OP-TEE core", f"{evidence.core.version or '-'}  {evidence.core.measurement.hex()}"),
        ("TA", str(evidence.ta_uuid)),
        ("TA code", evidence.ta_code.measurement.hex()),
        ("TA says: name", ta.name or "-"),
        ("TA says: version", ta.version or "-"),
    ]
    for name, key in (("wrapping key", ta.wrapping_key), ("signing key", ta.signing_key)):
        found.append((f"TA says: {name}", f"P-256, {thumbprint(key).hex()}" if key else "-"))
    for model in ta.models:
        found.append(("TA says: model", model.hex()))
    if ta.challenge is not None:
        found.append(("TA says: challenge", ta.challenge.hex()))
    unknown = [*evidence.unknown, *ta.unknown]
    if unknown:
        found.append(("claims not known", ", ".join(map(repr, unknown))))
    return found


def evidence_json(evidence: Evidence) -> dict[str, Any]:
    """What `--show --json` prints: bytes in hexadecimal."""
    ta = evidence.ta
    return {
        "profile": evidence.profile,
        "nonce": evidence.nonce.hex(),
        "device": str(evidence.device),
        "bootseed": evidence.bootseed.hex(),
        "debug": evidence.debug.words,
        "lifecycle": evidence.lifecycle,
        "implementation_id": evidence.implementation_id.hex(),
        "optee_core": {
            "version": evidence.core.version,
            "sha256": evidence.core.measurement.hex(),
        },
        "ta": {
            "uuid": str(evidence.ta_uuid),
            "sha256": evidence.ta_code.measurement.hex(),
            "name": ta.name,
            "version": ta.version,
            "wrapping_key": _key(ta.wrapping_key),
            "signing_key": _key(ta.signing_key),
            "models": [model.hex() for model in ta.models],
            "challenge": ta.challenge.hex() if ta.challenge else None,
        },
    }


def _key(key: ec.EllipticCurvePublicKey | None) -> dict[str, str] | None:
    return None if key is None else {**ear.jwk(key), "thumbprint": thumbprint(key).hex()}


def print_appraisal(appraisal: Appraisal, console: Console) -> None:
    """One line a check, the vector, and the status."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("check", no_wrap=True)
    table.add_column("expected", overflow="fold")
    table.add_column("seen", overflow="fold")
    table.add_column("holds", no_wrap=True)
    for check in appraisal.checks:
        mark, style = _MARKS[check.verdict]
        table.add_row(
            check.name, _clean(check.expected), _clean(check.seen), Text(mark, style=style)
        )
    console.print(table)
    vector = ", ".join(f"{claim} {value}" for claim, value in appraisal.vector.items())
    console.print(Text(f"trustworthiness vector: {vector or 'no claim'}", style="dim"))
    console.print(Text(f"policy: {appraisal.policy_id}", style="dim"))
    style = _TIER_STYLES.get(appraisal.tier, "bold red")
    console.print(Text(appraisal.tier.word, style=style))
