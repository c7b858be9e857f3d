"""Parley without HTTP: plain objects and generators. Nothing here imports Flask or `blueprints`."""
