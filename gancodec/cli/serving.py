"""`gancodec serve`: starts the HTTP service.  The one place where the package names it."""

from __future__ import annotations

import math
import os
import socket
from contextlib import suppress
from importlib.util import find_spec
from typing import Final

from gancodec.cli import report
from gancodec.errors import ConfigError

VARIABLE = "GANCODEC_SERVICE_"


def serve(*, host: str, port: int, codecs: str | None, device: str | None, open_access: bool) -> int:
    """Serve until a signal ends it; what is given here stands above the environment.

    uvicorn raises that signal again once everything is answered, so that the exit code is its (130, 143); where the
    signal is ignored, this returns 0, and 1 for a service that did not start.

    Raises ConfigError where the extra is missing, or settings do not fit, ModelError for codecs that are not there.
    """
    for package in ("fastapi", "uvicorn", "pydantic_settings", "prometheus_client", "python_multipart"):
        if find_spec(package) is None:
            raise ConfigError(f"the service needs {package}", hint="pip install 'gancodec[service]'")
    import uvicorn
    from uvicorn.importer import import_from_string

    if device is not None:
        os.environ[f"{VARIABLE}DEVICE"] = device
    if codecs is not None:
        os.environ[f"{VARIABLE}CODECS"] = codecs
    if open_access:
        os.environ[f"{VARIABLE}OPEN_ACCESS"] = "true"
    settings = import_from_string(CHECKED)()  # now, not when the server is up and waits for its weights
    config = uvicorn.Config(
        "service.app:app",
        host=host,
        port=port,
        log_config=LOGGING,
        access_log=False,
        http=CONNECTIONS,
        timeout_graceful_shutdown=math.ceil(settings.write_timeout_s),  # else a slow reader keeps it for ever
    )
    config.load()

    class Server(uvicorn.Server):
        """Says so once it listens."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                report.say(f"serving on http://{host}:{port}, the page is at /; Ctrl-C drains and ends")

    server = Server(config)
    with suppress(SystemExit):  # it has said why
        server.run()
    return 0 if server.started else 1


CHECKED: Final = "service.starting:settings_from_environment"
"""What refuses settings that do not fit."""
CONNECTIONS: Final = "service.connections:Connection"
"""What limits connections; see docs/service.md."""
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "plain": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"},
        "line": {"format": "%(message)s"},
    },
    "handlers": {
        "log": {"class": "logging.StreamHandler", "formatter": "plain", "stream": "ext://sys.stderr"},
        "access": {"class": "logging.StreamHandler", "formatter": "line", "stream": "ext://sys.stdout"},
    },
    "loggers": {
        "uvicorn": {"handlers": ["log"], "level": "WARNING", "propagate": False},
        "gancodec.service": {"handlers": ["log"], "level": "INFO", "propagate": False},
        "gancodec.service.access": {"handlers": ["access"], "level": "INFO", "propagate": False},
    },
}
