"""Makes a large chat file for measuring `dslite prepare`: the conversations of real files again and again, each time with other digits and words in another order.
python3 tools/repeat_chat.py BYTES OUTPUT.jsonl INPUT.json[l]..."""
import json
import sys

ROLES = {"human": "user", "gpt": "assistant", "user": "user", "assistant": "assistant", "system": "system"}


def conversation(record):
    """[[role, text]], or nothing for records with tools."""
    if "instruction" in record:
        return [["user", "\n".join(filter(None, [record["instruction"], record.get("input")]))], ["assistant", record["output"]]]
    if "question" in record:
        return [["user", record["question"]], ["assistant", record["answer"]]]
    turns = [[ROLES.get(m.get("role", m.get("from"))), text_of(m.get("content", m.get("value")))] for m in record.get("messages", record.get("conversations", []))]
    return turns if all(role and text for role, text in turns) else []


def text_of(content):
    return "".join(part["value"] for part in content) if isinstance(content, list) else content


def varied(text, repetition):
    words = text.translate(str.maketrans("0123456789", "".join(str((d + repetition) % 10) for d in range(10)))).split(" ")
    first = repetition % len(words)
    return " ".join(words[first:] + words[:first])


def main(num_bytes, output, inputs):
    conversations = []
    for path in inputs:
        text = open(path, encoding="utf-8").read()
        records = json.loads(text) if text.lstrip().startswith("[") else [json.loads(line) for line in text.splitlines()]
        conversations += filter(None, map(conversation, records))
    written = repetition = 0
    with open(output, "wb") as file:
        while written < num_bytes:
            for turns in conversations:
                messages = [{"role": role, "content": varied(text, repetition)} for role, text in turns]
                line = json.dumps({"messages": messages}, ensure_ascii=False) + "\n"
                written += file.write(line.encode())
            repetition += 1
    print(f"{output}: {written} bytes, {len(conversations)} conversations x {repetition}")


main(int(float(sys.argv[1])), sys.argv[2], sys.argv[3:])
