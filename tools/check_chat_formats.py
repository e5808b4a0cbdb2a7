#!/usr/bin/env python3
"""Compares dslite's chat formats with Jinja2 on their templates, over fuzzed conversations.

usage: tools/oracle.sh tools/check_chat_formats.py TEST_TEXT [--conversations 100000] [--seed 1] [--published FOLDER]
       tools/oracle.sh tools/check_chat_formats.py --goldens         writes tests/golden/text/chats.jsonl

TEST_TEXT is the test binary build/release/tests/test_text, which renders and compares. The templates are those that dslite writes into model folders; it
refuses to go on when its own differ. FOLDER holds published templates (*.jinja) that dslite must recognise; each must print the same.
"""
import argparse
import json
import os
import pathlib
import random
import subprocess
import tempfile

from fuzzed_text import fuzzed
from jinja2.sandbox import ImmutableSandboxedEnvironment

GOLDENS = pathlib.Path(__file__).resolve().parent.parent / "tests/golden/text/chats.jsonl"
DEFAULT = "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}"
TEMPLATES = {
    "deepseek-v2": DEFAULT + "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}{{ 'User: ' + message['content'] + '\\n\\n' }}"
    "{% elif message['role'] == 'assistant' %}{{ 'Assistant: ' + message['content'] + eos_token }}"
    "{% elif message['role'] == 'system' %}{{ message['content'] + '\\n\\n' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}",
    "deepseek-v2.5": DEFAULT + "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}{{ '<｜User｜>' + message['content'] }}"
    "{% elif message['role'] == 'assistant' %}{{ '<｜Assistant｜>' + message['content'] + eos_token }}"
    "{% elif message['role'] == 'system' %}{{ message['content'] }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<｜Assistant｜>' }}{% endif %}",
    "chatml": DEFAULT + "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
    "llama3": DEFAULT + "{% for message in messages %}{% if loop.first %}{{ bos_token }}{% endif %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}",
    "plain": "{{ bos_token }}{% for message in messages %}{{ message['content'] }}{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}",
}
PIECES = ["", " ", "\n", "\t\x1c\x85\xa0\u2003\u3000", "User: {{ x }}\n\nAssistant:", "<｜end▁of▁sentence｜>", "<|im_end|>\n", "<|eot_id|>", "{% raw %}", "a", "你好 ", "\u200b"]
ACCIDENT = " " * 8  # what DeepSeek-V2.5's published template prints before bos when there is a system message


def fuzzed_messages(r, names_every_role, system_in_front_only):
    messages = []
    for i in range(r.randrange(0, 7)):
        roles = ["system", "user", "assistant", "user", "assistant"] + (["tool", "developer"] if names_every_role else [])
        role = r.choice(roles)
        if role == "system" and i > 0 and system_in_front_only:
            role = "user"
        text = "".join(r.choice(PIECES) if r.random() < 0.6 else fuzzed(r)[:20] for _ in range(r.randrange(4)))
        messages.append([role, text])
    return messages


def records_of(templates, count, seed):
    """templates: {name: text}; the name decides which roles there are, or the text where it is a published one."""
    r = random.Random(seed)
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)  # as transformers has it
    compiled = {name: environment.from_string(text) for name, text in templates.items()}
    records = [{"define": name, "template": text} for name, text in templates.items()]
    names = sorted(templates)
    for i in range(count):
        name = names[i % len(names)]
        every_role = "message['role'] + '" in templates[name] or "'] + '<|end_header_id|>" in templates[name]
        in_front = "｜User｜" in templates[name]
        messages, generation = fuzzed_messages(r, every_role, in_front), r.random() < 0.3
        text = compiled[name].render(messages=[{"role": role, "content": content} for role, content in messages], add_generation_prompt=generation, bos_token="[B]", eos_token="[E]")
        if in_front:
            text = text.removeprefix(ACCIDENT).replace("<｜end▁of▁sentence｜>", "[E]") if "is_output_first" in templates[name] else text
            if "is_output_first" in templates[name] and any("<｜end▁of▁sentence｜>" in content for _, content in messages):
                continue  # that template spells eos out, so its own cannot be told from the message's
        records.append({"format": name, "messages": messages, "generation": generation, "text": text})
    return records


def write(path, records):
    path.write_text("".join(json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n" for record in records), encoding="utf-8")


def compare(binary, records):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "chats.jsonl"
        write(path, records)
        test = "--gtest_filter=Golden.ConversationsReadAsJinjaRendersThem"
        done = subprocess.run([binary, test, "--gtest_brief=1"], env={**os.environ, "DSLITE_CHATS": str(path)}, capture_output=True, text=True)
        if done.returncode or "1 test from" not in done.stdout:
            raise SystemExit(done.stdout[-4000:] + done.stderr[-2000:])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("test_text", nargs="?")
    parser.add_argument("--goldens", action="store_true")
    parser.add_argument("--conversations", type=int, default=100000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--published", type=pathlib.Path)
    arguments = parser.parse_args()
    if arguments.goldens:
        write(GOLDENS, records_of(TEMPLATES, 400, 9))
        return
    records = records_of(TEMPLATES, arguments.conversations, arguments.seed)
    compare(arguments.test_text, records)
    print(f"{len(records) - len(TEMPLATES)} conversations in {len(TEMPLATES)} formats: equal")
    if arguments.published:
        published = {path.stem: path.read_text(encoding="utf-8") for path in sorted(arguments.published.glob("*.jinja"))}
        records = records_of(published, arguments.conversations, arguments.seed + 1)
        compare(arguments.test_text, records)
        print(f"{len(records) - len(published)} conversations in {len(published)} published templates: equal")


main()
