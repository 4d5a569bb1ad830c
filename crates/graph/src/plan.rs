//! Where every array lies in one long vector, and the loops that fill it: worked out once for a graph.

use crate::operation::{places, strides};
use crate::{Function, Graph, Operation};
use std::ops::Range;

/// A graph laid out: all parameters first, block after block, then the other nodes in order.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The place of each node's array.
    pub at: Vec<Range<usize>>,
    /// Entries of all arrays.
    pub len: usize,
    /// Entries of [`Kernel::Map`] and [`Kernel::Maximum`], whose slopes are kept.
    pub slopes: usize,
    pub steps: Vec<Step>,
}

/// How a node is computed.
#[derive(Debug)]
pub(crate) struct Step {
    pub node: usize,
    pub at: Range<usize>,
    pub varies: bool,
    pub kernel: Kernel,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Input {
    pub at: usize,
    pub varies: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pair {
    Add,
    Sub,
    Mul,
    Div,
}

#[derive(Debug)]
pub(crate) enum Kernel {
    Neg(Input),
    Map {
        function: Function,
        a: Input,
        slope: usize,
    },
    Pair(Pair, Input, Input),
    Maximum {
        a: Input,
        b: Input,
        slope: usize,
    },
    /// Rows of `len` entries `inner` apart.
    Softmax {
        a: Input,
        len: usize,
        inner: usize,
    },
    Dot(Dot),
    /// `to`: where each entry of a is added.
    Sum {
        a: Input,
        to: Vec<u32>,
    },
    /// (place in the result, place in the input) for each input.
    Moves(Vec<(Input, Vec<(u32, u32)>)>),
}

/// `out[batch, i, j] = sum_k a[batch, i, k] b[batch, k, j]`, each index a list of distances.
#[derive(Debug)]
pub(crate) struct Dot {
    pub a: Input,
    pub b: Input,
    pub batch: Vec<(u32, u32)>,
    pub sum: Vec<(u32, u32)>,
    pub free_a: Vec<u32>,
    pub free_b: Vec<u32>,
    /// The entries of b along j lie one after the other.
    pub b_in_rows: bool,
    /// Those of a and of b along k do.
    pub k_in_rows: bool,
}

impl Plan {
    pub fn new(graph: &Graph) -> Self {
        let mut at = vec![0..0; graph.nodes.len()];
        let mut len = 0;
        let mut place = |node: usize| {
            let n = graph.nodes[node].len();
            at[node] = len..len + n;
            len += n;
        };
        let parameters = graph.parameter_nodes();
        parameters.iter().for_each(|&node| place(node));
        for node in 0..graph.nodes.len() {
            if !matches!(graph.nodes[node].operation, Operation::Parameter(_)) {
                place(node);
            }
        }
        let mut plan = Plan {
            at,
            len,
            slopes: 0,
            steps: Vec::new(),
        };
        for (node, found) in graph.nodes.iter().enumerate() {
            if let Some(kernel) = plan.kernel(graph, node) {
                plan.steps.push(Step {
                    node,
                    at: plan.at[node].clone(),
                    varies: found.varies,
                    kernel,
                });
            }
        }
        plan
    }

    fn kernel(&mut self, graph: &Graph, node: usize) -> Option<Kernel> {
        let found = &graph.nodes[node];
        let input = |i: usize| Input {
            at: self.at[found.inputs[i]].start,
            varies: graph.nodes[found.inputs[i]].varies,
        };
        let shape = |i: usize| &graph.nodes[found.inputs[i]].shape[..];
        let slope = self.slopes;
        Some(match &found.operation {
            Operation::Parameter(_) | Operation::Constant(_) => return None,
            Operation::Neg => Kernel::Neg(input(0)),
            Operation::Map(function) => {
                let a = input(0);
                self.slopes += found.len();
                Kernel::Map {
                    function: *function,
                    a,
                    slope,
                }
            }
            Operation::Add => Kernel::Pair(Pair::Add, input(0), input(1)),
            Operation::Sub => Kernel::Pair(Pair::Sub, input(0), input(1)),
            Operation::Mul => Kernel::Pair(Pair::Mul, input(0), input(1)),
            Operation::Div => Kernel::Pair(Pair::Div, input(0), input(1)),
            Operation::Maximum => {
                let (a, b) = (input(0), input(1));
                self.slopes += found.len();
                Kernel::Maximum { a, b, slope }
            }
            Operation::Softmax { axis } => Kernel::Softmax {
                a: input(0),
                len: found.shape[*axis],
                inner: found.shape[axis + 1..].iter().product(),
            },
            Operation::DotGeneral { contract, batch } => Kernel::Dot(dot(
                [input(0), input(1)],
                [shape(0), shape(1)],
                contract,
                batch,
            )),
            Operation::ReduceSum { axes } => {
                let kept = strides(&found.shape);
                let mut kept = kept.into_iter();
                let steps: Vec<isize> = (0..shape(0).len())
                    .map(|i| match axes.contains(&i) {
                        true => 0,
                        false => kept.next().unwrap_or(0) as isize,
                    })
                    .collect();
                Kernel::Sum {
                    a: input(0),
                    to: places(shape(0), &steps, 0),
                }
            }
            _ => {
                let pairs = graph.moves(node).unwrap_or_default();
                Kernel::Moves((0..).map(input).zip(pairs).collect())
            }
        })
    }
}

fn dot(
    [a, b]: [Input; 2],
    shapes: [&[usize]; 2],
    contract: &[Vec<usize>; 2],
    batch: &[Vec<usize>; 2],
) -> Dot {
    let distances = |side: usize, axes: &[usize]| {
        let shape = shapes[side];
        let all = strides(shape);
        let sizes: Vec<usize> = axes.iter().map(|&i| shape[i]).collect();
        let steps: Vec<isize> = axes.iter().map(|&i| all[i] as isize).collect();
        places(&sizes, &steps, 0)
    };
    let pairs = |axes: &[Vec<usize>; 2]| -> Vec<(u32, u32)> {
        let (a, b) = (distances(0, &axes[0]), distances(1, &axes[1]));
        a.into_iter().zip(b).collect()
    };
    let free = |side: usize| {
        let named = |i: &usize| batch[side].contains(i) || contract[side].contains(i);
        let axes: Vec<usize> = (0..shapes[side].len()).filter(|i| !named(i)).collect();
        distances(side, &axes)
    };
    let in_rows = |list: &mut dyn Iterator<Item = u32>| list.zip(0..).all(|(x, i)| x == i);
    let (sum, free_b) = (pairs(contract), free(1));
    Dot {
        a,
        b,
        batch: pairs(batch),
        b_in_rows: in_rows(&mut free_b.iter().copied()),
        k_in_rows: in_rows(&mut sum.iter().map(|s| s.0)) && in_rows(&mut sum.iter().map(|s| s.1)),
        free_a: free(0),
        free_b,
        sum,
    }
}
