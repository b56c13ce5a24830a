"""Runs a program in a terminal, presses keys there and prints what it has shown: terminal.py KEY,KEY,... PROGRAM ARGUMENT..."""

import fcntl
import os
import pty
import re
import select
import signal
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
# How long a program has to draw what a key has changed.
PATIENCE = 0.8

process, terminal = pty.fork()
if process == 0:
    os.environ["TERM"] = "xterm"
    # Until there is a size and somebody has looked at the terminal.
    time.sleep(0.2)
    os.execvp(sys.argv[2], sys.argv[2:])
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
before = termios.tcgetattr(terminal)

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


watch(1.7)
for key in sys.argv[1].split(","):
    if key == "narrow":
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
        os.killpg(os.tcgetpgrp(terminal), signal.SIGWINCH)
    elif key == "sigterm":
        os.killpg(os.tcgetpgrp(terminal), signal.SIGTERM)
    else:
        os.write(terminal, KEYS.get(key) or key.encode())
    watch(PATIENCE)
_, status = os.waitpid(process, 0)
watch(0.1)
print(re.sub(rb"\x1b[\[(][0-9;?]*[a-zA-Z]?|\x1b[=>]", b" ", shown).decode(errors="replace"))
print("exit status:", os.waitstatus_to_exitcode(status))
left = shown.rfind(b"\x1b[?1049l") > shown.rfind(b"\x1b[?1049h") and shown.rfind(b"\x1b[?25h") > shown.rfind(b"\x1b[?25l")
print("the terminal is as it was:", left and termios.tcgetattr(terminal) == before)
