# SPDX-License-Identifier: Apache-2.0
"""sandbox ssh: OpenSSH's client, told where the guest is and how to know it."""

import argparse
import os
import shutil

from sandbox.commands.context import Context
from sandbox.errors import UserError
from sandbox.machine.machine import Machine


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "ssh",
        help="log in to the guest with OpenSSH",
        description="Log in to the guest as root, or run a command there, with this host's ssh. For"
        " what speaks SSH; `sandbox exec` is faster, and exact about arguments and statuses.",
        epilog="Examples: sandbox ssh; sandbox ssh -- dmesg -w;"
        " sandbox ssh --config >>~/.ssh/config",
    )
    parser.add_argument(
        "--config",
        action="store_true",
        help="print an entry for OpenSSH's configuration, good until `sandbox down`",
    )
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="[-- CMD [ARG...]]")
    parser.set_defaults(run=run)


def settings(machine: Machine) -> dict[str, str]:
    """OpenSSH's options, by which the host's keys are taken for this guest only."""
    from sandbox.machine import keys

    port = machine.ssh_port()
    access = keys.load(machine.folder.keys)
    alias = f"sandbox-{machine.name}"
    known = machine.folder.keys / "known_hosts"
    known.write_text(f"{alias} {access.host_public}\n")
    return {
        "HostName": "127.0.0.1",
        "Port": str(port),
        "User": "root",
        "IdentityFile": f'"{access.client}"',
        "IdentitiesOnly": "yes",
        "HostKeyAlias": alias,
        "UserKnownHostsFile": f'"{known}"',
        "StrictHostKeyChecking": "yes",
        "LogLevel": "ERROR",
    }


def run(args: argparse.Namespace, context: Context) -> int:
    machine = context.machine()
    options = settings(machine)
    if args.config:
        print(f"Host sandbox-{machine.name}")
        for name, value in options.items():
            print(f"    {name} {value}")
        return 0
    program = shutil.which("ssh")
    if program is None:
        raise UserError(
            "OpenSSH's client is not installed",
            "`sandbox exec --tty -- sh` needs none; Debian's package is openssh-client.",
        )
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    argv = [program, "-F", os.devnull]
    argv += [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    os.execv(program, [*argv, f"sandbox-{machine.name}", *command])
