"""The secret that every go-livepeer node is started with.

Without one a node takes anybody as a remote AI worker, and `/capability/register` hands out its own
CLI port, which moves money, through `/process/request/` (seen on go-livepeer 0.9.1).
`-orchSecret` names a file, or is the secret itself where there is no such file
(cmd/livepeer/starter/starter.go).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mediafleet_common.api.names import Container, Label
from mediafleet_common.api.pool.orchestrator_pool import OrchestratorPoolSpec
from mediafleet_common.api.shared import SecretKey
from mediafleet_operator.manifests.overlay import InvalidTemplateError, Manifest
from mediafleet_operator.manifests.parts import mount
from mediafleet_operator.manifests.resource import Resource

_NAME: Final = "orchSecret"
_VOLUME: Final = "mediafleet-orch-secret"
_FOLDER: Final = "/mediafleet/orch-secret"
_FILE: Final = f"{_FOLDER}/secret"
_KEY: Final = "secret"
FLAG: Final = f"-{_NAME}={_FILE}"


def secret_of(resource: Resource) -> SecretKey:
    """The pool's secret: the user's, or the one that the operator makes."""
    spec = resource.spec
    if isinstance(spec, OrchestratorPoolSpec) and spec.orch_secret is not None:
        return spec.orch_secret
    return SecretKey(name=secret_name(resource), key=_KEY)


def secret_name(resource: Resource) -> str:
    """Name of the Secret that we make: the uid in it says whose it is, since we may not read it."""
    return f"{resource.key.name}-orch-{resource.uid}"


def manifest(resource: Resource, value: str) -> Manifest:
    """The Secret to POST, which goes with the pool and never changes."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": secret_name(resource),
            "namespace": resource.key.namespace,
            "labels": {Label.MANAGED_BY.value: "mediafleet"},
            "ownerReferences": [resource.owner],
        },
        "type": "Opaque",
        "immutable": True,
        "stringData": {_KEY: value},
    }


def volume(secret: SecretKey) -> Manifest:
    """The pod's volume with the secret."""
    items = [{"key": secret.key, "path": _KEY, "mode": 0o440}]
    return {"name": _VOLUME, "secret": {"secretName": secret.name, "items": items}}


def mounted() -> Manifest:
    """Where the node's container sees it."""
    return mount(_VOLUME, _FOLDER, read_only=True)


def refuse_guessable(node: Manifest, template: str = "spec.template") -> None:
    """Refuse a node container, as the user left it, without a secret or with one in its arguments.

    Raises:
        InvalidTemplateError: with the field and the fix.
    """
    field = f"{template}.spec.containers[{Container.NODE}].args"
    words = [str(each) for each in [*(node.get("command") or []), *(node.get("args") or [])]]
    values = _values(words)
    if not values:
        raise InvalidTemplateError(
            field, f"leaves out {FLAG}", "keep it: without a secret a stranger reaches the CLI port"
        )
    folders = [str(each.get("mountPath", "")) for each in node.get("volumeMounts") or []]
    for value in values:
        if not any(value.startswith(f"{folder.rstrip('/')}/") for folder in folders if folder):
            raise InvalidTemplateError(
                field,
                f"has -{_NAME} with something other than a file below a volumeMount",
                "put the secret into a Secret and name it in spec.orchSecret",
            )


def _values(words: Sequence[str]) -> list[str]:
    """What -orchSecret is set to: `-flag=value` or `-flag value`, one dash or two."""
    found = []
    for index, word in enumerate(words):
        name, equals, value = word.lstrip("-").partition("=")
        if word.startswith("-") and name == _NAME:
            found.append(value if equals else "".join(words[index + 1 : index + 2]))
    return found
