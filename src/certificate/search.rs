//! Theorems 1' and 2': the scale of an initialization from which Theorem A closes at t = 0.

use super::theorem_a::{Closed, Failure, Inputs, Region, Step, close};
use crate::bounds::sharp::affordable;
use crate::bounds::{Blocks, Sharp};
use crate::model::{self, Kernel, Trained};
use crate::problem::{Dims, Init, Instance};
use crate::spectrum::{Reading, Spectrum};
use crate::{Error, Result};

/// Theorem A's inputs at the instance's weights, as computed in f64 (estimates, not enclosures):
/// alpha_c is sigma_min of the trained blocks that are also in `resolved`.
///
/// # Errors
/// No trained block in `resolved`; entries that overflow f64.
pub fn inputs(instance: &Instance, trained: Trained, resolved: Trained) -> Result<Inputs> {
    let resolved = both(trained.flags(), resolved.flags());
    let r = model::residual(instance, instance.W());
    let mut blocks = [0.0; 3];
    for (b, norm) in blocks.iter_mut().enumerate() {
        if trained.flags()[b] {
            *norm = Spectrum::new(instance, only([0, 1, 2].map(|c| c == b))?)?
                .jacobian_norm
                .value;
        }
    }
    let part = Spectrum::new(instance, only(resolved)?)?;
    Ok(Inputs {
        alpha: part.beta(Reading::Ntk).value.sqrt(),
        resolved,
        blocks,
        jacobian: length(&blocks),
        residual: r.iter().map(|r| r * r).sum::<f64>().sqrt(),
    })
}

/// An initialization whose scale is free: everything Theorem A needs at scale 1, from which every
/// other scale follows.
///
/// - `lazy` (Theorem 1'): W^V = 0, so r_0 = -y, J_Q = J_K = 0 and J_V is proportional to omega; alpha_c is
///   sigma_min(J_V), whose square is the per-head reading of beta (W^O_h has orthonormal columns times omega).
/// - `paired`, `constant-value` (Theorem 2'): r_0 = -y, u_j, J_Q and J_K are proportional to s, J_V is constant; alpha_c
///   is sigma_min of the trained blocks within {Q, K}, the reading `ntk` if V is not trained.
///
/// ```
/// use gdcert::{Dims, Init, Kernel, Trained, certificate::ScaleSearch};
/// let dims = Dims { N: 2, n: 4, D: 8, d: 4, H: 3, p: 1 };
/// let lazy = ScaleSearch::new(dims, Kernel::Gaussian, Init::Lazy { omega: 1.0 }, Trained::QKV, 0)?;
/// let omega = lazy.smallest(0.5)?;
/// assert!(lazy.at(omega, 0.5).is_ok() && lazy.at(0.9 * omega, 0.5).is_err());
/// # Ok::<(), gdcert::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ScaleSearch {
    unit: Inputs,
    sharp: Sharp,
    /// Which of J_Q, J_K, J_V grow with the scale; the rest stays.
    grows: Blocks<bool>,
    trained: Blocks<bool>,
    lazy: bool,
}

/// The law at scale 1, and the blocks whose part of J grows with the scale.
///
/// # Errors
/// A law without a scale, or none of these blocks trained.
pub(crate) fn at_one(init: Init, trained: Trained) -> Result<(Init, [bool; 3])> {
    let (init, theorem) = match init {
        Init::Lazy { .. } => (Init::Lazy { omega: 1.0 }, [false, false, true]),
        Init::Paired { .. } => (Init::Paired { s: 1.0 }, [true, true, false]),
        Init::ConstantValue { .. } => (Init::ConstantValue { s: 1.0 }, [true, true, false]),
        Init::Lecun => {
            return Err(Error::input(
                "--init lecun has no scale to search; choose lazy, paired or constant-value",
            ));
        }
    };
    if both(trained.flags(), theorem) == [false; 3] {
        let needed = if theorem[2] { "V" } else { "Q or K" };
        return Err(Error::input(format!(
            "--init {} needs {needed} trained, but only {trained} is",
            init.name()
        )));
    }
    Ok((init, theorem))
}

