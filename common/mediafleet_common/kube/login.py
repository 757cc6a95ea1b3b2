"""Credentials for the API server, for our own calls and for kopf's watches."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeAlias
from urllib.request import getproxies

import kopf
from kubernetes.aio.client import Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.serving.run import CannotStartError

TOKEN_SECONDS: Final = 300.0
"""kopf asks for credentials again after this time: a service account's token is rotated."""
Login: TypeAlias = Callable[[], Awaitable[Configuration]]
"""What gives the credentials of the moment."""


async def configure(kubeconfig: str | None = None, context: str | None = None) -> Configuration:
    """How to reach the API server.

    The first of: `kubeconfig`, $KUBECONFIG, the pod's service account, ~/.kube/config. In a pod the
    server is reached by address: cluster DNS may be away when the API server is not.

    Raises:
        CannotStartError: there is none of these.
    """
    # aiohttp reads ~/.netrc and the proxies anew for each call, each in a thread.
    configuration = Configuration(client_session_kwargs={"trust_env": bool(getproxies())})
    try:
        if _inside_a_pod(kubeconfig):
            load_incluster_config(client_configuration=configuration)
        else:
            await load_kube_config(
                config_file=_file(kubeconfig),
                context=context,
                client_configuration=configuration,
                persist_config=False,
            )
    except (ConfigException, OSError) as error:
        raise CannotStartError(
            f"no Kubernetes cluster is configured ({error}): set KUBECONFIG or give --kubeconfig"
        ) from error
    return configuration


def _inside_a_pod(kubeconfig: str | None) -> bool:
    named = kubeconfig or os.environ.get("KUBECONFIG")
    return not named and "KUBERNETES_SERVICE_HOST" in os.environ


def _file(kubeconfig: str | None) -> str:
    default = str(Path.home() / ".kube" / "config")
    files = kubeconfig or os.environ.get("KUBECONFIG") or default
    # $KUBECONFIG may name several.
    if not any(Path(each).exists() for each in files.split(os.pathsep)):
        raise ConfigException(f"there is no {files}")
    return files


async def connection(configuration: Configuration, clock: Clock = SYSTEM) -> kopf.ConnectionInfo:
    """The same credentials in kopf's form."""
    token = await configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
    expires = datetime.fromtimestamp(clock.unix() + TOKEN_SECONDS, UTC)
    return kopf.ConnectionInfo(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
        scheme="Bearer" if token else None,
        token=token.split(" ", 1)[-1] if token else None,
        expiration=expires if token else None,
    )
