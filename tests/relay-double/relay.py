"""A relay for both drafts, written a second time from their text alone: mailboxes (Draft V) under /v1/m
and places for derived locations (Draft R) under /t/. TLS on loopback, a thread per connection, all in
memory, with a clock that a test can push forward. Like draft_v.py it shares nothing with the C programs.
"""

import datetime
import html
import http.server
import ipaddress
import os
import re
import ssl
import tempfile
import threading
import time
import uuid

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import draft_v
from draft_v import DraftError

PREVIEW_PAGE = """<!DOCTYPE html>
<html prefix="og: https://ogp.me/ns#">
<head>
<meta charset="utf-8" />
<title>{title}</title>
<meta property="og:title" content="{title}" />
<meta property="og:description" content="{description}" />
<meta property="og:image" content="{image}" />
</head>
</html>
"""
PREVIEW_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'; img-src https:",
    "Referrer-Policy": "no-referrer",
}
MAILBOX_PATH = re.compile(r"/v1/m/([^/]+)")
PLACE_PATH = re.compile(r"/t/([A-Za-z0-9_-]{1,128})")
MAX_BODY = 64 * 1024
MAX_DRAINED = 1024 * 1024
DEFAULT_LIFETIME = 48 * 3600
MAX_LIFETIME = 7 * 24 * 3600


class Refusal(Exception):
    def __init__(self, status):
        super().__init__(status)
        self.status = status


class Mailbox:
    def __init__(self, initiator, payload, display, rights, expiration):
        self.id = draft_v.new_uuid()
        self.initiator = initiator
        self.recipient = None
        self.payload = payload
        self.display = display
        self.rights = rights
        self.expiration = expiration
        self.tokens = {}

    def parties(self):
        return [claim for claim in (self.initiator, self.recipient) if claim]

    def other(self, claim):
        return self.recipient if claim == self.initiator else self.initiator


def _strings(value, *names):
    if not isinstance(value, dict) or not all(isinstance(value.get(name), str) for name in names):
        raise Refusal(400)
    return {name: value[name] for name in names}


def _token(body):
    token = body.get("notificationToken")
    return None if token is None else _strings(token, "type", "tokenData")