/// The bisection ends when the scale is known to this relative width.
const WIDTH: f64 = 1.0 / 1024.0;

/// No scale beyond 2^SCALES is tried.
const SCALES: i32 = 100;

impl ScaleSearch {
    /// Draws the instance at scale 1 and evaluates it; the scale in `init` is not looked at.
    ///
    /// # Errors
    /// An initialization without a scale, trained blocks that the theorem does not cover, sizes
    /// [`Instance::random`] refuses, or a Jacobian without full row rank (no scale can close).
    pub fn new(
        dims: Dims,
        kernel: Kernel,
        init: Init,
        trained: Trained,
        seed: u64,
    ) -> Result<Self> {
        let (init, theorem) = at_one(init, trained)?;
        if !affordable(dims) {
            return Err(Error::input(format!(
                "the scale is searched with the sharp bound, which is not evaluated at {dims}; choose smaller sizes, or a --scale"
            )));
        }
        let lazy = matches!(init, Init::Lazy { .. });
        let instance = Instance::random(dims, kernel, init, seed)?;
        let mut unit = inputs(&instance, trained, only(theorem)?)?;
        if lazy {
            // Exactly zero: u = 0.
            unit.blocks = [0.0, 0.0, unit.blocks[2]];
        }
        if unit.alpha.is_nan() || unit.alpha <= 0.0 {
            return Err(Error::input(format!(
                "what grows with the scale of --init {} is a part of J without full row rank at {dims} (or too near to \
                 that), so that no scale can be searched; choose more heads or another seed",
                init.name()
            )));
        }
        Ok(ScaleSearch {
            unit,
            sharp: Sharp::new(&instance, trained),
            grows: theorem,
            trained: trained.flags(),
            lazy,
        })
    }

    /// Theorem A's inputs at a scale.
    pub fn inputs(&self, scale: f64) -> Inputs {
        let mut at = self.unit;
        at.alpha *= scale;
        for (norm, grows) in at.blocks.iter_mut().zip(self.grows) {
            *norm *= if grows { scale } else { 1.0 };
        }
        at.jacobian = length(&at.blocks);
        at
    }

    /// Theorem A at a scale, with eta = theta / L and the claim beta = alpha_c^2: the box with a radius for each block, or
    /// the ball where that does not close. (Where every block needs its full radius, |H| rho of a ball is below the |e| of a box.)
    ///
    /// # Errors
    /// The condition that fails, in the form that came closer.
    pub fn at(&self, scale: f64, theta: f64) -> std::result::Result<Closed, Failure> {
        let o = if self.lazy { scale } else { 1.0 };
        let sharp = self.sharp.clone().scaled(scale, o);
        let attempt = |region, inputs: &Inputs| -> std::result::Result<Closed, Failure> {
            let H = |radii: &_| sharp.H(radii);
            let closed = close(region, inputs, H, Step::Theta(theta), [0.0; 3])?;
            closed.covers(inputs.alpha * inputs.alpha)?;
            Ok(closed)
        };
        let inputs = self.inputs(scale);
        attempt(Region::Box, &inputs).or_else(|in_box| {
            // A lower bound for some blocks is one for all.
            let all = Inputs {
                resolved: self.trained,
                ..inputs
            };
            attempt(Region::Ball, &all).map_err(|in_ball| {
                if in_ball.factor() < in_box.factor() {
                    in_ball
                } else {
                    in_box
                }
            })
        })
    }

