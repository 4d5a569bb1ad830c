"""Times one exact gradient descent step in JAX (jit, f64) and NumPy for benches/gd_step.rs.

Reads requests "kernel N n D d H seconds" from standard input, one a line, and answers each with four
numbers, seconds a step (medians): JAX as written in the definition, JAX reordered by hand to do less
work, the latter as many steps in one jitted fori_loop, NumPy. All train W^Q, W^K and W^V with p = 1,
and give the loss of every step.
"""

import functools
import statistics
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)

ETA = 1e-5


def instance(N, n, D, d, H):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N * n, D))
    y = rng.standard_normal(N * n)
    W = [rng.standard_normal((D, H * d)) / np.sqrt(D) for _ in range(3)]
    O = rng.standard_normal((H, d)) / np.sqrt(d)
    return X, y, W, O


def attention(kernel, d, C, q2, kappa2):
    """S from C = q . kappa, and |q|^2, |kappa|^2 laid out to broadcast with it.

    The Gaussian's exponent by expansion is cheaper than ours, from differences, and cancels where
    ours does not; from differences JAX takes several times as long.
    """
    if kernel == "softmax":
        return jax.nn.softmax(C / np.sqrt(d), axis=-1)
    return jnp.exp((2 * C - q2 - kappa2) / (2 * np.sqrt(d)))


def loss_as_written(kernel, sizes, W, X, y, O):
    """MH = sum_h S_h (X W^V_h) W^O_h, head by head."""
    N, n, D, d, H = sizes
    X = X.reshape(N, n, D)
    q, kappa, v = (jnp.einsum("ike,ehd->ihkd", X, w.reshape(D, H, d)) for w in W)
    C = jnp.einsum("ihkd,ihjd->ihkj", q, kappa)
    q2, kappa2 = jnp.sum(q * q, -1), jnp.sum(kappa * kappa, -1)
    S = attention(kernel, d, C, q2[:, :, :, None], kappa2[:, :, None, :])
    heads = jnp.einsum("ihkj,ihjd->ihkd", S, v)
    r = jnp.einsum("ihkd,hd->ik", heads, O).reshape(-1) - y
    return 0.5 * jnp.sum(r * r)


def loss_reordered(kernel, sizes, W, X, y, O):
    """One large product a block, and values u = X (W^V W^O)."""
    N, n, D, d, H = sizes
    q = (X @ W[0]).reshape(N, n, H, d)
    kappa = (X @ W[1]).reshape(N, n, H, d)
    u = (X @ jnp.einsum("ehd,hd->eh", W[2].reshape(D, H, d), O)).reshape(N, n, H)
    C = jnp.einsum("ikhd,ijhd->ihkj", q, kappa)
    q2 = jnp.sum(q * q, -1).transpose(0, 2, 1)
    kappa2 = jnp.sum(kappa * kappa, -1).transpose(0, 2, 1)
    S = attention(kernel, d, C, q2[..., :, None], kappa2[..., None, :])
    r = jnp.einsum("ihkj,ijh->ik", S, u).reshape(-1) - y
    return 0.5 * jnp.sum(r * r)


def jax_steps(loss, kernel, sizes):
    """The jitted step and the jitted loop; weights are donated, so updated in place."""
    loss = functools.partial(loss, kernel, sizes)

    def step(W, X, y, O):
        f, g = jax.value_and_grad(loss)(W, X, y, O)
        return [w - ETA * g for w, g in zip(W, g)], f

    @functools.partial(jax.jit, donate_argnums=0)
    def call(W, X, y, O):
        return step(W, X, y, O)

    @functools.partial(jax.jit, donate_argnums=0, static_argnums=4)
    def loop(W, X, y, O, count):
        def body(t, state):
            W, f = state
            W, ft = step(W, X, y, O)
            return W, f.at[t].set(ft)

        return jax.lax.fori_loop(0, count, body, (W, jnp.zeros(count)))

    return call, loop


