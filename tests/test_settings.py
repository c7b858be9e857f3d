"""The settings table: what each kind accepts, what the operator is told, and that no secret shows."""

import dataclasses
import re
import subprocess
import sys
import traceback
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis.strategies import text

from parley.server.base_urls import cut_routes
from parley.setting_types import BadCharacter, StoreSetting, UpstreamSetting, parse_spoken
from parley.settings import Settings, SettingsError

ROOT = Path(__file__).parents[1]
SECRET = "hunter2"


def refusal(**environ: str) -> SettingsError:
    with pytest.raises(SettingsError) as raised:
        Settings.from_environ(environ)
    return raised.value


def run(code: str, cwd: Path) -> str:
    """Return the output of a fresh interpreter with an empty environment, in a folder without `.env`."""
    start = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
    done = subprocess.run([sys.executable, "-c", start + code], env={}, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("LLM_API_KEY", "sk-!~", "sk-!~"),
        ("LLM_BASE_URL", "http://localhost:8000/v1/", "http://localhost:8000/v1"),
        ("LLM_BASE_URL", "HTTPS://[::1]:65535", "HTTPS://[::1]:65535"),
        ("LLM_BASE_URL", " https://api.example.com/openai//  ", "https://api.example.com/openai"),
        ("LLM_BASE_URL", "http://host/v1/chat/completions/", "http://host/v1"),
        ("LLM_BASE_URL", '"http://host/v1/models"', "http://host/v1"),
        ("LLM_BASE_URL", "http://host/v1//Chat//Completions", "http://host/v1"),
        ("LLM_BASE_URL", "http://host/v1/chat/completions/chat/completions", "http://host/v1"),
        (
            "LLM_BASE_URL",
            "https://n.services.ai.azure.com/models/chat/completions?api-version=7",
            "https://n.services.ai.azure.com/models?api-version=7",
        ),
        ("LLM_BASE_URL", "https://n.services.ai.azure.com/models", "https://n.services.ai.azure.com/models"),
        (
            "LLM_BASE_URL",
            "https://n.openai.azure.com/openai/deployments/d/chat/completions?api-version=2024-10-21",
            "https://n.openai.azure.com/openai/deployments/d?api-version=2024-10-21",
        ),
        ("LLM_BASE_URL", "http://host/v1/?", "http://host/v1"),
        ("EMBEDDINGS_BASE_URL", "'http://host/v1/embeddings'", "http://host/v1"),
        ("TTS_BASE_URL", "http://host/v1/audio/speech", "http://host/v1"),
        ("LLM_API_KEY", '"sk-0123"', "sk-0123"),
        ("LLM_API_KEY", "“sk-0123”", "sk-0123"),
        ("API_KEYS", "'one,two'", ("one", "two")),
        ("API_KEYS", '"one", "two"', ("one", "two")),
        ("WAITING_MESSAGES", '"One moment."|"Let me see."', ("One moment.", "Let me see.")),
        ("FALLBACK_TEXT", "'Don't hang up.'", "Don't hang up."),
        ("RAG_TOP_K", '" 7 "', 7),
        ("LLM_HEADERS", '{"api-key": "k", "X-Title": "a b"}', {"api-key": "k", "x-title": "a b"}),
        ("LLM_HEADERS", '\'{"Authorization": "Basic eDp5"}\'', {"authorization": "Basic eDp5"}),
        ("LLM_PARAMS", '{"temperature": 0.2, "a": {"b": null}}', {"temperature": 0.2, "a": {"b": None}}),
        ("LLM_PARAMS", '"{\\"top_k\\": 3}"', {"top_k": 3}),
        ("WARM_MODEL", "on", True),
        ("LLM_MODEL", "org/model é 7", "org/model é 7"),
        ("LLM_FORWARD_FIELDS", " metadata, tenant ,,", frozenset({"metadata", "tenant"})),
        ("LLM_FORWARD_FIELDS", "*", frozenset({"*"})),
        ("API_KEYS", "one, two ,,", ("one", "two")),
        ("KB_DIR", "/data/my kb", Path("/data/my kb")),
        ("AUDIO_DIR", "sounds", Path("sounds")),
        ("WAITING", "always", 0),
        ("WAITING", "off", None),
        ("WAITING", "0", 0),
        ("WAITING", "60000", 60_000),
        ("WAITING_MESSAGES", "One moment. | Ein Moment – bitte!|", ("One moment.", "Ein Moment – bitte!")),
        ("RAG_TOP_K", "1", 1),
        ("RAG_TOP_K", "20", 20),
        ("FALLBACK_TEXT", "Sorry, try again.", "Sorry, try again."),
        ("AUDIO_SAMPLE_RATE", "48000", 48_000),
        ("AUDIO_LEAD_MS", "0", 0),
        ("CONNECT_TIMEOUT", "0.25", 0.25),
        ("CONNECT_TIMEOUT", "60", 60.0),
        ("STREAM_TIMEOUT", "3600.0", 3600.0),
        ("MAX_BODY", "1024", 1024),
        ("GRACEFUL_TIMEOUT", "3", 3),
        ("PRECOMMIT_TIMEOUT", "4", 4.0),
        ("HEARTBEAT", "0", 0.0),
        ("HEDGE_AFTER", "off", None),
        ("HEDGE_AFTER", "300", 300),
        (
            "LLM_FALLBACKS",
            '[{"base_url": "http://b/v1/models?key=k", "headers": {"Api-Key": "x"}, "params": {"n": 1}}]',
            (UpstreamSetting("http://b/v1?key=k", None, None, {"api-key": "x"}, {"n": 1}),),
        ),
        (
            "LLM_FALLBACKS",
            '[{"base_url": "http://b/v1/", "api_key": "k", "model": "m"}, {"base_url": "http://c"}]',
            (UpstreamSetting("http://b/v1", "k", "m"), UpstreamSetting("http://c", None, None)),
        ),
        ("MAX_STREAMS_PER_KEY", "2", 2),
        ("RATE_LIMIT", "60/minute", "60/minute"),
        ("CORS_ORIGINS", "https://a.example, http://localhost:3000", ("https://a.example", "http://localhost:3000")),
        ("CORS_ORIGINS", "*", ("*",)),
        ("CORS_ORIGINS", "HTTPS://App.Example.com:443, http://[::1]:80", ("https://app.example.com", "http://[::1]")),
        ("CORS_ORIGINS", "https://a:80, http://a:443", ("https://a:80", "http://a:443")),
        ("CORS_ORIGINS", "app://, app://., app://MyApp", ("app://", "app://.", "app://MyApp")),
        ("CORS_ORIGINS", "tauri://localhost,file://", ("tauri://localhost", "file://")),
        ("TRUSTED_HOSTS", "Voice.example.com, box:8000,", frozenset({"voice.example.com", "box:8000"})),
        ("TRUSTED_PROXIES", "1", 1),
        ("AUDIO_MODE", "Relay", "relay"),
        ("PLAYGROUND", "On", "on"),
        ("CAPTURE", "20", 20),
        ("MEMORY", "Full", "full"),
        ("MEMORY_TTL", "60", 60.0),
        ("MEMORY_STORE", "memory:", StoreSetting("memory")),
        ("MEMORY_STORE", "sqlite:/dev/shm/a b.db", StoreSetting("sqlite", Path("/dev/shm/a b.db"))),
        ("MEMORY_STORE", "sqlite:///dev/shm/a.db", StoreSetting("sqlite", Path("/dev/shm/a.db"))),
        ("MEMORY_STORE", "sqlite:sessions.db", StoreSetting("sqlite", Path("sessions.db"))),
        ("MEMORY_STORE", "redis:", StoreSetting("redis")),
        ("EMBEDDINGS_CACHE", "Redis", "redis"),
        ("EMBEDDINGS_CACHE", "./redis", Path("redis")),
        ("LOG_LEVEL", "DEBUG", "debug"),
        ("LOG_FORMAT", "json", "json"),
    ],
)
def test_a_good_value_is_read(name: str, text: str, value: Any) -> None:
    settings = Settings.from_environ({name: text})

    assert dataclasses.replace(settings, **{name.lower(): value}) == settings
    assert type(getattr(settings, name.lower())) is type(value)


