"""A client of the HTTP service, with nothing but the standard library.

>>> client = Client("http://localhost:8000")
>>> file = client.compress(Path("photo.jpg").read_bytes(), quality=60)
>>> Path("photo.gnc").write_bytes(file.data)
>>> picture = client.decompress(file.data, realism=1.0)
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import Message
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection, IncompleteRead
from typing import Any, Final, Literal, TypeVar, get_args
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import HTTPHandler, HTTPRedirectHandler, HTTPSHandler, OpenerDirector, Request, build_opener

from gancodec.defaults import GNC_MEDIA_TYPE
from gancodec.errors import ConfigError, GancodecError

PictureFormat = Literal["png", "webp", "avif", "jpeg"]
RETRIED: Final = (429, 503)
WAIT_S: Final = 2.0
"""Before the next try, where the service does not say."""
MOST_WAIT_S: Final = 60.0
"""Whatever it says."""
PIECE_BYTES: Final = 1 << 20
MOST_PROBLEM_BYTES: Final = 1 << 20
JSON_TYPE: Final = "application/json"
T = TypeVar("T")


class ServiceError(GancodecError):
    """The service refused, failed, could not be reached, or something else is at its address."""

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
        """Stable; see docs/service.md.  Without an answer of the service: ``unreachable`` or ``foreign``."""
        self.request_id = request_id


MOST_TIMEOUT_S: Final = 86_400.0


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
    """What was changed in the picture before, such as its 16 bits, or that time was short for the effort; empty if
    nothing was."""


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

        timeout_s: for a call with all its tries, and the waiting between them.
        Raises ConfigError for an address that is none of http or https, for a key that no header can hold, and numbers
        out of range.
        """
        _check_address(url)
        if api_key is not None and not re.fullmatch("[ -~]*", api_key):
            raise ConfigError("the key has characters that no HTTP header can hold", hint="is its line's end with it?")
        if not 0 < timeout_s <= MOST_TIMEOUT_S or retries < 0:
            hint = f"give seconds, {MOST_TIMEOUT_S:,.0f} at most, and 0 or more tries"
            raise ConfigError(f"timeout_s is {timeout_s}, retries {retries}", hint=hint)
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
        effort: int | None = None,
        codec: str | None = None,
    ) -> Compressed:
        """The bytes of a picture file to a .gnc file; arguments as in ``Codec.compress``.  Raises ServiceError.

        effort: None is the service's own choice; ``codecs`` tells the most that it allows.
        """
        query = {
            "quality": quality, "target_bpp": target_bpp, "target_size": target_size, "effort": effort, "codec": codec,
        }  # fmt: skip
        request = self._post("/v1/compress", picture, query, content_type="application/octet-stream")

        def made(data: bytes, headers: Message) -> Compressed:
            notice = headers.get("Gancodec-Notice", "")
            return Compressed(data=data, bpp=_number(headers, "Gancodec-Bpp"), notice=notice, **_facts(headers))

        return self._send(request, GNC_MEDIA_TYPE, made)

    def decompress(self, file: bytes, *, realism: float = 0.0, format: PictureFormat = "png") -> Decompressed:
        """The bytes of a .gnc file to a picture file.  Raises ServiceError, ConfigError for an unknown format."""
        if format not in get_args(PictureFormat):
            raise ConfigError(f"format is {format!r}", hint=f"use {', '.join(get_args(PictureFormat))}")
        kind = f"image/{format}"
        request = self._post("/v1/decompress", file, {"realism": realism}, content_type=GNC_MEDIA_TYPE, accept=kind)

        def made(data: bytes, headers: Message) -> Decompressed:
            warning = headers.get("Gancodec-Warning", "")
            return Decompressed(data=data, media_type=kind, warning=warning, **_facts(headers))

        return self._send(request, kind, made)

    def info(self, file: bytes) -> dict[str, Any]:
        """What is in a .gnc file.  Raises ServiceError."""
        return self._send(self._post("/v1/info", file, {}, content_type=GNC_MEDIA_TYPE), JSON_TYPE, _members)

    def codecs(self) -> list[dict[str, Any]]:
        """The codecs that are served, the default one first.  Raises ServiceError."""

        def listed(data: bytes, headers: Message) -> list[dict[str, Any]]:
            found = _members(data, headers).get("codecs")
            if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
                raise ValueError("its answer has no list of codecs")
            return found

        return self._send(Request(f"{self._url}/v1/codecs", headers=self._headers), JSON_TYPE, listed)

    def is_ready(self) -> bool:
        """Whether the service takes pictures; False if it cannot be reached, or something else is at its address."""
        try:
            told = self._once(Request(f"{self._url}/readyz"), JSON_TYPE, _members, self._deadline())
        except ServiceError:
            return False
        return told.get("status") == "ready"

    def _post(
        self, path: str, body: bytes, query: Mapping[str, object], *, content_type: str, accept: str = "*/*"
    ) -> Request:
        given = urlencode({name: value for name, value in query.items() if value is not None}, errors="replace")
        url = f"{self._url}{path}" + (f"?{given}" if given else "")
        headers = self._headers | {"Content-Type": content_type, "Accept": accept}
        return Request(url, data=body, headers=headers, method="POST")

    def _deadline(self) -> float:
        return time.monotonic() + self._timeout_s

    def _send(self, request: Request, media_type: str, made: Callable[[bytes, Message], T]) -> T:
        """What the function makes of an answer, with as many tries as are allowed and there is time for."""
        deadline = self._deadline()
        left = self._retries
        while True:
            try:
                return self._once(request, media_type, made, deadline)
            except _Refused as exc:
                if left == 0 or exc.status not in RETRIED or time.monotonic() + exc.wait_s >= deadline:
                    raise
                time.sleep(exc.wait_s)
            left -= 1

    def _once(self, request: Request, media_type: str, made: Callable[[bytes, Message], T], deadline: float) -> T:
        try:
            with self._opener.open(request, timeout=max(0.001, deadline - time.monotonic())) as answer:
                status, headers, data = answer.status, answer.headers, _read(answer, deadline)
        except HTTPError as exc:
            with exc:
                raise self._refused(exc, deadline) from exc
        except IncompleteRead as exc:
            raise ServiceError(f"the answer of {self._url} broke off", hint="try again; its log may say why") from exc
        except (URLError, OSError, HTTPException, ValueError) as exc:  # ValueError: of names that no network can have
            reason = getattr(exc, "reason", exc)
            raise ServiceError(f"{self._url} cannot be reached: {reason}", hint="is the service running?") from exc
        try:
            if headers.get_content_type() != media_type:
                raise ValueError(f"its answer is {headers.get_content_type()}, not {media_type}")
            return made(data, headers)
        except (ValueError, RecursionError) as exc:
            raise ServiceError(
                f"what is at {self._url} does not answer as the service does: {exc}",
                hint="is this its address, and does a proxy leave its headers alone?",
                status=status,
                code="foreign",
            ) from exc

    def _refused(self, error: HTTPError, deadline: float) -> _Refused:
        """From problem+json; from anything else, what HTTP says."""
        hint = f"this is not the service's own answer: is {self._url} its address?"
        if error.code in range(300, 400):
            hint = "it leads elsewhere, which is not followed: give the address of the service itself"
        detail, code, request_id = f"{error.code} {error.reason}", "http", ""
        try:
            problem = json.loads(_read(error.fp, deadline, most=MOST_PROBLEM_BYTES))
            detail, code = str(problem["detail"]), str(problem["code"])
            hint, request_id = str(problem.get("hint", "")), str(problem.get("request_id", ""))
        except (ValueError, KeyError, TypeError, AttributeError, OSError, HTTPException, RecursionError):
            pass
        found = _Refused(detail, hint=hint, status=error.code, code=code, request_id=request_id)
        found.wait_s = wait_of(error.headers.get("Retry-After", "") if error.headers else "")
        return found


