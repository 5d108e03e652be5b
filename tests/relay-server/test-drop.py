#!/usr/bin/env python3
"""Draft R's side of the relay: PUT, GET and DELETE under /t/, and nothing else: R-4, R-9 and R-10 of
CONFORMANCE.md, and that a message lives until its time is over and no longer."""

import base64
import os
import sqlite3
import sys
import threading
import time

from relay_cases import FAULTS, PROGRAM, VECTOR, Clock, create, durable, main, test
from relay_harness import Relay, encodings, fresh, head

NEW = {"If-None-Match": "*"}


def location():
    return base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("=")


def path(text=None):
    return "/t/" + (text or location())


@test
def r10_nobody_can_list_what_is_there():
    with Relay(PROGRAM) as relay:
        kept = path()
        assert relay.request("PUT", kept, NEW, b"message").status == 201
        for place in ("/t", "/t/", "/t/?list", "/t?x", "/", "/t/*", "/t/.", kept + "/", kept[:12]):
            for method in ("GET", "HEAD", "OPTIONS", "PROPFIND", "POST", "SEARCH", "LIST", "PUT", "DELETE"):
                answer = relay.request(method, place, NEW if method == "PUT" else {})
                assert answer.status in (404, 405), (method, place, answer.status)
                assert b"message" not in answer.body and kept[3:].encode() not in answer.body
        for method in ("OPTIONS", "PROPFIND", "POST", "PATCH", "SEARCH"):
            answer = relay.request(method, kept)
            assert answer.status == 405 and answer.headers["Allow"] == "GET, HEAD, PUT, DELETE", method
        assert relay.request("GET", kept[:-1]).status == 404
        assert relay.request("GET", kept).body == b"message"


@test
def r4_a_message_is_put_once_read_until_deleted_and_then_gone():
    with Relay(PROGRAM) as relay:
        place, body = path(), bytes(range(256)) * 8
        assert relay.request("GET", place).status == 404
        assert relay.request("DELETE", place).status == 404
        assert relay.request("PUT", place, NEW, body).status == 201
        for _ in range(2):
            answer = relay.request("GET", place)
            assert (answer.status, answer.body) == (200, body), "reading takes nothing away"
            assert answer.headers["Content-Type"] == "application/octet-stream"
            assert answer.headers["Cache-Control"] == "no-store"
        answer = relay.request("HEAD", place)
        assert (answer.status, answer.headers["Content-Length"]) == (200, str(len(body)))
        answer = relay.request("DELETE", place)
        assert (answer.status, answer.body) == (204, b"")
        assert relay.request("DELETE", place).status == 404
        assert relay.request("GET", place).status == 404


@test
def r9_a_put_never_overwrites():
    with Relay(PROGRAM) as relay:
        place = path()
        assert relay.request("PUT", place, {}, b"unconditional").status == 428
        assert relay.request("PUT", place, {"If-None-Match": '"tag"'}, b"of a version").status == 400
        assert relay.request("GET", place).status == 404
        assert relay.request("PUT", place, NEW, b"first").status == 201
        for body in (b"first", b"second", b""):
            assert relay.request("PUT", place, NEW, body).status == 412
        assert relay.request("PUT", place, {}, b"unconditional").status == 428
        assert relay.request("GET", place).body == b"first"


