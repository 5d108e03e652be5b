"""The demo tells the truth in time. Only this is measured, and so runs alone: test_demo.py has the rest."""

import os
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from harness import tap  # noqa: E402
from harness.vestibule import is_sanitized, options_of_test  # noqa: E402
import test_demo  # noqa: E402


class Tests:
    def __init__(self, options):
        self.demo = test_demo.Tests(options)

    @tap.test
    def the_demo_states_the_facts_it_measured_in_under_fifteen_seconds(self):
        start = time.monotonic()
        demo, folder = self.demo.start(stdin=subprocess.DEVNULL)
        output, _ = demo.communicate(timeout=120)
        took = time.monotonic() - start
        tap.note("it took %.1f s" % took)
        assert demo.returncode == 0, output
        assert dict(re.findall(r"^fact: (\w+)=(.*)$", output, re.MULTILINE)) == test_demo.FACTS, output
        assert output.splitlines()[-1] == "demo: ok"
        assert "  the link is on Bob's phone\n" in output, output
        assert "Two tries used: one wrong, one right; the mistyped code cost none." in output, output
        assert took < 15 or is_sanitized(self.demo.build), "it took %.1f s" % took
        assert max(len(line) for line in output.splitlines() if "http" not in line and
                   not line.startswith('   {"')) <= 100
        assert "\033" not in output
        self.demo.check_nothing_left(folder)


if __name__ == "__main__":
    arguments = options_of_test(__doc__)
    sys.exit(tap.run(tap.tests_of(Tests(arguments)), arguments.names))
