"""The email plugin between a scripted gateway and mail servers: a real Postfix, and one that is at
fault as a test wants it.

usage: submit-server.py PROGRAM IMPATIENT [TEST…]
"""

import base64
import contextlib
import email
import email.policy
import os
import re
import shutil
import smtplib
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))

from harness.dovecot import Dovecot
from harness.frames import PATIENCE, Gateway
from harness.postfix import Postfix
from harness.process import wait_until
from harness.smtp_double import SmtpDouble
from harness.tap import Skip, note, run, test, tests_of

KEY = base64.b64encode(bytes(range(32))).decode()
THREAD = "thr_01j00000000000000000000000"
SECRETS = ["the gateway's", KEY, "bob@guests.test", "jürg", "marker-text", "marker-link", "keys+"]
UTF8 = ["DSN", "SIZE 1000000", "8BITMIME", "SMTPUTF8"]
JURG = "jürg@guests.test"


def message_id(number):
    return "msg_01j0000000000000000000%04d" % number


def send_frame(number, to="mailto:bob@guests.test", **members):
    return {"message": message_id(number), "kind": "invitation", "to": to, "lang": "de",
            "subject": "Ein Zimmerschlüssel 🔑", "text": "Schöne Grüße, marker-text %d\n" % number,
            "thread": THREAD, "made": 1795356000, "expires": int(time.time()) + 3600, **members}


class Channel(Gateway):
    """The plugin with a gateway, its settings and its end."""

    def __init__(self, program, port, password=None, **settings):
        credentials = {"mail-key": KEY}
        if password:
            credentials["submit-password"] = password
            settings.setdefault("username", "keys")
        super().__init__(program, "email", {
            "from": "keys@hotel.test", "name": "Hotel Zürich", "submit": "smtp://localhost:%d" % port,
            **settings}, credentials)

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, value, trace):
        if kind is not None:
            note(self.errors_text()[-2000:])
        status = self.stop()
        text = self.errors_text()
        self.remove()
        if kind is None:
            assert status == 0, status
            for secret in SECRETS:
                assert secret not in text, "the log has %r" % secret

    def send(self, number=1, **members):
        return self.wait_answer(self.ask("send", **send_frame(number, **members)))

    def wait_down(self, reason, timeout=PATIENCE):
        self.wait_frame("status", up=False, reason=reason, timeout=timeout)


folders = []  # of certificates; removed at the end


def certificate_files(names):
    folder = tempfile.mkdtemp(prefix="vestibule-certificate-")
    folders.append(folder)
    paths = [os.path.join(folder, name) for name in ("certificate.pem", "key.pem")]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
        + ["-keyout", paths[1], "-out", paths[0], "-subj", "/CN=test", "-addext", "subjectAltName=" + names],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return paths


def send_until_sent(channel, number, **members):
    """As the gateway does when it is told that it was no try, or not for ever."""
    while True:
        answer = channel.send(number, **members)
        if answer["type"] == "sent":
            return
        assert answer["type"] == "later" or not answer["permanent"], answer
        time.sleep(min(answer.get("retry_after", 1), 1))


