"""paramiko reads parts of a file whose values are covered, in any order, and compares them with the whole of it."""

import json
import os
import random

from paramiko_connected import connected

client = connected()

with open("got/whole", "rb") as file:
    whole = file.read()
path = f"{os.getcwd()}/people.csv"
parts = [(random.randrange(len(whole)), random.choice([1, 7, 80, 4096, 40000])) for _ in range(40)]
parts += [(0, 1), (len(whole) - 1, 10), (whole.index(b"*") + 3, 5)]
with client.open_sftp() as sftp:
    with sftp.open(path, "rb", 0) as file:
        same = True
        for offset, length in parts:
            file.seek(offset)
            same = same and file.read(length) == whole[offset : offset + length]
    with sftp.open(path, "rb", 0) as file:
        for offset, length in [(100, 50), (10, 20), (140, 60)]:
            file.seek(offset)
            file.read(length)
    length = sftp.stat(path).st_size
client.close()
print(json.dumps({"same": same, "length": length, "told": "read FILE: 130 bytes, partial 10-30 100-200"}))
