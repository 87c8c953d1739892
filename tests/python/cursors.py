"""Reads the same rows by a plain query and through the cursors of drivers, which declare them in SQL."""

import json
import os

import psycopg
import psycopg2

LIBPQ = {
    "host": os.environ["SLUICE_HOST"], "port": os.environ["SLUICE_PORT"], "user": os.environ["SLUICE_USER"],
    "dbname": os.environ["SLUICE_TARGET"], "password": os.environ["SLUICE_PASSWORD"], "sslmode": "verify-full",
    "sslrootcert": os.environ["SLUICE_CA"], "connect_timeout": 10,
}
SELECT = "SELECT id, email, num FROM people ORDER BY id"

seen = {}
with psycopg.connect(**LIBPQ) as connection:
    seen["plain"] = connection.execute(SELECT).fetchall()
    for way, binary in (("psycopg text", False), ("psycopg binary", True)):
        with connection.cursor(name="c", binary=binary) as cursor:
            cursor.execute(SELECT)
            seen[way] = [*cursor.fetchmany(1), *cursor.fetchall()]
    with connection.cursor(name="c") as cursor:
        cursor.execute("SELECT id, email, num FROM people WHERE id > %s ORDER BY id", (0,))
        seen["psycopg with a parameter"] = list(cursor)

connection = psycopg2.connect(**LIBPQ)
with connection, connection.cursor(name="c") as cursor:
    cursor.itersize = 2
    cursor.execute(SELECT)
    seen["psycopg2"] = list(cursor)
connection.close()

print(json.dumps(seen))
