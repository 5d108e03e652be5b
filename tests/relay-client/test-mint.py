"""Mint with the whole vestibule-relay-client: a socketpair stands for the gateway, an HTTPS server for the tenant. What
tenants are told in plugins/api/MINT.md is what that server runs.

Usage: test-mint.py CLIENT RECEIVE RELAY MINT.md [name…]"""

import base64
import contextlib
import importlib.machinery
import importlib.util
import json
import os
import re
import sqlite3
import sys
import threading
import time

from cryptography.exceptions import InvalidSignature

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(here, ".."))
from harness import tap  # noqa: E402

loader = importlib.machinery.SourceFileLoader("program", os.path.join(here, "test-program.py"))
program = sys.modules["program"] = importlib.util.module_from_spec(importlib.util.spec_from_loader("program", loader))
loader.exec_module(program)
from program import Gateway, Relay, Scripted, create_frame, http, path, sodium  # noqa: E402

page = open(sys.argv[4]).read()
recipe = {}
for block in re.findall(r"^```python\n(.*?)^```$", page, re.M | re.S):
    exec(compile(block, "MINT.md", "exec"), recipe)

CONTENT = {"format": "digitalwallet.generic.authorizationToken", "content": {"token": "MARKER-mint-4711", "name": "Hôtel Élysée", "n": [1, 2.5, None]}}
SYMBOLS = "0123456789abcdefghjkmnpqrstvwxyz"


# The tenant -----------------------------------------------------------------------------------------------------------

def signer():
    return json.load(open(path("keys", "relay-key.pub")))["signer"]


class Tenant(Scripted):
    """Answers as the page says; or what `script(request)` returns."""

    def __init__(self, script=None, certificate="localhost"):
        super().__init__(script or self.issue, certificate)
        self.url = "https://localhost:%d" % self.listener.getsockname()[1]
        self.store = path("issued-%d" % self.listener.getsockname()[1])
        self.n_issued = 0

    def make(self, share):
        self.n_issued += 1
        return dict(CONTENT, content=dict(CONTENT["content"], number=self.n_issued))

    def issue(self, request):
        try:
            share = recipe["share_of"](self.url + request.target, request.headers, request.body, signer())
        except (ValueError, KeyError, InvalidSignature):
            return http(401)
        with contextlib.closing(sqlite3.connect(self.store, isolation_level=None, timeout=20)) as database:
            return http(200, recipe["answer_for"](database, share, self.make).encode())


def share_id():
    return "shr_" + "".join([SYMBOLS[os.urandom(1)[0] % 8]] + [SYMBOLS[b % 32] for b in os.urandom(25)])


def mint_frame(url, share=None, tenant="adler", **more):
    frame = create_frame(share or share_id(), {"tenant": tenant})
    return dict({"type": "mint", "share": frame["share"], "url": url, "envelope": frame["envelope"], "expiration": frame["expiration"]}, **more)


def gateway_for(relay_url="https://127.0.0.1:1", **settings):
    return Gateway(dict({"url": relay_url, "ca_file": path("ca.pem"), "mint_ca_file": path("ca.pem"), "mint_allow_private": "yes"}, **settings))


def opened(box):
    """What the relay client finds in a box: the whole envelope."""
    key = json.load(open(path("keys", "relay-key")))["keys"][0]
    public = json.load(open(path("keys", "relay-key.pub")))["keys"][0]
    sealed, plain = base64.b64decode(box), bytearray(len(base64.b64decode(box)) - 48)
    buffer = (program.ctypes.c_char * len(plain)).from_buffer(plain)
    assert sodium.crypto_box_seal_open(buffer, sealed, program.ctypes.c_ulonglong(len(sealed)), base64.b64decode(public["key"]),
                                       base64.b64decode(key["secret"])) == 0
    return json.loads(bytes(plain))


def outcome(answer):
    return {key: value for key, value in answer.items() if key != "id"}


def asked_once(script, certificate="localhost", **settings):
    """The relay client's answer when a tenant does this, and how many requests came."""
    tenant, gateway = Tenant(script, certificate), gateway_for(**settings)
    answer = gateway.call(mint_frame(tenant.url + "/mint/1"))
    gateway.close()
    tenant.close()
    assert "MARKER" not in gateway.log() and tenant.url not in gateway.log(), gateway.log()
    return outcome(answer), len(tenant.requests)