class Mailboxes:
    """Draft V without HTTP around it: requests in, (status, headers, body) out. One at a time."""

    def __init__(self, relay):
        self.relay = relay
        self.mailboxes = {}
        self.last = {}  # claim -> (operation, request id, mailbox id) of its last mutating request
        self.past = set()  # (claim, request id) of those whose mailbox is gone
        self.open_points = set()  # which the draft leaves open, and the latest request came across
        self.pushes = []

    def handle(self, method, path, headers, body):
        self.open_points.clear()
        self._expire()
        collection = path == "/v1/m"
        match = MAILBOX_PATH.fullmatch(path)
        if not collection and not match:
            raise Refusal(404)
        if collection:
            if method != "POST":
                raise Refusal(405)
            return self._create(*self._names(headers), body)
        if method in ("GET", "HEAD"):
            self._request_id(headers, needed=False)
            return self._preview(self._find(match[1]))
        if method not in ("POST", "PUT", "DELETE", "PATCH"):
            raise Refusal(405)
        request_id, claim = self._names(headers, needs_id=method != "POST")
        mailbox = self._find(match[1])
        operation = {"POST": draft_v.READ, "PUT": draft_v.UPDATE, "DELETE": draft_v.DELETE,
                     "PATCH": draft_v.RELINQUISH}[method]
        if method in ("PUT", "PATCH") and self._is_repeated(operation, claim, request_id):
            return 201, {}, b""
        function = {"POST": self._read, "PUT": self._update, "DELETE": self._delete,
                    "PATCH": self._relinquish}[method]
        answer = function(mailbox, claim, body)
        if method == "DELETE":  # nobody can repeat what is answered 404
            self.last.pop(claim, None)
            self.past.add((claim, request_id))
        elif method != "POST":
            self.last[claim] = (operation, request_id, mailbox.id)
        return answer

    def _is_repeated(self, operation, claim, request_id):
        last = self.last.get(claim)
        if (claim, request_id) in self.past:
            self.open_points.add("outlives its mailbox")
        if not last or last[1] != request_id:
            return False
        if last[0] != operation:
            self.open_points.add("another operation's")
        return True

    def _request_id(self, headers, needed):
        request_id = headers.get(draft_v.REQUEST_ID)
        if needed if request_id is None else not draft_v.is_uuid(request_id):
            raise Refusal(400)
        return request_id and request_id.lower()

    def _names(self, headers, needs_id=True):
        request_id, claim = self._request_id(headers, needs_id), headers.get(draft_v.DEVICE_CLAIM)
        if not draft_v.is_uuid(claim):
            raise Refusal(401)
        return request_id, claim.lower()

    def _find(self, identifier):
        mailbox = self.mailboxes.get(identifier.lower())
        if not mailbox:
            raise Refusal(404)
        return mailbox

    def _expire(self):
        now = self.relay.now()
        for mailbox in [entry for entry in self.mailboxes.values() if entry.expiration <= now]:
            self._forget(mailbox)

    def _forget(self, mailbox):
        del self.mailboxes[mailbox.id]
        for claim, (_, request_id, identifier) in list(self.last.items()):
            if identifier == mailbox.id:
                self.past.add((claim, request_id))
                del self.last[claim]

    def _json(self, body):
        try:
            value = draft_v.json_parse(body)
        except DraftError as error:
            raise Refusal(400) from error
        if not isinstance(value, dict):
            raise Refusal(400)
        return value

    def _configuration(self, value):
        """(rights, expiration) asked for; what was not asked for is RD and two days."""
        now = self.relay.now()
        if value is None:
            return "RD", now + DEFAULT_LIFETIME
        try:
            expiration = draft_v.time_parse(_strings(value, "expiration")["expiration"])
        except DraftError as error:
            raise Refusal(400) from error
        rights = value.get("accessRights", "RD")
        if not isinstance(rights, str) or not re.fullmatch("[RWD]{1,3}", rights):
            raise Refusal(400)
        if not now < expiration <= now + MAX_LIFETIME:
            raise Refusal(400)
        return rights, expiration

    def _create(self, request_id, claim, body):
        if self._is_repeated(draft_v.CREATE, claim, request_id):
            operation, _, identifier = self.last[claim]
            return 201, {}, self._created(identifier) if operation == draft_v.CREATE else b""
        value = self._json(body)
        payload = _strings(value.get("payload"), "type", "data")
        display = _strings(value.get("displayInformation"), "title", "description", "imageURL")
        token = _token(value)
        mailbox = Mailbox(claim, payload, display,
                          *self._configuration(value.get("mailboxConfiguration")))
        if token:
            mailbox.tokens[claim] = token
        self.mailboxes[mailbox.id] = mailbox
        self.last[claim] = (draft_v.CREATE, request_id, mailbox.id)
        return 200, {}, self._created(mailbox.id)

    def _created(self, identifier):
        return draft_v.json_bytes({"urlLink": self.relay.url + "/v1/m/" + identifier,
                                   "isPushNotificationSupported": self.relay.push_supported})

    def _authorise(self, mailbox, claim, right):
        if claim not in mailbox.parties() or right and right not in mailbox.rights:
            raise Refusal(401)

    def _read(self, mailbox, claim, _body):
        if mailbox.recipient and claim not in mailbox.parties() or "R" not in mailbox.rights:
            raise Refusal(401)
        if claim != mailbox.initiator:
            mailbox.recipient = claim
        return 200, {}, draft_v.json_bytes({
            "payload": mailbox.payload, "displayInformation": mailbox.display,
            "expiration": draft_v.time_text(mailbox.expiration)})

    def _update(self, mailbox, claim, body):
        self._authorise(mailbox, claim, "W")
        value = self._json(body)
        payload, token = _strings(value.get("payload"), "type", "data"), _token(value)
        mailbox.payload = payload
        if token:
            mailbox.tokens[claim] = token
        other = mailbox.other(claim)
        if other in mailbox.tokens:
            self.pushes.append(mailbox.tokens[other])
        return 200, {}, draft_v.json_bytes(
            {"isPushNotificationSupported": self.relay.push_supported})

    def _delete(self, mailbox, claim, _body):
        self._authorise(mailbox, claim, "D")
        self._forget(mailbox)
        return 200, {}, b""

    def _relinquish(self, mailbox, claim, _body):
        if claim != mailbox.recipient:
            raise Refusal(401)
        mailbox.recipient = None
        mailbox.tokens.pop(claim, None)
        return 200, {}, b""

    def _preview(self, mailbox):
        page = PREVIEW_PAGE.format(
            title=html.escape(mailbox.display["title"]),
            description=html.escape(mailbox.display["description"]),
            image=html.escape(mailbox.display["imageURL"]))
        return 200, dict(PREVIEW_HEADERS), page.encode("utf-8")


