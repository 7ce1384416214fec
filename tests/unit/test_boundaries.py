# SPDX-License-Identifier: Apache-2.0
"""Who may use whom: imports and #includes that cross a wall are found here.

The rooms are those of docs/architecture.md. Each rule is also tried on a small tree that breaks
it, so that a rule which finds nothing is known to be able to.
"""

import ast
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINE_LIMIT = 800
CODE = {".py", ".c", ".h", ".S"}
CODE_FOLDERS = ("sandbox", "ta", "host", "benchmarks", "tests", "fixtures", "optee-build")

# Which other rooms each room of sandbox/ may import. Modules directly in sandbox/ are everybody's.
ROOMS: dict[str, set[str]] = {
    "": set(),
    "build": set(),
    "machine": set(),
    "model": set(),
    "owner": set(),
    "authority": set(),
    "verifier": set(),
    "tee": {"machine"},
    "xtest": {"machine"},
    "debug": {"machine", "tee"},
    "logs": {"machine", "tee", "debug"},
    "devkit": {"build", "machine", "tee", "debug"},
    "reference": {"devkit"},
    "bench": {"build", "devkit", "machine", "tee"},
}
# These join the rooms.
HALLS = {"commands", "testing"}
# The front door opens into the commands.
FRONT_DOOR = {"cli.py", "__main__.py"}
STANDARD_LIBRARY_ONLY = {"errors.py", "paths.py"}
# Headers of OP-TEE and GlobalPlatform; the core of the TA must build without.
TEE_HEADER = re.compile(r"^(tee|utee|pta|trace|user_ta|string_ext)[\w/]*\.h$")


def sources(root: Path, *suffixes: str) -> Iterator[Path]:
    for folder in CODE_FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in (suffixes or CODE) and path.is_file():
                yield path


