"""A share whose first channel fails goes on with the next, as often as the recipient has addresses that
the policy allows, and never twice. The channels are played by the test, and at last they are real: an
SMS centre, and Postfix."""

import calendar
import datetime
import itertools
import os
import re
import signal
import sys
import time
import zoneinfo

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from harness import tap  # noqa: E402
from harness.mail_site import LmtpRoute, MailGuest, MailServers, MailSite  # noqa: E402
from harness.sms_carrier import SmsSite  # noqa: E402
from harness.smsc import SmppCarrier  # noqa: E402
from harness.vestibule import (  # noqa: E402
    Plugin, Site, events_of, hotel_policy, options_of_test, share_body, urls_of, wrong_code)

PHONE = "sms:+4915112345678"
MAIL = "mailto:bob@example.org"
CHAT = "xmpp:bob@example.org"
SECOND_MAIL = "mailto:bob@example.net"
SECOND_PHONE = "sms:+4915112345679"
PATIENCE = 60  # seconds for what is certain to come


class TwoChannels(Site):
    def __init__(self, build, policies=None, **keys):
        super().__init__(build, channels=("sms", "email"), sockets=("sms", "email"), wait=False,
                         policies=policies or hotel_policy("sms", "email", **keys))

    def channel_section(self, name):
        return 'channel %s {\n  socket = "%s"\n}\n' % (name, self.path(name))

    def configuration(self):
        return super().configuration().replace("gateway {\n", "gateway {\n  time_zone = UTC\n", 1)

    def start(self):
        super().start()
        self.connect()
        return self

    def connect(self):
        self.sms = Plugin(self.path("sms"), "sms", timeout=60)
        self.email = Plugin(self.path("email"), "email", timeout=60)
        self.wait_plugins()

    def go_on(self, seconds):
        """A crash, and a restart so much later."""
        self.kill_and_go_on(seconds)
        for plugin in (self.sms, self.email):
            plugin.close()
        self.connect()

    def nothing_yet(self, plugin, *addresses):
        """That nothing waits on this channel: what is sent to another comes first."""
        probe = self.create(*addresses)
        frame = self.take(plugin)
        assert frame["tag"] == probe["tag"], frame
        self.cancel(probe)

    def take(self, plugin):
        frame = plugin.read_until("send")
        plugin.write({"type": "sent", "id": frame["id"]})
        return frame

    def refuse(self, plugin, reason="number-unknown"):
        frame = plugin.read_until("send")
        plugin.write({"type": "failed", "id": frame["id"], "permanent": True, "reason": reason})
        return frame

    def expire_soon(self, share):
        """Two seconds from now, by the gateway's time."""
        now = self.show(share)["created_at"]
        at = calendar.timegm(time.strptime(now, "%Y-%m-%dT%H:%M:%SZ")) + 2
        answer = self.tenant.post("/v1/shares/%s/expiry" % share["id"], {
            "expires_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))})
        assert answer.status == 200, answer
        return answer.json

    def finish(self, plugin, share, invitation, sender):
        """Answers on this channel, up to the link, which must come there."""
        plugin.reply(sender, "%s %s" % (share["tag"], share["code"]), authentic="weak",
                     thread=invitation["thread"])
        link = self.take(plugin)
        assert (link["kind"], link["to"]) == ("link", sender), link
        assert urls_of([link]), link
        return self.wait_event(share, "link_accepted", insist=True)


class ThreeChannels(TwoChannels):
    """And a chat, in any order that a recipient's addresses have."""

    schemes = {"sms": PHONE, "email": MAIL, "chat": CHAT}

    def __init__(self, build, **keys):
        Site.__init__(self, build, channels=tuple(self.schemes), sockets=tuple(self.schemes), wait=False,
                      policies=hotel_policy(*self.schemes, **(keys or {"fallback": "silent"})))

    def channel_section(self, name):
        return 'channel %s {\n  scheme = %s\n  socket = "%s"\n}\n' % (
            name, {"email": "mailto", "chat": "xmpp"}.get(name, name), self.path(name))

    def connect(self):
        self.plugins = {name: Plugin(self.path(name), name, timeout=60) for name in self.schemes}
        self.wait_plugins()

    def go_on(self, seconds):
        self.kill_and_go_on(seconds)
        for plugin in self.plugins.values():
            plugin.close()
        self.connect()

    def report(self, plugin, frame):
        """What a mail about a mail, or a receipt, says long after."""
        number = plugin.ask("report", message=frame["message"], says="failed", permanent=True, reason="gone")
        assert plugin.read_until("ack")["id"] == number

    def fail_at_once(self, plugin, share):
        return self.refuse(plugin)

    def fail_later(self, plugin, share):
        frame = self.take(plugin)
        self.wait_event(share, "invitation_accepted")
        for _ in range(2):
            self.report(plugin, frame)
        return frame


class RealSite(SmsSite, MailSite):
    """SMS by SMPP, and mail."""

    def __init__(self, build, carrier, servers):
        super().__init__(build, carrier, channels=("sms", "email"), servers=servers,
                         policies=hotel_policy("sms", "email", fallback="silent"))


class Tests:
    def __init__(self, options):
        self.build = options.build

    @tap.test
    def an_address_that_is_refused_at_once_gives_way_to_the_next(self):
        with TwoChannels(self.build) as site:
            share = site.create(PHONE, MAIL)
            site.refuse(site.sms)
            invitation = site.take(site.email)
            assert (invitation["kind"], invitation["to"]) == ("invitation", MAIL)
            found = site.wait_state(share, "invited")
            assert events_of(found)[:4] == ["created", "not_delivered", "fallback", "invitation_accepted"]
            assert [(d["channel"], d["fact"]) for d in found["delivery"]] == [
                ("sms", "not_delivered"), ("email", "accepted")]
            assert site.finish(site.email, share, invitation, MAIL)["state"] == "released"

    @tap.test
    def a_report_of_failure_that_comes_later_gives_way_to_the_next(self):
        with TwoChannels(self.build) as site:
            share = site.create(PHONE, MAIL, locale="de")
            first = site.take(site.sms)
            site.wait_state(share, "invited")
            for _ in range(2):  # reports come twice
                site.sms.write({"type": "failed", "message": first["message"], "permanent": True,
                                "reason": "absent-subscriber"})
            second = site.take(site.email)
            assert second["to"] == MAIL and second["message"] != first["message"]
            assert second["tag"] == first["tag"] and "Zimmerschlüssel" in second["text"]
            found = site.finish(site.email, share, second, MAIL)
            assert events_of(found).count("not_delivered") == events_of(found).count("fallback") == 1

    @tap.test
    def the_first_address_may_answer_all_the_same(self):
        """Reports of failure are wrong at times. Who has the invitation may use it."""
        with TwoChannels(self.build) as site:
            share = site.create(PHONE, MAIL)
            first = site.take(site.sms)
            site.wait_state(share, "invited")
            site.sms.write({"type": "failed", "message": first["message"], "permanent": True, "reason": "x"})
            site.take(site.email)
            site.wait_event(share, "fallback")
            site.finish(site.sms, share, first, PHONE)

    @tap.test
    def it_goes_through_all_addresses_in_their_order_and_ends_as_undeliverable(self):
        with TwoChannels(self.build) as site:
            share = site.create(MAIL, PHONE, SECOND_MAIL)
            assert site.refuse(site.email, "mailbox-unknown")["to"] == MAIL
            assert site.refuse(site.sms)["to"] == PHONE
            assert site.refuse(site.email, "mailbox-unknown")["to"] == SECOND_MAIL
            found = site.wait_state(share, "failed")
            assert found["cause"] == "undeliverable"
            assert events_of(found).count("fallback") == 2
            assert events_of(found).count("not_delivered") == 3
            assert site.rows("SELECT * FROM outbox") == []

    @tap.test
    def every_order_and_every_way_to_fail_leads_to_the_last_address(self):
        with ThreeChannels(self.build) as site:
            for order in itertools.permutations(site.schemes):
                for fails in itertools.product((site.fail_at_once, site.fail_later), repeat=2):
                    share = site.create(*(site.schemes[name] for name in order))
                    frames = [fail(site.plugins[name], share) for name, fail in zip(order, fails)]
                    last = site.take(site.plugins[order[2]])
                    assert [frame["to"] for frame in (*frames, last)] == [site.schemes[name] for name in order]
                    assert {frame["kind"] for frame in (*frames, last)} == {"invitation"}
                    found = site.finish(site.plugins[order[2]], share, last, site.schemes[order[2]])
                    assert events_of(found).count("not_delivered") == events_of(found).count("fallback") == 2
                    assert [d["channel"] for d in found["delivery"] if d["fact"] == "not_delivered"] == list(order[:2])
                    for name, frame in zip(order, frames):  # what is said again changes nothing
                        site.report(site.plugins[name], frame)
                    assert events_of(site.show(share)) == events_of(found)
                    site.cancel(share)

    @tap.test
    def a_carrier_that_asks_for_patience_is_waited_for(self):
        with TwoChannels(self.build) as site:
            share = site.create(PHONE, MAIL)
            frame = site.sms.read_until("send")
            site.sms.write({"type": "later", "id": frame["id"], "reason": "throttled", "retry_after": 1})
            again = site.take(site.sms)
            assert again["message"] == frame["message"]
            found = site.wait_state(share, "invited")
            assert "fallback" not in events_of(found)

    @tap.test
    def a_policy_without_the_channel_does_not_use_it(self):
        with TwoChannels(self.build, policies=hotel_policy("sms")) as site:
            share = site.create(PHONE, MAIL)
            site.refuse(site.sms)
            assert site.wait_state(share, "failed")["cause"] == "undeliverable"

    @tap.test
    def the_next_step_survives_a_crash_in_between(self):
        with TwoChannels(self.build) as site:
            share = site.create(PHONE, MAIL)
            site.refuse(site.sms)
            frame = site.email.read_until("send")
            site.kill_gateway()
            for plugin in (site.sms, site.email):
                plugin.close()
            site.start_gateway(wait_plugins=False)
            site.sms = Plugin(site.path("sms"), "sms", timeout=60)
            site.email = Plugin(site.path("email"), "email", timeout=60)
            again = site.take(site.email)
            assert {**again, "id": 0} == {**frame, "id": 0}
            site.finish(site.email, share, again, MAIL)

    @tap.test
    def a_report_that_a_crash_left_unanswered_falls_back_once(self):
        """Before the gateway reads it, after it is durable, and somewhere in between."""
        for moment in ("unread", "durable", "between"):
            with TwoChannels(self.build) as site:
                share = site.create(PHONE, MAIL)
                first = site.take(site.sms)
                site.wait_state(share, "invited")
                report = {"message": first["message"], "says": "failed", "permanent": True,
                          "reason": "absent-subscriber", "repeat": first.get("repeat", 0)}
                if moment == "unread":
                    os.kill(site.gateway.pid, signal.SIGSTOP)
                site.sms.ask("report", **report)
                if moment == "durable":
                    site.email.read_until("send")
                site.kill_gateway()
                for plugin in (site.sms, site.email):
                    plugin.close()
                site.start_gateway(wait_plugins=False)
                site.sms = Plugin(site.path("sms"), "sms", timeout=60)
                site.email = Plugin(site.path("email"), "email", timeout=60)
                for _ in range(2):
                    number = site.sms.ask("report", **report)
                    assert site.sms.read_until("ack")["id"] == number
                found = site.finish(site.email, share, site.take(site.email), MAIL)
                assert events_of(found).count("not_delivered") == events_of(found).count("fallback") == 1

    @tap.test
    def silence_gives_way_to_the_next_also_over_a_crash_and_who_was_asked_first_may_still_answer(self):
        for earlier in ("open", "closed"):
            with TwoChannels(self.build, timeouts="{ 5m }", earlier_steps=earlier) as site:
                share = site.create(PHONE, MAIL)
                first = site.take(site.sms)
                site.wait_state(share, "invited")
                site.go_on(200)
                site.nothing_yet(site.email, SECOND_MAIL)
                assert events_of(site.show(share)) == ["created", "invitation_accepted"]
                site.go_on(200)
                second = site.take(site.email)
                found = site.wait_event(share, "fallback")
                assert events_of(found)[:4] == ["created", "invitation_accepted", "no_answer", "fallback"]
                if earlier == "closed":
                    site.sms.reply(PHONE, "%s %s" % (share["tag"], share["code"]), authentic="weak",
                                   thread=first["thread"])
                    assert site.take(site.sms)["kind"] == "notice"
                    found = site.show(share)
                    assert (found["state"], found["attempts_left"]) == ("invited", 3), "nothing is compared"
                    site.finish(site.email, share, second, MAIL)
                else:
                    site.finish(site.sms, share, first, PHONE)

    @tap.test
    def whose_answer_counts_no_more_keeps_the_next_from_nothing(self):
        with TwoChannels(self.build, timeouts="{ 5m }", earlier_steps="closed") as site:
            share = site.create(PHONE, SECOND_PHONE, MAIL)
            first = site.take(site.sms)
            site.wait_state(share, "invited")
            site.go_on(400)
            assert site.take(site.sms)["to"] == SECOND_PHONE
            site.wait_event(share, "fallback")
            site.sms.reply(PHONE, "%s what is this?" % share["tag"], authentic="weak", thread=first["thread"])
            assert site.take(site.sms)["kind"] == "notice"
            site.go_on(400)
            site.finish(site.email, share, site.take(site.email), MAIL)

    @tap.test
    def what_waited_for_longer_than_its_code_lasts_is_not_judged(self):
        """A right answer came too soon after wrong ones, and then the gateway was away until the code was over."""
        with TwoChannels(self.build, policies=hotel_policy("sms", "email").replace("reply-code", "cross-code")) as site:
            share = site.create(PHONE, MAIL)
            first = site.take(site.sms)
            site.wait_state(share, "invited")

            def say(text):
                number = site.sms.reply(PHONE, "%s %s" % (share["tag"], text), authentic="weak", thread=first["thread"])
                while site.sms.read_until("ack")["id"] != number:
                    pass

            say("READY")
            code = re.search(r"\b\d{3}-\d{3}-\d{3}\b", site.take(site.email)["text"])[0]
            for i in range(2):  # after the second, eight seconds have to pass
                say(wrong_code(code, i))
                site.wait(share, lambda found, left=2 - i: found["attempts_left"] == left, "it was compared")
            say(code)
            assert "confirmed" not in events_of(site.show(share)), "it waits"
            site.go_on(700)
            found = site.wait_event(share, "code_lapsed")
            assert (found["state"], found["attempts_left"]) == ("invited", 1), found

    @tap.test
    def who_has_answered_is_the_one_who_is_asked(self):
        with TwoChannels(self.build, timeouts="{ 5m }") as site:
            share = site.create(PHONE, MAIL)
            first = site.take(site.sms)
            site.sms.reply(PHONE, "%s what is this?" % share["tag"], authentic="weak", thread=first["thread"])
            assert site.take(site.sms)["kind"] == "notice"
            site.go_on(600)
            site.nothing_yet(site.email, SECOND_MAIL)
            assert "no_answer" not in events_of(site.show(share))

    @tap.test
    def at_night_nobody_is_invited_and_a_crash_wakes_nobody(self):
        now = datetime.datetime.now(zoneinfo.ZoneInfo("Europe/Berlin"))  # where the harness has its guests
        evening, morning = (now + datetime.timedelta(minutes=m) for m in (-10, 20))
        hours = '"%s-%s"' % (evening.strftime("%H:%M"), morning.strftime("%H:%M"))
        with TwoChannels(self.build, quiet_hours=hours, timeouts="{ 5m }") as site:
            share = site.create(PHONE, MAIL)
            found = site.show(share)
            assert (found["state"], events_of(found)) == ("pending", ["created", "quiet_hours"])
            assert found["next_step_at"].endswith(":00Z"), "when the quiet hours end"
            site.go_on(10 * 60)
            assert site.rows("SELECT * FROM outbox") == []
            assert events_of(site.show(share)) == ["created", "quiet_hours"]
            early = site.create(PHONE)
            assert site.expire_soon(early)["state"] == "pending"
            site.wait_state(early, "expired")
            site.go_on(12 * 60)
            invitation = site.take(site.sms)
            assert invitation["tag"] == share["tag"], "what ended in the night was sent to nobody"
            site.wait_state(share, "invited")
            site.finish(site.sms, share, invitation, PHONE)

    @tap.test
    def a_step_to_a_weaker_channel_is_told_first_and_may_be_cancelled(self):
        with ThreeChannels(self.build, fallback="announced", announce="10m") as site:
            shares = []
            for _ in range(2):
                share = site.create(CHAT, PHONE)
                shares.append(share)
                site.fail_later(site.plugins["chat"], share)
                found = site.wait_event(share, "step_down_pending")
                assert "fallback" not in events_of(found) and found["state"] == "invited"
                told = [entry for entry in found["timeline"] if entry["event"] == "step_down_pending"][0]
                assert told["channel"] == "sms" and found["next_step_at"] > told["at"], found
            site.go_on(300)
            assert site.rows("SELECT * FROM outbox") == []
            assert site.cancel(shares[1]).status == 200
            site.go_on(310)
            invitation = site.take(site.plugins["sms"])
            assert (invitation["to"], invitation["tag"]) == (PHONE, shares[0]["tag"])
            site.wait_event(shares[0], "fallback")
            site.finish(site.plugins["sms"], shares[0], invitation, PHONE)
            assert "fallback" not in events_of(site.show(shares[1]))

    @tap.test
    def a_channel_below_the_policys_minimum_is_never_used(self):
        with ThreeChannels(self.build, authentic="strong") as site:
            share = site.create(PHONE, CHAT)
            invitation = site.take(site.plugins["chat"])
            found = site.wait_state(share, "invited")
            assert invitation["to"] == CHAT
            assert events_of(found) == ["created", "step_skipped", "invitation_accepted"]
            site.report(site.plugins["chat"], invitation)
            assert site.wait_state(share, "failed")["cause"] == "undeliverable"
            answer = site.tenant.post("/v1/shares", share_body(PHONE))
            assert answer.status == 422 and "invalid-address" in answer.json["type"], answer

    @tap.test
    def a_telephone_that_is_off_for_good_gives_way_to_the_mailbox(self):
        if os.geteuid() != 0:
            return tap.note("Postfix needs root: not looked at")
        with SmppCarrier(self.build, receipt_state="UNDELIV") as carrier, \
                MailServers(LmtpRoute()) as servers, RealSite(self.build, carrier, servers) as site:
            guest = MailGuest(servers, "bob")
            share = site.create("sms:" + carrier.guest, guest.address, locale="de")
            carrier.wait_for_message(carrier.guest, contains="Zimmerschlüssel")
            invitation = guest.wait_mail("Zimmerschlüssel", timeout=PATIENCE)
            site.wait_event(share, "fallback")
            guest.answer(invitation, share["code"])
            guest.wait_mail("Öffnen Sie diesen Link", timeout=PATIENCE)
            found = site.wait_event(share, "link_accepted")
            assert [(d["channel"], d["fact"]) for d in found["delivery"] if d["fact"] != "delivered"] == [
                ("sms", "accepted"), ("sms", "not_delivered"), ("email", "accepted"), ("email", "accepted")]
            assert not [text for text in carrier.messages(carrier.guest) if "https://" in text.text]

    @tap.test
    def a_mailbox_that_does_not_exist_gives_way_to_the_telephone(self):
        if os.geteuid() != 0:
            return tap.note("Postfix needs root: not looked at")
        with SmppCarrier(self.build) as carrier, \
                MailServers(LmtpRoute()) as servers, RealSite(self.build, carrier, servers) as site:
            share = site.create("mailto:unlisted@guests.test", "sms:" + carrier.guest)
            carrier.wait_for_message(carrier.guest, contains="a room key")
            carrier.answer(carrier.guest, "%s %s" % (share["tag"], share["code"]))
            carrier.wait_for_message(carrier.guest, contains="https://")
            found = site.wait_event(share, "link_accepted")
            assert [(d["channel"], d["fact"]) for d in found["delivery"]][0] == ("email", "not_delivered")


if __name__ == "__main__":
    arguments = options_of_test(__doc__)
    sys.exit(tap.run(tap.tests_of(Tests(arguments)), arguments.names))
