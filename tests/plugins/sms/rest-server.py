"""The SMS channel between a scripted gateway and a carrier with a messaging API.

usage: rest-server.py BUILD [TEST…]
"""

import http.client
import os
import sys
import time
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
from harness.frames import Gateway  # noqa: E402
from harness.rest_carrier import ACCOUNT, MESSAGES, PUBLIC_URL, REPEATS, TOKEN, RestCarrier, callback_path, signature  # noqa: E402
from harness.tap import aside, note, run, test, tests_of  # noqa: E402

GUEST = RestCarrier.guest
OUR_TEXT = "our marked text"


class Tests:
    def __init__(self, build):
        self.build = build
        self.program = os.path.join(build, "plugins", "sms", "vestibule-sms")
        self.number = 0

    def open(self):
        self.carrier = RestCarrier(self.build).start()
        self.gateway = self.make_gateway(self.carrier).start()
        self.gateway.wait_up()

    def close(self):
        status = self.gateway.stop()
        said = self.gateway.errors_text()
        self.carrier.__exit__(None, None, None)
        self.gateway.remove()
        assert status == 0, "the plugin ended with status %s" % status
        for secret in (TOKEN, OUR_TEXT, GUEST[1:], "their text"):
            assert secret not in said, "%r was logged" % secret

    def make_gateway(self, carrier, **changes):
        settings = {**carrier.common_settings(), **carrier.settings(), **changes}
        return Gateway(self.program, "sms", settings, carrier.credentials())

    def ask(self, text=OUR_TEXT, message=None, seconds=3600, gateway=None, **members):
        self.number += 1
        if seconds:
            members["expires"] = int(time.time()) + seconds
        return (gateway or self.gateway).ask(
            "send", message=message or "msg_%d" % self.number, kind="notice", to="sms:" + GUEST, text=text, **members)

    def send(self, *arguments, **options):
        return (options.get("gateway") or self.gateway).wait_answer(self.ask(*arguments, **options))

    def fault(self, status, headers=None, value=None):
        self.carrier.faults.append((status, headers or {}, value or {}))
        answer = self.send()
        assert not self.carrier.faults, "it was not asked: %s" % answer
        return answer

    def posted(self):
        with self.carrier.changed:
            return [request for request in self.carrier.requests if request[:2] == ("POST", MESSAGES + ".json")]

    def reply(self, text):
        return self.gateway.wait(
            lambda: next((f for _, f in self.gateway.log if f["type"] == "reply" and f["text"] == text), None),
            60, "a reply %r" % text)

    @test
    def texts_arrive_whole_and_as_they_were_written(self):
        for text in ("Ein kurzer Text", "1+1=2 & 100% [~€]\nneue Zeile", "“Grüße”, 日本 and \U0001f511", "lang äöü " * 60):
            before = len(self.carrier.messages(GUEST))
            assert self.send(text)["type"] == "sent"
            shown = self.carrier.wait_for_message(GUEST, after=before)
            assert (shown.text, shown.sender) == (text, self.carrier.sender), shown
        _, _, form, headers = self.posted()[-1]
        assert set(form) == {"To", "From", "Body", "StatusCallback", "ValidityPeriod"}
        assert 3500 <= int(form["ValidityPeriod"]) <= 3600, form

    @test
    def the_validity_keeps_within_what_the_carrier_takes(self):
        for seconds, least, most in ((10, 1, 10), (100000, 36000, 36000)):
            assert self.send(seconds=seconds)["type"] == "sent"
            assert least <= int(self.posted()[-1][2]["ValidityPeriod"]) <= most
        assert self.send(seconds=None)["type"] == "sent"
        assert "ValidityPeriod" not in self.posted()[-1][2]

    @test
    def delivered_is_told_also_when_the_report_overtakes_the_answer(self):
        paths = []

        def overtaken(form, headers):
            answer = self.carrier.create(form, headers)
            paths.append(callback_path(form))
            # It has to do with no message yet, and nobody waits for ever.
            self.carrier.wait(lambda: (paths[0], 503) in self.carrier.callbacks, "the report is refused for now")
            return answer

        self.carrier.faults.append(overtaken)
        assert self.send(message="msg_overtaken")["type"] == "sent"
        self.gateway.wait_report("delivered", message="msg_overtaken")
        self.carrier.wait(lambda: self.carrier.callbacks.count((paths[0], 204)) == 2, "both reports are taken")
        assert len([f for f in self.gateway.frames("report") if f["message"] == "msg_overtaken"]) == 1

    @test
    def a_report_is_taken_only_when_the_gateway_has_it(self):
        reports = []

        def on_request(frame):
            if frame["type"] != "report":
                return {"type": "ack"}
            reports.append(frame)
            return {"type": "again"} if len(reports) == 1 else None

        def callbacks():
            return sorted(status for path, status in self.carrier.callbacks if path.endswith("=msg_report"))

        self.gateway.on_request = on_request
        assert self.send(message="msg_report")["type"] == "sent"
        self.gateway.wait(lambda: len(reports) == 2, 60, "the report, handed in again")
        assert self.send()["type"] == "sent"  # which takes its time
        assert callbacks() == [204, 503], callbacks()  # what says nothing was taken at once
        self.gateway.answer(reports[1], {"type": "ack"})
        self.carrier.wait(lambda: callbacks() == [204, 204, 503], "it is taken")
        self.gateway.on_request = lambda frame: {"type": "ack"}

    @test
    def what_the_carrier_reports_as_failed_is_told_once_with_its_reason(self):
        self.carrier.holding = True
        for message, status, code, reason in (
            ("msg_failed", "failed", "30003", "report-failed"),
            ("msg_undelivered", "undelivered", "30005", "report-failed"),
            ("msg_late", "undelivered", "30036", "report-expired"),
            ("msg_canceled", "canceled", None, "report-rejected"),
        ):
            assert self.send(message=message)["type"] == "sent"
            stored = self.carrier.find("=" + message)
            self.carrier.report(stored, status, code)
            assert self.gateway.wait_report("failed", message=message)["reason"] == reason
            self.carrier.report(stored, status, code)
        self.carrier.holding = False
        self.gateway.wait_answer(self.gateway.ask("mint"))
        assert len([f for f in self.gateway.reports("failed") if f["message"] == "msg_failed"]) == 1

    @test
    def refusals_are_told_apart(self):
        for status, code, expected in (
            (400, 21610, {"type": "failed", "permanent": True, "reason": "refused-21610"}),
            (400, 21211, {"type": "failed", "permanent": True, "reason": "refused-21211"}),
            (400, None, {"type": "failed", "permanent": True, "reason": "refused"}),
            (400, 21606, {"type": "failed", "permanent": False, "reason": "sender-refused-21606"}),
            (500, None, {"type": "failed", "permanent": False, "reason": "carrier-error-500"}),
            (302, None, {"type": "failed", "permanent": False, "reason": "carrier-error-302"}),
            (200, None, {"type": "failed", "permanent": False, "reason": "bad-answer"}),
        ):
            answer = self.fault(status, value={"code": code, "status": status})
            assert {k: answer.get(k) for k in expected} == expected, (status, code, answer)
        answer = self.fault(201, value={"sid": "SM1", "status": "failed", "error_code": 30006})
        assert answer["type"] == "failed" and answer["permanent"] and answer["reason"] == "refused-30006", answer
        answer = self.fault(201, value={"sid": "S" * 65, "status": "queued"})
        assert answer["reason"] == "bad-answer", answer
        answer = self.fault(400, value={"code": 21610, "message": "x" * 100000})
        assert answer["type"] == "failed" and answer["permanent"], answer
        assert self.send()["type"] == "sent"

    @test
    def slower_is_heard_and_nothing_is_asked_meanwhile(self):
        for status, word in ((429, "throttled"), (503, "carrier-busy")):
            answer = self.fault(status, {"Retry-After": "2"})
            assert answer["type"] == "later" and answer["reason"] == word, answer
            assert answer["retry_after"] == 2, answer
            asked = len(self.posted())
            answer = self.send()
            assert answer["type"] == "later" and 1 <= answer["retry_after"] <= 3, answer
            assert len(self.posted()) == asked
            while answer["type"] == "later":
                time.sleep(answer["retry_after"])  # as it was asked to
                answer = self.send()
            assert answer["type"] == "sent", answer

    @test
    def a_service_that_throttles_gets_all_of_it_once(self):
        taken = []  # when

        def throttle(form, headers):
            if sum(time.monotonic() - when < 1 for when in taken) >= 4:
                return 429, {"Retry-After": "1"}, {"code": 20429, "status": 429}
            taken.append(time.monotonic())
            return self.carrier.create(form, headers)

        texts = {"msg_slow_%d" % number: "langsam %d" % number for number in range(10)}
        self.carrier.faults.extend([throttle] * 100)
        rest, refused = set(texts), 0
        while rest:
            answers = {message: self.send(texts[message], message) for message in sorted(rest)}
            assert {answer["type"] for answer in answers.values()} <= {"sent", "later"}, answers
            rest = {message for message, answer in answers.items() if answer["type"] != "sent"}
            refused += len(rest)
            if rest:
                time.sleep(min(answers[message]["retry_after"] for message in rest))  # as it was asked to
        assert sorted(text.text for text in self.carrier.messages(GUEST)) == sorted(texts.values())
        asked = len(self.posted())
        note("%d messages in %d requests, %d times put off" % (len(texts), asked, refused))
        assert refused >= 1 and asked < 2 * len(texts), (asked, refused)

    @test
    def a_cut_counts_as_a_try_and_is_repeated_with_the_same_bytes(self):
        def cut(form, headers):
            self.carrier.create(form, headers)  # it has it, and cannot say so

        before = len(self.carrier.messages(GUEST))
        assert self.send("davor")["type"] == "sent"  # over a connection that is kept
        tries = []
        self.carrier.faults.extend([cut] * 3)
        while self.carrier.faults:
            answer = self.send("einmal", "msg_cut")
            if answer["type"] != "later":  # it is away, and nothing was tried
                assert answer["type"] == "failed" and not answer["permanent"] and answer["reason"] == "cut", answer
                tries.append(answer["retry_after"])
            time.sleep(answer["retry_after"])  # as it was asked to
        assert tries == [1, 2, 4], tries
        while answer["type"] != "sent":
            answer = self.send("einmal", "msg_cut")
            time.sleep(answer.get("retry_after", 0))
        assert len(self.carrier.messages(GUEST)) == before + 2
        keys = [headers["Idempotency-Key"] for _, _, form, headers in self.posted() if form["Body"] == "einmal"]
        assert keys == ["msg_cut"] * 4, keys

    @test
    def a_repetition_that_is_wanted_is_none_to_the_carrier(self):
        before = len(self.carrier.messages(GUEST))
        expires = int(time.time()) + 3600
        for members in ({}, {}, {"repeat": 1}, {"repeat": 1}):
            assert self.send("zweimal", "msg_wanted", 0, expires=expires, **members)["type"] == "sent"
        assert len(self.carrier.messages(GUEST)) == before + 2
        keys = [headers["Idempotency-Key"] for _, _, form, headers in self.posted() if form["Body"] == "zweimal"]
        assert keys == ["msg_wanted", "msg_wanted-1"], keys

    @test
    def a_token_that_is_refused_stops_all_until_it_is_taken(self):
        self.gateway.forget()
        self.carrier.token = "another token"
        answer = self.send()
        assert answer["type"] == "later" and answer["reason"] == "login-refused-20003", answer
        self.gateway.wait_frame("status", up=False)
        self.carrier.token = TOKEN
        self.gateway.wait_frame("status", up=True)
        assert self.send()["type"] == "sent"

    @test
    def nothing_is_lost_when_the_carrier_goes_in_mid_flight(self):
        texts = {"msg_gone_%d" % n: "Nummer %d" % n for n in range(60)}
        asked = {self.ask(text, message): message for message, text in texts.items()}
        sent = lambda: {m for i, m in asked.items() if self.gateway.answers.get(i, {}).get("type") == "sent"}  # noqa: E731
        self.gateway.wait(lambda: len(sent()) >= 20, 60, "some are sent")
        self.carrier.kill()
        for number in asked:
            self.gateway.wait_answer(number)
        rest = set(texts) - sent()
        self.carrier.start()
        while rest:
            answers = {message: self.send(texts[message], message) for message in sorted(rest)}
            rest = {message for message, answer in answers.items() if answer["type"] != "sent"}
            if rest:
                time.sleep(min(answers[m].get("retry_after", 1) for m in rest))  # as it was asked to
        shown = [text.text for text in self.carrier.messages(GUEST)]
        assert all(shown.count(text) == 1 for text in texts.values()), "repeats carry the same key"
        self.gateway.wait_up()

    @test
    def answers_come_in_and_are_taken_when_the_gateway_has_them(self):
        for text in ("JA 1234", "their text äöü€", "ЙО \U0001f511", "a&b=c%41+d", "lang äöü " * 100):
            sid = self.carrier.answer(GUEST, text)
            reply = self.reply(text)
            assert (reply["inbound"], reply["from"], reply["to"], reply["authentic"]) == (
                sid, "sms:" + GUEST, "sms:" + self.carrier.sender, "weak"), reply
            self.carrier.wait_taken(sid)
        assert self.carrier.post("/inbound", self.carrier.inbound_form("SMempty", GUEST, "zuletzt")) == 200
        assert b"<Response/>" in self.carrier.last_answer

    @test
    def an_answer_comes_again_with_the_same_id_until_the_gateway_has_it(self):
        again = [2]

        def on_request(frame):
            if frame["type"] == "reply" and again[0] > 0:
                again[0] -= 1
                return {"type": "again"}
            return {"type": "ack"}

        self.gateway.on_request = on_request
        self.gateway.forget()
        sid = self.carrier.answer(GUEST, "noch einmal")
        self.carrier.wait_taken(sid)
        replies = [f["inbound"] for f in self.gateway.frames("reply")]
        assert replies == [sid] * 3, replies
        assert [status for path, status in self.carrier.callbacks if path == "/inbound"][-3:] == [503, 503, 200]
        self.gateway.on_request = lambda frame: {"type": "ack"}

    @test
    def an_answer_survives_the_death_of_the_channel(self):
        self.gateway.on_request = lambda frame: None if frame["type"] == "reply" else {"type": "ack"}
        sid = self.carrier.answer(GUEST, "beim Tod")
        self.reply("beim Tod")
        self.gateway.kill()
        self.gateway.on_request = lambda frame: {"type": "ack"}
        self.gateway.forget()
        self.gateway.start()
        assert self.reply("beim Tod")["inbound"] == sid
        self.carrier.wait_taken(sid)
        self.gateway.wait_up()

    @test
    def what_is_not_signed_by_the_carrier_is_refused(self):
        self.gateway.forget()
        post, form = self.carrier.post, self.carrier.inbound_form("SMforged", GUEST, "forged")
        good = signature(TOKEN, PUBLIC_URL + "/inbound", form)
        assert post("/inbound", form, token="another token") == 403
        assert post("/inbound", form, url="http://127.0.0.1/inbound") == 403
        assert post("/inbound?a=b", form, url=PUBLIC_URL + "/inbound") == 403
        for header in (None, "", good[:-1], good + "=", good[:-2] + ("A=" if good[-2] != "A" else "B="), "\xff" * 28):
            assert post("/inbound", form, headers={"X-Twilio-Signature": header}) == 403, header
        changed = [(name, "forged!" if name == "Body" else value) for name, value in form]
        assert post("/inbound", changed, headers={"X-Twilio-Signature": good}) == 403
        assert post("/inbound", form + [("Body", "")], headers={"X-Twilio-Signature": good}) == 403
        report = [("MessageSid", "SM1"), ("MessageStatus", "delivered"), ("AccountSid", ACCOUNT)]
        assert post("/status?message=msg_1", report, url=PUBLIC_URL + "/status?message=msg_2") == 403
        # Signed, and not for us.
        other = [(name, "AC" + "f" * 32 if name == "AccountSid" else value) for name, value in form]
        assert post("/inbound", other) == 400
        assert post("/status", form) == 400
        assert post("/inbound", report) == 400
        assert post("/inbound", [("a", "b")]) == 400
        assert not self.gateway.frames("reply") and not self.gateway.reports("delivered")

    @test
    def the_service_is_asked_to_repeat_the_reports_that_are_refused(self):
        """Twilio asks once only, unless the URL of the callback says more: what was answered 503 would be lost."""
        assert self.send(message="msg_asked")["type"] == "sent"
        assert self.posted()[-1][2]["StatusCallback"] == PUBLIC_URL + "/status?message=msg_asked#rc=5&rp=all"
        assert self.send(message="msg_asked", repeat=1)["type"] == "sent"
        assert self.posted()[-1][2]["StatusCallback"] == PUBLIC_URL + "/status?message=msg_asked&repeat=1#rc=5&rp=all"
        gateway = self.make_gateway(self.carrier, callback_repeats="no", listen="127.0.0.1:0")
        try:
            gateway.start().wait_up()
            assert self.send(message="msg_unasked", gateway=gateway)["type"] == "sent"
            assert self.posted()[-1][2]["StatusCallback"] == PUBLIC_URL + "/status?message=msg_unasked"
        finally:
            gateway.stop()
            gateway.remove()

    @test
    def the_manual_names_what_the_service_is_told_for_answers(self):
        folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "plugins", "sms")
        with open(os.path.join(folder, "vestibule-sms.8")) as manual:
            assert "/sms/inbound" + REPEATS + "\n" in manual.read()

    @test
    def a_callback_is_known_whatever_its_service_does_with_the_fragment(self):
        self.gateway.forget()
        self.carrier.holding = True
        for number, (sent, signed) in enumerate((("", ""), ("", REPEATS), (REPEATS, ""), (REPEATS, REPEATS))):
            message = "msg_fragment_%d" % number
            assert self.send(message=message)["type"] == "sent"
            sid = self.carrier.find("=" + message).sid
            path = "/status?message=" + message
            form = [("AccountSid", ACCOUNT), ("MessageSid", sid), ("MessageStatus", "delivered")]
            assert self.carrier.post(path + sent, form, url=PUBLIC_URL + path + signed) == 204, (sent, signed)
            self.gateway.wait_report("delivered", message=message)
            form = self.carrier.inbound_form("SMfragment%d" % number, GUEST, "their text %d" % number)
            assert self.carrier.post("/inbound" + sent, form, url=PUBLIC_URL + "/inbound" + signed) == 200, (sent, signed)
            self.reply("their text %d" % number)
            for path in ("/inbound", "/status?message=" + message):
                assert self.carrier.post(path + sent, form, url=PUBLIC_URL + path + "#rc=5") == 403, sent
        self.carrier.holding = False

    @test
    def two_signatures_are_none(self):
        form = self.carrier.inbound_form("SMtwice", GUEST, "forged")
        body = urllib.parse.urlencode(form)
        connection = http.client.HTTPConnection("127.0.0.1", self.carrier.callback_port, timeout=30)
        connection.putrequest("POST", "/inbound")
        for value in ("wrong", signature(TOKEN, PUBLIC_URL + "/inbound", form)):
            connection.putheader("X-Twilio-Signature", value)
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body.encode())
        assert connection.getresponse().status == 403
        connection.close()

    @test
    def other_requests_find_nothing(self):
        for method, path, status in (("GET", "/inbound", 405), ("PUT", "/status", 405), ("POST", "/", 404),
                                     ("POST", "/inbound/", 404), ("POST", "/inbound2", 404), ("POST", "/%69nbound", 404)):
            connection = http.client.HTTPConnection("127.0.0.1", self.carrier.callback_port, timeout=30)
            connection.request(method, path, b"" if method != "GET" else None)
            assert connection.getresponse().status == status, (method, path)
            connection.close()
        assert self.carrier.post("/inbound", [("Body", "x" * 40000)]) == 413
        assert self.carrier.post("/inbound", [("n%d" % n, "") for n in range(200)]) == 400

    @test
    def senders_without_a_number_are_taken_and_forgotten(self):
        self.gateway.forget()
        for sender in ("Adler", "12345", "whatsapp:+4915112345678"):
            form = self.carrier.inbound_form("SM" + sender[:3], sender, "x")
            assert self.carrier.post("/inbound", form) == 200
        assert not self.gateway.frames("reply")

    @test
    def what_waits_at_the_carrier_is_taken_back(self):
        self.carrier.holding = True
        assert self.send(message="msg_back")["type"] == "sent"
        self.carrier.holding = False
        assert self.send(message="msg_there")["type"] == "sent"
        for message, expected in (("msg_back", "withdrawn"), ("msg_there", "too-late"), ("msg_never", "too-late")):
            answer = self.gateway.wait_answer(self.gateway.ask("withdraw", message=message, to="sms:" + GUEST))
            assert answer["type"] == expected, (message, answer)
        assert self.carrier.find("=msg_back").status == "canceled"

    @test
    def tls_is_checked(self):
        carrier = RestCarrier(self.build, tls=True).start()
        trusting, wary = self.make_gateway(carrier), self.make_gateway(carrier, ca_file=None, listen="127.0.0.1:0")
        wary.settings.pop("ca_file")
        try:
            trusting.start().wait_up()
            assert self.send("über TLS", gateway=trusting)["type"] == "sent"
            wary.start()
            answer = self.send(gateway=wary)
            while answer["reason"] == "connecting":
                answer = self.send(gateway=wary)
            assert answer["type"] == "later" and answer["reason"] == "certificate", answer
        finally:
            for gateway in (trusting, wary):
                gateway.stop()
                gateway.remove()
            carrier.__exit__(None, None, None)

    @test
    def secrets_are_neither_arguments_nor_environment(self):
        for name in ("cmdline", "environ"):
            with open("/proc/%d/%s" % (self.gateway.process.pid, name), "rb") as file:
                assert TOKEN not in file.read().decode(errors="replace"), name

    @test
    def settings_that_cannot_be_are_refused_with_a_reason(self):
        for changes, secret, word in (
            ({"url": "gopher://127.0.0.1/"}, TOKEN, "`url`"),
            ({"url": None}, TOKEN, "`url`"),
            ({"url": "http://api.carrier.test"}, TOKEN, "`url`"),
            ({"url": "http://127.0.0.1.carrier.test/"}, TOKEN, "`url`"),
            ({"url": "http://localhost.carrier.test:80"}, TOKEN, "`url`"),
            ({"account": None}, TOKEN, "`account`"),
            ({"account": "../x"}, TOKEN, "`account`"),
            ({"callback_url": None}, TOKEN, "`callback_url`"),
            ({"callback_url": "gateway.hotel.test"}, TOKEN, "`callback_url`"),
            ({"window": "65"}, TOKEN, "`window`"),
            ({"callback_repeats": "5"}, TOKEN, "callback_repeats"),
            ({}, None, "rest-token"),
            ({}, "", "rest-token"),
            ({}, "\n", "rest-token"),
            ({}, "a" * 15, "rest-token"),
        ):
            settings = {**self.carrier.common_settings(), **self.carrier.settings(), "listen": "127.0.0.1:0", **changes}
            settings = {k: v for k, v in settings.items() if v is not None}
            gateway = Gateway(self.program, "sms", settings, {} if secret is None else {"rest-token": secret}).start()
            try:
                assert gateway.process.wait(60) == 78, changes
                assert word in gateway.errors_text(), (changes, gateway.errors_text())
            finally:
                gateway.stop()
                gateway.remove()


# They wait for what they are told to, beside a carrier of their own.
WAITING = ("slower_is_heard_and_nothing_is_asked_meanwhile", "a_service_that_throttles_gets_all_of_it_once",
           "a_cut_counts_as_a_try_and_is_repeated_with_the_same_bytes")


def alone(build, name):
    def run_alone():
        tests = Tests(build)
        tests.open()
        try:
            getattr(tests, name)()
        finally:
            tests.close()

    return run_alone


def main():
    tests = Tests(os.path.abspath(sys.argv[1]))
    tests.open()
    try:
        waiting = {name: alone(tests.build, name) for name in WAITING}
        status = run(aside(tests_of(tests), waiting, sys.argv[2:]), sys.argv[2:])
    finally:
        tests.close()
    return status


if __name__ == "__main__":
    sys.exit(main())
