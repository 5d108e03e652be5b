#!/usr/bin/python3
"""plugins/api/SEALING.md as somebody would follow it: its functions are taken out of the page and run as they stand,
with keys that the relay client made and the API shows, and what they sealed is opened as the relay client opens it.

usage: api-sealing.py SEALING.md VESTIBULE_RELAY_CLIENT VESTIBULE_API OPEN_BOX [NAME...]     prints TAP
"""
import base64
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
specification = importlib.util.spec_from_file_location(
    "api_http", os.path.join(os.path.dirname(os.path.abspath(__file__)), "api-http.py"))
api = importlib.util.module_from_spec(specification)
specification.loader.exec_module(api)

# What a program around the functions does: reads what to seal, and prints what goes into the request.
DRIVERS = {
    "python": ("/usr/bin/python3", """
import sys
given = json.load(sys.stdin)
kid, key = key_to_seal_to(given["keys"], given["signer"])
print(json.dumps(seal(kid, key, given["tenant"], given["bound_to"], given["class"], given["provisioning"])))
"""),
    "php": ("php", """
$given = json_decode(stream_get_contents(STDIN), true);
[$kid, $key] = key_to_seal_to($given['keys'], $given['signer']);
$provisioning = $given['provisioning'];
$provisioning['content'] = (object) $provisioning['content'];
echo json_encode(seal($kid, $key, $given['tenant'], $given['bound_to'], $given['class'], $provisioning));
"""),
}
ADDRESSES = ["xmpp:bob@example.org", "sms:+4915112345678"]
PROVISIONING = {"format": "digitalwallet.generic.authorizationToken",
                "content": {"token": "marker-9f3a \u00e4\u20ac\U0001f511\"\\/", "list": [1, {"a": None}, True]}}


def page():
    with open(PAGE) as f:
        return f.read()


def code_of(language):
    (block,) = re.findall(rf"^```{language}\n(.*?)^```$", page(), re.MULTILINE | re.DOTALL)
    return block


