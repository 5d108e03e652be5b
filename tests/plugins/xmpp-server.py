"""The XMPP plugin between a scripted gateway and a real server with real accounts.

usage: xmpp-server.py PROGRAM TIRELESS prosody|ejabberd component|client [TEST…]
"""

import collections
import os
import re
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from harness.ejabberd import Ejabberd
from harness.frames import PATIENCE, Gateway
from harness.prosody import Prosody
from harness.tap import note, run, test, tests_of
from harness.xmpp_recipient import Recipient

BOB = "xmpp:bob@hotel.test"
DISCO_INFO = "http://jabber.org/protocol/disco#info"
ERRORS = "{urn:ietf:params:xml:ns:xmpp-stanzas}"
SECRETS = ["component secret", "front password", "marker text", "marker reply"]


class Outbox:
    """Sends messages as the gateway's outbox does: again, under the same id, when that is asked for."""

    WINDOW = 16

    def __init__(self, gateway):
        self.gateway = gateway
        self.texts = {}
        self.due = {}  # to be sent, and not before
        self.asked = {}  # request: message
        self.tries = collections.Counter()
        self.sent, self.delivered, self.lost = set(), set(), collections.Counter()
        self.refused = []
        self.seen = 0
        self.ending = False
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _take(self, frame):
        if frame["type"] not in ("sent", "failed", "delivered"):
            return  # the plugin's own questions have ids of their own
        message = self.asked.pop(frame["id"]) if "id" in frame else frame["message"]
        if frame["type"] in ("sent", "delivered"):
            getattr(self, frame["type"]).add(message)
        elif frame["type"] == "failed":
            if frame["permanent"]:
                self.refused.append(frame)
            self.lost[message] += "message" in frame
            self.sent.discard(message)
            self.due[message] = time.monotonic() + min(frame.get("retry_after", 0), 0.3)

    def _run(self):
        while not self.ending:
            with self.gateway.changed:
                if self.seen == len(self.gateway.log):
                    self.gateway.changed.wait(0.1)
                for _, frame in self.gateway.log[self.seen :]:
                    self._take(frame)
                self.seen = len(self.gateway.log)
                ready = [m for m, at in self.due.items() if at <= time.monotonic()]
                for message in ready[: self.WINDOW - len(self.asked)]:
                    del self.due[message]
                    self.tries[message] += 1
                    self.asked[self.gateway.ask(
                        "send", message=message, kind="notice", to=BOB, text=self.texts[message],
                        thread="thr", lang="en",
                    )] = message
                self.gateway.changed.notify_all()

    def add(self, texts):
        with self.gateway.changed:
            self.texts.update(texts)
            self.due.update((message, 0.0) for message in texts)
            self.gateway.changed.notify_all()

    def wait(self, condition, what):
        self.gateway.wait(condition, PATIENCE, what)

    def wait_settled(self):
        """All is sent, and the plugin has nothing more to say about it: its frames come in order."""
        self.gateway.wait_answer(self.gateway.ask("mint"))
        self.wait(
            lambda: self.seen == len(self.gateway.log) and self.sent == set(self.texts),
            "all are sent",
        )

    def close(self):
        self.ending = True
        self.thread.join()