KEY_FORM = "a key of printable ASCII characters without spaces"
KEYS_FORM = "keys of printable ASCII characters without spaces, separated by commas"
URL_FORM = "a base URL such as https://api.openai.com/v1"
WAITING_FORM = "always, off, or a number of milliseconds up to 60000"
BAD = [
    ("LLM_API_KEY", KEY_FORM, ["a b", "a\nb", "a\r\nx: y", "é", "a\x7f", "a\0"]),
    ("API_KEYS", KEYS_FORM, [",", " , ,", "a b", "good,b\nad", "good,é"]),
    ("WAITING_MESSAGES", "phrases separated by |, without control characters", ["|", " | ", "\u3000|\u00a0"]),
    ("WAITING", WAITING_FORM, ["never", "-1", "60001", "1.5", "1e3", "٣", "100ms"]),
    ("TOOL_WAITING", WAITING_FORM, ["never", "-1", "60001"]),
    ("TOOL_PASSES", "a whole number from 1 to 10", ["0", "11", "2.0"]),
    ("TOOL_TIMEOUT", "seconds above 0, at most 100", ["0", "101", "-1"]),
    ("TOOL_BUDGET", "seconds above 0, at most 300", ["0", "301", "1m"]),
    ("INTERRUPTIONS", "one of note, off", ["on", "notes"]),
    ("SPEECH_CLEANUP", "one of off, thoughts, speech", ["on", "all"]),
    ("RAG_TOP_K", "a whole number from 1 to 20", ["0", "21", "4.0", "+4", "0x4", "4_0", "four", "٤", "9" * 5000]),
    ("RAG_TIER", "one of auto, lexical", ["semantic", "off"]),
    ("RAG_FALLBACK", "one of off, quote", ["on", "quotes"]),
    ("RAG_REWRITE_MS", "off, or milliseconds up to 60000", ["0", "60001", "on"]),
    ("RAG_MIN_COVERAGE", "a number from 0 to 1 such as 0.25", ["-0.1", "1.1", "2", ".5", "nan", "0,5"]),
    ("RAG_MIN_EVIDENCE", "a number from 0 to 1 such as 0.25", ["1.01", "1e-1"]),
    ("EMBEDDINGS_BASE_URL", URL_FORM, ["api.example.com", "ftp://x", "http://a@b", "http://a?b=c"]),
    (
        "LLM_HEADERS",
        'a JSON object of texts such as {"api-key": "..."}, without Host, Content-Length and others that Parley writes',
        [
            "[]",
            "api-key: x",
            '{"api-key": 7}',
            '{"api-key": ""}',
            '{"api-key": "a\\r\\nx: y"}',
            '{"api-key": "é"}',
            '{"api key": "x"}',
            '{"": "x"}',
            '{"Host": "x"}',
            '{"content-length": "0"}',
            '{"Transfer-Encoding": "chunked"}',
            '{"a": "x", "A": "y"}',
            '{"a": "x", "a": "y"}',
        ],
    ),
    (
        "LLM_PARAMS",
        'a JSON object such as {"temperature": 0.2}, without `model`, `messages` and `stream`',
        [
            "[]",
            "temperature=0",
            '{"a": NaN}',
            '{"messages": []}',
            '{"model": "m"}',
            '{"stream": true}',
            '{"a": 1, "a": 2}',
        ],
    ),
    ("WARM_MODEL", "on or off", ["yes", "1", "true"]),
    ("EMBEDDINGS_API_KEY", KEY_FORM, ["a b"]),
    ("EMBEDDINGS_TIMEOUT", "seconds above 0, at most 10", ["0", "11", "400ms"]),
    ("AUDIO_SAMPLE_RATE", "a whole number from 8000 to 48000", ["7999", "48001", "16k"]),
    ("AUDIO_CHUNK_MS", "a whole number from 10 to 1000", ["9", "1001"]),
    ("AUDIO_LEAD_MS", "a whole number from 0 to 5000", ["-1", "5001"]),
    ("TTS_API_KEY", KEY_FORM, ["a b"]),
    ("TTS_BASE_URL", URL_FORM, ["tts.example.com"]),
    ("TTS_LANGUAGE", "a language such as en or de", ["english", "e", "1"]),
    ("MAX_STREAMS", "a whole number from 1 to 100000", ["0", "100001"]),
    ("MAX_BODY", "a whole number from 1024 to 1073741824", ["1023", "2 MiB"]),
    ("GRACEFUL_TIMEOUT", "a whole number from 3 to 3600", ["2", "3601", "25.5"]),
    ("CONNECT_TIMEOUT", "seconds above 0, at most 60", ["0", "0.0", "-1", "60.1", "inf", "nan", "1e1", "2s", ".5"]),
    ("TTFT_TIMEOUT", "seconds above 0, at most 300", ["301"]),
    ("PRECOMMIT_TIMEOUT", "seconds above 0, at most 300", ["301", "0"]),
    ("HEARTBEAT", "seconds above 0, at most 60, or 0 for none", ["-1", "61"]),
    ("HEDGE_AFTER", "off, or milliseconds up to 60000", ["0", "60001", "on"]),
    (
        "LLM_FALLBACKS",
        'a JSON list such as [{"base_url": "https://...", "api_key": "...", "model": "..."}]',
        [
            "{}",
            "[",
            '["http://b"]',
            "[{}]",
            '[{"base_url": "b"}]',
            '[{"base_url": "http://b", "api_key": "a b"}]',
            '[{"base_url": "http://b", "key": "x"}]',
            '[{"base_url": 7}]',
            '[{"base_url": "http://b", "headers": {"host": "x"}}]',
            '[{"base_url": "http://b", "params": {"stream": true}}]',
            '[{"base_url": "http://b", "base_url": "http://c"}]',
        ],
    ),
    ("RAG_TIMEOUT", "seconds above 0, at most 60", ["0", "61"]),
    (
        "DATABASE_URL",
        "a URL such as postgresql://USER:PASS@host:5432/database?sslmode=verify-full; of parameters only those of TLS, "
        "target_session_attrs and load_balance_hosts",
        ["host/db", "mysql://host/db", "postgresql://h:0/db", "postgresql://h/db?options=-c", "postgresql://h/a/b"],
    ),
    ("DATABASE_POOL", "a whole number from 1 to 20", ["0", "21"]),
    ("DATABASE_TIMEOUT", "seconds above 0, at most 60", ["0", "61", "fast"]),
    ("KB_RESIDENT", "a whole number from 1 to 100000000", ["0", "-1", "1.5", "100k", "100000001"]),
    ("KB_POLL", "seconds above 0, at most 3600, or 0 for none", ["-1", "3601"]),
    ("IDLE_TIMEOUT", "seconds above 0, at most 600", ["601"]),
    ("SPARE_CONNECTIONS", "a whole number from 0 to 1000", ["-1", "1001"]),
    ("STREAM_TIMEOUT", "seconds above 0, at most 3600", ["3601"]),
    ("MAX_STREAMS_PER_KEY", "a whole number from 1 to 100000", ["0"]),
    (
        "REDIS_URL",
        "a URL such as rediss://USER:PASS@host:6379/0, redis+sentinel://host:26379/NAME or "
        "redis+cluster://host:6379; of parameters only ssl_ca_certs and ssl_cert_reqs (required or none), with TLS",
        ["localhost:6379", "http://host", "redis://", "redis://host?socket_timeout=1", "redis://a,b", "redis://h:0"],
    ),
    (
        "REDIS_PREFIX",
        "up to 32 letters, digits, dots, hyphens and underscores",
        ["a b", "a:b", "{a}", "é", "p" * 33],
    ),
    ("REDIS_TIMEOUT", "a whole number from 5 to 1000", ["4", "1001", "0.05", "50ms"]),
    ("LIMITS_WITHOUT_REDIS", "one of share, open, refuse", ["local", "off"]),
    ("RATE_LIMIT", "a rate such as 60/minute or 5/second", ["60", "0/minute", "60 per minute", "60/minutes", "1/week"]),
    (
        "CORS_ORIGINS",
        "origins such as https://app.example.com or app://name separated by commas, or *",
        [
            *(",", "null", "a.example", "https://a.example/", "https://a.example/x", "https://*.example", "https://"),
            *("app:", "app:/a", "app://a/", "chrome-extension://*", "moz-extension://a/b.html", "://a", "a b://c"),
            *("https://[::1", "https://[x]", "javascript:alert(1)", "app://a?b", "app://a#b", "app://u@a", "app://ä"),
        ],
    ),
    (
        "TRUSTED_HOSTS",
        "host names such as voice.example.com separated by commas",
        ["*", "https://a.example", "a.example/x", "a b", "a:port", "a:123456", "[::1]"],
    ),
    ("TRUSTED_PROXIES", "a whole number from 0 to 10", ["-1", "11"]),
    ("MEMORY", "one of off, tools, full", ["on", "all"]),
    ("MEMORY_TTL", "seconds above 0, at most 86400", ["0", "86401", "30m"]),
    (
        "MEMORY_STORE",
        "memory: for each worker's own memory, sqlite: and the path of a file, or redis: for the Redis of REDIS_URL",
        [
            *("memory", "memory:x", "sqlite:", "sqlite:/", "sqlite:/tmp/", "sqlite::memory:", "/a.db", "s:\n"),
            *("redis", "redis://a", "redis:x", "rediss:", "Redis:"),
        ],
    ),
    (
        "EMBEDDINGS_CACHE",
        "a path, or redis for the Redis of REDIS_URL",
        ["redis:", "redis://127.0.0.1", "REDISS://a", "valkey+cluster://a", "memory:", "sqlite:/a.db"],
    ),
    ("AUDIO_MODE", "one of assets, speech, relay", ["tts", "assets speech"]),
    ("PLAYGROUND", "one of auto, on, off", ["yes", "1", "true"]),
    ("CAPTURE", "a whole number from 0 to 200", ["-1", "201", "on", "1.5"]),
    ("LOG_LEVEL", "one of debug, info, warning, error", ["verbose", "debug info", "10"]),
    ("LOG_FORMAT", "one of text, json", ["xml"]),
    (
        "LLM_BASE_URL",
        URL_FORM,
        [
            "api.openai.com/v1",
            "ftp://example.com",
            "https://",
            "https:///v1",
            "http://[::1",
            "http://host:port/v1",
            "http://host:65536",
            "http://ho st/v1",
            "http://höst/v1",
            "http://user:pw@host/v1",
            "http://user@host/v1",
            "http://host/v1#x",
            "http://host/v1?a#x",
            "http://host/\nv1",
        ],
    ),
]


