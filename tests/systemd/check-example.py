"""Is vestibule.conf.example accepted as it stands, once a token is in it? And refused while there is none? And do the
units load the secrets that `--check` names for it, from where it says?

Usage: check-example.py EXAMPLE TEMPLATES VESTIBULED VESTIBULECTL
"""

import json
import os
import re
import subprocess
import sys
import tempfile

PLACEHOLDER = "…"


def check(program, templates, text):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "vestibule.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return subprocess.run([program, "--check", "--config", path], capture_output=True, text=True,
                              env={"VESTIBULE_TEMPLATES": templates}, timeout=30)


def unloaded(folder, output):
    """Secrets that `--check` names and a unit does not load from there."""
    missing = []
    for unit, name, secret, place in re.findall(r"^  (\S+)@(\S+)\.service  (\S+), searched as (\S+)(?: \(missing\))?$",
                                           output, re.M):
        with open(os.path.join(folder, unit + "@.service.in"), encoding="utf-8") as file:
            if "LoadCredential=%s:%s\n" % (secret, place) not in file.read().replace("%i", name).replace(
                    "%I", name):
                missing.append((unit, secret, place))
    return missing


def main():
    path, templates, vestibuled, vestibulectl = sys.argv[1:]
    with open(path, encoding="utf-8") as file:
        example = file.read()
    made = subprocess.run([vestibulectl, "token", "--json"], capture_output=True, text=True, check=True, timeout=30)
    whole = example.replace('"%s"' % PLACEHOLDER, '"%s"' % json.loads(made.stdout)["entry"])
    every, n_commented_out = re.subn(r"^( +)#(?=\w+ = )", r"\1", whole, flags=re.M)
    every, n_sections = re.subn(r"^#(?=(?:channel|policy) \w+ \{$|    \w+ = |\}$)", "", every, flags=re.M)
    with_every = check(vestibuled, templates, every)
    missing = unloaded(os.path.dirname(path), with_every.stdout)
    accepted, refused = check(vestibuled, templates, whole), check(vestibuled, templates, example)
    cases = [
        ("the example holds one token to fill in", example.count(PLACEHOLDER) == 1, example),
        ("with a token it is accepted", accepted.returncode == 0, accepted.stderr),
        ("what is commented out is accepted as well",
         n_commented_out > 0 and n_sections > 10 and with_every.returncode == 0, with_every.stderr),
        ("the secrets of all channels are named", all(
            name in with_every.stdout for name in (
                "vestibule.xmpp.secret", "vestibule.sms.smpp-password", "vestibule.email.mail-key")),
         with_every.stdout),
        ("what is named is what the units load", missing == [], "\n".join(map(str, missing))),
        ("what it warns of begins without a priority, which is the journal's",
         not any(line.startswith("<") for line in accepted.stderr.splitlines()), accepted.stderr),
        ("all of its sections are in use", "tenant adler" in accepted.stdout and "note:" not in accepted.stdout,
         accepted.stdout),
        ("the unit's names for its secrets are named", all(
            name in accepted.stdout for name in (
                "vestibule.root.key", "vestibule.relay-main.key", "vestibule.relay-key.pub", "vestibule.xmpp.secret",
                "vestibule.front-tenants.key", "vestibule.front-key.pub", "access_rights = RWD")),
         accepted.stdout),
        ("without one it is refused, by the line", refused.returncode == 78 and "vestibule.conf:" in refused.stderr,
         refused.stderr),
    ]
    print("1..%d" % len(cases))
    for number, (name, good, output) in enumerate(cases, 1):
        print("%s %d - %s" % ("ok" if good else "not ok", number, name))
        if not good:
            print("".join("# %s\n" % line for line in output.splitlines()[-20:]), end="")
    return 0 if all(good for _, good, _ in cases) else 1


if __name__ == "__main__":
    sys.exit(main())
