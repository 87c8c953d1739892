"""A session of an agent with openai-python: its stream, and the tools that the program runs for it."""

from openai import OpenAI

from report import finish, step

client = OpenAI()


@step("stream")
def _(said):
    said["ran"], said["kinds"], said["text"], said["error"] = [], [], "", None

    def run(name):
        return lambda arguments: said["ran"].append([name, arguments]) or "done"

    handlers = {name: run(name) for name in ("lookup_order", "delete_customer")}
    try:
        with client.beta.agents.sessions.stream("as_1", input="Hello.", tool_handlers=handlers) as events:
            for event in events:
                said["kinds"].append(event.type)
                if event.type == "agent.session.turn.output_text.delta":
                    said["text"] += event.delta
                if event.type == "error":
                    said["error"] = event.error.code
    except RuntimeError as error:
        said["broken"] = str(error)


finish()
