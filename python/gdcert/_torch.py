"""The heads of a torch.nn.MultiheadAttention as an Instance."""

import numpy as np

from ._gdcert import InputError, Instance


def array(tensor):
    """A tensor's numbers as float64, wherever it lives."""
    return np.asarray(tensor.detach().cpu().double().numpy())


def instance(attention, X, y, kernel):
    """See Instance.from_torch."""
    need = "in_proj_bias", "bias_k", "add_zero_attn", "dropout", "embed_dim", "num_heads", "out_proj"
    missing = [name for name in need if not hasattr(attention, name)]
    if missing:
        raise InputError(f"attention is a {type(attention).__name__}; give a torch.nn.MultiheadAttention")
    if attention.in_proj_bias is not None or attention.out_proj.bias is not None:
        raise InputError("attention has biases, which an instance has not; make it with bias=False")
    if attention.bias_k is not None or attention.bias_v is not None:
        raise InputError("attention has add_bias_kv=True, which an instance has not; make it with add_bias_kv=False")
    if attention.add_zero_attn:
        raise InputError("attention has add_zero_attn=True, which an instance has not; make it without")
    if attention.dropout != 0:
        raise InputError(f"attention has dropout={attention.dropout}, and gradient descent is exact; set dropout to 0")
    width, heads = attention.embed_dim, attention.num_heads
    if (attention.kdim, attention.vdim) != (width, width):
        raise InputError(
            f"attention takes keys of width {attention.kdim} and values of width {attention.vdim}, but an instance "
            f"attends to itself; make it with kdim = vdim = embed_dim = {width}"
        )
    if attention.in_proj_weight is not None:
        projections = np.split(array(attention.in_proj_weight), 3)
    else:
        projections = [array(getattr(attention, f"{letter}_proj_weight")) for letter in "qkv"]
    # torch computes x W'; head h has the rows h d .. (h + 1) d of W, and the same columns of the output's weight.
    split = [weight.reshape(heads, width // heads, width).transpose(0, 2, 1) for weight in projections]
    output = array(attention.out_proj.weight)
    W_O = output.T.reshape(heads, width // heads, output.shape[0])
    return Instance(X, y, *split, W_O, kernel=kernel)
