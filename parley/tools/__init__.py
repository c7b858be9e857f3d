"""The operator's own tools, which the model calls and Parley runs: HTTP requests, MCP servers, Python functions.

A Python file of `TOOLS_DIR` imports the three names from here.
"""

from parley.tools.python_tools import ToolError, tool
from parley.tools.tool import Call

__all__ = ["Call", "ToolError", "tool"]
