"""paramiko through the broker: a command, its input, files."""

import json
import os

import paramiko

from paramiko_connected import connected

client = connected()

_, stdout, stderr = client.exec_command("echo out; echo err >&2; exit 7")
seen = {"exec": [stdout.read().decode(), stderr.read().decode(), stdout.channel.recv_exit_status()]}

stdin, stdout, _ = client.exec_command("cat")
stdin.write("typed")
stdin.channel.shutdown_write()
seen["stdin"] = stdout.read().decode()

content = os.urandom(3 << 20)
with open("paramiko.sent", "wb") as file:
    file.write(content)
folder = os.getcwd()
with client.open_sftp() as sftp:
    sftp.put("paramiko.sent", f"{folder}/paramiko.there")
    sftp.get(f"{folder}/paramiko.there", "paramiko.back")
    seen["listed"] = "paramiko.there" in sftp.listdir(folder)
    sftp.remove(f"{folder}/paramiko.there")
with open("paramiko.back", "rb") as file:
    seen["same"] = file.read() == content
client.close()
print(json.dumps(seen))
