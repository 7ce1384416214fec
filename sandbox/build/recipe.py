# SPDX-License-Identifier: Apache-2.0
"""What is compiled: OP-TEE OS, Trusted Firmware-A, our trusted application and its client."""

import contextlib
import functools
import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from sandbox import paths, process
from sandbox.build import sources, store
from sandbox.errors import InfraError, UserError
from sandbox.log import Progress

CROSS = "aarch64-linux-gnu-"
# One OP-TEE image serves any machine with up to this many cores, so that `--cores 2` and
# `--cores 4` share one build. A slot that no core uses costs 37 KiB of secure RAM (measured: 1192
# KiB in use after boot with 8 slots, 1480 KiB with 16), and is worth it up to 8. GICv3 has 16 cores
# in a cluster, and OP-TEE is built for one.
CORE_SLOTS = (8, 16)
MAKE_TIMEOUT_S = 1200
FIRMWARE_STAGES = ("bl1", "bl2", "bl31")
# What make, and the shell that it calls, would not take as a part of a name.
_ODD = re.compile(r"[^\w./+,=@-]")


class ToolMissing(InfraError):
    """A program that a build needs is not on this machine."""


def core_slots(cores: int) -> int:
    for slots in CORE_SLOTS:
        if 1 <= cores <= slots:
            return slots
    raise UserError(
        f"cannot build for {cores} cores", f"--cores takes a number from 1 to {CORE_SLOTS[-1]}."
    )


def optee_os(cores: int, progress: Progress) -> Path:
    """OP-TEE OS: `core/` has its images, `export-ta_arm64/` is the dev kit, `ta/` its own TAs.

    `symbols/` has what debuggers read: `core.elf`, `ldelf.elf`, and `<uuid>.elf` of each TA.
    """
    options = _options("optee-os", {"slots": str(core_slots(cores))})
    parts = {**_source("optee-os"), "options": options, "tools": _tools(), "keeps": "symbols"}

    def build(work: store.Work) -> None:
        source = sources.unpacked("optee-os", progress)
        out = work.folder / "out"
        _make(
            source,
            {
                **options,
                "O": os.fspath(out),
                "CROSS_COMPILE": CROSS,
                "CROSS_COMPILE64": CROSS,
                # Printed at each boot, in place of a git revision.
                "TEE_IMPL_VERSION": f"{sources.locked().input('optee-os').version}-sandbox",
                "PYTHON3": sys.executable,
            },
            work,
        )
        core, symbols = work.folder / "core", work.folder / "symbols"
        core.mkdir()
        symbols.mkdir()
        for name in ("tee-header_v2.bin", "tee-pager_v2.bin", "tee-pageable_v2.bin"):
            (out / "core" / name).rename(core / name)
        (out / "core" / "tee.elf").rename(symbols / "core.elf")
        (out / "ldelf" / "ldelf.elf").rename(symbols / "ldelf.elf")
        (out / "export-ta_arm64").rename(work.folder / "export-ta_arm64")
        (work.folder / "ta").mkdir()
        for ta in out.glob("ta/*/*.ta"):
            ta.rename(work.folder / "ta" / ta.name)
            ta.with_suffix(".elf").rename(symbols / f"{ta.stem}.elf")
        shutil.copy2(out / "conf.mk", work.folder / "conf.mk")
        shutil.rmtree(out)

    return store.result(
        "optee-os-build",
        parts,
        build,
        progress,
        "build OP-TEE OS",
        needs=lambda: sources.unpacked("optee-os", progress),
    )


def ta_dev_kit(progress: Progress) -> Path:
    """The folder that a TA's makefile wants as TA_DEV_KIT_DIR."""
    # The kit does not depend on the number of cores; take the one that everybody has.
    return optee_os(1, progress) / "export-ta_arm64"


def trusted_firmware(progress: Progress) -> Path:
    """TF-A's stages: `bl1.bin`, `bl2.bin` and `bl31.bin`, each with its .elf."""
    options = _options("trusted-firmware", {})
    source = _source("arm-trusted-firmware")
    parts = {**source, "options": options, "tools": _tools(), "keeps": "symbols"}

    def build(work: store.Work) -> None:
        source = sources.unpacked("arm-trusted-firmware", progress)
        out = work.folder / "out"
        _make(
            source,
            {
                **options,
                "CROSS_COMPILE": CROSS,
                "BUILD_BASE": os.fspath(out),
                "BUILD_STRING": sources.locked().input("arm-trusted-firmware").version,
                # Otherwise the time of the build, which makes each one different.
                "BUILD_MESSAGE_TIMESTAMP": '"optee-sandbox"',
            },
            work,
            targets=FIRMWARE_STAGES,
        )
        for name in FIRMWARE_STAGES:
            made = out / "qemu" / "release"
            (made / f"{name}.bin").rename(work.folder / f"{name}.bin")
            (made / name / f"{name}.elf").rename(work.folder / f"{name}.elf")
        shutil.rmtree(out)

    return store.result(
        "trusted-firmware",
        parts,
        build,
        progress,
        "build Trusted Firmware-A",
        needs=lambda: sources.unpacked("arm-trusted-firmware", progress),
    )


