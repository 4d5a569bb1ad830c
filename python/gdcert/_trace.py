"""A function of JAX arrays as a graph of array operations (the parts of a file of the schema gdcert.model/1).

The function is traced once with jax.make_jaxpr in float64. What holds no parameter is computed on the spot, by JAX; the
rest becomes nodes. A custom derivative is ignored: the model is the function, and its gradient the function's own.
"""

import json
import re
import traceback

import numpy as np

from ._gdcert import InputError

# Functions of every entry that the graph has under the same name.
PLAIN = {
    *("neg", "exp", "log", "log1p", "expm1", "sqrt", "rsqrt", "tanh", "logistic", "erf", "erfc", "sin", "cos", "atan"),
    "abs",
}
PAIRS = {"add", "sub", "mul", "div", "max"}
# Operations that only move entries; one with settings of its own is worked out on the numbers of the entries.
MOVES = {"broadcast_in_dim", "reshape", "squeeze", "expand_dims", "transpose", "slice", "rev", "copy", "copy_p"}
BY_NUMBER = {"gather", "dynamic_slice", "tile"}
# Those of several arrays, by the number of them.
JOINED = {"scatter": (0, 2), "dynamic_update_slice": (0, 1), "pad": (0, 1)}
CALLS = {"jit", "pjit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr"}
CALLS |= {"remat", "remat2", "checkpoint", "custom_lin"}
# What conditions are made of and go through.
LOGIC = MOVES | {"and", "or", "not", "xor", "convert_element_type"}
# What the model may hold in float64 only; of others the name says enough.
TYPED = PLAIN | PAIRS | MOVES | BY_NUMBER | set(JOINED)
TYPED |= {"convert_element_type", "dot_general", "integer_pow", "pow", "select_n", "reduce_sum", "concatenate"}
TYPED |= {"conv_general_dilated", "reduce_window_sum", "reduce_window_max"}
# jnp.logaddexp, of which softplus is made.
LOGADDEXP = ["max", "sub", "ne", "add", "abs", "neg", "exp", "log1p", "add", "select_n"]


class Node:
    """The node with this number."""

    def __init__(self, number, shape):
        self.number, self.shape = number, tuple(shape)


class Part:
    """A part of a softmax of node z along some axes, or a condition on parameters, at a place of the program.

    kind: "shift", the maximum of each row ("stopped" if no gradient is to go through it); "shifted", z - shift; "exp" of that; "sum" of those over each row; "log" of that.
    Entries of shift, sum and log are told apart by the row they belong to. z may be "masked": a node with -inf where the mask is 0.
    Of a condition z > 0 or z >= 0 the side is 1, of z < 0 or z <= 0 it is 0.
    """

    def __init__(self, kind, place, z=None, axes=None, rows=None, mask=None, side=None, stopped=False):
        self.kind, self.place, self.z, self.axes, self.rows, self.mask = kind, place, z, axes, rows, mask
        self.side, self.stopped = side, stopped
        self.shape = rows.shape if rows is not None else z.shape if z is not None else None


def reduced_rows(z, axes):
    shape = [n for i, n in enumerate(z.shape) if i not in axes]
    return np.arange(int(np.prod(shape))).reshape(shape)


def fits(part, z, axes):
    """Whether part holds at each entry of z (with axes of length 1 or all of them) what belongs to its row."""
    if part.z is not z or part.axes != axes or part.rows.ndim != len(z.shape):
        return False
    return np.array_equal(
        np.broadcast_to(part.rows, z.shape),
        np.broadcast_to(np.expand_dims(reduced_rows(z, axes), axes), z.shape),
    )


