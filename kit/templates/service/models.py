"""What the speci men endpoint takes and gives."""

from pydantic import BaseModel, Field

from app.models.schemas import DataRequest, TaskResult, example


class SpecimenRequest(DataRequest):
    """What the service is asked."""

    model_config = example(payload="hello")

    payload: str = Field(max_length=10_000, description="The text to work on.")
    description: str | None = Field(
        None, max_length=255, description="What is to be done with it."
    )


class SpecimenOutcome(BaseModel):
    """What the service answers."""

    status: str
    input: str
    output: str


class SpecimenResult(TaskResult):
    """The outcome, in the form of all results."""

    model_config = example(
        task_id="-",
        task_status="Success",
        outcome={"status": "success", "input": "hello", "output": "hello"},
    )

    outcome: SpecimenOutcome
