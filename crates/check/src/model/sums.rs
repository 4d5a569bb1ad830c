//! The sum of Theorem 4 of `proofs-checks/any-model.md` by pairs of blocks, and how far it is from that at the centre (Lemma 7).

use super::table::{Table, add};

/// One table a block; `None` is 0.
pub(super) type Blocks = Vec<Option<Table>>;

/// The less of what is known at the centre and over the ball.
pub(super) fn least((centre, ball): (&Option<Table>, &Option<Table>)) -> Option<Table> {
    match (centre, ball) {
        (Some(centre), Some(ball)) => Some(centre.min(ball)),
        _ => ball.clone(),
    }
}

/// A factor of a product: at least its norm over the ball, that at the centre, and that of what these differ by.
pub(super) struct Factor<'a, T> {
    pub(super) ball: &'a T,
    pub(super) centre: &'a T,
    pub(super) apart: &'a T,
}

impl<'a> Factor<'a, Blocks> {
    pub(super) fn new(ball: &'a Blocks, [centre, apart]: &'a [Blocks; 2]) -> Self {
        Factor { ball, centre, apart }
    }
}

impl<T> Clone for Factor<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Factor<'_, T> {}

/// Of the sum of Theorem 4, by blocks: at least the norm over the ball, and of what it differs by from that at the centre.
pub(super) struct Sums {
    blocks: usize,
    moving: bool,
    pub(super) kappa: Vec<f64>,
    pub(super) apart: Vec<f64>,
}

impl Sums {
    pub(super) fn new(blocks: usize, moving: bool) -> Sums {
        let zeros = || vec![0.0; blocks * blocks];
        Sums { blocks, moving, kappa: zeros(), apart: zeros() }
    }

    pub(super) fn put(
        to: &mut [f64],
        blocks: usize,
        [u, w]: [&Blocks; 2],
        both: bool,
        of: &dyn Fn(&Table, &Table) -> Table,
    ) {
        for b in 0..blocks {
            for c in 0..blocks {
                if let (Some(u), Some(w)) = (&u[b], &w[c]) {
                    let x = of(u, w).settle(false).whole();
                    to[b * blocks + c] = add(to[b * blocks + c], x);
                    if both {
                        to[c * blocks + b] = add(to[c * blocks + b], x);
                    }
                }
            }
        }
    }

    /// Products of three, and these the other way round if `both`. a u w - A U W = (a - A) u w + A (u - U) w + A U (w - W).
    pub(super) fn add(
        &mut self,
        a: Factor<Table>,
        u: Factor<Blocks>,
        w: Factor<Blocks>,
        both: bool,
        of: &dyn Fn(&Table, &Table, &Table) -> Table,
    ) {
        let blocks = self.blocks;
        let put = |to: &mut [f64], a: &Table, u: &Blocks, w: &Blocks| {
            Sums::put(to, blocks, [u, w], both, &|u, w| of(a, u, w));
        };
        put(&mut self.kappa, a.ball, u.ball, w.ball);
        if self.moving {
            put(&mut self.apart, a.apart, u.ball, w.ball);
            put(&mut self.apart, a.centre, u.apart, w.ball);
            put(&mut self.apart, a.centre, u.centre, w.apart);
        }
    }
}
