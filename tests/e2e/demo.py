"""./dev demo: the whole story on real parts, told as it happens.

A server for the channel (Prosody, Kannel, or Postfix and Dovecot), vestibule-relay, vestibuled with its
plugins, a hotel and a guest, all on loopback. What is printed as a fact at the end was measured: in the
relay's log, in the messages that the guest received, in the answers of the API.
"""

import argparse
import contextlib
import io
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import textwrap
import time
import zoneinfo
from datetime import datetime, timezone

sys.path[:0] = [os.path.dirname(os.path.abspath(__file__)),
                os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")]

from demo_stages import STAGES  # noqa: E402
from harness.vestibule import (  # noqa: E402
    TERMINAL, URL, events_of, mistyped, plain, share_body, wrong_code)

WIDTH = 88
ANSWERS_MAX = 5  # answers_per_hour, as it is shipped
ENDS = {  # without a key, as promised
    "declined": "Bob declined.",
    "disowned": "Bob is not the one who was meant, and the hotel is warned.",
    "expired": "The invitation's time is over.",
    "locked": "Three wrong codes: the invitation is closed, and nothing was handed out.",
}
CONTENT = {"room": "12", "token": "the key of room 12, as the lock understands it"}


class Ended(BaseException):
    """A signal asked us to end."""


class Failed(Exception):
    """Something was not as promised."""


# --- printing ---------------------------------------------------------------------------------------


class Story:
    def __init__(self):
        self.is_terminal = sys.stdout.isatty()
        self.number = 0

    def style(self, code, text):
        return "\033[%sm%s\033[0m" % (code, text) if self.is_terminal else text

    def line(self, text=""):
        print(text, flush=True)

    def chapter(self, title):
        self.number += 1
        self.line()
        self.line(self.style("1", "%d. %s" % (self.number, title)))

    def tell(self, text):
        for line in textwrap.wrap(text, WIDTH - 3):
            self.line("   " + line)

    def phone(self, name, text):
        """A message as a phone shows it."""
        edge = self.style("2", "   |")
        self.line()
        self.line(edge + " " + self.style("1", name))
        for paragraph in text.splitlines():
            for line in textwrap.wrap(
                paragraph, WIDTH - 8, break_long_words=False, break_on_hyphens=False
            ) or [""]:
                self.line(edge + " " + line)
        self.line()

    def aside(self, text):
        """What was looked up just now."""
        lines = textwrap.wrap(text, WIDTH - 6)
        for number, line in enumerate(lines):
            self.line(self.style("2", ("   > " if number == 0 else "     ") + line))


# --- what the hotel sees, in its own words ------------------------------------------------------------

SEEN = {
    "created": "the share is made",
    "invitation_accepted": "the invitation is sent",
    "delivered": "the %s is on Bob's phone",
    "read": "Bob has read the %s",
    "not_delivered": "the %s did not reach Bob",
    "resent": "the %s is sent again",
    "mistyped": "Bob mistyped the code, which costs no try",
    "wrong": "a wrong code: %s",
    "confirmed": "the right code: it is Bob",
    "releasing": "the key goes to the relay",
    "released": "the link is made",
    "generation": "a new link is made",
    "link_accepted": "the link is sent",
    "acknowledged": "Bob says that he has it",
    "refused": "Bob does not want it",
    "disowned": "Bob says that he is not meant",
    "withdrawing": "what lies at the relay is taken back",
    "ended": "the end: %s",
}


def seen(entry):
    text = SEEN.get(entry["event"], entry["event"].replace("_", " "))
    return text % entry["detail"] if "%s" in text else text


def local_zone():
    """That of the messages, as far as the machine has zone files."""
    try:
        return zoneinfo.ZoneInfo(share_body()["recipient"]["time_zone"])
    except zoneinfo.ZoneInfoNotFoundError:
        return timezone.utc


def number(value):
    return ("no", "one", "two", "three")[value] if value < 4 else str(value)


# --- the stage --------------------------------------------------------------------------------------


class Demo:
    def __init__(self, build, interactive, stage):
        self.build = build
        self.interactive = interactive
        self.stage = stage
        self.story = Story()
        self.folder = self.site = None
        self.n_shown = 0
        self.before_answer = None  # requests at the relay up to the last answer before the end

    def run(self):
        self.set_the_stage()
        self.share()
        self.invitation()
        if self.interactive:
            ended = self.play()
            if ended:
                return self.without_key(ended)
        else:
            self.mistype()
            self.guess_wrong()
            self.answer_right()
        return self.hand_over()

    def set_the_stage(self):
        say = self.story
        say.line("Vestibule: how a hotel sends a room key to the right person")
        say.line("Every program here is real, and all of them run on this computer only.")
        say.chapter("The stage")
        self.folder = tempfile.mkdtemp(prefix="vestibule-demo-")
        self.site = self.stage.start(self.build, self.folder)
        say.tell(self.stage.running)
        self.site.relay.start()
        say.tell("The relay is running. It keeps encrypted keys until a phone collects them.")
        self.site.start_gateway()
        say.tell("Vestibule is running, with one helper for each neighbour: one talks to the hotel, "
                 "one to %s, one to the relay." % self.stage.neighbour)
        self.stage.arrive()
        say.tell("Bob's phone is online.")

    # The sender.

    def share(self):
        say = self.story
        say.chapter("The hotel shares a key")
        self.share_made = self.site.create(self.stage.address(), content=CONTENT)
        self.code = self.share_made["code"]
        self.attempts_total = self.share_made["attempts_left"]
        say.tell("The hotel tells Vestibule: send the key of room 12 to Bob. Vestibule locks the key "
                 "away at once, so that only its helper for the relay can unlock it, and only after "
                 "Bob has proved that it is he.")
        say.tell("It gives the hotel a code for Bob: %s. The hotel tells him by telephone, never %s. "
                 "The dashes are for reading aloud: with or without them, it is the same code."
                 % (self.code, self.stage.where))
        self.look_at_relay()

    def look_at_relay(self):
        lines = len(self.site.relay.lines())
        if lines == 0:
            self.story.aside("The relay has seen nothing so far: its log is empty.")
        else:
            self.story.aside("The relay's log has %d lines by now." % lines)

    # Messages.

    def next_message(self, timeout=20):
        """Waits for one more message, and shows it."""

        self.stage.wait(
            lambda: len(self.stage.shown()) > self.n_shown, timeout, "a message for the guest")
        message = self.stage.shown()[self.n_shown]
        self.n_shown += 1
        self.story.phone(message.sender, message.text)
        return message

    def invitation(self):
        say = self.story
        say.chapter("Bob's phone buzzes")
        message = self.next_message()
        if message.has_link or plain(self.code) in plain(message.raw):
            raise Failed("the invitation holds a link or the code")
        say.aside("The invitation holds no link and no code. Whoever reads it by mistake, or steals "
                  "it, has nothing.")

    def reply(self, text):
        self.before_answer = (time.clock_gettime(time.CLOCK_BOOTTIME), len(self.site.relay.lines()))
        return self.stage.say(text)

    def with_tag(self, text):
        """An answer as this channel wants it."""
        return "%s %s" % (self.share_made["tag"], text) if self.stage.needs_tag else text

    def tries_left(self):
        left = self.site.show(self.share_made)["attempts_left"]
        return "%d of %d tries %s left" % (left, self.attempts_total, "is" if left == 1 else "are")

    def mistype(self):
        say = self.story
        say.chapter("Bob answers, and his finger slips")
        slip = self.with_tag(mistyped(self.code))
        say.tell("Bob writes: %s" % slip)
        self.reply(slip)
        self.next_message()
        say.aside("The last digit checks the others, so a slip is seen and costs nothing: %s."
                  % self.tries_left())

    def guess_wrong(self):
        say = self.story
        say.chapter("A code that is simply wrong")
        guess = self.with_tag(wrong_code(self.code))
        say.tell("Bob mixes something up and writes: %s" % guess)
        self.reply(guess)
        self.next_message()
        say.aside("This was a real try: %s. The next one has to wait two seconds, which makes "
                  "guessing slow." % self.tries_left())
        self.look_at_relay()

    def answer_right(self):
        say = self.story
        say.chapter("Bob asks the hotel again, and gets it right")
        answer = self.with_tag(self.code)
        say.tell("Bob writes: %s" % answer)
        self.reply(answer)
        say.aside("Only now may anything go to the relay.")
        self.link_message = self.next_message()

    # With a person at the keyboard.

    def play(self):
        say = self.story
        say.chapter("Now you are Bob")
        say.tell("The telephone rings. It is the hotel: \"Hello Bob, your code is %s.\"" % self.code)
        say.tell("Type what Bob answers %s. Try a wrong digit, or HELP, or NO if you like.%s" % (
            self.stage.where, "" if not self.stage.needs_tag else
            " Who writes a text message may say that it is from any number, so Bob shows that he got "
            "ours: each answer begins with %s." % self.share_made["tag"]))
        self.link_message, self.guessed = None, set()
        while self.link_message is None:
            sys.stdout.write("\n   Bob: ")
            sys.stdout.flush()
            text = sys.stdin.readline()
            if not text:
                raise Failed("nobody is at the keyboard")
            if text.strip():
                self.answer_played(text.strip())
            share = self.site.show(self.share_made)
            if share["state"] in ENDS and self.link_message is None:
                return share
            if share["state"] in TERMINAL - {"completed"}:
                raise Failed("the share ended as %s" % share["state"])
        return None

    def answer_played(self, text):
        """Says it. It is taken when what it leads to is decided; the reply to it comes after that."""
        say = self.story
        digits = "".join(re.findall(r"\d", text))
        before = self.site.show(self.share_made)
        may_wait = len(digits) == 9 and digits not in self.guessed and "wrong" in events_of(before)
        self.guessed.add(digits)
        handle = self.reply(text)
        if not self.stage.is_taken(handle, 60):
            say.tell("Vestibule does not take that.")
            return
        after = self.site.show(self.share_made)
        if may_wait and (after["state"], events_of(after)) == ("invited", events_of(before)):
            say.aside("After a wrong code the next one has to wait, which makes guessing slow ...")
            self.site.wait(self.share_made, lambda found: (found["state"], events_of(found)) != (
                "invited", events_of(before)), "it is looked at", timeout=60)
        state = self.site.show(self.share_made)["state"]
        is_notice = state in TERMINAL | {"invited"}  # otherwise the link is on its way
        if is_notice and self.n_shown - 1 >= ANSWERS_MAX:
            say.tell("There is no answer any more: Vestibule answers at most %d messages within an "
                     "hour, so that nobody can be flooded. It still reads what Bob writes."
                     % ANSWERS_MAX)
        else:
            try:
                self.stage.wait(lambda: len(self.stage.shown()) > self.n_shown,
                                5 if state == "invited" else 40, "an answer")
            except AssertionError:
                say.tell("There is no answer to that.")
        while len(self.stage.shown()) > self.n_shown:
            message = self.next_message()
            if message.has_link:
                self.link_message = message
        if state == "invited":
            say.aside("%s." % self.tries_left())

    # The end.

    def without_key(self, share):
        """Bob gets no key, as he or the rules wanted it, and the relay must not have heard of him."""
        say = self.story
        say.chapter("No key for Bob")
        requests, sent = len(self.site.relay.lines()), len(self.stage.urls())
        say.tell("%s The hotel sees: %s.%s" % (
            ENDS[share["state"]], share["state"],
            " Nothing went to the relay." if requests == 0 else ""))
        self.timeline(share)
        say.chapter("What was measured")
        return self.conclude([
            ("relay_requests_before_confirmation", requests, 0),
            ("share_urls_sent", sent, 0),
        ])

    def hand_over(self):
        say = self.story
        share = self.site.wait_event(self.share_made, "confirmed")
        url = URL.search(self.link_message.text)
        if not url:
            raise Failed("the message after the right code holds no link")
        requests = self.site.relay.requests()
        say.aside("The relay has now seen its first request, for a place to put the key (%s). What "
                  "it keeps is encrypted; the part of the link after # is what opens it, and never "
                  "reaches the relay." % requests[0]["op"])
        say.aside("The link names %s: that is the relay, which runs on this computer."
                  % self.site.relay.host)

        say.chapter("Bob opens the link")
        received = self.site.receive(url.group(0), "--quiet")
        if received.returncode != 0:
            raise Failed("the wallet could not open the link: " + received.stderr.strip())
        say.tell("His wallet fetches the key, unlocks it, and deletes the relay's copy:")
        say.line()
        say.line("   Inside is the key of room %s:" % CONTENT["room"])
        say.line("   " + received.stdout.strip())
        say.line()
        share = self.site.wait_state(self.share_made, "completed", timeout=20)
        say.tell("Bob need not reply DONE: Vestibule sees at the relay that the key was fetched, and "
                 "tells the hotel: completed.")
        self.timeline(share)
        self.who_saw_what()
        return self.facts(share, received.stdout)

    def timeline(self, share):
        say = self.story
        zone = local_zone()
        say.chapter("What the hotel sees")
        for entry in share["timeline"]:
            at = datetime.fromisoformat(entry["at"].replace("Z", "+00:00")).astimezone(zone)
            say.line("   %s  %s" % (at.strftime("%H:%M:%S %Z"), seen(entry)))

    def who_saw_what(self):
        say = self.story
        say.chapter("Who could see what")
        kept = {name: self.finds_content(path) for name, path in (
            ("relay", self.site.relay.state), ("gateway", self.site.state))}
        if kept["relay"] or kept["gateway"]:
            raise Failed("the key's content lies readable in a folder: %s" % kept)
        say.tell("The relay: an encrypted copy for some seconds, no name, no address, no code.")
        say.tell("Vestibule's store: a locked box that it cannot open. We searched both "
                 "folders, of the relay and of Vestibule, for the key: it is in neither.")
        say.tell("%s That is why the link works once, and why the code took another path."
                 % self.stage.carrier_sees)
        say.tell("A stranger with the invitation alone: nothing.")

    @staticmethod
    def finds_content(folder):
        marker = CONTENT["token"].encode()
        for place, _, names in os.walk(folder):
            for name in names:
                with open(os.path.join(place, name), "rb") as file:
                    if marker in file.read():
                        return True
        return False

    def early_requests(self, share):
        """Lines of the relay's log, connections included, from before the confirmation."""
        answered, n_lines = self.before_answer
        confirmed = [entry["at"] for entry in share["timeline"] if entry["event"] == "confirmed"][0]
        early = [
            line for line in self.site.relay.lines()
            if int(line["boot"]) < answered * 1e6 or line["time"][:19] + "Z" < confirmed
        ]
        return max(len(early), n_lines)

    def facts(self, share, output):
        say = self.story
        sent = {"format": "digitalwallet.generic.authorizationToken", "content": CONTENT}
        used = self.attempts_total - share["attempts_left"]
        say.chapter("What was measured")
        say.tell(self.tries_used(share, used))
        identical = json.loads(output) == sent
        facts = [
            ("relay_requests_before_confirmation", self.early_requests(share), 0),
            ("share_urls_sent", len(self.stage.urls()), 1),
            ("attempts_used", used,
             events_of(share).count("wrong") + 1 if self.interactive else 2),
            ("provisioning_received", "identical" if identical else "different", "identical"),
        ]
        return self.conclude(facts)

    @staticmethod
    def tries_used(share, used):
        wrong, slips = (events_of(share).count(event) for event in ("wrong", "mistyped"))
        text = "One try used: the right one" if used == 1 else "%s tries used: %s wrong, one right" % (
            number(used).capitalize(), number(wrong))
        if slips == 1:
            text += "; the mistyped code cost none"
        elif slips:
            text += "; the %s mistyped codes cost none" % number(slips)
        return text + "."

    def conclude(self, facts):
        say = self.story
        for name, value, _ in facts:
            say.line("fact: %s=%s" % (name, value))
        wrong = [name for name, value, expected in facts if value != expected]
        if wrong:
            raise Failed("not as promised: " + ", ".join(wrong))
        say.line("demo: ok")
        return 0

    def show_logs(self):
        if not self.site:
            return
        with contextlib.redirect_stdout(io.StringIO()) as logs:
            self.site.show_logs()
        print("# the end of its logs (the folder is gone):")
        for line in logs.getvalue().splitlines():
            if not line.startswith("# kept in "):
                print(line.replace(self.folder + "/", ""))
        sys.stdout.flush()

    def close(self):
        if self.site:
            self.site.close()
        self.stage.close()
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)


ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def end_in_order(number, frame):
    for ending in ENDING:
        signal.signal(ending, signal.SIG_IGN)
    raise Ended(number)


