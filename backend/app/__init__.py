"""The API and the Celery worker: one code base, one image, two processes."""

import chassis  # noqa: F401  checks OTEL_PROPAGATORS before FastAPI imports it

__title__ = "FastAPI microservices starter"
__version__ = "0.1.0"
