"""A request that meets a forgotten ``breakpoint()`` is answered like every other."""

import logging
import sys

import pytest
from fastapi.testclient import TestClient

from app.application import create_app
from app.core.config import Settings
from chassis.breakpoints import pass_over_breakpoints


def test_the_request_is_answered_and_the_log_says_where(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "breakpointhook", sys.__breakpointhook__)  # not pytest's
    pass_over_breakpoints()
    app = create_app(Settings())

    @app.get("/forgotten")
    async def read_forgotten() -> str:
        breakpoint()
        return "answered"

    with caplog.at_level(logging.WARNING):
        answer = TestClient(app).get("/forgotten")
    assert (answer.status_code, answer.json()) == (200, "answered")
    assert f"breakpoint() at {__file__}:" in caplog.text
