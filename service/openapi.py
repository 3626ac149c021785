"""The description of the interface: binary bodies, headers and problems, which FastAPI cannot know by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from gancodec.defaults import GNC_MEDIA_TYPE
from service.others import MEDIA_TYPES
from service.problems import (
    MEDIA_TYPE,
    PROBLEMS,
    BadParameter,
    BadPicture,
    BadStream,
    BodyTooLarge,
    BodyTooSlow,
    DeadlinePassed,
    Malformed,
    NotAcceptable,
    NotReady,
    OutOfMemory,
    OutOfReach,
    Problem,
    QueueFull,
    TooManyPixels,
    Unauthorised,
    UnknownModel,
    UnsupportedType,
)
from service.work import TYPES

FACTS: Final = {
    "Gancodec-Codec": ("string", "Name of the codec."),
    "Gancodec-Bpp": ("number", "Bits per pixel of the .gnc file."),
    "Gancodec-Quality": ("number", "Quality of the .gnc file."),
    "Gancodec-Width": ("integer", "Pixels."),
    "Gancodec-Height": ("integer", "Pixels."),
    "Gancodec-Queue-Ms": ("number", "Time in the queue."),
    "Gancodec-Compute-Ms": ("number", "Time in the networks."),
    "Gancodec-Batch": ("integer", "Pictures that went through together."),
}
EFFORT: Final = {"Gancodec-Effort": ("integer", "Effort spent; 0 where the codec has nothing to spend it on.")}
OTHER_FACTS: Final = {
    "Gancodec-Codec": ("string", "Name of the other codec."),
    "Gancodec-Quality": ("number", "Quality setting of the other codec."),
}
NOTICE: Final = {
    "Gancodec-Notice": ("string", "What was changed in the picture, or that time was short; missing if nothing was.")
}
WARNING: Final = {"Gancodec-Warning": ("string", "What was left out of the picture; missing if nothing was.")}
TOLD: Final = FACTS | EFFORT | OTHER_FACTS | NOTICE | WARNING
"""All headers of ours, for pages of other sites."""
REQUEST_ID: Final = {"X-Request-Id": ("string", "That of the request if it had one, else a new one.")}
PROBLEM_HEADERS: Final[Mapping[int, Mapping[str, tuple[str, str]]]] = {
    401: {"WWW-Authenticate": ("string", "Bearer.")},
    429: {"Retry-After": ("integer", "Seconds.")},
    503: {"Retry-After": ("integer", "Seconds; missing where waiting may not help.")},
}
BINARY: Final = {"type": "string", "format": "binary"}
NOT_EMPTY: Final = BINARY | {"minLength": 1}
OTHERWISE: Final = ("http", Malformed.code, Problem.code)
"""Codes of what may be met anywhere: an unknown path or method, what is no HTTP, and our own mistakes."""

BODY: Final = (BadParameter, Unauthorised, BodyTooSlow, BodyTooLarge)
PICTURE: Final = (*BODY, UnsupportedType, BadPicture, TooManyPixels, QueueFull, NotReady, DeadlinePassed)
MAY_MEET: Final[Mapping[str, tuple[type[Problem], ...]]] = {
    "/v1/compress": (*PICTURE, OutOfReach, OutOfMemory),
    "/v1/decompress": (
        *BODY, NotAcceptable, UnsupportedType, BadStream, UnknownModel, TooManyPixels, QueueFull, NotReady, OutOfMemory,
        DeadlinePassed,
    ),
    "/v1/others/{name}": PICTURE,
    "/v1/info": (*BODY, UnsupportedType, BadStream, TooManyPixels, QueueFull, NotReady, DeadlinePassed),
    "/v1/codecs": (BadParameter, Unauthorised, NotReady),
}  # fmt: skip

EXAMPLES: Final[Mapping[str, Any]] = {
    "/v1/codecs": {
        "codecs": [
            {
                "name": "photo", "codec": "photo", "model_id": "c0dec0de", "licence": "Apache-2.0", "has_quality": True,
                "has_realism": True, "max_effort": 3, "device": "cuda",
            }
        ]
    },
    "/v1/info": {
        "width": 768, "height": 512, "mode": "RGB", "quality": 60.0, "bytes": 33854, "bpp": 0.68876,
        "model_id": "c0dec0de", "model": "photo", "codec": "photo", "uniform_tables": False, "format": "1.0",
        "payload_bytes": 33806, "chunks": [], "damaged": [],
    },
}  # fmt: skip


def install(app: FastAPI) -> None:
    """Replace the generated description by one with all of it."""

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _description(app)
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]


def _description(app: FastAPI) -> dict[str, Any]:
    schema = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
    picture: dict[str, Any] = {"description": "A picture file.", "content": {"image/*": {"schema": NOT_EMPTY}}}
    form = {"schema": {"type": "object", "properties": {"file": NOT_EMPTY}, "required": ["file"]}}
    stream: dict[str, Any] = {"description": "A .gnc file.", "content": {GNC_MEDIA_TYPE: {"schema": NOT_EMPTY}}}
    for body in (picture, stream):
        body["required"] = True
        body["content"] |= {"application/octet-stream": {"schema": NOT_EMPTY}, "multipart/form-data": form}
    paths = schema["paths"]
    for path, body in (
        ("/v1/compress", picture), ("/v1/decompress", stream), ("/v1/info", stream), ("/v1/others/{name}", picture),
    ):  # fmt: skip
        paths[path]["post"]["requestBody"] = body
    for path, text, types, facts in (
        ("/v1/compress", "The .gnc file.", (GNC_MEDIA_TYPE,), FACTS | EFFORT | NOTICE),
        ("/v1/decompress", "The picture.", tuple(TYPES), FACTS | WARNING),
        ("/v1/others/{name}", "The other codec's file.", tuple(MEDIA_TYPES.values()), OTHER_FACTS | NOTICE),
    ):
        content = {each: {"schema": BINARY} for each in types}
        paths[path]["post"]["responses"]["200"] = {"description": text, "headers": _headers(facts), "content": content}
    for path, problems in MAY_MEET.items():
        for operation in paths[path].values():
            _complete(operation, problems)
            if path in EXAMPLES:
                operation["responses"]["200"]["content"]["application/json"]["example"] = EXAMPLES[path]
    (effort,) = (each for each in paths["/v1/compress"]["post"]["parameters"] if each["name"] == "effort")
    settings = app.state.settings
    effort["schema"] |= {"maximum": settings.max_effort, "default": settings.default_effort}
    components = schema.setdefault("components", {})
    kinds = components.get("schemas", {})
    components["schemas"] = {name: kind for name, kind in kinds.items() if "ValidationError" not in name}
    components["schemas"]["Problem"] = PROBLEM
    components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    return schema


def _complete(operation: dict[str, Any], problems: tuple[type[Problem], ...]) -> None:
    """Problems instead of FastAPI's own errors, and parameters as a client may send them."""
    responses = operation["responses"]
    responses.pop("422", None)
    for status in sorted({each.status for each in problems}):
        responses[str(status)] = _problem(status, [each for each in problems if each.status == status])
    responses["default"] = _answer(f"Anything else ({', '.join(f'`{code}`' for code in OTHERWISE)})", {})
    responses["200"].setdefault("headers", {}).update(_headers(REQUEST_ID))
    operation["security"] = [{"key": []}, {}]
    # OpenAPI ignores a parameter that is called Accept: the answer's content says what may be asked for.
    parameters = [each for each in operation.get("parameters", []) if each["in"] != "header"]
    for each in parameters:
        # Python's None means that a parameter is missing; the word "null" is none of its values.
        kinds = [kind for kind in each["schema"].pop("anyOf", []) if kind != {"type": "null"}]
        for kind in kinds:
            each["schema"] |= kind
    operation.pop("parameters", None)
    if parameters:
        operation["parameters"] = parameters


def _problem(status: int, kinds: list[type[Problem]]) -> dict[str, Any]:
    text = "; ".join(f"{each.title} (`{each.code}`)" for each in kinds)
    return _answer(text, PROBLEM_HEADERS.get(status, {}))


def _answer(text: str, headers: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    return {
        "description": text,
        "headers": _headers({**headers, **REQUEST_ID}),
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }


def _headers(facts: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    return {name: {"schema": {"type": kind}, "description": text} for name, (kind, text) in facts.items()}


PROBLEM: Final[dict[str, Any]] = {
    "type": "object",
    "description": "RFC 9457.",
    "required": ["type", "title", "status", "detail", "code", "request_id"],
    "properties": {
        "type": {"type": "string", "examples": ["urn:gancodec:problem:queue_full"]},
        "title": {"type": "string", "examples": ["The service has as much work as it can carry"]},
        "status": {"type": "integer", "examples": [429]},
        "detail": {"type": "string"},
        "code": {"type": "string", "enum": [*(each.code for each in PROBLEMS), *OTHERWISE]},
        "hint": {"type": "string", "examples": ["try again a little later"]},
        "request_id": {"type": "string"},
    },
}
