"""What is counted, and what happens when there was too much of it: a tenant is told of its own doing, and nobody of
what others do."""

import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from harness import tap  # noqa: E402
from harness.vestibule import (  # noqa: E402
    LOOSE, Site, events_of, options_of_test, read_text, share_body, wrong_code)
from test_channels import SmsSite  # noqa: E402


def limits(**numbers):
    return {**LOOSE, **numbers}


def per_recipient(n):
    return limits(shares_per_recipient_10min=n)


def refused(answer, name):
    assert answer.status == 429, answer
    assert answer.json["type"] == "urn:vestibule:problem:" + name, answer
    assert 0 < int(answer.headers["Retry-After"]) <= 24 * 3600 + 3600, answer.headers
    return answer


def start(site, *addresses, tenant=None):
    return (tenant or site.tenant).post("/v1/shares", share_body(*addresses))


def forgiven(answer):
    assert answer.status == 201, answer
    return answer.json


class PaidSite(SmsSite):
    """Each SMS costs 0.10, and the tenant may spend so much a day, in Germany alone."""

    def __init__(self, build, spend, **options):
        self.spend = spend
        super().__init__(build, **options)

    def channel_section(self, name):
        return super().channel_section(name).replace("{", "{\n  price = 0.10", 1)

    def configuration(self):
        return super().configuration().replace(
            "  relay = main\n", '  relay = main\n  spend_per_day = %s\n  countries = { "+49" }\n' % self.spend)


