"""asyncssh signs in at the broker with each of the proofs on its input; prints what became of each."""

import asyncio
import json
import os
import sys

import asyncssh


class Answering(asyncssh.SSHClient):
    """Answers every question with the same words."""

    def __init__(self, answer):
        self.answer = answer

    def kbdint_auth_requested(self):
        return ""

    def kbdint_challenge_received(self, name, instructions, lang, prompts):
        return [self.answer for _ in prompts]


def settings(proof):
    """Nothing else than this proof: each client library has ways of its own to try more."""
    nothing = {"client_keys": None, "agent_path": None, "password": None}
    if "password" in proof:
        return nothing | {"password": proof["password"], "preferred_auth": ["password"]}
    if "answer" in proof:
        return nothing | {"client_factory": lambda: Answering(proof["answer"]), "preferred_auth": ["keyboard-interactive"]}
    key = (proof["key"], proof["certificate"]) if "certificate" in proof else proof["key"]
    chosen = {"signature_algs": [proof["algorithm"]]} if "algorithm" in proof else {}
    return nothing | chosen | {"client_keys": [key], "preferred_auth": ["publickey"]}


async def attempt(proof):
    try:
        connection = await asyncssh.connect(
            "127.0.0.1",
            port=int(os.environ["SLUICE_PORT"]),
            username=os.environ["SLUICE_TARGET"],
            known_hosts=None,
            config=None,
            login_timeout=20,
            **settings(proof),
        )
    except asyncssh.PermissionDenied:
        return "refused"
    async with connection:
        return (await connection.run("echo in")).stdout.strip()


async def main():
    print(json.dumps({proof["name"]: await attempt(proof) for proof in json.load(sys.stdin)}))


asyncio.run(main())
