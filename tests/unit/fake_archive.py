# SPDX-License-Identifier: Apache-2.0
"""A small Debian archive on a loopback port, with an index that is really signed.

The real apt runs against it, so that what is tested is our use of apt and not a picture of it.
"""

import hashlib
import io
import subprocess
import tarfile
import threading
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from sandbox.build.archive import Archive, Mirror
from sandbox.build.lock import Input, InputFile, Kind, Lock

SUITE = "testing"
DIST = f"dists/{SUITE}"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def tarball(files: dict[str, str]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    return out.getvalue()


class _Handler(SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.requests.append(self.path)  # type: ignore[attr-defined]
        super().do_GET()

    def log_message(self, *args: Any) -> None:
        del args


@dataclass
class FakeArchive:
    """Files under `root`; `publish` writes and signs the indices for what was added."""

    root: Path
    keys: Path
    _packages: dict[tuple[str, str], str] = field(default_factory=dict)
    _sources: dict[tuple[str, str], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.keys.mkdir(mode=0o700)
        self._gpg("--quick-gen-key", "archive@test.example", "ed25519", "sign", "never")
        self._gpg("--output", str(self.keyring), "--export", "archive@test.example")
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory=str(self.root)))
        server.requests = []  # type: ignore[attr-defined]
        self.server = server
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def keyring(self) -> Path:
        return self.keys / "archive.gpg"

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    @property
    def requests(self) -> list[str]:
        requests: list[str] = self.server.requests  # type: ignore[attr-defined]
        return requests

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        subprocess.run(
            ["gpgconf", "--homedir", str(self.keys), "--kill", "all"], check=False, timeout=20
        )

    def mirror(self) -> Mirror:
        return Mirror(self.uri, (self.keyring,))

    def archive(self, state_dir: Path) -> Archive:
        return Archive(state_dir, [SUITE], [self.mirror()])

    def add_deb(
        self, package: str, version: str, files: dict[str, str], depends: str = ""
    ) -> InputFile:
        tree = self.root.parent / f"tree-{package}-{version}"
        control = f"Package: {package}\nVersion: {version}\nArchitecture: arm64\n"
        control += "Maintainer: Nobody <nobody@test.example>\nDescription: a test\n"
        if depends:
            control += f"Depends: {depends}\n"
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "DEBIAN/control").write_text(control)
        for name, text in files.items():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_text(text)
        path = f"pool/main/{package[0]}/{package}/{package}_{version}_arm64.deb"
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "--build", str(tree), str(target)],
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=60,
        )
        data = target.read_bytes()
        file = InputFile(path, len(data), sha256(data))
        self._packages[package, version] = (
            f"{control}Filename: {path}\nSize: {len(data)}\nSHA256: {file.sha256}\n"
        )
        return file

    def add_source(
        self, package: str, version: str, upstream: dict[str, str], debian: dict[str, str]
    ) -> tuple[InputFile, InputFile]:
        directory = f"pool/main/{package[0]}/{package}"
        names = {
            f"{package}_{version}.orig.tar.gz": tarball(upstream),
            f"{package}_{version}-1.debian.tar.gz": tarball(debian),
        }
        (self.root / directory).mkdir(parents=True, exist_ok=True)
        files = []
        for name, data in names.items():
            (self.root / directory / name).write_bytes(data)
            files.append(InputFile(f"{directory}/{name}", len(data), sha256(data)))
        sums = "".join(f"\n {f.sha256} {f.size_bytes} {f.name}" for f in reversed(files))
        md5 = "".join(f"\n {'0' * 32} {f.size_bytes} {f.name}" for f in reversed(files))
        self._sources[package, version] = (
            f"Package: {package}\nBinary: {package}\nVersion: {version}-1\nFormat: 3.0 (quilt)\n"
            f"Architecture: any\nDirectory: {directory}\nFiles:{md5}\nChecksums-Sha256:{sums}\n"
        )
        return files[0], files[1]

    def drop(self, package: str, version: str) -> None:
        """Take a version out of the index; its file stays in the pool."""
        del self._packages[package, version]

    def publish(self, *, sign: bool = True) -> None:
        indices = {
            "main/binary-arm64/Packages": "\n".join(self._packages.values()),
            "main/source/Sources": "\n".join(self._sources.values()),
        }
        release = f"Origin: Test\nSuite: {SUITE}\nCodename: {SUITE}\n"
        release += "Date: Sat, 21 Nov 2026 00:00:00 UTC\nArchitectures: arm64\nComponents: main\n"
        release += "SHA256:\n"
        for name, text in indices.items():
            path = self.root / DIST / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            release += f" {sha256(text.encode())} {len(text.encode())} {name}\n"
        plain = self.root / DIST / "Release"
        signed = self.root / DIST / "InRelease"
        plain.write_text(release)
        signed.unlink(missing_ok=True)
        if sign:
            self._gpg("--clearsign", "--output", str(signed), str(plain))

    def _gpg(self, *args: str) -> None:
        argv = ["gpg", "--homedir", str(self.keys), "--batch", "--quiet", "--yes"]
        argv += ["--pinentry-mode", "loopback", "--passphrase", "", *args]
        subprocess.run(argv, check=True, capture_output=True, timeout=60)


def deb_input(name: str, version: str, file: InputFile, **settings: Any) -> Input:
    values: dict[str, Any] = {"package": name, "suite": SUITE, "why": "a test", "arch": "arm64"}
    values |= settings
    return Input(name=name, kind=Kind.DEB, version=version, files=(file,), **values)


def source_input(name: str, version: str, files: tuple[InputFile, ...]) -> Input:
    return Input(name, Kind.SOURCE, name, version, SUITE, "a test", files)


def lock_of(path: Path, *inputs: Input) -> Lock:
    return Lock(path, inputs)
