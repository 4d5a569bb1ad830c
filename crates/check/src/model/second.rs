//! The second derivatives at a point, by the derivative of the reverse sweep.
//!
//! Adjoints go from a node v to its inputs by u_i' += sum_e c_ei v_e', c_ei the derivative of entry e by entry i. Their derivatives
//! by all parameters, as rows, go the same way:
//!
//! ```text
//! grad u_i' += sum_e (c_ei grad v_e' + v_e' grad c_ei),
//! ```
//!
//! and grad c_ei is a sum of gradients of entries: phi''(u_e) grad u_e for a function, grad w_e for the u of a product u w. What
//! the entries of the parameters get are the rows of D^2F_a. All is a sum of rows with coefficients, of which
//! [`Rows`](super::centre::Rows) knows how far they are off.

use super::centre::{Gram, Rows, Term, coefficient};
use super::curvature::terms_of;
use super::file::{Node, Op};
use super::functions::Functions;
use super::slopes::bend;
use super::values::{Values, row_of};
use crate::ball::{Ball, ball};

/// With more parameters than this, more second derivatives, or more numbers in the gradients of all entries, it is not tried.
const MOST_PARAMETERS: usize = 640;
const MOST_DERIVATIVES: usize = 1 << 23;
const MOST_NUMBERS: usize = 1 << 25;

/// At least |D^2F|: the norm of the matrix whose row j has all of D_j J.
pub(crate) fn norm(at: &Values<Ball>) -> Option<f64> {
    let model = at.model;
    let (m, P) = (model.residuals(), model.parameters());
    let entries: usize = model.nodes.iter().filter(|node| node.varies).map(Node::size).sum();
    let too_many = P > MOST_PARAMETERS || m.saturating_mul(P * P) > MOST_DERIVATIVES;
    if too_many || entries.saturating_mul(P) > MOST_NUMBERS {
        return None;
    }
    let places = model.places();
    let mut gradients: Vec<Option<Rows>> = Vec::new();
    for (n, node) in model.nodes.iter().enumerate() {
        let rows = match (&node.op, node.varies) {
            (_, false) => None,
            (Op::Parameter(b), _) => Some(Rows::units(P, places[*b], node.size())),
            _ => {
                let inputs: Vec<Option<&Rows>> =
                    node.inputs.iter().map(|i| gradients[*i].as_ref()).collect();
                Rows::combined(&inputs, node.size(), |e| terms_of(at, n, node, e))
            }
        };
        gradients.push(rows);
    }
    let bends = bends(at);
    let mut gram = Gram::new(P);
    let mut w = vec![Ball::ZERO; m];
    for a in 0..m {
        w[a] = ball(1.0);
        let blocks = sweep(at, &gradients, &bends, &at.adjoints(&w));
        let there = blocks.iter().zip(&places);
        let there = there.filter_map(|(rows, place)| Some((*place, rows.as_ref()?)));
        gram.add(&there.collect::<Vec<_>>());
        w[a] = Ball::ZERO;
    }
    let bound = gram.norm();
    bound.is_finite().then_some(bound)
}

/// phi'' at the entries of nodes that are functions.
fn bends(at: &Values<Ball>) -> Vec<Vec<Ball>> {
    let functions = Functions::<Ball>::new();
    let of = |node: &Node| match &node.op {
        Op::Map(f) if node.varies => {
            at.values[node.inputs[0]].iter().map(|x| bend(&functions, *f, *x)).collect()
        }
        _ => Vec::new(),
    };
    at.model.nodes.iter().map(of).collect()
}

/// Rows that others are made of: those so far, the derivatives of the node's adjoints, the gradients of the node and its inputs.
const SO_FAR: usize = 0;
const ADJOINT: usize = 1;
const OWN: usize = 2;
const INPUT: usize = 3;

