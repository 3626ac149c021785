"""What the service lets in: work by its cost in pixels, and people by their keys."""

from __future__ import annotations

import hmac
import ipaddress
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from service.problems import QueueFull, Unauthorised

RETRY_AFTER_S = 2


class PixelBudget:
    """Pixels of all requests in work; one 100-megapixel picture is not one thumbnail."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._held = 0
        self._lock = threading.Lock()

    @property
    def held(self) -> int:
        """Pixels of the requests in work."""
        return self._held

    @contextmanager
    def hold(self, pixels: int) -> Iterator[None]:
        """Count ``pixels`` for the time of the block.  Raises QueueFull if they do not fit."""
        with self._lock:
            if self._held + pixels > self.limit:
                raise QueueFull(
                    f"{self._held:,} of {self.limit:,} pixels are in work, and this picture has {pixels:,}",
                    hint="try again a little later",
                    headers={"Retry-After": str(RETRY_AFTER_S)},
                )
            self._held += pixels
        try:
            yield
        finally:
            with self._lock:
                self._held -= pixels


class Doorkeeper:
    """Who may use the service: holders of a key; without keys the own machine, or everybody if that was asked for."""

    def __init__(self, keys: Sequence[str], *, open_access: bool) -> None:
        self._keys = [key.encode() for key in keys]
        self._open = open_access

    def check(self, authorization: str | None, client: str | None, *, forwarded: bool) -> None:
        """Raise Unauthorised for whoever may not.

        client: address of the other end.  forwarded: whether a proxy stands between, whose address says nothing.
        """
        if self._keys:
            scheme, _, given = (authorization or "").partition(" ")
            # Every key is compared, each in constant time: an answer's time tells nothing.
            matches = [hmac.compare_digest(given.strip().encode(), key) for key in self._keys]
            if scheme.lower() == "bearer" and any(matches):
                return
            raise Unauthorised(
                "give a key as Authorization: Bearer KEY", headers={"WWW-Authenticate": 'Bearer realm="gancodec"'}
            )
        if self._open or (is_loopback(client) and not forwarded):
            return
        raise Unauthorised(
            "this service has no keys, and answers its own machine only",
            hint="its operator sets GANCODEC_SERVICE_API_KEYS, or GANCODEC_SERVICE_OPEN_ACCESS=true",
            headers={"WWW-Authenticate": 'Bearer realm="gancodec"'},
        )


def is_loopback(client: str | None) -> bool:
    """Whether an address is the own machine's."""
    try:
        return client is not None and ipaddress.ip_address(client).is_loopback
    except ValueError:
        return False
