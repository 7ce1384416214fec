# SPDX-License-Identifier: Apache-2.0
"""The verifier: evidence in, an appraisal out."""

import threading
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from cryptography import x509

from sandbox.verifier import errors
from sandbox.verifier.appraisal import Appraisal
from sandbox.verifier.evidence import decode
from sandbox.verifier.judge import Judge
from sandbox.verifier.nonces import Nonces
from sandbox.verifier.policy import Policy
from sandbox.verifier.reference import Reference


def utc_now() -> datetime:
    return datetime.now(UTC)


class Verifier:
    """Appraises evidence of devices that `roots` endorse.

    `endorsements` finds the certificate chain of a device, by its UUID; `appraise` may be given
    another. `crls`: a list of each issuer is needed; None goes without, and each appraisal warns.
    With `nonces`, each nonce is good once and for as long as the policy says.
    """

    def __init__(
        self,
        policy: Policy,
        reference: Reference,
        roots: Sequence[x509.Certificate],
        *,
        endorsements: Callable[[uuid.UUID], Sequence[x509.Certificate]] = lambda _: (),
        crls: Sequence[x509.CertificateRevocationList] | None = (),
        nonces: Nonces | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.policy = policy
        self._reference = reference
        self._roots = roots
        self._endorsements = endorsements
        self._crls = crls
        self._nonces = nonces
        self._clock = clock
        self._lock = threading.Lock()

    def challenge(self) -> bytes:
        """A new nonce, which the next evidence has to have; for any number of threads."""
        with self._lock:
            if self._nonces is None:
                self._nonces = Nonces(self.policy.max_age_s)
        return self._nonces.issue()

    def appraise(
        self,
        evidence: bytes,
        nonce: bytes,
        *,
        chain: Sequence[x509.Certificate] | None = None,
        bootseed: bytes | None = None,
    ) -> Appraisal:
        """`bootseed`: of earlier evidence, if the device must not have booted since."""
        answered = self._nonces.answer(nonce) if self._nonces is not None else None
        judge = Judge(self.policy, self._reference, self._clock())
        try:
            decoded = decode(evidence)
        except errors.EvidenceError as error:
            return judge.unreadable(error)
        judge.readable(decoded)
        if judge.profile(decoded):
            found = chain if chain is not None else self._endorsements(decoded.device)
            if judge.signer(decoded, found, self._roots, self._crls):
                judge.nonce(decoded, nonce, answered)
                judge.boot(decoded, bootseed)
                judge.state(decoded)
                judge.core(decoded)
                judge.ta(decoded)
                judge.models(decoded)
                judge.keys(decoded)
        return judge.result(decoded)
