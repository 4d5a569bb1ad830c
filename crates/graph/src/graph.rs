//! The model.

use crate::{Error, Operation, Result};
use gdcert_base::memory::{available_bytes, gigabytes};
use gdcert_base::printable::printable_line;
use std::collections::{BTreeMap, BTreeSet};

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
/// [`training`](Self::training) makes constants of all but some blocks; everything here is then about those. A file has all of them.
///
/// The arithmetic is exact: a node without a parameter in it is a number that follows from the constants, not its rounding.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    pub(crate) nodes: Vec<Node>,
    pub(crate) blocks: Vec<Block>,
    pub(crate) constants: Vec<Array>,
    /// Constants that are parameters which are not trained, with their names.
    pub(crate) held: BTreeMap<usize, String>,
    pub(crate) output: usize,
}

impl Graph {
    /// All nodes, each after its inputs.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The parameter blocks that are trained.
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

    /// P, the number of parameters that are trained.
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

    /// All parameters of the model, trained or not, by name, in their order.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &Array)> {
        self.nodes.iter().filter_map(|node| self.parameter(node))
    }

    pub(crate) fn parameter(&self, node: &Node) -> Option<(&str, &Array)> {
        match node.operation {
            Operation::Parameter(i) => Some((&self.blocks[i].name, &self.blocks[i].start)),
            Operation::Constant(i) => {
                let name = self.held.get(&i)?;
                Some((name, &self.constants[i]))
            }
            _ => None,
        }
    }

    /// The same model with these parameters as its blocks, in the model's order; all others stay as they are at M_0.
    ///
    /// # Errors
    /// No name, one that is not the model's or is there twice; the residual does not depend on any of them.
    pub fn training(&self, names: &[String]) -> Result<Graph> {
        let known: Vec<&str> = self.parameters().map(|(name, _)| name).collect();
        let mut wanted = BTreeSet::new();
        for name in names {
            let shown = printable_line(name);
            if !known.contains(&name.as_str()) {
                let known = known.join(", ");
                return Err(Error::input(format!(
                    "the model has no block '{shown}' to train; choose from {}",
                    printable_line(&known)
                )));
            }
            if !wanted.insert(name.as_str()) {
                return Err(Error::input(format!(
                    "the block '{shown}' to train is named twice"
                )));
            }
        }
        if wanted.is_empty() {
            return Err(Error::input("no block to train is named"));
        }
        // Constants of the file keep their numbers, by which it names their arrays.
        let own = self.constants.len() - self.held.len();
        let mut graph = Graph {
            nodes: Vec::with_capacity(self.nodes.len()),
            blocks: Vec::new(),
            constants: self.constants[..own].to_vec(),
            held: BTreeMap::new(),
            output: self.output,
        };
        for node in &self.nodes {
            let mut node = node.clone();
            if let Some((name, start)) = self.parameter(&node) {
                node.varies = wanted.contains(name);
                node.operation = if node.varies {
                    graph.blocks.push(Block {
                        name: name.to_owned(),
                        start: start.clone(),
                    });
                    Operation::Parameter(graph.blocks.len() - 1)
                } else {
                    graph.held.insert(graph.constants.len(), name.to_owned());
                    graph.constants.push(start.clone());
                    Operation::Constant(graph.constants.len() - 1)
                };
            } else {
                node.varies = node.inputs.iter().any(|&i| graph.nodes[i].varies);
            }
            graph.nodes.push(node);
        }
        if !graph.nodes[graph.output].varies {
            return Err(Error::input(format!(
                "the residual does not depend on the trained blocks {}",
                printable_line(&names.join(", "))
            )));
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
