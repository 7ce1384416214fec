# SPDX-License-Identifier: Apache-2.0
"""Debian's archive through the machine's own apt, with state of its own.

The mirror, proxies and certificates are those apt is set up with; lists, cache and sources are
ours, below the XDG cache, so that the machine's apt is neither changed nor locked. apt checks the
signature of every index (`signed-by`), and each index carries the sha256 of its files.
"""

import fcntl
import os
import pwd
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cmp_to_key
from pathlib import Path
from urllib.parse import quote

from sandbox import process
from sandbox.build.lock import Input, InputFile, Kind
from sandbox.errors import InfraError

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
APT_HELPER = Path("/usr/lib/apt/apt-helper")
RELEASES = frozenset(
    "oldoldstable oldstable stable testing unstable bullseye bookworm trixie forky sid".split()
)
UPDATE_TIMEOUT_S = 300
QUERY_TIMEOUT_S = 60
LOCK_TIMEOUT_S = 600
# A mirror slower than this is as good as gone.
SLOWEST_BYTES_PER_S = 50_000


class ArchiveError(InfraError):
    """apt cannot tell us what the archive holds."""


class InputUnavailable(InfraError):
    """The archive no longer has, or cannot deliver, a file that the lock file names."""


@dataclass(frozen=True)
class Mirror:
    uri: str
    keyrings: tuple[Path, ...]


@dataclass(frozen=True)
class Listed:
    """What the archive's indices say about one version of a package."""

    package: str
    version: str
    files: tuple[InputFile, ...]
    depends: str = ""


def machine_mirrors() -> list[Mirror]:
    """The Debian mirrors of the machine's apt configuration, first choice first."""
    fields = "$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(ORIGIN)|$(SOURCESENTRY)"
    done = process.run(
        ["apt-get", "indextargets", "--format", fields, "Created-By: Packages"],
        timeout_s=QUERY_TIMEOUT_S,
        env=_environment(None),
    )
    rows = [line.split("|", 4) for line in done.stdout.decode().splitlines()]
    # Security and updates are left out: their releases have other names, and archives of their
    # own without the pool that we need.
    found = [row for row in rows if row[1] in RELEASES and row[2] == "main"]
    # Other people's archives use Debian's names too. Whose it is, apt knows once it was updated.
    found = [row for row in found if row[3] == "Debian"] or found
    mirrors: dict[str, Mirror] = {}
    for uri, _, _, _, entry in found:
        keyrings = [*_signed_by(entry), KEYRING]
        present = tuple(dict.fromkeys(k for k in keyrings if k.is_file()))
        mirrors.setdefault(uri, Mirror(uri.rstrip("/"), present))
    if not mirrors:
        raise ArchiveError(
            "apt has no Debian mirror set up",
            "A Debian machine names one in /etc/apt/sources.list or sources.list.d/.",
        )
    if not any(m.keyrings for m in mirrors.values()):
        raise ArchiveError(
            "no keyring to check Debian's signatures with",
            "Install the package debian-archive-keyring.",
        )
    return list(mirrors.values())


def _signed_by(entry: str) -> list[Path]:
    """The key files named beside a source; `entry` is apt's `file:line` or `file:stanza`."""
    path, _, _ = entry.rpartition(":")
    try:
        text = Path(path).read_text()
    except OSError:
        return []
    found = re.findall(r"(?mi)^signed-by:\s*(.+)$|signed-by=([^\s\]]+)", text)
    names = [name for pair in found for name in re.split(r"[,\s]+", pair[0] or pair[1])]
    return [Path(name) for name in names if name.startswith("/")]


def _environment(config: Path | None) -> dict[str, str]:
    env = {**os.environ, "LC_ALL": "C.UTF-8"}
    env.pop("APT_CONFIG", None)
    if config is not None:
        env["APT_CONFIG"] = os.fspath(config)
    return env


