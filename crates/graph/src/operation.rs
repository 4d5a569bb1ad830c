//! The operations, their shapes, and which entries those move that compute nothing.

use crate::{Error, Function, Result};

/// The most axes an array may have.
pub const MAX_RANK: usize = 8;
/// The most entries that all arrays of a graph may have together: indices are u32, and 2^26 f64 are half a gigabyte.
pub const MAX_ENTRIES: usize = 1 << 26;
/// The most nodes of a graph.
pub const MAX_NODES: usize = 1 << 17;

/// What a node computes from its inputs. Arrays are row-major; "(a, b)" are the inputs in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// The parameter block with this index. No inputs.
    Parameter(usize),
    /// The constant array with this index. No inputs.
    Constant(usize),
    /// -a.
    Neg,
    /// A function of every entry of a.
    Map(Function),
    /// a + b, of one shape.
    Add,
    /// a - b, of one shape.
    Sub,
    /// a b entry by entry, of one shape.
    Mul,
    /// a / b entry by entry, of one shape.
    Div,
    /// The larger of a and b entry by entry, of one shape. Kinked: see [`Kink`](crate::Kink).
    Maximum,
    /// exp(a) / sum(exp(a)) along an axis.
    Softmax {
        /// The axis that sums to 1.
        axis: usize,
    },
    /// The sum over the contracted pairs of axes; the result's axes are the batch axes, the other axes of a, the other axes of b.
    DotGeneral {
        /// Axes of a and of b that are summed over, in pairs.
        contract: [Vec<usize>; 2],
        /// Axes of a and of b that go together, in pairs.
        batch: [Vec<usize>; 2],
    },
    /// The sum over some axes, which are gone in the result.
    ReduceSum {
        /// Which, increasing.
        axes: Vec<usize>,
    },
    /// Axis i of a becomes axis `axes[i]` of the result; along the result's other axes, and where a has size 1, it is repeated.
    BroadcastInDim {
        /// The shape of the result.
        shape: Vec<usize>,
        /// Where the axes of a go, increasing.
        axes: Vec<usize>,
    },
    /// The same entries in another shape.
    Reshape {
        /// The shape of the result.
        shape: Vec<usize>,
    },
    /// Axis i of the result is axis `axes[i]` of a.
    Transpose {
        /// A permutation.
        axes: Vec<usize>,
    },
    /// Along each axis the entries start, start + stride, ... below limit.
    Slice {
        /// First index.
        start: Vec<usize>,
        /// One past the last index.
        limit: Vec<usize>,
        /// Step, at least 1.
        stride: Vec<usize>,
    },
    /// All inputs one after the other along an axis.
    Concatenate {
        /// The axis along which their sizes may differ.
        axis: usize,
    },
    /// Along each axis `low` more entries before and `high` after, all equal to `value`.
    Pad {
        /// Entries before.
        low: Vec<usize>,
        /// Entries after.
        high: Vec<usize>,
        /// What they are.
        value: f64,
    },
    /// The order along some axes turned round.
    Rev {
        /// Which, increasing.
        axes: Vec<usize>,
    },
    /// (a, indices): the entries of a at these row-major places, in the shape of `indices`, a constant array of integers.
    Gather,
    /// (mask, a, b): a where the mask, a constant array of zeros and ones, is 1, else b; of one shape.
    Select,
}

/// The number of entries of a shape; `None` if it is above [`MAX_ENTRIES`].
pub fn entries(shape: &[usize]) -> Option<usize> {
    let product = shape.iter().try_fold(1usize, |p, &n| p.checked_mul(n))?;
    (product <= MAX_ENTRIES).then_some(product)
}

/// The distance in a row-major array from an index to the next one along each axis.
pub(crate) fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; shape.len()];
    for i in (1..shape.len()).rev() {
        // Only of an array without entries may it be too large.
        strides[i - 1] = strides[i].wrapping_mul(shape[i]);
    }
    strides
}

