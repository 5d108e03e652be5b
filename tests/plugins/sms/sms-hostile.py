"""The SMS channel and those who mean it ill: SMS centres and strangers' telephones behind them, and whoever
finds the listener for callbacks. Whatever comes, memory and time are bounded, at most that one connection
is lost, and messages of others pass.

Usage: sms-hostile.py BUILD VESTIBULE_SMS [TEST...]      prints TAP
"""

import http.client
import os
import random
import socket
import struct
import sys
import threading
import time
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
from harness.frames import Gateway  # noqa: E402
from harness.rest_carrier import ACCOUNT, RestCarrier  # noqa: E402
from harness.server_folder import free_port  # noqa: E402
from harness.tap import aside, note, run, test, tests_of  # noqa: E402

PATIENCE = 60
WINDOW = 1024  # requests of a plugin that the gateway has not answered
GROWTH_MAX = 32 << 20  # bytes that a program may grow by, whatever is sent to it
US = "4930901820"
ANNA = "4915112345678"

BIND_RESP, SUBMIT, SUBMIT_RESP, DELIVER, DELIVER_RESP = 0x80000009, 4, 0x80000004, 5, 0x80000005
ENQUIRE, ENQUIRE_RESP, NACK, UNBIND, OUTBIND, ALERT = 0x15, 0x80000015, 0x80000000, 6, 0xB, 0x102
GSM7, LATIN1, UCS2 = 0, 3, 8
WITH_HEADER, RECEIPT = 0x40, 0x04


def pdu(command, sequence, body=b"", status=0, length=None):
    return struct.pack(">IIII", 16 + len(body) if length is None else length, command, status, sequence) + body


def tlv(tag, value, length=None):
    return struct.pack(">HH", tag, len(value) if length is None else length) + value


def message(octets, sender=ANNA, coding=GSM7, esm_class=0, tlvs=b"", size=None):
    """The body of a deliver_sm."""
    return (b"\0" + b"\1\1" + sender.encode() + b"\0" + b"\1\1" + US.encode() + b"\0"
            + bytes((esm_class, 0, 0)) + b"\0\0" + bytes((0, 0, coding, 0))
            + bytes((len(octets) if size is None else size,)) + octets + tlvs)


def part(reference, total, number, octets):
    return b"\x05\0\x03" + bytes((reference & 0xFF, total, number)) + octets


class Session:
    """One connection of the plugin to the centre."""

    def __init__(self, centre, connection):
        self.centre, self.connection = centre, connection
        self.received = []  # (command, status, sequence, body)
        self.ended = self.bound = self.deaf = False
        self.sequence = 0

    def read(self):
        rest = b""
        try:
            while True:
                while self.deaf:
                    time.sleep(0.05)
                data = self.connection.recv(65536)
                if not data:
                    break
                rest += data
                while len(rest) >= 16:
                    length, command, status, sequence = struct.unpack(">IIII", rest[:16])
                    if len(rest) < length:
                        break
                    self.take(command, status, sequence, rest[16:length])
                    rest = rest[length:]
        except OSError:
            pass
        with self.centre.changed:
            self.ended = True
            self.centre.changed.notify_all()

    def take(self, command, status, sequence, body):
        answer = None
        if command == 9:
            answer = pdu(BIND_RESP, sequence, b"centre\0")
        elif command == SUBMIT:
            answer = self.centre.answer_submit(sequence, body)
        elif command == ENQUIRE:
            answer = pdu(ENQUIRE_RESP, sequence)
        if answer:
            self.write(answer)
        with self.centre.changed:
            self.received.append((command, status, sequence, body))
            if command == 9:
                self.bound = True
            self.centre.changed.notify_all()

    def write(self, octets):
        try:
            self.connection.sendall(octets)
            return True
        except OSError:
            return False

    def deliver(self, body, command=DELIVER):
        """Sends it and returns its sequence number."""
        self.sequence += 1
        self.write(pdu(command, self.sequence, body))
        return self.sequence

    def answers(self):
        """The statuses of what was answered, by sequence number."""
        return {sequence: status for command, status, sequence, _ in list(self.received)
                if command in (DELIVER_RESP, NACK)}


