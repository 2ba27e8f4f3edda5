"""The progress of pip, from its log and from the installed packages."""

import io
from pathlib import Path

import pytest

from local import installation
from local.installation import Installation, pinned, shown

REQUIREMENTS = """\
-r ../packages/chassis/requirements.txt
# A comment: other==1
anyio==4.16.0 \\
    --hash=sha256:00
colorama==0.4.6 ; sys_platform == 'win32' \\
    --hash=sha256:00
Typing_Extensions==4.16.0 \\
    --hash=sha256:00
"""
LOG = """\
2026-11-26T08:00:00,100 Ignoring colorama: markers 'sys_platform' don't match
2026-11-26T08:00:00,200 Collecting anyio==4.16.0 (from -r requirements.txt)
2026-11-26T08:00:00,300   Collecting typ"""


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    file = tmp_path / "requirements.txt"
    file.write_text(REQUIREMENTS)
    return [file]


def test_what_is_pinned(files: list[Path]) -> None:
    names = {name for name, _ in pinned(files)}
    assert names == {"anyio", "colorama", "typing-extensions"}


def test_the_log_tells_what_is_fetched_and_the_folder_what_is_installed(
    tmp_path: Path, files: list[Path]
) -> None:
    log = tmp_path / "pip.log"
    progress = Installation(pinned(files), log, tmp_path)
    assert progress.look() == (0, 0)
    log.write_text(LOG)
    assert progress.look() == (2, 1)  # one package is not for this machine
    with log.open("a") as file:
        file.write("ing-extensions==4.16.0\n")
    (tmp_path / "anyio-4.16.0.dist-info").mkdir()
    (tmp_path / "typing_extensions-4.15.0.dist-info").mkdir()  # an older version
    assert progress.look() == (3, 2)


def test_without_a_terminal_there_are_a_few_lines(
    tmp_path: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installation, "INTERVAL", 0.001)
    log, out = tmp_path / "pip.log", io.StringIO()
    with shown(pinned(files), log, tmp_path, out):
        log.write_text(LOG)
        while "fetched" not in out.getvalue():
            pass
    assert out.getvalue() == "  2 of 3 packages fetched, 1 installed\n"
    assert not log.exists()


def test_pips_log_stays_after_a_failure(tmp_path: Path, files: list[Path]) -> None:
    log = tmp_path / "pip.log"
    with pytest.raises(OSError), shown(pinned(files), log, tmp_path, io.StringIO()):
        log.write_text(LOG)
        raise OSError
    assert log.exists()