/// The derivatives of the adjoints of all blocks' entries.
fn sweep(
    at: &Values<Ball>,
    gradients: &[Option<Rows>],
    bends: &[Vec<Ball>],
    adjoints: &[Vec<Ball>],
) -> Vec<Option<Rows>> {
    let nodes = &at.model.nodes;
    let mut all: Vec<Option<Rows>> = nodes.iter().map(|_| None).collect();
    let mut blocks = vec![None; at.model.blocks.len()];
    for (n, node) in nodes.iter().enumerate().rev().filter(|(_, node)| node.varies) {
        let own = all[n].take();
        if let Op::Parameter(b) = node.op {
            blocks[b] = own;
            continue;
        }
        let input = |i: usize| node.inputs.get(i).and_then(|i| gradients[*i].as_ref());
        for (i, u) in node.inputs.iter().enumerate().filter(|(_, u)| nodes[**u].varies) {
            let mut terms: Vec<Vec<Term>> = vec![Vec::new(); nodes[*u].size()];
            for e in 0..node.size() {
                if own.is_some() {
                    let carried = terms_of(at, n, node, e).into_iter().filter(|term| term.2 == i);
                    carried.for_each(|(c, off, _, row)| terms[row].push((c, off, ADJOINT, e)));
                }
            }
            moved(at, n, i, &bends[n], &adjoints[n], &mut terms);
            let so_far = all[*u].take();
            let of = [so_far.as_ref(), own.as_ref(), gradients[n].as_ref(), input(0), input(1)];
            if so_far.is_some() {
                terms.iter_mut().enumerate().for_each(|(e, list)| list.push((1.0, 0.0, SO_FAR, e)));
            }
            let made = Rows::combined(&of, nodes[*u].size(), |e| terms[e].clone());
            all[*u] = made.filter(|rows| rows.size.iter().any(|x| *x > 0.0));
        }
    }
    blocks
}

/// Adds the terms v_e' grad c_ei for input i of a node.
fn moved(
    at: &Values<Ball>,
    n: usize,
    i: usize,
    bends: &[Ball],
    adjoints: &[Ball],
    terms: &mut [Vec<Term>],
) {
    let node = &at.model.nodes[n];
    let value = |i: usize, e: usize| at.values[node.inputs[i]][e];
    let p = &at.values[n];
    let mut put = |to: usize, x: Ball, which: usize, row: usize| {
        if !x.is_zero() {
            let (number, off) = coefficient(x);
            terms[to].push((number, off, which, row));
        }
    };
    match &node.op {
        Op::Map(_) => {
            (0..node.size()).for_each(|e| put(e, adjoints[e] * bends[e], INPUT, e));
        }
        Op::Mul => (0..node.size()).for_each(|e| put(e, adjoints[e], INPUT + 1 - i, e)),
        Op::Div => {
            // 1/w has the derivative -w'/w^2, and -q/w has -q'/w + q w'/w^2.
            for e in 0..node.size() {
                let inverse = ball(1.0) / value(1, e);
                let share = adjoints[e] * inverse;
                if i == 0 {
                    put(e, -(share * inverse), INPUT + 1, e);
                } else {
                    put(e, -share, OWN, e);
                    put(e, share * inverse * p[e], INPUT + 1, e);
                }
            }
        }
        Op::Product(_) => {
            for e in 0..node.size() {
                for both in at.places[n].iter().flat_map(|places| places.of(e)) {
                    put(both[i], adjoints[e], INPUT + 1 - i, both[1 - i]);
                }
            }
        }
        Op::Softmax(axis) => {
            // p_j (v_j' - sum_l p_l v_l'): p_j and the p_l move.
            for e in 0..node.size() {
                let row = row_of(&node.shape, *axis, e);
                let mean: Ball = row.clone().map(|l| p[l] * adjoints[l]).sum();
                put(e, adjoints[e] - mean, OWN, e);
                row.for_each(|l| put(e, -(p[e] * adjoints[l]), OWN, l));
            }
        }
        _ => {}
    }
}
