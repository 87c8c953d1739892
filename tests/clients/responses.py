"""Responses with openai-python, whole and streamed: every copy of a text must be the same one."""

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
        "name": name,
        "description": name.replace("_", " "),
        "parameters": {
            "type": "object", "properties": parameters, "required": list(parameters), "additionalProperties": False,
        },
        "strict": True,
    }
    for name, parameters in FUNCTIONS.items()
]

client = OpenAI()
whole = None


def in_order(events):
    numbers = [event.sequence_number for event in events]
    # There are servers that number nothing.
    if any(number is not None for number in numbers) and numbers != list(range(len(numbers))):
        raise AssertionError(f"the events are numbered {numbers}")


@step("whole")
def _(said):
    global whole
    whole = client.responses.create(model=MODEL, input=PROMPT)
    said["text"] = whole.output_text
    said["usage"] = whole.usage.to_dict()


@step("stream")
def _(said):
    events = list(client.responses.create(model=MODEL, input=PROMPT, stream=True))
    kinds = [event.type for event in events]
    said["events"] = len(events)
    said["kinds"] = list(dict.fromkeys(kinds))
    said["text"] = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    copies = [said["text"]]
    for event in events:
        if event.type == "response.output_text.done":
            copies.append(event.text)
        elif event.type == "response.content_part.done":
            copies.append(event.part.text)
        elif event.type == "response.output_item.done":
            copies.append(event.item.content[0].text)
        elif event.type == "response.completed":
            copies.append(event.response.output_text)
            said["usage"] = event.response.usage.to_dict()
    said["copies"] = len(copies)
    equal("the copies of the text", *copies)
    in_order(events)


@step("helper")
def _(said):
    with client.responses.stream(model=MODEL, input=PROMPT) as stream:
        for _ in stream:
            pass
        said["text"] = stream.get_final_response().output_text


@step("logprobs")
def _(said):
    events = list(
        client.responses.create(
            model=MODEL, input=PROMPT, stream=True, include=["message.output_text.logprobs"]
        )
    )
    tokens = [token.token for event in events for token in getattr(event, "logprobs", None) or []]
    said["tokens"] = len(tokens)
    said["joined"] = "".join(tokens) or None


@step("retrieve")
def _(said):
    again = client.responses.retrieve(whole.id)
    said["text"] = again.output_text
    equal("the text and its later copy", whole.output_text, again.output_text)


@step("tool")
def _(said):
    question = {"role": "user", "content": "What is in order 10?"}
    response = client.responses.create(model=MODEL, input=[question], tools=TOOLS)
    call = response.output[0]
    said["call"] = {call.name: json.loads(call.arguments)}
    result = {
        "type": "function_call_output", "call_id": call.call_id,
        "output": "a walnut desk, ordered by zq7x.k1@leak.example.com",
    }
    response = client.responses.create(model=MODEL, input=[question, call.to_dict(), result], tools=TOOLS)
    said["text"] = response.output_text


@step("tool-stream")
def _(said):
    question = "Show order 10 and delete customer Bao Tran"
    events = list(client.responses.create(model=MODEL, input=question, tools=TOOLS, stream=True))
    told = {}
    for event in events:
        if event.type == "response.function_call_arguments.delta":
            told[event.item_id] = told.get(event.item_id, "") + event.delta
    final = events[-1].response
    calls = [item for item in final.output if item.type == "function_call"]
    said["calls"] = [{call.name: json.loads(call.arguments)} for call in calls]
    said["texts"] = [item.content[0].text for item in final.output if item.type == "message"]
    for call in calls:
        equal("the arguments", told[call.id], call.arguments)
    in_order(events)


@step("conversation")
def _(said):
    follow = client.responses.create(
        model=MODEL, previous_response_id=whole.id, instructions="Be brief.", metadata={"purpose": "test"},
        input=[{"type": "function_call_output", "call_id": "call_1", "output": "six"}],
    )
    said["text"] = follow.output_text
    equal("the response before", follow.previous_response_id, whole.id)


finish()
