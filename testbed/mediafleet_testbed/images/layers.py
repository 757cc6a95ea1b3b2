"""What goes into each layer, and when a layer can be taken from the cache.

A layer is found again by a key over its inputs (versions, lock file, source text), so that a change
of our code packs a megabyte and not an interpreter.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import sysconfig
import tempfile
import zipfile
from configparser import ConfigParser
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mediafleet_testbed.tools import toolchain

from ..errors import ImageError
from ..locks import locked
from ..paths import REPOSITORY, cache
from ..progress import step
from .oci import Layer
from .packing import LayerWriter
from .steps import add_libraries, compile_python, run

if TYPE_CHECKING:
    from collections.abc import Callable

RECIPE = 1
"""Raise when the code below changes what a layer holds."""

PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
LIBRARY = f"/usr/local/lib/{PYTHON}"
PACKAGES = f"{LIBRARY}/site-packages"
SOURCES = ("common", "operator", "scheduler", "cli", "pyproject.toml", "README.md", "LICENSE")
UNNEEDED = {
    *("test", "tests", "idlelib", "idle_test", "tkinter", "turtledemo", "ensurepip", "lib2to3"),
    *("pydoc_data", "site-packages", "dist-packages", "__pycache__"),
}
PIP_INSTALL = (
    *("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"),
    *("--no-deps", "--require-hashes", "--only-binary", ":all:"),
)


def base_layer() -> Layer:
    """A root file system: accounts, certificates, a static shell to look around with."""
    busybox = Path("/bin/busybox").resolve()
    return _cached("base", [_stamp(busybox)], 1, partial(_fill_base, busybox))


def _fill_base(busybox: Path, layer: LayerWriter, _scratch: Path) -> None:
    for name in ("bin", "sbin", "lib", "lib64"):
        layer.folder(f"usr/{name}")
        layer.link(name, f"usr/{name}")
    for name in ("etc", "var", "run", "proc", "sys", "dev", "home"):
        layer.folder(name)
    layer.folder("tmp", 0o1777)
    layer.text("etc/passwd", "root:x:0:0::/:/bin/sh\nmediafleet:x:65532:65532::/home:/bin/sh\n")
    layer.text("etc/group", "root:x:0:\nmediafleet:x:65532:\n")
    layer.text("etc/nsswitch.conf", "hosts: files dns\n")
    certificates = Path("/etc/ssl/certs/ca-certificates.crt")
    if certificates.exists():
        layer.file("etc/ssl/certs/ca-certificates.crt", certificates)
    layer.file("usr/bin/busybox", busybox, 0o755)
    for applet in ("sh", "cat", "ls", "sleep", "wget", "nc", "env", "kill", "ps", "nslookup"):
        layer.link(f"usr/bin/{applet}", "busybox")


def pause_layer() -> Layer:
    """What holds a pod's namespaces open: it waits, and ends when told to."""
    busybox = Path("/bin/busybox").resolve()
    script = (
        "#!/busybox sh\ntrap 'exit 0' TERM INT\nwhile :; do /busybox sleep 3600 & wait $!; done\n"
    )

    def fill(layer: LayerWriter, _scratch: Path) -> None:
        layer.file("busybox", busybox, 0o755)
        layer.text("pause", script, 0o755)

    return _cached("pause", [_stamp(busybox), script], 1, fill)


def python_layer() -> Layer:
    """The interpreter that runs this, its library without tests, and the libraries both need."""
    prefix = Path(sys.base_prefix)
    interpreter = (prefix / "bin" / PYTHON).resolve()
    return _cached(
        "python", [sys.version, _stamp(interpreter)], 15, partial(_fill_python, interpreter)
    )


def _fill_python(interpreter: Path, layer: LayerWriter, scratch: Path) -> None:
    library = Path(sysconfig.get_path("stdlib", vars={"base": sys.base_prefix}))
    copy = scratch / "library"
    shutil.copytree(library, copy, symlinks=False, ignore=_leave_out)
    compile_python(copy, LIBRARY)
    layer.tree(LIBRARY, copy)
    layer.file(f"/usr/local/bin/{PYTHON}", interpreter, 0o755)
    for name in ("python3", "python"):
        layer.link(f"/usr/local/bin/{name}", PYTHON)
    add_libraries(layer, [interpreter, *library.glob("lib-dynload/*.so")])


def _leave_out(_folder: str, names: list[str]) -> set[str]:
    return {name for name in names if name in UNNEEDED or name.startswith("config-")}


def dependencies_layer(
    lock_name: str = "runtime", usual_seconds: float = 60, tree: Path = REPOSITORY
) -> Layer:
    """Locked dependencies, installed by hash: of the product, or `testbed`: of the demo."""
    lock = tree / "requirements" / f"{lock_name}.txt"
    if not lock.exists():
        raise ImageError(f"{lock} is missing; make it again: make lock")
    fill = partial(_fill_dependencies, lock)
    return _cached(f"deps-{lock_name}", [sys.version, lock.read_text()], usual_seconds, fill)


