#!/usr/bin/env python3
"""D-17: every way in which the relay misbehaves on purpose, and that the installed program knows none of them."""

import http.client
import json
import ssl
import subprocess
import sys
import time

from relay_cases import (FAULTS, MESSAGE, PROGRAM, Clock, call, create, create_body, main, read_payload, test)
from relay_harness import Relay, fresh, head

READ = "operation=ReadSecureContentFromMailbox"
BROKEN = (ConnectionError, ssl.SSLError, http.client.HTTPException, TimeoutError)


def faulty(*faults):
    return Relay(FAULTS, *(word for fault in faults for word in ("--fault", fault)))


def post(relay, claim=None, request_id=None):
    return relay.request("POST", "/v1/m", head(claim or fresh(), request_id), create_body())


def update(relay, mailbox, claim, n, request_id=None):
    return call(relay, "PUT", mailbox, claim, json.dumps({"payload": MESSAGE[n]}), request_id)


def breaks(function, *arguments):
    try:
        function(*arguments)
    except BROKEN:
        return True
    return False


@test
def d17_the_installed_program_knows_no_faults():
    with open(PROGRAM, "rb") as program, open(FAULTS, "rb") as faults:
        installed, sister = program.read(), faults.read()
    for name in ("drop-response-after", "close-before-answer-every", "503-every", "429-every", "redirect-every",
                 "duplicate-every", "expire-every", "wrong-echo-every", "missing-echo-every", "truncate-every",
                 "oversize-every", "not-json-every", "payload-string-every", "stale-every", "reflect-every",
                 "empty-201-every", "tls-failure-every", "operation", "delay-ms", "clock-file", "record"):
        done = subprocess.run([PROGRAM, "--fault", name + "=1"], capture_output=True, text=True, timeout=20)
        assert done.returncode == 2 and "not part of this program" in done.stderr, name
        assert name.encode() in sister
        assert "-" not in name or name.encode() not in installed, name
    shown = subprocess.run([PROGRAM, "--help"], capture_output=True, text=True, timeout=20).stdout
    assert "--fault" not in shown


@test
def d17_a_lost_answer_is_executed_and_its_repetition_is_a_duplicate():
    with faulty("drop-response-after=1") as relay:
        create(relay)
        claim, request_id = fresh(), fresh()
        assert breaks(create, relay, claim, request_id), "an answer came"
        create(relay, claim, request_id, expect=201)
        create(relay)
    with faulty("close-before-answer-every=2") as relay:
        create(relay)
        assert breaks(create, relay)
        create(relay)
        assert breaks(create, relay)


@test
def d17_a_refusal_names_a_time_and_executes_nothing():
    for fault, status in (("503-every=2", 503), ("429-every=2", 429)):
        with faulty(fault, "retry-after=7") as relay:
            claim, request_id = fresh(), fresh()
            create(relay)
            answer = post(relay, claim, request_id)
            assert (answer.status, answer.headers["Retry-After"]) == (status, "7")
            create(relay, claim, request_id)


@test
def d17_a_delay_lies_between_the_commit_and_the_answer():
    with faulty("delay-ms=300") as relay:
        before = time.monotonic()
        create(relay)
        elapsed = 1e3 * (time.monotonic() - before)
        assert elapsed - float(relay.lines()[-1]["ms"]) >= 300, "the log line is written at the commit"


@test
def d17_a_duplicate_delivery_gives_the_second_answer():
    with Relay(FAULTS, "--empty-created", "--fault", "duplicate-every=1") as relay:
        claim, request_id = fresh(), fresh()
        answer = post(relay, claim, request_id)
        assert (answer.status, answer.body) == (201, b"")
        assert post(relay, claim, request_id).status == 201
    with faulty("duplicate-every=1", "operation=UpdateMailbox", "duplicate-every=1", "operation=DeleteMailbox",
                "duplicate-every=1") as relay:
        claim = fresh()
        answer = post(relay, claim)
        mailbox = json.loads(answer.body)["urlLink"].rsplit("/", 1)[1]
        assert answer.status == 201
        assert update(relay, mailbox, claim, 1).status == 201
        assert read_payload(relay, mailbox, claim) == MESSAGE[1]
        assert call(relay, "DELETE", mailbox, claim).status == 404


@test
def d17_the_echo_may_be_wrong_or_missing():
    for fault, echo in (("wrong-echo-every=2", "ffffffff-ffff-4fff-8fff-ffffffffffff"), ("missing-echo-every=2", None)):
        with faulty(fault) as relay:
            create(relay)
            connection = relay.connect()
            connection.request("POST", "/v1/m", create_body(), head(fresh()))
            answer = connection.getresponse()
            assert (answer.status, answer.headers["Mailbox-Request-ID"]) == (200, echo)
            connection.close()


