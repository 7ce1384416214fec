# SPDX-License-Identifier: Apache-2.0
"""Names of a model's classes: a line each, in a file of its own or behind the model.

TensorFlow Lite's metadata tools append such files to a model as a ZIP archive.
"""

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

from sandbox.errors import UserError

_MAX_BYTES = 1 << 20


def _lines(data: bytes) -> tuple[str, ...]:
    text = data[:_MAX_BYTES].decode(errors="replace")
    return tuple(
        "".join(character if character.isprintable() else "?" for character in line.strip())
        for line in text.splitlines()
    )


def of_file(path: Path) -> tuple[str, ...]:
    try:
        return _lines(path.read_bytes())
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error


def of_model(model: bytes, count: int) -> Sequence[str]:
    """Of the first text file with so many lines; empty if there is none."""
    try:
        with zipfile.ZipFile(io.BytesIO(model)) as archive:
            for entry in archive.infolist():
                if entry.filename.endswith(".txt") and entry.file_size <= _MAX_BYTES:
                    found = _lines(archive.read(entry))
                    if len(found) == count:
                        return found
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError, RuntimeError, EOFError):
        # What a file has behind its model is no reason not to run it.
        pass
    return ()
