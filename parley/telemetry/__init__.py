"""Log lines and metrics, without secrets."""
