"""What the server says when it starts: where it listens, which model answers, who may come in."""

from parley import logs
from parley.logs import log
from parley.settings import Settings
from parley.upstream import embedded

WANTED = "LLM_API_KEY (and LLM_BASE_URL for any API other than OpenAI's)"
BANNER = """\
Parley listens on {url}
  model  {model}
  try    {command}
"""


def listening(settings: Settings, addresses: list[str]) -> None:
    """Say it once, in the master: as lines to read on a terminal, as one log line elsewhere."""
    reachable = addresses[0].replace("0.0.0.0", "127.0.0.1")
    facts = {"url": addresses[0], "model": _model(settings), "command": _curl(settings, reachable)}
    if logs.is_text(settings.log_format):
        print(BANNER.format(**facts), flush=True)
    else:
        log.info("listening", **facts)
    if settings.api_keys is None:
        _warn_open(settings, public=any("0.0.0.0" in address or "[::]" in address for address in addresses))


def _model(settings: Settings) -> str:
    if settings.llm_base_url or settings.llm_api_key:
        return f"{settings.llm_model} at {settings.llm_base_url or 'OpenAI'}"
    if embedded.running:
        return f"{embedded.MODEL}, an embedded demonstration model, small and often wrong; for a real one set {WANTED}"
    return f"none yet; set {WANTED}"


def _curl(settings: Settings, url: str) -> str:
    key = "-H 'Authorization: Bearer ONE_OF_API_KEYS' " if settings.api_keys else ""
    question = '{"messages":[{"role":"user","content":"When are you open?"}]}'
    return f"curl -N {url}/rag/chat/completions {key}-H 'Content-Type: application/json' -d '{question}'"


def _warn_open(settings: Settings, *, public: bool) -> None:
    """Louder where strangers can come in and would spend the operator's money."""
    if public and settings.llm_api_key:
        log.error("open_to_everybody", fault="API_KEYS is not set: anybody on the network spends LLM_API_KEY")
    else:
        log.warning("open_to_everybody", fault="API_KEYS is not set: whoever reaches the port may ask")
    if "*" in (settings.cors_origins or ()):
        log.warning("open_to_every_page", fault="CORS_ORIGINS=* and no API_KEYS: pages of any site may ask, and read")
