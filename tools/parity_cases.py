"""The cases of tools/parity.py: configurations, documents, and weights made by an integer hash.

The same hash stands in tests/train/parity_test.cpp, so that goldens need not store weights. Every weight is a whole
number of at most 8 bits times a power of two: exact in bf16, so that fp32 and bf16 runs have the same weights.
"""
import math

import numpy as np
import torch

YARN = {
    "type": "yarn", "factor": 40, "original_max_position_embeddings": 4096, "beta_fast": 32, "beta_slow": 1,
    "mscale": 0.707, "mscale_all_dim": 0.707,
}  # fmt: skip
BASE = {
    "architectures": ["DeepseekV2ForCausalLM"], "model_type": "deepseek_v2", "vocab_size": 320, "hidden_size": 64,
    "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 4, "intermediate_size": 96,
    "moe_intermediate_size": 40, "q_lora_rank": None, "kv_lora_rank": 32, "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8, "v_head_dim": 16, "n_routed_experts": 8, "n_shared_experts": 2, "num_experts_per_tok": 3,
    "first_k_dense_replace": 1, "moe_layer_freq": 1, "n_group": 1, "topk_group": 1, "topk_method": "greedy",
    "scoring_func": "softmax", "norm_topk_prob": False, "routed_scaling_factor": 1.0, "aux_loss_alpha": 0.01,
    "seq_aux": True, "max_position_embeddings": 8192, "rope_theta": 10000, "rope_scaling": None, "rms_norm_eps": 1e-6,
    "initializer_range": 0.02, "tie_word_embeddings": False, "attention_bias": False, "hidden_act": "silu",
    "bos_token_id": 0, "eos_token_id": 1, "torch_dtype": "float32",
}  # fmt: skip
GROUPED = {"topk_method": "group_limited_greedy", "n_group": 4, "topk_group": 2}
# name: (changes, lengths of the documents)
CASES = {
    "lite_packed": ({"rope_scaling": YARN}, [37, 1, 64, 20]),
    "v2": ({**GROUPED, "q_lora_rank": 24, "routed_scaling_factor": 16.0, "rope_scaling": YARN}, [70]),
    "tied_packed": ({"tie_word_embeddings": True, "first_k_dense_replace": 0}, [9, 50, 33]),
    "dense": ({"first_k_dense_replace": 3, "q_lora_rank": 40}, [48]),
    "odd_sizes": (
        {"hidden_size": 51, "kv_lora_rank": 26, "v_head_dim": 11, "qk_nope_head_dim": 14, "qk_rope_head_dim": 10,
         "num_attention_heads": 3, "num_key_value_heads": 3, "moe_intermediate_size": 23, "routed_scaling_factor": 2.5,
         "rms_norm_eps": 1e-5, "rope_scaling": {**YARN, "mscale": 1.0}}, [41, 23]),
    "long": ({"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2,
              "num_experts_per_tok": 2, "rope_scaling": YARN}, [4200]),
    "real_vocabulary": ({"vocab_size": 102400, "hidden_size": 32, "num_hidden_layers": 2}, [40]),
    "normalised": ({**GROUPED, "norm_topk_prob": True, "routed_scaling_factor": 2.0}, [45, 30]),
    "every_second_layer": ({"moe_layer_freq": 2, "num_hidden_layers": 4}, [50]),
    "no_shared_experts": ({"n_shared_experts": None, "rope_scaling": YARN}, [40, 15]),
}  # fmt: skip
# Where transformers 5.23 implements every field.
IN_TRANSFORMERS = ["lite_packed", "v2", "tied_packed", "dense", "odd_sizes", "long", "real_vocabulary"]
# In bf16: short, so that a seed can be found whose choices bf16 does not flip.
BF16_LENGTHS = {
    "lite_packed": [31, 1, 18], "v2": [40], "tied_packed": [15, 22], "dense": [80], "odd_sizes": [19, 28],
    "real_vocabulary": [40],
}  # fmt: skip


def config_of(name):
    return {**BASE, **CASES[name][0]}


def fnv1a(text):
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value


