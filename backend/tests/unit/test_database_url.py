"""What both drivers get of a URL; the URL itself is tested in the chassis."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from app.core import database
from app.core.database_settings import DatabaseSettings
from app.core.database_url import DatabaseUrl


@pytest.mark.parametrize(
    "scheme",
    [
        *("postgres", "postgresql", "pgsql", "POSTGRES", "PostgreSQL"),
        *("postgresql+psycopg2", "postgresql+asyncpg", "postgresql+psycopg"),
        *("postgres+asyncpg", "postgresql+pg8000", "postgresql+psycopg_async"),
    ],
)
def test_every_spelling_of_the_scheme(scheme: str) -> None:
    settings = DatabaseSettings.model_validate(
        {"database_url": f"{scheme}://u@h/d", "async_database_url": f"{scheme}://u@i/d"}
    )
    assert settings.sync_url == "postgresql+psycopg2://u@h/d"
    assert settings.async_url == "postgresql+asyncpg://u@i/d"


@pytest.mark.parametrize("encoded", ["p%40ss", "p%25w", "a%3Ab%2Fc%3Fd%23e", "%C3%A9"])
def test_both_drivers_get_the_decoded_password(encoded: str) -> None:
    url = DatabaseUrl(f"postgres://u:{encoded}@h/d")
    password = url.for_psycopg2()["password"]
    assert "%" not in password.replace("p%w", "")
    assert url.for_asyncpg()["password"] == url.password == password
    assert url.for_sqlalchemy("psycopg2").password == password


def test_words_of_libpq_reach_both_drivers() -> None:
    url = DatabaseUrl(
        "postgres://u@h/d?sslmode=require&application_name=shop&connect_timeout=7"
        "&options=-csearch_path%3Dx&keepalives_idle=30&channel_binding=prefer"
        "&gssencmode=disable&target_session_attrs=read-write"
    )
    assert (
        url.for_psycopg2().items()
        >= {
            "sslmode": "require",
            "connect_timeout": "7",
            "options": "-csearch_path=x",
            "keepalives_idle": "30",
        }.items()
    )
    assert url.for_asyncpg() == {
        "user": "u",
        "database": "d",
        "dsn": "postgresql://?sslmode=require",
        "timeout": 7,
        "server_settings": {"application_name": "shop", "options": "-csearch_path=x"},
    }
    assert [a["target_session_attrs"] for a in url.attempts()] == ["read-write"]


@pytest.mark.parametrize(
    "word",
    [
        *("channel_binding=disable", "channel_binding=prefer"),
        *("gssencmode=disable", "gssencmode=prefer"),
        *("load_balance_hosts=disable", "sslcertmode=allow"),
        *("client_encoding=utf8", "sslsni=0", "sslcompression=0"),
        *("keepalives=1", "keepalives_idle=9", "keepalives_interval=9"),
        *("keepalives_count=9", "tcp_user_timeout=9"),
    ],
)
def test_words_that_change_nothing_are_accepted_for_asyncpg(word: str) -> None:
    """Other programs have the same URL."""
    with_word = DatabaseUrl(f"postgres://u@h/d?{word}")
    assert with_word.for_asyncpg() == DatabaseUrl("postgres://u@h/d").for_asyncpg()


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("fallback_application_name=other", "other"),
        ("fallback_application_name=other&application_name=shop", "shop"),
    ],
)
def test_asyncpg_knows_a_name_for_programs_without_one(words: str, name: str) -> None:
    found = DatabaseUrl(f"postgres://u@h/d?{words}").for_asyncpg()
    assert found["server_settings"] == {"application_name": name}


def test_a_standby_is_looked_for_on_every_host_first() -> None:
    url = DatabaseUrl("postgres://a,b/d?target_session_attrs=prefer-standby")
    assert [(a["host"], a["target_session_attrs"]) for a in url.attempts()] == [
        *(("a", "standby"), ("b", "standby")),
        *(("a", "any"), ("b", "any")),
    ]


def test_asyncpg_gets_the_place_of_each_attempt() -> None:
    at = {"target_session_attrs": "any"}
    assert [*DatabaseUrl("postgres://a:1,b/d").attempts()] == [
        {"host": "a", "port": 1, **at},
        {"host": "b", "port": 5432, **at},
    ]
    assert [*DatabaseUrl("postgres:///d").attempts()] == [
        {"host": None, "port": 5432, **at}
    ]


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("postgres://u:p@a:1,b:2/d", "postgresql+asyncpg://u:p@a:1/d"),
        ("postgres://h/d", "postgresql+asyncpg://h/d"),
        ("postgres:///d", "postgresql+asyncpg:///d"),
        ("postgres:///d?host=/run/pg", "postgresql+asyncpg:///d?host=%2Frun%2Fpg"),
    ],
)
def test_sqlalchemy_names_the_database_by_its_first_host(url: str, named: str) -> None:
    found = DatabaseUrl(url).for_sqlalchemy("asyncpg")
    assert found.render_as_string(hide_password=False) == named


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense", "write it as postgresql://"),
        ("host=h dbname=d", "write it as postgresql://"),
        ("mysql://u:s3cret@h/d", "write it as postgresql://"),
        ("jdbc:postgresql://h/d", "write it as postgresql://"),
        ("postgres://u:s3cret@x@h/d", "percent-encode"),
        ("postgres://u:s3cret%zz@h/d", "percent-encode"),
        ("postgres://u:a/s3cret@h/d", "percent-encode"),
        ("postgres://h:0/d", "port"),
        ("postgres://h:99999/d", "port"),
        ("postgres://h:many/d", "port"),
        ("postgres://a,b,c/d?port=1,2", "port"),
        ("postgres://h/d?sslmode=on", "sslmode must be one of disable, allow"),
        ("postgres://h/d?channel_binding=yes", "channel_binding must be one of"),
        ("postgres://h/d?target_session_attrs=rw", "target_session_attrs must be"),
        ("postgres://h/d?connect_timeout=soon", "connect_timeout must be"),
        ("postgres://h/d?keepalives=on", "keepalives must be"),
        ("postgres://h/d?nothing=1", "nothing"),
        ("postgres://h/d?pgbouncer=true", "DB_TRANSACTION_POOLER=true"),
        ("postgres://h/d?statement_cache_size=0", "DB_TRANSACTION_POOLER=true"),
        ("postgres://h/d?schema=shop", "search_path"),
        ("postgres://h/d?channel_binding=require", "channel_binding=require"),
        ("postgres://h/d?gssencmode=require", "gssencmode=require"),
        ("postgres://h/d?load_balance_hosts=random", "load_balance_hosts=random"),
        ("postgres://h/d?hostaddr=10.0.0.1", "hostaddr"),
        ("postgres://h/d?require_auth=scram-sha-256", "require_auth"),
        ("postgres://h/d?sslmode=verify-full", "sslrootcert"),
        ("postgres://h/d?sslrootcert=system&sslmode=require", "verify-full"),
        ("postgres://h/d?sslrootcert=/none.crt", "/none.crt cannot be read"),
        ("postgres://h/d?sslcert=/none.crt", "sslcert and sslkey"),
        ("postgres://h/d?sslcert=/none.crt&sslkey=/none.key", "/none.crt"),
    ],
)
@pytest.mark.parametrize("variable", ["database_url", "async_database_url"])
def test_refused_by_name(
    url: str, words: str, variable: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ValueError) as refused:
        DatabaseSettings.model_validate({variable: url})
    message = str(refused.value)
    assert f"{variable.upper()}: " in message and words in message
    assert "s3cret" not in message


def test_psycopg2_may_use_what_asyncpg_lacks() -> None:
    url = "postgres://h/d?channel_binding=require&sslmode=require"
    other = {"async_database_url": "postgres://h/d?sslmode=require"}
    settings = DatabaseSettings.model_validate({"database_url": url, **other})
    assert settings.sync.for_psycopg2()["channel_binding"] == "require"


def test_a_primary_is_waited_for_where_there_are_several_hosts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    patience = []

    def watch(*_: object, **options: object) -> None:
        patience.append(options["patience"])

    monkeypatch.setattr(database, "_watch_connections", watch)
    for hosts in ("h", "h,i"):
        url = SecretStr(f"postgresql://u:p@{hosts}/d")
        settings = DatabaseSettings(database_url=url, db_timeout_seconds=8)
        database.create_sync_engine(settings)
        database.Database(settings)
    assert patience == [0, 0, 6, 6], "a quarter is left for the statement"
