"""The WSGI application, `app:app`. Creating it opens no file, no connection and no thread."""

import sys

from flask import Flask

from blueprints import audio, basic, meta, rag, sessions, web
from blueprints.cli import agents as agents_cli
from blueprints.cli import audio as audio_cli
from blueprints.cli import chat as chat_cli
from blueprints.cli import database as database_cli
from blueprints.cli import doctor as doctor_cli
from blueprints.cli import kb as kb_cli
from blueprints.cli import settings as settings_cli
from blueprints.cli import shared as shared_cli
from blueprints.cli import snippet as snippet_cli
from blueprints.cli import tools as tools_cli
from parley.services import Services
from parley.settings import Settings, SettingsError, load
from parley.telemetry import logs

WITHOUT_SETTINGS = (doctor_cli.bp, snippet_cli.bp, chat_cli.bp)
"""Commands that can be used although the settings can't."""


def create_app(settings: Settings | None = None, services: Services | None = None) -> Flask:
    """Return an application with these settings or services; by default with the settings of the environment.

    Raises SettingsError for a bad setting in the environment.
    """
    services = services or Services(settings or load())
    logs.configure(services.settings.log_level, services.settings.log_format, services.settings.secrets)
    app = Flask(__name__, static_folder=None)
    app.extensions["parley"] = services
    # A redirect would lose the body of a POST, so a trailing slash is accepted, and a double slash is not found.
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    web.install(app)
    commands = (
        *(settings_cli.bp, kb_cli.bp, database_cli.bp, audio_cli.bp, tools_cli.bp, agents_cli.bp, shared_cli.bp),
        *WITHOUT_SETTINGS,
    )
    for blueprint in (basic.bp, rag.bp, audio.bp, sessions.bp, meta.bp, *commands):
        app.register_blueprint(blueprint)
    if services.playground != "off":
        # Here, because it reads the page's files.
        from blueprints import playground

        app.register_blueprint(playground.bp)
    return app


try:
    app = create_app()
except SettingsError as error:
    # gunicorn gives up on a worker that fails like this, but would start one that only exits over and over.
    if "gunicorn.arbiter" in sys.modules:
        raise
    if not {"doctor", "snippet", "chat"} & set(sys.argv):
        sys.exit(f"parley: {error}")
    # A command that finds faults must not fail for one.
    app = Flask(__name__, static_folder=None)
    for blueprint in WITHOUT_SETTINGS:
        app.register_blueprint(blueprint)
