"""Runs hatop in a terminal, presses keys there and prints what it has shown: hatop.py SOCKET KEY..."""

import fcntl
import os
import pty
import re
import select
import struct
import sys
import termios
import time

KEYS = {
    "down": b"\x1bOB",
    "f6": b"\x1b[17~",
    "f9": b"\x1b[20~",
    "f10": b"\x1b[21~",
    "quit": b"q",
}
# How long hatop has to draw what a key has changed.
PATIENCE = 0.8

process, terminal = pty.fork()
if process == 0:
    os.environ["TERM"] = "xterm"
    os.execvp("hatop", ["hatop", "-s", sys.argv[1]])
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))

shown = b""


def watch(seconds):
    global shown
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if select.select([terminal], [], [], left)[0]:
            try:
                shown += os.read(terminal, 65536)
            except OSError:  # It has ended.
                return


watch(1.5)
for key in sys.argv[2:]:
    os.write(terminal, KEYS[key])
    watch(PATIENCE)
os.waitpid(process, 0)
print(re.sub(rb"\x1b[\[(][0-9;?]*[a-zA-Z]?|\x1b[=>]", b" ", shown).decode(errors="replace"))