SPOKEN = ["WAITING_MESSAGES", "FALLBACK_TEXT"]
NAMED = ["LLM_MODEL", "EMBEDDINGS_MODEL", "TTS_MODEL", "TTS_VOICE"]
BAD_CHARACTERS = [
    *[
        (SPOKEN, text, told)
        for text, told in [
            ("One moment, \x1b[31mplease.", "U+001B at 12"),
            ("a\0", "U+0000 at 1"),
            ("\x7f", "U+007F at 0"),
            ("a\x1fb", "U+001F at 1"),
            ("Un instant\x9b!", "U+009B at 10"),
            ("first|second \x08", "U+0008 at 13"),
            ("caf\udce9", "U+DCE9 at 3"),
        ]
    ],
    *[
        (NAMED, text, told)
        for text, told in [
            ("a\nb", "U+000A at 1"),
            ("a\0", "U+0000 at 1"),
            ("\x1b[31m", "U+001B at 0"),
            ("a\u2028b", "U+2028 at 1"),
        ]
    ],
]


@pytest.mark.row("RE-04")
@pytest.mark.parametrize(("names", "text", "told"), BAD_CHARACTERS, ids=repr)
def test_a_bad_character_is_named_with_its_position(names: list[str], text: str, told: str) -> None:
    for name in names:
        assert re.fullmatch(rf"{name}: expected [^;]*; it has {re.escape(told)}", str(refusal(**{name: text})))