def imports(path: Path) -> Iterator[str]:
    """Every module that is imported, wherever in the file; `a.b` for `from a import b` too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def includes(path: Path) -> Iterator[tuple[str, str]]:
    yield from re.findall(r'^\s*#\s*include\s*([<"])([^>"]+)', path.read_text(), re.M)


def python_rooms(root: Path) -> Iterator[str]:
    package = root / "sandbox"
    for path in package.rglob("*.py"):
        inside = path.relative_to(package)
        room = inside.parts[0] if len(inside.parts) > 1 else ""
        if not room and inside.name in FRONT_DOOR:
            continue
        if room in HALLS:
            continue
        if room not in ROOMS:
            yield f"{inside}: a room that has no rule"
            continue
        walled = {*ROOMS, *HALLS, "cli"} - {"", room} - ROOMS[room]
        for name in set(imports(path)):
            parts = name.split(".")
            if parts[0] == "sandbox" and len(parts) > 1 and parts[1] in walled:
                yield f"{inside} imports {name}"


def standard_library(root: Path) -> Iterator[str]:
    for name in STANDARD_LIBRARY_ONLY:
        for module in imports(root / "sandbox" / name):
            first = module.split(".")[0]
            if first not in sys.stdlib_module_names and not module.startswith("sandbox.errors."):
                yield f"{name} imports {module}"


def subprocess_users(root: Path) -> Iterator[str]:
    for path in (root / "sandbox").rglob("*.py"):
        inside = path.relative_to(root / "sandbox")
        used = {name.split(".")[0] for name in imports(path)}
        if str(inside) != "process.py" and "subprocess" in used:
            yield f"{inside} imports subprocess"


def exits(root: Path) -> Iterator[str]:
    """Library code raises; only the front door ends the program."""
    for path in (root / "sandbox").rglob("*.py"):
        if path.name == "__main__.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {"sys.exit", "exit"}:
                yield f"{path.relative_to(root)}:{node.lineno} exits"


def core_of_the_ta(root: Path) -> Iterator[str]:
    core = root / "ta" / "core"
    for path in sources(root, ".c", ".h"):
        if core in path.parents:
            for quote, name in includes(path):
                if TEE_HEADER.match(name) or "inference/" in name or "host/" in name:
                    yield f"{path.relative_to(root)} includes {name}"
                elif quote == '"' and ".." in name:
                    yield f"{path.relative_to(root)} includes {name} by a way of its own"


def host_of_the_ta(root: Path) -> Iterator[str]:
    """The client application knows the ABI and nothing else of ta/."""
    private = {
        path.name
        for path in (root / "ta").rglob("*.h")
        if (root / "ta" / "include") not in path.parents
    }
    for path in sources(root, ".c", ".h"):
        if root / "host" in path.parents:
            own = {p.name for p in path.parent.glob("*.h")}
            for _, name in includes(path):
                if Path(name).name in private - own or "core/" in name:
                    yield f"{path.relative_to(root)} includes {name}"


def teec_users(root: Path) -> Iterator[str]:
    """All calls into the TEE client library go through one file."""
    for path in sources(root, ".c"):
        if root / "host" in path.parents and path.name != "tee_client.c":
            if re.search(r"\bTEEC_[A-Z][a-z]\w*\s*\(", path.read_text()):
                yield f"{path.relative_to(root)} calls TEEC functions"


def sizes(root: Path) -> Iterator[str]:
    for path in sources(root):
        count = len(path.read_text().splitlines())
        if count > LINE_LIMIT:
            yield f"{path.relative_to(root)} has {count} lines: split it"


def licences(root: Path) -> Iterator[str]:
    for path in sources(root):
        text = path.read_text()
        lines = text.splitlines()[:2]
        if text and not any("SPDX-License-Identifier: " in line for line in lines):
            yield f"{path.relative_to(root)} names no licence in its first line"


Rule = Callable[[Path], Iterator[str]]
# Each rule, and one file that breaks it.
RULES: list[tuple[Rule, str, str]] = [
    (python_rooms, "sandbox/machine/bad.py", "from sandbox.build import images\n"),
    (python_rooms, "sandbox/build/bad.py", "def f():\n    import sandbox.machine.qmp\n"),
    (python_rooms, "sandbox/owner/bad.py", "from sandbox import machine\n"),
    (python_rooms, "sandbox/verifier/bad.py", "from sandbox.authority import device\n"),
    (python_rooms, "sandbox/authority/bad.py", "from sandbox.machine import folder\n"),
    (python_rooms, "sandbox/bad.py", "from sandbox.commands import up\n"),
    (python_rooms, "sandbox/attic/new.py", "\n"),
    (standard_library, "sandbox/paths.py", "import rich\n"),
    (subprocess_users, "sandbox/machine/bad.py", "from subprocess import run\n"),
    (exits, "sandbox/machine/bad.py", "import sys\nsys.exit(1)\n"),
    (core_of_the_ta, "ta/core/bad.c", "#include <tee_internal_api.h>\n"),
    (core_of_the_ta, "ta/core/bad.c", '#include "../inference/session.h"\n'),
    (host_of_the_ta, "host/bad.c", '#include "stream.h"\n'),
    (teec_users, "host/main.c", "int main(void) { TEEC_InitializeContext(0, 0); }\n"),
    (sizes, "ta/core/long.c", "int x;\n" * (LINE_LIMIT + 1)),
    (licences, "host/bad.c", "int x;\n"),
]


@pytest.mark.parametrize(
    "rule", dict.fromkeys(rule for rule, *_ in RULES), ids=lambda r: r.__name__
)
def test_rule_is_kept(rule: Rule) -> None:
    assert list(rule(ROOT)) == []


@pytest.mark.parametrize(
    ("rule", "path", "text"), RULES, ids=[f"{r.__name__}-{p}" for r, p, _ in RULES]
)
def test_rule_finds_its_breach(rule: Rule, path: str, text: str, tmp_path: Path) -> None:
    good = {
        "sandbox/errors.py": "import os\n",
        "sandbox/paths.py": "from sandbox.errors import UserError\n",
        "sandbox/process.py": "import subprocess\n",
        "sandbox/machine/qmp.py": "from sandbox import process\n",
        "ta/core/stream.h": '#include "bytes.h"\n',
        "ta/core/bytes.h": "#include <stdint.h>\n",
        "ta/include/cml_ta.h": "\n",
        "host/tee_client.c": '#include "cml_ta.h"\nint f(void) { return TEEC_OpenSession(0); }\n',
    }
    for name, content in good.items():
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        comment = "#" if name.endswith(".py") else "//"
        target.write_text(f"{comment} SPDX-License-Identifier: Apache-2.0\n{content}")
    assert list(rule(tmp_path)) == []
    bad = tmp_path / path
    bad.parent.mkdir(parents=True, exist_ok=True)
    bad.write_text(text)
    found = list(rule(tmp_path))
    assert len(found) == 1 and Path(path).name in found[0]


def test_no_two_test_files_have_one_name() -> None:
    """pytest imports them by their names alone."""
    names = [path.name for path in sorted((ROOT / "tests").rglob("test_*.py"))]
    assert sorted(set(names)) == sorted(names)
