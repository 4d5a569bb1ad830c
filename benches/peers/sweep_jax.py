"""Times many exact gradient descent runs at once in JAX (vmap, jit, f64) for benches/sweep.rs.

Reads requests "kernel N n D d H trials steps" from standard input, one a line, and answers each with two numbers, the
seconds of all steps of all trials: the loss as written in the definition, and reordered by hand to do less work. Trials
run in batches of 64, one jitted fori_loop each (16, 256 and 1024 were no faster). Every trial has its own data, weights and step.
W^Q, W^K and W^V are trained with p = 1, and the loss of every step is kept. Nothing else a sweep does is in it: no draw, no
singular values, no verdict.
"""

import functools
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

from gd_step_jax import loss_as_written, loss_reordered

jax.config.update("jax_enable_x64", True)

BATCH = 64


def batch(sizes, count):
    N, n, D, d, H = sizes
    rng = np.random.default_rng(0)
    X = rng.standard_normal((count, N * n, D))
    y = rng.standard_normal((count, N * n))
    W = [rng.standard_normal((count, D, H * d)) / np.sqrt(D) for _ in range(3)]
    O = rng.standard_normal((count, H, d)) / np.sqrt(d)
    return [jnp.asarray(w) for w in W], *map(jnp.asarray, (X, y, O, np.full(count, 1e-2)))


@functools.lru_cache(maxsize=None)
def program(loss, kernel, sizes, count, steps):
    """A run of one batch, compiled."""
    loss_and_gradient = jax.vmap(jax.value_and_grad(functools.partial(loss, kernel, sizes)))

    @jax.jit
    def loop(W, X, y, O, eta):
        def body(t, state):
            W, f = state
            ft, g = loss_and_gradient(W, X, y, O)
            return [w - eta[:, None, None] * g for w, g in zip(W, g)], f.at[t].set(ft)

        return jax.lax.fori_loop(0, steps, body, (W, jnp.zeros((steps, count))))[1]

    data = batch(sizes, count)

    def run():
        loop(*data).block_until_ready()

    run()
    return run


def seconds(loss, kernel, sizes, trials, steps):
    run = program(loss, kernel, sizes, BATCH, steps)
    start = time.perf_counter()
    run()
    return (time.perf_counter() - start) * trials / BATCH


def main():
    print(f"JAX {jax.__version__}", flush=True)
    for line in sys.stdin:
        kernel, *numbers = line.split()
        *sizes, trials, steps = (int(number) for number in numbers)
        losses = (loss_as_written, loss_reordered)
        print(*(seconds(loss, kernel, tuple(sizes), trials, steps) for loss in losses), flush=True)


if __name__ == "__main__":
    main()
