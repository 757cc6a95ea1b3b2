"""`make demo`: the whole product on a real Kubernetes, told while it happens.

Brings a cluster up, installs the charts, Redis and an unmodified livekit-server, applies the sample
resources and follows the story that a Job tells; exits 1 when a claim failed.
"""

from __future__ import annotations

import argparse
import secrets
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import yaml
from rich.console import Console
from rich.markup import escape

from mediafleet_common.serving.tls import self_signed
from mediafleet_testbed.demo.targets import TARGETS, Target, run
from mediafleet_testbed.errors import TestbedError
from mediafleet_testbed.paths import REPOSITORY
from mediafleet_testbed.progress import step

MANIFESTS: Final = REPOSITORY / "testbed" / "demo"
VALUES: Final = REPOSITORY / "testbed" / "values-local-images.yaml"
STORY_SECONDS: Final = 600
STAND_INS: Final = (
    "Stand-ins here: the egress workers (they record nothing), the go-livepeer nodes (they "
    "transcode nothing) and the ai-runner (its speech is the text). Everything else is the real "
    "thing: Kubernetes, Redis, livekit-server, the livekit-api client, and mediafleet as it is "
    "installed anywhere."
)


class Demo:
    """One run on one target."""

    def __init__(self, target: Target, console: Console) -> None:
        self._target = target
        self._console = console

    def install(self) -> None:
        """Charts, servers, sample resources."""
        with step("helm install mediafleet", 10):
            self._helm("mediafleet-crds", "charts/mediafleet-crds")
            self._apply_broker_secrets()
            extra = ("-f", str(VALUES), "-f", str(MANIFESTS / "values.yaml"), *self._image_values())
            self._helm("mediafleet", "charts/mediafleet", *extra)
        with step("kubectl apply: Redis, then livekit-server, which ends itself without one", 15):
            for name, deployment in (("redis.yaml", "redis"), ("livekit.yaml", "livekit")):
                self._apply(MANIFESTS / name)
                rollout = ("rollout", "status", "-n", "media", "--timeout=120s")
                self._kubectl(*rollout, f"deployment/{deployment}")
        with step("kubectl apply: an EgressFleet of 10, an OrchestratorPool of 3, AI workers", 1):
            self._apply(MANIFESTS / "fleets.yaml")
            self._apply(MANIFESTS / "workers.yaml")
        with step("waiting for the fleets to be Ready", 30):
            for resource in ("efleet/recorder", "opool/transcoders"):
                self._kubectl(
                    *("wait", "-n", "media", "--for=condition=Ready", "--timeout=180s", resource)
                )
        self._console.print(self._kubectl("get", "-n", "media", "efleet,opool,awpool"), end="")

    def _apply_broker_secrets(self) -> None:
        """What workers, callers and the broker's certificate go by, where each is mounted."""
        key, certificate = self_signed(["mediafleet-broker.mediafleet.svc"])
        words = {"secret": secrets.token_hex(16), "token": secrets.token_hex(16)}
        data = {**words, "tls.crt": certificate.decode(), "tls.key": key.decode()}
        made = []
        for namespace in ("mediafleet", "media"):
            metadata = {"name": "broker", "namespace": namespace}
            strict = {"pod-security.kubernetes.io/enforce": "restricted"}
            about = {"name": namespace, **({"labels": strict} if namespace == "media" else {})}
            made.append({"apiVersion": "v1", "kind": "Namespace", "metadata": about})
            made.append(
                {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data}
            )
        manifest = yaml.safe_dump_all(made)
        run(self._target, "kubectl", "apply", "-f", "-", stdin=manifest)

    def tell(self) -> bool:
        """Run the story and print what it says; whether it ended well."""
        self._apply(MANIFESTS / "story.yaml")
        started = ("wait", "-n", "media", "--for=jsonpath={.status.ready}=1", "job/story")
        self._kubectl(*started, "--timeout=60s")
        follow = ("logs", "-n", "media", "-f", "job/story")
        subprocess.run(
            self._target.command("kubectl", *follow),
            env=dict(self._target.environment()),
            stdin=subprocess.DEVNULL,
            timeout=STORY_SECONDS,
            check=False,
        )
        ended = time.monotonic() + 15
        while time.monotonic() < ended:
            states = self._kubectl(
                *("get", "-n", "media", "job/story", "-o"),
                "jsonpath={.status.succeeded} {.status.failed}",
            ).split(" ")
            if any(states):
                return states[0] == "1"
            time.sleep(0.2)
        return False

    def troubles(self) -> str:
        """What a person would ask for first."""
        parts = []
        for arguments in (
            ("get", "pods", "-A", "-o", "wide"),
            ("get", "efleet,opool,awpool", "-A", "-o", "wide"),
            ("get", "events", "-n", "media", "--sort-by=.lastTimestamp"),
            ("logs", "-n", "mediafleet", "-l", "app.kubernetes.io/name=mediafleet", "--tail=20"),
        ):
            try:
                parts.append(self._kubectl(*arguments))
            except (TestbedError, subprocess.TimeoutExpired) as error:
                parts.append(f"{' '.join(arguments)}: {error}")
        return "\n".join(parts)

    def _helm(self, release: str, chart: str, *arguments: str) -> None:
        place = ("-n", "mediafleet", "--create-namespace", "--wait", "--timeout", "180s")
        run(self._target, "helm", "upgrade", "--install", release, chart, *place, *arguments)

    def _image_values(self) -> tuple[str, ...]:
        prefix = self._target.image_prefix
        if not prefix:
            return ()
        values = f"image.repository={prefix}/mediafleet,image.pullPolicy=IfNotPresent"
        return ("--set", values)

    def _apply(self, manifest: Path) -> None:
        text = manifest.read_text(encoding="utf-8")
        if prefix := self._target.image_prefix:
            for name in ("mediafleet-testbed:dev", "redis:dev", "livekit-server:dev"):
                text = text.replace(f"image: {name}", f"image: {prefix}/{name}")
            text = text.replace("imagePullPolicy: Never", "imagePullPolicy: IfNotPresent")
        run(self._target, "kubectl", "apply", "-f", "-", stdin=text)

    def _kubectl(self, *arguments: str) -> str:
        return run(self._target, "kubectl", *arguments)


