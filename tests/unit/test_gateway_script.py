"""How the gateway's container writes its configuration; no container is started."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from local.apps import ROOT

SCRIPT = (ROOT / "deploy/compose/gateway.sh").read_text()
FUNCTIONS = SCRIPT.rpartition("\ncase ${1:-start} in")[0]
TEMPLATE = "server ${API_UPSTREAM}; listen ${NGINX_PORT}; set $a ${OTHER};"


def run(folder: Path, words: str, **env: str) -> str:
    """The output of a script that has the functions of this one."""
    text = FUNCTIONS.replace("/tmp/", f"{folder}/").replace("/gateway/", f"{folder}/")
    (folder / "nginx_config.conf").write_text(TEMPLATE)
    (folder / "left").touch()
    environment = {"PATH": os.environ["PATH"], "API_PORT": "8000", **env}
    return subprocess.run(
        ["sh", "-c", f"{text}\n{words}"],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    ).stdout


@pytest.mark.skipif(not shutil.which("envsubst"), reason="no envsubst")
def test_addresses_of_both_families_are_written_as_nginx_reads_them(
    tmp_path: Path,
) -> None:
    words = "render '10.0.0.2\nfd00::2'; cat $SITE"
    said = run(tmp_path, words, NGINX_PORT="8080")
    servers = "server 10.0.0.2:8000; server [fd00::2]:8000;"
    assert f"{servers} listen 8080; set $a ${{OTHER}};" in said


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_an_api_is_found_by_its_only_address(tmp_path: Path, host: str) -> None:
    """`getent` reads addresses like names: there is no other family for them."""
    assert run(tmp_path, "addresses", API_HOST=host).split() == [host]


@pytest.mark.parametrize(
    ("port", "listens"),
    [
        ("8080", "[::]:8080 ipv6only=off"),
        ("8443 ssl", "[::]:8443 ssl ipv6only=off"),
        ("127.0.0.1:8080", "127.0.0.1:8080"),
    ],
)
def test_it_listens_on_both_families_unless_told_an_address(
    tmp_path: Path, port: str, listens: str
) -> None:
    if not os.path.exists("/proc/net/if_inet6"):
        pytest.skip("this kernel lacks IPv6")
    said = run(tmp_path, "listen_on_both; echo $NGINX_PORT", NGINX_PORT=port)
    assert said.strip() == listens
