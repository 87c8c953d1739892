"""Cancels a sleeping statement the way current libpq does, over TLS, and goes on."""

import json
import os
import threading

import psycopg

with psycopg.connect(
    host=os.environ["SLUICE_HOST"], port=os.environ["SLUICE_PORT"], user=os.environ["SLUICE_USER"],
    dbname=os.environ["SLUICE_TARGET"], password=os.environ["SLUICE_PASSWORD"], sslmode="verify-full",
    sslrootcert=os.environ["SLUICE_CA"], connect_timeout=10, autocommit=True,
) as connection:
    timer = threading.Timer(1.0, lambda: connection.cancel_safe(timeout=10))
    timer.start()
    try:
        connection.execute("SELECT pg_sleep(60)")
        sqlstate = None
    except psycopg.Error as error:
        sqlstate = error.sqlstate
    timer.join()
    after = connection.execute("SELECT 1").fetchone()[0]

print(json.dumps({"sqlstate": sqlstate, "after": after}))