class Centre:
    def __init__(self):
        self.changed = threading.Condition()
        self.sessions = []
        self.numbers = 0
        self.answer_submit = self.take_submit
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            session = Session(self, connection)
            with self.changed:
                self.sessions.append(session)
            threading.Thread(target=session.read, daemon=True).start()

    def take_submit(self, sequence, body):
        self.numbers += 1
        return pdu(SUBMIT_RESP, sequence, b"%x\0" % self.numbers)

    def wait(self, condition, what, timeout=PATIENCE):
        limit = time.monotonic() + timeout
        with self.changed:
            while True:
                value = condition()
                if value:
                    return value
                left = limit - time.monotonic()
                assert left > 0, "not within %g s: %s" % (timeout, what)
                self.changed.wait(min(left, 1))

    def session(self, number=1):
        """The connection of that number, bound."""
        self.wait(lambda: len(self.sessions) >= number and self.sessions[number - 1].bound,
                  "session %d" % number)
        return self.sessions[number - 1]

    def current(self):
        return self.wait(lambda: [s for s in self.sessions if s.bound and not s.ended], "a session")[-1]

    def close(self):
        self.listener.close()
        for session in self.sessions:
            session.deaf = False
            session.connection.close()


def status_of(pid, name):
    with open("/proc/%d/status" % pid) as file:
        for line in file:
            if line.startswith(name + ":"):
                return int(line.split()[1]) * 1024
    raise KeyError(name)


