#!/usr/bin/env python3
"""The relay seen from outside: every scenario of vectors.json, the conformance list of Draft V (a test's name
begins with its number there), limits, and broken HTTP. CONFORMANCE.md maps the one to the other."""

import base64
import datetime
import hashlib
import html.parser
import http.client
import json
import os
import re
import socket
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import time

from relay_cases import (FAULTS, MESSAGE, PAYLOADS, PROGRAM, VECTOR, Clock, call, create, create_body, durable,
                         in_future, main, read_payload, test, tests)
from relay_harness import Relay, encodings, fresh, head, mailbox_of, short_hash, token_hash

# --- scenarios ------------------------------------------------------------------------------------

def fill(value):
    if isinstance(value, dict):
        if "$payload" in value:
            return PAYLOADS[value["$payload"]]
        return {k: fill(v) for k, v in value.items()}
    if value == "$NOW+48h":
        return in_future(48 * 3600)
    return value


def run_step(relay, step, mailbox, tokens):
    path = step["path"].replace("{mailbox}", mailbox or "")
    body = json.dumps(fill(step["json"])) if "json" in step else None
    answer = relay.request(step["method"], path, step["headers"], body)
    assert answer.status == step["expect_status"], (step["op"], answer.status, answer.body)
    if "expect_content_type" in step:
        assert answer.headers["Content-Type"].startswith(step["expect_content_type"])
    if "expect_payload" in step:
        assert json.loads(answer.body)["payload"] == PAYLOADS[step["expect_payload"]]

    token = step.get("json", {}).get("notificationToken")
    claim = step["headers"].get("Mailbox-Device-Claim")
    if token and answer.status == 200:
        tokens[claim] = token["tokenData"]
    if "expect_push_to" in step:
        line = [l for l in relay.lines() if l.get("request") == step["headers"]["Mailbox-Request-ID"]][-1]
        assert line["token"] == token_hash(tokens[step["expect_push_to"]], mailbox), "the push went elsewhere"
    if step["op"] == "CreateMailbox" and answer.status == 200:
        return mailbox_of(answer)
    return mailbox


def scenario_test(scenario):
    def run():
        with Clock() as clock, Relay(FAULTS, *clock.option()) as relay:
            mailbox, tokens = None, {}
            for step in scenario["steps"]:
                if "advance_clock_s" in step:
                    clock.advance(step["advance_clock_s"])
                else:
                    mailbox = run_step(relay, step, mailbox, tokens)
    run.__name__ = "scenario_" + scenario["name"].replace("-", "_")
    return run


tests += [scenario_test(s) for s in VECTOR["relay_scenarios"]["scenarios"]]


# --- identity, duplicates, rights -----------------------------------------------------------------

@test
def d1_a_link_is_https_and_its_id_is_a_version_4_uuid():
    with Relay(PROGRAM) as relay:
        answer = relay.request("POST", "/v1/m", head(fresh()), create_body())
        body = json.loads(answer.body)
        match = re.fullmatch(r"https://127\.0\.0\.1:%d/v1/m/([0-9a-f-]{36})" % relay.port, body["urlLink"])
        assert match and match[1][14] == "4" and match[1][19] in "89ab", body
        assert body["isPushNotificationSupported"] is False


@test
def d1_the_public_url_begins_every_link():
    with Relay(PROGRAM, "--public-url", "https://relay.example.org") as relay:
        answer = relay.request("POST", "/v1/m", head(fresh()), create_body())
        assert json.loads(answer.body)["urlLink"].startswith("https://relay.example.org/v1/m/")


@test
def d4_only_the_last_request_id_of_a_claim_is_remembered():
    with Relay(PROGRAM) as relay:
        claim, mailbox = create(relay)
        a, b = fresh(), fresh()
        update = [json.dumps({"payload": m}) for m in MESSAGE]
        assert call(relay, "PUT", mailbox, claim, update[0], a).status == 200
        assert call(relay, "PUT", mailbox, claim, update[2], a).status == 201
        assert call(relay, "PUT", mailbox, claim, update[1], b).status == 200
        assert call(relay, "PUT", mailbox, claim, update[2], a).status == 200
        assert read_payload(relay, mailbox, claim) == MESSAGE[2]


@test
def request_ids_and_claims_are_compared_without_regard_to_case():
    with Relay(PROGRAM) as relay:
        request_id = fresh()
        claim, mailbox = create(relay, request_id=request_id)
        create(relay, claim.upper(), request_id.upper(), expect=201)
        assert call(relay, "POST", mailbox.upper(), claim.upper()).status == 200


@test
def d3_a_repeated_create_has_an_empty_body_when_asked_to():
    with Relay(PROGRAM, "--empty-created") as relay:
        headers = head(fresh())
        assert relay.request("POST", "/v1/m", headers, create_body()).status == 200
        again = relay.request("POST", "/v1/m", headers, create_body())
        assert (again.status, again.body) == (201, b"")


@test
def d3_a_repeated_create_repeats_the_link_by_default():
    with Relay(PROGRAM) as relay:
        headers = head(fresh())
        first = relay.request("POST", "/v1/m", headers, create_body())
        again = relay.request("POST", "/v1/m", headers, create_body())
        assert (again.status, again.body) == (201, first.body)


@test
def d3_a_late_repetition_of_create_makes_no_second_mailbox_after_delete():
    with Relay(PROGRAM) as relay:
        claim, request_id, recipient = fresh(), fresh(), fresh()
        _, mailbox = create(relay, claim, request_id)
        assert call(relay, "POST", mailbox, recipient).status == 200
        assert call(relay, "DELETE", mailbox, recipient).status == 200
        create(relay, claim, request_id, expect=201)


