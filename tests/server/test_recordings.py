"""What lies in the folder of recordings, good and bad: what of it is heard, and how it leaves.

Each row runs on the real server; the engine that listens is tests/support/engine.py, the files are made by
tests/support/wav_files.py.
"""

import asyncio
import base64
import contextlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import soundfile
import wav_files
from engine import Engine, Heard
from fake_upstream import FakeUpstream
from running_server import RunningServer, held_by, payloads
from waiting import wait_until
from wav_files import A_LAW, FLOAT, MU_LAW, PCM, chunk, head, riff, tone

from parley.speech import placeholder

pytestmark = pytest.mark.server
Servers = Callable[..., RunningServer]

RATE = 16_000
DATA = chunk(b"data", wav_files.ENCODERS[PCM, 16](tone(RATE)))
ODD = wav_files.ENCODERS[PCM, 16](tone(RATE)) + b"\7"
HEAD = head(PCM, 1, RATE, 16)
SECONDS = 0.4

PCM_FILES = {
    f"pcm{bits}-{rate}-{channels}": wav_files.wav(tone(rate), rate, PCM, bits, channels)
    for bits in (8, 16, 24, 32)
    for rate, channels in ((8000, 1), (22050, 2), (44100, 1), (48000, 6))
}
OTHER_FILES = {
    "float32": wav_files.wav(tone(44100), 44100, FLOAT, 32, 2),
    "float64": wav_files.wav(tone(48000), 48000, FLOAT, 64),
    "mu-law": wav_files.wav(tone(8000), 8000, MU_LAW, 8),
    "a-law": wav_files.wav(tone(8000), 8000, A_LAW, 8),
    "extensible24": wav_files.wav(tone(48000), 48000, PCM, 24, 2, extensible=True),
    "extensible-float": wav_files.wav(tone(RATE), RATE, FLOAT, 32, 1, extensible=True),
}
LYING_FILES = {
    "truncated": riff(HEAD, DATA)[:-6401],
    "size-0": riff(HEAD, b"data" + bytes(4) + DATA[8:]),
    "size-max": riff(HEAD, b"data" + b"\xff" * 4 + DATA[8:]),
    "size-larger": riff(HEAD, b"data" + (10**6).to_bytes(4, "little") + DATA[8:]),
    "odd": riff(HEAD, b"data" + len(ODD).to_bytes(4, "little") + ODD),
    "list-first": riff(chunk(b"LIST", b"INFOodd"), HEAD, chunk(b"fact", bytes(4)), DATA, chunk(b"LIST", b"after")),
}
WRITERS_FILES = {
    "no-pad-byte": riff(b"LIST" + (5).to_bytes(4, "little") + b"INFOa", HEAD, DATA),
    "24-in-4": riff(
        head(PCM, 1, RATE, 24, block=4),
        chunk(b"data", (np.rint(tone(RATE) * 0x7FFFFF).astype("<i4") << 8).tobytes()),
    ),
    "id3-in-front": b"ID3\4\0\0\0\0\2\0" + bytes(256) + riff(HEAD, DATA),
}
COMPRESSED_FILES = {
    "flac.flac": ("FLAC", "PCM_16"),
    "vorbis.ogg": ("OGG", "VORBIS"),
    "opus.opus": ("OGG", "OPUS"),
    "mpeg.mp3": ("MP3", "MPEG_LAYER_III"),
    "renamed.wav": ("MP3", "MPEG_LAYER_III"),
}
NO_SOUND = {
    "rifx": (b"RIFX" + riff(HEAD, DATA)[4:], "RIFX"),
    "mp3": (b"ID3\4" + bytes(400), "MP3"),
    "mp3-frames": (b"\xff\xfb\x90\x64" + bytes(400), "MP3"),
    "zero-length": (b"", "0 bytes"),
    "riff-only": (b"RIFF", "4 bytes"),
    "no-data": (riff(HEAD), "no data chunk"),
    "text": (b"This is a text file, renamed by somebody in a hurry.", "not a sound file: begins with b'This'"),
    "rate-0": (riff(head(PCM, 1, 0, 16), DATA), "0 Hz"),
    "channels-0": (riff(head(PCM, 0, RATE, 16), DATA), "0 channels"),
    "adpcm": (riff(head(2, 1, RATE, 4, block=256), DATA), "WAV data that can't be decoded"),
    "eleven-minutes": (riff(head(PCM, 1, 1000, 8), chunk(b"data", bytes(660_000))), "660 s of sound are more"),
}


