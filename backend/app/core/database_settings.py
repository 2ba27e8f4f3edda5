"""The settings of PostgreSQL."""

from typing import Self

from pydantic import DirectoryPath, Field, SecretStr, field_validator, model_validator

from app.core.database_url import DatabaseUrl
from chassis.environment import Group
from chassis.passwords import ROLE


class DatabaseSettings(Group):
    """PostgreSQL. Requests use the driver asyncpg, all else psycopg2."""

    database_url: SecretStr = Field(
        SecretStr(f"postgresql+psycopg2://{ROLE}:{ROLE}@postgres:5432/fastapi_db"),
        description="URL of the database, with any option of libpq",
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
        description="Extra connections that a process may open for a short time",
    )
    db_timeout_seconds: float = Field(
        10, gt=0, description="Longest wait for a connection or a statement, in seconds"
    )
    db_read_timeout_seconds: float = Field(
        2, gt=0, description="Longest time to read a page of rows, in seconds"
    )

    db_transaction_pooler: bool = Field(
        False,
        description="The URLs lead to a pooler in transaction mode, such as PgBouncer",
    )

    @model_validator(mode="after")
    def refuse_invalid_urls(self) -> Self:
        """A fault that only a request would find is found at start."""
        faults = []
        for name in self.secrets():
            try:
                if (value := getattr(self, name)) is not None:
                    url = DatabaseUrl(value.get_secret_value())
                    if name == "async_database_url" or not self.async_database_url:
                        url.for_asyncpg()
            except ValueError as error:
                faults.append(f"{self.variable(name)}: {error}")
        if faults:
            raise ValueError("\n".join(faults))
        return self

    @property
    def sync(self) -> DatabaseUrl:
        """DATABASE_URL, for psycopg2."""
        return DatabaseUrl(self.database_url.get_secret_value())

    @property
    def asynchronous(self) -> DatabaseUrl:
        """ASYNC_DATABASE_URL, or DATABASE_URL, for asyncpg."""
        url = self.async_database_url or self.database_url
        return DatabaseUrl(url.get_secret_value())

    @property
    def sync_url(self) -> str:
        """SQLAlchemy's name of the database, with psycopg2 as the driver."""
        url = self.sync.for_sqlalchemy("psycopg2")
        return url.render_as_string(hide_password=False)

    @property
    def async_url(self) -> str:
        """The same with asyncpg."""
        url = self.asynchronous.for_sqlalchemy("asyncpg")
        return url.render_as_string(hide_password=False)


class MigrationSettings(Group):
    """Migrations."""

    migrations_database_url: SecretStr | None = Field(
        None,
        description="DATABASE_URL for the role that owns the tables; migrations then "
        "make the role of DATABASE_URL, which changes rows alone. DATABASE_URL if "
        "unset",
    )

    service_databases_folder: DirectoryPath | None = Field(
        None,
        description="A folder with a file for each service that receives events: its "
        "EVENTS_DATABASE_URL. Migrations make its role, and a schema with the file's "
        "name",
    )

    @field_validator("migrations_database_url")
    @classmethod
    def name_a_database(cls, url: SecretStr | None) -> SecretStr | None:
        """Refuse at the start what no driver could use."""
        if url:
            DatabaseUrl(url.get_secret_value())
        return url

    def of_owner(self, settings: DatabaseSettings) -> DatabaseSettings:
        """The settings with which migrations connect."""
        if self.migrations_database_url is None:
            return settings
        return settings.model_copy(
            update={"database_url": self.migrations_database_url}
        )

    def of_services(self, settings: DatabaseSettings) -> dict[str, DatabaseSettings]:
        """The settings with which services connect, by the names of their schemas."""
        folder = self.service_databases_folder
        # Kubernetes keeps files of its own in the folder, with dots.
        files = folder.glob("[!.]*") if folder else ()
        return {
            file.name: settings.model_copy(
                update={"database_url": SecretStr(file.read_text().strip())}
            )
            for file in sorted(files)
        }
