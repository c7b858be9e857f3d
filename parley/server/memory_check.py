"""The check of the memory of conversations before workers start."""

from parley.settings import Settings


def memory_fault(settings: Settings, workers: int) -> str | None:
    """Return the reason why so many workers can't remember conversations as they are to, or None."""
    fault = store_fault(settings, workers)
    return fault if fault and remembers(settings) else None


def store_fault(settings: Settings, workers: int) -> str | None:
    """Return the reason why so many workers could not remember conversations, or None."""
    if workers < 2 or settings.memory_store.kind != "memory":
        return None
    return (
        "MEMORY_STORE=memory: remembers in each worker for itself, but the turns of a call come to any of the "
        f"{workers} workers: set MEMORY_STORE=sqlite:/dev/shm/parley.db, or start one worker (WEB_CONCURRENCY, -w)"
    )


def remembers(settings: Settings) -> bool:
    """Return True if conversations are remembered, by the settings or by an agent's profile."""
    if settings.memory != "off" or not settings.agents_dir.is_dir():
        return settings.memory != "off"
    # perf: saves 30 ms (a start without agents)
    from parley.agents import profile_files

    profiles = profile_files.read_folder(settings.agents_dir).named.values()
    return any(profile.overrides.get("memory", "off") != "off" for profile in profiles)
