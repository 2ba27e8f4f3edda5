"""Well-known passwords, and URLs that contain passwords."""

from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import SecretStr

# The database user in development, and its password.
ROLE = "fastapi"
DEVELOPMENT_PASSWORDS = {"guest", "welcome1", ROLE, "postgres", "password", ""}


def is_known(password: SecretStr) -> bool:
    """Whether the documentation prints this password."""
    return password.get_secret_value() in DEVELOPMENT_PASSWORDS


def has_known_password(url: SecretStr) -> bool:
    """False for a URL without a password: it may come from elsewhere, such as pgpass.
    For RabbitMQ such a URL means guest/guest."""
    parts = urlsplit(url.get_secret_value())
    query = parse_qs(parts.query, keep_blank_values=True)
    found = query.get("password", [])
    has_certificate = query.get("auth_mechanism") == ["external"]
    if parts.scheme.startswith("amqp") and "@" not in parts.netloc:
        found += [] if has_certificate else ["guest"]
    if parts.password is not None:
        found.append(unquote(parts.password))
    return not DEVELOPMENT_PASSWORDS.isdisjoint(found)
