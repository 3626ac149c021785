"""A client of the HTTP service, with nothing but the standard library.

>>> client = Client("http://localhost:8000")
>>> file = client.compress(Path("photo.jpg").read_bytes(), quality=60)
>>> Path("photo.gnc").write_bytes(file.data)
>>> picture = client.decompress(file.data, realism=1.0)
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any, Final, Literal
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import HTTPHandler, HTTPRedirectHandler, HTTPSHandler, OpenerDirector, Request, build_opener

from gancodec.defaults import GNC_MEDIA_TYPE
from gancodec.errors import ConfigError, GancodecError

PictureFormat = Literal["png", "webp", "avif", "jpeg"]
RETRIED: Final = (429, 503)
WAIT_S: Final = 2.0
"""Before the next try, where the service does not say."""


class ServiceError(GancodecError):
    """The service refused, failed, or could not be reached."""

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        status: int | None = None,
        code: str = "unreachable",
        request_id: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        """Of HTTP; None if there was no answer."""
        self.code = code
        """Stable; see docs/service.md."""
        self.request_id = request_id


@dataclass(frozen=True, kw_only=True, slots=True)
class Compressed:
    """A .gnc file, and what the service said of it."""

    data: bytes
    codec: str
    bpp: float
    width: int
    """Pixels."""
    height: int
    queue_ms: float
    compute_ms: float
    notice: str
    """What was changed in the picture before, such as its 16 bits; empty if nothing was."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Decompressed:
    """A picture file, and what the service said of it."""

    data: bytes
    media_type: str
    codec: str
    width: int
    """Pixels."""
    height: int
    queue_ms: float
    compute_ms: float
    warning: str
    """What was left out of the picture; empty if nothing was."""


class Client:
    """One service.  May be used from several threads."""

    def __init__(self, url: str, *, api_key: str | None = None, timeout_s: float = 120.0, retries: int = 0) -> None:
        """url: such as http://localhost:8000.  retries: how often a full or unready service is asked again.

        Raises ConfigError for an address that is none of http or https.
        """
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
            raise ConfigError(f"{url!r} is no address of a service", hint="give http://HOST:PORT")
        self._url, self._timeout_s, self._retries = url.rstrip("/"), timeout_s, retries
        self._headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
        self._opener: OpenerDirector = build_opener(_Http, _Https, _NoRedirects)

    def compress(
        self,
        picture: bytes,
        *,
        quality: float | None = None,
        target_bpp: float | None = None,
        target_size: int | None = None,
        codec: str | None = None,
    ) -> Compressed:
        """The bytes of a picture file to a .gnc file; arguments as in ``Codec.compress``.  Raises ServiceError."""
        query = {"quality": quality, "target_bpp": target_bpp, "target_size": target_size, "codec": codec}
        data, headers = self._post("/v1/compress", picture, query, content_type="application/octet-stream")
        notice = headers.get("Gancodec-Notice", "")
        return Compressed(data=data, bpp=float(headers["Gancodec-Bpp"]), notice=notice, **_facts(headers))

    def decompress(self, file: bytes, *, realism: float = 0.0, format: PictureFormat = "png") -> Decompressed:
        """The bytes of a .gnc file to a picture file.  Raises ServiceError."""
        query = {"realism": realism}
        data, headers = self._post("/v1/decompress", file, query, content_type=GNC_MEDIA_TYPE, accept=f"image/{format}")
        warning = headers.get("Gancodec-Warning", "")
        return Decompressed(data=data, media_type=headers["Content-Type"], warning=warning, **_facts(headers))

    def info(self, file: bytes) -> dict[str, Any]:
        """What is in a .gnc file.  Raises ServiceError."""
        data, _ = self._post("/v1/info", file, {}, content_type=GNC_MEDIA_TYPE)
        facts: dict[str, Any] = json.loads(data)
        return facts

    def codecs(self) -> list[dict[str, Any]]:
        """The codecs that are served, the default one first.  Raises ServiceError."""
        data, _ = self._send(Request(f"{self._url}/v1/codecs", headers=self._headers))
        found: list[dict[str, Any]] = json.loads(data)["codecs"]
        return found

    def is_ready(self) -> bool:
        """Whether the service takes pictures; False if it cannot be reached."""
        try:
            self._once(Request(f"{self._url}/readyz"))
        except ServiceError:
            return False
        return True

    def _post(
        self, path: str, body: bytes, query: Mapping[str, object], *, content_type: str, accept: str = "*/*"
    ) -> tuple[bytes, Message]:
        given = urlencode({name: value for name, value in query.items() if value is not None})
        url = f"{self._url}{path}" + (f"?{given}" if given else "")
        headers = self._headers | {"Content-Type": content_type, "Accept": accept}
        return self._send(Request(url, data=body, headers=headers, method="POST"))

    def _send(self, request: Request) -> tuple[bytes, Message]:
        for left in range(self._retries, -1, -1):
            try:
                return self._once(request)
            except _Refused as exc:
                if left == 0 or exc.status not in RETRIED:
                    raise
                time.sleep(exc.wait_s)
        raise AssertionError("unreachable")

    def _once(self, request: Request) -> tuple[bytes, Message]:
        try:
            with self._opener.open(request, timeout=self._timeout_s) as answer:
                return answer.read(), answer.headers
        except HTTPError as exc:
            with exc:
                raise _refused(exc) from exc
        except (URLError, OSError, HTTPException) as exc:
            reason = getattr(exc, "reason", exc)
            raise ServiceError(f"{self._url} cannot be reached: {reason}", hint="is the service running?") from exc


