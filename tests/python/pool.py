"""Uses a connection of asyncpg's pool again and again; each release resets it. Then one of psycopg is discarded, both ways."""

import asyncio
import json
import os
import ssl

import asyncpg
import psycopg

RELEASED = "SHOW search_path"


async def pooled():
    context = ssl.create_default_context(cafile=os.environ["SLUICE_CA"])
    seen = []
    async with asyncpg.create_pool(
        host=os.environ["SLUICE_HOST"], port=int(os.environ["SLUICE_PORT"]), user=os.environ["SLUICE_USER"],
        database=os.environ["SLUICE_TARGET"], password=os.environ["SLUICE_PASSWORD"], ssl=context, timeout=10,
        min_size=1, max_size=1,
    ) as pool:
        for _ in range(3):
            async with pool.acquire() as connection:
                digits = await connection.fetchval("SHOW extra_float_digits")
                await connection.execute("SET extra_float_digits TO 0")
                email = await connection.fetchval("SELECT email FROM customers WHERE id = $1", 1)
                seen.append([connection.get_server_pid(), digits, await connection.fetchval(RELEASED), email])
    return seen


def discarded():
    with psycopg.connect(
        host=os.environ["SLUICE_HOST"], port=os.environ["SLUICE_PORT"], user=os.environ["SLUICE_USER"],
        dbname=os.environ["SLUICE_TARGET"], password=os.environ["SLUICE_PASSWORD"], sslmode="verify-full",
        sslrootcert=os.environ["SLUICE_CA"], connect_timeout=10, autocommit=True,
    ) as connection:
        seen = []
        for reset in (lambda: connection.execute("DISCARD ALL"), lambda: connection.pgconn.exec_params(b"DISCARD ALL", None)):
            connection.execute("SET extra_float_digits TO 0")
            reset()
            digits = connection.execute("SHOW extra_float_digits").fetchone()[0]
            seen.append([digits, connection.execute("SELECT email FROM customers WHERE id = 1").fetchone()[0]])
        return seen


print(json.dumps({"pooled": asyncio.run(pooled()), "discarded": discarded()}))
