"""The description says what the service does: valid OpenAPI, every code, and every status that is really met."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from gancodec.description import describe
from service.app import create_app
from service.openapi import MAY_MEET, OTHERWISE, TOLD
from service.problems import PROBLEMS
from service.settings import Settings
from tests.conftest import GOLDEN
from tests.service.conftest import TINY, TINY_EXTREME, Service, serving
from tests.service.test_service import file_of, picture, send

FILE = (GOLDEN / "rgba-40x56-q50.gnc").read_bytes()


@pytest.fixture(scope="module")
def description() -> dict[str, Any]:
    made = create_app(Settings(device="cpu")).openapi()
    found: dict[str, Any] = json.loads(json.dumps(made))
    return found


def operations(description: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in description["paths"].items():
        for operation in item.values():
            yield path, operation


def parts(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object in it."""
    if isinstance(tree, dict):
        yield tree
    for each in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from parts(each)


def test_it_is_valid_openapi(description: dict[str, Any]) -> None:
    validator = pytest.importorskip("openapi_spec_validator", reason="pip install openapi-spec-validator")
    validator.OpenAPIV31SpecValidator(description).validate()


def test_its_structure_is_whole(description: dict[str, Any]) -> None:
    assert description["openapi"].startswith("3.1.") and description["info"]["version"]
    names = [operation["operationId"] for _, operation in operations(description)]
    assert len(names) == len(set(names))
    for each in parts(description):
        reference = each.get("$ref")
        if isinstance(reference, str):
            target: Any = description
            for step in reference.removeprefix("#/").split("/"):
                assert step in target, reference
                target = target[step]
    for path, operation in operations(description):
        parameters = operation.get("parameters", [])
        assert {each["name"] for each in parameters if each["in"] == "path"} == {
            piece[1:-1] for piece in path.split("/") if piece.startswith("{")
        }
        assert all(each["schema"] and "anyOf" not in each["schema"] for each in parameters)
        assert all(each["description"] for each in operation["responses"].values())


def test_bodies_are_binary(description: dict[str, Any]) -> None:
    for path, operation in operations(description):
        if path == "/v1/codecs":
            continue
        content = operation["requestBody"]["content"]
        assert operation["requestBody"]["required"] and "multipart/form-data" in content
        assert content["application/octet-stream"]["schema"]["format"] == "binary"


def test_every_code_is_listed(description: dict[str, Any]) -> None:
    codes = {each.code for each in PROBLEMS}
    assert set(description["components"]["schemas"]["Problem"]["properties"]["code"]["enum"]) == codes | set(OTHERWISE)
    text = json.dumps(description["paths"])
    assert all(f"`{code}`" in text for code in codes | set(OTHERWISE))
    assert {each for kinds in MAY_MEET.values() for each in kinds} == set(PROBLEMS)


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status"),
    [
        ("POST", "/v1/compress?quality=20", file_of(picture()), {}, 200),
        ("POST", "/v1/compress?quality=-1", file_of(picture()), {}, 400),
        ("POST", "/v1/compress?effort=3", file_of(picture()), {}, 200),
        ("POST", "/v1/compress?effort=4", file_of(picture()), {}, 400),
        ("POST", "/v1/compress", bytes(2_000_001), {}, 413),
        ("POST", "/v1/compress", b"no picture", {}, 415),
        ("POST", "/v1/compress", file_of(picture())[:300], {}, 422),
        ("POST", "/v1/compress?target_size=3", file_of(picture()), {}, 422),
        ("POST", "/v1/decompress", FILE, {}, 200),
        ("POST", "/v1/decompress", FILE, {"Accept": "image/webp"}, 200),
        ("POST", "/v1/decompress", FILE, {"Accept": "image/jpeg"}, 406),
        ("POST", "/v1/decompress?realism=1", FILE, {}, 400),
        ("POST", "/v1/decompress", FILE[:-1], {}, 422),
        ("POST", "/v1/others/webp?target_size=900", file_of(picture()), {}, 200),
        ("POST", "/v1/others/webp", file_of(picture()), {}, 400),
        ("POST", "/v1/others/webp?target_size=900", b"no picture", {}, 415),
        ("POST", "/v1/info", FILE, {}, 200),
        ("POST", "/v1/info", b"", {}, 400),
        ("POST", "/v1/info", FILE[:20], {}, 422),
        ("POST", "/v1/info", b"no file", {}, 415),
        ("POST", "/v1/decompress", b"no file", {}, 415),
        ("GET", "/v1/codecs", b"", {}, 200),
        ("GET", "/v1/codecs", b"", {"X-Forwarded-For": "8.8.8.8"}, 401),
        ("GET", "/v1/compress", b"", {}, 405),
    ],
)  # fmt: skip
def test_what_is_met_is_described(
    service: Service, description: dict[str, Any], method: str, path: str, body: bytes, headers: dict[str, str],
    status: int,
) -> None:  # fmt: skip
    met, answered, data = send(service, path, body, method=method, headers=headers)
    assert met == status
    name = path.split("?")[0].replace("/webp", "/{name}")
    responses = description["paths"][name].get(method.lower(), description["paths"][name].get("post"))["responses"]
    described = responses.get(str(status), responses["default"])
    assert answered["content-type"] in described["content"]
    promised = {each.lower() for each in described.get("headers", {})} - {"gancodec-warning", "gancodec-notice"}
    assert promised <= answered.keys()
    known = {each.lower() for each in TOLD}
    assert {each for each in answered if each.startswith("gancodec-")} <= known
    if status >= 400:
        problem = json.loads(data)
        assert f"`{problem['code']}`" in described["description"]


def test_a_full_queue_says_when_to_come_again(description: dict[str, Any]) -> None:
    for path, operation in operations(description):
        if path.startswith(("/v1/compress", "/v1/decompress", "/v1/others")):
            assert {"Retry-After", "X-Request-Id"} <= operation["responses"]["429"]["headers"].keys()


def test_examples_have_the_members_of_real_answers(service: Service, description: dict[str, Any]) -> None:
    for path, real in (
        ("/v1/codecs", json.loads(send(service, "/v1/codecs", method="GET")[2])["codecs"][0]),
        ("/v1/info", describe(FILE, {})),
    ):
        (operation,) = description["paths"][path].values()
        example = operation["responses"]["200"]["content"]["application/json"]["example"]
        assert real.keys() <= (example["codecs"][0] if path == "/v1/codecs" else example).keys()


def test_it_is_served_without_a_key() -> None:
    with serving(codecs=[TINY, TINY_EXTREME], api_keys="one") as service:
        assert send(service, "/openapi.json", method="GET")[0] == 200