class Tracer:
    def __init__(self, jax):
        self.jax, self.nodes, self.arrays, self.known = jax, [], {}, {}
        self.place = None

    # Nodes.

    def add(self, op, shape, inputs=(), **settings):
        node = {"op": op}
        if inputs:
            node["inputs"] = [i.number for i in inputs]
        node.update(settings, shape=[int(n) for n in shape])
        # What is computed twice is one node: a softmax by hand may hold its scores two times.
        key = json.dumps(node)
        if key not in self.known:
            if self.place and op not in ("parameter", "constant"):
                node["place"] = self.place
            self.nodes.append(node)
            self.known[key] = Node(len(self.nodes) - 1, shape)
        return self.known[key]

    def parameter(self, name, values):
        array = "parameter/" + name
        self.arrays[array] = values
        return self.add("parameter", values.shape, name=name, array=array)

    def constant(self, values, shape=None):
        values = np.asarray(values, dtype=np.float64)
        if shape is not None and values.shape != tuple(shape):
            values = np.broadcast_to(values, shape)
        if not np.all(np.isfinite(values)):
            self.refuse("a constant that is not finite; take a finite number, such as -1e9 for a mask")
        values = np.array(values, order="C")
        key = (values.shape, values.tobytes())
        if key not in self.known:
            first = values.flat[0] if values.size else 0.0
            if values.size and np.all(values.view(np.int64) == values.flat[:1].view(np.int64)):
                self.known[key] = self.add("constant", values.shape, value=float(first))
            else:
                array = f"constant/{len(self.arrays)}"
                self.arrays[array] = values
                self.known[key] = self.add("constant", values.shape, array=array)
        return self.known[key]

    def node(self, value, shape=None):
        """A value as a node, repeated to a shape if it is a single number."""
        if isinstance(value, Part):
            if value.kind == "condition":
                what = "a comparison of parameters used as a number"
            elif value.kind == "masked":
                self.refuse("-inf outside of a softmax; take a finite number such as -1e9", value.place)
            elif value.kind == "shift" and not value.stopped and isinstance(value.z, Node):
                return self.node(self.row_maximum(value), shape)
            elif value.kind == "shift":
                what = "the stop_gradient of a maximum outside of a softmax or logsumexp"
            else:
                what = f"the {value.kind} of a softmax that is not finished as one"
            self.refuse(f"{what}: it has no derivative that is the function's", value.place)
        if not isinstance(value, Node):
            return self.constant(value, shape)
        if shape is not None and value.shape != tuple(shape):
            return self.add("broadcast_in_dim", shape, [value], axes=list(range(len(value.shape))))
        return value

    def pair(self, op, a, b, shape):
        return self.add(op, shape, [self.node(a, shape), self.node(b, shape)])

    def refuse(self, what, place=None):
        place = place or self.place
        raise InputError(f"{place}: {what}" if place else what)

    # Reading a jaxpr.

    def run(self, jaxpr, constants, arguments):
        core = self.jax.extend.core
        values = dict(zip(jaxpr.constvars, constants))
        values.update(zip(jaxpr.invars, arguments))

        def read(v):
            return np.asarray(v.val) if isinstance(v, core.Literal) else values[v]

        for eqn in jaxpr.eqns:
            outer, self.place = self.place, source(eqn) or self.place
            results = self.equation(eqn, [read(v) for v in eqn.invars])
            values.update(zip(eqn.outvars, results))
            self.place = outer
        return [read(v) for v in jaxpr.outvars]

    def equation(self, eqn, inputs):
        name, settings = eqn.primitive.name, eqn.params
        if name in CALLS or "call_jaxpr" in settings:
            return self.call(eqn, inputs)
        if not any(isinstance(x, (Node, Part)) for x in inputs):
            return self.concretely(eqn, inputs)
        if name == "scan":
            return self.scan(settings, inputs)
        if name == "cond" and not isinstance(inputs[0], (Node, Part)):
            branches = settings["branches"]
            chosen = branches[min(max(int(np.ravel(inputs[0])[0]), 0), len(branches) - 1)]
            return self.run(chosen.jaxpr, chosen.consts, inputs[1:])
        found = self.softmax_part(name, settings, inputs, eqn)
        if found is not None:
            return [found]
        if not eqn.outvars:
            return []  # debug.print and the like
        for out in eqn.outvars:
            dtype = out.aval.dtype
            if name in TYPED and dtype not in (np.bool_, np.float64):
                self.refuse(f"{name} gives {dtype} from parameters; the model must be in float64")
        return self.operation(eqn, name, settings, inputs)

    def concretely(self, eqn, inputs):
        """An operation without a parameter in it."""
        out = eqn.primitive.bind(*inputs, **eqn.params)
        out = out if eqn.primitive.multiple_results else [out]
        if any(self.jax.dtypes.issubdtype(x.dtype, self.jax.dtypes.prng_key) for x in out):
            return list(out)
        return [np.asarray(x) for x in out]

    def call(self, eqn, inputs):
        settings = eqn.params
        closed = next(settings[key] for key in ("jaxpr", "call_jaxpr", "fun_jaxpr") if key in settings)
        jaxpr, constants = (closed.jaxpr, closed.consts) if hasattr(closed, "consts") else (closed, ())
        if [e.primitive.name for e in jaxpr.eqns] == LOGADDEXP and not any(isinstance(x, Part) for x in inputs):
            if any(isinstance(x, Node) for x in inputs):
                return [self.logaddexp(*inputs, eqn.outvars[0].aval.shape)]
        return self.run(jaxpr, constants, inputs)

    def logaddexp(self, a, b, shape):
        """log(e^a + e^b) = b + softplus(a - b)."""
        if not isinstance(b, Node) and not np.any(b):
            return self.add("softplus", shape, [self.node(a, shape)])
        difference = self.pair("sub", a, b, shape)
        return self.pair("add", b, self.add("softplus", shape, [difference]), shape)

    def scan(self, settings, inputs):
        """Unrolled: its length is known."""
        consts, carry = settings["num_consts"], settings["num_carry"]
        fixed, state, series = inputs[:consts], inputs[consts : consts + carry], inputs[consts + carry :]
        body, length = settings["jaxpr"], settings["length"]
        order = range(length)[::-1] if settings["reverse"] else range(length)
        rows = [None] * length
        for i in order:
            at = [self.entry(x, i) for x in series]
            out = self.run(body.jaxpr, body.consts, [*fixed, *state, *at])
            state, rows[i] = out[:carry], out[carry:]
        return [*state, *(self.stack(list(column)) for column in zip(*rows))]

    def entry(self, x, i):
        if not isinstance(x, (Node, Part)):
            return np.asarray(x)[i]
        x = self.node(x)
        rest = x.shape[1:]
        limit = [i + 1, *rest]
        row = self.add("slice", (1, *rest), [x], start=[i] + [0] * len(rest), limit=limit, stride=[1] * len(x.shape))
        return self.add("reshape", rest, [row])

    def stack(self, rows):
        if not any(isinstance(x, (Node, Part)) for x in rows):
            return np.stack(rows)
        shape = next(x.shape for x in rows if isinstance(x, (Node, Part)))
        return self.stacked([self.node(x, shape) for x in rows], 0, (len(rows), *shape))

    def stacked(self, nodes, axis, shape):
        one = [1 if i == axis else n for i, n in enumerate(shape)]
        return self.add("concatenate", shape, [self.add("reshape", one, [x]) for x in nodes], axis=axis)

    # The softmax and what is made of its parts: the shift is dropped, since nothing depends on it.

    def softmax_part(self, name, settings, inputs, eqn):
        a = inputs[0]
        b = inputs[1] if len(inputs) > 1 else None
        if name == "reduce_max" and (isinstance(a, Node) or isinstance(a, Part) and a.kind == "masked"):
            axes = tuple(sorted(int(i) for i in settings["axes"]))
            return Part("shift", self.place, a, axes, reduced_rows(a, axes))
        parts = [x for x in inputs if isinstance(x, Part)]
        if not parts:
            return None
        part = parts[0]
        if name == "sub" and isinstance(b, Part) and b.kind == "shift" and a is b.z and fits(b, a, b.axes):
            return Part("shifted", self.place, a, b.axes)
        if any(p.kind == "condition" for p in parts):
            if name in LOGIC:
                return Part("condition", self.place)
            if name == "select_n" and len(inputs) == 3 and isinstance(a, Part) and a.kind == "condition":
                found = self.one_sided(a, inputs[1], inputs[2], eqn.outvars[0].aval.shape)
                if found is not None:
                    return found
            self.refuse(f"{name} on a condition that depends on parameters; take a smooth function, or maximum")
        if part.rows is not None and name in MOVES and len(inputs) == 1:
            rows = self.moved(eqn, part.rows)
            return Part(part.kind, part.place, part.z, part.axes, rows, stopped=part.stopped)
        if part.kind == "shift":
            if name == "stop_gradient":
                return Part(part.kind, part.place, part.z, part.axes, part.rows, stopped=True)
            if name == "convert_element_type":
                return part
            other = b if part is a else a
            if name == "max" and not isinstance(other, (Node, Part)) and np.all(other == -np.inf):
                return part
            if name == "is_finite":
                return np.ones(part.shape, bool)
        if part.kind == "sum" and name in ("abs", "sign"):
            return part if name == "abs" else np.ones(part.shape)
        if part.kind == "shifted" and name == "exp":
            return Part("exp", self.place, part.z, part.axes)
        if part.kind == "exp" and name == "reduce_sum" and tuple(sorted(settings["axes"])) == part.axes:
            return Part("sum", self.place, part.z, part.axes, reduced_rows(part.z, part.axes))
        if part.kind == "sum" and name == "log":
            return Part("log", self.place, part.z, part.axes, part.rows)
        if name in ("div", "sub") and len(parts) == 2:
            kinds = {"div": ("exp", "sum"), "sub": ("shifted", "log")}[name]
            if (parts[0].kind, parts[1].kind) == kinds and fits(parts[1], parts[0].z, parts[0].axes):
                p = self.softmax(part.z, part.axes)
                return p if name == "div" else self.add("log", p.shape, [p])
        if name == "add" and len(parts) == 2 and {p.kind for p in parts} == {"log", "shift"}:
            same = parts[0].z is parts[1].z and parts[0].axes == parts[1].axes
            if same and np.array_equal(parts[0].rows, parts[1].rows):
                return self.log_sum_exp(part)
        if name == "select_n" and not isinstance(a, (Node, Part)):
            if np.all(a == np.ravel(a)[0]):
                return inputs[1 + int(np.ravel(a)[0])]
            # The exponentials of what is masked are 0 already.
            mask = 1.0 - a if part is b else np.asarray(a, np.float64)
            other = inputs[2] if part is b else b
            if part.kind == "exp" and isinstance(part.z, Part) and not isinstance(other, (Node, Part)):
                if not np.any(other) and np.array_equal(mask, part.z.mask):
                    return part
        return None

    def softmax(self, z, axes):
        rest = [i for i in range(len(z.shape)) if i not in axes]
        if isinstance(z, Node) and len(axes) == 1:
            return self.add("softmax", z.shape, [z], axis=axes[0])
        if isinstance(z, Node):
            # Along one axis, of all entries that belong together.
            order = [*rest, *axes]
            shape = [z.shape[i] for i in order]
            flat = [*shape[: len(rest)], int(np.prod(shape[len(rest) :]))]
            rows = self.add("reshape", flat, [self.add("transpose", shape, [z], axes=order)])
            p = self.add("reshape", shape, [self.softmax(rows, (len(rest),))])
            return self.add("transpose", z.shape, [p], axes=[order.index(i) for i in range(len(order))])
        # The softmax over some entries is that over all of them, divided by its sum over those.
        mask = self.constant(z.mask)
        p = self.pair("mul", self.softmax(z.z, axes), mask, z.shape)
        sums = self.add("reduce_sum", [z.shape[i] for i in rest], [p], axes=list(axes))
        return self.pair("div", p, self.add("broadcast_in_dim", z.shape, [sums], axes=rest), z.shape)

    def log_sum_exp(self, part):
        """log(sum exp z) = z_0 - log(softmax(z)_0), for the first entry of each row."""
        z, axes = self.node(part.z), part.axes
        p = self.softmax(z, axes)
        entries = np.arange(int(np.prod(z.shape))).reshape(z.shape)
        firsts = entries[tuple(0 if i in axes else slice(None) for i in range(len(z.shape)))]
        places = self.constant(np.ravel(firsts)[part.rows])
        first, share = (self.add("gather", part.shape, [x, places]) for x in (z, p))
        return self.pair("sub", first, self.add("log", part.shape, [share]), part.shape)

    def row_maximum(self, part):
        """The largest of each row outside of a softmax: maxima of two, which are kinked."""
        rows = part.z
        for axis in part.axes[::-1]:
            rows = self.reduced(self.split_off(rows, axis), "max")
        return self.add("gather", part.shape, [rows, self.constant(part.rows)])

    # Single operations.

    def moved(self, eqn, numbers):
        return self.concretely(eqn, [numbers])[0]

    def operation(self, eqn, name, settings, inputs):
        shapes = [tuple(int(n) for n in v.aval.shape) for v in eqn.outvars]
        shape = shapes[0]
        one = inputs[0]
        if name in PLAIN:
            return [self.add(name, shape, [self.node(one)])]
        if name == "max":
            a, b = inputs
            for x, other in ((a, b), (b, a)):
                if not isinstance(other, (Node, Part)) and not np.any(other):
                    return [self.add("relu", shape, [self.node(x)])]
        if name in PAIRS or name == "add_any":
            return [self.pair("add" if name == "add_any" else name, *inputs, shape)]
        if name == "min":
            a, b = (self.add("neg", shape, [self.node(x, shape)]) for x in inputs)
            return [self.add("neg", shape, [self.add("max", shape, [a, b])])]
        if name == "square":
            return [self.add("integer_pow", shape, [self.node(one)], exponent=2)]
        if name == "tan":
            sin, cos = (self.add(f, shape, [self.node(one)]) for f in ("sin", "cos"))
            return [self.add("div", shape, [sin, cos])]
        if name == "integer_pow":
            return [self.add(name, shape, [self.node(one)], exponent=int(settings["y"]))]
        if name == "pow":
            return [self.power(one, inputs[1], shape)]
        if name == "dot_general":
            (ca, cb), (ba, bb) = settings["dimension_numbers"]
            contract, batch = ([[int(i) for i in axes] for axes in pair] for pair in ((ca, cb), (ba, bb)))
            nodes = [self.node(x) for x in inputs]
            return [self.add(name, shape, nodes, contract=contract, batch=batch)]
        if name == "reduce_sum":
            return [self.add(name, shape, [self.node(one)], axes=sorted(int(i) for i in settings["axes"]))]
        if name == "cumsum":
            return [self.cumulative(self.node(one), settings)]
        if name == "cumlogsumexp":
            sums = self.cumulative(self.add("exp", shape, [self.node(one)]), settings)
            return [self.add("log", shape, [sums])]
        if name == "cumprod":
            return [self.cumulative_product(self.node(one), settings)]
        if name == "conv_general_dilated":
            return [self.convolution(settings, *inputs, shape)]
        if name in ("reduce_window_sum", "reduce_window_max"):
            return [self.window(name, settings, self.node(one), shape)]
        if name == "reduce_min":
            turned = self.add("neg", one.shape, [self.node(one)])
            for axis in sorted(int(i) for i in settings["axes"])[::-1]:
                turned = self.reduced(self.split_off(turned, axis), "max")
            return [self.add("neg", shape, [turned])]
        if name in ("copy", "copy_p", "convert_element_type", "reduce_precision", "optimization_barrier"):
            if name == "reduce_precision":
                self.refuse("reduce_precision rounds; the model's arithmetic is exact")
            return [self.node(x) for x in inputs]
        if name == "broadcast_in_dim":
            axes = [int(i) for i in settings["broadcast_dimensions"]]
            return [self.add(name, shape, [self.node(one)], axes=axes)]
        if name in ("reshape", "squeeze", "expand_dims"):
            return [self.add("reshape", shape, [self.node(one)])]
        if name == "transpose":
            return [self.add(name, shape, [self.node(one)], axes=[int(i) for i in settings["permutation"]])]
        if name == "slice":
            start, limit = ([int(i) for i in settings[key]] for key in ("start_indices", "limit_indices"))
            stride = [int(i) for i in settings["strides"] or [1] * len(start)]
            return [self.add(name, shape, [self.node(one)], start=start, limit=limit, stride=stride)]
        if name == "stack":
            return [self.stacked([self.node(x) for x in inputs], int(settings["axis"]), shape)]
        if name == "split":
            return self.split(self.node(one), int(settings["axis"]), shapes)
        if name == "rev":
            return [self.add(name, shape, [self.node(one)], axes=sorted(int(i) for i in settings["dimensions"]))]
        if name == "concatenate":
            nodes = [self.node(x) for x in inputs]
            return [self.add(name, shape, nodes, axis=int(settings["dimension"]))]
        if name == "pad" and self.is_plain(inputs[1], settings):
            return [self.pad(one, inputs[1], settings, shape)]
        if name in BY_NUMBER:
            return [self.by_number(eqn, name, one, inputs[1:], shape)]
        if name in JOINED:
            return [self.joined(eqn, name, inputs, shape)]
        if name in ("scatter-add", "scatter_add"):
            return [self.scatter_add(eqn, inputs, shape)]
        if name == "reduce_prod":
            return [self.product(self.node(one), sorted(int(i) for i in settings["axes"]))]
        if name in ("sinh", "cosh"):
            rise, fall = self.node(one), self.add("neg", shape, [self.node(one)])
            both = [self.add("exp", shape, [x]) for x in (rise, fall)]
            both = self.add("sub" if name == "sinh" else "add", shape, both)
            return [self.pair("mul", both, 0.5, shape)]
        if name == "cbrt":
            # Of a number above 0.
            third = self.pair("div", self.add("log", shape, [self.node(one)]), 3.0, shape)
            return [self.add("exp", shape, [third])]
        if name in ("asinh", "acosh"):
            x = self.node(one)
            square = self.add("integer_pow", shape, [x], exponent=2)
            inner = self.pair("add" if name == "asinh" else "sub", square, 1.0, shape)
            return [self.add("log", shape, [self.add("add", shape, [x, self.add("sqrt", shape, [inner])])])]
        if name == "atanh":
            x = self.node(one)
            both = [self.add("log1p", shape, [u]) for u in (x, self.add("neg", shape, [x]))]
            return [self.pair("mul", self.add("sub", shape, both), 0.5, shape)]
        if name == "exp2":
            return [self.power(np.float64(2.0), one, shape)]
        if name == "select_n":
            return [self.select(inputs, shape)]
        if name == "clamp":
            # min(max(x, low), high), each of them one of the kinked operations.
            low, x, high = (self.node(x, shape) for x in inputs)
            at_least = self.add("max", shape, [x, low])
            both = [self.add("neg", shape, [x]) for x in (at_least, high)]
            return [self.add("neg", shape, [self.add("max", shape, both)])]
        if name in ("eq", "ne") and inputs[0] is inputs[1]:
            return [np.full(shape, name == "eq")]
        if name == "is_finite":
            return [np.ones(shape, bool)]
        if name in ("eq", "ne", "lt", "le", "gt", "ge"):
            return [self.comparison(name, *inputs)]
        if name == "stop_gradient":
            self.refuse("stop_gradient outside of a softmax: the traced gradient would be that of no function")
        self.refuse(f"{name} of parameters is not among the operations that are taken; docs/models.md lists them")

    def comparison(self, name, a, b):
        """x > 0 and the like is remembered: where(x > 0, x, 0) is a relu."""
        x, of = (a, b) if isinstance(a, Node) else (b, a)
        if name in ("eq", "ne") or not isinstance(x, Node) or isinstance(of, (Node, Part)) or np.any(of):
            return Part("condition", self.place)
        above = (name in ("gt", "ge")) == (x is a)
        return Part("condition", self.place, z=x, side=int(above))

    def one_sided(self, which, no, yes, shape):
        """where(x > 0, x, s x) = s x + (1 - s) relu(x), for a number s; s = 0 is the relu."""
        x = which.z
        if which.side is None:
            return None
        if which.side == 0:
            no, yes = yes, no
        if x.shape == tuple(shape) and no is x and not isinstance(yes, (Node, Part)) and not np.any(yes):
            return self.below(x)
        if x.shape == tuple(shape) and yes is x and self.ends_at_0(no, x):
            return self.add("add", shape, [self.add("relu", shape, [x]), no])
        slope = 0.0 if not isinstance(no, (Node, Part)) and not np.any(no) else self.multiple_of(no, x)
        if yes is not x or x.shape != tuple(shape) or slope is None:
            return None
        relu = self.add("relu", shape, [x])
        if slope == 0.0:
            return relu
        # 1 - s is formed in the model, whose arithmetic is exact.
        rest = self.pair("sub", 1.0, slope, shape)
        return self.pair("add", self.pair("mul", slope, x, shape), self.pair("mul", rest, relu, shape), shape)

    def below(self, x):
        """min(x, 0)."""
        return self.add("neg", x.shape, [self.add("relu", x.shape, [self.add("neg", x.shape, [x])])])

    def ends_at_0(self, node, x):
        """Whether a node is a multiple of e^min(x, 0) - 1, which is 0 for x > 0: the other side of an elu."""
        made = self.nodes[node.number] if isinstance(node, Node) else {"op": None}
        if made["op"] == "mul":
            inputs = [Node(i, self.nodes[i]["shape"]) for i in made["inputs"]]
            constants = [i for i in inputs if self.nodes[i.number]["op"] == "constant"]
            return len(constants) == 1 and any(self.ends_at_0(i, x) for i in inputs)
        return made["op"] == "expm1" and made["inputs"] == [self.below(x).number]

    def multiple_of(self, node, x):
        """The number s if a node is s x."""
        if not isinstance(node, Node):
            return None
        made = self.nodes[node.number]
        if made["op"] != "mul" or x.number not in made["inputs"]:
            return None
        (other,) = [i for i in made["inputs"] if i != x.number] or [None]
        return None if other is None else self.nodes[other].get("value")

    def power(self, base, exponent, shape):
        if isinstance(exponent, (Node, Part)):
            if isinstance(base, (Node, Part)) or not np.all(np.asarray(base) > 0):
                self.refuse("pow with an exponent that depends on parameters; write exp(b log(a))")
            logarithm = self.add("log", shape, [self.constant(base, shape)])
            return self.add("exp", shape, [self.pair("mul", exponent, logarithm, shape)])
        exponent = np.asarray(exponent)
        value = float(exponent.flat[0])
        if not np.all(exponent == value):
            self.refuse("pow with several exponents; take one at a time")
        base = self.node(base, shape)
        if value.is_integer() and abs(value) < 1000:
            return self.add("integer_pow", shape, [base], exponent=int(value))
        return self.add("pow", shape, [base], exponent=value)

    def cumulative(self, x, settings):
        axis, n = settings["axis"], x.shape[settings["axis"]]
        ones = np.triu(np.ones((n, n)))
        sums = self.constant(ones.T if settings["reverse"] else ones)
        rest = [i for i in range(len(x.shape)) if i != axis]
        shape = [*(x.shape[i] for i in rest), n]
        moved = self.add("dot_general", shape, [x, sums], contract=[[axis], [0]], batch=[[], []])
        order = [*rest[:axis], axis, *rest[axis:]]
        back = [len(rest) if i == axis else rest.index(i) for i in order]
        return self.add("transpose", x.shape, [moved], axes=back)

    def cumulative_product(self, x, settings):
        axis = settings["axis"]
        parts = self.split_off(x, axis)
        for i in range(1, len(parts)):
            at, before = (-1 - i, -i) if settings["reverse"] else (i, i - 1)
            parts[at] = self.add("mul", parts[at].shape, [parts[before], parts[at]])
        return self.stacked(parts, axis, x.shape)

    def split_off(self, x, axis):
        """The parts of an array along an axis, without it."""
        one = x.shape[:axis] + (1,) + x.shape[axis + 1 :]
        rest = x.shape[:axis] + x.shape[axis + 1 :]
        return [self.add("reshape", rest, [part]) for part in self.split(x, axis, [one] * x.shape[axis])]

    def reduced(self, nodes, op):
        """Two at a time, so that no entry goes through more operations than need be."""
        while len(nodes) > 1:
            pairs = [self.add(op, a.shape, [a, b]) for a, b in zip(nodes[::2], nodes[1::2])]
            nodes = pairs + nodes[len(pairs) * 2 :]
        return nodes[0]

    def patches(self, sizes, window, settings):
        """The numbers from 1 on of the entries [batch, channel, places...] in each window, 0 for what is added around:
        [batch, channel and place in the window, windows...]."""
        numbers = np.arange(1.0, 1.0 + np.prod(sizes)).reshape(sizes)
        found = self.jax.lax.conv_general_dilated_patches(numbers, filter_shape=window, **settings)
        return np.rint(np.asarray(found))

    def taken(self, x, numbers):
        """The entries of x with these numbers, 0 for 0."""
        if not isinstance(x, Node):
            flat = np.concatenate([[0.0], np.ravel(x)])
            return self.constant(flat[numbers.astype(int)])
        flat = self.add("reshape", (int(np.prod(x.shape)),), [x])
        if np.any(numbers == 0):
            flat = self.add("pad", (flat.shape[0] + 1,), [flat], low=[1], high=[0], value=0.0)
        else:
            numbers = numbers - 1
        return self.add("gather", numbers.shape, [flat, self.constant(numbers)])

    def convolution(self, settings, x, kernel, shape):
        """Of the entries in each window, which are moved there, with the kernel: a product."""
        if settings["batch_group_count"] != 1:
            self.refuse("conv_general_dilated with batch_group_count; take feature_group_count")
        x, kernel = (self.node(v) if isinstance(v, (Node, Part)) else np.asarray(v) for v in (x, kernel))
        of_x, of_kernel, of_out = settings["dimension_numbers"]
        groups, out = int(settings["feature_group_count"]), int(kernel.shape[of_kernel[0]])
        window = [int(kernel.shape[i]) for i in of_kernel[2:]]
        # The numbers of x's entries, in the order [batch, channel, places...].
        sizes = [int(x.shape[i]) for i in of_x]
        places = np.arange(1.0, 1.0 + np.prod(x.shape)).reshape(x.shape).transpose(of_x).ravel()
        how = {
            "window_strides": settings["window_strides"],
            "padding": settings["padding"],
            "lhs_dilation": settings["lhs_dilation"],
            "rhs_dilation": settings["rhs_dilation"],
        }
        found = self.patches(sizes, window, how).astype(int)
        found = np.concatenate([[0.0], places])[found]
        batch, windows = sizes[0], found.shape[2:]
        count = int(np.prod(windows))
        entries = self.taken(x, found.reshape(batch, groups, -1, count))
        numbers = np.arange(1.0, 1.0 + np.prod(kernel.shape)).reshape(kernel.shape).transpose(of_kernel)
        factors = self.taken(kernel, numbers.reshape(groups, out // groups, -1))
        product = self.add(
            "dot_general",
            (groups, batch, count, out // groups),
            [entries, factors],
            contract=[[2], [2]],
            batch=[[1], [0]],
        )
        turned = self.add("transpose", (batch, groups, out // groups, count), [product], axes=[1, 0, 3, 2])
        whole = self.add("reshape", (batch, out, *windows), [turned])
        return self.add("transpose", shape, [whole], axes=[of_out.index(i) for i in range(len(shape))])

    def window(self, name, settings, x, shape):
        """The sum or the largest of the entries in each window."""
        sizes = (1, 1, *x.shape)
        how = {
            "window_strides": settings["window_strides"],
            "padding": settings["padding"],
            "lhs_dilation": settings["base_dilation"],
            "rhs_dilation": settings["window_dilation"],
        }
        found = self.patches(sizes, settings["window_dimensions"], how)[0]
        if name == "reduce_window_sum":
            entries = self.taken(x, found)
            return self.add("reduce_sum", shape, [entries], axes=[0])
        if np.any(found == 0):
            self.refuse("a maximum over windows that reach over the edge; take windows that fit (padding VALID)")
        return self.reduced(self.split_off(self.taken(x, found), 0), "max")

    def split(self, x, axis, shapes):
        found, at = [], 0
        for shape in shapes:
            start, limit = [0] * len(shape), list(x.shape)
            start[axis], limit[axis] = at, at + shape[axis]
            at = limit[axis]
            found.append(self.add("slice", shape, [x], start=start, limit=limit, stride=[1] * len(shape)))
        return found

    def is_plain(self, value, settings):
        """Whether a pad is around, with a number."""
        config = settings["padding_config"]
        return not isinstance(value, (Node, Part)) and all(c[0] >= 0 and c[1] >= 0 and not c[2] for c in config)

    def pad(self, x, value, settings, shape):
        config = [tuple(int(i) for i in c) for c in settings["padding_config"]]
        low, high = [c[0] for c in config], [c[1] for c in config]
        return self.add("pad", shape, [self.node(x)], low=low, high=high, value=float(value))

    def by_number(self, eqn, name, x, places, shape):
        """Which entry goes where is read off the numbers of the entries."""
        if any(isinstance(p, (Node, Part)) for p in places):
            self.refuse(f"{name} with indices that depend on parameters")
        x = self.node(x)
        numbers = np.arange(float(np.prod(x.shape))).reshape(x.shape)
        numbers = self.concretely(eqn, [numbers, *places])[0]
        if not np.all(np.isfinite(numbers)):
            self.refuse(f"{name} with an index outside of the array")
        return self.add("gather", shape, [x, self.constant(numbers)])

    def joined(self, eqn, name, inputs, shape):
        """As by_number, of entries of two arrays."""
        at = JOINED[name]
        if any(isinstance(x, (Node, Part)) for i, x in enumerate(inputs) if i not in at):
            self.refuse(f"{name} with indices that depend on parameters")
        given, first = list(inputs), 0
        flat = []
        for i in at:
            x = self.node(inputs[i])
            size = int(np.prod(x.shape))
            given[i] = np.arange(float(first), float(first + size)).reshape(x.shape)
            first += size
            flat.append(self.add("reshape", (size,), [x]))
        numbers = self.concretely(eqn, given)[0]
        both = self.add("concatenate", (first,), flat, axis=0)
        return self.add("gather", shape, [both, self.constant(numbers)])

    def scatter_add(self, eqn, inputs, shape):
        """What is added is linear in the updates: its matrix is read off unit vectors."""
        operand, places, updates = inputs
        if isinstance(places, (Node, Part)):
            self.refuse("scatter-add with indices that depend on parameters")
        if not isinstance(updates, (Node, Part)):
            added = self.concretely(eqn, [np.zeros(shape), places, updates])[0]
            return self.pair("add", operand, added, shape)
        n, size = int(np.prod(updates.shape)), int(np.prod(shape))
        if n * size > 1 << 22:
            self.refuse(f"scatter-add of {n} numbers to {size}; write it as a product with a constant matrix")

        def unit(u):
            return eqn.primitive.bind(self.jax.numpy.zeros(shape), places, u, **eqn.params)

        rows = self.jax.vmap(unit)(self.jax.numpy.eye(n).reshape(n, *updates.shape))
        matrix = self.constant(np.asarray(rows).reshape(n, size))
        flat = self.add("reshape", (n,), [self.node(updates)])
        added = self.add("dot_general", (size,), [flat, matrix], contract=[[0], [0]], batch=[[], []])
        return self.pair("add", operand, self.add("reshape", shape, [added]), shape)

    def product(self, x, axes):
        for axis in axes[::-1]:
            parts = self.split_off(x, axis)
            rest = x.shape[:axis] + x.shape[axis + 1 :]
            x = self.constant(np.ones(rest)) if not parts else parts[0]
            for part in parts[1:]:
                x = self.add("mul", rest, [x, part])
        return x

    def select(self, inputs, shape):
        which, *cases = inputs
        if len(cases) != 2:
            self.refuse(f"select_n among {len(cases)} cases; choose between two")
        which = np.broadcast_to(np.asarray(which, dtype=np.float64), shape)
        if np.all(which == which.flat[0]):
            return self.node(cases[int(which.flat[0])], shape)
        for node, other, mask in ((*cases, 1 - which), (*cases[::-1], which)):
            if isinstance(node, Node) and not isinstance(other, (Node, Part)) and np.all(other == -np.inf):
                node, key = self.node(node, shape), mask.tobytes()
                if (node, key) not in self.known:
                    self.known[node, key] = Part("masked", self.place, z=node, mask=mask)
                return self.known[node, key]
        no, yes = (self.node(x, shape) for x in cases)
        return self.add("select", shape, [self.constant(which), yes, no])


def source(eqn):
    """file:line of the user's code that an operation came from, as JAX remembers it."""
    try:
        from jax._src import source_info_util

        text = source_info_util.summarize(eqn.source_info)
    except Exception:  # A private part of JAX, which may move: messages do without.
        return None
    file, _, rest = text.split(" ")[0].replace("\\", "/").rpartition("/")[2].partition(":")
    line = rest.split(":")[0]
    return f"{file}:{line}" if line.isdigit() else None


def unknown_values(jax):
    """What JAX raises where the values of parameters are asked for."""
    names = ("ConcretizationTypeError", "NonConcreteBooleanIndexError", "TracerArrayConversionError")
    return tuple(getattr(jax.errors, name) for name in names)


def user_line(error):
    """file:line of the last line of the user's own in a traceback."""
    place = None
    for frame in traceback.extract_tb(error.__traceback__):
        path = frame.filename.replace("\\", "/")
        if "/jax/" not in path and "/numpy/" not in path and path.rpartition("/")[2] != "_trace.py":
            place = f"{path.rpartition('/')[2]}:{frame.lineno}"
    return place


def block_name(path):
    def word(key):
        for attribute in ("key", "idx", "name"):
            if hasattr(key, attribute):
                return str(getattr(key, attribute))
        return str(key)

    return ".".join(word(key) for key in path) or "M"


def pruned(nodes, output):
    """The nodes that the output needs, and all parameters, numbered anew."""
    needed = {output}
    for i in range(len(nodes) - 1, -1, -1):
        if i in needed:
            needed.update(nodes[i].get("inputs", ()))
    keep = [i for i, node in enumerate(nodes) if i in needed or node["op"] == "parameter"]
    number = {old: new for new, old in enumerate(keep)}
    kept = []
    for i in keep:
        node = dict(nodes[i])
        if "inputs" in node:
            node["inputs"] = [number[j] for j in node["inputs"]]
        kept.append(node)
    return kept, number[output]


def in_float64(jax):
    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(True)
    from jax.experimental import enable_x64

    return enable_x64(True)


def parts(residual, params):
    """The JSON text of the model and its arrays by name."""
    try:
        import jax
        import jax.extend.core
    except ImportError as e:
        raise InputError(f"a model is traced by JAX, which is not there ({e}); pip install jax") from None
    leaves, tree = jax.tree_util.tree_flatten_with_path(params)
    names, starts = [], []
    for path, leaf in leaves:
        name = block_name(path)
        try:
            values = np.asarray(leaf)
        except TypeError as e:
            raise InputError(f"parameter {name} is no array of numbers ({str(e).split('.')[0]})") from None
        if values.dtype.kind != "f":
            raise InputError(
                f"parameter {name} has dtype {values.dtype}; gradient descent moves real numbers: make it float64, "
                "or close over it as a constant"
            )
        if name in names:
            raise InputError(f"two parameters are named {name}; give one of them another key")
        names.append(name)
        starts.append(np.array(values, dtype=np.float64, order="C"))
    if not names:
        raise InputError("params holds no array; give a pytree of arrays")
    tracer = Tracer(jax)
    with in_float64(jax):
        try:
            closed, shape = jax.make_jaxpr(residual, return_shape=True)(tree.unflatten(starts))
        except unknown_values(jax) as e:
            what = " ".join(re.split(r"[.:;]\s|\n", str(e))[0].split())
            place = user_line(e)
            at = f"{place}: " if place else ""
            raise InputError(f"{at}the function needs values of parameters while it is traced ({what})") from None
        if len(jax.tree_util.tree_leaves(shape)) != 1:
            raise InputError("the function must return one array, the residual; concatenate its parts")
        blocks = [tracer.parameter(name, values) for name, values in zip(names, starts)]
        (output,) = tracer.run(closed.jaxpr, closed.consts, blocks)
        if not isinstance(output, (Node, Part)):
            raise InputError("the residual does not depend on params")
        output = tracer.node(output)
    nodes, output = pruned(tracer.nodes, output.number)
    used = {node.get("array") for node in nodes}
    arrays = {name: values for name, values in tracer.arrays.items() if name in used}
    return json.dumps({"schema": "gdcert.model/1", "nodes": nodes, "output": output}), arrays
