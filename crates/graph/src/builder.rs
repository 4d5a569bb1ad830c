//! Models from Rust, one operation after the other.

use crate::graph::describe;
use crate::operation::{MAX_ENTRIES, MAX_NODES, MAX_RANK, entries};
use crate::{Array, Block, Error, Function, Graph, Node, Operation, Result};
use std::collections::BTreeMap;

/// The largest exponent of an integer power.
const MAX_POWER: u32 = 1000;

/// Builds a [`Graph`]. Every method adds a node and returns its number, the handle for later ones.
///
/// # Errors
/// Of every method: shapes that do not fit, a number that is not finite, a name that is taken, or a model that is too large.
/// The message names the node.
#[derive(Debug, Default)]
pub struct Builder {
    nodes: Vec<Node>,
    blocks: Vec<Block>,
    constants: Vec<Array>,
    entries: usize,
    place: Option<String>,
}

impl Builder {
    /// A model without nodes.
    pub fn new() -> Self {
        Builder::default()
    }

    /// What messages are to say about where the nodes from here on come from.
    pub fn at(&mut self, place: Option<String>) {
        self.place = place;
    }

    /// The shape of a node.
    ///
    /// # Panics
    /// There is no such node.
    pub fn shape(&self, node: usize) -> &[usize] {
        &self.nodes[node].shape
    }

    /// A parameter block of this name with its start.
    pub fn parameter(&mut self, name: &str, shape: &[usize], values: &[f64]) -> Result<usize> {
        let array = self.array(&format!("parameter {name}"), shape, values)?;
        if name.is_empty() || self.blocks.iter().any(|b| b.name == name) {
            return Err(Error::input(format!(
                "parameter name '{name}' is empty or taken; give each block a name of its own"
            )));
        }
        self.blocks.push(Block {
            name: name.to_owned(),
            start: array,
        });
        self.add_leaf(Operation::Parameter(self.blocks.len() - 1), shape, true)
    }

    /// A constant array.
    pub fn constant(&mut self, shape: &[usize], values: &[f64]) -> Result<usize> {
        let array = self.array(&format!("constant {}", self.nodes.len()), shape, values)?;
        self.constants.push(array);
        self.add_leaf(Operation::Constant(self.constants.len() - 1), shape, false)
    }

    /// A constant array whose entries are all `value`.
    pub fn full(&mut self, shape: &[usize], value: f64) -> Result<usize> {
        match entries(shape) {
            Some(n) => self.constant(shape, &vec![value; n]),
            None => Err(too_large()),
        }
    }

    fn array(&self, what: &str, shape: &[usize], values: &[f64]) -> Result<Array> {
        if entries(shape) != Some(values.len()) {
            return Err(Error::input(format!(
                "{what}: {} numbers for shape {shape:?}",
                values.len()
            )));
        }
        if let Some(i) = values.iter().position(|x| !x.is_finite()) {
            return Err(Error::input(format!(
                "{what}: entry {i} is {}; every number must be finite (for a mask of scores take -1e9)",
                values[i]
            )));
        }
        Ok(Array {
            shape: shape.to_vec(),
            values: values.to_vec(),
        })
    }

    fn add_leaf(&mut self, operation: Operation, shape: &[usize], varies: bool) -> Result<usize> {
        self.push(Node {
            operation,
            inputs: Vec::new(),
            shape: shape.to_vec(),
            place: self.place.clone(),
            varies,
        })
    }

    fn push(&mut self, node: Node) -> Result<usize> {
        if node.shape.len() > MAX_RANK {
            return Err(Error::input(format!(
                "{} has {} axes; up to {MAX_RANK} are taken",
                describe(
                    self.nodes.len(),
                    node.operation.name(),
                    node.place.as_deref()
                ),
                node.shape.len()
            )));
        }
        let total = entries(&node.shape).map(|n| n + self.entries);
        match total {
            Some(n) if n <= MAX_ENTRIES && self.nodes.len() < MAX_NODES => self.entries = n,
            _ => return Err(too_large()),
        }
        self.nodes.push(node);
        Ok(self.nodes.len() - 1)
    }

