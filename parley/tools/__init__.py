"""The operator's own tools, which the model calls and Parley runs: HTTP requests, MCP servers, Python functions.

A Python file of `TOOLS_DIR` imports the three names from here.
"""

from parley.tools import decorator
from parley.tools.tool import Call

ToolError = decorator.ToolError
# Below the import of the module of this name, which sets the attribute, too.
tool = decorator.tool

__all__ = ["Call", "ToolError", "tool"]
