"""Phrases for those who wait, as they leave and as a history bears them."""

import pytest

from parley.wire.phrases import ended, in_history, leaving, without_marks


@pytest.mark.parametrize(
    ("phrase", "plain", "elevenlabs", "vapi"),
    [
        ("One moment", "One moment. ", "One moment... ", "One moment. <flush /> "),
        ("One moment.", "One moment. ", "One moment... ", "One moment. <flush /> "),
        ("Hm...", "Hm... ", "Hm... ", "Hm... <flush /> "),
        ("Ready?", "Ready? ", "Ready?... ", "Ready? <flush /> "),
        ("请稍等", "请稍等。 ", "请稍等... ", "请稍等。 <flush /> "),
    ],
)
def test_each_platform_has_its_ending(phrase: str, plain: str, elevenlabs: str, vapi: str) -> None:
    assert (leaving(phrase), leaving(phrase, "elevenlabs"), leaving(phrase, "vapi")) == (plain, elevenlabs, vapi)
    assert leaving(phrase, "agora") == plain


def test_a_mark_stays_as_it_is() -> None:
    assert ended("Wait!") == "Wait!" and ended("<break/>") == "<break/>"


@pytest.mark.parametrize("platform", ["", "elevenlabs", "vapi", "agora"])
def test_what_left_begins_with_a_form_of_the_history(platform: str) -> None:
    forms = in_history(["One moment"], platform)
    assert forms[0] == leaving("One moment", platform).rstrip() and "One moment." in forms


@pytest.mark.parametrize("text", ["One moment. <flush /> Ten.", "One moment. Ten.<flush />", "One moment. Ten."])
def test_marks_that_no_voice_speaks_are_left_out(text: str) -> None:
    assert without_marks(text) == "One moment. Ten."