def main() -> None:
    """Run it; exit 1 when a claim failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cluster", choices=sorted(TARGETS), default="node")
    parser.add_argument(
        "--keep", action="store_true", help="leave it up and say how to look around"
    )
    options = parser.parse_args()
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"[bold]{STAND_INS}[/bold]\n", soft_wrap=not console.is_terminal)
    target = TARGETS[options.cluster]()
    sys.exit(0 if _run(target, console, keep=options.keep) else 1)


def _run(target: Target, console: Console, *, keep: bool) -> bool:
    began = time.monotonic()
    demo = Demo(target, console)
    held = prepared = False
    try:
        target.prepare()
        prepared = True
        demo.install()
        held = demo.tell()
    except (TestbedError, subprocess.TimeoutExpired) as error:
        console.print(f"[red]demo:[/red] {escape(str(error))}")
    console.print(f"\n{time.monotonic() - began:.0f} s")
    if prepared and not held:
        console.print(demo.troubles(), markup=False)
    if prepared and keep:
        kubectl = target.look_around()
        console.print(f"Left up. Look around:\n  {kubectl} get efleet,opool,awpool,pods -n media")
        console.print(
            "The fleets in the browser: http://localhost:8080/ui/ once this runs; the page asks "
            "for the token:\n"
            f"  {kubectl} -n mediafleet port-forward service/mediafleet-egress 8080\n"
            f"  {kubectl} -n mediafleet create token mediafleet-operator --audience mediafleet"
        )
        console.print(f"Take it down:\n  {target.take_down()}")
    else:
        target.remove()
        console.print("The pages in the browser: make demo KEEP=1, or make quick PAGES=1")
    return held


if __name__ == "__main__":
    main()