def operator(site, *arguments, given=""):
    """What vestibulectl prints for an operator."""
    done = subprocess.run(
        [site.program("plugins", "api", "vestibulectl"), "--url", "unix:" + site.operator_path, *arguments],
        input=given, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done
    return json.loads(done.stdout)


class Tests:
    def __init__(self, options):
        self.build = options.build

    @tap.test
    def the_shipped_numbers_let_a_recipient_have_three_shares_in_ten_minutes(self):
        with Site(self.build, tenants=("adler", "krone"), limits={}) as site:
            for _ in range(3):
                forgiven(start(site, "echo:bob"))
            first = refused(start(site, "echo:bob"), "too-many-for-recipient")
            assert 500 < int(first.headers["Retry-After"]) <= 650
            # Neither another recipient nor another tenant is concerned.
            forgiven(start(site, "echo:eve"))
            forgiven(start(site, "echo:bob", tenant=site.tenants["krone"]))

    @tap.test
    def each_address_of_a_share_counts_and_once(self):
        with Site(self.build, limits=per_recipient(2)) as site:
            forgiven(start(site, "echo:bob", "echo:eve"))
            forgiven(start(site, "echo:mia", "echo:eve"))
            refused(start(site, "echo:tom", "echo:eve"), "too-many-for-recipient")
            forgiven(start(site, "echo:tom", "echo:bob"))  # what was refused counted nothing

    @tap.test
    def a_sub_address_is_the_same_person(self):
        with Site(self.build, limits=per_recipient(2)) as site:
            forgiven(start(site, "echo:a", "mailto:bob+hotel@example.org", "mailto:Bob+spa@example.org"))
            forgiven(start(site, "echo:b", "mailto:BOB@example.org"))
            refused(start(site, "echo:c", "mailto:bob+bar@example.org"), "too-many-for-recipient")

    @tap.test
    def who_is_blocked_is_refused_as_who_is_not(self):
        with Site(self.build, limits=per_recipient(2)) as site:
            phone = site.phone("echo:bob")
            share = site.create("echo:bob")
            phone.say("NOT ME", thread=phone.wait_message("invitation")["thread"])
            site.wait_state(share, "disowned")
            site.create("echo:eve")
            blocked, free = start(site, "echo:bob"), start(site, "echo:eve")
            assert forgiven(blocked).keys() == forgiven(free).keys()
            blocked = refused(start(site, "echo:bob"), "too-many-for-recipient")
            free = refused(start(site, "echo:eve"), "too-many-for-recipient")
            assert blocked.content == free.content

    @tap.test
    def a_tenant_has_a_burst_and_then_a_pace(self):
        with Site(self.build, tenants=("adler", "krone"),
                  limits=limits(shares_burst=4, shares_per_minute=1)) as site:
            for i in range(4):
                forgiven(start(site, "echo:guest%d" % i))
            answer = refused(start(site, "echo:guest5"), "too-many-shares")
            assert 50 <= int(answer.headers["Retry-After"]) <= 60
            forgiven(start(site, "echo:guest5", tenant=site.tenants["krone"]))

    @tap.test
    def kill_and_restart_forget_nothing(self):
        with Site(self.build, limits=per_recipient(2)) as site:
            for _ in range(2):
                forgiven(start(site, "echo:bob"))
            for again in (site.kill_gateway, site.stop_gateway):
                again()
                site.start_gateway()
                refused(start(site, "echo:bob"), "too-many-for-recipient")

    @tap.test
    def after_a_share_was_locked_the_next_one_waits(self):
        with Site(self.build, tenants=("adler", "krone")) as site:
            phone = site.phone("echo:bob")
            share = site.create("echo:bob", "mailto:bob@example.org")
            site.wait_state(share, "invited")
            for i in range(3):
                phone.say("%s %s" % (share["tag"], wrong_code(share["code"], i)))
                site.wait(share, lambda found, left=2 - i: found["attempts_left"] == left, "it was compared")
            site.wait_state(share, "locked")
            answer = refused(start(site, "echo:bob"), "recipient-locked")
            assert 800 < int(answer.headers["Retry-After"]) <= 900
            refused(start(site, "echo:tom", "mailto:bob+x@example.org"), "recipient-locked")
            forgiven(start(site, "echo:bob", tenant=site.tenants["krone"]))

    @tap.test
    def wrong_answers_of_a_recipient_end_new_shares_and_no_open_one(self):
        with Site(self.build, tenants=("adler", "krone"), limits=limits(wrong_per_recipient=2)) as site:
            phone = site.phone("echo:bob")
            first, second = site.create("echo:bob"), site.create("echo:bob")
            for share in (first, second):
                site.wait_state(share, "invited")
                phone.say("%s %s" % (share["tag"], wrong_code(share["code"])))
                site.wait_event(share, "wrong")
            refused(start(site, "echo:bob"), "recipient-locked")
            forgiven(start(site, "echo:bob", tenant=site.tenants["krone"]))
            phone.say("%s %s" % (second["tag"], second["code"]), wait=60)
            site.wait_event(second, "confirmed")

    @tap.test
    def beyond_a_tenants_budget_nothing_is_compared_and_nobody_else_is_concerned(self):
        with Site(self.build, tenants=("adler", "krone"),
                  limits=limits(wrong_per_tenant=2, wrong_per_tenant_percent=1)) as site:
            krone = site.tenants["krone"]
            people = [site.phone("echo:guest%d" % i) for i in range(3)]
            shares = [site.create("echo:guest%d" % i) for i in range(3)]
            for phone, share in zip(people, shares):
                site.wait_state(share, "invited")
                phone.say("%s %s" % (share["tag"], wrong_code(share["code"])))
            for share in shares[:2]:
                assert site.show(share)["attempts_left"] == 2
            assert site.show(shares[2])["attempts_left"] == 3, "beyond the budget"
            refused(start(site, "echo:tom"), "safe-mode")
            people[2].say("%s %s" % (shares[2]["tag"], shares[2]["code"]))
            assert site.show(shares[2])["state"] == "invited", "dropped, right or wrong"
            people[2].say("%s NO" % shares[2]["tag"])  # who wants nothing is heard all the same
            site.wait_state(shares[2], "declined")
            other = site.create("echo:guest0", tenant=krone)
            site.wait_state(other, "invited", tenant=krone)
            people[0].say("%s %s" % (other["tag"], other["code"]))
            site.wait_event(other, "confirmed", tenant=krone)

    @tap.test
    def one_address_cannot_use_up_what_a_tenant_has(self):
        with Site(self.build, limits=limits(wrong_per_source=1)) as site:
            phone = site.phone("echo:bob")
            first, second = site.create("echo:bob"), site.create("echo:bob")
            for share in (first, second):
                site.wait_state(share, "invited")
                phone.say("%s %s" % (share["tag"], wrong_code(share["code"])))
            assert site.show(first)["attempts_left"] == 2
            assert site.show(second)["attempts_left"] == 3
            site.kill_gateway()
            site.start_gateway()
            phone.say("%s %s" % (second["tag"], wrong_code(second["code"], 1)))
            assert site.show(second)["attempts_left"] == 3

    @tap.test
    def while_too_many_guess_codes_are_longer_and_nothing_is_refused(self):
        with Site(self.build, tenants=("adler", "krone"),
                  limits=limits(wrong_per_channel=1)) as site:
            krone = site.tenants["krone"]
            phone = site.phone("echo:bob")
            share = site.create("echo:bob")
            assert len(share["code"].replace("-", "")) == 9
            site.wait_state(share, "invited")
            phone.say("%s %s" % (share["tag"], wrong_code(share["code"])))
            later = site.create("echo:bob", tenant=krone)
            assert len(later["code"].replace("-", "")) == 8
            site.wait_state(later, "invited", tenant=krone)
            phone.say("%s %s" % (later["tag"], later["code"]))
            site.wait_event(later, "confirmed", tenant=krone)

    @tap.test
    def who_answers_is_written_back_to_so_often_and_no_more(self):
        with Site(self.build, limits=limits(answers_per_hour=2)) as site:
            phone = site.phone("echo:bob")
            share = site.create("echo:bob")
            phone.wait_message("invitation")
            for _ in range(4):
                phone.say("%s HELP" % share["tag"])
            phone.say("%s %s" % (share["tag"], share["code"]))
            phone.wait_message("link")
            assert len([m for m in phone.messages if m["kind"] == "notice"]) == 2

    @tap.test
    def another_tenants_invitations_make_one_wait_and_show_nothing(self):
        with Site(self.build, tenants=("adler", "krone"),
                  limits=limits(messages_per_recipient_10min=2)) as site:
            krone = site.tenants["krone"]
            phone = site.phone("echo:bob", "echo:eve")
            for _ in range(2):
                site.wait_state(site.create("echo:bob", tenant=krone), "invited", tenant=krone)
            waiting, free = site.create("echo:bob"), site.create("echo:eve")
            site.wait_state(free, "invited")
            phone.wait_message("invitation", to="echo:eve")
            seen = site.show(waiting)
            assert seen["state"] == "pending" and events_of(seen) == ["created"], seen
            assert seen.keys() == site.show(site.create("echo:eve")).keys()
            # Who waits may still be answered, cancelled, and blocked.
            assert site.tenant.post("/v1/shares/%s/cancel" % waiting["id"]).status == 200

    @tap.test
    def an_operator_sees_what_is_full_and_empties_it(self):
        with Site(self.build, tenants=("adler", "krone"), limits=per_recipient(1)) as site:
            forgiven(start(site, "mailto:bob@example.org", "echo:bob"))
            refused(start(site, "mailto:bob+x@example.org", "echo:bob"), "too-many-for-recipient")
            found = {entry["about"]: entry for entry in operator(site, "limits", "show", "--json")}
            assert set(found) == {"mailto:b***@example.org", "echo:b***"}, found
            entry = found["echo:b***"]
            assert (entry["kind"], entry["tenant"], entry["full"]) == ("pair", "adler", ["shares_10min"]), entry
            assert operator(site, "limits", "clear", entry["id"], "--json") == {"cleared": 1}
            (left,) = operator(site, "limits", "show", "--json")
            assert left["about"] == "mailto:b***@example.org"
            of_eve = operator(site, "limits", "show", "-", "--json", given="echo:eve")
            assert of_eve == [], of_eve
            (of_bob,) = operator(site, "limits", "show", "-", "--json", given="mailto:BOB+any@example.org")
            assert of_bob["counts"]["shares_10min"] == 1
            assert operator(site, "limits", "clear", "-", "--json", given="mailto:bob@example.org") == {"cleared": 1}
            forgiven(start(site, "mailto:bob+x@example.org", "echo:bob"))
            journal = read_text(site.log)
            assert "An operator emptied 1 counter of limits." in journal and "bob" not in journal
            assert site.tenant.get("/v1/limits").status == 403, "it is not a tenant's affair"

    @tap.test
    def what_sms_may_cost_is_reserved_by_each_share_and_never_exceeded(self):
        with PaidSite(self.build, "1.00") as site:
            for number in range(2):  # each an invitation and a link of two parts
                site.invite("sms:+49151123456%02d" % number)
            refused(start(site, "sms:+4915112345699"), "spend-cap")
            share = site.tenant.get("/v1/shares").json["shares"][0]
            spent = 80
            for _ in range(4):  # what is answered is paid by its parts, and at last waits
                sent = site.say("%s HELP" % share["tag"], sender="sms:+4915112345601")
                spent += 10 * len(sent)
            assert spent <= 100, spent
            entry = next(found for found in operator(site, "limits", "show", "--json") if found["kind"] == "tenant")
            assert entry["tenant"] == "adler" and "spent_day" in entry["full"], entry
            answer = start(site, "sms:+436601234567")
            assert answer.status == 422 and "no numbers that begin like this" in answer.json["detail"], answer


if __name__ == "__main__":
    arguments = options_of_test(__doc__)
    sys.exit(tap.run(tap.tests_of(Tests(arguments)), arguments.names))
