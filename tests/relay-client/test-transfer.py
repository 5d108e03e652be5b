"""Transfers of several messages with the whole vestibule-relay-client, in both drafts: a socketpair stands for the
gateway, the second implementation (tests/relay-double) for the recipient, and the relay is the real vestibule-relay behind
a server that loses, changes and repeats what passes, when a test tells it to.

Usage: test-transfer.py CLIENT RECEIVE RELAY [name…]"""

import base64
import ctypes
import functools
import hashlib
import http.client
import importlib.machinery
import importlib.util
import json
import os
import shutil
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse
import uuid

here = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(here, ".."), os.path.join(here, "..", "relay-double")]
from harness import tap  # noqa: E402
import client as double  # noqa: E402
import draft_r  # noqa: E402
import draft_v  # noqa: E402

loader = importlib.machinery.SourceFileLoader("program", os.path.join(here, "test-program.py"))
program = sys.modules["program"] = importlib.util.module_from_spec(importlib.util.spec_from_loader("program", loader))
loader.exec_module(program)
from program import Gateway, Relay, Scripted, b64, create_frame, created_by, path, seal, settings_for, sodium  # noqa: E402

FIRST = {"format": "digitalwallet.carkey.ccc", "content": {"request": "MARKER-0", "n": [1, 2.5, None]}}
SUITES = {"aes-128-gcm-sha256": 32, "aes-256-gcm-sha384": 48, "chacha20-poly1305-sha256": 32}


def message(number, text="MARKER"):
    return {"format": "digitalwallet.carkey.ccc", "content": {"number": number, "text": "%s-%d" % (text, number)}}


def packed(content):
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()


def digest_of(blob):
    return b64(hashlib.sha256(blob).digest())


CUT = b"HTTP/1.1 200 X\r\nContent-Length: 500\r\nConnection: close\r\n\r\n{"  # an answer that is not repeated by libcurl itself


# The relay ------------------------------------------------------------------------------------------------------------

class Between(Scripted):
    """The real relay, and a server in front of it. `meddle(request, forward)` returns the answer, or None to lose it;
    forward() lets the relay have the request."""

    def __init__(self, *options):
        super().__init__(self.handle)
        self.relay = Relay("--public-url", self.url, *options)
        self.log = self.relay.log
        self.meddle = None
        self.context_to_relay = ssl.create_default_context(cafile=path("ca.pem"))

    def handle(self, request):
        if self.meddle:
            return self.meddle(request, lambda: self.forward(request))
        return self.forward(request)

    def forward(self, request):
        connection = http.client.HTTPSConnection(self.relay.url[len("https://"):], timeout=30, context=self.context_to_relay)
        connection.request(request.method, request.target, request.body or None, request.headers)
        response = connection.getresponse()
        body = response.read()
        kept = "".join("%s: %s\r\n" % pair for pair in response.getheaders() if pair[0].lower() in ("mailbox-request-id", "etag"))
        connection.close()
        return ("HTTP/1.1 %d X\r\n%sContent-Length: %d\r\n\r\n" % (response.status, kept, len(body))).encode() + body

    def lose_next(self, method, executed=True):
        """Once: the request that is lost on its way, or only its answer."""
        def meddle(request, forward):
            if request.method != method:
                return forward()
            self.meddle = None
            if executed:
                forward()
            return CUT

        self.meddle = meddle

    def show(self, payload):
        """To whoever reads from now on, whatever lies there."""
        def meddle(request, forward):
            if request.method != "POST":
                return forward()
            return program.http(200, {"payload": payload, "displayInformation": {"title": "", "description": "", "imageURL": ""},
                                      "expiration": "2099-01-01T00:00:00Z"}, request)

        self.meddle = meddle

    def close(self):
        super().close()
        self.relay.close()


# The gateway's part ---------------------------------------------------------------------------------------------------

def public_keys():
    return json.load(open(path("keys", "relay-key.pub")))["keys"]


def envelope(recipients=None, tenant="adler", kind="hotel", not_after=None):
    return {"tenant": tenant, "nonce": b64(os.urandom(16)), "recipients": recipients or b64(os.urandom(32)), "class": kind,
            "not_after": not_after or int(time.time()) + 3600}


def of_share(share):
    return b64(hashlib.blake2b(share.encode() + b"\n", digest_size=32).digest())


def front_opens(answer, share, number):
    """What the front makes of a message: opened with its key, and compared."""
    key = json.load(open(path("front", "relay-key")))["keys"][0]
    public = json.load(open(path("front", "relay-key.pub")))["keys"][0]
    box = base64.b64decode(answer["message"]["box"])
    assert answer["message"]["kid"] == public["kid"]
    plain = ctypes.create_string_buffer(len(box) - 48)
    assert sodium.crypto_box_seal_open(plain, box, ctypes.c_ulonglong(len(box)), base64.b64decode(public["key"]),
                                       base64.b64decode(key["secret"])) == 0
    opened = json.loads(plain.raw)
    assert list(opened) == ["v", "share", "number", "message"] and opened["v"] == 1
    assert (opened["share"], opened["number"]) == (share, number), opened
    return opened["message"]


