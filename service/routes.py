"""The paths of the service; what they do is in work.py."""

from __future__ import annotations

import asyncio
import enum
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import CancelledError
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import JSONResponse

from gancodec.defaults import EFFORT_MAX
from service.admission import Budget, Holding
from service.answering import CountedResponse
from service.batcher import ClosedError, DeadlineError, GivenUpError
from service.bodies import read_body
from service.closing import Closing
from service.engine import Engine, Ticket
from service.problems import BadParameter, ClientGone, DeadlinePassed, NotReady, not_started
from service.settings import Settings
from service.threads import Threads
from service.work import Answer, Work, check_effort, check_rate

router = APIRouter()
T = TypeVar("T")
GONE_POLL_S = 0.2
LOADING_RETRY_AFTER_S = 2


class Other(enum.StrEnum):
    """Codecs to compare with."""

    JPEG = "jpeg"
    WEBP = "webp"
    AVIF = "avif"


def guarded(request: Request) -> None:
    """Only those who may."""
    client = request.client.host if request.client else None
    request.app.state.doorkeeper.check(
        request.headers.get("authorization"),
        client,
        host=request.headers.get("host", ""),
        forwarded="x-forwarded-for" in request.headers or "forwarded" in request.headers,
        cross_site=request.headers.get("sec-fetch-site", "") == "cross-site",
    )


def taking(request: Request) -> None:
    """Raise NotReady for what comes after the service was told to end."""
    closing: Closing = request.app.state.closing
    if closing.begun:
        raise NotReady("the service is closing", hint="try again")


def standing(request: Request) -> None:
    """Raise NotReady where there are no codecs, with what is known of why."""
    taking(request)
    engine: Engine = request.app.state.engine
    if engine.failure:
        raise NotReady(not_started(engine.failure), hint="the service's log says more")
    if not engine.ready:
        headers = {"Retry-After": str(LOADING_RETRY_AFTER_S)}  # it passes by itself; a failure does not
        raise NotReady("weights are being loaded", hint="try again a little later", headers=headers)


Guarded = [Depends(guarded)]
Working = [*Guarded, Depends(taking)]
Coding = [*Guarded, Depends(standing)]
Quality = Annotated[float | None, Query(ge=0, le=100, description="0 to 100; 60 if nothing is asked for.")]
TargetBpp = Annotated[float | None, Query(gt=0, le=128, description="Bits per pixel of the whole file, at most.")]
TargetSize = Annotated[int | None, Query(gt=0, le=1 << 31, description="Bytes of the whole file, at most.")]
WantedEffort = Annotated[
    int | None,
    Query(ge=0, le=EFFORT_MAX, description="Time to be spent on a better file; more costs more."),
]
CodecName = Annotated[str | None, Query(max_length=100, description="One of /v1/codecs; the first one if not given.")]
Realism = Annotated[float, Query(ge=0, le=1, description="0 (faithful) to 1 (generated detail).")]
Accept = Annotated[str | None, Header(description="image/png, image/webp, image/avif or image/jpeg.")]


@router.post("/v1/compress", dependencies=Coding)
async def compress(
    request: Request,
    quality: Quality = None,
    target_bpp: TargetBpp = None,
    target_size: TargetSize = None,
    effort: WantedEffort = None,
    codec: CodecName = None,
) -> Response:
    """A picture, as the body or as the first file of a form, to a .gnc file."""
    only_known(request, "quality", "target_bpp", "target_size", "effort", "codec")
    rate = check_rate(quality, target_bpp, target_size)
    level = check_effort(effort, request.app.state.settings)
    work: Work = request.app.state.work
    request.app.state.engine.codec(codec)  # before the body is taken
    async with body_of(request) as body:
        made = await in_thread(request, body, lambda ticket: work.compress(body.data, rate, level, codec, ticket))
        return answer(request, made)


@router.post("/v1/decompress", dependencies=Coding)
async def decompress(request: Request, realism: Realism = 0.0, accept: Accept = None) -> Response:
    """A .gnc file to a picture of the format that is accepted; PNG where all are."""
    only_known(request, "realism")
    work: Work = request.app.state.work
    async with body_of(request) as body:
        made = await in_thread(request, body, lambda ticket: work.decompress(body.data, realism, accept, ticket))
        return answer(request, made)


@router.post("/v1/others/{name}", dependencies=Working)
async def others(
    request: Request,
    name: Other,
    target_size: Annotated[int, Query(gt=0, le=1 << 31, description="Bytes of the file, at most.")],
) -> Response:
    """A picture as another codec's file of at most so many bytes, to compare with; else its smallest file."""
    only_known(request, "target_size")
    work: Work = request.app.state.work
    async with body_of(request) as body:
        made = await in_thread(request, body, lambda ticket: work.other(body.data, name.value, target_size, ticket))
        return answer(request, made)


