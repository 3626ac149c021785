"""What the service lets in: work by its cost in pixels, and people by their keys."""

from __future__ import annotations

import hmac
import ipaddress
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from service.problems import QueueFull, Unauthorised

RETRY_AFTER_S = 2
MOST_RETRY_AFTER_S = 60
"""By then something has changed, whatever the device's pace was."""


class Budget:
    """What all requests in work may have together: pixels, their cost, or bytes of bodies."""

    def __init__(
        self,
        limit: float,
        unit: str,
        *,
        room: Callable[[], float] = lambda: math.inf,
        per_s: Callable[[], float] = lambda: math.inf,
    ) -> None:
        """room: how much may be held at the moment, if that is less; one request may have more.

        per_s: how much gets done in a second, which says when to come again.
        """
        self.limit, self.unit, self._room, self._per_s = limit, unit, room, per_s
        self._held = 0
        self._lock = threading.Lock()

    @property
    def held(self) -> int:
        """By the requests in work."""
        return self._held

    @contextmanager
    def hold_anyway(self, amount: int) -> Iterator[None]:
        """Count so much for the time of the block, whether it fits or not: it is there already."""
        self._change(amount, anyway=True)
        try:
            yield
        finally:
            self._change(-amount)

    @contextmanager
    def hold(self, amount: int) -> Iterator[Holding]:
        """Count so much for the time of the block, and what is added to it.  Raises QueueFull if it does not fit."""
        holding = Holding(self)
        with holding.kept():
            holding.add(amount)
            yield holding

    def _change(self, amount: int, *, anyway: bool = False) -> None:
        with self._lock:
            limit = min(self.limit, max(amount, self._room()))
            if amount > 0 and not anyway and self._held + amount > limit:
                in_work = f"{self._held:,} of {limit:,.0f} {self.unit} are in work"
                wait_s = (self._held + amount - limit) / self._per_s()
                raise full(f"{in_work}, and this request has {amount:,} more", wait_s=wait_s)
            self._held += amount


class Holding:
    """What one request has of a budget.  It is given back when the last one who keeps it lets go."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._amount = self._keepers = 0
        self._lock = threading.Lock()

    def add(self, amount: int) -> None:
        """Raises QueueFull if it does not fit."""
        with self._lock:
            self._budget._change(amount)
            self._amount += amount

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keep it for the time of the block: a thread that cannot be stopped keeps it longer than its request."""
        with self._lock:
            self._keepers += 1
        try:
            yield
        finally:
            with self._lock:
                self._keepers -= 1
                if not self._keepers:
                    self._budget._change(-self._amount)
                    self._amount = 0


def full(detail: str, *, wait_s: float = 0.0) -> QueueFull:
    """The answer to one request too many.  wait_s: until there may be room, if that is known."""
    seconds = min(max(math.ceil(min(wait_s, MOST_RETRY_AFTER_S)), RETRY_AFTER_S), MOST_RETRY_AFTER_S)
    return QueueFull(detail, hint="try again a little later", headers={"Retry-After": str(seconds)})


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
