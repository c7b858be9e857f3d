"""gunicorn's side of Parley: the worker's connections, its stop, and what it measures of itself."""
