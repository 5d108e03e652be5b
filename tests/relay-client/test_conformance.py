"""The client's checklist for Draft V, as far as only running programs can show it: a test's name begins
with the number that it shows (CONFORMANCE.md). Both programs are asked: vestibule-relay-client, which is
the initiator's side, and vestibule-receive, a recipient. What stands for the relay is the second
implementation of ../relay-double, in whose way of answering a test can step, or a scripted TLS server.

Usage: test_conformance.py CLIENT RECEIVE RELAY [NAME…]"""

import base64
import hashlib
import importlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "relay-double"), os.path.join(HERE, "..")]

import draft_v  # noqa: E402
import relay as relay_double  # noqa: E402
from client import Initiator, Recipient  # noqa: E402
from harness import tap  # noqa: E402
from harness.vestibule import is_sanitized  # noqa: E402

program = importlib.import_module("test-program")
CLIENT, RECEIVE = map(os.path.abspath, sys.argv[1:3])
# Long, because what is freed loses its first bytes anyhow.
SECRET_MARKER, ANSWER_MARKER = "MARKER-4711", "MARKER-4712"
PROVISIONING = {"format": "digitalwallet.carkey.ccc", "content": {"message": 20 * SECRET_MARKER}}
MARKED_ANSWER = {"format": "digitalwallet.carkey.ccc", "content": {"message": 20 * ANSWER_MARKER}}
DISPLAY = {"title": "Room key", "description": "Hotel Adler", "imageURL": "https://hotel.example/key.png"}
EXIT_USAGE, EXIT_CLAIMED, EXIT_GONE, EXIT_UNREADABLE, EXIT_UNREACHABLE, EXIT_NOT_ALLOWED, EXIT_REFUSED = 2, 3, 4, 5, 6, 7, 8


def wait_until(condition, what, timeout=30):
    limit = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < limit, "not within %g s: %s" % (timeout, what)
        time.sleep(0.01)


# Relays ---------------------------------------------------------------------------------------------------------------

class Double(relay_double.Relay):
    """The second implementation. `before(request)` may give the answer (status, headers, body) itself, and `after(request,
    answer)` another one than was given; a request is (method, target, headers, body)."""

    def __init__(self):
        super().__init__()
        self.before = self.after = None
        self.moments = []

    def handle(self, method, target, headers, body):
        request = (method, target, {name.lower(): value for name, value in headers.items()}, body)
        self.moments.append(time.monotonic())
        answer = self.before(request) if self.before else None
        if answer is not None:
            with self.lock:
                self.requests.append((method, target, dict(headers.items()), body))
            return answer
        answer = super().handle(method, target, headers, body)
        return (self.after(request, answer) or answer) if self.after else answer

    def asked(self, *methods):
        """Those requests, oldest first, with the names of their headers in lower case."""
        return [(method, target, {name.lower(): value for name, value in headers.items()}, body)
                for method, target, headers, body in self.requests if not methods or method in methods]

    def octets(self):
        """All that came, in one piece."""
        return b"\n".join(b"\n".join([method.encode(), target.encode(), *(("%s: %s" % pair).encode() for pair in headers.items()), body])
                          for method, target, headers, body in self.requests)


def ids_of(requests):
    return [headers["mailbox-request-id"] for _, _, headers, _ in requests]


def claims_of(requests):
    return {headers["mailbox-device-claim"] for _, _, headers, _ in requests if "mailbox-device-claim" in headers}


class Waiting:
    """A recipient that takes long, beside the other tests. prepare(relay, until) gives its link."""

    def __init__(self, prepare, *options):
        self.relay = Double()
        self.relay.__enter__()
        self.until = int(time.time()) + 25
        link = prepare(self.relay, self.until)
        self.relay.moments.clear()
        self.process, self.result = begin_receive(link, self.relay, *options), None

    def end(self):
        if not self.result:
            _, errors = self.process.communicate(timeout=120)
            self.result = self.process.returncode, errors
            self.relay.__exit__()
        return self.result

    def pauses(self, first=0):
        moments = self.relay.moments[first:]
        return [later - earlier for earlier, later in zip(moments, moments[1:])]


def prepare_busy(relay, _until):
    relay.before = lambda request: (503, {}, b"")
    return relay.url + "/v1/m/" + str(uuid.uuid4()) + "#hXlr6aRC7KgJpOLTNZaLsw=="


def prepare_long(relay, until):
    """A mailbox that ends when it said it would by everybody's clock but the relay's own."""
    link = initiator_at(relay, expiration=until).share_url
    relay.advance_clock(-3600)
    return link


def is_uuid4(text):
    return str(uuid.UUID(text)) == text and uuid.UUID(text).version == 4


# The initiator's side ---------------------------------------------------------------------------------------------------

def credentials():
    """A folder with the client's own key and the public half of the front's."""
    folder, front = program.path("conformance-keys"), program.path("conformance-front")
    if not os.path.exists(folder):
        for name in (folder, front):
            subprocess.run([CLIENT, "--make-key", name], check=True, stdout=subprocess.DEVNULL)
        with open(os.path.join(front, "relay-key.pub")) as source, open(os.path.join(folder, "front-key.pub"), "w") as target:
            target.write(source.read())
        os.chmod(os.path.join(folder, "front-key.pub"), 0o600)
    return folder


