"""The email plugin and mails that nobody should send: each is answered clearly, costs a bounded time
and memory, proves nothing, and an honest answer after it still passes.

usage: mail-hostile.py PROGRAM [TEST…]
"""

import base64
import email
import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))

from harness.frames import PATIENCE, Gateway
from harness.lmtp_client import Client
from harness.smtp_double import SmtpDouble
from harness.tap import note, run, test, tests_of

US, BOB, EVE = "keys@hotel.test", "bob@guests.test", "eve@elsewhere.test"
THREAD = "thr_01j00000000000000000000000"
PASS = "Authentication-Results: mx.hotel.test; dmarc=pass header.from=guests.test\r\n"
FAIL = "Authentication-Results: mx.hotel.test; dmarc=fail header.from=guests.test\r\n"
HEAD = "From: Bob <%s>\r\nTo: %s\r\nDate: Sun, 22 Nov 2026 12:00:00 +0000\r\nSubject: Re: x\r\n" % (BOB, US)
MEMORY_MAX = 160 << 20
CPU_MAX = 5  # seconds for one mail, on whatever machine


class Tests:
    def __init__(self, program):
        self.program = program
        self.number = 0

    def open(self):
        self.double = SmtpDouble()
        self.gateway = Gateway(self.program, "email", {
            "from": US, "submit": "smtp://127.0.0.1:%d" % self.double.port, "receive": [],
            "authserv_id": "mx.hotel.test"}, {"mail-key": base64.b64encode(bytes(range(32))).decode()})
        self.socket = os.path.join(self.gateway.folder, "lmtp.sock")
        self.gateway.settings["receive"] = ["lmtp:" + self.socket]
        self.gateway.start().wait_up()
        sent = self.gateway.ask(
            "send", message="msg_01j00000000000000000000001", kind="invitation", to="mailto:" + BOB,
            lang="en", text="Hello\n", subject="Hello", thread=THREAD, made=1795356000,
            expires=int(time.time()) + 3600)
        assert self.gateway.wait_answer(sent)["type"] == "sent"
        invitation = email.message_from_bytes(self.double.mails[0].data)
        self.reply_to = email.utils.parseaddr(invitation["Reply-To"])[1]
        assert self.reply_to != US

    def close(self):
        assert self.gateway.process.poll() is None, "the plugin has ended"
        assert self.memory() < MEMORY_MAX, self.memory()
        note("memory at most: %d MiB" % (self.memory() >> 20))
        status = self.gateway.stop()
        text = self.gateway.errors_text()
        self.gateway.remove()
        self.double.stop()
        assert status == 0, status
        for secret in (BOB, EVE, THREAD, self.reply_to, "alive", "dmarc"):
            assert secret not in text, "the log has " + secret

    def memory(self):
        """The most that it ever had."""
        with open("/proc/%d/status" % self.gateway.process.pid) as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM:"))

    def deliver(self, content, recipient=None, sender=BOB):
        """The one answer."""
        if isinstance(content, str):
            content = content.encode()
        with Client(self.socket) as client:
            client.send(b"MAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nDATA\r\n"
                        % (sender.encode(), (recipient or self.reply_to).encode()))
            assert client.codes(3) == [250, 250, 354]
            client.send(content.replace(b"\r\n.", b"\r\n..") + b"\r\n.\r\n")
            return client.answer()

    def is_alive(self):
        """An honest answer passes, with all that it proves."""
        self.number += 1
        text = "alive %d" % self.number
        assert self.deliver(PASS + HEAD + "Message-ID: <%d@guests.test>\r\n\r\n%s\r\n" % (self.number, text))[0] == 250
        frame = self.gateway.wait_frame("reply", text=text)
        assert (frame["authentic"], frame["from"], frame["thread"], frame["automatic"]) == (
            "strong", "mailto:" + BOB, THREAD, False), frame

    def costs(self, what, content, *codes):
        """Delivers it, and asserts what that costs."""
        before, start = self.gateway.cpu(), time.monotonic()
        code, text = self.deliver(content)
        spent, took = self.gateway.cpu() - before, time.monotonic() - start
        size = len(content)
        note("%s: %d bytes, %d %s: %.0f ms of processor, %.1f s" % (what, size, code, text, spent * 1000, took))
        assert code in codes, (what, code, text)
        assert spent < CPU_MAX, what
        assert self.gateway.process.poll() is None
        self.is_alive()

    # MIME.

    @test
    def deep_mails_are_refused(self):
        for depth in (20, 1000, 4000):
            text = HEAD + "".join(
                'Content-Type: multipart/mixed; boundary="b%d"\r\n\r\n--b%d\r\n' % (i, i) for i in range(depth))
            self.costs("%d levels of multipart" % depth, text + "\r\ncode", 550)
            text = HEAD + "Content-Type: message/rfc822\r\n\r\n" * depth + "\r\ncode"
            self.costs("%d messages within messages" % depth, text, *([550] if depth > 64 else [250]))
            same = 'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n'
            self.costs("%d levels of one boundary" % depth, HEAD + same * depth, 550)

    @test
    def wide_mails_are_refused(self):
        head = HEAD + 'Content-Type: multipart/mixed; boundary="b"\r\n\r\n'
        for count in (300, 100000):
            self.costs("%d parts" % count, head + "--b\r\n\r\nx\r\n" * count, 550)
        self.costs("a million lines of hyphens", head + "--\r\n" * 1000000, 550)
        self.costs("attachments of nothing", head + "--b\r\nContent-Type: text/html\r\n\r\n" * 50000, 550)

    @test
    def endless_headers_are_refused(self):
        self.costs("5 MB of fields", HEAD + "X: y\r\n" * 800000 + "\r\nx", 550)
        self.costs("a field of 5 MB with folds", HEAD + "X: y\r\n" + " z\r\n" * 1200000 + "\r\nx", 550)
        self.costs("a References of 9 MB", HEAD + "References: <a@b>\r\n" + " <a@b>\r\n" * 1000000 + "\r\nx", 550)
        self.costs("a To of a million groups", HEAD + "Cc: " + ("a:" * 400 + "\r\n ") * 8000 + "\r\n\r\nx", 550)
        self.costs("comments within comments", HEAD + "Cc: " + ("(" * 900 + "\r\n ") * 9000 + "\r\n\r\nx", 550)
        self.costs("no header at all", "\r\n\r\njust text", 250, 550)
        self.costs("no end of the header", HEAD + "X: y", 250, 550)
        self.costs("a line of 9,000 octets", HEAD + "\r\n" + "x" * 9000, 554)
        self.costs("fields in a part", HEAD + 'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n'
                   + "X: y\r\n" * 1000000, 550)

    @test
    def bad_charsets_and_encodings_harm_nobody(self):
        charsets = ["x-unknown", "utf-7", "utf-16", "utf-32", "ISO-2022-CN-EXT", "ISO-2022-KR", "HZ", "../../x",
                    "x" * 900, "%s%n", "UCS-2//TRANSLIT", "utf-8\r\n ; charset=utf-7", '"'] + ["=?utf-8?q?x?="]
        body = bytes(range(1, 10)) + bytes(range(14, 256)) + b"\x1b$)C\x0e" + b"\xd8\x00\xdc" * 30
        for charset in charsets:
            for encoding, content in (("8bit", body), ("base64", base64.encodebytes(body * 50)),
                                      ("quoted-printable", b"=ZZ==\r\n=" + body), ("x-uuencode", body), ("binary", body)):
                content = content.replace(b"\r\n", b"\n").replace(b"\r", b"").replace(b"\n", b"\r\n").replace(b"\0", b"")
                head = "Content-Type: text/plain; charset=%s\r\nContent-Transfer-Encoding: %s\r\n\r\n" % (charset, encoding)
                code, text = self.deliver((HEAD + head).encode() + content)
                assert code in (250, 550), (charset, encoding, code, text)
        self.is_alive()
        lines = b"A" * 76 + b"\r\n"
        big = (HEAD + "Content-Transfer-Encoding: base64\r\n\r\n").encode() + lines * 130000
        self.costs("10 MB of base64", big, 250, 550)
        self.costs("10 MB of =", (HEAD + "Content-Transfer-Encoding: quoted-printable\r\n\r\n").encode()
                   + (b"=" * 76 + b"\r\n") * 130000, 250, 550)

    @test
    def large_bodies_cost_a_bounded_time(self):
        def lines(line):
            return (line + "\r\n") * (9500000 // (len(line.encode()) + 2))

        for what, line in (("quotations", ">" * 70), ("empty lines", ""), ("lines of >", ">"),
                           ("introductions", "On Sun, Bob wrote:"), ("hyphens", "-" * 60), ("digits", "123-456-789"),
                           ("underlines", "_" * 70), ("emoji", "\U0001f600" * 15), ("spaces", " " * 900)):
            self.costs("10 MB of " + what, (HEAD + "Content-Type: text/plain; charset=utf-8\r\n\r\n" + lines(line)).encode(),
                       250, 550)
        head = HEAD + "Content-Type: text/html; charset=utf-8\r\n\r\n"
        for what, line in (("open tags", "<div>" * 100), ("<", "<" * 900), ("entities", "&amp;&#x41;" * 80),
                           ("unclosed comments", "<!--" * 200), ("blockquotes", "<blockquote>" * 60),
                           ("attributes", "<a " + "x=y " * 200), ("styles", "<style>" * 100), ("&", "&" * 900)):
            self.costs("10 MB of " + what, (head + lines(line)).encode(), 250, 550)

    # What proves something.

    def proves(self, what, header, body="proof\r\n", **options):
        self.number += 1
        text = "text %d" % self.number
        code, answer = self.deliver(header + "Message-ID: <%d@x.test>\r\n\r\n%s\r\n" % (self.number, text) + body, **options)
        if code != 250:
            return "refused"
        frames = [f for f in self.gateway.frames("reply") if text in f["text"]]
        return frames[0]["authentic"] if frames else "nothing"

    @test
    def forged_authentication_results_prove_nothing_wherever_they_stand(self):
        foreign = "Authentication-Results: mx.evil.test; dmarc=pass header.from=guests.test\r\n"
        assert self.proves("control", PASS + HEAD) == "strong"
        cases = {
            "below ours that failed": FAIL + PASS + HEAD,
            "after the other fields": FAIL + HEAD + PASS,
            "above ours, of another server": foreign + HEAD,
            "of another server above ours": foreign + PASS + HEAD,
            "twice in one": "Authentication-Results: mx.hotel.test; dmarc=fail header.from=guests.test;"
                            " dmarc=pass header.from=guests.test\r\n" + HEAD,
            "for another domain": PASS.replace("guests.test", "elsewhere.test") + HEAD,
            "for a domain above": PASS.replace("guests.test", "test") + HEAD,
            "for a domain below": PASS.replace("guests.test", "x.guests.test") + HEAD,
            "in a comment": "Authentication-Results: mx.hotel.test (dmarc=pass header.from=guests.test)\r\n" + HEAD,
            "in a string": 'Authentication-Results: mx.hotel.test; none; x="dmarc=pass header.from=guests.test"\r\n' + HEAD,
            "as a reason": 'Authentication-Results: mx.hotel.test; dmarc=fail reason="dmarc=pass"'
                           " header.from=guests.test\r\n" + HEAD,
            "as a property": "Authentication-Results: mx.hotel.test; spf=pass smtp.mailfrom=guests.test\r\n" + HEAD,
            "with an id that goes on": PASS.replace("mx.hotel.test", "mx.hotel.test.evil.test") + HEAD,
            "with an id before": PASS.replace("mx.hotel.test", "xmx.hotel.test") + HEAD,
            "with a version of nobody": PASS.replace("mx.hotel.test", "mx.hotel.test 7") + HEAD,
            "with no version": PASS.replace("mx.hotel.test", "mx.hotel.test x") + HEAD,
            "of ARC": PASS.replace("Authentication-Results", "ARC-Authentication-Results: i=1") + HEAD,
            "in old words": PASS.replace("Authentication-Results", "X-Original-Authentication-Results") + HEAD,
            "in the text": HEAD + "\r\n" + PASS,
            "in a part": HEAD + 'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n' + PASS,
            "in a message within": HEAD + "Content-Type: message/rfc822\r\n\r\n" + PASS + HEAD,
            "in an encoded word": HEAD.replace("Bob", "=?utf-8?q?x=0d=0aAuthentication-Results:_mx.hotel.test;_dmarc=pass?="),
            "in a display name": HEAD.replace("Bob", '"%s"' % PASS.strip()),
            "in a folded subject": HEAD + "Subject: x\r\n " + PASS,
        }
        results = {what: self.proves(what, header) for what, header in cases.items()}
        note(", ".join("%s: %s" % pair for pair in sorted(results.items())))
        assert "strong" not in results.values(), [what for what, result in results.items() if result == "strong"]
        for what in ("below ours that failed", "after the other fields", "for another domain", "twice in one"):
            assert results[what] in ("none", "refused"), (what, results[what])
        self.is_alive()

    @test
    def who_wrote_it_is_one_plain_address_or_nobody(self):
        def proof(sender):
            return self.proves(sender, PASS + HEAD.replace("From: Bob <%s>" % BOB, sender))

        assert proof("From: Bob <%s>" % BOB) == "strong"
        for sender in (
                "From: %s, %s" % (BOB, EVE), "From: %s\r\nFrom: %s" % (BOB, EVE), "From: friends: %s;" % BOB,
                '"%s" <%s>' % (BOB, EVE), "From : %s\r\nFrom: %s" % (EVE, BOB), "From: <%s> <%s>" % (BOB, EVE),
                "From: <@evil.test:%s>" % BOB, "From: %s\r\nSender: %s\r\nfrom: %s" % (BOB, EVE, EVE),
                "X-From: %s" % BOB, "From: =?utf-8?q?%s?=" % BOB.replace("@", "=40"),
                "From: =?utf-8?q?<%s>?= <%s>" % (BOB, EVE), "From: <%s\r\n .evil.test>" % BOB,
                "From: bob(@guests.test)@elsewhere.test", 'From: "bob@guests.test"@elsewhere.test'):
            result = proof(sender)
            told = [f["from"] for f in self.gateway.frames("reply") if f["authentic"] == "strong"]
            assert result != "strong", sender
            assert set(told) == {"mailto:" + BOB}
        self.is_alive()

    @test
    def nobody_s_token_names_a_thread(self):
        self.gateway.forget()
        mailbox, at, domain = self.reply_to.partition("@")
        wrong = mailbox[:-1] + ("a" if mailbox[-1] != "a" else "b")
        for to in (wrong + at + domain, mailbox[:-1] + at + domain, mailbox + "x" + at + domain, mailbox.upper() + at + domain):
            with Client(self.socket) as client:
                assert client.ask("MAIL FROM:<%s>" % EVE)[0] == 250
                code, _ = client.ask("RCPT TO:<%s>" % to)
                assert code in (250, 550)
                if code == 250:
                    assert client.ask("DATA")[0] == 354
                    client.send(HEAD + "\r\nforged\r\n.\r\n")
                    client.answer()
        for frame in self.gateway.frames("reply"):
            assert "thread" not in frame, frame
        self.is_alive()

    @test
    def machines_do_not_answer(self):
        for header in ("Auto-Submitted: auto-replied", "Precedence: bulk", "List-Id: <x.test>", "X-Autoreply: yes"):
            assert self.proves(header, PASS + header + "\r\n" + HEAD) in ("strong", "refused", "nothing")
            assert self.gateway.frames("reply")[-1]["automatic"] is True, header
        assert self.proves("an empty return path", PASS + HEAD, sender="") in ("strong", "refused", "nothing")
        assert self.gateway.frames("reply")[-1]["automatic"] is True
        self.is_alive()

    # LMTP.

    @test
    def commands_with_what_does_not_belong_there_are_refused(self):
        for line in ("MAIL FROM:<a@b.test\nRCPT TO:<x@y>>", "MAIL FROM:<a@b.test>\nDATA", "MAIL FROM:<a@b.test>\rDATA",
                     "MAIL FROM:<a@b.test> X=Y", "MAIL FROM:<a\0@b.test>", "MAIL FROM:<" + "a" * 400 + "@b.test>",
                     "MAIL FROM:a@b.test", "MAIL FROM:<a@b.test", "NOOP " + "x" * 5000, "HELO x", "STARTTLS", "\xff\xfe"):
            with Client(self.socket) as client:
                code, _ = client.ask(line)
                assert code // 100 == 5, (line, code)
                assert client.ask("MAIL FROM:<%s>" % BOB)[0] == 250
                code, _ = client.ask("RCPT TO:<%s\n>" % self.reply_to)
                assert code // 100 == 5
                assert client.ask("RCPT TO:<%s>" % self.reply_to)[0] == 250
        self.is_alive()

    @test
    def what_is_smuggled_stays_where_it_was(self):
        self.gateway.forget()
        inner = b"MAIL FROM:<bob@guests.test>\r\nRCPT TO:<%s>\r\nDATA\r\n%s%s\r\nsmuggled\r\n" % (
            self.reply_to.encode(), PASS.encode(), HEAD.encode())
        for end in (b"\n.\r\n", b"\r\n.\n", b"\n.\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n", b"\r\n\0.\r\n", b"\n.\r", b"\r\r\n.\r\r\n"):
            with Client(self.socket) as client:
                client.send(b"MAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nDATA\r\n" % (EVE.encode(), self.reply_to.encode()))
                assert client.codes(3) == [250, 250, 354]
                client.send(b"From: %s\r\n\r\nx" % EVE.encode() + end + inner + b"\r\n.\r\n")
                assert client.answer()[0] == 554, end
                assert client.ask("QUIT")[0] == 221
        assert not [f for f in self.gateway.frames("reply") if "smuggled" in f["text"]]
        self.is_alive()

    @test
    def pipelined_abuse_ends_the_connection_and_nothing_else(self):
        abuses = {
            "RSET": "RSET\r\n" * 5000,
            "NOOP": "NOOP\r\n" * 100000,
            "nonsense": "x\r\n" * 5000,
            "DATA": "DATA\r\n" * 5000,
            "LHLO": "LHLO x\r\n" * 5000,
            "recipients that are not here": "MAIL FROM:<a@b.test>\r\n" + "RCPT TO:<x@nowhere.test>\r\n" * 5000,
            "octets without a line": "y" * (4 << 20),
            "lines that are too long": ("z" * 3000 + "\r\n") * 1000,
        }
        for what, text in abuses.items():
            with Client(self.socket) as client:
                def send():
                    try:
                        client.send(text)
                        client.send("\r\nQUIT\r\n")
                    except OSError:
                        pass

                sender = threading.Thread(target=send)
                sender.start()
                codes = []
                try:
                    while not codes or codes[-1] not in (0, 221, 421):
                        codes.append(client.answer()[0])
                except OSError:
                    codes.append(0)
                client.close()
                sender.join(PATIENCE)
                if what == "octets without a line":
                    assert codes == [500, 221], codes[-3:]
                else:
                    assert codes[-1] in (421, 0), (what, codes[-3:])
                assert len(codes) < 2200, (what, len(codes))
        self.is_alive()

    @test
    def more_recipients_than_a_mail_may_have_are_sent_away_until_later(self):
        with Client(self.socket) as client:
            client.send("MAIL FROM:<%s>\r\n" % BOB + "RCPT TO:<%s>\r\n" % self.reply_to * 120)
            assert client.codes(121) == [250] * 101 + [452] * 20
            assert client.ask("DATA")[0] == 354
            client.send(PASS + HEAD + "\r\nto many\r\n.\r\n")
            assert client.codes(100) == [250] * 100
        assert len({f["inbound"] for f in self.gateway.frames("reply") if f["text"] == "to many"}) == 1
        self.is_alive()


def main():
    # Under the sanitizer what is freed would count as held.
    os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1"
    tests = Tests(sys.argv[1])
    tests.open()
    status = run(tests_of(tests) + [("the_plugin_has_stayed_small_and_its_log_clean", tests.close)], sys.argv[2:])
    return status


if __name__ == "__main__":
    sys.exit(main())
