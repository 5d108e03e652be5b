"""The wall clock jumps by a day, forward and back, while shares are in every state that they can be in: at once, and
over a restart. Nothing lasts longer for it, nothing is given back, and nothing ends that should not."""

import mmap
import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from harness import tap  # noqa: E402
from harness.vestibule import (  # noqa: E402
    Site, events_of, hotel_policy, options_of_test, read_text, share_body, wait_until, wrong_code)

DAY = 24 * 3600
APPROVED = """\
policy approved {
  class = hotel
  factors = { reply-code, approve }
  channels = { echo }
}
"""
# What is looked at of a share: all of it, but for deliveries that are still under way.
KEPT = ("state", "expires_at", "attempts_left", "assurance", "cause")
STATES = ("pending", "invited", "mistaken", "awaiting_approval", "releasing", "released", "withdrawing", "declined")


class Clocked(Site):
    def __init__(self, build, **options):
        options.setdefault("policies", hotel_policy("echo") + APPROVED)
        super().__init__(build, **options)
        path = self.path("clock")
        with open(path, "wb") as file:
            file.write(bytes(8))
        with open(path, "r+b") as file:
            self.offset = mmap.mmap(file.fileno(), 8)

    def environment(self, **more):
        return super().environment(LD_PRELOAD=self.program("tests", "e2e", "libclock-shim.so"),
                                   CLOCK_SHIM_FILE=self.path("clock"), **more)

    def jump(self, seconds):
        self.offset[:] = struct.pack("q", seconds)

    def has_looked(self):
        """Until the gateway has seen what the clock says: it looks once a second, and what is due is looked at."""
        boots = []
        wait_until(lambda: boots.append(self.tenant.raw("GET", "/healthz").status) or len(boots) > 30, 20, "a while")

    def invited(self, phone, policy="hotel"):
        share = self.create(phone.addresses[0], policy=policy)
        share["invitation"] = phone.wait_message("invitation", contains=share["tag"])
        self.wait_event(share, "delivered")
        return share

    def bring(self, state, deaf):
        """A share in a state, with the phone that it belongs to."""
        if state == "pending":  # its carrier does not take it
            phone = self.phone("echo:deaf", take=False)
            share = self.create("echo:deaf")
            phone.wait_message("invitation", contains=share["tag"])
            return share, phone
        phone = self.phone("echo:" + state)
        share = self.invited(phone, "approved" if state == "awaiting_approval" else "hotel")
        say = share["invitation"]["thread"]
        if state == "mistaken":
            phone.say(wrong_code(share["code"]), thread=say)
        elif state == "declined":
            phone.say("NO", thread=say)
        elif state != "invited":
            if state in ("releasing", "withdrawing"):
                deaf()
            phone.say(share["code"], thread=say)
            if state == "released":
                self.wait_event(share, "link_accepted")
            if state == "withdrawing":
                self.wait_state(share, "releasing")
                self.cancel(share)
        wanted = "invited" if state == "mistaken" else state
        self.wait_state(share, wanted)
        return share, phone

    def all_states(self):
        """Those that need no relay come last, as it is stopped on the way."""
        order = sorted(STATES, key=lambda state: state in ("releasing", "withdrawing"))
        stopped = []

        def deaf():
            if not stopped:
                self.relay.kill()
                stopped.append(True)

        return {state: self.bring(state, deaf) for state in order}

    def changed(self, shares, before):
        """What is not as it was. What is being withdrawn may have come to its end meanwhile."""
        after = self.look(shares)
        if after["withdrawing"]["state"] == "cancelled":
            after["withdrawing"]["state"] = "withdrawing"
        return {state: (before[state], after[state]) for state in before if before[state] != after[state]}

    def look(self, shares):
        return {state: {key: self.show(share).get(key) for key in KEPT} for state, (share, _) in shares.items()}


