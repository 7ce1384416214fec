# SPDX-License-Identifier: Apache-2.0
"""sandbox exec: run a command in the guest's normal world."""

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Iterator

from sandbox.commands.context import Context
from sandbox.commands.watched import add_allow, watched
from sandbox.errors import UserError
from sandbox.machine.agent import Terminal
from sandbox.machine.deadline import Deadline

_STDIN = 0
_CHUNK = 4096


def seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"a number of seconds, not {text!r}")
    return value


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "exec",
        help="run a command in the guest",
        description="Run a command in the normal world, as root. Its arguments arrive as"
        " they are given; input and output are passed on byte by byte; its exit status is ours,"
        " or 128 and the number of the signal that ended it. Ctrl-C interrupts it, the second one"
        " kills it. Failures of the sandbox itself have a message on standard error. If a"
        " console shows trouble meanwhile, such as a panic of a TA, that is explained and the exit"
        " status is 4, whatever the command's was.",
        epilog="Examples: sandbox exec -- uname -a; sandbox exec -- sh -c 'dmesg | tail';"
        " sandbox exec --tty -- sh",
    )
    parser.add_argument(
        "--timeout", type=seconds, metavar="S", help="give up after so many seconds (never)"
    )
    parser.add_argument(
        "--env",
        action="append",
        default=[],
        type=_variable,
        metavar="NAME=VALUE",
        help="set a variable of the command's environment; may be given again",
    )
    parser.add_argument("--cwd", metavar="DIR", help="where it starts (/root)")
    parser.add_argument(
        "--tty",
        "-t",
        action="store_true",
        help="give it a terminal, which is this one: for shells, editors, top",
    )
    add_allow(parser)
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- CMD [ARG...]")
    parser.set_defaults(run=run)


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"NAME=VALUE, not {text!r}")
    return name, value


def _out(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _err(data: bytes) -> None:
    sys.stderr.buffer.write(data)
    sys.stderr.buffer.flush()


def _input(*, tty: bool) -> bytes | int:
    if sys.stdin is None:
        return b""
    # Without --tty nobody means to type.
    return b"" if os.isatty(_STDIN) and not tty else _STDIN


@contextlib.contextmanager
def _signals() -> Iterator[int]:
    """SIGINT and SIGWINCH as a file to poll. A second SIGINT is for us: KeyboardInterrupt."""
    interrupts = 0

    def interrupt(*_: object) -> None:
        nonlocal interrupts
        interrupts += 1
        if interrupts > 1:
            raise KeyboardInterrupt

    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    before_wakeup = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    before = signal.signal(signal.SIGINT, interrupt)
    before_size = signal.signal(signal.SIGWINCH, lambda *_: None)
    try:
        yield reading
    finally:
        signal.signal(signal.SIGWINCH, before_size)
        signal.signal(signal.SIGINT, before)
        signal.set_wakeup_fd(before_wakeup)
        os.close(reading)
        os.close(writing)


def _size() -> Terminal:
    size = os.get_terminal_size(_STDIN)
    return Terminal(size.lines, size.columns)


@contextlib.contextmanager
def _raw() -> Iterator[None]:
    """Every key goes to the guest, whose terminal knows what Ctrl-C means."""
    import termios
    import tty

    before = termios.tcgetattr(_STDIN)
    try:
        tty.setraw(_STDIN)
        yield
    finally:
        termios.tcsetattr(_STDIN, termios.TCSADRAIN, before)


def run(args: argparse.Namespace, context: Context) -> int:
    words = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not words:
        raise UserError("no command given", "For example: sandbox exec -- uname -a")
    if args.tty and not os.isatty(_STDIN):
        raise UserError("standard input is no terminal", "Leave out --tty.")
    env = dict(args.env)
    if args.tty:
        env.setdefault("TERM", os.environ.get("TERM", "dumb"))
    machine = context.machine()
    deadline = Deadline(args.timeout) if args.timeout is not None else None
    with (
        watched(machine, args.allow),
        machine.guest() as guest,
        guest.command(
            words,
            deadline,
            stdout=_out,
            stderr=_err,
            env=env,
            cwd=args.cwd,
            terminal=_size() if args.tty else None,
        ) as command,
        _signals() as signals,
        _raw() if args.tty else contextlib.nullcontext(),
    ):

        def pass_on() -> None:
            for number in os.read(signals, _CHUNK):
                if number == signal.SIGWINCH and args.tty:
                    command.resize(_size())
                elif number == signal.SIGINT:
                    command.signal(number)

        return command.finish(_input(tty=args.tty), deadline, {signals: pass_on}).status
