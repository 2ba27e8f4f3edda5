"""The secret with the databases of services that receive events."""

import subprocess
from pathlib import Path

import pytest

from tests.unit.kubernetes.manifests import ROOT

SCRIPT = """
set -euo pipefail
root=$1
. "$2/deploy/lib.sh"
. "$2/deploy/manifests.sh"
. "$2/deploy/secrets.sh"
random() { printf new; }
secret_value() {
    if [ "$1" = database-credentials ]; then printf %s "$URL"; else printf %s "$OLD"; fi
}
replace_secret() { printf '%s\\n' "$@"; }
make_service_databases
"""


def made(root: Path, url: str, old: str = "") -> list[str]:
    result = subprocess.run(
        ["bash", "-c", SCRIPT, "-", str(root), str(ROOT)],
        env={"PATH": "/usr/bin:/bin", "URL": url, "OLD": old},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def service(root: Path, name: str, *lines: str) -> None:
    folder = root / "services" / name
    folder.mkdir(parents=True)
    text = "\n".join([f"RABBITMQ_USER={name}", *lines])
    (folder / f"{name}-config.env").write_text(f"{text}\n")


EVENTS = "EVENTS_DATABASE_URL_FILE=/run/secrets/events-database-url"


@pytest.mark.parametrize("login", ["app:secret@", "app@", ""])
def test_each_service_has_a_role_of_its_own(tmp_path: Path, login: str) -> None:
    service(tmp_path, "plain")
    service(tmp_path, "price_list", EVENTS)
    url = f"postgresql+psycopg2://{login}pg-1,pg-2:5433/shop?sslmode=require"
    place = "pg-1,pg-2:5433/shop?sslmode=require"
    name, key, value = made(tmp_path, url)
    assert (name, key) == ("service-databases", "price_list")
    assert value == f"postgresql+psycopg2://price_list:new@{place}"
    # The next run keeps the password, and follows the database.
    old = "postgresql://price_list:kept@elsewhere/db"
    assert made(tmp_path, url, old)[2].endswith(f"//price_list:kept@{place}")


def test_without_such_a_service_there_is_no_secret(tmp_path: Path) -> None:
    service(tmp_path, "plain")
    assert made(tmp_path, "postgresql://app:secret@pg/shop") == []
