"""Chat completions with openai-python: whole, streamed, with several choices, with tools, and what lies around them."""

import json

from openai import OpenAI

from report import MODEL, PROMPT, equal, finish, step

FUNCTIONS = {
    "query_database": {"sql": {"type": "string"}},
    "lookup_order": {"order_id": {"type": "integer"}},
    "delete_customer": {"name": {"type": "string"}},
}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": name.replace("_", " "),
            "parameters": {"type": "object", "properties": parameters, "required": list(parameters)},
        },
    }
    for name, parameters in FUNCTIONS.items()
]

client = OpenAI()


def ask(question=PROMPT, **more):
    return client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": question}], **more)


@step("models")
def _(said):
    said["models"] = [model.id for model in client.models.list()]


@step("whole")
def _(said):
    raw = client.chat.completions.with_raw_response.create(
        model=MODEL, messages=[{"role": "user", "content": PROMPT}]
    )
    completion = raw.parse()
    said["text"] = completion.choices[0].message.content
    said["finish"] = completion.choices[0].finish_reason
    said["usage"] = completion.usage.to_dict()
    said["headers"] = dict(raw.headers)


@step("stream")
def _(said):
    chunks = list(ask(stream=True))
    said["chunks"] = len(chunks)
    said["text"] = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    said["finish"] = [choice.finish_reason for chunk in chunks for choice in chunk.choices][-1]
    said["usage"] = [chunk.usage.to_dict() for chunk in chunks if chunk.usage]


@step("stream-usage")
def _(said):
    chunks = list(ask(stream=True, stream_options={"include_usage": True}))
    said["text"] = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    said["usage"] = chunks[-1].usage.to_dict()


@step("choices")
def _(said):
    texts = {}
    for chunk in ask(stream=True, n=2):
        for choice in chunk.choices:
            texts[choice.index] = texts.get(choice.index, "") + (choice.delta.content or "")
    said["texts"] = texts


@step("logprobs")
def _(said):
    completion = ask(logprobs=True)
    logprobs = completion.choices[0].logprobs
    said["whole"] = "".join(token.token for token in logprobs.content) if logprobs else None
    tokens = []
    for chunk in ask(stream=True, logprobs=True):
        for choice in chunk.choices:
            if choice.logprobs and choice.logprobs.content:
                tokens += [token.token for token in choice.logprobs.content]
    said["stream"] = "".join(tokens) or None


@step("helper")
def _(said):
    with client.chat.completions.stream(model=MODEL, messages=[{"role": "user", "content": PROMPT}]) as stream:
        kinds = [event.type for event in stream]
        completion = stream.get_final_completion()
    said["text"] = completion.choices[0].message.content
    said["kinds"] = sorted(set(kinds))


@step("tool")
def _(said):
    question = {"role": "user", "content": "How many customers are there?"}
    completion = client.chat.completions.create(model=MODEL, messages=[question], tools=TOOLS)
    call = completion.choices[0].message.tool_calls[0]
    said["call"] = {call.function.name: json.loads(call.function.arguments)}
    result = {"role": "tool", "tool_call_id": call.id, "content": "count: 6, first: zq7x.k1@leak.example.com"}
    messages = [question, completion.choices[0].message.to_dict(), result]
    completion = client.chat.completions.create(model=MODEL, messages=messages, tools=TOOLS)
    said["text"] = completion.choices[0].message.content


@step("tool-stream")
def _(said):
    calls = {}
    finish_reason = None
    for chunk in ask("Show order 10 and delete customer Bao Tran", tools=TOOLS, stream=True):
        for choice in chunk.choices:
            finish_reason = choice.finish_reason or finish_reason
            for delta in choice.delta.tool_calls or []:
                call = calls.setdefault(delta.index, {"name": "", "arguments": ""})
                call["name"] += delta.function.name or ""
                call["arguments"] += delta.function.arguments or ""
    said["calls"] = [{call["name"]: json.loads(call["arguments"])} for call in calls.values()]
    said["finish"] = finish_reason


@step("embeddings")
def _(said):
    vectors = client.embeddings.create(model="text-embedding-demo", input=["one text", "another"])
    again = client.embeddings.create(model="text-embedding-demo", input=["one text"], encoding_format="float")
    said["dimensions"] = [len(item.embedding) for item in vectors.data]
    equal("vectors of one text", *(round(item.data[0].embedding[0], 4) for item in (vectors, again)))


finish()
