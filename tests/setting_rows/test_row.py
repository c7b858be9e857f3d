"""One row of the settings table."""

import dataclasses

from parley import setting_types as types
from parley.setting_rows.row import row


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows of each kind of default."""

    count: int = row(types.integer(1, 9), "4", "A number.")
    headers: dict[str, str] = row(types.HEADERS, "{}", "Headers.", secret=True)
    name: str | None = row(types.TEXT, None, "A name.", aliases=("OTHER",), shown="none")


def test_a_default_is_read_as_in_the_environment() -> None:
    assert (Rows().count, Rows().headers, Rows().name) == (4, {}, None)


def test_two_objects_share_no_mapping() -> None:
    assert Rows().headers is not Rows().headers


def test_a_secret_is_not_in_the_repr() -> None:
    assert repr(Rows(headers={"x": "canary"})) == "Rows(count=4, name=None)"


def test_the_documentation_is_kept_beside_the_field() -> None:
    metadata = {field.name: field.metadata for field in dataclasses.fields(Rows)}

    assert (metadata["count"]["default"], metadata["count"]["meaning"]) == ("4", "A number.")
    assert (metadata["name"]["aliases"], metadata["name"]["shown"]) == (("OTHER",), "none")
