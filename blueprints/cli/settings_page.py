"""The groups of docs/settings.md in their order, and the settings that README.md shows.

All that is not advice comes from the settings table (`parley/setting_rows/`).
"""

from blueprints.cli.settings_advice import answers, operation

GROUPS = (
    answers.MODEL,
    operation.CALLERS,
    answers.AGENTS,
    answers.TOOLS,
    answers.MEMORY,
    answers.KNOWLEDGE,
    answers.AUDIO,
    operation.TIMEOUTS,
    operation.LIMITS,
    operation.OPERATION,
)

README_SETTINGS = (
    "LLM_API_KEY",
    "LLM_BASE_URL",
    "LLM_MODEL",
    "API_KEYS",
    "KB_DIR",
    "AUDIO_DIR",
    "AUDIO_MODE",
    "WAITING",
    "FALLBACK_TEXT",
)
"""The settings that a first deployment may want to set, in the order of the table in README.md."""
