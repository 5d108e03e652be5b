"""The audit log of a whole site: it says what happened, names nobody, and shows that it is as it was written;
nothing that is done to it afterwards goes unnoticed."""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from harness import tap  # noqa: E402
from harness.vestibule import (  # noqa: E402
    Site, options_of_test, plain, wrong_code)


class Audited(Site):
    def ctl(self, *arguments, status=0):
        done = subprocess.run(
            [self.program("plugins", "api", "vestibulectl"), "--url", "unix:" + self.operator_path, "audit", *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
        assert done.returncode == status, done
        return done.stdout if status == 0 else done.stderr

    def export(self):
        return [json.loads(line) for line in self.ctl("export").splitlines()]

    def story(self, phone, ends=True):
        share = self.create("echo:bob")
        invitation = phone.wait_message("invitation", contains=share["tag"])
        phone.say(wrong_code(share["code"]), thread=invitation["thread"])
        phone.wait_message("notice", contains=share["tag"])
        phone.say(share["code"], thread=invitation["thread"])
        link = phone.wait_message("link", contains=share["tag"])
        if ends:
            assert self.receive(link["link"]).returncode == 0
            self.wait_state(share, "completed")
            phone.say(share["code"], thread=invitation["thread"])
        return share, link["link"]


class Tests:
    def __init__(self, options):
        self.build = options.build

    @tap.test
    def it_says_what_happened_and_names_nobody(self):
        with Audited(self.build) as site:
            phone = site.phone("echo:bob")
            share, link = site.story(phone)
            records = [line for line in site.export() if "seq" in line]
            of_share = [r for r in records if "state" in r]
            assert len({r["share"] for r in of_share}) == 1 and len({r["tenant"] for r in of_share}) == 1, of_share
            assert [r["event"] for r in of_share if r["event"] != "delivered"] == [
                "created", "invitation_accepted", "wrong", "confirmed", "releasing", "released", "link_accepted",
                "ended"], of_share
            assert {r["event"] for r in records} >= {"started", "relay_call", "late_answer"}, records
            confirmed = next(r for r in records if r["event"] == "confirmed")
            assert (confirmed["assurance"], confirmed["actor"]) == (1, "recipient"), confirmed
            assert all(re.fullmatch("[0-9a-f]{32}", r["policy"]) for r in of_share), of_share
            text = json.dumps(records).lower()
            for secret in ("echo:bob", "bob", "adler", "booking", share["id"], share["tag"], share["code"],
                           plain(share["code"]), link, link.partition("#")[2], "room"):
                assert secret.lower() not in text, secret
            assert "records" in site.ctl("verify")

    @tap.test
    def tenants_do_not_see_it(self):
        with Audited(self.build) as site:
            for path in ("/v1/audit", "/v1/audit/key"):
                assert site.tenant.get(path).status in (403, 404), path
            assert site.tenant.post("/v1/audit/seed").status in (403, 404)

    @tap.test
    def it_goes_on_after_any_death_of_the_gateway(self):
        with Audited(self.build) as site:
            phone = site.phone("echo:bob")
            for number in range(6):
                site.story(phone, ends=number % 2 == 0)
                site.kill_gateway()
                site.start_gateway()
                site.wait_tenants()
            records = [line for line in site.export() if "seq" in line]
            assert [r["seq"] for r in records] == list(range(1, len(records) + 1))
            assert len([r for r in records if r["event"] == "started"]) == 7
            site.ctl("verify")

    @tap.test
    def what_is_done_to_the_store_is_noticed(self):
        with Audited(self.build) as site:
            site.story(site.phone("echo:bob"))
            seed, key = site.path("seed"), site.ctl("key").strip()
            whole = site.ctl("export").splitlines()
            with open(seed, "w") as file:
                file.write(site.ctl("seed"))
            last = json.loads(whole[-1])
            head = "%d:%s" % (last["seq"], last["hash"])
            site.ctl("verify", "--with-seed", seed, "--head", head)
            site.stop_gateway()
            original = shutil.copytree(site.state, site.path("original"))
            for change, words, more in (
                ("UPDATE audit SET text = replace(text, 'wrong', 'right') WHERE text LIKE '%\"wrong\"%'", "changed", ()),
                ("UPDATE audit SET at = at, hash = zeroblob(32) WHERE number = 3", "changed", ()),
                ("DELETE FROM audit WHERE number = 3", "after record 2 comes record 4", ()),
                ("DELETE FROM audit WHERE number <= 3", "begins with record 4", ()),
                ("UPDATE audit SET mac = zeroblob(16) WHERE number = 3", "had the key of epoch", ("--with-seed", seed)),
                # The end: by itself it looks whole, as it would if nothing had happened since.
                ("DELETE FROM audit WHERE number > 3", "kept elsewhere: its end was cut off",
                 ("--head", head)),
            ):
                shutil.rmtree(site.state)
                shutil.copytree(original, site.state)
                store = sqlite3.connect(os.path.join(site.state, "vestibule.sqlite"))
                assert store.execute(change).rowcount > 0, change
                store.commit()
                store.close()
                site.start_gateway()
                said = site.ctl("verify", "--key", key, *more, status=65)
                assert words in said, (change, said)
                site.stop_gateway()

    @tap.test
    def an_export_is_checked_without_the_gateway(self):
        with Audited(self.build) as site:
            site.story(site.phone("echo:bob"))
            export, key = site.path("export"), site.ctl("key").strip()
            with open(export, "w") as file:
                file.write(site.ctl("export"))
            site.stop_gateway()
            assert "as they were written" in site.ctl("verify", export, "--key", key)
            assert "--key" in site.ctl("verify", export, status=64)
            lines = open(export).read().replace('"wrong"', '"right"')
            with open(export, "w") as file:
                file.write(lines)
            assert "changed" in site.ctl("verify", export, "--key", key, status=65)

    @tap.test
    def operators_and_reloads_are_recorded(self):
        with Audited(self.build) as site:
            share = site.create("echo:bob")
            assert site.operator("POST", "/v1/shares/%s/cancel" % share["id"]).status == 200
            site.reload(site.configuration().replace("attempts_total", "attempts_total") + "# other\n")
            site.ctl("seed")
            words = [line.get("word") for line in site.export() if line.get("actor") == "operator"]
            assert "share.cancel" in words and "audit.seed" in words, words
            assert any(line.get("event") == "configuration" for line in site.export())


if __name__ == "__main__":
    arguments = options_of_test(__doc__)
    sys.exit(tap.run(tap.tests_of(Tests(arguments)), arguments.names))
