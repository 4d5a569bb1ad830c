//! What a node does, as the calculus needs it: worked out once for a graph and a centre.

use super::dot::Side;
use super::lattice::Subsets;
use super::moved::Moved;
use crate::{Function, Graph, Node, Operation};
use gdcert_numbers::Interval;
use std::rc::Rc;

/// The kind of rule a node falls under.
pub(crate) enum Rule {
    Constant,
    Parameter(usize),
    /// Of all inputs, with either sign.
    Sum,
    /// One for each input; `None` where none of its entries is taken.
    Moved(Vec<Option<Moved>>),
    /// The same, with the arms that the centre decides.
    Maximum(Vec<Option<Moved>>),
    /// The axis of the result that an axis of the input becomes; how many entries are added up.
    ReduceSum {
        axes: Vec<Option<usize>>,
        count: usize,
    },
    Dot(Box<[Side; 2]>),
    Mul,
    Div,
    Map(Function),
    Softmax(Rows),
}

/// The rows of a softmax.
pub(crate) struct Rows {
    /// The array without the axis that sums to 1.
    pub(crate) of: Rc<Subsets>,
    pub(crate) axis: usize,
    /// The entries of each row.
    pub(crate) entries: Vec<Vec<usize>>,
    /// The row of each entry.
    pub(crate) row: Vec<usize>,
    /// The axis of the whole array that an axis of `of` is.
    pub(crate) to_full: Vec<Option<usize>>,
}

impl Rows {
    fn new(whole: &Subsets, axis: usize) -> Rows {
        let mut shape = whole.shape.clone();
        shape.remove(axis);
        let of = Subsets::new(&shape);
        let kept = whole.full() & !(1 << axis);
        let row: Vec<usize> = whole.index[kept].iter().map(|row| *row as usize).collect();
        let mut entries = vec![Vec::new(); of.size()];
        for (e, row) in row.iter().enumerate() {
            entries[*row].push(e);
        }
        let to_full = (0..shape.len())
            .map(|a| Some(if a < axis { a } else { a + 1 }))
            .collect();
        Rows {
            of,
            axis,
            entries,
            row,
            to_full,
        }
    }
}

impl Rule {
    pub(crate) fn new(
        graph: &Graph,
        node: usize,
        subsets: &[Rc<Subsets>],
        values: &[Vec<Interval>],
    ) -> Rule {
        let Node {
            operation, inputs, ..
        } = &graph.nodes()[node];
        let of = &subsets[node];
        let moved = |pairs: Vec<Vec<(u32, u32)>>| -> Vec<Option<Moved>> {
            let each = pairs.iter().zip(inputs);
            let one = |(pairs, input): (&Vec<(u32, u32)>, &usize)| {
                let varies = graph.nodes()[*input].varies && !pairs.is_empty();
                varies.then(|| Moved::new(of, &subsets[*input], pairs))
            };
            each.map(one).collect()
        };
        match operation {
            _ if !graph.nodes()[node].varies => Rule::Constant,
            Operation::Constant(_) => Rule::Constant,
            Operation::Parameter(b) => Rule::Parameter(*b),
            Operation::Neg | Operation::Add | Operation::Sub => Rule::Sum,
            Operation::Mul => Rule::Mul,
            Operation::Div => Rule::Div,
            Operation::Map(f) => Rule::Map(*f),
            Operation::Maximum => {
                let sides = values[inputs[0]].iter().zip(&values[inputs[1]]);
                let (mut first, mut second) = (Vec::new(), Vec::new());
                for (e, (a, b)) in (0..).zip(sides) {
                    if (*a - *b).hi() > 0.0 {
                        &mut first
                    } else {
                        &mut second
                    }
                    .push((e, e));
                }
                Rule::Maximum(moved(vec![first, second]))
            }
            Operation::Softmax { axis } => Rule::Softmax(Rows::new(of, *axis)),
            Operation::ReduceSum { axes } => {
                let shape = &graph.nodes()[inputs[0]].shape;
                let mut next = 0..;
                let axis = |a: usize| if axes.contains(&a) { None } else { next.next() };
                let count = axes.iter().map(|a| shape[*a]).product();
                Rule::ReduceSum {
                    axes: (0..shape.len()).map(axis).collect(),
                    count,
                }
            }
            Operation::DotGeneral { contract, batch } => {
                let [a, b] = [inputs[0], inputs[1]];
                let named = |i: usize| [&batch[i][..], &contract[i][..]];
                let free = graph.nodes()[a].shape.len() - contract[0].len();
                let first = Side::new(&subsets[a], named(0), named(1), batch[0].len(), &values[a]);
                let second = Side::new(&subsets[b], named(1), named(0), free, &values[b]);
                Rule::Dot(Box::new([first, second]))
            }
            Operation::BroadcastInDim { .. }
            | Operation::Reshape { .. }
            | Operation::Transpose { .. }
            | Operation::Slice { .. }
            | Operation::Concatenate { .. }
            | Operation::Pad { .. }
            | Operation::Rev { .. }
            | Operation::Gather
            | Operation::Select => Rule::Moved(moved(graph.moves(node).unwrap_or_default())),
        }
    }
}
