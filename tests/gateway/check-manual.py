"""Does vestibule.conf(5) say what the gateway takes? Its keys are those of the grammar, its table of classes is that of
the rules, and its examples are accepted as they stand, once their tokens are in.

Usage: check-manual.py PAGE SOURCE_FOLDER VESTIBULED VESTIBULECTL      prints TAP
"""

import json
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import tap  # noqa: E402

PAGE, SOURCE, VESTIBULED, VESTIBULECTL = sys.argv[1:]
PLACEHOLDER = '"ENTRY"'
SHARED = "Keys of all channels, fronts and relays"


def read(*path):
    with open(os.path.join(SOURCE, *path), encoding="utf-8") as file:
        return file.read()


with open(PAGE, encoding="utf-8") as page_file:
    PAGE_TEXT = page_file.read()


def chapter(title):
    return re.search(r"^\.Sh %s\n(.*?)(?=^\.Sh |\Z)" % title, PAGE_TEXT, re.S | re.M)[1]


def keys_in_page():
    """{section: {key}}, and the keys of all sections with a process under SHARED."""
    found = {}
    for title, text in re.findall(r"^\.Ss (.*?)\n(.*?)(?=^\.Ss |\Z)", chapter("SECTIONS"), re.S | re.M):
        section = title.removesuffix(" TITLE")
        assert section not in found, section
        found[section] = set()
        for part in text.split("\n.Bl "):  # each kind of channel has a list of its own
            names = [name for line in re.findall(r"^\.It Ic (.*)$", part, re.M) for name in line.split(" , ")]
            assert len(names) == len(set(names)), (title, names)
            found[section].update(names)
    return found


def keys_in_grammar():
    """The same, from the tables of config-text.c."""
    source = read("gateway", "config-text.c")
    entry = re.compile(r'\b(?:TEXT|LIST|CFG_SEC)\((?:\(char \*\) )?"(\w+)"')
    shared = set(entry.findall(re.search(r"#define PLUGIN_KEYS(.*?)\n\n", source, re.S)[1]))
    found = {SHARED: shared}
    for section, table in re.findall(r"cfg_opt_t (\w+)\[\] = \{(.*?)CFG_END\(\)", source, re.S):
        if section not in ("no_keys", "root"):
            found[section] = set(entry.findall(table))
            assert ("PLUGIN_KEYS" in table) == (section in ("front", "relay", "channel")), section
    sections = set(entry.findall(re.search(r"cfg_opt_t root\[\] = \{(.*?)CFG_END\(\)", source, re.S)[1]))
    assert sections == set(found) - {SHARED}, (sections, set(found))
    return found


def examples():
    return re.findall(r"^\.Bd -literal[^\n]*\n(.*?)^\.Ed", chapter("EXAMPLES"), re.S | re.M)


def with_tokens(text):
    """Each placeholder gets an entry of its own: no two tenants may have the same token."""
    while PLACEHOLDER in text:
        made = subprocess.run([VESTIBULECTL, "token", "--json"], capture_output=True, text=True, check=True, timeout=60)
        text = text.replace(PLACEHOLDER, '"%s"' % json.loads(made.stdout)["entry"], 1)
    return text


def check(main, *more):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "vestibule.conf")
        os.mkdir(path + ".d")
        for name, text in [(path, main)] + [
                (os.path.join(path + ".d", "%02d.conf" % number), text) for number, text in enumerate(more)]:
            with open(name, "w", encoding="utf-8") as file:
                file.write(text)
        return subprocess.run([VESTIBULED, "--check", "--config", path], capture_output=True, text=True, timeout=60,
                              env={"VESTIBULE_TEMPLATES": os.path.join(SOURCE, "gateway", "templates")})


def the_page_names_all_sections_and_keys_of_the_grammar_and_no_others():
    page, grammar = keys_in_page(), keys_in_grammar()
    assert sum(map(len, grammar.values())) > 50
    assert set(page) == set(grammar), set(page) ^ set(grammar)
    for section, keys in grammar.items():
        assert page[section] == keys, (section, page[section] ^ keys)


