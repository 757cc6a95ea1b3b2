"""Values made from a structural schema, and what spoils them: what hypothesis draws from."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from hypothesis import strategies as st

from mediafleet_common.api.names import API_VERSION, KIND_LABELS, Annotation, Kind, Label, PodState

Schema = dict[str, Any]
Json = dict[str, Any]
DURATIONS: Final = ("0s", "500ms", "5s", "7m", "1h30m", "11m", "1.5h")
WORDS: Final = ("a", "b-1", "Europe/Berlin", "0 18 * * 1-5", "0 23 * * *", "10.0.0.0/8", "r:6379")
SPOILS: Final[tuple[Any, ...]] = (
    *("", " ", "x", "-1", "1", "0.5", "true", "null", "é", "a\u00a0b", "a\nb", "a b", "\u2028"),
    *("10.0.0.1/8", "10.0.0.0/08", "::ffff:1.2.3.4", "fe80::1%eth0", "2001:db8::/32", "1.2.3"),
    *("[::1]:6379", "[::1]", "[::ffff:1.2.3.4]:1", "host:0", "host:65536", "host:06379", ":6379"),
    *("user@host:1", "rediss://h", "1h\n", "5 min", "https://a:1", "http://a\u00a0b", "-cliAddr"),
    *("--cliAddr=x", "-orchSecret=", "-orchSecret=/f", "99 99 * * *", "@daily", "x" * 400),
    *(-1, 0, 1, 2, 5001, 65536, 1 << 62, 0.5, -0.5, 1e300, True, False),
    *([], ["x"], [1], [{}], {}, {"x": 1}, [[]], [{"name": "a"}, {"name": "a"}]),
)
"""What stands in a wrong place: each is right in some field."""
JSON: Final = st.recursive(
    st.sampled_from((None, *SPOILS[:12], 0, 1, -1, 0.5, 1e30, True, False, "100m", "1Gi")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(("name", "value", "limits", "x")), inner, max_size=3)
    ),
    max_leaves=8,
)
PARTS: Final = (
    *("containers", "initContainers", "ephemeralContainers", "volumes", "imagePullSecrets", "env"),
    *("ports", "volumeMounts", "resources", "limits", "requests", "cpu", "memory", "name", "value"),
    *("securityContext", "capabilities", "add", "sysctls", "seccompProfile", "seLinuxOptions"),
    *("terminationGracePeriodSeconds", "restartPolicy", "nodeName", "hostNetwork", "hostAliases"),
    *(
        "projected",
        "sources",
        "serviceAccountName",
        "automountServiceAccountToken",
        "readinessGates",
    ),
    *(
        "livenessProbe",
        "lifecycle",
        "preStop",
        "httpGet",
        "args",
        "command",
        "image",
        "tolerations",
    ),
)
"""Fields of a pod that a template may have, at any level."""
NAMES: Final = ("egress", "node", "agent", "config", "LIVEKIT_CPU_REQUEST", "EGRESS_CONFIG_BODY")
POD: Final = st.recursive(
    JSON | st.sampled_from((*NAMES, "-orchSecret=x", "-cliAddr=0.0.0.0:7935", 30, "4")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(PARTS), inner, max_size=4)
    ),
    max_leaves=14,
)
"""What may stand where the schema looks no further."""


def values(schema: Schema) -> st.SearchStrategy[Any]:
    """Values that a structural schema takes, its CEL rules apart."""
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        pods = st.dictionaries(st.sampled_from(PARTS), POD, max_size=4)
        return pods | pods.flatmap(_with_containers)
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    make: Callable[[Schema], st.SearchStrategy[Any]] = {
        "object": _objects,
        "array": _arrays,
        "string": _strings,
        "integer": _integers,
        "number": _numbers,
        "boolean": lambda _: st.booleans(),
    }[schema["type"]]
    return make(schema)


def _with_containers(spec: dict[str, Any]) -> st.SearchStrategy[Any]:
    """A template that is closer to one of a pod."""
    one = st.fixed_dictionaries(
        {"name": st.sampled_from(NAMES)},
        optional={
            "env": st.lists(st.fixed_dictionaries({"name": st.sampled_from(NAMES), "value": JSON})),
            "args": st.lists(POD, max_size=3) | JSON,
            "resources": st.fixed_dictionaries({"limits": JSON}) | JSON,
            "ports": st.lists(st.fixed_dictionaries({"containerPort": JSON}), max_size=2) | JSON,
            "securityContext": POD,
            "lifecycle": POD,
            "image": JSON,
        },
    )
    kinds = st.sampled_from(("containers", "initContainers"))
    return st.builds(lambda kind, each: {**spec, kind: each}, kinds, st.lists(one, max_size=3))


def _objects(schema: Schema) -> st.SearchStrategy[Any]:
    if "additionalProperties" in schema:
        inner = values(schema["additionalProperties"])
        return st.dictionaries(st.sampled_from(("team", "a.b/c", "x")), inner, max_size=2)
    properties = {name: values(part) for name, part in schema.get("properties", {}).items()}
    required = set(schema.get("required", ()))
    must = {name: each for name, each in properties.items() if name in required}
    may = {name: each for name, each in properties.items() if name not in required}
    return (
        st.sets(st.sampled_from(sorted(may)), max_size=4).flatmap(
            lambda chosen: st.fixed_dictionaries(
                {**must, **{name: may[name] for name in sorted(chosen)}}
            )
        )
        if may
        else st.fixed_dictionaries(must)
    )


def _arrays(schema: Schema) -> st.SearchStrategy[Any]:
    least, most = schema.get("minItems", 0), min(schema.get("maxItems", 3), 3)
    return st.lists(values(schema["items"]), min_size=least, max_size=most)


def _strings(schema: Schema) -> st.SearchStrategy[Any]:
    if "duration" in str(schema.get("x-kubernetes-validations", "")):
        return st.sampled_from(DURATIONS)
    for pattern in patterns(schema):
        found = st.from_regex(pattern, fullmatch=True)
        return found.filter(lambda text: len(text) <= schema.get("maxLength", math.inf))
    short = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=5)
    text = st.sampled_from(WORDS) | short
    least, most = schema.get("minLength", 0), schema.get("maxLength", math.inf)
    return text.filter(lambda each: least <= len(each) <= most)


def patterns(schema: Schema) -> Iterator[str]:
    """Regular expressions that a text must be of, in the schema itself or as a rule."""
    if "pattern" in schema:
        yield schema["pattern"]
    for each in schema.get("x-kubernetes-validations", ()):
        if found := re.fullmatch(r"self\.matches\('(.*)'\)", each["rule"]):
            yield found[1].replace("\\\\", "\\")


def _integers(schema: Schema) -> st.SearchStrategy[Any]:
    least, most = schema.get("minimum", -9), schema.get("maximum", 1 << 40)
    return st.integers(least, most) | st.integers(least, min(least + 3, most))


def _numbers(schema: Schema) -> st.SearchStrategy[Any]:
    return st.floats(
        schema.get("minimum"),
        schema.get("maximum", 1e9),
        exclude_min=schema.get("exclusiveMinimum", False),
        allow_nan=False,
        allow_infinity=False,
        allow_subnormal=False,
    )


def spoilt(good: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """The same with one part of it replaced, taken away or repeated."""
    places = list(_places(good))
    if not places:
        return st.just(good)
    return st.builds(_spoil, st.just(good), st.sampled_from(places), st.sampled_from(SPOILS))


def _places(part: Any, path: tuple[Any, ...] = ()) -> Any:
    keys = part if isinstance(part, dict) else range(len(part)) if isinstance(part, list) else ()
    for key in keys:
        yield (*path, key)
        yield from _places(part[key], (*path, key))


def _spoil(good: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    found = copy.deepcopy(good)
    part: Any = found
    for key in path[:-1]:
        part = part[key]
    if value == "null" and isinstance(part, dict):
        del part[path[-1]]
    elif value == "x" and isinstance(part, dict):
        part["drian"] = part[path[-1]]
    else:
        part[path[-1]] = value
    return found


def specs(schema: Schema) -> st.SearchStrategy[dict[str, Any]]:
    """Values of a `spec`, every second spoilt in one place."""
    good = values(schema)
    return good | good.flatmap(spoilt)


def pods(kind: Kind) -> st.SearchStrategy[Json]:
    """Pods as the API server takes them from anybody who may create pods: labels and annotations of
    ours, with whatever is in them."""
    label = st.from_regex("[A-Za-z0-9]([A-Za-z0-9_.-]{0,10}[A-Za-z0-9])?", fullmatch=True)
    note = st.sampled_from(
        ("", "1", "-1", "true", "2026-01-01T00:00:00Z", "9" * 400, "https://[")
    ) | (st.text(max_size=20))
    owners = st.sampled_from(("uid-fuzz", "uid-else"))
    return st.builds(
        _pod,
        st.just(KIND_LABELS[kind].value),
        st.dictionaries(st.sampled_from(sorted(Label)), label | st.sampled_from(sorted(PodState))),
        st.dictionaries(st.sampled_from(sorted(Annotation)), note),
        owners,
        st.sampled_from(("100m", "1", "1e3", "0", "9E", "123456789012345678901234567890Ei")),
    )


def _pod(kind: str, labels: Json, annotations: Json, owner: str, amount: str) -> Json:
    reference = {"apiVersion": API_VERSION, "kind": "x", "name": "fuzz", "uid": owner}
    limits = {"cpu": amount, "memory": amount}
    return {
        "metadata": {
            "name": "fuzz-0",
            "namespace": "default",
            "uid": "uid-pod",
            "resourceVersion": "9",
            "labels": {Label.KIND.value: kind, Label.FLEET.value: "fuzz", **labels},
            "annotations": annotations,
            "ownerReferences": [{**reference, "controller": True}],
        },
        "spec": {"containers": [{"name": "egress", "resources": {"limits": limits}}]},
        "status": {"podIP": "10.0.0.7", "conditions": [{"type": "Ready", "status": "True"}]},
    }
