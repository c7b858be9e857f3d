"""Names near those of settings are found, and names of other programs are not."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from parley.environment.env_file import parse
from parley.environment.misspelled import CALLER_KEYS, OpenByMistake, ignored, is_slip, meant
from parley.settings import names

pytestmark = pytest.mark.row("RF-15")
OURS = names()
NAMES_OF_KEYS = """
    API_KEY APIKEY APIKEYS api_keys Api_Keys API-KEYS PARLEY_API_KEYS PARLEY_API_KEY parley_api_keys PARLEY_KEY
    PARLEY_KEYS PARLEY_TOKEN PARLEY_SECRET API_KEYS_FILE API_KEY_FILE API_KEY_1 API_KEYS_2 API_KESY API_KEYSS API_KEEYS
    API_KEYS_LIST API.KEYS ALLOWED_API_KEYS VALID_API_KEYS SERVER_API_KEYS CALLER_API_KEYS
"""
OTHERS = """
    PORT HOST HOSTNAME HOME PATH LANG LC_ALL TZ TERM USER SHELL PWD DYNO WEB_CONCURRENCY GUNICORN_CMD_ARGS
    HTTP_PROXY https_proxy NO_PROXY AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_REGION GOOGLE_API_KEY GEMINI_API_KEY
    GEMINI_API_KEYS ANTHROPIC_API_KEY AZURE_OPENAI_API_KEY OPENAI_ORG_ID OPENAI_API_BASE OPENAI_MODEL
    DEEPGRAM_API_KEY LIVEKIT_API_KEY LIVEKIT_API_SECRET STRIPE_API_KEY DD_API_KEY X_API_KEY HF_TOKEN GITHUB_TOKEN
    SECRET_KEY APP_KEY APP_KEYS AI_KEY AI_KEYS API_URL API_HOST API_TOKEN DB_DIR LOG_DIR DATABASE_URL REDIS_URL
    SENTRY_DSN KEYS MODEL PARLEY_PORT PARLEY_SERVICE_HOST PARLEY_PORT_8000_TCP_ADDR PARLEY_SERVICE_PORT_HTTP
    AGORA_APP_ID RENDER_SERVICE_ID FLY_APP_NAME PIP_TRUSTED_HOST
"""


@pytest.mark.parametrize("name", NAMES_OF_KEYS.split())
def test_names_that_look_like_the_doors_key_are_found(name: str) -> None:
    assert meant(name, OURS) == CALLER_KEYS


def test_full_width_letters_are_read_as_letters() -> None:
    """A Japanese keyboard types them; Python takes them for a name."""
    wide = "".join(chr(ord(mark) + 0xFEE0) if mark.isalpha() else mark for mark in "API_KEYS")
    assert meant(wide, OURS) == CALLER_KEYS


@pytest.mark.parametrize("name", OTHERS.split())
def test_names_of_other_programs_are_not_near(name: str) -> None:
    assert meant(name, OURS) is None


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("llm_model", "LLM_MODEL"),
        ("LLM_MODELL", "LLM_MODEL"),
        ("LLM_MDOEL", "LLM_MODEL"),
        ("PARLEY_LLM_MODEL", "LLM_MODEL"),
        ("LLM_URL", "LLM_BASE_URL"),
        ("LLM_BASE_URI", "LLM_BASE_URL"),
        ("OPENAI_KEY", "OPENAI_API_KEY"),
        ("LLM_API_KEY_FILE", "LLM_API_KEY"),
        ("PARLEY_LLM_API_KEY", "LLM_API_KEY"),
        ("WAITING_MESSAGE", "WAITING_MESSAGES"),
        ("RATELIMIT", "RATE_LIMIT"),
        ("RAG_TOPK", "RAG_TOP_K"),
        ("MAX_STREAM", "MAX_STREAMS"),
        ("CORS_ORIGIN", "CORS_ORIGINS"),
        ("FALLBACK_TXT", "FALLBACK_TEXT"),
        ("RAG_MIN_COSINE", "RAG_MIN_EVIDENCE"),
        ("HEDGE_AFTER_MS", "HEDGE_AFTER"),
        ("STREAM_TIMEOUT_SECONDS", "STREAM_TIMEOUT"),
        ("LLM_MODEL_NAME", "LLM_MODEL"),
    ],
)
def test_a_name_near_a_setting_names_it(name: str, setting: str) -> None:
    assert meant(name, OURS) == setting


def test_a_settings_own_name_means_nothing_else() -> None:
    assert {meant(name, OURS) for name in OURS} == {None}


def test_what_is_set_or_empty_is_passed_over() -> None:
    environ = {"API_KEYS": "x", "API_KEY": "y", "LLM_MODELL": "", "MAX_STREAM": "7", "KB_POLL": " "}
    file = parse("KB_POLL=3\nAPI_KEYS: z\nMAX_BODY: 1\nhello\n")

    assert ignored(environ, file, OURS) == [
        "MAX_STREAM is no setting; MAX_STREAMS?",
        "KB_POLL in .env has no effect: it is set, and empty, in the environment",
        ".env line 3 is not NAME=value; MAX_BODY=...?",
        ".env line 4 is not NAME=value",
    ]
    assert ignored(environ, None, OURS) == ["MAX_STREAM is no setting; MAX_STREAMS?"]


@pytest.mark.parametrize(("variable", "line"), [("API_KEY", ""), ("X", "API_KEYS: hunter2"), ("X", "api-key=hunter2")])
def test_a_door_left_open_by_mistake_is_refused(variable: str, line: str) -> None:
    for keys in ({}, {"API_KEYS": " "}):
        with pytest.raises(OpenByMistake, match=r"API_KEYS.*\? Without API_KEYS the server would be open") as raised:
            ignored({variable: "hunter2", **keys}, parse(line), OURS)
        assert "hunter2" not in str(raised.value)


@given(some.text("ABCD", min_size=7, max_size=12), some.data())
def test_each_single_slip_is_one(word: str, data: some.DataObject) -> None:
    at = data.draw(some.integers(0, len(word) - 1))
    assert is_slip(word + "S", word) and is_slip(word, word + "S")
    assert is_slip(f"{word[:at]}X{word[at:]}", word)
    swapped = word[:at] + word[at : at + 2][::-1] + word[at + 2 :]
    assert swapped == word or is_slip(swapped, word)
    assert is_slip(f"{word[:at]}X{word[at + 1 :]}", word) == (len(word) >= 8)
    assert not is_slip(f"XY{word}", word)
