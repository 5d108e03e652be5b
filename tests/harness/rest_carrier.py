"""A carrier with the messaging API that Twilio has made common, on loopback: it looks at every request as
Twilio documents them, signs what it posts, and reaches us, as through a proxy, by another URL than the
one that it signs over."""

import base64
import collections
import errno
import hashlib
import hmac
import http.client
import http.server
import json
import socket
import ssl
import subprocess
import threading
import time
import urllib.parse

from .server_folder import free_port
from .sms_carrier import SmsCarrier, Text, to_septets

ACCOUNT = "AC0123456789abcdef0123456789abcdef"
TOKEN = "the token of the account"
PUBLIC_URL = "https://gateway.hotel.test/carrier"
MESSAGES = "/2010-04-01/Accounts/%s/Messages" % ACCOUNT
RETRY_SECONDS = 0.2
REPEATS = "#rc=5&rp=all"  # what an operator enters behind the URL of the webhook, as the manual says


def signature(token, url, form):
    """https://www.twilio.com/docs/usage/security: the URL, then each name and value in order."""
    signed = url + "".join(name + value for name, value in sorted(form))
    return base64.b64encode(hmac.new(token.encode(), signed.encode(), hashlib.sha1).digest()).decode()


def count_segments(text):
    octets = to_septets(text)
    size, one, part = (len(octets), 160, 153) if octets is not None else (len(text.encode("utf-16-be")) // 2, 70, 67)
    return 1 if size <= one else -(-size // part)


def callback_path(form):
    """Of a message's StatusCallback what is asked of our listener: the rest is for a proxy, or for the carrier."""
    url = urllib.parse.urldefrag(form["StatusCallback"]).url
    assert url.startswith(PUBLIC_URL + "/"), url
    return url[len(PUBLIC_URL) :]


def is_repeated(fragment):
    """https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides: what is answered 503 comes again
    only if it is said how often, and for this reason."""
    values = dict(urllib.parse.parse_qsl(fragment.lstrip("#")))
    return int(values.get("rc", 1)) > 0 and bool({"5xx", "all"} & set(values.get("rp", "ct").split(",")))


class Message:
    def __init__(self, sid, form):
        self.sid, self.form, self.status = sid, form, "queued"


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, carrier):
        self.carrier, self.connections = carrier, set()
        super().__init__(("127.0.0.1", carrier.api_port), Handler)

    def get_request(self):
        connection, address = super().get_request()
        if self.carrier.context:
            connection = self.carrier.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        self.connections.add(connection)
        return connection, address

    def handle_error(self, request, client_address):
        pass

    def close(self):
        self.shutdown()
        self.server_close()
        for connection in self.connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *arguments):
        pass

    def _answer(self, status, headers, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"Content-Type": "application/json", "Content-Length": len(body), **headers}.items():
            self.send_header(name, str(text))
        self.end_headers()
        self.wfile.write(body)

    def _handle(self, body):
        answer = self.server.carrier.handle(self.command, self.path, self.headers, body)
        if answer:
            self._answer(*answer)
        else:
            self.close_connection = True

    def do_GET(self):
        self._handle(b"")

    def do_POST(self):
        self._handle(self.rfile.read(int(self.headers["Content-Length"])))


