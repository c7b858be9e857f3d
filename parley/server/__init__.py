"""gunicorn's side of Parley: the master's checks, the worker's connections and its stop, the start banner."""
