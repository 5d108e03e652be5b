"""LMTP by hand, as mail servers speak it, and as they should not."""

import socket

from .frames import PATIENCE

FROM = "anna@example.org"


class Client:
    """One connection to a Unix socket."""

    def __init__(self, path, greet=True):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(path)
        self.reader = self.socket.makefile("rb")
        if greet:
            assert self.answer()[0] == 220
            assert self.ask("LHLO mx.test")[0] == 250

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode())

    def answer(self):
        """(code, text of the last line); code 0 when the other side has closed."""
        while True:
            line = self.reader.readline()
            if not line.endswith(b"\r\n"):
                return 0, line.decode()
            if line[3:4] == b" ":
                return int(line[:3]), line[4:-2].decode()

    def codes(self, count):
        return [self.answer()[0] for _ in range(count)]

    def ask(self, line):
        self.send(line + "\r\n")
        return self.answer()

    def deliver(self, content, *recipients, sender=FROM):
        """The answers, one for each recipient that was accepted."""
        self.send("MAIL FROM:<%s>\r\n" % sender)
        assert self.answer()[0] == 250
        accepted = 0
        for recipient in recipients:
            accepted += self.ask("RCPT TO:<%s>" % recipient)[0] == 250
        assert self.ask("DATA")[0] == 354
        self.send(content + b".\r\n")
        return self.codes(accepted)

    def close(self):
        self.reader.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
