"""The release before this one, as it was committed: testbed/previous.toml names it."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
import tomllib
from pathlib import Path

from .errors import TestbedError
from .locks import locked
from .paths import REPOSITORY, cache


def tree() -> Path:
    """Its files, below the cache.

    Raises:
        TestbedError: the repository here has no such commit.
    """
    named = tomllib.loads((REPOSITORY / "testbed/previous.toml").read_text(encoding="utf-8"))
    folder = cache() / "previous" / str(named["commit"])
    with locked(folder.with_name(".lock")):
        if not folder.exists():
            _extract(named["version"], named["commit"], folder)
    return folder


def _extract(version: str, commit: str, folder: Path) -> None:
    done = subprocess.run(
        ["git", "-C", str(REPOSITORY), "archive", "--format=tar", commit],
        capture_output=True,
        timeout=60,
        check=False,
    )
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip()
        raise TestbedError(
            f"commit {commit} of release {version} is not here ({said}): git fetch --unshallow"
        )
    half = folder.with_name(f"{folder.name}.half")
    shutil.rmtree(half, ignore_errors=True)
    half.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(half, filter="data")
    half.rename(folder)
