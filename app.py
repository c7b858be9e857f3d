"""The WSGI application, `app:app`. Creating it opens no file, no connection and no thread."""

import sys

from flask import Flask

from blueprints import audio, basic, meta, rag, web
from blueprints.cli import audio as audio_cli
from blueprints.cli import kb as kb_cli
from blueprints.cli import settings as settings_cli
from blueprints.cli import tools as tools_cli
from parley.services import Services
from parley.settings import Settings, SettingsError, load
from parley.telemetry import logs


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
    for blueprint in (basic.bp, rag.bp, audio.bp, meta.bp, settings_cli.bp, kb_cli.bp, audio_cli.bp, tools_cli.bp):
        app.register_blueprint(blueprint)
    return app


try:
    app = create_app()
except SettingsError as error:
    # gunicorn gives up on a worker that fails like this, but would start one that only exits over and over.
    if "gunicorn.arbiter" in sys.modules:
        raise
    sys.exit(f"parley: {error}")
