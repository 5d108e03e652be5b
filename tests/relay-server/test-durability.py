#!/usr/bin/env python3
"""What the relay answered survives kill -9, a stop under load, and an upgrade."""

import http.client
import json
import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

from relay_cases import (MESSAGE, PROGRAM, call, create, create_body, durable, in_future, main, read_payload,
                         test)
from relay_harness import Relay, fresh, head


@test
@durable
def what_was_answered_survives_kill_9():
    with Relay(PROGRAM) as relay:
        a, recipient = fresh(), fresh()
        claim, mailbox = create(relay, request_id=a)
        relay.kill()
        relay.start()
        create(relay, claim, a, expect=201)
        assert read_payload(relay, mailbox, recipient) == MESSAGE[0]
        relay.kill()
        relay.start()
        assert call(relay, "POST", mailbox, fresh()).status == 401, "the binding was lost"
        b = fresh()
        update = json.dumps({"payload": MESSAGE[1]})
        assert call(relay, "PUT", mailbox, recipient, update, b).status == 200
        relay.kill()
        relay.start()
        assert call(relay, "PUT", mailbox, recipient, update, b).status == 201
        assert read_payload(relay, mailbox, claim) == MESSAGE[1]
        c = fresh()
        assert call(relay, "PATCH", mailbox, recipient, None, c).status == 200
        relay.kill()
        relay.start()
        assert call(relay, "PATCH", mailbox, recipient, None, c).status == 201
        assert call(relay, "DELETE", mailbox, claim).status == 200
        put = {"If-None-Match": "*"}
        assert relay.request("PUT", "/t/" + "a" * 43, put, b"kept").status == 201
        assert relay.request("PUT", "/t/" + "b" * 43, put, b"gone").status == 201
        assert relay.request("DELETE", "/t/" + "b" * 43).status == 204
        relay.kill()
        relay.start()
        assert call(relay, "POST", mailbox, claim).status == 404
        assert relay.request("GET", "/t/" + "a" * 43).body == b"kept"
        assert relay.request("GET", "/t/" + "b" * 43).status == 404


@test
@durable
def kill_9_under_load_loses_no_acknowledged_mailbox():
    with Relay(PROGRAM) as relay:
        for _ in range(5):
            acknowledged, unsure = [], []

            def load():
                connection = relay.connect()
                try:
                    while True:
                        claim, request_id = fresh(), fresh()
                        unsure.append((claim, request_id))
                        _, mailbox = create(relay, claim, request_id, connection=connection)
                        acknowledged.append((claim, request_id, mailbox))
                except (OSError, http.client.HTTPException):
                    connection.close()

            threads = [threading.Thread(target=load) for _ in range(8)]
            for thread in threads:
                thread.start()
            deadline = time.monotonic() + 20
            while len(acknowledged) < 200 and time.monotonic() < deadline:
                time.sleep(0.001)
            relay.kill()
            for thread in threads:
                thread.join()
            relay.start()
            assert len(acknowledged) >= 200
            connection = relay.connect()
            for claim, request_id, mailbox in acknowledged:
                create(relay, claim, request_id, connection=connection, expect=201)
                answer = relay.request("POST", f"/v1/m/{mailbox}", head(claim), None, connection)
                assert answer.status == 200
            done = {request_id for _, request_id, _ in acknowledged}
            for claim, request_id in unsure:
                if request_id not in done:  # either is right, but it must be one of them
                    answer = relay.request("POST", "/v1/m", head(claim, request_id), create_body(), connection)
                    assert answer.status in (200, 201)
            connection.close()


@test
@durable
def a_stop_under_load_ends_well_and_loses_nothing():
    with Relay(PROGRAM) as relay:
        acknowledged = []

        def load():
            connection = relay.connect()
            try:
                while True:
                    claim, mailbox = create(relay, connection=connection)
                    acknowledged.append((claim, mailbox))
            except (AssertionError, OSError, http.client.HTTPException):
                connection.close()

        threads = [threading.Thread(target=load) for _ in range(8)]
        for thread in threads:
            thread.start()
        while len(acknowledged) < 100 and any(thread.is_alive() for thread in threads):
            time.sleep(0.001)
        assert relay.stop() == 0
        for thread in threads:
            thread.join()
        assert len(acknowledged) >= 100
        relay.start()
        for claim, mailbox in acknowledged:
            assert call(relay, "POST", mailbox, claim).status == 200