class Tests:
    def __init__(self, program, tireless, server, mode):
        self.program, self.tireless = program, tireless
        self.server, self.mode = server, mode
        self.numbers = iter(range(1, 1 << 30))
        self.gateway = self.make_gateway()
        self.us = "keys@keys.hotel.test" if mode == "component" else "front@hotel.test/vestibule"
        self.us_uri = "xmpp:" + self.us.split("/")[0]

    def make_gateway(self, on_request=None, **changes):
        settings = {"mode": self.mode, "host": "127.0.0.1", "nick": "Hotel Adler"}
        if self.mode == "component":
            settings.update(jid=self.server.component, port=str(self.server.component_port))
        else:
            settings.update(
                jid="front@hotel.test",
                port=str(self.server.client_port),
                ca_file=self.server.certificate,
            )
        credentials = {
            "xmpp-secret": changes.pop("secret", self.server.secret),
            "xmpp-password": changes.pop("password", "front password"),
        }
        program = changes.pop("program", self.program)
        settings.update(changes)
        settings = {key: value for key, value in settings.items() if value is not None}
        return Gateway(program, "xmpp", settings, credentials, on_request)

    def account(self, user, **options):
        return Recipient(
            user + "@hotel.test",
            user + " password",
            "127.0.0.1",
            self.server.client_port,
            self.server.certificate,
            **options,
        )

    def open(self):
        for user in ("bob", "eve", "front"):
            self.server.register(user, user + " password")
        self.gateway.start().wait_up()
        self.bob = self.account("bob").start()

    def close(self):
        self.bob.close()
        status = self.gateway.stop()
        text = self.gateway.errors_text()
        assert status == 0, "the plugin ended with status %s" % status
        for secret in SECRETS + ["bob@"]:
            assert secret not in text, "%s was logged" % secret
        self.gateway.remove()

    def fresh(self):
        self.gateway.on_request = lambda frame: {"type": "ack"}
        self.gateway.forget()

    def send(self, kind="notice", to=BOB, text="marker text", **members):
        message = "msg_%d" % next(self.numbers)
        number = self.gateway.ask("send", message=message, kind=kind, to=to, text=text, **members)
        return message, number

    def reply_with(self, text):
        return self.gateway.wait_frame("reply", text=text)

    @test
    def a_message_is_sent_then_delivered_with_all_its_parts(self):
        message, number = self.send(
            kind="invitation",
            lang="de",
            text="Hotel <Adler> & \u00e4 \U0001f511",
            subject="Ein Schl\u00fcssel",
            thread="thr_1",
            buttons=[{"value": "NO", "label": "Nein"}],
            link="https://relay.example/v1/m/1?v=a#x",
            expires=int(time.time()) + 60,
        )
        assert self.gateway.wait_answer(number)["type"] == "sent"
        got = self.bob.wait_message(matches=lambda m: m.id == message)
        assert got.body == "Hotel <Adler> & \u00e4 \U0001f511" and got.type == "chat"
        assert (got.subject, got.thread) == ("Ein Schl\u00fcssel", "thr_1")
        assert got.sender == self.us and got.origin == message and got.nick == "Hotel Adler"
        assert got.buttons == [("NO", "Nein")]
        assert got.link == "https://relay.example/v1/m/1?v=a#x"
        self.gateway.wait_frame("delivered", message=message)

    @test
    def a_displayed_marker_is_read(self):
        message, number = self.send()
        self.gateway.wait_answer(number)
        self.bob.wait_message(matches=lambda m: m.id == message)
        self.bob.send_raw(
            "<message type='chat' to='%s'><displayed xmlns='urn:xmpp:chat-markers:0' id='%s'/>"
            "</message>" % (self.us, message)
        )
        self.gateway.wait_frame("read", message=message)

    @test
    def a_reply_gets_its_receipt_only_after_the_ack(self):
        self.fresh()
        self.gateway.on_request = lambda frame: None
        id = self.bob.say(self.us, "marker reply", thread="thr_1", quoted="msg_1", insist=False)
        frame = self.reply_with("marker reply")
        assert frame["from"] == BOB and frame["to"] == self.us_uri
        assert frame["thread"] == "thr_1" and frame["quoted"] == "msg_1"
        assert frame["authentic"] == "strong" and frame["automatic"] is False
        # A question that is answered shows that a receipt sent before would have come.
        self.bob.ask(self.us, "<ping xmlns='urn:xmpp:ping'/>")
        assert id not in self.bob.received
        acknowledged = time.monotonic()
        self.gateway.answer(frame, {"type": "ack"})
        assert self.bob.wait_receipt(id) >= acknowledged

    @test
    def a_reply_that_must_wait_is_handed_in_again_under_the_same_identity(self):
        self.fresh()
        answers = iter([{"type": "again", "retry_after": 1}, {"type": "ack"}])
        self.gateway.on_request = lambda frame: next(answers)
        id = self.bob.say(self.us, "again", insist=False)
        self.bob.wait_receipt(id)
        replies = self.gateway.frames("reply")
        assert len(replies) == 2 and replies[0]["inbound"] == replies[1]["inbound"]

    @test
    def a_message_repeated_by_its_sender_is_the_same_inbound(self):
        self.fresh()
        for _ in range(2):
            self.bob.received.pop("twice-1", None)
            self.bob.say(self.us, "twice", id="twice-1", insist=False)
            self.bob.wait_receipt("twice-1")
        first, second = self.gateway.frames("reply")
        assert first["inbound"] == second["inbound"] and len(first["inbound"]) <= 256

    @test
    def an_unknown_account_bounces(self):
        message, number = self.send(to="xmpp:nobody@hotel.test")
        answer = self.gateway.wait_answer(number)
        if answer["type"] == "sent":
            answer = self.gateway.wait_frame("failed", message=message)
        assert answer["permanent"] is True and answer["reason"] == "service-unavailable", answer

    @test
    def an_expired_message_is_not_sent(self):
        message, number = self.send(expires=int(time.time()) - 1)
        answer = self.gateway.wait_answer(number)
        assert answer["type"] == "failed" and answer["reason"] == "expired"
        assert not [m for m in self.bob.messages if m.id == message]

    @test
    def an_address_of_another_kind_fails_for_good(self):
        _, number = self.send(to="sms:+4915112345678")
        answer = self.gateway.wait_answer(number)
        assert answer["type"] == "failed" and answer["permanent"] is True

    @test
    def what_is_not_understood_is_unsupported(self):
        number = self.gateway.ask("mint")
        assert self.gateway.wait_answer(number)["type"] == "unsupported"

    @test
    def spoofed_and_wrong_messages_are_ignored(self):
        self.fresh()
        inner = (
            "<forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' "
            "from='eve@hotel.test/x' to='%s' type='chat'><body>spoof</body></message></forwarded>"
            % self.us
        )
        for content in (
            "<received xmlns='urn:xmpp:carbons:2'>%s</received>" % inner,
            "<sent xmlns='urn:xmpp:carbons:2'>%s</sent>" % inner,
            "<body>spoof</body>" + inner,
            "<body>spoof</body><result xmlns='urn:xmpp:mam:2'>%s</result>" % inner,
            "<composing xmlns='http://jabber.org/protocol/chatstates'/>",
        ):
            self.bob.send_raw("<message type='chat' to='%s'>%s</message>" % (self.us, content))
        for kind in ("headline", "groupchat", "error"):
            self.bob.send_raw(
                "<message type='%s' id='x' to='%s'><body>spoof</body></message>" % (kind, self.us)
            )
        self.bob.say(self.us, "the honest one", insist=False)
        self.reply_with("the honest one")
        assert [f["text"] for f in self.gateway.frames("reply")] == ["the honest one"]

    @test
    def receipts_and_bounces_of_strangers_count_for_nothing(self):
        message, number = self.send()
        self.gateway.wait_answer(number)
        self.gateway.wait_frame("delivered", message=message)
        self.fresh()
        eve = self.account("eve").start()
        try:
            eve.send_raw(
                "<message type='chat' to='%s'><displayed xmlns='urn:xmpp:chat-markers:0' id='%s'/>"
                "</message>" % (self.us, message)
            )
            eve.send_raw(
                "<message type='error' id='%s' to='%s'><error type='cancel'><gone xmlns="
                "'urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>" % (message, self.us)
            )
            eve.say(self.us, "from eve", insist=False)
            frame = self.reply_with("from eve")
            assert frame["from"] == "xmpp:eve@hotel.test"
        finally:
            eve.close()
        assert not self.gateway.frames("read") and not self.gateway.frames("failed")

    @test
    def a_withdrawn_message_is_retracted_and_still_called_too_late(self):
        message, number = self.send()
        self.gateway.wait_answer(number)
        number = self.gateway.ask("withdraw", message=message, to=BOB)
        assert self.gateway.wait_answer(number)["type"] == "too-late"
        self.bob.wait_message(matches=lambda m: m.retracts == message)

    @test
    def an_encrypted_message_is_refused_in_words(self):
        self.fresh()
        self.bob.send_raw(
            "<message type='chat' id='omemo' to='%s'><encrypted xmlns='eu.siacs.conversations.axolotl'"
            "/><body>encrypted</body></message>" % self.us
        )
        self.bob.wait(
            lambda: [e for e in self.bob.errors if e.get("id") == "omemo"], PATIENCE, "a refusal"
        )
        assert not self.gateway.frames("reply")

    @test
    def it_is_a_good_citizen(self):
        info = self.bob.ask(self.us, "<query xmlns='%s'/>" % DISCO_INFO)
        features = [e.get("var") for e in info.iter("{%s}feature" % DISCO_INFO)]
        assert "urn:xmpp:receipts" in features and "urn:xmpp:ping" in features
        version = self.bob.ask(self.us, "<query xmlns='jabber:iq:version'/>")
        assert version.find("*/{jabber:iq:version}name").text == "Vestibule"
        assert self.bob.ask(self.us, "<ping xmlns='urn:xmpp:ping'/>").get("type") == "result"
        card = self.bob.ask(self.us, "<vCard xmlns='vcard-temp'/>")
        assert card.get("type") == "result"
        for kind in ("get", "set"):
            answer = self.bob.ask(self.us, "<x xmlns='nobody:knows'/>", kind)
            assert answer.get("type") == "error"
            assert answer.find("*/%sservice-unavailable" % ERRORS) is not None

    @test
    def a_subscription_is_granted(self):
        self.bob.send_raw("<presence type='subscribe' to='%s'/>" % self.us.split("/")[0])
        self.bob.wait(
            lambda: [
                p
                for p in self.bob.presences
                if p[0].startswith(self.us.split("/")[0]) and p[1] == "available"
            ],
            PATIENCE,
            "our presence",
        )

    @test
    def a_long_answer_is_cut_and_a_huge_one_is_dropped(self):
        self.fresh()
        self.bob.say(self.us, "x" * 5000, insist=False)
        self.reply_with("x" * 4096)
        self.bob.send_raw(
            "<message type='chat' to='%s'>%s<body>wide</body></message>" % (self.us, "<a/>" * 30000)
        )
        begin, cpu = time.monotonic(), self.gateway.cpu()
        self.bob.say(self.us, "after", insist=False)
        self.reply_with("after")
        note("a stanza of 30,000 elements held the next one up for %.0f ms and cost us %.0f ms"
             % ((time.monotonic() - begin) * 1000, (self.gateway.cpu() - cpu) * 1000))
        assert not [f for f in self.gateway.frames("reply") if f["text"] == "wide"]
        assert not [f for f in self.gateway.frames("status") if not f["up"]]

    @test
    def many_messages_are_sent_fast(self):
        count, window = 3000, 256
        self.bob.receipts = False
        begin, cpu = time.monotonic(), self.gateway.cpu()
        numbers = []
        for i in range(count):
            if i >= window:
                self.gateway.wait_answer(numbers[i - window])
            numbers.append(self.send(text="message %d" % i)[1])
        for number in numbers[-window:]:
            assert self.gateway.wait_answer(number)["type"] == "sent"
        seconds = time.monotonic() - begin
        self.bob.receipts = True
        note("%d sends/s (%s, %s, window %d, the harness in Python on the same cores), %.0f us of our CPU each"
             % (count / seconds, self.server.name, self.mode, window, (self.gateway.cpu() - cpu) / count * 1e6))

    def both_ways(self, outbox, count, of, part):
        """The part of all texts, sent in both directions; returns our messages."""
        numbers = range(part * count // of, (part + 1) * count // of)
        texts = {"out_%d" % i: "out %d" % i for i in numbers}
        outbox.add(texts)
        for i in numbers:
            self.bob.say(self.us, "in %d" % i, id="in-%d" % i)
        return set(texts)

    def kill_under_load(self, gateway, count, kills):
        outbox = Outbox(gateway)
        outbox.thread.start()
        try:
            for kill in range(kills):
                self.bob.wait_reachable(self.us)
                part = self.both_ways(outbox, count, kills + 1, kill)
                outbox.wait(lambda: len(outbox.sent & part) >= len(part) // 2, "half are sent")
                self.server.kill()
                self.server.start()
            self.both_ways(outbox, count, kills + 1, kills)
            self.bob.wait_reachable(self.us)
            outbox.wait_settled()
            # ejabberd looks for a session first and stores the message after: when the session opens,
            # and gets what is stored, between the two, only the next login gives the message out. The
            # first ping passes what is not stored, the second one the receipts.
            for _ in range(2):
                self.bob.wait_reachable(self.us)
            self.bob.login_again()
            outbox.wait(lambda: len(outbox.delivered) == count, "all are delivered")
        finally:
            outbox.close()
            note("%d kills; to the recipient: %d of %d, %d sent more than once, %d of them because the"
                 " server may have lost what it had taken; the recipient was online %d times"
                 % (kills, len(outbox.delivered), count, sum(n > 1 for n in outbox.tries.values()),
                    len(+outbox.lost), self.bob.connections))
        assert not outbox.refused, outbox.refused
        got = collections.defaultdict(set)
        for message in list(self.bob.messages):
            if (message.body or "").startswith("out "):
                got[message.body].add(message.id)
        assert got == {text: {message} for message, text in outbox.texts.items()}

    @test
    def nothing_is_lost_when_the_server_is_killed(self):
        count = 200
        self.gateway.stop()
        gateway = self.make_gateway(program=self.tireless)
        try:
            gateway.start().wait_up()
            self.kill_under_load(gateway, count, kills=3)
            self.bob.wait(lambda: not self.bob.unreceived, PATIENCE, "all replies have their receipts")
            inbound = collections.defaultdict(set)
            frames = [f for f in gateway.frames("reply") if f["text"].startswith("in ")]
            for frame in frames:
                inbound[frame["text"]].add(frame["inbound"])
            assert len(inbound) == count, "%d replies are lost" % (count - len(inbound))
            assert all(len(ids) == 1 for ids in inbound.values())
            note("to the gateway: %d of %d, %d handed in again" % (count, count, len(frames) - count))
        finally:
            gateway.stop()
            gateway.remove()
            self.fresh()
            self.gateway.start().wait_up()

    @test
    def a_reply_survives_the_death_of_the_plugin(self):
        self.gateway.on_request = lambda frame: None
        self.gateway.forget()
        id = self.bob.say(self.us, "survivor")
        first = self.reply_with("survivor")
        self.gateway.kill()
        assert id not in self.bob.received
        self.fresh()
        self.gateway.start().wait_up()
        second = self.reply_with("survivor")
        self.bob.wait_receipt(id)
        assert first["inbound"] == second["inbound"]

    @test
    def a_wrong_secret_is_said_and_tried_again(self):
        other = self.make_gateway(secret="wrong", password="wrong")
        try:
            other.start()
            reason = "not-authorized" if self.mode == "component" else "login-failed"
            other.wait_frame("status", up=False, reason=reason)
            number = other.ask("send", message="m", kind="notice", to=BOB, text="x")
            answer = other.wait_answer(number)
            assert answer["type"] == "failed" and answer["permanent"] is False
            assert answer["reason"] == "not-connected" and answer["retry_after"] >= 1
        finally:
            assert other.stop() == 0
            other.remove()

    @test
    def a_setting_that_cannot_work_ends_it_with_status_78(self):
        for changes in ({"jid": None}, {"mode": "x"}, {"port": "0"}, {"ca_file": "/nowhere"}):
            other = self.make_gateway(**changes)
            other.start()
            assert other.process.wait(PATIENCE) == 78, changes
            assert re.search(r"setting \w+: ", other.errors_text())
            other.stop()
            other.remove()

    @test
    def two_with_one_address_do_not_fight(self):
        self.fresh()
        other = self.make_gateway()
        try:
            other.start()
            other.wait_up()
            self.gateway.wait_frame("status", up=False)
            note("the first was told: %s" % self.gateway.frames("status")[0]["reason"])
        finally:
            other.stop()
            other.remove()
        self.gateway.stop()
        self.fresh()
        self.gateway.start().wait_up()


class ClientTests(Tests):
    @test
    def a_certificate_that_is_not_trusted_is_refused(self):
        other = self.make_gateway(ca_file=None)
        try:
            other.start()
            other.wait_frame("status", up=False, reason="certificate")
        finally:
            other.stop()
            other.remove()

    @test
    def a_certificate_of_another_host_is_refused(self):
        other = self.make_gateway(jid="front@elsewhere.test")
        try:
            other.start()
            other.wait(
                lambda: [
                    f
                    for _, f in other.log
                    if f["type"] == "status" and f["reason"] not in ("connecting", "")
                ],
                PATIENCE,
                "it is refused",
            )
            assert not [f for f in other.frames("status") if f["up"]]
        finally:
            other.stop()
            other.remove()


def main():
    programs, (server, mode) = map(os.path.abspath, sys.argv[1:3]), sys.argv[3:5]
    servers = {"prosody": Prosody, "ejabberd": Ejabberd}
    only = sys.argv[5:]
    with servers[server]() as running:
        kind = ClientTests if mode == "client" else Tests
        tests = kind(*programs, running, mode)
        tests.open()
        chosen = [pair for pair in tests_of(tests) if not only or pair[0] in only]
        if (server, mode) == ("ejabberd", "component"):
            # It lets both in and shares between them, so there is nobody to give way.
            chosen = [pair for pair in chosen if pair[0] != "two_with_one_address_do_not_fight"]
        chosen.append(("it_ends_in_order_and_has_logged_no_secret", tests.close))
        status = run(chosen)
        running.remove(failed=status != 0)
    return status


if __name__ == "__main__":
    sys.exit(main())
