"""A host that lets one login in with one password, by asyncssh; it says what it was shown and what it ran."""

import asyncio
import os
import sys

import asyncssh

LOGIN, PASSWORD = os.environ["HOST_LOGIN"], os.environ["HOST_PASSWORD"]


class Server(asyncssh.SSHServer):
    def begin_auth(self, username):
        return True

    def password_auth_supported(self):
        return True

    def validate_password(self, username, password):
        right = (username, password) == (LOGIN, PASSWORD)
        print(f"{username} {'is in' if right else 'stays out'}", flush=True)
        return right


async def ran(process):
    process.stdout.write(f"ran {process.command}\n")
    process.exit(0)


async def main():
    key = asyncssh.generate_private_key("ssh-ed25519")
    server = await asyncssh.listen(
        "127.0.0.1", 0, server_factory=Server, server_host_keys=[key], process_factory=ran
    )
    print(server.get_port(), key.export_public_key().decode().strip(), flush=True)
    # Until whoever started it is gone.
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())
