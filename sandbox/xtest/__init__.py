# SPDX-License-Identifier: Apache-2.0
"""OP-TEE's own test suite: run it on a machine, read what it prints, compare runs."""
