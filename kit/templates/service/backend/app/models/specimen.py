"""Requests and answers of the speci men endpoints."""

from pydantic import BaseModel, ConfigDict, Field

from app.models.schemas import AsyncDataRequest, DataRequest, TaskResult, example


class SpecimenPayload(BaseModel):
    """The payload for the service."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(min_length=1, max_length=1_000, description="The text to repeat.")
    times: int = Field(1, ge=1, le=100, description="How often.")


class SpecimenRequest(DataRequest):
    """Work to do at once."""

    model_config = example(payload={"text": "hello ", "times": 2})

    payload: SpecimenPayload
    description: str | None = Field(
        None, max_length=255, description="A note, stored with the record."
    )


class AsyncSpecimenRequest(SpecimenRequest, AsyncDataRequest):
    """Work to do later, and its urgency."""

    model_config = example(payload={"text": "hello ", "times": 2}, priority="high")


class SpecimenOutcome(BaseModel):
    """The service's outcome, for the documentation: no response is checked."""

    text: str
    length: int


class SpecimenResult(TaskResult):
    """The result, with the outcome in it."""

    model_config = example(
        task_id="-", task_status="Success", outcome={"text": "aa", "length": 2}
    )

    outcome: SpecimenOutcome
