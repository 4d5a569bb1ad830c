"""gdcert's classifier as a PyTorch module that reads and writes gdcert's checkpoints.

    model, state = load("run/checkpoint-0.safetensors")
    ...                                              # train it as you know how, on as many GPUs as you have
    save("mine.safetensors", model, state, step=20000)

then `gdcert landscape mine.safetensors ...` or `gdcert train --from mine.safetensors ...`.
Needs torch, numpy and safetensors.
"""

import json
import math

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

KEY = "gdcert.checkpoint/1"
PREFIX = "param."
VOCABULARY = 512
PADDING = 0


class Attention(nn.Module):
    """softmax: rows sum to one; gaussian: exp(-|q - k|^2 / (2 sqrt p)), not normalised. Padding is masked as a key."""

    def __init__(self, kernel, width, heads):
        super().__init__()
        self.kernel, self.heads = kernel, heads
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.value, self.output = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x, padding):
        samples, length, width = x.shape
        p = width // self.heads
        q, k, v = (
            layer(x).view(samples, length, self.heads, p).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        read = ~padding[:, None, None, :]
        if self.kernel == "softmax":
            out = functional.scaled_dot_product_attention(q, k, v, attn_mask=read)
        else:
            # -|q - k|^2 = 2 q.k - |q|^2 - |k|^2
            squares = q.square().sum(-1)[..., :, None] + k.square().sum(-1)[..., None, :]
            scores = (2 * q @ k.transpose(-1, -2) - squares) / (2 * math.sqrt(p))
            out = scores.exp().masked_fill(~read, 0) @ v
        # A sample of nothing but padding has no keys.
        out = out.nan_to_num(0.0) if self.kernel == "softmax" else out
        return self.output(out.transpose(1, 2).reshape(samples, length, width))


class Block(nn.Module):
    def __init__(self, kernel, width, heads, hidden, dropout):
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(width), Attention(kernel, width, heads)
        self.norm2, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x, padding):
        x = x + self.drop(self.attention(self.norm1(x), padding))
        return x + self.drop(self.down(self.drop(functional.gelu(self.up(self.norm2(x))))))


class Classifier(nn.Module):
    """Tokens (samples x length, 0 is padding) to logits (samples x 2)."""

    def __init__(self, kernel, positions, width=64, heads=2, hidden=128, blocks=2, dropout=0.1, classes=2):
        super().__init__()
        self.token, self.position = nn.Embedding(VOCABULARY, width), nn.Embedding(positions, width)
        self.blocks = nn.ModuleList(Block(kernel, width, heads, hidden, dropout) for _ in range(blocks))
        self.norm, self.drop = nn.LayerNorm(width), nn.Dropout(dropout)
        self.head1, self.head2 = nn.Linear(width, hidden), nn.Linear(hidden, classes)

    def forward(self, tokens):
        padding = tokens == PADDING
        places = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.drop(self.token(tokens) + self.position(places))
        for block in self.blocks:
            x = block(x, padding)
        # Padding counts as zero in the mean over all positions.
        pooled = self.norm(x).masked_fill(padding[..., None], 0).mean(1)
        return self.head2(functional.relu(self.head1(pooled)))


def of_settings(settings):
    """An untrained module for the settings in a checkpoint (those of config.toml)."""
    padded = 1 << (settings["length"] - 1).bit_length()
    names = ("width", "heads", "hidden", "blocks", "dropout")
    return Classifier(settings["kernel"], padded, **{name: settings[name] for name in names})


def load(path, device="cpu"):
    """The module in a checkpoint, and the state beside it: settings, seed, step and so on."""
    with safe_open(path, framework="pt", device=str(device)) as file:
        metadata = file.metadata() or {}
        if KEY not in metadata:
            raise ValueError(f"{path} is no checkpoint of gdcert train: it has no metadata entry {KEY}")
        state = json.loads(metadata[KEY])
        tensors = {name[len(PREFIX) :]: file.get_tensor(name) for name in file.keys() if name.startswith(PREFIX)}
    model = of_settings(state["settings"]).to(device)
    model.load_state_dict(tensors)
    return model, state


def save(path, model, state, step):
    """Writes parameters (F32) and state as gdcert reads them. There is no optimizer in it: `train --from` takes such a
    file, `train --resume` does not."""
    model = getattr(model, "module", model)  # of DistributedDataParallel
    model = getattr(model, "_orig_mod", model)  # of torch.compile
    window = {"steps": 0, "loss": 0.0, "correct": 0, "samples": 0, "tokens": 0, "seconds": 0.0}
    state = {**state, "step": int(step), "window": window}
    tensors = {PREFIX + name: t.detach().to("cpu", torch.float32).contiguous() for name, t in model.state_dict().items()}
    save_file(tensors, path, metadata={KEY: json.dumps(state)})


def tokens(samples, length, shift):
    """Bytes to tokens, cut or padded to the next power of two above `length`: shift 1 for text, 0 for images."""
    padded = 1 << (length - 1).bit_length()
    batch = torch.full((len(samples), padded), PADDING, dtype=torch.long)
    for row, sample in zip(batch, samples):
        read = torch.tensor(list(sample[:length]), dtype=torch.long) + shift
        row[: len(read)] = read
    return batch
