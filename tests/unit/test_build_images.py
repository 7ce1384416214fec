# SPDX-License-Identifier: Apache-2.0
"""What goes into the images: firmware package, modules, libraries, the guest's own files."""

import io
import os
import re
import shutil
import stat
import struct
import subprocess
import uuid
from pathlib import Path

import pytest

from sandbox import cpio, paths
from sandbox.build import fip, images, recipe, store
from sandbox.log import SilentProgress
from sandbox.machine import boot

GUEST = paths.project_dir() / "optee-build" / "guest"


def test_firmware_package_reads_back() -> None:
    contents = {"bl2": b"second stage", "bl31": b"", "bl32-extra1": bytes(1000)}
    data = fip.pack(contents)
    name, _serial, flags = struct.unpack_from("<IIQ", data)
    assert (name, flags) == (0xAA640001, 0)
    found = {}
    at = 16
    while True:
        image, offset, size, _flags = struct.unpack_from("<16sQQQ", data, at)
        at += 40
        if image == bytes(16):
            assert offset == len(data)
            break
        found[uuid.UUID(bytes=image)] = data[offset : offset + size]
    assert len(found) == 3
    # As printed in TF-A's documentation and by `fiptool info`.
    assert found[uuid.UUID("5ff9ec0b-4d22-3e4d-a544-c39d81c73f0a")] == b"second stage"
    assert found[uuid.UUID("0b70c29b-2a5a-7840-9f65-0a5682738288")] == bytes(1000)


def _module(folder: Path, name: str, depends: str) -> Path:
    """An object file with the .modinfo that the kernel's build would give it."""
    path = folder / f"{name}.ko"
    path.parent.mkdir(parents=True, exist_ok=True)
    source = (
        '__attribute__((section(".modinfo"))) const char info[] ='
        f' "license=GPL\\0depends={depends}\\0name={name}";'
    )
    subprocess.run(
        ["cc", "-x", "c", "-c", "-o", str(path), "-"], input=source.encode(), check=True, timeout=60
    )
    return path


def _entries(found: list[cpio.Entry]) -> dict[str, cpio.Entry]:
    return {entry.path: entry for entry in found}


def test_modules_come_with_what_they_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "usr/lib/modules/6.1-test/kernel"
    _module(folder / "fs", "p9", "net-core,cache")
    _module(folder / "net", "net-core", "cache")
    _module(folder / "fs", "cache", "")
    _module(folder / "fs", "unused", "")
    xz = _module(folder / "drivers", "trusty", "")
    subprocess.run(["xz", str(xz)], check=True, timeout=60)
    monkeypatch.setattr(images, "MODULES", ("p9", "trusty"))
    found = _entries(list(images._modules(tmp_path)))
    root = "usr/lib/modules/6.1-test"
    assert set(found) == {root} | {
        f"{root}/{name}"
        for name in ("p9.ko", "net_core.ko", "cache.ko", "trusty.ko", "modules.dep")
    }
    assert found[f"{root}/trusty.ko"].data.startswith(b"\x7fELF")
    lines = dict(
        line.split(":") for line in found[f"{root}/modules.dep"].data.decode().splitlines()
    )
    # modprobe loads from the end: cache before net_core, which needs it.
    assert lines["p9.ko"].split() == ["net_core.ko", "cache.ko"]
    assert lines["cache.ko"].split() == []


def test_module_that_the_lock_does_not_keep_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _module(tmp_path / "usr/lib/modules/6.1-test/kernel", "a", "b")
    monkeypatch.setattr(images, "MODULES", ("a",))
    with pytest.raises(store.BuildError) as caught:
        list(images._modules(tmp_path))
    assert "no module b" in caught.value.message
    assert "inputs.toml" in (caught.value.hint or "")


def _library(folder: Path, name: str, *needs: Path) -> Path:
    path = folder / "usr/lib/aarch64-linux-gnu" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    argv = ["cc", "-x", "c", "-", "-shared", "-nostdlib", f"-Wl,-soname,{name}", "-o", str(path)]
    argv += ["-Wl,--no-as-needed", "-x", "none", *map(str, needs)]
    subprocess.run(argv, input=b"int x;", check=True, timeout=60)
    return path


