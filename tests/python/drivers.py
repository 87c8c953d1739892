"""What each driver shows of a masked table, in text and binary, and how it takes a refusal."""

import asyncio
import json
import os
import ssl

import asyncpg
import psycopg
import psycopg2

HOST = os.environ["SLUICE_HOST"]
PORT = int(os.environ["SLUICE_PORT"])
USER = os.environ["SLUICE_USER"]
TARGET = os.environ["SLUICE_TARGET"]
PASSWORD = os.environ["SLUICE_PASSWORD"]
CA = os.environ["SLUICE_CA"]

SELECT = "SELECT * FROM customers ORDER BY id"
LIBPQ = {
    "host": HOST, "port": PORT, "user": USER, "dbname": TARGET, "password": PASSWORD,
    "sslmode": "verify-full", "sslrootcert": CA, "connect_timeout": 10,
}


def with_psycopg(binary):
    with psycopg.connect(**LIBPQ, autocommit=True) as connection:
        with connection.cursor(binary=binary) as cursor:
            rows = cursor.execute(SELECT).fetchall()
            by_value = cursor.execute("SELECT id, email FROM customers WHERE id = %s", (2,)).fetchall()
            try:
                cursor.execute("DROP TABLE customers")
                refusal = None
            except psycopg.Error as error:
                refusal = {
                    "sqlstate": error.sqlstate, "detail": error.diag.message_detail, "hint": error.diag.message_hint,
                }
            after = cursor.execute("SELECT count(*) FROM orders").fetchone()[0]
    return {"rows": rows, "by_value": by_value, "refusal": refusal, "after": after}


def with_psycopg2():
    connection = psycopg2.connect(**LIBPQ)
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute(SELECT)
    rows = cursor.fetchall()
    cursor.execute("SELECT id, email FROM customers WHERE id = %s", (2,))
    by_value = cursor.fetchall()
    try:
        cursor.execute("DROP TABLE customers")
        refusal = None
    except psycopg2.Error as error:
        refusal = {"sqlstate": error.pgcode, "detail": error.diag.message_detail, "hint": error.diag.message_hint}
    cursor.execute("SELECT count(*) FROM orders")
    after = cursor.fetchone()[0]
    connection.close()
    return {"rows": rows, "by_value": by_value, "refusal": refusal, "after": after}


async def with_asyncpg():
    context = ssl.create_default_context(cafile=CA)
    connection = await asyncpg.connect(
        host=HOST, port=PORT, user=USER, database=TARGET, password=PASSWORD, ssl=context, timeout=10,
    )
    rows = [list(row) for row in await connection.fetch(SELECT)]
    by_value = [list(row) for row in await connection.fetch("SELECT id, email FROM customers WHERE id = $1", 2)]
    try:
        await connection.execute("DROP TABLE customers")
        refusal = None
    except asyncpg.PostgresError as error:
        refusal = {"sqlstate": error.sqlstate, "detail": error.detail, "hint": error.hint}
    after = await connection.fetchval("SELECT count(*) FROM orders")
    await connection.close()
    return {"rows": rows, "by_value": by_value, "refusal": refusal, "after": after}


print(json.dumps({
    "psycopg text": with_psycopg(False),
    "psycopg binary": with_psycopg(True),
    "psycopg2": with_psycopg2(),
    "asyncpg": asyncio.run(with_asyncpg()),
}))
