"""What is counted, and what happens when there was too much of it: a tenant is told of its own doing, and nobody of
what others do."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from harness import tap  # noqa: E402
from harness.vestibule import LOOSE, Site, options_of_test, share_body, wrong_code  # noqa: E402


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
                phone.say("%s %s" % (share["tag"], wrong_code(share["code"], i)), wait=60)
            site.wait_state(share, "locked", timeout=60)
            answer = refused(start(site, "echo:bob"), "recipient-locked")
            assert 800 < int(answer.headers["Retry-After"]) <= 900
            refused(start(site, "echo:tom", "mailto:bob+x@example.org"), "recipient-locked")
            forgiven(start(site, "echo:bob", tenant=site.tenants["krone"]))


if __name__ == "__main__":
    arguments = options_of_test(__doc__)
    sys.exit(tap.run(tap.tests_of(Tests(arguments)), arguments.names))
