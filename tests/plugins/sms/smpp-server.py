"""The SMS channel with its SMPP driver, between a scripted gateway and a real SMS centre that can
misbehave.

usage: smpp-server.py BUILD PROGRAM IMPATIENT [TEST…]
"""

import collections
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))

from harness.frames import PATIENCE, Gateway  # noqa: E402
from harness.sms_carrier import from_septets  # noqa: E402
from harness.smsc import LATER, OK, QUEUE_FULL, THROTTLED, Smsc, read_part  # noqa: E402
from harness.tap import aside, note, run, test, tests_of  # noqa: E402

US = "+4930901820"
BOB, EVE = "+4915112345678", "+4915187654321"
SECRETS = [Smsc.password, "marker", BOB[1:], EVE[1:]]
LONG = "Grüße aus Köln, €! " * 20  # three segments


class Channel(Gateway):
    """The plugin with a state folder of its own, which stays over restarts."""

    def __init__(self, program, smsc, password=Smsc.password, **changes):
        settings = {
            "driver": "smpp", "host": "127.0.0.1", "port": str(smsc.port), "system_id": smsc.system_id,
            "sender": US, "countries": ["DE"], "per_minute": "600000", "burst": "10000",
        }
        settings.update(changes)
        settings = {key: value for key, value in settings.items() if value is not None}
        self.state = tempfile.mkdtemp(prefix="vestibule-sms-state-")
        super().__init__(program, "sms", settings, {"smpp-password": password},
                         wrapper=["/usr/bin/env", "STATE_DIRECTORY=" + self.state])
        self.n_messages = 0

    def send(self, text="marker text", to=BOB, **members):
        self.n_messages += 1
        message = members.pop("message", "msg_%d" % self.n_messages)
        return message, self.ask("send", message=message, kind="notice", to="sms:" + to, text=text,
                                 expires=members.pop("expires", int(time.time()) + 600), **members)

    def is_sent(self, text="marker text", **members):
        message, number = self.send(text, **members)
        answer = self.wait_answer(number)
        assert answer["type"] == "sent", answer
        return message

    def end(self):
        status = self.stop()
        assert status == 0, "the plugin ended with status %s" % status
        text = self.errors_text()
        for secret in SECRETS:
            assert secret not in text, "%s was logged" % secret
        self.remove()
        shutil.rmtree(self.state)


class Outbox(threading.Thread):
    """Asks for messages as the gateway's outbox does: again, under the same id, until they are sent."""

    WINDOW = 32

    def __init__(self, channel, texts):
        super().__init__(daemon=True)
        self.channel, self.texts = channel, texts
        self.due = {message: 0.0 for message in texts}
        self.asked = {}
        self.tries = collections.Counter()
        self.sent = set()
        self.answers = collections.Counter()
        self.ending = self.resting = False
        self.refused = []

    def _take(self):
        for number in [number for number in self.asked if number in self.channel.answers]:
            message, answer = self.asked.pop(number), self.channel.answers[number]
            self.answers[answer["type"]] += 1
            if answer["type"] == "sent":
                self.sent.add(message)
                continue
            if answer.get("permanent"):
                self.refused.append(answer)
                continue
            self.due[message] = time.monotonic() + min(answer.get("retry_after", 0), 0.3)

    def run(self):
        while not self.ending:
            with self.channel.changed:
                self._take()
                now = time.monotonic()
                ready = [m for m, at in self.due.items() if at <= now and not self.resting]
                for message in ready[: self.WINDOW - len(self.asked)]:
                    del self.due[message]
                    self.tries[message] += 1
                    self.asked[self.channel.send(self.texts[message], message=message)[1]] = message
                self.channel.changed.notify_all()
                self.channel.changed.wait(0.05)

    def rest(self):
        """Asks for nothing until begin_again()."""
        with self.channel.changed:
            self.resting = True

    def begin_again(self):
        """The plugin is another one, so that nobody will answer what the first was asked."""
        with self.channel.changed:
            self.resting = False
            self.due.update({message: 0.0 for message in self.asked.values()})
            self.asked.clear()

    def wait_sent(self, count=None):
        count = count or len(self.texts)
        self.channel.wait(lambda: len(self.sent) >= count, PATIENCE, "%d are sent" % count)

    def close(self):
        self.ending = True
        self.join()
        assert not self.refused, self.refused


