#!/usr/bin/python3
"""GET /v1/events of the front, against a gateway that this script plays: what is asked and when, what a
slow, a lost and a greedy client cost, and how a stream ends.

usage: api-events.py VESTIBULE_API [NAME...]     prints TAP
"""
import importlib.util
import json
import os
import queue
import socket
import ssl
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
specification = importlib.util.spec_from_file_location(
    "api_http", os.path.join(os.path.dirname(os.path.abspath(__file__)), "api-http.py"))
api = importlib.util.module_from_spec(specification)
specification.loader.exec_module(api)
from harness import tap  # noqa: E402
from harness.event_stream import EventStream  # noqa: E402
from harness.vestibule import wait_until  # noqa: E402

PATIENCE = 20
WAIT = f"/v1/shares/{api.SHARE}?after=3&wait=60"


def event(number, share=api.SHARE, kind="share.delivered", **members):
    return {"sequence": number, "type": kind, "share": share, "state": "invited", "version": number,
            "at": "2026-11-22T12:00:00Z", **members}


def body(cursor, *events, tenant="adler"):
    return {"tenant": tenant, "events": list(events), "cursor": cursor}


def stream(gateway, **options):
    return EventStream(gateway.port, api.TOKEN, **options)


def opened(gateway, cursor=0, *events, tenant="adler", **options):
    """A stream of which the first question is answered; and what the gateway is asked then."""
    result = queue.Queue()
    api.threading.Thread(
        target=lambda: result.put(stream(gateway, **options)), daemon=True).start()
    first = gateway.next("event.follow")
    gateway.answer(first, 200, body=body(cursor, *events, tenant=tenant))
    return result.get(timeout=PATIENCE), first


def start(**options):
    return api.Gateway(PROGRAM, **options)


def a_stream_tells_from_where_it_goes_on_and_passes_on_what_comes():
    with start() as g:
        client, first = opened(g, 41)
        assert first["credential"]["token"] == api.TOKEN_ID and "after" not in first and "wait" not in first, first
        assert client.headers["Content-Type"] == "text/event-stream" and client.headers["Cache-Control"] == "no-store"
        frame = g.next("event.follow")
        assert frame["after"] == 41 and frame["wait"] == 15 and 1 <= frame["credit"] <= 100, frame
        client.wait(lambda: client.last_id == 41 and client.retry == 3000, PATIENCE, "the place to come back to")
        g.answer(frame, 200, body=body(43, event(42, detail="a\nline\u2028\u00e4"), event(43)))
        client.wait(lambda: len(client.events) == 2, PATIENCE, "two events")
        assert client.events[0] == (42, "share.delivered", event(42, detail="a\nline\u2028\u00e4")), client.events
        assert client.events[1][0] == 43
        assert g.next("event.follow")["after"] == 43
        client.close()


def what_the_client_has_read_is_where_it_goes_on_and_the_header_goes_before_the_query():
    for options, after in (({"last_id": 7}, 7), ({"query": "?after=9"}, 9), ({"last_id": 7, "query": "?after=9"}, 7),
                           ({"last_id": 0}, 0), ({"last_id": 9007199254740991}, 9007199254740991)):
        with start() as g:
            client, first = opened(g, after, **options)
            assert first["after"] == after, (options, first)
            client.close()
    with start() as g:
        for options in ({"last_id": "x"}, {"last_id": "-1"}, {"last_id": "1 2"}, {"last_id": "9" * 17}, {"last_id": ""}):
            refused = stream(g, **options)
            assert refused.status == 400 and refused.problem["type"].endswith(":invalid-header"), refused.problem
        for query in ("?after=", "?after=x", "?wait=3", "?credit=3", "?limit=1", "?after=1&after=2"):
            refused = stream(g, query=query)
            assert refused.status == 400 and refused.problem["type"].endswith(":invalid-query"), (query, refused.problem)
        assert api.Client(g).ask("POST", "/v1/events").status == 405
        assert g.requests.empty()


def ids_with_a_tag_pass_as_they_are():
    with start() as g:
        for options in ({"last_id": "7-0a1b2c3d"}, {"query": "?after=7-0a1b2c3d"}):
            client, first = opened(g, "9-00000000", event(9, id="9-00000000"), **options)
            assert first["after"] == "7-0a1b2c3d", first
            client.wait(lambda: client.last_id == "9-00000000", PATIENCE, "the id of the event")
            frame = g.next("event.follow")
            assert frame["after"] == "9-00000000"
            client.close()
        for id in ("7-", "-7", "7-0a1b2c3", "7-0a1b2c3d4", "7-0A1B2C3D", "7_0a1b2c3d", "7-0a1b2c3g", "9007199254740992"):
            assert stream(g, last_id=id).status == 400, id
            assert stream(g, query="?after=" + id).status == 400, id
        for id, cursor in (("9-0a1b2c3d\nid: 1", 9), ("x", 9), ([], 9), ("9", "9\n"), ("9", None), ("9", "x")):
            client, _ = opened(g, 1)
            g.answer(g.next("event.follow"), 200, body=body(cursor, event(9, id=id)))
            client.wait_end(PATIENCE)
            assert not client.events, client.events
            client.close()


