"""The whole of Vestibule on loopback, in a folder of its own: relay, gateway, plugins, and the people
around them.

    with Site(build) as site:
        phone = site.phone("echo:bob")
        share = site.create("echo:bob")
        phone.say(share["code"])
        site.wait_state(share, "released")

Everything is waited for by a condition, never by time. Processes die with this one, whatever ends
it. After a failure the folder is kept and the ends of its logs are shown.
"""

import base64
import hashlib
import http.client
import json
import os
import re
import select
import shutil
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import tempfile
import threading
import time
import uuid

from .frames import Closed, encode, read_frame
from .process import wait_until
from .server_folder import descendants, die_with_parent, free_port, wait_for_end

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TEMPLATES = os.path.join(os.path.dirname(TESTS), "gateway", "templates")
CRASH = re.compile(r"Sanitizer|runtime error:|Assertion .* failed|stack smashing|free\(\):|corrupted|ended by signal (4|6|7|8|11)\b")
TERMINAL = {"completed", "declined", "disowned", "cancelled", "expired", "locked", "failed"}
URL = re.compile(r"https://[^\s<>\"']+")


def read_text(path):
    try:
        with open(path, errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def tail(path, lines=25):
    text = read_text(path).splitlines()
    return "\n".join(text[-lines:])


def is_sanitized(build):
    """Whether a build folder has the sanitizers, under which everything takes longer."""
    with open(os.path.join(build, "meson-info", "intro-buildoptions.json")) as file:
        return any(option["name"] == "b_sanitize" and option["value"] != "none"
                   for option in json.load(file))


# --- codes ------------------------------------------------------------------------------------------

DAMM = (
    "0317598642", "7092154863", "4206871359", "1750983426", "6123045978",
    "3674209581", "5869720134", "8945362017", "9438617205", "2581436790",
)  # fmt: skip


def damm(digits):
    """The check digit of H. M. Damm, Total anti-symmetrische Quasigruppen, 2004."""
    state = 0
    for digit in digits:
        state = int(DAMM[state][int(digit)])
    return str(state)


def plain(code):
    return code.replace("-", "")


def wrong_code(code, number=0):
    """The number-th D9 code that is well formed and not this one."""
    right = plain(code)
    value = (int(right[:8]) + 1 + number) % 10**8
    digits = "%08d" % value
    return digits + damm(digits)


def mistyped(code):
    right = plain(code)
    return right[:-1] + str((int(right[-1]) + 1) % 10)


# --- what the gateway derives -----------------------------------------------------------------------

CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
PURPOSE_CLAIM = 7


def share_number(id):
    """The number behind `shr_…`: the first 8 of its 16 bytes."""
    value = 0
    for symbol in id.partition("_")[2].lower():
        value = value << 5 | CROCKFORD.index(symbol)
    return value >> 64


class Derivation:
    """The gateway's request ids, derived a second time from its root key, so that a line of the
    relay's log can be told to belong to a share."""

    def __init__(self, root):
        self.key = hashlib.blake2b(
            digest_size=32, key=root, salt=struct.pack("<QQ", PURPOSE_CLAIM, 0),
            person=b"vestibul" + bytes(8)).digest()

    def request(self, share_id, operation="create", generation=0):
        hashed = hashlib.blake2b(digest_size=16, key=self.key)
        for part in (operation.encode(), struct.pack(">q", share_number(share_id)),
                     struct.pack(">q", generation)):
            hashed.update(struct.pack(">I", len(part)) + part)
        return str(uuid.UUID(bytes=hashed.digest(), version=4))


# --- processes --------------------------------------------------------------------------------------


def sanitizer_environment():
    return {key: value for key, value in os.environ.items() if key.endswith("SAN_OPTIONS")}


class Process:
    """One program of ours in a session of its own, with its stderr in a file."""

    def __init__(self, command, errors, environment=None):
        self.errors = errors
        with open(errors, "ab") as file:
            self.popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), **sanitizer_environment(),
                     **(environment or {})},
                start_new_session=True,
                preexec_fn=die_with_parent,
                cwd="/",
            )

    @property
    def pid(self):
        return self.popen.pid

    def poll(self):
        return self.popen.poll()

    def kill(self):
        """kill -9, also of what it started; returns when nothing of it is left."""
        pids = descendants(self.pid) if self.poll() is None else []
        self.popen.kill()
        self.popen.wait()
        wait_for_end(pids)

    def stop(self, timeout=20):
        """An orderly end; returns the status."""
        pids = descendants(self.pid) if self.poll() is None else []
        if self.poll() is None:
            self.popen.terminate()
        try:
            status = self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError("%s did not end within %g s" % (self.popen.args[0], timeout))
        wait_for_end(pids)
        return status


