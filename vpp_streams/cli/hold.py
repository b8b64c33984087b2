"""``vpp hold``: the kill switch of a region."""

from typing import Annotated

import typer

from vpp_streams.errors import InputError
from vpp_streams.settings import load_settings


def hold(
    region: Annotated[str, typer.Argument(help="region to hold")],
    reason: Annotated[str, typer.Option(help="why, for those who find it held")] = "",
    release: Annotated[
        bool, typer.Option("--release", help="end the region's holds: requests rule again")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document")] = False,
) -> None:
    """Stop asking a region for anything, at once: its devices are left to themselves.

    It stands above every request until `vpp hold REGION --release`.
    """
    from schemas.dispatch import Hold
    from vpp_streams.api_client import ApiClient
    from vpp_streams.cli.dispatch import dispatch_of, give_order, withdraw_request
    from vpp_streams.dispatch_screen import is_over

    with ApiClient(load_settings()) as api:
        if not release:
            give_order(api, region, "hold", {"reason": reason}, as_json)
            if not as_json:
                typer.echo(f"release it with: vpp hold {region} --release")
            return
        standing = [
            told.request.request_id
            for told in dispatch_of(api, region).requests
            if isinstance(told.request, Hold) and not is_over(told)
        ]
        if not standing:
            raise InputError(f"{region} is not held")
        for request_id in standing:
            withdraw_request(api, region, request_id, as_json)
