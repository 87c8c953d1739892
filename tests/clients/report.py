"""One JSON line per step on standard output, and an exit code of 1 if a step failed."""

import contextlib
import json
import os
import sys

MODEL = os.environ.get("SLUICE_MODEL", "gpt-demo")
PROMPT = os.environ.get(
    "SLUICE_PROMPT", "Repeat: Write to zq7x.k1@leak.example.com, number 900-55-0001, before noon."
)

# The names of the steps that are wanted, with commas between them; all of them where there is none.
WANTED = list(filter(None, os.environ.get("SLUICE_STEPS", "").split(",")))

failed = []


def step(name):
    """Runs the function below it at once, if its step is wanted, with a dictionary of what is to be printed."""
    def run(function):
        if not WANTED or name in WANTED:
            with reported(name) as said:
                function(said)
    return run


@contextlib.contextmanager
def reported(name):
    """Prints what the block puts into the dictionary; an exception is printed, and does not end the program."""
    said = {}
    try:
        yield said
        line = {"step": name, "ok": True, **said}
    except Exception as error:
        failed.append(name)
        line = {"step": name, "ok": False, **said, **raised(error)}
    print(json.dumps(line, ensure_ascii=False), flush=True)


def raised(error):
    """What a program can learn from an exception of the SDK."""
    found = {"raised": type(error).__name__, "message": str(error)}
    for name in ("status_code", "code", "type", "param", "request_id", "body"):
        value = getattr(error, name, None)
        if value is not None:
            found[name] = value if isinstance(value, (str, int, dict, list)) else str(value)
    if error.__cause__ is not None:
        found["cause"] = type(error.__cause__).__name__
    return found


def equal(what, *values):
    """Fails where copies of one text differ."""
    if len(set(values)) != 1:
        raise AssertionError(f"{what} differ: {values!r}")


def finish():
    """Ends the program."""
    sys.exit(1 if failed else 0)
