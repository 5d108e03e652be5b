"""The programs vestibule-relay-client and vestibule-receive, whole: a socketpair stands for the gateway, and the relay is
either the real vestibule-relay or a scripted TLS server that does what no honest relay would.

Usage: test-program.py CLIENT RECEIVE RELAY [name…]"""

import base64
import ctypes
import ctypes.util
import hashlib
import json
import os
import re
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import uuid
import warnings

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import tap  # noqa: E402
from harness.https_server import HttpsServer  # noqa: E402

CLIENT, RECEIVE, RELAY = sys.argv[1:4]
warnings.simplefilter("ignore", DeprecationWarning)  # TLS 1.1 is what one test is about
CLAIM_PROVISIONING = {"format": "digitalwallet.generic.authorizationToken",
                      "content": {"token": "MARKER-provisioning-4711", "name": "Hôtel Élysée", "list": [1, 2.5, None]}}
MAILBOX_PATH = "/v1/m/3f0c1a52-6f0b-4a6e-9c1d-0b1f5f1f2a77"
MARKER = b"MARKER-of-the-relay"  # must not be in our log
sodium = ctypes.CDLL(ctypes.util.find_library("sodium"))
folder = tempfile.TemporaryDirectory()


def path(*parts):
    return os.path.join(folder.name, *parts)


def b64(data):
    return base64.b64encode(data).decode()


# Certificates ---------------------------------------------------------------------------------------------------------

def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def make_certificate(name, alternative, *, days=2, expired=False, own_issuer=False):
    key, request, certificate = path(name + ".key"), path(name + ".csr"), path(name + ".pem")
    with open(path(name + ".ext"), "w") as f:
        f.write(f"subjectAltName={alternative}\n")
    openssl("ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", key)
    openssl("req", "-new", "-key", key, "-subj", "/CN=" + name, "-out", request)
    if own_issuer:
        openssl("req", "-x509", "-new", "-key", key, "-subj", "/CN=" + name, "-addext", "subjectAltName=" + alternative, "-days", "2",
                "-out", certificate)
    elif expired:
        # `openssl ca` is the one that takes dates.
        with open(path("ca.cnf"), "w") as f:
            f.write(f"[ca]\ndefault_ca=d\n[d]\ndatabase={path('index')}\nserial={path('serial')}\nnew_certs_dir={folder.name}\n"
                    "default_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n")
        open(path("index"), "w").close()
        with open(path("serial"), "w") as f:
            f.write("0a\n")
        openssl("ca", "-batch", "-config", path("ca.cnf"), "-cert", path("ca.pem"), "-keyfile", path("ca.key"), "-in", request, "-out",
                certificate, "-extfile", path(name + ".ext"), "-startdate", "20200101000000Z", "-enddate", "20200201000000Z", "-notext")
    else:
        openssl("x509", "-req", "-in", request, "-CA", path("ca.pem"), "-CAkey", path("ca.key"), "-days", str(days), "-extfile",
                path(name + ".ext"), "-out", certificate)
    return certificate, key


def make_certificates():
    openssl("ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", path("ca.key"))
    openssl("req", "-x509", "-new", "-key", path("ca.key"), "-subj", "/CN=test authority", "-days", "2", "-out", path("ca.pem"))
    make_certificate("good", "IP:127.0.0.1")
    make_certificate("other-name", "DNS:other.example")
    make_certificate("expired", "IP:127.0.0.1", expired=True)
    make_certificate("self-signed", "IP:127.0.0.1", own_issuer=True)


# Relays ---------------------------------------------------------------------------------------------------------------

class Scripted(HttpsServer):
    """Answers what `script(request)` returns."""

    def __init__(self, script, certificate="good", maximum=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path(certificate + ".pem"), path(certificate + ".key"))
        if maximum:
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = maximum
            context.set_ciphers("ALL:@SECLEVEL=0")
        self.script = script
        super().__init__(context, lambda request: self.script(request))


def http(status, body=b"", request=None, headers=""):
    if isinstance(body, (dict, list)):
        body = json.dumps(body).encode()
    echo = f"Mailbox-Request-ID: {request.headers['mailbox-request-id']}\r\n" if request else ""
    return f"HTTP/1.1 {status} X\r\n{echo}{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body


