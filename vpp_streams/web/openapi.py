"""OpenAPI from the views: the msgspec Structs that are answered are the schemas documented."""

from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from vpp_streams.kafka.contracts import describe_fields
from vpp_streams.web import control_views, market_views, views
from vpp_streams.web.views import Problem

_REF = "#/components/schemas/{name}"


def answers(
    view: type[msgspec.Struct], *problems: int, ok: tuple[int, ...] = (200,)
) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of a path that answers with ``view``, or with `Problem`s."""
    about = (view.__doc__ or view.__name__).strip().splitlines()[0]
    return {
        **{
            status: {"description": f"{about}{_OK[status]}", "content": _json(view)}
            for status in ok
        },
        **{
            status: {"description": _PROBLEMS[status], "content": _json(Problem)}
            for status in (400, *problems)
        },
    }


def takes(body: type[msgspec.Struct] | None) -> dict[str, Any]:
    """What is added to the description of a path that operators give orders at."""
    told: dict[str, Any] = {"security": [{"operator": []}]}
    if body is not None:
        told["requestBody"] = {"required": True, "content": _json(body)}
    return told


_OK = {200: "", 201: " It was accepted.", 202: " It is written; no answer came in time."}
_PROBLEMS = {
    400: "The query cannot be used; the error names the parameter.",
    401: "No operator's token came with it.",
    403: "The operator lacks a right; the error says which. Nothing was written.",
    404: "There is no such region, site, device, request or bid, or nothing was heard of it yet.",
    409: "The region role rejected it; the error says why.",
    422: "The order cannot be meant; the error says why. Nothing was written.",
    429: "Your address has too much of it open, or brought too many wrong tokens: see Retry-After.",
    503: "Too much is open or being read (see Retry-After), or Kafka does not answer.",
}
_TOKEN = {"operator": {"type": "http", "scheme": "bearer", "description": "an operator's token"}}


def _json(view: type[msgspec.Struct]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": _REF.format(name=view.__name__)}}}


def describe_with(app: FastAPI, answered: list[type[msgspec.Struct]]) -> None:
    """Make the app's OpenAPI document hold the schemas of ``answered`` and their parts."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            _, schemas = msgspec.json.schema_components([*answered, Problem], ref_template=_REF)
            describe_fields(schemas, views, control_views, market_views)
            document = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
            )
            document["components"] = {"schemas": schemas, "securitySchemes": _TOKEN}
            for path in document["paths"].values():
                for method, operation in path.items():
                    if method == "get":
                        # FastAPI's own idea of a bad query; ours is answered with 400.
                        operation["responses"].pop("422", None)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way
