"""URLs of PostgreSQL, as providers and libraries write them."""

import ssl
from pathlib import Path

import pytest

from chassis.database_url import Host, PostgresUrl


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home without libpq's files."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("PGSSLROOTCERT", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("rest", "hosts"),
    [
        ("h/d", [("h", 5432)]),
        ("h:6432/d", [("h", 6432)]),
        ("h:1/d", [("h", 1)]),
        ("h:65535/d", [("h", 65535)]),
        ("/d", [("", 5432)]),
        ("[::1]/d", [("::1", 5432)]),
        ("[2001:db8::1]:5433/d", [("2001:db8::1", 5433)]),
        ("a,b/d", [("a", 5432), ("b", 5432)]),
        ("a:1,[::1]:2,c:3/d", [("a", 1), ("::1", 2), ("c", 3)]),
        ("/d?host=a:1&host=b:2", [("a", 1), ("b", 2)]),
        ("/d?host=a:1&host=b", [("a", 1), ("b", 5432)]),
        ("a,b:2/d", [("a", 5432), ("b", 2)]),
        ("/d?host=a,b&port=1,2", [("a", 1), ("b", 2)]),
        ("a,b/d?port=7", [("a", 7), ("b", 7)]),
        ("/d?host=a&port=1", [("a", 1)]),
        ("/d?host=[::1]:5433&host=b:1", [("::1", 5433), ("b", 1)]),
        ("/d?host=[::1]&host=b:1", [("::1", 5432), ("b", 1)]),
        ("/d?host=::1", [("::1", 5432)]),
        ("/d?host=/var/run/postgresql", [("/var/run/postgresql", 5432)]),
        ("/d?host=%2Frun%2Fpg&port=5433", [("/run/pg", 5433)]),
        ("%2Frun%2Fpg/d", [("/run/pg", 5432)]),
    ],
)
def test_hosts(rest: str, hosts: list[tuple[str, int]]) -> None:
    assert PostgresUrl(f"postgresql://{rest}").hosts == [Host(*h) for h in hosts]


@pytest.mark.parametrize("password", ["a?b=c&d", "a#b", "a:b", "a&b", "a=b+c"])
def test_characters_that_need_no_encoding(password: str) -> None:
    assert PostgresUrl(f"postgres://u:{password}@h/d?ssl=true").password == password


def test_the_login_is_what_the_url_has() -> None:
    both = PostgresUrl(" POSTGRES+any://u:p%40ss@h/d?application_name=a%3Db \n")
    assert both.login == {"user": "u", "password": "p@ss"}
    assert both.words["application_name"] == "a=b"
    assert PostgresUrl("pgsql://u@h/d").login == {"user": "u"}
    assert PostgresUrl("pgsql://h/d").login == {}
    assert PostgresUrl("pgsql://h/d").password is None


@pytest.mark.parametrize(
    ("query", "seconds"),
    [
        ("", 3),
        ("?connect_timeout=7", 7),
        ("?connect_timeout=1", 2),  # as libpq has it
        ("?connect_timeout=0", None),
        ("?connect_timeout=-1", None),
        ("?connect_timeout=", 3),
    ],
)
def test_how_long_a_host_has_to_answer(query: str, seconds: int | None) -> None:
    assert PostgresUrl(f"postgres://h/d{query}").connect_timeout == seconds


def test_psycopg2_notices_that_the_network_dropped_a_connection() -> None:
    defaults = PostgresUrl("postgres://h/d").for_psycopg2()
    assert defaults == {
        "host": "h",
        "dbname": "d",
        "connect_timeout": 3,
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "tcp_user_timeout": 60_000,
    }
    own = PostgresUrl("postgres://h/d?keepalives_idle=5").for_psycopg2()
    assert own["keepalives_idle"] == "5"


@pytest.mark.parametrize(
    ("query", "mode"),
    [("ssl=true", "require"), ("ssl=require", "require"), ("ssl=prefer", "prefer")],
)
def test_ssl_as_others_write_it(query: str, mode: str) -> None:
    words = PostgresUrl(f"postgres://h/d?{query}&&keepalives=1").words
    assert words == {"host": "h", "dbname": "d", "sslmode": mode, "keepalives": "1"}


