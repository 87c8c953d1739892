"""What openai-python makes of refusals, spent budgets, holds and streams that break off.

`SLUICE_ASKS` is a JSON list of requests: `step`, and as wanted `api` (`responses` or `chat`), `stream`, `prompt`,
`model`, `timeout`, `retries`, `key`. Without it the answers of `cookbook.py` are asked for, one by one.
"""

import json
import os
import time

from openai import OpenAI

from report import MODEL, finish, raised, reported

WORDS = ("refused", "budget", "budget-soon", "pending", "timed-out", "held", "held-then-refused")
COOKBOOK = [
    {"step": f"{word}-{api}", "api": api, "prompt": f"answer:{word}", "timeout": 5}
    for word in WORDS
    for api in ("responses", "chat")
] + [
    {"step": f"{word}-{api}-stream", "api": api, "prompt": f"answer:{word}", "stream": True, "timeout": 5}
    for word in ("refused", "midway", "cut")
    for api in ("responses", "chat")
]


def streamed(api, stream, said):
    said["text"] = ""
    for event in stream:
        if api == "chat":
            said["text"] += "".join(choice.delta.content or "" for choice in event.choices)
        elif event.type == "response.output_text.delta":
            said["text"] += event.delta
        said["last"] = getattr(event, "type", event.__class__.__name__)


def ask(request, said):
    api, stream = request.get("api", "responses"), request.get("stream", False)
    more = {"timeout": request["timeout"]} if "timeout" in request else {}
    if "retries" in request:
        more["max_retries"] = request["retries"]
    if "key" in request:
        more["api_key"] = request["key"]
    client, model = OpenAI(**more), request.get("model", MODEL)
    if api == "chat":
        messages = [{"role": "user", "content": request["prompt"]}]
        given = client.chat.completions.create(model=model, messages=messages, stream=stream)
    else:
        given = client.responses.create(model=model, input=request["prompt"], stream=stream)
    if stream:
        streamed(api, given, said)
    else:
        said["text"] = given.choices[0].message.content if api == "chat" else given.output_text


for request in json.loads(os.environ.get("SLUICE_ASKS", "null")) or COOKBOOK:
    with reported(request["step"]) as said:
        began = time.monotonic()
        try:
            ask(request, said)
        except Exception as error:
            # The exception is what is looked for: the step is done.
            said.update(raised(error))
        said["seconds"] = round(time.monotonic() - began, 1)
finish()