# Promises -------------------------------------------------------------------------------------------------------------

def what_a_tenant_makes_is_sealed_created_and_received():
    with contextlib.closing(Relay()) as relay:
        mint_create_and_receive(relay)


def mint_create_and_receive(relay):
    tenant, gateway = Tenant(), gateway_for(relay.url)
    frame = mint_frame(tenant.url + "/mint/booking-4711?a=b")
    minted = gateway.call(frame)
    assert minted["type"] == "done" and set(minted) == {"type", "id", "kid", "box"}, minted
    issued = dict(CONTENT, content=dict(CONTENT["content"], number=1))
    assert opened(minted["box"]) == dict(frame["envelope"], v=1, provisioning=issued)

    create = create_frame(frame["share"])
    create.update(envelope=frame["envelope"], kid=minted["kid"], box=minted["box"])
    created = gateway.call(create)
    assert created["type"] == "done", created
    received = program.receive(created["link"], relay)
    assert received.returncode == 0 and json.loads(received.stdout) == issued, received
    gateway.close()
    assert gateway.status == [(True, "")], gateway.status
    for secret in ("MARKER", "booking-4711", frame["share"]):
        assert secret not in gateway.log(), gateway.log()
    tenant.close()


def a_repeated_request_carries_the_same_key_and_gets_the_same_answer():
    tenant = Tenant()
    frame = mint_frame(tenant.url + "/mint/1")
    boxes = []
    for _ in range(2):  # a crash between the two
        gateway = gateway_for()
        boxes.append(gateway.call(frame)["box"])
        gateway.kill()
    assert tenant.n_issued == 1 and len(tenant.requests) == 2
    first, second = tenant.requests
    assert first.body == second.body == json.dumps({"share": frame["share"]}, separators=(",", ":")).encode()
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"] == '"%s"' % frame["share"]
    assert boxes[0] != boxes[1] and opened(boxes[0]) == opened(boxes[1])
    tenant.close()


def nothing_but_what_the_page_says_is_sent():
    tenant, gateway = Tenant(), gateway_for()
    assert gateway.call(mint_frame(tenant.url + "/mint//x/%41~?q=%2B&r"))["type"] == "done"
    request, = tenant.requests
    assert (request.method, request.target) == ("POST", "/mint//x/%41~?q=%2B&r")
    assert set(request.headers) == {"host", "user-agent", "accept", "content-type", "content-length", "content-digest", "idempotency-key",
                                    "signature-input", "signature"}, request.headers
    for name in ("host", "accept", "content-type"):
        assert "localhost" in request.headers[name] or request.headers[name] == "application/json"
    shown = re.search(r"Signature-Input: (vestibule=\(.*\))\n *(;created=)\d+(;keyid=)\"[0-9a-f]{16}\"(;.*)\n", page)
    assert re.fullmatch("".join(re.escape(part) if i % 2 == 0 else part for i, part in enumerate(
        [shown[1] + shown[2], r"\d+", shown[3], '"[0-9a-f]{16}"', shown[4]])), request.headers["signature-input"])
    gateway.close()
    tenant.close()


def a_request_that_was_changed_in_any_part_does_not_verify():
    tenant, gateway = Tenant(), gateway_for()
    gateway.call(mint_frame(tenant.url + "/mint/1"))
    gateway.close()
    tenant.close()
    request, = tenant.requests
    url, headers, body = tenant.url + "/mint/1", request.headers, request.body

    def verifies(url=url, body=body, key=None, **changes):
        changed = {name: changes.get(name.replace("-", "_"), value) for name, value in headers.items()}
        try:
            return bool(recipe["share_of"](url, changed, body, key or signer()))
        except (ValueError, KeyError, InvalidSignature):
            return False

    other = bytearray(base64.b64decode(signer()))
    other[0] ^= 1
    old = re.sub(r"created=\d+", "created=%d" % (time.time() - 200), headers["signature-input"])
    assert verifies() and headers["signature-input"] != old
    assert not verifies(url=url + "0")
    assert not verifies(url=url.replace("https", "http"))
    assert not verifies(body=body + b" ")
    assert not verifies(body=body.replace(b"shr_", b"shr-"))
    assert not verifies(content_type="text/plain")
    assert not verifies(idempotency_key='"' + share_id() + '"')
    assert not verifies(signature_input=old)
    assert not verifies(signature_input=headers["signature-input"].replace(' "idempotency-key"', ""))
    assert not verifies(signature=headers["signature"].replace("=:", "=:A", 1))
    assert not verifies(key=base64.b64encode(other).decode())


