#!/usr/bin/env python3
"""D-16 in full: who asked for it is told of updates by a POST, and nobody else is asked for anything."""

import http.server
import json
import ssl
import subprocess
import sys
import tempfile
import threading
import time

from relay_cases import MESSAGE, PROGRAM, call, create, create_body, durable, main, read_payload, test
from relay_harness import Relay, fresh, make_certificate


class Receiver:
    """A tenant's HTTPS server; keeps what it is sent. answer: a status, or a function of the handler."""

    def __init__(self, answer=204):
        receiver = self
        self.requests, self.connections, self.lock = [], 0, threading.Condition()
        self.folder = tempfile.TemporaryDirectory(prefix="vestibule-receiver-")
        self.certificate, key = make_certificate(self.folder.name)

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                with receiver.lock:
                    receiver.requests.append((self.path, dict(self.headers), body))
                    receiver.lock.notify_all()
                if callable(answer):
                    return answer(self)
                self.send_response(answer)
                self.send_header("Content-Length", "0")
                if answer == 302:
                    self.send_header("Location", receiver.url + "followed")
                self.end_headers()
            do_GET = do_POST

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def get_request(self):
                plain, address = super().get_request()
                with receiver.lock:
                    receiver.connections += 1
                return receiver.context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False), address

            def handle_error(self, *_):
                pass

        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.certificate, key)
        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = "https://localhost:%d/hooks/" % self.server.server_port
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def options(self, *more):
        return ["--webhook-prefix", self.url, "--webhook-ca", self.certificate, *more]

    def wait(self, n, seconds=60):
        with self.lock:
            assert self.lock.wait_for(lambda: len(self.requests) >= n, seconds), self.requests

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        self.folder.cleanup()


PRIVATE = "--webhook-allow-private"


def token(url, kind="org.vestibule.webhook"):
    return {"type": kind, "tokenData": url}


def supported(answer):
    assert answer.status == 200, (answer.status, answer.body)
    return json.loads(answer.body)["isPushNotificationSupported"]


def update(relay, mailbox, claim, n=1, url=None):
    body = {"payload": MESSAGE[n], **({"notificationToken": token(url)} if url else {})}
    return call(relay, "PUT", mailbox, claim, json.dumps(body))


def create_with(relay, url, kind="org.vestibule.webhook"):
    """Claim, mailbox, and whether the relay promises to tell."""
    claim, request_id = fresh(), fresh()
    headers = {"Mailbox-Device-Claim": claim, "Mailbox-Request-ID": request_id}
    answer = relay.request("POST", "/v1/m", headers, create_body(notificationToken=token(url, kind)))
    return claim, json.loads(answer.body)["urlLink"].rsplit("/", 1)[1], supported(answer)


def wait_for_line(relay, line):
    deadline = time.monotonic() + 60
    while line not in open(relay.error_path).read():
        assert time.monotonic() < deadline, open(relay.error_path).read()
        time.sleep(0.01)


def counts(relay):
    """Delivered, failed, dropped; ends the relay."""
    assert relay.stop() == 0
    words = open(relay.error_path).read().split("notifications: ")[1].split()
    return int(words[0]), int(words[2]), int(words[4])


@test
def d16_each_party_is_told_of_the_others_updates_and_not_of_its_own():
    with Receiver() as receiver, Relay(PROGRAM, *receiver.options(PRIVATE)) as relay:
        claim, mailbox, promised = create_with(relay, receiver.url + "initiator?a=1")
        recipient = fresh()
        assert promised is True
        read_payload(relay, mailbox, recipient)
        assert supported(update(relay, mailbox, recipient, 1, receiver.url + "recipient")) is True
        receiver.wait(1)
        assert supported(update(relay, mailbox, claim, 2)) is True
        receiver.wait(2)
        assert supported(update(relay, mailbox, recipient)) is True
        receiver.wait(3)
        assert [path for path, _, _ in receiver.requests] == \
            ["/hooks/initiator?a=1", "/hooks/recipient", "/hooks/initiator?a=1"]
        for _, headers, body in receiver.requests:
            assert json.loads(body) == {"type": "mailbox.updated", "mailbox": mailbox}
            assert headers["Content-Type"] == "application/json"
            everything = json.dumps(headers).encode() + body
            for secret in (claim, recipient, MESSAGE[1]["data"], MESSAGE[2]["data"], "Hotel Pass"):
                assert secret.encode() not in everything
        assert "Cookie" not in headers and "Referer" not in headers
        assert counts(relay)[1:] == (0, 0)


@test
def d16_without_a_prefix_nothing_is_promised_and_nobody_is_asked():
    with Receiver() as receiver, Relay(PROGRAM) as relay:
        claim, mailbox, promised = create_with(relay, receiver.url + "x")
        recipient = fresh()
        read_payload(relay, mailbox, recipient)
        assert promised is False and supported(update(relay, mailbox, recipient)) is False
        assert [line["push"] for line in relay.lines() if "push" in line] == ["initiator"], "the record is kept"
        assert relay.stop() == 0 and receiver.connections == 0


