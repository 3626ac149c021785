"""The application: ``uvicorn service.app:app``.  Settings come from the environment (settings.py)."""

from __future__ import annotations

import asyncio
import logging
import math
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import torch
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.staticfiles import StaticFiles
from starlette.responses import FileResponse

import gancodec
from gancodec.codec import choose_device
from gancodec.errors import GancodecError
from gancodec.picture import Converted16BitWarning
from service import access, openapi, routes
from service.admission import Budget, Doorkeeper
from service.closing import Closing
from service.connections import STATE, ConnectionLimits
from service.engine import Engine
from service.measures import Measures
from service.settings import Settings
from service.starting import settings_from_environment
from service.threads import Threads
from service.unread import DrainUnread
from service.work import Work

PAGE = Path(__file__).parent / "page"
log = logging.getLogger("gancodec.service")


def create_app(settings: Settings | None = None) -> FastAPI:
    """An application of its own, with its own codecs; they are loaded when it starts."""
    settings = settings or Settings()
    measures = Measures()
    engine = Engine(settings, measures)
    budget = Budget(settings.queue_pixels, "pixels")
    load = Budget(
        math.inf,
        "pixels, counted by their effort,",
        room=lambda: engine.pace.pixels_per_s * settings.deadline_s,
        per_s=lambda: engine.pace.pixels_per_s,
    )
    measures.gauges(
        jobs=lambda: engine.waiting,
        pixels=lambda: budget.held,
        cost=lambda: load.held,
        gpu=lambda: _gpu_bytes(settings.device),
    )

    closing = Closing(grace_s=settings.body_timeout_s + settings.deadline_s)
    threads = Threads(settings.threads, waiting=settings.queue_requests)
    _keep_quiet()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        closing.listen()
        # In the background: /livez answers while weights are loaded.
        starting = asyncio.create_task(asyncio.to_thread(_start, engine))
        limits = ConnectionLimits(
            most=settings.max_connections,
            head_timeout_s=settings.head_timeout_s,
            write_timeout_s=settings.write_timeout_s,
        )
        yield {STATE: limits}
        engine.ready = False
        await starting
        await asyncio.to_thread(engine.stop)
        threads.close()

    app = FastAPI(
        title="gancodec",
        version=gancodec.__version__,
        summary="Learned image compression: pictures to small .gnc files and back.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.state.settings, app.state.engine, app.state.measures = settings, engine, measures
    app.state.work = Work(settings, engine, budget, load, measures)
    app.state.bodies = Budget(settings.queue_bytes, "bytes")
    app.state.threads, app.state.closing = threads, closing
    keys = [key.get_secret_value() for key in settings.api_keys]
    app.state.doorkeeper = Doorkeeper(keys, open_access=settings.open_access)
    app.include_router(routes.router)
    openapi.install(app)
    access.install(app)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["authorization", "content-type", "accept"],
            expose_headers=[*openapi.TOLD, "Retry-After", "X-Request-Id"],
        )
    app.add_middleware(DrainUnread)
    if settings.page and PAGE.is_dir():
        app.mount("/page", StaticFiles(directory=PAGE), name="page")

        @app.get("/", include_in_schema=False)
        async def page() -> FileResponse:
            return FileResponse(PAGE / "index.html")

    return app


def _start(engine: Engine) -> None:
    """A service whose weights are bad stays alive and unready: its log and /readyz say why."""
    try:
        engine.start()
        log.info("ready: %s", ", ".join(engine.codecs))
    except Exception as exc:
        engine.failure = f"{type(exc).__name__}: {exc}"
        log.exception("the codecs could not be started")


def _keep_quiet() -> None:
    """These libraries tell their loggers and warnings of what is in a body, which no log may hold."""
    for name in ("python_multipart", "PIL"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    warnings.filterwarnings("ignore", module=r"PIL\b")
    warnings.filterwarnings("ignore", category=Converted16BitWarning)  # the answer tells of it


def _gpu_bytes(device: str) -> int:
    chosen = choose_device(device)
    return torch.cuda.memory_reserved(chosen) if chosen.type == "cuda" else 0


def __getattr__(name: str) -> Any:
    """``app`` is made when it is asked for, so that tests may import this module without an environment."""
    if name == "app":
        try:
            settings = settings_from_environment()
        except GancodecError as exc:
            raise SystemExit(f"{exc.message}; {exc.hint}" if exc.hint else exc.message) from exc
        globals()["app"] = create_app(settings)
        return globals()["app"]
    raise AttributeError(name)