def times_of(takens):
    """How often the centre has taken each text of one segment."""
    return collections.Counter(from_septets(read_part(taken)[4]) for taken in takens)


def certificate_for(folder, name):
    paths = [os.path.join(folder, name + end) for end in (".pem", ".key")]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-days", "2", "-out", paths[0], "-keyout", paths[1], "-subj", "/CN=" + name,
         "-addext", "subjectAltName=DNS:" + name],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return paths


class Tests:
    def __init__(self, build, program, impatient):
        self.build, self.program, self.impatient = build, program, impatient
        self.smsc = Smsc(build).start()
        self.channel = None

    def open(self, program=None, behaviour=None, **changes):
        """A fresh channel on the centre, which behaves well but for what is said."""
        if self.channel and self.channel.process.poll() is None:  # of a test that failed
            self.channel.kill()
        self.smsc.behave(**{**WELL, **(behaviour or {})})
        self.mark = self.smsc.mark()
        channel = self.channel = Channel(program or self.program, self.smsc, **changes)
        channel.start()
        return channel

    def up(self, *arguments, **changes):
        channel = self.open(*arguments, **changes)
        channel.wait_up()
        return channel

    def taken(self):
        """What the centre has taken from this channel until now."""
        self.smsc.sync()
        return self.smsc.found("taken", self.mark)

    # What leaves.

    @test
    def a_message_is_sent_in_parts_and_delivered(self):
        channel = self.up(behaviour={"receipt": "after"})
        message = channel.is_sent(LONG, expires=int(time.time()) + 3600)
        channel.wait_report("delivered", message=message)
        parts = [read_part(taken) for taken in self.taken()]
        assert [part[1:3] for part in parts] == [(3, 1), (3, 2), (3, 3)] and len({p[0] for p in parts}) == 1
        assert from_septets(b"".join(part[4] for part in parts)) == LONG
        taken = self.taken()[0]
        assert (taken["from"], taken["from_type"], taken["from_plan"]) == (US[1:], 1, 1)
        assert taken["to"] == BOB[1:] and taken["wants_receipt"] == 1 and taken["coding"] == 0
        assert re.fullmatch(r"0000000(100|059)[0-9]{2}000R", taken["validity"]), taken["validity"]
        assert len(channel.reports("delivered")) == 1
        channel.end()

    @test
    def what_gsm7_lacks_goes_as_ucs2(self):
        channel = self.up(sender="Adler")
        channel.is_sent("Schlüssel 🔑 „für Sie“")
        (taken,) = self.taken()
        assert taken["coding"] == 8 and bytes.fromhex(taken["octets"]).decode("utf-16-be") == (
            "Schlüssel 🔑 „für Sie“")
        assert (taken["from"], taken["from_type"], taken["from_plan"]) == ("Adler", 5, 0)
        channel.end()

    @test
    def a_centre_with_another_alphabet_gets_its_own(self):
        channel = self.up(alphabet="latin1")
        channel.is_sent("Grüße [ä]")
        channel.is_sent("10 €")
        first, second = self.taken()
        assert (first["coding"], bytes.fromhex(first["octets"])) == (0, "Grüße [ä]".encode("latin-1"))
        assert (second["coding"], from_septets(bytes.fromhex(second["octets"]))) == (0xF1, "10 €")
        channel.end()

    @test
    def receipts_name_messages_in_either_form_early_and_late(self):
        forms = [
            ("decimal", "decimal", "after", False), ("hex", "decimal", "after", False),
            ("decimal", "padded", "after", True), ("hex", "padded", "before", False),
            ("decimal", "hex", "before", True),
        ]
        channel = self.up()
        for id_form, receipt_form, when, parameters in forms:
            self.smsc.behave(id_form=id_form, receipt_id_form=receipt_form, receipt=when,
                             receipt_parameters=parameters)
            message = channel.is_sent()
            channel.wait_report("delivered", message=message)
        assert len(channel.reports("delivered")) == len(forms)
        channel.end()

    @test
    def a_receipt_of_failure_is_told(self):
        channel = self.up(behaviour={"receipt": "after", "receipt_state": "UNDELIV"})
        message = channel.is_sent()
        frame = channel.wait_report("failed", message=message)
        assert frame["permanent"] is True and frame["reason"] == "report-failed", frame
        channel.end()

    @test
    def the_window_is_kept_and_what_was_cut_is_sent_again(self):
        channel = self.up(window="4", behaviour={"answer": False})
        outbox = Outbox(channel, {"cut_%d" % i: "marker %d" % i for i in range(10)})
        outbox.start()
        self.smsc.wait_event("taken", self.mark, count=4)
        mark = self.smsc.mark()
        self.smsc.tell("enquire")  # what is answered after is a time in which more could have come
        self.smsc.wait_event("response", mark, command="enquire_link_resp")
        assert len(self.taken()) == 4
        self.smsc.behave(answer=True)
        self.smsc.tell("cut")
        outbox.wait_sent()
        outbox.close()
        times = times_of(self.taken())
        assert all(times["marker %d" % i] >= 1 for i in range(10)), times
        assert sum(times["marker %d" % i] for i in range(10)) <= 14, times
        assert outbox.answers["failed"] == 4, outbox.answers
        channel.end()

    @test
    def a_part_that_was_taken_is_not_sent_again(self):
        channel = self.up(window="1", behaviour={"cut_after": 2})
        outbox = Outbox(channel, {"partial": LONG})
        outbox.start()
        outbox.wait_sent()
        outbox.close()
        # The answer for the second one was lost; nobody can tell that from a loss of the part.
        assert [read_part(taken)[2] for taken in self.taken()] == [1, 2, 2, 3]
        assert len({read_part(taken)[0] for taken in self.taken()}) == 1
        channel.end()

    @test
    def a_part_that_was_taken_is_not_sent_again_after_a_kill(self):
        channel = self.up(window="1", behaviour={"cut_after": 2})
        answer = channel.wait_answer(channel.send(LONG, message="partial")[1])
        assert answer["type"] == "failed" and not answer["permanent"], answer
        channel.kill()
        channel.reader.join()
        channel.forget()
        channel.start().wait_up()
        channel.is_sent(LONG, message="partial")
        assert [read_part(taken)[2] for taken in self.taken()] == [1, 2, 2, 3]
        assert len({read_part(taken)[0] for taken in self.taken()}) == 1
        channel.end()

    @test
    def a_throttling_centre_slows_us_down_and_loses_nothing(self):
        channel = self.up(behaviour={"rate": 25})
        count = 100
        texts = {"slow_%d" % i: "marker slow %d" % i for i in range(count)}
        outbox = Outbox(channel, texts)
        begin = time.monotonic()
        outbox.start()
        outbox.wait_sent()
        seconds = time.monotonic() - begin
        outbox.close()
        self.smsc.sync()
        refused = self.smsc.found("refused", self.mark, status=THROTTLED)
        note("%d messages in %.1f s at 25 a second, %d throttled" % (count, seconds, len(refused)))
        assert {text: n for text, n in times_of(self.taken()).items() if "slow" in text} == {
            text: 1 for text in texts.values()}
        assert 1 <= len(refused) <= count // 2, len(refused)
        assert outbox.answers["failed"] == 0 and outbox.answers["later"] == len(refused)
        channel.end()

    @test
    def a_full_queue_is_waited_for(self):
        channel = self.up(behaviour={"submit_status": QUEUE_FULL, "submit_count": 1})
        _, number = channel.send()
        answer = channel.wait_answer(number)
        assert answer["type"] == "later" and answer["reason"] == "queue-full", answer
        assert answer["retry_after"] >= 1
        begin = time.monotonic()
        channel.is_sent()  # it waits for its turn
        assert time.monotonic() - begin > 0.5
        self.smsc.behave(submit_status=QUEUE_FULL, submit_count=2)
        texts = {"full_%d" % i: "marker full %d" % i for i in range(12)}
        outbox = Outbox(channel, texts)
        outbox.start()
        outbox.wait_sent()
        outbox.close()
        assert outbox.answers["later"] >= 1 and outbox.answers["failed"] == 0, outbox.answers
        assert {text: n for text, n in times_of(self.taken()).items() if "full" in text} == {
            text: 1 for text in texts.values()}
        channel.end()

    @test
    def refusals_are_told_as_what_they_are(self):
        channel = self.up()
        for status, kind, permanent, reason in (
            (0x0B, "failed", True, "address-refused"), (0x45, "failed", False, "centre-error"),
            (0x0A, "failed", False, "account-refused"), (0x01, "failed", True, "message-refused"),
        ):
            self.smsc.behave(submit_status=status, submit_count=1)
            answer = channel.wait_answer(channel.send()[1])
            assert (answer["type"], answer["permanent"], answer["reason"]) == (kind, permanent, reason)
        channel.end()

    @test
    def a_centre_that_wants_absolute_times_gets_them(self):
        channel = self.up(behaviour={"submit_status": 0x62, "submit_count": 1})
        assert channel.wait_answer(channel.send()[1])["type"] == "later"
        channel.is_sent(expires=1893456000)
        assert self.taken()[0]["validity"] == "300101000000000+"
        channel.end()

    @test
    def a_receipt_is_answered_only_when_the_gateway_has_it(self):
        channel = self.up(behaviour={"receipt": "after", "receipt_state": "UNDELIV"})
        reports = []

        def on_request(frame):
            reports.append(frame)
            return {"type": "again"} if len(reports) == 1 else None

        channel.on_request = on_request
        message = channel.is_sent(repeat=3)
        channel.wait(lambda: len(reports) == 2, PATIENCE, "the report, handed in again")
        number = self.smsc.found("handed", self.mark)[0]["number"]
        self.smsc.wait_answered(number, LATER)
        mark = self.smsc.mark()
        self.smsc.tell("enquire")  # what is answered after is a time in which the receipt could have been
        self.smsc.wait_event("response", mark, command="enquire_link_resp")
        assert not self.smsc.found("answered", mark)
        for report in reports:
            assert {**report, "id": 0} == {"type": "report", "id": 0, "message": message, "says": "failed",
                                           "permanent": True, "reason": "report-failed", "repeat": 3}, report
        channel.answer(reports[1], {"type": "ack"})
        self.smsc.wait_answered(number)
        self.smsc.tell("receipt", message=self.taken()[0], state="UNDELIV")  # it has not heard us
        self.smsc.wait_event("answered", mark, count=2, status=OK)
        assert len(reports) == 2
        channel.end()

    # What is taken back.

    def withdraw(self, channel, message, kind="withdrawn"):
        answer = channel.wait_answer(channel.ask("withdraw", message=message, kind="invitation", to="sms:" + BOB))
        assert answer["type"] == kind, answer
        self.smsc.sync()
        return answer

    @test
    def what_the_centre_still_holds_is_taken_back(self):
        for sender, form in ((US, "hex"), ("Adler", "decimal")):
            channel = self.up(sender=sender, behaviour={"holding": True, "id_form": form})
            short, long = channel.is_sent(), channel.is_sent(LONG)
            numbers = [taken["number"] for taken in self.taken()]
            assert len(numbers) == 4
            self.withdraw(channel, long)
            assert [e["number"] for e in self.smsc.found("cancelled", self.mark)] == numbers[1:]
            self.withdraw(channel, long, "too-late")  # there is none any more
            self.withdraw(channel, short)
            self.smsc.behave(holding=False)
            self.withdraw(channel, channel.is_sent(), "too-late")
            assert len(self.smsc.found("not_cancelled", self.mark)) == 1
            channel.end()

    @test
    def a_message_is_taken_back_once_whatever_dies_in_between(self):
        # The centre has not read it.
        channel = self.up(behaviour={"holding": True})
        message = channel.is_sent(LONG)
        self.smsc.process.send_signal(signal.SIGSTOP)
        number = channel.ask("withdraw", message=message, kind="invitation", to="sms:" + BOB)
        self.smsc.kill()
        assert channel.wait_answer(number)["type"] == "later"
        channel.forget()
        self.smsc.start()
        channel.wait_up()
        self.withdraw(channel, message)
        # It has cancelled two segments, and could say so of the first.
        message = channel.is_sent(LONG)
        self.smsc.behave(cancel_cut=2)
        channel.forget()
        self.withdraw(channel, message, "later")
        channel.wait_up()
        mark = self.smsc.mark()
        self.withdraw(channel, message, "too-late")  # nobody knows what became of the second
        assert len(self.smsc.found("not_cancelled", mark)) == 1 and not self.smsc.found("cancelled", mark)
        # We die, and the next of us is asked.
        message, mark = channel.is_sent(LONG), self.smsc.mark()
        self.smsc.process.send_signal(signal.SIGSTOP)
        channel.ask("withdraw", message=message, kind="invitation", to="sms:" + BOB)
        channel.kill()
        self.smsc.process.send_signal(signal.SIGCONT)
        channel.reader.join()
        channel.forget()
        channel.start()
        channel.wait_up()
        answer = channel.wait_answer(channel.ask("withdraw", message=message, kind="invitation", to="sms:" + BOB))
        self.smsc.sync()
        # The first cancel_sm was read, or was not.
        assert (answer["type"] == "withdrawn") == (not self.smsc.found("not_cancelled", mark)), answer
        channel.end()

    # What comes.

    @test
    def what_people_write_is_put_together_whatever_way_it_is_cut(self):
        channel = self.up()
        texts = {
            "udh8": "marker ä" * 30, "udh16": "marker 🔑 für alle " * 9, "sar": "marker {€} " * 40,
        }
        for i, (how, text) in enumerate(texts.items()):
            numbers = self.smsc.say(BOB, US, text, how, reference=300 + i)
            assert len(numbers) >= 2
            frame = channel.wait_frame("reply", text=text)
            assert frame["from"] == "sms:" + BOB and frame["to"] == "sms:" + US, frame
            assert frame["authentic"] == "weak" and frame["automatic"] is False
            for number in numbers:
                self.smsc.wait_answered(number)
        backwards = self.smsc.say(EVE, US, "marker " * 50, "udh16", reference=9, order=(2, 1, 0))
        channel.wait_frame("reply", text="marker " * 50)
        for number in backwards:
            self.smsc.wait_answered(number)
        assert len(channel.frames("reply")) == 4
        channel.end()

    @test
    def alphabets_are_read(self):
        channel = self.up()
        for coding, octets, text in (
            (0, b"marker \x1b\x65", "marker €"), (1, b"marker A", "marker A"),
            (3, "marker é".encode("latin-1"), "marker é"),
            (8, "marker ✓".encode("utf-16-be"), "marker ✓"), (0xF1, b"marker \x7b", "marker ä"),
        ):
            number = self.smsc.deliver(source_addr=BOB[1:], destination_addr=US[1:], data_coding=coding,
                                       octets=octets)
            channel.wait_frame("reply", text=text)
            self.smsc.wait_answered(number)
        long = self.smsc.deliver(source_addr=BOB[1:], destination_addr=US[1:], data_coding=0,
                                 message_payload=b"marker " * 60)
        channel.wait_frame("reply", text="marker " * 60)
        self.smsc.wait_answered(long)
        channel.end()

    @test
    def a_message_is_taken_only_when_the_gateway_has_it(self):
        channel = self.up()
        channel.on_request = lambda frame: None
        (number,) = self.smsc.say(BOB, US, "marker wait")
        frame = channel.wait_frame("reply", text="marker wait")
        mark = self.smsc.mark()
        self.smsc.tell("enquire")
        self.smsc.wait_event("response", mark, command="enquire_link_resp")
        assert not self.smsc.found("answered", number=number)
        channel.answer(frame, {"type": "ack"})
        self.smsc.wait_answered(number)
        channel.end()

    @test
    def what_nobody_settles_is_handed_in_again_under_the_same_identity(self):
        channel = self.up(self.impatient)
        channel.on_request = lambda frame: None
        (number,) = self.smsc.say(BOB, US, "marker nobody")
        first = channel.wait_frame("reply", text="marker nobody")
        self.smsc.wait_answered(number, LATER)
        channel.on_request = lambda frame: {"type": "ack"}
        channel.answer(first, {"type": "ack"})
        self.smsc.wait_answered(number)
        assert {frame["inbound"] for frame in channel.frames("reply")} == {first["inbound"]}
        channel.end()

    @test
    def what_can_never_be_used_is_refused_for_good(self):
        channel = self.up()
        for members in (
            {"source_addr": "Lottery", "source_addr_ton": 5, "octets": b"marker"},
            {"source_addr": BOB[1:], "data_coding": 4, "octets": b"marker"},
            {"source_addr": BOB[1:], "esm_class": 0x40, "octets": b"\x80marker"},
        ):
            number = self.smsc.deliver(destination_addr=US[1:], **members)
            self.smsc.wait_answered(number, 0x66)
        assert not channel.frames("reply")
        channel.end()

    # The session.

    @test
    def a_silent_link_is_asked_and_a_dead_one_is_left(self):
        channel = self.up(enquire_seconds="1")
        self.smsc.wait_event("enquired", self.mark, count=2)
        assert len(self.smsc.found("bind", self.mark)) == 1
        self.smsc.behave(enquire=False)
        channel.wait_frame("status", up=False, reason="no-answer")
        self.smsc.behave(enquire=True)
        channel.wait_up()
        channel.is_sent()
        channel.end()

    @test
    def a_submit_without_an_answer_ends_the_session(self):
        channel = self.up(self.impatient, behaviour={"answer": False})
        answer = channel.wait_answer(channel.send()[1])
        assert (answer["type"], answer["permanent"], answer["reason"]) == (
            "failed", False, "connection-lost"), answer
        channel.wait_frame("status", up=False, reason="no-answer")
        self.smsc.behave(answer=True)
        channel.wait_up()
        channel.is_sent()
        channel.end()

    @test
    def the_centre_may_ask_and_take_leave(self):
        channel = self.up()
        for command, answer in (("enquire", "enquire_link_resp"), ("outbind", "generic_nack"),
                                ("unbind", "unbind_resp")):
            mark = self.smsc.mark()
            self.smsc.tell(command)
            self.smsc.wait_event("response", mark, command=answer)
        channel.wait_frame("status", up=False, reason="unbound")
        channel.wait_up()
        channel.is_sent()
        self.smsc.sync()
        assert len(self.smsc.found("bind", self.mark)) == 2
        channel.end()
        self.smsc.wait_event("unbound", self.mark)

    @test
    def a_wrong_password_is_said_and_not_tried_at_once(self):
        channel = self.open(password="wrong")
        self.smsc.wait_event("bind", self.mark, status=0x0E)
        channel.wait_frame("status", up=False, reason="bind-refused")
        time.sleep(3)  # in which an ordinary reconnect comes at least once
        assert len(self.smsc.found("bind", self.mark)) == 1
        assert "invalid password" in channel.errors_text()
        channel.end()

    @test
    def who_is_bound_still_is_let_in_soon(self):
        channel = self.open(behaviour={"bind_status": 0x05})
        self.smsc.wait_event("bind", self.mark, status=0x05, count=2)
        self.smsc.behave(bind_status=0)
        channel.wait_up()
        channel.end()

    @test
    def tls_is_verified(self):
        folder = tempfile.mkdtemp(prefix="vestibule-smsc-tls-")
        right, other = certificate_for(folder, "localhost"), certificate_for(folder, "elsewhere.test")
        plain, self.smsc = self.smsc, Smsc(self.build, *right).start()
        try:
            channel = self.up(host="localhost", tls="yes", ca_file=right[0])
            channel.is_sent(LONG)
            self.smsc.wait_answered(self.smsc.say(BOB, US, "marker tls")[0])
            channel.end()
            for changes in ({"host": "127.0.0.1", "ca_file": right[0]}, {"host": "localhost"},
                            {"host": "localhost", "ca_file": other[0]}):
                channel = self.open(tls="yes", **changes)
                channel.wait_frame("status", up=False, reason="certificate")
                assert not self.smsc.found("bind", self.mark)
                channel.end()
        finally:
            self.smsc.stop()
            self.smsc = plain
            shutil.rmtree(folder)
        channel = self.open(tls="yes")  # the other one speaks no TLS
        channel.wait_frame("status", up=False, reason="tls-failed", timeout=PATIENCE)
        channel.end()

    @test
    def settings_that_cannot_work_end_it_with_status_78(self):
        for changes in ({"host": None}, {"port": "0"}, {"window": "1001"}, {"alphabet": "ebcdic"},
                        {"tls": "yes", "ca_file": "/nowhere"}, {"tls": "perhaps"},
                        {"system_id": "x" * 16}, {"password": "nine char"}):
            channel = self.open(**changes)
            assert channel.process.wait(PATIENCE) == 78, changes
            assert re.search(r"(setting|credential) [\w-]+: ", channel.errors_text())
            channel.stop()
            channel.remove()

    @test
    def without_tls_another_machine_has_to_be_meant(self):
        channel = self.open(host="centre.invalid")
        assert channel.process.wait(PATIENCE) == 78
        assert "setting tls: it is missing" in channel.errors_text(), channel.errors_text()
        channel.stop()
        channel.remove()
        for host, warned in (("centre.invalid", 1), ("127.0.0.1", 0)):
            channel = self.open(host=host, tls="no")
            channel.wait_frame("status")
            text = channel.errors_text()
            assert text.count("no TLS to another machine") == warned, text
            channel.end()

    # Death.

    def write_to_us(self, name, count):
        texts = ["marker %s %d" % (name, i) for i in range(count)]
        return {text: self.smsc.say(BOB, US, text)[0] for text in texts}

    def check_inbound(self, frames, numbers):
        inbound = collections.defaultdict(set)
        for frame in frames:
            inbound[frame["text"]].add(frame["inbound"])
        assert set(numbers) <= set(inbound), "%d are lost" % len(set(numbers) - set(inbound))
        assert all(len(inbound[text]) == 1 for text in numbers)

    @test
    def nothing_is_lost_when_the_centre_is_killed(self):
        # Receipts for those whose ids were lost with the centre are kept for a while: not so many that others wait.
        window = 3
        channel = self.up(window=str(window), behaviour={"receipt": "after", "answer_ms": 5})
        count, kills = 300, 3
        texts = {"kill_%d" % i: "marker kill %d" % i for i in range(count)}
        outbox = Outbox(channel, texts)
        outbox.start()
        numbers = {}
        for kill in range(kills):
            channel.wait_up()
            numbers.update(self.write_to_us("in %d" % kill, 20))
            outbox.wait_sent((kill + 1) * count // (kills + 1))
            self.smsc.kill()
            self.smsc.start()
        outbox.wait_sent()
        for number in numbers.values():
            self.smsc.wait_answered(number)
        channel.wait(lambda: len([f for _, f in channel.log if f.get("says") == "delivered"]) >= count,
                     PATIENCE, "all are delivered")
        outbox.close()
        times = times_of(self.taken())
        assert all(times[text] >= 1 for text in texts.values())
        self.check_inbound(channel.frames("reply"), numbers)
        note("%d kills: %d of %d reached the centre more than once, none more than %d times" % (
            kills, sum(times[text] > 1 for text in texts.values()), count,
            max(times[text] for text in texts.values())))
        assert sum(times[text] - 1 for text in texts.values()) <= kills * window
        channel.end()

    @test
    def nothing_is_lost_when_the_plugin_is_killed(self):
        channel = self.up(behaviour={"answer_ms": 5})
        count = 100
        texts = {"dead_%d" % i: "marker dead %d" % i for i in range(count)}
        outbox = Outbox(channel, texts)
        outbox.start()
        channel.on_request = lambda frame: None
        numbers = self.write_to_us("late", 20)
        outbox.wait_sent(count // 2)
        channel.wait(lambda: [f for _, f in channel.log if f["type"] == "reply"], PATIENCE, "a reply")
        outbox.rest()
        channel.kill()
        first = channel.frames("reply")
        assert not any(self.smsc.is_taken(number) for number in numbers.values())
        channel.on_request = lambda frame: {"type": "ack"}
        channel.forget()
        channel.start().wait_up()
        outbox.begin_again()
        outbox.wait_sent()
        outbox.close()
        for number in numbers.values():
            self.smsc.wait_answered(number)
        self.check_inbound(first + channel.frames("reply"), numbers)
        times = times_of(self.taken())
        assert all(times[text] >= 1 for text in texts.values())
        # Receipts that come to the second life are for messages of the first.
        for taken in self.taken():
            self.smsc.tell("receipt", message=taken, state="DELIVRD")
        channel.wait(lambda: {f["message"] for _, f in channel.log if f.get("says") == "delivered"} == set(texts),
                     PATIENCE, "all are delivered")
        channel.end()

    @test
    def it_rests_when_there_is_nothing_to_do(self):
        channel = self.up()
        channel.is_sent()
        before, seconds = channel.cpu(), 5
        time.sleep(seconds)
        used = channel.cpu() - before
        note("%.3f %% of a core" % (100 * used / seconds))
        assert used < 0.001 * seconds, used
        channel.end()


WELL = {
    "bind_status": 0, "answer": True, "answer_ms": 0, "submit_status": 0, "submit_count": 0, "rate": 0,
    "cut_after": 0, "enquire": True, "id_form": "decimal", "receipt": "none", "receipt_ms": 0,
    "receipt_state": "DELIVRD", "receipt_id_form": "decimal", "receipt_parameters": False, "retry_ms": 300,
    "holding": False, "cancel_answer": True, "cancel_cut": 0,
}


# They wait, for what takes its time, beside an SMS centre of their own.
WAITING = (
    "a_throttling_centre_slows_us_down_and_loses_nothing", "a_full_queue_is_waited_for",
    "what_nobody_settles_is_handed_in_again_under_the_same_identity", "a_silent_link_is_asked_and_a_dead_one_is_left",
    "a_submit_without_an_answer_ends_the_session", "a_wrong_password_is_said_and_not_tried_at_once",
    "who_is_bound_still_is_let_in_soon", "it_rests_when_there_is_nothing_to_do",
)


def alone(name, *arguments):
    def run_alone():
        tests = Tests(*arguments)
        try:
            getattr(tests, name)()
        finally:
            tests.smsc.stop()

    return run_alone


def main():
    build, programs, only = sys.argv[1], sys.argv[2:4], sys.argv[4:]
    tests = Tests(build, *programs)
    try:
        waiting = {name: alone(name, build, *programs) for name in WAITING}
        return run(aside(tests_of(tests), waiting, only), only)
    finally:
        tests.smsc.stop()


if __name__ == "__main__":
    sys.exit(main())
