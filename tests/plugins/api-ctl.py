#!/usr/bin/python3
"""vestibulectl against a real front and a gateway that this script plays.

usage: api-ctl.py VESTIBULE_API VESTIBULECTL [--show | NAME...]     prints TAP, or what people see
"""
import importlib.util
import inspect
import json
import os
import re
import subprocess
import sys
import tempfile
import traceback

sys.dont_write_bytecode = True
specification = importlib.util.spec_from_file_location(
    "api_http", os.path.join(os.path.dirname(os.path.abspath(__file__)), "api-http.py"))
api = importlib.util.module_from_spec(specification)
specification.loader.exec_module(api)

SHARE, LETTER = api.SHARE, "msg_" + api.SHARE[4:]


def share(**members):
    return {
        "id": SHARE, "state": "invited", "version": 3, "policy": "hotel", "tag": "7KQ4",
        "created_at": "2026-11-22T12:00:00Z", "expires_at": "2026-11-23T12:00:00Z", "reference": "booking-4711",
        "attempts_left": 2, "assurance": "RAL-1", "recipient": {"addresses": ["xmpp:bob@example.org"]},
        "delivery": [{"channel": "xmpp", "fact": "delivered", "at": "2026-11-22T12:00:05Z"}],
        "timeline": [{"at": "2026-11-22T12:00:00Z", "event": "created"},
                     {"at": "2026-11-22T12:00:04Z", "event": "invited", "detail": "by xmpp"},
                     {"at": "2026-11-22T12:03:10Z", "event": "wrong code", "detail": "2 tries left"}],
        "link_left": False, **members}


class Place:
    """A front, its gateway, and a folder with a token and a content file."""

    def __init__(self):
        self.gateway = api.Gateway(PROGRAM, sockets=("127.0.0.1:0", "unix:"))
        self.folder = tempfile.TemporaryDirectory(prefix="api-ctl-")
        self.token = os.path.join(self.folder.name, "token")
        self.write("token", api.TOKEN + "\n")
        self.content = self.write("content", '{"token": "marker-9f3a"}')
        self.asked = []
        self.gateway.handler = self.answer
        self.refuse = []
        self.watched = 0

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.gateway.__exit__(*error)
        self.folder.cleanup()

    def write(self, name, text, mode=0o600):
        path = os.path.join(self.folder.name, name)
        with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, mode), "w") as f:
            f.write(text)
        return path

    def answer(self, frame):
        kind, g = frame["type"], self.gateway
        self.asked.append(frame)
        if self.refuse and kind != "tenant.describe":
            refusal = self.refuse.pop(0)
            if refusal:
                return g.answer(frame, refusal["status"], problem=refusal, retry_after=refusal.get("retry_after", 0))
        if kind == "tenant.describe":
            g.describe(frame)
        elif kind == "share.create":
            g.answer(frame, 201, body=share(state="pending", version=1, code="123-456-786", delivery=[], timeline=[]))
        elif kind == "share.get" and "wait" in frame:
            g.answer(frame, 200, body=share(
                state="completed", version=5, link_left=True, timeline=share()["timeline"] + [
                    {"at": "2026-11-22T12:04:00Z", "event": "confirmed"},
                    {"at": "2026-11-22T12:04:09Z", "event": "completed", "detail": "mailbox_gone"}]))
        elif kind == "share.list":
            page = [share(id=SHARE[:-1] + c, state=s, reference=r) for c, s, r in (
                ("a", "invited", "booking-4711"), ("b", "completed", "Zürich \x1b[31mred\u202e"), ("c", "failed", ""))]
            g.answer(frame, 200, body={"shares": page} if "cursor" in frame else {"shares": page, "cursor": "next"})
        elif kind in ("share.get", "share.resend"):
            g.answer(frame, 200, body=share())
        elif kind == "share.cancel":
            g.answer(frame, 202, body=share(state="withdrawing", link_left=True))
        elif kind == "channel.list":
            g.answer(frame, 200, body={"channels": [
                {"name": "xmpp", "scheme": "xmpp", "state": "up", "detail": "component keys.example.org"},
                {"name": "sms", "scheme": "sms", "state": "down", "detail": "bind refused"}]})
        elif kind == "policy.list":
            g.answer(frame, 200, body={"policies": [
                {"name": "hotel", "class": "hotel", "vertical": "a", "lifetime": 86400, "mailbox_ttl": 7200}]})
        elif kind == "letter.list":
            g.answer(frame, 200, body={"letters": [
                {"message": LETTER, "share": SHARE, "channel": "xmpp", "tries": 12,
                 "reason": "remote-server-not-found"}]})
        elif kind == "health":
            g.answer(frame, 200, body={"status": "degraded", "parts": [
                {"name": "store", "up": True, "detail": ""}, {"name": "sms", "up": False, "detail": "bind refused"}]})
        else:
            g.answer(frame, 200, body={})

    def run(self, *arguments, stdin=None, token=True, url=None, locale="C.UTF-8"):
        command = [CTL, "--url", url or f"http://127.0.0.1:{self.gateway.port}"]
        command += ["--token-file", self.token] if token else []
        return subprocess.run(command + list(arguments), capture_output=True, text=True, input=stdin, timeout=60,
                              errors="replace", env={"TZ": "UTC", "LC_ALL": locale, "HOME": self.folder.name,
                                                     "PATH": "/usr/bin:/bin"})

    def create(self, *more, **options):
        return self.run("share", "create", "--policy", "hotel", "--to", "xmpp:bob@example.org", "--title", "Room key",
                        "--format", "f", "--content-file", options.pop("content", self.content), *more, **options)

    def kinds(self):
        return [frame["type"] for frame in self.asked]