class _Hearing:
    """For connections: a body that the other end does not take any more may have its answer already.

    A service that refuses what is too large, or comes without a key, says so before it has read all of it.
    """

    def request(self, *given: Any, **named: Any) -> None:
        try:
            super().request(*given, **named)  # type: ignore[misc]
        except (BrokenPipeError, ConnectionResetError, ConnectionAbortedError):
            if self.sock is None:  # type: ignore[attr-defined]
                raise  # before there was a connection


class _NoRedirects(HTTPRedirectHandler):
    """A redirect would carry key and picture to whom it names."""

    def redirect_request(self, *args: Any) -> None:
        return None


class _HttpConnection(_Hearing, HTTPConnection):
    pass


class _HttpsConnection(_Hearing, HTTPSConnection):
    pass


class _Http(HTTPHandler):
    def http_open(self, req: Request) -> HTTPResponse:
        return self.do_open(_HttpConnection, req)


class _Https(HTTPSHandler):
    def do_open(self, http_class: Any, req: Request, **options: Any) -> HTTPResponse:
        # Whatever class and options https_open of this Python's version chooses, but a connection that hears.
        return super().do_open(_HttpsConnection, req, **options)


class _Refused(ServiceError):
    wait_s: float = WAIT_S


def _refused(error: HTTPError) -> _Refused:
    """From problem+json; from anything else, what HTTP says."""
    try:
        problem = json.loads(error.read())
        detail, hint, code = problem["detail"], problem.get("hint", ""), problem["code"]
        request_id = problem.get("request_id", "")
    except (ValueError, KeyError, TypeError, OSError):
        detail, hint, code, request_id = f"{error.code} {error.reason}", "", "http", ""
    found = _Refused(str(detail), hint=hint, status=error.code, code=code, request_id=request_id)
    wait = error.headers.get("Retry-After", "") if error.headers else ""
    found.wait_s = float(wait) if wait.isdigit() else WAIT_S
    return found


def _facts(headers: Message) -> dict[str, Any]:
    return {
        "codec": headers["Gancodec-Codec"],
        "width": int(headers["Gancodec-Width"]),
        "height": int(headers["Gancodec-Height"]),
        "queue_ms": float(headers["Gancodec-Queue-Ms"]),
        "compute_ms": float(headers["Gancodec-Compute-Ms"]),
    }
