"""Which credentials are taken, and how kopf gets them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from mediafleet_common.kube.client import connect
from mediafleet_common.kube.errors import UnreachableError
from mediafleet_common.kube.login import configure, connection
from mediafleet_common.serving.run import CannotStartError


def kubeconfig(file: Path, server: str, token: str) -> str:
    file.parent.mkdir(parents=True, exist_ok=True)
    config = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": token}}],
    }
    file.write_text(yaml.safe_dump(config))
    return str(file)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


async def test_a_named_file_comes_before_the_variable_and_that_before_the_home_directory(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kubeconfig(home / ".kube" / "config", "http://home", "h")
    assert (await configure()).host == "http://home"
    monkeypatch.setenv("KUBECONFIG", kubeconfig(tmp_path / "b", "http://variable", "v"))
    # In a pod, too: whoever sets it means it.
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert (await configure()).host == "http://variable"
    named = kubeconfig(tmp_path / "c", "http://named", "n")
    assert (await configure(named)).host == "http://named"


async def test_kopf_reaches_the_same_server_with_the_same_token(home: Path, tmp_path: Path) -> None:
    del home
    named = kubeconfig(tmp_path / "c", "http://named", "n")
    info = await connection(await configure(named))
    assert (info.server, info.scheme, info.token) == ("http://named", "Bearer", "n")
    assert info.expiration is not None, "a service account's token is rotated"


@pytest.mark.parametrize("name", [None, "HTTPS_PROXY"])
async def test_the_environment_is_asked_for_a_proxy_if_it_names_one_and_for_nothing_else(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str | None
) -> None:
    del home
    for each in ("http", "https", "all", "no"):
        for variable in (f"{each}_proxy", f"{each}_proxy".upper()):
            monkeypatch.delenv(variable, raising=False)
    if name is not None:
        monkeypatch.setenv(name, "http://proxy:3128")
    configuration = await configure(kubeconfig(tmp_path / "c", "http://named", "n"))
    assert configuration.client_session_kwargs == {"trust_env": name is not None}


@pytest.mark.parametrize(
    ("host", "url"), [("10.0.0.1", "https://10.0.0.1:443"), ("fd00::1", "https://[fd00::1]:443")]
)
async def test_a_pod_reaches_the_server_by_address(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, url: str
) -> None:
    kubeconfig(home / ".kube" / "config", "http://home", "h")
    for name in ("token", "ca.crt"):
        (tmp_path / name).write_text("x")
    config = "kubernetes.aio.config.incluster_config"
    monkeypatch.setattr(f"{config}.SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(f"{config}.SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    assert (await configure()).host == url


async def test_without_any_credentials_it_says_what_to_do(home: Path) -> None:
    with pytest.raises(CannotStartError, match="set KUBECONFIG or give --kubeconfig"):
        await configure(str(home / "none"))
    with pytest.raises(UnreachableError, match="set KUBECONFIG"):
        async with connect():
            pass