ORDINARY = [
    ("Un instant\u00a0!", "Un instant !"),
    ("Un instant\u202f!", "Un instant !"),
    ("\u0644\u0637\u0641\u0627 \u0646\u0645\u06cc\u200c\u062f\u0627\u0646\u0645", None),
    ("\u0915\u094d\u200d\u0937 \U0001f469\u200d\U0001f4bb", None),
    ("\u5c11\u3005\u3000\u304a\u5f85\u3061\u304f\u3060\u3055\u3044\u3002", None),
    ("\u05e8\u05d2\u05e2\u200f.", None),
    ("One\tmoment\r\n\r\nplease.\n", "One moment please."),
    ("a\u2028b\u2029c\x85d\x0be\x0cf", "a b c d e f"),
    ("Z\u200bero \ufeffwidth \u00ad \U000e0067", None),
]


@pytest.mark.row("RE-04")
@pytest.mark.parametrize(("text", "said"), ORDINARY, ids=ascii)
def test_spoken_texts_of_any_language_are_taken(text: str, said: str | None) -> None:
    said = text.replace("\u3000", " ") if said is None else said

    assert Settings.from_environ({"FALLBACK_TEXT": text}).fallback_text == said
    assert Settings.from_environ({"WAITING_MESSAGES": f"{text}|Wait.\u00a0"}).waiting_messages == (said, "Wait.")


