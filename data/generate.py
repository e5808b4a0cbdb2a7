#!/usr/bin/env python3
"""Makes the sample data of the quick start: a text corpus, a chat set and held-out questions, in English and Chinese.

Eight kinds of question of equal weight, each with one right answer. Every question has a key (its kind and its operands, whatever
the language, the template or, where that does not matter, the order); the SHA-256 of the key decides
whether it is held out, and nothing that is made for training, text or chat, ever uses a held-out key. So a right answer on the held-out questions is never a remembered one.

usage: data/generate.py --output DIR [--seed 1]      writes corpus.jsonl, chat.jsonl, held_out.jsonl, tokenizer.txt;
standard library only, same bytes for the same seed
"""
import argparse
import hashlib
import json
import os
import random
import re
from dataclasses import dataclass

LANGUAGES = ("en", "zh")
HELD_OUT_PER_KIND_AND_LANGUAGE = 64   # 8 kinds x 2 languages x 64 = 1,024 questions
HELD_OUT_SHARE = 0.12                 # of all keys

WORDS = {"cat": "猫", "dog": "狗", "fish": "鱼", "bird": "鸟", "tree": "树", "moon": "月", "sun": "日", "star": "星", "rain": "雨", "snow": "雪",
         "wind": "风", "fire": "火", "rock": "石", "sand": "沙", "lake": "湖", "hill": "山", "road": "路", "door": "门", "book": "书", "lamp": "灯",
         "milk": "奶", "rice": "米", "pear": "梨", "salt": "盐", "leaf": "叶", "horse": "马", "sheep": "羊", "tiger": "虎", "paper": "纸", "cloud": "云",
         "bell": "钟", "boat": "船", "bread": "饼", "chair": "椅", "cup": "杯", "egg": "蛋", "grass": "草", "gold": "金", "knife": "刀", "pen": "笔",
         "shoe": "鞋", "soup": "汤", "stone": "岩", "table": "桌", "tea": "茶", "wood": "木"}
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
WEEKDAYS_ZH = tuple("一二三四五六日")
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December")
UNITS = (("m", "cm", "米", "厘米", 2), ("km", "m", "公里", "米", 3), ("kg", "g", "公斤", "克", 3), ("cm", "mm", "厘米", "毫米", 1), ("L", "mL", "升", "毫升", 3),
         ("dollars", "cents", "元", "分", 2))   # large, small, and how many zeros lie between them
SYSTEM = {"en": ("You are a careful assistant.", "Answer with the result only.", "You are good at small puzzles.", "Be short and exact."),
          "zh": ("你是一个细心的助手。", "只回答结果。", "你很会做小题目。", "回答要简短准确。")}


@dataclass(frozen=True)
class Item:
    key: str        # what is asked; decides the split
    question: str
    answer: str
    statement: str  # the same fact as a sentence of the corpus


def pick(rng, language, **texts):
    """One of the templates of the language."""
    return rng.choice(texts[language])


def arithmetic(rng, language):
    """Two digits and one digit, the result again of two digits or less."""
    a, b, adds = rng.randint(10, 99), rng.randint(1, 9), rng.random() < 0.5
    a -= max(0, a + b - 99) if adds else 0
    result = a + b if adds else a - b
    problem = f"{a}{'+' if adds else '-'}{b}"
    question = pick(rng, language, en=(f"What is {problem}?", f"Calculate {problem}.", f"{problem}=?"),
                    zh=(f"{problem}等于多少？", f"请计算{problem}。", f"{problem}=？"))
    return Item(problem, question, str(result), f"{problem}={result}")


def comparing(rng, language):
    numbers = rng.sample(range(10, 100), rng.choice((2, 3)))
    largest = rng.random() < 0.5
    answer = str(max(numbers) if largest else min(numbers))
    text = " ".join(map(str, numbers))
    name = {"en": "largest" if largest else "smallest", "zh": "最大" if largest else "最小"}[language]
    question = pick(rng, language, en=(f"Which number is {name}: {text}?", f"Find the {name} number: {text}.", f"The {name} of {text}?"),
                    zh=(f"哪个数{name}：{text}？", f"找出{name}的数：{text}。", f"{name}的是几：{text}？"))
    statement = f"{name} of {text}: {answer}" if language == "en" else f"{name}：{text}：{answer}"
    return Item(f"{largest} {sorted(numbers)}", question, answer, statement)


