"""The rights that our Roles give beside those that a run on the node used: `make rbac`.

It reads the audit logs of the nodes that ran last, which are whole after `make test-all`. A right
that nothing used is to be taken out of its Role, or named as `unseen` in
charts/mediafleet/rights.yaml.
A request that no Role allows is a right that is missing, or an attack that a test is about.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

from tests.kit.operator.rights import Right, granted, of_rules, table, unseen
from tests.kit.watching.rights import Use, read
from tests.run import second_node

from mediafleet_operator.manifests.children import advertiser, reporter
from mediafleet_testbed.paths import Instance

GRANTED: Final = {
    "operator": frozenset().union(*map(granted, ("operator", "lease", "tokens", "nodes"))),
    "egress": granted("egress"),
    "broker": granted("broker"),
    "advertiser": of_rules(advertiser.role_rules("pool")),
    "reporter": of_rules(reporter.role_rules()),
}
WITHOUT_NODES: Final = frozenset({("operator", ("", "nodes", "list"))})
"""Refused on purpose: tests install the chart with `rbac.nodes` false."""


def unused(use: Use) -> list[tuple[str, Right]]:
    """Part and right of what is granted and was not used."""
    return [
        (part, right)
        for part, rights in GRANTED.items()
        for right in sorted(rights - use.used[part] - _unseen(part))
    ]


def lacked(use: Use) -> list[tuple[str, Right, str]]:
    """Part, right and namespace of what was refused, each once."""
    return sorted({each for each in use.refused if each[:2] not in WITHOUT_NODES})


def _unseen(part: str) -> frozenset[Right]:
    return unseen(part) if part in table() else frozenset()


def of_last_run() -> list[Path]:
    """Of the node, and of the second one beside it if there was one."""
    names = (Instance.named().name, second_node())
    logs = [Instance.named(name).log("audit") for name in names]
    return [logs[0], *(log for log in logs[1:] if log.exists())]


def main() -> int:
    """Print both; exit status 1 where there is any."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("logs", type=Path, nargs="*", help="the nodes of the last run by default")
    logs: list[Path] = parser.parse_args().logs or of_last_run()
    use = Use()
    for log in logs:
        with log.open(encoding="utf-8") as lines:
            use.add(read(lines))
    if not (unused(use) or lacked(use)):
        print("granted minus used is empty, and nothing was refused")
    counts = ", ".join(f"{part} {len(use.used[part])} of {len(GRANTED[part])}" for part in GRANTED)
    print(f"{', '.join(map(str, logs))}: rights used: {counts}")
    for part, (group, resource, verb) in unused(use):
        print(f"granted and not used: {part} {verb} {resource} {group}")
    for part, (group, resource, verb), namespace in lacked(use):
        print(f"refused: {part} {verb} {resource} {group} in {namespace or 'the cluster'}")
    return 1 if unused(use) or lacked(use) else 0


if __name__ == "__main__":
    sys.exit(main())