@test
def d17_a_body_may_end_in_the_middle_and_what_was_asked_is_done():
    with Relay(FAULTS, "--empty-created", "--fault", "truncate-every=1") as relay:
        claim, request_id = fresh(), fresh()
        try:
            post(relay, claim, request_id)
            assert False, "the whole answer came"
        except http.client.IncompleteRead as error:
            assert error.partial.startswith(b'{"urlLink"') and error.expected > 0
        answer = post(relay, claim, request_id)
        assert (answer.status, answer.body) == (201, b"")


@test
def d17_a_body_may_be_larger_than_any_client_takes():
    with faulty(READ, "oversize-every=1") as relay:
        claim, mailbox = create(relay)
        answer = call(relay, "POST", mailbox, claim)
        assert answer.status == 200 and len(answer.body) > 4 * 1024 * 1024
        assert json.loads(answer.body)["payload"] == MESSAGE[0]


@test
def d17_a_200_may_be_no_json():
    with faulty("not-json-every=1") as relay:
        answer = post(relay)
        assert answer.status == 200 and answer.body.startswith(b"<!DOCTYPE html>")


@test
def d17_a_payload_may_be_a_string():
    with faulty(READ, "payload-string-every=1") as relay:
        claim, mailbox = create(relay)
        payload = read_payload(relay, mailbox, claim)
        assert isinstance(payload, str) and json.loads(payload) == MESSAGE[0]


def three_messages(relay):
    claim, mailbox = create(relay)
    recipient = fresh()
    read_payload(relay, mailbox, recipient)
    assert update(relay, mailbox, recipient, 1).status == 200
    assert update(relay, mailbox, claim, 2).status == 200
    return claim, recipient, mailbox


@test
def d17_an_older_payload_may_be_given_again():
    with faulty(READ, "stale-every=2") as relay:
        claim, recipient, mailbox = three_messages(relay)
        assert read_payload(relay, mailbox, recipient) == MESSAGE[0], "the stale one"
        assert read_payload(relay, mailbox, recipient) == MESSAGE[2]


@test
def d17_a_readers_own_payload_may_be_reflected():
    with faulty(READ, "reflect-every=2") as relay:
        claim, recipient, mailbox = three_messages(relay)
        assert read_payload(relay, mailbox, recipient) == MESSAGE[1], "its own"
        assert read_payload(relay, mailbox, recipient) == MESSAGE[2]


@test
def d17_a_create_may_be_answered_201_without_a_body():
    with faulty("empty-201-every=2") as relay:
        create(relay)
        claim, request_id = fresh(), fresh()
        answer = post(relay, claim, request_id)
        assert (answer.status, answer.body) == (201, b"")
        assert post(relay, claim, request_id).status == 201, "it was not executed"


@test
def d17_a_mailbox_may_expire_early_and_stays_gone():
    with faulty(READ, "expire-every=2") as relay:
        claim, mailbox = create(relay)
        other_claim, other = create(relay)
        read_payload(relay, mailbox, claim)
        assert call(relay, "POST", mailbox, claim).status == 404
        assert call(relay, "POST", mailbox, claim).status == 404
        assert update(relay, mailbox, claim, 1).status == 404
        assert update(relay, other, other_claim, 1).status == 200


@test
def d17_the_clock_may_jump_in_both_directions():
    with Clock() as clock, Relay(FAULTS, *clock.option()) as relay:
        claim, mailbox = create(relay, body=create_body(ttl=600))
        clock.advance(-86400)
        assert read_payload(relay, mailbox, claim) == MESSAGE[0]
        clock.advance(599 + 10)
        assert call(relay, "POST", mailbox, claim).status == 404


@test
def d17_a_connection_may_end_before_its_tls_handshake():
    with faulty("tls-failure-every=2") as relay:
        for _ in range(3):
            create(relay)
            assert breaks(create, relay)


@test
def d17_a_redirect_may_come_instead_of_an_answer():
    with faulty("redirect-every=2") as relay:
        create(relay)
        claim, request_id = fresh(), fresh()
        answer = post(relay, claim, request_id)
        assert (answer.status, answer.headers["Location"]) == (307, "/followed")
        create(relay, claim, request_id)


@test
def d17_draft_r_is_disturbed_in_the_same_ways():
    new = {"If-None-Match": "*"}
    with faulty("operation=DropPut", "close-before-answer-every=1", "operation=DropGet", "truncate-every=2") as relay:
        place = "/t/" + "x" * 43
        assert breaks(relay.request, "PUT", place, new, b"message")
        assert relay.request("GET", place).body == b"message"
        try:
            relay.request("GET", place)
            assert False, "the whole message came"
        except http.client.IncompleteRead as error:
            assert error.partial == b"mes"


if __name__ == "__main__":
    sys.exit(main())
