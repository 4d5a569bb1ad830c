//! From a centre to a proof: Theorem A with rigorous numbers.
//!
//! A search in f64 proposes radii and a step; the proof is one evaluation of the conditions in interval arithmetic at what it
//! proposed, with every bound of the centre relaxed by [`MARGIN`] first. Cheap forms are tried before sharp ones: the ball
//! with the closed form of h, the ball with the sharp H, then the box with every choice of A.

use super::theorem_a::{Closed, Failure, Inputs, Region, Step, close};
use super::{Box3, Centre, Certificate, Claimed, FileRef, MARGIN, TheoremA, statement};
use crate::bounds::sharp::affordable;
use crate::bounds::{BlockMatrix, Blocks, Curvature, Enclosure, Sharp};
use crate::model::Trained;
use crate::problem::Instance;
use crate::spectrum::Reading;
use gdcert_numbers::{Bound, Interval, NotResolved, Scalar};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::OnceLock;

/// Why nothing could be proven at a centre.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Refusal {
    /// sigma_min of the Jacobian is 0 or hidden by rounding.
    NotResolved(NotResolved),
    /// A condition of Theorem A fails.
    Condition(Failure),
    /// A condition fails with the closed form of h; the sharp bound is not tried at sizes like these.
    OnlyCrude(Failure),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::NotResolved(e) => write!(f, "alpha_c is {e}"),
            Refusal::Condition(failure) => failure.fmt(f),
            Refusal::OnlyCrude(failure) => write!(
                f,
                "{failure} (by the closed form of h; the sharp bound is not tried at these sizes)"
            ),
        }
    }
}

/// Theorem A, closed at a centre with rigorous numbers: f_{t+1} <= (1 - rate) f_t for every t from there on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Proof {
    kernel: crate::Kernel,
    trained: Trained,
    inputs: Inputs,
    closed: Closed<Interval>,
}

impl Proof {
    /// The step.
    pub fn eta(&self) -> f64 {
        self.closed.eta
    }

    /// A lower bound of 2 eta alpha^2 (1 - eta L/2), relaxed by [`MARGIN`].
    pub fn rate_lower(&self) -> f64 {
        self.closed.conditions.rate.lo()
    }

    /// Whether the proven rate covers the claim f_t <= (1 - eta beta)^t f_c.
    ///
    /// # Errors
    /// [`Failure::Rate`], with the factor that is missing.
    pub fn covers(&self, beta: f64) -> Result<(), Failure> {
        self.closed.covers(Interval::from_f64(beta))
    }

    /// The certificate for a claim, about files that hold the instance and the centre.
    pub fn certificate(&self, claimed: &Claimed, instance: FileRef, centre: Centre) -> TheoremA {
        let Closed {
            region,
            radii,
            eta,
            conditions,
        } = &self.closed;
        let rate_lower = conditions.rate.lo();
        let (rho, region) = match region {
            Region::Ball => (radii.iter().fold(0.0, |a: f64, b| a.max(*b)), None),
            Region::Box => {
                let resolved = Trained::from_flags(self.inputs.resolved);
                let of_box = resolved.map(|resolved| Box3 {
                    resolved,
                    radii: (*radii).into(),
                    jacobian_norms_upper: self.inputs.blocks.into(),
                });
                (conditions.path.hi(), of_box)
            }
        };
        let mut certificate = TheoremA {
            instance,
            kernel: self.kernel,
            trained: self.trained,
            centre,
            reading: claimed.name.clone(),
            beta: claimed.upper(),
            alpha_lower: self.inputs.alpha,
            jacobian_norm_upper: self.inputs.jacobian,
            residual_norm_upper: self.inputs.residual,
            rho,
            h_rho_upper: conditions.h.hi(),
            alpha: conditions.alpha.lo(),
            smoothness: conditions.smoothness.hi(),
            eta: *eta,
            rate_lower,
            region,
            orbit: None,
            margin: MARGIN,
            statement: String::new(),
        };
        certificate.statement = statement(&Certificate::TheoremA(certificate.clone()));
        certificate
    }
}

/// A centre with everything that a proof there rests on, evaluated when asked for.
pub struct Site<'a> {
    instance: &'a Instance,
    trained: Trained,
    enclosure: OnceLock<Enclosure<'a>>,
    crude: OnceLock<Curvature<Interval>>,
    sharp: OnceLock<Sharp<f64>>,
    rigorous_sharp: OnceLock<Sharp<Interval>>,
    /// What is proven here holds with every point within this distance as the centre (Theorem 6 of the orbit); 0: here.
    distance: f64,
}

