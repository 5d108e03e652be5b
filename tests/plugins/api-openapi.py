#!/usr/bin/python3
"""openapi.yaml and the code say the same: every route, parameter, member and problem type.

usage: api-openapi.py SOURCE_FOLDER      prints TAP
"""
import glob
import os
import re
import sys

import yaml

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
        given = {name.lower() for name in re.findall(r"API_QUERY_(\w+)", rest)}
        parameters = [resolve(p) for p in operations()[method, path].get("parameters", [])]
        described = {p["name"] for p in parameters if p["in"] == "query"}
        assert given == described, (path, given ^ described)
        in_path = {p["name"] for p in parameters if p["in"] == "path"}
        assert in_path == set(re.findall(r"\{(\w+)\}", path)), path


def every_post_may_carry_an_idempotency_key():
    for method, path, rest in ROUTES:
        headers = [resolve(p) for p in operations()[method, path].get("parameters", []) if resolve(p)["in"] == "header"]
        assert bool(headers) == (method == "POST"), path
        assert all(h.get("required", False) == ("share.create" in rest) for h in headers), path


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
         every_post_may_carry_an_idempotency_key, every_problem_type_is_listed,
         members_of_a_new_share_are_those_that_the_parser_knows, every_reference_leads_somewhere]
failed = 0
print(f"1..{len(TESTS)}")
for number, test in enumerate(TESTS, 1):
    try:
        test()
        print(f"ok {number} - {test.__name__}")
    except Exception as error:
        failed += 1
        print(f"not ok {number} - {test.__name__}\n# {type(error).__name__}: {error}")
sys.exit(1 if failed else 0)
