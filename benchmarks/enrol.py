"""How long 500 homes take to enrol, and how soon a revoked one is out: the real processes.

    python -m benchmarks.enrol
    python -m benchmarks.enrol --sites 2000 --at-once 32

Runs `vpp assets import --enrol-out`, `vpp ca serve` and `vpp gateway` (VPP_TLS_CLIENT=required) on
Kafka, each in a process of its own. Each home checks the authority's fingerprint and fetches its
certificate; then each renews it with a new key. Then some connect, and are revoked one by one:
measured is the time from the revocation's call (what `vpp ca revoke` does once it runs) to the
close of the open connection. The homes' own work (keys, TLS) is done on the same cores.
"""

import argparse
import asyncio
import csv
import json
import os
import ssl
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from benchmarks.report import Table, parser, progress, publish
from benchmarks.world import delete_topics
from edge.identity import enrolment as device
from edge.identity import enrolment_http as device_http
from schemas.protocol import CLOSE_REVOKED, SUBPROTOCOL
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.identity.operating import revoke
from vpp_streams.process.ports import free_port
from vpp_streams.settings import Settings, load_settings

T = TypeVar("T")
LIMIT_S = 60.0
"""What 500 sites may take."""
READY_S = 60.0


class Home:
    """A row of the file of codes, and its outcome."""

    def __init__(self, row: dict[str, str], url: str) -> None:
        self.row = row
        self._url = url
        self.request = device.make_request(row["device_id"])
        self.granted: device.Granted | device.Refused = device.Refused("", "not yet")

    def enrol(self) -> bool:
        """Use the code; whether there is a certificate."""
        self.granted = device_http.enrol(
            self._url, self.row["code"], self.row["ca_sha256"], self.request.pem
        )
        return isinstance(self.granted, device.Granted)

    def renew(self) -> bool:
        """Renew with a new key."""
        assert isinstance(self.granted, device.Granted)
        new = device.make_request(self.row["device_id"])
        answer = device_http.renew(
            self._url,
            ca_pem=self.granted.ca_pem,
            certificate_pem=self.granted.certificate_pem,
            key_pem=self.request.key_pem,
            request_pem=new.pem,
        )
        self.granted, self.request = answer, new
        return isinstance(answer, device.Granted)

    def tls(self, directory: Path) -> ssl.SSLContext:
        """For a connection to a gateway."""
        assert isinstance(self.granted, device.Granted)
        file = directory / f"{self.row['device_id']}.pem"
        file.write_text(self.request.key_pem + self.granted.certificate_pem)
        context = ssl.create_default_context(cadata=self.granted.ca_pem)
        context.load_cert_chain(file)
        return context


def write_sites(file: Path, count: int) -> None:
    """A file of homes with a battery each."""
    with file.open("w") as out:
        out.write(
            "site_id,region,device_id,kind,rated_energy_wh,rated_charge_w,rated_discharge_w\n"
        )
        for n in range(count):
            out.write(f"home-{n},north,pw-{n},powerwall,13500,5000,5000\n")


def vpp(env: dict[str, str], *words: str) -> float:
    """Run a command to its end; returns its time, s."""
    began_s = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "vpp_streams", *words], env=env, check=True, stdout=subprocess.PIPE
    )
    return time.monotonic() - began_s


@asynccontextmanager
async def process(env: dict[str, str], port: int, *words: str) -> AsyncIterator[None]:
    """A process that listens on a port, during the body."""
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "vpp_streams", *words, "--port", str(port), env=env
    )
    try:
        async with asyncio.timeout(READY_S):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.1)
                else:
                    writer.close()
                    break
        yield
    finally:
        running.terminate()
        await running.wait()


async def each(
    homes: list[T], work: Callable[[T], bool], at_once: int
) -> tuple[float, int, list[float]]:
    """Do it for every home; returns the time in s, how many succeeded, and each one's time in s."""
    times: list[float] = []

    def timed(home: T) -> bool:
        began_s = time.monotonic()
        done = work(home)
        times.append(time.monotonic() - began_s)
        return done

    loop, began_s = asyncio.get_running_loop(), time.monotonic()
    with ThreadPoolExecutor(at_once) as pool:
        done = await asyncio.gather(*(loop.run_in_executor(pool, timed, home) for home in homes))
    return time.monotonic() - began_s, sum(done), times