@pytest.mark.row("RE-04")
@given(text())
def test_a_spoken_text_is_taken_unless_it_has_a_control(written: str) -> None:
    kept = re.sub(r"[^\S\x1c-\x1f]+", " ", written)
    refused = [mark for mark in kept if unicodedata.category(mark) in ("Cc", "Cs")]
    try:
        assert parse_spoken(written) == kept.strip() and not refused
    except BadCharacter as fault:
        assert refused and f"U+{ord(refused[0]):04X} at {written.index(refused[0])}" == str(fault)


@pytest.mark.parametrize(
    ("name", "form", "text"), [(name, form, text) for name, form, texts in BAD for text in texts], ids=repr
)
def test_a_bad_value_is_told_by_variable_and_accepted_form(name: str, form: str, text: str) -> None:
    assert str(refusal(**{name: text})) == f"{name}: expected {form}"


def test_a_base_url_with_a_password_alone_is_refused() -> None:
    refusal(LLM_BASE_URL=f"http://:{SECRET}@host/v1")


def test_every_row_that_can_refuse_a_value_has_its_bad_ones_here() -> None:
    takes_anything = {"kb_dir", "audio_dir", "agents_dir", "tools_dir", "llm_forward_fields"}

    told = {name.lower() for name, _, _ in BAD} | {name.lower() for name in SPOKEN + NAMED}
    assert told | takes_anything == {row.name for row in dataclasses.fields(Settings)}