class Faults:
    """A server that is at fault."""

    def __init__(self, program, impatient):
        self.program, self.impatient = program, impatient

    def channel(self, double, **settings):
        return Channel(self.program, double.port, **settings)

    @test
    def the_same_message_is_the_same_mail(self):
        double = SmtpDouble()
        for _ in range(2):
            with self.channel(double) as channel:
                channel.wait_up()
                assert channel.send(1)["type"] == "sent"
        first, second = double.wait_mails(2)
        assert first.data == second.data
        assert (first.sender, first.recipients) == (second.sender, second.recipients)
        double.stop()

    @test
    def the_envelope_carries_tokens_and_asks_for_reports(self):
        double = SmtpDouble()
        with self.channel(double) as channel:
            channel.wait_up()
            assert channel.send(1)["type"] == "sent"
        (mail,) = double.mails
        found = re.fullmatch(
            r"MAIL FROM:<(keys\+b[a-z0-9]{42})@hotel\.test> RET=HDRS ENVID=<?([!-~]+?)>? SIZE=\d+", mail.sender)
        assert found and found.group(2) == found.group(1).replace("+", "+2B"), mail.sender
        assert re.fullmatch(r"RCPT TO:<bob@guests\.test> NOTIFY=SUCCESS,FAILURE,DELAY "
                            r"ORCPT=rfc822;<?bob@guests\.test>?", mail.recipients[0]), mail.recipients
        parsed = email.message_from_bytes(mail.data, policy=email.policy.default)
        assert parsed["Subject"] == "Ein Zimmerschlüssel 🔑"
        assert parsed["Date"].datetime.timestamp() == 1795356000
        assert parsed["Auto-Submitted"] == "auto-generated"
        double.stop()

    @test
    def a_conversation_is_threaded(self):
        double = SmtpDouble()
        with self.channel(double) as channel:
            channel.wait_up()
            assert channel.send(1)["type"] == "sent"
            assert channel.send(2, first=message_id(1))["type"] == "sent"
        first, second = [email.message_from_bytes(m.data, policy=email.policy.default) for m in double.mails]
        assert first["In-Reply-To"] is None and first["References"] is None
        assert second["In-Reply-To"].strip() == first["Message-ID"]
        assert second["References"].strip() == first["Message-ID"]
        assert first["Reply-To"] == second["Reply-To"]
        double.stop()

    @test
    def without_dsn_the_envelope_is_plain(self):
        double = SmtpDouble(extensions=["8BITMIME"])
        with self.channel(double) as channel:
            channel.wait_up()
            assert channel.send(1)["type"] == "sent"
        assert re.fullmatch(r"MAIL FROM:<keys\+b\w+@hotel\.test>", double.mails[0].sender)
        assert double.mails[0].recipients == ["RCPT TO:<bob@guests.test>"]
        double.stop()

    @test
    def who_offers_dsn_and_stumbles_over_it_gets_the_mail_without(self):
        double = SmtpDouble()
        double.replies["mail"] = lambda n: "555 5.5.4 unsupported option" if "RET" in double.commands[-1] else None
        with self.channel(double) as channel:
            channel.wait_up()
            assert channel.send(1)["type"] == "sent"
            assert channel.send(2)["type"] == "sent"
        assert [m.sender.count("RET=") for m in double.mails] == [0, 0]
        assert sum("RET=" in line for line in double.commands) == 1  # it is remembered
        double.stop()

    def answer_to(self, stage, reply, **settings):
        double = SmtpDouble()
        double.replies[stage] = reply
        with self.channel(double, **settings) as channel:
            channel.wait_up()
            answer = channel.send(1)
        double.stop()
        return answer, double

    @test
    def a_refusal_of_the_recipient_is_for_ever(self):
        for stage, reply, reason in (("rcpt", "550 5.1.1 who?", "smtp-5-1-1"), ("rcpt", "553 no", "smtp-553"),
                                     ("content", "554 5.7.1 spam", "smtp-5-7-1")):
            answer, double = self.answer_to(stage, reply)
            assert answer["type"] == "failed" and answer["permanent"] and answer["reason"] == reason, answer
            assert double.reached[stage] == 1, double.reached

    @test
    def what_is_about_us_or_will_pass_is_not_for_ever(self):
        for stage, reply, reason in (("mail", "550 5.7.1 not your address", "smtp-5-7-1"),
                                     ("rcpt", "452 4.2.2 mailbox full", "smtp-4-2-2")):
            answer, _ = self.answer_to(stage, reply)
            assert answer["type"] == "failed" and not answer["permanent"] and answer["reason"] == reason, answer

    @test
    def throttling_and_greylisting_say_later(self):
        for stage, reply, reason in (("rcpt", "450 4.2.0 greylisted", "smtp-4-2-0"),
                                     ("rcpt", "451 4.7.1 try again", "smtp-4-7-1"),
                                     ("content", "452 4.3.1 no room", "smtp-4-3-1"),
                                     ("mail", "421 4.3.2 going down", "smtp-4-3-2")):
            answer, _ = self.answer_to(stage, reply)
            assert answer["type"] == "later" and answer["reason"] == reason, answer
            assert 1 <= answer["retry_after"] <= 86400

    @test
    def what_is_put_off_leaves_once_when_the_server_takes_it(self):
        """Asked again when the answer said so, as the gateway does. A 421 on a connection that was kept is
        tried on a fresh one at once, so it comes twice."""
        cases = (("mail", "451 4.3.0 try again"), ("mail", "452 4.3.1 queue full"),
                 ("mail", "421 4.7.0 slow down"), ("rcpt", "450 4.2.0 greylisted"),
                 ("rcpt", "451 4.7.1 try again"), ("rcpt", "452 4.3.1 queue full"),
                 ("data", "451 4.3.0 try again"), ("content", "451 4.3.0 try again"),
                 ("content", "452 4.3.1 queue full"))
        with contextlib.ExitStack() as stack:
            waiting = []
            for stage, reply in cases:
                double = SmtpDouble()
                stack.callback(double.stop)
                times = 2 if reply.startswith("421") else 1
                double.replies[stage] = lambda n, reply=reply, times=times: reply if n <= times else None
                channel = stack.enter_context(self.channel(double))
                channel.wait_up()
                waiting.append((double, channel, stage, reply, times))
            due = [(self.due_after(channel, reply), double, channel, stage, times)
                   for double, channel, stage, reply, times in waiting]
            for when, double, channel, stage, times in sorted(due, key=lambda entry: entry[0]):
                time.sleep(max(when - time.monotonic(), 0))
                assert double.reached[stage] == times, "it was tried before its time"
                answer = channel.send(1)
                assert answer["type"] == "sent", (stage, answer)
                assert channel.send(1)["type"] == "sent"  # as if the answer had been lost
                assert double.reached[stage] == times + 1 and len(double.mails) == 1, (stage, double.reached)
            assert len({data for double, *_ in waiting for data in double.contents}) == 1  # one Message-ID
            assert sum(len(double.contents) for double, *_ in waiting) == len(cases) + 2

    @staticmethod
    def due_after(channel, reply):
        """When what is put off with this reply may be asked again."""
        answer = channel.send(1)
        assert answer["type"] == "later" and answer["reason"] == "smtp-" + reply[4:9].replace(".", "-"), answer
        return time.monotonic() + answer["retry_after"]

    @test
    def a_server_that_throttles_is_given_time_and_gets_each_mail_once(self):
        double = SmtpDouble()
        double.replies["mail"] = lambda n: "451 4.7.1 too fast" if 5 <= n <= 7 else None
        tries = []
        double.replies["rcpt"] = lambda n: tries.append(time.monotonic())
        with self.channel(double) as channel:
            channel.wait_up()
            waiting = set(range(12))
            pauses = []
            while waiting:
                numbers = {n: channel.ask("send", **send_frame(n)) for n in sorted(waiting)}
                answers = {n: channel.wait_answer(id) for n, id in numbers.items()}
                waiting = {n for n, answer in answers.items() if answer["type"] != "sent"}
                assert all(answers[n]["type"] == "later" for n in waiting), answers
                if waiting:
                    pauses.append(min(answers[n]["retry_after"] for n in waiting))
                    time.sleep(pauses[-1])
            assert all(frame["up"] for frame in channel.frames("status")[1:])
        taken = [int(re.search(rb"marker-text (\d+)", m.data).group(1)) for m in double.mails]
        assert sorted(taken) == list(range(12)), taken
        assert pauses and max(b - a for a, b in zip(tries, tries[1:])) >= 4, (pauses, tries)
        double.stop()

    @test
    def a_server_without_room_slows_all_mails_and_loses_none(self):
        double = SmtpDouble()
        double.replies["content"] = lambda n: "452 4.3.1 no room" if n <= 2 else None
        with self.channel(double, window="1") as channel:
            channel.wait_up()
            answer = channel.send(1)
            assert answer["type"] == "later", answer
            held = channel.send(2)
            assert held["type"] == "later" and held["reason"] == "throttled", held
            assert double.reached["content"] == 1  # not even tried
            waiting, pauses = {1, 2}, []
            while waiting:
                number = min(waiting)
                answer = channel.send(number)
                if answer["type"] == "sent":
                    waiting.remove(number)
                else:
                    assert answer["type"] == "later", answer
                    pauses.append(answer["retry_after"])
                    time.sleep(answer["retry_after"])
            assert max(pauses) > 5, pauses  # the second pause is longer
        assert len(double.mails) == 2
        double.stop()

    @test
    def a_connection_that_breaks_early_was_no_try(self):
        for stage in ("greeting", "mail", "rcpt", "data"):
            double = SmtpDouble()
            with self.channel(double) as channel:
                channel.wait_up()
                double.replies[stage] = lambda n: "cut"
                if stage == "greeting":
                    double.replies["mail"] = lambda n: "cut"  # of the connection that is kept
                channel.wait_frame("status", up=True)
                answer = channel.send(1)
                assert answer["type"] == "later" and answer["reason"] == "connection-lost", (stage, answer)
                channel.wait_down("connection-lost")
                del double.replies[stage]
                double.replies.pop("mail", None)
                channel.wait_frame("status", up=True)
                channel.forget()
                send_until_sent(channel, 1)
            assert len(double.mails) == 1
            double.stop()

    @test
    def a_connection_that_breaks_after_the_content_was_a_try(self):
        answer, double = self.answer_to("content", "cut")
        assert answer["type"] == "failed" and not answer["permanent"], answer
        assert answer["reason"] == "connection-lost"
        assert double.reached["content"] == 1  # whether it was taken is the gateway's to risk

    @test
    def a_mail_in_doubt_leaves_again_as_the_same_mail(self):
        """It was taken, and nobody could know; no second question alone would tell."""
        double = SmtpDouble()
        double.replies["content"] = lambda n: "cut when taken" if n == 1 else None
        with self.channel(double) as channel:
            channel.wait_up()
            answer = channel.send(1)
            assert answer["type"] == "failed" and not answer["permanent"], answer
            assert answer["reason"] == "connection-lost" and len(double.mails) == 1
            assert channel.send(1)["type"] == "sent"
            assert channel.send(1)["type"] == "sent"
        first, second = double.mails
        assert first.data == second.data and first.sender == second.sender
        double.stop()

    @test
    def a_kept_connection_that_the_server_closed_costs_nobody_a_try(self):
        double = SmtpDouble()
        with self.channel(double) as channel:
            channel.wait_up()
            assert channel.send(1)["type"] == "sent"
            double.replies["mail"] = lambda n: "421 4.4.2 you were idle" if n == 2 else None
            assert channel.send(2)["type"] == "sent"
            double.replies["mail"] = lambda n: "cut" if n == 4 else None
            assert channel.send(3)["type"] == "sent"
            assert all(frame["up"] for frame in channel.frames("status")[1:])
        assert double.connections == 3
        double.stop()

    @test
    def connections_are_kept_and_no_more_than_the_window(self):
        double = SmtpDouble()
        with self.channel(double, window="3") as channel:
            channel.wait_up()
            numbers = [channel.ask("send", **send_frame(n)) for n in range(200)]
            assert all(channel.wait_answer(n)["type"] == "sent" for n in numbers)
        assert len(double.mails) == 200
        assert double.connections <= 3 and double.most <= 3, double.connections
        double.stop()

    @test
    def a_slow_server_is_waited_for_by_each_connection_alone(self):
        """The last word on a mail takes a second; four at a time take no longer than one."""
        double = SmtpDouble()
        double.delays["content"] = 1
        with self.channel(double) as channel:
            channel.wait_up()
            start = time.monotonic()
            numbers = [channel.ask("send", **send_frame(n)) for n in range(8)]
            time.sleep(0.3)
            channel.write({"type": "unknown", "id": 4711})  # the loop answers meanwhile
            channel.wait_answer(4711, timeout=0.6)
            assert all(channel.wait_answer(n)["type"] == "sent" for n in numbers)
            took = time.monotonic() - start
        assert took < 6, "%.1f s for two rounds of four" % took
        double.stop()

    @test
    def a_mute_server_is_given_up(self):
        for stage in ("greeting", "mail"):
            double = SmtpDouble()
            if stage == "greeting":
                double.replies[stage] = ""
            with Channel(self.impatient, double.port) as channel:
                if stage == "mail":
                    channel.wait_up()
                    double.replies[stage] = ""
                    answer = channel.send(1)
                    assert answer["type"] == "later" and answer["reason"] == "timeout", answer
                channel.wait_down("timeout")
            double.stop()

    @test
    def what_was_taken_leaves_again_only_when_that_is_wanted(self):
        double = SmtpDouble()
        with self.channel(double) as channel:
            channel.wait_up()
            for number, (repeat, mails) in enumerate(
                    (({}, 1), ({}, 1), ({"repeat": 1}, 2), ({"repeat": 1}, 2), ({"repeat": 2}, 3))):
                assert channel.send(1, **repeat)["type"] == "sent"
                assert len(double.mails) == mails, number
            assert len({mail.data for mail in double.mails}) == 1  # the same mail, with its Message-ID
        double.stop()

    @test
    def a_message_that_is_under_way_is_sent_once(self):
        double = SmtpDouble()
        double.delays["content"] = 1.5
        with self.channel(double) as channel:
            channel.wait_up()
            first = channel.ask("send", **send_frame(1))
            double.wait(lambda: double.reached.get("content"))
            second = channel.ask("send", **send_frame(1))
            answer = channel.wait_answer(first)
            assert answer["type"] == "failed" and not answer["permanent"] and answer["reason"] == "repeated"
            assert channel.wait_answer(second)["type"] == "sent"
            assert len(double.mails) == 1
            assert channel.send(1)["type"] == "sent"  # as if the answer had been lost
            assert len(double.mails) == 1
        double.stop()

    @test
    def nobody_there_is_later_and_back_is_noticed(self):
        double = SmtpDouble()
        double.stop()
        with self.channel(double) as channel:
            channel.wait_down("connection-refused")
            answer = channel.send(1)
            assert answer["type"] == "later" and answer["reason"] == "connection-refused", answer
            double.start()
            channel.wait_up()
            assert channel.send(1)["type"] == "sent"
        double.stop()

    @test
    def a_server_that_dies_loses_nothing(self):
        double = SmtpDouble()
        double.delays["content"] = 0.05
        with self.channel(double) as channel:
            channel.wait_up()
            numbers = {channel.ask("send", **send_frame(n)): n for n in range(60)}
            double.wait_mails(10)
            double.stop()
            again = [n for id, n in numbers.items() if channel.wait_answer(id)["type"] != "sent"]
            sent = {n for n in numbers.values() if n not in again}
            assert again
            double.start()
            for number in again:
                send_until_sent(channel, number)
        taken = [int(re.search(rb"marker-text (\d+)", m.data).group(1)) for m in double.mails]
        assert set(taken) == set(range(60)) and sent <= set(taken)
        double.stop()

    @test
    def an_address_in_utf8_goes_to_a_server_that_offers_it(self):
        for extensions in (UTF8, UTF8[1:]):
            double = SmtpDouble(extensions=extensions)
            with self.channel(double) as channel:
                channel.wait_up()
                assert channel.send(1)["type"] == "sent"
                assert channel.send(2, to="mailto:" + JURG)["type"] == "sent"
                assert channel.send(3)["type"] == "sent"
                assert channel.send(4, to="mailto:用户@xn--fsqu00a.xn--4rr70v")["type"] == "sent"
            assert [mail.sender.endswith(" SMTPUTF8") for mail in double.mails] == [False, True, False, True]
            assert double.connections == 1
            for mail, path, original in zip(
                    double.mails[1::2], (JURG, "用户@xn--fsqu00a.xn--4rr70v"),
                    (r"j\x{FC}rg@guests.test", r"\x{7528}\x{6237}@xn--fsqu00a.xn--4rr70v")):
                command, _, reports = mail.recipients[0].partition("> ")
                assert command.rstrip(">") == "RCPT TO:<" + path, mail.recipients
                assert reports.replace("<", "").rstrip(">") == (
                    "NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=utf-8;" + original if "DSN" in extensions else "")
                assert b"\r\nTo:\r\n <%s>\r\n" % path.encode() in mail.data
                mail.data.replace(path.encode(), b"").decode("ascii")
                parsed = email.message_from_string(mail.data.decode(), policy=email.policy.default)
                assert parsed["To"].addresses[0].addr_spec == path
                assert parsed["Subject"] == "Ein Zimmerschlüssel 🔑"
            double.stop()

    @test
    def an_address_in_utf8_is_refused_for_ever_where_it_is_not_offered(self):
        for extensions in (["DSN", "SIZE 1000000", "8BITMIME"], ["SMTPUTF8X"], ["smtputf8"]):
            double = SmtpDouble(extensions=extensions)
            with self.channel(double) as channel:
                channel.wait_up()
                assert channel.send(1)["type"] == "sent"
                for number in (2, 3):  # on a connection that is kept, and on a new one
                    answer = channel.send(number, to="mailto:" + JURG)
                    assert answer["type"] == "failed" and answer["permanent"], answer
                    assert answer["reason"] == "smtputf8-not-offered", answer
                assert double.reached["mail"] == 1 and double.reached["data"] == 1
                assert channel.send(4)["type"] == "sent"  # and nobody else is harmed
                double.extensions.append("SMTPUTF8")
                double.stop()  # it comes back with more
                channel.ask("send", **send_frame(5))
                double.start()
                send_until_sent(channel, 6, to="mailto:" + JURG)
            assert sum("jürg" in line for line in double.commands) == 1  # once it is offered
            double.stop()

    @test
    def what_was_offered_before_tls_counts_for_nothing(self):
        certificate, key = certificate_files("DNS:localhost")
        double = SmtpDouble(certificate, key)
        double.replies["ehlo"] = lambda n: (
            "250-double.test\r\n250-SMTPUTF8\r\n250 STARTTLS" if n % 2 else "250-double.test\r\n250 8BITMIME")
        with self.channel(double, starttls="required", ca_file=certificate) as channel:
            channel.wait_up()
            answer = channel.send(1, to="mailto:" + JURG)
            assert answer["type"] == "failed" and answer["reason"] == "smtputf8-not-offered", answer
            assert channel.send(2)["type"] == "sent"
        assert not any("jürg" in line for line in double.commands)
        double.stop()

    @test
    def no_starttls_is_no_mail(self):
        double = SmtpDouble()
        with self.channel(double, starttls="required") as channel:
            channel.wait_down("no-starttls")
            assert channel.send(1)["reason"] == "no-starttls"
        assert not any(line.startswith(("MAIL", "AUTH")) for line in double.commands)
        double.stop()

    @test
    def a_certificate_of_nobody_or_of_another_is_no_mail(self):
        for names, trusted in (("DNS:localhost", False), ("DNS:other.test", True)):
            certificate, key = certificate_files(names)
            double = SmtpDouble(certificate, key)
            settings = {"ca_file": certificate} if trusted else {}
            with self.channel(double, starttls="required", password="the gateway's", **settings) as channel:
                channel.wait_down("certificate")
                assert channel.send(1)["type"] == "later"
            assert not double.passwords and not double.mails
            double.stop()

    @test
    def a_wrong_password_is_not_hammered(self):
        certificate, key = certificate_files("DNS:localhost")
        double = SmtpDouble(certificate, key)
        double.replies["auth"] = "535 5.7.8 no"
        with Channel(self.impatient, double.port, password="the gateway's", starttls="required",
                     ca_file=certificate) as channel:
            channel.wait_down("not-authorized")
            answers = [channel.send(n) for n in range(50)]
            assert all(a["type"] == "later" and a["reason"] == "not-authorized" for a in answers), answers
            start = time.monotonic()
            double.wait(lambda: double.reached["auth"] >= 2)
            assert time.monotonic() - start > 1.5, "it was tried again at once"
            del double.replies["auth"]
            channel.wait_up()
            assert channel.send(1)["type"] == "sent"
            assert double.passwords[-1] == [b"keys", b"the gateway's"]
        double.stop()

    @test
    def smtps_is_tls_from_the_start(self):
        certificate, key = certificate_files("DNS:localhost")
        double = SmtpDouble(certificate, key, tls=True)
        with self.channel(double, submit="smtps://localhost:%d" % double.port, ca_file=certificate) as channel:
            channel.wait_up()
            assert channel.send(1)["type"] == "sent"
        double.stop()

    @test
    def a_server_that_has_no_room_for_connections_gets_fewer(self):
        double = SmtpDouble()
        double.replies["greeting"] = lambda n: "421 4.7.0 too many connections" if double.open > 2 else None
        double.delays["content"] = 0.02
        with self.channel(double) as channel:
            channel.wait_up()
            numbers = [channel.ask("send", **send_frame(n)) for n in range(60)]
            assert all(channel.wait_answer(n)["type"] == "sent" for n in numbers)
            assert all(frame["up"] for frame in channel.frames("status")[1:])
        assert len(double.mails) == 60 and double.connections < 10, double.connections
        double.stop()

    @test
    def what_no_mail_can_be_is_refused(self):
        double = SmtpDouble()
        with self.channel(double) as channel:
            channel.wait_up()
            for members, reason in (({"to": "mailto:bob@guests.test\r\nRCPT TO:<eve@x>"}, "no-address"),
                                    ({"to": "xmpp:bob@guests.test"}, "no-address"),
                                    ({"to": "mailto:ju\u0308rg@guests.test"}, "no-address"),
                                    ({"to": "mailto:jürg\x85@guests.test"}, "no-address"),
                                    ({"to": "mailto:jürg\u2028@guests.test"}, "no-address"),
                                    ({"to": "mailto:jürg\r\nDATA\r\n@guests.test"}, "no-address"),
                                    ({"to": "mailto:jürg> SIZE=1 BODY=<@guests.test"}, "no-address"),
                                    ({"to": "mailto:jürg@guests.test> NOTIFY=NEVER X=<"}, "no-address"),
                                    ({"to": "mailto:jürg@guests.test@evil.test"}, "no-address"),
                                    ({"to": "mailto:jürg@guests。test"}, "no-address"),
                                    ({"subject": "a\r\nBcc: eve@x"}, "control-character"),
                                    ({"subject": "a\x85Bcc: eve@x"}, "control-character"),
                                    ({"subject": "a\u2028Bcc: eve@x"}, "control-character"),
                                    ({"subject": "a\u202eb"}, "control-character"),
                                    ({"text": "a\r.\r\nMAIL FROM:<eve@x>"}, "control-character"),
                                    ({"link": "https://x/\u2029"}, "control-character")):
                answer = channel.send(1, **members)
                assert answer["type"] == "failed" and answer["permanent"] and answer["reason"] == reason, answer
            answer = channel.send(1, expires=int(time.time()) - 1)
            assert answer["type"] == "failed" and answer["reason"] == "expired"
        assert not double.mails
        double.stop()

    @test
    def dots_and_lone_line_ends_smuggle_nothing(self):
        double = SmtpDouble()
        text = "one\n.\n\nMAIL FROM:<eve@x>\n..\n.\n\x85.\x85\u2028.\u2028\u2029.\n"
        with self.channel(double) as channel:
            channel.wait_up()
            assert channel.send(1, text=text)["type"] == "sent"
        (mail,) = double.mails
        assert double.reached["mail"] == 1
        assert b"\n" not in mail.data.replace(b"\r\n", b"") and b"\r" not in mail.data.replace(b"\r\n", b"")
        body = email.message_from_bytes(mail.data, policy=email.policy.default).get_body(("plain",))
        assert body.get_content().replace("\r\n", "\n").startswith(text)
        double.stop()

    @test
    def an_end_does_not_wait_for_the_server(self):
        double = SmtpDouble()
        double.replies["content"] = ""
        with self.channel(double) as channel:
            channel.wait_up()
            channel.ask("send", **send_frame(1))
            double.wait(lambda: double.reached.get("content"))
            start = time.monotonic()
            assert channel.stop(timeout=20) == 0
            assert time.monotonic() - start < 5
        double.stop()

    @test
    def an_idle_plugin_rests(self):
        double = SmtpDouble()
        with self.channel(double) as channel:
            channel.wait_up()
            assert channel.send(1)["type"] == "sent"
            before = channel.cpu()
            time.sleep(10)
            used = channel.cpu() - before
        assert used <= 0.01, "%.3f s of processor time in 10 s" % used  # one tick of the clock
        double.stop()