class Relay:
    """vestibule-relay, or its sister that loses answers, with a certificate of its own."""

    def __init__(self, build, folder, faults=(), wrapper=(), options=()):
        self.folder = folder
        self.program = os.path.join(
            build, "relay-client", "server", "vestibule-relay-faults" if faults else "vestibule-relay"
        )
        self.faults = list(faults)
        self.wrapper = list(wrapper)
        self.options = list(options)
        self.port = free_port()
        self.host = "localhost:%d" % self.port
        self.url = "https://" + self.host
        self.certificate = os.path.join(folder, "relay-certificate.pem")
        self.key = os.path.join(folder, "relay-certificate.key")
        self.log = os.path.join(folder, "relay.log")
        self.errors = os.path.join(folder, "relay.err")
        self.state = os.path.join(folder, "relay-state")
        self.process = None
        os.makedirs(self.state, 0o700, exist_ok=True)
        make_certificate(self.certificate, self.key, "localhost")

    def start(self, timeout=20):
        port_file = os.path.join(self.folder, "relay.port")
        if os.path.exists(port_file):
            os.unlink(port_file)
        command = self.wrapper + [self.program, "--state", self.state]
        command += ["--listen", "127.0.0.1:%d" % self.port, "--public-url", self.url]
        command += ["--certificate", self.certificate, "--key", self.key]
        command += ["--log", self.log, "--port-file", port_file] + self.options
        for fault in self.faults:
            command += ["--fault", fault]
        self.process = Process(command, self.errors)
        wait_until(
            lambda: os.path.exists(port_file) or self.process.poll() is not None,
            timeout,
            "the relay is open",
        )
        if self.process.poll() is not None:
            raise AssertionError("the relay ended: " + tail(self.errors))
        return self

    def lines(self):
        """The requests, oldest first, as dictionaries; `connection` lines are among them."""
        found = []
        for line in read_text(self.log).splitlines():
            found.append(dict(word.split("=", 1) for word in line.split() if "=" in word))
        return found

    def requests(self, operation=None):
        return [
            line for line in self.lines()
            if line.get("op") != "connection" and operation in (None, line.get("op"))
        ]

    def kill(self):
        self.process.kill()

    def stop(self):
        status = self.process.stop() if self.process else 0
        self.process = None
        leaks = [line for line in self.lines() if "violation" in line]
        assert not leaks, "a fragment or a Referer came to the relay: %s" % leaks
        return status


def make_certificate(certificate, key, name):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        + ["-nodes", "-days", "2", "-keyout", key, "-out", certificate]
        + ["-subj", "/CN=" + name, "-addext", "subjectAltName=DNS:" + name],
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


# --- the tenant -------------------------------------------------------------------------------------


class Answer:
    def __init__(self, status, headers, content):
        self.status = status
        self.headers = headers
        self.content = content
        self.json = None
        if content and "json" in headers.get("Content-Type", ""):
            self.json = json.loads(content)

    def __repr__(self):
        return "%d %s" % (self.status, self.content[:600].decode(errors="replace"))


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Tenant:
    """Speaks to the API with one token. Threads have connections of their own."""

    def __init__(self, name, port, token, entry):
        self.name, self.port, self.token, self.entry = name, port, token, entry
        self.local = threading.local()

    def _connection(self, timeout):
        # The front ends a connection that is silent for a minute.
        if time.monotonic() - getattr(self.local, "used", 0.0) > 30:
            self.close()
        connection = getattr(self.local, "connection", None)
        if connection is None:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
            self.local.connection = connection
        connection.timeout = timeout
        if connection.sock:
            connection.sock.settimeout(timeout)
        return connection

    def close(self):
        connection = getattr(self.local, "connection", None)
        if connection is not None:
            connection.close()
            self.local.connection = None

    def raw(self, method, path, content=None, headers=None, timeout=30):
        """One request as it is given; the token is added unless the headers say otherwise."""
        headers = dict(headers or {})
        headers.setdefault("Authorization", "Bearer " + self.token)
        if headers["Authorization"] is None:
            del headers["Authorization"]
        try:
            connection = self._connection(timeout)
            connection.request(method, path, content, headers)
            response = connection.getresponse()
            answer = Answer(response.status, dict(response.getheaders()), response.read())
            self.local.used = time.monotonic()
            if response.getheader("Connection", "").lower() == "close":
                self.close()
            return answer
        except (OSError, http.client.HTTPException):
            self.close()
            raise

    def call(self, method, path, body=None, key=None, timeout=30, insist=0.0):
        """A well-formed request. With insist, it is repeated for so many seconds, with the same
        Idempotency-Key, for as long as nobody answers."""
        headers = {}
        content = None
        if method == "POST":
            headers["Idempotency-Key"] = key or fresh_key()
            content = b""
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(body).encode()
        limit = time.monotonic() + insist
        while True:
            try:
                answer = self.raw(method, path, content, headers, timeout)
                if answer.status not in (429, 502, 503, 504) or time.monotonic() > limit:
                    return answer
            except (OSError, http.client.HTTPException):
                if time.monotonic() > limit:
                    raise
            time.sleep(0.02)

    def get(self, path, **options):
        return self.call("GET", path, **options)

    def post(self, path, body=None, **options):
        return self.call("POST", path, body, **options)