def numpy_step(kernel, sizes, X, y, W, O):
    """One step in place; products batched over samples, head by head."""
    N, n, D, d, H = sizes
    X3 = X.reshape(N, n, D)
    kept = []
    out = np.zeros((N, n))
    for h in range(H):
        block = slice(h * d, (h + 1) * d)
        q = (X @ W[0][:, block]).reshape(N, n, d)
        kappa = (X @ W[1][:, block]).reshape(N, n, d)
        u = (X @ (W[2][:, block] @ O[h])).reshape(N, n)
        C = q @ kappa.transpose(0, 2, 1)
        if kernel == "softmax":
            C -= C.max(-1, keepdims=True)
            S = np.exp(C / np.sqrt(d))
            S /= S.sum(-1, keepdims=True)
        else:
            q2, k2 = (q * q).sum(-1), (kappa * kappa).sum(-1)
            S = np.exp((2 * C - q2[:, :, None] - k2[:, None, :]) / (2 * np.sqrt(d)))
        head = (S @ u[:, :, None])[:, :, 0]
        out += head
        kept.append((q, kappa, u, S, head))
    r = out - y.reshape(N, n)
    for h, (q, kappa, u, S, head) in enumerate(kept):
        block = slice(h * d, (h + 1) * d)
        if kernel == "softmax":
            A = S * (r[:, :, None] * (u[:, None, :] - head[:, :, None])) / np.sqrt(d)
            dq, dkappa = A @ kappa, A.transpose(0, 2, 1) @ q
        else:
            A = S * (r[:, :, None] * u[:, None, :]) / np.sqrt(d)
            dq = A @ kappa - A.sum(2)[:, :, None] * q
            dkappa = A.transpose(0, 2, 1) @ q - A.sum(1)[:, :, None] * kappa
        z = np.einsum("ije,ij->e", X3, (S.transpose(0, 2, 1) @ r[:, :, None])[:, :, 0])
        W[0][:, block] -= ETA * (X.T @ dq.reshape(-1, d))
        W[1][:, block] -= ETA * (X.T @ dkappa.reshape(-1, d))
        W[2][:, block] -= ETA * np.outer(z, O[h])
    return 0.5 * np.sum(r * r)


def median_time(run, steps, seconds):
    """Seconds a step: the median of blocks of steps, as many as fit (at least three)."""
    times = []
    end = time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        run()
        times.append((time.perf_counter() - start) / steps)
    return statistics.median(times)


def programs(kernel, sizes):
    """The four programs as (run, steps in a run), compiled and checked against each other."""
    X, y, W, O = instance(*sizes)
    data = [jnp.asarray(a) for a in (X, y, O)]

    def start_point():
        return [jnp.array(w) for w in W]  # a copy: the weights are donated

    def numpy_run():
        return numpy_step(kernel, sizes, X, y, numpy_W, O)

    numpy_W = [w.copy() for w in W]
    start = time.perf_counter()
    f_numpy = numpy_run()
    # About 20 ms a block of steps, fixed now because the loop is compiled for it.
    steps = max(2, min(500, int(0.02 / (time.perf_counter() - start))))

    def calls(call):
        state = start_point()

        def run():
            nonlocal state
            for _ in range(steps):
                state, f = call(state, *data)
            f.block_until_ready()

        return run

    def looped(loop):
        state = start_point()

        def run():
            nonlocal state
            state, f = loop(state, *data, steps)
            f.block_until_ready()

        return run

    call_written, _ = jax_steps(loss_as_written, kernel, sizes)
    call_reordered, loop_reordered = jax_steps(loss_reordered, kernel, sizes)
    for call in (call_written, call_reordered):
        f_jax = float(call(start_point(), *data)[1])
        assert abs(f_jax - f_numpy) < 1e-9 * f_numpy, (f_jax, f_numpy)
    runs = [
        (calls(call_written), steps),
        (calls(call_reordered), steps),
        (looped(loop_reordered), steps),
        (numpy_run, 1),
    ]
    for run, _ in runs:
        run()
    return runs


def main():
    peers = {}
    print(f"JAX {jax.__version__}, NumPy {np.__version__}", flush=True)
    for line in sys.stdin:
        kernel, *sizes, seconds = line.split()
        key = (kernel, tuple(int(size) for size in sizes))
        if key not in peers:
            peers[key] = programs(*key)
        share = float(seconds) / len(peers[key])
        print(*(median_time(run, steps, share) for run, steps in peers[key]), flush=True)


if __name__ == "__main__":
    main()
