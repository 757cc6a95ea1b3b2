"""Which rights an account of the chart lacks. Pure.

`rights.json` is made by `make docs` of the table that the chart makes its Roles of.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

from mediafleet.doctor.findings import Finding, Level, Page, Unread
from mediafleet_common.api.names import Label

Raw = Mapping[str, Any]
SHOWN: Final = 4


@dataclass(frozen=True, slots=True)
class Question:
    """Whether an account may do something."""

    account: str
    """NAMESPACE/NAME."""
    namespace: str
    """Empty: in all."""
    group: str
    resource: str
    """With its subresource, as in a Role."""
    verb: str

    def body(self) -> dict[str, Any]:
        """A SubjectAccessReview."""
        space, _, name = self.account.partition("/")
        resource, _, part = self.resource.partition("/")
        return {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": f"system:serviceaccount:{space}:{name}",
                "groups": [
                    "system:serviceaccounts",
                    f"system:serviceaccounts:{space}",
                    "system:authenticated",
                ],
                "resourceAttributes": {
                    "namespace": self.namespace,
                    "group": self.group,
                    "resource": resource,
                    "subresource": part,
                    "verb": self.verb,
                },
            },
        }


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API server says to a question."""

    asked: Question
    allowed: bool


def questions(deployments: Sequence[Raw]) -> Iterator[Question]:
    """What each Deployment's account must be allowed, in each namespace that it serves."""
    table = json.loads(resources.files("mediafleet.doctor").joinpath("rights.json").read_text())
    for each in deployments:
        pod = each["spec"]["template"]["spec"]
        space = each["metadata"]["namespace"]
        account = f"{space}/{pod.get('serviceAccountName', 'default')}"
        component = (each["metadata"].get("labels") or {}).get(Label.COMPONENT, "")
        for namespace in _served(pod["containers"][0].get("args") or ()):
            for group, resource, verbs in table.get(component, ()):
                for verb in verbs:
                    yield Question(account, namespace, group, resource, verb)


def _served(arguments: Sequence[str]) -> list[str]:
    """The namespaces of `--namespace`; one that is empty where there is none: all."""
    found = [
        after if word == "--namespace" else word.partition("=")[2]
        for word, after in zip(arguments, [*arguments[1:], ""], strict=True)
        if word == "--namespace" or word.startswith("--namespace=")
    ]
    return found or [""]


def examine(answers: Sequence[Answer] | Unread) -> Iterator[Finding]:
    """One finding for each account."""
    if isinstance(answers, Unread):
        what = f"those of our accounts cannot be asked for: {answers.why}"
        yield Finding(Level.UNKNOWN, "rights", what, page=Page.NOT_EXAMINED)
        return
    for account in sorted({each.asked.account for each in answers}):
        ours = [each for each in answers if each.asked.account == account]
        missing = [_words(each.asked) for each in ours if not each.allowed]
        who = f"account {account}"
        if not missing:
            yield Finding(Level.OK, who, f"has the {len(ours)} rights that it needs")
            continue
        more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        yield Finding(
            Level.PROBLEM,
            who,
            f"may not {', '.join(missing[:SHOWN])}{more}",
            "helm upgrade with rbac.create, or give it the rules of charts/mediafleet/rights.yaml",
            Page.RIGHTS,
        )


def _words(asked: Question) -> str:
    where = f" in {asked.namespace}" if asked.namespace else ""
    return f"{asked.verb} {asked.resource}{where}"
