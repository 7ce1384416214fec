# SPDX-License-Identifier: Apache-2.0
"""For all tests: whoever ends the run by a signal leaves no machine behind."""

import signal
from types import FrameType

import pytest

# For the tests of our own plugin. pytest takes this line in this file only.
pytest_plugins = "pytester"


def pytest_configure(config: pytest.Config) -> None:
    """SIGTERM ends the run as Ctrl-C does, so that every fixture is torn down.

    What nohup or a shell's `&` made us ignore, what we start would ignore as well; of a handler
    that does nothing it knows nothing.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    del config
    signal.signal(signal.SIGTERM, interrupt)
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)
