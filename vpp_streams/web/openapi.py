"""OpenAPI from the views: the msgspec Structs that are answered are the schemas documented."""

from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from vpp_streams.contracts import describe_fields
from vpp_streams.web import views
from vpp_streams.web.views import Problem

_REF = "#/components/schemas/{name}"


def answers(view: type[msgspec.Struct], *problems: int) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of a path that answers with ``view``, or with `Problem`s."""
    about = (view.__doc__ or view.__name__).strip().splitlines()[0]
    return {
        200: {"description": about, "content": _json(view)},
        **{
            status: {"description": _PROBLEMS[status], "content": _json(Problem)}
            for status in (400, *problems)
        },
    }


_PROBLEMS = {
    400: "The query cannot be used; the error names the parameter.",
    404: "There is no such region or site, or nothing was heard of it yet.",
    503: "Too many live streams are open.",
}


def _json(view: type[msgspec.Struct]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": _REF.format(name=view.__name__)}}}


def describe_with(app: FastAPI, answered: list[type[msgspec.Struct]]) -> None:
    """Make the app's OpenAPI document hold the schemas of ``answered`` and their parts."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            _, schemas = msgspec.json.schema_components([*answered, Problem], ref_template=_REF)
            describe_fields(schemas, views)
            document = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
            )
            document["components"] = {"schemas": schemas}
            for path in document["paths"].values():
                for operation in path.values():
                    # FastAPI's own idea of a bad query; ours is answered with 400.
                    operation["responses"].pop("422", None)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way