def a_request_of_six_minutes_ago_does_not_verify():
    tenant, gateway = Tenant(), gateway_for()
    gateway.call(mint_frame(tenant.url + "/mint/1"))
    gateway.close()
    tenant.close()
    request, = tenant.requests
    later, recipe["time"] = recipe["time"], type("Clock", (), {"time": staticmethod(lambda: time.time() + 360)})
    try:
        recipe["share_of"](tenant.url + "/mint/1", request.headers, request.body, signer())
        raise AssertionError("it verifies")
    except ValueError:
        pass
    finally:
        recipe["time"] = later


def an_address_that_is_not_public_is_never_connected_to():
    for allow in ({}, {"mint_allow_private": "no"}):
        tenant = Tenant()
        settings = {"url": "https://127.0.0.1:1", "mint_ca_file": path("ca.pem")}
        gateway = Gateway(dict(settings, **allow))
        answer = gateway.call(mint_frame(tenant.url + "/mint/1"))
        assert outcome(answer) == {"type": "refused", "reason": "address-not-public"}, answer
        gateway.close()
        assert tenant.accepted == 0
        assert "tests only" not in gateway.log()
        tenant.close()


def the_switch_that_allows_any_address_is_told_loudly():
    gateway = gateway_for()
    gateway.close()
    line, = [line for line in gateway.log().splitlines() if "mint_allow_private" in line]
    assert "tests only" in line and line.startswith("<4>"), line


def the_relay_may_be_asked_where_a_tenant_may_not():
    tenant = Tenant()
    with contextlib.closing(Relay()) as relay:
        gateway = gateway_for(relay.url, mint_allow_private="no")
        assert gateway.call(mint_frame(tenant.url + "/mint/1"))["reason"] == "address-not-public"
        assert gateway.call(create_frame())["type"] == "done"
        gateway.close()
    tenant.close()


def a_url_in_another_form_is_not_asked():
    tenant, gateway = Tenant(), gateway_for()
    port = tenant.listener.getsockname()[1]
    for url in ("http://localhost:%d/", "https://127.0.0.1:%d/", "https://[::1]:%d/", "https://LOCALHOST:%d/", "https://u:p@localhost:%d/",
                "https://localhost:%d", "https://localhost:%d/#x", "https://localhost:%d/a/../b", "https://localhost:0%d/",
                "https://localhost.:%d/", "https://2130706433:%d/", "https://0x7f.1:%d/", "https://localhost:%d/" + "x" * 2048):
        answer = gateway.call(mint_frame(url % port))
        assert outcome(answer) == {"type": "refused", "reason": "bad-url"}, (url, answer)
    assert tenant.accepted == 0
    gateway.close()
    tenant.close()


def a_share_that_is_over_is_not_asked_for():
    tenant, gateway = Tenant(), gateway_for()
    for change, reason in (({"expiration": int(time.time()) - 1}, "bad-expiration"), ({"share": "shr_x"}, "bad-frame"), ({"envelope": {}}, "bad-frame")):
        assert outcome(gateway.call(mint_frame(tenant.url + "/", **change))) == {"type": "refused", "reason": reason}
    frame = mint_frame(tenant.url + "/")
    frame["envelope"]["not_after"] = int(time.time()) - 100
    assert gateway.call(frame)["reason"] == "envelope-expired"
    assert tenant.accepted == 0
    gateway.close()
    tenant.close()


def a_redirect_is_not_followed():
    target = Tenant()
    for status in (301, 302, 303, 307, 308):
        answer, n = asked_once(lambda request: http(status, headers="Location: %s/mint\r\n" % target.url))
        assert answer == {"type": "refused", "reason": "redirect-%d" % status} and n == 1, answer
    assert target.accepted == 0
    target.close()