class RestCarrier(SmsCarrier):
    driver = "rest"

    def __init__(self, build, tls=False):
        super().__init__(build)
        self.api_port, self.callback_port = free_port(), free_port()
        self.context = self._make_context() if tls else None
        self.token = TOKEN
        self.store = {}  # of Message by sid: what it has is not lost by kill()
        self.taken = set()
        self.requests = []  # (method, path, form, headers)
        # What the next messages are answered: (status, headers, value), None for a cut, or a function of
        # form and headers that returns one of these.
        self.faults = collections.deque()
        self.holding = False  # nothing is delivered
        self.answers = 0
        self.webhook_fragment = REPEATS
        self.pending = {}  # what it has to post, also after it was killed: (path, form, repeats, on_taken) by number
        self.posts = 0
        self.lives = 0
        self.callbacks = []  # (name, status) of what we were answered
        self.server = None

    def _make_context(self):
        self.certificate = self.folder + "/certificate.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
            + ["-keyout", self.folder + "/key.pem", "-out", self.certificate, "-subj", "/CN=localhost"]
            + ["-addext", "subjectAltName=IP:127.0.0.1"], check=True, stderr=subprocess.DEVNULL)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.folder + "/key.pem")
        return context

    def settings(self):
        settings = {
            "url": "%s://127.0.0.1:%d" % ("https" if self.context else "http", self.api_port),
            "account": ACCOUNT,
            "listen": "127.0.0.1:%d" % self.callback_port,
            "callback_url": PUBLIC_URL,
        }
        return {**settings, "ca_file": self.certificate} if self.context else settings

    def credentials(self):
        return {"rest-token": TOKEN}

    def start(self):
        self.server = self._open()
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        with self.changed:
            self.lives += 1
            for number in self.pending:
                self._begin_post(number)
        return self

    def _open(self):
        """A child that another thread begins has what was closed here until it is another program."""
        limit = time.monotonic() + 10
        while True:
            try:
                return Server(self)
            except OSError as error:
                if error.errno != errno.EADDRINUSE or time.monotonic() > limit:
                    raise
                time.sleep(0.01)

    def stop(self):
        if self.server:
            self.server.close()
            self.server = None

    kill = stop

    def victims(self):
        return {"service": self.kill_and_start}

    # The API.

    def handle(self, method, path, headers, body):
        form = dict(urllib.parse.parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=bool(body)))
        with self.changed:
            self.requests.append((method, path, form, dict(headers)))
            self.changed.notify_all()
        login = "Basic " + base64.b64encode(("%s:%s" % (ACCOUNT, self.token)).encode()).decode()
        if headers.get("Authorization") != login:
            return 401, {}, {"code": 20003, "message": "Authenticate", "status": 401}
        if method == "GET" and path == "/2010-04-01/Accounts/%s.json" % ACCOUNT:
            return 200, {}, {"sid": ACCOUNT, "status": "active"}
        if headers.get("Content-Type") != "application/x-www-form-urlencoded":
            return 400, {}, {"code": 20001, "status": 400}
        if method == "POST" and path == MESSAGES + ".json":
            return self._create(form, headers)
        if method == "POST" and path.startswith(MESSAGES + "/"):
            return self._change(path[len(MESSAGES) + 1 : -len(".json")], form)
        return 404, {}, {"code": 20404, "status": 404}

    def _create(self, form, headers):
        with self.changed:
            fault = self.faults.popleft() if self.faults else self
        if fault is not self:
            return fault(form, headers) if callable(fault) else fault
        return self.create(form, headers)

    def create(self, form, headers):
        with self.changed:
            missing = {"To", "From", "Body", "StatusCallback"} - set(form)
            assert not missing, missing
            assert 1 <= int(form.get("ValidityPeriod", 1)) <= 36000, form
            sid = "SM" + hashlib.md5(headers["Idempotency-Key"].encode()).hexdigest()
            if sid not in self.store:
                self.store[sid] = Message(sid, form)
                self.note_copy(form["To"], headers["Idempotency-Key"], form["Body"])
            message = self.store[sid]
            assert {**message.form, "ValidityPeriod": 0} == {**form, "ValidityPeriod": 0}, "the same key, another message"
            if message.status == "queued" and not self.holding:
                self._deliver(message)
        return 201, {}, {"sid": sid, "status": "queued", "error_code": None, "error_message": None}

    def _change(self, sid, form):
        with self.changed:
            message = self.store.get(sid)
            if not message or form != {"Status": "canceled"}:
                return 404, {}, {"code": 20404, "status": 404}
            if message.status != "queued":
                return 400, {}, {"code": 30409, "status": 400}
            message.status = "canceled"
            return 200, {}, {"sid": sid, "status": "canceled"}

    def find(self, end):
        """The message whose reports come to a path that ends so."""
        with self.changed:
            return next(m for m in self.store.values() if callback_path(m.form).endswith(end))

    def _deliver(self, message):
        message.status = "delivered"
        form = message.form
        octets = to_septets(form["Body"])
        self.shown.append(Text(form["To"], form["From"], form["Body"], count_segments(form["Body"]),
                               "gsm7" if octets is not None else "ucs2"))
        self.changed.notify_all()
        self.report(message, "sent")
        self.report(message, "delivered")

    # What it posts.

    def post(self, path, form, token=None, url=None, headers=None):
        """Posts a signed form to our listener, as from a proxy; returns the status, or None."""
        body = urllib.parse.urlencode(form)
        fields = {"Content-Type": "application/x-www-form-urlencoded",
                  "X-Twilio-Signature": signature(token or TOKEN, url or PUBLIC_URL + path, form)}
        fields.update(headers or {})
        fields = {name: value for name, value in fields.items() if value is not None}
        connection = http.client.HTTPConnection("127.0.0.1", self.callback_port, timeout=30)
        try:
            connection.request("POST", "/carrier" + path, body, fields)
            answer = connection.getresponse()
            self.last_answer = answer.read()
            return answer.status
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def _post_until_taken(self, path, form, fragment, on_taken=None):
        """Twilio gives up after 15 seconds; here nothing depends on how slow the machine is."""
        with self.changed:
            self.posts += 1
            self.pending[self.posts] = (path, form, is_repeated(fragment), on_taken)
            self._begin_post(self.posts)

    def _begin_post(self, number):
        threading.Thread(target=self._run_post, args=(number, self.lives), daemon=True).start()

    def _run_post(self, number, life):
        path, form, repeats, on_taken = self.pending[number]
        while True:
            status = self.post(path, form)
            with self.changed:
                if self.server is None or self.lives != life:
                    return  # its next life does not know what it was answered
                self.callbacks.append((path, status))
                self.changed.notify_all()
                is_taken = status in (200, 204)
                if is_taken or (status is not None and not repeats):
                    del self.pending[number]
                    if is_taken and on_taken:
                        on_taken()
                    return
            time.sleep(RETRY_SECONDS)

    def report(self, message, status, error=None):
        form = [("AccountSid", ACCOUNT), ("ApiVersion", "2010-04-01"), ("From", message.form["From"]),
                ("MessageSid", message.sid), ("MessageStatus", status), ("SmsSid", message.sid),
                ("SmsStatus", status), ("To", message.form["To"])]
        self._post_until_taken(callback_path(message.form), form + ([("ErrorCode", error)] if error else []),
                               urllib.parse.urldefrag(message.form["StatusCallback"]).fragment)

    def inbound_form(self, sid, sender, text):
        return [("ToCountry", "DE"), ("SmsMessageSid", sid), ("NumMedia", "0"), ("SmsSid", sid),
                ("SmsStatus", "received"), ("Body", text), ("To", self.sender),
                ("NumSegments", str(count_segments(text))), ("MessageSid", sid), ("AccountSid", ACCOUNT),
                ("From", sender), ("ApiVersion", "2010-04-01")]

    def answer(self, sender, text):
        with self.changed:
            self.answers += 1
            sid = "SM" + hashlib.md5(("%s %d" % (self.folder, self.answers)).encode()).hexdigest()

        def taken():
            self.taken.add(sid)

        self._post_until_taken("/inbound", self.inbound_form(sid, sender, text), self.webhook_fragment, taken)
        return sid

    def is_taken(self, handle):
        return handle in self.taken
