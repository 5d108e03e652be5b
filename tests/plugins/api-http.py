#!/usr/bin/python3
"""The front over real sockets, against a gateway that this script plays from plugins/PROTOCOL.md.

usage: api-http.py VESTIBULE_API [NAME...]     prints TAP
"""
import base64
import ctypes
import ctypes.util
import hashlib
import http.client
import json
import os
import queue
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import tap  # noqa: E402

SHARE = "shr_01j0000000000000000000000a"
KEY = '"0123456789abcdefghijkl"'
TOKEN_ID, TOKEN_SECRET = "a1b2c3d4", "S" * 32
sodium = ctypes.CDLL("libsodium.so.23")
assert sodium.sodium_init() >= 0


def token(id=TOKEN_ID):
    text = f"vb_live_{id}_{TOKEN_SECRET}"
    return f"{text}_{hashlib.blake2b(text.encode(), digest_size=32).hexdigest()[:8]}"


TOKEN = token()


class RelayKey:
    """A key pair, and its public half as the credential relay-key.pub."""

    def __init__(self, lifetime=86400):
        self.public, self.secret = ctypes.create_string_buffer(32), ctypes.create_string_buffer(32)
        signer, signing = ctypes.create_string_buffer(32), ctypes.create_string_buffer(64)
        signature = ctypes.create_string_buffer(64)
        sodium.crypto_box_keypair(self.public, self.secret)
        sodium.crypto_sign_keypair(signer, signing)
        self.kid = hashlib.blake2b(self.public.raw, digest_size=16).digest()[:8].hex()
        not_after = int(time.time()) + lifetime
        message = b"vestibule relay key v1\0" + self.kid.encode() + b"\0" + self.public.raw
        message += struct.pack(">Q", not_after)
        sodium.crypto_sign_detached(signature, None, message, ctypes.c_ulonglong(len(message)), signing)
        self.file = json.dumps({
            "keys": [{"kid": self.kid, "key": base64.b64encode(self.public.raw).decode(),
                      "not_after": not_after, "signature": base64.b64encode(signature.raw).decode()}],
            "signer": base64.b64encode(signer.raw).decode()})

    def open(self, box):
        sealed = base64.b64decode(box)
        plain = ctypes.create_string_buffer(len(sealed) - 48)
        if sodium.crypto_box_seal_open(plain, sealed, ctypes.c_ulonglong(len(sealed)), self.public, self.secret):
            raise ValueError("the box does not open")
        return json.loads(plain.raw)


class FrontKey:
    """What `vestibule-api --make-key` makes: the credential front-key, and the relay client's use of front-key.pub."""

    def __init__(self, program):
        with tempfile.TemporaryDirectory(prefix="api-test-") as folder:
            self.printed = subprocess.run([program, "--make-key", folder], check=True, capture_output=True, text=True).stdout
            self.modes = {name: os.stat(os.path.join(folder, name)).st_mode & 0o777 for name in os.listdir(folder)}
            with open(os.path.join(folder, "front-key")) as f:
                self.file = f.read()
            with open(os.path.join(folder, "front-key.pub")) as f:
                (key,) = json.load(f)["keys"]
        self.kid, self.public = key["kid"], base64.b64decode(key["key"])

    def seal(self, share, number, message, **members):
        plain = json.dumps({"v": 1, "share": share, "number": number, "message": message, **members}).encode()
        box = ctypes.create_string_buffer(len(plain) + 48)
        sodium.crypto_box_seal(box, plain, ctypes.c_ulonglong(len(plain)), self.public)
        return {"kid": self.kid, "box": base64.b64encode(box.raw).decode()}


class StartError(Exception):
    def __init__(self, gateway):
        gateway.errors.seek(0)
        self.status, self.log = gateway.process.returncode, gateway.errors.read()
        gateway.errors.close()
        gateway.socket.close()
        gateway.folder.cleanup()
        super().__init__(f"status {self.status}: {self.log}")


class Gateway:
    """One front process and the other end of its socket."""

    def __init__(self, program, settings=None, sockets=("127.0.0.1:0",), credentials=None, key=None):
        self.key = key or RelayKey()
        self.folder = tempfile.TemporaryDirectory(prefix="api-test-")
        path = self.folder.name
        credential_folder = os.path.join(path, "credentials")
        os.mkdir(credential_folder, 0o700)
        with open(os.open(os.path.join(credential_folder, "relay-key.pub"), os.O_CREAT | os.O_WRONLY, 0o600), "w") as f:
            f.write(self.key.file)
        for name, content in (credentials or {}).items():
            with open(os.open(os.path.join(credential_folder, name), os.O_CREAT | os.O_WRONLY, 0o600), "w") as f:
                f.write(content)
        self.unix = os.path.join(path, "operator.sock")
        listen = [s.replace("unix:", "unix:" + self.unix) for s in sockets]
        self.socket, child = socket.socketpair()
        self.errors = open(os.path.join(path, "stderr"), "w+")
        self.process = subprocess.Popen(
            [program, "--gateway", f"fd:{child.fileno()}"], pass_fds=[child.fileno()], stderr=self.errors,
            env={**{k: v for k, v in os.environ.items() if "SAN_OPTIONS" in k},
                 # What the sanitizer keeps is not what the front holds.
                 "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1",
                 "CREDENTIALS_DIRECTORY": credential_folder})
        child.close()
        self.lock = threading.Lock()
        self.requests, self.forgotten = queue.Queue(), queue.Queue()
        self.handler = None
        hello = self.read()
        assert hello["type"] == "hello" and hello["role"] == "front", hello
        ports = os.path.join(path, "ports")
        self.send({"type": "welcome", "protocol": 1,
                   "settings": {"listen": listen, "port_file": ports, **(settings or {})}})
        deadline = time.monotonic() + 20
        while not os.path.exists(ports):
            if self.process.poll() is not None:
                raise StartError(self)
            assert time.monotonic() < deadline, "the front did not start"
            time.sleep(0.005)
        with open(ports) as f:
            self.ports = [int(line) for line in f]
        self.port = self.ports[0] if self.ports else None
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, error=None, *_):
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.status = self.process.wait(20)
        self.thread.join(20)
        self.socket.close()
        self.errors.seek(0)
        self.log = self.errors.read()
        self.errors.close()
        self.folder.cleanup()
        assert error or self.status == 0, (self.status, self.log)

    def receive(self, n):
        data = b""
        while len(data) < n:
            more = self.socket.recv(n - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def read(self):
        (size,) = struct.unpack(">I", self.receive(4))
        return json.loads(self.receive(size))

    def send(self, frame):
        data = json.dumps(frame).encode()
        with self.lock:
            self.socket.sendall(struct.pack(">I", len(data)) + data)

    def answer(self, frame, status, **members):
        self.send({"type": "answer", "id": frame["id"], "status": status, **members})

    def run(self):
        try:
            while True:
                frame = self.read()
                handler = self.handler
                if frame["type"] == "forget":
                    self.forgotten.put(frame["ask"])
                elif frame["type"] == "tenant.describe" and handler is None:
                    self.describe(frame)
                elif handler is None or handler(frame) is False:
                    self.requests.put(frame)
        except (EOFError, OSError):
            self.requests.put(None)

    def describe(self, frame, **policy):
        self.answer(frame, 200, body={
            "tenant": "adler", "image_prefixes": [],
            "policies": [{"name": "hotel", "class": "hotel", "vertical": "a", "lifetime": 86400,
                          "mailbox_ttl": 7200, **policy}]})

    def next(self, kind):
        frame = self.requests.get(timeout=10)
        assert frame and frame["type"] == kind, frame
        return frame


class Client:
    """One HTTP connection, on its own thread for answers that come later."""

    def __init__(self, gateway):
        self.http = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=15)

    def ask(self, method, path, body=None, headers=None, authorization=f"Bearer {TOKEN}"):
        given = {"Authorization": authorization} if authorization else {}
        if body is not None:
            given["Content-Type"] = "application/json"
            if not isinstance(body, (bytes, str)):
                body = json.dumps(body)
        given.update(headers or {})
        self.http.request(method, path, body, {k: v for k, v in given.items() if v is not None})
        return self.read()

    def read(self):
        response = self.http.getresponse()
        data = response.read()
        response.json = json.loads(data) if data and "json" in (response.getheader("Content-Type") or "") else None
        response.text = data.decode()
        return response

    def later(self, *arguments, **options):
        result = queue.Queue()

        def run():
            try:
                result.put(self.ask(*arguments, **options))
            except Exception as error:
                result.put(error)

        threading.Thread(target=run, daemon=True).start()
        return lambda: result.get(timeout=15)


