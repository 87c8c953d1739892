"""paramiko signs in at the broker with each of the proofs on its input; prints what became of each."""

import json
import os
import sys

import paramiko

ALGORITHMS = ["ssh-ed25519", "rsa-sha2-512", "rsa-sha2-256", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"]


def authenticate(transport, user, proof):
    if "password" in proof:
        transport.auth_password(user, proof["password"], fallback=False)
    elif "answer" in proof:
        transport.auth_interactive(user, lambda title, words, prompts: [proof["answer"] for _ in prompts])
    else:
        key = paramiko.PKey.from_path(proof["key"])
        if "certificate" in proof:
            key.load_certificate(proof["certificate"])
        transport.auth_publickey(user, key)


def attempt(proof):
    others = [name for name in ALGORITHMS if name != proof.get("algorithm")]
    disabled = {"pubkeys": others} if "algorithm" in proof else None
    # Nothing else than this proof: each client library has ways of its own to try more.
    transport = paramiko.Transport(("127.0.0.1", int(os.environ["SLUICE_PORT"])), disabled_algorithms=disabled)
    try:
        transport.start_client(timeout=20)
        try:
            authenticate(transport, os.environ["SLUICE_TARGET"], proof)
        except paramiko.AuthenticationException:
            return "refused"
        channel = transport.open_session(timeout=20)
        channel.exec_command("echo in")
        return channel.makefile().read().decode().strip()
    finally:
        transport.close()


print(json.dumps({proof["name"]: attempt(proof) for proof in json.load(sys.stdin)}))