def expect(result, status, *texts):
    assert result.returncode == status, (result.returncode, result.stdout, result.stderr)
    for text in texts:
        assert text in result.stdout + result.stderr, (text, result.stdout, result.stderr)
    return result


def start():
    return Place()


def create_shows_the_code_and_whom_to_tell_it():
    with start() as p:
        result = expect(p.create("--to", "sms:+4915112345678", "--expires-in", "2h", "--sender", "Hotel Adler"), 0,
                        "1 2 3 - 4 5 6 - 7 8 6", "by voice", SHARE)
        frame = p.asked[-1]
        assert frame["body"]["recipient"]["addresses"] == ["xmpp:bob@example.org", "sms:+4915112345678"]
        assert frame["body"]["sender"] == {"name": "Hotel Adler"} and "expires_at" in frame["body"]
        assert p.gateway.key.open(frame["sealed"]["box"])["provisioning"]["content"] == {"token": "marker-9f3a"}
        assert "marker-9f3a" not in result.stdout
        assert json.loads(p.create("--json").stdout)["code"] == "123-456-786"
        expect(p.create(content="-", stdin='{"from": "a pipe"}'), 0)
        assert p.gateway.key.open(p.asked[-1]["sealed"]["box"])["provisioning"]["content"] == {"from": "a pipe"}


def create_repeats_itself_with_the_same_key():
    with start() as p:
        p.refuse = [{"type": "busy", "title": "Busy", "status": 503, "detail": "Wait.", "retry_after": 1}, None]
        expect(p.create(), 0, "vestibulectl: Busy (503); trying again in 1 s")
        creates = [f for f in p.asked if f["type"] == "share.create"]
        assert len(creates) == 2 and creates[0]["idempotency"] == creates[1]["idempotency"]


def refusals_become_exit_statuses_and_say_what_to_do():
    with start() as p:
        for status, exit_status in ((401, 77), (403, 77), (404, 66), (409, 65), (422, 65), (500, 70)):
            p.refuse = [{"type": "x", "title": "No way", "status": status, "detail": "Do this.\x1b[2J"}]
            result = expect(p.run("share", "show", SHARE), exit_status, "No way", "Do this.")
            assert "\x1b" not in result.stderr