def fresh_key():
    return base64.urlsafe_b64encode(os.urandom(24)).decode()


def share_body(*addresses, policy="hotel", locale="en", content=None, **members):
    body = {
        "policy": policy,
        "recipient": {
            "addresses": list(addresses), "name": "Bob", "locale": locale,
            "time_zone": "Europe/Berlin",
        },
        "credential": {"title": "Room key", "description": "Hotel Adler"},
        "provisioning": {
            "format": "digitalwallet.generic.authorizationToken",
            "content": content or {"token": "room 12, from %d" % time.time()},
        },
        "reference": "booking-4711",
    }
    body.update(members)
    return {key: value for key, value in body.items() if value is not None}


# --- the recipient on the echo channel --------------------------------------------------------------


class Phone:
    """A phone of the echo channel. It comes back when the connection breaks, and repeats a reply
    with the same `inbound` until it is acknowledged: that is a carrier's part of the promise."""

    def __init__(self, path, *addresses, take=True, insist=True):
        self.path, self.addresses = path, addresses
        self.take, self.insist = take, insist
        self.messages = []  # frames as they came, repeats included
        self.times = []  # CLOCK_BOOTTIME of each
        self.acknowledged = set()
        self.unacknowledged = {}  # inbound: [frame, when it is due]
        self.again = 0  # how often the gateway asked for a reply once more
        self.connections = 0
        self.closing = False
        self.connection = None
        self.changed = threading.Condition()
        self.n_said = 0
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    # The phone's own thread.

    def _run(self):
        while not self.closing:
            try:
                with socket.socket(socket.AF_UNIX) as connection:
                    connection.settimeout(10)
                    connection.connect(self.path)
                    self._live(connection)
            except (OSError, Closed, ValueError):
                pass
            with self.changed:
                self.connection = None
                self.changed.notify_all()
            if not self.closing:
                time.sleep(0.02)

    def _live(self, connection):
        for address in self.addresses:
            connection.sendall(encode({"type": "subscribe", "address": address}))
        with self.changed:
            self.connection = connection
            self.connections += 1
            for entry in self.unacknowledged.values():
                entry[1] = 0
            self.changed.notify_all()
        while not self.closing:
            self._repeat_what_is_due()
            readable, _, _ = select.select([connection], [], [], self._patience())
            if readable:
                self._take(connection, read_frame(connection))

    def _patience(self):
        with self.changed:
            due = [entry[1] for entry in self.unacknowledged.values() if entry[1] is not None]
        return min([0.05] + [max(0.0, when - time.monotonic()) for when in due])

    def _repeat_what_is_due(self):
        now = time.monotonic()
        with self.changed:
            for entry in self.unacknowledged.values():
                if entry[1] is not None and entry[1] <= now:
                    entry[1] = None
                    self._send(entry[0])

    def _take(self, connection, frame):
        with self.changed:
            if frame["type"] == "ack":
                self.acknowledged.add(frame["inbound"])
                self.unacknowledged.pop(frame["inbound"], None)
            elif frame["type"] == "again":
                self.again += 1
                if frame["inbound"] in self.unacknowledged:
                    after = time.monotonic() + frame.get("retry_after", 1)
                    self.unacknowledged[frame["inbound"]][1] = after
            elif frame["type"] == "message":
                self.messages.append(frame)
                self.times.append(time.clock_gettime(time.CLOCK_BOOTTIME))
                if self.take:
                    self._send({"type": "taken", "message": frame["message"]})
                    self._send({"type": "delivered", "message": frame["message"]})
            self.changed.notify_all()

    def _send(self, frame):
        if self.connection:
            try:
                self.connection.sendall(encode(frame))
            except OSError:
                pass

    # What tests use.

    def start(self, timeout=20):
        return self.wait(lambda: self.connection and self, timeout, "the phone is connected")

    def wait(self, condition, timeout, what):
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

    def say(self, text=None, sender=None, inbound=None, wait=15, **members):
        """Replies; with wait, until the gateway has acknowledged. Returns the inbound id."""
        with self.changed:
            self.n_said += 1
            inbound = inbound or "%d-%s" % (self.n_said, os.urandom(8).hex())
            frame = {"type": "reply", "inbound": inbound, "from": sender or self.addresses[0],
                     **members}
            if text is not None:
                frame["text"] = text
            self.acknowledged.discard(inbound)
            self.unacknowledged[inbound] = [frame, None]
            self._send(frame)
        if wait:
            self.wait_acknowledged(inbound, wait)
        return inbound

    def send_raw(self, frame):
        with self.changed:
            self._send(frame)

    def wait_acknowledged(self, inbound, timeout=15):
        self.wait(lambda: inbound in self.acknowledged, timeout, "a reply is acknowledged")

    def wait_message(self, kind=None, timeout=15, after=0, contains=None, to=None):
        """The first message that fits, looked for among those from number `after` on."""

        def find():
            for message in self.messages[after:]:
                if (
                    kind in (None, message["kind"])
                    and (contains is None or contains in message["text"])
                    and to in (None, message["to"])
                ):
                    return message
            return None

        return self.wait(find, timeout, "a message (%s, %s)" % (kind, contains))

    def urls(self):
        with self.changed:
            return urls_of(self.messages)

    def hang_up(self):
        self.closing = True
        with self.changed:
            connection = self.connection
        if connection:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.thread.join(10)


