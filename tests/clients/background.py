"""A response in the background with openai-python, as its guide asks for it: until it is no longer queued."""

import time

from openai import OpenAI

from report import MODEL, PROMPT, finish, step

client = OpenAI()
response = None


@step("asked")
def _(said):
    global response
    response = client.responses.create(model=MODEL, input=PROMPT, background=True)
    said["status"] = response.status
    said["background"] = response.background


@step("answered")
def _(said):
    first, seen = response.id, response
    while seen.status in ("queued", "in_progress"):
        time.sleep(0.1)
        seen = client.responses.retrieve(seen.id)
    said["status"] = seen.status
    said["text"] = seen.output_text
    # Who keeps the first id finds the same response.
    said["same"] = client.responses.retrieve(first).id == seen.id


finish()
