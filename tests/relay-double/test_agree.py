"""Two implementations of the relay's protocols, in two languages and from the text alone, must agree:
the C relay with our client, the C client and the C recipient with our relay, and both relays with each
other, over the scenarios of the test vectors and over random sequences of requests.
"""

import concurrent.futures
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, ".."))

import client  # noqa: E402
import differential  # noqa: E402
import draft_r  # noqa: E402
import draft_v  # noqa: E402
import relay  # noqa: E402
import scenarios  # noqa: E402
import targets  # noqa: E402
from harness import tap  # noqa: E402
from harness.server_folder import die_with_parent  # noqa: E402
from harness.vestibule import is_sanitized, options_of_test  # noqa: E402

VECTORS = os.path.join(HERE, "..", "relay-client", "vectors.json")
PATIENCE = 120  # seconds for what is certain to come: only a failure takes as long
SEQUENCES = 250
SEQUENCES_SANITIZED = 60  # they are as slow as they are many
SECRETS = {"AEAD_AES_128_GCM": b"16 octets secret", "AEAD_AES_256_GCM": b"32 octets of a secret, as it is."}


def message(number):
    """What the parties of a transfer say; nobody but them looks into it."""
    return draft_v.json_bytes({"format": "digitalwallet.carkey.ccc",
                               "content": {"number": number, "text": "H\u00f4tel \u2603 %d" % number}})


def equal(found, expected, what):
    if found != expected:
        raise AssertionError("%s: %r instead of %r" % (what, found, expected))


def soon(function):
    """What a function returns once it returns something."""
    limit = time.monotonic() + PATIENCE
    while time.monotonic() < limit:
        value = function()
        if value is not None:
            return value
        time.sleep(0.05)
    raise AssertionError("nothing came")


def word_of_end(function, *arguments, **options):
    try:
        function(*arguments, **options)
    except client.Ended as ended:
        return ended.word
    return None