def urls_of(messages):
    """All distinct URLs in texts and links of echo messages."""
    found = set()
    for message in messages:
        for text in (message.get("text"), message.get("link"), message.get("subject")):
            found.update(url.rstrip(".,)") for url in URL.findall(text or ""))
    return found


# --- the recipient on XMPP --------------------------------------------------------------------------


def xmpp_answer(recipient, message, text, **options):
    """Answers a message as a chat client does, and waits for the receipt."""
    number = recipient.say(message.sender.split("/")[0], text, thread=message.thread, **options)
    recipient.wait_receipt(number, timeout=60)
    return number


def xmpp_urls(recipient):
    """All distinct URLs in what came, in whatever element."""
    with recipient.changed:
        elements = [message.element for message in recipient.messages]
    return {url for element in elements for text in element.itertext() for url in URL.findall(text)}


# --- a plugin that is a test ------------------------------------------------------------------------


class Plugin:
    """Plays a channel's plugin for a real gateway, by hand."""

    def __init__(self, path, name, role="channel", capabilities=("reply", "receipt"), timeout=15):
        self.connection = socket.socket(socket.AF_UNIX)
        self.connection.settimeout(timeout)
        self.connection.connect(path)
        self.last_id = 0
        self.write({"type": "hello", "protocol": [1, 1], "role": role, "name": name,
                    "version": "1", "capabilities": list(capabilities)})
        self.welcome = self.read()

    def write(self, frame):
        self.connection.sendall(encode(frame))

    def write_bytes(self, content):
        self.connection.sendall(content)

    def read(self):
        return read_frame(self.connection)

    def read_until(self, kind):
        while True:
            frame = self.read()
            if frame["type"] == kind:
                return frame

    def ask(self, kind, /, **members):
        self.last_id += 1
        self.write({**members, "type": kind, "id": self.last_id})
        return self.last_id

    def reply(self, sender, text, inbound=None, **members):
        return self.ask(
            "reply", **{"inbound": inbound or os.urandom(8).hex(), "from": sender, "text": text,
                        "to": "echo:gateway", "received": int(time.time()),
                        "authentic": "strong", "automatic": False, **members})

    def is_closed(self):
        """Reads until the gateway has closed; an AssertionError when it does not."""
        while True:
            try:
                if not self.connection.recv(65536):
                    return True
            except TimeoutError:
                raise AssertionError("the gateway did not close the connection") from None
            except OSError:
                return True

    def close(self):
        self.connection.close()