def statuses_say_later_or_never():
    for status, headers, expected in ((429, "Retry-After: 7\r\n", {"type": "again", "reason": "http-429", "retry_after": 7}),
                                      (503, "Retry-After: 99999\r\n", {"type": "again", "reason": "http-503", "retry_after": 3600}),
                                      (500, "", {"type": "again", "reason": "http-500"}),
                                      (403, "Retry-After: 7\r\n", {"type": "refused", "reason": "not-issued-403"}),
                                      (409, "", {"type": "refused", "reason": "not-issued-409"}),
                                      (410, "", {"type": "refused", "reason": "not-issued-410"}),
                                      (404, "", {"type": "refused", "reason": "http-404"}),
                                      (201, "", {"type": "refused", "reason": "http-201"})):
        answer, n = asked_once(lambda request: http(status, CONTENT, headers=headers))
        assert answer == expected and n == 1, answer


def no_connection_carries_requests_of_two_tenants():
    """Nor, unless an answer says which request it answers, two requests."""
    def issue(request):
        return http(200, CONTENT, headers=echo(request.headers["idempotency-key"]))

    tenant = Tenant(issue)
    for echo, connections in ((lambda key: "Idempotency-Key: %s\r\n" % key, (1, 1, 2, 2, 2)), (lambda key: "", (1, 2, 3, 4, 5)),
                              (lambda key: 'Idempotency-Key: "shr_another"\r\n', (1, 2, 3, 4, 5))):
        before, gateway = tenant.handshakes, gateway_for()
        for name, n in zip(("adler", "adler", "other", "adler", "other"), connections):
            answer = gateway.call(mint_frame(tenant.url + "/", tenant=name))
            assert answer["type"] == "done", answer
            assert tenant.handshakes - before == n, (name, tenant.handshakes - before, n)
        gateway.close()
    tenant.close()


def an_answer_that_is_no_content_ends_the_share():
    deep = b'{"format":"f","content":{"a":' + b"[" * 5000 + b"]" * 5000 + b"}}"
    for body, reason in ((b"<html>no</html>", "answer-not-json"), (b"", "answer-not-json"), (b'{"format":"f","content":{}}}', "answer-not-json"),
                         (b'{"format":"f","content":{},"content":{"MARKER":1}}', "answer-repeated-member"), (b'{"format":"\xff","content":{}}', "answer-not-utf8"),
                         (b'{"format":"f","content":"x"}', "answer-form"), (b'{"format":"f","content":{},"x":1}', "answer-form"), (deep, "answer-too-deep")):
        answer, _ = asked_once(lambda request: http(200, body))
        assert answer == {"type": "refused", "reason": reason}, (body[:50], answer)


def an_answer_has_at_most_32_kib():
    def script(size, padding="x"):
        empty = json.dumps({"format": "f", "content": {"x": ""}}, separators=(",", ":"))
        more = padding * (size - len(empty))
        return lambda request: http(200, (empty + more if padding == " " else empty.replace('""', '"' + more + '"')).encode())

    def endless(request):
        return b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n" + (b"8000\r\n" + b" " * 0x8000 + b"\r\n") * 64

    assert asked_once(script(32 * 1024))[0]["type"] == "done"
    assert asked_once(script(32 * 1024, " "))[0]["type"] == "done"
    for too_large in (script(32 * 1024 + 1), script(32 * 1024 + 1, " "), endless):
        assert asked_once(too_large)[0] == {"type": "refused", "reason": "answer-too-large"}


def an_answer_that_is_cut_is_asked_for_again():
    half = b'HTTP/1.1 200 X\r\nConnection: close\r\nContent-Length: 100\r\n\r\n{"format":"f","content":{}}'
    assert asked_once(lambda request: half)[0] == {"type": "again", "reason": "cut"}
    assert asked_once(lambda request: None)[0] == {"type": "again", "reason": "cut"}


def a_wrong_certificate_is_told_nothing():
    for certificate in ("other-name", "self-signed", "expired"):
        answer, n = asked_once(None, certificate)
        assert answer == {"type": "again", "reason": "tls-certificate"} and n == 0, (certificate, answer)
    answer, n = asked_once(None, mint_ca_file="/etc/ssl/certs/ca-certificates.crt")
    assert answer == {"type": "again", "reason": "tls-certificate"} and n == 0, answer


def a_slow_tenant_holds_up_no_other():
    """Begun before the other tests: an answer that trickles is given up after 20 s."""
    slow.finish()