@pytest.mark.parametrize("name", ["LLM_API_KEY", "OPENAI_API_KEY", "YOUR_LLM_API_KEY", "API_KEYS"])
@pytest.mark.parametrize("text", [f"{SECRET} {SECRET}", f"é{SECRET}", f"a\n{SECRET}"])
def test_a_refused_secret_is_shown_nowhere(name: str, text: str) -> None:
    error = refusal(**{name: text})

    assert SECRET not in "".join(traceback.format_exception(error))
    assert str(error).startswith(f"{name}: expected ")


def test_a_secret_does_not_show_in_the_repr() -> None:
    settings = Settings.from_environ({"LLM_API_KEY": SECRET, "API_KEYS": f"a,{SECRET}", "LLM_MODEL": "m"})

    assert settings.llm_api_key == SECRET
    assert SECRET not in repr(settings)
    assert "llm_model='m'" in repr(settings)


@pytest.mark.parametrize(
    ("environ", "key"),
    [
        ({"OPENAI_API_KEY": "b"}, "b"),
        ({"YOUR_LLM_API_KEY": "c"}, "c"),
        ({"YOUR_LLM_API_KEY": "c", "OPENAI_API_KEY": "b"}, "b"),
        ({"OPENAI_API_KEY": "b", "LLM_API_KEY": "a", "YOUR_LLM_API_KEY": "c"}, "a"),
        ({"LLM_API_KEY": "", "OPENAI_API_KEY": "  ", "YOUR_LLM_API_KEY": "c"}, "c"),
        ({"LLM_API_KEY": "a", "OPENAI_API_KEY": "b b"}, "a"),
    ],
)
def test_the_first_name_that_is_set_counts(environ: dict[str, str], key: str) -> None:
    assert Settings.from_environ(environ).llm_api_key == key


