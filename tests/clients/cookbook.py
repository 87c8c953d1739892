"""A server that answers as the broker does when it refuses, runs out of budget, or waits for an approval.

It shows what SDKs make of each answer without a broker. The answer is chosen by a word in the request's text; every
request is printed as one JSON line.
"""

import contextlib
import json
import os
import re
import socket
import sys
import threading
import time

WORDS = ("refused", "budget-soon", "budget", "pending", "timed-out", "held-then-refused", "held", "midway", "cut")
HELD_SECONDS = float(os.environ.get("SLUICE_HELD_SECONDS", "1.2"))

lock = threading.Lock()
seen = {}


def error(message, kind, code):
    said = {"message": message, "type": kind, "param": None, "code": code, "rule": "a-rule", "decision": "d-1"}
    return {"error": said}


def reply(status, body, **headers):
    content = json.dumps(body).encode()
    head = [f"HTTP/1.1 {status}", "content-type: application/json", f"content-length: {len(content)}"]
    head += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + content


def chunk(text):
    return f"{len(text.encode()):x}\r\n{text}\r\n".encode()


def response(text):
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    return {
        "id": "resp_1", "object": "response", "created_at": 1, "model": "gpt-demo", "status": "completed",
        "output": [item], "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
    }


def completion(text):
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop", "logprobs": None}
    return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-demo", "choices": [choice]}


def stream_head():
    return b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def midway(api, connection, ended):
    """A text that is begun, and then an error, or nothing more, in the middle of the stream."""
    connection.sendall(stream_head())
    if api == "chat":
        delta = {"index": 0, "delta": {"role": "assistant", "content": "Half of"}, "finish_reason": None}
        event = {
            "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt-demo", "choices": [delta],
        }
        connection.sendall(chunk(f"data: {json.dumps(event)}\n\n"))
        last = f"data: {json.dumps(error('Refused half-way.', 'policy_denied', 'policy_denied'))}\n\n"
    else:
        delta = {
            "type": "response.output_text.delta", "sequence_number": 0, "item_id": "msg_1", "output_index": 0,
            "content_index": 0, "delta": "Half of", "logprobs": [],
        }
        connection.sendall(chunk(f"event: {delta['type']}\ndata: {json.dumps(delta)}\n\n"))
        flat = {
            "type": "error", "sequence_number": 1, "code": "policy_denied", "message": "Refused half-way.",
            "param": None,
        }
        flat.update(error("Refused half-way.", "policy_denied", "policy_denied"))
        last = f"event: error\ndata: {json.dumps(flat)}\n\n"
    connection.sendall((chunk(last) if ended else b"") + b"0\r\n\r\n")


def wait(connection):
    until = time.monotonic() + HELD_SECONDS
    while time.monotonic() < until:
        connection.sendall(b"HTTP/1.1 102 Processing\r\n\r\n")
        time.sleep(0.2)


def answer(connection, api, word, attempt):
    good = response("Here you are.") if api == "responses" else completion("Here you are.")
    refusal = error("Refused. Ask the on-call DBA.", "policy_denied", "a-rule")
    if word == "refused":
        connection.sendall(reply("403 Forbidden", refusal, x_should_retry="false", x_request_id="req_1"))
    elif word == "budget":
        body = error("The budget is spent.", "insufficient_quota", "budget_exceeded")
        connection.sendall(reply("429 Too Many Requests", body, x_should_retry="false"))
    elif word == "budget-soon":
        body = error("Too fast.", "insufficient_quota", "budget_exceeded")
        again = reply("429 Too Many Requests", body, retry_after="1")
        connection.sendall(again if attempt == 1 else reply("200 OK", good))
    elif word == "pending":
        body = error("Waiting for an approval: ask again.", "policy_denied", "approval_pending")
        again = reply("409 Conflict", body, x_should_retry="true")
        connection.sendall(again if attempt == 1 else reply("200 OK", good))
    elif word == "timed-out":
        body = error("Nobody approved it in time.", "policy_denied", "approval_timeout")
        connection.sendall(reply("403 Forbidden", body, x_should_retry="false"))
    elif word == "held":
        wait(connection)
        connection.sendall(reply("200 OK", good))
    elif word == "held-then-refused":
        wait(connection)
        connection.sendall(reply("403 Forbidden", refusal, x_should_retry="false"))
    elif word in ("midway", "cut"):
        midway(api, connection, word == "midway")
    else:
        connection.sendall(reply("200 OK", good))


def serve(connection):
    with connection, connection.makefile("rb") as stream:
        while True:
            line = stream.readline().decode()
            if not line.strip():
                return
            headers = {}
            while (header := stream.readline().decode().strip()):
                name, _, value = header.partition(":")
                headers[name.lower()] = value.strip()
            body = stream.read(int(headers.get("content-length", "0"))).decode()
            word = next((word for word in WORDS if re.search(rf"answer:{word}\b(?!-)", body)), None)
            api = "chat" if "/chat/" in line else "responses"
            client = headers.get("user-agent", "").split(" ")[0]
            with lock:
                key = (client, api, word, '"stream":true' in body.replace(" ", ""))
                attempt = seen[key] = seen.get(key, 0) + 1
                told = {
                    "word": word, "api": api, "attempt": attempt, "client": client,
                    "retry_count": headers.get("x-stainless-retry-count"),
                    "timeout": headers.get("x-stainless-read-timeout") or headers.get("x-stainless-timeout"),
                }
                print(json.dumps(told), flush=True)
            with contextlib.suppress(OSError):
                # A client that has waited long enough goes away.
                answer(connection, api, word, attempt)


with socket.create_server(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 0)) as server:
    print(json.dumps({"port": server.getsockname()[1]}), flush=True)
    while True:
        threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