class Share:
    """What the gateway keeps of one transfer, and the frames that it makes of it."""

    def __init__(self, gateway, provisioning=FIRST, encrypted=False, **more):
        self.gateway, self.encrypted = gateway, encrypted
        self.create = create_frame(provisioning=provisioning, **dict({"rights": "RWD"}, **more))
        if encrypted:
            self.create["encrypted"] = True
        self.id, self.known, self.state, self.mailbox, self.link = self.create["share"], None, None, None, None

    def make(self):
        answer = self.gateway.call(self.create)
        if answer["type"] == "done":
            self.mailbox, self.link = answer["mailbox"], answer["link"]
            self.known, self.state = answer["digest"], answer.get("state")
        return answer

    def frame(self, kind, **more):
        frame = {"type": kind, "share": self.id, "generation": 0, "kid": self.create["kid"], "mailbox": self.mailbox,
                 "claim": self.create["claim"]}
        if self.encrypted:
            frame["encrypted"] = True
        if self.state:
            frame["state"] = self.state
        return dict(frame, **more)

    def read(self, number, **more):
        return self.gateway.call(self.frame("read", expect=number, known=self.known, **more))

    def update_frame(self, number, provisioning, request=None, **more):
        bound = envelope(of_share(self.id), kind="message")
        public = public_keys()[0]
        box = seal(base64.b64decode(public["key"]), dict(bound, v=1, provisioning=provisioning))
        return self.frame("update", **dict({"number": number, "request": request or str(uuid.uuid4()), "envelope": bound,
                                            "message_kid": public["kid"], "box": box, "known": self.known}, **more))

    def update(self, number, provisioning, **more):
        answer = self.gateway.call(self.update_frame(number, provisioning, **more))
        if answer["type"] == "done":
            self.known, self.state = answer["digest"], answer.get("state", self.state)
        return answer

    def take(self, number):
        """Reads a message that is there; returns what the front sees."""
        answer = self.read(number)
        assert answer["type"] == "done" and "message" in answer, answer
        self.known, self.state = answer["digest"], answer.get("state", self.state)
        return front_opens(answer, self.id, number)

    def acknowledge(self):
        answer = self.gateway.call(self.frame("acknowledge"))
        if answer["type"] == "done":
            self.state = answer["state"]
        return answer

    def delete(self):
        return self.gateway.call(self.frame("delete", request=str(uuid.uuid4())))


def nothing(answer):
    return {name: value for name, value in answer.items() if name != "id"} == {"type": "done"}


def is_refused(answer, reason):
    return (answer["type"], answer["reason"]) == ("refused", reason)


# The recipient --------------------------------------------------------------------------------------------------------

class Guest:
    """The second implementation, from the link alone, or with a Secret of its own."""

    def __init__(self, link, secret=None):
        self.url, _, fragment = link.partition("#")
        self.path = urllib.parse.urlsplit(self.url).path
        self.secret = secret or base64.b64decode(fragment)
        self.kind = {16: "AEAD_AES_128_GCM", 32: "AEAD_AES_256_GCM"}[len(self.secret)]
        self.claim, self.https = str(uuid.uuid4()), double.Https(self.url, path("ca.pem"))
        self.lies_there()  # who has read may write

    def ask(self, operation, body=None):
        number = str(uuid.uuid4())
        request = draft_v.request_build(operation, self.path, claim=self.claim, request_id=number, json_body=body)
        answer = self.https.send(request.method, request.path, request.headers, request.body)
        word, value = draft_v.answer_judge(operation, answer, number)
        assert word == "done", (operation, word, answer)
        return value

    def lies_there(self):
        return self.ask(draft_v.READ)["payload"]

    def read(self):
        return draft_v.provisioning_parse(draft_v.payload_open(self.lies_there(), self.secret))

    def put(self, payload):
        self.ask(draft_v.UPDATE, draft_v.update_body(payload))
        return payload

    def write(self, content):
        return self.put(draft_v.payload_seal(self.kind, self.secret, packed(content)))


def blob_of(payload):
    return base64.b64decode(payload["data"])


def on_a_relay(*options, settings=settings_for, credentials=None, **more):
    """For a test that takes a relay and a client with these settings, both of which end well behind it."""
    def decorate(test):
        @functools.wraps(test)
        def run():
            relay = Between(*options)
            gateway = Gateway(settings(relay, **more), credentials)
            test(relay, gateway)
            gateway.close()
            relay.close()
        return run

    return decorate


def v_guest(share):
    return Guest(share.link)


def begun(gateway, guest_of=v_guest):
    """A share and its recipient, who has the link."""
    share = Share(gateway)
    share.make()
    return share, guest_of(share)


def answered(gateway):
    """The same, after the recipient's first message was read."""
    share, guest = begun(gateway)
    guest.write(message(1))
    share.take(1)
    return share, guest


class Hold:
    """A relay that keeps the first request, and answers it when the test says so."""

    def __init__(self, relay):
        self.arrived, self.freed = threading.Event(), threading.Event()
        relay.meddle = self.meddle

    def meddle(self, request, forward):
        self.arrived.set()
        self.freed.wait(20)
        return forward()


# Draft V --------------------------------------------------------------------------------------------------------------

