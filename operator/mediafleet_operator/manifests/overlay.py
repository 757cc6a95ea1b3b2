"""Lays the user's template over the pod that mediafleet makes.

Dictionaries are merged key by key, and `null` takes a key away. Lists whose items have a name of
their own (containers, env, ports, mounts, volumes) are merged by that name; every other list, and
every other value, replaces what was there. This is what Kubernetes' strategic merge does, without
its schema.
"""

from __future__ import annotations

from typing import Any, Final

Manifest = dict[str, Any]


class InvalidTemplateError(ValueError):
    """No pod can be made of a template; the text names the field and the fix."""

    def __init__(self, field: str, problem: str, fix: str) -> None:
        super().__init__(f"{field} {problem}: {fix}")


_NAMED: Final = {
    "containers": "name",
    "initContainers": "name",
    "ephemeralContainers": "name",
    "imagePullSecrets": "name",
    "volumes": "name",
    "env": "name",
    "ports": "containerPort",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "hostAliases": "ip",
}
"""Lists that are merged item by item, and the key of their items."""
_WHOLE: Final = frozenset({"volumes", "env", "volumeMounts", "volumeDevices"})
"""Of those, the ones whose items are one of several kinds: half of each would be no kind at all."""


def lay_over(base: Manifest, over: Manifest, field: str = "spec.template.spec") -> Manifest:
    """`base` with `over` laid over it; neither is changed, and what is equal is shared.

    Raises:
        InvalidTemplateError: a part of `over` is not of the shape that it has in a pod.
    """
    result = dict(base)
    for key, value in over.items():
        here = f"{field}.{key}"
        if value is None:
            result.pop(key, None)
        elif key in _NAMED:
            result[key] = _merge_list(result.get(key) or [], value, key, here)
        elif isinstance(result.get(key), dict):
            if not isinstance(value, dict):
                raise InvalidTemplateError(here, "is not an object", "write it as key: value pairs")
            result[key] = lay_over(result[key], value, here)
        else:
            result[key] = value
    return result


def _merge_list(base: list[Manifest], over: Any, key: str, field: str) -> list[Manifest]:
    name = _NAMED[key]
    if not isinstance(over, list) or not all(isinstance(item, dict) for item in over):
        raise InvalidTemplateError(field, "is not a list of objects", f"write it as '- {name}: …'")
    result = list(base)
    for index, item in enumerate(over):
        here = f"{field}[{index}]"
        if name not in item:
            raise InvalidTemplateError(here, f"has no {name}", f"add {name}, it is merged by that")
        same = next((at for at, each in enumerate(result) if each.get(name) == item[name]), None)
        if same is None:
            result.append(item)
        elif key in _WHOLE:
            result[same] = item
        else:
            result[same] = lay_over(result[same], item, here)
    return result
