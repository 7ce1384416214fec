# SPDX-License-Identifier: Apache-2.0
"""What lets the host into its guest, and tells each that the other is the right one.

SSH keys, made once for a machine; and the token that the agent asks for, new at each boot.
"""

import base64
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)

from sandbox import cpio
from sandbox.machine.agent import TOKEN_SIZE

_KEY_TYPE = b"ssh-ed25519"
_TOKEN_FOLDER = "etc/sandbox-agent"


@dataclass(frozen=True)
class AccessKeys:
    client: Path  # private key, OpenSSH's format: `ssh -i` takes it too
    client_public: str  # one line of authorized_keys
    host_private: bytes  # dropbear's format
    host_public: str  # one line of known_hosts, without the name

    def guest_files(self) -> list[cpio.Entry]:
        """What makes the guest accept the client key and show the host key."""
        return [
            cpio.directory("etc", 0o755),
            cpio.directory("etc/dropbear", 0o700),
            cpio.file("etc/dropbear/dropbear_ed25519_host_key", self.host_private, 0o600),
            # dropbear refuses authorized_keys below a folder that others may write to.
            cpio.directory("root", 0o700),
            cpio.directory("root/.ssh", 0o700),
            cpio.file("root/.ssh/authorized_keys", self.client_public.encode() + b"\n", 0o600),
        ]


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4) + data


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _raw_private(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())


def _raw_public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def _write_private(path: Path, data: bytes) -> None:
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(data)
    new.replace(path)


def ensure(folder: Path) -> AccessKeys:
    """The keys in `folder`, made now if they are not there."""
    folder.mkdir(mode=0o700, exist_ok=True)
    client_path, host_path = folder / "client", folder / "host"
    if not client_path.exists():
        new = Ed25519PrivateKey.generate()
        pem = new.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
        _write_private(client_path, pem)
    if not host_path.exists():
        _write_private(host_path, _raw_private(Ed25519PrivateKey.generate()))
    return load(folder)


def load(folder: Path) -> AccessKeys:
    client_path = folder / "client"
    client = load_ssh_private_key(client_path.read_bytes(), None)
    assert isinstance(client, Ed25519PrivateKey)
    line = client.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    seed = (folder / "host").read_bytes()
    host = Ed25519PrivateKey.from_private_bytes(seed)
    public = _raw_public(host)
    return AccessKeys(
        client=client_path,
        client_public=f"{line} optee-sandbox",
        host_private=_string(_KEY_TYPE) + _string(seed + public),
        host_public=f"{_KEY_TYPE.decode()} {_base64(_string(_KEY_TYPE) + _string(public))}",
    )


def new_token(path: Path) -> bytes:
    """Made for each boot, so that what still listens from an earlier one knows another."""
    token = os.urandom(TOKEN_SIZE)
    _write_private(path, token)
    return token


def token_files(token: bytes) -> list[cpio.Entry]:
    """What makes the agent accept who knows the token."""
    return [
        cpio.directory("etc", 0o755),
        cpio.directory(_TOKEN_FOLDER, 0o700),
        cpio.file(f"{_TOKEN_FOLDER}/token", token, 0o600),
    ]
