//! The sum of Theorem 4 by pairs of blocks, and how far it moves in the ball (Lemma 7 of `proofs-checks/any-model.md`).

use super::forward::ByBlock;
use super::lattice::Lattice;
use super::up;
use nalgebra::DMatrix;

/// Matrices over blocks, times |delta_b| |epsilon_c|.
pub(crate) struct Sums {
    /// At least |D^2F[delta_b, epsilon_c]|.
    pub(crate) kappa: DMatrix<f64>,
    /// At least what that of a point of the ball differs by from that of the centre; where it is asked for.
    pub(crate) moves: Option<DMatrix<f64>>,
}

/// A factor of a product over the ball, and how far it is there from what it is at the centre: Lemma 7.
pub(super) struct Moving<'a, T> {
    pub(super) most: &'a T,
    pub(super) centre: &'a T,
    pub(super) moves: &'a T,
}

impl<'a> Moving<'a, ByBlock> {
    pub(super) fn new(most: &'a ByBlock, [centre, moves]: &'a [ByBlock; 2]) -> Self {
        Moving {
            most,
            centre,
            moves,
        }
    }
}

impl<T> Clone for Moving<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Moving<'_, T> {}

impl Sums {
    pub(super) fn new(blocks: usize, moving: bool) -> Sums {
        let zeros = || DMatrix::from_element(blocks, blocks, 0.0);
        Sums {
            kappa: zeros(),
            moves: moving.then(zeros),
        }
    }

    /// Adds X(alpha, u_b, w_c), and by telescoping what a product's factors move it by, one after the other: those before have
    /// moved back to the centre.
    pub(super) fn add(
        &mut self,
        alpha: Moving<Lattice>,
        u: Moving<ByBlock>,
        w: Moving<ByBlock>,
        order: Order,
        X: impl Fn(&Lattice, &Lattice, &Lattice) -> Lattice,
    ) {
        add_products(&mut self.kappa, alpha.most, u.most, w.most, order, &X);
        let Some(moves) = &mut self.moves else { return };
        add_products(moves, alpha.moves, u.most, w.most, order, &X);
        add_products(moves, alpha.centre, u.moves, w.most, order, &X);
        add_products(moves, alpha.centre, u.centre, w.moves, order, &X);
    }
}

/// Whether a node's sum is X, or X + X'.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Order {
    One,
    Both,
}

pub(super) fn add_products(
    to: &mut DMatrix<f64>,
    alpha: &Lattice,
    u: &ByBlock,
    w: &ByBlock,
    order: Order,
    X: &impl Fn(&Lattice, &Lattice, &Lattice) -> Lattice,
) {
    for (b, u) in u.iter().enumerate() {
        for (c, w) in w.iter().enumerate() {
            if let (Some(u), Some(w)) = (u, w) {
                let x = total(X(alpha, u, w));
                to[(b, c)] = up::add(to[(b, c)], x);
                if order == Order::Both {
                    to[(c, b)] = up::add(to[(c, b)], x);
                }
            }
        }
    }
}

/// The whole array's number, which is at most the sum of those of its parts.
fn total(mut x: Lattice) -> f64 {
    x.close_sums();
    x.whole()
}