class Tests:
    def __init__(self, options):
        self.build = options.build

    def while_it_runs(self, seconds):
        with Clocked(self.build) as site:
            shares = site.all_states()
            before = site.look(shares)
            site.jump(seconds)
            if seconds > 0:
                wait_until(lambda: "stepped forward" in read_text(site.log), 20, "the step is seen")
            site.has_looked()
            assert not site.changed(shares, before), site.changed(shares, before)
            self.goes_on(site, shares)

    def goes_on(self, site, shares):
        """What can be done in each state is done, as if nothing had been."""
        site.relay.start()
        for state in ("invited", "mistaken"):
            share, phone = shares[state]
            phone.say(share["code"], thread=share["invitation"]["thread"])
            site.wait_event(share, "link_accepted", timeout=60)
        share, phone = shares["awaiting_approval"]
        assert site.tenant.post("/v1/shares/%s/deny" % share["id"]).status == 200
        share, phone = shares["released"]
        assert site.receive(phone.wait_message("link")["link"]).returncode == 0
        site.wait_state(share, "completed", timeout=60)
        site.wait_event(shares["releasing"][0], "link_accepted", timeout=60)
        site.wait_state(shares["withdrawing"][0], "cancelled", timeout=60)
        assert site.show(shares["declined"][0])["state"] == "declined"

    @tap.test
    def a_day_forward_while_it_runs_changes_nothing(self):
        self.while_it_runs(DAY)

    @tap.test
    def a_day_back_while_it_runs_changes_nothing(self):
        self.while_it_runs(-DAY)

    @tap.test
    def a_day_forward_over_a_restart_is_a_day(self):
        """It cannot be told from a machine that was off for a day: what had a day is over, and nothing is refilled."""
        with Clocked(self.build) as site:
            shares = site.all_states()
            before = site.look(shares)
            site.stop_gateway()
            site.jump(DAY + 60)
            site.start_gateway(wait_plugins=False)
            for state in ("pending", "invited", "mistaken"):
                ended = site.wait_state(shares[state][0], "expired", timeout=60, insist=True)
                assert (ended["cause"], ended["attempts_left"]) == ("unanswered", before[state]["attempts_left"]), ended
                assert ended["expires_at"] == before[state]["expires_at"], ended
            site.wait_state(shares["awaiting_approval"][0], "expired", timeout=60, insist=True)
            site.wait_state(shares["released"][0], "expired", timeout=60, insist=True)  # its mailbox had half a day
            site.wait_state(shares["releasing"][0], "failed", timeout=60, insist=True)
            site.wait_state(shares["withdrawing"][0], "cancelled", timeout=60, insist=True)
            assert site.show(shares["declined"][0])["state"] == "declined"
            share, phone = shares["invited"]
            phone.say(share["code"], thread=share["invitation"]["thread"])
            assert site.show(share)["state"] == "expired" and "confirmed" not in events_of(site.show(share))

    @tap.test
    def a_day_back_over_a_restart_confirms_nothing_until_somebody_has_looked(self):
        with Clocked(self.build) as site:
            shares = site.all_states()
            before = site.look(shares)
            site.stop_gateway()
            site.jump(-DAY)
            site.start_gateway(wait_plugins=False)
            site.wait_tenants()
            assert not site.changed(shares, before), site.changed(shares, before)
            share, phone = shares["invited"]
            phone.say(share["code"], thread=share["invitation"]["thread"], wait=0)
            phone.wait(lambda: phone.again > 0, 20, "the answer is to come again")
            assert not site.changed(shares, before), site.changed(shares, before)
            for verb, body in (("approve", {"number": "123 456"}),):
                answer = site.tenant.post("/v1/shares/%s/%s" % (shares["awaiting_approval"][0]["id"], verb), body)
                assert answer.status == 503 and "clock" in answer.json["type"], answer
            assert site.operator("POST", "/v1/clock/accept").status == 200
            site.wait_event(share, "confirmed", timeout=90)  # the relay's client still has the other clock
            assert site.show(share)["expires_at"] == before["invited"]["expires_at"]

    @tap.test
    def what_was_counted_stays_counted(self):
        for seconds, restarts in ((DAY, False), (-DAY, False), (DAY, True)):
            with Clocked(self.build, limits={}) as site:
                for _ in range(3):
                    assert site.tenant.post("/v1/shares", share_body("echo:bob")).status == 201
                assert site.tenant.post("/v1/shares", share_body("echo:bob")).status == 429
                if restarts:
                    site.stop_gateway()
                site.jump(seconds)
                if restarts:  # the front, which has no other clock, could not seal anything here
                    site.start_gateway()
                    full = site.operator("GET", "/v1/limits").json["limits"]
                    assert any(limit["full"] for limit in full), full
                    continue
                site.has_looked()
                answer = site.tenant.post("/v1/shares", share_body("echo:bob"))
                assert answer.status == 429, (seconds, restarts, answer)


if __name__ == "__main__":
    arguments = options_of_test(__doc__)
    sys.exit(tap.run(tap.tests_of(Tests(arguments)), arguments.names))
