#!/usr/bin/env python3
"""Writes a text file as a C array: embed.py INPUT OUTPUT HEADER NAME."""
import sys

source, target, header, name = sys.argv[1:]
data = open(source, "rb").read() + b"\0"
with open(target, "w") as out:
    out.write(f'#include "{header}"\n\nconst char {name}[] = {{\n')
    for start in range(0, len(data), 16):
        out.write("        " + " ".join(f"{byte - 256 if byte > 127 else byte}," for byte in data[start : start + 16]) + "\n")
    out.write("};\n")