def add(folder: Path, name: str, sound: bytes, words: str | bytes | None = None) -> None:
    (folder / f"{name}.wav").write_bytes(sound)
    text = f"The words of {name}." if words is None else words
    (folder / f"{name}.txt").write_bytes(text.encode() if isinstance(text, str) else text)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder with all of them."""
    folder = tmp_path_factory.mktemp("recordings")
    for name, sound in {**PCM_FILES, **OTHER_FILES, **LYING_FILES}.items():
        add(folder, name, sound)
    for name, sound in WRITERS_FILES.items():
        add(folder, name, sound)
    for file, (container, subtype) in COMPRESSED_FILES.items():
        soundfile.write(folder / file, tone(RATE), RATE, format=container, subtype=subtype)
        (folder / file).with_suffix(".txt").write_text(f"The words of {file}.")
    for name, (sound, _) in NO_SOUND.items():
        add(folder, name, sound)
    add(folder, "plain", riff(HEAD, DATA))
    add(folder, "long", riff(HEAD, chunk(b"data", DATA[8:] * 10)))
    add(folder, "no-words", riff(HEAD, DATA), b" \n")
    add(folder, "latin", riff(HEAD, DATA), b"Caf\xe9")
    (folder / "text-missing.wav").write_bytes(riff(HEAD, DATA))
    (folder / "sound-missing.txt").write_text("Nobody has recorded this.")
    secret = tmp_path_factory.mktemp("elsewhere")
    add(secret, "secret", riff(HEAD, DATA), "A secret.")
    for suffix in (".wav", ".txt"):
        (folder / f"linked{suffix}").symlink_to(secret / f"secret{suffix}")
    return folder


@pytest.fixture
def server(first: FakeUpstream, quick_servers: Servers, folder: Path) -> RunningServer:
    """A server with these recordings, which sends them at once."""
    return quick_servers(AUDIO_DIR=str(folder), AUDIO_LEAD_MS="5000")


@pytest.fixture
def paced(first: FakeUpstream, quick_servers: Servers, folder: Path) -> RunningServer:
    """The same at the pace of speech."""
    return quick_servers(AUDIO_DIR=str(folder))


def play(server: RunningServer, asset: str | None = None, **params: Any) -> Heard:
    heard = asyncio.run(Engine(server.url).ask("Hello?", **params, **({"asset": asset} if asset else {})))
    assert (heard.status, heard.is_done, heard.finish_reason) == (200, True, "stop"), heard.body
    return heard


def is_the_tone(pcm: bytes, seconds: float = SECONDS) -> None:
    """It is the tone of the files, and nothing beside it: 1 kHz at half scale, so long."""
    samples = np.frombuffer(pcm, "<i2").astype(float) / 32768
    assert abs(len(samples) / RATE - seconds) < 0.002
    middle = samples[len(samples) // 8 : -len(samples) // 8]
    power = np.abs(np.fft.rfft(middle * np.blackman(len(middle)))) ** 2
    near = np.abs(np.fft.rfftfreq(len(middle), 1 / RATE) - 1000) < 40
    assert 10 * np.log10(power[~near].sum() / power[near].sum()) < -30
    assert np.sqrt(2 * np.mean(middle**2)) == pytest.approx(0.5, rel=0.02)


def is_simulated(heard: Heard, transcript: str) -> None:
    """It is a valid stream of the stand-in's tones, with these words."""
    assert heard.transcript == transcript
    assert bytes(heard.pcm) == placeholder.utterance(transcript, RATE).pcm