def share_body(**members):
    body = {
        "policy": "hotel",
        "sender": {"name": "Hotel Adler"},
        "recipient": {"addresses": ["xmpp:Bob@Example.org", "sms:+4915112345678"], "name": "Bob",
                      "locale": "de", "time_zone": "Europe/Berlin"},
        "credential": {"title": "Room key", "description": "Hotel Adler",
                       "image_url": "https://hotel.example/key.png"},
        "provisioning": {"format": "digitalwallet.generic.authorizationToken", "content": {"token": "marker-9f3a"}},
        "expires_at": "2036-11-24T12:00:00Z",
        "reference": "booking-4711",
    }
    body.update(members)
    return {k: v for k, v in body.items() if v is not None}


def share_answer(**members):
    return {"id": SHARE, "state": "pending", "version": 1, "policy": "hotel", "tag": "7KQ4",
            "attempts_left": 3, "timeline": [], "delivery": [], **members}


def post_share(client, body=None, **headers):
    return client.later("POST", "/v1/shares", body if body is not None else share_body(),
                        headers={"Idempotency-Key": KEY, **headers})


def expect_problem(response, status, name):
    assert response.status == status, (response.status, response.text)
    assert response.getheader("Content-Type") == "application/problem+json", response.headers.items()
    assert response.json["type"] == "urn:vestibule:problem:" + name, response.json
    assert response.json["status"] == status and response.json["title"] and response.json["detail"]
    return response


def start(**options):
    return Gateway(PROGRAM, **options)


# The tests. Their names state the promise.


def a_share_is_sealed_and_its_content_is_not_passed_on_in_clear():
    with start() as g:
        answer = post_share(Client(g))
        frame = g.next("share.create")
        assert frame["credential"] == {"token": TOKEN_ID, "hash": base64.b64encode(
            hashlib.blake2b(TOKEN_SECRET.encode(), digest_size=32).digest()).decode()}
        assert "provisioning" not in frame["body"] and "marker-9f3a" not in json.dumps(frame)
        addresses = ["xmpp:bob@example.org", "sms:+4915112345678"]
        assert frame["body"]["recipient"]["addresses"] == addresses
        recipients = hashlib.blake2b("".join(a + "\n" for a in addresses).encode(), digest_size=32).digest()
        sealed = frame["sealed"]
        envelope = g.key.open(sealed["box"])
        assert envelope["provisioning"] == share_body()["provisioning"]
        assert envelope["v"] == 1 and envelope["tenant"] == "adler"
        for member in ("nonce", "recipients", "class", "not_after"):
            assert envelope[member] == sealed[member], member
        assert sealed["kid"] == g.key.kid and sealed["class"] == "hotel"
        assert base64.b64decode(sealed["recipients"]) == recipients
        assert len(base64.b64decode(sealed["nonce"])) == 16
        assert sealed["not_after"] == 2111140800 + 7200 + 3600, sealed["not_after"]
        g.answer(frame, 201, body=share_answer(code="123-456-786"))
        response = answer()
        assert response.status == 201 and response.json["code"] == "123-456-786"
        assert response.getheader("Location") == "/v1/shares/" + SHARE
        assert response.getheader("ETag") == '"1"'
        assert response.getheader("Cache-Control") == "no-store"
        assert response.getheader("X-Content-Type-Options") == "nosniff"
        assert response.getheader("Idempotency-Replayed") is None


def recipients_hash(*texts):
    return base64.b64encode(
        hashlib.blake2b("".join(t + "\n" for t in texts).encode(), digest_size=32).digest()).decode()


def what_the_tenant_sealed_is_passed_on_with_what_the_gateway_can_compare():
    with start() as g:
        box = base64.b64encode(os.urandom(200)).decode()
        answer = post_share(Client(g), share_body(provisioning={"sealed": {"kid": g.key.kid, "box": box}}))
        frame = g.next("share.create")
        assert frame["sealed"] == {
            "kid": g.key.kid, "box": box, "class": "hotel",
            "recipients": recipients_hash("xmpp:bob@example.org", "sms:+4915112345678")}, frame["sealed"]
        assert "provisioning" not in frame["body"] and "encrypted" not in frame and "mint" not in frame
        g.answer(frame, 201, body=share_answer())
        assert answer().status == 201


def a_box_for_a_key_that_is_not_ours_or_whose_time_has_passed_is_refused():
    box = base64.b64encode(os.urandom(200)).decode()
    with start() as g:
        body = share_body(provisioning={"sealed": {"kid": RelayKey().kid, "box": box}})
        response = expect_problem(post_share(Client(g), body)(), 422, "unknown-key")
        assert response.json["member"] == "provisioning.sealed.kid" and "/v1/keys" in response.json["detail"]
        path = f"/v1/shares/{SHARE}/messages"
        response = Client(g).ask("POST", path, {"provisioning": body["provisioning"]}, headers={"Idempotency-Key": KEY})
        expect_problem(response, 422, "unknown-key")
        assert g.requests.empty()
    with start(key=RelayKey(lifetime=-5)) as g:
        for provisioning, status, name in (({"sealed": {"kid": g.key.kid, "box": box}}, 422, "unknown-key"),
                                           ({"format": "f", "content": {}}, 503, "gateway-unavailable")):
            expect_problem(post_share(Client(g), share_body(provisioning=provisioning))(), status, name)
        assert g.requests.empty()


