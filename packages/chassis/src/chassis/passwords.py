"""Well-known passwords, and URLs that contain passwords."""

from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import SecretStr

# The database user in development, and its password.
ROLE = "fastapi"
DEVELOPMENT_PASSWORDS = {"guest", "welcome1", ROLE, "postgres", "password", ""}


def is_known_secret(secret: SecretStr) -> bool:
    """Whether the documentation prints this password, or the one in this URL."""
    text = secret.get_secret_value()
    return _has_known_password(text) if "://" in text else text in DEVELOPMENT_PASSWORDS


def _has_known_password(url: str) -> bool:
    """False for a URL without a password: it may come from elsewhere, such as pgpass.
    For RabbitMQ such a URL means guest/guest."""
    parts = urlsplit(url)
    query = parse_qs(parts.query, keep_blank_values=True)
    found = query.get("password", [])
    has_certificate = query.get("auth_mechanism") == ["external"]
    if parts.scheme.startswith("amqp") and "@" not in parts.netloc:
        found += [] if has_certificate else ["guest"]
    if parts.password is not None:
        found.append(unquote(parts.password))
    return not DEVELOPMENT_PASSWORDS.isdisjoint(found)