async def out_after_s(home: Home, port: int, settings: Settings, directory: Path) -> float:
    """Connect a home, revoke it, and wait until its connection is closed; s since the call."""
    async with connect(
        f"wss://127.0.0.1:{port}/v1/{home.row['device_id']}",
        subprotocols=[SUBPROTOCOL],  # type: ignore[list-item]  # it is a Subprotocol by value
        compression=None,
        ssl=home.tls(directory),
    ) as socket:
        hello = [2, "h", "Hello", {"boot": "b0", "next_seq": 1}]
        await socket.send(json.dumps(hello))
        await socket.recv()
        began_s = time.monotonic()
        revoking = asyncio.create_task(
            revoke(settings, home.row["device_id"], "measured", Registry())
        )
        try:
            while True:
                await socket.recv()
        except ConnectionClosed:
            out_s = time.monotonic() - began_s
            assert socket.close_code == CLOSE_REVOKED, socket.close_code
        await revoking
    return out_s


async def measure(
    args: argparse.Namespace, settings: Settings, env: dict[str, str], directory: Path
) -> list[Table]:
    """Everything, one after another."""
    sites, codes = directory / "sites.csv", directory / "codes.csv"
    write_sites(sites, args.sites)
    vpp(env, "ca", "init")
    vpp(env, "ca", "server", "127.0.0.1", "--out", str(directory / "tls"))
    import_s = vpp(env, "assets", "import", str(sites), "--yes", "--enrol-out", str(codes))
    progress(f"imported, with codes: {import_s:.1f} s")
    table = Table(
        f"{args.sites} homes, {args.at_once} at once",
        ("step", "share of the limit", "all, s", "succeeded", "median of one, s", "p99, s"),
    )
    table.add("import with codes", f"{import_s / LIMIT_S:.2f} x", import_s, args.sites, None, None)
    port = free_port()
    async with process(env, port, "ca", "serve"):
        with codes.open() as rows:
            homes = [Home(row, f"https://127.0.0.1:{port}") for row in csv.DictReader(rows)]
        for name, work in (("enrol", Home.enrol), ("renew", Home.renew)):
            all_s, succeeded, times = await each(homes, work, args.at_once)
            share, p99 = f"{all_s / LIMIT_S:.2f} x", sorted(times)[int(len(times) * 0.99)]
            table.add(name, share, all_s, succeeded, statistics.median(times), p99)
            progress(f"{name}: {all_s:.1f} s")
    return [table, await revocations(homes[: args.revoke], settings, env, directory)]


async def revocations(
    homes: list[Home], settings: Settings, env: dict[str, str], directory: Path
) -> Table:
    """How soon connected homes are out, one after another."""
    port = free_port()
    async with process(env, port, "gateway"):
        out_s = [await out_after_s(home, port, settings, directory) for home in homes]
    table = Table(
        "revocation: from its call, before it has a connection to Kafka, to the close",
        ("homes", "share of 5 s", "median, s", "longest, s"),
    )
    longest = max(out_s)
    table.add(len(out_s), f"{longest / 5:.2f} x", statistics.median(out_s), longest)
    return table


async def run(args: argparse.Namespace) -> None:
    """In a namespace and a directory of its own, which are removed."""
    settings = load_settings(namespace=f"bench-{uuid.uuid4().hex[:8]}")
    with TemporaryDirectory(prefix="vpp-enrol-") as name:
        directory = Path(name)
        env = {
            **os.environ,
            "VPP_KAFKA": settings.kafka,
            "VPP_NAMESPACE": settings.namespace,
            "VPP_STATE_DIR": str(directory / "state"),
            "VPP_CA": str(directory / "ca"),
            "VPP_LOG_LEVEL": "ERROR",
            "VPP_TLS_CERT": str(directory / "tls" / "server.pem"),
            "VPP_TLS_KEY": str(directory / "tls" / "server.key"),
            "VPP_TLS_CLIENT_CA": str(directory / "ca" / "ca.pem"),
            "VPP_TLS_CLIENT": "required",
        }
        try:
            publish(args, await measure(args, settings, env, directory), settings.kafka)
        finally:
            await delete_topics(settings)


def main(arguments: list[str] | None = None) -> None:
    """Measure."""
    options = parser(__doc__)
    options.add_argument("--sites", type=int, default=500)
    options.add_argument("--at-once", type=int, default=16, help="homes that enrol at once (16)")
    options.add_argument("--revoke", type=int, default=5, help="homes that are revoked (5)")
    asyncio.run(run(options.parse_args(arguments)))


if __name__ == "__main__":
    main()