def what_the_tenant_encrypted_is_sealed_as_it_is():
    with start() as g:
        encrypted = {"type": "AEAD_AES_256_GCM", "data": base64.b64encode(os.urandom(30000)).decode()}
        given = {**encrypted, "data": encrypted["data"].replace("+", "-").replace("/", "_").rstrip("=")}
        answer = post_share(Client(g), share_body(provisioning={"encrypted": given}))
        frame = g.next("share.create")
        assert frame["encrypted"] is True and encrypted["data"][:60] not in json.dumps(frame)
        envelope = g.key.open(frame["sealed"]["box"])
        assert envelope["provisioning"] == {"encrypted": encrypted} and envelope["nonce"] == frame["sealed"]["nonce"]
        g.answer(frame, 201, body=share_answer())
        assert answer().status == 201


def what_is_to_be_minted_is_named_and_nothing_is_sealed():
    with start() as g:
        url = "https://keys.adler.example/mint?a=b"
        answer = post_share(Client(g), share_body(provisioning={"mint": url}))
        frame = g.next("share.create")
        assert frame["mint"] == url and frame["class"] == "hotel" and "sealed" not in frame
        assert frame["recipients"] == recipients_hash("xmpp:bob@example.org", "sms:+4915112345678")
        g.answer(frame, 422, problem={"type": "not-registered", "title": "t", "detail": "d"})
        expect_problem(answer(), 422, "not-registered")


def claims_are_passed_on_in_one_spelling():
    with start() as g:
        answer = post_share(Client(g), share_body(claims=["0000000A-0000-4000-8000-00000000000B"]))
        frame = g.next("share.create")
        assert frame["body"]["claims"] == ["0000000a-0000-4000-8000-00000000000b"], frame["body"]
        g.answer(frame, 201, body=share_answer())
        assert answer().status == 201


def send_message(client, provisioning, **headers):
    return client.later("POST", f"/v1/shares/{SHARE}/messages", {"provisioning": provisioning},
                        headers={"Idempotency-Key": KEY, **headers})


def a_further_message_is_sealed_to_its_share():
    with start() as g:
        content = {"format": "digitalwallet.carkey.ccc", "content": {"data": "marker-9f3a"}}
        answer = send_message(Client(g), content)
        frame = g.next("message.add")
        assert set(frame) == {"type", "id", "credential", "share", "idempotency", "sealed"}, frame
        assert frame["share"] == SHARE and frame["idempotency"]["key"] == KEY.strip('"')
        sealed = frame["sealed"]
        envelope = g.key.open(sealed["box"])
        assert envelope.pop("provisioning") == content and "marker-9f3a" not in json.dumps(frame)
        assert envelope == {"v": 1, "tenant": "adler", "nonce": sealed["nonce"], "class": "message",
                            "recipients": recipients_hash(SHARE), "not_after": sealed["not_after"]}
        assert {m: sealed[m] for m in ("class", "recipients")} == {m: envelope[m] for m in ("class", "recipients")}
        assert abs(sealed["not_after"] - time.time() - 67 * 3600) < 20, "it must outlive every mailbox"
        told = {"number": 2, "from": "initiator", "state": "queued", "at": "2026-11-22T12:00:00Z"}
        g.answer(frame, 202, body=told, replayed=True)
        response = answer()
        assert response.status == 202 and response.json == told and response.getheader("Idempotency-Replayed") == "true"


def a_further_message_may_be_sealed_or_encrypted_by_the_tenant_but_not_minted():
    with start() as g:
        client = Client(g)
        box = base64.b64encode(os.urandom(200)).decode()
        answer = send_message(client, {"sealed": {"kid": g.key.kid, "box": box}})
        frame = g.next("message.add")
        assert frame["sealed"] == {"kid": g.key.kid, "box": box, "recipients": recipients_hash(SHARE), "class": "message"}
        g.answer(frame, 409, problem={"type": "not-your-turn", "title": "t", "detail": "d"})
        expect_problem(answer(), 409, "not-your-turn")
        encrypted = {"type": "AEAD_AES_128_GCM", "data": base64.b64encode(os.urandom(60)).decode()}
        answer = send_message(client, {"encrypted": encrypted})
        frame = g.next("message.add")
        assert frame["encrypted"] is True
        assert g.key.open(frame["sealed"]["box"])["provisioning"] == {"encrypted": encrypted}
        g.answer(frame, 202, body={})
        assert answer().status == 202
        problem = expect_problem(send_message(client, {"mint": "https://x.example/"})(), 422, "unknown-member")
        assert problem.json["member"] == "provisioning.mint"
        expect_problem(send_message(client, {"format": "f", "content": {}}, **{"Idempotency-Key": None})(), 400,
                       "idempotency-key-missing")
        expect_problem(client.ask("POST", f"/v1/shares/{SHARE}/messages", headers={"Idempotency-Key": KEY}), 415,
                       "unsupported-media-type")
        assert g.requests.empty()


def a_further_message_is_sealed_anew_when_the_gateway_calls_it_stale():
    with start() as g:
        answer = send_message(Client(g), {"format": "f", "content": {}})
        stale = {"type": "stale-envelope", "title": "t", "detail": "d"}
        first = g.next("message.add")
        g.answer(first, 409, problem=stale)
        second = g.next("message.add")
        assert second["sealed"]["nonce"] != first["sealed"]["nonce"] and second["idempotency"] == first["idempotency"]
        g.answer(second, 409, problem=stale)
        expect_problem(answer(), 409, "stale-envelope")


def messages_of(g, messages, query="", **members):
    answer = Client(g).later("GET", f"/v1/shares/{SHARE}/messages{query}")
    frame = g.next("message.list")
    g.answer(frame, 200, body={"messages": messages, **members})
    return frame, answer()


def message(number, **members):
    return {"number": number, "from": "recipient" if number % 2 else "initiator",
            "state": "received" if number % 2 else "accepted", "at": "2026-11-22T12:00:00Z", **members}


def what_the_recipient_answered_is_opened_for_the_tenant():
    key = FrontKey(PROGRAM)
    written = {"format": "digitalwallet.carkey.ccc", "content": {"data": ["marker-9f3a", 1, None]}}
    encrypted = {"type": "AEAD_AES_128_GCM", "data": base64.b64encode(os.urandom(60)).decode()}
    with start(credentials={"front-key": key.file}) as g:
        frame, response = messages_of(g, [message(1, box=key.seal(SHARE, 1, written)), message(2),
                                          message(3, encrypted=encrypted)], query="?after=0&limit=10")
        assert frame["share"] == SHARE and frame["after"] == 0 and frame["limit"] == 10
        assert response.status == 200 and response.getheader("Cache-Control") == "no-store"
        assert response.json == {"messages": [message(1, provisioning=written), message(2),
                                              message(3, provisioning={"encrypted": encrypted})]}, response.text
    assert "marker-9f3a" not in g.log