# --- the site ---------------------------------------------------------------------------------------

HOTEL = """\
policy %(name)s {
  class = hotel
  factors = { reply-code }
  code = D9
  channels = { %(channels)s }
%(more)s}
"""


# So loose that a test meets none of the limits unless it is about them.
LOOSE = {
    "shares_per_recipient_10min": 100000, "shares_per_recipient_hour": 100000,
    "shares_per_recipient_day": 100000, "shares_per_minute": 1000000, "shares_burst": 1000000,
    "shares_per_day": 1000000, "wrong_per_recipient": 100, "wrong_per_source": 200,
    "wrong_per_tenant": 1000, "messages_per_recipient_10min": 100000,
    "messages_per_recipient_hour": 100000, "messages_per_recipient_day": 100000,
    "messages_per_prefix_hour": 100000, "messages_per_prefix_day": 100000,
    "messages_per_country": 100000, "messages_per_domain_hour": 100000, "surge_from": 100000,
    "answers_per_hour": 1000, "answers_per_day": 1000, "prefix_breaker_sent": 100000,
    "country_breaker_sent": 100000, "domain_breaker_sent": 100000, "resend_first": 0, "resend_second": 0,
}


def limits_section(numbers):
    return "limits {\n%s}\n" % "".join("  %s = %s\n" % pair for pair in numbers.items())


def hotel_policy(*channels, name="hotel", **more):
    """With more keys of the section, each with the text of its value."""
    return HOTEL % {"name": name, "channels": ", ".join(channels),
                    "more": "".join("  %s = %s\n" % entry for entry in more.items())}


