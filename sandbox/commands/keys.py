# SPDX-License-Identifier: Apache-2.0
"""sandbox keys: the TA's keys, and the certificates that the owner's authority gives them."""

import argparse

from sandbox.commands import keys_authority


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "keys",
        help="certify keys of a TA, and take certificates back",
        description="Keys of trusted applications, and their certificates. Private keys never"
        " leave the secure world; the owner's certificate authority, made at first use, lives in"
        " the XDG state folder. docs/verifier.md has more.",
        epilog="Example: sandbox keys issue signing.csr --out signing.pem",
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB", title="verbs")
    keys_authority.add_verbs(verbs)
