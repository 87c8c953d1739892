"""Connects as a current libpq can: each version of the protocol, TLS asked for and direct, and cancels a statement each way."""

import json
import os
import threading

import psycopg

LIBPQ = {
    "host": os.environ["SLUICE_HOST"], "port": os.environ["SLUICE_PORT"], "user": os.environ["SLUICE_USER"],
    "dbname": os.environ["SLUICE_TARGET"], "password": os.environ["SLUICE_PASSWORD"], "sslmode": "verify-full",
    "sslrootcert": os.environ["SLUICE_CA"], "connect_timeout": 10,
}


def visit(**more):
    with psycopg.connect(**LIBPQ, **more, autocommit=True) as connection:
        pid = connection.info.backend_pid
        timer = threading.Timer(0.5, lambda: connection.cancel_safe(timeout=10))
        timer.start()
        try:
            connection.execute("SELECT pg_sleep(60)")
            sqlstate = None
        except psycopg.Error as error:
            sqlstate = error.sqlstate
        timer.join()
        version = connection.pgconn.full_protocol_version
        return {"version": version, "sqlstate": sqlstate, "after": connection.execute("SELECT 1").fetchone()[0], "pid": pid}


print(json.dumps({
    "old": visit(max_protocol_version="3.0"),
    "new": visit(max_protocol_version="3.2"),
    "latest": visit(min_protocol_version="3.2", max_protocol_version="latest", sslnegotiation="direct"),
}))
