"""An API server in memory, as far as the operator uses one: versions, preconditions, patches.

It stands in for `kube.client.Api`. `before_write` and `after_write` let a test kill the operator
at any write, or refuse it.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from typing import Any

from tests.kit.operator.rights import granted, needed

from mediafleet_common.kube.client import Json
from mediafleet_common.kube.errors import AlreadyExistsError, ConflictError, GoneError
from mediafleet_common.kube.pace import Rank
from mediafleet_common.kube.paths import Target

Hook = Callable[[str, Target], None]


def _nothing(verb: str, target: Target) -> None:
    del verb, target


class KubeServer:
    """Objects by path."""

    def __init__(self) -> None:
        self.objects: dict[str, Json] = {}
        self.writes: list[str] = []
        self.before_write: Hook = _nothing
        self.after_write: Hook = _nothing
        self._versions = itertools.count(1)
        self._uids = itertools.count(1)

    # What the operator calls

    async def get(self, target: Target, **query: str) -> Json:
        del query
        self._use("get", target)
        return copy.deepcopy(self._there(target.path))

    async def list_all(self, target: Target, **query: str) -> list[Json]:
        del query
        self._use("list", target)
        return [copy.deepcopy(each) for each in self.within(target.path)]

    async def create(self, target: Target, body: Json) -> Json:
        path = f"{target.path}/{body['metadata']['name']}"
        return self._write("create", target, lambda: self._create(path, body))

    async def patch(
        self,
        target: Target,
        body: Json,
        manager: str | None = None,
        *,
        rank: Rank = Rank.PROMPT,
    ) -> Json:
        del manager, rank
        path = target.path.removesuffix("/status").removesuffix("/scale")
        return self._write("patch", target, lambda: self._patch(path, body))

    async def merge_lists(self, target: Target, body: Json) -> Json:
        """Conditions by type, as a strategic merge does it."""
        path = target.path.removesuffix("/status")
        conditions = body["status"]["conditions"]
        there = self._there(path).get("status", {}).get("conditions", [])
        new = {each["type"]: each for each in [*there, *conditions]}
        return await self.patch(target, {**body, "status": {"conditions": list(new.values())}})

    async def replace(self, target: Target, body: Json) -> Json:
        return self._write("update", target, lambda: self._patch(target.path, body))

    async def apply(self, target: Target, body: Json, manager: str, *, force: bool = True) -> Json:
        del force

        def apply() -> Json:
            if target.path in self.objects:
                return self._patch(target.path, self._applied(target.path, body, manager))
            return self._create(target.path, self._applied(target.path, body, manager))

        return self._write("apply", target, apply)

    async def delete(
        self, target: Target, uid: str, resource_version: str, grace_seconds: int | None = None
    ) -> Json:
        del grace_seconds

        def delete() -> Json:
            there = self._there(target.path)
            self._check(there, {"uid": uid, "resourceVersion": resource_version})
            if target.resource != "pods" and not there["metadata"].get("finalizers"):
                return self.objects.pop(target.path)
            there["metadata"]["deletionTimestamp"] = "2026-08-01T00:00:00Z"
            return self._changed(there)

        return self._write("delete", target, delete)

    def _applied(self, path: str, body: Json, manager: str) -> Json:
        """A merge patch that does what an apply does to annotations: those of the one before that
        are in this one no more are gone, and it is recorded whose they are."""
        before = self.objects.get(path, {}).get("metadata", {}).get("managedFields") or ()
        was = [
            name.removeprefix("f:")
            for entry in before
            for name in entry["fieldsV1"]["f:metadata"]["f:annotations"]
        ]
        now: Json = body.get("metadata", {}).get("annotations") or {}
        if not was and not now:
            return body
        fields: Json = {"f:metadata": {"f:annotations": {f"f:{name}": {} for name in now}}}
        managed = [{"manager": manager, "operation": "Apply", "fieldsV1": fields}]
        annotations = {**dict.fromkeys(was), **now}
        more = {"annotations": annotations, "managedFields": managed if now else []}
        return {**body, "metadata": {**body["metadata"], **more}}

    # What a test does

    def within(self, collection: str) -> list[Json]:
        """The objects of a collection."""
        prefix = f"{collection}/"
        return [
            each
            for path, each in sorted(self.objects.items())
            if path.startswith(prefix) and "/" not in path[len(prefix) :]
        ]

    def put(self, path: str, body: Json) -> Json:
        """Somebody else creates or changes an object."""
        if path in self.objects:
            there = self.objects[path]
            _merge(there, body)
            return self._changed(there)
        return self._create(path, body)

    def remove(self, path: str) -> None:
        """An object is gone for good."""
        del self.objects[path]

    # Inside

    def _write(self, verb: str, target: Target, write: Callable[[], Json]) -> Json:
        self._use(verb, target)
        self.before_write(verb, target)
        answer = copy.deepcopy(write())
        self.writes.append(f"{verb} {target.path.rpartition('/')[2]}")
        self.after_write(verb, target)
        return answer

    @staticmethod
    def _use(verb: str, target: Target) -> None:
        """What the chart does not grant is a 403 in a cluster, and an error in each test."""
        forbidden = needed(verb, target.path) - granted()
        assert not forbidden, f"no right in charts/mediafleet/rights.yaml: {forbidden}"

    def _there(self, path: str) -> Json:
        if path not in self.objects:
            raise GoneError(path)
        return self.objects[path]

    def _create(self, path: str, body: Json) -> Json:
        if path in self.objects:
            raise AlreadyExistsError(path)
        made = copy.deepcopy(body)
        made["metadata"] |= {"uid": f"uid-{next(self._uids):04}", "generation": 1}
        self.objects[path] = made
        return self._changed(made)

    def _patch(self, path: str, body: Json) -> Json:
        there = self._there(path)
        self._check(there, body.get("metadata") or {})
        before = copy.deepcopy(there)
        _merge(there, body)
        for key in ("uid", "resourceVersion", "generation"):
            there["metadata"][key] = before["metadata"][key]
        if there.get("spec") != before.get("spec"):
            there["metadata"]["generation"] += 1
        return there if there == before else self._changed(there)

    def _changed(self, there: Json) -> Json:
        there["metadata"]["resourceVersion"] = str(next(self._versions))
        return there

    @staticmethod
    def _check(there: Json, wanted: Json) -> None:
        for key in ("uid", "resourceVersion"):
            if wanted.get(key) not in (None, there["metadata"][key]):
                raise ConflictError(f"{key} {wanted[key]}, not {there['metadata'][key]}")


def _merge(there: Json, patch: Any) -> None:
    """RFC 7396."""
    for key, value in patch.items():
        if value is None:
            there.pop(key, None)
        elif isinstance(value, dict) and isinstance(there.get(key), dict):
            _merge(there[key], value)
        else:
            there[key] = copy.deepcopy(value)
