"""The limits of a call, and of one in audio."""

import dataclasses

import pytest

from parley.settings import Settings
from parley.upstream.timeouts import MAX_AUDIO_SECONDS, SETTINGS, Timeouts

TEXT = Timeouts(connect=1, first_content=2, precommit=3, idle=4, total=60)


def test_timeouts_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        TEXT.idle = 5  # type: ignore[misc]


def test_an_answer_in_audio_may_take_ten_minutes() -> None:
    audio = TEXT.for_audio()

    assert audio == dataclasses.replace(TEXT, total=MAX_AUDIO_SECONDS) and MAX_AUDIO_SECONDS == 600


def test_a_longer_total_is_kept_for_audio() -> None:
    longer = dataclasses.replace(TEXT, total=900)

    assert longer.for_audio() == longer


@pytest.mark.row("RA-12")
def test_each_limit_has_the_name_of_its_setting() -> None:
    assert TEXT.reason("first_content") == "TTFT_TIMEOUT of 2 s was reached"
    assert SETTINGS.keys() == {field.name for field in dataclasses.fields(Timeouts)}
    assert {name.lower() for name in SETTINGS.values()} <= {field.name for field in dataclasses.fields(Settings)}
