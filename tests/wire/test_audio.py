"""Audio on the wire: our chunks in bytes, and what is read of an upstream's."""

import base64
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.errors import UpstreamBadResponse
from parley.wire import audio
from parley.wire.audio import AudioChunks, Spoken
from parley.wire.chunks import Envelope


def delta_of(payload: bytes) -> dict[str, Any]:
    return dict(json.loads(payload)["choices"][0]["delta"])


@pytest.fixture
def envelope() -> Envelope:
    return Envelope("chatcmpl-1", 1_764_000_000, "m")


def test_words_carry_their_times_after_the_transcript(envelope: Envelope):
    payload = AudioChunks(envelope, joinable=False).spoken("Hello!", [("Hello", 0, 420), ("!", 420, 440)])

    assert payload.endswith(
        b'"transcript":"Hello!","words":[{"text":"Hello","start_ts":0,"end_ts":420,"duration":420},'
        b'{"text":"!","start_ts":420,"end_ts":440,"duration":20}]}},"logprobs":null,"finish_reason":null}]}'
    )


def test_the_first_chunk_of_an_answer_gives_the_role(envelope: Envelope):
    chunks = AudioChunks(envelope, joinable=False)

    first, second = delta_of(chunks.data(b"\0\1")), delta_of(chunks.spoken("Hello!"))

    assert first.pop("role") == "assistant" and "role" not in second
    assert base64.b64decode(first["audio"]["data"]) == b"\0\1"
    assert second["audio"] == {"id": first["audio"]["id"], "transcript": "Hello!"}


def test_after_words_of_ours_the_role_has_been_given(envelope: Envelope):
    envelope.text("One moment. ", first=True)

    assert "role" not in delta_of(AudioChunks(envelope, joinable=False).data(b"\0\0"))


def test_the_id_may_be_given_once(envelope: Envelope):
    chunks = AudioChunks(envelope, joinable=True)

    ids = [delta_of(chunks.data(b"\0\0"))["audio"].get("id") for _ in range(3)]

    assert ids[0].startswith("audio_") and ids[1:] == [None, None]


@pytest.mark.row("RE-05")
def test_joinable_words_bear_their_index_in_the_answer(envelope: Envelope):
    chunks = AudioChunks(envelope, joinable=True)

    told = [delta_of(chunks.spoken(text, [(text, 0, 9), (".", 9, 10)]))["audio"]["words"] for text in ("One", "Two")]

    assert [word["index"] for words in told for word in words] == [0, 1, 2, 3]
    body = json.loads(audio.completion(envelope, msgspec.Raw(b'""'), "Hi", [("Hi", 0, 1)], joinable=True))
    assert body["choices"][0]["message"]["audio"]["words"][0]["index"] == 0


@pytest.mark.row("RF-20")
@given(st.lists(st.binary(max_size=40)))
def test_the_base64_of_pieces_is_that_of_the_whole(pieces: list[bytes]):
    assert bytes(audio.encoded_in_steps(pieces, int)) == b'"' + base64.b64encode(b"".join(pieces)) + b'"'


@pytest.mark.row("RF-20")
def test_a_long_text_of_base64_is_decoded_in_steps():
    data = bytes(place % 251 for place in range(500_000))
    pauses: list[int] = []

    assert audio.decoded(base64.b64encode(data).decode(), lambda: pauses.append(1)) == data and len(pauses) == 4


def test_an_upstreams_id_is_carried_from_the_start_or_never(envelope: Envelope):
    early, late = AudioChunks(envelope, joinable=False), AudioChunks(envelope, joinable=False)
    early.adopt("audio_theirs")
    late.data(b"\0\0")
    late.adopt("audio_theirs")

    assert delta_of(early.data(b"\0\0"))["audio"]["id"] == "audio_theirs"
    assert delta_of(late.data(b"\0\0"))["audio"]["id"] != "audio_theirs"


def test_a_whole_answer_holds_it_all(envelope: Envelope):
    body = json.loads(audio.completion(envelope, msgspec.Raw(b'"UklGRg=="'), "Hello!", [("Hello", 0, 420)]))

    message = body["choices"][0]["message"]
    assert body["object"] == "chat.completion" and message["content"] is None
    assert base64.b64decode(message["audio"]["data"]) == b"RIFF"
    assert message["audio"]["words"] == [{"text": "Hello", "start_ts": 0, "end_ts": 420, "duration": 420}]


@pytest.mark.parametrize("size", [0, 1, audio.STEP_BYTES, 2 * audio.STEP_BYTES + 2])
def test_a_long_sound_is_the_same_in_steps(size: int):
    data = bytes(place % 251 for place in range(size))

    pauses: list[int] = []

    encoded = bytes(audio.encoded_in_steps([data], lambda: pauses.append(1)))

    assert encoded == b'"' + base64.b64encode(data) + b'"'
    assert len(pauses) == -(-size // audio.STEP_BYTES)


@pytest.mark.parametrize(
    ("delta", "spoken"),
    [
        ({"content": "Hello"}, None),
        ({"audio": None}, None),
        ({"audio": {"id": "a"}}, Spoken(id="a")),
        ({"audio": {"expires_at": 7}}, Spoken()),
        ({"audio": {"data": "AAE="}}, Spoken(b"\0\1")),
        ({"audio": {"data": None, "transcript": "Hi"}}, Spoken(b"", "Hi")),
        (
            {"audio": {"words": [{"text": "Hi", "start_ts": 1.4, "end_ts": 9}, 7, {"text": "no times"}]}},
            Spoken(b"", "", (("Hi", 1, 9),)),
        ),
    ],
)
def test_what_an_upstream_says_is_read(delta: dict[str, Any], spoken: Spoken | None):
    assert audio.spoken(delta) == spoken


@pytest.mark.parametrize("said", [{"data": "AA="}, {"data": "\u00e9"}, {"data": 7}, {"transcript": ["Hi"]}])
def test_sound_that_is_none_is_a_bad_answer(said: dict[str, Any]):
    with pytest.raises(UpstreamBadResponse):
        audio.spoken({"audio": said})