def _fill_dependencies(lock: Path, layer: LayerWriter, scratch: Path) -> None:
    target = scratch / "packages"
    run(
        [sys.executable, *PIP_INSTALL, "--target", str(target), "-r", str(lock)],
        "pip-install",
    )
    for unneeded in [p for p in target.rglob("*") if p.name in {"tests", "test", "bin"}]:
        if unneeded.is_dir():
            shutil.rmtree(unneeded, ignore_errors=True)
    compile_python(target, PACKAGES)
    layer.tree(PACKAGES, target)
    add_libraries(layer, target.rglob("*.so"), own=target)


def product_layer(tree: Path = REPOSITORY) -> Layer:
    """The wheel of this repository, or of another state of it, with its console script."""
    sources = [_text_of(tree / name, tree) for name in SOURCES if (tree / name).exists()]
    return _cached("product", [sys.version, *sources], 1, partial(_fill_product, tree))


def _fill_product(tree: Path, layer: LayerWriter, scratch: Path) -> None:
    wheels, target = scratch / "wheels", scratch / "packages"
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels)]
    run(command, "wheel", folder=tree)
    for wheel in wheels.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(target)
    compile_python(target, PACKAGES)
    layer.tree(PACKAGES, target)
    for name, entry in _console_scripts(target).items():
        module, _, function = entry.partition(":")
        call = f"import sys\nfrom {module} import {function}\nsys.exit({function}())\n"
        layer.text(f"/usr/local/bin/{name}", f"#!/usr/local/bin/{PYTHON}\n{call}", 0o755)


def _console_scripts(packages: Path) -> dict[str, str]:
    parser = ConfigParser()
    parser.read(packages.glob("*.dist-info/entry_points.txt"))
    return dict(parser["console_scripts"]) if parser.has_section("console_scripts") else {}


def testbed_layer() -> Layer:
    """This package, for the stand-ins."""
    package = Path(__file__).resolve().parent.parent
    return _cached("testbed", [sys.version, _text_of(package)], 1, partial(_fill_testbed, package))


def _fill_testbed(package: Path, layer: LayerWriter, scratch: Path) -> None:
    target = scratch / "packages"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(package, target / package.name, ignore=ignored)
    compile_python(target, PACKAGES)
    layer.tree(PACKAGES, target)


def redis_layer() -> Layer:
    """Debian's redis-server and the libraries it needs."""
    return debian_layer("redis-server", "redis-cli")


def haproxy_layer() -> Layer:
    """Debian's haproxy and the libraries it needs."""
    return debian_layer("haproxy")


def debian_layer(name: str, *more: str) -> Layer:
    """Programs of Debian's and the libraries they need."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin"
    programs = [Path(p) for each in (name, *more) if (p := shutil.which(each, path=path))]
    if not programs:
        raise ImageError(f"no {name} on PATH; install it: apt-get install {name}")

    def fill(layer: LayerWriter, _scratch: Path) -> None:
        for program in programs:
            layer.file(f"/usr/bin/{program.name}", program.resolve(), 0o755)
        add_libraries(layer, programs)

    return _cached(name, [_stamp(program.resolve()) for program in programs], 1, fill)


def tool_layer(tool: str) -> Layer:
    """One static program of the toolchain."""
    path = toolchain.ensure(tool)[tool]

    def fill(layer: LayerWriter, _scratch: Path) -> None:
        layer.file(f"/usr/bin/{tool}", path, 0o755)

    return _cached(tool, [_stamp(path)], 1, fill)


# The cache


def _cached(
    name: str, inputs: list[str], usual_seconds: float, fill: Callable[[LayerWriter, Path], None]
) -> Layer:
    digest = hashlib.sha256("\0".join([name, str(RECIPE), *inputs]).encode()).hexdigest()
    key = cache() / "images" / f"{name}-{digest[:24]}.json"
    with locked(key.with_name(f".{name}.lock")):
        if key.exists():
            layer = Layer(**json.loads(key.read_text()))
            if layer.path.exists():
                os.utime(layer.path)
                return layer
        with (
            step(f"packing image layer {name}", usual_seconds),
            tempfile.TemporaryDirectory() as scratch,
        ):
            writer = LayerWriter()
            fill(writer, Path(scratch))
            layer = writer.write()
        key.write_text(json.dumps({"digest": layer.digest, "size_bytes": layer.size_bytes}))
    return layer


def _stamp(path: Path) -> str:
    found = path.stat()
    return f"{path} {found.st_size} {found.st_mtime_ns}"


def _text_of(path: Path, tree: Path = REPOSITORY) -> str:
    """A digest over a file, or over the files of a folder."""
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    total = hashlib.sha256()
    for file in files:
        if "__pycache__" not in file.parts:
            total.update(f"{file.relative_to(tree)}\0".encode())
            total.update(file.read_bytes())
    return total.hexdigest()
