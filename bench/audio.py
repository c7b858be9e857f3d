"""`make bench-audio`: measures the voice, and prints what is required, measured, kept or broken.

The server is the real one, one worker, here; tests/support/engine.py listens. Ends with 1 where something is broken.
"""

import argparse
import asyncio
import base64
import contextlib
import http.client
import math
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from promises import Part, Table, measure
from sentences import SENTENCES
from stalls import Probe, ms
from talkers import quantile

# The tests' folder is on the path now.
import fake_upstream as fake  # isort: skip
import wav_files
from engine import Engine, Heard
from fake_upstream import FakeUpstream
from running_server import ROOT, RunningServer, held_by, hooked, running_server
from speaking import measure_speech, measure_words

from parley.operators import audio_align
from parley.speech import sound_file, wav, word_estimation
from parley.speech.pcm import to_int16
from parley.speech.word_timing import is_mark

LEAD_MS = 200
RATE = 16_000
UPSTREAM_HZ = 24_000


@dataclass
class Sizes:
    """How much is measured; `quick` is for a first look."""

    streams: int = 200
    seconds: int = 20
    questions: int = 300
    interruptions: int = 60
    relayed: int = 20
    sentences: int = 50
    talkers: int = 20
    rounds: int = 3


QUICK = Sizes(streams=50, seconds=5, questions=60, interruptions=15, relayed=8, sentences=15, rounds=1)


@contextlib.contextmanager
def playing(folder: Path, **settings: str) -> Iterator[RunningServer]:
    """The server with the recordings of a folder."""
    with running_server({"AUDIO_DIR": str(folder), "LLM_BASE_URL": "http://127.0.0.1:9/v1", **settings}) as server:
        yield server


def add(folder: Path, name: str, seconds: float) -> bytes:
    """A recording of so many seconds of noise; gives its PCM."""
    pcm = np.random.default_rng(1).integers(-9000, 9000, int(seconds * RATE)).astype("<i2").tobytes()
    (folder / f"{name}.wav").write_bytes(wav.encode(pcm, RATE))
    (folder / f"{name}.txt").write_text("Some words that are said for as long as the noise lasts.")
    return pcm