def v_three_messages_pass_and_each_side_reads_the_others():
    relay = Between()
    for algorithm in ("aes-128-gcm", "aes-256-gcm"):
        gateway = Gateway(settings_for(relay, algorithm=algorithm))
        share = Share(gateway)
        assert share.make()["type"] == "done"
        guest = Guest(share.link)
        assert nothing(share.read(1)), "our own message is nothing new"
        first = guest.lies_there()
        assert share.known == digest_of(blob_of(first)) and guest.read() == FIRST

        written = guest.write(dict(message(1), more="is left behind"))
        answer = share.read(1)
        assert answer["digest"] == digest_of(blob_of(written)) and "unreadable" not in answer
        assert front_opens(answer, share.id, 1) == message(1)
        assert share.take(1) == message(1)
        assert nothing(share.read(1)), "it was read"

        assert share.update(2, message(2)) == {"type": "done", "id": gateway.next_id, "digest": share.known}
        assert share.known == digest_of(blob_of(guest.lies_there())) and guest.read() == message(2)
        assert nothing(share.read(3))
        guest.write(message(3))
        assert share.take(3) == message(3)
        assert nothing(gateway.call(share.frame("read")))
        assert share.delete()["type"] == "done"
        assert gateway.call(share.frame("read"))["type"] == "gone"
        assert share.read(5)["type"] == "gone" and share.update(4, message(4))["type"] == "gone"
        assert share.delete()["type"] == "gone"
        gateway.close()
        for text in (gateway.log(), open(relay.log).read()):
            for secret in (share.create["claim"], guest.claim, share.link.split("#")[1], "MARKER", share.mailbox.split("/")[-1],
                           share.known):
                assert secret not in text, text
    # Nothing of the Secret, of what is carried, or of a name was seen by the relay.
    assert b"MARKER" not in relay.raw and guest.secret not in relay.raw and b64(guest.secret).encode() not in relay.raw
    relay.close()


@on_a_relay()
def v_a_create_whose_answer_was_lost_is_repeated_with_the_same_octets(relay, gateway):
    share = Share(gateway)
    for executed in (False, True):
        relay.lose_next("POST", executed)
        assert share.make()["type"] == "again"
    assert share.make()["type"] == "done"
    creates = [request for request in relay.sent("POST") if request.target == "/v1/m"]
    assert len(creates) == 3 and len({request.body for request in creates}) == 1
    assert len({request.headers["mailbox-request-id"] for request in creates}) == 1
    assert nothing(share.read(1)), "what lies there is what was written, whatever got lost"
    assert Guest(share.link).read() == FIRST


@on_a_relay()
def v_an_update_whose_answer_was_lost_is_done_when_it_is_repeated(relay, gateway):
    share, guest = answered(gateway)

    request = str(uuid.uuid4())
    relay.lose_next("PUT", executed=False)
    assert share.update(2, message(2), request=request)["type"] == "again"
    relay.lose_next("PUT", executed=True)
    assert share.update(2, message(2), request=request)["type"] == "again"
    assert share.update(2, message(2), request=request)["type"] == "done"
    puts = [put for put in relay.sent("PUT") if put.headers["mailbox-device-claim"] == share.create["claim"]]
    assert len(puts) == 2 and puts[0].body == puts[1].body, "the third found its own message there"
    assert {put.headers["mailbox-request-id"] for put in puts} == {request}
    reads = [read.headers["mailbox-request-id"] for read in relay.sent("POST") if read.target != "/v1/m"]
    assert request not in reads and len(set(reads)) == len(reads), "each look is a request of its own"
    assert nothing(share.read(3)) and guest.read() == message(2)

    # A client that was killed meanwhile writes the same.
    gateway.kill()
    gateway.start()
    assert share.update(2, message(2), request=request)["type"] == "done"
    assert len(relay.sent("PUT")) == 3


@on_a_relay()
def v_nothing_is_written_over_what_was_not_read(relay, gateway):
    share, guest = begun(gateway)
    guest.write(message(1))
    early = share.update(2, message(2))
    assert (early["type"], early["reason"]) == ("again", "unread-message"), early
    share.take(1)
    guest.write(message(1, "second thoughts"))
    early = share.update(2, message(2))
    assert (early["type"], early["reason"]) == ("again", "unread-message"), early
    guest.put({"type": "AEAD_AES_128_GCM", "data": "no base64!"})
    assert share.update(2, message(2))["reason"] == "unread-message"
    assert [put for put in relay.sent("PUT") if put.headers["mailbox-device-claim"] != guest.claim] == []
    guest.write(message(1, "second thoughts"))
    assert share.take(2) == message(1, "second thoughts")  # a recipient may write twice
    assert share.update(3, message(3))["type"] == "done" and guest.read() == message(3)


@on_a_relay(credentials=path("no-front"))
def v_whatever_an_update_comes_to_its_digest_is_told(relay, gateway):
    secret = os.urandom(32)
    seal_one = functools.partial(draft_v.payload_seal, "AEAD_AES_256_GCM", secret)
    share = Share(gateway, {"encrypted": seal_one(packed(FIRST))}, encrypted=True)
    share.make()
    guest = Guest(share.link, secret)
    guest.write(message(1))
    second = seal_one(packed(message(2)))
    content, expected = {"encrypted": second}, digest_of(blob_of(second))

    def told(*words, **more):
        answer = share.update(2, content, **more)
        assert (answer["type"], answer.get("reason"), answer["digest"]) == (*words, expected), (words, answer)

    told("again", "unread-message")
    share.known = share.read(1)["digest"]
    hold = Hold(relay)
    first = gateway.ask(share.update_frame(2, content))
    assert hold.arrived.wait(20)
    told("again", "claim-is-busy")
    relay.meddle = lambda request, forward: program.http(400, b"", request) if request.method == "PUT" else forward()
    hold.freed.set()
    answer = gateway.answer(first)  # the relay keeps it and says no
    assert (answer["type"], answer["reason"], answer["digest"]) == ("refused", "http-400", expected), answer
    told("unauthorised", None, claim=str(uuid.uuid4()))
    for method, status, words in (("POST", 503, ("again", "http-503")), ("PUT", 401, ("unauthorised", None)),
                                  ("POST", 404, ("gone", None)), ("PUT", 404, ("gone", None))):
        relay.meddle = lambda request, forward: program.http(status, b"", request) if request.method == method else forward()
        told(*words)
    relay.lose_next("PUT")
    told("again", "cut")
    told("done", None)
    # What was not opened has none, and nobody else's answers have one.
    assert "digest" not in share.update(2, content, message_kid="0123456789abcdef")
    assert "digest" not in gateway.call(share.frame("read"))
    gateway.close()
    gateway.start()


