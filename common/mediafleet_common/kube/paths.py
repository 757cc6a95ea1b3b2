"""Where objects lie on the API server."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """The path of a collection, an object or a subresource, and its name in metrics."""

    path: str
    resource: str

    def item(self, name: str, part: str = "") -> Target:
        """One object of a collection, or a subresource of it such as `status`."""
        tail = f"/{part}" if part else ""
        return Target(f"{self.path}/{name}{tail}", f"{self.resource}{tail}")


@dataclass(frozen=True, slots=True)
class Collection:
    """A kind of object, and which of its objects are meant."""

    group: str
    """Empty for Kubernetes' own core."""
    version: str
    plural: str
    label_selector: str = ""
    namespaced: bool = True
    optional: bool = False
    """Whether the API server may refuse us the list; then the kind is not followed."""

    def inside(self, namespace: str | None) -> Target:
        """The objects of one namespace; `None`: of all."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        part = f"/namespaces/{namespace}" if namespace and self.namespaced else ""
        return Target(f"{root}{part}/{self.plural}", self.plural)

    def item(self, namespace: str, name: str, part: str = "") -> Target:
        """One object, or a subresource of it such as `status`."""
        return self.inside(namespace).item(name, part)
