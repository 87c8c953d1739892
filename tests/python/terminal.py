"""Runs a program in a terminal: terminal.py ROWS COLUMNS PROGRAM ARGUMENT...

What comes in is typed; a line "<ESC>size ROWS COLUMNS" changes the size instead. Ends as the program does.
"""

import fcntl
import os
import pty
import select
import struct
import sys
import termios

SIZE = b"\x1bsize "


def resize(terminal, rows, columns):
    # The kernel tells the program's group with SIGWINCH.
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def typed(terminal, pending):
    """Types what is complete and returns the rest."""
    while pending:
        start = pending.find(SIZE)
        if start < 0:
            os.write(terminal, pending)
            return b""
        if start > 0:
            os.write(terminal, pending[:start])
            pending = pending[start:]
        line, end, rest = pending.partition(b"\n")
        if not end:
            return pending
        rows, columns = line[len(SIZE) :].split()
        resize(terminal, int(rows), int(columns))
        pending = rest
    return pending


def main():
    rows, columns, *program = sys.argv[1:]
    child, terminal = pty.fork()
    if child == 0:
        # The size is there before the program looks.
        resize(0, int(rows), int(columns))
        os.execvp(program[0], program)
    sources, pending = [0, terminal], b""
    while True:
        ready, _, _ = select.select(sources, [], [])
        if 0 in ready:
            text = os.read(0, 65536)
            if not text:
                sources.remove(0)
            pending = typed(terminal, pending + text)
        if terminal in ready:
            try:
                text = os.read(terminal, 65536)
            except OSError:
                text = b""
            if not text:
                break
            os.write(1, text)
    _, status = os.waitpid(child, 0)
    sys.exit(os.waitstatus_to_exitcode(status) & 255)


main()