@on_a_relay()
def v_an_old_message_has_its_old_digest_and_our_own_is_told_as_such(relay, gateway):
    share, guest = begun(gateway)
    first = guest.lies_there()
    stale = guest.write(message(1))
    share.take(1)
    share.update(2, message(2))
    second = guest.lies_there()

    for payload in (first, dict(first, data=first["data"].rstrip("="))):  # and in another spelling
        relay.show(payload)
        reflected = share.read(3)
        assert reflected == {"type": "done", "id": gateway.next_id, "own": True, "digest": digest_of(blob_of(first))}, reflected
    relay.show(stale)
    old = share.read(3)
    assert old["digest"] == digest_of(blob_of(stale)) and front_opens(old, share.id, 3) == message(1)
    relay.show(second)
    assert nothing(share.read(3))
    share.known = digest_of(b"something else")
    assert share.read(3)["own"] is True
    relay.show(first)
    assert share.update(4, message(4))["reason"] == "unread-message"


@on_a_relay()
def v_what_cannot_be_read_is_named_and_known_from_then_on(relay, gateway):
    share, guest = begun(gateway)
    kind, other = guest.kind, os.urandom(16)
    for payload, word in (
            (draft_v.payload_seal(kind, other, packed(message(1))), "auth"),
            (draft_v.payload_seal("AEAD_AES_256_GCM", os.urandom(32), packed(message(1))), "auth"),
            (draft_v.payload_seal(kind, guest.secret, b"{}"), "provisioning-info"),
            (draft_v.payload_seal(kind, guest.secret, b"\xff" + packed(message(1))), "provisioning-info"),
            (draft_v.payload_seal(kind, guest.secret, packed(message(1, "x" * 41000))), "too-large"),
            ({"type": kind, "data": b64(b"short")}, "too-short"),
            ({"type": "ROT13", "data": b64(os.urandom(64))}, "unsupported-type")):
        relay.show(payload)
        answer = share.read(1)
        assert answer == {"type": "done", "id": gateway.next_id, "unreadable": word, "digest": digest_of(blob_of(payload))}, answer
        share.known = answer["digest"]
        assert nothing(share.read(1))
    relay.show({"type": kind, "data": "no base64!"})
    assert share.read(1)["unreadable"] == "base64" and share.read(1)["digest"] == digest_of(b"no base64!")
    relay.meddle = None
    guest.write(message(1))
    assert share.take(1) == message(1)
    log = gateway.log()
    assert log.count("what lies in a mailbox cannot be read: auth") == 2 and "MARKER" not in log, log


@on_a_relay(credentials=path("no-front"))  # nobody here could read the answers anyway
def v_a_tenant_may_keep_the_secret(relay, gateway):
    secret = os.urandom(32)
    sealed = draft_v.payload_seal("AEAD_AES_256_GCM", secret, packed(FIRST))
    share = Share(gateway, {"encrypted": sealed}, encrypted=True)
    assert share.make()["type"] == "done"
    assert share.link == share.mailbox + "?v=a" and share.known == digest_of(blob_of(sealed))
    guest = Guest(share.link, secret)
    assert guest.lies_there() == sealed and guest.read() == FIRST
    assert nothing(share.read(1))

    written = guest.write(message(1))
    answer = share.read(1)
    assert answer == {"type": "done", "id": gateway.next_id, "message": {"encrypted": written}, "digest": digest_of(blob_of(written))}
    share.known = answer["digest"]
    second = draft_v.payload_seal("AEAD_AES_256_GCM", secret, packed(message(2)))
    assert share.update(2, {"encrypted": second})["type"] == "done"
    assert guest.lies_there() == second and share.known == digest_of(blob_of(second))
    large = guest.write(message(3, "x" * 45000))
    assert share.read(3) == {"type": "done", "id": gateway.next_id, "unreadable": "too-large", "digest": digest_of(blob_of(large))}

    # What was announced must be there, and nothing else.
    plain = share.update_frame(4, message(4))
    assert is_refused(gateway.call(plain), "envelope-form")
    share.encrypted = False
    assert is_refused(gateway.call(share.update_frame(4, {"encrypted": second})), "envelope-form")


@on_a_relay()
def v_a_box_that_the_tenant_sealed_is_bound_to_what_is_known_of_it(relay, gateway):
    expiration = int(time.time()) + 7200

    def shorn(frame):
        frame["envelope"] = {name: frame["envelope"][name] for name in ("tenant", "recipients", "class")}
        return frame

    share = Share(gateway, envelope={"not_after": expiration}, expiration=expiration)
    shorn(share.create)
    assert share.make()["type"] == "done"
    guest = Guest(share.link)
    guest.write(message(1))
    share.take(1)
    for member, value in (("tenant", "other"), ("recipients", b64(os.urandom(32))), ("class", "hotel")):
        frame = shorn(share.update_frame(2, message(2)))
        frame["envelope"][member] = value
        assert is_refused(gateway.call(frame), "envelope-differs"), member
    assert gateway.call(shorn(share.update_frame(2, message(2))))["type"] == "done"
    assert guest.read() == message(2)

    short = Share(gateway, envelope={"not_after": expiration - 1}, expiration=expiration)
    shorn(short.create)
    assert is_refused(short.make(), "envelope-expired")