class Slow:
    """Seventeen requests of one tenant, whose server sends a byte now and then."""

    def __init__(self):
        self.tenant, self.quick = Tenant(self.trickle), Tenant()
        self.gateway = gateway_for()
        self.over = threading.Event()
        self.begin = time.monotonic()
        self.numbers = [self.gateway.ask(mint_frame(self.tenant.url + "/")) for _ in range(17)]
        self.last = self.gateway.answer(self.numbers.pop())
        self.others = self.gateway.call(mint_frame(self.quick.url + "/", tenant="other"))

    def trickle(self, request):
        self.over.wait(60)
        return None

    def finish(self):
        assert outcome(self.last) == {"type": "again", "reason": "too-many", "retry_after": 1}, self.last
        assert self.others["type"] == "done", self.others
        for number in self.numbers:
            assert outcome(self.gateway.answer(number, 40)) == {"type": "again", "reason": "timeout"}
        assert time.monotonic() - self.begin >= 20
        retried = self.gateway.call(mint_frame(self.quick.url + "/"))
        assert retried["type"] == "done", retried
        self.over.set()
        self.gateway.close()
        warnings = [line for line in self.gateway.log().splitlines() if "does not issue" in line]
        assert len(warnings) == 1 and "adler" in warnings[0], warnings


def content_is_not_left_behind_in_memory():
    for n in (1, 1000):  # what fits the first block of a buffer, and what makes it grow
        look_for_content({"format": "f", "content": {"list": ["MARKER-mint-%04d" % i for i in range(n)]}})


def look_for_content(content):
    tenant, gateway = Tenant(lambda request: http(200, content)), gateway_for()
    for _ in range(3):
        assert gateway.call(mint_frame(tenant.url + "/"))["type"] == "done"
    pid = gateway.process.pid
    try:
        memory = open("/proc/%d/mem" % pid, "rb", 0)
    except PermissionError:
        raise tap.Skip("reading another process's memory needs root")
    with memory:
        for line in open("/proc/%d/maps" % pid):
            begin, end, rights = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+)", line).groups()
            if "w" not in rights:
                continue
            size = int(end, 16) - int(begin, 16)
            if size > 1 << 28:
                continue  # a sanitizer's shadow
            memory.seek(int(begin, 16))
            try:
                data = memory.read(size)
            except OSError:
                continue
            at = data.find(b"MARKER-mint")
            assert at < 0, (line, data[max(at - 64, 0):at + 64])
    gateway.close()
    tenant.close()


def settings_that_cannot_work_end_with_78():
    for changes in ({"mint_ca_file": path("missing")}, {"mint_allow_private": "maybe"}):
        gateway = gateway_for(**changes)
        assert gateway.process.wait(10) == 78, changes
        assert "mint_" in gateway.log(), gateway.log()


TESTS = [
    what_a_tenant_makes_is_sealed_created_and_received,
    a_repeated_request_carries_the_same_key_and_gets_the_same_answer,
    nothing_but_what_the_page_says_is_sent,
    a_request_that_was_changed_in_any_part_does_not_verify,
    a_request_of_six_minutes_ago_does_not_verify,
    an_address_that_is_not_public_is_never_connected_to,
    the_switch_that_allows_any_address_is_told_loudly,
    the_relay_may_be_asked_where_a_tenant_may_not,
    a_url_in_another_form_is_not_asked,
    a_share_that_is_over_is_not_asked_for,
    a_redirect_is_not_followed,
    statuses_say_later_or_never,
    no_connection_carries_requests_of_two_tenants,
    an_answer_that_is_no_content_ends_the_share,
    an_answer_has_at_most_32_kib,
    an_answer_that_is_cut_is_asked_for_again,
    a_wrong_certificate_is_told_nothing,
    content_is_not_left_behind_in_memory,
    settings_that_cannot_work_end_with_78,
    a_slow_tenant_holds_up_no_other,
]

if __name__ == "__main__":
    program.make_certificates()
    program.make_certificate("localhost", "DNS:localhost")
    program.subprocess.run([program.CLIENT, "--make-key", path("keys")], check=True, stdout=program.subprocess.DEVNULL)
    if not sys.argv[5:] or "a_slow_tenant_holds_up_no_other" in sys.argv[5:]:
        slow = Slow()
    status = tap.run(TESTS, sys.argv[5:])
    program.folder.cleanup()
    os._exit(status)
