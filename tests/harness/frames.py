"""The frame codec of plugins/PROTOCOL.md, and a gateway that does what a test tells it.

Used by tests that run one real plugin against a scripted other side.
"""

import json
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
import time

from .process import PATIENCE, scheduled

FRAME_MAX = 65536


class Closed(Exception):
    """The peer closed the connection."""


def encode(frame):
    content = json.dumps(frame, ensure_ascii=False, separators=(",", ":")).encode()
    return struct.pack(">I", len(content)) + content


def read_exactly(connection, size):
    parts = []
    while size > 0:
        try:
            part = connection.recv(min(size, 1 << 16))
        except OSError as error:
            raise Closed() from error
        if not part:
            raise Closed()
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def read_frame(connection):
    (size,) = struct.unpack(">I", read_exactly(connection, 4))
    if not 1 <= size <= FRAME_MAX:
        raise ValueError("a frame of %d bytes" % size)
    return json.loads(read_exactly(connection, size).decode())


class Gateway:
    """Plays vestibuled for one plugin process.

    Requests of the plugin are answered by `on_request(frame)`: a dict is sent as the answer, None
    leaves the request open. Everything that arrives is kept, with the time, in `log`.
    """

    ANSWERS = {"sent", "failed", "later", "withdrawn", "too-late", "unsupported", "done", "again", "gone"}

    def __init__(self, program, name, settings, credentials=None, on_request=None, wrapper=()):
        self.program = program
        self.name = name
        self.settings = settings
        self.on_request = on_request or (lambda frame: {"type": "ack"})
        self.wrapper = list(wrapper)
        self.folder = tempfile.mkdtemp(prefix="vestibule-gateway-")
        self.credentials = os.path.join(self.folder, "credentials")
        os.mkdir(self.credentials, 0o700)
        for key, value in (credentials or {}).items():
            path = os.path.join(self.credentials, key)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
                file.write(value)
        self.log = []
        self.answers = {}
        self.changed = threading.Condition()
        self.last_id = 0
        self.process = None
        self.connection = None
        self.closed = False

    def start(self, timeout=PATIENCE):
        path = os.path.join(self.folder, "socket")
        if os.path.exists(path):
            os.unlink(path)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen(1)
            listener.settimeout(timeout)
            self.errors = open(os.path.join(self.folder, "stderr"), "ab")
            self.process = subprocess.Popen(
                self.wrapper + [self.program, "--gateway", "unix:" + path],
                stderr=self.errors,
                stdin=subprocess.DEVNULL,
                env={
                    "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
                    "CREDENTIALS_DIRECTORY": self.credentials,
                    **{k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")},
                },
            )
            self.connection, _ = listener.accept()
        self.connection.settimeout(timeout)
        self.hello = read_frame(self.connection)
        self.connection.settimeout(None)
        self.closed = False
        self.write({"type": "welcome", "protocol": 1, "settings": self.settings})
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        return self

    def _read(self):
        try:
            while True:
                self._take(read_frame(self.connection))
        except (Closed, OSError, ValueError):
            pass
        with self.changed:
            self.closed = True
            self.changed.notify_all()

    def _take(self, frame):
        answer = None
        is_answer = "id" in frame and frame["type"] in self.ANSWERS
        if "id" in frame and not is_answer:
            answer = self.on_request(frame)
        with self.changed:
            self.log.append((time.monotonic(), frame))
            if is_answer:
                self.answers[frame["id"]] = frame
            self.changed.notify_all()
        if answer is not None:
            self.answer(frame, answer)

    def answer(self, request, answer):
        self.write({**answer, "id": request["id"]})

    def write(self, frame):
        try:
            self.connection.sendall(encode(frame))
        except OSError:
            pass

    def ask(self, kind, /, **members):
        """Sends a request and returns its id."""
        with self.changed:
            self.last_id += 1
            number = self.last_id
        self.write({**members, "type": kind, "id": number})
        return number

    def wait(self, condition, timeout, what):
        """Waits until condition() is true, and returns its value. It runs under the lock."""
        limit = time.monotonic() + timeout
        with self.changed:
            while True:
                value = condition()
                if value:
                    return value
                left = limit - time.monotonic()
                if left <= 0:
                    raise AssertionError("not within %g s: %s" % (timeout, what))
                self.changed.wait(left)

    def wait_answer(self, number, timeout=PATIENCE):
        return self.wait(lambda: self.answers.get(number), timeout, "an answer to %d" % number)

    def wait_frame(self, kind, /, timeout=PATIENCE, **members):
        def find():
            for _, frame in self.log:
                if frame["type"] == kind and all(frame.get(k) == v for k, v in members.items()):
                    return frame
            return None

        return self.wait(find, timeout, "a frame %s %s" % (kind, members))

    def frames(self, kind):
        with self.changed:
            return [frame for _, frame in self.log if frame["type"] == kind]

    def wait_report(self, says, /, timeout=PATIENCE, **members):
        return self.wait_frame("report", timeout, says=says, **members)

    def reports(self, says=None):
        """What it asked us to take of what became of messages: all, or what says so."""
        return [frame for frame in self.frames("report") if says in (None, frame["says"])]

    def comes_before(self, first, second):
        """Whether one frame of the log came before another."""
        with self.changed:
            order = [id(frame) for _, frame in self.log]
        return order.index(id(first)) < order.index(id(second))

    def forget(self):
        """Empties the log, so that what was already seen is not found again."""
        with self.changed:
            self.log.clear()

    def wait_up(self, timeout=PATIENCE):
        def is_up():
            states = [frame["up"] for _, frame in self.log if frame["type"] == "status"]
            return states and states[-1]

        return self.wait(is_up, timeout, "the channel is up")

    def cpu(self):
        """Seconds of processor time that the plugin has used."""
        return scheduled(self.process.pid)[0]

    def errors_text(self):
        with open(os.path.join(self.folder, "stderr"), errors="replace") as file:
            return file.read()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.connection.close()

    def stop(self, timeout=PATIENCE):
        """Closes the connection, as a gateway that ends does, and returns the plugin's status."""
        status = None
        if self.connection:
            try:
                self.connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        if self.process:
            try:
                status = self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.errors.close()
        if self.connection:
            self.connection.close()
        return status

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)
