"""Lines of several logs on one terminal."""

import io
from pathlib import Path

from local.terminal import Terminal


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
