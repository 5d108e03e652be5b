"""An HTTPS server on loopback that answers whatever a test wants, also what no honest server would, and keeps what it was
asked."""

import re
import socket
import threading
import time


class Request:
    def __init__(self, head, body, number):
        first, *lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, _ = first.split(" ")
        self.headers = {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in lines)}
        self.body, self.number = body, number  # the first request is number 1

    @property
    def id(self):
        return self.headers.get("mailbox-request-id")


class HttpsServer:
    """`answer(request)` returns the bytes to send, or None to close without an answer. `context` needs its certificate by
    the time of the first connection only, so that it may depend on `url`."""

    def __init__(self, context, answer):
        self.context, self.answer = context, answer
        self.lock, self.accepted, self.handshakes, self.requests, self.raw = threading.Lock(), 0, 0, [], b""
        self.moments = []  # at which connections came
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.authority = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.url = "https://" + self.authority
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                self.accepted += 1
                self.moments.append(time.monotonic())
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, plain):
        try:
            with self.context.wrap_socket(plain, server_side=True) as connection:
                with self.lock:
                    self.handshakes += 1
                while self.exchange(connection):
                    pass
        except OSError:
            pass
        finally:
            plain.close()

    def exchange(self, connection):
        """True: the connection waits for another request."""
        request = self.read(connection)
        answer = self.answer(request) if request else None
        if answer is None:
            return False
        connection.sendall(answer)
        return b"\r\nConnection: close" not in answer

    def read(self, connection):
        data = b""
        while b"\r\n\r\n" not in data:
            more = connection.recv(65536)
            if not more:
                return None
            data += more
        head, body = data.split(b"\r\n\r\n", 1)
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        while length and len(body) < int(length.group(1)):
            body += connection.recv(65536)
        with self.lock:
            request = Request(head, body, len(self.requests) + 1)
            self.requests.append(request)
            self.raw += head + body
        return request

    def sent(self, *methods):
        """The requests of these methods so far."""
        with self.lock:
            return [request for request in self.requests if request.method in methods]

    def close(self):
        self.listener.close()
