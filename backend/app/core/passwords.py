"""Passwords that everybody knows, and the URLs that hold passwords."""

from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

# The database's user in development, and its password.
ROLE = "fastapi"
DEVELOPMENT_PASSWORDS = {"guest", "welcome1", ROLE, "postgres", "password", ""}


def is_known(password: SecretStr) -> bool:
    """Whether it is one of those that documents name."""
    return password.get_secret_value() in DEVELOPMENT_PASSWORDS


def has_known_password(url: SecretStr) -> bool:
    """Without any password it may be one from elsewhere, such as a pgpass file."""
    password = urlsplit(url.get_secret_value()).password
    return password is not None and unquote(password) in DEVELOPMENT_PASSWORDS


def with_driver(url: str, driver: str) -> str:
    """SQLAlchemy's URL with the driver spelled out."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme.partition('+')[0]}+{driver}{separator}{rest}"