def gateway_at(relay, **settings):
    settings = dict({"url": relay.url, "ca_file": getattr(relay, "ca_file", program.path("ca.pem"))}, **settings)
    return program.Gateway(settings, credentials())


def public_key():
    return json.load(open(os.path.join(credentials(), "relay-key.pub")))["keys"][0]


def create_frame(provisioning=PROVISIONING, **more):
    key = public_key()
    envelope = {"tenant": "adler", "nonce": program.b64(os.urandom(16)), "recipients": program.b64(os.urandom(32)), "class": "car",
                "not_after": int(time.time()) + 3600}
    frame = {"type": "create", "share": "shr_" + uuid.uuid4().hex[:26], "generation": 0, "claim": str(uuid.uuid4()),
             "request": str(uuid.uuid4()), "expiration": int(time.time()) + 7200, "rights": "RWD", "vertical": "c", "display": DISPLAY,
             "envelope": envelope, "kid": key["kid"],
             "box": program.seal(base64.b64decode(key["key"]), dict(envelope, v=1, provisioning=provisioning))}
    return dict(frame, **more)


class Transfer:
    """One share: what the gateway would keep of it. With a mailbox, the relay is not asked for one."""

    def __init__(self, gateway, mailbox=None, **more):
        self.gateway, self.frame = gateway, create_frame(**more)
        self.created = {"type": "done", "mailbox": mailbox} if mailbox else gateway.call(self.frame)
        assert self.created["type"] == "done", self.created

    @property
    def secret(self):
        return base64.b64decode(self.created["link"].split("#")[1])

    def ask(self, kind, **more):
        frame = {"type": kind, "share": self.frame["share"], "generation": 0, "kid": self.frame["kid"], "mailbox": self.created["mailbox"],
                 "claim": self.frame["claim"]}
        if kind != "read":
            frame["request"] = str(uuid.uuid4())
        return dict(frame, **more)

    def look(self):
        return self.gateway.call(self.ask("read"))

    def read(self, known, expect=1):
        return self.gateway.call(self.ask("read", expect=expect, known=known))

    def message(self, number, known, provisioning=PROVISIONING, **more):
        """A frame that writes a further message."""
        key, envelope = public_key(), {"tenant": "adler", "nonce": program.b64(os.urandom(16)), "class": "message",
                                       "recipients": program.b64(address_list_hash(self.frame["share"])), "not_after": int(time.time()) + 3600}
        return self.ask("update", number=number, known=known, envelope=envelope, message_kid=key["kid"],
                        box=program.seal(base64.b64decode(key["key"]), dict(envelope, v=1, provisioning=provisioning)), **more)

    def recipient(self, relay):
        return Recipient(self.created["link"], relay.ca_file, ports=(relay.port,))


def address_list_hash(address):
    """Of a list of one, as base/address.h has it."""
    return hashlib.blake2b(address.encode() + b"\n", digest_size=32).digest()


def digest_of(payload):
    return program.b64(hashlib.sha256(base64.b64decode(payload["data"])).digest())


def payload_in(relay):
    mailbox, = relay.mailboxes.mailboxes.values()
    return mailbox.payload


# The recipient's side ---------------------------------------------------------------------------------------------------

def receive(link, relay, *options, host=None, timeout=90, arguments=()):
    command = [RECEIVE, *arguments, "--ca-file", getattr(relay, "ca_file", program.path("ca.pem")), "--allow", host or relay.url[8:], *options]
    return subprocess.run(command + ["-"], input=link + "\n", capture_output=True, text=True, timeout=timeout)


