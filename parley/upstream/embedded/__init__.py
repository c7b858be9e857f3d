"""The embedded demonstration model: its process, its server (the child), a worker's client of it."""
