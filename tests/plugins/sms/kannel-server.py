"""The SMS channel between a scripted gateway and a real Kannel.

usage: kannel-server.py BUILD [TEST…]
"""

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
from harness.frames import Gateway  # noqa: E402
from harness.kannel import KannelCarrier  # noqa: E402
from harness.server_folder import die_with_parent, free_port  # noqa: E402
from harness.smsbox import Smsbox  # noqa: E402
from harness.sms_carrier import GSM7, GSM7_SHIFTED  # noqa: E402
from harness.tap import aside, note, run, test, tests_of  # noqa: E402
from harness.vestibule import wait_until  # noqa: E402

PARTS = "c" * 400  # three of them
GUEST = KannelCarrier.guest
OUR_TEXT = "our marked text"
THEIR_TEXT = "their marked text"


class Tests:
    def __init__(self, build):
        self.build = build
        self.program = os.path.join(build, "plugins", "sms", "vestibule-sms")
        self.number = 0

    def open(self):
        self.kannel = KannelCarrier(self.build).start()
        self.gateway = self.make_gateway(self.kannel).start()
        self.gateway.wait_up()

    def close(self):
        status = self.gateway.stop()
        said = self.gateway.errors_text()
        self.kannel.__exit__(None, None, None)
        self.gateway.remove()
        assert status == 0, "the plugin ended with status %s" % status
        for secret in (self.kannel.password, self.kannel.secret, OUR_TEXT, THEIR_TEXT, GUEST[1:]):
            assert secret not in said, "%r was logged" % secret

    def make_gateway(self, kannel, password=None, **changes):
        settings = {**kannel.common_settings(), **kannel.settings(), **changes}
        credentials = kannel.credentials()
        if password:
            credentials["kannel-password"] = password
        return Gateway(self.program, "sms", settings, credentials)

    def ask(self, text=OUR_TEXT, message=None, gateway=None, seconds=3600, **members):
        self.number += 1
        return (gateway or self.gateway).ask(
            "send", message=message or "msg_%d" % self.number, kind="notice", to="sms:" + GUEST, text=text,
            expires=int(time.time()) + seconds, **members)

    def send(self, text=OUR_TEXT, message=None, gateway=None, **members):
        gateway = gateway or self.gateway
        return gateway.wait_answer(self.ask(text, message, gateway, **members))

    def reply(self, text, gateway=None):
        gateway = gateway or self.gateway
        return gateway.wait(
            lambda: next((f for _, f in gateway.log if f["type"] == "reply" and f["text"] == text), None),
            60, "a reply %r" % text)

    def call(self, path, method="GET", kannel=None):
        connection = http.client.HTTPConnection("127.0.0.1", (kannel or self.kannel).callback_port, timeout=60)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def call_mo(self, **arguments):
        arguments = {"from": GUEST, "to": "4930901820", "coding": "0", "charset": "UTF-8", "udh": b"",
                     "id": "id-%d" % time.monotonic_ns(), "ts": "1700000000", **arguments}
        arguments = {name: value for name, value in arguments.items() if value is not None}
        return self.call("/%s/mo?%s" % (self.kannel.secret, urllib.parse.urlencode(arguments)))

    @test
    def texts_arrive_as_they_were_written(self):
        every = "".join(c for c in GSM7 if c != "\x1b") + "".join(GSM7_SHIFTED.values())
        texts = {"Ein kurzer Text": 1, every.replace("\f", ""): 1, "long [€] " * 60: 5,
                 "“Grüße”, 日本 and \U0001f511": 1, "ü\U0001f511" * 60: 3}
        for text, segments in texts.items():
            before = len(self.kannel.messages(GUEST))
            assert self.send(text)["type"] == "sent"
            shown = self.kannel.wait_for_message(GUEST, after=before)
            assert shown.text == text, (shown.text, text)
            assert shown.segments == segments, shown

    @test
    def sent_is_answered_when_kannel_has_all_segments_and_delivered_when_all_are(self):
        self.kannel.lines.clear()
        assert self.send("a" * 400, "msg_parts")["type"] == "sent"
        self.gateway.wait_report("delivered", message="msg_parts")
        self.kannel.wait(lambda: len(self.kannel.lines) == 3, "three parts")

    @test
    def a_message_that_is_sent_again_has_the_same_bytes(self):
        for members in ({}, {"repeat": 1}):
            assert self.send("b" * 300, "msg_again", **members)["type"] == "sent"
        self.kannel.wait(lambda: sum(c.startswith(b"b") for _, _, c in self.kannel.lines) == 4, "four parts")
        parts = sorted(line for line in self.kannel.lines if line[2].startswith(b"b"))
        assert parts[0] == parts[1] and parts[2] == parts[3] and parts[0] != parts[2], parts
        assert len([t for t in self.kannel.messages(GUEST) if t.text.startswith("b")]) == 1

    @test
    def reports_of_every_kind_in_any_order_are_read(self):
        def report(message, kind, segment=0, text=""):
            return self.call("/%s/dlr?%s" % (self.kannel.secret, urllib.parse.urlencode(
                {"message": message, "segment": segment, "type": kind, "text": text})))

        self.kannel.detach()  # without a network its telephones say nothing
        for message in ("msg_report_1", "msg_report_2", "msg_report_3"):
            assert self.send(OUR_TEXT, message)["type"] == "sent"
        assert report("msg_report_1", 16) == (200, b"")
        assert self.gateway.wait_report("failed", message="msg_report_1")["reason"] == "report-rejected"
        assert report("msg_report_2", 2, text="NACK/id:1 sub:001 dlvrd:000 stat:EXPIRED err:027 text:") == (200, b"")
        assert self.gateway.wait_report("failed", message="msg_report_2")["reason"] == "report-expired"
        for kind in (8, 4, 1, 8):  # what comes before it and after it says nothing
            assert report("msg_report_3", kind) == (200, b"")
        self.gateway.wait_report("delivered", message="msg_report_3")
        assert report("msg_unknown", 2) == (200, b"")
        for path in ("message=m&segment=0", "message=m&type=1", "segment=0&type=1", "message=m&segment=-1&type=1",
                     "message=%zz&segment=0&type=1"):
            assert self.call("/%s/dlr?%s" % (self.kannel.secret, path))[0] == 400, path
        self.kannel.attach()

    @test
    def answers_come_in_whatever_alphabet_and_length(self):
        for text in ("JA 1234", THEIR_TEXT + " äöü€[~]", "ЙО \U0001f511 日本", "lang äöü " * 40):
            handle = self.kannel.answer(GUEST, text)
            reply = self.reply(text)
            assert reply["from"] == "sms:" + GUEST and reply["to"] == "sms:" + self.kannel.sender, reply
            assert reply["authentic"] == "weak"
            self.kannel.wait_taken(handle)

    @test
    def an_answer_is_given_again_with_the_same_id_until_the_gateway_has_it(self):
        again = [2]

        def on_request(frame):
            if frame["type"] == "reply" and again[0] > 0:
                again[0] -= 1
                return {"type": "again"}
            return {"type": "ack"}

        self.gateway.on_request = on_request
        self.gateway.forget()
        handle = self.kannel.answer(GUEST, "noch einmal")
        self.kannel.wait_taken(handle)
        replies = [f for f in self.gateway.frames("reply") if f["text"] == "noch einmal"]
        assert len(replies) == 3 and len({f["inbound"] for f in replies}) == 1, replies
        self.gateway.on_request = lambda frame: {"type": "ack"}

    @test
    def an_answer_survives_the_death_of_the_channel(self):
        self.gateway.on_request = lambda frame: None if frame["type"] == "reply" else {"type": "ack"}
        handle = self.kannel.answer(GUEST, "beim Tod")
        first = self.reply("beim Tod")
        self.gateway.kill()
        self.gateway.on_request = lambda frame: {"type": "ack"}
        self.gateway.forget()
        self.gateway.start()
        assert self.reply("beim Tod")["inbound"] == first["inbound"]
        self.kannel.wait_taken(handle)
        self.gateway.wait_up()

    @test
    def what_smsbox_takes_with_it_was_not_acknowledged(self):
        """It takes what people wrote from bearerbox's store before it asks us, and tries again in memory only: what
        we have not acknowledged may be lost with it, and nothing else."""
        def spooled():
            return [name for _, _, names in os.walk(os.path.join(self.kannel.folder, "spool")) for name in names]

        self.gateway.on_request = lambda frame: None if frame["type"] == "reply" else {"type": "ack"}
        lost = self.kannel.answer(GUEST, "mit smsbox dahin")
        self.reply("mit smsbox dahin")
        wait_until(lambda: not spooled(), 60, "bearerbox has handed it over")
        self.kannel.kill_smsbox()
        self.gateway.on_request = lambda frame: {"type": "ack"}
        kept = self.kannel.answer(GUEST, "nach smsbox")
        self.reply("nach smsbox")
        self.kannel.wait_taken(kept)
        with self.kannel.changed:
            assert not self.kannel.is_taken(lost)
        assert len([f for f in self.gateway.frames("reply") if f["text"] == "mit smsbox dahin"]) == 1

    @test
    def who_does_not_know_the_path_finds_nothing(self):
        secret = self.kannel.secret
        wrong = secret[:-1] + ("A" if secret[-1] != "A" else "B")
        query = "?from=%2B4915112345678&to=1&text=x&coding=0&id=1&ts=1"
        for path in ("/", "/mo", "/dlr", "//mo", "/%s" % secret, "/%s/" % secret, "/%s/other" % secret,
                     "/%s/mo" % wrong, "/%s/mo" % secret[:-1], "/%sx/mo" % secret, "/%s/mo/" % secret,
                     "/%%63%s/mo" % secret[1:]):
            assert self.call(path + query) == (404, b""), path
            assert self.call(path + query, "POST")[0] == 404, path
        assert self.call("/%s/mo%s" % (secret, query), "POST")[0] == 405
        assert not [f for f in self.gateway.frames("reply") if f["text"] == "x"]

    @test
    def what_nobody_could_answer_is_taken_and_forgotten(self):
        self.gateway.forget()
        ports = bytes((6, 5, 4, 0x0B, 0x84, 0x23, 0xF0))
        assert self.call_mo(**{"from": "Hotel Adler", "text": "x"})[0] == 200
        assert self.call_mo(**{"from": "12345", "text": "x"})[0] == 200
        assert self.call_mo(text=b"\x01\x06", coding="1", udh=ports)[0] == 200
        assert self.call_mo(text="ja", id="last")[0] == 200
        assert [f["text"] for f in self.gateway.frames("reply")] == ["ja"]

    @test
    def a_configuration_that_leaves_something_out_loses_no_answer(self):
        for missing in ("from", "text", "coding"):
            assert self.call_mo(**{"text": "x", **{missing: None}})[0] == 400, missing
        assert self.call_mo(text="x", coding="3")[0] == 400
        assert self.call_mo(text="x", udh=b"\x09\x00\x03\x01\x02\x01")[0] == 400
        assert self.call("/%s/mo?text=%%4" % self.kannel.secret)[0] == 400
        # What is not needed may be missing.
        assert self.call_mo(text="ohne alles", to=None, charset=None, udh=None, id=None, ts=None)[0] == 200
        self.reply("ohne alles")

    @test
    def senders_are_read_as_kannel_hands_them_in(self):
        gateway, kannel = self.gateway, self.kannel
        for number, sender in enumerate(("+4915112345678", "4915112345678", "004915112345678", "015112345678")):
            status = self.call_mo(**{"from": sender, "text": "Nummer %d" % number})[0]
            assert status == 200
            if sender.startswith("01"):
                # Nothing says whose number that is: one of Germany, or of another country.
                assert not [f for f in gateway.frames("reply") if f["text"] == "Nummer %d" % number]
            else:
                assert self.reply("Nummer %d" % number)["from"] == "sms:+4915112345678"
        gateway.stop()
        self.gateway = self.make_gateway(kannel, country_code="49").start()
        self.gateway.wait_up()
        for number, sender in enumerate(("+4915112345678", "4915112345678", "015112345678", "004915112345678")):
            assert self.call_mo(**{"from": sender, "text": "Nummer %d" % number})[0] == 200
            assert self.reply("Nummer %d" % number)["from"] == "sms:+4915112345678"
        gateway.remove()

    @test
    def parts_that_kannel_left_apart_are_put_together(self):
        octets = "Grüße \U0001f511!".encode("utf-16-be")
        parts = {1: octets[:8], 2: octets[8:14], 3: octets[14:]}
        calls = []

        def hand_in(number):
            header = bytes((5, 0, 3, 77, 3, number))
            calls.append(self.call_mo(text=parts[number], coding="2", charset="UTF-16BE", udh=header, id="part-%d" % number))

        threads = [threading.Thread(target=hand_in, args=(number,)) for number in (2, 3, 1)]
        for thread in threads:
            thread.start()
        self.reply("Grüße \U0001f511!")
        for thread in threads:
            thread.join()
        assert [status for status, _ in calls] == [200, 200, 200]

    @test
    def other_alphabets_are_read(self):
        assert self.call_mo(text="Stra\xdfe in latin".encode("latin-1"), charset="ISO-8859-1")[0] == 200
        self.reply("Straße in latin")
        assert self.call_mo(text="zwölf".encode("latin-1"), coding="1")[0] == 200
        self.reply("zwölf")
        assert self.call_mo(text="\ufeffmit Marke".encode("utf-16-be"), coding="2")[0] == 200
        self.reply("mit Marke")

    @test
    def a_wrong_password_is_told_and_nothing_is_tried(self):
        gateway = self.make_gateway(self.kannel, password="wrong password", listen="127.0.0.1:0",
                                    callback_url="http://127.0.0.1:1").start()
        try:
            answer = self.send(gateway=gateway)
            while answer["reason"] == "connecting":
                answer = self.send(gateway=gateway)
            assert answer["type"] == "later" and answer["reason"] == "login-refused", answer
            assert answer["retry_after"] >= 1
            assert not [f for f in gateway.frames("status") if f["up"]]
            assert "login-refused" in gateway.errors_text()
        finally:
            gateway.stop()
            assert "wrong password" not in gateway.errors_text()
            gateway.remove()

    @test
    def kannels_own_telephone_writes_and_is_written_to(self):
        """fakesmsc of Kannel itself, which knows nothing of ours."""
        self.kannel.detach()
        self.gateway.forget()
        path = os.path.join(self.kannel.folder, "fakesmsc.log")
        with open(path, "wb") as output:
            telephone = subprocess.Popen(
                ["/usr/lib/kannel/test/fakesmsc", "-H", "127.0.0.1", "-r", str(self.kannel.fake_port), "-i", "0.1",
                 "-m", "1", "%s %s text Grüße vom Telefon" % (GUEST, self.kannel.sender[1:])],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, preexec_fn=die_with_parent)
        try:
            reply = self.reply("Grüße vom Telefon")
            assert reply["from"] == "sms:" + GUEST and reply["to"] == "sms:" + self.kannel.sender, reply
            for message, text in (("msg_fake_1", "Ihr Schlüssel [€]"), ("msg_fake_2", "Schlüssel \U0001f511")):
                assert self.send(text, message)["type"] == "sent"
                self.gateway.wait_report("delivered", message=message)
            with open(path, errors="replace") as file:
                said = file.read()
            there = "<%s %s " % (self.kannel.sender, GUEST)
            assert there + "text Ihr Schlüssel [€]>" in said, said
            assert there + "ucs-2 %00S%00c%00h%00l%00%FC%00s%00s%00e%00l%00+%D8%3D%DD%11>" in said, said
        finally:
            telephone.kill()
            telephone.wait()
            self.kannel.attach()

    @test
    def kannel_goes_and_comes_back(self):
        self.gateway.forget()
        self.kannel.kill()
        answer = self.send()
        assert answer["type"] == "later", answer
        self.gateway.wait_frame("status", up=False)
        self.kannel.start()
        self.gateway.wait_frame("status", up=True)
        assert self.send("wieder da")["type"] == "sent"
        self.kannel.wait_for_message(GUEST, "wieder da")

    @test
    def nothing_that_was_acknowledged_is_lost_when_kannel_is_killed(self):
        texts = {"msg_kill_%d" % n: "Nummer %d vor oder nach dem Tod" % n for n in range(120)}
        self.kannel.detach()  # without a network it keeps them all
        asked = {self.ask(text, message): message for message, text in list(texts.items())}
        sent = lambda: [m for i, m in asked.items() if self.gateway.answers.get(i, {}).get("type") == "sent"]  # noqa: E731
        self.gateway.wait(lambda: len(sent()) >= 40, 60, "some are sent")
        self.kannel.kill()
        for number in asked:
            self.gateway.wait_answer(number)
        first = set(sent())
        note("%d of %d were acknowledged before the kill" % (len(first), len(texts)))
        self.kannel.start()
        self.gateway.wait_up()
        shown = lambda: {text.text for text in self.kannel.shown}  # noqa: E731
        self.kannel.wait(lambda: {texts[m] for m in first} <= shown(), "what was acknowledged arrives")
        rest = set(texts) - first
        while rest:
            answers = {message: self.send(texts[message], message) for message in sorted(rest)}
            rest = {message for message, answer in answers.items() if answer["type"] != "sent"}
        self.kannel.wait(lambda: set(texts.values()) <= shown(), "all arrive")

    @test
    def a_full_queue_slows_down_and_loses_nothing(self):
        kannel = KannelCarrier(self.build, queue_limit=3)
        gateway = self.make_gateway(kannel)
        try:
            kannel.start(attached=False)
            gateway.start().wait_up()
            texts = {"msg_full_%d" % n: "Schlange %d" % n for n in range(6)}
            answers = {message: self.send(text, message, gateway) for message, text in texts.items()}
            later = {m for m, answer in answers.items() if answer["type"] == "later"}
            assert later and len(later) < len(texts), answers
            assert all(answers[m]["reason"] in ("queue-full", "carrier-busy") for m in later), answers
            kannel.attach()
            while later:
                answers = {m: self.send(texts[m], m, gateway) for m in sorted(later)}
                later = {m for m, answer in answers.items() if answer["type"] != "sent"}
                if later:
                    time.sleep(min(answers[m]["retry_after"] for m in later))  # as it was asked to
            kannel.wait(lambda: set(texts.values()) <= {t.text for t in kannel.shown}, "all arrive")
            assert sorted(t.text for t in kannel.shown) == sorted(texts.values()), "some arrive twice"
        finally:
            gateway.stop()
            gateway.remove()
            kannel.__exit__(None, None, None)

    def make_smsbox(self, decide):
        """The gateway's other side for what no real Kannel can be made to do. Returns it and a gateway."""
        smsbox = Smsbox(decide)
        gateway = self.make_gateway(
            self.kannel, url="http://127.0.0.1:%d/" % smsbox.server_port, listen="127.0.0.1:0",
            callback_url="http://127.0.0.1:1").start()
        gateway.wait_up()
        return smsbox, gateway

    def send_patiently(self, text, message, gateway):
        """Asks until it was tried, as often and as late as it is told to."""
        while True:
            answer = self.send(text, message, gateway)
            if answer["type"] != "later":
                return answer
            time.sleep(answer["retry_after"])

    @test
    def a_cut_counts_as_a_try_and_the_next_one_waits_longer(self):
        smsbox, gateway = self.make_smsbox(lambda part: None if cuts else 202)
        cuts = False
        try:
            assert self.send("davor", "msg_before", gateway)["type"] == "sent"  # over a connection that is kept
            cuts = True
            for tries, seconds in enumerate((1, 2, 4), 1):
                ask = self.send if tries == 1 else self.send_patiently
                answer = ask("einmal", "msg_cut", gateway)
                assert answer["type"] == "failed" and not answer["permanent"] and answer["reason"] == "cut", answer
                assert answer["retry_after"] == seconds, answer
                assert len(smsbox.taken) == 1 + tries, smsbox.taken
            cuts = False
            assert self.send_patiently("einmal", "msg_cut", gateway)["type"] == "sent"
        finally:
            gateway.stop()
            gateway.remove()
            smsbox.close()

    @test
    def what_was_taken_of_a_long_message_is_not_sent_again(self):
        verdicts = {3: 503}
        smsbox, gateway = self.make_smsbox(lambda part: verdicts.get(part, 202))
        try:
            answer = self.send(PARTS, "msg_parts_1", gateway)
            assert answer["type"] == "failed" and answer["reason"] == "queue-full" and answer["retry_after"], answer
            for status, reason in ((500, "carrier-error"), (None, "cut")):
                verdicts[3] = status
                answer = self.send_patiently(PARTS, "msg_parts_1", gateway)
                assert answer["type"] == "failed" and answer["reason"] == reason, answer
            assert smsbox.taken == [1, 2, 3], smsbox.taken
            verdicts.clear()
            assert self.send_patiently(PARTS, "msg_parts_1", gateway)["type"] == "sent"
            assert smsbox.taken == [1, 2, 3, 3], smsbox.taken
            # What ended, and what nothing was taken of, begins at the first.
            assert self.send(PARTS, "msg_parts_1", gateway, repeat=1)["type"] == "sent"
            assert smsbox.taken == [1, 2, 3, 3, 1, 2, 3], smsbox.taken
            verdicts[1] = 503
            assert self.send(PARTS, "msg_parts_2", gateway)["type"] == "later"
            verdicts.clear()
            assert self.send_patiently(PARTS, "msg_parts_2", gateway)["type"] == "sent"
            assert smsbox.taken[-3:] == [1, 2, 3], smsbox.taken
        finally:
            gateway.stop()
            gateway.remove()
            smsbox.close()

    @test
    def an_answer_that_arrives_at_the_end_is_left_to_kannel(self):
        gateway = self.make_gateway(self.kannel, listen="127.0.0.1:%d" % free_port(), callback_url="http://127.0.0.1:1")
        gateway.on_request = lambda frame: None
        gateway.start().wait_up()
        address = gateway.settings["listen"].split(":")
        request = "GET /%s/mo?from=%%%%2B4915112345678&to=1&text=x&coding=0&id=%%d HTTP/1.1\r\nHost: x\r\n\r\n" % self.kannel.secret
        connections = [socket.create_connection((address[0], int(address[1])), 60) for _ in range(3)]
        try:
            # One of them is known to the listener and to the channel, so the others are known to the listener.
            connections[2].sendall((request % 2).encode())
            self.reply("x", gateway)
            gateway.process.send_signal(signal.SIGSTOP)
            gateway.process.terminate()
            for number, connection in enumerate(connections[:2]):
                connection.sendall((request % number).encode())
            gateway.process.send_signal(signal.SIGCONT)
            assert gateway.process.wait(60) == 0
            for connection in connections:
                assert connection.recv(1000).startswith(b"HTTP/1.1 503 "), "it is not told to come again"
        finally:
            for connection in connections:
                connection.close()
            gateway.stop()
            gateway.remove()

    @test
    def secrets_are_neither_arguments_nor_environment(self):
        for name in ("cmdline", "environ"):
            with open("/proc/%d/%s" % (self.gateway.process.pid, name), "rb") as file:
                text = file.read().decode(errors="replace")
            assert self.kannel.password not in text and self.kannel.secret not in text, name

    @test
    def settings_that_cannot_be_are_refused_with_a_reason(self):
        for changes, credentials, word in (
            ({"url": "ftp://127.0.0.1/"}, {}, "`url`"),
            ({"url": None}, {}, "`url`"),
            ({"username": None}, {}, "`username`"),
            ({"window": "0"}, {}, "`window`"),
            ({"listen": "kannel.hotel.test:80"}, {}, "cannot listen"),
            ({}, {"callback-path": "short"}, "callback-path"),
            ({}, {"callback-path": "a" * 21}, "callback-path"),
            ({}, {"callback-path": ""}, "callback-path"),
            ({}, {"callback-path": "a" * 21 + "/"}, "callback-path"),
            ({}, {"kannel-password": ""}, "kannel-password"),
            ({}, {"kannel-password": None}, "kannel-password"),
        ):
            settings = {**self.kannel.common_settings(), **self.kannel.settings(), "listen": "127.0.0.1:0", **changes}
            settings = {k: v for k, v in settings.items() if v is not None}
            secrets = {k: v for k, v in {**self.kannel.credentials(), **credentials}.items() if v is not None}
            gateway = Gateway(self.program, "sms", settings, secrets).start()
            try:
                assert gateway.process.wait(60) == 78, (changes, credentials)
                assert word in gateway.errors_text(), (changes, credentials, gateway.errors_text())
            finally:
                gateway.stop()
                gateway.remove()


# They wait for what they are told to, beside a Kannel or an smsbox of their own.
WAITING = ("a_full_queue_slows_down_and_loses_nothing", "a_cut_counts_as_a_try_and_the_next_one_waits_longer",
           "what_was_taken_of_a_long_message_is_not_sent_again")


def main():
    tests = Tests(os.path.abspath(sys.argv[1]))
    tests.open()
    try:
        waiting = {name: getattr(tests, name) for name in WAITING}
        status = run(aside(tests_of(tests), waiting, sys.argv[2:]), sys.argv[2:])
    finally:
        tests.close()
    return status


if __name__ == "__main__":
    sys.exit(main())
