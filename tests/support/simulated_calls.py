"""Random calls as platforms lead them: what each sends of its history, and what was truly said.

    call = SimulatedCall(random.Random(7), "room-7", PLATFORMS[0], store)
    call.play(turns=12)

A call talks to several workers that share a store; each request is checked against the true conversation. `mistakes`
are in words. Nothing is sent: an answer is a text of the call's own.
"""

import dataclasses
import random
from collections.abc import Callable
from typing import Any

from parley.memory import policy
from parley.memory.conversation import StoredTurn, decode, encode, stored_turn

Message = dict[str, Any]
SHORT = ["yes", "no", "hello?", "YES", "ok"]


@dataclasses.dataclass(frozen=True)
class Platform:
    """How a platform sends its history.

    `window` counts messages, `rounds` turns before this one; neither is everything. `ids` tells that it names turns.
    `marks` are Agora's; without them an answer that was cut is cut in the history, or (`whole`) sent as it came.
    """

    name: str
    window: int | None = None
    rounds: int | None = None
    ids: bool = False
    marks: bool = False
    whole: bool = False
    greeting: bool = True


PLATFORMS = (
    Platform("full", whole=True),
    Platform("full with ids", whole=True, ids=True),
    Platform("full, played only"),
    Platform("agora", window=32, ids=True, marks=True),
    Platform("agora, small window", window=6, ids=True, marks=True),
    Platform("odd window", window=5),
    Platform("window of two", window=2),
    Platform("alibaba", window=20, greeting=False),
    Platform("trtc 0", rounds=0, ids=True, greeting=False),
    Platform("trtc 3, played only", rounds=3, ids=True, greeting=False),
    Platform("last turn, no id", rounds=0, greeting=False),
    Platform("one turn back, no id", rounds=1),
)


@dataclasses.dataclass
class TrueTurn:
    """A turn as it was: the user's words, what was sent, and how much of it the platform keeps."""

    user: str
    sent: str
    kept: str
    is_cut: bool = False


class SharedStore:
    """Sessions of all workers, as bytes, as a real store keeps them."""

    def __init__(self) -> None:
        self.data: dict[str, bytes] = {}

    def get(self, key: str) -> tuple[StoredTurn, ...]:
        """Return the stored turns of a session."""
        return decode(self.data.get(key))

    def put(self, key: str, turns: tuple[StoredTurn, ...]) -> None:
        """Store them."""
        self.data[key] = encode(turns)