class House:
    """The relay client's keys, a front that shows them, and one program for each language of the page."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="api-sealing-")
        self.keys = os.path.join(self.folder.name, "keys")
        self.make_key()
        self.programs = {}
        for language, (interpreter, driver) in DRIVERS.items():
            path = os.path.join(self.folder.name, "program." + language)
            with open(path, "w") as f:
                f.write(("<?php\n" if language == "php" else "") + code_of(language) + driver)
            self.programs[language] = [interpreter, path]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.folder.cleanup()

    def make_key(self, *options):
        subprocess.run([RELAY_CLIENT, "--make-key", self.keys, *options], check=True, stdout=subprocess.DEVNULL)

    def front(self):
        key = api.RelayKey()
        with open(os.path.join(self.keys, "relay-key.pub")) as f:
            key.file = f.read()
        return api.Gateway(API, key=key)

    def run(self, language, **given):
        return subprocess.run(self.programs[language], input=json.dumps(given), capture_output=True, text=True, timeout=30)

    def seal(self, language, keys, bound_to=tuple(ADDRESSES), **members):
        given = {"keys": keys, "signer": keys["signer"], "tenant": keys["tenant"], "bound_to": list(bound_to),
                 "class": "hotel", "provisioning": PROVISIONING, **members}
        result = self.run(language, **given)
        assert result.returncode == 0, (language, result.stdout, result.stderr)
        return json.loads(result.stdout)

    def open(self, sealed, tenant="adler"):
        """sealed: of the frame that the front hands to the gateway."""
        frame = {"tenant": tenant, **sealed}
        return subprocess.run([OPEN_BOX, os.path.join(self.keys, "relay-key")], input=json.dumps(frame),
                              capture_output=True, text=True, timeout=30)

    def opened(self, sealed):
        result = self.open(sealed)
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)


def keys_of(front):
    response = api.Client(front).ask("GET", "/v1/keys")
    assert response.status == 200, response.text
    return response.json


def create(front, provisioning):
    answer = api.post_share(api.Client(front), api.share_body(provisioning=provisioning))
    frame = front.next("share.create")
    front.answer(frame, 201, body=api.share_answer())
    assert answer().status == 201
    return frame["sealed"]


def start():
    return House()


def a_share_sealed_by_the_page_opens_at_the_relay_client():
    with start() as house, house.front() as front:
        for language in DRIVERS:
            sealed = create(front, house.seal(language, keys_of(front)))
            opened = house.opened(sealed)
            assert opened["provisioning"] == PROVISIONING, (language, opened)
            assert abs(opened["not_after"] - time.time() - 67 * 3600) < 60, (language, opened)
            other = house.open({**sealed, "class": "car"})
            assert other.returncode == 1 and "the box: 3" in other.stderr, "the box is not bound to its class"
            assert house.open(sealed, tenant="eve").returncode == 1, "the box is not bound to its tenant"


def a_message_sealed_by_the_page_opens_at_the_relay_client():
    with start() as house, house.front() as front:
        for language in DRIVERS:
            provisioning = house.seal(language, keys_of(front), bound_to=[api.SHARE], **{"class": "message"})
            answer = api.send_message(api.Client(front), provisioning)
            frame = front.next("message.add")
            assert house.opened(frame["sealed"])["provisioning"] == PROVISIONING, language
            front.answer(frame, 202, body={})
            assert answer().status == 202


def both_languages_and_vestibulectls_rules_agree_on_an_empty_content():
    with start() as house, house.front() as front:
        empty = {"format": "f", "content": {}}
        for language in DRIVERS:
            sealed = create(front, house.seal(language, keys_of(front), provisioning=empty))
            assert house.opened(sealed)["provisioning"] == empty, language


def after_a_rotation_the_new_key_is_used_and_the_old_box_still_opens():
    with start() as house:
        with house.front() as front:
            old = {language: house.seal(language, keys_of(front)) for language in DRIVERS}
        house.make_key("--add")
        with house.front() as front:
            keys = keys_of(front)
            kids = [key["kid"] for key in keys["keys"]]
            assert len(kids) == 2
            for language in DRIVERS:
                assert old[language]["sealed"]["kid"] == kids[1]
                assert house.opened(create(front, old[language]))["provisioning"] == PROVISIONING
                new = house.seal(language, keys)
                assert new["sealed"]["kid"] == kids[0]
                assert house.opened(create(front, new))["provisioning"] == PROVISIONING


def keys_that_the_signer_did_not_sign_are_refused():
    with start() as house, house.front() as front:
        keys = keys_of(front)
        other = json.loads(api.RelayKey().file)
        given = {"keys": keys, "signer": keys["signer"], "tenant": "adler", "bound_to": ADDRESSES, "class": "hotel",
                 "provisioning": PROVISIONING}
        for language in DRIVERS:
            assert house.run(language, **given).returncode == 0
            for change in ({"signer": other["signer"]},
                           {"keys": {**keys, "keys": [{**keys["keys"][0], "key": other["keys"][0]["key"]}]}},
                           {"keys": {**keys, "keys": [{**keys["keys"][0], "not_after": "2099-01-01T00:00:00Z"}]}},
                           {"keys": {**keys, "keys": []}}):
                result = house.run(language, **{**given, **change})
                assert result.returncode != 0 and "sealed" not in result.stdout, (language, change, result.stdout)


def a_key_whose_time_has_passed_is_not_sealed_to():
    with start() as house:
        old = json.loads(api.RelayKey(lifetime=-60).file)
        key = old["keys"][0]
        shown = {**old, "keys": [{**key, "not_after": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(key["not_after"]))}]}
        for language in DRIVERS:
            result = house.run(language, keys=shown, signer=old["signer"], tenant="adler", bound_to=ADDRESSES,
                               provisioning=PROVISIONING, **{"class": "hotel"})
            assert result.returncode != 0 and "the time of every key has passed" in result.stdout + result.stderr, result


def what_the_page_says_in_numbers_is_so():
    text = page()
    assert f"the hash is `{api.recipients_hash(*ADDRESSES)}`" in text
    assert "`xmpp:bob@example.org` and `sms:+4915112345678`" in text
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(PAGE))))
    header = ""
    for name in ("envelope.h", "sealed-json.h"):
        with open(os.path.join(root, "base", name)) as f:
            header += f.read()
    assert "ENVELOPE_CONTENT_MAX = SEALED_JSON_MAX," in header
    size = eval(re.search(r"SEALED_JSON_MAX = ([\d *]+)", header)[1])
    depth = re.search(r"ENVELOPE_DEPTH_MAX = (\d+)", header)[1]
    assert f"at most {size:,}\noctets and {depth} levels" in text
    with start() as house, house.front() as front:
        keys = keys_of(front)
        for member in re.findall(r'"(\w+)":', re.search(r"^    \{\"keys\".*?\n\n", text, re.MULTILINE | re.DOTALL)[0]):
            assert member in keys or member in keys["keys"][0], member
        answer = api.Client(front).later("POST", "/v1/shares", api.share_body(provisioning={"sealed": {
            "kid": "0" * 16, "box": base64.b64encode(bytes(100)).decode()}}), headers={"Idempotency-Key": api.KEY})
        api.expect_problem(answer(), 422, "unknown-key")
    assert "422 `unknown-key`" in text


TESTS = api.tap.functions_below(start)

if __name__ == "__main__":
    PAGE, RELAY_CLIENT, API, OPEN_BOX = sys.argv[1:5]
    api.PROGRAM = API
    sys.exit(api.tap.run(TESTS, sys.argv[5:]))
