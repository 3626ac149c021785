"""A request's body, counted while it streams in: raw, or the first file of a multipart form."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from fastapi import Request
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect

from service.admission import Holding
from service.problems import BadParameter, BodyTooLarge, BodyTooSlow, ClientGone


async def read_body(request: Request, *, limit: int, timeout_s: float, holding: Holding) -> bytes:
    """The bytes of the picture or file.  Nothing is spooled to disk.

    Bytes are added to the holding before they are kept.  Raises QueueFull if they do not fit, BodyTooLarge as soon as
    there is more than ``limit``, BodyTooSlow, ClientGone, BadParameter for an empty body or a form without a file.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise BodyTooLarge(f"{int(declared):,} bytes are announced, {limit:,} are the most")
    try:
        async with asyncio.timeout(timeout_s):
            data = await _collect(request.stream(), limit, holding)
    except TimeoutError as exc:
        raise BodyTooSlow(f"the body did not come in within {timeout_s:g} seconds") from exc
    except ClientDisconnect as exc:
        raise ClientGone("the body broke off") from exc
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind == b"multipart/form-data":
        # Python's parser is slow on purpose-made forms, and everybody else waits for this thread.
        data = await asyncio.to_thread(_first_file, data, options.get(b"boundary", b""))
    if not data:
        raise BadParameter("the body is empty", hint="send the bytes of a picture or a .gnc file")
    return data


async def _collect(stream: AsyncIterator[bytes], limit: int, holding: Holding) -> bytes:
    body = bytearray()
    async for chunk in stream:
        if len(body) + len(chunk) > limit:
            raise BodyTooLarge(f"the body has more than {limit:,} bytes")
        holding.add(len(chunk))
        body += chunk
    return bytes(body)


MOST_PARTS: Final = 16
"""Of a form."""


class _FirstFile:
    """Callbacks of the parser: the content of the first part that has a file name, else of the first part."""

    def __init__(self) -> None:
        self.found: bytearray | None = None
        self.named = False
        self._headers: dict[bytes, bytes] = {}
        self._name, self._value = bytearray(), bytearray()
        self._part: bytearray | None = None
        self._parts = 0

    def on_part_begin(self) -> None:
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise ValueError(f"it has more than {MOST_PARTS} parts")
        self._headers, self._part = {}, bytearray()

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def on_header_end(self) -> None:
        self._headers[bytes(self._name).lower()] = bytes(self._value)
        self._name, self._value = bytearray(), bytearray()

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        assert self._part is not None
        self._part += data[start:end]

    def on_part_end(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        named = b"filename" in options
        if self.found is None or (named and not self.named):
            self.found, self.named = self._part, named


def _first_file(body: bytes, boundary: bytes) -> bytes:
    parts = _FirstFile()
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": parts.on_part_begin,
                "on_header_field": parts.on_header_field,
                "on_header_value": parts.on_header_value,
                "on_header_end": parts.on_header_end,
                "on_part_data": parts.on_part_data,
                "on_part_end": parts.on_part_end,
            },
        )
        parser.write(body)
        parser.finalize()
    except Exception as exc:  # the parser's errors have no common base that is public
        raise BadParameter(f"the form cannot be read: {exc}", hint="send the picture as the body itself") from exc
    if parts.found is None:
        raise BadParameter("the form has no part", hint="send the picture as the part `file`, or as the body itself")
    return bytes(parts.found)
