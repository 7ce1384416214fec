# SPDX-License-Identifier: Apache-2.0
"""The tree of arguments. What each verb does is in its own file."""

import argparse
import functools
import importlib
import os
from collections.abc import Collection, Iterator
from typing import Any

from sandbox.config import DEFAULT_MACHINE, ENVIRONMENT

# In the order of a first use; each is a module of sandbox.commands.
VERBS = (
    "up",
    "detect",
    "run",
    "infer",
    "store-key",
    "encrypt-model",
    "verify-model",
    "model",
    "attest",
    "keys",
    "verify",
    "status",
    "logs",
    "explain",
    "exec",
    "ssh",
    "ta",
    "reference-values",
    "xtest",
    "gdb",
    "profile",
    "bench",
    "console",
    "down",
    "destroy",
    "build",
    "inputs",
    "photos",
    "completion",
)

_DESCRIPTION = """\
A sandbox for confidential machine learning on Arm TrustZone: the real OP-TEE under QEMU. A
trusted application opens a sealed photo, finds the objects in it, and seals what it found."""

_EPILOG = f"""\
first steps:
  sandbox up                      fetch, build and boot what is missing
  sandbox detect photo.jpg --out out
  sandbox logs --world secure     what OP-TEE and the TA said
  sandbox down

exit codes:
  0  done
  1  a bug of the sandbox: please report it, with the output of --debug
  2  the request or an input is wrong
  3  the host, the network or a build failed
  4  the machine, Linux in it or the TA failed
  `exec` exits as its command did; a signal gives 128 and its number

environment:
{chr(10).join(f"  {name:<24}{text}" for name, text in ENVIRONMENT.items())}"""


@functools.cache
def _width() -> int:
    """Of help, as argparse has it: that would import shutil to know, which takes 2 ms."""
    try:
        columns = int(os.environ.get("COLUMNS", 0)) or os.get_terminal_size(1).columns
    except (ValueError, OSError):
        columns = 0
    return (columns or 80) - 2


class _Formatter(argparse.HelpFormatter):
    # Made for each argument, whether or not anybody asks for help.
    def __init__(self, prog: str, **options: Any) -> None:
        super().__init__(prog, **{"width": _width(), **options})


class _RawFormatter(_Formatter, argparse.RawDescriptionHelpFormatter):
    pass


class _Parser(argparse.ArgumentParser):
    def __init__(self, **options: Any) -> None:
        super().__init__(**{"formatter_class": _Formatter, **options})


def make_parser(words: Collection[str] = VERBS) -> argparse.ArgumentParser:
    """A parser for a command line of these words; for any command line, if none are given.

    Some verbs stand on libraries that take a quarter of a second to import: only those that are
    named are loaded, unless none is, as for --help.
    """
    verbs = [verb for verb in VERBS if verb in words]
    parser = _Parser(
        prog="sandbox",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=_RawFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    _add_common(parser, machine=None, debug=False)
    subparsers = parser.add_subparsers(
        # Given, it need not be found by laying out a usage line, which takes a while.
        prog="sandbox",
        required=True,
        metavar="VERB",
        title="verbs",
    )
    for verb in verbs or VERBS:
        importlib.import_module(f"sandbox.commands.{verb.replace('-', '_')}").add_parser(subparsers)
    for subparser in _all_below(subparsers):
        # Also behind the verb, where fingers put them; only if given there do they count.
        _add_common(subparser, machine=argparse.SUPPRESS, debug=argparse.SUPPRESS)
    return parser


def _all_below(
    subparsers: "argparse._SubParsersAction[Any]",
) -> Iterator[argparse.ArgumentParser]:
    """The parsers of verbs, and of the verbs that some of these have in turn."""
    for parser in subparsers.choices.values():
        yield parser
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                yield from _all_below(action)


def _add_common(parser: argparse.ArgumentParser, *, machine: object, debug: object) -> None:
    parser.add_argument(
        "--machine",
        metavar="NAME",
        default=machine,
        help=f"which machine (SANDBOX_MACHINE, else {DEFAULT_MACHINE!r})",
    )
    parser.add_argument(
        "--debug", action="store_true", default=debug, help="show commands and tracebacks"
    )


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        # Imported late: it takes longer than everything else here.
        from importlib import metadata

        try:
            version = metadata.version("optee-sandbox")
        except metadata.PackageNotFoundError:
            version = "from an uninstalled source tree"
        print(f"sandbox {version}")
        parser.exit()
