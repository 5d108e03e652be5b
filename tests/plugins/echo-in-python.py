#!/usr/bin/python3
"""A channel plugin in another language, written from plugins/PROTOCOL.md alone with nothing but the
standard library: it answers `sent` to everything, and prints nothing that it carries.

    echo-in-python.py --gateway fd:3|unix:PATH [--name NAME] [--replies]

With --replies it answers each invitation with YES, as a person would, and hands the reply in again
until the gateway has acknowledged it. It stands in a test for every plugin that we have never seen.
"""

import argparse
import json
import os
import signal
import socket
import struct
import sys
import time

FRAME_MAX = 65536
ANSWERS = {"ack", "again", "answer", "unsupported"}  # what a gateway may answer to a channel


class Broken(Exception):
    """The gateway did not keep to the protocol."""


def log(priority, text):
    print(f"<{priority}>echo-in-python: {text}", file=sys.stderr, flush=True)


def refuse_repeated_members(pairs):
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Broken("a repeated member")
    return members


def connect(gateway):
    kind, _, where = gateway.partition(":")
    if kind == "fd":
        return socket.socket(fileno=int(where))
    if kind == "unix":
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.connect(where)
        return connection
    raise SystemExit("--gateway must be fd:N or unix:PATH")


class Plugin:
    def __init__(self, connection, name, replies):
        self.connection = connection
        self.name = name
        self.replies = replies
        self.last_id = 0
        self.open_questions = {}  # id: the reply, until it is acknowledged
        self.repeats = []  # (when, the reply)

    def say(self, **frame):
        content = json.dumps(frame, ensure_ascii=False, separators=(",", ":")).encode()
        if len(content) > FRAME_MAX:
            raise ValueError("too large for a frame")
        self.connection.sendall(struct.pack(">I", len(content)) + content)

    def ask(self, frame):
        self.last_id += 1
        self.open_questions[self.last_id] = frame
        self.say(**frame, id=self.last_id)

    def read_exactly(self, size, may_end):
        data = b""
        while len(data) < size:
            piece = self.connection.recv(size - len(data))
            if not piece:
                if data or not may_end:
                    raise Broken("closed in the middle of a frame")
                return None
            data += piece
        return data

    def hear(self):
        header = self.read_exactly(4, may_end=True)
        if header is None:
            return None
        (size,) = struct.unpack(">I", header)
        if not 1 <= size <= FRAME_MAX:
            raise Broken("a wrong length")
        try:
            content = self.read_exactly(size, may_end=False).decode("utf-8")
            frame = json.loads(content, object_pairs_hook=refuse_repeated_members)
        except ValueError:
            raise Broken("not JSON") from None
        if not isinstance(frame, dict) or not isinstance(frame.get("type"), str):
            raise Broken("not an object with a type")
        return frame

    def shake_hands(self):
        self.say(type="hello", protocol=[1, 1], role="channel", name=self.name, version="1",
                 capabilities=["reply"])
        frame = self.hear()
        if frame is None:
            return False
        if frame["type"] == "refuse":
            log(3, "refused: " + frame.get("reason", "no reason given").replace("\n", " "))
            raise SystemExit(75)
        if frame["type"] != "welcome" or frame.get("protocol") != 1:
            raise Broken("no welcome")
        self.say(type="status", up=True, reason="")
        return True

    def answer_send(self, frame):
        if frame.get("expires", 0) and frame["expires"] <= time.time():
            self.say(type="failed", id=frame["id"], permanent=False, reason="expired")
            return
        self.say(type="sent", id=frame["id"])
        if self.replies and frame.get("kind") == "invitation":
            reply = {"type": "reply", "inbound": "yes-to-" + frame["message"], "from": frame["to"],
                     "to": "echo:gateway", "text": "YES", "received": int(time.time()),
                     "authentic": "strong", "automatic": False}
            if "thread" in frame:
                reply["thread"] = frame["thread"]
            self.ask(reply)

    def handle_answer(self, frame):
        if frame["id"] > self.last_id:
            raise Broken("an answer to an id that was never issued")
        reply = self.open_questions.pop(frame["id"], None)
        if reply and frame["type"] == "again":
            self.repeats.append((time.monotonic() + frame.get("retry_after", 1), reply))

    def handle(self, frame):
        if "id" not in frame:
            return
        if frame["type"] in ANSWERS:
            self.handle_answer(frame)
        elif frame["type"] == "send":
            self.answer_send(frame)
        else:
            self.say(type="unsupported", id=frame["id"])

    def repeat_what_is_due(self):
        now = time.monotonic()
        due = [reply for when, reply in self.repeats if when <= now]
        self.repeats = [(when, reply) for when, reply in self.repeats if when > now]
        for reply in due:
            self.ask(reply)

    def wait(self):
        """Until a frame begins to arrive, or a repeat is due: then False."""
        if not self.repeats:
            return True
        self.connection.settimeout(max(0.01, min(w for w, _ in self.repeats) - time.monotonic()))
        try:
            self.connection.recv(1, socket.MSG_PEEK)
            return True
        except TimeoutError:
            return False
        finally:
            self.connection.settimeout(None)

    def run(self):
        if not self.shake_hands():
            return
        while True:
            if self.wait():
                frame = self.hear()
                if frame is None:
                    return
                self.handle(frame)
            self.repeat_what_is_due()


def main():
    parser = argparse.ArgumentParser(description="A channel that answers `sent` to everything.")
    parser.add_argument("--gateway", required=True, metavar="fd:N|unix:PATH")
    parser.add_argument("--name", default="echo")
    parser.add_argument("--replies", action="store_true", help="answer invitations with YES")
    arguments = parser.parse_args()

    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    try:
        Plugin(connect(arguments.gateway), arguments.name, arguments.replies).run()
    except Broken as reason:
        log(3, f"the gateway broke the protocol: {reason}")
        return 76
    except (ConnectionError, FileNotFoundError) as error:
        log(4, f"no connection to the gateway: {error.strerror}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