def without_a_gateway_the_cause_is_said_at_once_and_then_what_to_do():
    with start() as p:
        advice = "; `vestibulectl doctor` says what is wrong\n"
        result = expect(p.run("channels", url="http://127.0.0.1:1"), 69, "no answer from http://127.0.0.1:1: ")
        assert result.stderr.endswith(advice) and result.stderr.count("\n") == 1, result.stderr
        result = expect(p.create(url="http://127.0.0.1:1"), 69, advice)
        first = result.stderr.splitlines()[0]
        assert re.fullmatch(r"vestibulectl: no answer from http://127.0.0.1:1 \(.*connect.*\); trying again in 1 s", first,
                            re.IGNORECASE), first
        assert advice not in p.run("doctor", url="http://127.0.0.1:1").stdout



def wrong_use_is_told_before_anything_is_sent():
    with start() as p:
        for arguments in (("share",), ("share", "show"), ("share", "show", "x"), ("nothing",), (), ("channels", "x"),
                          ("channels", "--policy", "x"), ("share", "create"), ("--colour", "red"),
                          ("letters", "drop", SHARE), ("token", "--tenant", "a b")):
            expect(p.run(*arguments), 64)
        expect(p.create("--expires-in", "2 weeks"), 64)
        for address in ("bob@example.org", "+4915112345678", "", ":bob", "bob@example.org:xmpp"):
            expect(p.create("--to", address), 64, "--to needs xmpp:, sms: or mailto: in front")
        expect(p.create(content=p.write("bad", "no json")), 65)
        expect(p.create(content="/nonexistent"), 66)
        assert p.asked == []


def the_help_has_a_line_for_each_option_and_comes_by_every_way_to_ask():
    with start() as p:
        page = expect(p.run("--help"), 0, "digitalwallet.generic.authorizationToken").stdout
        for words in (("help",), ("help", "share", "create"), ("share", "create", "--help"), ("doctor", "--help")):
            assert p.run(*words).stdout == page, words
        options = ("json", "url", "token-file", "tenant", "state", "limit", "reference", "policy", "to", "name", "locale",
                   "time-zone", "title", "description", "image-url", "format", "content-file", "expires-in", "sender")
        for option in options:
            assert re.search(rf"^  --{option}( [A-Z]+)? +\S", page, re.MULTILINE), option
        assert max(map(len, page.splitlines())) < 90, page
        assert p.asked == []


def a_token_that_others_can_read_or_overhear_is_not_used():
    with start() as p:
        os.chmod(p.token, 0o644)
        expect(p.run("channels"), 77, "chmod 600")
        os.chmod(p.token, 0o600)
        expect(p.run("channels", url="http://gateway.example:8480"), 64, "use https")
        assert p.asked == []


def the_token_is_found_at_its_usual_places():
    with start() as p:
        os.makedirs(os.path.join(p.folder.name, ".config/vestibule"))
        os.rename(p.token, os.path.join(p.folder.name, ".config/vestibule/token"))
        expect(p.run("channels", token=False), 0, "xmpp")
        assert p.asked[-1]["credential"]["token"] == api.TOKEN_ID


def the_list_follows_the_pages_and_disarms_foreign_text():
    with start() as p:
        result = expect(p.run("share", "list", "--state", "invited"), 0)
        assert len(result.stdout.splitlines()) == 7, result.stdout
        assert "\x1b" not in result.stdout and "\u202e" not in result.stdout and "Zürich ?[31mred?" in result.stdout
        assert [f.get("cursor") for f in p.asked] == [None, "next"]
        assert len(json.loads(p.run("share", "list", "--json").stdout)) == 6
        assert "Z?rich" in p.run("share", "list", locale="C").stdout


def watch_follows_a_share_to_its_end():
    with start() as p:
        result = expect(p.run("share", "watch", SHARE), 0, "wrong code", "mailbox_gone", "completed")
        assert result.stdout.count("wrong code") == 1
        assert p.asked[-1]["after"] == 3 and p.asked[-1]["wait"] > 0
        lines = p.run("share", "watch", SHARE, "--json").stdout.splitlines()
        assert [json.loads(line)["state"] for line in lines] == ["invited", "completed"]


