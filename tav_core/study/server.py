"""Serve the study's page and its API to browsers on this machine only."""

from __future__ import annotations

import errno
import json
import sys
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ..errors import short
from ..files import parse_json
from . import PORT
from .rating import Study, UnknownName

HOST = "127.0.0.1"
_LAST_PORT = 65535
_PAGE = Path(__file__).parent / "page"
_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/study.js": ("study.js", "text/javascript; charset=utf-8"),
    "/study.css": ("study.css", "text/css; charset=utf-8"),
}
_LONGEST_BODY = 4096  # bytes
_POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; media-src blob:; img-src data:"


class StudyServer(ThreadingHTTPServer):
    """Serve a study on the loopback interface; ``port`` 0 takes a free one.

    ======================  ====================================================================
    ``GET /``               the page
    ``GET /api/question``   ``?rater=NAME`` the first open question, ``&number=N`` that one
    ``POST /api/answer``    JSON with ``rater``, ``id`` and ``choice``
    ``GET /video/NAME``     a video
    ======================  ====================================================================

    Errors are answered with a status of 400 or above and JSON with one sentence, ``error``.

    Raises:
        ValueError: the port is taken or invalid.
    """

    daemon_threads = True
    request_queue_size = 1024  # a hall of raters may begin at once
    allow_reuse_address = sys.platform != "win32"  # on Windows, it would let two servers share a port

    def __init__(self, study: Study, port: int = PORT) -> None:
        self.study = study
        if not 0 <= port <= _LAST_PORT:
            raise ValueError(f"There is no port {port}: choose one from 1024 to {_LAST_PORT} with --port.")
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            raise ValueError(f"Port {port} is taken: choose another with --port, e.g. --port {PORT + 1}.") from error

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):  # a page was closed while it loaded
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30  # seconds in which a client must send or take something
    server_version, sys_version = "tav-study", ""
    server: StudyServer

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, work: Callable[[], None]) -> None:
        try:
            # DNS rebinding: another page's own host name may point here
            if urlsplit(f"//{self.headers.get('Host', '')}").hostname not in (HOST, "localhost"):
                return self._refuse(HTTPStatus.FORBIDDEN, f"This study answers at {self.server.url} only.")
            if urlsplit(self.headers.get("Origin", "")).netloc not in ("", self.headers["Host"]):
                return self._refuse(HTTPStatus.FORBIDDEN, "This study takes answers from its own page only.")
            work()
        except UnknownName as error:
            self._refuse(HTTPStatus.CONFLICT, str(error))
        except ValueError as error:
            self._refuse(HTTPStatus.BAD_REQUEST, str(error))
        except (ConnectionError, TimeoutError):
            raise
        except OSError as error:
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))

    def _get(self) -> None:
        address = urlsplit(self.path)
        if address.path in _FILES:
            name, kind = _FILES[address.path]
            self._send((_PAGE / name).read_bytes(), kind)
        elif address.path == "/api/question":
            query = parse_qs(address.query)
            number = _number(query["number"][0]) if "number" in query else None
            self._send_json(self.server.study.question(query.get("rater", [""])[0], number))
        elif address.path.startswith("/video/"):
            self._send_video(self.server.study.video(address.path.removeprefix("/video/")))
        else:
            self._refuse(HTTPStatus.NOT_FOUND, f"There is nothing at {address.path}.")

    def _post(self) -> None:
        length = _number(self.headers.get("Content-Length", "0"))
        if self.path != "/api/answer":
            return self._refuse(HTTPStatus.NOT_FOUND, f"There is nothing at {self.path}.")
        # another page's form can be posted here, but not as JSON
        if self.headers.get_content_type() != "application/json" or not 0 < length <= _LONGEST_BODY:
            raise ValueError("An answer is a small JSON object.")
        try:
            body = parse_json(self.rfile.read(length))
        except ValueError as error:
            raise ValueError("An answer is a small JSON object.") from error
        if not isinstance(body, dict) or not all(isinstance(body.get(key), str) for key in ("rater", "id", "choice")):
            raise ValueError("An answer needs the texts rater, id and choice.")
        self.server.study.answer(body["rater"], body["id"], body["choice"])
        self._send_json({})

    def _send_video(self, path: Path) -> None:
        try:
            content = path.read_bytes()
        except OSError as error:  # its message names the file, and with it the system
            raise OSError("A video of this pair is not readable any more: report it to the organiser.") from error
        self._send(content, "video/webm" if path.suffix == ".webm" else "video/mp4")

    def _send_json(self, values: dict, status: HTTPStatus = HTTPStatus.OK) -> None:
        self._send(json.dumps(values).encode(), "application/json", status)

    def _refuse(self, status: HTTPStatus, sentence: str) -> None:
        self.close_connection = True  # the body may be unread
        self._send_json({"error": sentence}, status)

    def _send(self, content: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", _POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ValueError(f"{short(text)!r} is not a number of a question or a length.")
    return int(text)
