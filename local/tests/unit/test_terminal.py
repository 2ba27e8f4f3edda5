"""Lines of several logs on one terminal."""

import io
import re
from pathlib import Path

import pytest

from local.terminal import Progress, Terminal, is_colourful


class Screen(io.StringIO):
    """A fake terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("COLUMNS", "60")


def test_new_lines_are_shown_with_the_name_before_them(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    log.write_text("from an earlier run\n")
    out = io.StringIO()
    terminal = Terminal(out)
    terminal.follow("api", log)
    with log.open("a") as file:
        file.write("one\nhalf of")
        file.flush()
        terminal.say("words")
        file.write(" two\n")
    terminal.close()
    assert "api         | one\napi         | half of two\n" in out.getvalue()
    assert "stack       | words\n" in out.getvalue()
    assert "earlier" not in out.getvalue()
    assert "\x1b" not in out.getvalue()


def test_colours_are_for_terminals_whose_user_wants_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert is_colourful(Screen()) and not is_colourful(io.StringIO())
    screen = Screen()
    Terminal(screen).say("words")
    assert "\x1b[36m" in screen.getvalue()
    # The colour ends before the words: nothing later has it.
    rest = re.sub(r"\x1b\[36m[^\x1b]*\x1b\[0m", "", screen.getvalue())
    assert "words" in rest and "\x1b" not in rest
    monkeypatch.setenv("NO_COLOR", "")  # its definition treats this as unset
    assert is_colourful(Screen())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not is_colourful(Screen())
    screen = Screen()
    Terminal(screen).say("words")
    assert "\x1b" not in screen.getvalue()
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert not is_colourful(Screen())


def test_a_bar_stays_below_the_lines_and_fits_the_terminal() -> None:
    screen = Screen()
    terminal = Terminal(screen)
    terminal.progress(1, 2, "redis is up", "rabbitmq, " * 20)
    bar = screen.getvalue().removeprefix("\r\x1b[K")
    assert bar.startswith("[############............] 1 of 2 are up, waiting for rab")
    assert len(bar) < 60
    terminal.plain("a line")
    assert screen.getvalue().endswith(f"\r\x1b[Ka line\n\r\x1b[K{bar}")
    terminal.progress(2, 2, "rabbitmq is up", "")
    terminal.plain("another line")
    assert screen.getvalue().endswith("\r\x1b[Kanother line\n")


def test_without_a_terminal_progress_is_lines() -> None:
    out = io.StringIO()
    Terminal(out).progress(1, 2, "redis is up", "rabbitmq")
    assert out.getvalue() == "stack       | redis is up (1 of 2)\n"
    assert not Progress(out).is_bar
