# SPDX-License-Identifier: Apache-2.0
"""The reader of the documentation's transcripts finds what differs, and only that."""

from pathlib import Path

import pytest
import transcripts

DOCUMENT = """\
Text.

```console
$ cd /tmp && word=held
$ echo "$word"; pwd
held
/tmp
```

```sh
$ not run
```

```console
$ printf 'a 12.5 s\\n%s\\n' "one  0xab" middle end
> true
a 3 s
...
end
```
"""


def read(document: str = DOCUMENT) -> list[transcripts.Command]:
    return list(transcripts.commands(document))


def test_commands_and_outputs_are_read() -> None:
    first, second, third = read()
    assert (first.line, first.text, first.output) == (4, "cd /tmp && word=held", ())
    assert second.output == ("held", "/tmp")
    assert third.text.endswith("\ntrue") and third.output == ("a 3 s", "...", "end")


def test_a_true_document(tmp_path: Path) -> None:
    transcript = read()
    printed = transcripts.run(transcript, folder=tmp_path, env={}, timeout_s=30)
    assert list(transcripts.differences(transcript, printed)) == []


@pytest.mark.parametrize(
    ("wanted", "said", "same"),
    [
        (["a 1 b"], "a 25 b\n", True),
        (["a  1 b"], "a 25   b\n", True),
        (["at 0x40 x"], "at 0xbeef x\n", True),
        (["at 0x40 x"], "at 12 x\n", False),
        (["a … b"], "a any thing b\n", True),
        (["a", "...", "b"], "a\nb\n", True),
        (["a", "..."], "a\nb\nc\n", True),
        ([], "a\n", False),
        (["a"], "", False),
        (["a (b) [c]"], "a (b) [c]\n", True),
        (["a.b"], "axb\n", False),
        (["a"], "a\nb\n", False),
    ],
)
def test_outputs_are_compared(wanted: list[str], said: str, same: bool) -> None:
    assert bool(transcripts.pattern(wanted).fullmatch(said)) is same


def test_a_command_that_fails_is_named(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="line 2: `false` gave 1"):
        transcripts.run(read("```console\n$ false\n```\n"), folder=tmp_path, env={}, timeout_s=30)
