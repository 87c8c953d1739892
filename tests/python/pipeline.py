"""A pipeline with a refused statement in the middle: what each statement came to, and whether the next works."""

import json
import os

import psycopg

with psycopg.connect(
    host=os.environ["SLUICE_HOST"], port=os.environ["SLUICE_PORT"], user=os.environ["SLUICE_USER"],
    dbname=os.environ["SLUICE_TARGET"], password=os.environ["SLUICE_PASSWORD"], sslmode="verify-full",
    sslrootcert=os.environ["SLUICE_CA"], connect_timeout=10, autocommit=True,
) as connection:
    outcomes = []

    def run(statements):
        cursors = []
        try:
            with connection.pipeline() as pipeline:
                for statement in statements:
                    if statement is None:
                        pipeline.sync()
                        continue
                    cursor = connection.cursor()
                    cursors.append(cursor)
                    cursor.execute(statement)
        except psycopg.Error as error:
            outcomes.append({"error": error.sqlstate})
        found = []
        for cursor in cursors:
            try:
                found.append(cursor.fetchall())
            except psycopg.Error as error:
                found.append(type(error).__name__)
        outcomes.append({"found": found})

    # One implicit transaction: everything after the refusal is skipped up to the sync.
    run(["SELECT 1", "SELECT 2", "DROP TABLE customers", "SELECT 3"])
    # Each statement before a sync of its own.
    run(["SELECT 4", None, "DROP TABLE customers", None, "SELECT 5"])
    run(["SELECT 6", "SELECT email FROM customers WHERE id = 1", "SELECT 7"])
    after = connection.execute("SELECT count(*) FROM orders").fetchone()[0]
    status = connection.info.transaction_status.name

print(json.dumps({"outcomes": outcomes, "after": after, "status": status}))