def warnings_about(server: RunningServer, file: str) -> list[str]:
    return [line for line in server.lines() if "recording_fault" in line and file in line]


@pytest.mark.row("AF-01")
@pytest.mark.parametrize("name", PCM_FILES)
def test_pcm_of_any_width_rate_and_channel_count_is_played(server: RunningServer, name: str) -> None:
    heard = play(server, name)

    is_the_tone(bytes(heard.pcm))
    assert heard.transcript == f"The words of {name}."


@pytest.mark.row("AF-02")
@pytest.mark.parametrize("name", OTHER_FILES)
def test_float_companded_and_extensible_files_are_played(server: RunningServer, name: str) -> None:
    is_the_tone(bytes(play(server, name).pcm))


@pytest.mark.row("AF-02")
@pytest.mark.parametrize("name", WRITERS_FILES)
def test_wrong_headers_of_real_writers_are_tolerated(server: RunningServer, name: str) -> None:
    is_the_tone(bytes(play(server, name).pcm))


@pytest.mark.row("AF-02")
@pytest.mark.parametrize("file", COMPRESSED_FILES)
def test_flac_ogg_and_mp3_are_played_under_any_file_name(server: RunningServer, file: str) -> None:
    heard = play(server, file.partition(".")[0])

    assert heard.transcript == f"The words of {file}." and warnings_about(server, file) == []
    # Codecs add some silence at the ends, and change the level a little.
    samples = np.frombuffer(bytes(heard.pcm), "<i2")
    assert len(samples) / RATE == pytest.approx(SECONDS, abs=0.1)
    middle = samples[2400:4800] / 32768
    assert np.sqrt(2 * np.mean(middle**2)) == pytest.approx(0.5, rel=0.1)
    assert np.abs(np.fft.rfft(middle)).argmax() * RATE / len(middle) == pytest.approx(1000, abs=7)


@pytest.mark.row("AF-03")
@pytest.mark.parametrize("name", NO_SOUND)
def test_an_unplayable_file_is_simulated_with_a_warning(server: RunningServer, name: str) -> None:
    is_simulated(play(server, name), f"The words of {name}.")

    (warning,) = warnings_about(server, f"{name}.wav")
    assert NO_SOUND[name][1] in warning and "EOFError" not in server.output()


@pytest.mark.row("AF-04")
@pytest.mark.parametrize("name", LYING_FILES)
def test_a_lying_header_costs_no_sample(server: RunningServer, name: str) -> None:
    is_the_tone(bytes(play(server, name).pcm), 0.2 if name == "truncated" else SECONDS)


@pytest.mark.row("AF-05")
def test_a_gigabyte_is_refused_and_ten_minutes_cost_their_size(
    first: FakeUpstream, quick_servers: Servers, tmp_path: Path
) -> None:
    add(tmp_path, "default", riff(HEAD, DATA))
    usual = quick_servers(AUDIO_DIR=str(tmp_path), LOG_LEVEL="info")
    large = tmp_path / "large"
    large.mkdir()
    add(large, "default", riff(HEAD, DATA))
    for name, rate, seconds in (("gigabyte", 48_000, 10_922), ("ten-minutes", 8_000, 600)):
        add(large, name, riff(head(PCM, 1, rate, 16), b"data" + (2 * rate * seconds).to_bytes(4, "little")))
        os.truncate(large / f"{name}.wav", 44 + 2 * rate * seconds)
    server = quick_servers(AUDIO_DIR=str(large), AUDIO_SAMPLE_RATE="8000")

    assert [line["fault"] for line in logged(server, "recording_fault")] == [
        "gigabyte.wav: 1048512044 bytes are more than the 268435456 that are read"
    ]
    ((small_pid,), (pid,)) = usual.worker_pids(), server.worker_pids()
    grown = held_by(pid).rss_bytes - held_by(small_pid).rss_bytes
    assert grown < 2 * 8_000 * 600 + (8 << 20)