def a_refusal_is_an_answer_as_any_other():
    with start() as g:
        answer = api.Client(g).later("GET", "/v1/events")
        g.answer(g.next("event.follow"), 401, problem={"type": "urn:vestibule:problem:unauthenticated", "title": "t",
                                                       "detail": "d"})
        response = answer()
        assert response.status == 401 and response.getheader("WWW-Authenticate") and response.json["status"] == 401
        assert response.getheader("Content-Type") == "application/problem+json"
        answer = api.Client(g).later("GET", "/v1/events")
        frame = g.next("event.follow")
        g.send({"type": "unsupported", "id": frame["id"]})
        assert answer().status == 422
        head = api.Client(g).later("HEAD", "/v1/events")
        g.answer(g.next("event.follow"), 200, body=body(3))
        response = head()
        assert response.status == 200 and response.getheader("Content-Type") == "text/event-stream"
        assert response.text == "" and g.requests.empty()


def with_nothing_to_tell_there_is_a_sign_of_life():
    with start() as g:
        client, _ = opened(g, 5)
        for n in range(3):
            frame = g.next("event.follow")
            assert client.comments == n and frame["after"] == 5
            g.answer(frame, 200, body=body(5))
            client.wait(lambda: client.comments == n + 1, PATIENCE, "a comment")
        client.close()


def a_client_is_told_when_it_has_seen_all_that_was_there():
    with start() as g:
        client, _ = opened(g, 2, event(1), event(2), last_id=0)
        for cursor, events in ((3, [event(3)]), (3, [])):
            frame = g.next("event.follow")
            assert frame["wait"] == 0 and not client.comments, frame  # there may be more at once
            g.answer(frame, 200, body=body(cursor, *events))
        client.wait(lambda: client.comments == 1, PATIENCE, "a comment")
        assert [number for number, _, _ in client.events] == [1, 2, 3]
        frame = g.next("event.follow")
        assert frame["wait"] == 15 and frame["after"] == 3
        g.answer(frame, 200, body=body(4, event(4)))
        assert g.next("event.follow")["wait"] == 15
        client.close()


def whatever_goes_wrong_ends_the_stream():
    for answer in ({"status": 401, "problem": {"type": "unauthenticated", "title": "t"}},
                   {"status": 503, "problem": {"type": "busy", "title": "t"}, "retry_after": 1},
                   {"status": 200, "body": {}}, {"status": 200, "body": {"events": [], "cursor": "x"}},
                   {"status": 200, "body": {"events": [{"type": "share.read"}], "cursor": 1}},
                   {"status": 200, "body": {"events": [event(1, kind="two\nlines")], "cursor": 1}}):
        with start() as g:
            client, _ = opened(g, 0)
            g.send({"type": "answer", "id": g.next("event.follow")["id"], **answer})
            client.wait_end(PATIENCE)
            assert client.events == [], client.events
            assert api.Client(g).ask("GET", "/healthz").status == 200
            client.close()


def the_end_of_the_gateway_ends_the_stream():
    with start() as g:
        client, _ = opened(g, 0)
        g.next("event.follow")
        g.socket.shutdown(socket.SHUT_RDWR)
        client.wait_end(PATIENCE)
        client.close()


