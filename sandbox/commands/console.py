# SPDX-License-Identifier: Apache-2.0
"""sandbox console: a terminal on a console of the machine."""

import argparse
import os
import select
import sys
import termios
import tty

from sandbox.commands.context import Context
from sandbox.errors import InfraError, UserError
from sandbox.machine import sockets
from sandbox.machine.folder import World
from sandbox.machine.machine import MachineDown, State

_ESCAPE = b"\x1d"  # Ctrl-]
_CHUNK = 4096


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "console",
        help="type into a console; Ctrl-] leaves",
        description="Connect this terminal to a console. Press Enter for a root shell in the normal"
        " world; Ctrl-] leaves. Unlike `sandbox logs`, this passes on every byte of the guest.",
    )
    parser.add_argument(
        "--world", type=World, choices=list(World), default=World.NORMAL, help="which (normal)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, context: Context) -> int:
    machine = context.machine()
    if not sys.stdin.isatty():
        raise UserError(
            "standard input is no terminal", "In a script, use `sandbox exec -- CMD...`."
        )
    if machine.status().state is not State.UP:
        raise MachineDown(f"machine {machine.name!r} is down", "`sandbox up` starts it.")
    try:
        connection = sockets.connect(machine.folder.console_socket(args.world), 5.0)
    except OSError as error:
        raise InfraError(
            f"cannot connect to the {args.world} world's console: {error}",
            "Is another `sandbox console` connected to it? One can be at a time.",
        ) from error
    terminal = sys.stdin.fileno()
    print(f"{args.world} world of {machine.name!r}; Ctrl-] leaves", file=sys.stderr)
    before = termios.tcgetattr(terminal)
    with connection:
        connection.setblocking(True)
        try:
            tty.setraw(terminal)
            while True:
                ready, _, _ = select.select([terminal, connection], [], [])
                if connection in ready:
                    data = connection.recv(_CHUNK)
                    if not data:
                        break
                    os.write(sys.stdout.fileno(), data)
                if terminal in ready:
                    typed = os.read(terminal, _CHUNK)
                    connection.sendall(typed.partition(_ESCAPE)[0])
                    if not typed or _ESCAPE in typed:
                        break
        finally:
            termios.tcsetattr(terminal, termios.TCSADRAIN, before)
    print(file=sys.stderr)
    return 0
