"""A gRPC client in Python: what a region can deliver, an order to it, and what becomes of it.

    VPP_TOKEN=... python docs/examples/grpc_client.py localhost:50051 north --export-w 20000

It needs grpcio, protobuf, googleapis-common-protos and grpcio-status, and the generated package
``vpp`` of this repository. Without --export-w it only reads.
"""

import argparse
import os
import sys

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from vpp.dispatch.v1 import dispatch_pb2, dispatch_pb2_grpc
from vpp.region.v1 import region_pb2, region_pb2_grpc

DEADLINE_S = 5.0


def main() -> None:
    """Read, order and watch."""
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("address")
    options.add_argument("region")
    options.add_argument("--export-w", type=float, help="battery power, + = discharge")
    options.add_argument("--for-s", type=float, default=60.0)
    options.add_argument("--updates", type=int, default=3, help="how many states to show")
    options.add_argument("--ca", help="the server's CA (PEM); without it, plain text")
    args = options.parse_args()
    metadata = (("authorization", f"Bearer {os.environ.get('VPP_TOKEN', '')}"),)
    try:
        with channel_to(args.address, args.ca) as channel:
            talk(channel, metadata, args)
    except grpc.RpcError as error:
        sys.exit(explained(error))


def channel_to(address: str, ca: str | None) -> grpc.Channel:
    """A channel, with TLS if the server's CA is given."""
    if ca is None:
        return grpc.insecure_channel(address)
    with open(ca, "rb") as file:
        return grpc.secure_channel(address, grpc.ssl_channel_credentials(file.read()))


def talk(
    channel: grpc.Channel, metadata: tuple[tuple[str, str], ...], args: argparse.Namespace
) -> None:
    """Every call has a deadline: without one, a server that hangs hangs its client."""
    regions = region_pb2_grpc.RegionServiceStub(channel)
    asked = region_pb2.GetDeliverableRequest(region=args.region, duration_s=900)
    can = regions.GetDeliverable(asked, metadata=metadata, timeout=DEADLINE_S)
    print(
        f"{args.region} could hold {can.deliverable.up_w / 1000:.1f} kW for 15 min"
        f" ({can.coverage:.0%} of its sites report{', STALE' if can.stale else ''})"
    )
    dispatches = dispatch_pb2_grpc.DispatchServiceStub(channel)
    if args.export_w is not None:
        order = dispatch_pb2.RequestPowerRequest(
            region=args.region, export_w=args.export_w, for_s=args.for_s
        )
        outcome = dispatches.RequestPower(order, metadata=metadata, timeout=DEADLINE_S).outcome
        print(f"{outcome.request_id}: {state_of(outcome.state)} {outcome.reason}")
    watch = dispatch_pb2.WatchDispatchRequest(region=args.region)
    stream = dispatches.WatchDispatch(watch, metadata=metadata, timeout=60.0)
    for _, update in zip(range(args.updates), stream, strict=False):
        status = update.dispatch.status
        asked_w = f"{status.asked_w:.0f} W" if status.HasField("asked_w") else "nothing"
        print(f"{asked_w} requested, {status.measured_w:.0f} W measured")
    stream.cancel()


def state_of(number: int) -> str:
    """A request's state as a word."""
    return dispatch_pb2.RequestState.Name(number).removeprefix("REQUEST_STATE_").lower()


def explained(error: grpc.RpcError) -> str:
    """An error in a line, with the way out that its details contain."""
    lines = [f"{error.code().name}: {error.details()}"]
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info) and info.metadata.get("hint"):
            lines.append(info.metadata["hint"])
    return " -- ".join(lines)


if __name__ == "__main__":
    main()
