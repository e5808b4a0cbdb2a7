#!/usr/bin/env python3
"""Writes src/text/unicode_tables.cpp: what the `tokenizers` package takes for a numeric character and for a member of a general category.

usage: tools/oracle.sh tools/make_unicode_tables.py     (a Python whose unicodedata is Unicode 14.0.0, as PCRE2 10.42 of Debian 12: 3.11)
Two engines are asked: Digits (char::is_numeric of its Rust) and Split (Oniguruma). For the categories only what Oniguruma knows beyond Unicode 14 is kept;
that it takes nothing away is demanded, and so is White_Space for \\s.
"""
import pathlib
import unicodedata

import tokenizers
from tokenizers import Regex, pre_tokenizers

ROOT = pathlib.Path(__file__).resolve().parent.parent
CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
WHITE_SPACE = [*range(0x9, 0xE), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000]
CATEGORIES = ["Lu", "Ll", "Lm", "Lo", "M", "N", "P", "S"]  # L is the first four and Lt, which has not grown


def isolated(pre_tokenizer):
    """The code points that the package isolates between two letters."""
    return [c for c in CODE_POINTS if len(pre_tokenizer.pre_tokenize_str("a" + chr(c) + "a")) == 3]


def matched(regex):
    kept = set()
    for piece, _ in pre_tokenizers.Split(Regex(regex), "removed").pre_tokenize_str("".join(map(chr, CODE_POINTS))):
        kept.update(map(ord, piece))
    return set(CODE_POINTS) - kept


def beyond_unicode_14(category):
    ours = {c for c in CODE_POINTS if unicodedata.category(chr(c)).startswith(category)}
    theirs = matched(rf"\p{{{category}}}")
    assert ours <= theirs, f"the package takes something away from {category}"
    return theirs - ours


def ranges(code_points):
    result = []
    for c in sorted(code_points):
        if result and result[-1][1] == c - 1:
            result[-1][1] = c
        else:
            result.append([c, c])
    return result


def rows(code_points):
    pairs = [f"{{0x{a:04X}, 0x{b:04X}}}," for a, b in ranges(code_points)]
    return ["    " + " ".join(pairs[i : i + 5]) for i in range(0, len(pairs), 5)]


def main():
    assert unicodedata.unidata_version == "14.0.0", unicodedata.unidata_version
    numeric = isolated(pre_tokenizers.Digits(individual_digits=True))
    assert set(WHITE_SPACE) == matched(r"\s"), r"\s is not White_Space"
    assert matched(r"\p{Lt}") == {c for c in CODE_POINTS if unicodedata.category(chr(c)) == "Lt"}
    lines = [
        f"// What `tokenizers` {tokenizers.__version__} takes for a numeric character ({len(numeric)} code points), and what its regular expressions count to a",
        "// general category beyond Unicode 14, which PCRE2 10.42 knows. Written by tools/make_unicode_tables.py.",
        '#include "src/text/unicode_tables.h"',
        "",
        "namespace dslite {",
        "namespace {",
        "",
        "constexpr CodePointRange kNumeric[] = {",
        *rows(numeric),
        "};",
    ]
    for category in CATEGORIES:
        lines += [f"constexpr CodePointRange k{category}[] = {{", *rows(beyond_unicode_14(category)), "};"]
    lines += [
        "",
        "}  // namespace",
        "",
        "std::span<const CodePointRange> numeric_ranges() { return kNumeric; }",
        "",
        "std::span<const NewerCategory> newer_categories() {",
        "  static constexpr NewerCategory kCategories[] = {",
        "      " + ", ".join(f'{{"{c}", k{c}}}' for c in CATEGORIES) + "};",
        "  return kCategories;",
        "}",
        "",
        "}  // namespace dslite",
        "",
    ]
    (ROOT / "src/text/unicode_tables.cpp").write_text("\n".join(lines))


main()
