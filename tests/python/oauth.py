"""Signs in with OAUTHBEARER through libpq 18 itself: a token from a hook, a wrong one, and none."""

import ctypes
import glob
import json
import os

import psycopg

# The driver brings its own libpq, and has loaded what that needs.
LIBS = os.path.join(os.path.dirname(os.path.dirname(psycopg.__file__)), "psycopg_binary.libs")
pq = ctypes.CDLL(glob.glob(os.path.join(LIBS, "libpq-*.so*"))[0])
PROMPT_OAUTH_DEVICE, OAUTH_BEARER_TOKEN = 0, 1


class Request(ctypes.Structure):
    """`PGoauthBearerRequest`."""


Request._fields_ = [
    ("openid_configuration", ctypes.c_char_p),
    ("scope", ctypes.c_char_p),
    ("step", ctypes.c_void_p),
    ("cleanup", ctypes.c_void_p),
    ("token", ctypes.c_char_p),
    ("user", ctypes.c_void_p),
]
HOOK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
token, asked = None, []


@HOOK
def hook(kind, _connection, data):
    if kind != OAUTH_BEARER_TOKEN:
        return 0
    request = ctypes.cast(data, ctypes.POINTER(Request)).contents
    asked.append([text and text.decode() for text in (request.openid_configuration, request.scope)])
    request.token = token
    return 1


pq.PQsetAuthDataHook(hook)
for name, result in [("PQconnectdb", ctypes.c_void_p), ("PQerrorMessage", ctypes.c_char_p), ("PQexec", ctypes.c_void_p),
                     ("PQgetvalue", ctypes.c_char_p)]:
    getattr(pq, name).restype = result

ISSUER = os.environ["SLUICE_ISSUER"]
DSN = (
    f"host={os.environ['SLUICE_HOST']} port={os.environ['SLUICE_PORT']} user={os.environ['SLUICE_USER']} "
    f"dbname={os.environ['SLUICE_TARGET']} sslmode=verify-full sslrootcert={os.environ['SLUICE_CA']} connect_timeout=10 "
    f"require_auth=oauth oauth_issuer={ISSUER} oauth_client_id=psql options='-c sluice.auth=oauthbearer'"
)


def visit(with_token):
    global token
    token = with_token.encode()
    asked.clear()
    connection = ctypes.c_void_p(pq.PQconnectdb(DSN.encode()))
    said = pq.PQerrorMessage(connection).decode()
    row = None
    if not said:
        result = ctypes.c_void_p(pq.PQexec(connection, b"SELECT email FROM customers WHERE id = 1"))
        row = pq.PQgetvalue(result, 0, 0).decode()
        pq.PQclear(result)
    pq.PQfinish(connection)
    return {"row": row, "said": said, "asked": list(asked)}


print(json.dumps({"good": visit(os.environ["SLUICE_PASSWORD"]), "bad": visit("not-a-token")}))