def the_table_of_classes_is_that_of_the_rules():
    columns = [[cell.strip() for cell in row.split(" Ta ")]
               for row in re.search(r"^\.Bl -column (.*?)^\.El", PAGE_TEXT, re.S | re.M)[1].split("\n.It ")[2:]]
    source = read("policy", "rules.c")
    several = re.search(r"bool rules_takes_several_messages\(.*?\n\}", source, re.S)[0]
    rules = [[name, level, code, total, hours.strip() + "h", mailbox.strip() + "h",
              "RWD" if re.search(r"\bRULES_%s\b" % constant, several) else "RD"]
             for constant, name, level, code, total, hours, mailbox in re.findall(
                 r"\[RULES_(\w+)\] *= \{ \"([\w-]+)\", *'\w', (\d), *\d+, *[A-Z_]+, *CODE_(\w+), *(\d), *(\d+) \* HOUR, *(\d+) \* HOUR",
                 source)]
    assert len(rules) > 5 and columns == rules, (columns, rules)


def every_class_works_with_its_defaults_where_it_has_the_channels_it_needs():
    first = with_tokens(examples()[0])
    second = "channel echo { exec = { /bin/true } }"
    for name, level in re.findall(r"^\.It ([\w-]+) Ta (\d)", PAGE_TEXT, re.M):
        alone = check(first.replace("class = hotel", "class = " + name))
        two = check(re.sub(r"channels( +)= \{ ?(\w+) ?\}", r"channels\1= { \2, echo }",
                           first.replace("class = hotel", "class = " + name)), second)
        assert two.returncode == 0, (name, two.stderr)
        if level == "1":
            assert alone.returncode == 0, (name, alone.stderr)
        else:
            assert alone.returncode == 78 and "two channels of different operators" in alone.stderr, alone.stderr


def the_first_example_is_complete():
    answer = check(with_tokens(examples()[0]))
    assert answer.returncode == 0, answer.stderr
    assert "tenant adler" in answer.stdout and "note:" not in answer.stdout, answer.stdout


def each_further_example_is_accepted_on_top_of_the_first_and_so_are_all():
    first, *more = map(with_tokens, examples())
    assert len(more) >= 3
    for some in [[text] for text in more] + [more]:
        answer = check(first, *some)
        assert answer.returncode == 0, (some, answer.stderr)
    for word in ("driver = smpp", "driver = kannel", "receive = {", "access_rights = RWD", "protocol = draft-r", "template", "suite", "context", "legacy = sct04",
                 "mint_prefixes", "mint_ca_file"):
        assert any(word in text for text in more), word


def an_example_whose_token_is_not_filled_in_is_refused():
    answer = check(examples()[0])
    assert answer.returncode == 78 and "vestibulectl token --tenant adler" in answer.stderr, answer.stderr


def each_credential_that_check_names_is_explained():
    answer = check(*map(with_tokens, examples()))
    searched = set(re.findall(r"searched as (\S+)", answer.stdout))
    assert len(searched) > 5, answer.stdout
    explained = set(re.findall(r"vestibule\.[\w.-]+", " ".join(re.findall(r"^\.It Pa (.*)$", chapter("CREDENTIALS"), re.M))))
    known = [re.escape(name).replace("NAME", "[a-z]+") for name in explained]
    for name in searched:
        assert any(re.fullmatch(form, name) for form in known), name


TESTS = [the_page_names_all_sections_and_keys_of_the_grammar_and_no_others, the_table_of_classes_is_that_of_the_rules,
         every_class_works_with_its_defaults_where_it_has_the_channels_it_needs, the_first_example_is_complete,
         each_further_example_is_accepted_on_top_of_the_first_and_so_are_all,
         an_example_whose_token_is_not_filled_in_is_refused, each_credential_that_check_names_is_explained]


if __name__ == "__main__":
    sys.exit(tap.run(TESTS))
