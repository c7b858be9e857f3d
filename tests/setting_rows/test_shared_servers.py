"""The addresses of servers that workers share: what is an address, and what is none."""

import pytest

from parley.setting_rows.shared_servers import DATABASE_URL, REDIS_URL
from parley.setting_types import SettingType


@pytest.mark.parametrize(
    ("kind", "url"), [(REDIS_URL, "redis://u:pw@cache:6379/0"), (DATABASE_URL, "postgresql://u:pw@cache:5432/kb")]
)
def test_an_address_shows_its_host_and_no_password(kind: SettingType, url: str) -> None:
    address = kind.parse(url)

    assert "cache" in address.shown and "pw" not in f"{address!r}{address.shown}"


@pytest.mark.parametrize(
    ("kind", "url"), [(REDIS_URL, "postgresql://h/kb"), (DATABASE_URL, "redis://h"), (DATABASE_URL, "h")]
)
def test_another_kind_of_server_is_refused(kind: SettingType, url: str) -> None:
    with pytest.raises(ValueError):
        kind.parse(url)
