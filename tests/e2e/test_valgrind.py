"""A whole story with every one of our programs under valgrind: no error, and nothing lost."""

import glob
import json
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from harness import tap  # noqa: E402
from harness.prosody import Prosody  # noqa: E402
from harness.vestibule import (  # noqa: E402
    Site, hotel_policy, mistyped, options_of_test, read_text, wait_until, wrong_code, xmpp_answer)
from harness.xmpp_recipient import Recipient  # noqa: E402

PATIENCE = 120
PROGRAMS = {"vestibuled", "vestibule-api", "vestibule-relay-client", "vestibule-echo",
            "vestibule-xmpp", "vestibule-relay", "vestibule-receive", "vestibulectl"}


class Tests:
    def __init__(self, options):
        self.build = options.build

    def wrapper(self, folder):
        return ["/usr/bin/valgrind", "--leak-check=full", "--show-leak-kinds=definite,possible",
                "--errors-for-leak-kinds=definite,possible", "--error-exitcode=99",
                "--child-silent-after-fork=yes", "--num-callers=30",
                "--log-file=" + os.path.join(folder, "valgrind.%p.log")]

    @tap.test
    def a_whole_story_has_no_error_and_loses_nothing(self):
        if not os.path.exists("/usr/bin/valgrind"):
            raise tap.Skip("valgrind is not installed")
        logs = os.path.join("/tmp", "vestibule-valgrind-%d" % os.getpid())
        os.mkdir(logs)
        with Prosody() as server:
            server.register("bob", "the guest's")
            with Site(self.build, channels=("echo", "xmpp"), xmpp=server, timeout=PATIENCE,
                      policies=hotel_policy("echo", "xmpp"), wrapper=self.wrapper(logs)) as site:
                self.over_echo(site)
                self.over_xmpp(site, server)
                self.by_hand(site)
                self.odd_things(site)
                assert site.stop_gateway() == 0
                assert site.relay.stop() == 0
        self.check_logs(logs)
        shutil.rmtree(logs)

    def over_echo(self, site):
        phone = site.phone("echo:bob", "echo:carol")
        share = site.create("echo:bob", locale="de")
        cancelled = site.create("echo:carol")
        for text in ("hallo", mistyped(share["code"]), wrong_code(share["code"]), share["code"]):
            phone.say(text, sender="echo:bob", wait=PATIENCE)
        link = phone.wait_message("link", timeout=PATIENCE)["link"]
        assert site.cancel(cancelled).status == 200
        got = site.receive(link, "--quiet", timeout=PATIENCE)
        assert got.returncode == 0, got
        site.wait_state(share, "completed", timeout=PATIENCE)

    def over_xmpp(self, site, server):
        bob = Recipient("bob@" + server.domain, "the guest's", "127.0.0.1", server.client_port,
                        server.certificate).start()
        try:
            share = site.create("xmpp:bob@" + server.domain)
            invitation = bob.wait_message(timeout=PATIENCE, matches=lambda m: m.body)
            xmpp_answer(bob, invitation, share["code"])
            bob.wait_message(timeout=PATIENCE, matches=lambda m: m.link)
            assert site.cancel(share).status == 202
            site.wait_state(share, "cancelled", timeout=PATIENCE)
            declined = site.create("xmpp:bob@" + server.domain)
            invitation = bob.wait_message(
                timeout=PATIENCE, matches=lambda m: m.body and declined["tag"] in m.body)
            xmpp_answer(bob, invitation, "NO")
            site.wait_state(declined, "declined", timeout=PATIENCE)
        finally:
            bob.close()

    def by_hand(self, site):
        token = site.path("token")
        with os.fdopen(os.open(token, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(site.tenant.token + "\n")
        content = site.path("content.json")
        with open(content, "w") as file:
            file.write('{"token": "x"}')
        control = [*site.wrapper, site.program("plugins", "api", "vestibulectl")]
        url = ["--url", "http://127.0.0.1:%d" % site.api_port, "--token-file", token]
        made = subprocess.run(
            [*control, "share", "create", *url, "--json", "--policy", "hotel", "--to", "echo:dora",
             "--title", "Room key", "--format", "x", "--content-file", content],
            stdout=subprocess.PIPE, timeout=PATIENCE, stdin=subprocess.DEVNULL)
        assert made.returncode == 0, made
        share = json.loads(made.stdout)
        for words in (("share", "show", share["id"]), ("share", "list"), ("channels",),
                      ("share", "cancel", share["id"]), ("share", "show", "shr_" + "0" * 26)):
            done = subprocess.run([*control, *words, *url], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, timeout=PATIENCE,
                                  stdin=subprocess.DEVNULL)
            assert done.returncode == (66 if "shr_" + "0" * 26 in words else 0), (words, done)

    def odd_things(self, site):
        assert site.tenant.raw("POST", "/v1/shares", b"{", {
            "Content-Type": "application/json", "Idempotency-Key": "k" * 30}).status == 400
        assert site.tenant.raw("GET", "/v1/shares?limit=x").status == 400
        assert site.tenant.raw("GET", "/nowhere").status == 404
        assert site.tenant.raw("GET", "/v1/shares", headers={"Authorization": "Bearer x"}).status == 401
        assert site.tenant.get("/openapi.yaml").status == 200
        assert site.operator("GET", "/metrics").status == 200
        site.reload(site.configuration().replace("log_level = info", "log_level = debug"))
        site.reload("nonsense {\n")
        site.wait_plugins()

    def check_logs(self, folder):
        seen = set()
        trouble = []
        for path in sorted(glob.glob(os.path.join(folder, "valgrind.*.log"))):
            wait_until(lambda: "ERROR SUMMARY" in read_text(path) or not self.is_running(path), 60,
                       "valgrind has ended")
            text = read_text(path)
            command = re.search(r"Command: (\S+)", text)
            program = os.path.basename(command[1]) if command else "?"
            seen.add(program)
            summary = re.search(r"ERROR SUMMARY: (\d+) errors", text)
            lost = re.search(r"definitely lost: ([\d,]+) bytes", text)
            if not summary or summary[1] != "0" or (lost and lost[1] != "0"):
                trouble.append("%s\n%s" % (program, text[-6000:]))
        tap.note("valgrind looked at: %s" % ", ".join(sorted(seen)))
        assert not trouble, "\n".join(trouble)
        assert PROGRAMS <= seen, PROGRAMS - seen

    @staticmethod
    def is_running(path):
        return os.path.exists("/proc/" + path.split(".")[-2])


if __name__ == "__main__":
    arguments = options_of_test(__doc__)
    sys.exit(tap.run(tap.tests_of(Tests(arguments)), arguments.names))
