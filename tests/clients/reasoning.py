"""The OpenAI Agents SDK with a model that thinks: each turn brings back the thoughts of the one before, by their ids."""

import asyncio

from agents import Agent, Runner, function_tool, set_tracing_disabled

from report import MODEL, finish, reported

set_tracing_disabled(True)


@function_tool
def add(a: int, b: int) -> int:
    """Adds."""
    return a + b


agent = Agent(name="Clerk", model=MODEL, tools=[add])


async def streamed():
    result = Runner.run_streamed(agent, "How much is 1 and 2?")
    async for _ in result.stream_events():
        pass
    return result.final_output


async def whole():
    return (await Runner.run(agent, "How much is 1 and 2?")).final_output


async def main():
    for name, asked in (("whole", whole), ("streamed", streamed)):
        with reported(name) as said:
            said["answer"] = await asked()


asyncio.run(main())
finish()
