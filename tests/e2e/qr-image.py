#!/usr/bin/python3
"""Turns a QR code drawn with half blocks into a picture as a camera would see it.

usage: qr-image.py TEXT PGM

Text with escape sequences is black on white; text without is light blocks on a dark terminal.
"""
import re
import sys

SCALE = 6
HALVES = {" ": (0, 0), "▀": (1, 0), "▄": (0, 1), "█": (1, 1)}

text = open(sys.argv[1], encoding="utf-8").read()
coloured = "\x1b" in text
lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in text.split("\n")]
lines = [line for line in lines if line and set(line) <= set(HALVES)]
rows = []
for line in lines:
    for half in (0, 1):
        # Ink is dark with colours (black on white), light without.
        rows.append([HALVES[c][half] ^ (0 if coloured else 1) for c in line])
# Around the code is the terminal: dark, which is what the quiet zone is for.
width = len(rows[0])
rows = [[1] * width] * 4 + rows + [[1] * width] * 4
rows = [[1] * 4 + row + [1] * 4 for row in rows]
pixels = b"".join(bytes(0 if dark else 255 for dark in row for _ in range(SCALE)) * SCALE
                  for row in rows)
with open(sys.argv[2], "wb") as out:
    out.write(b"P5\n%d %d\n255\n" % (len(rows[0]) * SCALE, len(rows) * SCALE) + pixels)
