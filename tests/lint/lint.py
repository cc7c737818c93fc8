#!/usr/bin/env python3
"""What the compiler does not say: which room includes from which, who knows which library, and sizes.

    lint.py ROOT
"""
import pathlib
import re
import sys

# From the first to the last: a room includes only from itself and from rooms before it. Those of one line do not know
# each other.
ROOMS = [
    ["sim/base"],
    ["sim/plan"],
    ["sim/policy"],
    ["sim/record"],
    ["sim/world"],
    ["sim/virtual"],
    ["sim/live"],
    ["reports"],
    ["mock-orchestrator", "mock-mcp"],
    ["sim/cmd"],
]
LEVEL = {room: level for level, rooms in enumerate(ROOMS) for room in rooms}

# Of the plan, these see its types, and not the parser.
SEE_TYPES_ONLY = ["sim/policy", "sim/record", "sim/world", "sim/virtual"]
PLAN_TYPES = ["sim/plan/plan.h", "sim/plan/way.h", "sim/plan/fault_rules.h"]

# Who may know a library: the start of its headers' names, and the files or rooms that include them.
LIBRARIES = [
    ("jansson.h", ["sim/plan", "sim/live/tunnel_control", "reports", "mock-orchestrator", "mock-mcp", "sim/cmd"]),
    ("event2/", ["sim/live", "mock-orchestrator", "mock-mcp", "sim/cmd"]),
    ("openssl/", ["sim/live", "reports", "mock-orchestrator", "mock-mcp", "sim/cmd"]),
    ("nghttp2/", ["sim/live"]),
    ("wslay/", ["sim/live"]),
    ("http_parser.h", ["sim/live"]),
    ("zlib.h", ["sim/record/hlog.c"]),
]
# Within sim/plan the types are free of the parser's library.
NO_JANSSON = ["sim/plan/plan.h", "sim/plan/plan.c", "sim/plan/fault_rules.h", "sim/plan/fault_rules.c", "sim/plan/parse.h"]

FILE_LINES_MAX = 900
# Tests that were longer already; they may not grow.
LONG_FILES = {"tests/live/test_h2_tunnel.c": 1020, "tests/live/test_orchestrator_api.c": 912}
FUNCTION_LINES_MAX = 90

INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]')


def room_of(path):
    for room in LEVEL:
        if path.startswith(room + "/"):
            return room
    return None


def may_include(path, header):
    """None, or what is wrong with it."""
    room, other = room_of(path), room_of(header)
    if other is None:
        return f'"{header}" is in no room; paths start at the root'
    if other == room:
        return None
    if LEVEL[other] >= LEVEL[room]:
        return f"{room} includes from {other}, which is not above it"
    if room in SEE_TYPES_ONLY and other == "sim/plan" and header not in PLAN_TYPES:
        return f"{room} includes {header}: of the plan it may know its types only"
    return None


def may_know(path, header):
    for start, users in LIBRARIES:
        if header.startswith(start) and not any(path == u or path.startswith((u + "/", u + ".")) for u in users):
            return f"<{header}> is for {', '.join(users)}"
    if header.startswith("jansson") and path in NO_JANSSON:
        return f"<{header}> is for the parser"
    return None


def check_includes(path, lines, complain):
    for number, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        wrong = may_include(path, match[2]) if match[1] == '"' else may_know(path, match[2])
        if wrong:
            complain(path, number, wrong)


def check_sizes(path, lines, complain):
    most = LONG_FILES.get(path, FILE_LINES_MAX)
    if len(lines) > most:
        complain(path, len(lines), f"the file has {len(lines)} lines; at most {most}")
    begin = None
    for number, line in enumerate(lines, 1):
        # With the house's braces a function begins and ends in the first column.
        if line == "{":
            begin = number
        elif line == "}" and begin:
            if number - begin - 1 > FUNCTION_LINES_MAX:
                complain(path, begin, f"the function has {number - begin - 1} lines; at most {FUNCTION_LINES_MAX}")
            begin = None


def check_text(path, lines, complain):
    for number, line in enumerate(lines, 1):
        if "\t" in line:
            complain(path, number, "a tab")
        if line.endswith(" ") and not path.endswith(".md"):
            complain(path, number, "a blank at the end of the line")


def main():
    root = pathlib.Path(sys.argv[1])
    complaints, files = [], 0

    def complain(path, number, what):
        complaints.append(f"{path}:{number}: {what}")

    for top in ["sim", "reports", "mock-orchestrator", "mock-mcp", "tests", "tools", "scenarios", "docs"]:
        for file in sorted((root / top).rglob("*")):
            path = str(file.relative_to(root))
            if file.suffix not in [".c", ".h", ".sh", ".py", ".json", ".md"] or "node_modules" in file.parts:
                continue
            text = file.read_text(encoding="utf-8")
            lines = text.split("\n")
            if lines[-1] == "":
                lines.pop()
            elif text:
                complain(path, len(lines), "no newline at the end")
            check_text(path, lines, complain)
            files += 1
            if room_of(path) is None or file.suffix not in [".c", ".h"]:
                continue
            check_includes(path, lines, complain)
            check_sizes(path, lines, complain)
    print("\n".join(complaints))
    print(f"{files} files, {len(complaints)} complaints")
    return 1 if complaints or files < 100 else 0


if __name__ == "__main__":
    sys.exit(main())
