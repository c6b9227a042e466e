"""A small HTTPS service of JSON resources with a password and with faults; it keeps what was asked of it."""

from __future__ import annotations

import base64
import json
import ssl
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 signed by itself, and its key."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    argv = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    argv += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(argv, check=True, capture_output=True)
    return cert, key


class Service:
    """Serves ``resources`` (path to JSON value or bytes) to whoever knows the password."""

    def __init__(self, folder: Path, resources: dict[str, Any], user: str, password: str) -> None:
        self.resources, self.asked, self.fault = resources, [], ""  # type: ignore[var-annotated]
        self.cert, key = certificate(folder)
        token = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        service = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                service.asked.append(self.command)
                if service.fault == "slow":
                    time.sleep(1.5)
                path = self.path.rstrip("/")
                body: Any = service.resources.get(path)
                code = 200 if body is not None else 404
                if path == "/redfish/v1":
                    code, body = (
                        200,
                        {"@odata.id": "/redfish/v1", "Links": {"Sessions": {"@odata.id": "/redfish/v1/S"}}},
                    )
                elif self.headers.get("Authorization") != token:
                    code, body = 401, {}
                elif path == "/redfish/v1/S":
                    code, body = 200, {}
                elif service.fault == "busy":
                    code, body = 503, {}
                elif service.fault == "garbage":
                    body = b"<html>"
                raw = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            do_GET = do_POST = do_PATCH = do_DELETE = _answer

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"https://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
