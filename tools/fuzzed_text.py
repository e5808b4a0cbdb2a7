"""Random strings over all of Unicode for tools/check_tokenizer.py and tools/make_text_goldens.py."""

ALPHABETS = [
    lambda r: chr(r.randrange(0x20, 0x7F)),
    lambda r: r.choice(" \t\u00a0\u2003\u3000\u0085\u180e\u200b\u2028\r\x0b\x0c"),
    lambda r: r.choice("0123456789٣४Ⅷ½①𝟘一\U00011DA0\U0001E4F0"),
    lambda r: r.choice("!-/:~'\"“”…、。，｜＜▁_"),
    lambda r: chr(r.randrange(0xA0, 0x530)),
    lambda r: chr(r.randrange(0x4E00, 0x9FFF)),
    lambda r: chr(r.randrange(0x0800, 0xD800)),
    lambda r: chr(r.randrange(0xE000, 0x10000)),
    lambda r: chr(r.randrange(0x10000, 0x110000)),
    lambda r: chr(r.choice([r.randrange(0, 0xD800), r.randrange(0xE000, 0x110000)])),
    lambda r: r.choice(["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜", "▁of▁", " the", "ing", "Ġ", "你好"]),
]


# What the patterns and normalizers of other tokenizers look at. Not in ALPHABETS: the goldens of dslite are made from those.
MORE_ALPHABETS = [
    lambda r: r.choice(["'s", "'S", "'\u017f", "'re", "'Re", "'lL", "'ve", "'d", "'M", "'t", "n't", "'K", "'\u212a"]),
    lambda r: chr(r.randrange(0x300, 0x370)) if r.randrange(2) else r.choice("aeiouAEIOUnc한ᄒ\u1161\u11ab\u0f71\u0f72\u3099か"),
]


def fuzzed(r, alphabets=ALPHABETS):
    """A string without line feeds: runs from a few alphabets."""
    parts = []
    for _ in range(r.randrange(1, 6)):
        alphabet = r.choice(alphabets)
        parts += [alphabet(r) for _ in range(r.randrange(1, r.choice([3, 8, 30])))]
    return "".join(parts).replace("\n", " ")
