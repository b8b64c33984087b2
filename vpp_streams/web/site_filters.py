"""The query parameters that choose sites: the same for the list, the file and the map."""

from typing import Annotated, Literal

from fastapi import Query, Request

from schemas.assets import DeviceKind
from schemas.commandable import Hindrance
from vpp_streams.domain.explorer.site_query import OwnersChoice, SiteQuery, SortKey
from vpp_streams.domain.explorer.site_values import SiteLevel
from vpp_streams.web.callers import known

_Shown = Literal["planned", "commissioning", "active", "suspended"]
_Share = Annotated[float | None, Query(ge=0, le=1)]
_YesNo = Literal["yes", "no"] | None


def site_query(
    request: Request,
    *,
    region: Annotated[str | None, Query(max_length=64)] = None,
    q: Annotated[str, Query(max_length=64, description="part of a site's or device's id")] = "",
    device: Annotated[str | None, Query(max_length=64, description="a device's id")] = None,
    state: _Shown | None = None,
    level: SiteLevel | None = None,
    kind: DeviceKind | None = None,
    connected: Annotated[_YesNo, Query(description="all of its devices")] = None,
    commandable: Annotated[
        _YesNo, Query(description="all of its batteries, of active sites with one")
    ] = None,
    why: Annotated[Hindrance | None, Query(description="what hinders its batteries")] = None,
    silent: Annotated[_YesNo, Query(description="no reading for 10 s")] = None,
    alarmed: _YesNo = None,
    owner: Annotated[OwnersChoice | None, Query(description="what its owner decided")] = None,
    soc_min: _Share = None,
    soc_max: _Share = None,
    sort: SortKey = "site_id",
    order: Literal["asc", "desc"] = "asc",
) -> SiteQuery:
    """The query in a request's parameters; one that is not given matches every site in sight."""
    return SiteQuery(
        within=known(request.scope).sight("read_site"),
        text=q,
        device=device,
        region=region,
        state=state,
        level=level,
        kind=kind,
        connected=_bool(connected),
        commandable=_bool(commandable),
        why=why,
        silent=_bool(silent),
        alarmed=_bool(alarmed),
        owner=owner,
        soc_min=soc_min,
        soc_max=soc_max,
        sort=sort,
        descending=order == "desc",
    )


def _bool(word: _YesNo) -> bool | None:
    return None if word is None else word == "yes"
