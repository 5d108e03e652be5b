"""What vestibule-sms does as a program: its lint, its rest, and what a kill leaves behind.

Usage: sms-program.py VESTIBULE_SMS SMS_LOOP      prints TAP; SMS_LOOP is the same with a mirror for a carrier
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
from harness import tap  # noqa: E402
from harness.frames import Gateway  # noqa: E402
from harness.process import at_rest  # noqa: E402

PROGRAM, LOOP = sys.argv[1:]
SETTINGS = {"driver": "loop", "sender": "+4930123456", "countries": ["DE"], "per_minute": "60000"}
REST_SECONDS = 3


def lint(*arguments, text=None):
    result = subprocess.run([PROGRAM, "--lint", *arguments], input=text, capture_output=True, timeout=60)
    return result.returncode, result.stdout.decode(), result.stderr.decode()


def lint_names_the_character_that_costs():
    status, said, _ = lint(text="Grüße vom Hotel Adler\nund „bis bald“".encode())
    assert status == 0
    assert said == ("-: UCS-2, 36 units, 1 segment, costs 1 message, because of "
                    "U+201E DOUBLE LOW-9 QUOTATION MARK in line 2, column 5 and 1 more\n"), said


def lint_counts_what_is_paid_for():
    assert lint(text=b"a" * 160) == (0, "-: GSM-7, 160 septets, 1 segment, costs 1 message\n", "")
    # An editor's newline is not sent.
    assert lint(text=b"a" * 160 + b"\n") == (0, "-: GSM-7, 160 septets, 1 segment, costs 1 message\n", "")
    assert lint(text=b"a" * 161) == (0, "-: GSM-7, 161 septets, 2 segments, costs 2 messages\n", "")
    status, said, _ = lint(text="{€}".encode())
    assert (status, said) == (0, "-: GSM-7, 6 septets, 1 segment, costs 1 message\n"), said


def lint_fails_when_a_text_is_over_the_limit():
    folder = tempfile.mkdtemp(prefix="vestibule-lint-")
    try:
        paths = [os.path.join(folder, name) for name in ("short", "long")]
        for path, size in zip(paths, (10, 153 * 6 + 1)):
            with open(path, "w") as file:
                file.write("a" * size)
        status, said, _ = lint(*paths)
        assert status == 1
        assert said.splitlines()[0].endswith("short: GSM-7, 10 septets, 1 segment, costs 1 message"), said
        assert said.splitlines()[1].endswith("7 segments, costs 7 messages; the limit is 6"), said
        assert lint(paths[0])[0] == 0
        assert lint("--segments", "7", *paths)[0] == 0
        assert lint("--segments=1", text=b"a" * 161)[0] == 1
        status, said, _ = lint(text="€".encode() * 21845)
        assert (status, said) == (1, "-: more than 255 segments\n"), said
    finally:
        shutil.rmtree(folder)


def lint_says_what_it_cannot_read():
    status, said, _ = lint(text=b"a\xff")
    assert (status, said) == (65, "-: not UTF-8, or with a NUL\n"), said
    status, said, complaint = lint("/nowhere/at/all")
    assert status == 66 and said == "" and "/nowhere/at/all: No such file" in complaint
    assert lint(text=b"a" * 70000)[0] == 66
    for arguments in (["--segments", "0"], ["--segments", "256"], ["--segments", "x"], ["--colour"]):
        assert lint(*arguments, text=b"a")[0] == 64, arguments


def help_tells_of_lint():
    said = subprocess.run([PROGRAM, "--help"], capture_output=True, timeout=60, text=True, check=True).stdout
    assert "--lint [--segments N] [FILE...]" in said, said


class Channel(Gateway):
    def __init__(self):
        self.state = tempfile.mkdtemp(prefix="vestibule-sms-state-")
        super().__init__(LOOP, "sms", dict(SETTINGS), wrapper=["/usr/bin/env", "STATE_DIRECTORY=" + self.state])

    def send(self, number, to="+4915112345678"):
        return self.ask("send", message="msg_%d" % number, kind="notice", to="sms:" + to, text="Text %d" % number,
                        expires=int(time.time()) + 600)

    def __enter__(self):
        self.start()
        self.wait_up()
        return self

    def __exit__(self, kind, value, trace):
        if kind:
            tap.note(self.errors_text())
        self.stop()
        self.remove()
        shutil.rmtree(self.state)


def an_idle_channel_does_nothing_at_all():
    with Channel() as channel:
        for number in range(50):
            channel.wait_answer(channel.send(number))
        channel.wait(lambda: len([1 for _, f in channel.log if f["type"] == "reply"]) == 50, 60, "50 replies")
        channel.wait(lambda: len([1 for _, f in channel.log if f.get("says") == "delivered"]) == 50, 60, "50 receipts")
        used, begun = at_rest(channel.process.pid, REST_SECONDS)
        tap.note("%.4f %% of a processor, woken %d times in %d s" % (100 * used / REST_SECONDS, begun, REST_SECONDS))
        assert begun == 0 and used < 0.001 * REST_SECONDS, (begun, used)


def a_part_that_waits_for_another_costs_nothing():
    with Channel() as channel:
        channel.wait_answer(channel.send(1, to="+4915112345670"))
        used, begun = at_rest(channel.process.pid, REST_SECONDS)
        assert begun == 0 and used < 0.001 * REST_SECONDS, (begun, used)


def what_was_paid_for_is_not_paid_for_again_after_a_kill():
    with Channel() as channel:
        for number in range(20):
            channel.send(number)
        channel.wait(lambda: len(channel.answers) >= 10, 60, "10 answers")
        channel.kill()
        channel.reader.join()
        with channel.changed:
            answered = [number - 1 for number in channel.answers]
            channel.answers.clear()
            channel.log.clear()
        channel.start()
        channel.wait_up()
        again = [channel.send(number) for number in answered]
        for number in again:
            assert channel.wait_answer(number)["type"] == "sent"
        sent = {frame["text"] for frame in channel.frames("reply")}
        assert not sent & {"Text %d" % number for number in answered}, sent
        tap.note("%d of 20 were answered before the kill" % len(answered))


TESTS = [lint_names_the_character_that_costs, lint_counts_what_is_paid_for, lint_fails_when_a_text_is_over_the_limit,
         lint_says_what_it_cannot_read, help_tells_of_lint, an_idle_channel_does_nothing_at_all,
         a_part_that_waits_for_another_costs_nothing, what_was_paid_for_is_not_paid_for_again_after_a_kill]

if __name__ == "__main__":
    sys.exit(tap.run(TESTS))