@on_a_relay()
def v_a_frame_that_does_not_fit_makes_no_request(relay, gateway):
    share, other = Share(gateway), Share(gateway)
    share.make()
    other.make()
    before = len(relay.requests)
    good = share.update_frame(2, message(2))
    for reason, frame in (
            ("envelope-differs", dict(other.update_frame(2, message(2)), share=share.id)),
            ("envelope-differs", dict(good, envelope=dict(good["envelope"], nonce=b64(os.urandom(16))))),
            ("envelope-differs", dict(good, envelope=share.create["envelope"], box=share.create["box"])),
            ("envelope-box", dict(good, box=good["box"][:-8] + "AAAAAAA=")),
            ("unknown-key", dict(good, message_kid="0123456789abcdef")),
            ("unknown-key", dict(good, kid="0123456789abcdef")),
            ("unknown-key", share.frame("read", expect=1, known=share.known, kid="0123456789abcdef")),
            ("bad-frame", {name: value for name, value in good.items() if name != "known"}),
            ("bad-frame", dict(good, known="AAAA")),
            ("bad-frame", dict(good, number=0)),
            ("bad-frame", share.frame("read", expect=0)),
            ("bad-mailbox", dict(good, mailbox="https://evil.example/v1/m/" + str(uuid.uuid4())))):
        answer = gateway.call(frame)
        assert is_refused(answer, reason), (reason, answer)
    assert len(relay.requests) == before
    third = Share(gateway)
    third.create["envelope"]["class"] = "message"
    assert is_refused(third.make(), "envelope-differs")
    gateway.close()

    gateway.credentials = path("no-front")
    gateway.start()
    assert is_refused(Share(gateway).make(), "no-front-key")
    assert Share(gateway, rights="RD").make()["type"] == "done"
    # An answer to a share of before waits for the key.
    Guest(share.link).write(message(1))
    waiting = share.read(1)
    assert (waiting["type"], waiting["reason"], waiting["retry_after"]) == ("again", "no-front-key", 60), waiting


@on_a_relay()
def v_a_claim_that_is_not_ours_reads_and_writes_nothing(relay, gateway):
    share, guest = begun(gateway)
    guest.write(message(1))
    stranger = str(uuid.uuid4())
    assert gateway.call(share.frame("read", claim=stranger))["type"] == "claimed"
    assert gateway.call(share.frame("read", claim=stranger, expect=1))["type"] == "claimed"
    assert gateway.call(share.update_frame(2, message(2), claim=stranger))["type"] == "unauthorised"
    assert gateway.call(share.frame("delete", claim=stranger, request=str(uuid.uuid4())))["type"] == "unauthorised"
    assert guest.read() == message(1)


@on_a_relay()
def v_one_claim_has_one_request_under_way_whatever_it_is(relay, gateway):
    share = Share(gateway)
    share.make()
    hold = Hold(relay)
    first = gateway.ask(share.frame("read", expect=1, known=share.known))
    assert hold.arrived.wait(20)
    for frame in (share.frame("read", claim=share.create["claim"].upper()), share.update_frame(2, message(2)),
                  share.frame("delete", request=str(uuid.uuid4())), share.create):
        answer = gateway.call(frame)
        assert (answer["type"], answer["reason"]) == ("again", "claim-is-busy"), answer
    hold.freed.set()
    assert nothing(gateway.answer(first))


def v_older_header_names_and_an_attestation_are_spoken_where_they_are_set():
    credentials = path("attested")
    shutil.copytree(path("keys"), credentials)
    with open(os.path.join(credentials, "relay-attestation"), "w") as f:
        f.write("AAEC.BBB\n")
    os.chmod(os.path.join(credentials, "relay-attestation"), 0o600)
    relay = Between("--legacy", "sct04")
    gateway = Gateway(settings_for(relay, legacy="sct04"), credentials)
    share = Share(gateway)
    assert share.make()["type"] == "done"
    assert nothing(share.read(1)) and share.update(2, message(2))["type"] == "done"
    assert share.delete()["type"] == "done"
    for request in relay.requests:
        attests = request.method == "PUT" or request.target == "/v1/m"
        assert request.headers["device-claim"] == share.create["claim"] and "mailbox-device-claim" not in request.headers
        assert request.headers.get("device-attestation") == ("AAEC.BBB" if attests else None)
    gateway.close()
    assert "AAEC" not in gateway.log()
    relay.close()


# Connections ---------------------------------------------------------------------------------------------------------

class Stray(Scripted):
    """Sends the bytes of `script(request)` one by one, each in a TLS record of its own, but in one piece to the socket: who
    has read the first finds the others at his next look, and not before."""

    def serve(self, plain):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = self.context.wrap_bio(incoming, outgoing, server_side=True)

        def run(function, *arguments):
            while True:
                try:
                    value = function(*arguments)
                    plain.sendall(outgoing.read())
                    return value
                except ssl.SSLWantReadError:
                    plain.sendall(outgoing.read())
                    data = plain.recv(65536)
                    if not data:
                        raise OSError("it has ended") from None
                    incoming.write(data)

        class Reads:
            def recv(self, size):
                return run(session.read, size)

        try:
            run(session.do_handshake)
            while request := self.read(Reads()):
                self.requests.append(request)
                for record in self.script(request):
                    session.write(record)
                plain.sendall(outgoing.read())
        except OSError:
            pass
        finally:
            plain.close()


def v_what_nobody_asked_for_answers_no_other_request():
    relay = Stray(lambda request: [created_by(request, str(uuid.uuid4())), created_by(request, str(uuid.uuid4()))])
    gateway = Gateway(settings_for(relay))
    # More than there are connections: the next request waits for each.
    for number in [gateway.ask(create_frame()) for _ in range(60)]:
        answer = gateway.answer(number)
        assert answer["type"] == "done", answer
    gateway.close()
    relay.close()


