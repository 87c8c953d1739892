"""paramiko asks for all of a file at once, and writes without waiting for a host that stands still; prints two SHA-256."""

import hashlib
import json
import os
import threading
import time

from paramiko_connected import connected

BLOCK = 32 << 10
# Unless the writer has come further for this long, nothing on the way takes any more.
STILL = 2.0


class Hashed:
    """A file of which nothing is kept but its SHA-256."""

    def __init__(self):
        self.digest = hashlib.sha256()

    def write(self, content):
        self.digest.update(content)


def write(sftp, path, source, progress):
    # To append is to write without seeking, which a pipe can take.
    with sftp.open(path, "ab") as file:
        file.set_pipelined(True)
        while content := source.read(BLOCK):
            file.write(content)
            progress[0] += len(content)


def stalled(progress, total):
    """Waits until the writer has stopped on its way."""
    last, since = -1, time.monotonic()
    while time.monotonic() - since < STILL:
        if progress[0] != last:
            last, since = progress[0], time.monotonic()
        time.sleep(0.02)
    assert 0 < last < total, f"{last} of {total} bytes were written to a pipe that nobody reads"


client = connected()
there = os.path.abspath("there")
total = os.stat(there).st_size
with client.open_sftp() as sftp:
    read = Hashed()
    sftp.getfo(there, read)

    pipe = os.path.abspath("pipe")
    os.mkfifo(pipe)
    progress = [0]
    with open(there, "rb") as source:
        writer = threading.Thread(target=write, args=(sftp, pipe, source, progress), daemon=True)
        writer.start()
        written = hashlib.sha256()
        with open(pipe, "rb", buffering=0) as end:
            stalled(progress, total)
            while content := end.read(1 << 20):
                written.update(content)
        writer.join()
client.close()
print(json.dumps([read.digest.hexdigest(), written.hexdigest()]))
