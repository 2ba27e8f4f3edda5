"""The class alone: JSON in, JSON out."""

import json

import pytest

from app.specimen_service import SpecimenService
from chassis.errors import ServiceError


def request(text: str, times: int) -> str:
    payload = {"text": text, "times": times}
    return json.dumps({"payload": payload, "description": None})


def test_the_outcome() -> None:
    outcome, task_type = SpecimenService().call(request("Grüße", 2))
    assert json.loads(outcome) == {"text": "GrüßeGrüße", "length": 10}
    assert task_type == "specimen"


def test_what_is_too_long_is_refused() -> None:
    with pytest.raises(ServiceError, match="10,000"):
        SpecimenService().call(request("x" * 1_000, 11))
