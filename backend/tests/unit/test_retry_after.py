"""When a receiver of webhooks wants the next attempt."""

import time
from email.utils import formatdate

import pytest

from app.infrastructure import webhook_sender


def test_a_date_is_one_of_utc_wherever_the_worker_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    try:
        monkeypatch.setenv("TZ", "JST-9")
        time.tzset()
        found = webhook_sender._seconds(formatdate(time.time() + 60, usegmt=True))
    finally:
        monkeypatch.undo()
        time.tzset()
    assert found == pytest.approx(60, abs=30)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(None, None), ("7", 7), ("soon", None), ("-1", None), ("١", None)],
)
def test_seconds_and_nonsense(text: str | None, seconds: float | None) -> None:
    assert webhook_sender._seconds(text) == seconds