def mixed(text, seed, count):
    """count 64-bit hashes: splitmix64 of fnv1a(text) + seed and the index."""
    start = (fnv1a(text) + seed * 0xD1342543DE82EF95) & 0xFFFFFFFFFFFFFFFF
    with np.errstate(over="ignore"):
        z = (np.uint64(start) + np.arange(1, count + 1, dtype=np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def weight(name, shape, seed, fresh=False):
    """fresh: of about the deviation that a model begins with, 0.02 (its router 0.14: choices with wider gaps)."""
    whole = (mixed(name, seed, math.prod(shape)) >> np.uint64(56)).astype(np.int64) - 128
    if len(shape) == 1:
        values = 1 + (whole >> 3) / 128
    elif fresh:
        values = whole * 2.0 ** (-9 if name.endswith("mlp.gate.weight") else -12)
    else:  # deviation near 1 for the embedding, gain / sqrt(inputs) for the others
        gain = 2.0 if name.endswith("mlp.gate.weight") else 1.0
        exponent = 6 if "embed_tokens" in name else round(math.log2(74 * math.sqrt(shape[1]) / gain))
        values = whole * 2.0**-exponent
    return torch.from_numpy(values.astype(np.float32)).reshape(shape)


def documents_of(config, lengths, seed):
    total = sum(lengths)
    ids = (mixed("ids", seed, total) % np.uint64(config["vocab_size"])).astype(np.int64).tolist()
    weights = ((mixed("loss_weight", seed, total) >> np.uint64(62)).astype(np.int64) * 0.5).tolist()
    documents, loss_weights, begin = [], [], 0
    for length in lengths:
        documents.append(ids[begin : begin + length])
        loss_weights.append(weights[begin : begin + length])
        begin += length
    return documents, loss_weights


def tensor_shapes(c):
    """Hugging Face per-expert names and shapes."""
    d, heads, qk = c["hidden_size"], c["num_attention_heads"], c["qk_nope_head_dim"] + c["qk_rope_head_dim"]
    shapes = {"model.embed_tokens.weight": (c["vocab_size"], d), "model.norm.weight": (d,)}
    if not c["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (c["vocab_size"], d)

    def mlp(prefix, width):
        shapes[prefix + "gate_proj.weight"] = shapes[prefix + "up_proj.weight"] = (width, d)
        shapes[prefix + "down_proj.weight"] = (d, width)

    for layer in range(c["num_hidden_layers"]):
        p, a = f"model.layers.{layer}.", f"model.layers.{layer}.self_attn."
        shapes[p + "input_layernorm.weight"] = shapes[p + "post_attention_layernorm.weight"] = (d,)
        if c["q_lora_rank"]:
            shapes[a + "q_a_proj.weight"] = (c["q_lora_rank"], d)
            shapes[a + "q_a_layernorm.weight"] = (c["q_lora_rank"],)
            shapes[a + "q_b_proj.weight"] = (heads * qk, c["q_lora_rank"])
        else:
            shapes[a + "q_proj.weight"] = (heads * qk, d)
        shapes[a + "kv_a_proj_with_mqa.weight"] = (c["kv_lora_rank"] + c["qk_rope_head_dim"], d)
        shapes[a + "kv_a_layernorm.weight"] = (c["kv_lora_rank"],)
        shapes[a + "kv_b_proj.weight"] = (heads * (c["qk_nope_head_dim"] + c["v_head_dim"]), c["kv_lora_rank"])
        shapes[a + "o_proj.weight"] = (d, heads * c["v_head_dim"])
        if c["n_routed_experts"] and layer >= c["first_k_dense_replace"] and layer % c["moe_layer_freq"] == 0:
            shapes[p + "mlp.gate.weight"] = (c["n_routed_experts"], d)
            for e in range(c["n_routed_experts"]):
                mlp(f"{p}mlp.experts.{e}.", c["moe_intermediate_size"])
            if c["n_shared_experts"]:
                mlp(p + "mlp.shared_experts.", c["n_shared_experts"] * c["moe_intermediate_size"])
        else:
            mlp(p + "mlp.", c["intermediate_size"])
    return shapes


def weights_of(config, seed, fresh=False):
    return {name: weight(name, shape, seed, fresh) for name, shape in tensor_shapes(config).items()}