def wait_of(retry_after: str) -> float:
    """Seconds until the next try: as the header Retry-After says (RFC 9110, 10.2.3), within our own bounds."""
    told = retry_after.strip()
    seconds = WAIT_S
    if re.fullmatch("[0-9]{1,9}", told):
        seconds = float(told)
    elif told:
        try:
            when = parsedate_to_datetime(told)
            seconds = (when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError, OverflowError):
            pass
    return min(max(seconds, 0.0), MOST_WAIT_S)


def _check_address(url: str) -> None:
    """Raise ConfigError for what cannot be the beginning of the service's addresses."""
    try:
        parts = urlsplit(url)
        wrong = parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0
        wrong = wrong or "@" in parts.netloc or parts.query != "" or parts.fragment != ""
    except ValueError:  # of a port, or of an address in brackets
        wrong = True
    if wrong or not re.fullmatch("[!-~]+", url):
        raise ConfigError(f"{url!r} is no address of a service", hint="give http://HOST:PORT")


def _read(answer: Any, deadline: float, *, most: float = math.inf) -> bytes:
    """The body of an HTTPResponse, whole.  Raises IncompleteRead, TimeoutError, OSError, ValueError for too much."""
    data = bytearray()
    while piece := answer.read1(PIECE_BYTES):
        data += piece
        if len(data) > most:
            raise ValueError(f"more than {most} bytes")
        # A timeout of sockets is for each piece: one byte now and then would never end.
        if time.monotonic() > deadline:
            raise TimeoutError("the answer took too long")
    if answer.length:
        raise IncompleteRead(bytes(data), answer.length)
    return bytes(data)


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

    def http_error_302(self, *args: Any) -> None:
        """Does not even read where to: an address that is none would leave the connection open."""

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302  # type: ignore[assignment]


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


def _members(data: bytes, headers: Message) -> dict[str, Any]:
    told = json.loads(data)
    if not isinstance(told, dict):
        raise ValueError("its answer is no JSON object")
    return told


def _header(headers: Message, name: str) -> str:
    value = headers.get(name)
    if value is None:
        raise ValueError(f"it has no header {name}")
    return str(value)


def _number(headers: Message, name: str) -> float:
    text = _header(headers, name)
    if not re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,15})?", text):
        raise ValueError(f"its header {name} is {text[:40]!r}, no number")
    return float(text)


def _facts(headers: Message) -> dict[str, Any]:
    return {
        "codec": _header(headers, "Gancodec-Codec"),
        "width": int(_number(headers, "Gancodec-Width")),
        "height": int(_number(headers, "Gancodec-Height")),
        "queue_ms": _number(headers, "Gancodec-Queue-Ms"),
        "compute_ms": _number(headers, "Gancodec-Compute-Ms"),
    }
