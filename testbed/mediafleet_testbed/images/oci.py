"""OCI images from nothing but files: layers are plain tars, an image is layers and a config.

Layers are written once, uncompressed and reproducibly (sorted, no times, root-owned), and named by
their digest, so that equal content is the same layer and nothing is packed or unpacked twice.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..paths import cache

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
INDEX = "application/vnd.oci.image.index.v1+json"

NON_ROOT = 65532
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class Layer:
    """A tar in the cache; `digest` is `sha256:...` of the whole tar."""

    digest: str
    size_bytes: int

    @property
    def path(self) -> Path:
        return blob_path(self.digest)


@dataclass(frozen=True, slots=True)
class Image:
    """`reference` is what the container runtime knows it by; the rest as in an OCI config."""

    reference: str
    layers: tuple[Layer, ...]
    entrypoint: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    user: int = NON_ROOT

    def config(self) -> bytes:
        running: dict[str, Any] = {
            "User": f"{self.user}:{self.user}",
            "Entrypoint": list(self.entrypoint),
            "Env": [f"{name}={value}" for name, value in self.environment.items()],
            "WorkingDir": "/",
        }
        return _json(
            {
                "architecture": _MACHINES.get(platform.machine(), platform.machine()),
                "os": "linux",
                "config": running,
                "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in self.layers]},
            }
        )

    def manifest(self) -> bytes:
        return _json(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": _descriptor(CONFIG, self.config()),
                "layers": [
                    {"mediaType": LAYER, "digest": layer.digest, "size": layer.size_bytes}
                    for layer in self.layers
                ],
            }
        )

    @property
    def digest(self) -> str:
        return digest_of(self.manifest())

    @property
    def name(self) -> str:
        """The reference without its place: `mediafleet:dev`."""
        return self.reference.rpartition("/")[2]


def write_archive(images: list[Image], target: Path, *, present: set[str]) -> None:
    """An archive `ctr images import` takes; leaves out blobs that are `present` at the importer."""
    written = set(present)
    with tarfile.open(target, "w") as archive:
        _add_bytes(archive, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
        for image in images:
            for blob in (image.manifest(), image.config()):
                _add_bytes(archive, _blob_name(digest_of(blob)), blob)
            for layer in image.layers:
                if layer.digest not in written:
                    archive.add(layer.path, _blob_name(layer.digest))
                    written.add(layer.digest)
        manifests = [
            {
                **_descriptor(MANIFEST, image.manifest()),
                "annotations": {"io.containerd.image.name": image.reference},
            }
            for image in images
        ]
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}
        _add_bytes(archive, "index.json", _json(index))


def blob_path(digest: str) -> Path:
    return cache() / "images" / f"{digest.removeprefix('sha256:')}.tar"


def digest_of(blob: bytes) -> str:
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


def _blob_name(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _descriptor(media_type: str, blob: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest_of(blob), "size": len(blob)}


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def _add_bytes(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))