def operators_come_by_the_socket():
    with start() as p:
        url = "unix:" + p.gateway.unix
        expect(p.run("letters", "list", url=url, token=False), 0, "remote-server-not-found")
        assert p.asked[-1]["credential"]["uid"] == os.getuid()
        expect(p.run("letters", "replay", LETTER, url=url, token=False), 0, "due again")
        assert p.asked[-1]["message"] == LETTER
        expect(p.run("letters", "drop", LETTER, url=url, token=False), 0)
        expect(p.run("clock", "accept", url=url, token=False), 0)
        assert p.kinds() == ["letter.list", "letter.replay", "letter.drop", "clock.accept"]
        expect(p.run("letters", "list", url=url), 0)
        assert "token" in p.asked[-1]["credential"], "a token that was named was not sent"
        result = expect(p.run("letters", "list", url="unix:/run/vestibule/no.sock", token=False), 69,
                        "no answer from unix:/run/vestibule/no.sock; is vestibule-api@operators running",
                        "group vestibule-operator?")
        assert "localhost" not in result.stderr


def a_token_and_its_line_belong_together():
    with start() as p:
        result = expect(p.run("token", "--tenant", "adler"), 0, "tenant adler")
        text = re.search(r"vb_live_\w+", result.stdout)[0]
        entry = re.search(r'token = \{ "([^"]+)" \}', result.stdout)[1]
        inner = api.hashlib.blake2b(text[17:49].encode(), digest_size=32).digest()
        verifier = api.hashlib.blake2b(inner, digest_size=32, key=b"vestibule token verifier v1").digest()
        assert entry == text[8:16] + ":" + api.base64.b64encode(verifier).decode()
        assert set(json.loads(p.run("token", "--json").stdout)) == {"token", "entry"}


def the_doctor_names_what_is_wrong_and_what_to_do():
    with start() as p:
        result = expect(p.run("doctor"), 69, "sms is down: bind refused", "-> ", "the clocks agree", "knows our token")
        assert "failed" in result.stdout
        findings = json.loads(p.run("doctor", "--json").stdout)
        assert {"api", "clock", "part", "token", "configuration", "socket"} <= {f["check"] for f in findings}
        expect(p.run("doctor", url="http://127.0.0.1:1"), 69, "no answer", "systemctl status")


TESTS = [value for value in list(globals().values())
         if inspect.isfunction(value) and value.__code__.co_argcount == 0
         and value.__code__.co_firstlineno > start.__code__.co_firstlineno]


def show():
    with start() as p:
        for arguments in (["share", "show", SHARE], ["share", "list"], ["share", "watch", SHARE],
                          ["share", "cancel", SHARE], ["channels"], ["policies"], ["letters", "list"],
                          ["token", "--tenant", "adler"], ["doctor"], ["share", "create"], ["--help"]):
            print("$ vestibulectl " + " ".join(arguments))
            result = p.run(*arguments)
            print(result.stdout + result.stderr + f"[{result.returncode}]\n")
        print("$ vestibulectl share create ...\n" + p.create("--expires-in", "2h").stdout)


if __name__ == "__main__":
    PROGRAM, CTL = sys.argv[1:3]
    api.PROGRAM = PROGRAM
    if sys.argv[3:] == ["--show"]:
        sys.exit(show())
    chosen = [t for t in TESTS if len(sys.argv) < 4 or t.__name__ in sys.argv[3:]]
    print(f"1..{len(chosen)}")
    failed = 0
    for number, test in enumerate(chosen, 1):
        try:
            test()
            print(f"ok {number} - {test.__name__}", flush=True)
        except Exception:
            failed += 1
            print(f"not ok {number} - {test.__name__}", flush=True)
            for line in traceback.format_exc().splitlines():
                print("# " + line, flush=True)
    sys.exit(1 if failed else 0)