def begin_receive(link, relay, *options):
    process = subprocess.Popen([RECEIVE, "--ca-file", relay.ca_file, "--allow", relay.url[8:], *options, "-"], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdin.write(link + "\n")
    process.stdin.flush()
    return process


def initiator_at(relay, provisioning=PROVISIONING, **more):
    """The second implementation's initiator, with a mailbox; its link is .share_url."""
    initiator = Initiator(relay.url, relay.ca_file)
    initiator.share_url = initiator.create(draft_v.json_bytes(provisioning), DISPLAY, secret=os.urandom(16), **more)
    return initiator


def a_handler(*answers):
    return a_handler_in(*answers)[0]


def a_handler_in(*answers):
    """A command that answers the n-th message with the n-th of these, and then nothing; and the folder where it notes them."""
    folder = tempfile.mkdtemp(dir=program.folder.name)
    for number, answer in enumerate(answers):
        with open(os.path.join(folder, "answer-%d" % number), "w") as f:
            json.dump(answer, f)
    return "cd %s; n=$(ls | grep -c received); cat >received-$n; cat answer-$n 2>/dev/null || true" % folder, folder


# Promises -------------------------------------------------------------------------------------------------------------

def c01_neither_program_asks_without_tls():
    listener = socket.create_server(("127.0.0.1", 0))
    url = "http://127.0.0.1:%d" % listener.getsockname()[1]
    gateway = program.Gateway({"url": url}, credentials())
    assert gateway.process.wait(30) == 78 and "https" in gateway.log(), gateway.log()
    with Double() as relay:
        result = receive(url + "/v1/m/" + str(uuid.uuid4()) + "#hXlr6aRC7KgJpOLTNZaLsw==", relay, host=url[7:])
        assert result.returncode == EXIT_USAGE, result
    listener.setblocking(False)
    try:
        listener.accept()
        raise AssertionError("somebody came")
    except BlockingIOError:
        pass
    listener.close()


def c02_a_relay_with_another_name_is_told_nothing():
    relay = program.Scripted(program.created_by, "other-name")
    gateway = gateway_at(relay)
    answer = gateway.call(create_frame(rights="RD"))
    assert (answer["type"], answer["reason"]) == ("again", "tls-certificate"), answer
    result = receive(relay.url + "/v1/m/" + str(uuid.uuid4()) + "#hXlr6aRC7KgJpOLTNZaLsw==", relay)
    assert result.returncode == EXIT_UNREACHABLE and "certificate" in result.stderr, result
    assert relay.accepted >= 2 and relay.requests == [] and relay.raw == b""
    gateway.close()
    relay.close()


def c02_no_redirect_is_followed():
    target = program.Scripted(program.created_by)
    for status in (301, 302, 303, 307, 308):
        relay = program.Scripted(lambda request: program.http(status, b"", request, "Location: %s%s\r\n" % (target.url, request.target)))
        gateway = gateway_at(relay, allow_host=[relay.url[8:], target.url[8:]])
        transfer = Transfer(gateway, mailbox=relay.url + "/v1/m/" + str(uuid.uuid4()))
        for frame in (transfer.frame, transfer.ask("read"), transfer.ask("delete"), transfer.message(2, program.b64(bytes(32)))):
            answer = gateway.call(frame)
            assert (answer["type"], answer["reason"]) == ("refused", "redirect-%d" % status), (frame["type"], answer)
        link = transfer.created["mailbox"] + "#hXlr6aRC7KgJpOLTNZaLsw=="
        assert receive(link, relay, "--allow", target.url[8:]).returncode == EXIT_REFUSED
        gateway.close()
        relay.close()
    assert target.accepted == 0
    target.close()


def c05_a_request_keeps_its_id_until_it_is_answered():
    with Double() as relay:
        refused = set()

        def once(request):
            if request[0] in refused:
                return None
            refused.add(request[0])
            return 503, {}, b""

        link = initiator_at(relay).share_url
        relay.requests.clear()
        relay.before = once
        assert receive(link, relay).returncode == 0
        reads, deletes = ids_of(relay.asked("POST")), ids_of(relay.asked("DELETE"))
        assert len(reads) == len(deletes) == 2 and len(set(reads)) == len(set(deletes)) == 1, (reads, deletes)
        assert is_uuid4(reads[0]) and is_uuid4(deletes[0]) and reads[0] != deletes[0]

        gateway, frame = gateway_at(relay), create_frame(rights="RD")
        refused.clear()
        relay.requests.clear()
        assert gateway.call(frame)["type"] == "again"
        created = gateway.call(frame)
        assert created["type"] == "done" and ids_of(relay.asked()) == [frame["request"]] * 2
        gateway.close()


def c05_each_look_has_an_id_of_its_own():
    with Double() as relay:
        gateway = gateway_at(relay)
        transfer = Transfer(gateway)
        relay.requests.clear()
        for _ in range(3):
            assert transfer.look()["type"] == "done"
        ids = ids_of(relay.asked())
        assert len(set(ids)) == 3 and all(map(is_uuid4, ids)), ids
        gateway.close()


def c06_an_answer_to_another_request_counts_for_nothing():
    def script(request):
        right = answers(request)
        if request.method not in wrong:
            return right
        wrong.remove(request.method)
        return right.replace(request.headers["mailbox-request-id"].encode(), str(uuid.uuid4()).encode())

    def answers(request):
        if request.target == "/v1/m":
            return program.created_by(request)
        payload = draft_v.payload_seal("AEAD_AES_128_GCM", bytes(16), draft_v.json_bytes(PROVISIONING))
        return program.http(200, {"payload": payload} if request.method == "POST" else {}, request)

    relay = program.Scripted(script)
    gateway, frame, wrong = gateway_at(relay), create_frame(rights="RD"), ["POST"]
    answer = gateway.call(frame)
    assert (answer["type"], answer["reason"]) == ("again", "wrong-echo"), answer
    assert gateway.call(frame)["type"] == "done"
    assert [request.headers["mailbox-request-id"] for request in relay.requests] == [frame["request"]] * 2

    relay.requests.clear()
    wrong += ["POST", "DELETE"]
    assert receive(relay.url + "/v1/m/" + str(uuid.uuid4()) + "#" + program.b64(bytes(16)), relay).returncode == 0
    seen = [(request.method, request.headers["mailbox-request-id"]) for request in relay.requests]
    assert [method for method, _ in seen] == ["POST", "POST", "DELETE", "DELETE"] and len(set(seen)) == 2, seen
    gateway.close()
    relay.close()


def c08_a_preview_takes_no_hold_and_tells_no_claim():
    with Double() as relay:
        side = Initiator(relay.url, relay.ca_file)
        display = dict(DISPLAY, title='<b>"Rooms" & keys</b>\u009b\x1b[31m')
        link = side.create(draft_v.json_bytes(PROVISIONING), display, secret=os.urandom(16))
        relay.requests.clear()
        result = receive(link, relay, "--preview")
        assert result.returncode == 0, result
        assert json.loads(result.stdout) == dict(display, title='<b>"Rooms" & keys</b>   [31m'), result
        (method, target, headers, body), = relay.asked()
        assert (method, body) == ("GET", b"") and is_uuid4(headers["mailbox-request-id"]), headers
        assert not [name for name in headers if "claim" in name or "attest" in name], headers
        mailbox, = relay.mailboxes.mailboxes.values()
        apart = receive(link.split("#")[0], relay, "--preview")
        assert (apart.returncode, apart.stdout) == (0, result.stdout), "a preview needs no Secret"
        assert mailbox.recipient is None
        assert receive(link, relay).returncode == 0
        assert receive(link, relay, "--preview").returncode == EXIT_GONE
        for other in (("--keep",), ("--state", program.path("none")), ("--handler", "true")):
            assert receive(link, relay, "--preview", *other).returncode == EXIT_USAGE


def c09_each_mailbox_has_a_recipients_claim_of_its_own():
    with Double() as relay:
        claims = set()
        for _ in range(3):
            link = initiator_at(relay).share_url
            relay.requests.clear()
            assert receive(link, relay).returncode == 0
            claim, = claims_of(relay.asked())
            assert is_uuid4(claim)
            claims.add(claim)
        assert len(claims) == 3


def c10_a_recipient_does_not_use_the_initiators_claim():
    with Double() as relay:
        gateway = gateway_at(relay)
        transfer = Transfer(gateway, claim="5b1f4c1e-2f57-4b0e-8d0a-6a7c1f0e9a01")
        relay.requests.clear()
        assert receive(transfer.created["link"], relay).returncode == 0
        assert transfer.frame["claim"] not in claims_of(relay.asked()) and relay.requests
        gateway.close()


def c11_one_claim_has_one_request_under_way():
    arrived, held = threading.Event(), threading.Event()
    with Double() as relay:
        gateway = gateway_at(relay)
        transfer = Transfer(gateway)
        other = Transfer(gateway)
        relay.requests.clear()

        def hold(request):
            if request[0] == "DELETE" and request[2]["mailbox-device-claim"] == transfer.frame["claim"]:
                arrived.set()
                assert held.wait(60)

        relay.before = hold
        first = gateway.ask(transfer.ask("delete"))
        assert arrived.wait(30)
        for frame in (transfer.ask("delete"), transfer.message(2, transfer.created["digest"]), transfer.ask("read"), transfer.frame):
            answer = gateway.call(frame)
            assert (answer["type"], answer["reason"]) == ("again", "claim-is-busy"), (frame["type"], answer)
        assert other.look()["type"] == "done", "one claim holds up another"
        held.set()
        assert gateway.answer(first)["type"] == "done"
        assert len([request for request in relay.asked() if request[2]["mailbox-device-claim"] == transfer.frame["claim"]]) == 1
        assert transfer.look()["type"] == "gone"
        gateway.close()


def c12_a_recipients_claim_is_on_disk_before_the_relay_hears_it():
    with Double() as relay:
        kept, file = [], program.path("claim-first")
        link = initiator_at(relay).share_url

        def note(request):
            if request[0] == "POST":
                with open(file) as f:
                    kept.append(request[2]["mailbox-device-claim"] in f.read())

        relay.before = note
        assert receive(link, relay, "--claim-file", file).returncode == 0
        assert kept == [True], kept


def c14_several_messages_ask_for_the_right_to_write():
    with Double() as relay:
        gateway = gateway_at(relay)
        for rights in ("RWD", "RD"):
            relay.requests.clear()
            Transfer(gateway, rights=rights)
            (_, _, _, body), = relay.asked()
            assert json.loads(body)["mailboxConfiguration"]["accessRights"] == rights
        gateway.close()


def c18_a_link_is_what_the_relay_gave_with_the_rest_behind_it():
    odd = "https://127.0.0.1:%s/v1/m/2BBA630E-519b-11EC-bf63-0242AC130002"
    relay = program.Scripted(lambda request: program.http(200, {"urlLink": odd % request.headers["host"].split(":")[1]}, request))
    gateway = gateway_at(relay)
    created = gateway.call(create_frame(rights="RD"))
    expected = odd % relay.url.split(":")[2]
    assert created["mailbox"] == expected and created["link"].startswith(expected + "?v=c#"), created
    gateway.close()
    relay.close()


def c20_the_secret_reaches_the_relay_in_no_form():
    with Double() as relay:
        gateway = gateway_at(relay)
        transfer = Transfer(gateway)
        handler = a_handler({"format": "digitalwallet.carkey.ccc", "content": {"message": "KeySigningRequest"}})
        process = begin_receive(transfer.created["link"], relay, "--handler", handler)
        wait_until(lambda: relay.asked("PUT"), "the recipient's answer")
        wait_until(lambda: "message" in transfer.read(transfer.created["digest"]), "it is read")
        known = digest_of(payload_in(relay))
        assert gateway.call(transfer.message(2, known))["type"] == "done"
        assert process.wait(90) == 0, process.stderr.read()
        process.communicate()
        methods = {request[0] for request in relay.asked()}
        assert methods == {"POST", "PUT", "DELETE"}, methods
        secret, octets = transfer.secret, relay.octets()
        for form in (secret, base64.b64encode(secret), base64.urlsafe_b64encode(secret), secret.hex().encode(), b"#", b"?v="):
            assert form.rstrip(b"=") not in octets, form
        gateway.close()


def c22_nobody_is_asked_who_was_not_named():
    with Double() as relay:
        link = initiator_at(relay).share_url
        relay.requests.clear()
        result = receive(link, relay, host="relay.example")
        assert result.returncode == EXIT_NOT_ALLOWED, result
        gateway = gateway_at(relay, allow_host=["relay.example"])
        transfer = Transfer(gateway, mailbox=relay.url + "/v1/m/" + str(uuid.uuid4()))
        for kind in ("read", "delete"):
            answer = gateway.call(transfer.ask(kind))
            assert (answer["type"], answer["reason"]) == ("refused", "bad-mailbox"), answer
        assert relay.requests == []
        gateway.close()


def c24_only_a_repeated_message_has_the_same_iv():
    with Double() as relay:
        gateway = gateway_at(relay)
        transfer, seen = Transfer(gateway), []
        recipient = transfer.recipient(relay)
        recipient.read()
        digest = transfer.created["digest"]
        seen.append(payload_in(relay)["data"])
        for number in (2, 4):
            recipient.my_turn = True
            recipient.write(draft_v.json_bytes({"format": "f", "content": {"n": number}}))
            answer = transfer.read(digest, expect=number - 1)
            assert "message" in answer, answer
            frame = transfer.message(number, answer["digest"])
            first = gateway.call(frame)
            assert first["type"] == "done", first
            seen.append(payload_in(relay)["data"])
            again = gateway.call(frame)
            assert again["type"] == "done" and again["digest"] == first["digest"] and payload_in(relay)["data"] == seen[-1], again
            digest = first["digest"]
            recipient.read()
        # The content was the same three times.
        assert len({base64.b64decode(data)[:12] for data in seen}) == 3
        gateway.close()


def c29_to_delete_what_is_gone_is_to_delete_it():
    with Double() as relay:
        gateway = gateway_at(relay)
        transfer = Transfer(gateway)
        assert gateway.call(transfer.ask("delete"))["type"] == "done"
        assert gateway.call(transfer.ask("delete"))["type"] == "gone"
        gateway.close()
        link = initiator_at(relay).share_url
        relay.before = lambda request: (404, {}, b"") if request[0] == "DELETE" else None
        result = receive(link, relay)
        assert result.returncode == 0 and json.loads(result.stdout) == PROVISIONING, result


def c26_the_oldest_names_of_algorithms_are_for_relays_that_are_named_so():
    secret = os.urandom(16)
    payload = draft_v.payload_seal("AEAD_AES_128_GCM", secret, draft_v.json_bytes(PROVISIONING))
    body = {"displayInformation": DISPLAY, "payload": {**payload, "type": "AES128"}}
    relay = program.Scripted(lambda request: program.http(200, body, request))
    link = relay.url + "/v1/m/" + str(uuid.uuid4()) + "#" + draft_v.base64_encode(secret)
    result = receive(link, relay)
    assert result.returncode == EXIT_UNREADABLE and result.stdout == "" and "unsupported-type" in result.stderr, result
    result = receive(link, relay, "--legacy", "sct04")
    assert result.returncode == 0 and json.loads(result.stdout) == PROVISIONING, result
    relay.close()


def c30_who_comes_second_is_told_that_another_has_it():
    with Double() as relay:
        gateway = gateway_at(relay)
        transfer = Transfer(gateway)
        transfer.recipient(relay).read()
        result = receive(transfer.created["link"], relay)
        assert result.returncode == EXIT_CLAIMED and result.stdout == "" and "nother device" in result.stderr, result
        answer = gateway.call(transfer.ask("read", claim=str(uuid.uuid4())))
        assert answer["type"] == "claimed", answer
        gateway.close()


def c31_a_mailbox_that_is_gone_ends_the_transfer():
    with Double() as relay:
        gateway = gateway_at(relay)
        transfer = Transfer(gateway, mailbox=relay.url + "/v1/m/" + str(uuid.uuid4()))
        known = program.b64(bytes(32))
        for frame in (transfer.ask("read"), transfer.ask("read", expect=1, known=known), transfer.message(2, known)):
            assert gateway.call(frame)["type"] == "gone", frame
        assert receive(transfer.created["mailbox"] + "#hXlr6aRC7KgJpOLTNZaLsw==", relay).returncode == EXIT_GONE
        gateway.close()


def c31_what_has_expired_is_not_taken_from_a_relay_that_still_has_it():
    def age(request, answer):
        status, headers, body = answer
        if request[0] == "POST" and status == 200:
            return status, headers, draft_v.json_bytes({**json.loads(body), "expiration": draft_v.time_text(int(time.time()) - 1)})
        return answer

    with Double() as relay:
        relay.after = age
        for options in ((), ("--handler", a_handler({"format": "f", "content": {}}))):
            result = receive(initiator_at(relay).share_url, relay, *options)
            assert result.returncode == EXIT_GONE and result.stdout == "" and "has expired" in result.stderr, result
        assert not relay.asked("PUT")


def c31_a_recipient_tells_an_end_from_an_expiry_by_the_clock():
    with Double() as relay:
        side = initiator_at(relay)
        process = begin_receive(side.share_url, relay, "--handler", a_handler({"format": "f", "content": {}}))
        wait_until(lambda: relay.asked("PUT"), "it has answered")
        side.delete()
        _, errors = process.communicate(timeout=60)
        assert process.returncode == EXIT_GONE and "before it expired" in " ".join(errors.split()), errors
    returncode, errors = waiting.end()
    assert returncode == EXIT_GONE and "has expired" in " ".join(errors.split()), errors


def c32_a_recipient_tries_again_what_may_pass_and_nothing_else():
    with Double() as relay:
        for status in (400, 403, 409, 410, 413, 501):
            relay.before = lambda request: (status, {}, b"")
            relay.requests.clear()
            result = receive(relay.url + "/v1/m/" + str(uuid.uuid4()) + "#hXlr6aRC7KgJpOLTNZaLsw==", relay)
            assert result.returncode == EXIT_REFUSED and len(relay.requests) == 1, (status, result)
        # Who is told to wait waits that long.
        relay.before = None
        link, refused = initiator_at(relay).share_url, []
        relay.before = lambda request: None if refused else refused.append(request) or (429, {"Retry-After": "3"}, b"")
        relay.moments.clear()
        assert receive(link, relay).returncode == 0
        assert relay.moments[1] - relay.moments[0] >= 2.99, relay.moments


def c32_a_recipient_tries_again_ever_later():
    returncode, errors = busy.end()
    pauses = busy.pauses()
    assert returncode == EXIT_UNREACHABLE and len(set(ids_of(busy.relay.asked()))) == 1, errors
    assert len(pauses) == 3 and all(pause >= least for pause, least in zip(pauses, (0.99, 1.99, 3.99))), pauses


def c35_a_recipient_waits_ever_longer_and_not_beyond_the_end():
    waiting.end()
    put = [request[0] for request in waiting.relay.asked()].index("PUT")
    pauses = waiting.pauses(put + 1)
    assert 3 <= len(pauses) <= 8, pauses
    assert pauses[0] >= 1.6 and pauses[1] >= 2.4 and pauses[2] >= 3.6, pauses
    assert waiting.relay.moments[-1] <= waiting.until + 5, "it went on asking"


def c36_our_own_message_and_an_older_one_are_no_news():
    with Double() as relay:
        gateway = gateway_at(relay)
        transfer = Transfer(gateway)
        recipient, zero = transfer.recipient(relay), payload_in(relay)
        recipient.read()
        assert transfer.read(transfer.created["digest"]) == {"type": "done", "id": gateway.next_id}
        recipient.write(draft_v.json_bytes({"format": "f", "content": {"n": 1}}))
        one = payload_in(relay)
        read = transfer.read(transfer.created["digest"])
        assert "message" in read and read["digest"] == digest_of(one), read
        written = gateway.call(transfer.message(2, read["digest"]))
        assert written["type"] == "done", written
        mailbox, = relay.mailboxes.mailboxes.values()
        for payload in (zero, payload_in(relay)):
            mailbox.payload = payload
            answer = transfer.read(written["digest"], expect=3)
            assert "message" not in answer, "our own message came back as the recipient's"
        gateway.close()


def c36_a_recipient_takes_neither_its_own_nor_an_older_message_for_news():
    with Double() as relay:
        side, zero = initiator_at(relay), payload_in(relay)
        handler, folder = a_handler_in({"format": "f", "content": {"n": 1}})
        process = begin_receive(side.share_url, relay, "--handler", handler)
        wait_until(lambda: relay.asked("PUT"), "it has answered")
        mailbox, = relay.mailboxes.mailboxes.values()
        with relay.lock:
            answer, mailbox.payload, looks = mailbox.payload, zero, len(relay.requests)
        wait_until(lambda: len(relay.requests) >= looks + 2, "two more looks")
        mailbox.payload = answer
        side.read()
        side.write(draft_v.json_bytes({"format": "f", "content": {"n": 2}}))
        _, errors = process.communicate(timeout=90)
        assert process.returncode == 0 and "was there before" in " ".join(errors.split()), errors
        assert sorted(os.listdir(folder)) == ["answer-0", "received-0", "received-1"]
        assert json.load(open(os.path.join(folder, "received-1")))["content"] == {"n": 2}


def c37_a_recipient_deletes_what_it_could_use():
    with Double() as relay:
        link = initiator_at(relay).share_url
        assert receive(link, relay).returncode == 0
        assert [request[0] for request in relay.asked()][-1] == "DELETE" and not relay.mailboxes.mailboxes
        unreadable = initiator_at(relay).share_url.split("#")[0] + "#" + program.b64(bytes(16))
        relay.requests.clear()
        assert receive(unreadable, relay).returncode == EXIT_UNREADABLE
        assert not relay.asked("DELETE") and len(relay.mailboxes.mailboxes) == 1


def c38_an_initiator_can_delete_at_any_time():
    with Double() as relay:
        gateway = gateway_at(relay)

        def read(recipient, transfer):
            recipient.read()

        def answered(recipient, transfer):
            read(recipient, transfer)
            recipient.write(draft_v.json_bytes({"format": "f", "content": {}}))

        def written(recipient, transfer):
            answered(recipient, transfer)
            digest = transfer.read(transfer.created["digest"])["digest"]
            assert gateway.call(transfer.message(2, digest))["type"] == "done"

        for reach in (lambda recipient, transfer: None, read, answered, written):
            transfer = Transfer(gateway)
            reach(transfer.recipient(relay), transfer)
            assert gateway.call(transfer.ask("delete"))["type"] == "done", reach
            assert not relay.mailboxes.mailboxes
        gateway.close()


def c39_what_was_not_read_is_not_written_over():
    with Double() as relay:
        gateway = gateway_at(relay)
        transfer = Transfer(gateway)
        recipient = transfer.recipient(relay)
        recipient.read()
        recipient.write(draft_v.json_bytes({"format": "f", "content": {"n": 1}}))
        unread = payload_in(relay)
        relay.requests.clear()
        answer = gateway.call(transfer.message(2, transfer.created["digest"]))
        assert (answer["type"], answer["reason"]) == ("again", "unread-message"), answer
        assert payload_in(relay) == unread and not relay.asked("PUT")
        # A cancel is the exception.
        assert gateway.call(transfer.ask("delete"))["type"] == "done" and not relay.mailboxes.mailboxes
        gateway.close()


def c39_a_recipient_does_not_write_over_what_it_did_not_read():
    with Double() as relay:
        side, seen = initiator_at(relay), []

        def watch(request, answer):
            if request[0] == "POST":
                mailbox, = relay.mailboxes.mailboxes.values()
                seen.append(mailbox.payload)
                if len(seen) == 1:  # the sender does not wait for its turn
                    mailbox.payload = draft_v.payload_seal("AEAD_AES_128_GCM", side.secret, draft_v.json_bytes(PROVISIONING))

        def check(request):
            if request[0] == "PUT" and payload_in(relay) != seen[-1]:
                overwritten.append(payload_in(relay))

        overwritten, relay.before, relay.after = [], check, watch
        process = begin_receive(side.share_url, relay, "--handler", a_handler({"format": "f", "content": {}}))
        wait_until(lambda: len(seen) >= 2, "it looked before it wrote")
        _, errors = process.communicate(timeout=90)
        assert process.returncode == 0 and not overwritten, (errors, overwritten)
        assert not relay.asked("PUT"), "what was written answered a message that was gone"


def c40_a_flood_is_cut_off():
    def peak(pid):
        with open("/proc/%d/status" % pid) as f:
            return int(next(line.split()[1] for line in f if line.startswith("VmHWM")))

    bodies = ((b"{" + b" " * (64 << 20), "answer-too-large"), (b"[" * (200 << 10), "answer-too-deep"),
              (b'{"urlLink":' * (20 << 10), "answer-too-deep"),
              (b"{" + b",".join(b'"a":1' for _ in range(40 << 10)) + b"}", "answer-repeated-member"),
              (b'{"a":"' + b"\xff" * (200 << 10) + b'"}', "answer-not-utf8"), (b"{" * 10 + b" " * (200 << 10), "answer-not-json"))
    relay = program.Scripted(lambda request: None)
    gateway = gateway_at(relay)
    for body, reason in bodies:
        relay.script = lambda request, body=body: program.http(200, body, request)
        answer = gateway.call(create_frame(rights="RD"))
        assert (answer["type"], answer["reason"]) == ("again", reason), (body[:12], answer)
    limit = (1 << 20 if is_sanitized(os.path.dirname(os.path.dirname(CLIENT))) else 48 << 10)
    assert peak(gateway.process.pid) < limit, "%d KiB" % peak(gateway.process.pid)
    gateway.close()
    relay.close()


def c41_the_relay_learns_what_is_displayed_and_no_more():
    with Double() as relay:
        gateway = gateway_at(relay)
        transfer = Transfer(gateway)
        (_, target, headers, body), = relay.asked()
        body = json.loads(body)
        assert target == "/v1/m" and body["displayInformation"] == DISPLAY
        assert {name: sorted(value) for name, value in body.items()} == {
            "displayInformation": ["description", "imageURL", "title"], "payload": ["data", "type"],
            "mailboxConfiguration": ["accessRights", "expiration"]}, body
        assert sorted(headers) == ["accept", "content-length", "content-type", "host", "mailbox-device-claim", "mailbox-request-id",
                                   "user-agent"], headers
        octets, frame = relay.octets().decode(), transfer.frame
        for private in (frame["share"], "adler", frame["envelope"]["nonce"], frame["envelope"]["recipients"], frame["kid"], SECRET_MARKER):
            assert private not in octets, private
        gateway.close()


def c42_no_log_has_what_is_secret():
    texts, secrets = [], []
    with Double() as relay:
        gateway = gateway_at(relay)
        transfer = Transfer(gateway)
        secrets += [transfer.frame["claim"], transfer.created["link"].split("#")[1], transfer.secret.hex(), SECRET_MARKER, transfer.frame["box"][:40],
                    transfer.created["mailbox"].split("/")[-1]]
        link = transfer.created["link"]
        texts.append(receive(link, relay, "--keep", "--quiet").stderr)
        texts.append(receive(link, relay).stderr)
        texts.append(receive(link.split("#")[0] + "#" + program.b64(bytes(16)), relay).stderr)
        texts.append(receive(link, relay, host="relay.example").stderr)
        for status in (302, 400, 401, 404):
            relay.before = lambda request: (status, {"Location": link}, b"")
            texts.append(receive(link, relay).stderr)
            for frame in (transfer.frame, transfer.ask("read"), transfer.ask("delete"), transfer.message(2, transfer.created["digest"])):
                gateway.call(frame)
        gateway.call(create_frame(box=transfer.frame["box"][:-8] + "AAAAAAA="))
        gateway.call(transfer.ask("read", mailbox="https://relay.example/v1/m/x", claim="no claim " + SECRET_MARKER))
        relay.before = None
        secrets += claims_of(relay.asked())
        gateway.close()
        texts.append(gateway.log())
    for text in texts:
        for secret in secrets:
            assert secret not in text, (secret, text)
    assert any(texts), "nobody said anything"


def memory_of(pid):
    """All that a process can write to."""
    with open("/proc/%d/maps" % pid) as maps, open("/proc/%d/mem" % pid, "rb", 0) as memory:
        for line in maps:
            span, access = line.split()[:2]
            first, last = (int(number, 16) for number in span.split("-"))
            if not access.startswith("rw") or last - first > 1 << 28:
                continue  # nobody's, or the shadow that the sanitizers keep
            memory.seek(first)
            try:
                yield line.strip(), memory.read(last - first)
            except OSError:
                continue  # guard pages, and what the kernel maps


def forms_of(secret):
    """As it is and as text, and of each the second half, for the first of what is freed is lost anyhow."""
    whole = [secret, base64.b64encode(secret).rstrip(b"="), base64.urlsafe_b64encode(secret).rstrip(b"="), secret.hex().encode()]
    return whole + [form[len(form) // 2:] for form in whole]


def c45_neither_secret_nor_plaintext_stays_in_memory():
    with Double() as relay:
        gateway = gateway_at(relay)
        transfer = Transfer(gateway)
        recipient = transfer.recipient(relay)
        recipient.read()
        recipient.write(draft_v.json_bytes(MARKED_ANSWER))
        read = transfer.read(transfer.created["digest"])
        assert "message" in read, read
        assert gateway.call(transfer.message(2, read["digest"]))["type"] == "done"
        looked_for = [SECRET_MARKER.encode(), ANSWER_MARKER.encode(), *forms_of(transfer.secret)]
        found = [(where, form) for where, octets in memory_of(gateway.process.pid) for form in looked_for if form in octets]
        assert not found, found
        # What is still needed is found, so that what is not found is not there.
        assert any(relay.url[8:].encode() in octets for _, octets in memory_of(gateway.process.pid))
        gateway.close()


def c45_a_recipient_forgets_what_it_has_handled():
    with Double() as relay:
        side = initiator_at(relay)
        process = begin_receive(side.share_url, relay, "--handler", a_handler(MARKED_ANSWER))
        wait_until(lambda: len(relay.asked("PUT", "POST")) >= 5, "it has answered, and looked again")
        looked_for = [SECRET_MARKER.encode(), ANSWER_MARKER.encode()]
        found = [(where, form) for where, octets in memory_of(process.pid) for form in looked_for if form in octets]
        assert not found, found
        # The Secret is still needed.
        secret = base64.b64decode(side.share_url.split("#")[1])
        assert any(secret in octets for _, octets in memory_of(process.pid))
        side.delete()
        assert process.wait(90) == EXIT_GONE
        process.communicate()


def legacy_an_older_relay_is_spoken_to_in_its_own_words():
    names = {None: ("mailbox-device-claim", "mailbox-device-attestation"), "sct04": ("device-claim", "device-attestation")}
    folder = program.path("attested-keys")
    shutil.copytree(credentials(), folder)
    with os.fdopen(os.open(os.path.join(folder, "relay-attestation"), os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
        f.write("attested+by/us=")
    for legacy, (claim, attestation) in names.items():
        relay = program.Scripted(program.created_by)
        settings = {"url": relay.url, "ca_file": program.path("ca.pem"), **({"legacy": legacy} if legacy else {})}
        gateway = program.Gateway(settings, folder)
        transfer = Transfer(gateway)
        gateway.call(transfer.ask("delete"))
        create, delete = (request.headers for request in relay.requests)
        for headers in (create, delete):
            assert headers[claim] == transfer.frame["claim"] and "mailbox-request-id" in headers, headers
            assert not [name for pair in names.values() for name in pair if name in headers and name not in (claim, attestation)], headers
        assert create[attestation] == "attested+by/us=" and attestation not in delete, (create, delete)
        gateway.close()
        relay.close()
    relay = program.Scripted(lambda request: program.http(404, b"", request))
    link = relay.url + "/v1/m/" + str(uuid.uuid4()) + "#hXlr6aRC7KgJpOLTNZaLsw=="
    for options, (claim, _) in (((), names[None]), (("--legacy", "sct04"), names["sct04"])):
        assert receive(link, relay, *options).returncode == EXIT_GONE
        headers = relay.requests[-1].headers
        assert claim in headers and len([name for name in headers if "claim" in name]) == 1, headers
    assert receive(link, relay, "--legacy", "sct03").returncode == EXIT_USAGE
    relay.close()
    gateway = program.Gateway({"url": relay.url, "legacy": "sct03"}, folder)
    assert gateway.process.wait(30) == 78 and "sct04" in gateway.log()


TESTS = [(name, function) for name, function in list(globals().items()) if name[:1] == "c" and name[1:3].isdigit() or name.startswith("legacy_")]
TESTS.sort(key=lambda test: test[1] in (c31_a_recipient_tells_an_end_from_an_expiry_by_the_clock, c32_a_recipient_tries_again_ever_later,
                                        c35_a_recipient_waits_ever_longer_and_not_beyond_the_end))

if __name__ == "__main__":
    program.make_certificates()
    busy = Waiting(prepare_busy)
    waiting = Waiting(prepare_long, "--handler", a_handler({"format": "f", "content": {}}))
    status = tap.run(TESTS, sys.argv[4:])
    sys.stdout.flush()
    program.folder.cleanup()
    os._exit(status)