/// One form of Theorem A to try.
#[derive(Clone, Copy)]
enum Form {
    /// The ball with the closed form of h.
    Crude,
    /// The ball with the sharp H.
    Ball,
    /// The box with the sharp H, alpha_c from these blocks.
    Box(Trained),
}

impl<'a> Site<'a> {
    /// At the instance's weights.
    pub fn new(instance: &'a Instance, trained: Trained) -> Self {
        Site {
            instance,
            trained,
            enclosure: OnceLock::new(),
            crude: OnceLock::new(),
            sharp: OnceLock::new(),
            rigorous_sharp: OnceLock::new(),
            distance: 0.0,
        }
    }

    /// The same for every point within `distance` of this one, over the trained blocks: what is proven holds wherever among
    /// them the centre is.
    pub(crate) fn around(self, distance: f64) -> Self {
        Site { distance, ..self }
    }

    /// A distance that changes nothing of what is proven beyond 2^-24 of it: far inside [`MARGIN`]. 0 if there is none.
    pub(crate) fn slack(&self) -> f64 {
        let small = 1.0 / (1u64 << 24) as f64;
        let alpha = self.enclosure().alpha_lower().unwrap_or(0.0);
        let residual = self.enclosure().residual_norm().lo();
        let h = self.crude().h(0.0).hi();
        let slack = small * (alpha / h).min(residual / self.enclosure().jacobian_norm_upper());
        if slack.is_finite() {
            slack.max(0.0)
        } else {
            0.0
        }
    }

    /// The blocks gradient descent moves.
    pub fn trained(&self) -> Trained {
        self.trained
    }