def test_libraries_are_followed_to_the_end(tmp_path: Path) -> None:
    third = _library(tmp_path / "b", "libthird.so.3")
    second = _library(tmp_path / "a", "libsecond.so.2", third)
    _library(tmp_path / "a", "libunused.so.1")
    program = _library(tmp_path / "p", "program", second)
    found = _entries(list(images._libraries([program], [tmp_path / "a", tmp_path / "b"])))
    folder = "usr/lib/aarch64-linux-gnu"
    assert {f"{folder}/libsecond.so.2", f"{folder}/libthird.so.3"} < set(found)
    assert f"{folder}/libunused.so.1" not in found
    with pytest.raises(store.BuildError, match=r"no input has the library libthird.so.3"):
        list(images._libraries([program], [tmp_path / "a"]))


def test_guests_skeleton_is_read_back_by_cpio(tmp_path: Path) -> None:
    archive = io.BytesIO()
    entries = [
        *images._links_and_folders(),
        *images._applets(GUEST / "applets"),
        *images._files_below(GUEST / "etc", "etc"),
    ]
    cpio.write(archive, entries)
    listing = subprocess.run(
        ["cpio", "--list", "--verbose", "--numeric-uid-gid", "--quiet"],
        input=archive.getvalue(),
        check=True,
        capture_output=True,
        timeout=60,
    ).stdout.decode()
    lines = {line.split()[8]: line.split() for line in listing.splitlines()}
    assert set(lines) == {entry.path for entry in entries}
    assert lines["root/.ssh"][0] == "drwx------"
    assert lines["tmp"][0] == "drwxrwxrwt"
    assert lines["etc/init.d/boot"][0] == "-rwxr-xr-x"
    assert lines["init"][8:] == ["init", "->", "usr/bin/busybox"]
    assert all(line[2:4] == ["0", "0"] for line in lines.values())


def test_folders_are_made_before_what_is_in_them() -> None:
    seen = {"."}
    for entry in [*images._links_and_folders(), *images._applets(GUEST / "applets")]:
        parent = os.path.dirname(entry.path)
        assert not parent or parent in seen, entry.path
        if stat.S_ISDIR(entry.mode):
            seen.add(entry.path)


def test_applets_are_listed_once() -> None:
    names = (GUEST / "applets").read_text().split()
    assert len(names) == len(set(names))


def test_init_script_is_a_script_and_uses_what_is_there() -> None:
    script = GUEST / "etc/init.d/boot"
    shell = shutil.which("dash") or "sh"
    subprocess.run([shell, "-n", str(script)], check=True, timeout=20)
    applets = set((GUEST / "applets").read_text().split())
    for program in ("modprobe", "mount", "usleep", "ip", "sh"):
        assert program in applets
    assert os.access(script, os.X_OK)


def test_init_announces_the_events_that_the_machine_room_waits_for() -> None:
    text = (GUEST / "etc/init.d/boot").read_text()
    announced = set(re.findall(r"(?:^|\W)event ([a-z0-9-]+)", text, re.MULTILINE))
    assert announced == set(boot.EVENTS)
    failing = set(re.findall(r"(?:failed|attempt) ([a-z0-9-]+) ", text))
    # What fails at the storage's mount is a part of tee-supplicant's start.
    assert failing <= announced | {"storage"}


@pytest.mark.parametrize(("encrypt_model", "said"), [(False, "n"), (True, "y")])
def test_whether_a_ta_seals_is_not_the_environments_to_say(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, encrypt_model: bool, said: str
) -> None:
    """A variable in it would else get the helper into what is called the production build."""
    given: list[dict[str, str]] = []

    def build_ta(*_: object, options: dict[str, str]) -> Path:
        given.append(options)
        return tmp_path

    monkeypatch.setenv("CFG_CML_ENCRYPT_MODEL", "n" if encrypt_model else "y")
    monkeypatch.setattr(recipe, "ta_dev_kit", lambda _: tmp_path)
    monkeypatch.setattr(recipe.sources, "unpacked", lambda *_: tmp_path)
    monkeypatch.setattr(recipe, "_build_ta", build_ta)
    recipe.inference_ta(SilentProgress(), encrypt_model=encrypt_model)
    assert given == [{"CFG_CML_ENCRYPT_MODEL": said}]
