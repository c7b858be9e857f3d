"""Checks of the settings by themselves: nobody is asked (ST)."""

import re
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from parley import settings as table
from parley.checking.probe import Probe
from parley.checking.report import Outcome, fail, ok, warn
from parley.environment.variables import ENV_FILE, environment
from parley.operators.platforms import is_unreachable_host
from parley.server import base_urls
from parley.settings import Settings, SettingsError

FLASK_FILE = ".flaskenv"
"""File that Flask's commands read beside `.env`."""
MIN_KEY_CHARACTERS = 16
"""Characters of a caller's key below which it may be guessed."""
_FILLER = re.compile(
    r"(sk|key|pk)[-_.]*(x+|\.+|\*+|1234\d*|test|your.*|proj[-_]?(x+|\.+)?)?"
    r"|\W*|x+|(your|my|put|insert|enter|paste|add|use|the)[-_ ].*|.*(change|replace|fill)[-_ ]?(me|this|it|in).*"
    r"|api[-_]?key|token|secret|password|none|null|undefined|todo|dummy|example|placeholder|foo(bar)?|\.{2,}|.*\.{3}",
    re.IGNORECASE,
)
"""Matches a value that stands in examples in the place of a key."""


def load_usable() -> tuple[Settings, list[str]]:
    """Return the process's settings without the bad ones, which have their defaults, and a sentence for each of these.

    A server never starts with such settings: `settings.load` raises for the first.
    """
    faults = []
    # First, because it adds `.env` to the environment.
    try:
        table.ignored()
    except SettingsError as fault:
        faults.append(str(fault))
    environ = environment()
    while True:
        try:
            return Settings.from_environ(environ), faults
        except SettingsError as fault:
            faults.append(str(fault))
            # The message begins with the variable's name.
            environ[str(fault).partition(":")[0]] = ""


def variable(name: str) -> str:
    """Return a variable that is no setting, but gunicorn's own or a command's; empty if it is unset."""
    return environment().get(name, "").strip()


def parse(probe: Probe) -> Iterator[Outcome]:
    """Tell the settings that have an unusable value, else how many are set."""
    yield from (fail(fault, fix_of(fault)) for fault in probe.faults)
    missing = probe.settings.redis_fault
    if missing:
        yield fail(missing, "set REDIS_URL, or keep it elsewhere")
    if not probe.faults and not missing:
        names = table.names()
        given = [name for name in names if variable(name)]
        source = ".env read, " if Path(ENV_FILE).is_file() else "no .env, "
        yield ok(f"{source}{len(given)} of {len(names)} variables set", set=len(given))


def fix_of(fault: str) -> str:
    """Return what to do about a sentence on an unusable setting."""
    name, colon, _ = fault.partition(":")
    return f"correct {name} in .env or in the environment, or remove it" if colon and name.isupper() else ""


def misspelled(_: Probe) -> Iterator[Outcome]:
    """Tell the variables, and lines of `.env`, that were meant to be settings and are none."""
    try:
        ignored = table.ignored()
    # That fault is one of `parse`.
    except SettingsError:
        return
    for sentence in ignored:
        yield warn(sentence, "correct the name, or remove the line")
    if not ignored:
        yield ok("no name is nearly that of a setting")


def env_file(probe: Probe) -> Iterator[Outcome]:
    """Tell whether others on this machine may read `.env`."""
    path = Path(ENV_FILE)
    if not path.is_file():
        yield other_env_file(probe.project) or ok("no .env; settings come from the environment")
        return
    mode = stat.S_IMODE(path.stat().st_mode)
    # Who else may read it matters only where it holds something.
    if mode & 0o077 and probe.settings.secrets:
        yield warn(f".env holds keys, and other users of this machine may read it (mode {mode:o})", "chmod 600 .env")
    else:
        yield ok(f".env has mode {mode:o}")