/// The places base + sum_k index_k step_k for all indices of a shape, in row-major order.
pub(crate) fn places(shape: &[usize], steps: &[isize], base: isize) -> Vec<u32> {
    if shape.contains(&0) {
        return Vec::new();
    }
    let mut all = vec![base];
    for (&n, &step) in shape.iter().zip(steps) {
        all = all
            .iter()
            .flat_map(|&p| (0..n as isize).map(move |i| p + i * step))
            .collect();
    }
    all.into_iter().map(|p| p as u32).collect()
}

/// Increasing axes below `rank`.
fn are_axes(axes: &[usize], rank: usize) -> bool {
    axes.windows(2).all(|w| w[0] < w[1]) && axes.last().is_none_or(|&a| a < rank)
}

/// Different axes below `rank`, in any order.
fn are_different(axes: &[usize], rank: usize) -> bool {
    let mut sorted = axes.to_vec();
    sorted.sort_unstable();
    are_axes(&sorted, rank)
}

impl Operation {
    /// The name in files and messages.
    pub fn name(&self) -> &'static str {
        match self {
            Operation::Parameter(_) => "parameter",
            Operation::Constant(_) => "constant",
            Operation::Neg => "neg",
            Operation::Map(function) => function.name(),
            Operation::Add => "add",
            Operation::Sub => "sub",
            Operation::Mul => "mul",
            Operation::Div => "div",
            Operation::Maximum => "max",
            Operation::Softmax { .. } => "softmax",
            Operation::DotGeneral { .. } => "dot_general",
            Operation::ReduceSum { .. } => "reduce_sum",
            Operation::BroadcastInDim { .. } => "broadcast_in_dim",
            Operation::Reshape { .. } => "reshape",
            Operation::Transpose { .. } => "transpose",
            Operation::Slice { .. } => "slice",
            Operation::Concatenate { .. } => "concatenate",
            Operation::Pad { .. } => "pad",
            Operation::Rev { .. } => "rev",
            Operation::Gather => "gather",
            Operation::Select => "select",
        }
    }

    /// How many inputs it has; `None`: one or more.
    pub fn arity(&self) -> Option<usize> {
        match self {
            Operation::Parameter(_) | Operation::Constant(_) => Some(0),
            Operation::Concatenate { .. } => None,
            Operation::Add
            | Operation::Sub
            | Operation::Mul
            | Operation::Div
            | Operation::Maximum
            | Operation::DotGeneral { .. }
            | Operation::Gather => Some(2),
            Operation::Select => Some(3),
            _ => Some(1),
        }
    }

    /// The shape of the result for inputs of these shapes (that of a parameter or constant is its array's).
    ///
    /// # Errors
    /// The operation does not take inputs of these shapes.
    pub fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>> {
        let wrong = |what: String| Err(Error::input(format!("{}: {what}", self.name())));
        if self
            .arity()
            .map_or(inputs.is_empty(), |n| n != inputs.len())
        {
            return wrong(format!("it does not take {} inputs", inputs.len()));
        }
        let of = |i: usize| inputs.get(i).copied().unwrap_or_default();
        let (a, b) = (of(0), of(1));
        let rank = a.len();
        match self {
            Operation::Parameter(_) | Operation::Constant(_) => Ok(Vec::new()),
            Operation::Neg | Operation::Map(_) => Ok(a.to_vec()),
            Operation::Add
            | Operation::Sub
            | Operation::Mul
            | Operation::Div
            | Operation::Maximum => {
                if a != b {
                    return wrong(format!(
                        "shapes {a:?} and {b:?} differ; broadcast one first"
                    ));
                }
                Ok(a.to_vec())
            }
            Operation::Softmax { axis } => {
                if *axis >= rank || a[*axis] == 0 {
                    return wrong(format!("shape {a:?} has no entries along axis {axis}"));
                }
                Ok(a.to_vec())
            }
            Operation::DotGeneral { contract, batch } => {
                let named = |i: usize| [&batch[i][..], &contract[i][..]].concat();
                let (of_a, of_b) = (named(0), named(1));
                let pairs = batch[0].len() == batch[1].len() && of_a.len() == of_b.len();
                if !(pairs && are_different(&of_a, rank) && are_different(&of_b, b.len())) {
                    return wrong(format!(
                        "axes {contract:?} (contracted) and {batch:?} (batch) are no pairs of axes of {a:?} and {b:?}"
                    ));
                }
                if of_a.iter().zip(&of_b).any(|(&i, &j)| a[i] != b[j]) {
                    return wrong(format!(
                        "{a:?} and {b:?} differ along the paired axes {contract:?} or {batch:?}"
                    ));
                }
                let free = |shape: &[usize], named: &[usize]| -> Vec<usize> {
                    let axes = (0..shape.len()).filter(|i| !named.contains(i));
                    axes.map(|i| shape[i]).collect()
                };
                let mut shape: Vec<usize> = batch[0].iter().map(|&i| a[i]).collect();
                shape.extend(free(a, &of_a));
                shape.extend(free(b, &of_b));
                Ok(shape)
            }
            Operation::ReduceSum { axes } => {
                if !are_axes(axes, rank) {
                    return wrong(format!("{axes:?} are no increasing axes of {a:?}"));
                }
                let kept = (0..rank).filter(|i| !axes.contains(i));
                Ok(kept.map(|i| a[i]).collect())
            }
            Operation::BroadcastInDim { shape, axes } => {
                let fits = |(&axis, &n): (&usize, &usize)| n == 1 || n == shape[axis];
                if axes.len() != rank
                    || !are_axes(axes, shape.len())
                    || !axes.iter().zip(a).all(fits)
                {
                    return wrong(format!(
                        "{a:?} with axes {axes:?} does not fit into {shape:?}"
                    ));
                }
                Ok(shape.clone())
            }
            Operation::Reshape { shape } => {
                if entries(shape) != entries(a) {
                    return wrong(format!(
                        "{a:?} and {shape:?} have different numbers of entries"
                    ));
                }
                Ok(shape.clone())
            }
            Operation::Transpose { axes } => {
                if axes.len() != rank || !are_different(axes, rank) {
                    return wrong(format!("{axes:?} is no permutation of the axes of {a:?}"));
                }
                Ok(axes.iter().map(|&i| a[i]).collect())
            }
            Operation::Slice {
                start,
                limit,
                stride,
            } => {
                let all = [start, limit, stride].iter().all(|v| v.len() == rank);
                let fits = |i: usize| start[i] <= limit[i] && limit[i] <= a[i] && stride[i] > 0;
                if !all || !(0..rank).all(fits) {
                    return wrong(format!(
                        "start {start:?}, limit {limit:?}, stride {stride:?} do not fit {a:?}"
                    ));
                }
                let size = |i: usize| (limit[i] - start[i]).div_ceil(stride[i]);
                Ok((0..rank).map(size).collect())
            }
            Operation::Concatenate { axis } => {
                let alike =
                    |b: &&[usize]| b.len() == rank && (0..rank).all(|i| i == *axis || a[i] == b[i]);
                if *axis >= rank || !inputs.iter().all(alike) {
                    return wrong(format!("shapes {inputs:?} do not fit along axis {axis}"));
                }
                let mut shape = a.to_vec();
                let sizes = inputs.iter().map(|b| b[*axis]);
                match sizes.into_iter().try_fold(0usize, usize::checked_add) {
                    Some(sum) => shape[*axis] = sum,
                    None => return wrong("too many entries".to_owned()),
                }
                Ok(shape)
            }
            Operation::Pad { low, high, value } => {
                if low.len() != rank || high.len() != rank {
                    return wrong(format!("low {low:?} and high {high:?} do not fit {a:?}"));
                }
                if !value.is_finite() {
                    return wrong(format!("the value {value} is not finite"));
                }
                let size = |i: usize| a[i].checked_add(low[i])?.checked_add(high[i]);
                match (0..rank).map(size).collect() {
                    Some(shape) => Ok(shape),
                    None => wrong("too many entries".to_owned()),
                }
            }
            Operation::Rev { axes } => {
                if !are_axes(axes, rank) {
                    return wrong(format!("{axes:?} are no increasing axes of {a:?}"));
                }
                Ok(a.to_vec())
            }
            Operation::Gather => Ok(b.to_vec()),
            Operation::Select => {
                if a != b || b != of(2) {
                    return wrong(format!("shapes {a:?}, {b:?} and {:?} differ", of(2)));
                }
                Ok(b.to_vec())
            }
        }
    }

    /// For an operation that only moves entries: for each input the pairs (place in the result, place in the input); `None`
    /// for one that computes. `constants` are the values of the inputs that must be constants (Gather's indices, Select's mask).
    /// What a Pad adds is in no pair.
    pub fn moves(
        &self,
        inputs: &[&[usize]],
        shape: &[usize],
        constants: Option<&[f64]>,
    ) -> Option<Vec<Vec<(u32, u32)>>> {
        let a = inputs.first().copied().unwrap_or_default();
        let of_a: Vec<isize> = strides(a).iter().map(|&s| s as isize).collect();
        let of_result: Vec<isize> = strides(shape).iter().map(|&s| s as isize).collect();
        let numbered = |from: Vec<u32>| vec![(0..).zip(from).collect::<Vec<_>>()];
        Some(match self {
            Operation::BroadcastInDim { shape, axes } => {
                let mut steps = vec![0; shape.len()];
                for (i, &axis) in axes.iter().enumerate() {
                    if a[i] > 1 {
                        steps[axis] = of_a[i];
                    }
                }
                numbered(places(shape, &steps, 0))
            }
            Operation::Reshape { shape } => {
                let n = shape.iter().product::<usize>() as u32;
                numbered((0..n).collect())
            }
            Operation::Transpose { axes } => {
                let steps: Vec<isize> = axes.iter().map(|&i| of_a[i]).collect();
                numbered(places(shape, &steps, 0))
            }
            Operation::Slice { start, stride, .. } => {
                let steps: Vec<isize> = (0..a.len())
                    .map(|i| of_a[i].wrapping_mul(stride[i] as isize))
                    .collect();
                let base = (0..a.len()).map(|i| of_a[i] * start[i] as isize).sum();
                numbered(places(shape, &steps, base))
            }
            Operation::Rev { axes } => {
                let turned = |i: &usize| axes.contains(i);
                let last = (0..a.len()).filter(turned);
                let base = last.map(|i| of_a[i] * (a[i] as isize - 1)).sum();
                let step = |i: usize| if turned(&i) { -of_a[i] } else { of_a[i] };
                let steps: Vec<isize> = (0..a.len()).map(step).collect();
                numbered(places(shape, &steps, base))
            }
            Operation::Pad { low, .. } => {
                let base = (0..a.len()).map(|i| of_result[i] * low[i] as isize).sum();
                vec![places(a, &of_result, base).into_iter().zip(0..).collect()]
            }
            Operation::Concatenate { axis } => {
                let mut before = 0;
                let pairs = inputs.iter().map(|input| {
                    let to = places(input, &of_result, before * of_result[*axis]);
                    before += input[*axis] as isize;
                    to.into_iter().zip(0..).collect()
                });
                pairs.collect()
            }
            Operation::Gather => {
                let from = constants?.iter().map(|&i| i as u32);
                vec![(0..).zip(from).collect(), Vec::new()]
            }
            Operation::Select => {
                let (mut yes, mut no) = (Vec::new(), Vec::new());
                for (i, &mask) in (0..).zip(constants?) {
                    if mask != 0.0 { &mut yes } else { &mut no }.push((i, i));
                }
                vec![Vec::new(), yes, no]
            }
            _ => return None,
        })
    }
}
