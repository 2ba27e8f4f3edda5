"""What each driver gets of a URL of PostgreSQL.

psycopg2 takes every word. asyncpg takes some; a word that it lacks is refused, unless
it changes nothing.
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

from sqlalchemy import URL

from chassis.database_url import CHOICES, NUMBERS, PostgresUrl

# asyncpg reads these in a URL only, and these as arguments.
ASYNCPG_TLS = {
    "sslmode",
    "sslcert",
    "sslkey",
    "sslrootcert",
    "sslcrl",
    "sslpassword",
    "sslnegotiation",
    "ssl_min_protocol_version",
    "ssl_max_protocol_version",
}
ASYNCPG_ARGUMENTS = {"user", "password", "passfile", "krbsrvname", "gsslib", "service"}
SERVER_SETTINGS = {"application_name", "options"}
# Read here, or details of sockets: the API checks idle connections itself.
NOT_FOR_ASYNCPG = {
    *{"host", "port", "dbname", "target_session_attrs", *NUMBERS},
    *{"client_encoding", "fallback_application_name", "sslsni", "sslcompression"},
}
# For asyncpg, these words have one meaning.
SAME_FOR_ASYNCPG = {
    "channel_binding": ("disable", "prefer"),
    "gssencmode": ("disable", "prefer"),
    "load_balance_hosts": ("disable",),
    "sslcertmode": ("allow",),
}
ADVICE = {
    "channel_binding": "write channel_binding=prefer; sslmode=verify-full makes sure "
    "of the server",
    "hostaddr": "write the address as the host",
    "schema": "write options=-csearch_path%3Dname",
    **dict.fromkeys(
        ("pgbouncer", "prepared_statement_cache_size", "statement_cache_size"),
        "remove it, and set DB_TRANSACTION_POOLER=true",
    ),
}


class DatabaseUrl(PostgresUrl):
    """A URL that is known to be valid, for both drivers."""

    ADVICE = ADVICE

    def for_sqlalchemy(self, driver: str) -> URL:
        """The name of the database for SQLAlchemy: of several hosts, the first."""
        name, port = self.hosts[0]
        return URL.create(
            f"postgresql+{driver}",
            self.words.get("user"),
            self.words.get("password"),
            None if name.startswith("/") else name or None,
            port if "port" in self.words else None,
            self.words.get("dbname"),
            {"host": name} if name.startswith("/") else {},
        )

    def for_asyncpg(self) -> dict[str, Any]:
        """The arguments of ``asyncpg.connect``, except the host.

        Raises:
            ValueError: asyncpg lacks a word.
        """
        found = self.words
        for word, value in found.items():
            if value not in SAME_FOR_ASYNCPG.get(word, ()) and word not in (
                ASYNCPG_TLS | ASYNCPG_ARGUMENTS | SERVER_SETTINGS | NOT_FOR_ASYNCPG
            ):
                shown = f"{word}={value}" if word in CHOICES else word
                raise ValueError(
                    f"asyncpg, the API's driver, cannot do {shown}: "
                    + ADVICE.get(word, "remove it, or set ASYNC_DATABASE_URL too")
                )
        arguments: dict[str, Any] = {n: found[n] for n in ASYNCPG_ARGUMENTS & {*found}}
        arguments["timeout"] = self.connect_timeout
        if "dbname" in found:
            arguments["database"] = found["dbname"]
        if tls := {word: found[word] for word in ASYNCPG_TLS & {*found}}:
            arguments["dsn"] = f"postgresql://?{urlencode(tls, quote_via=quote)}"
        settings = {word: found[word] for word in SERVER_SETTINGS & {*found}}
        if name := found.get("fallback_application_name"):
            settings.setdefault("application_name", name)
        if settings:
            arguments["server_settings"] = settings
        return arguments

    def attempts(self) -> Iterator[dict[str, Any]]:
        """The arguments of ``asyncpg.connect`` for one host after the other: its own
        time limit covers all hosts, so one that is silent would hide the next."""
        wanted = self.words.get("target_session_attrs", "any")
        prefers = wanted == "prefer-standby"
        for attributes in ("standby", "any") if prefers else (wanted,):
            for name, port in self.hosts:
                place = {"host": name or None, "port": port}
                yield {**place, "target_session_attrs": attributes}