class Site:
    """All of it. `xmpp` is a server of the harness that runs already, `mode` how we join it.
    `wrapper` stands before each of our programs, such as valgrind."""

    def __init__(self, build, channels=("echo",), policies=None, tenants=("adler",), xmpp=None,
                 mode="component", password=None, faults=(), wrapper=(), programs=None, sockets=(),
                 timeout=20, relay_options=(), log_level="info", folder=None, wait=True, limits=None):
        self.build = os.path.abspath(build)
        self.folder = folder or tempfile.mkdtemp(prefix="vestibule-e2e-")
        self.channels = list(channels)
        self.policies = policies or hotel_policy(*channels)
        self.xmpp, self.mode, self.password = xmpp, mode, password
        self.wrapper = list(wrapper)
        self.programs = programs or {}  # third parties' channels: name, and command
        self.sockets = list(sockets)  # channels for whose plugins the gateway binds a socket
        self.timeout = timeout
        self.log_level = log_level
        self.limits = LOOSE if limits is None else limits  # {}: those of a new installation
        self.wait_for_plugins = wait
        self.state = self.path("state")
        self.log = self.path("gateway.log")
        self.phones_path = self.path("phones")
        self.operator_path = self.path("operator")
        self.credentials = self.path("credentials")
        self.api_port = free_port()
        self.gateway = None
        self.phones = []
        self.failed = False
        self.relay = Relay(self.build, self.folder, faults, self.wrapper, relay_options)
        self.tenants = {name: self.make_tenant(name) for name in tenants}
        self.tenant = self.tenants[tenants[0]]
        self.make_credentials()
        self.write_configuration()

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def program(self, *names):
        return os.path.join(self.build, *names)

    # Preparing.

    def make_tenant(self, name):
        made = subprocess.run(
            [self.program("plugins", "api", "vestibulectl"), "token", "--json"],
            check=True, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
        )
        made = json.loads(made.stdout)
        return Tenant(name, self.api_port, made["token"], made["entry"])

    def write_secret(self, content, *names):
        path = os.path.join(self.credentials, *names)
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)

    def make_key(self, folder, *program):
        """Both files of a program's key in the credentials of a plugin; returns the public one."""
        path = os.path.join(self.credentials, folder)
        os.makedirs(path, 0o700)
        subprocess.run(
            [self.program(*program), "--make-key", path],
            check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        )
        (public,) = [name for name in os.listdir(path) if name.endswith(".pub")]
        with open(os.path.join(path, public), "rb") as file:
            return file.read()

    def make_credentials(self):
        relay_key = self.make_key("relay-main", "relay-client", "vestibule-relay-client")
        front_key = self.make_key("tenants", "plugins", "api", "vestibule-api")
        for front in ("tenants", "operators"):
            self.write_secret(relay_key, front, "relay-key.pub")
        self.write_secret(front_key, "relay-main", "front-key.pub")
        self.write_secret(os.urandom(32), "root.key")
        for channel in self.channels:
            os.makedirs(os.path.join(self.credentials, channel), 0o700, exist_ok=True)
        if "xmpp" in self.channels:
            if self.mode == "component":
                self.write_secret(self.xmpp.secret.encode(), "xmpp", "xmpp-secret")
            else:
                self.write_secret(self.password.encode(), "xmpp", "xmpp-password")

    def exec_line(self, *command):
        return "exec = { %s }" % ", ".join('"%s"' % word for word in [*self.wrapper, *command])

    def channel_section(self, name):
        if name == "xmpp":
            where = {
                "component": 'mode = component\n  jid = "%s"\n  port = %s'
                % (self.xmpp.component, self.xmpp.component_port),
                "client": 'mode = client\n  jid = "%s"\n  port = %s\n  ca_file = "%s"'
                % ("keys@" + self.xmpp.domain, self.xmpp.client_port, self.xmpp.certificate),
            }[self.mode]
            return 'channel xmpp {\n  host = "127.0.0.1"\n  nick = "Room keys"\n  %s\n  %s\n}\n' % (
                where, self.exec_line(self.program("plugins", "xmpp", "vestibule-xmpp")))
        if name == "echo":
            return 'channel echo {\n  listen = "%s"\n  %s\n}\n' % (
                self.phones_path, self.exec_line(self.program("plugins", "echo", "vestibule-echo")))
        if name in self.sockets:
            how = 'socket = "%s"' % self.path(name)
        else:
            how = "exec = { %s }" % ", ".join('"%s"' % word for word in self.programs[name])
        return "channel %s {\n  scheme = echo\n  %s\n}\n" % (name, how)

    def configuration(self):
        front = self.exec_line(self.program("plugins", "api", "vestibule-api"))
        text = 'gateway {\n  state = "%s"\n  log_level = %s\n}\n' % (self.state, self.log_level)
        text += 'front tenants {\n  listen = { "127.0.0.1:%d" }\n  connections = 2048\n  ' % (
            self.api_port)
        text += "connections_per_address = 2048\n  %s\n}\n" % front
        text += 'front operators {\n  listen = { "unix:%s" }\n  %s\n}\n' % (self.operator_path, front)
        text += 'relay main {\n  url = "%s"\n  ca_file = "%s"\n  %s\n}\n' % (
            self.relay.url, self.relay.certificate,
            self.exec_line(self.program("relay-client", "vestibule-relay-client")))
        text += "".join(self.channel_section(name) for name in self.channels)
        text += self.policies
        text += limits_section(self.limits)
        policies = ", ".join(re.findall(r"^policy (\S+)", self.policies, re.MULTILINE))
        for i, tenant in enumerate(self.tenants.values()):
            text += 'tenant %s {\n  name = "Hotel %s"\n  token = { "%s" }\n' % (
                tenant.name, "Adler" if i == 0 else tenant.name.capitalize() if len(tenant.name) <= 18
                else "Number %d" % i, tenant.entry)
            text += "  policies = { %s }\n  relay = main\n}\n" % policies
        return text

    def write_configuration(self, text=None):
        self.config = self.path("vestibule.conf")
        with open(self.config, "w") as file:
            file.write(text or self.configuration())

    # Starting and ending.

    def environment(self, **more):
        return {
            "CREDENTIALS_DIRECTORY": self.credentials, "VESTIBULE_TEMPLATES": TEMPLATES, **more}

    def vestibuled(self, *options):
        return [*self.wrapper, self.program("gateway", "vestibuled"), "--config", self.config, *options]

    def spawn_gateway(self):
        """Starts vestibuled and returns its notification socket."""
        path = self.path("notify")
        if os.path.exists(path):
            os.unlink(path)
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notify.bind(path)
        self.gateway = Process(self.vestibuled(), self.log, self.environment(NOTIFY_SOCKET=path))
        return notify

    def start_gateway(self, wait_plugins=True):
        with self.spawn_gateway() as notify:
            limit = time.monotonic() + self.timeout
            notify.settimeout(0.2)
            while True:
                try:
                    if b"READY=1" in notify.recv(4096):
                        break
                except TimeoutError:
                    pass
                if self.gateway.poll() is not None:
                    raise AssertionError("vestibuled ended: " + tail(self.log))
                if time.monotonic() > limit:
                    raise AssertionError("vestibuled was not ready within %g s" % self.timeout)
        if wait_plugins:
            self.wait_plugins()
        return self

    def answers(self, path, is_good):
        try:
            return is_good(self.tenant.raw("GET", path, timeout=5).status)
        except (OSError, http.client.HTTPException):
            if self.gateway.poll() is not None:
                raise AssertionError("vestibuled ended: " + tail(self.log))
            return False

    def wait_plugins(self, timeout=None):
        """Until every plugin is connected and reaches its carrier."""
        wait_until(lambda: self.answers("/readyz", lambda status: status == 200),
                   timeout or self.timeout, "all plugins are up")

    def wait_tenants(self):
        """Until tenants can ask, whatever is up besides."""
        wait_until(lambda: self.answers("/healthz", lambda status: True), self.timeout, "tenants can ask")

    def start(self):
        try:
            self.relay.start()
            self.start_gateway(self.wait_for_plugins)
            if not self.wait_for_plugins:
                self.wait_tenants()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def children(self):
        """The plugins below vestibuled: name in the configuration, and pid."""
        found = {}
        for pid in descendants(self.gateway.pid)[1:]:
            try:
                with open("/proc/%d/cmdline" % pid, "rb") as file:
                    words = file.read().decode(errors="replace").split("\0")
            except OSError:
                continue
            if "--name" in words:
                found[words[words.index("--name") + 1]] = pid
        return found

    def kill_gateway(self):
        self.gateway.kill()

    def kill_and_go_on(self, seconds):
        """kill -9, and as far as the gateway can tell, a start so much later: its time is never behind the one
        that it stored. It believes an hour in all. Plugins of the test have to connect again."""
        now = max(self.rows("SELECT value FROM meta WHERE name = 'time'")[0][0], int(time.time()))
        self.kill_gateway()
        store = sqlite3.connect(os.path.join(self.state, "vestibule.sqlite"))
        with store:
            store.execute("UPDATE meta SET value = ? WHERE name = 'time'", (now + seconds + 1,))
        store.close()
        self.start_gateway(wait_plugins=False)

    def kill_child(self, name):
        pid = self.children().get(name)
        if pid:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        return pid

    def stop_gateway(self):
        status = self.gateway.stop() if self.gateway and self.gateway.poll() is None else None
        self.gateway = None
        return status

    def reload(self, text):
        """Writes another configuration and waits until vestibuled has read it."""
        before = read_text(self.log).count("eloaded")
        self.write_configuration(text)
        os.kill(self.gateway.pid, signal.SIGHUP)
        wait_until(
            lambda: read_text(self.log).count("eloaded") > before, self.timeout, "a reload")

    def close(self):
        for phone in self.phones:
            phone.hang_up()
        self.phones = []
        for end in (self.stop_gateway, self.relay.stop):
            try:
                end()
            except AssertionError as error:
                self.failed = True
                print("# %s" % error, file=sys.stderr)

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, value, trace):
        failed = kind is not None and issubclass(kind, Exception)
        self.close()
        if self.crashes():
            self.failed = True
        if failed or self.failed:
            self.show_logs()
        else:
            shutil.rmtree(self.folder, ignore_errors=True)
        if self.failed and kind is None:
            raise AssertionError("a program did not end well, or crashed: see the logs")

    def crashes(self):
        """Lines that a program writes only when it is broken. A plugin that crashes is started
        again, so that nothing else need show it."""
        return [line for path in (self.log, self.relay.errors)
                for line in read_text(path).splitlines() if CRASH.search(line)]

    def show_logs(self):
        print("# kept in %s:" % self.folder, flush=True)
        for line in self.crashes()[:20]:
            print("#   " + line)
        for path in (self.log, self.relay.errors, self.relay.log):
            print("#   the end of %s" % path)
            for line in tail(path).splitlines():
                print("#     " + line)
        sys.stdout.flush()

    # What happens on it.

    def phone(self, *addresses, **options):
        phone = Phone(self.phones_path, *addresses, **options).start()
        self.phones.append(phone)
        return phone

    def create(self, *addresses, tenant=None, key=None, insist=0.0, **members):
        body = share_body(*addresses, **members)
        answer = (tenant or self.tenant).post("/v1/shares", body, key=key, insist=insist)
        if answer.status != 201:
            raise AssertionError("the share was not created: %r" % answer)
        return answer.json

    def show(self, share, tenant=None, insist=0.0):
        id = share if isinstance(share, str) else share["id"]
        answer = (tenant or self.tenant).get("/v1/shares/" + id, insist=insist)
        if answer.status != 200:
            raise AssertionError("the share cannot be read: %r" % answer)
        return answer.json

    def wait(self, share, condition, what, timeout=30, tenant=None, insist=False):
        """Long-polls a share until condition(share) holds."""
        id = share if isinstance(share, str) else share["id"]
        limit = time.monotonic() + timeout
        version = 0
        while True:
            left = limit - time.monotonic()
            path = "/v1/shares/%s?after=%d&wait=%d" % (id, version, max(1, min(10, int(left))))
            answer = (tenant or self.tenant).get(path, insist=max(0.0, left) if insist else 0.0)
            if answer.status != 200:
                raise AssertionError("the share cannot be read: %r" % answer)
            found = answer.json
            if condition(found):
                return found
            if time.monotonic() > limit or found["state"] in TERMINAL:
                raise AssertionError("not within %g s: %s; it is %s (%s)\n%s" % (
                    timeout, what, found["state"], found.get("cause"), events_of(found)))
            version = found["version"]

    def wait_state(self, share, *states, **options):
        return self.wait(
            share, lambda found: found["state"] in states, " or ".join(states), **options)

    def wait_event(self, share, event, **options):
        return self.wait(share, lambda found: event in events_of(found), event, **options)

    def wait_health(self, condition, timeout=20):
        """Until the health that operators see fits; returns it."""

        def look():
            try:
                health = self.operator("GET", "/readyz").json
            except OSError:
                return None
            return health if condition(health) else None

        return wait_until(look, timeout, "a state of health")

    def wait_channel(self, name, up=True):
        self.wait_health(lambda health: any(
            part["name"] == name and part["up"] == up for part in health["parts"]))

    def operator(self, method, path, body=None, timeout=30):
        """Asks as the operator that runs this test, over the Unix socket."""
        connection = UnixConnection(self.operator_path, timeout)
        headers = {"Content-Type": "application/json"} if body is not None else {}
        connection.request(
            method, path, json.dumps(body) if body is not None else None, headers)
        response = connection.getresponse()
        answer = Answer(response.status, dict(response.getheaders()), response.read())
        connection.close()
        return answer

    def cancel(self, share, **options):
        id = share if isinstance(share, str) else share["id"]
        return self.tenant.post("/v1/shares/%s/cancel" % id, **options)

    def receive(self, url, *options, timeout=20):
        """Opens a link as a wallet would; the URL never is an argument."""
        return subprocess.run(
            [*self.wrapper, self.program("relay-client", "vestibule-receive"), "--allow",
             self.relay.host, "--ca-file", self.relay.certificate, *options, "-"],
            input=url + "\n", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            timeout=timeout,
        )

    def derivation(self):
        with open(os.path.join(self.credentials, "root.key"), "rb") as file:
            return Derivation(file.read())

    def rows(self, query, *values):
        """Asks the store: the live one as a second reader, a dead one as a copy of what it left."""
        alive = self.gateway and self.gateway.poll() is None
        folder = self.state if alive else self.store_copy()
        store = sqlite3.connect("file:%s/vestibule.sqlite?mode=%s" % (folder, "ro" if alive else "rw"),
                                uri=True, timeout=10)
        try:
            return store.execute(query, values).fetchall()
        finally:
            store.close()

    def store_copy(self):
        """A copy of the state folder as a crash at this moment would leave it."""
        copy = tempfile.mkdtemp(prefix="state-", dir=self.folder)
        for name in sorted(os.listdir(self.state)):
            source = os.path.join(self.state, name)
            if os.path.isfile(source):
                shutil.copy(source, copy)
        return copy


def events_of(share):
    return [entry["event"] for entry in share["timeline"]]


def options_of_test(description):
    """--build DIR and names of tests, as every end-to-end test takes them."""
    import argparse

    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--build", required=True, help="the build folder")
    parser.add_argument("--seed", type=int, help="repeats a run of a random test")
    parser.add_argument("names", nargs="*", help="run these alone")
    return parser.parse_args()