    /// Any operation but parameters and constants.
    pub fn operation(&mut self, operation: Operation, inputs: &[usize]) -> Result<usize> {
        let within = |e: String| {
            let node = describe(self.nodes.len(), operation.name(), self.place.as_deref());
            Error::input(format!("{node}: {e}"))
        };
        if let Some(i) = inputs.iter().find(|i| **i >= self.nodes.len()) {
            return Err(within(format!("input {i} is no node before it")));
        }
        if matches!(operation, Operation::Parameter(_) | Operation::Constant(_)) {
            return Err(within("add it with its array".to_owned()));
        }
        let shapes: Vec<_> = inputs.iter().map(|&i| &self.nodes[i].shape[..]).collect();
        let shape = operation.shape(&shapes).map_err(|e| {
            let what = e.to_string();
            let name = format!("{}: ", operation.name());
            within(what.strip_prefix(&name).unwrap_or(&what).to_owned())
        })?;
        self.check_constant_input(&operation, inputs)
            .map_err(within)?;
        let varies = inputs.iter().any(|&i| self.nodes[i].varies);
        self.push(Node {
            operation,
            inputs: inputs.to_vec(),
            shape,
            place: self.place.clone(),
            varies,
        })
    }

    /// Indices and masks are constant arrays of what they must be; exponents are in their range.
    fn check_constant_input(
        &self,
        operation: &Operation,
        inputs: &[usize],
    ) -> std::result::Result<(), String> {
        let values = |i: usize| match self.nodes[inputs[i]].operation {
            Operation::Constant(c) => Ok(&self.constants[c].values),
            _ => Err(format!("input {i} must be a constant array")),
        };
        match operation {
            Operation::Gather => {
                let n = self.nodes[inputs[0]].len() as f64;
                let inside = |x: f64| x >= 0.0 && x < n && x.fract() == 0.0;
                match values(1)?.iter().find(|x| !inside(**x)) {
                    Some(x) => Err(format!("index {x} is none of the {n} entries")),
                    None => Ok(()),
                }
            }
            Operation::Select => match values(0)?.iter().find(|x| **x != 0.0 && **x != 1.0) {
                Some(x) => Err(format!("the mask holds {x}; zeros and ones are taken")),
                None => Ok(()),
            },
            Operation::Map(Function::IntegerPow(k)) if k.unsigned_abs() > MAX_POWER => {
                Err(format!("the exponent is {k}; up to {MAX_POWER} are taken"))
            }
            Operation::Map(Function::Pow(a)) if !a.is_finite() => {
                Err(format!("the exponent {a} is not finite"))
            }
            _ => Ok(()),
        }
    }

    /// The model whose residual is this node.
    pub fn finish(self, output: usize) -> Result<Graph> {
        let Some(node) = self.nodes.get(output) else {
            return Err(Error::input(format!("output {output} is no node")));
        };
        if node.is_empty() || !node.varies {
            return Err(Error::input(format!(
                "the residual, {}, has no entries or no parameter in it; nothing could be trained",
                describe(output, node.operation.name(), node.place.as_deref())
            )));
        }
        Ok(Graph {
            nodes: self.nodes,
            blocks: self.blocks,
            constants: self.constants,
            held: BTreeMap::new(),
            output,
        })
    }

    /// phi(a).
    pub fn map(&mut self, function: Function, a: usize) -> Result<usize> {
        self.operation(Operation::Map(function), &[a])
    }

    /// a times a number.
    pub fn scale(&mut self, a: usize, by: f64) -> Result<usize> {
        let shape = self.nodes_shape(a)?;
        let by = self.full(&shape, by)?;
        self.mul(a, by)
    }

    fn nodes_shape(&self, a: usize) -> Result<Vec<usize>> {
        let node = self.nodes.get(a);
        node.map(|node| node.shape.clone())
            .ok_or_else(|| Error::input(format!("input {a} is no node")))
    }

    /// The sum over pairs `contract` of axes (of a, of b), with `batch` pairs kept in front.
    pub fn dot_general(
        &mut self,
        a: usize,
        b: usize,
        contract: [&[usize]; 2],
        batch: [&[usize]; 2],
    ) -> Result<usize> {
        let operation = Operation::DotGeneral {
            contract: contract.map(<[usize]>::to_vec),
            batch: batch.map(<[usize]>::to_vec),
        };
        self.operation(operation, &[a, b])
    }

    /// The product of two matrices.
    pub fn matmul(&mut self, a: usize, b: usize) -> Result<usize> {
        self.dot_general(a, b, [&[1], &[0]], [&[], &[]])
    }

    /// exp(a) / sum(exp(a)) along an axis.
    pub fn softmax(&mut self, a: usize, axis: usize) -> Result<usize> {
        self.operation(Operation::Softmax { axis }, &[a])
    }

    /// The sum over some axes.
    pub fn reduce_sum(&mut self, a: usize, axes: &[usize]) -> Result<usize> {
        self.operation(
            Operation::ReduceSum {
                axes: axes.to_vec(),
            },
            &[a],
        )
    }

    /// a repeated: its axis i becomes axis `axes[i]` of `shape`.
    pub fn broadcast_in_dim(&mut self, a: usize, shape: &[usize], axes: &[usize]) -> Result<usize> {
        let operation = Operation::BroadcastInDim {
            shape: shape.to_vec(),
            axes: axes.to_vec(),
        };
        self.operation(operation, &[a])
    }