def logged(server: RunningServer, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in server.lines() if line.startswith("{")]
    return [line for line in lines if line["event"] == event]


@pytest.mark.row("AF-06")
@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "/etc/passwd",
        "..",
        "%2e%2e%2fetc",
        "plain\0",
        "..\\plain",
        "a/b",
        "pl\u00e4in",
        "x" * 65,
        "a b",
    ],
)
@pytest.mark.parametrize("place", ["body", "query"])
def test_an_impossible_recording_name_is_refused(server: RunningServer, name: str, place: str) -> None:
    body = {"messages": [{"role": "user", "content": "Hello?"}], **({"asset": name} if place == "body" else {})}
    query = {"asset": name} if place == "query" else {}
    response = requests.post(f"{server.url}/audio/chat/completions", params=query, json=body, timeout=30)

    assert response.status_code == 400
    assert response.json()["error"].items() >= {"code": "invalid_asset", "param": "asset"}.items()


@pytest.mark.row("AF-06")
@pytest.mark.parametrize("name", ["absent", "plain.wav", "...a", "linked"])
def test_a_missing_recording_is_simulated(server: RunningServer, name: str) -> None:
    is_simulated(play(server, name), placeholder.TRANSCRIPT)
    assert name != "linked" or "a link that leaves the folder" in warnings_about(server, "linked.wav")[0]


@pytest.mark.row("AF-07")
@pytest.mark.parametrize(
    ("name", "file", "reason"),
    [
        ("text-missing", "text-missing.wav", "there is no text-missing.txt beside it"),
        ("no-words", "no-words.txt", "empty"),
        ("latin", "latin.txt", "not UTF-8"),
    ],
)
def test_sound_without_its_words_is_played(server: RunningServer, name: str, file: str, reason: str) -> None:
    heard = play(server, name)

    is_the_tone(bytes(heard.pcm))
    assert heard.transcript == f"(The recording {name}, whose words are not known.)"
    (warning,) = warnings_about(server, file)
    assert reason in warning


@pytest.mark.row("AF-07")
def test_words_without_their_sound_are_simulated(server: RunningServer) -> None:
    is_simulated(play(server, "sound-missing"), "Nobody has recorded this.")
    (warning,) = warnings_about(server, "sound-missing.txt")
    assert "there is no sound-missing.wav beside it" in warning


@pytest.mark.row("AF-08")
def test_a_file_changed_during_the_stream_changes_nothing(
    first: FakeUpstream, quick_servers: Servers, tmp_path: Path
) -> None:
    add(tmp_path, "default", riff(HEAD, DATA))
    server = quick_servers(AUDIO_DIR=str(tmp_path))
    body = {"messages": [{"role": "user", "content": "Hello?"}]}

    pcm = b""
    with requests.post(f"{server.url}/audio/chat/completions", json=body, stream=True, timeout=30) as reply:
        for line in reply.iter_lines():
            if b'"data"' in line:
                if not pcm:
                    (tmp_path / "default.wav").write_bytes(bytes(40_000))
                    (tmp_path / "default.txt").unlink()
                audio = json.loads(line.removeprefix(b"data: "))["choices"][0]["delta"]["audio"]
                pcm += base64.b64decode(audio["data"])

    assert pcm == DATA[8:] == bytes(play(server).pcm)


@pytest.mark.row("AF-09")
def test_a_caller_who_leaves_stops_the_sound_at_once(paced: RunningServer) -> None:
    threads, (pid,) = held_by(paced.worker_pids()[0]).threads, paced.worker_pids()
    seen = len(paced.request_ends())

    heard = asyncio.run(Engine(paced.url).ask("Hello?", barge_in_ms=200, asset="long"))
    wait_until(lambda: len(paced.request_ends()) > seen)

    end = paced.request_ends()[-1]
    assert (end["outcome"], heard.is_done) == ("client_closed", False)
    assert heard.seconds(len(heard.pcm)) < 3  # of 4 s
    assert held_by(pid).threads <= threads