def dates(rng, language):
    day, month, weekday, distance = rng.randint(1, 28), rng.randrange(12), rng.randrange(7), rng.randint(1, 3)
    ahead = rng.random() < 0.5
    target = day + distance if ahead else day - distance
    if not 1 <= target <= 28:   # stays within the month, whichever it is
        ahead, target = not ahead, 2 * day - target
    shifted = (weekday + (distance if ahead else -distance)) % 7

    def name(which_day, which_weekday):
        if language == "en":
            return f"{WEEKDAYS[which_weekday]}, {MONTHS[month]} {which_day}"
        return f"{month + 1}月{which_day}日，星期{WEEKDAYS_ZH[which_weekday]}"
    here, there = name(day, weekday), name(target, shifted)
    plural = "s" if distance > 1 else ""
    if language == "en":
        when = f"in {distance} day{plural}" if ahead else f"{distance} day{plural} ago"
        question = rng.choice((f"Today is {here}. What date is it {when}?", f"It is {here}. Which day is it {when}?")) if ahead else \
            rng.choice((f"Today is {here}. What date was it {when}?", f"It is {here}. Which day was it {when}?"))
        statement = f"{here}; {when} {there}"
    else:
        when = f"{distance}天{'后' if ahead else '前'}"
        question = rng.choice((f"今天是{here}。{when}是哪天？", f"已知今天是{here}。请问{when}是几月几日星期几？"))
        statement = f"{here}；{when}：{there}"
    return Item(f"{day} {month} {weekday} {distance} {ahead}", question, there, statement)


def units(rng, language):
    kind = rng.randrange(len(UNITS))
    large_en, small_en, large_zh, small_zh, zeros = UNITS[kind]
    large, small = (large_en, small_en) if language == "en" else (large_zh, small_zh)
    a, b = rng.randint(2, 30), rng.randint(1, min(99, 10**zeros - 1))
    gap = " " if language == "en" else ""
    split, joined = gap.join((str(a), large, str(b), small)), f"{a}{b:0{zeros}d}{gap}{small}"
    join = rng.random() < 0.5
    if join:
        question = pick(rng, language, en=(f"How many {small} are {split}?", f"Write {split} in {small}."),
                        zh=(f"{split}等于多少{small}？", f"把{split}换成{small}。"))
        answer, statement = joined, f"{split}={joined}"
    else:
        question = pick(rng, language, en=(f"How many {large} and {small} are {joined}?", f"Write {joined} in {large} and {small}."),
                        zh=(f"{joined}等于多少{large}多少{small}？", f"把{joined}换成{large}和{small}。"))
        answer, statement = split, f"{joined}={split}"
    return Item(f"{kind} {a} {b}", question, answer, statement)


def sorting(rng, language):
    if rng.random() < 0.5:
        things = rng.sample(range(10, 100), 3)
    else:
        things = rng.sample("abcdefghijklmnopqrstuvwxyz", rng.randint(3, 4))
    falling = isinstance(things[0], int) and rng.random() < 0.5
    while things == sorted(things, reverse=falling):   # copying the question is never right
        rng.shuffle(things)
    text, answer = (" ".join(map(str, some)) for some in (things, sorted(things, reverse=falling)))
    if isinstance(things[0], str):
        question = pick(rng, language, en=(f"Sort by the alphabet: {text}", f"Put these letters in order: {text}"), zh=(f"按字母顺序排列： {text}", f"请给字母排序： {text}"))
        statement = {"en": f"letters {text}; in order {answer}", "zh": f"字母 {text}；排好 {answer}"}[language]
    elif falling:
        question = pick(rng, language, en=(f"Sort from large to small: {text}", f"Put in falling order: {text}"), zh=(f"从大到小排列：{text}", f"请按从大到小排序：{text}"))
        statement = {"en": f"numbers {text}; falling {answer}", "zh": f"数 {text}；从大到小 {answer}"}[language]
    else:
        question = pick(rng, language, en=(f"Sort from small to large: {text}", f"Put in rising order: {text}"), zh=(f"从小到大排列：{text}", f"请按从小到大排序：{text}"))
        statement = {"en": f"numbers {text}; rising {answer}", "zh": f"数 {text}；从小到大 {answer}"}[language]
    return Item(f"{sorted(things)} {falling}", question, answer, statement)


