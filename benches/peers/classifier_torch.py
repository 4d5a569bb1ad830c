"""Times PyTorch on the CPU beside the classifier: one line in, median and best seconds out.

    attention KIND HEADS n p SECONDS     forward and backward
    step KIND n BATCH SECONDS            a training step with Adam

KIND: sdpa (softmax by scaled_dot_product_attention), dense (Gaussian as written, with the n x n matrix), sink (Gaussian through
scaled_dot_product_attention with one more key, see sink()), none (attention removed: the values are passed on).
"""

import math
import statistics
import sys
import time

import torch
from torch import nn
import torch.nn.functional as F


def dense(q, k, v):
    square = q.square().sum(-1, keepdim=True) + k.square().sum(-1).unsqueeze(-2) - 2 * q @ k.transpose(-1, -2)
    return torch.exp(square / (-2 * math.sqrt(q.shape[-1]))) @ v


def sink(q, k, v):
    """exp(-|q-k|^2/2r) by softmax: scores (q.k - |k|^2/2)/r, one more key whose score is |q|^2/2r with a value that picks
    out its own weight; the quotient is the unnormalised sum."""
    r = math.sqrt(q.shape[-1])
    one, zero = torch.ones_like(q[..., :1]), torch.zeros_like(k[..., :1])
    q2 = torch.cat([q, one, q.square().sum(-1, keepdim=True) / 2], -1)
    k2 = torch.cat([k, -k.square().sum(-1, keepdim=True) / 2, zero], -1)
    extra = torch.zeros_like(k2[..., :1, :])
    extra[..., -1] = 1
    k2 = torch.cat([k2, extra], -2)
    v2 = torch.cat([v, zero, zero], -1)
    extra = torch.zeros_like(v2[..., :1, :])
    extra[..., -1] = 1
    v2 = torch.cat([v2, extra], -2)
    o = F.scaled_dot_product_attention(q2, k2, v2, scale=1 / r)
    return o[..., :-2] / o[..., -1:]


KINDS = {
    "sdpa": F.scaled_dot_product_attention,
    "dense": dense,
    "sink": sink,
    "none": lambda q, k, v: v,
}


class Block(nn.Module):
    def __init__(self, kind, width=64, hidden=128, heads=2):
        super().__init__()
        self.kind, self.heads = kind, heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key, self.value, self.output = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x):
        h = self.norm1(x)
        batch, n, width = h.shape
        q, k, v = (
            layer(h).view(batch, n, self.heads, -1).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        o = KINDS[self.kind](q, k, v).transpose(1, 2).reshape(batch, n, width)
        x = x + self.output(o)
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Classifier(nn.Module):
    def __init__(self, kind, n, width=64):
        super().__init__()
        self.token, self.position = nn.Embedding(512, width), nn.Embedding(n, width)
        self.blocks = nn.Sequential(Block(kind), Block(kind))
        self.norm = nn.LayerNorm(width)
        self.head1, self.head2 = nn.Linear(width, 128), nn.Linear(128, 2)

    def forward(self, tokens):
        x = self.token(tokens) + self.position.weight
        return self.head2(F.relu(self.head1(self.norm(self.blocks(x)).mean(1))))


def timed(run, seconds):
    run()
    times = []
    end = time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return f"{statistics.median(times)} {min(times)}"


def attention(kind, heads, n, p, seconds):
    q, k, v = (torch.randn(1, heads, n, p, requires_grad=True) for _ in range(3))
    d = torch.randn(1, heads, n, p)

    def run():
        q.grad = k.grad = v.grad = None
        KINDS[kind](q, k, v).backward(d)

    return timed(run, seconds)


def step(kind, n, batch, seconds):
    model = Classifier(kind, n)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    tokens, labels = torch.randint(1, 257, (batch, n)), torch.randint(0, 2, (batch,))

    def run():
        optimizer.zero_grad()
        F.cross_entropy(model(tokens), labels).backward()
        optimizer.step()

    return timed(run, seconds)


def check():
    q, k, v = (torch.randn(1, 2, 50, 8) for _ in range(3))
    assert torch.allclose(dense(q, k, v), sink(q, k, v), rtol=1e-3, atol=1e-5)


check()
print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads", flush=True)
for line in sys.stdin:
    what, kind, *numbers = line.split()
    arguments = [int(x) for x in numbers[:-1]] + [float(numbers[-1])]
    print({"attention": attention, "step": step}[what](kind, *arguments), flush=True)
