"""Log lines of every process: time, level, logger, request id, message."""

import logging

from app.core.config import Settings
from app.core.request_id import current_request_id

FORMAT = "%(asctime)s %(levelname)-7s %(name)s [%(request_id)s] %(message)s"


class _RequestIdFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = current_request_id.get()
        return True


def configure_logging(settings: Settings) -> None:
    """Send everything to standard error in one format."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(FORMAT))
    handler.addFilter(_RequestIdFilter())
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    logging.getLogger("amqp").setLevel(logging.WARNING)
