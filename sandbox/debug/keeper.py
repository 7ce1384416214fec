# SPDX-License-Identifier: Apache-2.0
"""Lets a machine go on when its debugger is gone, however that ended.

Run as a program with the machine's folder. Standard input is a pipe whose other end only the
debugger's side holds; its end of file is the signal. What goes wrong is printed; silence is
success.
"""

import signal
import sys
from pathlib import Path

from sandbox.debug import stub
from sandbox.errors import SandboxError
from sandbox.machine.folder import Folder


def main(folder: Folder) -> None:
    # Ctrl-C goes to the whole terminal; our end is decided by the pipe alone.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    if not folder.record.exists():
        return  # it was ended meanwhile
    try:
        stub.release(folder)
    except SandboxError as error:
        print(error.message)


if __name__ == "__main__":
    main(Folder(Path(sys.argv[1])))