def test_the_base_url_goes_by_openais_name_too() -> None:
    assert Settings.from_environ({"OPENAI_BASE_URL": "http://a"}).llm_base_url == "http://a"
    assert Settings.from_environ({"OPENAI_BASE_URL": "http://a", "LLM_BASE_URL": "http://b"}).llm_base_url == "http://b"


def test_a_bad_value_is_told_by_the_name_that_was_used() -> None:
    assert str(refusal(OPENAI_BASE_URL="x")) == f"OPENAI_BASE_URL: expected {URL_FORM}"


def test_an_empty_value_counts_as_unset() -> None:
    names = [row.name.upper() for row in dataclasses.fields(Settings)]

    assert Settings.from_environ(dict.fromkeys(names, "")) == Settings()
    assert Settings.from_environ(dict.fromkeys(names, " \t")) == Settings()


def test_the_defaults_are_the_promised_ones() -> None:
    settings = Settings()

    assert (settings.llm_api_key, settings.llm_base_url, settings.llm_model) == (None, None, "gpt-4o-mini")
    assert (settings.api_keys, settings.llm_forward_fields) == (None, frozenset())
    assert (settings.kb_dir, settings.audio_dir) == (Path("kb_data"), Path("audio_assets"))
    assert (settings.waiting, settings.waiting_messages, settings.fallback_text) == (0, None, None)
    assert (settings.audio_sample_rate, settings.audio_chunk_ms, settings.audio_lead_ms) == (16000, 40, 200)
    assert (settings.connect_timeout, settings.ttft_timeout, settings.idle_timeout) == (2, 6, 15)
    assert (settings.stream_timeout, settings.graceful_timeout, settings.rag_top_k) == (300, 25, 4)
    assert (settings.max_streams, settings.max_body) == (1000, 2 << 20)
    assert (settings.log_level, settings.log_format) == ("info", None)


@pytest.mark.parametrize("named", ["MEMORY_STORE=redis:", "EMBEDDINGS_CACHE=redis"])
def test_what_is_kept_in_redis_needs_its_url(named: str) -> None:
    variable, _, value = named.partition("=")

    fault = Settings.from_environ({variable: value}).redis_fault
    assert fault.startswith(f"{named} needs REDIS_URL") and "\n" not in fault
    assert Settings.from_environ({variable: value, "REDIS_URL": "redis://127.0.0.1"}).redis_fault == ""
    assert Settings.from_environ({}).redis_fault == ""


