"""A killed PostgreSQL server starts again while its former processes still end."""

import psycopg

from vpp_streams.local.postgres_process import running_postgres

CONNECTIONS = 60
KILLS = 3


def test_it_starts_again_whatever_former_processes_still_write() -> None:
    with running_postgres("fsync=off") as server:
        for _ in range(KILLS):
            # Each is a process of the server, which writes a last word to its log as it ends.
            idle = [psycopg.connect(server.url) for _ in range(CONNECTIONS)]
            server.kill()
            server.start()
            for one in idle:
                one.close()