@router.post("/v1/info", dependencies=Working)
async def info(request: Request) -> dict[str, Any]:
    """What is in a .gnc file; no network is asked."""
    only_known(request)
    work: Work = request.app.state.work
    async with body_of(request) as body:
        facts: dict[str, Any] = await in_thread(request, body, lambda _: work.info(body.data))
    return facts


@router.get("/v1/codecs", dependencies=Coding)
async def codecs(request: Request) -> dict[str, Any]:
    """The codecs that are served; the first one is used where none is named."""
    only_known(request)
    engine: Engine = request.app.state.engine
    settings: Settings = request.app.state.settings
    return {
        "codecs": [
            {
                "name": codec.entry.name,
                "codec": codec.entry.codec,
                "model_id": codec.entry.model_id.hex(),
                "licence": codec.entry.licence,
                "has_quality": codec.pipeline.has_quality,
                "has_realism": codec.pipeline.has_realism,
                "max_effort": settings.max_effort if codec.pipeline.has_quality else 0,
                "device": codec.device,
            }
            for codec in engine.codecs.values()
        ]
    }


@router.get("/livez", include_in_schema=False)
async def livez() -> dict[str, str]:
    """Whether the process answers."""
    return {"status": "alive"}


@router.get("/readyz", include_in_schema=False)
async def readyz(request: Request) -> JSONResponse:
    """Whether pictures are taken: weights are loaded, and one has been there and back."""
    standing(request)
    return JSONResponse({"status": "ready"})


@router.get("/metrics", include_in_schema=False, dependencies=Guarded)
async def metrics(request: Request) -> Response:
    """For Prometheus."""
    return Response(request.app.state.measures.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def only_known(request: Request, *names: str) -> None:
    """Raise BadParameter for query parameters that mean nothing here, or stand there twice."""
    for name in request.query_params:
        if name not in names:
            raise BadParameter(f"{name!r} is no parameter here", hint=f"known are {', '.join(names) or 'none'}")
        if len(request.query_params.getlist(name)) > 1:
            raise BadParameter(f"{name!r} is given twice")


@dataclass(frozen=True, slots=True)
class Body:
    """A request's body, and what it has of QUEUE_BYTES."""

    data: bytes
    holding: Holding


@asynccontextmanager
async def body_of(request: Request) -> AsyncIterator[Body]:
    """The body, which counts as held until the block and the thread that works on it end.  Raises Problem."""
    settings = request.app.state.settings
    limit: int = settings.max_body_bytes
    # As bytes come in: what is only announced, by many who never send it, would keep everybody else away.
    with request.app.state.bodies.hold(0) as holding:
        data = await read_body(request, limit=limit, timeout_s=settings.body_timeout_s, holding=holding)
        request.app.state.measures.bytes.labels("in").inc(len(data))
        yield Body(data, holding)


async def in_thread(request: Request, body: Body, do: Callable[[Ticket], T]) -> T:
    """Run in a thread until it is done, the deadline has passed or the client has gone."""
    deadline_s: float = request.app.state.settings.deadline_s
    threads: Threads = request.app.state.threads
    ticket = Ticket(time.monotonic() + deadline_s)
    task = asyncio.ensure_future(threads.run(lambda: _unpacked(do, body, ticket)))
    try:
        while not task.done():
            left = ticket.deadline - time.monotonic()
            if left <= 0:
                raise DeadlinePassed(f"no answer within {deadline_s:g} seconds", hint="try again, or a smaller picture")
            await asyncio.wait({task}, timeout=min(GONE_POLL_S, left))
            if not task.done() and await request.is_disconnected():
                raise ClientGone("nobody waits for the answer")
        return task.result()
    finally:
        if not task.done():
            ticket.drop()
            task.cancel()


def answer(request: Request, made: Answer) -> Response:
    """What goes back, counted."""
    request.app.state.measures.bytes.labels("out").inc(len(made.body))
    bodies: Budget = request.app.state.bodies
    return CountedResponse(made.body, bodies, media_type=made.media_type, headers=dict(made.headers))


def _unpacked(do: Callable[[Ticket], T], body: Body, ticket: Ticket) -> T:
    """What the batcher says, in the service's own words."""
    try:
        with body.holding.kept():
            ticket.go_on()
            return do(ticket)
    except DeadlineError as exc:
        raise DeadlinePassed("its turn did not come in time", hint="try again later") from exc
    except (ClosedError, CancelledError, GivenUpError) as exc:
        raise NotReady("the service is closing", hint="try again") from exc
