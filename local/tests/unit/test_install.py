"""Servers are installed only where no question is needed."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from local import install

APT = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q"]
POLICY = "/usr/sbin/policy-rc.d"
APT += ["-o", "DPkg::Lock::Timeout=120"]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[list[str]]]:
    """A fake machine; returns the list of commands that ran on it."""

    def pretend(*, programs: str, uid: int, sudo: int = 1) -> list[list[str]]:
        ran: list[list[str]] = []

        def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
            ran.append(command)
            code = sudo if command[0] == "sudo" else 0
            return subprocess.CompletedProcess(command, code, "no way", "")

        def which(name: str) -> str | None:
            return name if name in programs.split() else None

        monkeypatch.setattr(install, "missing_packages", lambda **_: ["nginx"])
        monkeypatch.setattr(os, "geteuid", lambda: uid)
        monkeypatch.setattr(shutil, "which", which)
        monkeypatch.setattr(subprocess, "run", run)
        return ran

    return pretend


def test_root_installs(machine: Callable[..., list[list[str]]]) -> None:
    ran = machine(programs="apt-get", uid=0)
    said: list[str] = []
    install.install_missing(said.append)
    shell, installation = ran[-1][:4], ran[-1][4:]
    assert shell[:2] == ["sh", "-c"]
    assert installation == [*APT, "install", "-y", "--no-install-recommends", "nginx"]
    assert said == ["installing nginx with apt-get ..."]


def test_sudo_is_used_without_a_password(
    machine: Callable[..., list[list[str]]],
) -> None:
    ran = machine(programs="apt-get sudo", uid=1000, sudo=0)
    install.install_missing(print)
    assert ran[0] == ["sudo", "-n", "true"]
    assert ran[-1][:2] == ["sudo", "-n"]


@pytest.mark.parametrize("programs", ["", "sudo", "apt-get", "apt-get sudo"])
def test_no_installation_asks_a_question(
    machine: Callable[..., list[list[str]]], programs: str
) -> None:
    ran = machine(programs=programs, uid=1000)
    install.install_missing(print)
    assert not [command for command in ran if "install" in command]


@pytest.mark.parametrize("has_policy", [True, False])
def test_no_service_of_the_system_is_started(
    machine: Callable[..., list[list[str]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    has_policy: bool,
) -> None:
    """Debian asks this program. That of a container stays as it is."""
    policy, run = tmp_path / "policy-rc.d", subprocess.run
    if has_policy:
        policy.write_text("theirs")
        policy.chmod(0o755)
    ran = machine(programs="apt-get", uid=0)
    install.install(["nginx"], print)
    script = ran[-1][2]
    assert POLICY in script
    words = ["sh", "-c", script.replace(POLICY, str(policy)), "sh", "sh", "-c"]
    ask = f"test -x {policy} && cat {policy}; exit 7"
    said = run([*words, ask], capture_output=True, text=True, check=False)
    assert said.returncode == 7  # that of apt-get
    assert said.stdout == ("theirs" if has_policy else "#!/bin/sh\nexit 101\n")
    assert policy.exists() == has_policy


def test_tests_need_more_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "FINDERS", {})
    finders = dict.fromkeys(install.FINDERS_FOR_TESTS, lambda: None)
    monkeypatch.setattr(install, "FINDERS_FOR_TESTS", finders)
    assert install.missing_packages() == []
    packages = {"pgbouncer", "postgresql", "nodejs", "npm"}
    assert {*install.missing_packages(for_tests=True)} == packages
