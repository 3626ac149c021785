"""Around every request: an id, security headers, problems in place of tracebacks, one line of log."""

from __future__ import annotations

import json
import logging
import re
import time
import uuid
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gancodec.errors import GancodecError
from service.problems import BadParameter, Problem, from_gancodec, response

log = logging.getLogger("gancodec.service.access")
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
CONTENT_SECURITY = (
    "default-src 'none'; img-src 'self' blob: data:; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": CONTENT_SECURITY,
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class AccessLog:
    """Around all that answers.  Of a request its method and path are written: neither body, nor keys, nor query."""

    def __init__(self, app: ASGIApp, owner: FastAPI) -> None:
        self.app, self.owner = app, owner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        given = headers.get("x-request-id", "")
        request_id = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        started, seen = time.perf_counter(), {"status": 0, "bytes": 0}
        # What can be got can be asked for its head (RFC 9110, 9.3.2), which FastAPI's own routes do not know.
        inner = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen["status"] = message["status"]
                present = {name.lower() for name, _ in message["headers"]}
                for name, value in (SECURITY_HEADERS | {"X-Request-Id": request_id}).items():
                    if name.lower().encode() not in present:
                        message["headers"].append((name.encode(), value.encode()))
            elif message["type"] == "http.response.body":
                if inner is not scope:
                    message["body"] = b""
                seen["bytes"] += len(message.get("body", b""))
            await send(message)

        try:
            with self.owner.state.closing.working():
                await self.app(inner, receive, sending)
        except Exception:
            logging.getLogger("gancodec.service").exception("request %s failed", request_id)
            if seen["status"]:
                raise  # half an answer is out
            failed = Problem("something unexpected happened", hint="the log knows the request_id")
            await response(failed, request_id)(scope, receive, sending)
        finally:
            self._note(scope["method"], inner, request_id, time.perf_counter() - started, seen)

    def _note(self, method: str, scope: Scope, request_id: str, seconds: float, seen: dict[str, int]) -> None:
        route = scope.get("route")
        path = getattr(route, "path", "other")
        measures = self.owner.state.measures
        measures.requests.labels(path, str(seen["status"])).inc()
        measures.request_seconds.labels(path).observe(seconds)
        row: dict[str, Any] = {
            "request_id": request_id,
            "method": method,
            "path": path,
            "status": seen["status"],
            "ms": round(1000 * seconds, 1),
            "bytes_out": seen["bytes"],
        }
        log.info(json.dumps(row))


def install(app: FastAPI) -> None:
    """Add the middleware, and turn every error into a problem."""
    app.add_middleware(AccessLog, owner=app)

    @app.exception_handler(Problem)
    async def problem(request: Request, exc: Problem) -> Response:
        return response(exc, request.state.request_id)

    @app.exception_handler(GancodecError)
    async def package_error(request: Request, exc: GancodecError) -> Response:
        return response(from_gancodec(exc), request.state.request_id)

    @app.exception_handler(RequestValidationError)
    async def validation(request: Request, exc: RequestValidationError) -> Response:
        first = exc.errors()[0]
        place = ".".join(str(part) for part in first["loc"][1:]) or "request"
        return response(BadParameter(f"{place}: {first['msg']}"), request.state.request_id)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, exc: HTTPException) -> Response:
        headers = dict(exc.headers or {})
        if headers.get("Allow") == "GET":
            headers["Allow"] = "GET, HEAD"
        found = Problem(str(exc.detail), headers=headers)
        found.status, found.code, found.title = exc.status_code, "http", str(exc.detail)  # type: ignore[misc]
        return response(found, request.state.request_id)