class Relay:
    """The real one."""

    def __init__(self, *options):
        state, port_file = tempfile.mkdtemp(dir=folder.name), tempfile.mktemp(dir=folder.name)
        self.log = tempfile.mktemp(dir=folder.name)
        self.process = subprocess.Popen([RELAY, "--state", state, "--listen", "127.0.0.1:0", "--port-file", port_file, "--certificate",
                                         path("good.pem"), "--key", path("good.key"), "--log", self.log, *options],
                                        stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 10
        while not (os.path.exists(port_file) and open(port_file).read().strip()):
            assert time.monotonic() < deadline and self.process.poll() is None, "the relay does not start"
            time.sleep(0.01)
        self.url = "https://127.0.0.1:" + open(port_file).read().strip()

    def close(self):
        self.process.terminate()
        _, complaints = self.process.communicate(timeout=10)
        assert self.process.returncode == 0, complaints


# The gateway's side ---------------------------------------------------------------------------------------------------

class Gateway:
    """Starts the client on a socketpair and speaks frames with it."""

    def __init__(self, settings, credentials=None, welcome=True):
        self.settings, self.credentials, self.welcome = settings, credentials or path("keys"), welcome
        self.start()

    def start(self):
        ours, theirs = socket.socketpair()
        self.socket, self.buffer, self.waiting, self.status, self.next_id = ours, b"", {}, [], 0
        self.stderr = tempfile.TemporaryFile(dir=folder.name)
        self.process = subprocess.Popen([CLIENT, "--gateway", "fd:%d" % theirs.fileno()], pass_fds=[theirs.fileno()], stderr=self.stderr,
                                        env={"CREDENTIALS_DIRECTORY": self.credentials})
        theirs.close()
        hello = self.receive()
        assert hello["type"] == "hello" and hello["role"] == "relay", hello
        if self.welcome:
            self.send({"type": "welcome", "protocol": 1, "settings": self.settings})

    def send(self, frame):
        data = json.dumps(frame).encode()
        self.socket.sendall(struct.pack(">I", len(data)) + data)

    def receive(self, timeout=30):
        self.socket.settimeout(timeout)
        while len(self.buffer) < 4 or len(self.buffer) < 4 + struct.unpack(">I", self.buffer[:4])[0]:
            more = self.socket.recv(1 << 20)
            if not more:
                raise EOFError
            self.buffer += more
        size = 4 + struct.unpack(">I", self.buffer[:4])[0]
        frame, self.buffer = json.loads(self.buffer[4:size]), self.buffer[size:]
        return frame

    def ask(self, frame):
        self.next_id += 1
        self.send(dict(frame, id=self.next_id))
        return self.next_id

    def answer(self, number, timeout=30):
        while number not in self.waiting:
            frame = self.receive(timeout)
            if "id" in frame:
                self.waiting[frame["id"]] = frame
            else:
                assert frame["type"] == "status", frame
                self.status.append((frame["up"], frame["reason"]))
        return self.waiting.pop(number)

    def call(self, frame, timeout=30):
        return self.answer(self.ask(frame), timeout)

    def log(self):
        self.stderr.seek(0)
        return self.stderr.read().decode()

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.socket.close()

    def close(self):
        self.socket.close()
        assert self.process.wait(10) == 0, "exit status %d" % self.process.returncode


def settings_for(relay, **more):
    return dict({"url": relay.url, "ca_file": path("ca.pem")}, **more)


def seal(public_key, content):
    plain = json.dumps(content).encode()
    box = ctypes.create_string_buffer(len(plain) + 48)
    assert sodium.crypto_box_seal(box, plain, ctypes.c_ulonglong(len(plain)), public_key) == 0
    return b64(box.raw)


def create_frame(share=None, envelope=None, provisioning=CLAIM_PROVISIONING, **more):
    public = json.load(open(path("keys", "relay-key.pub")))["keys"][0]
    sealed = {"tenant": "adler", "nonce": b64(os.urandom(16)), "recipients": b64(os.urandom(32)), "class": "hotel",
              "not_after": int(time.time()) + 3600}
    sealed.update(envelope or {})
    frame = {"type": "create", "share": share or "shr_" + uuid.uuid4().hex[:26], "generation": 0, "claim": str(uuid.uuid4()),
             "request": str(uuid.uuid4()), "expiration": int(time.time()) + 7200, "rights": "RD", "vertical": "a",
             "display": {"title": "Room key", "description": "Hotel Adler", "imageURL": "https://hotel.example/key.png"},
             "envelope": sealed, "kid": public["kid"],
             "box": seal(base64.b64decode(public["key"]), dict(sealed, v=1, provisioning=provisioning))}
    frame.update(more)
    return frame


def mailbox_frame(kind, created, frame):
    return {"type": kind, "share": frame["share"], "mailbox": created["mailbox"], "claim": frame["claim"], "request": str(uuid.uuid4())}


def receive(link, relay, *options, allow=True):
    command = [RECEIVE, "--ca-file", path("ca.pem"), *options]
    if allow:
        command += ["--allow", relay.url[len("https://"):]]
    return subprocess.run(command + ["-"], input=link + "\n", capture_output=True, text=True)


def created_by(request, mailbox="3f0c1a52-6f0b-4a6e-9c1d-0b1f5f1f2a77"):
    url = "https://" + request.headers["host"] + "/v1/m/" + mailbox
    return http(200, {"urlLink": url, "isPushNotificationSupported": False}, request)


class Unasked(Scripted):
    """Repeats no id, and after each answer sends another, of a mailbox that is nobody's. What is asked on a connection after that
    has its answer already."""

    def __init__(self):
        self.most, self.local = 0, threading.local()  # `local.n`: requests of one connection
        super().__init__(None)

    def answer_for(self, request, mailbox):
        return http(200, {"urlLink": "https://%s/v1/m/%s" % (request.headers["host"], mailbox)})

    def serve(self, plain):
        self.local.n = 0
        super().serve(plain)

    def exchange(self, connection):
        request = self.read(connection)
        if request is None:
            return False
        self.local.n += 1
        self.most = max(self.most, self.local.n)
        if self.local.n == 1:
            connection.sendall(self.answer_for(request, mailbox_of(request)))
        time.sleep(request.number % 4 * 0.001)  # sooner or later than the next request
        connection.sendall(self.answer_for(request, uuid.uuid4()))
        return True


def mailbox_of(request):
    """Each title has one."""
    return uuid.uuid5(uuid.NAMESPACE_URL, json.loads(request.body)["displayInformation"]["title"])


# Promises -------------------------------------------------------------------------------------------------------------

def a_share_is_created_received_and_gone():
    relay = Relay()
    gateway = Gateway(settings_for(relay))
    frame = create_frame()
    created = gateway.call(frame)
    assert created["type"] == "done", created
    assert created["link"].startswith(created["mailbox"] + "?v=a#") and created["mailbox"].startswith(relay.url + "/v1/m/")
    assert len(base64.b64decode(created["link"].split("#")[1])) == 16

    read = gateway.call(mailbox_frame("read", created, frame))
    assert read == {"type": "done", "id": read["id"]}, read
    received = receive(created["link"], relay)
    assert received.returncode == 0, received
    assert json.loads(received.stdout) == CLAIM_PROVISIONING

    assert gateway.call(mailbox_frame("read", created, frame))["type"] == "gone"
    assert gateway.call(mailbox_frame("delete", created, frame))["type"] == "gone"
    assert gateway.status == [(True, "")], gateway.status
    gateway.close()
    for text in (gateway.log(), open(relay.log).read()):
        for secret in (frame["claim"], created["link"].split("#")[1], "MARKER", created["mailbox"].split("/")[-1]):
            assert secret not in text, text
    relay.close()


def a_deleted_share_cannot_be_received():
    relay = Relay()
    gateway = Gateway(settings_for(relay, algorithm="aes-256-gcm"))
    frame = create_frame(vertical="c")
    created = gateway.call(frame)
    assert len(base64.b64decode(created["link"].split("?v=c#")[1])) == 32
    assert gateway.call(mailbox_frame("delete", created, frame))["type"] == "done"
    assert receive(created["link"], relay).returncode == 4
    gateway.close()
    relay.close()


def the_vertical_of_the_frame_is_that_of_the_link_and_is_accepted():
    relay = Relay()
    gateway = Gateway(settings_for(relay))
    for vertical in "ach":
        link = gateway.call(create_frame(vertical=vertical))["link"]
        assert re.search(r"\?v=([a-z])#", link)[1] == vertical, "another vertical"
        received = receive(link, relay, "--json")
        assert received.returncode == 0 and received.stderr == "Received: Room key\n", received  # and no warning
        assert json.loads(received.stdout)["vertical"] == vertical
        assert json.loads(received.stdout)["provisioning"] == CLAIM_PROVISIONING
    gateway.close()
    relay.close()


def a_second_device_is_told_that_it_came_second():
    relay = Relay()
    gateway = Gateway(settings_for(relay))
    created = gateway.call(create_frame())
    first = receive(created["link"], relay, "--keep", "--json")
    assert first.returncode == 0 and json.loads(first.stdout)["provisioning"] == CLAIM_PROVISIONING
    assert json.loads(first.stdout)["title"] == "Room key" and json.loads(first.stdout)["deleted"] is False
    second = receive(created["link"], relay)
    assert second.returncode == 3 and second.stdout == "", second
    gateway.close()
    relay.close()


def a_claim_file_lets_a_recipient_go_on():
    relay = Relay()
    gateway = Gateway(settings_for(relay))
    created, claim = gateway.call(create_frame()), path("claim")
    assert receive(created["link"], relay, "--keep", "--claim-file", claim).returncode == 0
    assert os.stat(claim).st_mode & 0o777 == 0o600
    other = gateway.call(create_frame())
    assert receive(other["link"], relay, "--claim-file", claim).returncode == 1, "a claim served two mailboxes"
    again = receive(created["link"], relay, "--claim-file", claim)
    assert again.returncode == 0 and json.loads(again.stdout) == CLAIM_PROVISIONING
    assert not os.path.exists(claim)
    gateway.close()
    relay.close()


def a_wrong_secret_opens_nothing_and_deletes_nothing():
    relay = Relay()
    gateway = Gateway(settings_for(relay))
    frame = create_frame()
    created = gateway.call(frame)
    for secret in (b64(os.urandom(16)), b64(os.urandom(32))):
        wrong = receive(created["mailbox"] + "#" + secret, relay, "--claim-file", path("claim-wrong"))
        assert wrong.returncode == 5 and wrong.stdout == "", wrong
    assert gateway.call(mailbox_frame("read", created, frame))["type"] == "done"
    gateway.close()
    relay.close()


def a_recipient_asks_only_allowed_relays():
    relay = Scripted(lambda request: http(404, b"", request))
    link = relay.url + "/v1/m/3f0c1a52-6f0b-4a6e-9c1d-0b1f5f1f2a77?v=a#hXlr6aRC7KgJpOLTNZaLsw=="
    assert receive(link, relay, allow=False).returncode == 2
    other = receive(link, relay, "--allow", "relay.example", allow=False)
    assert other.returncode == 7 and other.stderr.endswith("Name it with --allow if you trust it.\n"), other
    portless = receive(link, relay, "--allow", "relay.example", "--allow", "127.0.0.1", allow=False)
    assert portless.returncode == 7, portless
    assert "--allow 127.0.0.1 means port 443; write --allow " + relay.url[8:] + "." in portless.stderr, portless
    assert receive(link.replace("https", "http"), relay).returncode == 2
    for incomplete in (link.split("#")[0], link.split("#")[0] + "#"):
        result = receive(incomplete, relay)
        assert result.returncode == 2 and result.stderr.startswith("The link is not complete: the part after # is missing."), result
    for broken in ("", link.replace("/m/", "/x/")):
        result = receive(broken, relay)
        assert result.returncode == 2 and result.stderr.endswith("Copy the whole link.\n"), result
    assert relay.accepted == 0
    assert receive(link, relay).returncode == 4
    request, = relay.requests
    assert request.method == "POST" and request.target == "/v1/m/3f0c1a52-6f0b-4a6e-9c1d-0b1f5f1f2a77" and request.body == b""
    assert b"hXlr6aRC" not in relay.raw
    assert "content-type" not in request.headers and "referer" not in request.headers
    relay.close()


def nothing_connects_before_the_first_create():
    relay = Scripted(created_by)
    gateway = Gateway(settings_for(relay))
    assert gateway.call({"type": "preview"})["type"] == "unsupported"
    for kind in ("create", "read", "update", "delete", "acknowledge", "mint"):
        answer = gateway.call({"type": kind})
        assert (answer["type"], answer["reason"]) == ("refused", "bad-frame"), answer
    assert relay.accepted == 0 and gateway.status == [(True, "")]
    assert gateway.call(create_frame())["type"] == "done"
    assert relay.accepted == 1
    gateway.close()
    relay.close()


def a_release_that_differs_is_refused_without_a_connection():
    relay = Scripted(created_by)
    gateway = Gateway(settings_for(relay))
    changes = {"tenant": "other", "nonce": b64(os.urandom(16)), "recipients": b64(os.urandom(32)), "class": "car",
               "not_after": int(time.time()) + 9999}
    for member, value in changes.items():
        frame = create_frame()
        frame["envelope"] = dict(frame["envelope"], **{member: value})
        assert gateway.call(frame)["reason"] == "envelope-differs", member
    for reason, frame in (
            ("envelope-expired", create_frame(envelope={"not_after": int(time.time()) - 120})),
            ("unknown-key", create_frame(kid="0123456789abcdef")),
            ("envelope-box", create_frame(box=create_frame()["box"][:-8] + "AAAAAAA=")),
            ("envelope-box", create_frame(box=seal(os.urandom(32), {"v": 1}))),
            ("bad-provisioning", create_frame(provisioning={"format": "x"})),
            ("bad-expiration", create_frame(expiration=int(time.time()) + 30)),
            ("bad-frame", create_frame(claim="x")),
            ("bad-display", create_frame(rights="X"))):
        answer = gateway.call(frame)
        assert (answer["type"], answer["reason"]) == ("refused", reason), (reason, answer)
    for mailbox in ("https://evil.example/v1/m/" + str(uuid.uuid4()), relay.url + "/v1/m/x", relay.url + "/", "http://127.0.0.1/"):
        for kind in ("read", "delete"):
            answer = gateway.call({"type": kind, "share": "shr_x", "mailbox": mailbox, "claim": str(uuid.uuid4()), "request": str(uuid.uuid4())})
            assert (answer["type"], answer["reason"]) == ("refused", "bad-mailbox")
    assert relay.accepted == 0
    gateway.close()
    relay.close()


def a_relay_that_is_not_itself_is_not_told_anything():
    for certificate, maximum, reason in (("other-name", None, "tls-certificate"), ("expired", None, "tls-certificate"),
                                         ("self-signed", None, "tls-certificate"), ("good", ssl.TLSVersion.TLSv1_1, "tls")):
        relay = Scripted(created_by, certificate, maximum)
        gateway = Gateway(settings_for(relay))
        answer = gateway.call(create_frame())
        assert (answer["type"], answer["reason"]) == ("again", reason), (certificate, answer)
        assert relay.requests == [] and relay.raw == b""
        assert gateway.status[-1] == (False, reason), gateway.status
        gateway.close()
        relay.close()


def a_pinned_key_decides():
    der = subprocess.run(["openssl", "pkey", "-in", path("good.key"), "-pubout", "-outform", "DER"], capture_output=True, check=True).stdout
    digest = subprocess.run(["openssl", "dgst", "-sha256", "-binary"], input=der, capture_output=True, check=True).stdout
    relay = Scripted(created_by)
    for pins, kind in (("sha256//" + b64(os.urandom(32)), "again"), (["sha256//" + b64(os.urandom(32)), "sha256//" + b64(digest)], "done")):
        gateway = Gateway(settings_for(relay, pinned_key=pins))
        answer = gateway.call(create_frame())
        assert answer["type"] == kind and answer.get("reason", "tls-pinned-key") == "tls-pinned-key", answer
        assert len(relay.requests) == (1 if kind == "done" else 0)
        gateway.close()
    relay.close()


def a_redirect_is_not_followed():
    target = Scripted(created_by)
    relay = Scripted(lambda request: http(307, b"", request, "Location: %s/v1/m\r\n" % target.url))
    gateway = Gateway(settings_for(relay, allow_host=[relay.url[8:], target.url[8:]]))
    answer = gateway.call(create_frame())
    assert (answer["type"], answer["reason"]) == ("refused", "redirect-307"), answer
    assert target.accepted == 0
    gateway.close()
    relay.close()
    target.close()


def what_a_relay_says_is_passed_on_in_our_words():
    big = b" " * 300000
    scripts = (
        (lambda q: http(201, b"", q), {"type": "duplicate"}),
        (lambda q: http(200, {"urlLink": "https://%s/v1/m/%s" % (q.headers["host"], uuid.uuid4())}), {"type": "done"}),
        (lambda q: http(401, b"", q), {"type": "unauthorised"}),
        (lambda q: http(400, b"", q), {"type": "refused", "reason": "http-400"}),
        (lambda q: http(404, b"", q), {"type": "refused", "reason": "http-404"}),
        (lambda q: http(503, b"", q, "Retry-After: 9\r\n"), {"type": "again", "reason": "http-503", "retry_after": 9}),
        (lambda q: created_by(q).replace(q.headers["mailbox-request-id"].encode(), str(uuid.uuid4()).encode()),
         {"type": "again", "reason": "wrong-echo"}),
        (lambda q: created_by(q)[:-10] + b"\r\nConnection: close", {"type": "again"}),
        (lambda q: b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\nX: y\r\nConnection: close\r\n\r\n{", {"type": "again", "reason": "cut"}),
        (lambda q: http(200, big, q), {"type": "again", "reason": "answer-too-large"}),
        (lambda q: b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10000 + b"\r\n", {"type": "again", "reason": "answer-too-large"}),
        (lambda q: b"HTTP/1.1 100 Continue\r\nMailbox-Request-ID: x\r\n\r\n" + created_by(q), {"type": "done"}),
        (lambda q: b"NONSENSE\r\n\r\n", {"type": "again", "reason": "answer-not-http"}),
        (lambda q: None, {"type": "again", "reason": "cut"}),
        (lambda q: http(200, {"urlLink": "https://evil.example/v1/m/" + str(uuid.uuid4())}, q), {"type": "refused", "reason": "link-other-host"}),
        (lambda q: http(200, {"urlLink": "http://" + q.headers["host"] + MAILBOX_PATH}, q), {"type": "refused", "reason": "link-not-https"}),
        (lambda q: http(200, {"urlLink": "https://a@" + q.headers["host"] + MAILBOX_PATH}, q), {"type": "refused", "reason": "link-form"}),
        (lambda q: http(200, b"[" * 60000 + b"]" * 60000, q), {"type": "again", "reason": "answer-too-deep"}),
        (lambda q: http(200, b'{"urlLink":"%s","urlLink":"x"}' % MARKER, q), {"type": "again", "reason": "answer-repeated-member"}),
        (lambda q: http(200, b'{"%s":"\xc3\x28"}' % MARKER, q), {"type": "again", "reason": "answer-not-utf8"}),
        (lambda q: http(200, b"<!-- %s -->" % MARKER, q), {"type": "again", "reason": "answer-not-json"}),
        (lambda q: http(200, b'{"%s":1}' % MARKER, q), {"type": "again", "reason": "answer-form"}),
        (lambda q: http(201, b"{%s" % MARKER, q), {"type": "duplicate"}),
    )
    for index, (script, expected) in enumerate(scripts):
        relay = Scripted(script)
        gateway = Gateway(settings_for(relay))
        answer = gateway.call(create_frame())
        for member, value in expected.items():
            assert answer[member] == value, (index, answer)
        assert MARKER.decode() not in gateway.log(), gateway.log()
        gateway.close()
        relay.close()


def what_cannot_be_used_is_told_by_name_and_share_and_nothing_else():
    deep, link = b'{"%s":' % MARKER + b"[" * 60000, "https://%s.example" % MARKER.decode().lower() + MAILBOX_PATH
    bad_share = create_frame(envelope={"class": "other"})
    bad_share["envelope"]["class"] = "hotel"  # the box says another
    cases = (
        (lambda q: http(200, deep, q), create_frame(), "what the relay answered cannot be used: answer-too-deep"),
        (lambda q: http(200, b" " * 300000, q), create_frame(), "what the relay answered cannot be used: answer-too-large"),
        (lambda q: http(201, b'{"%s":"\xff"}' % MARKER, q), create_frame(), "what the relay answered cannot be used: answer-not-utf8"),
        (lambda q: http(200, {"urlLink": link}, q), create_frame(), "what the relay answered ends a share: link-other-host"),
        (lambda q: http(400, MARKER, q), create_frame(), "what the relay answered ends a share: http-400"),
        (None, bad_share, "a request was refused before the relay was asked: envelope-differs"),
    )
    relay = Scripted(None)
    gateway = Gateway(settings_for(relay))
    for script, frame, _ in cases:
        relay.script = script
        gateway.call(frame)
    lines = gateway.log().splitlines()
    assert len(lines) == len(cases), lines
    for line, (_, frame, says) in zip(lines, cases):
        # Nothing but the sentence and the share: whatever is secret would stand there as well.
        assert line.partition(": ")[2] == says + " SHARE=" + frame["share"], (line, says)
    gateway.close()
    relay.close()


def an_answer_that_cannot_be_used_does_not_make_the_relay_unreachable():
    relay = Scripted(None)
    gateway = Gateway(settings_for(relay))
    for script, reason in ((lambda q: http(200, b" " * 300000, q), "answer-too-large"), (lambda q: b"NONSENSE\r\n\r\n", "answer-not-http"),
                           (lambda q: b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10000, "answer-too-large"), (lambda q: http(200, b"{", q), "answer-not-json")):
        relay.script = script
        assert gateway.call(create_frame())["reason"] == reason
        assert gateway.status == [(True, "")], (reason, gateway.status)
    relay.script = lambda q: None
    assert gateway.call(create_frame())["reason"] == "cut"
    assert gateway.status == [(True, ""), (False, "cut")], gateway.status
    # One that can be reached is up, though of no use.
    relay.script = lambda q: b"NONSENSE\r\n\r\n"
    assert gateway.call(create_frame())["reason"] == "answer-not-http"
    assert gateway.status == [(True, ""), (False, "cut"), (True, "")], gateway.status
    gateway.close()
    relay.close()


def a_read_is_read_anew_when_the_relay_takes_it_for_a_repeat():
    seen = []

    def script(request):
        seen.append(request.headers["mailbox-request-id"])
        if len(seen) == 1:
            return http(201, b"", request)
        return http(200, {"payload": {"type": "t", "data": "d"}}, request)

    relay = Scripted(script)
    gateway = Gateway(settings_for(relay))
    answer = gateway.call({"type": "read", "share": "s", "mailbox": relay.url + "/v1/m/" + str(uuid.uuid4()), "claim": str(uuid.uuid4()),
                           "request": str(uuid.uuid4())})
    assert answer == {"type": "done", "id": answer["id"]}, answer
    assert len(set(seen)) == 2
    gateway.close()
    relay.close()


def the_relay_coming_back_is_told():
    relay = Scripted(lambda request: None)
    gateway = Gateway(settings_for(relay))
    for _ in range(2):
        assert gateway.call(create_frame())["type"] == "again"
    relay.script = created_by
    assert gateway.call(create_frame())["type"] == "done"
    assert gateway.status == [(True, ""), (False, "cut"), (True, "")], gateway.status
    gateway.close()
    relay.close()


def a_killed_client_repeats_the_same_octets():
    arrived, held = threading.Event(), threading.Event()

    def hold(request):
        arrived.set()
        held.wait(20)
        return None

    relay = Scripted(hold)
    frame = create_frame(generation=1)
    gateway = Gateway(settings_for(relay))
    gateway.ask(frame)
    assert arrived.wait(10)
    gateway.kill()
    held.set()
    relay.script = created_by
    links = set()
    for _ in range(2):
        gateway = Gateway(settings_for(relay))
        links.add(gateway.call(frame)["link"])
        gateway.kill()
    assert len(links) == 1
    ids = {request.headers["mailbox-request-id"] for request in relay.requests}
    bodies = {request.body for request in relay.requests}
    assert len(relay.requests) == 3 and ids == {frame["request"]} and len(bodies) == 1
    relay.close()


def one_claim_has_one_request_under_way():
    arrived, held = threading.Event(), threading.Event()

    def hold(request):
        arrived.set()
        held.wait(20)
        return created_by(request)

    relay = Scripted(hold)
    gateway = Gateway(settings_for(relay))
    frame = create_frame()
    first = gateway.ask(frame)
    assert arrived.wait(10)
    second = gateway.call(frame)
    assert (second["type"], second["reason"]) == ("again", "claim-is-busy")
    held.set()
    assert gateway.answer(first)["type"] == "done"
    assert gateway.call(frame)["type"] == "done"
    gateway.close()
    relay.close()


def a_thousand_creates_share_few_handshakes():
    relay = Scripted(created_by)
    gateway = Gateway(settings_for(relay))
    frames = [create_frame() for _ in range(1000)]
    under_way, done, links = [], 0, set()
    while done < 1000:
        while frames and len(under_way) < 64:
            under_way.append(gateway.ask(frames.pop()))
        answer = gateway.answer(under_way.pop(0), 60)
        assert answer["type"] == "done", answer
        links.add(answer["link"])
        done += 1
    assert len(links) == 1000
    assert relay.handshakes <= 18, relay.handshakes
    print("# 1000 creates, 64 in flight: %d TLS handshakes" % relay.handshakes)
    gateway.close()
    relay.close()


def no_share_is_given_what_a_relay_sent_unasked():
    relay = Unasked()
    gateway = Gateway(settings_for(relay))
    waiting = [create_frame(display={"title": "Room %d" % i, "description": "", "imageURL": ""}) for i in range(200)]
    under_way, wrong = [], []
    while waiting or under_way:
        while waiting and len(under_way) < 16:
            frame = waiting.pop()
            under_way.append((gateway.ask(frame), frame))
        number, frame = under_way.pop(0)
        answer = gateway.answer(number)
        assert answer["type"] == "done", answer
        if not answer["mailbox"].endswith(str(uuid.uuid5(uuid.NAMESPACE_URL, frame["display"]["title"]))):
            wrong.append(answer)
    assert not wrong, "%d of 200 shares were given a mailbox that is not theirs" % len(wrong)
    assert relay.most == 1 and relay.handshakes >= 200, (relay.most, relay.handshakes)
    told = [line for line in gateway.log().splitlines() if "does not repeat Mailbox-Request-ID" in line]
    assert len(told) == 1 and "used only once" in told[0], gateway.log()
    gateway.close()
    relay.close()


def a_connection_without_the_echo_is_not_used_again():
    """Nor is one with a wrong echo, or two."""
    other = "Mailbox-Request-ID: " + str(uuid.uuid4()) + "\r\n"
    for echo, handshakes in ((lambda id: "Mailbox-Request-ID: %s\r\n" % id, 1), (lambda id: "mailbox-request-id:%s \r\n" % id.upper(), 1),
                             (lambda id: "", 3), (lambda id: other, 3), (lambda id: "Mailbox-Request-ID: %s\r\n" % id + other, 3),
                             (lambda id: "X-Mailbox-Request-ID: %s\r\n" % id, 3)):
        relay = Scripted(lambda q: http(200, {"urlLink": "https://" + q.headers["host"] + MAILBOX_PATH}, headers=echo(q.id)))
        gateway = Gateway(settings_for(relay))
        for _ in range(3):
            gateway.call(create_frame())
        assert (len(relay.requests), relay.handshakes) == (3, handshakes), (echo("ID"), relay.handshakes)
        gateway.close()
        relay.close()


def more_requests_than_connections_wait_and_are_answered():
    held = threading.Event()

    def hold(request):
        held.wait(20)
        return created_by(request)

    relay = Scripted(hold)
    gateway = Gateway(settings_for(relay))
    frames = [create_frame() for _ in range(256)]
    begin = time.monotonic()
    numbers = [gateway.ask(frame) for frame in frames]
    deadline = time.monotonic() + 20
    while relay.handshakes < 64 and time.monotonic() < deadline:
        time.sleep(0.01)
    held.set()
    assert {gateway.answer(number, 60)["type"] for number in numbers} == {"done"}
    assert relay.accepted == 64, relay.accepted
    # More than 18 only for those who have waited for two seconds.
    assert relay.moments[18] - begin >= 1.99, relay.moments[18] - begin
    gateway.close()
    relay.close()


def settings_that_cannot_work_end_with_78():
    relay = Scripted(created_by)
    bad, open_key, empty = path("bad-keys"), path("open-keys"), path("no-keys")
    for name in (bad, open_key, empty):
        os.mkdir(name)
    with open(os.path.join(bad, "relay-key"), "w") as f:
        f.write("{}")
    os.chmod(os.path.join(bad, "relay-key"), 0o600)
    with open(os.path.join(open_key, "relay-key"), "w") as f:
        f.write(open(path("keys", "relay-key")).read())
    os.chmod(os.path.join(open_key, "relay-key"), 0o644)
    for changes, credentials in (({"url": "http://127.0.0.1"}, None), ({"url": relay.url + "/v1"}, None), ({"url": ""}, None),
                                 ({"ca_file": path("missing")}, None), ({"algorithm": "rot13"}, None), ({"pinned_key": "sha256//x"}, None),
                                 ({}, bad), ({}, open_key), ({}, empty)):
        gateway = Gateway(dict(settings_for(relay), **changes), credentials)
        assert gateway.process.wait(10) == 78, (changes, credentials)
        assert gateway.log().strip(), "it does not say why"
    assert relay.accepted == 0
    relay.close()


def keys_are_made_once_and_rotated():
    home = path("made")

    def make(*options):
        return subprocess.run([CLIENT, "--make-key", home, *options], capture_output=True, text=True)

    made = subprocess.run([os.path.abspath(CLIENT), "--make-key", os.path.basename(home), "--days", "3"],
                          capture_output=True, text=True, cwd=os.path.dirname(home))
    assert made.returncode == 0
    for text in (os.path.realpath(home) + "/relay-key ", os.path.realpath(home) + "/relay-key.pub ",
                 "/etc/credstore/vestibule.relay-NAME.key", "/etc/credstore/vestibule.relay-key.pub"):
        assert text in made.stdout, (text, made.stdout)
    first = json.load(open(os.path.join(home, "relay-key.pub")))
    keyid = hashlib.blake2b(base64.b64decode(first["signer"]), digest_size=16).digest()[:8].hex()
    assert f"\nsigner {first['signer']}, keyid {keyid}\n  give it to each tenant" in made.stdout, made.stdout
    assert os.stat(os.path.join(home, "relay-key")).st_mode & 0o777 == 0o600
    assert os.stat(os.path.join(home, "relay-key.pub")).st_mode & 0o777 == 0o640
    assert abs(first["keys"][0]["not_after"] - time.time() - 3 * 86400) < 60
    assert make().returncode != 0, "keys were overwritten"
    assert json.load(open(os.path.join(home, "relay-key.pub"))) == first
    added = make("--add")
    assert added.returncode == 0 and first["keys"][0]["kid"] in added.stdout
    assert f"signer {first['signer']}, " in added.stdout
    second = json.load(open(os.path.join(home, "relay-key.pub")))
    assert [k["kid"] for k in second["keys"][1:]] == [first["keys"][0]["kid"]] and second["signer"] == first["signer"]
    assert make("--force").returncode == 0
    assert json.load(open(os.path.join(home, "relay-key.pub")))["signer"] != first["signer"]
    assert make("--days", "0").returncode == 64 and make("--add", "--force").returncode == 64
    assert sorted(os.listdir(home)) == ["relay-key", "relay-key.pub"]


def a_box_sealed_before_a_rotation_still_opens():
    relay = Scripted(created_by)
    home = path("rotated")
    subprocess.run([CLIENT, "--make-key", home], check=True, capture_output=True)
    old = json.load(open(os.path.join(home, "relay-key.pub")))["keys"][0]
    frame = create_frame()
    frame.update(kid=old["kid"], box=seal(base64.b64decode(old["key"]), dict(frame["envelope"], v=1, provisioning=CLAIM_PROVISIONING)))
    links = []
    for rotate in (False, True):
        if rotate:
            subprocess.run([CLIENT, "--make-key", home, "--add"], check=True, capture_output=True)
        gateway = Gateway(settings_for(relay), home)
        links.append(gateway.call(frame)["link"])
        gateway.close()
    assert links[0] == links[1]
    relay.close()


# What takes long runs beside the rest.

class Silence:
    """A relay that never answers: `again` comes after 20 s, well within the gateway's 60."""

    def __init__(self):
        self.relay = Scripted(lambda request: threading.Event().wait(60) and None)
        self.gateway = Gateway(settings_for(self.relay))
        self.begin = time.monotonic()
        self.numbers = [self.gateway.ask(create_frame()) for _ in range(70)]

    def finish(self):
        for number in self.numbers:
            answer = self.gateway.answer(number, 40)
            assert (answer["type"], answer["reason"]) == ("again", "timeout"), answer
        # Before 20 s nothing is given up; then the six that wait may get the place of one that was.
        early = [moment for moment in self.relay.moments if moment < self.begin + 20]
        assert len(early) <= 64 <= self.relay.handshakes <= 70, (len(early), self.relay.handshakes)
        self.gateway.close()
        self.relay.close()


class Unreachable:
    """A recipient to whom its relay is of no use, and who tries for some seconds."""

    def __init__(self, url):
        self.process = subprocess.Popen([RECEIVE, "--allow", url[8:], "--ca-file", path("ca.pem"), "-"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.link = url + "/v1/m/" + str(uuid.uuid4()) + "#hXlr6aRC7KgJpOLTNZaLsw==\n"
        self.process.stdin.write(self.link)
        self.process.stdin.flush()

    def finish(self, says):
        out, err = self.process.communicate(timeout=30)
        assert self.process.returncode == 6 and out == "" and says in err, err


def a_silent_relay_is_given_up_in_time():
    silence.finish()


def a_recipient_says_that_the_relay_is_unreachable():
    unreachable.finish("cannot be reached (no-connection). Nothing is lost")


def a_recipient_says_that_the_relay_answers_what_nobody_can_use():
    strange.finish("answers, but cannot be used now (answer-not-json). It may have heard this device")


def a_recipient_is_told_how_to_trust_a_relay_of_its_own():
    untrusted.finish("certificate is not trusted. If it is your own relay, name its issuer with --ca-file.")


TESTS = [
    a_share_is_created_received_and_gone,
    a_deleted_share_cannot_be_received,
    the_vertical_of_the_frame_is_that_of_the_link_and_is_accepted,
    a_second_device_is_told_that_it_came_second,
    a_claim_file_lets_a_recipient_go_on,
    a_wrong_secret_opens_nothing_and_deletes_nothing,
    a_recipient_asks_only_allowed_relays,
    nothing_connects_before_the_first_create,
    a_release_that_differs_is_refused_without_a_connection,
    a_relay_that_is_not_itself_is_not_told_anything,
    a_pinned_key_decides,
    a_redirect_is_not_followed,
    what_a_relay_says_is_passed_on_in_our_words,
    what_cannot_be_used_is_told_by_name_and_share_and_nothing_else,
    an_answer_that_cannot_be_used_does_not_make_the_relay_unreachable,
    a_read_is_read_anew_when_the_relay_takes_it_for_a_repeat,
    the_relay_coming_back_is_told,
    a_killed_client_repeats_the_same_octets,
    one_claim_has_one_request_under_way,
    a_thousand_creates_share_few_handshakes,
    no_share_is_given_what_a_relay_sent_unasked,
    a_connection_without_the_echo_is_not_used_again,
    more_requests_than_connections_wait_and_are_answered,
    settings_that_cannot_work_end_with_78,
    keys_are_made_once_and_rotated,
    a_box_sealed_before_a_rotation_still_opens,
    a_recipient_says_that_the_relay_is_unreachable,
    a_recipient_says_that_the_relay_answers_what_nobody_can_use,
    a_recipient_is_told_how_to_trust_a_relay_of_its_own,
    a_silent_relay_is_given_up_in_time,
]

if __name__ == "__main__":
    make_certificates()
    subprocess.run([CLIENT, "--make-key", path("keys")], check=True, stdout=subprocess.DEVNULL)
    closed = socket.socket()  # nobody listens there, and nobody else can
    closed.bind(("127.0.0.1", 0))
    silence, unreachable = Silence(), Unreachable("https://127.0.0.1:%d" % closed.getsockname()[1])
    strange = Unreachable(Scripted(lambda request: http(200, b"no mailbox", request)).url)
    untrusted = Unreachable(Scripted(created_by, certificate="self-signed").url)
    status = tap.run(TESTS, sys.argv[4:])
    sys.stdout.flush()
    folder.cleanup()
    os._exit(status)
