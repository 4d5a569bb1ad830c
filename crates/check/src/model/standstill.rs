//! Where exact gradient descent does not move: its gradient at M_0 is 0, exactly.

use super::file::Op;
use super::functions::Number;
use super::orbit::exactly;
use super::proof::read;
use super::values::Values;
use crate::ball::{Ball, ball};
use crate::certificate::{ModelObstructed, Reason};
use crate::claims::{Answer, Proof, Stop, require};
use crate::files::Files;
use crate::number::power;
use crate::obstruction::signs;
use std::iter::Sum;
use std::ops::{Add, Mul, Neg, Sub};

/// A real number that is known exactly, or of which nothing is known but that it is one: 0 times it is 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Exact(Option<f64>);

impl Exact {
    /// x, if nothing was lost on the way to it: `lost` is what a fused multiply-add says, which is exact for sizes far from the
    /// ends of the range.
    fn if_nothing(lost: f64, x: f64, sizes: [f64; 3]) -> Exact {
        let far = |size: &f64| (power(-400)..power(400)).contains(&size.abs());
        Exact((lost == 0.0 && sizes.iter().all(far)).then_some(x))
    }

    fn is_zero(self) -> bool {
        self.0 == Some(0.0)
    }
}

impl Add for Exact {
    type Output = Exact;
    fn add(self, b: Exact) -> Exact {
        let (Some(a), Some(b)) = (self.0, b.0) else { return Exact(None) };
        let s = a + b;
        // Knuth's error of a sum, exact without overflow.
        let (of_b, of_a) = (s - a, s - (s - a));
        let lost = (a - of_a) + (b - of_b);
        Exact((s.is_finite() && lost == 0.0).then_some(s))
    }
}

impl Neg for Exact {
    type Output = Exact;
    fn neg(self) -> Exact {
        Exact(self.0.map(|x| -x))
    }
}

impl Sub for Exact {
    type Output = Exact;
    fn sub(self, b: Exact) -> Exact {
        self + -b
    }
}

impl Mul for Exact {
    type Output = Exact;
    fn mul(self, b: Exact) -> Exact {
        if self.is_zero() || b.is_zero() {
            return Exact(Some(0.0));
        }
        let (Some(a), Some(b)) = (self.0, b.0) else { return Exact(None) };
        let p = a * b;
        Exact::if_nothing(a.mul_add(b, -p), p, [a, b, p])
    }
}

impl Sum for Exact {
    fn sum<I: Iterator<Item = Exact>>(terms: I) -> Exact {
        terms.fold(Exact(Some(0.0)), |sum, term| sum + term)
    }
}

impl Number for Exact {
    const BITS: usize = 53;
    fn of(x: f64) -> Self {
        Exact(x.is_finite().then_some(x))
    }
    fn over(self, n: u32) -> Self {
        self * Exact(Some(n.into())).reciprocal()
    }
    fn shifted(self, e: i32) -> Self {
        let Some(x) = self.0 else { return self };
        let y = x * power(i64::from(e).clamp(-1000, 1000));
        if x == 0.0 { self } else { Exact::if_nothing(0.0, y, [x, y, power(e.into())]) }
    }
    fn exp_below(self, _: &Self) -> Self {
        Exact(self.is_zero().then_some(1.0))
    }
    fn reciprocal(self) -> Self {
        let Some(x) = self.0 else { return self };
        let y = 1.0 / x;
        Exact::if_nothing(x.mul_add(y, -1.0), y, [x, y, 1.0])
    }
    fn near(self) -> f64 {
        self.0.unwrap_or(f64::NAN)
    }
    fn point(self) -> Self {
        self
    }
    fn widened(self, e: Self) -> Self {
        if e.is_zero() { self } else { Exact(None) }
    }
    fn to_ball(self) -> Ball {
        self.0.map_or(Ball::UNKNOWN, ball)
    }
    fn unknown() -> Self {
        Exact(None)
    }
}

/// The loss at M_0 is as large as it is said, the model is differentiable there, and every entry of J'r is 0: as it is computed
/// in exact numbers, or by the parameter's column of J where r is not 0.
pub(crate) fn obstructed(c: &ModelObstructed, files: &Files) -> Proof {
    signs(c.loss_lower, c.margin)?;
    require(c.reason == Reason::ZeroGradient, || {
        format!("the reason {} is about attention, not about a model", c.reason)
    })?;
    let model = read(&c.model, &c.trained, files)?;
    let start = model.start();
    let known = Values::<Ball>::new(&model, &exactly(&start));
    for (n, node) in model.nodes.iter().enumerate() {
        let slopes = match &node.op {
            Op::Map(_) if node.varies => node.size(),
            _ => 0,
        };
        let numbers = known.values[n].iter().copied();
        let mut all = numbers.chain((0..slopes).map(|e| known.slope(n, e)));
        require(all.all(Ball::is_known), || {
            format!("at node {n} the model is not proven to be differentiable at M_0")
        })?;
    }
    let squares: Ball = known.residual().iter().map(|r| *r * *r).sum();
    Answer::at_most("loss_lower", ball(c.loss_lower), "f at M_0", ball(0.5) * squares).proof()?;
    let point: Vec<Exact> = start.iter().map(|x| Exact::of(*x)).collect();
    let at = Values::<Exact>::new(&model, &point);
    let r = at.residual().to_vec();
    let gradient = at.gradient(&r);
    let open: Vec<usize> = (0..gradient.len()).filter(|k| !gradient[*k].is_zero()).collect();
    let mut w = vec![Exact(Some(0.0)); r.len()];
    for i in (0..r.len()).filter(|i| !open.is_empty() && !r[*i].is_zero()) {
        w[i] = Exact(Some(1.0));
        let row = at.gradient(&w);
        w[i] = Exact(Some(0.0));
        if let Some(k) = open.iter().find(|k| !row[**k].is_zero()) {
            let what = format!("the gradient is not proven to be 0 (parameter {k}, residual {i})");
            return Err(Stop::Unproven(what));
        }
    }
    Ok(())
}
