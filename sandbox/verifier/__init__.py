# SPDX-License-Identifier: Apache-2.0
"""The relying side of attestation: evidence is decoded, checked and appraised (docs/verifier.md).

Knows nothing of QEMU, and nothing of how evidence gets here.
"""