def what_cannot_be_shown_says_why():
    key, other = FrontKey(PROGRAM), FrontKey(PROGRAM)
    written = {"format": "f", "content": {"a": "marker-9f3a"}}
    good = key.seal(SHARE, 1, written)
    damaged = {**good, "box": good["box"][:-8] + "AAAAAAA="}
    elsewhere = SHARE[:-1] + "b"
    with start(credentials={"front-key": key.file}) as g:
        for given, reason in (
                (message(1, box=other.seal(SHARE, 1, written)), "unknown-key"),
                (message(1, box=damaged), "damaged"),
                (message(1, box={**good, "box": "*"}), "damaged"),
                (message(1, box=key.seal(SHARE, 1, written, v=2)), "damaged"),
                (message(1, box=key.seal(SHARE, 1, {"format": "f"})), "damaged"),
                (message(1, box=key.seal(elsewhere, 1, written)), "differs"),
                (message(1, box=key.seal(SHARE, 3, written)), "differs")):
            shown = messages_of(g, [given])[1].json["messages"]
            given.pop("box", None)
            assert shown == [{**given, "readable": False, "reason": reason}], (shown, reason)
    assert "marker-9f3a" not in g.log and g.log.count("another share or number") == 2, g.log
    with start() as g:
        (shown,) = messages_of(g, [message(1, box=good)])[1].json["messages"]
        assert shown == message(1, readable=False, reason="no-key"), shown


def the_next_messages_are_found_by_a_link():
    with start() as g:
        _, response = messages_of(g, [message(4), message(5)], query="?after=3&limit=2", cursor="x")
        assert response.json["cursor"] == 5
        assert response.getheader("Link") == f'</v1/shares/{SHARE}/messages?after=5&limit=2>; rel="next"'
        _, response = messages_of(g, [message(4)], cursor="x")
        assert response.getheader("Link") == f'</v1/shares/{SHARE}/messages?after=4>; rel="next"'
        _, response = messages_of(g, [])
        assert response.json == {"messages": []} and response.getheader("Link") is None


def a_list_of_messages_that_is_none_is_an_internal_error():
    with start() as g:
        for body in ({}, {"messages": {}}, {"messages": [1]}, {"messages": [{"number": 1}]},
                     {"messages": [message(1, box={"kid": 1})]}):
            answer = Client(g).later("GET", f"/v1/shares/{SHARE}/messages")
            g.answer(g.next("message.list"), 200, body=body)
            expect_problem(answer(), 500, "internal")
        answer = Client(g).later("GET", f"/v1/shares/{SHARE}/messages")
        g.answer(g.next("message.list"), 404, problem={"type": "not-found", "title": "t", "detail": "d"})
        expect_problem(answer(), 404, "not-found")


def the_fronts_key_is_made_with_directions():
    key = FrontKey(PROGRAM)
    assert key.modes == {"front-key": 0o600, "front-key.pub": 0o640}, key.modes
    for text in ("/front-key ", "/front-key.pub ", "/etc/credstore/vestibule.front-NAME.key",
                 "/etc/credstore/vestibule.front-key.pub", key.kid):
        assert text in key.printed, (text, key.printed)
    try:
        start(credentials={"front-key": key.file[:-9]}).__exit__()
        raise AssertionError("a damaged key was accepted")
    except StartError as error:
        assert error.status == 78 and "vestibule-api --make-key" in error.log, (error.status, error.log)


def without_expiry_the_envelope_lives_the_policys_time():
    with start() as g:
        answer = post_share(Client(g), share_body(expires_at=None))
        frame = g.next("share.create")
        left = frame["sealed"]["not_after"] - time.time()
        assert abs(left - (86400 + 7200 + 3600)) < 20, left
        g.answer(frame, 201, body=share_answer())
        assert answer().status == 201


def the_idempotency_digest_is_over_method_path_and_body():
    with start() as g:
        body = json.dumps(share_body())
        answer = post_share(Client(g), body)
        frame = g.next("share.create")
        digest = hashlib.blake2b(b"POST\0/v1/shares\0" + body.encode() + b"\0", digest_size=32).digest()
        assert frame["idempotency"] == {"key": KEY.strip('"'), "digest": base64.b64encode(digest).decode()}
        g.answer(frame, 201, body=share_answer(), replayed=True)
        assert answer().getheader("Idempotency-Replayed") == "true"


def the_gateways_refusals_pass_through():
    with start() as g:
        client = Client(g)
        answer = post_share(client)
        g.answer(g.next("share.create"), 422, problem={
            "type": "idempotency-key-reused", "title": "Reused", "status": 422, "detail": "Make a new key."})
        expect_problem(answer(), 422, "idempotency-key-reused")
        answer = post_share(client)
        g.answer(g.next("share.create"), 429, retry_after=17, problem={
            "type": "urn:vestibule:problem:rate-limited", "title": "t", "status": 429, "detail": "Wait."})
        assert expect_problem(answer(), 429, "rate-limited").getheader("Retry-After") == "17"
        answer = client.later("GET", "/v1/channels", authorization=None)
        frame = g.next("channel.list")
        assert frame["credential"] == {}
        g.answer(frame, 401, problem={"type": "unauthenticated", "title": "t", "detail": "d"})
        assert expect_problem(answer(), 401, "unauthenticated").getheader("WWW-Authenticate").startswith("Bearer")


def what_the_gateway_says_of_a_tenant_is_remembered_for_that_credential_only():
    described = []
    with start() as g:
        def handler(frame):
            if frame["type"] != "tenant.describe":
                return False
            described.append(frame["credential"])
            g.describe(frame)

        g.handler = handler
        client = Client(g)
        for _ in range(2):
            answer = post_share(client)
            g.answer(g.next("share.create"), 201, body=share_answer())
            assert answer().status == 201
        assert len(described) == 1, described
        answer = client.later("GET", "/v1/keys", authorization=None)
        assert answer().status == 200
        assert described[1:] == [{}]


def a_stale_view_is_renewed_once():
    mailbox_ttl = [100]
    with start() as g:
        def handler(frame):
            if frame["type"] != "tenant.describe":
                return False
            g.describe(frame, mailbox_ttl=mailbox_ttl[0])

        g.handler = handler
        answer = post_share(Client(g))
        stale = {"type": "stale-envelope", "title": "t", "detail": "d"}
        first = g.next("share.create")
        mailbox_ttl[0] = 200
        g.answer(first, 409, problem=stale)
        second = g.next("share.create")
        assert second["sealed"]["not_after"] - first["sealed"]["not_after"] == 100
        assert second["sealed"]["nonce"] != first["sealed"]["nonce"]
        assert second["idempotency"] == first["idempotency"]
        g.answer(second, 409, problem=stale)
        expect_problem(answer(), 409, "stale-envelope")


def an_unknown_policy_is_refused():
    with start() as g:
        expect_problem(post_share(Client(g), share_body(policy="castle"))(), 422, "unknown-policy")


