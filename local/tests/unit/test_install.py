"""Servers are installed only where no question is needed."""

import os
import shutil
import subprocess
from collections.abc import Callable

import pytest

from local import install

APT = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q"]
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

        monkeypatch.setattr(install, "missing_packages", lambda: ["nginx"])
        monkeypatch.setattr(os, "geteuid", lambda: uid)
        monkeypatch.setattr(shutil, "which", which)
        monkeypatch.setattr(subprocess, "run", run)
        return ran

    return pretend


def test_root_installs(machine: Callable[..., list[list[str]]]) -> None:
    ran = machine(programs="apt-get", uid=0)
    said: list[str] = []
    install.install_missing(said.append)
    assert ran[-1] == [*APT, "install", "-y", "--no-install-recommends", "nginx"]
    assert said == ["installing nginx with apt-get ..."]


def test_tests_need_node_too(machine: Callable[..., list[list[str]]]) -> None:
    ran = machine(programs="apt-get node", uid=0)
    install.install_for_tests(print)
    assert ran[-1][-2:] == ["nginx", "npm"]


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