@test
def d16_only_addresses_below_a_prefix_are_promised_to_be_told():
    with Receiver() as receiver, Relay(PROGRAM, *receiver.options(PRIVATE)) as relay:
        base = receiver.url[:-len("hooks/")]
        for url in (base + "hooks", base + "hook/x", base + "hooksx/", base + "hooks/../x", base + "hooks/%2e%2e/x",
                    base + "hooks/x#y", "http" + receiver.url[5:] + "x", receiver.url.replace("localhost", "localhost.x"),
                    receiver.url.replace("https://", "https://a@"), receiver.url.replace("https://", "https://localhost@"),
                    receiver.url + "a b", receiver.url + "\u00e4", receiver.url + "x\r\nX: y", receiver.url + "x" * 512,
                    receiver.url.upper(), "x"):
            assert create_with(relay, url)[2] is False, url
        assert create_with(relay, receiver.url, "com.apple.apns")[2] is False
        assert create_with(relay, receiver.url)[2] is True
        create(relay, body=create_body(notificationToken={"type": "org.vestibule.webhook"}), expect=400)
        assert receiver.connections == 0


@test
def d16_a_private_address_is_not_connected_to_unless_allowed():
    with Receiver() as receiver, Relay(PROGRAM, *receiver.options()) as relay:
        claim, mailbox, _ = create_with(relay, receiver.url + "x")
        recipient = fresh()
        read_payload(relay, mailbox, recipient)
        assert update(relay, mailbox, recipient).status == 200
        wait_for_line(relay, "a notification was not delivered: Couldn't connect to server")
        delivered, failed, dropped = counts(relay)
        assert (delivered, failed, dropped, receiver.connections) == (0, 1, 0, 0)


@test
def d16_an_operator_is_told_when_notifications_fail_and_when_they_pass_again():
    status = [500]

    def answer(handler):
        handler.send_response(status[0])
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    with Receiver(answer) as receiver, Relay(PROGRAM, *receiver.options(PRIVATE)) as relay:
        claim, mailbox, _ = create_with(relay, receiver.url + "x")
        recipient = fresh()
        read_payload(relay, mailbox, recipient)
        update(relay, mailbox, recipient)
        wait_for_line(relay, "a notification was not delivered: the receiver refuses it")
        status[0] = 204
        update(relay, mailbox, recipient)
        wait_for_line(relay, "notifications are delivered again")
        assert mailbox not in open(relay.error_path).read()


@test
def d16_a_redirect_is_not_followed():
    with Receiver(302) as receiver, Relay(PROGRAM, *receiver.options(PRIVATE)) as relay:
        claim, mailbox, _ = create_with(relay, receiver.url + "x")
        recipient = fresh()
        read_payload(relay, mailbox, recipient)
        for n in range(1, 4):  # one after the other: what follows would come in between
            update(relay, mailbox, recipient)
            receiver.wait(n)
        assert [path for path, _, _ in receiver.requests] == ["/hooks/x"] * 3
        assert counts(relay)[0] == 0


@test
def d16_a_receiver_that_hangs_delays_no_request_and_fills_no_memory():
    release = threading.Event()
    with Receiver(lambda handler: release.wait(60)) as receiver, \
            Relay(PROGRAM, *receiver.options(PRIVATE)) as relay:
        claim, mailbox, _ = create_with(relay, receiver.url + "x")
        recipient, connection = fresh(), relay.connect()
        read_payload(relay, mailbox, recipient)
        update(relay, mailbox, recipient)
        receiver.wait(1)  # it hangs
        longest, n = 0, 1500
        for _ in range(n):
            before = time.monotonic()
            headers = {"Mailbox-Device-Claim": recipient, "Mailbox-Request-ID": fresh()}
            answer = relay.request("PUT", f"/v1/m/{mailbox}", headers, json.dumps({"payload": MESSAGE[1]}), connection)
            assert answer.status == 200
            longest = max(longest, time.monotonic() - before)
        assert longest < 4, "an update waited for the receiver, whose connections last 10 s"
        connection.close()
        before = time.monotonic()
        delivered, failed, dropped = counts(relay)
        assert time.monotonic() - before < 5, "the end waited for the receiver"
        assert delivered == 0 and dropped >= n - 1024 - 64 - failed and dropped > 0, (delivered, failed, dropped)
        release.set()


@test
def d16_who_relinquished_is_not_told_any_more():
    with Receiver() as receiver, Relay(PROGRAM, *receiver.options(PRIVATE)) as relay:
        claim, mailbox = create(relay)
        first, second = fresh(), fresh()
        read_payload(relay, mailbox, first)
        assert supported(update(relay, mailbox, first, 1, receiver.url + "first")) is True
        assert call(relay, "PATCH", mailbox, first).status == 200
        read_payload(relay, mailbox, second)
        assert supported(update(relay, mailbox, claim)) is False
        assert supported(update(relay, mailbox, second, 2, receiver.url + "second")) is True
        update(relay, mailbox, claim)
        receiver.wait(1)
        assert [path for path, _, _ in receiver.requests] == ["/hooks/second"]


@test
@durable
def d16_a_prefix_that_was_taken_back_counts_no_more():
    with Receiver() as receiver, Relay(PROGRAM, *receiver.options(PRIVATE)) as relay:
        claim, mailbox, _ = create_with(relay, receiver.url + "x")
        recipient = fresh()
        read_payload(relay, mailbox, recipient)
        relay.stop()
        relay.options[relay.options.index(receiver.url)] = receiver.url + "elsewhere/"
        relay.start()
        update(relay, mailbox, recipient)
        assert counts(relay) == (0, 0, 0) and receiver.connections == 0


@test
def a_prefix_must_be_a_folder_on_https():
    for prefix in ("http://a/", "https://a", "https://a/b", "https:///", "https://a@b/", "https://a/?x/", "https://a/../",
                   "a", ""):
        done = subprocess.run([PROGRAM, "--webhook-prefix", prefix], capture_output=True, text=True, timeout=20)
        assert done.returncode == 2 and "--webhook-prefix" in done.stderr, prefix


if __name__ == "__main__":
    sys.exit(main())