def v_who_echoed_once_is_believed_no_more_without():
    def create(request):
        return program.http(200, {"urlLink": "https://%s/v1/m/%s" % (request.headers["host"], uuid.uuid4())})

    relay = Scripted(create)
    gateway = Gateway(settings_for(relay))
    assert gateway.call(create_frame())["type"] == "done"
    relay.script = created_by
    assert gateway.call(create_frame())["type"] == "done"
    for script in (create, lambda request: program.http(400), lambda request: program.http(404)):
        relay.script = script
        answer = gateway.call(create_frame())
        assert (answer["type"], answer.get("reason")) == ("again", "missing-echo"), answer
    # A proxy in front of it knows nothing of ids, and when to come again is harmless to believe.
    relay.script = lambda request: program.http(503, headers="Retry-After: 7\r\n")
    answer = gateway.call(create_frame())
    assert (answer["type"], answer["reason"], answer["retry_after"]) == ("again", "http-503", 7), answer
    gateway.close()
    relay.close()


@on_a_relay()
def v_what_does_not_open_takes_no_answer_away(relay, gateway):
    share = Share(gateway)
    share.make()
    state, reads = path("odd-state"), []
    garbage = {"type": "AEAD_AES_128_GCM", "data": b64(os.urandom(60))}

    def meddle(request, forward):
        if request.method == "POST" and not reads.append(request) and len(reads) == 2:
            return program.http(200, {"payload": garbage, "displayInformation": {"title": "", "description": "", "imageURL": ""},
                                      "expiration": "2099-01-01T00:00:00Z"}, request)
        return forward()

    relay.meddle = meddle
    handler = "cat >/dev/null; echo '%s'" % json.dumps(message(1))
    run = [program.RECEIVE, "--ca-file", path("ca.pem"), "--allow", relay.url[8:], "--state", state, "--handler", handler, "--wait", "0",
           "accept", "-"]
    first = subprocess.run(run, input=share.link + "\n", capture_output=True, text=True, timeout=60)
    assert "is answered" not in first.stderr and not relay.sent("PUT"), first
    second = subprocess.run(run, input=share.link + "\n", capture_output=True, text=True, timeout=60)
    assert second.stderr.count("Message 0 is answered.") == 1 and len(relay.sent("PUT")) == 1, second
    assert share.take(1) == message(1)


def v_a_scheme_is_a_scheme_in_capitals_too():
    def create(request):
        return program.http(200, {"urlLink": "HTTPS://%s/v1/m/%s" % (request.headers["host"], uuid.uuid4())}, request)

    relay = Scripted(create)
    gateway = Gateway(settings_for(relay))
    frame = create_frame()
    created = gateway.call(frame)
    relay.script = lambda request: program.http(200, b"", request)
    answer = gateway.call(program.mailbox_frame("delete", created, frame))
    assert answer["type"] == "done", answer
    gateway.close()
    relay.close()


# Draft R --------------------------------------------------------------------------------------------------------------

def r_settings(relay, suite="aes-128-gcm-sha256", mode="hash", **more):
    return dict({"protocol": "draft-r", "template": relay.url + "/t/{tigress_location}", "suite": suite, "context": mode,
                 "ca_file": path("ca.pem")}, **more)


PUT_HEADERS = {"If-None-Match": "*", "Content-Type": "application/octet-stream"}


def r_guest(share, mode="hash"):
    template, suite, secret = draft_r.link_parse(share.link)
    return double.RunClient(draft_r.Run(template, suite, secret, False, mode=mode), path("ca.pem"))


def r_three_messages_pass_in_every_suite():
    relay = Between()
    for suite in SUITES:
        gateway = Gateway(r_settings(relay, suite))
        share = Share(gateway)
        created = share.make()
        assert created["type"] == "done" and share.state, created
        assert share.mailbox == relay.url + "/t/" and share.link.startswith(share.mailbox + "#R1.")
        guest = r_guest(share)
        assert len(guest.run.secret) == SUITES[suite]
        assert nothing(share.read(1)) and nothing(gateway.call(share.frame("read")))
        assert json.loads(guest.read()) == FIRST
        assert gateway.call(share.frame("read"))["type"] == "gone", "our last message was taken"

        guest.write(packed(message(1)))
        assert share.take(1) == message(1)
        before = share.state
        assert share.acknowledge()["type"] == "done" and share.state != before
        assert share.acknowledge()["type"] == "done"
        assert nothing(share.read(2)), "it is our turn"
        assert share.update(2, message(2))["type"] == "done"
        assert json.loads(guest.read()) == message(2)
        guest.write(packed(message(3)))
        assert share.take(3) == message(3)
        last = share.update(4, message(4))  # deletes what was read by itself
        assert last["type"] == "done", last
        assert share.delete()["type"] == "done" and share.delete()["type"] == "gone"
        assert guest.read() is None
        gateway.close()
        for text in (gateway.log(), open(relay.log).read()):
            for secret in (share.create["claim"], share.link.split("#")[1], "MARKER", guest.run.place().name, share.state[:40]):
                assert secret not in text, text
    assert b"MARKER" not in relay.raw
    places = [request.target for request in relay.sent("PUT")]
    assert len(set(places)) == len(places) == 15, "each message has a place of its own"
    relay.close()


