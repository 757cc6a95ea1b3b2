"""Container images, made here and imported into the node's containerd; no registry, no Docker.

    images.load(node.instance)                 all of them; only what changed is packed
    images.load(node.instance, "mediafleet")   one

In manifests they are called `mediafleet:dev`, `mediafleet-testbed:dev`, `redis:dev`, `haproxy:dev`,
`stock-http:dev` and `livekit-server:dev`, with `imagePullPolicy: Never`. Only by name are there
`vmagent:dev`, `victoria-metrics:dev` and `prometheus:dev`, which few tests need.
"""

from __future__ import annotations

import os
import subprocess
import time
from functools import partial
from typing import TYPE_CHECKING

from ..errors import ImageError
from ..locks import locked
from ..paths import Instance, cache
from ..progress import step
from . import layers
from .oci import Image, Layer, write_archive

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PAUSE_IMAGE = "localhost/mediafleet-pause:dev"
NAMES = ("mediafleet", "mediafleet-testbed", "redis", "haproxy", "stock-http", "livekit-server")
BY_NAME = ("vmagent", "victoria-metrics", "prometheus")
"""Debian's, to be asked for."""

IMPORT_TIMEOUT_SECONDS = 300
IMPORT_BYTES_PER_SECOND = 40e6
KEEP_LAYERS_SECONDS = 14 * 86400

PYTHON_ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin",
    "HOME": "/tmp",
    "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt",
    "PYTHONUNBUFFERED": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
}


def build(*names: str) -> list[Image]:
    """The named images (all when none is named), with every layer in the cache."""
    unknown = set(names) - {*NAMES, *BY_NAME}
    if unknown:
        raise ImageError(f"no image {', '.join(unknown)}; there are {', '.join(NAMES + BY_NAME)}")
    recipes: dict[str, Callable[[], Image]] = {
        "mediafleet": _mediafleet,
        "mediafleet-testbed": _testbed,
        "redis": _redis,
        "haproxy": _haproxy,
        "stock-http": _stock_http,
        "livekit-server": _livekit_server,
        **{name: partial(_debian, name) for name in BY_NAME},
    }
    return [recipes[name]() for name in names or NAMES]


def pause() -> Image:
    """What holds a pod's namespaces; `Node.up` imports it before the kubelet wants it."""
    return Image(PAUSE_IMAGE, (layers.pause_layer(),), ("/pause",))


def load(instance: Instance, *names: str) -> list[Image]:
    """Build the images and import into that node what it does not have yet."""
    images = build(*names)
    import_into(instance, images)
    _prune()
    return images


def load_previous(instance: Instance, tree: Path) -> None:
    """The product of another state of the repository, as `mediafleet:previous`."""
    stack = (layers.base_layer(), layers.python_layer(), layers.dependencies_layer(tree=tree))
    parts = (*stack, layers.product_layer(tree))
    name = "docker.io/library/mediafleet:previous"
    import_into(instance, [Image(name, parts, ("mediafleet",), PYTHON_ENVIRONMENT)])


def import_into(instance: Instance, images: list[Image]) -> None:
    """Import what that node does not have yet."""
    blobs = instance.containerd_root / "io.containerd.content.v1.content/blobs/sha256"
    with locked(instance.run / "images.lock"):
        marks = instance.run / "images"
        marks.mkdir(exist_ok=True)
        stale = [image for image in images if not _is_current(marks, image)]
        if not stale:
            return
        present = {
            layer
            for image in stale
            for layer in image.layers
            if (blobs / layer.digest.removeprefix("sha256:")).exists()
        }
        archive = instance.run / f"import.{os.getpid()}.tar"
        try:
            missing = {layer for image in stale for layer in image.layers} - present
            usual_seconds = sum(layer.size_bytes for layer in missing) / IMPORT_BYTES_PER_SECOND
            with step(f"importing {len(stale)} images into node {instance.name}", usual_seconds):
                write_archive(stale, archive, present={layer.digest for layer in present})
                _ctr(instance, "images", "import", "--all-platforms", str(archive))
        finally:
            archive.unlink(missing_ok=True)
        for image in stale:
            (marks / image.name).write_text(image.digest)


def _is_current(marks: Path, image: Image) -> bool:
    """Whether that very image is what the node last imported under its name."""
    mark = marks / image.name
    return mark.exists() and mark.read_text() == image.digest


def _ctr(instance: Instance, *arguments: str) -> None:
    command = ["ctr", "--address", str(instance.containerd_socket), "-n", "k8s.io", *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=IMPORT_TIMEOUT_SECONDS, check=False
    )
    if done.returncode != 0:
        log = instance.log("containerd")
        raise ImageError(f"{' '.join(command[5:7])}: {done.stderr.strip()}; see {log}")


def _prune() -> None:
    """Layers of old code, which nobody has asked for in two weeks."""
    oldest = time.time() - KEEP_LAYERS_SECONDS
    for tar in (cache() / "images").glob("*.tar"):
        if tar.stat().st_mtime < oldest:
            tar.unlink(missing_ok=True)


def _python_stack() -> tuple[Layer, ...]:
    """What changes rarely, below what changes with every edit."""
    return (layers.base_layer(), layers.python_layer(), layers.dependencies_layer())


def _mediafleet() -> Image:
    parts = (*_python_stack(), layers.product_layer())
    return Image(_local("mediafleet"), parts, ("mediafleet",), PYTHON_ENVIRONMENT)


def _testbed() -> Image:
    edited = (layers.product_layer(), layers.testbed_layer())
    parts = (*_python_stack(), layers.dependencies_layer("testbed", 5), *edited)
    return Image(_local("mediafleet-testbed"), parts, ("python",), PYTHON_ENVIRONMENT)


def _redis() -> Image:
    command = ("redis-server", "--save", "", "--appendonly", "no", "--protected-mode", "no")
    parts = (layers.base_layer(), layers.redis_layer())
    return Image(_local("redis"), parts, command, {"PATH": "/usr/bin"})


def _haproxy() -> Image:
    parts = (layers.base_layer(), layers.haproxy_layer())
    return Image(_local("haproxy"), parts, ("haproxy",), {"PATH": "/usr/bin"})


def _debian(program: str) -> Image:
    parts = (layers.base_layer(), layers.debian_layer(program))
    return Image(_local(program), parts, (program,), {"PATH": "/usr/bin"})


def _stock_http() -> Image:
    parts = (layers.base_layer(), layers.tool_layer("stock-http"))
    return Image(_local("stock-http"), parts, ("stock-http",), {"PATH": "/usr/bin"})


def _livekit_server() -> Image:
    parts = (layers.base_layer(), layers.tool_layer("livekit-server"))
    return Image(_local("livekit-server"), parts, ("livekit-server",), {"PATH": "/usr/bin"})


def _local(name: str) -> str:
    """`<name>:dev` as the container runtime spells it out when a pod says just that."""
    return f"docker.io/library/{name}:dev"