def a_slow_client_is_given_no_more_than_it_reads_and_stalls_nobody():
    pages = {}

    def page(number):
        return [event(i, detail="x" * 120) for i in range(number, number + 100)]

    with start() as g:
        slow = socket.socket()
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        slow.connect(("127.0.0.1", g.port))
        slow.sendall(f"GET /v1/events HTTP/1.0\r\nAuthorization: Bearer {api.TOKEN}\r\n\r\n".encode())
        g.answer(g.next("event.follow"), 200, body=body(0))
        while True:  # until the front asks no more, as what it gave lies with the kernel
            try:
                frame = g.requests.get(timeout=2)
            except queue.Empty:
                break
            number = frame["after"] + 1
            pages[number] = page(number)
            g.answer(frame, 200, body=body(number + 99, *pages[number]))
            assert len(pages) < 40, "a client that reads nothing is given megabytes"
        assert len(pages) > 1
        client, _ = opened(g, 7)
        g.answer(g.next("event.follow"), 200, body=body(8, event(8)))
        client.wait(lambda: client.events, PATIENCE, "an event of another stream")
        g.next("event.follow")
        assert api.Client(g).ask("GET", "/healthz").status == 200
        client.close()

        slow.settimeout(PATIENCE)
        data, last = b"", max(pages) + 99
        while b"id: %d\n" % last not in data:
            more = slow.recv(65536)
            assert more, "the stream ended"
            data += more
        frame = g.next("event.follow")  # it is asked again as soon as all was read
        assert frame["after"] == last
        ids = [int(line[4:]) for line in data.decode().splitlines() if line.startswith("id: ")]
        assert ids == list(range(last + 1)), "events were lost, repeated or out of order"
        slow.close()


def descriptors(g):
    return len(os.listdir(f"/proc/{g.process.pid}/fd"))


def a_tenant_has_eight_streams_and_a_place_that_is_left_is_free_again():
    with start() as g:
        before = descriptors(g)
        clients, asked = [], []
        for _ in range(8):
            clients.append(opened(g, 1)[0])
            asked.append(g.next("event.follow"))

        def try_one(tenant="adler"):
            answer = api.Client(g).later("GET", "/v1/events")
            g.answer(g.next("event.follow"), 200, body=body(1, tenant=tenant))
            return answer

        refused = try_one()()
        api.expect_problem(refused, 429, "too-many-streams")
        assert int(refused.getheader("Retry-After")) > 0
        other, _ = opened(g, 1, tenant="baer")
        g.next("event.follow")
        clients.pop().close()  # while the front waits for the gateway
        wait_until(lambda: descriptors(g) <= before + 8, PATIENCE, "the client that went away is noticed")
        clients.append(opened(g, 1)[0])
        g.next("event.follow")
        api.expect_problem(try_one()(), 429, "too-many-streams")
        g.answer(asked[7], 200, body=body(2, event(2)))  # nobody waits for this any more
        for client in [*clients, other]:
            assert not client.events
            client.close()
        wait_until(lambda: descriptors(g) <= before, PATIENCE, "all connections are closed")
        assert api.Client(g).ask("GET", "/healthz").status == 200


