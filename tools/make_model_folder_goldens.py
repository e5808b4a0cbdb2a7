"""Writes tests/golden/model_folder/: one tiny model as transformers saves it, per-expert and stacked, and its tensors' checksums.

usage: tools/oracle.sh tools/make_model_folder_goldens.py
"""
import hashlib
import json
import pathlib
import shutil

import torch
from safetensors import safe_open
from transformers import DeepseekV2Config, DeepseekV2ForCausalLM

here = pathlib.Path(__file__).resolve().parent.parent / "tests/golden/model_folder"


def make():
    config = DeepseekV2Config(
        vocab_size=96, hidden_size=32, intermediate_size=40, moe_intermediate_size=16, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, n_routed_experts=4, n_shared_experts=1, num_experts_per_tok=2,
        kv_lora_rank=16, q_lora_rank=None, qk_nope_head_dim=8, qk_rope_head_dim=8, v_head_dim=8, first_k_dense_replace=1,
        topk_method="greedy", n_group=1, topk_group=1, bos_token_id=94, eos_token_id=95, max_position_embeddings=1024,
        rope_scaling=dict(type="yarn", factor=4, original_max_position_embeddings=256, beta_fast=32, beta_slow=1,
                          mscale=0.707, mscale_all_dim=0.707))
    torch.manual_seed(1)
    return DeepseekV2ForCausalLM(config).to(torch.bfloat16)


def checksums(folder):
    """SHA-256 of every per-expert tensor's bytes, by name."""
    sums = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            for name in file.keys():
                data = file.get_tensor(name).contiguous().view(torch.uint8).numpy().tobytes()
                sums[name] = hashlib.sha256(data).hexdigest()
    return sums


shutil.rmtree(here, ignore_errors=True)
model = make()
model.save_pretrained(here / "per_expert")
model.save_pretrained(here / "stacked", save_original_format=False)
model.save_pretrained(here / "sharded", max_shard_size="16KB")
(here / "tensors.json").write_text(json.dumps(checksums(here / "per_expert"), indent=1, sort_keys=True) + "\n")
for path in here.rglob("*"):
    if path.is_file():
        path.chmod(0o644)
