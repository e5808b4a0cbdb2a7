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


def fuzzed(r):
    """A string without line feeds: runs from a few alphabets."""
    parts = []
    for _ in range(r.randrange(1, 6)):
        alphabet = r.choice(ALPHABETS)
        parts += [alphabet(r) for _ in range(r.randrange(1, r.choice([3, 8, 30])))]
    return "".join(parts).replace("\n", " ")