def ended_again(lost):
    """What a signal raises where nothing may be raised, in a hook of a fork or while something is
    deleted, Python drops: it comes again a moment later."""
    if not isinstance(lost.exc_value, Ended):
        sys.__unraisablehook__(lost)
        return
    number = lost.exc_value.args[0]
    signal.signal(signal.SIGALRM, lambda *_: end_in_order(number, None))
    signal.setitimer(signal.ITIMER_REAL, 0.01)


def listen_to_signals():
    sys.unraisablehook = ended_again
    for ending in ENDING:
        signal.signal(ending, end_in_order)


def main():
    parser = argparse.ArgumentParser(
        description="The whole story on real parts.", allow_abbrev=False)
    parser.add_argument("--build", required=True, help="the build folder")
    parser.add_argument("--interactive", action="store_true", help="you are the recipient")
    parser.add_argument("--channel", choices=STAGES, default="xmpp", help="how Bob is reached")
    arguments = parser.parse_args()

    if arguments.channel == "email" and os.geteuid() != 0:
        print("demo: Postfix needs root, to change to its own users")
        return 1
    listen_to_signals()
    demo = Demo(arguments.build, arguments.interactive, STAGES[arguments.channel]())
    try:
        return demo.run()
    except Ended as end:
        print("\ndemo: interrupted, everything is stopped", flush=True)
        return 128 + end.args[0]
    except (Failed, AssertionError, RuntimeError, OSError) as error:
        print("\ndemo: failed: %s" % error, flush=True)
        demo.show_logs()
        return 1
    finally:
        for ending in ENDING:
            signal.signal(ending, signal.SIG_IGN)
        demo.close()


if __name__ == "__main__":
    sys.exit(main())
