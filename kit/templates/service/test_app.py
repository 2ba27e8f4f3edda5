"""The class alone: JSON in, JSON out."""

import json

import pytest

from app.errors import ServiceError
from app.specimen_service import SpecimenService


def test_the_outcome() -> None:
    data = json.dumps({"payload": "Grüße", "description": None})
    outcome, task_type = SpecimenService().call(data)
    assert task_type == "speci-men"
    assert json.loads(outcome) == {
        "status": "success",
        "input": "Grüße",
        "output": "Grüße",
    }


@pytest.mark.parametrize("data", ['{"payload": 1}', "{}", "[]"])
def test_what_is_no_text_is_refused(data: str) -> None:
    with pytest.raises(ServiceError, match="not_a_text"):
        SpecimenService().call(data)
