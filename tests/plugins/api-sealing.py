#!/usr/bin/python3
"""plugins/api/SEALING.md as somebody would follow it: its functions are taken out of the page and run as they stand,
with keys that the relay client made and the API shows, and what they sealed is opened as the relay client opens it;
what they encrypted, as the recipient does.

usage: api-sealing.py SEALING.md VESTIBULE_RELAY_CLIENT VESTIBULE_API OPEN_BOX VESTIBULE_RECEIVE [NAME...]
prints TAP
"""
import base64
import importlib.util
import json
import os
import re
import ssl
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
specification = importlib.util.spec_from_file_location(
    "api_http", os.path.join(os.path.dirname(os.path.abspath(__file__)), "api-http.py"))
api = importlib.util.module_from_spec(specification)
specification.loader.exec_module(api)
from harness.https_server import HttpsServer  # noqa: E402

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


def code_of(language, function="seal"):
    """The block of the page that has this function."""
    (block,) = [block for block in re.findall(rf"^```{language}\n(.*?)^```$", page(), re.MULTILINE | re.DOTALL)
                if re.search(rf"^(def|function) {function}\(", block, re.MULTILINE)]
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


class Mailbox:
    """A relay with one mailbox, of Draft V, that takes everybody's word."""

    def __init__(self, folder):
        self.payload, self.certificate = None, os.path.join(folder, "certificate.pem")
        key = os.path.join(folder, "key.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-keyout", key, "-out", self.certificate, "-days", "2", "-subj", "/CN=localhost",
                        "-addext", "subjectAltName=IP:127.0.0.1"], check=True, stderr=subprocess.DEVNULL)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, key)
        self.server = HttpsServer(context, self.answer)
        self.link = self.server.url + "/v1/m/3f0c1a52-6f0b-4a6e-9c1d-0b1f5f1f2a77?v=a"

    def answer(self, request):
        if request.method == "PUT":
            self.payload = json.loads(request.body)["payload"]
        body = json.dumps({"payload": self.payload} if request.method == "POST" else {}).encode()
        head = (f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nMailbox-Request-ID: {request.id}\r\n"
                f"Content-Length: {len(body)}\r\n\r\n")
        return head.encode() + body

    def receive(self, fragment, *options):
        return subprocess.run([RECEIVE, "--allow", self.server.authority, "--ca-file", self.certificate, *options, "-"],
                              input=f"{self.link}#{fragment}\n", capture_output=True, text=True, timeout=60)


def the_recipient_decrypts_what_the_page_encrypted_and_the_page_his_answer():
    recipe = {}
    exec(compile(code_of("python", "encrypt"), PAGE, "exec"), recipe)
    with start() as house, house.front() as front:
        mailbox = Mailbox(house.folder.name)
        for size in (16, 32):
            secret = os.urandom(size)
            written = [recipe["encrypt"](secret, PROVISIONING) for _ in range(2)]
            assert written[0]["encrypted"]["data"][:16] != written[1]["encrypted"]["data"][:16], "one IV twice"
            sealed = create(front, written[0])
            sealed = {name: sealed[name] for name in ("kid", "box", "recipients", "class")}
            mailbox.payload = house.opened(sealed)["provisioning"]["encrypted"]
            got = mailbox.receive(recipe["fragment"](secret), "--keep")
            assert got.returncode == 0 and json.loads(got.stdout) == PROVISIONING, got
            assert mailbox.receive(recipe["fragment"](os.urandom(size)), "--keep").returncode == 5
            answered = mailbox.receive(recipe["fragment"](secret), "--handler", "sed s/marker/answer/", "--wait", "0")
            assert answered.returncode == 10, answered
            token = recipe["decrypt"](secret, mailbox.payload)["content"]["token"]
            assert token == PROVISIONING["content"]["token"].replace("marker", "answer")
        mailbox.server.close()


TESTS = api.tap.functions_below(start)

if __name__ == "__main__":
    PAGE, RELAY_CLIENT, API, OPEN_BOX, RECEIVE = sys.argv[1:6]
    api.PROGRAM = API
    sys.exit(api.tap.run(TESTS, sys.argv[6:]))
