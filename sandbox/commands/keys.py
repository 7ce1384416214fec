# SPDX-License-Identifier: Apache-2.0
"""sandbox keys: the TA's keys, and the certificates that the owner's authority gives them."""

import argparse

from sandbox.commands import keys_authority, keys_device


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "keys",
        help="show keys of the device and its TA, certify them, take certificates back",
        description="Keys of trusted applications, and their certificates. Private keys never"
        " leave the secure world; the owner's certificate authority, made at first use, lives in"
        " the XDG state folder. docs/verifier.md has more.",
        epilog="Example: sandbox keys csr signing --out signing.csr",
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB", title="verbs")
    keys_device.add_verbs(verbs)
    keys_authority.add_verbs(verbs)