class Places:
    """What Draft R needs: PUT that loses a race openly, GET, DELETE, and no way to list."""

    def __init__(self):
        self.places = {}

    def handle(self, method, path, headers, body):
        match = PLACE_PATH.fullmatch(path)
        if method not in ("PUT", "GET", "HEAD", "DELETE"):
            raise Refusal(405)
        if not match:
            raise Refusal(404)
        name = match[1]
        if method == "PUT":
            condition = headers.get("If-None-Match")
            if condition not in (None, "*"):
                raise Refusal(400)
            if condition == "*" and name in self.places:
                raise Refusal(412)
            status = 204 if name in self.places else 201
            self.places[name] = body
            return status, {}, b""
        if name not in self.places:
            raise Refusal(404)
        if method in ("GET", "HEAD"):
            return 200, {"Content-Type": "application/octet-stream"}, self.places[name]
        del self.places[name]
        return 204, {}, b""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 120
    wbufsize = -1  # one write per answer

    def log_message(self, *_arguments):
        pass  # a log would link mailboxes

    def _respond(self):
        try:
            length = self._length()
            body = self.rfile.read(length)
            if len(body) < length:
                self.close_connection = True
                return
            status, headers, body = self.server.relay.handle(
                self.command, self.path, self.headers, body)
        except Refusal as refusal:
            status, headers, body = refusal.status, {}, b""
        self.send_response(status)
        echo = self.headers.get(draft_v.REQUEST_ID)
        if echo is not None:
            self.send_header(draft_v.REQUEST_ID, echo)
        if body and "Content-Type" not in headers:
            headers["Content-Type"] = "application/json"
        for name, value in headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def _length(self):
        text = self.headers.get("Content-Length", "0")
        length = int(text) if re.fullmatch("[0-9]{1,9}", text) else 0
        if text != str(length) or "Transfer-Encoding" in self.headers:
            self.close_connection = True
            raise Refusal(400)
        if length > MAX_BODY:
            self.close_connection = True
            self.rfile.read(min(length, MAX_DRAINED))  # or the client sends on and never hears why
            raise Refusal(400)
        return length

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = _respond
    do_OPTIONS = do_PROPFIND = _respond


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, relay, context):
        self.relay = relay
        self.context = context
        super().__init__(("127.0.0.1", 0), Handler)

    def get_request(self):
        # The handshake is the handler's first read, so that a slow client holds up itself alone.
        connection, address = super().get_request()
        return self.context.wrap_socket(connection, server_side=True,
                                        do_handshake_on_connect=False), address

    def handle_error(self, request, client_address):
        pass  # a client that went away or refused the certificate


def make_certificate(folder):
    """A certificate for localhost and 127.0.0.1 that signs itself; returns the path of the PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.utcnow()
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(uuid.uuid4().int >> 1).not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName(names), False)
        .add_extension(x509.BasicConstraints(True, None), True).sign(key, hashes.SHA256()))
    with open(os.path.join(folder, "key.pem"), "wb") as file:
        file.write(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                     serialization.NoEncryption()))
    path = os.path.join(folder, "certificate.pem")
    with open(path, "wb") as file:
        file.write(certificate.public_bytes(serialization.Encoding.PEM))
    return path


class Relay:
    """The whole server; `with Relay() as relay:` runs it. `ca_file` is what its clients trust."""

    name = "double"

    def __init__(self, push_supported=False):
        self.push_supported = push_supported
        self.offset = 0
        self.lock = threading.Lock()
        self.mailboxes = Mailboxes(self)
        self.places = Places()
        self.requests = []  # (method, path, headers, body) of each, for those who look for secrets
        self.folder = tempfile.TemporaryDirectory(prefix="relay-double-")
        self.ca_file = make_certificate(self.folder.name)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.ca_file, os.path.join(self.folder.name, "key.pem"))
        self.server = Server(self, context)
        self.port = self.server.server_address[1]
        self.url = "https://localhost:%d" % self.port
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)

    def now(self):
        return time.time() + self.offset

    def advance_clock(self, seconds):
        self.offset += seconds

    def pushes(self):
        """The data of the tokens that were used so far, in order."""
        return [token["tokenData"] for token in self.mailboxes.pushes]

    def open_points(self):
        return frozenset(self.mailboxes.open_points)

    @staticmethod
    def push_name(token_data, _mailbox):
        return token_data

    def handle(self, method, target, headers, body):
        with self.lock:
            self.requests.append((method, target, dict(headers.items()), body))
            path = target.partition("?")[0]
            part = self.places if path.startswith("/t/") else self.mailboxes
            return part.handle(method, path, headers, body)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_exception):
        self.server.shutdown()
        self.server.server_close()
        self.folder.cleanup()
