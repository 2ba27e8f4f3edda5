"""The API and the Celery worker: one code base, one image, two processes."""

__title__ = "FastAPI microservices starter"
__version__ = "0.1.0"
