"""A relay that misbehaves on purpose towards one party, in one operation, at one time: a TLS proxy in
front of a real one, which knows who is asking. What passes is kept, so that it can be searched."""

import hashlib
import http.client
import json
import re
import socket
import ssl
import threading
import time

from .server_folder import free_port

MAILBOX = re.compile(r"^/v1/m/([0-9A-Fa-f-]{36})$")
RETRY_AFTER = 3
OVERSIZE = b" " * (4 << 20)
HUGE_PIECE, HUGE_PIECES = b" " * 65536, 1024
FOLLOWED = "/followed"


class Fault:
    """`count` requests are hit: of `who` ("initiator", "recipient") and `operation`, and in Draft R of the
    method and the number of the location alone ("put0"). `after`: only once that (who, operation) was
    answered by the relay, and `skip` more requests later."""

    def __init__(self, kind, where, count=1, after=None, skip=0):
        self.kind, self.where, self.count, self.after, self.skip = kind, where, count, after, skip
        self.hits = 0


class Exchange:
    """One request, and what the relay answered."""

    def __init__(self, method, target, headers, body):
        self.method, self.target, self.headers, self.body = method, target, headers, body
        self.status, self.answer_headers, self.answer = None, [], b""
        self.where = None

    def header(self, name):
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


class Traffic:
    """What one share's requests were and are to be. Draft V is told apart by the title of the mailbox."""

    def __init__(self, name, faults=()):
        self.name, self.faults = name, list(faults)
        self.asked = []  # (where, claim, request id, hash of the body), in order
        self.executed = []  # where, for each that the relay answered well
        self.mailboxes, self.payloads = set(), []  # payloads: (who, text), in order
        self.initiators = set()  # claims
        self.locations = []  # of Draft R, in the order of their first use
        self.expired = False
        self.not_before = {}  # request id: when it may come again
        self.impatient = []  # what came again before that
        self.lock = threading.Lock()

    def next_fault(self, where):
        with self.lock:
            for fault in self.faults:
                if (fault.where == where and fault.hits < fault.count
                        and (fault.after is None or fault.after in self.executed)):
                    if fault.skip > 0:
                        fault.skip -= 1
                        continue
                    fault.hits += 1
                    return fault.kind
        return None

    def count(self, *where):
        return self.executed.count(where if len(where) > 1 else where[0])


class Hangup(Exception):
    """The connection is closed, and nothing more is said."""


