#!/usr/bin/env python3
"""What connections may cost the relay whose peers say nothing, or say it one byte at a time: neither the
processor, nor its timers, nor its places for longer than a request may take."""

import http.client
import os
import socket
import sqlite3
import ssl
import sys
import time

from relay_cases import FAULTS, PROGRAM, Clock, create, create_body, durable, main, test
from relay_harness import Relay, fresh

HEAD_SECONDS, BODY_SECONDS = 10, 30  # that a client may take
PLACES = 20
CLIENT_HELLO_BEGINS = b"\x16\x03\x01\x02\x00\x01"


def plain(relay, said=b""):
    connection = socket.create_connection(("127.0.0.1", relay.port), timeout=60)
    connection.sendall(said)
    return connection


def secured(relay, said=b""):
    connection = relay.tls().wrap_socket(plain(relay), server_hostname="localhost")
    connection.sendall(said)
    return connection


def wait_until(condition, seconds, what):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def is_served(relay):
    connection = relay.connect()
    connection.timeout = 3  # without a place it would wait for one
    try:
        create(relay, connection=connection)
        return True
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def is_closed(connection):
    """True when the relay has ended it; what it had to say before is passed over."""
    connection.settimeout(0)
    try:
        while connection.recv(65536):
            pass
        return True
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    except OSError:
        return True


def processor_seconds(relay):
    with open(f"/proc/{relay.process.pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def dribble_until_closed(connections, byte, seconds):
    """A byte a second on each, until the relay has ended all; how long the longest of them lasted."""
    begin, last = time.monotonic(), 0
    while connections:
        for connection in list(connections):
            try:
                connection.settimeout(5)
                connection.sendall(byte)
            except OSError:
                pass
            if is_closed(connection):
                connections.remove(connection)
                connection.close()
                last = time.monotonic() - begin
        assert time.monotonic() - begin < seconds, f"{len(connections)} are still open"
        time.sleep(1)
    return last


@test
def silent_connections_take_no_processor_and_hold_no_timer_up():
    with Clock() as clock, Relay(FAULTS, *clock.option()) as relay:
        create(relay, body=create_body(ttl=600))
        held = [plain(relay, CLIENT_HELLO_BEGINS if n % 2 else b"") for n in range(PLACES)]
        wait_until(lambda: len(relay.lines()) == 2 + PLACES, 20, "not all were taken")
        begin, before = time.monotonic(), processor_seconds(relay)
        time.sleep(3)  # what is measured is that nothing happens
        share = (processor_seconds(relay) - before) / (time.monotonic() - begin)
        assert not any(is_closed(c) for c in held), "they were gone before the end of the measurement"
        print(f"# {PLACES} silent connections: {100 * share:.1f} % of a core", flush=True)
        assert share < 0.05, share
        for connection in held:
            connection.close()


@test
@durable
def what_expired_is_swept_while_silent_connections_are_open():
    with Clock() as clock, Relay(FAULTS, *clock.option()) as relay:
        create(relay, body=create_body(ttl=600))
        held = plain(relay)
        clock.advance(601)
        database = sqlite3.connect(f"file:{relay.state}/relay.sqlite?mode=ro", uri=True)
        deadline = time.monotonic() + 60
        while database.execute("SELECT count(*) FROM mailbox").fetchone()[0] != 0:
            assert time.monotonic() < deadline, "the sweep did not come"
            before, held = held, plain(relay)  # there is always one
            time.sleep(0.5)
            before.close()
        database.close()
        held.close()


@test
def places_that_silent_connections_took_are_free_after_the_deadline():
    for idle in ("60", "1"):  # the shorter one must not end what could then not be freed
        with Relay(PROGRAM, "--connections", str(PLACES), "--idle-timeout", idle) as relay:
            for _ in range(2):
                held = [plain(relay, CLIENT_HELLO_BEGINS if n % 2 else b"") for n in range(PLACES)]
                wait_until(lambda: all(is_closed(c) for c in held), HEAD_SECONDS + 20, "they were not closed")
                wait_until(lambda: is_served(relay), 20, "the places were not freed")
                for connection in held:
                    connection.close()


@test
def a_byte_a_second_holds_no_place_beyond_the_deadline():
    with Relay(PROGRAM, "--connections", str(PLACES)) as relay:
        opening = [plain(relay, CLIENT_HELLO_BEGINS) for _ in range(5)]
        line = [secured(relay, b"POST /v1/m?") for _ in range(5)]
        fields = [secured(relay, b"POST /v1/m HTTP/1.1\r\nHost: x\r\nX: ") for _ in range(5)]
        begin = b"POST /v1/m HTTP/1.1\r\nHost: x\r\nMailbox-Request-ID: %s\r\nMailbox-Device-Claim: %s\r\n" \
                b"Content-Length: 1000\r\n\r\n" % (fresh().encode(), fresh().encode())
        body = [secured(relay, begin) for _ in range(5)]
        assert not is_served(relay), "there was a place left"
        heads = opening + line + fields
        assert dribble_until_closed(heads, b"y", 2 * HEAD_SECONDS + 20) >= HEAD_SECONDS - 3
        wait_until(lambda: is_served(relay), 20, "the places were not freed")
        assert not any(is_closed(c) for c in body), "a body has more time than a head"
        dribble_until_closed(body, b"y", BODY_SECONDS + 20)


@test
def a_connection_may_be_idle_between_requests_as_long_as_the_option_says():
    with Relay(PROGRAM) as relay, Relay(PROGRAM, "--idle-timeout", "2") as hasty:
        kept, short = relay.connect(), hasty.connect()
        create(relay, connection=kept)
        create(hasty, connection=short)
        wait_until(lambda: is_closed(short.sock), 20, "it was kept")
        time.sleep(HEAD_SECONDS + 2)
        assert not is_closed(kept.sock)
        kept.sock.settimeout(20)
        create(relay, connection=kept)
        kept.close()


@test
def a_client_is_not_cut_off_while_the_relay_takes_its_time():
    delay = BODY_SECONDS + 4
    with Relay(FAULTS, "--idle-timeout", "1", "--fault", "operation=CreateMailbox",
               "--fault", f"delay-ms={1000 * delay}") as relay:
        connection, begin = relay.connect(), time.monotonic()
        connection.timeout = delay + 60
        create(relay, connection=connection)
        assert time.monotonic() - begin >= delay
        connection.close()


@test
def a_long_answer_is_not_slowed_by_silent_connections():
    message = os.urandom(4 << 20)
    with Relay(PROGRAM, "--body-max", str(len(message))) as relay:
        place = "/t/" + "a-long-message-" * 3
        assert relay.request("PUT", place, {"If-None-Match": "*"}, message).status == 201
        held = [plain(relay) for _ in range(3)]
        begin = time.monotonic()
        assert relay.request("GET", place).body == message
        assert time.monotonic() - begin < 2, "each record waited for a pause"
        for connection in held:
            connection.close()


if __name__ == "__main__":
    sys.exit(main())
