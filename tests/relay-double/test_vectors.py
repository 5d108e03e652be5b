"""The second implementation against every test vector, before anything is compared with it: two
readings that agree with each other and not with the vectors would prove nothing."""

import argparse
import hashlib
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, ".."))

import draft_r  # noqa: E402
import draft_v  # noqa: E402
import relay  # noqa: E402
import scenarios  # noqa: E402
from harness import tap  # noqa: E402

VECTORS = os.path.join(HERE, "..", "relay-client", "vectors.json")

# Of the vectors as they came with the protocols' description, members sorted and without the words
# about them, so that the file of this tree can be laid out anew, and cannot lose or change a vector.
CONTENT = "22f2926b6b03cb8ba0339144312489e33b0c99a19e56438853d55b0ead21fc63"
COUNTS = {"share_url": 12, "payload_positive": 7, "payload_negative": 14, "payload_lenient": 3}
RUNS = 6
SCENARIOS = 17

# What the description leaves to each implementation: MIME's line breaks are not accepted here.
LENIENT_ERRORS = {"data-with-line-breaks": "base64"}


def equal(found, expected, what):
    if found != expected:
        raise AssertionError("%s: %r instead of %r" % (what, found, expected))


def without_words(value):
    if isinstance(value, dict):
        return {name: without_words(member) for name, member in value.items() if name != "_about"}
    return [without_words(member) for member in value] if isinstance(value, list) else value


def name_of_error(function, *arguments, **options):
    try:
        function(*arguments, **options)
    except draft_v.DraftError as error:
        return error.name
    return None


