"""Are the channel sections in vestibule-sms(8) and vestibule-email(8) accepted as they stand, and do the steps of
their EXAMPLES install the secrets that `--check` then names, in the form that the programs want?

Usage: check-channel-manuals.py TEMPLATES VESTIBULED PAGE...      prints TAP
"""

import base64
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import tap  # noqa: E402

TEMPLATES, VESTIBULED, *PAGES = sys.argv[1:]
FRAME = """
relay main { url = "https://relay.example.org" }
policy hotel { class = hotel channels = { %s } }
"""


def text_of(page):
    with open(page, encoding="utf-8") as file:
        return file.read().replace("\\e\n", "\\\n")


def chapters(text):
    """{title of a chapter or section: [literal blocks]}"""
    found = {}
    for title, body in re.findall(r"^\.S[hs] (.*?)\n(.*?)(?=^\.S[hs] |\Z)", text, re.S | re.M):
        found[title] = re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed$", body, re.S | re.M)
    return found


def examples(page):
    """[(title, steps, section)] of the chapter EXAMPLES."""
    text = re.search(r"^\.Sh EXAMPLES\n(.*?)^\.Sh ", text_of(page), re.S | re.M)[1] + ".Ss end\n"
    for title, blocks in chapters(text).items():
        for block in blocks:
            if block.startswith("channel "):
                yield title, "".join(other for other in blocks if not other.startswith("channel ")), block


def check(section):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "vestibule.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write(section + FRAME % section.split()[1])
        return subprocess.run([VESTIBULED, "--check", "--config", path], capture_output=True, text=True, timeout=60,
                              env={"VESTIBULE_TEMPLATES": TEMPLATES})


def each_section_is_accepted():
    n = 0
    for page in PAGES:
        for title, blocks in chapters(text_of(page)).items():
            for section in [block for block in blocks if block.startswith("channel ")]:
                done = check(section)
                assert done.returncode == 0, (page, title, done.stderr)
                n += 1
    assert n > 7, n


def the_steps_install_the_secrets_that_check_names():
    n = 0
    for page in PAGES:
        for title, steps, section in examples(page):
            wanted = set(re.findall(r"vestibule-(?:sms|email)@\w+\.service  \S+, searched as (\S+)",
                                    check(section).stdout))
            installed = set(re.findall(r"> /etc/credstore/(\S+)", steps))
            assert installed == wanted, (page, title, installed ^ wanted)
            assert "systemctl enable" not in steps or section.split()[1] + "@" + section.split()[1] in steps, steps
            n += 1
    assert n == 6, n


def the_secrets_that_are_made_have_the_form_that_is_wanted():
    made = {}
    with tempfile.TemporaryDirectory() as folder:
        for page in PAGES:
            for _, steps, _ in examples(page):
                for line in re.findall(r"^.*openssl rand.*$", steps, re.M):
                    line = line.strip("( )").removeprefix("umask 077;")
                    subprocess.run(["sh", "-c", line.replace("/etc/credstore", folder)], check=True, timeout=60)
        for name in os.listdir(folder):
            with open(os.path.join(folder, name)) as file:
                made[name.rpartition(".")[2]] = file.read().rstrip("\n")
    assert len(base64.b64decode(made["mail-key"], validate=True)) == 32
    assert re.fullmatch(r"[A-Za-z0-9_-]{22,128}", made["callback-path"])
    assert made["kannel-password"]


def nothing_but_secrets_is_made_that_the_gateway_cannot_read():
    """A umask that is left behind would make the configuration root's alone."""
    for page in PAGES:
        text = text_of(page)
        for start in (match.start() for match in re.finditer("umask", text)):
            assert text[start - 2:start] == "( ", text[start - 20:start + 20]
            inside = text[start:text.index(")", start)]
            assert all("/etc/credstore/" in line for line in inside.splitlines()[1:] if line.strip()), inside


TESTS = [each_section_is_accepted, the_steps_install_the_secrets_that_check_names,
         the_secrets_that_are_made_have_the_form_that_is_wanted,
         nothing_but_secrets_is_made_that_the_gateway_cannot_read]

if __name__ == "__main__":
    sys.exit(tap.run(TESTS))