@on_a_relay(settings=r_settings, mode="raw")
def r_the_literal_context_is_spoken_where_it_is_set(relay, gateway):
    tiny = {"format": "f", "content": {}}
    share = Share(gateway, tiny)
    share.make()
    guest = r_guest(share, "raw")
    assert json.loads(guest.read()) == tiny
    guest.write(packed(tiny))
    assert share.take(1) == tiny
    assert share.update(2, tiny)["type"] == "done" and json.loads(guest.read()) == tiny


@on_a_relay(settings=r_settings, credentials=path("no-front"))
def r_a_share_of_one_message_needs_no_state(relay, gateway):
    share = Share(gateway, rights="RD")
    assert "state" not in share.make()
    assert nothing(gateway.call(share.frame("read")))
    gateway.close()

    # What the run was made with is found after the settings have changed.
    gateway.settings = r_settings(relay, "aes-256-gcm-sha384", "raw")
    gateway.start()
    assert nothing(gateway.call(share.frame("read")))
    assert json.loads(r_guest(share).read()) == FIRST
    assert gateway.call(share.frame("read"))["type"] == "gone" and share.delete()["type"] == "gone"
    other = Share(gateway, rights="RD")
    other.make()
    assert other.delete()["type"] == "done" and gateway.call(other.frame("read"))["type"] == "gone"
    for frame in (dict(other.frame("read"), kid="0123456789abcdef"), dict(other.frame("read"), mailbox="https://evil.example/t/")):
        assert gateway.call(frame)["type"] == "refused"
    assert is_refused(Share(gateway, {"encrypted": draft_v.payload_seal("AEAD_AES_128_GCM", bytes(16), b"x")}, encrypted=True).make(),
                      "not-in-draft-r")


@on_a_relay(settings=r_settings)
def r_what_was_lost_is_repeated_from_the_old_state_with_the_same_octets(relay, gateway):
    share = Share(gateway)
    for executed in (False, True):
        relay.lose_next("PUT", executed)
        assert share.make()["type"] == "again"
    assert share.make()["type"] == "done"
    puts = relay.sent("PUT")
    assert len(puts) == 3 and len({put.body for put in puts}) == len({put.target for put in puts}) == 1
    guest = r_guest(share)
    assert json.loads(guest.read()) == FIRST
    guest.write(packed(message(1)))

    relay.lose_next("GET")
    assert share.read(1)["type"] == "again"
    assert front_opens(share.read(1), share.id, 1) == message(1)
    assert front_opens(share.read(1), share.id, 1) == message(1), "nothing is deleted before the new state is durable"
    assert share.take(1) == message(1)
    old = share.state
    relay.lose_next("DELETE")
    assert share.acknowledge()["type"] == "again"
    assert share.acknowledge()["type"] == "done"

    for state in (share.state, old):  # `old`: the acknowledgement's answer was lost, and the gateway restarted
        share.state = state
        relay.lose_next("PUT")
        assert share.update(2, message(2))["type"] == "again"
        gateway.kill()
        gateway.start()
    after = share.update(2, message(2))
    assert after["type"] == "done", after
    puts = relay.sent("PUT")[-3:]
    assert len({put.body for put in puts}) == len({put.target for put in puts}) == 1
    assert after["digest"] == digest_of(puts[0].body)
    assert json.loads(guest.read()) == message(2)


@on_a_relay(settings=r_settings)
def r_what_was_read_is_deleted_before_anything_is_written(relay, gateway):
    share, guest = begun(gateway, r_guest)
    guest.read()
    place = urllib.parse.urlsplit(guest.run.url()).path
    guest.write(packed(message(1)))
    share.take(1)
    seen = len(relay.requests)
    assert share.update(2, message(2))["type"] == "done"
    order = [(request.method, request.target) for request in relay.requests[seen:]]
    assert order[0] == ("DELETE", place) and order[-1][0] == "PUT" and {method for method, _ in order[:-1]} == {"DELETE"}, order


@on_a_relay(settings=r_settings)
def r_who_has_no_turn_or_another_number_sends_nothing(relay, gateway):
    share = Share(gateway)
    share.make()
    seen = len(relay.requests)
    assert is_refused(share.update(2, message(2)), "out-of-turn")
    assert is_refused(share.read(3), "out-of-turn")
    state, share.state = share.state, None
    assert is_refused(share.read(1), "state")
    share.state = b64(base64.b64decode(state)[:-1] + b"x")
    assert is_refused(share.read(1), "state") and is_refused(share.acknowledge(), "state")
    share.state, share.id = state, "shr_of_somebody_else"
    assert is_refused(share.read(1), "state")
    assert len(relay.requests) == seen


@on_a_relay(settings=r_settings)
def r_a_run_that_breaks_ends_for_good(relay, gateway):
    def at_the_guests_turn():
        share, guest = begun(gateway, r_guest)
        guest.read()
        return share, guest

    # A message that does not open.
    share, guest = at_the_guests_turn()
    guest.https.send("PUT", urllib.parse.urlsplit(guest.run.url()).path, PUT_HEADERS, os.urandom(99))
    broken = share.read(1)
    assert is_refused(broken, "abort-auth") and broken["state"] != share.state, broken
    share.state = broken["state"]
    seen = len(relay.requests)
    assert is_refused(share.read(1), "aborted") and is_refused(share.update(2, message(2)), "aborted")
    assert len(relay.requests) == seen
    assert share.delete()["type"] in ("done", "gone") and share.delete()["type"] == "gone"
    assert guest.https.send("GET", urllib.parse.urlsplit(guest.run.url()).path).status == 404

    # One that opens and is nothing that a wallet would take, or that fits no frame.
    for content, word in ((b"not json", "provisioning-info"), (packed(message(1, "x" * 41000)), "too-large")):
        share, guest = at_the_guests_turn()
        guest.write(content)
        broken = share.read(1)
        assert is_refused(broken, "abort-" + word), broken
        share.state = broken["state"]
        assert share.delete()["type"] in ("done", "gone")
        assert share.delete()["type"] == "gone"

    # Somebody who knows R wrote our next message first.
    share, guest = at_the_guests_turn()
    guest.write(packed(message(1)))
    share.take(1)
    share.acknowledge()
    impostor = draft_r.body_seal(guest.run.suite, guest.run.place().key, draft_r.plaintext_build(b"", 2, packed(message(2, "forged"))))
    guest.https.send("PUT", urllib.parse.urlsplit(guest.run.url()).path, PUT_HEADERS, impostor)
    lost = share.update(2, message(2))
    assert is_refused(lost, "abort-race-lost") and lost["state"], lost
    assert "MARKER" not in gateway.log()


