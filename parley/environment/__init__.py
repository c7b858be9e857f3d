"""The beginning of a run: the operator's environment before it becomes settings (the file `.env`, and names that are
near those of settings), and a secret of the run's own."""

import os

RUN_KEY = os.urandom(32)
"""A secret of this run that all workers share: gunicorn's master imports this package and forks them."""
