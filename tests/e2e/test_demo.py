"""The demo tells the truth, and leaves nothing behind, whenever it is interrupted. How fast it is,
test_demo_time.py sees."""

import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from harness import tap  # noqa: E402
from harness.server_folder import descendants  # noqa: E402
from harness.vestibule import options_of_test, wait_until, wrong_code  # noqa: E402

PR_SET_CHILD_SUBREAPER = 36
DEMO = os.path.join(os.path.dirname(os.path.abspath(__file__)), "demo.py")
DEV = os.path.join(os.path.dirname(DEMO), "..", "..", "dev")
FACTS = {
    "relay_requests_before_confirmation": "0",
    "share_urls_sent": "1",
    "attempts_used": "2",
    "provisioning_received": "identical",
}

DELETED_WHILE_SIGNALLED = """
import os, signal, sys, time
sys.path.insert(0, sys.argv[1])
import demo

class Deleted:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)

demo.listen_to_signals()
try:
    Deleted()
    time.sleep(30)
except demo.Ended as end:
    print("ended by %d" % end.args[0])
"""


class Tests:
    def __init__(self, options):
        self.build = options.build
        # What the demo would leave behind becomes a child of ours, and is seen.
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
        # A shell lets its background jobs ignore this one, and the demo would inherit that from us.
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def start(self, *more, **pipes):
        folder = tempfile.mkdtemp(prefix="vestibule-e2e-demo-")
        os.chmod(folder, 0o711)  # servers change to users of their own
        demo = subprocess.Popen(
            [sys.executable, DEMO, "--build", self.build, *more],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, "TMPDIR": folder, "PYTHONUNBUFFERED": "1"},
            start_new_session=True, **pipes)
        return demo, folder

    def check_nothing_left(self, folder):
        def is_clean():
            while True:  # what was reparented to us and has ended
                try:
                    if os.waitpid(-1, os.WNOHANG)[0] == 0:
                        break
                except ChildProcessError:
                    break
            return len(descendants(os.getpid())) == 1

        wait_until(is_clean, 60, "no process is left behind")
        assert os.listdir(folder) == [], "files are left behind: %s" % os.listdir(folder)
        shutil.rmtree(folder)

    def check_channel(self, channel, sentence):
        demo, folder = self.start("--channel", channel, stdin=subprocess.DEVNULL)
        output, _ = demo.communicate(timeout=240)
        assert demo.returncode == 0, output
        assert dict(re.findall(r"^fact: (\w+)=(.*)$", output, re.MULTILINE)) == FACTS, output
        assert output.splitlines()[-1] == "demo: ok"
        assert sentence in output, output
        self.check_nothing_left(folder)

        demo, folder = self.start("--channel", channel, stdin=subprocess.DEVNULL)
        while "2. The hotel shares a key" not in demo.stdout.readline():
            assert demo.poll() is None
        os.killpg(demo.pid, signal.SIGINT)
        output, _ = demo.communicate(timeout=120)
        assert demo.returncode == 128 + signal.SIGINT, output
        self.check_nothing_left(folder)

    @tap.test
    def the_same_by_sms_over_kannel(self):
        self.check_channel("sms", "Kannel is running")

    @tap.test
    def the_same_by_mail_over_postfix_and_dovecot(self):
        self.check_channel("email", "Postfix and Dovecot are running")

    @tap.test
    def by_sms_a_person_is_told_to_begin_with_the_reference(self):
        status, _, rest = self.play(lambda code: [code], "--channel", "sms")
        assert "start your answer with the reference" in " ".join(rest.replace("|", "").split()), rest
        assert status == 1 and "nobody is at the keyboard" in rest, rest

    @tap.test
    def help_is_given_at_once_and_builds_nothing(self):
        folder = tempfile.mkdtemp(prefix="vestibule-e2e-demo-")
        for more in (["--help"], ["--interactive", "-h"]):
            helped = subprocess.run(
                [DEV, "demo", *more], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True, timeout=60,
                env={**os.environ, "VESTIBULE_BUILD": os.path.join(folder, "build")})
            assert helped.returncode == 0, helped.stdout
            assert helped.stdout.startswith(
                "usage: ./dev demo [--channel xmpp|sms|email] [--interactive]\n"), helped.stdout
            assert "--build" not in helped.stdout, helped.stdout
        assert os.listdir(folder) == [], "something was built"
        os.rmdir(folder)

    @tap.test
    def a_person_at_the_keyboard_can_be_the_recipient(self):
        status, _, rest = self.play(lambda code: ["hello?", code])
        assert status == 0, rest
        assert "fact: attempts_used=1\n" in rest, rest
        assert "One try used: the right one." in rest, rest
        assert rest.splitlines()[-1] == "demo: ok", rest

    def play(self, answers, *more):
        """All of it with the answers that answers(code) gives, and then nobody at the keyboard."""
        demo, folder = self.start("--interactive", *more, stdin=subprocess.PIPE)
        text = ""
        while not text.endswith("\n   Bob: "):
            symbol = demo.stdout.read(1)
            assert symbol, text
            text += symbol
        code = re.search(r"code is (\d{3}-\d{3}-\d{3})", text.replace("\n   ", " "))[1]
        rest, _ = demo.communicate("".join(line + "\n" for line in answers(code)), timeout=120)
        self.check_nothing_left(folder)
        return demo.returncode, code, rest

    def check_ended_without_key(self, status, output, sentence):
        assert status == 0, output
        assert sentence in " ".join(output.split()), output
        assert dict(re.findall(r"^fact: (\w+)=(.*)$", output, re.MULTILINE)) == {
            "relay_requests_before_confirmation": "0", "share_urls_sent": "0"}, output
        assert output.splitlines()[-1] == "demo: ok", output
        assert "failed" not in output and "\n#" not in output, output

    @tap.test
    def a_person_who_declines_sees_that_nothing_was_handed_out(self):
        status, _, output = self.play(lambda code: ["NO"])
        self.check_ended_without_key(
            status, output,
            "Bob declined. The hotel sees: declined. Nothing went to the relay.")
        assert "you do not want it" in output, output

    @tap.test
    def three_wrong_codes_end_the_story_in_plain_words(self):
        status, _, output = self.play(
            lambda code: [wrong_code(code, number) for number in range(3)])
        self.check_ended_without_key(
            status, output,
            "Three wrong codes: the invitation is closed, and nothing was handed out. The hotel "
            "sees: locked. Nothing went to the relay.")
        assert "1 of 3 tries is left" in output, output
        assert "After a wrong code the next one has to wait" in output, output

    @tap.test
    def who_writes_too_much_is_told_that_there_are_no_more_answers(self):
        status, _, output = self.play(lambda code: ["hello?"] * 6 + ["NO"])
        assert output.count("that was not understood") == 5, output
        self.check_ended_without_key(
            status, output, "Vestibule answers at most 5 messages within an hour, so that")

    @tap.test
    def a_failure_shows_logs_and_no_folder_that_is_gone(self):
        status, _, output = self.play(lambda code: [])
        assert status == 1, output
        assert "\ndemo: failed: nobody is at the keyboard\n" in output, output
        assert "\n# the end of its logs (the folder is gone):\n" in output, output
        assert "kept in" not in output and "/vestibule-demo-" not in output, output

    @tap.test
    def interrupted_at_any_moment_it_leaves_no_process_and_no_file(self):
        for number, moment in enumerate((0.02, 0.1, 0.3, 0.51, 0.8, 1.1, 1.4, 1.7, 2.1, 2.9, 4.4)):
            demo, folder = self.start(stdin=subprocess.DEVNULL)
            begun = moment > 0.5  # before, the interpreter need not have got as far as us
            if begun:
                assert demo.stdout.readline()
            time.sleep(moment)  # the moment is what varies here, not a wait for something
            kind = (signal.SIGINT, signal.SIGTERM)[number % 2]
            os.killpg(demo.pid, kind)  # as a terminal does: to all of the group
            output, _ = demo.communicate(timeout=120)
            assert demo.returncode != 0, (moment, output)
            if begun:
                assert demo.returncode == 128 + kind, (moment, demo.returncode, output)
            self.check_nothing_left(folder)

    @tap.test
    def a_signal_that_arrives_where_nothing_may_be_raised_is_not_lost(self):
        ended = subprocess.run(
            [sys.executable, "-c", DELETED_WHILE_SIGNALLED, os.path.dirname(DEMO)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=60)
        assert ended.stdout == "ended by %d\n" % signal.SIGTERM, ended.stdout

    @tap.test
    def killed_without_warning_it_leaves_no_process(self):
        for channel, moment in (("xmpp", 0.8), ("xmpp", 2.0), ("xmpp", 3.5), ("sms", 2.0), ("email", 3.5)):
            demo, folder = self.start("--channel", channel, stdin=subprocess.DEVNULL)
            time.sleep(moment)
            demo.kill()
            demo.communicate(timeout=120)
            shutil.rmtree(folder)
            os.mkdir(folder)
            self.check_nothing_left(folder)


if __name__ == "__main__":
    arguments = options_of_test(__doc__)
    sys.exit(tap.run(tap.tests_of(Tests(arguments)), arguments.names))