def test_values_of_headers_and_queries_are_secrets() -> None:
    settings = Settings.from_environ(
        {
            "LLM_BASE_URL": f"http://a?key={SECRET}&api-version=2024-10-21",
            "LLM_HEADERS": '{"authorization": "Bearer of-a-header"}',
            "LLM_FALLBACKS": '[{"base_url": "http://b?code=of-a-query", "headers": {"api-key": "of-a-fallback"}}]',
        }
    )
    for secret in (SECRET, "of-a-header", "of-a-query", "of-a-fallback"):
        assert secret in settings.secrets and secret not in repr(settings)
    assert "2024-10-21" not in settings.secrets


@pytest.mark.parametrize(
    ("environ", "authenticates"),
    [
        ({}, False),
        ({"LLM_API_KEY": "k"}, True),
        ({"LLM_HEADERS": '{"X-Title": "Shop", "HTTP-Referer": "https://a"}'}, False),
        ({"LLM_HEADERS": '{"Api-Key": "k"}'}, True),
        ({"LLM_HEADERS": '{"cf-aig-authorization": "k"}'}, True),
        ({"LLM_BASE_URL": "http://a?key=k"}, True),
        ({"LLM_BASE_URL": "http://a?api-version=7"}, False),
    ],
    ids=str,
)
def test_a_key_in_any_place_authenticates(environ: dict[str, str], authenticates: bool) -> None:
    assert Settings.from_environ(environ).authenticates == authenticates


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({}, None),
        ({"LLM_API_KEY": "k"}, "https://api.openai.com/v1"),
        ({"LLM_HEADERS": '{"authorization": "Bearer k"}'}, "https://api.openai.com/v1"),
        ({"LLM_HEADERS": '{"x-title": "Shop"}'}, None),
        ({"LLM_BASE_URL": "http://a/v1"}, "http://a/v1"),
    ],
    ids=str,
)
def test_a_key_without_a_url_is_for_openai(environ: dict[str, str], url: str | None) -> None:
    assert Settings.from_environ(environ).model_url == url


def test_routes_that_were_cut_are_told_by_variable() -> None:
    environ = {
        "OPENAI_BASE_URL": "'http://a/v1/chat/completions/'",
        "EMBEDDINGS_BASE_URL": "http://a/v1",
        "LLM_FALLBACKS": '[{"base_url": "http://b/models?key=k"}, {"base_url": "http://c/v1"}]',
    }
    assert cut_routes(environ) == [("OPENAI_BASE_URL", "/chat/completions"), ("LLM_FALLBACKS", "/models")]


def test_variables_of_others_are_passed_over() -> None:
    assert Settings.from_environ({"PATH": "/bin", "llm_model": "x", "SETTINGS": "x", "PORT": "y"}) == Settings()


@pytest.mark.slow
def test_importing_the_settings_loads_nothing_heavy(tmp_path: Path) -> None:
    heavy = ["ssl", "numpy", "openai", "flask", "gevent", "urllib3", "msgspec", "dotenv", "asyncio"]

    loaded = run(f"import parley.settings\nprint([name for name in {heavy} if name in sys.modules])", tmp_path)

    assert loaded == "[]\n"


@pytest.mark.slow
def test_the_app_imports_with_an_empty_environment(tmp_path: Path) -> None:
    code = "import app\nprint(type(app.app).__name__, app.app.extensions['parley'].settings.llm_model)"

    assert run(code, tmp_path) == "Flask gpt-4o-mini\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_set_variable_wins_over_the_env_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("LLM_MODEL=from-file\nRAG_TOP_K=7\nWAITING=off\n")
    code = (
        "import os; os.environ.update(LLM_MODEL='from-environment', WAITING='')\n"
        "from parley.settings import load\n"
        "print(load().llm_model, load().rag_top_k, load().waiting, load() is load())"
    )

    assert run(code, tmp_path) == "from-environment 7 0 True\n"
