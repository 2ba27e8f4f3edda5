"""What is typed reaches the launcher."""

import pytest

from local import commands

PLAIN = dict.fromkeys(("traces", "auth", "tls", "reload", "debug"), False)


@pytest.mark.parametrize(
    ("words", "chosen"),
    [
        (["run"], set()),
        (["run", "--traces"], {"traces"}),
        (["run", "--auth"], {"auth"}),
        (["run", "--tls"], {"tls"}),
        (["dev"], {"reload"}),
        (["debug", "--auth", "--tls"], {"debug", "auth", "tls"}),
    ],
)
def test_each_option_is_taken_and_no_other(
    words: list[str], chosen: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[dict[str, bool]] = []

    def launch(**options: bool) -> int:
        taken.append(options)
        return 0

    monkeypatch.setattr("local.run.run", launch)
    assert commands.run(words[0], words[1:]) == 0
    assert [PLAIN | options for options in taken] == [
        PLAIN | dict.fromkeys(chosen, True)
    ]
