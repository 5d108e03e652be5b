"""What an attacker with the source would try: other tenants, hostile carriers, hostile plugins."""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from harness import tap  # noqa: E402
from harness.vestibule import (  # noqa: E402
    Plugin, Site, events_of, hotel_policy, options_of_test, wait_until)


def odd_site(build):
    """A site whose only channel is played by the test."""
    return Site(build, channels=("odd",), sockets=("odd",), policies=hotel_policy("odd"), wait=False)


class Tests:
    def __init__(self, options):
        self.build = options.build

    @tap.test
    def another_tenants_shares_do_not_hide_a_persons_own(self):
        with Site(self.build, tenants=("adler", "mallory")) as site:
            phone = site.phone("echo:bob")
            mine = site.create("echo:bob")
            for _ in range(40):
                site.create("echo:bob", tenant=site.tenants["mallory"])
            site.wait_state(mine, "invited")
            phone.say("%s %s" % (mine["tag"], mine["code"]))
            site.wait_event(mine, "confirmed")

    @tap.test
    def with_several_open_a_bare_code_is_compared_with_none(self):
        with Site(self.build, tenants=("adler", "mallory")) as site:
            phone = site.phone("echo:bob")
            mine = site.create("echo:bob")
            theirs = site.create("echo:bob", tenant=site.tenants["mallory"])
            site.wait_state(mine, "invited")
            site.wait_state(theirs, "invited", tenant=site.tenants["mallory"])
            phone.say(mine["code"])
            hint = phone.wait_message("notice")
            assert "thread" not in hint, "the hint belongs to one of the two"
            for share, tenant in ((mine, None), (theirs, site.tenants["mallory"])):
                seen = site.show(share, tenant=tenant)
                assert seen["state"] == "invited" and seen["attempts_left"] == 3, seen

    @tap.test
    def who_is_blocked_neither_learns_it_nor_stands_in_the_way(self):
        with Site(self.build, tenants=("adler", "mallory")) as site:
            mallory = site.tenants["mallory"]
            phone = site.phone("echo:bob")
            first = site.create("echo:bob", tenant=mallory)
            message = phone.wait_message("invitation")
            phone.say("NOT ME", thread=message["thread"])
            site.wait_state(first, "disowned", tenant=mallory)

            second = site.create("echo:bob", tenant=mallory)
            site.wait_state(second, "invited", tenant=mallory)
            assert events_of(site.show(second, tenant=mallory)) == ["created", "invitation_accepted"]
            mine = site.create("echo:bob")
            site.wait_state(mine, "invited")
            phone.say(mine["code"])
            site.wait_event(mine, "confirmed")
            invitations = [m for m in phone.messages if m["kind"] == "invitation"]
            assert len(invitations) == 2, len(invitations)

    @tap.test
    def a_carrier_that_loses_everything_is_repeated_with_patience_and_an_end(self):
        with odd_site(self.build) as site:
            plugin = Plugin(site.path("odd"), "odd", timeout=30)
            site.wait_plugins()
            share = site.create("echo:bob")
            times, ids, texts = [], set(), set()
            while len(times) < 4:
                frame = plugin.read_until("send")
                times.append(time.monotonic())
                ids.add(frame["message"])
                texts.add(frame["text"])
                plugin.write({"type": "sent", "id": frame["id"]})
                plugin.write({"type": "failed", "message": frame["message"], "permanent": False,
                              "reason": "stream-closed"})
            assert len(ids) == 1 and len(texts) == 1
            pauses = [b - a for a, b in zip(times, times[1:])]
            for number, pause in enumerate(pauses):
                assert pause >= 0.75 * 2 ** number, pauses
            assert site.show(share)["state"] == "invited"

    @tap.test
    def a_plugin_cannot_shorten_the_wait_before_the_next_try(self):
        with odd_site(self.build) as site:
            plugin = Plugin(site.path("odd"), "odd", timeout=30)
            site.wait_plugins()
            site.create("echo:bob")
            times = []
            while len(times) < 4:
                frame = plugin.read_until("send")
                times.append(time.monotonic())
                plugin.write({"type": "failed", "id": frame["id"], "permanent": False,
                              "reason": "no", "retry_after": 1})
            assert times[3] - times[0] >= 0.75 * (1 + 2 + 4), times

    @tap.test
    def a_channel_speaks_for_its_own_addresses_only(self):
        with odd_site(self.build) as site:
            plugin = Plugin(site.path("odd"), "odd")
            site.wait_plugins()
            plugin.reply("xmpp:victim@example.org", "STOP")
            assert plugin.is_closed()
            assert site.rows("SELECT count(*) FROM block") == [(0,)]

    @tap.test
    def a_bounce_is_booked_on_the_address_that_it_came_from(self):
        with odd_site(self.build) as site:
            plugin = Plugin(site.path("odd"), "odd")
            site.wait_plugins()
            share = site.create("echo:first", "echo:second")
            first = plugin.read_until("send")
            plugin.write({"type": "sent", "id": first["id"]})
            bounce = {"type": "failed", "message": first["message"], "permanent": True, "reason": "gone"}
            plugin.write(bounce)
            second = plugin.read_until("send")
            assert second["to"] == "echo:second"
            plugin.write({"type": "sent", "id": second["id"]})
            for _ in range(3):
                plugin.write(bounce)
            plugin.write({"type": "delivered", "message": second["message"]})
            seen = site.wait_event(share, "delivered")
            assert seen["state"] == "invited", seen["state"]
            assert events_of(seen).count("not_delivered") == 1, events_of(seen)

    @tap.test
    def outsiders_learn_nothing_from_counters_and_leave_no_trace(self):
        with Site(self.build) as site:
            phone = site.phone("echo:bob", "echo:eve")
            share = site.create("echo:bob")
            site.wait_state(share, "invited")
            for path in ("/readyz", "/metrics"):
                answer = site.tenant.raw("GET", path)
                assert b"replies_unbound" not in answer.content, answer.content
            before = site.rows("SELECT count(*) FROM seen")
            for number in range(20):
                phone.say("hello %d" % number, sender="echo:eve")
            assert site.rows("SELECT count(*) FROM seen") == before
            wait_until(lambda: site.operator("GET", "/readyz").json["counters"]["replies_unbound"] == 20,
                       10, "the operator sees them")


if __name__ == "__main__":
    arguments = options_of_test(__doc__)
    sys.exit(tap.run(tap.tests_of(Tests(arguments)), arguments.names))
