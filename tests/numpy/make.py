"""Makes the arrays of this folder with NumPy: python make.py"""
import numpy as np

N, n, D, d, H, p = 2, 3, 4, 2, 3, 1
g = np.random.default_rng(0).normal
a = dict(X=g(size=(N, n, D)), y=g(size=(N, n, p)), W_Q=g(size=(H, D, d)), W_K=g(size=(H, D, d)),
         W_V=g(size=(H, D, d)), W_O=g(size=(H, d, p)))
np.savez("stored.npz", **a)
np.savez_compressed("deflated.npz", kernel=np.array("Gaussian"), **a)
np.savez("fortran.npz", **{k: np.asfortranarray(v) for k, v in a.items()} | {"y": a["y"][..., 0]})
np.savez("big-endian.npz", **{k: v.astype(">f8") for k, v in a.items()})
one = {k: v[:1] for k, v in a.items()}
np.savez("with-axes.npz", **one)
np.savez("without-axes.npz", **{k: v[0] for k, v in one.items()} | {"y": a["y"][0, :, 0]})
np.savez("integers.npz", **a | {"W_Q": a["W_Q"].astype("<i8")})
np.savez("wrong-weights.npz", **a | {"W_Q": g(size=(H, D, d + 1))})
np.savez("wrong-labels.npz", **a | {"y": g(size=(N + 1, n, p))})
np.savez("no-labels.npz", **{k: v for k, v in a.items() if k != "y"})
np.save("single.npy", a["X"])
