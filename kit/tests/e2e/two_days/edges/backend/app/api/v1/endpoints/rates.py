"""Rates of exchange, from another server."""

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel

from app.api.dependencies import HttpClientDep, ResourcesDep
from app.api.errors import responses
from app.api.security import new_scope, requires
from app.core.exceptions import NotFound
from app.models.schemas import example

router = APIRouter(prefix="/rates", tags=["rates"])

READ = new_scope("rates:read", "Read rates of exchange.")


class Rate(BaseModel):
    """What one euro is worth."""

    model_config = example(currency="USD", rate=1.1)

    currency: str
    rate: float


Currency = Annotated[
    str, Path(pattern="^[A-Z]{3}$", description="ISO 4217.", examples=["USD"])
]


@router.get(
    "/{currency}",
    dependencies=[requires(READ)],
    responses=responses(404, 422, 503, 504),
)
async def read_rate(
    currency: Currency, http: HttpClientDep, resources: ResourcesDep
) -> Rate:
    """Today's rate of a currency."""
    source = resources.settings.shop.rates_url
    answer = await http.get(f"{source}/{currency}", timeout=1)
    if answer.status_code == 404:
        raise NotFound(f"There is no rate of {currency}.")
    return Rate.model_validate_json(answer.raise_for_status().content)
