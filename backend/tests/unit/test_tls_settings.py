"""The API's certificate: what cannot work stops the start, and says why."""

import pytest
from pydantic import ValidationError

from app.core.tls_settings import ApiTlsSettings
from local import certificates
from local.tls import Tls


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    tls = Tls(tmp_path_factory.mktemp("tls"))
    certificates.ensure(tls.folder, lambda _: None)
    return tls


def test_it_is_off_by_default() -> None:
    settings = ApiTlsSettings()
    assert (settings.cert_file, settings.key_file) == (None, None)


def test_a_pair_is_taken(tls: Tls) -> None:
    certificate, key = map(str, tls.certificate("api"))
    assert ApiTlsSettings(cert_file=certificate, key_file=key).key_file == key


@pytest.mark.parametrize(
    ("certificate", "key", "said"),
    [
        ("api.crt", None, "need each other"),
        (None, "api.key", "need each other"),
        ("nowhere.crt", "api.key", "nowhere.crt cannot be read: No such file"),
        ("api.crt", "nginx.key", "or not its key: KEY_VALUES_MISMATCH"),
        ("api.key", "api.key", "not a certificate"),
    ],
)
def test_what_cannot_work_is_refused(
    tls: Tls, certificate: str | None, key: str | None, said: str
) -> None:
    files = [str(tls.folder / file) if file else None for file in (certificate, key)]
    with pytest.raises(ValidationError, match=said):
        ApiTlsSettings(cert_file=files[0], key_file=files[1])
