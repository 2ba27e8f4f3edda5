"""With which settings migrations connect."""

from pathlib import Path

from pydantic import SecretStr

from app.core.database_settings import DatabaseSettings, MigrationSettings

SETTINGS = DatabaseSettings(
    database_url=SecretStr("postgres://u@h/d"), db_timeout_seconds=7
)


def test_migrations_connect_as_the_owner_if_there_is_one() -> None:
    assert MigrationSettings().of_owner(SETTINGS) is SETTINGS
    owner = MigrationSettings(
        migrations_database_url=SecretStr("postgres://owner@h/d")
    ).of_owner(SETTINGS)
    assert owner.sync.login == {"user": "owner"}
    assert owner.db_timeout_seconds == 7


def test_each_file_of_the_folder_is_a_schema(tmp_path: Path) -> None:
    for name in ("stock", "billing", "..data"):
        (tmp_path / name).write_text(f"postgres://{name}@h/d\n")
    assert MigrationSettings().of_services(SETTINGS) == {}
    services = MigrationSettings(service_databases_folder=tmp_path)
    found = services.of_services(SETTINGS)
    assert list(found) == ["billing", "stock"]
    for name, settings in found.items():
        url = settings.database_url.get_secret_value()
        assert url == f"postgres://{name}@h/d"
        assert settings.db_timeout_seconds == 7
