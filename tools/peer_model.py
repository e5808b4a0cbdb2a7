"""What tools/export_check.py and tools/generate_check.py share: the dslite binary, the peer in transformers, a small folder to try them on."""

import json
import pathlib
import subprocess

import torch
from transformers import AutoTokenizer, DeepseekV2Config, DeepseekV2ForCausalLM

CONFIG = dict(
    hidden_size=96, intermediate_size=160, moe_intermediate_size=48, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=4, kv_lora_rank=32, qk_nope_head_dim=16,
    qk_rope_head_dim=8, v_head_dim=16, n_routed_experts=8, n_shared_experts=2, num_experts_per_tok=3, first_k_dense_replace=1, routed_scaling_factor=1.0, topk_method="greedy",
    norm_topk_prob=False, n_group=1, topk_group=1, max_position_embeddings=512, rms_norm_eps=1e-6, tie_word_embeddings=False, attention_bias=False, initializer_range=0.12,
)


def run(*command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stderr}")
    return done.stdout


def load_peer(folder):
    """The model in fp32 and its tokenizer; every tensor must have been found, and none left over."""
    model, info = DeepseekV2ForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    lists = {key: list(value) for key, value in info.items() if value}
    assert not lists, f"tensors that do not match: {lists}"
    return model.eval(), AutoTokenizer.from_pretrained(folder)


def make_folder(folder, dslite, text, q_lora_rank=None):
    """A folder as transformers writes it, with random weights and a tokenizer that dslite trains on `text`."""
    folder = pathlib.Path(folder)
    run(dslite, "tokenizer", "train", "--vocab-size", 512, "--output", folder, text)
    torch.manual_seed(1)
    config = DeepseekV2Config(**CONFIG, q_lora_rank=q_lora_rank, vocab_size=512, bos_token_id=510, eos_token_id=511)
    model = DeepseekV2ForCausalLM(config).float()
    model.save_pretrained(folder)
    print(f"{folder}: {sum(p.numel() for p in model.parameters())} parameters, {json.loads((folder / 'config.json').read_text())['model_type']}")
