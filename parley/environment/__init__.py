"""The operator's environment before it becomes settings: the file `.env`, and names that are near those of settings."""
