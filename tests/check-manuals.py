"""Are the manual pages well made, and does vestibulectl(1) say what the program's own help says?

Usage: check-manuals.py VESTIBULECTL PAGE...      prints TAP
"""

import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import tap  # noqa: E402

CTL, *PAGES = sys.argv[1:]
COMMAND = re.compile(r"^  ([a-z]+(?: [a-z]+)?)(?= \[?ID\b| \[(?:FILE|FOLDER|MESSAGE|NAME)\]|  |$)", re.MULTILINE)


def help_text():
    return subprocess.run([CTL, "--help"], check=True, capture_output=True, text=True, timeout=60).stdout


def page_of(name):
    (path,) = [path for path in PAGES if os.path.basename(path) == name]
    with open(path, encoding="utf-8") as file:
        return file.read()


def mandoc_has_no_complaint():
    if not shutil.which("mandoc"):
        raise tap.Skip("the package mandoc is missing")
    for page in PAGES:
        answer = subprocess.run(["mandoc", "-Tlint", "-Wwarning", page], capture_output=True, text=True, timeout=60)
        assert answer.returncode == 0, answer.stdout + answer.stderr


def vestibulectl_1_has_the_commands_of_its_help():
    commands = help_text().partition("Options of share create:")[0]
    wanted = set(COMMAND.findall(commands))
    found = set(re.findall(r"^\.It Cm ([a-z]+(?: [a-z]+)?)", page_of("vestibulectl.1"), re.MULTILINE))
    assert len(wanted) > 15 and found == wanted, found ^ wanted


def vestibulectl_1_has_the_options_of_its_help():
    wanted = set(re.findall(r"^  --([a-z-]+)", help_text(), re.MULTILINE)) | {"version"}
    found = {name for line in re.findall(r"^\.It Fl (.*)", page_of("vestibulectl.1"), re.MULTILINE)
             for name in re.findall(r"-([a-z][a-z-]+)", line)}
    assert len(wanted) > 20 and found == wanted, found ^ wanted


def vestibulectl_1_has_the_exit_statuses_of_its_help():
    wanted = set(map(int, re.findall(r"\b(6[0-9]|7[0-9])\b", help_text().partition("Exit status:")[2])))
    found = set(map(int, re.findall(r"^\.It ([0-9]+)$", page_of("vestibulectl.1"), re.MULTILINE)))
    assert found == wanted | {0}, found ^ wanted


TESTS = [mandoc_has_no_complaint, vestibulectl_1_has_the_commands_of_its_help,
         vestibulectl_1_has_the_options_of_its_help, vestibulectl_1_has_the_exit_statuses_of_its_help]

if __name__ == "__main__":
    sys.exit(tap.run(TESTS))
