"""An API server with its etcd and nothing else: what is created stays as it is, since no controller
and no kubelet looks at it. Needs no root.

with api_server(folder) as kubeconfig:
    ...  # an administrator's
"""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final
from urllib.error import URLError
from urllib.request import urlopen

from mediafleet_testbed.errors import NodeError, tail
from mediafleet_testbed.node import Authority, kubeconfig
from mediafleet_testbed.real_servers import free_port
from mediafleet_testbed.tools.toolchain import ensure
from mediafleet_testbed.waiting import WaitedInVainError, wait_for

UP_SECONDS: Final = 300.0
_HOST: Final = "127.0.0.1"


@contextmanager
def api_server(folder: Path) -> Iterator[Path]:
    """The file of its kubeconfig, until left; certificates, data and logs lie in `folder`.

    Raises:
        NodeError: it did not become ready.
    """
    tools = ensure("etcd", "kube-apiserver")
    etcd, peer, port = free_port(), free_port(), free_port()
    authority, accounts = Authority("api-server"), Authority("accounts")
    authority.pair.write(folder, "ca")
    accounts.pair.write(folder, "accounts")
    authority.issue("kube-apiserver", hosts=(_HOST,)).write(folder, "server")
    client = authority.issue("kubernetes-admin", group="system:masters")
    config = folder / "kubeconfig"
    config.write_text(kubeconfig(f"https://{_HOST}:{port}", authority.pair, client))
    with ExitStack() as running:
        running.enter_context(
            _runs(
                folder / "etcd.log",
                str(tools["etcd"]),
                f"--data-dir={folder}/etcd",
                f"--listen-client-urls=http://{_HOST}:{etcd}",
                f"--advertise-client-urls=http://{_HOST}:{etcd}",
                f"--listen-peer-urls=http://{_HOST}:{peer}",
                f"--initial-advertise-peer-urls=http://{_HOST}:{peer}",
                f"--initial-cluster=default=http://{_HOST}:{peer}",
                "--unsafe-no-fsync",
                "--log-level=warn",
            )
        )
        log = folder / "kube-apiserver.log"
        running.enter_context(
            _runs(
                log,
                str(tools["kube-apiserver"]),
                f"--etcd-servers=http://{_HOST}:{etcd}",
                f"--bind-address={_HOST}",
                f"--advertise-address={_HOST}",
                f"--secure-port={port}",
                "--service-cluster-ip-range=10.97.0.0/24",
                f"--client-ca-file={folder}/ca.crt",
                f"--tls-cert-file={folder}/server.crt",
                f"--tls-private-key-file={folder}/server.key",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-key-file={folder}/accounts.crt",
                f"--service-account-signing-key-file={folder}/accounts.key",
                "--authorization-mode=RBAC",
                # No controller makes a namespace its account.
                "--disable-admission-plugins=ServiceAccount",
            )
        )
        trust = ssl.create_default_context(cadata=authority.pair.certificate_pem.decode())
        try:
            wait_for("ready", lambda: _ready(port, trust), timeout_seconds=UP_SECONDS)
        except WaitedInVainError as error:
            raise NodeError(f"the API server is not {error}:\n{tail(log)}") from None
        yield config


@contextmanager
def _runs(log: Path, *command: str) -> Iterator[None]:
    with log.open("ab") as output:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *command], stdout=output, stderr=output
        )
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _ready(port: int, trust: ssl.SSLContext) -> bool:
    try:
        with urlopen(f"https://{_HOST}:{port}/readyz", timeout=5, context=trust) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False