URL = "write it as postgresql://user:password@host:5432/database"
ENCODE = f"it is not a valid URL; {URL}, and percent-encode special characters of user "
ENCODE += "and password, such as %40 for @ and %25 for %"
PORT = "a port must be a number from 1 to 65535; percent-encode special characters of "
PORT += "user and password, such as %2F for /"
AUTHORITY = "this sslmode needs sslrootcert: the file of the CA, or system for public "
AUTHORITY += "ones"
UNKNOWN = "PostgreSQL's drivers do not know nothing: remove it"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", URL),
        ("host=h dbname=d", URL),
        ("mysql://u:s3cret@h/d", URL),
        ("jdbc:postgresql://h/d", URL),
        ("postgres://u:s3cret@x@h/d", "percent-encode @ in user and password as %40"),
        ("postgres://u:s3cret%zz@h/d", ENCODE),
        ("postgres://u:a/s3cret@h/d", PORT),
        ("postgres://h:0/d", PORT),
        ("postgres://h:65536/d", PORT),
        ("postgres://h:many/d", PORT),
        ("postgres://a,b,c/d?port=1,2", "write one port, or one for each host"),
        (
            "postgres://h/d?sslmode=on",
            "sslmode must be one of disable, allow, prefer, require, verify-ca, "
            "verify-full",
        ),
        (
            "postgres://h/d?channel_binding=yes",
            "channel_binding must be one of disable, prefer, require",
        ),
        ("postgres://h/d?connect_timeout=5s", "connect_timeout must be a whole number"),
        ("postgres://h/d?keepalives=on", "keepalives must be a whole number"),
        ("postgres://h/d?nothing=1", UNKNOWN),
        ("postgres://h/d?sslmode=verify-full", AUTHORITY),
        ("postgres://h/d?sslmode=verify-ca", AUTHORITY),
        (
            "postgres://h/d?sslrootcert=system&sslmode=require",
            "sslrootcert=system needs sslmode=verify-full",
        ),
        (
            "postgres://h/d?sslrootcert=/none.crt",
            "sslrootcert: /none.crt cannot be read: No such file or directory",
        ),
        (
            "postgres://h/d?sslcrl=/none.crl",
            "sslcrl: /none.crl cannot be read: No such file or directory",
        ),
        ("postgres://h/d?sslcert=/none.crt", "sslcert and sslkey need each other"),
        ("postgres://h/d?sslkey=/none.key", "sslcert and sslkey need each other"),
        (
            "postgres://h/d?sslcert=/none.crt&sslkey=/none.key",
            "sslcert, sslkey: /none.crt, /none.key cannot be read: No such file or "
            "directory",
        ),
    ],
)
def test_what_cannot_work_is_refused_with_the_fix(url: str, message: str) -> None:
    with pytest.raises(ValueError) as refused:
        PostgresUrl(url)
    assert str(refused.value) == message
    assert refused.value.__cause__ is None  # libpq's message may quote the password


def test_each_word_that_drivers_do_not_know_may_have_its_advice() -> None:
    class Advised(PostgresUrl):
        ADVICE = {"nothing": "use something"}

    with pytest.raises(ValueError, match="do not know nothing: use something$"):
        Advised("postgres://h/d?nothing=1")


def test_a_damaged_certificate_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "ca.crt"
    file.write_text("no certificate")
    with pytest.raises(ValueError, match=f"{file} cannot be read: it is not in PEM"):
        PostgresUrl(f"postgres://h/d?sslmode=verify-ca&sslrootcert={file}")


def test_the_authorities_of_the_machine(
    monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    url = "postgres://h/d?sslrootcert=system"
    monkeypatch.setenv("SSL_CERT_FILE", str(home / "none.pem"))
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: Paths(None))
    with pytest.raises(ValueError) as refused:
        PostgresUrl(url)
    expected = "sslrootcert=system: this machine has no CA certificates"
    assert str(refused.value) == expected


class Paths:
    """What OpenSSL says about the machine."""

    def __init__(self, cafile: str | None) -> None:
        self.cafile = cafile


@pytest.mark.parametrize("place", ["home", "PGSSLROOTCERT"])
def test_an_authority_may_be_where_libpq_looks(
    place: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if place == "home":
        (home / ".postgresql").mkdir()
        (home / ".postgresql" / "root.crt").touch()
    else:
        monkeypatch.setenv(place, "/ca.crt")
    words = PostgresUrl("postgres://h/d?sslmode=verify-full").words
    assert words["sslmode"] == "verify-full"