def inference_ta(progress: Progress, *, encrypt_model: bool = False) -> Path:
    """Our trusted application: a folder with `<uuid>.ta`, and the .elf for symbols.

    `encrypt_model`: with the commands that seal models, which are not for production.
    """
    kit = ta_dev_kit(progress)
    source = paths.project_dir() / "ta"
    libraries = {"LIBJPEG": "libjpeg-turbo", "CBOR": "tinycbor", "MUSL": "musl"}
    trees = {key: sources.unpacked(name, progress) for key, name in libraries.items()}
    # Said in either case: make would else take it from the environment.
    options = {"CFG_CML_ENCRYPT_MODEL": "y" if encrypt_model else "n"}
    return _build_ta(source, "inference", kit, trees, progress, options=options)


def measuring_ta(progress: Progress) -> Path:
    """The TA that measures the engine, for `sandbox bench`: a folder as above."""
    kit = ta_dev_kit(progress)
    trees = {"MUSL": sources.unpacked("musl", progress)}
    return _build_ta(paths.project_dir() / "ta", "bench", kit, trees, progress, ("inference",))


def _build_ta(
    source: Path,
    name: str,
    kit: Path,
    trees: Mapping[str, Path],
    progress: Progress,
    others: Sequence[str] = (),
    *,
    options: Mapping[str, str] = MappingProxyType({}),
) -> Path:
    """`others`: folders that it takes sources from, beside its own and those of all TAs."""
    folders = (name, "core", "include", "third_party", *others)
    parts = {
        "source": store.tree_digest([source / folder for folder in folders]),
        "dev kit": kit.parent.name,
        "libraries": {key: tree.name for key, tree in trees.items()},
        "tools": _tools(),
        **({"options": dict(options)} if options else {}),
    }

    def build(work: store.Work) -> None:
        out = work.folder / "out"
        _make(
            source / name,
            {
                **options,
                "TA_DEV_KIT_DIR": os.fspath(kit),
                "CROSS_COMPILE": CROSS,
                "CROSS_COMPILE64": CROSS,
                "PYTHON3": sys.executable,
                "O": os.fspath(out),
                **{key: os.fspath(tree) for key, tree in trees.items()},
            },
            work,
        )
        built = [*out.glob("*.ta"), *out.glob("*.elf")]
        built = [path for path in built if not path.stem.endswith(".stripped")]
        if not any(path.suffix == ".ta" for path in built):
            raise store.BuildError(f"ta/{name}: make succeeded and made no .ta file")
        for path in built:
            path.rename(work.folder / path.name)
        shutil.rmtree(out)

    return store.result(f"ta-{name}", parts, build, progress, f"build the {name} TA")


def model_report(progress: Progress) -> Path:
    """The core as a program for arm64 Linux: what `sandbox model inspect` asks."""
    source = paths.project_dir() / "ta"
    trees = {
        key: sources.unpacked(name, progress)
        for key, name in (("LIBJPEG", "libjpeg-turbo"), ("CBOR", "tinycbor"))
    }
    own = [source / name for name in ("core", "report", "third_party")]
    parts = {
        "source": store.tree_digest(own),
        "libraries": {key: tree.name for key, tree in trees.items()},
        "tools": _tools(),
    }

    def build(work: store.Work) -> None:
        out = work.folder / "out"
        _make(
            source / "report",
            {
                "CROSS_COMPILE": CROSS,
                "O": os.fspath(out),
                **{key: os.fspath(tree) for key, tree in trees.items()},
            },
            work,
        )
        (out / "model-report").rename(work.folder / "model-report")
        shutil.rmtree(out)

    what = "build model-report, which plans models"
    return store.result("model-report", parts, build, progress, what) / "model-report"


def symbols(cores: int, progress: Progress, *, encrypt_model: bool = False) -> dict[str, Path]:
    """The ELF files of what runs in the secure world, by the names of sandbox.machine.symbols."""
    optee = sorted((optee_os(cores, progress) / "symbols").glob("*.elf"))
    ta = sorted(inference_ta(progress, encrypt_model=encrypt_model).glob("*.elf"))
    bl31 = trusted_firmware(progress) / "bl31.elf"
    files = (*optee, *ta, bl31)
    for path in files:
        # The store found them by their sources, whatever the age of this checkout; gdb would
        # believe the files' times, and call the sources newer.
        with contextlib.suppress(OSError):
            os.utime(path)
    return {path.stem: path for path in files if not path.stem.endswith(".stripped")}


def client_application(progress: Progress) -> Path:
    """Our client application for the guest: the program `cml-ca`."""
    project = paths.project_dir()
    source = project / "host"
    own = [source, project / "ta" / "include"]
    libraries = _teec(progress)
    return _build_client(source, "cml-ca", own, libraries, "build the client cml-ca", progress)


