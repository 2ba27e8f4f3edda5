"""The settings of PostgreSQL."""

from pydantic import Field, SecretStr

from app.core.passwords import ROLE, with_driver
from chassis.environment import Group


class DatabaseSettings(Group):
    """PostgreSQL. Requests use the driver asyncpg, all else psycopg2."""

    database_url: SecretStr = Field(
        SecretStr(f"postgresql+psycopg2://{ROLE}:{ROLE}@postgres:5432/fastapi_db"),
        description="URL of the database, as SQLAlchemy writes it",
    )
    async_database_url: SecretStr | None = Field(
        None, description="The same for asyncpg; derived from DATABASE_URL if unset"
    )
    sql_echo: bool = Field(False, description="Log every statement")
    db_pool_size: int = Field(
        10, ge=1, description="Connections that each process keeps open"
    )
    db_max_overflow: int = Field(
        20,
        ge=0,
        description="Extra connections that a process may open for a short " "time",
    )
    db_timeout_seconds: float = Field(
        10, gt=0, description="Longest wait for a connection or a statement, in seconds"
    )
    db_read_timeout_seconds: float = Field(
        2, gt=0, description="Longest time to read a page of rows, in seconds"
    )

    @property
    def sync_url(self) -> str:
        """DATABASE_URL with its driver spelled out: SQLAlchemy 2.1 reads a bare
        ``postgresql://`` as psycopg 3."""
        return with_driver(self.database_url.get_secret_value(), "psycopg2")

    @property
    def async_url(self) -> str:
        """ASYNC_DATABASE_URL, or DATABASE_URL with asyncpg as the driver."""
        url = self.async_database_url or self.database_url
        return with_driver(url.get_secret_value(), "asyncpg")
