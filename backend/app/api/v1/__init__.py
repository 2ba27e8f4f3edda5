"""Version 1 of the API."""

from app.api.v1.endpoints import data, database, metrics

PREFIX = "/api/v1"

# Included one by one: FastAPI matches a request once more for each level of nesting.
routers = (data.router, database.router, metrics.router)