@test
def a_socket_may_come_from_systemd():
    with Relay(PROGRAM, "--in-memory") as relay:
        relay.stop()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            def pass_on():
                os.dup2(listener.fileno(), 3, inheritable=True)
            process = subprocess.Popen(
                ["/bin/sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh", PROGRAM, "--in-memory",
                 "--certificate", relay.certificate, "--key", relay.key],
                env={**os.environ, "LISTEN_FDS": "1"}, preexec_fn=pass_on, pass_fds=[3],
                stderr=subprocess.DEVNULL)
            try:
                relay.port = listener.getsockname()[1]
                create(relay)
            finally:
                process.terminate()
                assert process.wait(timeout=20) == 0


@test
@durable
def two_relays_do_not_share_a_folder():
    with Relay(PROGRAM) as relay:
        second = subprocess.run(
            [PROGRAM, "--state", relay.state, "--listen", "127.0.0.1:0", "--certificate", relay.certificate,
             "--key", relay.key], capture_output=True, text=True, timeout=20)
        assert second.returncode == 1 and "another vestibule-relay" in second.stderr


@test
def options_that_cannot_work_are_refused_with_what_to_give_instead():
    with tempfile.TemporaryDirectory(prefix="vestibule-relay-") as folder:
        nowhere = os.path.join(folder, "nowhere")
        for options, words in (
                (("--in-memory", "--listen", "localhost:1"), "--listen takes a number such as 127.0.0.1:8443 or [::]:443"),
                (("--in-memory", "--listen", "8443"), "--listen takes a number"),
                (("--in-memory", "--state", folder), "give one of --state and --in-memory, not both"),
                ((), "one of --state and --in-memory is needed"),
                (("--state", nowhere), f"there is no state folder {nowhere}: make it first")):
            done = subprocess.run([PROGRAM, "--certificate", "c", "--key", "k", *options], capture_output=True, text=True,
                                  timeout=20)
            assert done.returncode == 2 and words in done.stderr, done


@test
@durable
def a_folder_of_a_newer_version_is_left_alone():
    with Relay(PROGRAM) as relay:
        relay.stop()
        database = sqlite3.connect(f"{relay.state}/relay.sqlite")
        database.execute("PRAGMA user_version = 99")
        database.close()
        try:
            relay.start()
            assert False, "it started"
        except RuntimeError as error:
            assert "newer version" in str(error)


@test
@durable
def a_folder_of_the_first_version_is_taken_over_with_all_that_is_in_it():
    with Relay(PROGRAM) as relay:
        request_id = fresh()
        claim, mailbox = create(relay, request_id=request_id)
        relay.stop()
        database = sqlite3.connect(f"{relay.state}/relay.sqlite")
        database.executescript(
            'DROP TABLE "drop"; ALTER TABLE mailbox DROP COLUMN initiator_webhook;'
            "ALTER TABLE mailbox DROP COLUMN recipient_webhook; UPDATE mailbox SET initiator_token = 7;"
            "PRAGMA user_version = 1")
        database.close()
        relay.start()
        assert read_payload(relay, mailbox, claim) == MESSAGE[0]
        create(relay, claim, request_id, expect=201)
        assert relay.request("PUT", "/t/" + "x" * 43, {"If-None-Match": "*"}, b"m").status == 201
        recipient = fresh()
        read_payload(relay, mailbox, recipient)
        assert call(relay, "PUT", mailbox, recipient, json.dumps({"payload": MESSAGE[1]})).status == 200
        assert not [line for line in relay.lines() if "push" in line], "the token's old hash is still in use"


if __name__ == "__main__":
    sys.exit(main())