def agent(progress: Progress) -> Path:
    """What serves the host in the guest: the program `sandbox-agent`."""
    source = paths.project_dir() / "host" / "agent"
    tomcrypt = sources.unpacked("libtomcrypt-dev", progress)
    libraries = {
        **_teec(progress),
        "TOMCRYPT_INCLUDE": tomcrypt / "usr" / "include",
        "TOMCRYPT_LIB": only(tomcrypt, "usr/lib/*/libtomcrypt.a"),
    }
    what = "build the guest's agent"
    return _build_client(source, "sandbox-agent", [source], libraries, what, progress)


def bench_program(program: str, libraries: Mapping[str, Path], progress: Progress) -> Path:
    """A program of benchmarks/guest."""
    project = paths.project_dir()
    source = project / "benchmarks" / "guest"
    ta = project / "ta"
    own = [source, ta / "bench", ta / "core", ta / "include", ta / "third_party"]
    return _build_client(source, program, own, libraries, f"build {program}", progress, (program,))


def _teec(progress: Progress) -> dict[str, Path]:
    headers = sources.unpacked("optee-client-dev", progress)
    library = sources.unpacked("libteec2", progress)
    return {
        "TEEC_INCLUDE": headers / "usr" / "include",
        "TEEC_LIB": only(library, "usr/lib/*/libteec.so.*"),
    }


def _build_client(
    source: Path,
    program: str,
    own: Sequence[Path],
    libraries: Mapping[str, Path],
    what: str,
    progress: Progress,
    targets: tuple[str, ...] = (),
) -> Path:
    """`libraries` are variables of its makefile: what they name lies below unpacked inputs."""
    cache = paths.build_cache_dir()
    parts = {
        "source": store.tree_digest(own),
        "libraries": {key: os.fspath(path.relative_to(cache)) for key, path in libraries.items()},
        "tools": _tools(),
    }

    def build(work: store.Work) -> None:
        out = work.folder / "out"
        out.mkdir()
        _make(
            source,
            {
                "CROSS_COMPILE": CROSS,
                "O": os.fspath(out),
                **{key: os.fspath(path) for key, path in libraries.items()},
            },
            work,
            targets,
        )
        (out / program).rename(work.folder / program)
        shutil.rmtree(out)

    return store.result(program, parts, build, progress, what) / program


def only(folder: Path, pattern: str) -> Path:
    """The one real file that matches; the archive decides its exact name."""
    found = sorted(path for path in folder.glob(pattern) if not path.is_symlink())
    if len(found) != 1:
        raise store.BuildError(f"expected one {pattern} in {folder}, found {len(found)}")
    return found[0]


def _source(name: str) -> dict[str, object]:
    entry = sources.locked().input(name)
    return {
        "version": entry.version,
        "files": {file.name: file.sha256 for file in entry.files},
        "patches": {patch.name: store.file_digest(patch) for patch in sources.patches(name)},
    }


def _options(name: str, values: Mapping[str, str]) -> dict[str, str]:
    path = paths.project_dir() / "optee-build" / f"{name}.options"
    options = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        key, equals, value = line.partition("=")
        if not equals or not key or key in options:
            raise UserError(f"{path}:{number}: expected NAME=VALUE, each name once")
        options[key] = value.format(**values)
    return options


@functools.cache
def _tools() -> str:
    """The cross compiler's own word on what it is: part of every key."""
    for program in ("make", f"{CROSS}gcc", f"{CROSS}ld", "patch", "dtc"):
        if shutil.which(program) is None:
            raise ToolMissing(f"{program} is not installed", "`make setup` installs it.")
    done = process.run([f"{CROSS}gcc", "--version"], timeout_s=30)
    return done.stdout.decode().splitlines()[0]


def _make(
    source: Path,
    variables: Mapping[str, str],
    work: store.Work,
    targets: tuple[str, ...] = (),
) -> None:
    env = {
        name: value
        for name, value in os.environ.items()
        # Flags of an outer make (`make demo`), or of the user, have no business in these builds.
        if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES", "CFLAGS", "LDFLAGS")
    }
    # OP-TEE's scripts need pyelftools and cryptography: those of our own environment, whose
    # interpreter some makefiles only find as `python3` on the path.
    bin_dir = os.path.dirname(sys.executable)
    env |= {
        "PATH": f"{bin_dir}{os.pathsep}{env.get('PATH', os.defpath)}",
        "LC_ALL": "C.UTF-8",
        "SOURCE_DATE_EPOCH": "0",
        "KBUILD_BUILD_TIMESTAMP": "",
    }
    for folder in (source, work.folder):
        if odd := _ODD.search(os.fspath(folder)):
            raise UserError(
                f"make cannot build in {folder}: its name has a {odd[0]!r}",
                (
                    "Set XDG_CACHE_HOME to a folder with letters, digits and - _ . alone.",
                    "Clone the sources into such a folder, too.",
                ),
            )
    argv: list[process.Argument] = ["make", f"-j{os.cpu_count() or 2}", "-C", source]
    argv += [f"{key}={value}" for key, value in variables.items()]
    argv += targets
    work.run(argv, timeout_s=MAKE_TIMEOUT_S, env=env)
