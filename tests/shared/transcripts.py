# SPDX-License-Identifier: Apache-2.0
"""Transcripts in the documentation: read, run in one shell, and compared with what comes out.

A transcript is a fenced block marked `console`. A line that begins with `$ ` is a command, and
lines that begin with `> ` go on with it. What follows is its output: a line `...` stands for any
lines, `…` for any text within a line, and digits for any digits of the same kind, because times
and addresses differ.
"""

import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.M | re.S)
_NUMBER = re.compile(r"0x[0-9a-f]+|\d+(?:\.\d+)?")


@dataclass(frozen=True)
class Command:
    line: int  # of the document
    text: str
    output: tuple[str, ...]


def commands(document: str) -> Iterator[Command]:
    for block in _BLOCK.finditer(document):
        first = document.count("\n", 0, block.start(1)) + 1
        number, text, output = 0, "", list[str]()
        for offset, line in enumerate(block[1].splitlines()):
            if line.startswith("$ "):
                if text:
                    yield Command(number, text, tuple(output))
                number, text, output = first + offset, line[2:], []
            elif line.startswith("> ") and text and not output:
                text += "\n" + line[2:]
            else:
                assert text, f"line {first + offset}: output of no command"
                output.append(line)
        if text:
            yield Command(number, text, tuple(output))


def pattern(output: Sequence[str]) -> re.Pattern[str]:
    """What matches the whole output of a command."""
    parts = []
    for line in output:
        if line.strip() == "...":
            parts.append(r"(?:.*\n)*?")
            continue
        texts = []
        for text in line.split("…"):
            pieces = _NUMBER.split(text)
            numbers = [
                "0x[0-9a-f]+" if found.startswith("0x") else r"\d+(?:\.\d+)?"
                for found in _NUMBER.findall(text)
            ]
            joined = re.escape(pieces[0])
            for number, piece in zip(numbers, pieces[1:], strict=True):
                joined += number + re.escape(piece)
            texts.append(joined)
        # Columns are as wide as their numbers.
        parts.append(re.sub(r"(?:\\ )+", r"[ ]+", ".*".join(texts)) + r"[ ]*\n")
    return re.compile("".join(parts))


def run(
    transcript: Sequence[Command], *, folder: Path, env: Mapping[str, str], timeout_s: float
) -> list[str]:
    """What each command printed, on both outputs, in one shell for all; each must succeed."""
    mark = "@@transcript"
    script = "".join(
        f"{command.text}\nstatus=$?; echo; echo '{mark}' $status\n" for command in transcript
    )
    done = subprocess.run(
        ["bash", "-c", script],
        stdin=subprocess.DEVNULL,
        cwd=folder,
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    printed = []
    rest = done.stdout
    for command in transcript:
        said, found, rest = rest.partition(f"\n{mark} ")
        status, _, rest = rest.partition("\n")
        assert found, f"line {command.line}: the shell ended in `{command.text}`:\n{said[-3000:]}"
        assert status == "0", (
            f"line {command.line}: `{command.text}` gave {status}:\n{said[-3000:]}"
        )
        printed.append(said if said.endswith("\n") or not said else said + "\n")
    return printed


def differences(transcript: Sequence[Command], printed: Sequence[str]) -> Iterator[str]:
    for command, said in zip(transcript, printed, strict=True):
        if not pattern(command.output).fullmatch(said):
            wanted = "\n".join(command.output)
            yield f"line {command.line}: `{command.text}` printed\n{said}\nnot\n{wanted}"
