"""What the service lets in: work by its cost in pixels, and people by their keys."""

from __future__ import annotations

import hmac
import ipaddress
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from service.problems import QueueFull, Unauthorised

RETRY_AFTER_S = 2


class Budget:
    """What all requests in work may have together: pixels, or bytes of bodies."""

    def __init__(self, limit: int, unit: str) -> None:
        self.limit, self.unit = limit, unit
        self._held = 0
        self._lock = threading.Lock()

    @property
    def held(self) -> int:
        """By the requests in work."""
        return self._held

    @contextmanager
    def hold(self, amount: int) -> Iterator[Callable[[int], None]]:
        """Count so much for the time of the block, and what the function that it gives is called with.

        Both raise QueueFull if it does not fit.
        """
        held = 0

        def more(amount: int) -> None:
            nonlocal held
            with self._lock:
                if self._held + amount > self.limit:
                    in_work = f"{self._held:,} of {self.limit:,} {self.unit} are in work"
                    raise full(f"{in_work}, and this request has {amount:,} more")
                self._held += amount
                held += amount

        more(amount)
        try:
            yield more
        finally:
            with self._lock:
                self._held -= held


def full(detail: str) -> QueueFull:
    """The answer to one request too many."""
    return QueueFull(detail, hint="try again a little later", headers={"Retry-After": str(RETRY_AFTER_S)})


class Doorkeeper:
    """Who may use the service: holders of a key; without keys the own machine, or everybody if that was asked for."""

    def __init__(self, keys: Sequence[str], *, open_access: bool) -> None:
        self._keys = [key.encode() for key in keys]
        self._open = open_access

    def check(
        self, authorization: str | None, client: str | None, *, host: str, forwarded: bool, cross_site: bool
    ) -> None:
        """Raise Unauthorised for whoever may not.

        client: address of the other end.  host: name that the client asked for; another site's page can make its own
        name mean this machine, but not the machine's name mean its own.  forwarded: whether a proxy stands between,
        whose address says nothing.  cross_site: whether a browser says that another site's page asks.
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
        is_own = is_loopback(client) and names_loopback(host) and not forwarded and not cross_site
        if self._open or is_own:
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


def names_loopback(host: str) -> bool:
    """Whether a Host header names the own machine."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    return name.lower() == "localhost" or is_loopback(name.strip("[]"))