class Archive:
    """An isolated apt over some suites. Indices are fetched once per object, when first needed."""

    def __init__(
        self, state_dir: Path, suites: Sequence[str], mirrors: Sequence[Mirror] | None = None
    ) -> None:
        self._dir = state_dir
        self._suites = tuple(sorted(set(suites)))
        self._mirrors = list(mirrors) if mirrors is not None else None
        self._fresh = False

    @property
    def mirrors(self) -> list[Mirror]:
        if self._mirrors is None:
            self._mirrors = machine_mirrors()
        return self._mirrors

    def refresh(self, poll: Callable[[], None] | None = None) -> None:
        """Fetch the indices and have apt check their signatures."""
        if self._fresh:
            return
        with self._locked():
            self._write_config()
            try:
                process.run(
                    ["apt-get", "update", "-o", "APT::Update::Error-Mode=any"],
                    timeout_s=UPDATE_TIMEOUT_S,
                    env=_environment(self._config),
                    poll=poll,
                )
            except process.ProcessError as error:
                raise ArchiveError(
                    f"apt cannot fetch the indices of {', '.join(self._suites)}:\n{error.message}",
                    (
                        "Does `apt-get update` work on this machine?",
                        "With a warm cache nothing is fetched: is this the same XDG_CACHE_HOME?",
                    ),
                ) from error
        self._fresh = True

    def listed(self, entries: Sequence[Input]) -> dict[str, Listed | None]:
        """By input name, what the indices say of the locked version; None if it is gone."""
        known = self._versions(entries)
        return {
            e.name: next((v for v in known[e] if v.version == e.version), None) for e in entries
        }

    def newest(self, entries: Sequence[Input]) -> dict[str, Listed | None]:
        """By input name, the version that the input's suite has now; None if it has none."""
        metas = [replace(e, package=e.via) for e in entries if e.via]
        depends = {m.name: v.depends for m, v in self._in_suite(metas).items() if v}
        concrete = []
        for entry in entries:
            if entry.via:
                # linux-image-arm64 depends on linux-image-6.12.107+deb13-arm64 (= 6.12.107-1)
                stem = re.escape(entry.via.removesuffix(f"-{entry.arch}"))
                named = re.search(rf"{stem}-\S+-{entry.arch}\b", depends.get(entry.name, ""))
                if named is None:
                    raise ArchiveError(f"{entry.via} in {entry.suite} names no package")
                entry = replace(entry, package=named[0])
            concrete.append(entry)
        return {entry.name: version for entry, version in self._in_suite(concrete).items()}

    def download(
        self,
        files: Mapping[InputFile, Path],
        poll: Callable[[], None] | None = None,
    ) -> str:
        """Fetch pool files to the given places, from each mirror in turn until all are there.

        What arrives is checked by apt against its sha256. A partial file is continued. Returns
        what apt had to say; which files are missing, the caller sees for himself.
        """
        said = []
        for mirror in self.mirrors:
            wanted = {file: path for file, path in files.items() if not _complete(file, path)}
            if not wanted:
                break
            argv: list[process.Argument] = [APT_HELPER, "download-file"]
            for file, path in wanted.items():
                argv += [f"{mirror.uri}/{quote(file.path, safe='/~:+')}", path]
                argv.append(f"SHA256:{file.sha256}")
            total = sum(file.size_bytes for file in wanted)
            self._write_config()
            done = process.run(
                argv,
                timeout_s=120 + total / SLOWEST_BYTES_PER_S,
                env=_environment(self._config),
                poll=poll,
                check=False,
            )
            said.append(done.stderr.decode(errors="replace").strip())
        return "\n".join(filter(None, said))

    # The isolated apt ---------------------------------------------------------------------------

    @property
    def _config(self) -> Path:
        return self._dir / "apt.conf"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._dir.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + LOCK_TIMEOUT_S
        with (self._dir / "lock").open("w") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise ArchiveError(
                            f"another process has kept {self._dir} locked for too long"
                        ) from None
                    time.sleep(0.2)
            yield

    def _write_config(self) -> None:
        for folder in ("lists/partial", "cache/archives/partial"):
            (self._dir / folder).mkdir(parents=True, exist_ok=True)
        (self._dir / "status").touch()
        sources = []
        for mirror in self.mirrors:
            options = "arch=arm64"
            if mirror.keyrings:
                options += " signed-by=" + ",".join(map(os.fspath, mirror.keyrings))
            for suite in self._suites:
                sources.append(f"deb [{options}] {mirror.uri} {suite} main\n")
                sources.append(f"deb-src [{options}] {mirror.uri} {suite} main\n")
        _write(self._dir / "sources.list", "".join(sources))
        # Read after /etc/apt/apt.conf.d, so proxies and certificates are the machine's. Its hooks
        # (refreshing software catalogues and the like) are for its own lists and are dropped.
        _write(
            self._config,
            f'Dir::State "{self._dir}";\n'
            f'Dir::State::lists "{self._dir}/lists";\n'
            f'Dir::State::status "{self._dir}/status";\n'
            f'Dir::Cache "{self._dir}/cache";\n'
            'Dir::Cache::pkgcache "pkgcache.bin";\n'
            'Dir::Cache::srcpkgcache "srcpkgcache.bin";\n'
            f'Dir::Etc::sourcelist "{self._dir}/sources.list";\n'
            'Dir::Etc::sourceparts "/dev/null";\n'
            'Dir::Etc::preferences "/dev/null";\n'
            'Dir::Etc::preferencesparts "/dev/null";\n'
            'APT::Architecture "arm64";\n'
            '#clear APT::Architectures;\nAPT::Architectures {"arm64";};\n'
            f'APT::Sandbox::User "{_user()}";\n'
            'Acquire::Languages "none";\n'
            'Acquire::AllowInsecureRepositories "false";\n'
            "#clear APT::Update::Pre-Invoke;\n#clear APT::Update::Post-Invoke;\n"
            "#clear APT::Update::Post-Invoke-Success;\n",
        )

    def _query(self, *argv: str) -> str:
        self.refresh()
        done = process.run(
            argv, timeout_s=QUERY_TIMEOUT_S, env=_environment(self._config), check=False
        )
        return done.stdout.decode()

    def _versions(self, entries: Sequence[Input]) -> dict[Input, list[Listed]]:
        """All versions of the entries' packages, in two queries: each costs apt a second."""
        debs = sorted({e.package for e in entries if e.kind is Kind.DEB})
        sources = sorted({e.package for e in entries if e.kind is not Kind.DEB})
        shown = _stanzas(self._query("apt-cache", "show", *debs)) if debs else []
        shown_sources = (
            _stanzas(self._query("apt-cache", "showsrc", "--only-source", *sources))
            if sources
            else []
        )
        return {
            e: [
                _listed(s, e.kind)
                for s in (shown if e.kind is Kind.DEB else shown_sources)
                if s.get("Package") == e.package
            ]
            for e in entries
        }

    def _in_suite(self, entries: Sequence[Input]) -> dict[Input, Listed | None]:
        if not entries:
            return {}
        known = self._versions(entries)
        # madison is the one query that names suites: package | version | mirror suite/main ...
        text = self._query("apt-cache", "madison", *sorted({e.package for e in entries}))
        rows = [[part.strip() for part in line.split("|", 2)] for line in text.splitlines()]
        found: dict[Input, Listed | None] = {}
        for entry in entries:
            kind = "Packages" if entry.kind is Kind.DEB else "Sources"
            # The rows come newest first for binaries, in no order for sources.
            versions = {
                row[1]
                for row in rows
                if row[0] == entry.package
                and f"{entry.suite}/main" in row[2].split()
                and row[2].split()[-1] == kind
            }
            candidates = [v for v in known[entry] if v.version in versions]
            found[entry] = max(candidates, key=lambda v: _version_key(v.version), default=None)
        return found


