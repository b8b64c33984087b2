"""OpenAPI from the views: the schemas of the msgspec Structs that the API answers with."""

import sys
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from vpp_streams.accounts import sessions
from vpp_streams.kafka.contracts import describe_fields
from vpp_streams.serving.views import Problem

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


def takes_order(body: type[msgspec.Struct] | None) -> dict[str, Any]:
    """Additions to the OpenAPI description of a path that takes orders."""
    return {"security": [{"token": []}], **(takes(body) if body is not None else {})}


def takes(body: type[msgspec.Struct]) -> dict[str, Any]:
    """Additions to the OpenAPI description of a path that takes a document."""
    return {"requestBody": {"required": True, "content": _json(body)}}


_OK = {200: "", 201: " It was accepted.", 202: " It is written; there was no answer in time."}
_PROBLEMS = {
    400: "The query cannot be used; the error names the parameter.",
    401: "It is not known who sends the request: it has no session and no token.",
    403: "The sender does not have a right; the error says which. Nothing was written.",
    404: "There is no such region, site, device, request or bid in the sender's sight.",
    406: "None of the media types that the client accepts; the hint lists those that there are.",
    409: "The region role rejected the request; the error says why.",
    422: "The order is not valid; the error says why. Nothing was written.",
    429: "Your address has too many requests open, or sent too many wrong tokens: see Retry-After.",
    503: "Too many requests are open (see Retry-After), or Kafka or the ledger does not answer.",
}
_TOKEN = {"token": {"type": "http", "scheme": "bearer", "description": "a token; browsers sign in"}}


def _json(view: type[msgspec.Struct]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": _REF.format(name=view.__name__)}}}


def describe_with(app: FastAPI, answered: list[type[msgspec.Struct]]) -> None:
    """Add the schemas of ``answered`` and their parts to the app's OpenAPI document."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            _, schemas = msgspec.json.schema_components([*answered, Problem], ref_template=_REF)
            modules = dict.fromkeys(sys.modules[view.__module__] for view in (*answered, Problem))
            describe_fields(schemas, *modules, sessions)
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
                        # FastAPI's default for a bad query; ours is answered with 400.
                        operation["responses"].pop("422", None)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way
