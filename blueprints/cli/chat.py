"""`flask chat`: talk to a running server as a voice platform does, and see what came when.

Exit codes: 0, 1 if a turn failed and nobody was there to see it (input that is no terminal), 2 if the command was not
understood.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
from flask import Blueprint

from parley.operators import atomic_file, platforms
from parley.operators.platforms import BadAddress
from parley.speech import wav
from parley.telemetry import logs

if TYPE_CHECKING:
    from parley.checking.calling import Event
    from parley.checking.conversation import Conversation, Turn

bp = Blueprint("chat_cli", __name__, cli_group=None)
HELP = "/chat /rag /audio choose the endpoint, /new forgets, /raw shows events, /passages those of the last answer"


@bp.cli.command("chat")
@click.option("--url", "address", default="http://127.0.0.1:8000", show_default=True, help="Address of the server.")
@click.option("--key", default="", help="One of its API_KEYS; else PARLEY_KEY, else the first of API_KEYS here.")
@click.option("--endpoint", type=click.Choice(platforms.ENDPOINTS), default="rag", show_default=True)
@click.option("--kb", default="", help="Name of the knowledge base.")
@click.option(
    "--as",
    "platform",
    type=click.Choice(list(platforms.PLATFORMS), case_sensitive=False),
    default="agora",
    show_default=True,
    help="Platform whose requests are sent.",
)
@click.option("--system", default="", help="System message, as the platform would send it.")
@click.option("--save", type=click.Path(path_type=Path, dir_okay=False), help="File for the sound of an answer.")
def chat(address: str, key: str, endpoint: str, kb: str, platform: str, system: str, save: Path | None) -> None:
    """Talk to a running server; Ctrl-C interrupts an answer, Ctrl-D leaves. Lines of a pipe are turns."""
    # Here, because no worker needs them.
    from parley.checking import configuration
    from parley.checking.conversation import Conversation

    logs.configure("error", "text")
    settings, _ = configuration.load_usable()
    key = key or configuration.variable("PARLEY_KEY") or (settings.api_keys or ("",))[0]
    try:
        server = platforms.server_address(address)
    except BadAddress as exc:
        raise click.BadParameter(str(exc), param_hint="--url") from None
    talk = Conversation(server, key, platforms.PLATFORMS[platform], endpoint=endpoint, system=system, kb=kb)
    session = Session(talk, save, settings.audio_sample_rate, is_terminal=sys.stdin.isatty())
    sys.exit(session.run())


class Session:
    """The lines of a person, or of a pipe, and what is printed to them."""

    def __init__(self, talk: "Conversation", save: Path | None, rate: int, *, is_terminal: bool) -> None:
        self._talk = talk
        self._save = save
        self._rate = rate
        self._is_terminal = is_terminal
        self._shows_events = False
        self._last: Turn | None = None

    def run(self) -> int:
        """Take turns until the input ends; return the exit code."""
        if self._is_terminal:
            click.echo(f"{self._talk.url}\n{HELP}; Ctrl-C interrupts, Ctrl-D leaves")
        for line in self.lines():
            words = line.strip()
            if not words:
                continue
            if words.startswith("/"):
                self.command(words)
            elif not self.turn(words) and not self._is_terminal:
                return 1
        return 0

    def lines(self) -> Iterator[str]:
        """Yield what is said, line by line."""
        if not self._is_terminal:
            yield from sys.stdin
            return
        # Gives `input` the arrow keys and a history.
        import readline  # noqa: F401

        while True:
            try:
                yield input(f"{self._talk.endpoint} > ")
            except EOFError:
                click.echo()
                return
            except KeyboardInterrupt:
                click.echo("\nCtrl-D leaves")

    def command(self, words: str) -> None:
        """Obey a line that begins with a slash."""
        name = words[1:].lower()
        if name in platforms.ENDPOINTS:
            self._talk.endpoint = name
        elif name == "new":
            self._talk.forget()
        elif name == "raw":
            self._shows_events = not self._shows_events
        elif name == "passages":
            for one in (self._last and self._last.citations) or [{"title": "none; only /rag has them"}]:
                told = [str(one[field]) for field in ("score", "id", "title", "file") if field in one]
                click.echo("  " + "  ".join(told))
        else:
            click.echo(HELP, err=True)

    def turn(self, words: str) -> bool:
        """Say something and print the answer; return whether it came whole."""
        from parley.checking.calling import CallFailed

        raw = self.show_event if self._shows_events else None
        try:
            self._last = turn = self._talk.ask(words, self.show, raw)
        except CallFailed as exc:
            hint = "; start it with `make run`, or name it with --url" if "nobody listens" in str(exc) else ""
            click.echo(f"{self._talk.url}: {exc}{hint}", err=True)
            return False
        # One that was interrupted ends in the middle of a line.
        click.echo()
        if self._is_terminal and turn.figures:
            click.secho(f"  {turn.figures}", dim=True)
        if turn.failure:
            click.secho(f"  {turn.failure}", fg="red", err=True)
        if self._save and turn.pcm:
            atomic_file.write(self._save, wav.encode(turn.pcm, self._rate))
        return not turn.failure

    def show(self, text: str) -> None:
        """Print a piece of text at once."""
        click.echo(text, nl=False)
        sys.stdout.flush()

    def show_event(self, event: "Event") -> None:
        """Print an event with its moment."""
        payload = event.payload.decode(errors="replace")
        shown = payload if len(payload) < 500 else f"{payload[:500]}... ({len(payload)} characters)"
        click.secho(f"\n  +{event.ms:.1f} {shown}", dim=True, nl=False)