def a_refused_tenant_is_not_asked_for_more():
    with start() as g:
        g.handler = lambda frame: False
        answer = post_share(Client(g))
        g.answer(g.next("tenant.describe"), 403, problem={"type": "forbidden", "title": "t", "detail": "d"})
        expect_problem(answer(), 403, "forbidden")
        assert g.requests.empty()


def bad_bodies_are_refused_and_never_reach_the_gateway():
    def with_recipient(**members):
        return share_body(recipient={**share_body()["recipient"], **members})

    good = json.dumps(share_body())
    deep = {"x": 1}
    for _ in range(9):
        deep = {"d": deep}
    provisioning = {"format": "f", "content": {}}
    table = [
        ("", 400, "invalid-json", None),
        ("{", 400, "invalid-json", None),
        ("[]", 400, "invalid-json", None),
        (good + "x", 400, "invalid-json", None),
        (good[:-1] + ', "policy": "hotel"}', 400, "invalid-json", None),
        (good.replace("Bob", "Bo\\ud800b", 1), 400, "invalid-json", None),
        (good.encode().replace(b"Room key", b"Room \xff"), 400, "invalid-json", None),
        (good.replace("Room key", "Room \\u0000"), 400, "invalid-json", None),
        (share_body(provisioning={"format": "f", "content": deep}), 400, "invalid-json", None),
        (share_body(provisioning={"format": "f", "content": {str(n): n for n in range(65)}}), 400,
         "invalid-json", None),
        (share_body(colour="red"), 422, "unknown-member", "colour"),
        (with_recipient(phone="1"), 422, "unknown-member", "recipient.phone"),
        (share_body(provisioning={**provisioning, "secret": "s"}), 422, "unknown-member", "provisioning.secret"),
        (share_body(policy=None), 422, "missing-member", "policy"),
        (share_body(recipient=None), 422, "missing-member", "recipient"),
        (share_body(provisioning={"format": "f"}), 422, "missing-member", "provisioning.content"),
        (share_body(policy=7), 422, "invalid-member", "policy"),
        (share_body(sender="me"), 422, "invalid-member", "sender"),
        (with_recipient(addresses=[]), 422, "invalid-member", "recipient.addresses"),
        (with_recipient(addresses=[f"xmpp:a{n}@example.org" for n in range(6)]), 422, "invalid-member",
         "recipient.addresses"),
        (with_recipient(addresses=["xmpp:a@example.org", "xmpp:A@EXAMPLE.org"]), 422, "invalid-address",
         "recipient.addresses"),
        (with_recipient(addresses=["xmpp:a@example.org", "bob"]), 422, "invalid-address", "recipient.addresses[1]"),
        (with_recipient(addresses=["xmpp:a@example.org/phone"]), 422, "invalid-address", "recipient.addresses[0]"),
        (with_recipient(addresses=[5]), 422, "invalid-address", "recipient.addresses[0]"),
        (with_recipient(name="B\u202eob"), 422, "invalid-member", "recipient.name"),
        (with_recipient(locale="german language"), 422, "invalid-member", "recipient.locale"),
        (with_recipient(time_zone="../../etc/passwd"), 422, "invalid-member", "recipient.time_zone"),
        (share_body(expires_at="tomorrow"), 422, "invalid-member", "expires_at"),
        (share_body(reference="x" * 129), 422, "invalid-member", "reference"),
        (share_body(credential={"title": "x" * 129}), 422, "invalid-member", "credential.title"),
        (share_body(credential={"title": "a\nb"}), 422, "invalid-member", "credential.title"),
        (share_body(credential={"title": "t", "image_url": "http://x.example/"}), 422, "invalid-member",
         "credential.image_url"),
        (share_body(provisioning={"format": "f", "content": "text"}), 422, "invalid-member", "provisioning.content"),
        (share_body(provisioning={}), 422, "missing-member", "provisioning"),
        (share_body(provisioning={**provisioning, "mint": "https://x.example/"}), 422, "invalid-member", "provisioning"),
        (share_body(provisioning={"sealed": {"kid": "k", "box": "b"}}), 422, "invalid-member", "provisioning.sealed.kid"),
        (share_body(provisioning={"encrypted": {"type": "AES128", "data": "A" * 40}}), 422, "invalid-member",
         "provisioning.encrypted.type"),
        (share_body(provisioning={"mint": "http://x.example/"}), 422, "invalid-member", "provisioning.mint"),
        (share_body(claims=["x"]), 422, "invalid-member", "claims"),
        (share_body(provisioning={"format": "f", "content": {"a": "x" * 32768}}), 413, "too-large",
         "provisioning.content"),
        (good + " " * 57344, 413, "too-large", None),
        (good + " " * 300000, 413, "too-large", None),
    ]
    with start() as g:
        client = Client(g)
        for body, status, name, member in table:
            response = expect_problem(post_share(client, body)(), status, name)
            assert response.json.get("member") == member, response.json
        assert g.requests.empty()


def content_of_exactly_32_kib_is_taken():
    with start() as g:
        content = {"a": "x" * (32768 - len('{"a": ""}'))}  # as post_share() writes it
        body = share_body(provisioning={"format": "f", "content": content})
        answer = post_share(Client(g), body)
        frame = g.next("share.create")
        assert g.key.open(frame["sealed"]["box"])["provisioning"]["content"] == content
        g.answer(frame, 201, body=share_answer())
        assert answer().status == 201


def other_media_types_are_refused():
    with start() as g:
        client = Client(g)
        for content_type in ("text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1",
                             "application/jsonx", None):
            answer = post_share(client, json.dumps(share_body()).encode(), **{"Content-Type": content_type})
            expect_problem(answer(), 415, "unsupported-media-type")
        answer = post_share(client, share_body(), **{"Content-Type": "application/json;charset=UTF-8"})
        g.answer(g.next("share.create"), 201, body=share_answer())
        assert answer().status == 201


def idempotency_keys_are_read_in_both_forms():
    with start() as g:
        client = Client(g)
        expect_problem(post_share(client, **{"Idempotency-Key": None})(), 400, "idempotency-key-missing")
        for bad in ('"short"', "short", '"no end of this string', '"a" and more after it....', "k" * 129,
                    '"' + "k" * 129 + '"', "with spaces with spaces with", '"bad \\escape of a string"', ""):
            expect_problem(post_share(client, **{"Idempotency-Key": bad})(), 400, "idempotency-key-invalid")
        for given, key in (('"0123456789abcdefghijkl"', "0123456789abcdefghijkl"),
                           ("0123456789abcdefghijkl", "0123456789abcdefghijkl"),
                           ('"0123456789 \\"abc\\\\efghijkl"', '0123456789 "abc\\efghijkl')):
            answer = post_share(client, **{"Idempotency-Key": given})
            frame = g.next("share.create")
            assert frame["idempotency"]["key"] == key
            g.answer(frame, 201, body=share_answer())
            assert answer().status == 201


