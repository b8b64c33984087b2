"""A device in 30 lines: python device.py URL DEVICE_ID TOKEN. The protocol is in docs/devices.md.

It measures, keeps what is not acked, and takes no setpoint. It leaves out what a product needs
besides: `boot_used` (D-19), Drain (D-36) and the wait after 1008 (D-38).
"""

import asyncio
import json
import random
import sys
import time
from contextlib import suppress

from websockets import ConnectionClosed, connect

NO = {"status": "rejected", "reason": "no_battery"}
FINAL = ("bad_message", "unknown_action", "unknown_command")


async def run(url, device_id, token):
    """Connect, report, and connect again; ``kept`` are the readings without an Ack, by number."""
    hello, kept = {"boot": f"{random.getrandbits(32):x}", "next_seq": 0, "measures_only": True}, {}
    login = {"additional_headers": {"Authorization": f"Bearer {token}"}}
    async for ws in connect(f"{url}/v1/{device_id}", subprotocols=["vpp.v1"], **login):
        with suppress(ConnectionClosed):
            await ws.send(json.dumps([2, "hello", "Hello", hello]))
            told, again = json.loads(await ws.recv())[2], sorted(kept)
            later_s = time.time() + random.uniform(*told["backfill"]["delay_ms"]) / 1000
            while True:
                seq, hello["next_seq"] = hello["next_seq"], hello["next_seq"] + 1
                kept[seq] = {"t": time.time_ns() // 10**6, "pv": 1234.5}
                reading = {"b": hello["boot"], "s": seq, **kept[seq]}
                await ws.send(json.dumps([6, str(seq), "Telemetry", reading]))
                if again and time.time() > later_s and (old := kept.get(n := again.pop(0))):
                    rows = {"from": n, "cols": list(old), "rows": [list(old.values())]}
                    await ws.send(json.dumps([6, str(n), "Backfill", {"b": hello["boot"], **rows}]))
                with suppress(TimeoutError):
                    async with asyncio.timeout(told["interval_ms"] / 1000):
                        while message := json.loads(await ws.recv()):
                            type_, id_, what, *payload = message
                            if what == "Ack":
                                for n in range(payload[0]["from"], payload[0]["upto"] + 1):
                                    kept.pop(n, None)
                            elif what == "Setpoint":
                                await ws.send(json.dumps([3, id_, NO]))
                            elif type_ == 4:  # refused for good, or until later
                                kept.pop(int(id_)) if what in FINAL else again.append(int(id_))
        if ws.close_code == 4001:  # another client has this identity
            return
        await asyncio.sleep(random.uniform(0, 1))


if __name__ == "__main__":
    asyncio.run(run(*sys.argv[1:]))
