#!/usr/bin/python3
"""openapi.yaml and the code say the same: every route, parameter, member and problem type.

usage: api-openapi.py SOURCE_FOLDER      prints TAP
"""
import glob
import os
import re
import sys

import yaml

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import tap  # noqa: E402

ROOT = sys.argv[1]


def read(*path):
    with open(os.path.join(ROOT, *path)) as f:
        return f.read()


OPENAPI = yaml.safe_load(read("plugins", "api", "openapi.yaml"))
ROUTES = re.findall(r'\{ "(GET|POST)",\s*"(/[^"]*)",([^}]*(?:\{[^}]*\})?[^}]*)\}', read("plugins", "api", "api-route.c"))


def resolve(value):
    while isinstance(value, dict) and "$ref" in value:
        target = OPENAPI
        for step in value["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        value = target
    return value


def operations():
    return {(method.upper(), path): operation
            for path, item in OPENAPI["paths"].items() for method, operation in item.items()}


def every_route_is_described_and_the_other_way_round():
    assert len(ROUTES) > 10
    described, routed = set(operations()), {(method, path) for method, path, _ in ROUTES}
    assert described == routed, described ^ routed


def every_query_parameter_is_described():
    for method, path, rest in ROUTES:
        given = {name.lower().replace("event", "after") for name in re.findall(r"API_QUERY_(\w+)", rest)}
        parameters = [resolve(p) for p in operations()[method, path].get("parameters", [])]
        described = {p["name"] for p in parameters if p["in"] == "query"}
        assert given == described, (path, given ^ described)
        in_path = {p["name"] for p in parameters if p["in"] == "path"}
        assert in_path == set(re.findall(r"\{(\w+)\}", path)), path


def every_post_may_carry_an_idempotency_key():
    for method, path, rest in ROUTES:
        headers = [resolve(p) for p in operations()[method, path].get("parameters", []) if resolve(p)["in"] == "header"]
        headers = [header for header in headers if header["name"] != "Last-Event-ID"]
        assert bool(headers) == (method == "POST"), path
        required = "share.create" in rest or "message.add" in rest
        assert all(h.get("required", False) == required for h in headers), path


def a_stream_is_what_the_route_table_calls_one():
    for method, path, rest in ROUTES:
        operation = operations()[method, path]
        headers = {resolve(p)["name"] for p in operation.get("parameters", []) if resolve(p)["in"] == "header"}
        assert ("Last-Event-ID" in headers) == ("API_ROUTE_EVENTS" in rest), path
        content = set().union(*(resolve(answer).get("content", {}) for answer in operation["responses"].values()))
        assert ("text/event-stream" in content) == ("API_ROUTE_EVENTS" in rest), path


def the_numbers_of_a_stream_are_those_of_the_code():
    source, header = read("plugins", "api", "api-front.c"), read("gateway", "gateway.h")
    text = OPENAPI["paths"]["/v1/events"]["get"]["description"]
    values = dict(re.findall(r"(STREAM\w+) = (\d+),", source))
    words = {"8": "eight"}
    assert f"{words[values['STREAMS_PER_TENANT']]} streams" in text and f"a server {values['STREAMS_MAX']};" in text
    assert f"every {values['STREAM_WAIT_SECONDS']} seconds" in text
    days = eval(re.search(r"GATEWAY_KEEP_EVENTS = ([\d *]+)", header)[1]) // 86400
    assert days == 3 and "for three days" in text
    retry = re.search(r"API_EVENT_RETRY_MSEC = (\d+)", read("plugins", "api", "api-event.h"))[1]
    stream = OPENAPI["paths"]["/v1/events"]["get"]["responses"]["200"]["content"]["text/event-stream"]
    assert f"retry: {retry}\n" in stream["example"]


def every_problem_type_is_listed():
    listed = set(OPENAPI["components"]["schemas"]["Problem"]["properties"]["type"]["enum"])
    front = set(re.findall(r'= \{ "([a-z-]+)",\s*\d{3}', read("plugins", "api", "api-problem.c")))
    assert len(front) > 10
    gateway = set()
    for name in glob.glob(os.path.join(ROOT, "gateway", "*.c")):
        with open(name) as f:
            gateway |= set(re.findall(r'ask_refuse\(\s*ask,\s*\d{3},\s*"([a-z-]+)"', f.read()))
    assert len(gateway) > 5
    in_code = {"urn:vestibule:problem:" + name for name in front | gateway}
    assert in_code == listed, in_code ^ listed


def members_of_a_new_share_are_those_that_the_parser_knows():
    source = read("plugins", "api", "api-request.c")
    for function, path in (("api_share_read", []), ("recipient_read", ["recipient"]), ("sender_read", ["sender"]),
                           ("display_read", ["credential"])):
        body = source[source.index(f"{function}("):]
        table = body[:body.index("};")]
        known = dict(re.findall(r'\{\s*"(\w+)",\s*JSON_KIND_\w+,[^,]+(?:\([^)]*\))?,\s*(true|false)', table))
        schema = OPENAPI["components"]["schemas"]["NewShare"]
        for step in path:
            schema = schema["properties"][step]
        assert set(known) == set(schema["properties"]), (function, known)
        assert {name for name, required in known.items() if required == "true"} == set(schema["required"]), function
        assert schema["additionalProperties"] is False


def provisioning_has_the_forms_that_the_parser_knows():
    source = read("plugins", "api", "api-provisioning.c")
    forms = re.search(r"JsonMember form_members\[\] = \{(.*?)\n\};", source, re.S)[1]
    known = set(re.findall(r'\{ "(\w+)"', forms))
    for name, absent in (("NewShare", set()), ("NewMessage", {"mint"})):
        given = [resolve(form) for form in OPENAPI["components"]["schemas"][name]["properties"]["provisioning"]["oneOf"]]
        assert set().union(*(form["properties"] for form in given)) == known - absent, name
        for form in given:
            assert form["required"] == list(form["properties"]) and form["additionalProperties"] is False, form


def limits():
    """The values of base/share-limits.h by name, and of what else stands for one of them."""
    header = read("base", "share-limits.h")
    values = {name: eval(value) for name, value in re.findall(r"(SHARE_LIMIT_\w+) = ([\d *]+)", header)}
    generations = re.search(r"LIFECYCLE_GENERATIONS_MAX = (\d+)", read("policy", "lifecycle.h"))
    return {**values, "LIFECYCLE_GENERATIONS_MAX": int(generations[1])}


def tables(source):
    """What the tables of members in a C file allow: {names: {member: (kind, required, min, max)}}."""
    values, found = limits(), {}
    for table in re.findall(r"JsonMember \w+\[\] = \{(.*?)\n? *\};", source, re.S):
        rows = re.findall(r'\{\s*"(\w+)",\s*JSON_KIND_(\w+),\s*(?:offsetof\([^)]*\)|0),\s*(true|false),\s*(\w+),\s*(\w+)\s*\}',
                          table)
        assert len(rows) == table.count("JSON_KIND_"), table
        members = {name: (kind, required == "true", *(values[n] if n in values else int(n) for n in bounds))
                   for name, kind, required, *bounds in rows}
        found[" ".join(sorted(members))] = members
    return found


def described_limits(schema):
    """The same of a schema of openapi.yaml, for each object in it."""
    found = {}

    def walk(value):
        members = {}
        for name, child in value["properties"].items():
            child = resolve(child)
            required = name in value["required"]
            if child.get("type") == "string":
                members[name] = ("STRING", required, child.get("minLength", 0), child["maxLength"])
            elif "enum" in child:  # the parser has a sentence of its own
                members[name] = ("STRING", required, 0, 0)
            elif child.get("type") == "array":
                members[name] = ("ARRAY", required, child["minItems"], child["maxItems"])
            else:
                assert child.get("type") == "object" or "oneOf" in child, name
                members[name] = ("OBJECT", required, 0, 0)
                for inner in (child, *map(resolve, child.get("oneOf", []))):
                    if "properties" in inner:
                        walk(inner)
        found[" ".join(sorted(members))] = members

    walk(schema)
    return found


FORMS = ("content format", "sealed", "encrypted", "mint")  # the parser has them in one table


def same_limits(path, described, absent=(), forms=()):
    in_code = tables(read(*path))
    for names, members in described.items():
        wanted = {name: value for name, value in members.items() if name not in absent}
        key = " ".join(sorted(wanted))
        found = in_code.get(key)
        if names in forms:
            found = next(m for m in in_code.values() if "mint" in m)
            wanted = {name: (kind, False, *bounds) for name, (kind, _, *bounds) in wanted.items()}
        assert found, (path, key, sorted(in_code))
        assert {name: found[name] for name in wanted} == wanted, (path, [
            (name, found[name], wanted[name]) for name in wanted if found[name] != wanted[name]])
        assert names in forms or set(found) == set(wanted), (path, key)


def limits_are_the_same_in_openapi_the_front_and_the_gateway():
    described = described_limits(OPENAPI["components"]["schemas"]["NewShare"])
    provisioning = {names: described.pop(names) for names in (*FORMS, "box kid", "data type")}
    same_limits(("plugins", "api", "api-request.c"), described)
    same_limits(("plugins", "api", "api-provisioning.c"), provisioning, forms=FORMS)
    # the gateway never sees provisioning
    same_limits(("gateway", "share-create.c"), described, absent={"provisioning"})
    message = described_limits(OPENAPI["components"]["schemas"]["NewMessage"])
    same_limits(("plugins", "api", "api-request.c"), {"provisioning": message["provisioning"]})


def limits_of_queries_and_sentences_are_those_of_the_code():
    values = limits()
    parameters = {p["name"]: p["schema"] for operation in operations().values()
                  for p in map(resolve, operation.get("parameters", []))}
    assert parameters["wait"]["maximum"] == values["SHARE_LIMIT_WAIT"]
    assert parameters["limit"]["maximum"] == values["SHARE_LIMIT_LIST"]
    assert parameters["reference"]["maxLength"] == values["SHARE_LIMIT_REFERENCE"]
    schemas = OPENAPI["components"]["schemas"]
    octets = values["SHARE_LIMIT_ENCRYPTED"] // 4 * 3
    assert f"{octets:,} octets" in schemas["Encrypted"]["description"]
    content = schemas["Content"]["properties"]["content"]
    assert f"{values['SHARE_LIMIT_CONTENT']:,} bytes" in content["description"]
    header = dict(re.findall(r"(API_\w+) = ([\d *]+),", read("plugins", "api", "api-request.h")))
    assert f"{eval(header['API_BODY_MAX']):,} bytes" in OPENAPI["info"]["description"]
    assert f"{header['API_DEPTH_MAX']} levels and {header['API_MEMBERS_MAX']} members" in OPENAPI["info"]["description"]
    sizes = dict(re.findall(r"offsetof\(ApiQuery, (\w+)\), (\d+), 0, 0", read("plugins", "api", "api-request.c")))
    for name in ("state", "cursor"):
        assert parameters[name]["maxLength"] == int(sizes[name]) - 1, name
    advice = re.search(r'SHARE_LIMIT_WAIT, "0 to (\d+) seconds".*SHARE_LIMIT_LIST, "1 to (\d+)".*"1 to (\d+) bytes of text"',
                       read("plugins", "api", "api-request.c"), re.S)
    assert [int(n) for n in advice.groups()] == [values["SHARE_LIMIT_" + name] for name in ("WAIT", "LIST", "REFERENCE")]


def reasons_of_a_message_that_is_not_shown_or_was_refused_are_listed():
    source = read("plugins", "api", "api-message.c")
    in_code = set(re.findall(r'"([a-z-]+)"', " ".join(re.findall(r"reason = ([^;]*);", source))))
    refusals = re.search(r"\*transfer_refusal\(.*?^}", read("policy", "transfer.c"), re.S | re.M)[0]
    assert len(in_code) == 4 and "relay-refused" in refusals
    in_code |= set(re.findall(r'"([a-z-]+)"', refusals))
    schema = OPENAPI["components"]["schemas"]["Message"]["properties"]["reason"]
    assert in_code == set(schema["enum"]) and all(word in schema["description"] for word in in_code), in_code


def every_member_required(schema):
    return {**schema, "required": list(schema["properties"])}


POLICY = resolve(OPENAPI["paths"]["/v1/policies"]["get"]["responses"]["200"])[
    "content"]["application/json"]["schema"]["properties"]["policies"]["items"]


def details(policy):
    """What only a policy that is asked for by its name has, but its text."""
    return {**policy, "required": set(policy["properties"]) - set(policy["required"]) - {"text"}}


def members_of_answers_are_those_that_the_gateway_writes():
    for path, function, schema in (
            ("front-policy.c", "policy_json", POLICY),
            ("front-policy.c", "details_json", details(POLICY)),
            ("front-message.c", "message_json", OPENAPI["components"]["schemas"]["Message"]),
            ("share-json.c", "event_json", every_member_required(OPENAPI["components"]["schemas"]["Event"]))):
        source = read("gateway", path)
        body = source[source.index(f"json_t *{function}("):]
        pack = re.search(r'json_pack\("[^"]*",(.*?)\);', body, re.S)[1]
        written = set(re.findall(r'"(\w+)",', pack))
        assert len(written) > 3 and written == set(schema["required"]), (function, written ^ set(schema["required"]))
        assert written <= set(schema["properties"])


def words_of_a_share_and_its_messages_are_those_of_the_code():
    share, message = (OPENAPI["components"]["schemas"][name]["properties"] for name in ("Share", "Message"))
    for path, table, enum in (
            (("policy", "lifecycle.c"), r"state_names\[\w+\] = \{(.*?)\};", share["state"]),
            (("policy", "lifecycle.c"), r"cause_names\[\w+\] = \{(.*?)\};", share["cause"]),
            (("gateway", "store-share.c"), r"names\[_TIMELINE_MAX\] = \{(.*?)\};",
             share["timeline"]["items"]["properties"]["event"]),
            (("policy", "transfer.c"), r"transfer_party_name\(.*?\n\{?(.*?)\n\}", share["turn"]),
            (("policy", "transfer.c"), r"transfer_party_name\(.*?\n\{?(.*?)\n\}", message["from"]),
            (("policy", "transfer.c"), r"transfer_state_name\(.*?\n\{?(.*?)\n\}", message["state"])):
        in_code = set(re.findall(r'"(\w+)"', re.search(table, read(*path), re.S)[1])) - {"none"}
        assert len(in_code) > 1 and in_code == set(enum["enum"]), (table, in_code ^ set(enum["enum"]))
    rights = POLICY["properties"]["access_rights"]["enum"]
    assert set(re.findall(r'several \? "(\w+)" : "(\w+)"', read("gateway", "front-policy.c"))[0]) == set(rights)


def words_of_a_policy_are_those_of_the_table_of_modes():
    source, members = read("policy", "factor.c"), POLICY["properties"]
    attackers = re.search(r"attacker_names\[\w+\] = \{(.*?)\};", source, re.S)[1]
    for member in ("stops", "does_not_stop"):
        assert resolve(members[member]["items"])["enum"] == re.findall(r'"([a-z-]+)"', attackers)
    modes = re.search(r"\} modes\[FACTOR_N\] = \{(.*?)\};", source, re.S)[1]
    assert members["factors"]["items"]["enum"] == re.findall(r'"([a-z-]+)"', modes)


def every_reference_leads_somewhere():
    def walk(value):
        if isinstance(value, dict):
            resolve(value)
            for child in value.values():
                walk(child)
        elif isinstance(value, list):
            for child in value:
                walk(child)

    walk(OPENAPI)
    assert OPENAPI["openapi"].startswith("3.1")


TESTS = [every_route_is_described_and_the_other_way_round, every_query_parameter_is_described,
         every_post_may_carry_an_idempotency_key, a_stream_is_what_the_route_table_calls_one,
         the_numbers_of_a_stream_are_those_of_the_code, every_problem_type_is_listed,
         members_of_a_new_share_are_those_that_the_parser_knows,
         provisioning_has_the_forms_that_the_parser_knows, reasons_of_a_message_that_is_not_shown_or_was_refused_are_listed,
         limits_are_the_same_in_openapi_the_front_and_the_gateway, limits_of_queries_and_sentences_are_those_of_the_code,
         members_of_answers_are_those_that_the_gateway_writes,
         words_of_a_share_and_its_messages_are_those_of_the_code,
         words_of_a_policy_are_those_of_the_table_of_modes, every_reference_leads_somewhere]
sys.exit(tap.run(TESTS))