def every_post_honours_an_idempotency_key():
    with start() as g:
        client = Client(g)
        for path, kind, member, value in (
                (f"/v1/shares/{SHARE}/cancel", "share.cancel", "share", SHARE),
                (f"/v1/shares/{SHARE}/resend", "share.resend", "share", SHARE),
                (f"/v1/letters/msg_{SHARE[4:]}/replay", "letter.replay", "message", "msg_" + SHARE[4:]),
                (f"/v1/letters/msg_{SHARE[4:]}/drop", "letter.drop", "message", "msg_" + SHARE[4:]),
                (f"/v1/blocks/blk_{SHARE[4:]}/lift", "block.lift", "block", "blk_" + SHARE[4:]),
                (f"/v1/limits/cnt_{SHARE[4:]}/clear", "limit.clear", "counter", "cnt_" + SHARE[4:]),
                ("/v1/clock/accept", "clock.accept", None, None)):
            answer = client.later("POST", path, headers={"Idempotency-Key": KEY})
            frame = g.next(kind)
            assert frame["idempotency"]["key"] == KEY.strip('"') and (not member or frame[member] == value), frame
            g.answer(frame, 202 if "cancel" in path else 200, body={})
            assert answer().status in (200, 202)
            answer = client.later("POST", path, {})
            frame = g.next(kind)
            assert "idempotency" not in frame
            g.answer(frame, 200, body={})
            assert answer().status == 200
            expect_problem(client.ask("POST", path, {"force": True}), 422, "unknown-member")


def a_verb_with_members_is_passed_on_with_those_alone():
    with start() as g:
        client = Client(g)
        expiry, lift = f"/v1/shares/{SHARE}/expiry", "/v1/blocks/lift"
        for path, kind, body, passed in (
                (expiry, "share.expiry", {"expires_at": "2026-11-24T12:00:00+01:00"}, None),
                (lift, "block.lift_address", {"address": "xmpp:B%6Fb@Example.org"}, {"address": "xmpp:bob@example.org"}),
                (lift, "block.lift_address", {"address": "sms:+4915112345678", "tenant": "adler"}, None),
                ("/v1/limits/show", "limit.show_address", {"address": "echo:bob"}, None),
                ("/v1/limits/clear", "limit.clear_address", {"address": "echo:bob", "tenant": "adler"}, None)):
            answer = client.later("POST", path, body, headers={"Idempotency-Key": KEY})
            frame = g.next(kind)
            assert frame["body"] == (passed or body) and frame["idempotency"]["key"] == KEY.strip('"'), frame
            g.answer(frame, 200, body={})
            assert answer().status == 200
        for path, body, status, problem in (
                (expiry, None, 422, "missing-member"), (expiry, {}, 422, "missing-member"),
                (expiry, {"expires_at": 7}, 422, "invalid-member"), (expiry, {"expires_at": "soon"}, 422, "invalid-member"),
                (expiry, {"expires_at": "2026-11-24T12:00:00Z", "x": 1}, 422, "unknown-member"),
                (lift, {"tenant": "adler"}, 422, "missing-member"), (lift, {"address": ""}, 422, "invalid-member"),
                (lift, {"address": "bob@example.org"}, 422, "invalid-address"),
                (lift, {"address": "sms:0151"}, 422, "invalid-address"),
                (lift, {"address": "sms:+4915112345678", "tenant": "t" * 65}, 422, "invalid-member")):
            expect_problem(client.ask("POST", path, body), status, problem)
        assert g.requests.empty()


def paths_and_methods_that_are_not_there():
    with start() as g:
        client = Client(g)
        for path in ("/", "/v1/shares/", f"/v1/shares/{SHARE}/", f"/v1/shares/{SHARE[:-1]}", "/v1/shares/shr_../..",
                     f"/v1/shares/{SHARE.upper()}", f"/v1/shares/%73{SHARE[1:]}", "/v1/share", "/V1/shares",
                     f"/v1/shares/msg_{SHARE[4:]}", "//v1/shares"):
            expect_problem(client.ask("GET", path), 404, "not-found")
        for method, path, allow in (("DELETE", "/v1/shares", "GET, HEAD, POST"), ("PUT", f"/v1/shares/{SHARE}", "GET, HEAD"),
                                    ("GET", f"/v1/shares/{SHARE}/cancel", "POST"), ("POST", "/healthz", "GET, HEAD"),
                                    ("OPTIONS", "/v1/keys", "GET, HEAD")):
            response = expect_problem(client.ask(method, path), 405, "method-not-allowed")
            assert response.getheader("Allow") == allow, response.getheader("Allow")
        assert g.requests.empty()


def queries_are_read_strictly():
    with start() as g:
        client = Client(g)
        for path in (f"/v1/shares/{SHARE}?after=x", f"/v1/shares/{SHARE}?wait=61", f"/v1/shares/{SHARE}?wait=-1",
                     f"/v1/shares/{SHARE}?limit=1", "/v1/shares?limit=0", "/v1/shares?limit=101",
                     "/v1/shares?limit=1&limit=1", "/v1/shares?colour=red", "/v1/shares?reference=%ff",
                     "/v1/shares?reference=%0a", "/v1/shares?reference=%4", "/v1/shares?state=", "/v1/shares?state",
                     f"/v1/shares/{SHARE}/messages?after=x", f"/v1/shares/{SHARE}/messages?wait=1",
                     f"/v1/shares/{SHARE}/messages?limit=0", "/v1/channels?x=1", "/healthz?x", f"/v1/shares?cursor={'c' * 513}"):
            expect_problem(client.ask("GET", path), 400, "invalid-query")
        assert g.requests.empty()
        answer = client.later("GET", "/v1/shares?state=invited&reference=booking+47%2F11%C3%A9&limit=2&cursor=abc%3D")
        frame = g.next("share.list")
        assert (frame["state"], frame["reference"], frame["limit"], frame["cursor"]) == (
            "invited", "booking 47/11\u00e9", 2, "abc="), frame
        g.answer(frame, 200, body={"shares": [], "cursor": "n+1/="})
        assert answer().getheader("Link") == (
            "</v1/shares?cursor=n%2B1%2F%3D&reference=booking%2047%2F11%C3%A9&state=invited&limit=2>; rel=\"next\"")


def a_share_has_an_etag_and_head_has_no_body():
    with start() as g:
        client = Client(g)
        for method, headers, status in (("GET", {}, 200), ("HEAD", {}, 200), ("GET", {"If-None-Match": '"7"'}, 304),
                                        ("GET", {"If-None-Match": '"6"'}, 200)):
            answer = client.later(method, f"/v1/shares/{SHARE}", headers=headers)
            g.answer(g.next("share.get"), 200, body=share_answer(version=7))
            response = answer()
            assert response.status == status and response.getheader("ETag") == '"7"', response.status
            assert bool(response.text) == (method == "GET" and status == 200)
        assert "wait" not in response.json