def all_tenants_together_have_256_streams():
    with start(settings={"connections_per_address": "400"}) as g:
        clients = []
        for n in range(256):
            clients.append(opened(g, 1, tenant="tenant-%d" % (n // 8), take=False)[0])
            g.next("event.follow")
        answer = api.Client(g).later("GET", "/v1/events")
        g.answer(g.next("event.follow"), 200, body=body(1, tenant="another"))
        api.expect_problem(answer(), 429, "too-many-streams")
        assert api.Client(g).ask("GET", "/healthz").status == 200
        for client in clients:
            client.close()


def a_client_that_goes_away_at_any_moment_harms_nobody():
    with start() as g:
        before = descriptors(g)
        for n in range(60):
            raw = socket.create_connection(("127.0.0.1", g.port))
            raw.sendall(f"GET /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.TOKEN}\r\n\r\n".encode())
            frame = g.next("event.follow")
            if n % 3 == 0:  # before the stream, in its beginning, and while it waits
                raw.close()
            g.answer(frame, 200, body=body(1, *[event(i) for i in range(100)]))
            if n % 3 == 1:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                raw.close()
            if n % 3 == 2:
                frame = g.next("event.follow")
                raw.close()
                g.answer(frame, 200, body=body(2, event(2)))
            while not g.requests.empty():
                g.requests.get()
        wait_until(lambda: descriptors(g) <= before, PATIENCE, "all connections are closed")
        while not g.requests.empty():
            g.requests.get()
        client, _ = opened(g, 1)  # all places are free
        client.close()


def a_stream_goes_on_under_tls():
    with tempfile.TemporaryDirectory() as folder:
        names = [os.path.join(folder, name) for name in ("key", "certificate")]
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-keyout", names[0], "-out", names[1], "-days", "2", "-subj", "/CN=localhost",
                        "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True)
        key, certificate = (open(name).read() for name in names)
        context = ssl.create_default_context(cafile=names[1])
    with start(settings={"tls": "yes"}, credentials={"api-key": key, "api-certificate": certificate}) as g:
        raw = context.wrap_socket(socket.create_connection(("127.0.0.1", g.port), timeout=PATIENCE),
                                  server_hostname="localhost")
        raw.sendall(f"GET /v1/events HTTP/1.0\r\nAuthorization: Bearer {api.TOKEN}\r\n\r\n".encode())
        g.answer(g.next("event.follow"), 200, body=body(0))
        data = b""
        for n in range(5):
            g.answer(g.next("event.follow"), 200, body=body(n + 1, event(n + 1)))
            while b"id: %d\n" % (n + 1) not in data or not data.endswith(b"\n\n"):
                data += raw.recv(65536)
        assert json.loads(data.decode().split("data: ")[-1]) == event(5)
        raw.close()


def raw_request(g, path, token=None):
    raw = socket.create_connection(("127.0.0.1", g.port), timeout=PATIENCE)
    raw.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token or api.TOKEN}\r\n\r\n".encode())
    return raw


def leave_waiting(g, token=None):
    """A long poll whose client goes away: what the gateway was asked and does not answer yet."""
    raw = raw_request(g, WAIT, token)
    frame = g.next("share.get")
    raw.close()
    assert g.forgotten.get(timeout=PATIENCE) == frame["id"]
    return frame


def a_question_that_waits_counts_until_it_is_answered_though_nobody_waits_any_more():
    with start() as g:
        left = [leave_waiting(g) for _ in range(128)]
        refused = api.Client(g).ask("GET", WAIT)
        api.expect_problem(refused, 429, "too-many-waits")
        assert int(refused.getheader("Retry-After")) > 0
        answer = api.Client(g).later("GET", f"/v1/shares/{api.SHARE}")  # what does not wait is asked
        g.answer(g.next("share.get"), 200, body={"id": api.SHARE, "state": "invited", "version": 1})
        assert answer().status == 200
        leave_waiting(g, api.token("zyxw2345"))

        g.answer(left.pop(), 200)
        leave_waiting(g)
        api.expect_problem(api.Client(g).ask("GET", WAIT), 429, "too-many-waits")
        assert g.requests.empty()


def questions_that_wait_take_no_more_than_half_of_the_window():
    with start() as g:
        for n in range(4):
            token = api.token("a1b2c3%02d" % (n + 22))
            for _ in range(128):
                leave_waiting(g, token)
        refused = api.Client(g).ask("GET", WAIT)
        api.expect_problem(refused, 503, "busy")
        assert int(refused.getheader("Retry-After")) > 0
        client, _ = opened(g, 4)
        frame = g.next("event.follow")
        assert frame["wait"] == 0, frame  # the stream goes on without
        g.answer(frame, 200, body=body(5, event(5)))
        client.wait(lambda: client.events, PATIENCE, "an event")
        client.close()


def who_reads_far_back_is_given_whole_pages_with_pauses():
    with start() as g:
        client, _ = opened(g, 100, *[event(n) for n in range(1, 101)], last_id=0)
        frame = g.next("event.follow")
        for page in range(1, 4):
            answered = time.monotonic()
            g.answer(frame, 200, body=body(100 * page + 100, *[event(100 * page + n) for n in range(1, 101)]))
            frame = g.next("event.follow")
            assert time.monotonic() - answered > 0.045, "a page is asked for at once"
        client.wait(lambda: len(client.events) == 400, PATIENCE, "all pages")
        client.close()


def a_stream_whose_question_may_not_wait_asks_with_pauses():
    with start() as g:
        client, _ = opened(g, 5)
        for n in range(2):  # a gateway that answers at once
            frame = g.next("event.follow")
            assert frame["wait"] == 15
            g.answer(frame, 200, body=body(5))
            answered = time.monotonic()
        frame = g.next("event.follow")
        assert time.monotonic() - answered > 0.9
        g.answer(frame, 200, body=body(6, event(6)))
        answered = time.monotonic()
        frame = g.next("event.follow")
        assert time.monotonic() - answered < 0.9  # what came was passed on, and there may be more
        client.close()
        assert g.forgotten.get(timeout=PATIENCE) == frame["id"]

        client, _ = opened(g, 5)  # whose client goes away in the pause
        g.answer(g.next("event.follow"), 200, body=body(5))
        client.wait(lambda: client.comments == 1, PATIENCE, "a sign of life")
        client.close()
        for _ in range(127):
            leave_waiting(g)
        client, _ = opened(g, 5)
        for n in range(2):
            frame = g.next("event.follow")
            assert frame["wait"] == 0, frame
            g.answer(frame, 200, body=body(5))
            answered = time.monotonic()
        g.next("event.follow")
        assert time.monotonic() - answered > 0.9
        client.close()


TESTS = tap.functions_below(start)

if __name__ == "__main__":
    PROGRAM = sys.argv[1]
    sys.exit(tap.run(TESTS, sys.argv[2:]))
