"""Lists that come in parts, read to their end as the SDK reads them."""

import os

from openai import OpenAI

from report import finish, step

client = OpenAI()
MADE = int(os.environ.get("SLUICE_MADE", "0"))


@step("made")
def made(said):
    files = (client.files.create(file=("a.txt", b"x"), purpose="user_data") for _ in range(MADE))
    said["ids"] = [file.id for file in files]


@step("listed")
def listed(said):
    said["ids"] = [file.id for file in client.files.list(limit=2)]


finish()