def _user() -> str:
    # As root, apt would fetch as user _apt, who cannot write to root's cache folder.
    return pwd.getpwuid(os.getuid()).pw_name


@cmp_to_key
def _version_key(left: str, right: str) -> int:
    if left == right:
        return 0
    argv = ["dpkg", "--compare-versions", left, "gt", right]
    return 1 if process.run(argv, timeout_s=10, check=False).status == 0 else -1


def _listed(stanza: Mapping[str, str], kind: Kind) -> Listed:
    if kind is Kind.DEB:
        file = InputFile(stanza["Filename"], int(stanza["Size"]), stanza["SHA256"])
        files: tuple[InputFile, ...] = (file,)
    else:
        files = _source_files(stanza, kind)
    return Listed(stanza["Package"], stanza["Version"], files, stanza.get("Depends", ""))


def _complete(file: InputFile, path: Path) -> bool:
    return path.is_file() and path.stat().st_size == file.size_bytes


def _write(path: Path, text: str) -> None:
    if path.is_file() and path.read_text() == text:
        return
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(text)
    temporary.replace(path)


def _stanzas(text: str) -> list[dict[str, str]]:
    """Debian control data: paragraphs of `Field: value`, continued by indented lines."""
    stanzas: list[dict[str, str]] = []
    for block in re.split(r"\n\s*\n", text):
        fields: dict[str, str] = {}
        last = ""
        for line in block.splitlines():
            if line[:1].isspace() and last:
                fields[last] += "\n" + line.strip()
            elif ":" in line:
                last, _, value = line.partition(":")
                fields[last] = value.strip()
        if fields:
            stanzas.append(fields)
    return stanzas


def _source_files(stanza: Mapping[str, str], kind: Kind) -> tuple[InputFile, ...]:
    """The upstream tarball, and for a source package what Debian adds to it."""
    found = []
    for line in stanza.get("Checksums-Sha256", "").split("\n"):
        words = line.split()
        if len(words) == 3:
            found.append(InputFile(f"{stanza['Directory']}/{words[2]}", int(words[1]), words[0]))
    pattern = r"\.orig\.tar\.\w+$"
    if kind is Kind.SOURCE:
        pattern += r"|\.debian\.tar\.\w+$"
    return tuple(
        sorted((f for f in found if re.search(pattern, f.name)), key=lambda f: ".debian." in f.name)
    )