@test
def r9_of_many_who_put_at_once_one_wins():
    with Relay(PROGRAM) as relay:
        place, statuses = path(), []
        start = threading.Barrier(8)

        def put(n):
            connection = relay.connect()
            connection.connect()
            start.wait()
            statuses.append((relay.request("PUT", place, NEW, b"%d" % n, connection).status, n))
            connection.close()

        threads = [threading.Thread(target=put, args=[n]) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(status for status, _ in statuses) == [201] + [412] * 7, statuses
        winner = next(n for status, n in statuses if status == 201)
        assert relay.request("GET", place).body == b"%d" % winner


@test
def a_location_is_base64url_of_bounded_length():
    with Relay(PROGRAM) as relay:
        for text, good in (("x" * 22, True), ("x" * 128, True), ("Aa0-_" * 9, True), ("x" * 21, False),
                           ("x" * 129, False), ("x" * 42 + "=", False), ("x" * 42 + "+", False),
                           ("x" * 42 + ".", False), ("x" * 42 + "%41", False), ("x" * 22 + "?a", False),
                           ("x" * 22 + "/x", False), ("../t/" + "x" * 22, False)):
            status = relay.request("PUT", path(text), NEW, b"m").status
            assert status == (201 if good else 404), (text, status)


@test
def size_and_time_to_live_are_limited():
    with Clock() as clock, Relay(FAULTS, "--body-max", "4096", "--ttl-default", "600", *clock.option()) as relay:
        place = path()
        assert relay.request("PUT", path(), NEW, b"x" * 4096).status == 201
        assert relay.request("PUT", path(), NEW, b"").status == 201
        assert relay.request("PUT", place, NEW, b"x" * 4097).status == 413
        assert relay.request("PUT", place, {**NEW, "Content-Length": "40000"}).status == 413
        assert relay.request("PUT", place, NEW, b"x").status == 201
        clock.advance(590)
        assert relay.request("GET", place).status == 200
        assert relay.request("PUT", place, NEW, b"y").status == 412
        clock.advance(610)
        assert relay.request("GET", place).status == 404
        assert relay.request("DELETE", place).status == 404
        assert relay.request("PUT", place, NEW, b"y").status == 201, "what expired still holds its place"
        assert relay.request("GET", place).body == b"y"


@test
@durable
def what_expired_leaves_the_disk_and_locations_are_never_on_it():
    with Clock() as clock, Relay(FAULTS, "--ttl-default", "600", *clock.option()) as relay:
        place = path()
        assert relay.request("PUT", place, NEW, b"MARKERmessage").status == 201
        disk = lambda: b"".join(open(os.path.join(relay.state, n), "rb").read() for n in os.listdir(relay.state))
        log = open(relay.log_path, "rb").read()
        assert b"MARKERmessage" in disk(), "the search itself must find something"
        for form in encodings(place[3:]):
            assert form not in disk() and form not in log
        clock.advance(610)
        database = sqlite3.connect(f"file:{relay.state}/relay.sqlite?mode=ro", uri=True)
        deadline = time.monotonic() + 60
        while database.execute('SELECT count(*) FROM "drop"').fetchone()[0] != 0:
            assert time.monotonic() < deadline, "the sweep did not come"
            time.sleep(0.1)
        database.close()


@test
def requests_are_limited_as_those_of_mailboxes_are():
    with Relay(PROGRAM, "--rate", "5") as relay:
        connection = relay.connect()
        answers = [relay.request("GET", path(), {}, None, connection) for _ in range(40)]
        connection.close()
        refused = [a for a in answers if a.status == 429]
        assert refused and all(int(a.headers["Retry-After"]) >= 1 for a in refused)


@test
def a_fragment_or_a_referer_is_refused_here_too():
    with Relay(PROGRAM) as relay:
        request = f"GET {path()}#secret HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        assert relay.raw(request.encode()).startswith(b"HTTP/1.1 400")
        assert relay.request("GET", path(), {"Referer": "https://x.example/"}).status == 400
        assert [line["violation"] for line in relay.lines() if "violation" in line] == ["fragment", "referer"]


@test
def both_drafts_live_side_by_side():
    with Relay(PROGRAM) as relay:
        claim, mailbox = create(relay)
        assert relay.request("GET", "/t/" + mailbox).status == 404
        place = path()
        assert relay.request("PUT", place, NEW, b"m").status == 201
        assert relay.request("POST", "/v1/m/" + fresh(), head(claim)).status == 404
        assert relay.request("DELETE", place, head(claim)).status == 204


@test
def the_messages_of_the_vectors_go_through_unchanged():
    with Relay(PROGRAM) as relay:
        n = 0
        for run in VECTOR["draft_r"]["runs"]:
            for message in run["messages"]:
                if "http_body_hex" not in message:
                    continue  # the run that shows where the literal reading fails
                body = bytes.fromhex(message["http_body_hex"])
                place = path(message["location_b64url"])
                assert relay.request("PUT", place, NEW, body).status == 201
                assert relay.request("GET", place).body == body
                assert relay.request("DELETE", place).status == 204
                n += 1
        assert n >= 10, n


if __name__ == "__main__":
    sys.exit(main())
