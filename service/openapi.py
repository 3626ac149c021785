"""The description of the interface: binary bodies, headers and problems, which FastAPI cannot know by itself."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from service.problems import MEDIA_TYPE, PROBLEMS
from service.work import GNC_TYPE, OTHERS, TYPES

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
BINARY: Final = {"type": "string", "format": "binary"}
STATUSES: Final = {
    "/v1/compress": (400, 401, 408, 413, 415, 422, 429, 503, 504),
    "/v1/decompress": (400, 401, 406, 408, 413, 422, 429, 503, 504),
    "/v1/others/{name}": (400, 401, 408, 413, 415, 422, 429, 503, 504),
    "/v1/info": (400, 401, 408, 413, 422),
    "/v1/codecs": (401,),
}


def install(app: FastAPI) -> None:
    """Replace the generated description by one with all of it."""

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _description(app)
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]


def _description(app: FastAPI) -> dict[str, Any]:
    schema = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
    picture: dict[str, Any] = {"description": "A picture file.", "content": {"image/*": {"schema": BINARY}}}
    form = {"schema": {"type": "object", "properties": {"file": BINARY}, "required": ["file"]}}
    stream: dict[str, Any] = {"description": "A .gnc file.", "content": {GNC_TYPE: {"schema": BINARY}}}
    for body in (picture, stream):
        body["required"] = True
        body["content"] |= {"application/octet-stream": {"schema": BINARY}, "multipart/form-data": form}
    paths = schema["paths"]
    facts = {name: {"schema": {"type": kind}, "description": text} for name, (kind, text) in FACTS.items()}
    for path, body, types in (
        ("/v1/compress", picture, (GNC_TYPE,)), ("/v1/decompress", stream, tuple(TYPES)), ("/v1/info", stream, ()),
        ("/v1/others/{name}", picture, tuple(OTHERS.values())),
    ):  # fmt: skip
        operation = paths[path]["post"]
        operation["requestBody"] = body
        if types:
            operation["responses"]["200"] = {
                "description": "The picture." if path == "/v1/decompress" else "The file.",
                "headers": facts,
                "content": {each: {"schema": BINARY} for each in types},
            }
    for path, statuses in STATUSES.items():
        for operation in paths[path].values():
            operation["responses"].pop("422", None)
            operation["responses"] |= {str(status): _problem(status) for status in statuses}
            operation["security"] = [{"key": []}, {}]
    components = schema.setdefault("components", {})
    components["schemas"] = {"Problem": PROBLEM}
    components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    return schema


def _problem(status: int) -> dict[str, Any]:
    kinds = [each for each in PROBLEMS if each.status == status]
    return {
        "description": "; ".join(f"{each.title} (`{each.code}`)" for each in kinds),
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }


PROBLEM: Final[dict[str, Any]] = {
    "type": "object",
    "description": "RFC 9457.",
    "required": ["type", "title", "status", "detail", "code", "request_id"],
    "properties": {
        "type": {"type": "string", "examples": ["urn:gancodec:problem:queue_full"]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "enum": [each.code for each in PROBLEMS]},
        "hint": {"type": "string"},
        "request_id": {"type": "string"},
    },
}
