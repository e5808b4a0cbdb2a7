"""DeepSeek-V2 (arXiv:2405.04434) in plain fp64 loops with autograd: one document, one head, one expert at a time.

The oracle where transformers has none: norm_topk_prob, moe_layer_freq, no shared experts, fp64 router and norms.
"""
import math

import torch

DOUBLE = torch.float64


def mscale(factor, m):
    return 1.0 if factor <= 1 else 0.1 * m * math.log(factor) + 1.0


def inverse_frequencies(config):
    """fp32 numbers, as the published code has them."""
    dim, theta = config["qk_rope_head_dim"], config["rope_theta"]
    power = theta ** (torch.arange(0, dim, 2, dtype=torch.float32) / dim)
    yarn = config.get("rope_scaling")
    if not yarn:
        return 1.0 / power

    def place(rotations):
        length = yarn["original_max_position_embeddings"]
        return dim * math.log(length / (rotations * 2 * math.pi)) / (2 * math.log(theta))

    low = max(math.floor(place(yarn["beta_fast"])), 0)
    high = min(math.ceil(place(yarn["beta_slow"])), dim - 1)
    if low == high:
        high += 0.001
    ramp = ((torch.arange(dim // 2, dtype=torch.float32) - low) / (high - low)).clamp(0, 1)
    return 1.0 / (yarn["factor"] * power) * ramp + 1.0 / power * (1 - ramp)


def norm(x, weight, eps):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weight


class PlainModel:
    def __init__(self, config, weights):
        """weights: by Hugging Face per-expert name."""
        self.config = config
        self.w = {name: value.to(DOUBLE).requires_grad_() for name, value in weights.items()}

    def is_moe(self, layer):
        c = self.config
        return layer >= c["first_k_dense_replace"] and layer % c["moe_layer_freq"] == 0

    def mlp(self, x, prefix):
        gate, up, down = (self.w[f"{prefix}{part}_proj.weight"] for part in ("gate", "up", "down"))
        return (torch.nn.functional.silu(x @ gate.T) * (x @ up.T)) @ down.T

    def rotate(self, x):  # [n, R]
        c = self.config
        angle = (torch.arange(x.shape[0], dtype=torch.float32)[:, None] * inverse_frequencies(c)).to(DOUBLE)
        yarn = c.get("rope_scaling")
        factor = 1.0
        if yarn:
            factor = mscale(yarn["factor"], yarn["mscale"]) / mscale(yarn["factor"], yarn["mscale_all_dim"])
        cos, sin, a, b = angle.cos() * factor, angle.sin() * factor, x[:, 0::2], x[:, 1::2]
        return torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(1)

    def attention(self, x, p):
        c, w, n = self.config, self.w, x.shape[0]
        nope, rope, value, rank = c["qk_nope_head_dim"], c["qk_rope_head_dim"], c["v_head_dim"], c["kv_lora_rank"]
        if c["q_lora_rank"]:
            q = norm(x @ w[p + "q_a_proj.weight"].T, w[p + "q_a_layernorm.weight"], 1e-6) @ w[p + "q_b_proj.weight"].T
        else:
            q = x @ w[p + "q_proj.weight"].T
        kv_a = x @ w[p + "kv_a_proj_with_mqa.weight"].T
        kv = norm(kv_a[:, :rank], w[p + "kv_a_layernorm.weight"], 1e-6) @ w[p + "kv_b_proj.weight"].T
        k_rope = self.rotate(kv_a[:, rank:])
        yarn = c.get("rope_scaling")
        scale = (nope + rope) ** -0.5 * (mscale(yarn["factor"], yarn["mscale_all_dim"]) ** 2 if yarn else 1.0)
        future = torch.ones(n, n, dtype=torch.bool).triu(1)
        heads = []
        for h in range(c["num_attention_heads"]):
            q_h = q[:, h * (nope + rope) : (h + 1) * (nope + rope)]
            kv_h = kv[:, h * (nope + value) : (h + 1) * (nope + value)]
            scores = q_h[:, :nope] @ kv_h[:, :nope].T + self.rotate(q_h[:, nope:]) @ k_rope.T
            heads.append(torch.softmax((scores * scale).masked_fill(future, -math.inf), -1) @ kv_h[:, nope:])
        return torch.cat(heads, 1) @ w[p + "o_proj.weight"].T

    def choose(self, probabilities):
        """Experts by falling probability among the kept groups, ties to the lower index; and the smallest gap."""
        c, gap = self.config, 1.0

        def best(items, score, count):
            nonlocal gap
            items = sorted(items, key=lambda i: -score(i))
            if count < len(items):
                gap = min(gap, score(items[count - 1]) - score(items[count]))
            return items[:count]

        experts = len(probabilities)
        candidates = range(experts)
        if c["topk_method"] == "group_limited_greedy":
            size = experts // c["n_group"]
            kept = best(range(c["n_group"]), lambda g: max(probabilities[g * size : (g + 1) * size]), c["topk_group"])
            candidates = [e for g in sorted(kept) for e in range(g * size, (g + 1) * size)]
        return best(candidates, lambda e: probabilities[e], c["num_experts_per_tok"]), gap

    def moe(self, x, p, out):
        c, n, k = self.config, x.shape[0], self.config["num_experts_per_tok"]
        probabilities = torch.softmax(x @ self.w[p + "gate.weight"].T, -1)
        chosen = []
        for row in probabilities.tolist():
            experts, gap = self.choose(row)
            chosen.append(experts)
            out["gap"] = min(out["gap"], gap)
        chosen = torch.tensor(chosen)
        raw = probabilities.gather(1, chosen)
        normalise = c["norm_topk_prob"] and k > 1
        weights = raw / (raw.sum(1, keepdim=True) + 1e-20) if normalise else raw * c["routed_scaling_factor"]
        y = torch.zeros_like(x)
        for e in range(c["n_routed_experts"]):
            token, slot = torch.where(chosen == e)
            if len(token):
                y = y.index_add(0, token, weights[token, slot, None] * self.mlp(x[token], f"{p}experts.{e}."))
        if c["n_shared_experts"]:
            y = y + self.mlp(x, p + "shared_experts.")
        f = torch.bincount(chosen.flatten(), minlength=c["n_routed_experts"]) * (c["n_routed_experts"] / (k * n))
        return y, chosen, weights, n * (f * probabilities.mean(0)).sum()

    def document(self, ids, out):
        c, w = self.config, self.w
        x = w["model.embed_tokens.weight"][ids]
        layers = {}
        for layer in range(c["num_hidden_layers"]):
            p = f"model.layers.{layer}."
            x = x + self.attention(norm(x, w[p + "input_layernorm.weight"], c["rms_norm_eps"]), p + "self_attn.")
            normed = norm(x, w[p + "post_attention_layernorm.weight"], c["rms_norm_eps"])
            if self.is_moe(layer):
                y, *layers[layer] = self.moe(normed, p + "mlp.", out)
            else:
                y = self.mlp(normed, p + "mlp.")
            x = x + y
        head = w["model.embed_tokens.weight" if c["tie_word_embeddings"] else "lm_head.weight"]
        return norm(x, w["model.norm.weight"], c["rms_norm_eps"]) @ head.T, layers


def run_plain(config, weights, documents, loss_weights, alpha):
    """Everything that a probe prints, in fp64."""
    model = PlainModel(config, weights)
    tokens = sum(map(len, documents))
    target = sum(sum(w[1:]) for w in loss_weights)
    out = {"gap": 1.0}
    logits, loss, total, layers = [], 0.0, 0.0, {}
    for ids, weight in zip(documents, loss_weights):
        rows, moe = model.document(torch.tensor(ids), out)
        logits.append(rows)
        if len(ids) > 1 and target > 0:
            entropy = torch.nn.functional.cross_entropy(rows[:-1], torch.tensor(ids[1:]), reduction="none")
            loss = loss + (entropy * torch.tensor(weight[1:], dtype=DOUBLE)).sum() / target
        for layer, (chosen, weights_, balance) in moe.items():
            entry = layers.setdefault(layer, {"indices": [], "weights": [], "balance": 0.0})
            entry["indices"].append(chosen)
            entry["weights"].append(weights_.detach())
            entry["balance"] += balance.item() / tokens
            total = total + alpha * balance / tokens
    (loss + total).backward()
    return {
        "logits": torch.cat(logits).detach(),
        "loss": loss.item() if torch.is_tensor(loss) else loss,
        "balance_loss": [layers[layer]["balance"] for layer in sorted(layers)],
        "router": {
            layer: (torch.cat(entry["indices"]), torch.cat(entry["weights"])) for layer, entry in layers.items()
        },
        "gradients": {n: v.grad if v.grad is not None else torch.zeros_like(v) for n, v in model.w.items()},
        "gap": out["gap"],
    }
