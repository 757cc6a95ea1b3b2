"""Packs a layer: a reproducible tar in the cache, named by its digest."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tarfile
from pathlib import Path

from ..paths import cache
from .oci import Layer


class LayerWriter:
    """Collects a layer's entries; a later one of the same path wins."""

    def __init__(self) -> None:
        self._entries: dict[str, tuple[tarfile.TarInfo, Path | bytes | None]] = {}

    def file(self, path: str, source: Path, mode: int | None = None) -> None:
        """A file of the machine; executable where it is executable here."""
        found = source.stat()
        executable = bool(found.st_mode & stat.S_IXUSR)
        info = self._info(path, mode or (0o755 if executable else 0o644))
        info.size = found.st_size
        self._put(info, source)

    def text(self, path: str, text: str, mode: int = 0o644) -> None:
        info = self._info(path, mode)
        info.size = len(text.encode())
        self._put(info, text.encode())

    def folder(self, path: str, mode: int = 0o755) -> None:
        info = self._info(path, mode)
        info.type = tarfile.DIRTYPE
        self._put(info, None)

    def link(self, path: str, target: str) -> None:
        info = self._info(path, 0o777)
        info.type, info.linkname = tarfile.SYMTYPE, target
        self._put(info, None)

    def tree(self, path: str, source: Path) -> None:
        """Everything under a folder, links to files as the files themselves."""
        for folder, _, files in os.walk(source):
            inside = Path(path) / Path(folder).relative_to(source)
            for name in files:
                self.file(str(inside / name), Path(folder) / name)

    def write(self) -> Layer:
        """Pack into the cache; the same entries give the same digest."""
        folder = cache() / "images"
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f".layer.{os.getpid()}"
        try:
            self._pack(partial)
            with partial.open("rb") as handle:
                digest = f"sha256:{hashlib.file_digest(handle, 'sha256').hexdigest()}"
            layer = Layer(digest, partial.stat().st_size)
            partial.replace(layer.path)
        finally:
            partial.unlink(missing_ok=True)
        return layer

    def _pack(self, target: Path) -> None:
        with tarfile.open(target, "w", format=tarfile.GNU_FORMAT) as archive:
            for name in sorted(self._entries):
                info, content = self._entries[name]
                if content is None:
                    archive.addfile(info)
                elif isinstance(content, bytes):
                    archive.addfile(info, io.BytesIO(content))
                else:
                    with content.open("rb") as handle:
                        archive.addfile(info, handle)

    def _info(self, path: str, mode: int) -> tarfile.TarInfo:
        info = tarfile.TarInfo(path.strip("/"))
        info.mode = mode
        return info

    def _put(self, info: tarfile.TarInfo, content: Path | bytes | None) -> None:
        parent = os.path.dirname(info.name)  # noqa: PTH120 - the path is the image's, not ours
        if parent and parent not in self._entries:
            self.folder(parent)
        self._entries[info.name] = (info, content)
