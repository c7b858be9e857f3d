"""Stands in for the embedded model's server: the same arguments and standard input, and words at once.

A file `dies` in the working folder ends it as it loads; `loads` holds the seconds that it takes to load.
"""

import http.server
import json
import os
import sys
import threading
import time
from pathlib import Path

WORDS = 20
SECONDS = 0.05


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    loaded_at = 0.0

    def do_GET(self) -> None:
        self.reply(200 if time.monotonic() >= self.loaded_at else 503, b"{}")

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        envelope = {"id": "chatcmpl-1", "created": 1, "model": "local-demo"}
        if not asked.get("stream"):
            message = {"role": "assistant", "content": "Hello there"}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            self.reply(200, json.dumps({**envelope, "object": "chat.completion", "choices": [choice]}).encode())
            return
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        for number in range(WORDS + 1):
            delta = {"content": "there "} if number < WORDS else {}
            choice = {"index": 0, "delta": delta, "finish_reason": None if delta else "stop"}
            chunk = {**envelope, "object": "chat.completion.chunk", "choices": [choice]}
            self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
            time.sleep(SECONDS)
        self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

    def reply(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    allow_reuse_port = True


def main() -> None:
    sys.stdin.readline()
    if Path("dies").exists():
        os._exit(1)
    loads = Path("loads")
    Handler.loaded_at = time.monotonic() + float(loads.read_text() if loads.exists() else 0.3)
    server = Server(("127.0.0.1", int(sys.argv[1])), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