def answers_find_their_requests_in_any_order():
    with start() as g:
        answers, frames = [], []
        for n in range(20):
            answers.append((n, Client(g).later("GET", f"/v1/shares?limit={n + 1}")))
        for _ in answers:
            frames.append(g.next("share.list"))
        for frame in sorted(frames, key=lambda f: hashlib.md5(str(f["limit"]).encode()).digest()):
            g.answer(frame, 200, body={"shares": [], "limit": frame["limit"]})
        for n, answer in answers:
            assert answer().json["limit"] == n + 1


def a_long_poll_waits_without_holding_others():
    with start() as g:
        answer = Client(g).later("GET", f"/v1/shares/{SHARE}?after=3&wait=60")
        frame = g.next("share.get")
        assert frame["after"] == 3 and frame["wait"] == 60 and frame["share"] == SHARE
        assert Client(g).ask("GET", "/healthz").json == {"status": "alive"}
        g.answer(frame, 200, body=share_answer(version=4))
        assert answer().json["version"] == 4


def a_client_that_leaves_a_long_poll_is_forgotten():
    with start() as g:
        before = descriptors(g)
        raw = socket.create_connection(("127.0.0.1", g.port))
        raw.sendall(f"GET /v1/shares/{SHARE}?wait=60 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        frame = g.next("share.get")
        assert descriptors(g) == before + 1
        raw.close()
        deadline = time.monotonic() + 10
        while descriptors(g) > before:
            assert time.monotonic() < deadline, "the connection was kept"
        g.answer(frame, 200, body=share_answer())
        assert Client(g).ask("GET", "/healthz").status == 200


def descriptors(g):
    return len(os.listdir(f"/proc/{g.process.pid}/fd"))


def a_client_that_leaves_before_its_answer_harms_nobody():
    with start() as g:
        for _ in range(50):
            raw = socket.create_connection(("127.0.0.1", g.port))
            raw.sendall(b"GET /v1/channels HTTP/1.1\r\nHost: x\r\n\r\n")
            frame = g.next("channel.list")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raw.close()
            g.answer(frame, 200, body={"channels": []})
        assert Client(g).ask("GET", "/healthz").status == 200


def when_the_gateway_goes_the_waiting_are_told_to_come_again():
    with start() as g:
        answers = [Client(g).later("GET", f"/v1/shares/{SHARE}?wait=60"), post_share(Client(g))]
        kinds = {g.requests.get(timeout=10)["type"] for _ in answers}
        assert kinds == {"share.get", "share.create"}
        g.socket.shutdown(socket.SHUT_RDWR)
        for answer in answers:
            assert int(expect_problem(answer(), 503, "gateway-unavailable").getheader("Retry-After")) > 0
        assert g.process.wait(10) == 0


def a_gateway_that_answers_nonsense_is_an_internal_error():
    with start() as g:
        answer = Client(g).later("GET", "/v1/channels")
        g.answer(g.next("channel.list"), 7)
        expect_problem(answer(), 500, "internal")
        answer = Client(g).later("GET", "/v1/channels")
        frame = g.next("channel.list")
        g.send({"type": "unsupported", "id": frame["id"]})
        expect_problem(answer(), 422, "not-available")


def health_is_told_by_part():
    parts = [{"name": "xmpp", "up": True, "detail": ""}, {"name": "relay main", "up": False, "detail": "d"}]
    with start() as g:
        client = Client(g)
        for up, status in ((False, 503), (True, 200)):
            parts[1]["up"] = up
            answer = client.later("GET", "/readyz", authorization=None)
            frame = g.next("health")
            g.answer(frame, 200, body={"status": "s", "parts": parts})
            response = answer()
            assert response.status == status and response.json["parts"] == parts
        answer = client.later("GET", "/metrics", authorization=None)
        g.answer(g.next("health"), 200, body={"parts": parts, "counters": {"shares_created": 12, 'x"} 1\n': 3}})
        response = answer()
        assert response.getheader("Content-Type").startswith("application/openmetrics-text")
        lines = response.text.splitlines()
        assert 'vestibule_part_up{part="relay_main"} 1' in lines and "vestibule_shares_created_total 12" in lines
        assert "vestibule_x___1__total 3" in lines and lines[-1] == "# EOF", lines


def the_description_of_the_api_is_served():
    with start() as g:
        response = Client(g).ask("GET", "/openapi.yaml", authorization=None)
        assert response.status == 200 and response.text.startswith("openapi: 3.1"), response.text[:80]


def keys_are_shown_to_tenants():
    with start() as g:
        response = Client(g).ask("GET", "/v1/keys")
        want = json.loads(g.key.file)
        assert response.json["keys"][0]["kid"] == g.key.kid and response.json["signer"] == want["signer"]
        assert response.json["keys"][0]["key"] == want["keys"][0]["key"]
        assert response.json["keys"][0]["not_after"].endswith("Z")
        assert response.json["tenant"] == "adler", "who seals must know to whom the envelope belongs"


def malformed_tokens_are_refused_at_once():
    with start() as g:
        client = Client(g)
        for bad in ("Bearer", "Bearer x", f"Basic {TOKEN}", f"Bearer {TOKEN[:-1]}x", f"Bearer {TOKEN}x", TOKEN):
            response = expect_problem(client.ask("GET", "/v1/channels", authorization=bad), 401, "unauthenticated")
            assert response.getheader("WWW-Authenticate")
        assert g.requests.empty()


def a_unix_client_is_known_by_its_socket():
    with start(sockets=("127.0.0.1:0", "unix:")) as g:
        for authorization, expected in (
                ("", {"uid": os.getuid(), "gid": os.getgid(), "pid": os.getpid(), "groups": sorted(os.getgroups())}),
                (f"Authorization: Bearer {TOKEN}\r\n", None)):
            raw = socket.socket(socket.AF_UNIX)
            raw.settimeout(10)
            raw.connect(g.unix)
            raw.sendall(f"GET /v1/letters HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{authorization}\r\n".encode())
            frame = g.next("letter.list")
            assert (frame["credential"] == expected) if expected else frame["credential"]["token"] == TOKEN_ID
            g.answer(frame, 200, body={"letters": []})
            data = b""
            while more := raw.recv(4096):
                data += more
            assert data.startswith(b"HTTP/1.1 200") and data.endswith(b'{"letters":[]}'), data
            raw.close()
        assert os.stat(g.unix).st_mode & 0o777 == 0o660


def ambiguous_requests_are_refused():
    with start() as g:
        body = json.dumps(share_body())
        for extra in (f"Content-Length: {len(body)}\r\nContent-Length: {len(body)}\r\n",
                      f"Content-Length: {len(body)}\r\nTransfer-Encoding: chunked\r\n",
                      f"Content-Length: {len(body)}\r\nAuthorization: a\r\nauthorization: b\r\n",
                      f"Content-Length: {len(body)}\r\nIdempotency-Key: {KEY}\r\n"):
            raw = socket.create_connection(("127.0.0.1", g.port), timeout=10)
            raw.sendall((f"POST /v1/shares HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                         f"Idempotency-Key: {KEY}\r\n{extra}\r\n").encode())
            raw.sendall(body.encode() if "chunked" not in extra else
                        f"{len(body):x}\r\n{body}\r\n0\r\n\r\n".encode())
            data = raw.recv(4096)
            assert data.startswith(b"HTTP/1.1 400"), (extra, data)
            raw.close()
        assert g.requests.empty()


def a_chunked_body_is_read_and_bounded():
    with start() as g:
        for size, status in ((0, 201), (60000, 413), (500000, 413)):
            body = (json.dumps(share_body()) + " " * size).encode()
            raw = socket.create_connection(("127.0.0.1", g.port), timeout=10)
            raw.sendall((f"POST /v1/shares HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                         f"Authorization: Bearer {TOKEN}\r\nIdempotency-Key: {KEY}\r\n"
                         "Transfer-Encoding: chunked\r\n\r\n").encode())
            for i in range(0, len(body), 4096):
                part = body[i:i + 4096]
                raw.sendall(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            raw.sendall(b"0\r\n\r\n")
            if status == 201:
                g.answer(g.next("share.create"), 201, body=share_answer())
            data = raw.recv(4096)
            assert data.startswith(f"HTTP/1.1 {status}".encode()), data
            raw.close()


def long_header_fields_are_refused():
    with start() as g:
        raw = socket.create_connection(("127.0.0.1", g.port), timeout=10)
        try:
            raw.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 40000 + b"\r\n\r\n")
            data = raw.recv(4096)
        except ConnectionError:
            data = b""
        assert not data.startswith(b"HTTP/1.1 200"), data
        assert Client(g).ask("GET", "/healthz").status == 200


def a_slow_client_loses_its_place():
    """One byte a second, for ever: the header must be there after 10 s."""
    with start() as g:
        raw = socket.create_connection(("127.0.0.1", g.port))
        raw.settimeout(0.5)
        begin = time.monotonic()
        request = b"GET /healthz HTTP/1.1\r\nHost: " + b"x" * 1000
        sent = 0
        while time.monotonic() - begin < 20:
            try:
                raw.send(request[sent:sent + 1])
                sent += 1
                if raw.recv(1) == b"":
                    break
            except socket.timeout:
                continue
            except ConnectionError:
                break
        took = time.monotonic() - begin
        assert 8 < took < 14, took


def one_address_cannot_take_all_connections():
    with start(settings={"connections_per_address": "3"}) as g:
        held = [socket.create_connection(("127.0.0.1", g.port), timeout=10) for _ in range(3)]
        for raw in held:
            raw.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert raw.recv(4096).startswith(b"HTTP/1.1 200")
        extra = socket.create_connection(("127.0.0.1", g.port), timeout=10)
        try:
            extra.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            data = extra.recv(4096)
        except ConnectionError:
            data = b""
        assert data == b"", data
        held[0].close()
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                if Client(g).ask("GET", "/healthz").status == 200:
                    return
            except (OSError, http.client.HTTPException):
                continue
        raise AssertionError("a place that was left was not given to another")


def connections_that_say_nothing_keep_nobody_out_for_long():
    """More than there may be, all ended in one turn: the next one is still heard."""
    with start(settings={"connections": "20", "connections_per_address": "1000"}) as g:
        silent = [socket.create_connection(("127.0.0.1", g.port), timeout=60) for _ in range(40)]
        begin = time.monotonic()
        client = Client(g)
        client.http.timeout = 60
        assert client.ask("GET", "/healthz").status == 200
        assert time.monotonic() - begin < 40
        for raw in silent:
            raw.close()


def resident(g):
    with open("/proc/%d/status" % g.process.pid) as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


def requests_that_are_refused_at_once_leave_nothing_behind():
    """More arguments than fit are refused before anybody is asked about the request."""
    line = b"GET /healthz?%s HTTP/1.1\r\nHost: x\r\n\r\n" % b"&".join(b"%d=" % i for i in range(4000))

    def refused(n):
        connections = [socket.create_connection(("127.0.0.1", g.port), timeout=20) for _ in range(n)]
        for raw in connections:
            raw.sendall(line)
        for raw in connections:
            try:
                assert not raw.recv(4096).startswith(b"HTTP/1.1 200")
            except ConnectionError:
                pass
            raw.close()

    with start(settings={"connections": "200", "connections_per_address": "200"}) as g:
        refused(100)
        before = resident(g)
        for _ in range(8):
            refused(100)
        grown = resident(g) - before
        assert grown < 6000, grown


def tls_is_spoken_with_the_credentials():
    with tempfile.TemporaryDirectory() as folder:
        names = [os.path.join(folder, name) for name in ("key", "certificate")]
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-keyout", names[0], "-out", names[1], "-days", "2", "-subj", "/CN=localhost",
                        "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True)
        key, certificate = (open(name).read() for name in names)
        context = ssl.create_default_context(cafile=names[1])
    with start(settings={"tls": "yes"}, credentials={"api-key": key, "api-certificate": certificate}) as g:
        client = Client(g)
        client.http = http.client.HTTPSConnection("localhost", g.port, timeout=15, context=context)
        answer = post_share(client)
        g.answer(g.next("share.create"), 201, body=share_answer(code="123-456-786"))
        assert answer().json["code"] == "123-456-786" and client.http.sock.version() == "TLSv1.3"
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.set_ciphers("ALL:@SECLEVEL=0")
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        try:
            old.wrap_socket(socket.create_connection(("127.0.0.1", g.port), timeout=10))
            raise AssertionError("TLS 1.1 was accepted")
        except (ssl.SSLError, ConnectionError):
            pass


def settings_that_cannot_work_end_the_program_with_a_reason():
    for settings, reason in (({"listen": ["nowhere"]}, "cannot listen on nowhere"), ({"tls": "yes"}, "api-certificate"),
                             ({"connections_per_address": "many"}, "connections_per_address"),
                             ({"listen": []}, "nothing to listen on"), ({"tls": "perhaps"}, "yes or no")):
        try:
            Gateway(PROGRAM, settings=settings).__exit__()
            raise AssertionError(f"{settings} was accepted")
        except StartError as error:
            assert error.status == 78 and reason in error.log, (settings, error.status, error.log)


def nothing_secret_is_logged():
    with start() as g:
        answer = post_share(Client(g))
        g.answer(g.next("share.create"), 201, body=share_answer(code="123-456-786"))
        assert answer().status == 201
        expect_problem(post_share(Client(g), share_body(policy="marker-9f3a"))(), 422, "unknown-policy")
    for marker in ("marker-9f3a", "123-456-786", TOKEN_SECRET, "bob", "4915112345678", "booking-4711"):
        assert marker not in g.log, g.log


TESTS = tap.functions_below(start)

if __name__ == "__main__":
    PROGRAM = sys.argv[1]
    sys.exit(tap.run(TESTS, sys.argv[2:]))
