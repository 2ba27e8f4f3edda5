"""Well-known passwords, and URLs that contain passwords."""

from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

# The database user in development, and its password.
ROLE = "fastapi"
DEVELOPMENT_PASSWORDS = {"guest", "welcome1", ROLE, "postgres", "password", ""}


def is_known(password: SecretStr) -> bool:
    """Whether the documentation prints this password."""
    return password.get_secret_value() in DEVELOPMENT_PASSWORDS


def has_known_password(url: SecretStr) -> bool:
    """False for a URL without a password: it may come from elsewhere, such as
    pgpass."""
    password = urlsplit(url.get_secret_value()).password
    return password is not None and unquote(password) in DEVELOPMENT_PASSWORDS


def with_driver(url: str, driver: str) -> str:
    """The SQLAlchemy URL with an explicit driver."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme.partition('+')[0]}+{driver}{separator}{rest}"
