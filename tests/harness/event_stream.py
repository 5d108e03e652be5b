"""A client of GET /v1/events: what server-sent events say (WHATWG HTML, section 9.2.6), read as they
come."""

import http.client
import json
import socket
import threading
import time


class EventStream:
    """One connection. `events` are (number, type, data) as dispatched; `last_id` is what EventSource would
    send when it comes back, an integer if it is a number alone; `comments` counts the signs of life between."""

    def __init__(self, port, token, last_id=None, query="", headers=None, timeout=120, take=True):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
        headers = {"Authorization": "Bearer " + token, **(headers or {})}
        if last_id is not None:
            headers["Last-Event-ID"] = str(last_id)
        self.connection.request("GET", "/v1/events" + query, headers=headers)
        self.socket = self.connection.sock
        self.response = self.connection.getresponse()
        self.status, self.headers = self.response.status, self.response.headers
        self.events, self.comments, self.retry, self.last_id = [], 0, None, None
        self.ended = False
        self.changed = threading.Condition()
        self.thread = None
        if self.status != 200:
            self.problem = json.loads(self.response.read())
            self.ended = True
        elif take:
            self.start()

    def start(self):
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        try:
            block = []
            while True:
                line = self.response.readline()
                if not line:
                    break
                line = line.decode().rstrip("\n")
                if line:
                    block.append(line)
                else:
                    self._dispatch(block)
                    block = []
        except (OSError, ValueError, AttributeError, http.client.HTTPException):
            pass
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def _dispatch(self, block):
        kind, data = "message", None
        with self.changed:
            for line in block:
                field, _, value = line.partition(":")
                value = value.removeprefix(" ")
                if field == "":
                    self.comments += 1
                elif field == "id":
                    self.last_id = int(value) if value.isdigit() else value
                elif field == "event":
                    kind = value
                elif field == "data":
                    data = value if data is None else data + "\n" + value
                elif field == "retry":
                    self.retry = int(value)
                else:
                    raise AssertionError("an unknown field: " + line)
            if data is not None:
                self.events.append((int(str(self.last_id).partition("-")[0]), kind, json.loads(data)))
            self.changed.notify_all()

    def wait(self, condition, timeout, what):
        end = time.monotonic() + timeout
        with self.changed:
            while not condition():
                left = end - time.monotonic()
                if left <= 0:
                    raise AssertionError("%s did not happen; events: %s" % (what, self.events))
                self.changed.wait(left)

    def wait_event(self, kind, share=None, timeout=30):
        def find():
            return next((data for _, type_, data in self.events if type_ == kind and
                         share in (None, data.get("share"))), None)

        self.wait(find, timeout, "the event " + kind)
        return find()

    def wait_end(self, timeout=30):
        self.wait(lambda: self.ended, timeout, "the end of the stream")

    def close(self):
        """Goes away at once, without a word."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        if self.thread is not None:
            self.thread.join(20)
        self.response.close()
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
