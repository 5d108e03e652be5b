"""A mail server that does what a test tells it: refuses at a stage, is slow, cuts the line, offers no
TLS. Everything that it was told is kept."""

import base64
import socket
import ssl
import threading
import time

from .frames import PATIENCE


class Mail:
    def __init__(self, sender, recipients, data, connection, took):
        self.sender, self.recipients, self.data = sender, recipients, data
        self.connection, self.took = connection, took


class SmtpDouble:
    """`replies` has, for a stage, what is said instead of yes: a reply, or a function of the number of
    times that the stage was reached (1, 2, …) that gives one. None is the usual answer, "" silence,
    and "cut" ends the connection; after the content, "cut when taken" keeps the mail before it does.
    Stages: greeting, ehlo, starttls, auth, mail, rcpt, data, content. `contents` has what came in after
    DATA, whether it was taken or not."""

    USUAL = {"greeting": "220 double.test", "starttls": "220 go on", "auth": "235 welcome",
             "mail": "250 2.1.0 fine", "rcpt": "250 2.1.5 fine", "data": "354 go on",
             "content": "250 2.0.0 taken"}

    def __init__(self, certificate=None, key=None, extensions=("DSN", "SIZE 1000000", "8BITMIME"), tls=False):
        self.certificate, self.key, self.tls = certificate, key, tls
        self.extensions = list(extensions)
        self.replies, self.delays, self.reached = {}, {}, {}
        self.mails, self.contents, self.commands, self.passwords = [], [], [], []
        self.connections = self.open = self.most = 0
        self.changed = threading.Condition()
        self.port = 0
        self.listener = None
        self.sockets = set()
        self.start()

    def start(self):
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", self.port))
        self.port = self.listener.getsockname()[1]
        self.listener.listen(64)
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()
        return self

    def stop(self):
        """As a server that dies: nobody listens, and every connection is cut."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        with self.changed:
            sockets = list(self.sockets)
        for connection in sockets:
            self._shut(connection)

    @staticmethod
    def _shut(connection):
        try:
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def _accept(self, listener):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with self.changed:
            self.connections += 1
            self.open += 1
            self.most = max(self.most, self.open)
            number = self.connections
            self.sockets.add(connection)
            self.changed.notify_all()
        try:
            Session(self, connection, number).run()
        except (OSError, ssl.SSLError, ValueError):
            pass
        finally:
            self._shut(connection)
            connection.close()
            with self.changed:
                self.open -= 1
                self.sockets.discard(connection)
                self.changed.notify_all()

    def say(self, stage):
        with self.changed:
            self.reached[stage] = self.reached.get(stage, 0) + 1
            reply = self.replies.get(stage)
            if callable(reply):
                reply = reply(self.reached[stage])
            delay = self.delays.get(stage, 0)
            self.changed.notify_all()
        if delay:
            time.sleep(delay)
        return self.USUAL.get(stage) if reply is None else reply

    def wait(self, condition, timeout=PATIENCE):
        limit = time.monotonic() + timeout
        with self.changed:
            while not condition():
                left = limit - time.monotonic()
                if left <= 0:
                    raise AssertionError("the mail server waited in vain; it knows %s" % self.reached)
                self.changed.wait(left)

    def wait_mails(self, n, timeout=PATIENCE):
        self.wait(lambda: len(self.mails) >= n, timeout)
        return self.mails


class Session:
    def __init__(self, double, connection, number):
        self.double, self.connection, self.number = double, connection, number
        self.file = None
        self.secure = False
        self.said = ""  # by reply(), the last time

    def wrap(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.double.certificate, self.double.key)
        plain = self.connection
        self.connection = context.wrap_socket(plain, server_side=True)
        with self.double.changed:
            self.double.sockets.discard(plain)
            self.double.sockets.add(self.connection)
        self.secure = True

    def reply(self, stage):
        """Says it; False: the session is over."""
        text = self.said = self.double.say(stage)
        if text == "cut":
            return False
        if text:
            self.connection.sendall(text.encode() + b"\r\n")
        return True

    def line(self):
        line = self.file.readline(65536)
        if not line.endswith(b"\r\n"):
            raise ValueError("a line without its end")
        return line[:-2].decode()

    def ehlo(self):
        text = self.double.say("ehlo")
        if text == "cut":
            return False
        if text is None:
            lines = ["double.test"] + self.double.extensions
            if self.double.certificate and not self.secure:
                lines.append("STARTTLS")
            if self.secure:
                lines.append("AUTH PLAIN LOGIN")
            text = "\r\n".join("250%s%s" % (" " if i + 1 == len(lines) else "-", line)
                               for i, line in enumerate(lines))
        self.connection.sendall(text.encode() + b"\r\n")
        return True

    def auth(self, line):
        words = line.split()
        if len(words) < 3:
            self.connection.sendall(b"334 \r\n")
            words.append(self.line())
        with self.double.changed:
            self.double.passwords.append(base64.b64decode(words[2]).split(b"\0")[1:])
        return self.reply("auth")

    def content(self, envelope):
        start = time.monotonic()
        if not self.reply("data"):
            return False
        if not self.said.startswith("354"):
            return True
        lines = []
        while True:
            line = self.file.readline(65536)
            if not line:
                return False
            if line == b".\r\n":
                break
            lines.append(line[1:] if line.startswith(b".") else line)
        data = b"".join(lines)
        with self.double.changed:
            self.double.contents.append(data)
        text = self.double.say("content")
        if text == "cut":
            return False
        mail = Mail(envelope["mail"], envelope["rcpt"], data, self.number, time.monotonic() - start)
        if text == "":
            text = "250"
            time.sleep(PATIENCE)
        if text.startswith("2") or text == "cut when taken":
            with self.double.changed:
                self.double.mails.append(mail)
                self.double.changed.notify_all()
        if text == "cut when taken":
            return False
        self.connection.sendall(text.encode() + b"\r\n")
        return True

    def run(self):
        if self.double.tls:
            self.wrap()
        self.file = self.connection.makefile("rb")
        if not self.reply("greeting"):
            return
        envelope = {"mail": None, "rcpt": []}
        while True:
            line = self.line()
            verb = line.split()[0].upper() if line.split() else ""
            with self.double.changed:
                self.double.commands.append(line if verb != "AUTH" else "AUTH")
            if verb in ("EHLO", "HELO"):
                good = self.ehlo()
            elif verb == "STARTTLS":
                good = self.reply("starttls")
                if good:
                    self.wrap()
                    self.file = self.connection.makefile("rb")
            elif verb == "AUTH":
                good = self.auth(line)
            elif verb == "MAIL":
                envelope = {"mail": line, "rcpt": []}
                good = self.reply("mail")
            elif verb == "RCPT":
                envelope["rcpt"].append(line)
                good = self.reply("rcpt")
            elif verb == "DATA":
                good = self.content(envelope)
            elif verb == "QUIT":
                self.connection.sendall(b"221 bye\r\n")
                return
            else:
                self.connection.sendall(b"250 fine\r\n")
                good = True
            if not good:
                return