    /// The same entries in another shape.
    pub fn reshape(&mut self, a: usize, shape: &[usize]) -> Result<usize> {
        self.operation(
            Operation::Reshape {
                shape: shape.to_vec(),
            },
            &[a],
        )
    }

    /// Axis i of the result is axis `axes[i]` of a.
    pub fn transpose(&mut self, a: usize, axes: &[usize]) -> Result<usize> {
        self.operation(
            Operation::Transpose {
                axes: axes.to_vec(),
            },
            &[a],
        )
    }

    /// The entries start, start + stride, ... below limit along each axis.
    pub fn slice(
        &mut self,
        a: usize,
        start: &[usize],
        limit: &[usize],
        stride: &[usize],
    ) -> Result<usize> {
        let operation = Operation::Slice {
            start: start.to_vec(),
            limit: limit.to_vec(),
            stride: stride.to_vec(),
        };
        self.operation(operation, &[a])
    }

    /// Several arrays one after the other along an axis.
    pub fn concatenate(&mut self, inputs: &[usize], axis: usize) -> Result<usize> {
        self.operation(Operation::Concatenate { axis }, inputs)
    }

    /// More entries before and after along each axis, all equal to `value`.
    pub fn pad(&mut self, a: usize, low: &[usize], high: &[usize], value: f64) -> Result<usize> {
        let operation = Operation::Pad {
            low: low.to_vec(),
            high: high.to_vec(),
            value,
        };
        self.operation(operation, &[a])
    }

    /// The order along some axes turned round.
    pub fn rev(&mut self, a: usize, axes: &[usize]) -> Result<usize> {
        self.operation(
            Operation::Rev {
                axes: axes.to_vec(),
            },
            &[a],
        )
    }

    /// The entries of a at the row-major places `indices`, in the shape given.
    pub fn gather(&mut self, a: usize, shape: &[usize], indices: &[usize]) -> Result<usize> {
        let indices: Vec<f64> = indices.iter().map(|&i| i as f64).collect();
        let indices = self.constant(shape, &indices)?;
        self.operation(Operation::Gather, &[a, indices])
    }

    /// a where the mask holds, else b.
    pub fn select(&mut self, mask: &[bool], a: usize, b: usize) -> Result<usize> {
        let mask: Vec<f64> = mask.iter().map(|&on| f64::from(u8::from(on))).collect();
        let shape = self.nodes_shape(a)?;
        let mask = self.constant(&shape, &mask)?;
        self.operation(Operation::Select, &[mask, a, b])
    }
}

macro_rules! plain {
    ($($(#[$doc:meta])* $name:ident($($input:ident),+) = $operation:expr;)*) => {
        impl Builder {
            $($(#[$doc])* pub fn $name(&mut self, $($input: usize),+) -> Result<usize> {
                self.operation($operation, &[$($input),+])
            })*
        }
    };
}

plain! {
    /// a + b.
    add(a, b) = Operation::Add;
    /// a - b.
    sub(a, b) = Operation::Sub;
    /// a b entry by entry.
    mul(a, b) = Operation::Mul;
    /// a / b entry by entry.
    div(a, b) = Operation::Div;
    /// The larger of a and b, entry by entry.
    maximum(a, b) = Operation::Maximum;
    /// -a.
    neg(a) = Operation::Neg;
    /// e^a.
    exp(a) = Operation::Map(Function::Exp);
    /// The natural logarithm.
    log(a) = Operation::Map(Function::Log);
    /// The square root.
    sqrt(a) = Operation::Map(Function::Sqrt);
    /// 1 / sqrt(a).
    rsqrt(a) = Operation::Map(Function::Rsqrt);
    /// The hyperbolic tangent.
    tanh(a) = Operation::Map(Function::Tanh);
    /// 1 / (1 + e^-a).
    logistic(a) = Operation::Map(Function::Logistic);
    /// log(1 + e^a).
    softplus(a) = Operation::Map(Function::Softplus);
    /// The error function.
    erf(a) = Operation::Map(Function::Erf);
    /// The sine.
    sin(a) = Operation::Map(Function::Sin);
    /// The cosine.
    cos(a) = Operation::Map(Function::Cos);
    /// The inverse tangent.
    atan(a) = Operation::Map(Function::Atan);
    /// max(a, 0).
    relu(a) = Operation::Map(Function::Relu);
}

fn too_large() -> Error {
    Error::TooLarge(format!(
        "the model is too large: at most {MAX_NODES} nodes with {MAX_ENTRIES} entries in all are taken"
    ))
}