@on_a_relay(settings=r_settings)
def r_one_share_has_one_request_under_way(relay, gateway):
    share = Share(gateway)
    share.make()
    hold = Hold(relay)
    first = gateway.ask(share.frame("read", expect=1))
    assert hold.arrived.wait(20)
    answer = gateway.call(share.frame("read", claim=str(uuid.uuid4())))
    assert (answer["type"], answer["reason"]) == ("again", "claim-is-busy"), answer
    hold.freed.set()
    assert nothing(gateway.answer(first))


# Settings -------------------------------------------------------------------------------------------------------------

def settings_of_either_draft_that_cannot_work_end_with_78():
    relay = Scripted(created_by)
    template = relay.url + "/t/{tigress_location}"
    good, bad = settings_for(relay), path("bad-front")
    r_good = {"protocol": "draft-r", "template": template, "ca_file": path("ca.pem")}
    shutil.copytree(path("keys"), bad)
    with open(os.path.join(bad, "front-key.pub"), "w") as f:
        f.write("{}")
    worse = path("bad-attestation")
    shutil.copytree(path("keys"), worse)
    with open(os.path.join(worse, "relay-attestation"), "w") as f:
        f.write("two words\n")
    os.chmod(os.path.join(worse, "relay-attestation"), 0o600)
    for settings, credentials in (
            (dict(good, protocol="draft-x"), None), (dict(good, legacy="sct99"), None), (dict(good, mint_allow_private="perhaps"), None),
            (dict(good, mint_ca_file=path("missing")), None), (dict(r_good, template=""), None),
            (dict(r_good, template=template.replace("https", "http")), None), (dict(r_good, template=template + "/x"), None),
            (dict(r_good, template=relay.url + "/t/{x}"), None), (dict(r_good, suite="rot13"), None), (dict(r_good, context="maybe"), None),
            (dict(r_good, allow_host=["other.example"]), None), (good, bad), (good, worse)):
        gateway = Gateway(settings, credentials)
        assert gateway.process.wait(10) == 78, settings
        assert gateway.log().strip(), "it does not say why"
    for settings in (good, r_good, dict(r_good, url="", suite="chacha20-poly1305-sha256", context="raw")):
        gateway = Gateway(settings)
        assert gateway.receive() == {"type": "status", "up": True, "reason": ""}
        gateway.close()
    assert relay.accepted == 0
    relay.close()


TESTS = [
    v_three_messages_pass_and_each_side_reads_the_others,
    v_a_create_whose_answer_was_lost_is_repeated_with_the_same_octets,
    v_an_update_whose_answer_was_lost_is_done_when_it_is_repeated,
    v_nothing_is_written_over_what_was_not_read,
    v_whatever_an_update_comes_to_its_digest_is_told,
    v_an_old_message_has_its_old_digest_and_our_own_is_told_as_such,
    v_what_cannot_be_read_is_named_and_known_from_then_on,
    v_a_tenant_may_keep_the_secret,
    v_a_box_that_the_tenant_sealed_is_bound_to_what_is_known_of_it,
    v_a_frame_that_does_not_fit_makes_no_request,
    v_a_claim_that_is_not_ours_reads_and_writes_nothing,
    v_one_claim_has_one_request_under_way_whatever_it_is,
    v_older_header_names_and_an_attestation_are_spoken_where_they_are_set,
    v_what_nobody_asked_for_answers_no_other_request,
    v_who_echoed_once_is_believed_no_more_without,
    v_what_does_not_open_takes_no_answer_away,
    v_a_scheme_is_a_scheme_in_capitals_too,
    r_three_messages_pass_in_every_suite,
    r_the_literal_context_is_spoken_where_it_is_set,
    r_a_share_of_one_message_needs_no_state,
    r_what_was_lost_is_repeated_from_the_old_state_with_the_same_octets,
    r_what_was_read_is_deleted_before_anything_is_written,
    r_who_has_no_turn_or_another_number_sends_nothing,
    r_a_run_that_breaks_ends_for_good,
    r_one_share_has_one_request_under_way,
    settings_of_either_draft_that_cannot_work_end_with_78,
]


def make_keys():
    """`keys` knows the front's key, which is a pair of the same form; `no-front` does not."""
    for name in ("keys", "front"):
        subprocess.run([program.CLIENT, "--make-key", path(name)], check=True, stdout=subprocess.DEVNULL)
    shutil.copytree(path("keys"), path("no-front"))
    shutil.copy(path("front", "relay-key.pub"), path("keys", "front-key.pub"))


if __name__ == "__main__":
    program.make_certificates()
    make_keys()
    status = tap.run(TESTS, sys.argv[4:])
    sys.stdout.flush()
    program.folder.cleanup()
    os._exit(status)
