"""The login for Redis, from a file that may get a new password."""

from typing import Any

from redis import CredentialProvider

from chassis.environment import Group
from chassis.redis_url import RedisUrl


class FileLogin(CredentialProvider):
    """Reads the file for each new connection. Redis keeps those that are open."""

    def __init__(self, settings: Group, field: str) -> None:
        self._settings, self._field = settings, field

    def get_credentials(self) -> Any:
        """Called by redis-py: user and password, or what there is of them."""
        self._settings = self._settings.read_again()
        place = RedisUrl.read(getattr(self._settings, self._field).get_secret_value())
        if place.username:
            return place.username, place.password or ""
        return (place.password,) if place.password else ()


def file_login(settings: Group, field: str) -> FileLogin | None:
    """For clients of the URL in this field; None if it is not read from a file."""
    has_file = settings.secret_files().path_of(field)
    return FileLogin(settings, field) if has_file else None