class Vectors:
    def __init__(self, vectors):
        self.vectors = vectors

    @tap.test
    def the_vectors_are_complete_and_unchanged(self):
        for key, count in COUNTS.items():
            equal(len(self.vectors[key]), count, key)
        equal(len(self.vectors["draft_r"]["runs"]), RUNS, "runs")
        equal(len(self.vectors["relay_scenarios"]["scenarios"]), SCENARIOS, "scenarios")
        text = json.dumps(without_words(self.vectors), sort_keys=True, ensure_ascii=True)
        equal(hashlib.sha256(text.encode()).hexdigest(), CONTENT, "content")

    @tap.test
    def share_urls_come_apart_or_are_refused_by_name(self):
        for vector in self.vectors["share_url"]:
            what = vector["name"]
            if not vector["valid"]:
                equal(name_of_error(draft_v.share_url_parse, vector["url"]), vector["error"], what)
                continue
            parsed = draft_v.share_url_parse(vector["url"])
            for member in ("host", "api_version", "mailbox_id", "vertical", "secret_text", "api_url"):
                equal(getattr(parsed, member), vector[member], what + " " + member)
            equal(parsed.secret and parsed.secret.hex(), vector["secret_hex"], what)
            equal(parsed.warning, None, what)

    @tap.test
    def a_share_url_is_built_from_the_link_as_it_came(self):
        for vector in self.vectors["share_url"]:
            standard = vector.get("secret_text") and len(vector["secret_text"]) in (24, 44)
            if vector["valid"] and standard and ("?v=" in vector["url"]) == (vector["vertical"] != "a"):
                built = draft_v.share_url_build(vector["api_url"], bytes.fromhex(vector["secret_hex"]),
                                                vector["vertical"])
                equal(built, vector["url"], vector["name"])

    @tap.test
    def payloads_are_sealed_to_these_octets_and_opened_again(self):
        for vector in self.vectors["payload_positive"]:
            what, key = vector["name"], bytes.fromhex(vector["key_hex"])
            plaintext = self._plaintext(vector)
            payload = draft_v.payload_seal(vector["type"], key, plaintext, bytes.fromhex(vector["iv_hex"]))
            blob = draft_v.base64_decode(payload["data"])
            equal(draft_v.base64_decode(vector["key_b64"]), key, what)
            equal(blob[-16:].hex(), vector["tag_hex"], what)
            if "blob_hex" in vector:
                equal(blob.hex(), vector["blob_hex"], what)
                equal(blob[12:-16].hex(), vector["ciphertext_hex"], what)
                equal(payload["data"], vector["data_b64"], what)
                equal(draft_v.json_bytes(payload).decode(), vector["payload_json"], what)
            else:
                equal(len(blob), vector["blob_len"], what)
                equal(hashlib.sha256(blob).hexdigest(), vector["blob_sha256_hex"], what)
                equal(hashlib.sha256(payload["data"].encode()).hexdigest(),
                      vector["data_b64_sha256_hex"], what)
            equal(draft_v.payload_open(payload, key), plaintext, what)
            if plaintext:
                draft_v.provisioning_parse(plaintext)

    def _plaintext(self, vector):
        if "plaintext_hex" in vector:
            equal(vector["plaintext_utf8"].encode().hex(), vector["plaintext_hex"], vector["name"])
            return bytes.fromhex(vector["plaintext_hex"])
        plaintext = (b'{"format":"digitalwallet.generic.authorizationToken","content":{"pad":"'
                     + 4096 * b"A" + b'"}}')
        equal(len(plaintext), vector["plaintext_len"], vector["name"])
        equal(hashlib.sha256(plaintext).hexdigest(), vector["plaintext_sha256_hex"], vector["name"])
        return plaintext

    @tap.test
    def bad_payloads_are_refused_by_name(self):
        for vector in self.vectors["payload_negative"]:
            payload = {"type": vector["type"], "data": vector["data"]}
            key = bytes.fromhex(vector["key_hex"])
            found = name_of_error(
                lambda: draft_v.provisioning_parse(draft_v.payload_open(payload, key)))
            equal(found, vector["error"], vector["name"])

    @tap.test
    def what_may_be_accepted_is_accepted_or_refused_always_alike(self):
        for vector in self.vectors["payload_lenient"]:
            what = vector["name"]
            payload = {"type": vector["type"], "data": vector["data"]}
            key = bytes.fromhex(vector["key_hex"])
            legacy = vector["type"] in draft_v.LEGACY_TYPES
            if what in LENIENT_ERRORS:
                equal(name_of_error(draft_v.payload_open, payload, key), LENIENT_ERRORS[what], what)
                continue
            plaintext = draft_v.payload_open(payload, key, legacy=legacy)
            equal(plaintext.hex(), vector["plaintext_hex"], what)
            if legacy:
                equal(name_of_error(draft_v.payload_open, payload, key), "unsupported-type", what)

    @tap.test
    def every_run_of_draft_r_has_these_octets_at_each_step(self):
        for vector in self.vectors["draft_r"]["runs"]:
            self._run(vector)

    def _run(self, vector):
        mode, suite = vector["context_mode"], draft_r.SUITES[vector["suite"]]
        equal(hex(suite.code), vector["suite_code"], "code")
        secret = bytes.fromhex(vector["R_hex"])
        equal(len(secret), suite.secret_octets, "R")
        sender, receiver = (
            draft_r.Run(vector["uri_template"], vector["suite"], secret, is_sender, mode)
            for is_sender in (True, False))
        for step in vector["messages"]:
            what = "%s %s %d" % (vector["suite"], mode, step["i"])
            writer, reader = (sender, receiver) if step["i"] % 2 == 0 else (receiver, sender)
            if "skipped" in step:
                equal(name_of_error(writer.url), "context-length", what)
                continue
            # A copy from the stored state must go on as the party itself does.
            writer = draft_r.Run(vector["uri_template"], vector["suite"], secret, writer.sender, mode,
                                 json.loads(json.dumps(writer.state())))
            self._step(step, what, suite, writer, reader)
            other = sender if writer.sender else receiver
            other.__dict__.update(writer.__dict__)

    def _step(self, step, what, suite, writer, reader):
        equal(writer.index, step["i"], what)
        equal(step["direction"].startswith("sender") == writer.sender, True, what)
        equal(len(writer.transcript), step["transcript_len"], what)
        place = writer.place()
        equal(draft_r.context_of(suite, writer.mode, writer.transcript).hex(), step["context_hex"], what)
        equal(place.location_info.hex(), step["location_info_hex"], what)
        equal(place.key_info.hex(), step["key_info_hex"], what)
        equal(place.location.hex(), step["U_hex"], what)
        equal(place.name, step["location_b64url"], what)
        equal(place.key.hex(), step["K_hex"], what)
        equal(writer.url(), step["url"], what)
        equal(reader.url(), step["url"], what)
        response_nonce = bytes.fromhex(step["response_nonce_hex"])
        names = ("prk_hex", "aead_key_hex", "aead_nonce_hex")
        for name, octets in zip(names, draft_r.body_keys(suite, place.key, response_nonce)):
            equal(octets.hex(), step[name], what)
        message = step["message_utf8"].encode()
        body = writer.make(message, bytes.fromhex(step["random_hex"]), response_nonce)
        equal(writer.pending_plaintext.hex(), step["plaintext_struct_hex"], what)
        equal(body.hex(), step["http_body_hex"], what)
        writer.sent()
        equal(reader.take(body), message, what)
        equal(reader.to_delete, step["url"], what)
        reader.deleted()

    @tap.test
    def a_run_that_meets_a_wrong_message_is_over_for_good(self):
        for change, error in (
            (lambda body, _: body[:-1] + bytes((body[-1] ^ 1,)), "auth"),
            (lambda body, _: body[:31], "too-short"),
            (lambda _, seal: seal(b"\x10" + 16 * b"r" + b"\x00\x01" + 4 * b"\x00"), "message-id"),
            (lambda _, seal: seal(b"\x0f" + 15 * b"r" + b"\x00\x00" + 4 * b"\x00"), "random-length"),
            (lambda _, seal: seal(b"\x10" + 16 * b"r" + b"\x00\x00" + b"\x00\x00\x00\x01"), "struct"),
            (lambda _, seal: seal(b"\x10" + 16 * b"r" + b"\x00\x00" + 4 * b"\x00" + b"x"), "struct"),
            (lambda _, seal: seal(b""), "struct"),
        ):
            name = "TLS_AES_128_GCM_SHA256"
            template, secret = "https://drop.example.net/t/{tigress_location}", 32 * b"R"
            alice = draft_r.Run(template, name, secret, True)
            bob = draft_r.Run(template, name, secret, False)
            good = alice.make(b"hello")

            def seal(plaintext, key=alice.place().key):
                return draft_r.body_seal(draft_r.SUITES[name], key, plaintext)

            equal(name_of_error(bob.take, change(good, seal)), error, error)
            equal(name_of_error(bob.take, good), "aborted", "a second try after " + error)

    @tap.test
    def every_scenario_has_these_answers_from_the_second_relay(self):
        with relay.Relay() as target:
            for scenario in self.vectors["relay_scenarios"]["scenarios"]:
                statuses = scenarios.play(self.vectors, target, scenario)
                tap.note("%s: %s" % (scenario["name"], " ".join(map(str, statuses))))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vectors", default=VECTORS)
    parser.add_argument("tests", nargs="*")
    options = parser.parse_args()
    with open(options.vectors, encoding="utf-8") as file:
        vectors = json.load(file)
    return tap.run(tap.tests_of(Vectors(vectors)), options.tests)


if __name__ == "__main__":
    sys.exit(main())
