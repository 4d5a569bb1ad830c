//! The model.

use crate::{Error, Operation, Result};
use gdcert_base::memory::{available_bytes, gigabytes};

/// An array of f64, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Its axes' sizes.
    pub shape: Vec<usize>,
    /// Its entries.
    pub values: Vec<f64>,
}

/// A parameter block with its start M_0.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// Its name, such as `layers.0.W`.
    pub name: String,
    /// Its value at M_0.
    pub start: Array,
}

/// One array of a model, and how it is computed.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What is computed.
    pub operation: Operation,
    /// The nodes it is computed from, all before it.
    pub inputs: Vec<usize>,
    /// The shape of its array.
    pub shape: Vec<usize>,
    /// Where it came from, such as a line of the source.
    pub place: Option<String>,
    /// Whether a parameter is in it. If not, it is a constant.
    pub varies: bool,
}

impl Node {
    /// The number of entries.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A model: the residual r(M) in R^m as a function of parameter blocks, with their start M_0.
///
/// Nodes stand in an order in which each comes after its inputs. M is all blocks' entries, block after block, each row-major:
/// P numbers in all. r is the output node's entries, row-major. [`Builder`](crate::Builder) and [`Graph::load`] see to it that
/// shapes fit, every number is finite, every block has a node of its own, and r depends on a parameter.
///
/// The arithmetic is exact: a node without a parameter in it is a number that follows from the constants, not its rounding.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    pub(crate) nodes: Vec<Node>,
    pub(crate) blocks: Vec<Block>,
    pub(crate) constants: Vec<Array>,
    pub(crate) output: usize,
}

impl Graph {
    /// All nodes, each after its inputs.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The parameter blocks.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// The constant arrays.
    pub fn constants(&self) -> &[Array] {
        &self.constants
    }

    /// The node that is the residual.
    pub fn output(&self) -> usize {
        self.output
    }

    /// m, the number of residuals.
    pub fn m(&self) -> usize {
        self.nodes[self.output].len()
    }

    /// P, the number of parameters.
    pub fn P(&self) -> usize {
        self.blocks.iter().map(|b| b.start.values.len()).sum()
    }

    /// M_0: all blocks' entries.
    pub fn start(&self) -> Vec<f64> {
        let values = self.blocks.iter().flat_map(|b| &b.start.values);
        values.copied().collect()
    }

    /// The same model with another start.
    ///
    /// # Errors
    /// Not P numbers, or one that is not finite.
    pub fn with_start(&self, M: &[f64]) -> Result<Graph> {
        if M.len() != self.P() {
            return Err(Error::input(format!(
                "the model has {} parameters and {} numbers were given",
                self.P(),
                M.len()
            )));
        }
        if let Some(x) = M.iter().find(|x| !x.is_finite()) {
            return Err(Error::input(format!(
                "a parameter is {x}; each must be finite"
            )));
        }
        let mut graph = self.clone();
        let mut rest = M;
        for block in &mut graph.blocks {
            let (these, others) = rest.split_at(block.start.values.len());
            block.start.values.copy_from_slice(these);
            rest = others;
        }
        Ok(graph)
    }

    /// The values of a node that is a constant array.
    pub fn constant(&self, node: usize) -> Option<&[f64]> {
        match self.nodes[node].operation {
            Operation::Constant(i) => Some(&self.constants[i].values),
            _ => None,
        }
    }

    /// What [`Operation::moves`] says of a node.
    pub fn moves(&self, node: usize) -> Option<Vec<Vec<(u32, u32)>>> {
        let Node {
            operation,
            inputs,
            shape,
            ..
        } = &self.nodes[node];
        let constant = match operation {
            Operation::Gather => self.constant(inputs[1]),
            Operation::Select => self.constant(inputs[0]),
            _ => None,
        };
        let shapes: Vec<_> = inputs.iter().map(|&i| &self.nodes[i].shape[..]).collect();
        operation.moves(&shapes, shape, constant)
    }

    /// A node as a message names it: number, operation and place.
    pub fn describe(&self, node: usize) -> String {
        describe(
            node,
            self.nodes[node].operation.name(),
            self.nodes[node].place.as_deref(),
        )
    }
}

pub(crate) fn describe(node: usize, operation: &str, place: Option<&str>) -> String {
    match place {
        Some(place) => format!("node {node} ({operation}, {place})"),
        None => format!("node {node} ({operation})"),
    }
}

impl Graph {
    /// Refuses what would not fit into the memory that is available now: an evaluation in numbers of so many bytes each, and
    /// its Jacobian.
    ///
    /// # Errors
    /// It would not; the message names both sizes.
    pub fn check_room(&self, number: usize, jacobian: bool) -> Result<()> {
        let entries: u128 = self.nodes.iter().map(|node| node.len() as u128).sum();
        // Values, slopes, adjoints and tangents; eight bytes an entry say where it moves.
        let mut needed = entries * (4 * number as u128 + 8);
        if jacobian {
            needed += 2 * number as u128 * self.m() as u128 * self.P() as u128;
        }
        match available_bytes() {
            Some(room) if needed > room => Err(Error::TooLarge(format!(
                "the model (m = {}, P = {}, {entries} entries) needs about {} of memory, and {} are available; take a smaller one",
                self.m(),
                self.P(),
                gigabytes(needed),
                gigabytes(room)
            ))),
            _ => Ok(()),
        }
    }

    /// The node of each block.
    pub fn parameter_nodes(&self) -> Vec<usize> {
        let mut nodes = vec![0; self.blocks.len()];
        for (i, node) in self.nodes.iter().enumerate() {
            if let Operation::Parameter(block) = node.operation {
                nodes[block] = i;
            }
        }
        nodes
    }
}