class SimulatedCall:
    """One call from its greeting on."""

    def __init__(self, chance: random.Random, name: str, platform: Platform, store: SharedStore) -> None:
        self._chance, self._name, self._platform, self._store = chance, name, platform, store
        self._turns: list[TrueTurn] = []
        # Between the turns: the position of the turn before which the platform said something by itself.
        self._said: dict[int, str] = {0: f"Welcome to {name}!"} if platform.greeting else {}
        self._clock = 1000.0
        self._late: Callable[[], None] | None = None
        self._count = 0
        self.mistakes: list[str] = []
        self.same_bytes = 0

    def play(self, turns: int) -> None:
        """Play so many turns, of all kinds."""
        for _ in range(turns):
            self._turn()

    def _turn(self) -> None:
        chance, number = self._chance, len(self._turns)
        user = self._words()
        turn_id = str(number + 1)
        kind = chance.choice(["whole", "whole", "whole", "barge in", "failed", "retry", "speculative", "own words"])
        if kind == "own words" and self._platform.greeting:
            self._said[number] = f"Are you still there, {self._name} {number}?"
        if kind == "speculative" and (words := user.split())[1:]:
            for size in range(1, len(words)):
                # A platform that names its turns gives these one name.
                has_ended = chance.random() < 0.2
                self._ask(" ".join(words[:size]), turn_id, closed=not has_ended, is_final=False)
        if kind == "retry":
            for _ in range(chance.randint(1, 2)):
                self._ask(user, turn_id, closed=True, is_final=False)
        self._ask(user, turn_id, closed=kind == "barge in", is_final=True, failed=kind == "failed")

    def _words(self) -> str:
        """Return what the user says next: now and then the same again, unless nobody could tell that from a retry."""
        last = self._turns[-1] if self._turns else None
        is_ambiguous = not self._platform.ids and last is not None and (last.is_cut or not last.sent)
        if not is_ambiguous and self._chance.random() < 0.4:
            return self._chance.choice(SHORT)
        topic = self._chance.choice(["book a table", "the second one", "opening hours"])
        return f"{len(self._turns)} of {self._name}: {topic} please"

    def _ask(self, user: str, turn_id: str, *, closed: bool, is_final: bool, failed: bool = False) -> None:
        """Send a request to some worker, check what it makes of it, and end it."""
        self._clock += 1.0
        started = self._clock
        messages = [*self._history(), {"role": "user", "content": user}]
        turn = f"turn_id {turn_id}" if self._platform.ids else ""
        stored = self._store.get(self._name)
        found = policy.recall(stored, messages, turn=turn, mode="full", with_tools=True)
        self._check(messages, found, user)
        self._run_late()
        self._count += 1
        sent = "" if failed else f"Answer {self._count} of {self._name}, which is rather long."
        if closed:
            sent = sent[: self._chance.choice([0, 8, 20])]
        history = found.history
        assert history is not None
        ended = stored_turn(user, sent, sent, closed=closed, turn=turn, started=started)

        def put() -> None:
            self._store.put(self._name, policy.remember(self._store.get(self._name), history, ended, mode="full"))

        # The worker of a caller who left may write after the next request has been read.
        if closed and self._chance.random() < 0.3:
            self._late = put
        else:
            put()
        if is_final:
            kept = sent if self._platform.whole or not closed else sent[: self._chance.choice([0, 6, len(sent)])]
            self._turns.append(TrueTurn(user, sent, kept, closed))

    def _run_late(self) -> None:
        late, self._late = self._late, None
        if late:
            late()

    def _history(self) -> list[Message]:
        """Return what the platform sends of the conversation before this turn."""
        system = [{"role": "system", "content": "You are Mia."}]
        platform, messages = self._platform, []
        turns = list(enumerate(self._turns))
        if platform.rounds is not None:
            turns = turns[len(turns) - platform.rounds :] if platform.rounds else []
        for number, turn in turns:
            messages += [*self._own_words(number), {"role": "user", "content": turn.user}]
            if turn.kept:
                messages.append(self._answer(turn))
        messages += self._own_words(len(self._turns)) if platform.rounds is None or turns else []
        if platform.window is not None:
            messages = messages[max(0, len(messages) - platform.window + 1) :]
        return system + messages

    def _own_words(self, number: int) -> list[Message]:
        return [{"role": "assistant", "content": self._said[number]}] if number in self._said else []

    def _answer(self, turn: TrueTurn) -> Message:
        # Recognisers and platforms write white space and capitals in their own way.
        message: Message = {"role": "assistant", "content": turn.kept if turn.kept == turn.sent else turn.kept + " "}
        if turn.is_cut and self._platform.marks:
            message["metadata"] = {"source": "llm", "interrupted": True, "original": turn.sent}
        return message

    def _check(self, messages: list[Message], found: policy.Recollection, user: str) -> None:
        """Compare what goes upstream with the true conversation."""
        said = [each["content"] for each in found.messages if each["role"] == "user"]
        true = [turn.user for turn in self._turns] + [user]
        # The last turn is not there yet if its worker has not written it.
        allowed = [true, true[:-2] + true[-1:]] if self._late else [true]
        earlier = [turn.user.casefold() for turn in self._turns[:-1]]
        if self._late and self._turns and self._turns[-1].user.casefold() in earlier:
            # Until it is written, nothing tells a turn from an earlier one with the same words.
            return
        if said not in allowed:
            self.mistakes.append(f"{self._platform.name}: {said} in place of {true}")
        answers = [each["content"].strip() for each in found.messages if each["role"] == "assistant"]
        # Until the last turn is written, an answer's first word may seem to be that of the turn before.
        for turn in self._turns if not self._late else []:
            beginning = turn.sent.partition(", ")[0]
            count = sum(answer.startswith(beginning + ",") for answer in answers) if "," in turn.kept else 1
            if count != 1:
                self.mistakes.append(f"{self._platform.name}: {turn.sent!r} {count} times in {answers}")
        if any(self._name not in each for each in answers if "of" in each and len(each) > 25):
            self.mistakes.append(f"{self._platform.name}: of another session: {answers}")
        sends_all = self._platform.window is None and self._platform.rounds is None
        if sends_all and self._platform.whole:
            self.same_bytes += 1
            if found.messages is not messages:
                self.mistakes.append(f"{self._platform.name}: {found.messages} in place of {messages}")
