#!/usr/bin/python3
"""A plugin for tests/gateway/test-plugin-set.c, started by `exec =`. Says hello, then answers `look` with what
it sees of its process, and ends as `end` {status} says. Modes: run; quit (ends at once with a status);
deaf (ignores SIGTERM, and the end of its connection); stay (ignores the end of its connection)."""
import json
import os
import signal
import socket
import struct
import sys
import time


def receive(connection, size):
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            while sys.argv[1] in ("deaf", "stay"):
                time.sleep(3600)
            sys.exit(0)
        data += more
    return data


def read_frame(connection):
    (size,) = struct.unpack(">I", receive(connection, 4))
    return json.loads(receive(connection, size))


def write_frame(connection, frame):
    content = json.dumps(frame).encode()
    connection.sendall(struct.pack(">I", len(content)) + content)


def look():
    return {
        "environment": sorted(os.environ),
        "credentials": os.environ.get("CREDENTIALS_DIRECTORY", ""),
        "descriptors": sorted(int(fd) for fd in os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd/" + fd)),
        "stdin": os.readlink("/proc/self/fd/0"),
        "group": os.getpgrp(),
        "pid": os.getpid(),
        "blocked": len(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "arguments": sys.argv[1:],
    }


def main():
    if sys.argv[1] == "quit":
        sys.exit(int(sys.argv[2]))
    assert sys.argv[-4:] == ["--gateway", "fd:3", "--name", "child"]
    connection = socket.socket(fileno=3)
    write_frame(connection, {"type": "hello", "protocol": [1, 1], "role": "channel", "name": "child",
                             "version": "1", "capabilities": []})
    if sys.argv[1] == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        frame = read_frame(connection)
        if frame["type"] == "look":
            write_frame(connection, {"type": "done", "id": frame["id"], **look()})
        elif frame["type"] == "end":
            sys.exit(frame["status"])


main()