class Hostile:
    """The program under test between a gateway and whatever `start` has as a carrier."""

    def __init__(self, build, program):
        self.build, self.program = build, program
        self.counter = 0

    # A world with a centre.

    def open(self, on_request=None, **changes):
        self.centre = Centre()
        self.gateway = Gateway(
            self.program, "sms",
            {"driver": "smpp", "host": "127.0.0.1", "port": str(self.centre.port), "system_id": "gateway",
             "sender": "+" + US, "countries": ["DE"], "per_minute": "600000", "burst": "10000", **changes},
            {"smpp-password": "password"}, on_request)
        self.gateway.start().wait_up()
        self.begin()
        return self.centre.session()

    def begin(self):
        self.before = status_of(self.gateway.process.pid, "VmRSS")
        with open("/proc/%d/maps" % self.gateway.process.pid) as file:
            self.measures = "libasan" not in file.read()

    def close(self):
        """Nothing has ended that should not, and nothing has grown."""
        peak = status_of(self.gateway.process.pid, "VmHWM")
        status = self.gateway.stop()
        errors = self.gateway.errors_text()
        self.gateway.remove()
        assert status == 0, "the program ended with %s\n%s" % (status, errors[-4000:])
        assert ANNA not in errors, "an address is in the log"
        assert len(errors) < 65536, "%d bytes of log" % len(errors)
        growth = peak - self.before
        note("grew by %d KiB" % (growth >> 10))
        assert not self.measures or growth < GROWTH_MAX, "it grew by %d bytes" % growth

    def close_centre(self):
        try:
            self.close()
        finally:
            self.centre.close()

    def reply(self, text, timeout=PATIENCE):
        return self.gateway.wait(
            lambda: next((f for _, f in self.gateway.log if f["type"] == "reply" and f["text"] == text), None),
            timeout, "a reply %r" % text)

    def deliver_until_taken(self, session, body):
        """As a centre does: again when it is asked to."""
        limit = time.monotonic() + PATIENCE
        while True:
            sequence = session.deliver(body)
            self.centre.wait(lambda: sequence in session.answers(), "an answer")
            if session.answers()[sequence] == 0:
                return
            assert time.monotonic() < limit, "it was not taken within %d s" % PATIENCE
            time.sleep(0.1)

    def still_works(self, session=None):
        """Somebody else's message comes in, is acknowledged, and one goes out."""
        self.counter += 1
        session = session or self.centre.current()
        text = "legitimate %d" % self.counter
        self.deliver_until_taken(session, message(text.encode(), sender="491511%07d" % self.counter))
        self.reply(text)
        number = self.gateway.ask("send", message="msg_%d" % self.counter, kind="notice", to="sms:+" + ANNA,
                                  text="hello", expires=int(time.time()) + 600)
        assert self.gateway.wait_answer(number)["type"] == "sent"

    # PDUs.

    @test
    def a_length_that_cannot_be_costs_that_connection(self):
        for length in (0, 4, 15, 4097, 0x7FFFFFFF, 0xFFFFFFFF):
            session = self.open()
            session.write(pdu(DELIVER, 1, message(b"x"), length=length))
            self.centre.wait(lambda: session.ended, "the connection with length %d ends" % length)
            self.still_works(self.centre.session(2))
            self.close_centre()

    @test
    def a_pdu_that_never_ends_costs_that_connection(self):
        session = self.open(enquire_seconds="1")
        session.write(pdu(DELIVER, 1, b"", length=4096))
        for _ in range(600):
            if session.ended or not session.write(b"\0"):
                break
            time.sleep(0.05)
        self.centre.wait(lambda: session.ended, "the connection ends")
        self.still_works(self.centre.session(2))
        self.close_centre()

    @test
    def malformed_bodies_are_refused_one_by_one(self):
        session = self.open()
        whole = message(b"text", tlvs=tlv(0x0424, b""))
        bad = [
            b"", b"\0", b"\xff" * 4080, b"A" * 7 + b"\0" + whole, whole[:-20], message(b"text", size=200),
            message(b"text", size=255), message(b"x" * 255, size=255), message(b"text", sender="4" * 64),
            message(b"text", sender="4" * 3000), message(b"text", sender=""), message(b"text", sender="a b c"),
            message(b"text", tlvs=b"\4"), message(b"text", tlvs=tlv(0x0424, b"abc")),
            message(b"", tlvs=tlv(0x0424, b"abc", length=60000)), message(b"", tlvs=tlv(0x0424, b"a") * 2),
            message(b"", tlvs=tlv(0x020C, b"1")), message(b"", tlvs=tlv(0x020E, b"12345")),
            message(b"text", coding=0xFF), message(b"text", coding=4), message(b"text", coding=2),
            message(b"", tlvs=tlv(0x0424, b"x" * 4000)),
        ]
        for body in bad:
            sequence = session.deliver(body[:4080])
            self.centre.wait(lambda: sequence in session.answers(), "%r is answered" % body[:40])
            # Good ones between bad ones: only many in a row cost the connection.
            self.still_works(session)
        assert not session.ended
        self.close_centre()

    @test
    def many_malformed_pdus_in_a_row_cost_that_connection(self):
        session = self.open()
        for _ in range(1000):
            session.deliver(b"\xff" * 40)
        self.centre.wait(lambda: session.ended, "the connection ends")
        self.still_works(self.centre.session(2))
        self.close_centre()

    @test
    def whatever_bytes_change_it_lives(self):
        chance = random.Random(7)
        self.open()
        for _ in range(4000):
            session = self.centre.current()
            body = bytearray(message(part(chance.randrange(256), 2, 1, b"some text"), esm_class=WITH_HEADER,
                                     tlvs=tlv(0x020C, b"\0\1") + tlv(0x0424, b"") + tlv(0x001E, b"id\0")))
            for _ in range(chance.randrange(1, 6)):
                body[chance.randrange(len(body))] = chance.randrange(256)
            if chance.random() < 0.3:
                del body[chance.randrange(len(body)) :]
            session.deliver(bytes(body))
            if chance.random() < 0.2:
                session.write(pdu(ENQUIRE, 1 << 20))
        self.still_works()
        self.close_centre()

    @test
    def what_makes_no_sense_in_a_session_is_survived(self):
        session = self.open()
        for sequence in range(2000):
            for command in (SUBMIT_RESP, ENQUIRE_RESP, BIND_RESP, 0x80000006 | sequence << 8):
                session.write(pdu(command, sequence + 1000, b"x\0"))
            session.write(pdu(ENQUIRE, sequence))
        if not session.ended:
            for command in (OUTBIND, ALERT, 9, 1, 2, 0x103, 0xDEADBEEF, NACK):
                session.write(pdu(command, 77, b"\0" * 20))
        self.still_works()
        self.close_centre()

    @test
    def answers_to_what_we_sent_may_be_anything(self):
        bodies = [b"", b"no end", b"x" * 64 + b"\0", b"x" * 65 + b"\0", b"x" * 3000 + b"\0", b"\xff\0", b"\0",
                  b"id\0" + tlv(0x0424, b"x", length=9999)]
        self.open()
        for number, body in enumerate(bodies):
            for status in (0, 0x400, 0xFFFFFFFF):
                self.centre.answer_submit = lambda sequence, _: pdu(SUBMIT_RESP, sequence, body, status)
                asked = self.gateway.ask("send", message="msg_odd_%d_%d" % (number, status), kind="notice",
                                         to="sms:+" + ANNA, text="hello", expires=int(time.time()) + 600)
                answer = self.gateway.wait_answer(asked)
                # What the centre has taken is not sent twice, however it calls it.
                assert answer["type"] == "sent" if status == 0 else answer["type"] in ("failed", "later"), answer
        self.centre.answer_submit = self.centre.take_submit
        self.still_works()
        self.close_centre()

    # Headers and texts.

    @test
    def headers_that_lie_are_answered(self):
        session = self.open()
        headers = [
            b"", b"\0", b"\xff", b"\x8c" + b"\0" * 139, b"\x05\0\x03\1\2", b"\x05\0\xff\1\2\1", b"\x04\0\x03\1\2",
            part(1, 0, 0, b"a"), part(1, 0, 1, b"b"), part(1, 1, 0, b"c"), part(1, 2, 3, b"d"), part(1, 255, 255, b"e"),
            b"\x06\x08\x04\0\0\0\0f", b"\x0a\0\x03\1\2\1\0\x03\2\2\1g", b"\x0b\0\x03\1\2\1\x08\x04\0\1\2\1h",
            # One in another: an element whose content is a header.
            b"\x0c\x70\x0a" + part(9, 2, 1, b"") + b"\0\0\0\0" + b"i", b"\x02\0\0j", b"\x01\0k",
            b"\x8b" + b"\0\0" * 70, b"\x03\x25\x01\xffl", b"\x03\x24\x01\xffm", b"\x06\x05\x04\x0b\x84\x23\xf0wap",
        ]
        sequences = [session.deliver(message(header, esm_class=WITH_HEADER, coding=coding))
                     for header in headers for coding in (GSM7, UCS2)]
        self.still_works(session)
        # A part that others may follow is answered when it is given up or handed back.
        self.centre.wait(lambda: all(sequence in session.answers() for sequence in sequences), "all are answered")
        self.close_centre()

    @test
    def thousands_of_messages_that_are_never_completed_keep_nobody_out(self):
        session = self.open()
        count = 12000
        for number in range(count):
            session.deliver(message(part(number, 62, 1 + number % 60, b"x" * 130), esm_class=WITH_HEADER,
                                    sender="4916%08d" % (number % 6000)))
            if number % 1000 == 0:
                self.still_works(session)
        self.still_works(session)
        self.centre.wait(lambda: len(session.answers()) > count - 1000, "most are answered")
        self.close_centre()

    @test
    def parts_that_wait_make_nobody_else_wait(self):
        session = self.open()
        for number in range(600):
            session.deliver(message(part(1, 2, 1, b"x"), esm_class=WITH_HEADER, sender="4917%08d" % number))
        sequence = session.deliver(message(b"in one part", sender="4915118000001"))
        self.centre.wait(lambda: sequence in session.answers(), "a message in one part is answered")
        assert session.answers()[sequence] == 0, session.answers()[sequence]
        self.close_centre()

    @test
    def garbage_in_utf_16_is_read_as_something(self):
        chance = random.Random(11)
        texts = [b"\xd8\0", b"\xdc\0\xd8\0", b"\xd8", b"\xff\xfe\0A", b"\xfe\xff", b"\0\0" * 60, b"\xff\xff" * 70,
                 b"\xd8\x3d\xd8\x3d\xdc\0", b"\0", b"\xfd\xd0"] + [
            bytes(chance.randrange(256) for _ in range(chance.randrange(1, 140))) for _ in range(500)]
        session = self.open()
        sequences = [session.deliver(message(text, coding=UCS2, sender="4916%08d" % number))
                     for number, text in enumerate(texts)]
        self.centre.wait(lambda: all(sequence in session.answers() for sequence in sequences), "all are answered")
        # frames.py has read every frame as UTF-8 and JSON, or the connection would be closed.
        assert not self.gateway.closed
        for frame in self.gateway.frames("reply"):
            assert "\0" not in frame["text"], frame
        self.still_works(session)
        self.close_centre()

    @test
    def receipts_for_messages_of_nobody_mean_nothing(self):
        session = self.open()
        asked = self.gateway.ask("send", message="msg_real", kind="notice", to="sms:+" + ANNA, text="hello",
                                 expires=int(time.time()) + 600)
        assert self.gateway.wait_answer(asked)["type"] == "sent"
        real = "%x" % self.centre.numbers
        for number in range(20000):
            name = "%x" % (0x10000 + number) if number % 3 else "x" * (number % 80)
            text = "id:%s sub:001 dlvrd:001 submit date:2611221200 done date:2611221201 stat:DELIVRD err:000" % name
            session.deliver(message(text.encode()[:254], esm_class=RECEIPT))
        for text in (b"", b"id:", b"stat:DELIVRD", b"id:" + b"9" * 250, b"\xff" * 100, b"id:%s stat:" % real.encode()):
            session.deliver(message(text, esm_class=RECEIPT))
        self.still_works(session)
        assert not self.gateway.reports() and not self.gateway.frames("failed")
        session.deliver(message(b"id:%s stat:DELIVRD err:000" % real.encode(), esm_class=RECEIPT))
        self.gateway.wait_report("delivered", message="msg_real")
        self.close_centre()

    # Floods.

    @test
    def a_flood_whose_answers_are_not_read_is_bounded(self):
        session = self.open()
        session.deaf = True
        session.connection.settimeout(3)
        octets = b"".join(pdu(ENQUIRE, number) for number in range(4000)) + b"".join(
            pdu(DELIVER, number, message(b"\xff" * 100, coding=0xFF)) for number in range(10))
        sent = 0
        # Until it takes no more: 64 MB are more than sockets hold.
        while sent < 64 << 20 and session.write(octets):
            sent += len(octets)
        note("%d KiB were taken" % (sent >> 10))
        session.deaf = False
        session.connection.close()
        self.still_works(self.centre.session(2))
        self.close_centre()

    @test
    def a_gateway_that_thinks_makes_the_centre_keep_its_messages(self):
        waiting = []
        session = self.open(on_request=lambda frame: waiting.append(frame))
        count = 8000
        sequences = [session.deliver(message(b"number %d" % number, sender="4916%08d" % number))
                     for number in range(count)]
        self.centre.wait(lambda: len(session.answers()) >= count - WINDOW, "most are refused for now")
        assert all(status != 0 for status in session.answers().values()), "one was acknowledged"
        assert len(waiting) <= WINDOW, len(waiting)
        self.gateway.on_request = lambda frame: {"type": "ack"}
        for frame in list(waiting):
            self.gateway.answer(frame, {"type": "ack"})
        self.centre.wait(lambda: len(session.answers()) == len(sequences), "all are answered")
        taken = [sequence for sequence, status in session.answers().items() if status == 0]
        assert len(taken) == len(waiting), (len(taken), len(waiting))
        self.still_works(session)
        self.close_centre()

    # The listener for callbacks.

    SECRET = "c2VjcmV0LW9mLXRoZS1jYWxsYmFja3M"

    def open_kannel(self):
        self.port = free_port()
        self.gateway = Gateway(
            self.program, "sms",
            {"driver": "kannel", "url": "http://127.0.0.1:%d/cgi-bin/sendsms" % free_port(), "username": "gateway",
             "sender": "+" + US, "countries": ["DE"], "listen": "127.0.0.1:%d" % self.port},
            {"kannel-password": "password", "callback-path": self.SECRET})
        self.gateway.start().wait_frame("status")
        self.begin()

    def get(self, path):
        """The status; None when the connection was closed instead."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except (http.client.BadStatusLine, ConnectionError):
            return None
        finally:
            connection.close()

    def raw(self, octets):
        """Writes octets and returns what comes back; nothing when the connection was closed."""
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as connection:
            try:
                connection.sendall(octets)
                return connection.recv(4096)
            except ConnectionError:
                return b""

    def inbound(self, text, **changes):
        return "/%s/mo?%s" % (self.SECRET, urllib.parse.urlencode(
            {"from": "+" + ANNA, "to": "+" + US, "text": text, "coding": "0", "charset": "UTF-8", "udh": "",
             "id": "%032x" % random.getrandbits(128), "ts": "2026-11-22 17:00:05", **changes}))

    def kannel_still_works(self):
        self.counter += 1
        text = "legitimate %d" % self.counter
        assert self.get(self.inbound(text)) == 200
        self.reply(text)

    @test
    def a_callback_without_the_secret_is_nothing(self):
        self.open_kannel()
        good = self.inbound("forged")
        for path in ("/", "/mo", "/x" + good, good[1:], good.replace(self.SECRET, ""),
                     good.replace(self.SECRET, self.SECRET[:-1]), good.replace(self.SECRET, self.SECRET + "x"),
                     good.replace(self.SECRET, self.SECRET.swapcase()), good.replace("/mo", "/mo/"),
                     good.replace("/mo", "/../mo"), good.replace(self.SECRET, self.SECRET.replace("c", "%63")),
                     "http://127.0.0.1" + good.replace(self.SECRET, "x"), "/" + self.SECRET, "/%s/" % self.SECRET):
            answer = self.raw(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode())
            assert b" 200 " not in answer.split(b"\n")[0], (path, answer)
        self.kannel_still_works()
        assert not [frame for frame in self.gateway.frames("reply") if frame["text"] == "forged"]
        self.close()

    @test
    def callbacks_that_are_no_callbacks_are_refused(self):
        self.open_kannel()
        base = "/%s/mo?" % self.SECRET
        for query in ("", "&&&&", "=", "from", "from=%", "from=%4", "from=%zz", "from=%00", "text=%ff%fe",
                      "from=%2B" + ANNA, "from=%2B" + ANNA + "&text=%C0%80&coding=0&charset=UTF-8",
                      "&".join("a%d=b" % number for number in range(3000)), "from=" + "9" * 8000,
                      self.inbound("x", coding="99")[len(base) :], self.inbound("x", charset="EBCDIC")[len(base) :],
                      self.inbound("x", udh="%05%00%03")[len(base) :], self.inbound("x", ts="yesterday")[len(base) :],
                      self.inbound("x", id="y" * 4000)[len(base) :], self.inbound("x" * 20000)[len(base) :]):
            self.get(base + query)
        dlr = "/%s/dlr?" % self.SECRET
        for query in ("", "message=msg_x&segment=0&type=1", "message=" + "m" * 9000, "message=msg_1&segment=9999&type=1",
                      "message=msg_1&segment=-1&type=1", "message=msg_1&type=99999999999999999999&segment=0"):
            self.get(dlr + query)
        assert not self.gateway.reports() and not self.gateway.frames("failed")
        self.kannel_still_works()
        self.close()

    @test
    def requests_that_are_no_http_cost_that_connection(self):
        self.open_kannel()
        good = self.inbound("smuggled").encode()
        for octets in (b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"A" * 100000, b"GET /" + b"x" * 200000,
                       b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 20000 + b"\r\n",
                       b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\nx" % good,
                       b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" % good,
                       b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"):
            answer = self.raw(octets + b"\r\n\r\n")
            assert b" 200 " not in answer.split(b"\n")[0], (octets[:60], answer)
        # Those that promise more than they send have their time, and hold up nobody.
        waiting = []
        for octets in (b"\0" * 1000, b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\nx" % good,
                       b"POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffffff\r\n" % good):
            waiting.append(socket.create_connection(("127.0.0.1", self.port), PATIENCE))
            waiting[-1].sendall(octets)
        self.kannel_still_works()
        # An endless body.
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as connection:
            connection.sendall(b"POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" % good)
            try:
                for _ in range(4000):
                    connection.sendall(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")
            except OSError:
                pass
        self.kannel_still_works()
        for connection in waiting:
            connection.setblocking(False)
            try:
                answer = connection.recv(4096)
            except BlockingIOError:
                answer = b""
            assert b" 200 " not in answer.split(b"\n")[0], answer
            connection.close()
        assert not [frame for frame in self.gateway.frames("reply") if frame["text"] == "smuggled"]
        self.close()

    @test
    def connections_that_say_nothing_keep_nobody_out_for_long(self):
        self.open_kannel()
        idle = []
        try:
            # More than it has at a time: some say nothing, others begin and do not end.
            for number in range(400):
                idle.append(socket.create_connection(("127.0.0.1", self.port), PATIENCE))
                if number % 2:
                    idle[-1].send(b"GET /")
            began = time.monotonic()
            self.kannel_still_works()
            took = time.monotonic() - began
            note("an answer after %.1f s" % took)
            assert took < 30, took
            assert len(os.listdir("/proc/%d/fd" % self.gateway.process.pid)) < 350
        finally:
            for connection in idle:
                connection.close()
        # And many that only knock.
        for _ in range(3000):
            socket.create_connection(("127.0.0.1", self.port), PATIENCE).close()
        self.kannel_still_works()
        self.close()

    @test
    def requests_that_are_refused_at_once_leave_nothing_behind(self):
        self.open_kannel()
        # More arguments than there is room for, in as long a line as may be.
        octets = b"GET /x?%s HTTP/1.1\r\nHost: x\r\n\r\n" % b"&".join(b"%d=" % number for number in range(8000))
        for _ in range(5):
            connections = [socket.create_connection(("127.0.0.1", self.port), PATIENCE) for _ in range(200)]
            for connection in connections:
                connection.sendall(octets)
            for connection in connections:
                try:
                    assert b" 200 " not in connection.recv(4096)
                except ConnectionError:
                    pass
                connection.close()
        self.kannel_still_works()
        self.close()

    @test
    def forged_and_broken_forms_of_a_rest_carrier_are_refused(self):
        carrier = RestCarrier(self.build).start()
        try:
            self.gateway = Gateway(self.program, "sms", {**carrier.common_settings(), **carrier.settings()},
                                   carrier.credentials())
            self.gateway.start().wait_up()
            self.begin()
            form = carrier.inbound_form("SM" + "1" * 32, "+" + ANNA, "forged")
            for path in ("/inbound", "/elsewhere", ""):
                for token, url, headers in (("another", None, None), (None, "https://x.test", None),
                                            (None, None, {"X-Twilio-Signature": None}),
                                            (None, None, {"X-Twilio-Signature": ""}),
                                            (None, None, {"X-Twilio-Signature": "A" * 20000}),
                                            (None, None, {"X-Twilio-Signature": "%%%"})):
                    status = carrier.post(path, form, token, url, headers)
                    assert status is None or status >= 400, (path, token, url, headers, status)
            for size in (100, 5000):
                status = carrier.post("", [("a%d" % number, "b") for number in range(size)])
                assert status is None or status >= 400, status
            status = carrier.post("", [("Body", "x" * 3000000), ("AccountSid", ACCOUNT)])
            assert status is None or status >= 400, status
            carrier.wait_taken(carrier.answer("+" + ANNA, "legitimate"))
            self.reply("legitimate")
            assert len(self.gateway.frames("reply")) == 1
            self.close()
        finally:
            carrier.__exit__(None, None, None)


# They wait for what has a limit in time, and each has a plugin of its own.
WAITING = ("a_length_that_cannot_be_costs_that_connection", "a_pdu_that_never_ends_costs_that_connection",
           "headers_that_lie_are_answered", "connections_that_say_nothing_keep_nobody_out_for_long")

if __name__ == "__main__":
    waiting = {name: getattr(Hostile(*sys.argv[1:3]), name) for name in WAITING}
    sys.exit(run(aside(tests_of(Hostile(*sys.argv[1:3])), waiting, sys.argv[3:]), sys.argv[3:]))
