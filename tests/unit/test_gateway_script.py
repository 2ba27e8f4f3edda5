"""How the gateway's container writes its configuration; no container is started."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from local.apps import ROOT
from local.servers.nginx import trusted_proxies

TRUSTED = ROOT / "deploy/nginx/trusted.sh"
SCRIPT = (ROOT / "deploy/compose/gateway.sh").read_text()
FUNCTIONS = SCRIPT.rpartition("\ncase ${1:-start} in")[0]
TEMPLATE = "server ${API_UPSTREAM}; listen ${NGINX_PORT}; set $a ${OTHER};"


def run(folder: Path, words: str, **env: str) -> str:
    """The output of a script that has the functions of this one."""
    text = FUNCTIONS.replace("/tmp/", f"{folder}/").replace("/gateway/", f"{folder}/")
    text = text.replace("/proc/$worker", f"{folder}/proc/$worker")
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


@pytest.mark.skipif(not shutil.which("envsubst"), reason="no envsubst")
def test_nginx_takes_the_place_of_the_script(tmp_path: Path) -> None:
    """Docker's signal to stop reaches it, so it answers what it has."""
    nginx = "#!/bin/sh\ncase $* in *-t*) ;; *) echo $$ ;; esac\n"
    fakes = {"nginx": nginx, "sleep": "#!/bin/sh\nexit 1\n"}
    for name, text in {**fakes, "check.sh": "", "trusted.sh": ""}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "NGINX_PORT": "8080"}
    said = run(tmp_path, "echo $$; start", API_HOST="127.0.0.1", **env).splitlines()
    assert said[0] == said[-1] and len(said) > 1


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


def directives_of_the_containers(proxies: str) -> str:
    env = {"PATH": os.environ["PATH"], "NGINX_TRUSTED_PROXIES": proxies}
    return subprocess.run(
        [str(TRUSTED)], env=env, check=True, capture_output=True, text=True
    ).stdout


@pytest.mark.parametrize("proxies", ["", "10.0.0.0/8, 192.0.2.7", "::1 fd00::/8", " "])
def test_trusted_proxies_are_the_same_as_in_make_run(proxies: str) -> None:
    local = trusted_proxies(proxies)
    assert local.split() == directives_of_the_containers(proxies).split()
    assert local.count("set_real_ip_from") == len(proxies.replace(",", " ").split())


@pytest.mark.parametrize("proxies", ["lb.example", "*", "1; include x"])
def test_what_is_no_proxy_is_refused(proxies: str) -> None:
    with pytest.raises(subprocess.CalledProcessError) as failed:
        directives_of_the_containers(proxies)
    assert "NGINX_TRUSTED_PROXIES" in failed.value.stderr


def test_the_main_file_has_the_directives_of_the_script(tmp_path: Path) -> None:
    """The folder stands for the container's /gateway."""
    (tmp_path / "trusted.sh").write_text(TRUSTED.read_text())
    said = run(tmp_path, "write_main ''; cat $MAIN", NGINX_TRUSTED_PROXIES="192.0.2.7")
    assert "set_real_ip_from 192.0.2.7;" in said
    with pytest.raises(subprocess.CalledProcessError):
        run(tmp_path, "write_main ''", NGINX_TRUSTED_PROXIES="*")


WORLD = """
addresses() { printf '%s' "$NOW"; }
nginx() { return "${BAD:-0}"; }
kill() { echo "$@"; }
echo 10.0.0.2 >"$APPLIED"
apply || true
"""


@pytest.mark.skipif(not shutil.which("envsubst"), reason="no envsubst")
@pytest.mark.parametrize(
    ("now", "bad", "reloads"),
    [
        ("10.0.0.2", "0", False),
        ("10.0.0.3", "0", True),
        ("10.0.0.3", "1", False),  # nginx goes on with what works
        ("", "0", False),  # DNS is down, or all APIs
    ],
)
def test_nginx_reloads_for_new_addresses_that_it_can_use(
    tmp_path: Path, now: str, bad: str, reloads: bool
) -> None:
    said = run(tmp_path, WORLD, NOW=now, BAD=bad, NGINX_PORT="8080")
    assert ("-HUP 1" in said) == reloads
    if not now:
        assert (tmp_path / "applied").read_text() == "10.0.0.2\n"
    if reloads:  # once: a second later there is nothing new
        assert (tmp_path / "applied").read_text() == f"{now}\n"


def test_an_api_has_left_when_no_worker_sends_to_it(tmp_path: Path) -> None:
    """The last one may not leave; one that joins leaves the others as they are."""
    words = f"""
getent() {{ for ip in 10.0.0.2 10.0.0.3; do echo "$ip STREAM"; done; }}
workers() {{ echo 7; }}
mkdir -p {tmp_path}/proc/7
printf '10.0.0.2\\n10.0.0.3\\n' >"$APPLIED"
(
    until grep -q 10.0.0.2 "$LEFT"; do :; done
    echo 10.0.0.3 >"$APPLIED"
    sleep 0.1
    rmdir {tmp_path}/proc/7
) &
leave 10.0.0.2
[ ! -e {tmp_path}/proc/7 ] && cat "$APPLIED" && addresses
(leave 10.0.0.3) || echo refused
addresses
echo 10.0.0.9 >>"$LEFT"
join 10.0.0.2
addresses
cat "$LEFT"
"""
    said = run(tmp_path, words, API_HOST="api")
    one, two = "10.0.0.2", "10.0.0.3"
    assert said.split() == [two, two, "refused", two, one, two, "10.0.0.9"]
