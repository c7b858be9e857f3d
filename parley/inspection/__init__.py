"""The state of a running server, and why a search finds what it finds, as values to show: no key, address or path."""