    /// The instance whose weights are the centre.
    pub fn instance(&self) -> &'a Instance {
        self.instance
    }

    /// The enclosures at this centre.
    pub fn enclosure(&self) -> &Enclosure<'a> {
        let evaluate = || Enclosure::new(self.instance, self.trained);
        self.enclosure.get_or_init(evaluate)
    }

    /// The claim of a reading at this point.
    pub fn claimed(&self, reading: Reading) -> Claimed {
        Claimed::reading(reading, self.enclosure().beta(reading))
    }

    /// Proves a rate for every t with this step, if possible one that covers `beta`.
    ///
    /// # Errors
    /// What fails, in the form that came closest.
    pub fn prove(&self, step: Step, beta: f64) -> Result<Proof, Refusal> {
        let mut best: Option<Proof> = None;
        let mut closest: Option<Refusal> = None;
        for form in self.forms() {
            let refusal = match self.attempt(form, step) {
                Ok(proof) => {
                    let Err(failure) = proof.covers(beta) else {
                        return Ok(proof);
                    };
                    if best
                        .as_ref()
                        .is_none_or(|b| b.rate_lower() < proof.rate_lower())
                    {
                        best = Some(proof);
                    }
                    Refusal::Condition(failure)
                }
                Err(refusal) => refusal,
            };
            if closest.is_none_or(|c| factor(&refusal) < factor(&c)) {
                closest = Some(refusal);
            }
        }
        match (best, closest) {
            (Some(proof), _) => Ok(proof),
            (None, Some(Refusal::Condition(failure))) if !affordable(self.instance.dims()) => {
                Err(Refusal::OnlyCrude(failure))
            }
            (None, Some(refusal)) => Err(refusal),
            (None, None) => Err(Refusal::NotResolved(NotResolved::NOTHING_KNOWN)),
        }
    }

    /// The proof with the largest rate that a search over forms and steps finds.
    ///
    /// # Errors
    /// What fails with eta L = 1/2, in the form that came closest.
    pub(crate) fn best(&self) -> Result<Proof, Refusal> {
        let mut best: Option<Proof> = None;
        for form in self.forms() {
            let rate = |theta: f64| {
                let proposed = self.propose(form, Step::Theta(theta));
                proposed.map_or(0.0, |(_, closed)| closed.conditions.rate)
            };
            let Ok(proof) = self.attempt(form, Step::Theta(peak(rate))) else {
                continue;
            };
            if best
                .as_ref()
                .is_none_or(|b| b.rate_lower() < proof.rate_lower())
            {
                best = Some(proof);
            }
        }
        best.map_or_else(|| self.prove(Step::Theta(0.5), f64::INFINITY), Ok)
    }

    /// The largest share (at most 1) of this centre's |r| at which Theorem A would close and cover `beta` if nothing else
    /// changed; 0 if it never would. A forecast in f64 for gradient descent's tail.
    pub fn share_that_closes(&self, step: Step, beta: f64) -> f64 {
        // The form that can do most.
        let form = match affordable(self.instance.dims()) {
            true => Form::Box(self.trained),
            false => Form::Crude,
        };
        let Ok(inputs) = self.inputs(form) else {
            return 0.0;
        };
        let closed = |share: f64, H: BlockMatrix<f64>| {
            let inputs = Inputs {
                residual: inputs.residual * share,
                ..inputs
            };
            close(form.region(), &inputs, |_| H, step, [0.0; 3])
                .ok()
                .filter(|closed| closed.covers(beta).is_ok())
        };
        // H costs much and the conditions little: the share for a fixed H, then H at the radii of that share, and so on.
        let mut H = self.curvature(form, &[0.0; 3]);
        let mut share = 0.0;
        for _ in 0..3 {
            // Down by factors of 4, then between the last two.
            let (mut low, mut high) = (1.0, 1.0);
            while closed(low, H).is_none() {
                (low, high) = (low / 4.0, low);
                if low < f64::EPSILON {
                    return 0.0;
                }
            }
            while high > 1.01 * low {
                let middle = f64::sqrt(low * high);
                if closed(middle, H).is_some() {
                    low = middle;
                } else {
                    high = middle;
                }
            }
            share = low;
            let radii = closed(low, H).map_or([0.0; 3], |closed| closed.radii);
            H = self.curvature(form, &radii);
        }
        share
    }

    fn forms(&self) -> Vec<Form> {
        if !affordable(self.instance.dims()) {
            return vec![Form::Crude];
        }
        let mut forms = vec![Form::Crude, Form::Ball, Form::Box(self.trained)];
        let [q, k, v] = self.trained.flags();
        if v && (q || k) {
            forms.extend(
                [[false, false, true], [q, k, false]]
                    .into_iter()
                    .filter_map(Trained::from_flags)
                    .map(Form::Box),
            );
        }
        forms
    }

    /// Radii and a step at which Theorem A closes in f64.
    fn propose(&self, form: Form, step: Step) -> Result<(Inputs, Closed), Refusal> {
        let inputs = self.inputs(form).map_err(Refusal::NotResolved)?;
        let curvature = |radii: &_| self.curvature(form, radii);
        let closed = close(form.region(), &inputs, curvature, step, [0.0; 3]);
        Ok((inputs, closed.map_err(Refusal::Condition)?))
    }

    fn attempt(&self, form: Form, step: Step) -> Result<Proof, Refusal> {
        let (inputs, proposed) = self.propose(form, step)?;
        let rigorous = Inputs {
            alpha: Interval::from_f64(inputs.alpha),
            resolved: inputs.resolved,
            blocks: inputs.blocks.map(Interval::from_f64),
            jacobian: Interval::from_f64(inputs.jacobian),
            residual: Interval::from_f64(inputs.residual),
        };
        let mut closed = close(
            form.region(),
            &rigorous,
            |radii| self.rigorous_curvature(form, radii),
            Step::Eta(proposed.eta),
            proposed.radii,
        )
        .map_err(Refusal::Condition)?;
        // Outward rounding of 0 leaves the smallest f64; a block that is not trained does not move at all.
        for (radius, on) in closed.radii.iter_mut().zip(self.trained.flags()) {
            *radius = if on { *radius } else { 0.0 };
        }
        Ok(Proof {
            kernel: self.instance.kernel(),
            trained: self.trained,
            inputs,
            closed,
        })
    }

    /// Rigorous inputs of Theorem A, relaxed.
    fn inputs(&self, form: Form) -> Result<Inputs, NotResolved> {
        let on = self.trained.flags();
        let (resolved, alpha) = match form {
            Form::Crude | Form::Ball => (on, self.enclosure().alpha_lower()?),
            Form::Box(A) => (A.flags(), self.enclosure().alpha_lower_of(A)?),
        };
        let jacobian = self.enclosure().jacobian_norm_upper();
        let blocks = match form {
            Form::Crude | Form::Ball => on.map(|on| if on { jacobian } else { 0.0 }),
            Form::Box(_) => self.enclosure().block_norms_upper(),
        };
        let residual = self.enclosure().residual_norm().hi();
        let (alpha, jacobian, blocks, residual) = match self.distance {
            0.0 => (alpha, jacobian, blocks, residual),
            // |D^2 F| <= h between here and a centre within the distance: J and each of its blocks change by at most
            // h times it, r by at most |J| times it.
            distance => {
                let change = (self.crude().h(distance) * Interval::from_f64(distance)).hi();
                let more = |x: f64| (Interval::from_f64(x) + Interval::from_f64(change)).hi();
                let jacobian = more(jacobian);
                let moved = Interval::from_f64(jacobian) * Interval::from_f64(distance);
                let alpha = (Interval::from_f64(alpha) - Interval::from_f64(change)).lo();
                if alpha <= 0.0 {
                    return Err(NotResolved::NOTHING_KNOWN);
                }
                let mut blocks = blocks;
                for (block, on) in blocks.iter_mut().zip(on) {
                    *block = if on { more(*block) } else { 0.0 };
                }
                (
                    alpha,
                    jacobian,
                    blocks,
                    (Interval::from_f64(residual) + moved).hi(),
                )
            }
        };
        Ok(Inputs {
            alpha: alpha * (1.0 - MARGIN),
            resolved,
            blocks: blocks.map(relax_up),
            jacobian: relax_up(jacobian),
            residual: relax_up(residual),
        })
    }

    /// The radii of a region around this point that holds the regions of these radii around every centre within the distance.
    fn widened(&self, radii: &Blocks<f64>) -> Blocks<f64> {
        radii.map(|radius| (Interval::from_f64(radius) + Interval::from_f64(self.distance)).hi())
    }

    fn curvature(&self, form: Form, radii: &Blocks<f64>) -> BlockMatrix<f64> {
        let radii = &self.widened(radii);
        match form {
            Form::Crude => one_entry(self.crude().h(largest(radii)).hi() * RELAXED),
            Form::Ball | Form::Box(_) => {
                let sharp = || Sharp::new(self.instance, self.trained);
                let H = self.sharp.get_or_init(sharp).H(radii);
                H.map(|row| row.map(|h| h * RELAXED))
            }
        }
    }

    fn rigorous_curvature(&self, form: Form, radii: &Blocks<f64>) -> BlockMatrix<Interval> {
        let relax = |h: Interval| h * Interval::from_f64(RELAXED);
        let radii = &self.widened(radii);
        match form {
            Form::Crude => one_entry(relax(self.crude().h(largest(radii)))),
            Form::Ball | Form::Box(_) => {
                let sharp = || Sharp::new(self.instance, self.trained);
                let sharp = self.rigorous_sharp.get_or_init(sharp);
                let H = sharp.H(&radii.map(Interval::from_f64));
                H.map(|row| row.map(relax))
            }
        }
    }

    fn crude(&self) -> &Curvature<Interval> {
        self.crude.get_or_init(|| self.enclosure().curvature())
    }
}