@test
def d21_duplicates_are_found_before_the_claim_and_the_body_are_looked_at():
    with Relay(PROGRAM) as relay:
        _, mailbox = create(relay)
        recipient, request_id = fresh(), fresh()
        assert call(relay, "POST", mailbox, recipient).status == 200
        assert call(relay, "PATCH", mailbox, recipient, None, request_id).status == 200
        assert call(relay, "PATCH", mailbox, recipient, None, request_id).status == 201
        assert call(relay, "PUT", mailbox, recipient, "not json", request_id).status == 201
        assert call(relay, "PUT", mailbox, recipient, "not json").status == 401


@test
def d21_refusals_follow_the_order_of_checks():
    with Relay(PROGRAM) as relay:
        claim, mailbox = create(relay, body=create_body(rights="RD"))
        assert call(relay, "PUT", fresh(), claim, "not json").status == 404
        assert call(relay, "PUT", mailbox, fresh(), "not json").status == 401
        assert call(relay, "PUT", mailbox, claim, "not json").status == 401  # no right to write
        claim, mailbox = create(relay)
        assert call(relay, "PUT", mailbox, claim, "not json").status == 400


@test
def d9_every_right_is_needed_for_its_operation():
    with Relay(PROGRAM, "--forbid-with-403") as relay:
        for rights in ("R", "W", "D", "RW", "RD", "WD", "RWD"):
            claim, mailbox = create(relay, body=create_body(rights=rights))
            for right, method, body in (("R", "POST", None), ("W", "PUT", json.dumps({"payload": MESSAGE[1]})),
                                        ("D", "DELETE", None)):
                status = call(relay, method, mailbox, claim, body).status
                assert status == (200 if right in rights else 403), (rights, method, status)


@test
def d9_without_a_configuration_a_mailbox_allows_reading_and_deleting_for_two_days():
    with Relay(PROGRAM) as relay:
        body = json.loads(create_body())
        del body["mailboxConfiguration"]
        claim, mailbox = create(relay, body=json.dumps(body))
        answer = json.loads(call(relay, "POST", mailbox, claim).body)
        assert abs(datetime.datetime.fromisoformat(answer["expiration"].replace("Z", "+00:00")).timestamp()
                   - time.time() - 48 * 3600) < 5
        assert call(relay, "PUT", mailbox, claim, json.dumps({"payload": MESSAGE[1]})).status == 401
        assert call(relay, "DELETE", mailbox, claim).status == 200


@test
def reads_may_come_without_a_request_id_and_changes_may_not():
    with Relay(PROGRAM) as relay:
        claim, mailbox = create(relay)
        path, only_claim = f"/v1/m/{mailbox}", {"Mailbox-Device-Claim": claim}
        assert relay.request("POST", path, only_claim).status == 200
        for method in ("PUT", "PATCH", "DELETE"):
            assert relay.request(method, path, only_claim, create_body()).status == 400
        assert relay.request("POST", "/v1/m", only_claim, create_body()).status == 400


@test
@durable
def d10_an_expired_mailbox_is_gone_at_once_and_its_rows_leave_the_disk():
    with Clock() as clock, Relay(FAULTS, *clock.option()) as relay:
        request_id = fresh()
        claim, mailbox = create(relay, request_id=request_id, body=create_body(ttl=60))
        create(relay, body=create_body(ttl=3600))
        clock.advance(61)
        assert call(relay, "POST", mailbox, claim).status == 404
        assert relay.request("GET", f"/v1/m/{mailbox}").status == 404
        database = sqlite3.connect(f"file:{relay.state}/relay.sqlite?mode=ro", uri=True)
        count = lambda table: database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        deadline = time.monotonic() + 60
        while (count("mailbox"), count("content"), count("claim")) != (1, 1, 1):
            assert time.monotonic() < deadline, "the sweep did not come"
            time.sleep(0.1)
        database.close()
        create(relay, claim, request_id)  # forgotten with the mailbox


