"""A whole site whose relay is the second implementation (tests/relay-double), for tests that look at
each request as the relay sees it, or answer it otherwise."""

import os
import sys
import time

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "relay-double"))

import relay as relay_double  # noqa: E402

from .vestibule import Site  # noqa: E402


class SecondRelay(relay_double.Relay):
    """In the place of ours. `before(request)` may give the answer itself, and `after` replaces one that was
    given; a request is (method, headers, body), with the names of headers in lower case. `moments` has when
    each of `seen` came."""

    def __init__(self, folder):
        super().__init__()
        self.certificate, self.host = self.ca_file, self.url[len("https://"):]
        self.errors = self.log = os.path.join(folder, "no-relay.log")
        self.before = self.after = None
        self.seen, self.moments = [], []

    def handle(self, method, target, headers, body):
        request = method, {name.lower(): value for name, value in headers.items()}, body
        with self.lock:
            self.moments.append(time.monotonic())
            self.seen.append(request)
        answer = self.before(request) if self.before else None
        if answer is None:
            answer = super().handle(method, target, headers, body)
            answer = self.after(request, answer) or answer if self.after else answer
        return answer

    def start(self):
        self.__enter__()

    def stop(self):
        self.__exit__(None, None, None)

    def creates(self):
        return [request for request in self.seen if request[0] == "POST" and request[2]]


class SecondRelaySite(Site):
    def __init__(self, build, **options):
        super().__init__(build, **options)
        self.relay = SecondRelay(self.folder)
        self.write_configuration()
