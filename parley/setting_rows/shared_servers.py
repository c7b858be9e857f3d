"""The types of the settings that name servers which all workers share: Redis, and the database of the knowledge."""

from typing import Any

from parley.setting_types import SettingType


def parse_redis_url(value: str) -> Any:
    """Return the address of a Redis or Valkey, without time limits: Parley's own hold."""
    # Here, because most servers have none.
    from parley.shared import urls

    return urls.parse(value)


def parse_database_url(value: str) -> Any:
    """Return the address of a PostgreSQL database."""
    # Here, because most servers have none.
    from parley.knowledge.database import address

    return address.parse(value)


REDIS_URL = SettingType(
    parse_redis_url,
    "a URL such as rediss://USER:PASS@host:6379/0, redis+sentinel://host:26379/NAME or redis+cluster://host:6379; "
    "of parameters only ssl_ca_certs and ssl_cert_reqs (required or none), with TLS",
)
DATABASE_URL = SettingType(
    parse_database_url,
    "a URL such as postgresql://USER:PASS@host:5432/database?sslmode=verify-full; of parameters only those of TLS, "
    "target_session_attrs and load_balance_hosts",
)