async def longest_pause() -> float:
    """Return, once cancelled, the longest time in seconds that this process's event loop came too late."""
    longest = 0.0
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            due = time.monotonic() + 0.01
            await asyncio.sleep(0.01)
            longest = max(longest, time.monotonic() - due)
    return longest


@pytest.mark.row("AF-10")
def test_a_hundred_listeners_hear_the_file_without_a_gap(paced: RunningServer) -> None:
    async def all_at_once() -> tuple[list[Heard], float]:
        measuring = asyncio.create_task(longest_pause())
        heard = await asyncio.gather(*(Engine(paced.url).ask("Hello?", asset="long") for _ in range(100)))
        measuring.cancel()
        return heard, await measuring

    heard, pause = asyncio.run(all_at_once())

    assert {bytes(each.pcm) for each in heard} == {DATA[8:] * 10}
    # On a machine of its own 99 of 100 are less than 15 ms late: `make bench-audio`. Here others may be at work, and
    # make the listeners themselves late: what is allowed grows with the longest pause of theirs.
    late = sorted(late for each in heard for late in each.lateness_ms(200))
    assert late[len(late) // 2] < 150 + 1000 * pause and late[len(late) * 99 // 100] < 1500 + 2000 * pause
    assert max(held for each in heard for _, held in each.played()) < 0.2 + 1.5 + 2 * pause


@pytest.mark.row("AF-11")
@pytest.mark.row("RE-06")
@pytest.mark.parametrize("path", ["/audio/chat/completions", "/audio/v1/chat/completions"])
def test_every_audio_chunk_decodes_alone_in_order(server: RunningServer, path: str) -> None:
    body = {"messages": [{"role": "user", "content": "Hello?"}], "asset": "plain", "stream": True}
    response = requests.post(f"{server.url}{path}", json=body, timeout=30)
    *sent, done = payloads(response.content)
    deltas = [json.loads(payload)["choices"][0]["delta"] for payload in sent]
    pieces = [
        base64.b64decode(delta["audio"]["data"], validate=True) for delta in deltas if "data" in delta.get("audio", {})
    ]

    assert done == b"[DONE]" and deltas[-1] == {} and json.loads(sent[-1])["choices"][0]["finish_reason"] == "stop"
    # OpenAI's clients join the base64: padding inside would end the sound.
    size = 1278 if "v1" in path else 1280
    assert all(len(piece) == size for piece in pieces[:-1]) and len(pieces[-1]) % 2 == 0
    joined = "".join(delta["audio"].get("data", "") for delta in deltas if "audio" in delta)
    assert "v1" not in path or base64.b64decode(joined, validate=True) == DATA[8:]
    assert b"".join(pieces) == DATA[8:] and not any(piece.startswith(b"RIFF") for piece in pieces)
    ids = [delta["audio"].get("id") for delta in deltas if "audio" in delta]
    assert len(set(ids[:1] if "v1" in path else ids)) == 1 and ids[0]
    assert "v1" not in path or set(ids[1:]) == {None}


@pytest.mark.row("RB-05")
@pytest.mark.parametrize(
    "sent",
    [
        "Bienvenue au Cafe\u0301 \u201cLe Nord\u201d. It\u2019s open.",
        'Bienvenue  au Caf\u00e9\u00a0"Le Nord".\nIt\'s open.',
    ],
    ids=["NFD and curly", "NFC and straight"],
)
def test_a_greeting_is_found_in_any_form(
    first: FakeUpstream, quick_servers: Servers, tmp_path: Path, sent: str
) -> None:
    add(tmp_path, "greeting", riff(HEAD, DATA), 'Bienvenue au Caf\u00e9 "Le Nord". It\'s open.')
    server = quick_servers(AUDIO_DIR=str(tmp_path), AUDIO_LEAD_MS="5000")

    heard = asyncio.run(Engine(server.url).greet(sent))

    is_the_tone(bytes(heard.pcm))
