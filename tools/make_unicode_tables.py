#!/usr/bin/env python3
"""Writes src/text/unicode_tables.cpp: the code points that the `tokenizers` package's Digits pre-tokenizer splits off.

usage: pip install --target DIR --no-deps unicodedata2==17.0.1;  PYTHONPATH=DIR tools/oracle.sh tools/make_unicode_tables.py
The table is general category N* (Nd, Nl, No) of the Unicode version below; the script demands that the package agrees on every code point.
"""
import pathlib

import tokenizers
import unicodedata2
from tokenizers import Regex, pre_tokenizers

ROOT = pathlib.Path(__file__).resolve().parent.parent
CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
WHITE_SPACE = [*range(0x9, 0xE), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000]


def split_off(pre_tokenizer):
    """The code points that the package isolates between two letters."""
    return [c for c in CODE_POINTS if len(pre_tokenizer.pre_tokenize_str("a" + chr(c) + "a")) == 3]


def ranges(code_points):
    result = []
    for c in code_points:
        if result and result[-1][1] == c - 1:
            result[-1][1] = c
        else:
            result.append([c, c])
    return result


def main():
    numeric = [c for c in CODE_POINTS if unicodedata2.category(chr(c)).startswith("N")]
    assert numeric == split_off(pre_tokenizers.Digits(individual_digits=True)), "the package follows another Unicode version"
    assert WHITE_SPACE == split_off(pre_tokenizers.Split(Regex(r"\s"), "isolated")), r"\s is not White_Space"
    rows = ranges(numeric)
    lines = [
        f"// General category N* (Nd, Nl, No) of Unicode {unicodedata2.unidata_version}: {len(numeric)} code points in {len(rows)} ranges, both ends included.",
        f"// Written by tools/make_unicode_tables.py, which demands that `tokenizers` {tokenizers.__version__} agrees on every code point.",
        '#include "src/text/unicode_tables.h"',
        "",
        "namespace dslite {",
        "namespace {",
        "",
        "constexpr CodePointRange kNumeric[] = {",
    ]
    for i in range(0, len(rows), 5):
        lines.append("    " + " ".join(f"{{0x{a:04X}, 0x{b:04X}}}," for a, b in rows[i : i + 5]))
    lines += ["};", "", "}  // namespace", "", "std::span<const CodePointRange> numeric_ranges() { return kNumeric; }", "", "}  // namespace dslite", ""]
    (ROOT / "src/text/unicode_tables.cpp").write_text("\n".join(lines))


main()
