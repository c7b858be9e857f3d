"""Real MCP servers, of the official SDK, for the tests: python mcp_server.py JSON_PORT EVENTS_PORT

One that answers in JSON, and one in event streams, in one process; both speak the form of the SDK that is installed:
releases 1.x keep sessions, 2.x are stateless. It needs nothing of Parley, and runs in a virtualenv of its own.
"""

import asyncio
import base64
import sys
from typing import Annotated, Any

from pydantic import Field

try:
    from mcp.server.mcpserver import MCPServer as McpServer
    from mcp.server.mcpserver.exceptions import ToolError
    from mcp.types import ImageContent, TextContent, ToolAnnotations

    NEW = True
except ImportError:
    from mcp.server.fastmcp import FastMCP as McpServer
    from mcp.server.fastmcp.exceptions import ToolError
    from mcp.types import ImageContent, TextContent, ToolAnnotations

    NEW = False

Region = Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})]


async def echo(text: str) -> str:
    """Say the text again."""
    return text


async def stock(region: Region, item: str = "apples") -> dict[str, Any]:
    """Tell how many are left."""
    return {"region": region, "item": item, "left": 12}


async def refuse(reason: str) -> str:
    """Refuse."""
    raise ToolError(reason)


async def slow(seconds: float) -> str:
    """Take a while; say on standard output how it went."""
    print("begun", flush=True)
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        print("cancelled", flush=True)
        raise
    print("done", flush=True)
    return "done"


async def picture() -> list[Any]:
    """Give words and a picture."""
    data = base64.b64encode(b"png").decode()
    mime = {"mime_type": "image/png"} if NEW else {"mimeType": "image/png"}
    return [TextContent(type="text", text="Here it is."), ImageContent(type="image", data=data, **mime)]


def server(port: int, in_json: bool) -> Any:
    """Return the coroutine of a server."""
    options = {} if NEW else {"host": "127.0.0.1", "port": port, "json_response": in_json, "log_level": "ERROR"}
    made = McpServer("test", **options)
    hint = {"read_only_hint": True} if NEW else {"readOnlyHint": True}
    made.tool(annotations=ToolAnnotations(**hint))(echo)
    for function in (stock, refuse, slow, picture):
        made.tool()(function)
    if NEW:
        return made.run_streamable_http_async(host="127.0.0.1", port=port, json_response=in_json)
    return made.run_streamable_http_async()


async def main() -> None:
    """Serve until the process is ended."""
    json_port, events_port = map(int, sys.argv[1:])
    await asyncio.gather(server(json_port, True), server(events_port, False))


if __name__ == "__main__":
    asyncio.run(main())
