"""The operator's own tools, which the model calls and Parley runs: HTTP requests, MCP servers, Python functions."""