def spelling(rng, language):
    words = rng.sample(sorted(WORDS), 2)
    answer = ", ".join(" ".join(word) for word in words)
    question = pick(rng, language, en=(f"Spell the words {words[0]} and {words[1]}.", f"How do you spell {words[0]} and {words[1]}?", f"Spell {words[0]}, then {words[1]}."),
                    zh=(f"请拼写 {words[0]} 和 {words[1]}。", f"怎么拼写 {words[0]} 和 {words[1]}？", f"先拼写 {words[0]}，再拼写 {words[1]}。"))
    return Item(" ".join(words), question, answer, f"spell {words[0]} {words[1]}: {answer}" if language == "en" else f"拼写 {words[0]} {words[1]}：{answer}")


def counting(rng, language):
    counts = {word: rng.randint(1, 3) for word in rng.sample(sorted(WORDS), 2)}
    things = [word for word, count in counts.items() for _ in range(count)]
    rng.shuffle(things)
    name, gap, comma = (str, " ", ", ") if language == "en" else (WORDS.get, "、", "，")
    text = gap.join(map(name, things))
    answer = comma.join(f"{name(word)} {counts[word]}" for word in dict.fromkeys(things))   # in the order in which they first appear
    question = pick(rng, language, en=(f"Count each word: {text}", f"How often does each word appear: {text}"), zh=(f"数一数每个字：{text}", f"每个字出现几次：{text}"))
    return Item(" ".join(f"{word} {counts[word]}" for word in sorted(counts)), question, answer, f"count {text}: {answer}" if language == "en" else f"数一数：{text}：{answer}")


def reversing(rng, language):
    things = rng.sample(sorted(WORDS), rng.randint(3, 4))
    shown = things if language == "en" else [WORDS[thing] for thing in things]
    separator = " " if language == "en" else "、"
    text, answer = separator.join(shown), separator.join(reversed(shown))
    question = pick(rng, language, en=(f"Reverse the order: {text}", f"Say it backwards: {text}"), zh=(f"倒过来写：{text}", f"反过来排列：{text}"))
    return Item(" ".join(things), question, answer, f"words {text}; backwards {answer}" if language == "en" else f"{text}；倒过来 {answer}")


KINDS = {function.__name__: function for function in (arithmetic, comparing, dates, units, sorting, spelling, counting, reversing)}


def held_out(kind, item):
    return int.from_bytes(hashlib.sha256(f"{kind} {item.key}".encode()).digest()[:8], "big") < HELD_OUT_SHARE * 2**64


def draw(rng, kind, language, want_held_out=False):
    while True:
        item = KINDS[kind](rng, language)
        if held_out(kind, item) == want_held_out:
            return item


def normalised_hash(question):
    """Of the question without case, runs of spaces and final punctuation."""
    return hashlib.sha256(re.sub(r"\s+", " ", question.lower().strip()).rstrip(".?。？").encode()).hexdigest()


def balanced(rng, names, count):
    """`count` names, each equally often (to one), shuffled."""
    drawn = [names[i % len(names)] for i in range(count)]
    rng.shuffle(drawn)
    return drawn


def reading(rng, language):
    """What is learned by reading and counting along: a list said twice, or a piece of a series."""
    form = rng.randrange(4)
    if form == 0:
        things = [thing if language == "en" else WORDS[thing] for thing in rng.sample(sorted(WORDS), rng.randint(3, 5))]
    elif form == 1:
        things = list(map(str, rng.sample(range(10, 100), rng.randint(2, 4))))
    elif form == 2:
        begin, step, count = rng.randint(0, 90), rng.choice((1, -1)), rng.randint(5, 9)
        return " ".join(str(begin + step * i) for i in range(count) if begin + step * i >= 0)
    else:
        begin = rng.randrange(22)
        return " " + " ".join("abcdefghijklmnopqrstuvwxyz"[begin:begin + rng.randint(4, 9)])
    text = ("、" if form == 0 and language == "zh" else " ").join(things)
    return f"say {text}; again {text}" if language == "en" else f"{text}；再说一遍：{text}"