def spurious_db(pcm: bytes, rate: int, hz: float = 1000.0) -> float:
    """The energy beside a tone, in dB of the tone's, away from both ends of the sound."""
    samples = np.frombuffer(pcm, "<i2").astype(float)[rate // 20 : -rate // 20]
    power = np.abs(np.fft.rfft(samples * np.blackman(len(samples)))) ** 2
    beside = np.abs(np.fft.rfftfreq(len(samples), 1 / rate) - hz) > 20
    return float(10 * np.log10(power[beside].sum() / power[~beside].sum()))


async def pacing(table: Table, sizes: Sizes) -> None:
    """Many listeners of one recording at once."""
    with tempfile.TemporaryDirectory() as name:
        pcm = add(Path(name), "default", sizes.seconds)
        with playing(Path(name)) as server:
            (worker,) = server.worker_pids()
            before, started = held_by(worker).cpu_seconds, time.monotonic()
            heard = await all_ask(server, sizes.streams)
            core = (held_by(worker).cpu_seconds - before) / (time.monotonic() - started)
    late = [max(0.0, each) / 1000 for one in heard for each in one.lateness_ms(LEAD_MS)]
    p99 = quantile(late, 0.99)
    what = f"{sizes.streams} paced streams"
    table.row(f"{what}: chunk lateness", "p99 <= 15 ms", f"p99 {ms(p99)}, max {ms(max(late))}", p99 <= 0.015)
    dry = sum(one.underruns() for one in heard)
    table.row(f"{what}: underruns", "0", str(dry), dry == 0)
    same = sum(bytes(one.pcm) == pcm for one in heard)
    table.row(f"{what}: PCM identical", f"{len(heard)}", str(same), same == len(heard))
    ahead = max(held for one in heard for _, held in one.played())
    table.row(f"{what}: ahead of the listener", f"<= {LEAD_MS} ms", ms(ahead), ahead <= LEAD_MS / 1000 + 0.005)
    table.row(f"{what}: CPU of the worker", "<= 50 % of a core", f"{100 * core:.0f} %", core <= 0.5)


async def all_ask(server: RunningServer, count: int) -> list[Heard]:
    """So many listeners, started over one second as calls are."""

    async def one(number: int) -> Heard:
        await asyncio.sleep(number / count)
        return await Engine(server.url).ask("Hello?")

    return await asyncio.gather(*(one(number) for number in range(count)))


async def first_sound(table: Table, sizes: Sizes) -> None:
    """How much longer the first sound of a recording takes than an answer of /health, on a fresh connection each."""
    with playing(ROOT / "audio_assets") as server:
        healthy, sound = [], []
        for _ in range(sizes.questions):
            healthy.append(await asyncio.to_thread(health_seconds, server))
            heard = await Engine(server.url).ask("Hello?", barge_in_ms=0)
            sound.append(heard.first_sound_ms / 1000)
    over = quantile(sound, 0.5) - quantile(healthy, 0.5)
    measured = f"{ms(over)} ({ms(quantile(sound, 0.5))} against {ms(quantile(healthy, 0.5))})"
    table.row("first sound of a recording, over /health", "<= 3 ms p50", measured, over <= 0.003)


def health_seconds(server: RunningServer) -> float:
    """One question for health, on a connection of its own, from the request on."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.connect()
    started = time.monotonic()
    connection.request("GET", "/health")
    connection.getresponse().read()
    seconds = time.monotonic() - started
    connection.close()
    return seconds


async def resampling(table: Table, sizes: Sizes) -> None:
    """The purity of a tone through the conversion at load."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        Path(file.name).write_bytes(wav_files.wav(wav_files.tone(44_100, 3.0), 44_100))
        spurious = spurious_db(sound_file.read(Path(file.name), RATE).pcm, RATE)
    table.row("1 kHz from 44.1 to 16 kHz: beside it", "<= -60 dB", f"{spurious:.1f} dB", spurious <= -60)


def spoken(pcm: bytes, size: int, interval: float = 0.0) -> list[fake.Step]:
    """An upstream's audio answer, in deltas of `size` bytes, so many seconds apart."""
    pieces = [base64.b64encode(pcm[at : at + size]).decode() for at in range(0, len(pcm), size)]
    deltas = [{"transcript": "Good morning!"}, *({"data": piece} for piece in pieces)]
    payloads = [*(fake.chunk({"audio": {"id": "audio_1", **delta}}) for delta in deltas), fake.chunk({}, "stop")]
    return [*fake.events(payloads, interval), fake.event(fake.DONE), fake.END]


async def relaying(table: Table, sizes: Sizes) -> None:
    """A tone through the relay: clicks at the borders of chunks, and what the conversion costs everybody else."""
    pcm = to_int16((0.5 * np.sin(2 * math.pi * 1000 * np.arange(5 * UPSTREAM_HZ) / UPSTREAM_HZ)).astype(np.float32))
    with FakeUpstream() as upstream, tempfile.TemporaryDirectory() as name:
        upstream.script = spoken(pcm, 4801)
        probe = Probe(Path(name) / "late")
        argv = hooked(Path(name), probe.code)
        env = {"LLM_BASE_URL": upstream.base_url, "LLM_API_KEY": "sk-upstream", "AUDIO_MODE": "relay"}
        with running_server(env, argv=argv) as server:
            await asyncio.sleep(1)
            probe.begin()
            heard = await all_ask(server, sizes.relayed)
            stalls = probe.seconds()
    clicks = max(spurious_db(bytes(one.pcm), RATE) for one in heard)
    table.row("1 kHz through the relay, 24 to 16 kHz: beside it", "<= -60 dB", f"{clicks:.1f} dB", clicks <= -60)
    dry = sum(one.underruns() for one in heard)
    table.row(f"{sizes.relayed} relayed streams: underruns", "0", str(dry), dry == 0)
    p99 = quantile(stalls, 0.99)
    table.row(
        f"stalls of the worker, {sizes.relayed} streams resampled",
        "p99 <= 10 ms",
        f"p99 {ms(p99)}, max {ms(max(stalls))}",
        p99 <= 0.01,
    )


async def loading(table: Table, sizes: Sizes) -> None:
    """Ten minutes of another format in the folder: how long the start takes, and what the memory is."""
    with tempfile.TemporaryDirectory() as name:
        add(Path(name), "default", 1)
        with playing(Path(name)) as server:
            usual = held_by(*server.worker_pids()).rss_bytes
        block = wav_files.ENCODERS[wav_files.PCM, 24](np.repeat(wav_files.tone(48_000, 1.0), 2))
        head = wav_files.riff(wav_files.head(wav_files.PCM, 2, 48_000, 24), b"data\xff\xff\xff\xff")
        with (Path(name) / "long.wav").open("wb") as file:
            file.write(head)
            for _ in range(599):
                file.write(block)
        (Path(name) / "long.txt").write_text("A long tone.")
        with playing(Path(name)) as server:
            grown = (held_by(*server.worker_pids()).rss_bytes - usual) / (1 << 20)
    its_own = 599 * RATE * 2 / (1 << 20)
    what = "memory of ten minutes at 48 kHz, stereo, 24 bits (165 MiB)"
    table.row(what, "its PCM + 8 MiB", f"{grown:.1f} MiB, of which PCM {its_own:.1f}", grown <= its_own + 8)


async def words(table: Table, sizes: Sizes) -> None:
    """Words timed by estimate, against forced alignment; by the embedded voice where it is installed."""
    required = "median <= 60 ms"
    what = "estimated word starts against forced alignment"
    try:
        import hibari

        voice = hibari.Hibari()
        off = [each for text in SENTENCES[: sizes.sentences] for each in apart(text, voice(text), hibari.SAMPLE_RATE)]
    except (ImportError, audio_align.AlignmentError) as exc:
        table.row(what, required, f"not measured: {exc}", True)
        return
    constant = float(np.median(off))
    error = float(np.median(np.abs(np.array(off) - constant)))
    table.row(what, required, f"{error:.0f} ms ({len(off)} words, less {constant:.0f} ms)", error <= 60)


def apart(text: str, samples: "np.typing.ArrayLike", rate: int) -> list[int]:
    """How far the estimate is from the measure, in ms for each word; nothing where the words aren't found."""
    pcm = to_int16(np.asarray(samples, np.float32))
    measured, guessed = audio_align.align(text, pcm, rate), word_estimation.estimate(text, pcm, rate)
    pairs = zip(guessed, measured, strict=True)
    return [guess.start_ms - word.start_ms for guess, word in pairs if not is_mark(word.text)]


async def speaking(table: Table, sizes: Sizes) -> None:
    """A model's answer said by the embedded voice."""
    await measure_speech(table, sizes.questions // 6, sizes.talkers, sizes.rounds)
    measure_words(table, sizes.sentences)


async def barge_in(table: Table, sizes: Sizes) -> None:
    """From the hang-up to the end of the turn, for a recording; to the end of the upstream's work, for a relay."""
    with playing(ROOT / "audio_assets") as server:
        stops = [await interrupted(server) for _ in range(sizes.interruptions)]
    table.row("barge-in: a recording stops", "<= 100 ms", f"max {ms(max(stops))}", max(stops) <= 0.1)
    with FakeUpstream() as upstream:
        upstream.script = spoken(bytes(60 * 2 * UPSTREAM_HZ), 4800, interval=0.02)
        env = {"LLM_BASE_URL": upstream.base_url, "LLM_API_KEY": "sk-upstream", "AUDIO_MODE": "relay"}
        with running_server(env) as server:
            stops = []
            for _ in range(sizes.interruptions):
                await Engine(server.url).ask("Hello?", barge_in_ms=80)
                left, call = time.monotonic(), upstream.calls[-1]
                await asyncio.to_thread(call.finished.wait, 10)
                stops.append(max(0.0, (call.peer_left_at or math.inf) - left))
    table.row("barge-in: a relayed upstream stops", "<= 100 ms", f"max {ms(max(stops))}", max(stops) <= 0.1)


async def interrupted(server: RunningServer) -> float:
    """Seconds until the turn of a caller who has left is in the log."""
    ended = len(server.request_ends())
    await Engine(server.url).ask("Hello?", barge_in_ms=80)
    left = time.monotonic()
    while len(server.request_ends()) == ended and time.monotonic() < left + 10:
        await asyncio.sleep(0.001)
    return time.monotonic() - left


PARTS: list[Part] = [pacing, first_sound, resampling, relaying, loading, words, speaking, barge_in]


def main() -> int:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer streams, for a first look")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(part.__name__ for part in PARTS)}")
    asked = parser.parse_args()
    parts = [part for part in PARTS if not asked.parts or part.__name__ in asked.parts]
    return asyncio.run(measure(parts, QUICK if asked.quick else Sizes()))


if __name__ == "__main__":
    sys.exit(main())