def everything(relay, mailbox, claim):
    """The status of every method at a mailbox."""
    update = json.dumps({"payload": MESSAGE[1]})
    return [call(relay, method, mailbox, claim, update if method == "PUT" else None).status
            for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")]


@test
def d10_after_delete_and_after_expiration_every_method_is_404():
    with Clock() as clock, Relay(FAULTS, *clock.option()) as relay:
        claim, mailbox = create(relay)
        recipient = fresh()
        read_payload(relay, mailbox, recipient)
        assert call(relay, "DELETE", mailbox, recipient).status == 200
        for who in (claim, recipient, fresh()):
            assert everything(relay, mailbox, who) == [404] * 6
        claim, mailbox = create(relay, body=create_body(ttl=60))
        clock.advance(61)
        for who in (claim, fresh()):
            assert everything(relay, mailbox, who) == [404] * 6
        assert everything(relay, fresh(), claim) == [404] * 6


# --- who may do what ------------------------------------------------------------------------------

HUGE = object()


@test
def d2_every_answer_echoes_the_request_id_errors_too():
    with Relay(PROGRAM, "--body-max", "4096", "--rate", "100000") as relay:
        claim, mailbox = create(relay)
        large = create_body(payload={"type": "AEAD_AES_128_GCM", "data": "x" * 5000})
        for method, path, who, body, status in (
            ("POST", "/v1/m", fresh(), create_body(), 200), ("POST", "/v1/m", fresh(), "{", 400),
            ("POST", "/v1/m", fresh(), large, 400), ("POST", "/v1/m", fresh(), HUGE, 400),
            ("GET", f"/v1/m/{mailbox}", claim, None, 200), ("POST", f"/v1/m/{mailbox}", claim, None, 200),
            ("DELETE", f"/v1/m/{mailbox}", fresh(), None, 401), ("POST", f"/v1/m/{mailbox}", "1", None, 400),
            ("POST", f"/v1/m/{fresh()}", claim, None, 404), ("OPTIONS", f"/v1/m/{mailbox}", claim, None, 405),
            ("GET", "/", claim, None, 404), ("GET", f"/v1/m/{mailbox}?%23", claim, None, 400),
        ):
            request_id = fresh().upper()  # unchanged means unchanged
            headers = head(who, request_id)
            if body is HUGE:  # refused by its length alone, before it comes
                headers, body = {**headers, "Content-Length": "50000"}, None
            answer = relay.request(method, path, headers, body)
            assert (answer.status, answer.headers.get_all("Mailbox-Request-ID")) == (status, [request_id]), \
                (method, path, answer.status)
    with Relay(PROGRAM, "--rate", "1") as relay:
        while relay.request("GET", f"/v1/m/{fresh()}", head(fresh())).status != 429:
            pass  # request() looks at every echo


@test
def d2_an_id_that_no_header_should_carry_is_refused_without_its_echo():
    with Relay(PROGRAM) as relay:
        claim, mailbox = create(relay)
        for request_id in ("x" * 65, "x" * 200, "x y"):
            answer = call(relay, "POST", mailbox, claim, None, request_id)
            assert (answer.status, answer.headers["Mailbox-Request-ID"]) == (400, None), request_id


@test
def d3_an_update_or_a_relinquish_that_comes_twice_is_executed_once():
    with Relay(PROGRAM) as relay:
        claim, mailbox = create(relay)
        recipient, a, b = fresh(), fresh(), fresh()
        read_payload(relay, mailbox, recipient)
        first, second = (json.dumps({"payload": m}) for m in MESSAGE[1:])
        assert call(relay, "PUT", mailbox, recipient, first, a).status == 200
        again = call(relay, "PUT", mailbox, recipient, second, a)
        assert (again.status, again.body) == (201, b"")
        assert read_payload(relay, mailbox, claim) == MESSAGE[1]
        assert call(relay, "PATCH", mailbox, recipient, None, b).status == 200
        other = fresh()
        read_payload(relay, mailbox, other)
        assert call(relay, "PATCH", mailbox, recipient, None, b).status == 201
        assert call(relay, "POST", mailbox, other).status == 200, "the repetition released another's place"
        assert call(relay, "POST", mailbox, recipient).status == 401


@test
def d5_only_a_read_binds_the_recipient():
    with Relay(PROGRAM) as relay:
        _, mailbox = create(relay)
        stranger, recipient = fresh(), fresh()
        assert relay.request("GET", f"/v1/m/{mailbox}", head(stranger)).status == 200
        assert call(relay, "PUT", mailbox, stranger, json.dumps({"payload": MESSAGE[1]})).status == 401
        assert call(relay, "DELETE", mailbox, stranger).status == 401
        assert call(relay, "PATCH", mailbox, stranger).status == 401
        assert call(relay, "POST", mailbox, recipient).status == 200, "something else had bound the stranger"
        assert call(relay, "POST", mailbox, stranger).status == 401


@test
def d6_a_third_claim_may_nothing():
    with Relay(PROGRAM) as relay:
        claim, mailbox = create(relay)
        read_payload(relay, mailbox, fresh())
        assert everything(relay, mailbox, fresh()) == [200, 200, 401, 401, 401, 401]
        assert read_payload(relay, mailbox, claim) == MESSAGE[0]


@test
def d7_reads_of_the_initiator_leave_the_recipients_place_free():
    with Relay(PROGRAM) as relay:
        claim, mailbox = create(relay)
        for _ in range(3):
            assert read_payload(relay, mailbox, claim) == MESSAGE[0]
        assert call(relay, "POST", mailbox, fresh()).status == 200


@test
def d8_only_the_bound_recipient_relinquishes_and_the_next_reader_is_bound():
    with Relay(PROGRAM) as relay:
        claim, mailbox = create(relay)
        first, second = fresh(), fresh()
        assert call(relay, "PATCH", mailbox, claim).status == 401
        read_payload(relay, mailbox, first)
        assert call(relay, "PATCH", mailbox, claim).status == 401
        assert call(relay, "PATCH", mailbox, second).status == 401
        assert call(relay, "PATCH", mailbox, first).status == 200
        read_payload(relay, mailbox, second)
        assert call(relay, "POST", mailbox, first).status == 401
        assert read_payload(relay, mailbox, claim) == MESSAGE[0], "the Initiator stays bound"


@test
def d9_a_missing_right_is_401_unless_asked_otherwise():
    with Relay(PROGRAM) as relay:
        claim, mailbox = create(relay, body=create_body(rights="RD"))
        assert call(relay, "PUT", mailbox, claim, json.dumps({"payload": MESSAGE[1]})).status == 401


@test
def d13_an_update_overwrites_the_only_slot_whoever_wrote_it():
    with Relay(PROGRAM) as relay:
        claim, mailbox = create(relay)
        recipient = fresh()
        read_payload(relay, mailbox, recipient)
        for n, writer in enumerate((claim, claim, recipient, claim, recipient)):
            update = json.dumps({"payload": MESSAGE[n % 3]})
            assert call(relay, "PUT", mailbox, writer, update).status == 200
            for reader in (claim, recipient):
                assert read_payload(relay, mailbox, reader) == MESSAGE[n % 3]


@test
def d15_a_record_of_all_that_arrived_shows_what_must_not():
    """The double's part: with record= a test can search everything that a client sent for its Secret."""
    with tempfile.TemporaryDirectory(prefix="vestibule-record-") as folder:
        record = os.path.join(folder, "record")
        with Relay(FAULTS, "--fault", f"record={record}") as relay:
            headers = head(fresh(), X_Secret="MARKERheader")
            body = create_body(title="MARKERbody")
            assert relay.request("POST", "/v1/m?MARKERtarget", headers, body).status == 200
            relay.request("POST", "/nowhere", {}, "MARKERelsewhere")
        seen = open(record, "rb").read()
        for marker in (b"MARKERheader", b"MARKERbody", b"MARKERtarget", b"MARKERelsewhere"):
            assert marker in seen, marker


@test
def d16_an_update_records_a_push_to_the_other_party():
    with Relay(PROGRAM) as relay:
        token = lambda text: {"type": "com.example.push", "tokenData": text}
        claim, mailbox = create(relay, body=create_body(notificationToken=token("of the initiator")))
        recipient = fresh()
        read_payload(relay, mailbox, recipient)
        update = {"payload": MESSAGE[1], "notificationToken": token("of the recipient")}
        assert call(relay, "PUT", mailbox, recipient, json.dumps(update)).status == 200
        answer = call(relay, "PUT", mailbox, claim, json.dumps({"payload": MESSAGE[2]}))
        assert json.loads(answer.body)["isPushNotificationSupported"] is False
        pushes = [(line["push"], line["token"]) for line in relay.lines() if "push" in line]
        assert pushes == [("initiator", token_hash("of the initiator", mailbox)),
                          ("recipient", token_hash("of the recipient", mailbox))], pushes


@test
def d18_the_header_names_of_older_drafts_are_taken_when_asked_to():
    old = [("Device-Claim", "Mailbox-Request-ID"), ("deviceClaim", "Mailbox-Request-ID"),
           ("deviceClaim", "Mailbox-Correlation-ID")]
    with Relay(PROGRAM, "--legacy", "sct04") as relay:
        for claim_name, id_name in old + [("Mailbox-Device-Claim", "Mailbox-Request-ID")]:
            claim, request_id = fresh(), fresh()
            headers = {claim_name: claim, id_name: request_id}
            answer = relay.request("POST", "/v1/m", headers, create_body())
            assert answer.status == 200 and answer.headers[id_name] == request_id, (claim_name, id_name)
            mailbox = mailbox_of(answer)
            assert relay.request("POST", "/v1/m", headers, create_body()).status == 201
            assert relay.request("DELETE", f"/v1/m/{mailbox}", {**headers, id_name: fresh()}).status == 200
        both = {"Mailbox-Device-Claim": fresh(), "Device-Claim": fresh(), "Mailbox-Request-ID": fresh()}
        assert relay.request("POST", "/v1/m", both, create_body()).status == 400
    with Relay(PROGRAM) as relay:
        for claim_name, id_name in old:
            headers = {claim_name: fresh(), id_name: fresh()}
            assert relay.request("POST", "/v1/m", headers, create_body()).status in (400, 401)


@test
def d19_a_read_with_the_initiators_claim_is_an_initiators_read():
    with Relay(PROGRAM) as relay:
        claim, mailbox = create(relay)
        read_payload(relay, mailbox, claim)
        assert call(relay, "PATCH", mailbox, claim).status == 401, "it became the Recipient, too"
        recipient = fresh()
        read_payload(relay, mailbox, recipient)
        read_payload(relay, mailbox, claim)
        assert call(relay, "PATCH", mailbox, recipient).status == 200


@test
def d20_size_and_time_to_live_are_limited_as_configured():
    with Relay(PROGRAM, "--body-max", "2048", "--ttl-max", "600", "--ttl-default", "300") as relay:
        data = lambda n: create_body(ttl=60, payload={"type": "AEAD_AES_128_GCM", "data": "x" * n})
        create(relay, body=data(1000))
        create(relay, body=data(2048), expect=400)
        create(relay, body=create_body(ttl=590))
        create(relay, body=create_body(ttl=700), expect=400)
        body = json.loads(create_body())
        del body["mailboxConfiguration"]
        claim, mailbox = create(relay, body=json.dumps(body))
        expiration = json.loads(call(relay, "POST", mailbox, claim).body)["expiration"]
        assert abs(datetime.datetime.fromisoformat(expiration.replace("Z", "+00:00")).timestamp()
                   - time.time() - 300) < 60


@test
def d22_no_line_of_the_log_has_anything_of_another_mailboxs_line():
    """Two mailboxes of the same parties, tokens, address and connection; locations of Draft R as well."""
    words = {"CreateMailbox", "UpdateMailbox", "DeleteMailbox", "ReadSecureContentFromMailbox",
             "ReadDisplayInformationFromMailbox", "RelinquishMailbox", "DropPut", "DropGet", "200", "201", "401",
             "initiator", "recipient"}
    with Relay(PROGRAM) as relay:
        claim, recipient, connection = fresh(), fresh(), relay.connect()
        token = {"type": "com.example.push", "tokenData": "one token for all"}
        lines, seen = [], 0
        for n in range(2):
            _, mailbox = create(relay, claim, body=create_body(notificationToken=token), connection=connection)
            path = f"/v1/m/{mailbox}"
            update = json.dumps({"payload": MESSAGE[1], "notificationToken": token})
            for method, who, body, status in (
                ("POST", recipient, None, 200), ("PUT", recipient, update, 200), ("PUT", claim, update, 200),
                ("GET", recipient, None, 200), ("PUT", fresh(), update, 401), ("PATCH", recipient, None, 200)):
                assert relay.request(method, path, head(who), body, connection).status == status
            location = "/t/" + "location-of-mailbox-%d-xxxxxxxxxxxxxxxxx" % n
            put = {"If-None-Match": "*"}
            assert relay.request("PUT", location, put, b"one message for all", connection).status == 201
            assert relay.request("GET", location, {}, None, connection).status == 200
            lines.append(relay.lines()[seen:])
            seen = len(relay.lines())
        connection.close()
        values = [{v for line in part for name, v in line.items()
                   if name not in ("time", "boot", "ms") and v not in words} for part in lines]
        assert len(values[0]) >= 10 and "connection" in values[0]
        assert not values[0] & values[1], values[0] & values[1]
        for part in lines:
            for line in part:
                assert set(line) <= {"time", "boot", "op", "status", "request", "mailbox", "push", "token", "ms"}


# --- bodies ---------------------------------------------------------------------------------------

def bad_bodies():
    good = json.loads(create_body())
    yield from ("", "nothing", "[]", "null", "{", '{"payload":1}', create_body() + "x", "\x00", '"\xff"')
    for path in (("payload",), ("payload", "type"), ("payload", "data"), ("displayInformation",),
                 ("displayInformation", "title"), ("displayInformation", "description"),
                 ("displayInformation", "imageURL"), ("mailboxConfiguration", "expiration")):
        for change in ("absent", 7, None, [], {}):
            body = json.loads(json.dumps(good))
            place = body
            for name in path[:-1]:
                place = place[name]
            if change == "absent":
                del place[path[-1]]
            else:
                place[path[-1]] = change
            yield json.dumps(body)


@test
@durable
def d11_a_body_with_a_member_missing_or_of_another_type_is_400_and_changes_nothing():
    with Relay(PROGRAM) as relay:
        connection, n = relay.connect(), 0
        for body in bad_bodies():
            answer = relay.request("POST", "/v1/m", head(fresh()), body.encode("latin-1"), connection)
            assert answer.status == 400, (body, answer.status)
            n += 1
        connection.close()
        assert n > 40
        relay.stop()
        database = sqlite3.connect(f"{relay.state}/relay.sqlite")
        assert database.execute("SELECT count(*) FROM mailbox").fetchone()[0] == 0
        database.close()


@test
def d20_repeated_members_depth_sizes_and_dates_are_limited():
    with Relay(PROGRAM) as relay:
        configuration = lambda **m: create_body(mailboxConfiguration=m)
        for body in (
            create_body()[:-1] + ',"payload":{"type":"AEAD_AES_128_GCM","data":"x"}}',
            create_body(extra=json.loads("[" * 9 + "]" * 9)),
            create_body(title="x" * 129),
            create_body(payload={"type": "AEAD_AES_192_GCM", "data": "x"}),
            create_body(payload={"type": "aead_aes_128_gcm", "data": "x"}),
            create_body(notificationToken={"type": "com.example.push"}),
            create_body(ttl=-1), create_body(ttl=0), create_body(ttl=8 * 86400),
            configuration(expiration="tomorrow"), configuration(expiration="2026-11-24"),
            configuration(accessRights="RWX", expiration=in_future(60)),
            configuration(accessRights="", expiration=in_future(60)),
            create_body(payload={"type": "AEAD_AES_128_GCM", "data": "x" * 70000}),
        ):
            create(relay, body=body, expect=400)
        create(relay, body=create_body(title="x" * 128, unknown={"a": [1, {"b": None}]}))
        create(relay, body=create_body(payload={"type": "AEAD_AES_256_GCM", "data": "x" * 60000}))
        create(relay, body=configuration(expiration=in_future(60).replace("Z", "+0000")))


@test
def d14_what_a_payload_holds_is_not_looked_at():
    with Relay(PROGRAM) as relay:
        payload = {"type": "AEAD_AES_256_GCM", "data": "not base64: \"\\ \u00e4\u20ac\U0001f511 <&> \n"}
        claim, mailbox = create(relay, body=create_body(payload=payload))
        assert read_payload(relay, mailbox, claim) == payload


@test
def a_body_in_chunks_is_taken_and_an_endless_one_is_cut_off():
    with Relay(PROGRAM, "--body-max", "4096") as relay:
        def chunked(body, size=100):
            pieces = (body[i:i + size] for i in range(0, len(body), size))
            return b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"
        start = ("POST /v1/m HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                 "Mailbox-Request-ID: %s\r\nMailbox-Device-Claim: %s\r\n"
                 "Transfer-Encoding: chunked\r\n\r\n")
        answer = relay.raw((start % (fresh(), fresh())).encode() + chunked(create_body().encode()))
        assert answer.startswith(b"HTTP/1.1 200"), answer
        answer = relay.raw((start % (fresh(), fresh())).encode() + chunked(b"x" * 8000))
        assert answer.startswith(b"HTTP/1.1 400"), answer
        answer = relay.raw((start % (fresh(), fresh())).encode() + chunked(b"x" * 100000, 4000))
        assert answer == b"", answer
        create(relay)


# --- preview --------------------------------------------------------------------------------------

class Page(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.meta, self.tags, self.attributes = {}, [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [name for name, _ in attributes]
        if tag == "meta" and dict(attributes).get("property"):
            self.meta[dict(attributes)["property"]] = dict(attributes)["content"]


@test
def d12_a_preview_shows_escaped_text_and_has_no_script():
    evil = "\"><script>alert('1')</script>&amp; \u00e4"
    with Relay(PROGRAM) as relay:
        display = {"title": evil, "description": evil, "imageURL": "https://example.com/\" onload=\"x"}
        _, mailbox = create(relay, body=create_body(displayInformation=display))
        answer = relay.request("GET", f"/v1/m/{mailbox}?v=c")
        page = Page(answer.body.decode())
        assert answer.status == 200 and answer.headers["Content-Type"].startswith("text/html")
        assert page.meta["og:title"] == evil and page.meta["og:description"] == evil
        assert page.meta["og:image"] == display["imageURL"]
        assert "script" not in page.tags and not [a for a in page.attributes if a.startswith("on")]
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; img-src https:")
        assert "script" not in answer.headers["Content-Security-Policy"]
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        head_answer = relay.request("HEAD", f"/v1/m/{mailbox}")
        assert (head_answer.status, head_answer.body) == (200, b"")


@test
def d12_a_preview_says_to_a_guest_what_it_is_and_what_to_do():
    with Relay(PROGRAM) as relay:
        _, mailbox = create(relay)
        page = relay.request("GET", f"/v1/m/{mailbox}").body.decode()
        for sentence in ("A key was shared with you", "Open this link on the phone that shall hold the key.",
                         "Please do not pass it on.", "<title>Hotel Pass</title>", 'name="viewport"', 'lang="en"'):
            assert sentence in page, sentence


@test
def d12_a_preview_speaks_german_to_who_asks_for_it():
    with Relay(PROGRAM) as relay:
        _, mailbox = create(relay)
        pages = {}
        for asked in (None, "en", "de-AT,de;q=0.9,en;q=0.5"):
            answer = relay.request("GET", f"/v1/m/{mailbox}", {"Accept-Language": asked} if asked else {})
            assert answer.headers["Vary"] == "Accept-Language" and answer.headers["Cache-Control"] == "no-store"
            pages[asked] = answer.body.decode()
        german = pages.pop("de-AT,de;q=0.9,en;q=0.5")
        assert len(set(pages.values())) == 1 and 'lang="en"' in pages["en"]
        for sentence in ("Jemand teilt einen Schlüssel mit Ihnen", "das den Schlüssel aufnehmen soll.",
                         "Bitte geben Sie ihn nicht weiter.", "<title>Hotel Pass</title>", 'lang="de"'):
            assert sentence in german, sentence
        assert "script" not in Page(german).tags and "the" not in re.findall(r"[a-z]+", re.sub("<[^>]*>", "", german))


@test
def d12_the_style_of_a_preview_is_the_one_that_its_policy_allows():
    with Relay(PROGRAM) as relay:
        _, mailbox = create(relay)
        answer = relay.request("GET", f"/v1/m/{mailbox}")
        style = re.search(rb"<style>(.*?)</style>", answer.body, re.S)[1]
        digest = base64.b64encode(hashlib.sha256(style).digest()).decode()
        assert f"'sha256-{digest}'" in answer.headers["Content-Security-Policy"]


@test
def d12_a_preview_shows_no_image_that_is_not_https():
    with Relay(PROGRAM) as relay:
        for url in ("http://example.com/x", "javascript:alert(1)", "data:image/png;base64,AA", "x"):
            display = {"title": "a", "description": "b", "imageURL": url}
            _, mailbox = create(relay, body=create_body(displayInformation=display))
            page = Page(relay.request("GET", f"/v1/m/{mailbox}").body.decode())
            assert "img" not in page.tags and "og:image" not in page.meta, url


# --- transport ------------------------------------------------------------------------------------

@test
def d15_a_fragment_or_a_referer_is_refused_and_counted():
    with Relay(PROGRAM) as relay:
        claim, mailbox = create(relay)
        for path in (f"/v1/m/{mailbox}#secret", f"/v1/m/{mailbox}?v=c%23secret", "/#secret"):
            start = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            assert relay.raw(start.encode()).startswith(b"HTTP/1.1 400"), path
        answer = relay.request("POST", f"/v1/m/{mailbox}", head(claim, Referer="https://x.example/"))
        assert answer.status == 400
        violations = [line["violation"] for line in relay.lines() if "violation" in line]
        assert violations == ["fragment"] * 3 + ["referer"], violations
        assert b"secret" not in open(relay.log_path, "rb").read()
        assert relay.stop() == 0
        assert "4 of them with a Referer or a fragment" in open(relay.error_path).read()


@test
def plain_http_gets_no_http_answer():
    with Relay(PROGRAM) as relay:
        with socket.create_connection(("127.0.0.1", relay.port), timeout=10) as s:
            s.sendall(b"GET /v1/m HTTP/1.1\r\nHost: localhost\r\n\r\n")
            try:
                assert b"HTTP" not in s.recv(4096)
            except ConnectionError:
                pass
        create(relay)


@test
def tls_below_1_2_is_refused():
    with Relay(PROGRAM) as relay:
        for version, works in ((ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True),
                               (ssl.TLSVersion.TLSv1_3, True)):
            context = ssl.create_default_context(cafile=relay.certificate)
            context.set_ciphers("DEFAULT:@SECLEVEL=0")
            context.minimum_version = context.maximum_version = version
            try:
                with socket.create_connection(("127.0.0.1", relay.port), timeout=10) as s:
                    with context.wrap_socket(s, server_hostname="localhost"):
                        assert works, version
            except (ssl.SSLError, ConnectionError):
                assert not works, version


@test
def broken_http_changes_nothing_and_the_relay_goes_on():
    with Relay(PROGRAM, "--idle-timeout", "2") as relay:
        claim, mailbox = create(relay)
        path = f"/v1/m/{mailbox}".encode()
        both = b"Mailbox-Request-ID: %s\r\n" % fresh().encode()
        claims = b"Mailbox-Device-Claim: %s\r\n" % claim.encode()
        end = b"Host: localhost\r\nConnection: close\r\n\r\n"
        for request, expect in (
            (b"\r\n\r\n\x00\xff garbage", None),
            (b"DELETE " + path + b" HTTP/9.9\r\n" + both + claims + end, None),
            (b"DELETE " + path + b"\r\n\r\n", None),
            (b"DELETE " + path + b" HTTP/1.1\r\n" + both + claims + claims + end, 400),
            (b"DELETE " + path + b" HTTP/1.1\r\n" + both + both + claims + end, 400),
            (b"DELETE " + path + b" HTTP/1.1\r\n" + both + b"Mailbox-Device-Claim: 1\r\n" + end, 400),
            (b"DELETE " + path + b" HTTP/1.1\r\nMailbox-Request-ID: 1\r\n" + claims + end, 400),
            (b"DELETE " + path + b" HTTP/1.1\r\n" + both + claims + b"X: " + b"y" * 40000 + b"\r\n" + end, 431),
            (b"DELETE " + path + b"/ HTTP/1.1\r\n" + both + claims + end, 404),
            (b"DELETE /v1/m/%s HTTP/1.1\r\n" % path[6:-1] + both + claims + end, 404),
            (b"DELETE /v2/m/%s HTTP/1.1\r\n" % path[6:] + both + claims + end, 404),
            (b"DELETE " + path.replace(b"v1", b"%761") + b" HTTP/1.1\r\n" + both + claims + end, 404),
            (b"TRACE " + path + b" HTTP/1.1\r\n" + both + claims + end, 405),
            (b"DELETE /v1/m HTTP/1.1\r\n" + both + claims + end, 405),
            (b"PUT " + path + b" HTTP/1.1\r\nContent-Length: 100\r\n" + both + claims + b"Host: x\r\n\r\n{", None),
            (b"PUT " + path + b" HTTP/1.1\r\nContent-Length: 99999999\r\n" + both + claims + end, 400),
            (b"PUT " + path + b" HTTP/1.1\r\nContent-Length: -1\r\n" + both + claims + end, None),
            (b"PUT " + path + b" HTTP/1.1\r\nContent-Type: text/plain\r\n" + both + claims + end, 400),
        ):
            answer = relay.raw(request)
            status = int(answer[9:12]) if answer.startswith(b"HTTP/1.") else None
            if expect is None:
                assert status is None or 400 <= status < 600, (request[:80], answer[:80])
            else:
                assert status == expect, (request[:80], answer[:80])
        assert read_payload(relay, mailbox, claim) == MESSAGE[0]


@test
def requests_in_a_pipeline_are_answered_in_order():
    with Relay(PROGRAM) as relay:
        claim, mailbox = create(relay)
        requests = b""
        ids = [fresh() for _ in range(20)]
        for i, request_id in enumerate(ids):
            close = "Connection: close\r\n" if i == len(ids) - 1 else ""
            requests += (f"POST /v1/m/{mailbox} HTTP/1.1\r\nHost: localhost\r\n{close}Content-Length: 0\r\n"
                         f"Mailbox-Request-ID: {request_id}\r\nMailbox-Device-Claim: {claim}\r\n\r\n").encode()
        answers = relay.raw(requests)
        assert re.findall(rb"Mailbox-Request-ID: (\S+)", answers) == [i.encode() for i in ids]


@test
def one_address_may_be_held_to_a_rate():
    for path in (f"/v1/m/{fresh()}", "/nowhere"):  # what is refused anyhow counts as well
        with Relay(PROGRAM, "--rate", "5") as relay:
            connection, begin = relay.connect(), time.monotonic()
            answers = [relay.request("GET", path, {}, None, connection) for _ in range(40)]
            took = time.monotonic() - begin
            connection.close()
            refused = [a for a in answers if a.status == 429]
            assert 10 <= len(answers) - len(refused) <= 11 + 5 * took, (len(refused), took)
            assert all(int(a.headers["Retry-After"]) >= 1 for a in refused)


@test
def one_address_may_be_held_to_a_number_of_connections():
    with Relay(PROGRAM, "--connections-per-address", "2") as relay:
        held = [relay.connect() for _ in range(2)]
        for connection in held:
            create(relay, connection=connection)
        try:
            create(relay)
            assert False, "the third connection was served"
        except (ConnectionError, ssl.SSLError, http.client.HTTPException, TimeoutError):
            pass
        for connection in held:
            connection.close()


# --- how much is kept -----------------------------------------------------------------------------

SPACE = 2 << 20
PAYLOAD_SIZE = 50000
PUT_NEW = {"If-None-Match": "*"}


def large(n=PAYLOAD_SIZE):
    return {"type": "AEAD_AES_128_GCM", "data": "x" * n}


def fill_up(relay):
    """Creates until the relay is full: what it took."""
    taken, connection = [], relay.connect()
    while True:
        claim, request_id = fresh(), fresh()
        answer = relay.request("POST", "/v1/m", head(claim, request_id), create_body(ttl=600, payload=large()),
                               connection)
        if answer.status != 200:
            connection.close()
            return taken, answer, (claim, request_id)
        taken.append((claim, mailbox_of(answer)))
        assert len(taken) * PAYLOAD_SIZE < 2 * SPACE, "it takes more than it should"


@test
def a_full_relay_takes_nothing_more_and_says_so():
    with Relay(PROGRAM, "--space", str(SPACE)) as relay:
        place = "/t/" + "a-message-of-before" * 2
        assert relay.request("PUT", place, PUT_NEW, b"m" * 100).status == 201
        taken, answer, _ = fill_up(relay)
        assert len(taken) * PAYLOAD_SIZE > SPACE * 3 // 4, len(taken)
        assert answer.status == 507 and int(answer.headers["Retry-After"]) > 0
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert json.loads(answer.body) == {"status": 507, "title": "this relay is full, please try again later"}
        claim, mailbox = taken[0]
        for update in (json.dumps({"payload": large()}), json.dumps({"payload": large(60000)})):
            assert call(relay, "PUT", mailbox, claim, update).status == 507
        assert relay.request("PUT", "/t/" + "another-message" * 2, PUT_NEW, b"m" * PAYLOAD_SIZE).status == 507
        assert relay.request("PUT", place, PUT_NEW, b"m" * PAYLOAD_SIZE).status == 412
        assert read_payload(relay, mailbox, claim) == large()
        assert relay.request("GET", place).status == 200 and relay.request("GET", f"/v1/m/{mailbox}").status == 200
        assert relay.request("DELETE", place).status == 204
        assert call(relay, "DELETE", mailbox, claim).status == 200
        log = [line for line in relay.lines() if line.get("status") == "507"]
        assert {line["op"] for line in log} == {"CreateMailbox", "UpdateMailbox", "DropPut"}


@test
def what_was_refused_for_want_of_room_is_taken_when_there_is_room():
    with Clock() as clock, Relay(FAULTS, "--space", str(SPACE), *clock.option()) as relay:
        taken, _, (claim, request_id) = fill_up(relay)
        for who, mailbox in taken[:3]:
            assert call(relay, "DELETE", mailbox, who).status == 200
        create(relay, claim, request_id, create_body(ttl=600, payload=large()))
        create(relay, claim, request_id, expect=201)
        fill_up(relay)
        clock.advance(601)
        deadline = time.monotonic() + 60
        while True:  # the sweep
            answer = relay.request("POST", "/v1/m", head(fresh()), create_body(payload=large()))
            if answer.status == 200:
                break
            assert answer.status == 507 and time.monotonic() < deadline, "what expired still takes room"
            time.sleep(0.2)
        clock.advance(0)


@test
@durable
def a_full_relay_is_still_full_after_a_restart_and_its_file_is_bounded():
    with Relay(PROGRAM, "--space", str(SPACE)) as relay:
        fill_up(relay)
        assert relay.stop() == 0
        assert os.path.getsize(os.path.join(relay.state, "relay.sqlite")) <= SPACE + 64 * 4096
        relay.start()
        create(relay, body=create_body(payload=large()), expect=507)
    with Relay(PROGRAM, "--space", "0") as relay:
        create(relay)


# --- the program ----------------------------------------------------------------------------------

@test
def an_idle_relay_with_open_connections_uses_no_processor():
    with Relay(PROGRAM) as relay:
        held = [relay.connect() for _ in range(3)]
        for connection in held:
            create(relay, connection=connection)

        def ticks():
            with open(f"/proc/{relay.process.pid}/stat") as f:
                fields = f.read().rsplit(")", 1)[1].split()
            return int(fields[11]) + int(fields[12])
        before = ticks()
        time.sleep(2)  # what is measured is that nothing happens
        assert ticks() - before <= 2 * os.sysconf("SC_CLK_TCK") // 50
        for connection in held:
            connection.close()


@test
def in_memory_keeps_nothing_on_disk():
    with Relay(PROGRAM, "--in-memory") as relay:
        claim, mailbox = create(relay)
        assert read_payload(relay, mailbox, claim) == MESSAGE[0]
        assert os.listdir(relay.state) == []


@test
@durable
def d22_nothing_secret_is_in_the_log_and_no_claim_is_on_disk():
    with Relay(PROGRAM) as relay:
        payload = {"type": "AEAD_AES_128_GCM", "data": "MARKERpayloadMARKER"}
        token = {"type": "com.example.push", "tokenData": "MARKERtokenMARKER"}
        claim, mailbox = create(relay, body=create_body(payload=payload, title="MARKERtitle",
                                                        notificationToken=token))
        recipient = fresh()
        assert read_payload(relay, mailbox, recipient) == payload
        assert relay.request("GET", f"/v1/m/{mailbox}").status == 200
        relay.kill()
        log = open(relay.log_path, "rb").read() + open(relay.error_path, "rb").read()
        for secret in (claim, recipient, mailbox, payload["data"], token["tokenData"], "MARKERtitle", "127.0.0.1"):
            for form in encodings(secret):
                assert form not in log, secret
        disk = b"".join(open(os.path.join(relay.state, name), "rb").read() for name in os.listdir(relay.state))
        assert payload["data"].encode() in disk, "the search itself must find something"
        for secret in (claim, recipient, token["tokenData"]):
            for form in encodings(secret):
                assert form not in disk, secret


@test
def the_log_names_request_and_mailbox_and_every_connection():
    with Relay(PROGRAM) as relay:
        assert not os.path.exists(relay.log_path) or relay.lines() == []
        request_id = fresh()
        before = time.clock_gettime(time.CLOCK_BOOTTIME) * 1e6
        _, mailbox = create(relay, request_id=request_id)
        after = time.clock_gettime(time.CLOCK_BOOTTIME) * 1e6
        connection, line = relay.lines()
        assert connection["op"] == "connection"
        assert (line["op"], line["status"], line["request"]) == ("CreateMailbox", "200", request_id)
        assert line["mailbox"] == short_hash(mailbox)
        assert before <= float(line["boot"]) <= after and float(line["ms"]) >= 0
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])


if __name__ == "__main__":
    sys.exit(main())
