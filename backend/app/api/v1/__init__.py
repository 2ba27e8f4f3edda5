"""Version 1 of the API."""

from fastapi import APIRouter

from app.api.strict_json import StrictJsonRoute
from app.api.v1.endpoints import data, database, metrics

api_router = APIRouter(prefix="/api/v1", route_class=StrictJsonRoute)
api_router.include_router(data.router)
api_router.include_router(database.router)
api_router.include_router(metrics.router)
