//! Small smooth models made up from bytes: what tests try rules on. Equal bytes give equal models.

use crate::{Builder, Function, Graph, Operation, Result};

/// The number that bytes are drawn from next; after the last one all are 0.
struct Bytes<'a>(std::slice::Iter<'a, u8>);

impl Bytes<'_> {
    fn below(&mut self, n: usize) -> usize {
        usize::from(self.0.next().copied().unwrap_or(0)) % n
    }

    /// Between -1 and 1.
    fn number(&mut self) -> f64 {
        (self.below(256) as f64 - 127.5) / 128.0
    }
}

/// A model with two blocks, [2, 3] and [3, 3], and some `steps` operations, each of nodes before it. Every domain is kept: logarithms, roots
/// and divisors see numbers of at least 1.
///
/// # Errors
/// None for up to some hundred steps.
pub fn graph(bytes: &[u8], steps: usize) -> Result<Graph> {
    let mut next = Bytes(bytes.iter());
    let mut b = Builder::new();
    let mut numbers = |n: usize| (0..n).map(|_| next.number()).collect::<Vec<_>>();
    let (a, c, x) = (numbers(6), numbers(9), numbers(6));
    let a = b.parameter("a", &[2, 3], &a)?;
    let square = b.parameter("c", &[3, 3], &c)?;
    let x = b.constant(&[2, 3], &x)?;
    let one = b.full(&[2, 3], 1.0)?;
    // All of shape [2, 3].
    let mut nodes = vec![x, a];
    for _ in 0..steps {
        let u = nodes[next.below(nodes.len())];
        let w = nodes[nodes.len() - 1 - next.below(nodes.len().min(3))];
        let bounded = match next.below(4) {
            0 => b.tanh(w)?,
            1 => b.sin(w)?,
            _ => w,
        };
        let above_one = |b: &mut Builder, v: usize| {
            let squares = b.mul(v, v)?;
            b.add(squares, one)
        };
        let v = match next.below(24) {
            0 => b.add(u, w)?,
            1 => b.sub(u, w)?,
            2 => b.mul(u, bounded)?,
            3 => {
                let divisor = above_one(&mut b, w)?;
                b.div(u, divisor)?
            }
            4 => b.tanh(w)?,
            5 => b.logistic(w)?,
            6 => b.erf(w)?,
            7 => b.map(Function::Erfc, w)?,
            8 => b.softplus(w)?,
            9 => b.cos(w)?,
            10 => {
                let small = b.tanh(w)?;
                b.exp(small)?
            }
            11 => {
                let small = b.sin(w)?;
                b.map(Function::Expm1, small)?
            }
            12 => {
                let above = above_one(&mut b, w)?;
                b.log(above)?
            }
            13 => {
                let squares = b.map(Function::IntegerPow(2), w)?;
                b.map(Function::Log1p, squares)?
            }
            14 => {
                let above = above_one(&mut b, w)?;
                let function = [
                    Function::Sqrt,
                    Function::Rsqrt,
                    Function::Pow(0.75),
                    Function::IntegerPow(-1),
                ];
                b.map(function[next.below(4)], above)?
            }
            15 => {
                let small = b.tanh(w)?;
                b.map(Function::IntegerPow(3), small)?
            }
            16 => b.softmax(w, next.below(2))?,
            17 => b.matmul(bounded, square)?,
            18 => {
                // Scores of the rows against each other, as in attention.
                let scores = b.dot_general(u, bounded, [&[1], &[1]], [&[], &[]])?;
                let weights = b.softmax(scores, 1)?;
                b.matmul(weights, w)?
            }
            19 => {
                let turned = b.transpose(w, &[1, 0])?;
                let sums = b.reduce_sum(turned, &[next.below(2)])?;
                match b.shape(sums)[0] {
                    2 => b.broadcast_in_dim(sums, &[2, 3], &[0])?,
                    _ => b.broadcast_in_dim(sums, &[2, 3], &[1])?,
                }
            }
            20 => {
                let last = b.slice(w, &[0, 2], &[2, 3], &[1, 1])?;
                let first = b.slice(u, &[0, 0], &[2, 3], &[1, 2])?;
                b.concatenate(&[last, first], 1)?
            }
            21 => {
                let padded = b.pad(w, &[1, 0], &[0, 1], 0.5)?;
                let turned = b.rev(padded, &[1])?;
                b.slice(turned, &[1, 0], &[3, 3], &[1, 1])?
            }
            22 => {
                let places: Vec<usize> = (0..6).map(|_| next.below(6)).collect();
                b.gather(w, &[2, 3], &places)?
            }
            _ => {
                let mask: Vec<bool> = (0..6).map(|_| next.below(2) == 1).collect();
                let other = b.neg(u)?;
                b.select(&mask, w, other)?
            }
        };
        nodes.push(v);
    }
    let last = nodes[nodes.len() - 1];
    // Both blocks are in it, whatever was drawn.
    let mixed = b.matmul(last, square)?;
    let both = b.operation(Operation::Add, &[mixed, a])?;
    let flat = b.reshape(both, &[6])?;
    b.finish(flat)
}
