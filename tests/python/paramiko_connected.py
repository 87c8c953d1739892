"""paramiko, signed in at the broker as whom the environment names."""

import os

import paramiko


def connected():
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
    client.connect(
        "127.0.0.1",
        port=int(os.environ["SLUICE_PORT"]),
        username=os.environ["SLUICE_TARGET"],
        password=os.environ["SLUICE_TOKEN"],
        allow_agent=False,
        look_for_keys=False,
        timeout=20,
    )
    return client