class RealServer:
    """Postfix, with passwords by Dovecot."""

    def __init__(self, program, impatient):
        self.program, self.impatient = program, impatient
        self.dovecot = self.postfix = None

    def servers(self):
        if os.geteuid() != 0:
            raise Skip("Postfix and Dovecot need root to change to their users")
        if not self.postfix:
            self.dovecot = Dovecot().start()
            self.postfix = Postfix(self.dovecot).start()
        return self.dovecot, self.postfix

    def close(self, failed):
        for server in (self.postfix, self.dovecot):
            if server:
                server.remove(failed)

    def channel(self, password="the gateway's", **settings):
        return Channel(self.program, self.postfix.client_port, password=password,
                       ca_file=self.postfix.certificate, **settings)

    @test
    def postfix_takes_mail_over_tls_with_a_password(self):
        dovecot, postfix = self.servers()
        with self.channel() as channel:
            channel.wait_up()
            assert channel.send(1)["type"] == "sent"
        mail = dovecot.wait_mail("bob")
        assert mail["Subject"] == "Ein Zimmerschlüssel 🔑"
        assert "ESMTPSA" in "".join(mail.get_all("Received"))

    @test
    def a_local_postfix_takes_mail_without(self):
        dovecot, postfix = self.servers()
        with Channel(self.program, postfix.component_port, starttls="no") as channel:
            channel.wait_up()
            assert channel.send(2, text="by the local way")["type"] == "sent"
        dovecot.wait_mail("bob", lambda m: "by the local way" in m.get_body(("plain",)).get_content())

    @test
    def a_wrong_password_is_told(self):
        self.servers()
        with self.channel(password="another") as channel:
            channel.wait_down("not-authorized")

    @test
    def a_recipient_that_postfix_does_not_know_is_refused(self):
        self.servers()
        with self.channel() as channel:
            channel.wait_up()
            answer = channel.send(3, to="mailto:unlisted@guests.test")
            assert answer["type"] == "failed" and answer["permanent"] and answer["reason"] == "smtp-5-1-1", answer
            assert channel.send(4)["type"] == "sent"  # and nothing else is harmed

    @test
    def reports_come_back_as_delivered_and_failed(self):
        self.servers()
        with Postfix(self.dovecot, own_lmtp=True) as postfix, Channel(
                self.program, postfix.client_port, password="the gateway's", ca_file=postfix.certificate,
                receive=["lmtp:" + postfix.keys_socket]) as channel:
            channel.wait_up()
            assert channel.send(5, to="mailto:carl@elsewhere.test")["type"] == "sent"
            report = channel.wait_frame("report", message=message_id(5))
            assert (report["says"], report["repeat"]) == ("delivered", 0), report
            assert channel.send(6, to="mailto:nobody@guests.test")["type"] == "sent"
            report = channel.wait_frame("report", message=message_id(6))
            assert (report["says"], report["permanent"], report["reason"], report["repeat"]) == (
                "failed", True, "smtp-5-1-1", 0), report
            assert not channel.frames("reply")

    @test
    def postfix_carries_addresses_in_utf8_both_ways_and_reports_on_them(self):
        dovecot, _ = self.servers()
        with Postfix(dovecot, own_lmtp=True) as postfix, Channel(
                self.program, postfix.client_port, password="the gateway's", ca_file=postfix.certificate,
                receive=["lmtp:" + postfix.keys_socket]) as channel:
            channel.wait_up()
            assert channel.send(7, to="mailto:jürg@elsewhere.test")["type"] == "sent"
            channel.wait_report("delivered", message=message_id(7))
            (raw,) = postfix.mails_elsewhere()
            assert "\nTo:\n <jürg@elsewhere.test>\n".encode() in raw
            mail = email.message_from_string(raw.decode(), policy=email.policy.default)
            to = mail["Reply-To"].addresses[0].addr_spec
            # Who has the address in other bytes is somebody else, and hears that nothing was taken.
            self.answer_as_jurg(postfix, to, "ju\u0308rg@elsewhere.test", "NEIN")
            wait_until(lambda: len(postfix.mails_elsewhere()) == 2, PATIENCE, "a report about the refusal")
            assert not channel.frames("reply")
            self.answer_as_jurg(postfix, to, "jürg@elsewhere.test", "JA")
            reply = channel.wait_frame("reply")
            assert reply["from"] == "mailto:jürg@elsewhere.test" and reply["text"] == "JA", reply
            assert reply["thread"] == THREAD
            # Behind Postfix somebody may not take them: that is Dovecot's LMTP, and comes as a report.
            assert channel.send(8, to="mailto:" + JURG)["type"] == "sent"
            failed = channel.wait_report("failed", message=message_id(8))
            assert failed["permanent"] and failed["reason"] == "smtp-5-6-7", failed

    @staticmethod
    def answer_as_jurg(postfix, to, address, text):
        with smtplib.SMTP("localhost", postfix.border_port, timeout=PATIENCE) as server:
            server.ehlo()
            server.sendmail(
                "jürg@elsewhere.test", [to],
                ("From: Jürg Müller <%s>\r\nTo: <%s>\r\n\r\n%s\r\n" % (address, to, text)).encode(),
                mail_options=["SMTPUTF8", "BODY=8BITMIME"])

    @test
    def a_postfix_without_utf8_is_given_no_address_in_utf8(self):
        dovecot, _ = self.servers()
        with Postfix(dovecot, smtputf8="no") as postfix, Channel(
                self.program, postfix.client_port, password="the gateway's", ca_file=postfix.certificate) as channel:
            channel.wait_up()
            answer = channel.send(9, to="mailto:jürg@elsewhere.test")
            assert answer["type"] == "failed" and answer["permanent"], answer
            assert answer["reason"] == "smtputf8-not-offered", answer
            assert channel.send(10, to="mailto:carl@elsewhere.test")["type"] == "sent"

    @test
    def postfix_is_killed_and_nothing_that_was_sent_is_lost(self):
        dovecot, _ = self.servers()
        with Postfix(dovecot) as postfix, Channel(
                self.program, postfix.client_port, password="the gateway's", ca_file=postfix.certificate) as channel:
            channel.wait_up()
            numbers = {channel.ask("send", **send_frame(n, text="kill %d." % n)): n for n in range(100, 200)}
            channel.wait(lambda: sum(a["type"] == "sent" for a in channel.answers.values()) >= 20, PATIENCE, "20 sent")
            postfix.kill()
            answers = {n: channel.wait_answer(id) for id, n in numbers.items()}
            again = [n for n, answer in answers.items() if answer["type"] != "sent"]
            assert all(answers[n]["type"] in ("later", "failed") and not answers[n].get("permanent") for n in again)
            postfix.start()
            channel.wait_up()
            for number in again:
                send_until_sent(channel, number, text="kill %d." % number)
            self.wait_all(dovecot, {"kill %d." % n for n in numbers.values()})
        note("%d of 100 were sent again" % len(again))

    @test
    def the_plugin_is_killed_and_the_repeated_mail_is_the_same(self):
        dovecot, postfix = self.servers()
        channel = self.channel()
        channel.start()
        channel.wait_up()
        numbers = {channel.ask("send", **send_frame(n, text="crash %d." % n)): n for n in range(200, 260)}
        channel.wait(lambda: len(channel.answers) >= 10, PATIENCE, "10 answers")
        channel.kill()
        sent = {n for id, n in numbers.items() if channel.answers.get(id, {}).get("type") == "sent"}
        channel.answers = {}
        channel.start()
        channel.wait_up()
        for number in set(numbers.values()) - sent:
            send_until_sent(channel, number, text="crash %d." % number)
        channel.stop()
        channel.remove()
        self.wait_all(dovecot, {"crash %d." % n for n in numbers.values()})
        bodies = {}
        for raw in dovecot.raw_mails("bob"):
            mail = email.message_from_bytes(raw, policy=email.policy.default)
            if "crash" in mail.get_body(("plain",)).get_content():
                content = raw[raw.index(b"Date: Sun, 22 Nov 2026"):]
                assert bodies.setdefault(mail["Message-ID"], content) == content

    @staticmethod
    def wait_all(dovecot, texts, timeout=PATIENCE):
        limit = time.monotonic() + timeout
        while True:
            found = {m.get_body(("plain",)).get_content().strip() for m in dovecot.mails("bob")}
            if texts <= found:
                return
            assert time.monotonic() < limit, "lost: %s" % sorted(texts - found)
            time.sleep(0.2)


def main():
    program, impatient, only = sys.argv[1], sys.argv[2], sys.argv[3:]
    real = RealServer(program, impatient)
    status = 1
    try:
        status = run(tests_of(Faults(program, impatient)) + tests_of(real), only)
    finally:
        real.close(status != 0)
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
