"""asyncssh through the broker: a command, its input, files."""

import asyncio
import json
import os

import asyncssh


async def main():
    seen = {}
    async with asyncssh.connect(
        "127.0.0.1",
        port=int(os.environ["SLUICE_PORT"]),
        username=os.environ["SLUICE_TARGET"],
        password=os.environ["SLUICE_TOKEN"],
        known_hosts=None,
        client_keys=None,
        agent_path=None,
        config=None,
        login_timeout=20,
    ) as client:
        done = await client.run("echo out; echo err >&2; exit 7")
        seen["exec"] = [done.stdout, done.stderr, done.exit_status]
        seen["stdin"] = (await client.run("cat", input="typed")).stdout

        content = os.urandom(3 << 20)
        with open("asyncssh.sent", "wb") as file:
            file.write(content)
        folder = os.getcwd()
        async with client.start_sftp_client() as sftp:
            await sftp.put("asyncssh.sent", f"{folder}/asyncssh.there")
            await sftp.get(f"{folder}/asyncssh.there", "asyncssh.back")
            seen["listed"] = "asyncssh.there" in await sftp.listdir(folder)
            await sftp.remove(f"{folder}/asyncssh.there")
        with open("asyncssh.back", "rb") as file:
            seen["same"] = file.read() == content
    print(json.dumps(seen))


asyncio.run(main())
