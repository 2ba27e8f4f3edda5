"""Orders from a file."""

from fastapi import APIRouter, UploadFile

from app.api.errors import responses
from app.api.security import requires
from app.api.v1.endpoints.order import WRITE, OrderServiceDep
from app.models.order import OrderContent

router = APIRouter(prefix="/order-imports", tags=["order-imports"])


@router.post(
    "",
    status_code=201,
    dependencies=[requires(WRITE)],
    responses=responses(400, 413, 415, 422, 503),
)
async def import_orders(file: UploadFile, service: OrderServiceDep) -> dict[str, int]:
    """An order for each line of a text file: all of them, or none."""
    lines = (await file.read()).decode("utf-8", errors="replace").splitlines()
    for line in lines:
        await service.create(OrderContent(title=line[:200] or "-"))
    return {"created": len(lines)}
