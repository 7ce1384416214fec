# SPDX-License-Identifier: Apache-2.0
"""Documents keep up with the code."""

import importlib
import pkgutil
import re
import tomllib
from pathlib import Path

import pytest

import sandbox
from sandbox.errors import SandboxError
from sandbox.tee_abi import STATUS_SENTENCES

ROOT = Path(__file__).parents[2]
DOCS = sorted(ROOT.glob("docs/**/*.md")) + [ROOT / "README.md", ROOT / "CHANGELOG.md"]


def headings(path: Path) -> set[str]:
    return set(re.findall(r"^## (\S+)$", path.read_text(), re.MULTILINE))


def error_classes() -> set[str]:
    for module in pkgutil.walk_packages(sandbox.__path__, "sandbox."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found, queue = set(), [SandboxError]
    while queue:
        kind = queue.pop()
        found.add(kind.__name__)
        queue.extend(kind.__subclasses__())
    return found


def client_names() -> set[str]:
    """What the client application calls its own refusals."""
    quoted = re.compile(r"""\"(CA_[A-Z_]+)\\?\"""")
    found = {n for path in ROOT.glob("host/*.c") for n in quoted.findall(path.read_text())}
    assert len(found) >= 8
    return found


def test_each_error_is_explained_and_nothing_else_is() -> None:
    explained = headings(ROOT / "docs" / "errors.md")
    named = error_classes() | (set(STATUS_SENTENCES) - {"OK"}) | client_names()
    assert named - explained == set()
    assert explained - named == set()


def test_each_python_dependency_has_a_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    named = project["dependencies"] + extras["test"] + extras["bench"]
    text = (ROOT / "docs" / "dependencies.md").read_text()
    for requirement in named:
        name = re.split(r"[=<>\[]", requirement)[0]
        assert re.search(rf"^\|.*\b{re.escape(name)}\b.*\|", text, re.MULTILINE), name


@pytest.mark.parametrize("path", DOCS, ids=lambda p: p.name)
def test_links_and_named_files_exist(path: Path) -> None:
    text = path.read_text()
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
        assert (path.parent / target).exists(), f"{path.name} links to {target}"
    named = r"`((?:sandbox|ta|host|tests|fixtures|docs|optee-build|benchmarks)/[\w./-]*)`"
    for target in re.findall(named, text):
        assert (ROOT / target).exists(), f"{path.name} names {target}"


THREATS = (ROOT / "docs/threat-model.md").read_text()


def written_tests() -> dict[str, set[str]]:
    return {
        str(path.relative_to(ROOT)): set(re.findall(r"^def (test_\w+)\(", path.read_text(), re.M))
        for path in ROOT.glob("tests/**/test_*.py")
    }


def test_each_test_of_the_threat_model_exists() -> None:
    """By itself, or with the file that it is in."""
    files = written_tests()
    everywhere = set().union(*files.values())
    alone = set(re.findall(r"`(test_\w+)`", THREATS))
    placed = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", THREATS)
    assert len(alone) > 20 and len(placed) > 30
    assert alone - everywhere == set()
    assert [(path, name) for path, name in placed if name not in files.get(path, ())] == []
    # Nothing is written in a third way, which would go unseen.
    assert len(re.findall(r"::|`test_", THREATS)) == len(placed) + len(
        re.findall(r"`test_\w+`", THREATS)
    )


def test_each_error_of_the_threat_model_exists() -> None:
    explained = headings(ROOT / "docs" / "errors.md")
    section = THREATS.split("### Attacks by name")[1].split("\n## ")[0]
    rows = [line.split("|")[2] for line in section.splitlines() if line.startswith("|")]
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert len(named) > 15
    for name in named:
        known = (
            any(each.startswith(name) for each in explained)
            if name.endswith("_")
            else name in explained
        )
        assert known, name