def make_corpus(rng, documents):
    """Each document states several facts of one kind in one language, more often of those that take longer to learn; one in six is for reading."""
    for kind in balanced(rng, [*KINDS, "arithmetic", "dates", "reading", "reading"], documents):
        language = rng.choice(LANGUAGES)
        statements = [reading(rng, language) if kind == "reading" else draw(rng, kind, language).statement for _ in range(rng.randint(3, 7))]
        yield {"text": "\n".join(statements)}


def make_chat(rng, conversations):
    """One to three turns; a system prompt in one of five."""
    turns = [rng.choices((1, 2, 3), (6, 3, 1))[0] for _ in range(conversations)]
    kinds = iter(balanced(rng, list(KINDS), sum(turns)))
    for count in turns:
        language = rng.choice(LANGUAGES)
        messages = [{"role": "system", "content": rng.choice(SYSTEM[language])}] if rng.random() < 0.2 else []
        for _ in range(count):
            item = draw(rng, next(kinds), language)
            messages += [{"role": "user", "content": item.question}, {"role": "assistant", "content": item.answer}]
        yield {"messages": messages}


def make_held_out(rng):
    """Equally many of each kind and language, no key twice; one in four is the second turn of a conversation, one in eight has a system prompt."""
    for kind in KINDS:
        seen = set()
        while len(seen) < HELD_OUT_PER_KIND_AND_LANGUAGE * len(LANGUAGES):
            index, language = len(seen) // len(LANGUAGES), LANGUAGES[len(seen) % len(LANGUAGES)]
            item = draw(rng, kind, language, want_held_out=True)
            if item.key not in seen:
                seen.add(item.key)
                messages = [{"role": "system", "content": rng.choice(SYSTEM[language])}] if index % 8 == 1 else []
                if index % 4 == 2:
                    before = draw(rng, rng.choice(list(KINDS)), language)
                    messages += [{"role": "user", "content": before.question}, {"role": "assistant", "content": before.answer}]
                yield {"messages": messages + [{"role": "user", "content": item.question}], "answer": item.answer, "class": kind, "language": language}


def plain_text(corpus, chat):
    """What a tokenizer is trained on: the documents, and the conversations as the chat format spells them."""
    names = {"system": "", "user": "User: ", "assistant": "Assistant: "}
    yield from (document["text"] for document in corpus)
    yield from ("\n\n".join(names[message["role"]] + message["content"] for message in conversation["messages"]) for conversation in chat)


def write(folder, name, records):
    """Records as JSON, texts as they are, one a line."""
    digest = hashlib.sha256()
    with open(os.path.join(folder, name), "wb") as file:
        for record in records:
            line = ((record if isinstance(record, str) else json.dumps(record, ensure_ascii=False)) + "\n").encode()
            digest.update(line)
            file.write(line)
    print(f"{digest.hexdigest()}  {name}  {len(records)} records")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--output", required=True, help="folder for the files")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--documents", type=int, default=50000, help="text documents")
    parser.add_argument("--conversations", type=int, default=120000)
    options = parser.parse_args()
    os.makedirs(options.output, exist_ok=True)
    corpus, chat, questions = (list(made) for made in (
        make_corpus(random.Random(f"corpus {options.seed}"), options.documents), make_chat(random.Random(f"chat {options.seed}"), options.conversations),
        make_held_out(random.Random(f"held out {options.seed}"))))
    trained = {normalised_hash(message["content"]) for conversation in chat for message in conversation["messages"] if message["role"] == "user"}
    overlap = [record for record in questions if normalised_hash(record["messages"][-1]["content"]) in trained]
    if overlap:
        raise SystemExit(f"generate: {len(overlap)} held-out questions are in the training set, the first: {overlap[0]}")
    write(options.output, "corpus.jsonl", corpus)
    write(options.output, "chat.jsonl", chat)
    write(options.output, "held_out.jsonl", questions)
    write(options.output, "tokenizer.txt", list(plain_text(corpus[:10000], chat[:10000])))
    print(f"{len(trained)} different training questions, {len(questions)} held out, none in both")


if __name__ == "__main__":
    main()