const RELAXED: f64 = 1.0 + MARGIN;

impl Form {
    fn region(self) -> Region {
        match self {
            Form::Crude | Form::Ball => Region::Ball,
            Form::Box(_) => Region::Box,
        }
    }
}

/// Where in (0, 2) a function with one peak is largest, by golden sections. It is 0 from some point on: of equals the left one
/// is taken.
fn peak(f: impl Fn(f64) -> f64) -> f64 {
    let share = 0.5 * (5.0f64.sqrt() - 1.0);
    let (mut left, mut right) = (0.0, 2.0);
    let inner = |left: f64, right: f64| {
        [
            right - share * (right - left),
            left + share * (right - left),
        ]
    };
    let mut at = inner(left, right);
    let mut values = at.map(&f);
    for _ in 0..30 {
        if values[0] >= values[1] {
            right = at[1];
            at = inner(left, right);
            values = [f(at[0]), values[0]];
        } else {
            left = at[0];
            at = inner(left, right);
            values = [values[1], f(at[1])];
        }
    }
    at[usize::from(values[1] > values[0])]
}

/// x (1 + 2^-20); the rounding of the product is far inside the margin, and x itself was a bound.
fn relax_up(x: f64) -> f64 {
    x * RELAXED
}

fn largest(radii: &Blocks<f64>) -> f64 {
    radii[0].max(radii[1]).max(radii[2])
}

/// One number as the matrix H: its norm, and no more, is used by the ball.
fn one_entry<T: Bound>(h: T) -> BlockMatrix<T> {
    let zero = T::from_f64(0.0);
    [[h, zero, zero], [zero; 3], [zero; 3]]
}

fn factor(refusal: &Refusal) -> f64 {
    match refusal {
        Refusal::NotResolved(_) => f64::INFINITY,
        Refusal::Condition(failure) | Refusal::OnlyCrude(failure) => failure.factor(),
    }
}
