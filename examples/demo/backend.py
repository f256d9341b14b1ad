"""A small web server for demonstrations: answers every GET with its own name.

Usage: backend.py NAME ADDRESS PORT
"""

from __future__ import annotations

import http.server
import socketserver
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    """Says who it is."""

    protocol_version = "HTTP/1.1"
    name = ""

    def do_GET(self) -> None:
        """Answer with the server's name."""
        body = f"{self.name}\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet: the load balancer's log tells the story."""


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """One thread a connection; a listen queue long enough for a burst."""

    daemon_threads = True
    request_queue_size = 1024


def main() -> None:
    """Serve until ended."""
    Handler.name, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    Server((address, port), Handler).serve_forever()


if __name__ == "__main__":
    main()