def other_env_file(project: Path) -> Outcome | None:
    """Return a warning for a file of settings in a place where no server looks; None if there is none."""
    here = Path.cwd()
    elsewhere = project / ENV_FILE
    # Flask, which runs this command, reads those of all folders above: then settings seem to be there.
    above = (folder / name for folder in here.parents for name in (ENV_FILE, FLASK_FILE))
    for file in (here / FLASK_FILE, elsewhere, *above):
        if file.is_file():
            told = f"{file} is not read by a server that is started in {here}, though `flask` may read it"
            return warn(told, f"start in the folder of .env, or move it to {here}")
    return None


def placeholders(probe: Probe) -> Iterator[Outcome]:
    """Tell the keys that were never filled in."""
    settings = probe.settings
    keys = [
        ("LLM_API_KEY", settings.llm_api_key),
        ("EMBEDDINGS_API_KEY", settings.embeddings_api_key),
        ("TTS_API_KEY", settings.tts_api_key),
        *(("API_KEYS", key) for key in settings.api_keys or ()),
        *((f"LLM_FALLBACKS[{number}]", one.key) for number, one in enumerate(settings.llm_fallbacks)),
    ]
    # A local server takes any key: there a made-up one is usual.
    local = is_unreachable_host(urlsplit(settings.model_url or "").hostname or "")
    named = [name for name, key in keys if key and _FILLER.fullmatch(key) and not (local and name == "LLM_API_KEY")]
    for name in named:
        yield fail(f"{name} is a placeholder, not a key", f"set {name} to the key itself")
    if not named:
        yield ok("no key is a placeholder")


def addresses(probe: Probe) -> Iterator[Outcome]:
    """Tell base URLs that are probably wrong."""
    faults = list(address_faults(probe.settings))
    yield from faults
    if not faults:
        yield ok("the base URLs have the form of one")


def address_faults(settings: Settings) -> Iterator[Outcome]:
    """Yield what is wrong with base URLs: a route at the end, the path of another API, a key that travels readably."""
    urls = dict(settings.named_base_urls)
    try:
        # Raises for variables that can't be parsed; those are faults of `parse`.
        routes = base_urls.cut_routes()
    except ValueError:
        routes = []
    for name, route in routes:
        base = urls.get(name, "").partition("?")[0]
        # Where the base is wrong, too, one advice is enough.
        if base_urls.advice(urls.get(name, "")):
            continue
        yield warn(f"{name} ends in {route}", f"{name}={base} (the base; Parley appends the rest)")
    for name, url in settings.named_base_urls:
        if hint := base_urls.advice(url):
            doubtful = hint.startswith("it has no path")
            yield (warn if doubtful else fail)(f"{name}: {hint}", "" if doubtful else f"correct {name}")
        parts = urlsplit(url)
        if parts.scheme == "http" and not is_unreachable_host(parts.hostname or "") and "." in (parts.hostname or ""):
            fix = f"write https:// in {name}; most APIs also redirect http, and a redirected call is lost"
            yield fail(f"{name} begins with http://: the key and every word travel readably", fix)


def callers_keys(probe: Probe) -> Iterator[Outcome]:
    """Tell whether callers need a key, and whether it is a good one."""
    settings = probe.settings
    ours = settings.api_keys
    if ours is None:
        if port := variable("PORT"):
            yield fail(
                f"API_KEYS is not set, and PORT={port} opens the server to all addresses: whoever finds it may ask",
                "API_KEYS=$(openssl rand -hex 24)",
            )
        else:
            yield ok("API_KEYS is not set: good for a server that only this machine reaches")
        return
    theirs = {settings.llm_api_key, settings.embeddings_api_key, settings.tts_api_key}
    theirs |= {one.key for one in settings.llm_fallbacks}
    if theirs & set(ours):
        yield fail(
            "a key of API_KEYS is also that of an upstream: each caller could spend it anywhere",
            "API_KEYS=$(openssl rand -hex 24)",
        )
    if short := sum(len(key) < MIN_KEY_CHARACTERS for key in ours):
        yield warn(
            f"{short} of API_KEYS {'has' if short == 1 else 'have'} fewer than {MIN_KEY_CHARACTERS} characters",
            "API_KEYS=$(openssl rand -hex 24)",
        )
    elif not theirs & set(ours):
        yield ok(f"{len(ours)} {'key' if len(ours) == 1 else 'keys'} for callers")
