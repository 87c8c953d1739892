"""The OpenAI Agents SDK with three tools, streamed and whole; its traces go to the same base URL.

It is not called `agents.py`: that is the SDK's own name.
"""

import asyncio
import logging
import os

from agents import Agent, Runner, function_tool, set_trace_processors
from agents.tracing.processors import BackendSpanExporter, BatchTraceProcessor
from openai import APIError

from report import MODEL, finish, raised, reported

BASE_URL = os.environ["OPENAI_BASE_URL"].rstrip("/")
QUESTIONS = ["How many customers are there?", "What is in order 10?", "Delete customer Bao Tran, please."]

ran = []


class Complaints(logging.Handler):
    """What the SDK says of traces that it could not deliver."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.heard = []

    def emit(self, record):
        self.heard.append(record.getMessage())


@function_tool
def query_database(sql: str) -> str:
    """Asks the database."""
    ran.append({"query_database": sql})
    return "count: 6, first: zq7x.k1@leak.example.com"


@function_tool
def lookup_order(order_id: int) -> str:
    """Looks an order up."""
    ran.append({"lookup_order": order_id})
    return "a walnut desk for 899.00, ordered by zq7x.k1@leak.example.com"


@function_tool
def delete_customer(name: str) -> str:
    """Deletes a customer."""
    ran.append({"delete_customer": name})
    return f"{name} is gone"


agent = Agent(
    name="Clerk", instructions="Answer from the database.", model=MODEL,
    tools=[query_database, lookup_order, delete_customer],
)


async def streamed(question):
    result = Runner.run_streamed(agent, question)
    deltas, items = [], []
    async for event in result.stream_events():
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
            deltas.append(event.data.delta)
        elif event.type == "run_item_stream_event":
            items.append(event.name)
    return {"answer": result.final_output, "told": "".join(deltas), "items": items}


async def main():
    complaints = Complaints()
    logging.getLogger("openai.agents").addHandler(complaints)
    processor = BatchTraceProcessor(BackendSpanExporter(endpoint=f"{BASE_URL}/traces/ingest"))
    set_trace_processors([processor])
    for number, question in enumerate(QUESTIONS):
        with reported(f"streamed-{number}") as said:
            ran.clear()
            said.update(question=question, ran=list(ran))
            try:
                said.update(await streamed(question))
            finally:
                said["ran"] = list(ran)
    with reported("whole") as said:
        ran.clear()
        result = await Runner.run(agent, QUESTIONS[0])
        said.update(question=QUESTIONS[0], answer=result.final_output, ran=list(ran))
    with reported("traces") as said:
        processor.force_flush()
        said["complaints"] = complaints.heard
        if complaints.heard:
            raise AssertionError("the traces were not taken")
    processor.shutdown(timeout=5)


try:
    asyncio.run(main())
except APIError as error:
    with reported("run") as said:
        said.update(raised(error))
        raise
finish()
