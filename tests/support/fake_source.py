"""A source of knowledge bases that a test fills, closes and breaks."""

from collections.abc import Callable, Iterable, Mapping

from gevent.event import Event

from parley.knowledge.base_settings import BaseSettings
from parley.knowledge.documents import LoadResult, Passage
from parley.knowledge.sources import Outline, SourceFailed, Version


class FakeSource:
    """Bases by name, each with a number of passages; a load waits while the source is `closed`."""

    spread = 0.0

    def __init__(self, **sizes: int) -> None:
        self.sizes = {"": 0, **sizes}
        self.revisions: dict[str, int] = {}
        self.settings: dict[str, BaseSettings] = {}
        self.searchable: set[str] = set()
        self.failing: dict[str, Exception] = {}
        self.loads: list[str] = []
        self.is_away = False
        self.open = Event()
        self.open.set()

    def look(self, known: Iterable[str]) -> Mapping[str, Version]:
        if self.is_away:
            raise SourceFailed("away")
        return {name: self.revisions.get(name, 1) for name in self.sizes}

    def outline(self, name: str) -> Outline:
        settings = self.settings.get(name, BaseSettings())
        return Outline(passages=self.sizes[name], settings=settings, is_searchable=name in self.searchable)

    def load(self, name: str, breathe: Callable[[], None]) -> LoadResult:
        self.loads.append(name)
        self.open.wait()
        if name in self.failing:
            raise self.failing[name]
        if name not in self.sizes:
            return LoadResult([], [])
        revision = self.revisions.get(name, 1)
        texts = [f"Base {name} of revision {revision} has part {part}." for part in range(self.sizes[name])]
        passages = [Passage(str(part), "", text, "a.json", {}) for part, text in enumerate(texts)]
        return LoadResult(passages, [], settings=self.settings.get(name, BaseSettings()))

    def publish(self, name: str, passages: int | None = None) -> None:
        self.revisions[name] = self.revisions.get(name, 1) + 1
        self.sizes[name] = self.sizes.get(name, 1) if passages is None else passages
