# SPDX-License-Identifier: Apache-2.0
"""The verbs, one a file. Each has `add_parser(subparsers)` and `run(args, context)`."""