    /// omega* or s*: the smallest scale, up to a relative 2^-10 above, at which Theorem A closes with
    /// the claim beta = alpha_c^2. It closes at every larger scale too.
    ///
    /// # Errors
    /// theta not in (0, 1): the claim needs 2 (alpha / alpha_c)^2 (1 - theta/2) >= 1 with alpha < alpha_c. No scale below
    /// 2^100 closes.
    pub fn smallest(&self, theta: f64) -> Result<f64> {
        if !(theta > 0.0 && theta < 1.0) {
            return Err(Error::input(format!(
                "theta = eta L must lie between 0 and 1 for the rate to be covered, not {theta}"
            )));
        }
        let closes = |scale: f64| self.at(scale, theta).is_ok();
        let power = |e: i32| 2f64.powi(e);
        let Some(top) = (-SCALES..=SCALES).find(|&e| closes(power(e))) else {
            return Err(Error::input(format!(
                "no scale up to 2^{SCALES} closes; the Jacobian is too close to losing rank"
            )));
        };
        let (mut low, mut high) = (power(top - 1), power(top));
        while high > low * (1.0 + WIDTH) {
            let middle = (low * high).sqrt();
            if closes(middle) {
                high = middle;
            } else {
                low = middle;
            }
        }
        Ok(high)
    }
}

fn both(a: Blocks<bool>, b: Blocks<bool>) -> Blocks<bool> {
    [a[0] && b[0], a[1] && b[1], a[2] && b[2]]
}

fn length(v: &Blocks<f64>) -> f64 {
    v.iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// The blocks with a true flag.
fn only(flags: Blocks<bool>) -> Result<Trained> {
    Trained::from_flags(flags)
        .ok_or_else(|| Error::input("none of the blocks that Theorem A needs is trained"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIMS: Dims = Dims {
        N: 2,
        n: 3,
        D: 6,
        d: 4,
        H: 4,
        p: 1,
    };

    /// Scaling the inputs and the curvature by formula gives what the instance at that scale has.
    #[test]
    fn scale_by_formula_is_the_instance_at_that_scale() {
        for kernel in [Kernel::Softmax, Kernel::Gaussian] {
            for (init, scaled, trained) in [
                (Init::Lazy { omega: 1.0 }, Init::Lazy { omega: 50.0 }, "QKV"),
                (Init::Paired { s: 1.0 }, Init::Paired { s: 50.0 }, "Q"),
                (Init::Paired { s: 1.0 }, Init::Paired { s: 50.0 }, "QKV"),
            ] {
                let trained: Trained = trained.parse().unwrap();
                let search = ScaleSearch::new(DIMS, kernel, init, trained, 1).unwrap();
                let instance = Instance::random(DIMS, kernel, scaled, 1).unwrap();
                let [got, expected] = [
                    search.inputs(50.0),
                    inputs(&instance, trained, only(search.grows).unwrap()).unwrap(),
                ];
                let close = |a: f64, b: f64| assert!((a - b).abs() <= 1e-9 * b + 1e-12, "{a} {b}");
                close(got.alpha, expected.alpha);
                close(got.residual, expected.residual);
                for b in 0..3 {
                    close(got.blocks[b], expected.blocks[b]);
                }
                let radii = [0.01, 0.02, 0.03];
                let o = if search.lazy { 50.0 } else { 1.0 };
                let [got, expected] = [
                    search.sharp.clone().scaled(50.0, o).H(&radii),
                    Sharp::new(&instance, trained).H(&radii),
                ];
                for (got, expected) in got.iter().flatten().zip(expected.iter().flatten()) {
                    close(*got, *expected);
                }
            }
        }
    }

    #[test]
    fn refusals_name_the_reason() {
        let new = |init, trained: &str| {
            ScaleSearch::new(DIMS, Kernel::Softmax, init, trained.parse().unwrap(), 0)
                .unwrap_err()
                .to_string()
        };
        assert!(new(Init::Lecun, "QKV").contains("no scale"));
        assert!(new(Init::Lazy { omega: 1.0 }, "QK").contains("needs V"));
        assert!(new(Init::Paired { s: 1.0 }, "V").contains("needs Q or K"));
        assert!(new(Init::ConstantValue { s: 1.0 }, "Q").contains("full row rank"));
    }
}