class FaultyRelay:
    """`upstream` is a started Relay of the harness. `traffics` are its shares: by title, or for Draft R the
    only one. `handshakes`: what is done instead of TLS, for each connection in turn: "close", "garbage";
    the last stands for all that follow if `always`."""

    def __init__(self, upstream, certificate, key, traffics, handshakes=(), always=False):
        self.upstream, self.certificate = upstream, certificate
        self.traffics = {traffic.name: traffic for traffic in traffics}
        self.only = traffics[0] if len(traffics) == 1 else None
        self.handshakes, self.always = list(handshakes), always
        self.n_handshakes = 0
        self.seen = []  # every piece of plaintext that passed, both ways
        self.trouble = []
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate, key)
        self.port = free_port()
        self.host = "localhost:%d" % self.port
        self.url = "https://" + self.host
        self.lock = threading.Lock()

    def start(self):
        self.to_upstream = ssl.create_default_context(cafile=self.upstream.certificate)
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def close(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()

    # Connections.

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _next_handshake(self):
        with self.lock:
            self.n_handshakes += 1
            if len(self.handshakes) > 1 or (self.handshakes and not self.always):
                return self.handshakes.pop(0)
            return self.handshakes[0] if self.handshakes else None

    def _serve(self, connection):
        connection.settimeout(120)
        upstream = http.client.HTTPSConnection(
            "localhost", self.upstream.port, context=self.to_upstream, timeout=60)
        try:
            handshake = self._next_handshake()
            if handshake == "garbage":
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            if handshake:
                connection.recv(1)
                return
            with self.context.wrap_socket(connection, server_side=True) as secure:
                with secure.makefile("rb") as reader:
                    while self._answer_one(reader, secure, upstream):
                        pass
        except (Hangup, OSError, http.client.HTTPException):
            pass
        except Exception as error:  # of this file: told to the test
            self.trouble.append(repr(error))
        finally:
            upstream.close()
            connection.close()

    def _answer_one(self, reader, secure, upstream):
        line = reader.readline(65536)
        if not line:
            return False
        head = [line]
        while head[-1] not in (b"\r\n", b"\n", b""):
            head.append(reader.readline(65536))
        method, target, _ = line.decode("latin-1").split(" ", 2)
        headers = [tuple(part.strip() for part in line.decode("latin-1").split(":", 1))
                   for line in head[1:-1]]
        size = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
        exchange = Exchange(method, target, headers, reader.read(size))
        self.seen.append(b"".join(head) + exchange.body)
        traffic = self._classify(exchange)
        kind = traffic.next_fault(exchange.where) if traffic else None
        for piece in self._answer(exchange, traffic, kind, upstream):
            secure.sendall(piece)
        if kind in ("truncated", "huge"):
            raise Hangup
        return True

    # Whose request it is.

    def _classify(self, exchange):
        if exchange.target.startswith("/t/"):
            return self._classify_location(exchange)
        traffic = self._find(exchange)
        if not traffic:
            self.trouble.append("nobody's request: %s" % exchange.method)
            return None
        claim = exchange.header("Mailbox-Device-Claim")
        operation = {"PUT": "update", "DELETE": "delete", "PATCH": "relinquish"}.get(
            exchange.method, "read" if exchange.target != "/v1/m" else "create")
        with traffic.lock:
            if operation == "create":
                traffic.initiators.add(claim)
            who = "initiator" if claim in traffic.initiators else "recipient"
            exchange.where = who, operation
            id = exchange.header("Mailbox-Request-ID")
            traffic.asked.append((exchange.where, claim, id, hashlib.sha256(exchange.body).hexdigest()))
            if time.monotonic() < traffic.not_before.get(id, 0):
                traffic.impatient.append(exchange.where)
        return traffic

    def _find(self, exchange):
        if exchange.target == "/v1/m":
            return self.traffics.get(json.loads(exchange.body)["displayInformation"]["title"])
        found = MAILBOX.match(exchange.target)
        return found and next((traffic for traffic in self.traffics.values()
                               if found.group(1).lower() in traffic.mailboxes), None)

    def _classify_location(self, exchange):
        traffic = self.only
        with traffic.lock:
            if exchange.target not in traffic.locations:
                traffic.locations.append(exchange.target)
            exchange.where = "%s%d" % (
                exchange.method.lower(), traffic.locations.index(exchange.target))
            traffic.asked.append((exchange.where, None, None,
                                  hashlib.sha256(exchange.body).hexdigest()))
        return traffic

    # What is answered.

    def _forward(self, exchange, traffic, upstream):
        headers = {name: value for name, value in exchange.headers
                   if name.lower() not in ("host", "connection", "content-length")}
        upstream.request(exchange.method, exchange.target, exchange.body or None, headers)
        response = upstream.getresponse()
        body = response.read()
        ours, theirs = b"localhost:%d" % self.port, b"localhost:%d" % self.upstream.port
        exchange.status, exchange.answer = response.status, body.replace(theirs, ours)
        exchange.answer_headers = [
            (name, value) for name, value in response.getheaders()
            if name.lower() not in ("content-length", "connection", "transfer-encoding")]
        self.seen.append(repr(response.getheaders()).encode() + exchange.answer)
        if exchange.status < 300 and traffic:
            self._learn(exchange, traffic)

    def _learn(self, exchange, traffic):
        with traffic.lock:
            if exchange.status == 200 or isinstance(exchange.where, str):
                traffic.executed.append(exchange.where)
            if isinstance(exchange.where, str):
                if exchange.method == "PUT":
                    traffic.payloads.append((exchange.where, exchange.body))
            elif exchange.where[1] in ("create", "update"):
                traffic.payloads.append((exchange.where[0], json.loads(exchange.body)["payload"]))
        if exchange.where == ("initiator", "create") and exchange.answer:
            link = json.loads(exchange.answer)["urlLink"]
            with traffic.lock:
                traffic.mailboxes.add(link.rpartition("/")[2].lower())

    def _answer(self, exchange, traffic, kind, upstream):
        if kind == "lost-request":
            raise Hangup
        if kind == "early-expiry":
            traffic.expired = True
        if traffic and traffic.expired:
            return self._plain(exchange, 404, b"")
        if kind in ("503", "429"):
            traffic.not_before[exchange.header("Mailbox-Request-ID")] = time.monotonic() + RETRY_AFTER
            return self._plain(exchange, int(kind), b"", [("Retry-After", str(RETRY_AFTER))])
        if kind in ("400", "401"):
            return self._plain(exchange, int(kind), b"")
        if kind == "redirect":
            return self._plain(exchange, 307, b"", [("Location", self.url + FOLLOWED)])
        if kind == "planted":
            self._plant(exchange, upstream)
        self._forward(exchange, traffic, upstream)
        if kind == "duplicate":
            self._forward(exchange, traffic, upstream)
        if kind == "lost-response":
            raise Hangup
        return self._disturb(exchange, traffic, kind)

    def _plain(self, exchange, status, body, headers=()):
        echo = exchange.header("Mailbox-Request-ID")
        exchange.status, exchange.answer = status, body
        exchange.answer_headers = list(headers) + ([("Mailbox-Request-ID", echo)] if echo else [])
        return self._pieces(exchange, len(body))

    @staticmethod
    def _plant(exchange, upstream):
        """Somebody else was faster."""
        upstream.request("PUT", exchange.target, b"\x5a" * 600, {"If-None-Match": "*"})
        response = upstream.getresponse()
        response.read()
        assert response.status == 201, response.status

    def _pieces(self, exchange, size):
        lines = ["HTTP/1.1 %d %s" % (exchange.status, http.client.responses[exchange.status])]
        lines += ["%s: %s" % pair for pair in exchange.answer_headers]
        lines += ["Content-Length: %d" % size, "", ""]
        return ["\r\n".join(lines).encode() + exchange.answer]

    def _huge(self, exchange):
        """An answer that goes on for as long as the other side listens."""
        head = self._pieces(exchange, len(HUGE_PIECE) * HUGE_PIECES + len(exchange.answer))
        yield head[0]
        for _ in range(HUGE_PIECES):
            yield HUGE_PIECE

    def _disturb(self, exchange, traffic, kind):
        size = None
        if kind == "wrong-echo":
            exchange.answer_headers = [
                (name, "ffffffff-ffff-4fff-8fff-ffffffffffff" if name.lower() == "mailbox-request-id"
                 else value) for name, value in exchange.answer_headers]
        elif kind == "truncated":
            size = max(len(exchange.answer), 2)
            exchange.answer = exchange.answer[:size // 2]
        elif kind == "oversize":
            exchange.answer += OVERSIZE
        elif kind == "huge":
            return self._huge(exchange)
        elif kind == "not-json":
            exchange.status, exchange.answer = 200, b"<!DOCTYPE html><title>Sign in</title>"
        elif kind == "empty-201":
            exchange.status, exchange.answer = 201, b""
        elif kind in ("stale", "reflected"):
            self._replace(exchange, traffic, kind == "reflected")
        elif kind in TEXTS:
            exchange.answer = TEXTS[kind](exchange.answer, self)
        return self._pieces(exchange, len(exchange.answer) if size is None else size)

    @staticmethod
    def _replace(exchange, traffic, own):
        """The oldest payload of the reader's own, or of the other side."""
        if isinstance(exchange.where, str):
            exchange.status, exchange.answer = 200, traffic.payloads[0][1]
            return
        reader = exchange.where[0]
        payload = next(payload for who, payload in traffic.payloads if (who == reader) == own)
        exchange.answer = json.dumps({**json.loads(exchange.answer), "payload": payload}).encode()


def _link(change):
    def changed(answer, relay):
        found = json.loads(answer)
        return json.dumps({**found, "urlLink": change(found["urlLink"], relay)}).encode()
    return changed


# Bodies that are almost the right one.
TEXTS = {
    "deep": lambda answer, relay: b'{"extra":' + b"[" * 60000 + b"]" * 60000 + b"," + answer[1:],
    "deep-inside": lambda answer, relay: answer[:-1] + b',"extra":' + b'{"a":' * 40 + b"1" + b"}" * 41,
    "repeated-member": lambda answer, relay: answer[:-1] + b"," + answer[1:],
    "invalid-utf8": lambda answer, relay: answer[:-1] + b',"extra":"\xc3\x28"}',
    "other-host": _link(lambda link, relay: link.replace("localhost", "relay.example")),
    "other-port": _link(lambda link, relay: link.replace(":%d/" % relay.port, ":%d/" % (relay.port ^ 1))),
    "other-scheme": _link(lambda link, relay: link.replace("https:", "http:")),
    "other-user": _link(lambda link, relay: link.replace("localhost", "localhost@relay.example")),
    "other-text": _link(lambda link, relay: "javascript:alert(1)//" + link),
}