class Agree:
    def __init__(self, build, seed):
        self.build = build
        self.seed = seed if seed is not None else int.from_bytes(os.urandom(4), "big")
        self.double = relay.Relay()
        self.relay = targets.VestibuleRelay(build)
        self.both = (self.double, self.relay)
        # Two more, whose clocks are moved: the programs that ask the first two have real ones.
        self.moved = (relay.Relay(), targets.VestibuleRelay(build))
        self.folder = tempfile.TemporaryDirectory(prefix="relay-double-")
        self.keys = targets.make_keys(build, self.folder.name)

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.folder)
            for target in self.both + self.moved:
                stack.enter_context(target)
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *exception):
        return self.stack.__exit__(*exception)

    # --- both relays --------------------------------------------------------------------------------

    @tap.test
    def both_relays_answer_every_scenario_alike(self):
        with open(VECTORS, encoding="utf-8") as file:
            vectors = json.load(file)
        for scenario in vectors["relay_scenarios"]["scenarios"]:
            statuses = [scenarios.play(vectors, target, scenario) for target in self.moved]
            equal(statuses[1], statuses[0], scenario["name"])

    @tap.test
    def both_relays_answer_random_requests_alike(self):
        count = SEQUENCES_SANITIZED if is_sanitized(self.build) else SEQUENCES
        tap.note("--seed %d" % self.seed)
        answers = 0
        for number in range(count):
            answers += differential.play("%d-%d" % (self.seed, number), *self.moved)
        tap.note("%d sequences, %d answers" % (count, answers))

    @tap.test
    def what_the_drafts_leave_open_each_relay_still_decides_in_its_own_way(self):
        equal(len(differential.examples()), len(differential.ALLOWED), "one example for each")
        for index, (_, _, _, reason) in enumerate(differential.ALLOWED):
            equal(differential.play_example(index, *self.moved), True, reason)

    # --- our client, both relays --------------------------------------------------------------------

    def _share(self, target, kind="AEAD_AES_128_GCM", rights="RWD", **options):
        """An initiator with a mailbox there, and the share URL."""
        initiator = client.Initiator(target.url, target.ca_file)
        url = initiator.create(message(0), targets.DISPLAY, secret=SECRETS[kind], rights=rights,
                               expiration=time.time() + target.offset + 3600, **options)
        return initiator, url

    def _recipient(self, target, url):
        port = int(target.url.rpartition(":")[2])
        return client.Recipient(url, target.ca_file, ports=(port,))

    @tap.test
    def three_messages_go_to_and_fro_in_a_mailbox(self):
        for target in self.both:
            for kind in draft_v.KEY_OCTETS:
                initiator, url = self._share(target, kind, vertical="c")
                recipient = self._recipient(target, url)
                equal(initiator.read(), None, "our own message is no news")
                equal(recipient.preview().status, 200, "preview")
                equal(recipient.read(), message(0), "message 0")
                equal(recipient.read(), None, "message 0 again")
                recipient.write(message(1))
                equal(recipient.read(), None, "our own message is no news")
                equal(initiator.read(), message(1), "message 1")
                initiator.write(message(2))
                equal(recipient.read(), message(2), "message 2")
                equal(recipient.delete(), 200, "delete")
                equal(word_of_end(initiator.read), "gone", "after the end")
                equal(word_of_end(recipient.read), "gone", "after the end")
                equal(initiator.delete(), 404, "a second delete is a success")

    @tap.test
    def who_comes_second_is_told_so_until_the_first_gives_up_the_place(self):
        for target in self.both:
            initiator, url = self._share(target)
            first, second = self._recipient(target, url), self._recipient(target, url)
            equal(first.read(), message(0), "the first")
            equal(word_of_end(second.read), "claimed", "the second")
            equal(word_of_end(second.relinquish), "unauthorised", "not the second's to give")
            request_id = draft_v.new_uuid()
            equal(first.relinquish(request_id), 200, "relinquish")
            equal(first.relinquish(request_id), 201, "relinquish again")
            equal(second.read(), message(0), "the second, later")
            equal(word_of_end(first.read), "claimed", "the first, too late")
            equal(second.delete(), 200, "delete")
            equal(word_of_end(initiator.read), "gone", "the end")

    @tap.test
    def of_many_who_read_at_once_one_is_the_recipient(self):
        for target in self.both:
            _, url = self._share(target)
            recipients = [self._recipient(target, url) for _ in range(8)]
            ready = threading.Barrier(len(recipients))

            def read(recipient, ready=ready):
                ready.wait(PATIENCE)
                return word_of_end(recipient.read)

            with concurrent.futures.ThreadPoolExecutor(len(recipients)) as pool:
                words = list(pool.map(read, recipients))
            equal(sorted(map(str, words)), ["None"] + (len(recipients) - 1) * ["claimed"], target.name)
            winner = recipients[words.index(None)]
            equal(winner.read(), None, "the recipient reads again, no news")
            equal(winner.delete(), 200, "and may delete")

    @tap.test
    def a_repeated_request_is_executed_once(self):
        for target in self.both:
            request_id = draft_v.new_uuid()
            initiator, url = self._share(target, request_id=request_id)
            again = client.Initiator(target.url, target.ca_file, initiator.claim)
            second_url = again.create(message(9), targets.DISPLAY, secret=initiator.secret,
                                      request_id=request_id)
            equal(second_url, url, "the link of the repetition")
            recipient = self._recipient(target, url)
            equal(recipient.read(), message(0), "the content of the first request")
            request_id = draft_v.new_uuid()
            equal(recipient.write(message(1), request_id), 200, "update")
            recipient.my_turn = True
            equal(recipient.write(message(9), request_id), 201, "update again")
            equal(initiator.read(), message(1), "the content of the first update")

    @tap.test
    def an_id_is_remembered_until_the_next_one(self):
        for target in self.both:
            first, second = draft_v.new_uuid(), draft_v.new_uuid()
            initiator, url = self._share(target)
            recipient = self._recipient(target, url)
            recipient.read()
            statuses = []
            for number, request_id in enumerate((first, second, first, first)):
                recipient.my_turn = True
                statuses.append(recipient.write(message(number), request_id))
            equal(statuses, [200, 200, 200, 201], "A, B, A, A")
            equal(initiator.read(), message(2), "the content of the third")

    @tap.test
    def without_the_right_to_write_there_is_one_message(self):
        for target in self.both:
            initiator, url = self._share(target, rights="RD")
            recipient = self._recipient(target, url)
            recipient.read()
            equal(word_of_end(recipient.write, message(1)), "unauthorised", "update")
            equal(word_of_end(self._recipient(target, url).delete), "unauthorised", "a stranger's delete")
            equal(initiator.delete(), 200, "withdrawn")
            equal(word_of_end(recipient.read), "gone", "after that")

    @tap.test
    def what_expired_is_gone(self):
        for target in self.moved:
            initiator, url = self._share(target)
            recipient = self._recipient(target, url)
            target.advance_clock(3500)
            equal(recipient.read(), message(0), "in time")
            target.advance_clock(101)
            equal(word_of_end(recipient.read), "gone", "too late")
            equal(recipient.preview().status, 404, "preview")
            equal(initiator.delete(), 404, "delete")

    # --- our runs of Draft R, both relays -----------------------------------------------------------

    def _runs(self, target, suite, mode="hash"):
        secret = os.urandom(draft_r.SUITES[suite].secret_octets)
        template = target.url + "/t/" + draft_r.VARIABLE
        return [client.RunClient(draft_r.Run(template, suite, secret, sender, mode), target.ca_file)
                for sender in (True, False)]

    @tap.test
    def messages_go_to_and_fro_at_derived_locations(self):
        for target in self.both:
            for suite in draft_r.SUITES:
                for mode in ("hash", "raw"):
                    alice, bob = self._runs(target, suite, mode)
                    for number in range(3):
                        writer, reader = (alice, bob) if number % 2 == 0 else (bob, alice)
                        equal(reader.read(), None, "before it is there")
                        url = writer.run.url()
                        writer.write(b"message %d" % number)
                        equal(reader.read(), b"message %d" % number, suite + " " + mode)
                        equal(writer.https.send("GET", url[len(target.url):]).status, 404, "deleted")

    @tap.test
    def a_run_goes_on_from_what_was_stored_at_each_step(self):
        def restarted(party):
            run = party.run
            party.close()
            state = json.loads(json.dumps(run.state()))
            copy = draft_r.Run(run.template, run.suite.name, run.secret, run.sender, run.mode, state)
            return client.RunClient(copy, self.relay.ca_file)

        alice, bob = self._runs(self.relay, "TLS_AES_128_GCM_SHA256")
        alice.run.make(b"zero")
        alice = restarted(alice)  # before the PUT
        alice.send("PUT", alice.run.url(), {"If-None-Match": "*"}, alice.run.pending)
        alice = restarted(alice)  # after it, its answer unheard
        alice.write(b"not used: what is pending goes first")
        bob.run.take(bob.send("GET", bob.run.url()).body)
        bob = restarted(bob)  # after the GET, before the DELETE
        bob.write(b"one")
        equal(alice.read(), b"one", "message 1")

    @tap.test
    def who_loses_the_race_for_a_location_is_out(self):
        for target in self.both:
            alice, bob = self._runs(target, "TLS_AES_128_GCM_SHA256")
            mallory = client.RunClient(
                draft_r.Run(bob.run.template, bob.run.suite.name, bob.run.secret, False), target.ca_file)
            alice.write(b"zero")
            body = bob.send("GET", bob.run.url()).body
            bob.run.take(body)
            mallory.run.take(body)
            mallory.write(b"mallory's")
            try:
                bob.write(b"bob's")
                raise AssertionError("a message was overwritten")
            except draft_v.DraftError as error:
                equal(error.name, "race-lost", "bob")
            equal(alice.read(), b"mallory's", "alice")

    @tap.test
    def nobody_can_list_locations(self):
        for target in self.both:
            alice, _ = self._runs(target, "TLS_AES_128_GCM_SHA256")
            alice.write(b"zero")
            for method in ("GET", "PROPFIND", "OPTIONS", "DELETE"):
                for path in ("/t", "/t/", "/t/?list", "/t/*"):
                    answer = alice.https.send(method, path)
                    name = "%s %s at %s" % (method, path, target.name)
                    equal(answer is not None and answer.status in (404, 405), True, name)
                    equal(alice.run.url().encode() in answer.body, False, name)

    # --- the C client, both relays ------------------------------------------------------------------

    def _client(self, target, **settings):
        return targets.RelayClient(self.build, self.keys, target, **settings)

    @tap.test
    def our_recipient_gets_what_the_c_client_was_given(self):
        for target in self.both:
            for algorithm, octets in (("aes-128-gcm", 16), ("aes-256-gcm", 32)):
                with self._client(target, algorithm=algorithm) as gateway:
                    frame = gateway.create_frame(json.loads(message(0)), rights="RD")
                    created = gateway.call("create", **frame)
                    equal(created["type"], "done", created)
                    recipient = self._recipient(target, created["link"])
                    equal(len(recipient.secret), octets, algorithm)
                    equal(json.loads(recipient.read()), json.loads(message(0)), "content")
                    ask = {name: frame[name] for name in ("share", "generation", "kid", "claim")}
                    ask.update(mailbox=created["mailbox"], request=draft_v.new_uuid())
                    equal(gateway.call("read", **ask)["type"], "done", "read")
                    equal(gateway.call("read", **dict(ask, claim=draft_v.new_uuid()))["type"], "claimed",
                          "a third claim's read")
                    equal(gateway.call("delete", **dict(ask, claim=draft_v.new_uuid()))["type"],
                          "unauthorised", "a third claim's delete")
                    equal(recipient.delete(), 200, "delete")
                    equal(gateway.call("read", **ask)["type"], "gone", "read after the end")
                    self._keeps_secrets(recipient.secret)

    @tap.test
    def a_repeated_create_of_the_c_client_makes_no_second_mailbox(self):
        for target in self.both:
            with self._client(target) as gateway:
                frame = gateway.create_frame(json.loads(message(0)), rights="RD")
                first, second = gateway.call("create", **frame), gateway.call("create", **frame)
                equal(second["link"], first["link"], "the link of the repetition")
                recipient = self._recipient(target, first["link"])
                equal(json.loads(recipient.read()), json.loads(message(0)), "content")

    @tap.test
    def three_messages_go_between_the_c_client_and_our_recipient(self):
        for target in self.both:
            for algorithm in ("aes-128-gcm", "aes-256-gcm"):
                with self._client(target, algorithm=algorithm) as gateway:
                    share = targets.Share(gateway, json.loads(message(0)))
                    recipient = self._recipient(target, share.created["link"])
                    answer = share.read(1)
                    equal(("message" in answer, answer["type"]), (False, "done"), "before it is read")
                    equal(json.loads(recipient.read()), json.loads(message(0)), "message 0")
                    equal(draft_v.base64_encode(recipient.guard.last), share.digest, "digest of 0")
                    recipient.write(message(1))
                    answer = share.read(1)
                    equal(share.opened(answer, 1), json.loads(message(1)), "message 1")
                    equal(draft_v.base64_encode(recipient.guard.last), answer["digest"], "digest of 1")
                    equal(share.opened(share.read(1), 1), json.loads(message(1)), "message 1 again")
                    self._two_answers(share, recipient, answer["digest"])
                    self._keeps_secrets(recipient.secret)

    def _two_answers(self, share, recipient, known):
        """Message 2, twice over, then 3 unread while 4 is to be written, then 4."""
        old = share.digest
        share.digest = known
        request = draft_v.new_uuid()
        written = share.write(2, json.loads(message(2)), request=request)
        equal(written["type"], "done", written)
        equal(json.loads(recipient.read()), json.loads(message(2)), "message 2")
        again = share.write(2, json.loads(message(2)), request=request)
        equal((again["type"], again["digest"]), ("done", written["digest"]), "message 2 written again")
        equal(recipient.read(), None, "the same octets are no news")
        share.digest = written["digest"]
        equal(share.digest != old, True, "each message has a digest of its own")
        recipient.write(message(3))
        refused = share.write(4, json.loads(message(4)))
        equal((refused["type"], refused.get("reason")), ("again", "unread-message"), "3 is not lost")
        answer = share.read(3)
        equal(share.opened(answer, 3), json.loads(message(3)), "message 3")
        share.digest = answer["digest"]
        equal(share.write(4, json.loads(message(4)))["type"], "done", "message 4")
        equal(json.loads(recipient.read()), json.loads(message(4)), "message 4")
        recipient.delete()
        equal(share.read(5)["type"], "gone", "after the end")
        equal(share.write(6, json.loads(message(6)))["type"], "gone", "after the end")

    @tap.test
    def an_update_whose_answer_was_lost_takes_nothing_from_the_recipient(self):
        for target in self.both:
            with self._client(target) as gateway:
                share = targets.Share(gateway, json.loads(message(0)))
                recipient = self._recipient(target, share.created["link"])
                recipient.read()
                recipient.write(message(1))
                share.digest = share.read(1)["digest"]
                request = draft_v.new_uuid()
                share.write(2, json.loads(message(2)), request=request)  # nobody hears the answer
                recipient.read()
                recipient.write(message(3))
                again = share.write(2, json.loads(message(2)), request=request)
                equal(again.get("reason"), "unread-message", "what lies there is news")
                answer = share.read(3)
                equal(share.opened(answer, 3), json.loads(message(3)), "message 3")
                share.digest = answer["digest"]
                again = share.write(2, json.loads(message(2)), request=request)
                equal(again["type"], "done", "the relay knows the request")
                equal(recipient.read(), None, "message 3 lies there as it did")

    @tap.test
    def what_the_c_client_cannot_open_it_names(self):
        for target in self.both:
            for plaintext, secret, name in (
                (message(1), b"another 16 octet", "auth"),
                (b"no JSON", None, "provisioning-info"),
                (b'{"format":"f"}', None, "provisioning-info"),
            ):
                with self._client(target) as gateway:
                    share = targets.Share(gateway, json.loads(message(0)))
                    recipient = self._recipient(target, share.created["link"])
                    recipient.read()
                    recipient.secret = secret or recipient.secret
                    recipient.write(plaintext)
                    answer = share.read(1)
                    equal((answer["type"], answer.get("unreadable")), ("done", name), "unreadable")

    @tap.test
    def what_the_tenant_encrypted_passes_the_c_client_as_it_is(self):
        for target in self.both:
            for kind, secret in SECRETS.items():
                with self._client(target) as gateway:
                    payload = draft_v.payload_seal(kind, secret, message(0))
                    share = targets.Share(gateway, {"encrypted": payload}, encrypted=True)
                    equal("#" in share.created["link"], False, "the link has no Secret")
                    url = share.created["link"] + "#" + draft_v.base64_encode(secret)
                    recipient = self._recipient(target, url)
                    equal(recipient.read(), message(0), "message 0, octet by octet")
                    recipient.write(message(1))
                    answer = share.read(1)
                    equal(draft_v.payload_open(answer["message"]["encrypted"], secret), message(1), "1")
                    share.digest = answer["digest"]
                    payload = draft_v.payload_seal(kind, secret, message(2))
                    equal(share.write(2, {"encrypted": payload})["type"], "done", "message 2")
                    equal(recipient.read(), message(2), "message 2, octet by octet")
                    self._keeps_secrets(secret)

    @tap.test
    def the_c_clients_runs_of_draft_r_are_ours(self):
        names = {"TLS_AES_128_GCM_SHA256": "aes-128-gcm-sha256", "TLS_AES_256_GCM_SHA384":
                 "aes-256-gcm-sha384", "TLS_CHACHA20_POLY1305_SHA256": "chacha20-poly1305-sha256"}
        for target in self.both:
            for suite, name in names.items():
                for mode in ("hash", "raw"):
                    template = target.url + "/t/" + draft_r.VARIABLE
                    with self._client(target, protocol="draft-r", template=template, suite=name,
                                      context=mode) as gateway:
                        self._c_run(gateway, target, (template, suite), mode)

    def _c_run(self, gateway, target, expected, mode):
        share = targets.Share(gateway, json.loads(message(0)))
        template, suite, secret = draft_r.link_parse(share.created["link"])
        equal((template, suite), expected, "link")
        equal(len(secret), draft_r.SUITES[suite].secret_octets, "R")
        bob = client.RunClient(draft_r.Run(template, suite, secret, False, mode), target.ca_file)
        equal("message" in share.read(1), False, "before it is there")
        equal(json.loads(bob.read()), json.loads(message(0)), "message 0")
        url = bob.run.url()[len(target.url):]
        bob.write(message(1))
        answer = share.read(1)
        equal(share.opened(answer, 1), json.loads(message(1)), "message 1")
        equal(bob.https.send("GET", url).status, 200, "kept until it is acknowledged")
        equal(share.ask("acknowledge")["type"], "done", "acknowledge")
        equal(bob.https.send("GET", url).status, 404, "deleted")
        equal(share.write(2, json.loads(message(2)))["type"], "done", "message 2")
        equal(json.loads(bob.read()), json.loads(message(2)), "message 2")
        self._keeps_secrets(secret)

    def _keeps_secrets(self, *secrets):
        """No Secret, fragment or Referer came to our relay, in no spelling (C-20, D-15)."""
        for method, path, headers, body in self.double.requests:
            text = b" ".join([method.encode(), path.encode(), repr(headers).encode(), body])
            assert "#" not in path and "referer" not in map(str.lower, headers), (method, path)
            for secret in secrets:
                standard = draft_v.base64_encode(secret).rstrip("=")
                for spelling in (standard, standard.replace("+", "-").replace("/", "_"), secret.hex()):
                    assert spelling.encode() not in text, "a Secret in %s %s" % (method, path)

    # --- vestibule-receive, both relays -------------------------------------------------------------

    def _receive(self, target, url, *options):
        command = [os.path.join(self.build, "relay-client", "vestibule-receive")]
        command += ["--ca-file", target.ca_file, "--allow", target.url[len("https://"):]]
        return subprocess.run(command + [*options, "-"], input=url.encode() + b"\n", capture_output=True,
                              check=False)

    @tap.test
    def vestibule_receive_opens_what_our_initiator_shared(self):
        for target in self.both:
            for kind in draft_v.KEY_OCTETS:
                for padding in ("=", "%3D", ""):
                    initiator, url = self._share(target, kind, vertical="c")
                    link, _, secret = url.partition("#")
                    received = self._receive(target, link + "#" + secret.replace("=", padding), "--json")
                    equal(received.returncode, 0, received.stderr)
                    value = json.loads(received.stdout)
                    equal(value["provisioning"], json.loads(message(0)), "content")
                    equal((value["title"], value["vertical"]), (targets.DISPLAY["title"], "c"), "display")
                    equal(word_of_end(initiator.read), "gone", "deleted by the recipient")
                    self._keeps_secrets(initiator.secret)

    @tap.test
    def vestibule_receive_says_how_a_transfer_ended(self):
        for target in self.both:
            initiator, url = self._share(target)
            equal(self._receive(target, url[:-4] + "AA==").returncode, 5, "another Secret")
            equal(self._receive(target, url).returncode, 3, "another device has it")
            initiator.delete()
            equal(self._receive(target, url).returncode, 4, "withdrawn")
            initiator, url = self._share(target)
            initiator.https.send(
                "PUT", initiator.path, {draft_v.REQUEST_ID: draft_v.new_uuid(),
                                        draft_v.DEVICE_CLAIM: initiator.claim},
                draft_v.json_bytes({"payload": {"type": "AEAD_AES_128_GCM", "data": "AAAA"}}))
            equal(self._receive(target, url).returncode, 5, "too short")

    def _handled(self, target, url, *options):
        """A vestibule-receive in the background whose handler answers message 0 with message 1, and
        nothing to message 2; and the folder in which it keeps what it was given."""
        folder = tempfile.mkdtemp(dir=self.folder.name)
        with open(os.path.join(folder, "answer-0"), "wb") as file:
            file.write(message(1))
        handler = "cd %s && cat >given-$VESTIBULE_MESSAGE && [ $VESTIBULE_MESSAGE != 0 ] || cat answer-0"
        command = [os.path.join(self.build, "relay-client", "vestibule-receive"), "accept"]
        command += ["--ca-file", target.ca_file, "--allow", target.url[len("https://"):]]
        command += ["--state", os.path.join(folder, "state"), "--handler", handler % folder, *options, "-"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, preexec_fn=die_with_parent)
        process.stdin.write(url.encode() + b"\n")
        process.stdin.close()
        return process, folder

    def _handled_whole(self, process, folder, what):
        status = process.wait(PATIENCE)
        errors = process.stderr.read()
        process.stdout.close()
        process.stderr.close()
        equal(status, 0, "%s: %s" % (what, errors))
        for number in (0, 2):
            with open(os.path.join(folder, "given-%d" % number), "rb") as file:
                equal(file.read().rstrip(b"\n"), message(number), what)
        equal(os.path.exists(os.path.join(folder, "state")), False, "the state of what has ended")

    @tap.test
    def vestibule_receive_carries_on_a_transfer_with_our_initiator(self):
        running = []
        for target in self.both:
            for kind in draft_v.KEY_OCTETS:
                initiator, url = self._share(target, kind, vertical="c")
                running.append((initiator, *self._handled(target, url)))
        for initiator, _, _ in running:
            equal(soon(initiator.read), message(1), "message 1")
            initiator.write(message(2))
        for initiator, process, folder in running:
            self._handled_whole(process, folder, "Draft V")
            equal(word_of_end(initiator.read), "gone", "deleted by the recipient")
            self._keeps_secrets(initiator.secret)

    @tap.test
    def vestibule_receive_carries_on_a_run_with_our_sender(self):
        running = []
        for target in self.both:
            for suite in draft_r.SUITES:
                for mode in ("hash", "raw"):
                    alice, _ = self._runs(target, suite, mode)
                    alice.write(message(0))
                    link = draft_r.link_build(alice.run.template, suite, alice.run.secret)
                    equal(draft_r.link_parse(link), (alice.run.template, suite, alice.run.secret), "link")
                    running.append((alice, *self._handled(target, link, "--context", mode)))
        last = []
        for alice, _, _ in running:
            equal(soon(alice.read), message(1), "message 1")
            last.append(alice.run.url())
            alice.write(message(2))
        for alice, process, folder in running:
            self._handled_whole(process, folder, "%s %s" % (alice.run.suite.name, alice.run.mode))
            self._keeps_secrets(alice.run.secret)
            url = last.pop(0)
            equal(alice.https.send("GET", url[len(alice.https.origin):]).status, 404, "deleted")

    @tap.test
    def vestibule_receive_does_not_take_an_older_message_for_a_new_one(self):
        initiator, url = self._share(self.double)
        box = self.double.mailboxes.mailboxes[initiator.path.rpartition("/")[2]]
        first = box.payload
        process, folder = self._handled(self.double, url)
        equal(soon(initiator.read), message(1), "message 1")
        box.payload = first
        before = len(self.double.requests)
        soon(lambda: len(self.double.requests) > before or None)
        initiator.write(message(2))
        self._handled_whole(process, folder, "after an older one")

    @tap.test
    def vestibule_receive_ends_a_run_that_was_garbled(self):
        for at in (0, 40, -1):
            alice, _ = self._runs(self.double, "TLS_AES_128_GCM_SHA256")
            url = alice.run.url()
            alice.write(message(0))
            places = self.double.places.places
            name = url.rpartition("/")[2]
            body = bytearray(places[name])
            body[at] ^= 1
            places[name] = bytes(body)
            link = draft_r.link_build(alice.run.template, alice.run.suite.name, alice.run.secret)
            received = self._receive(self.double, link)
            equal((received.returncode, received.stdout), (5, b""), "garbled at %d" % at)

    @tap.test
    def vestibule_receive_gives_up_its_place_for_our_recipient(self):
        for target in self.both:
            initiator, url = self._share(target)
            state = os.path.join(tempfile.mkdtemp(dir=self.folder.name), "state")
            equal(self._receive(target, url, "--keep", "--state", state).returncode, 0, "receive")
            recipient = self._recipient(target, url)
            equal(word_of_end(recipient.read), "claimed", "another device")
            equal(self._receive(target, url, "--relinquish", "--state", state).returncode, 0, "relinquish")
            equal(recipient.read(), message(0), "the other device, now")
            initiator.delete()


def main():
    options = options_of_test(__doc__)
    with Agree(options.build, options.seed) as agree:
        return tap.run(tap.tests_of(agree), options.names)


if __name__ == "__main__":
    sys.exit(main())
