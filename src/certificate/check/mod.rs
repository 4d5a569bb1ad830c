//! The other side of a certificate: every number in it is a claim, and this module proves each of them again from
//! the instance file, or says which one it can not prove.
//!
//! Nothing is shared with the path that finds certificates: the model is evaluated by the plain formulas ([`point`]) in numbers
//! that carry a proven error bound ([`ball`], double-double), singular values are bounded by one Cholesky
//! decomposition each, with Rump's bound on its roundings known beforehand ([`matrix`]), and nothing is searched for. What is
//! trusted: the statements of theory.md section 4 and of `proofs-checks/sharper.md`, IEEE 754 arithmetic, SHA-256, and the
//! readers of the two file formats.

// !(a > b) is not a <= b: a NaN must take the branch that proves nothing. Indices are those of the formulas.
#![allow(clippy::neg_cmp_op_on_partial_ord, clippy::needless_range_loop)]

mod ball;
mod curvature;
mod matrix;
mod obstruction;
mod point;
#[cfg(test)]
mod tests;

use super::file::{Box3, Centre, Certificate, FileRef, Obstructed, TheoremA};
use crate::bounds::{Blocks, Reason};
use crate::model::{DoubleDouble, Kernel, Trained};
use crate::problem::{Dims, Instance};
use crate::spectrum::Reading;
use crate::{Error, Result};
use ball::{Ball, ball};
use curvature::{BlockMatrix, apply, block_norm, closed_form, sharp};
use gdcert_base::files::sha256;
use gdcert_base::input;
use matrix::{Gram, Real, norm};
use nalgebra::DMatrix;
use obstruction::{hull_loss, values_ignore_token};
use point::{Part, Point, product};
use std::path::Path;

/// What became of a certificate.
#[derive(Clone, Debug, PartialEq)]
pub enum Checked {
    /// Every claim in it is proven. The statement that follows, from its numbers.
    Valid(String),
    /// The first claim that could not be proven, with the numbers.
    Unproven(String),
}

/// Re-proves the certificate at `path` from the instance file beside it.
///
/// # Errors
/// A file that cannot be read: no certificate of this schema, a missing or malformed instance.
///
/// ```
/// use gdcert::{certify, Certified, Dims, Goal, Init, Instance, Kernel};
/// use gdcert::certificate::{check, Checked};
/// use std::ops::ControlFlow;
///
/// let dims = Dims { N: 2, n: 4, D: 8, d: 4, H: 3, p: 1 };
/// let instance = Instance::random(dims, Kernel::Softmax, Init::Lazy { omega: 1e4 }, 0)?;
/// let found = certify(&instance, &Goal::default(), &mut |_| ControlFlow::Continue(()))?;
/// let Certified::Rate { certificate, .. } = found else { panic!("closes at this scale") };
///
/// let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("certificate.json");
/// instance.write(&folder.path().join("instance.safetensors"))?;
/// std::fs::write(&path, certificate.to_json().to_string()).unwrap();
/// assert!(matches!(check(&path)?, Checked::Valid(_)));
///
/// let mut lie = certificate.to_json();
/// lie["alpha_lower"] = (1.01 * lie["alpha_lower"].as_f64().unwrap()).into();
/// std::fs::write(&path, lie.to_string()).unwrap();
/// let Checked::Unproven(why) = check(&path)? else { panic!("a false claim") };
/// assert!(why.starts_with("alpha_lower = "));
/// # Ok::<(), gdcert::Error>(())
/// ```
pub fn check(path: &Path) -> Result<Checked> {
    let certificate = Certificate::read(path)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let proof = match &certificate {
        Certificate::TheoremA(c) => theorem_a(c, folder),
        Certificate::Obstructed(c) => obstructed(c, folder),
    };
    match proof {
        Ok(statement) => Ok(Checked::Valid(statement)),
        Err(Stop::Unproven(what)) => Ok(Checked::Unproven(what)),
        Err(Stop::Unreadable(error)) => Err(error),
    }
}

/// Why there is no proof.
enum Stop {
    Unproven(String),
    Unreadable(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Unreadable(error)
    }
}

type Proof<T = ()> = std::result::Result<T, Stop>;

fn unproven<T>(what: impl Into<String>) -> Proof<T> {
    Err(Stop::Unproven(what.into()))
}

fn require(holds: bool, otherwise: impl Into<String>) -> Proof {
    if holds { Ok(()) } else { unproven(otherwise) }
}

/// Proves small <= large.
fn at_most(name: &str, small: Ball, bound: &str, large: Ball) -> Proof {
    let numbers = || {
        let (small, large) = (small.upper(), large.lower());
        format!("{name} = {small:?} is not proven to be at most {bound} = {large:?}")
    };
    if small.at_most(large) {
        Ok(())
    } else {
        unproven(numbers())
    }
}

/// What an evaluation in one precision says about a claim.
enum Answer {
    Proven,
    /// It is false.
    Refuted(String),
    /// Its rounding hides the answer.
    Hidden(String),
}

/// f64 first; double-double where the roundings of f64 hide the answer.
fn decide(first: Answer, second: impl FnOnce() -> Answer) -> Proof {
    let answer = match first {
        Answer::Hidden(_) => second(),
        decided => decided,
    };
    match answer {
        Answer::Proven => Ok(()),
        Answer::Refuted(why) => unproven(why),
        Answer::Hidden(why) => unproven(format!("{why}; rounding hides whether it is true")),
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Theorem A: what the numbers must satisfy, and that they are what they are called.

fn theorem_a(c: &TheoremA, folder: &Path) -> Proof<String> {
    signs(c)?;
    // The inequalities of the box need the matrix H and have to wait for it.
    if c.region.is_none() {
        ball_inequalities(c)?;
    }
    let instance = read(&c.instance, c.kernel, folder)?;
    let centre = read_centre(c, &instance, folder)?;
    reading_applies(c, instance.dims())?;

    let at = Point::new(&centre);
    let residual = ball(c.residual_norm_upper);
    at_most("|r|", at.residual_norm(), "residual_norm_upper", residual)?;
    curvature(c, &at)?;
    jacobian(c, &at)?;
    if c.centre.t == 0 {
        beta(c, &at)?;
    } else {
        drop(at);
        beta(c, &Point::new(&instance))?;
    }

    let start = match c.centre.t {
        0 => format!("the weights of {}", c.instance.file),
        t => format!(
            "the weights of {} (step {t}; the steps before are not part of this proof)",
            c.centre.file
        ),
    };
    let claim = (ball(c.eta) * ball(c.beta)).upper();
    Ok(format!(
        "exact gradient descent on {} with step {:?} from {start} has f_(s+1) <= (1 - {:?}) f_s for every s >= 0, which covers \
         (1 - eta beta)^s f_0 for the {} beta <= {:?}, eta beta <= {claim:?}",
        c.trained, c.eta, c.rate_lower, c.reading, c.beta,
    ))
}

/// Every number is finite and has the sign its meaning gives it; blocks that are not trained have zeros.
fn signs(c: &TheoremA) -> Proof {
    let positive = [
        ("beta", c.beta),
        ("alpha_lower", c.alpha_lower),
        ("jacobian_norm_upper", c.jacobian_norm_upper),
        ("rho", c.rho),
        ("alpha", c.alpha),
        ("smoothness", c.smoothness),
        ("eta", c.eta),
        ("rate_lower", c.rate_lower),
    ];
    for (name, x) in positive {
        let holds = x > 0.0 && x.is_finite();
        require(holds, format!("{name} = {x:?} is not a positive number"))?;
    }
    let on = c.trained.flags();
    let mut others = vec![
        ("residual_norm_upper", c.residual_norm_upper, true),
        ("h_rho_upper", c.h_rho_upper, true),
        ("margin", c.margin, true),
    ];
    if let Some(region) = &c.region {
        let A = region.resolved;
        let inside = (0..3).all(|b| on[b] || !A.flags()[b]);
        let trained = c.trained;
        require(
            inside,
            format!("box.resolved = {A} is not within the trained blocks {trained}"),
        )?;
        let (radii, norms) = (region.radii, region.jacobian_norms_upper);
        for b in 0..3 {
            others.push(("box.radii", Blocks::from(radii)[b], on[b]));
            others.push(("box.jacobian_norms_upper", Blocks::from(norms)[b], on[b]));
        }
    }
    for (name, x, on) in others {
        let holds = x >= 0.0 && x.is_finite();
        require(holds, format!("{name} = {x:?} is negative or not finite"))?;
        require(
            on || x == 0.0,
            format!("{name} = {x:?} is not 0, but its block is not trained"),
        )?;
    }
    Ok(())
}

/// Theorem A of theory.md section 4. With a smaller alpha and a larger L than the formulas give, its proof stands.
fn ball_inequalities(c: &TheoremA) -> Proof {
    let [alpha_c, alpha, rho, h] = [c.alpha_lower, c.alpha, c.rho, c.h_rho_upper].map(ball);
    let [J, R, L] = [c.jacobian_norm_upper, c.residual_norm_upper, c.smoothness].map(ball);
    at_most("alpha", alpha, "alpha_lower - rho h", alpha_c - rho * h)?;
    let largest = J + rho * h;
    at_most(
        "(|J| + rho h)^2 + |r| h",
        largest * largest + R * h,
        "smoothness",
        L,
    )?;
    let contraction = step_and_rate(c)?;
    at_most(
        "|r|",
        R,
        "rho alpha (1 - eta L/2)",
        rho * alpha * contraction,
    )
}

/// Theorem A' of `proofs-checks/sharper.md`, H being the matrix over the box.
fn box_inequalities(c: &TheoremA, region: &Box3, H: &BlockMatrix) -> Proof {
    let [alpha_c, alpha, rho] = [c.alpha_lower, c.alpha, c.rho].map(ball);
    let [J, R, L] = [c.jacobian_norm_upper, c.residual_norm_upper, c.smoothness].map(ball);
    let (radii, norms) = (
        Blocks::from(region.radii),
        Blocks::from(region.jacobian_norms_upper),
    );
    let e = apply(H, radii.map(ball));
    let A = region.resolved.flags();
    let loss = norm((0..3).filter(|&b| A[b]).map(|b| e[b]));
    at_most("alpha", alpha, "alpha_lower - |e|_A", alpha_c - loss)?;
    let largest = J + norm(e.into_iter());
    let smoothness = largest * largest + R * block_norm(H);
    at_most("(|J| + |e|)^2 + |r| |H|", smoothness, "smoothness", L)?;
    let contraction = step_and_rate(c)?;
    let tau = ball(2.0) * R / ((alpha_c + alpha) * contraction);
    at_most("the length of the path", tau, "rho", rho)?;
    for b in (0..3).filter(|&b| c.trained.flags()[b]) {
        let at_centre = ball(norms[b]);
        let slope = (at_centre / alpha_c + (at_centre + e[b]) / alpha) / ball(2.0);
        let block = ["W^Q", "W^K", "W^V"][b];
        let radius = format!("its radius in the box, {block}:");
        at_most(
            "what a block may move",
            tau * slope.min(ball(1.0)),
            &radius,
            ball(radii[b]),
        )?;
    }
    Ok(())
}

/// eta L < 2 and eta beta <= rate_lower <= 2 eta alpha^2 (1 - eta L/2), eta beta < 1; gives 1 - eta L/2.
fn step_and_rate(c: &TheoremA) -> Proof<Ball> {
    let [alpha, L, eta, rate] = [c.alpha, c.smoothness, c.eta, c.rate_lower].map(ball);
    let contraction = ball(1.0) - eta * L / ball(2.0);
    let step = (eta * L).upper();
    require(
        ball(0.0).below(contraction),
        format!("eta smoothness = {step:?} is not below 2"),
    )?;
    let proven = ball(2.0) * eta * alpha * alpha * contraction;
    at_most("rate_lower", rate, "2 eta alpha^2 (1 - eta L/2)", proven)?;
    let claim = eta * ball(c.beta);
    at_most("eta beta", claim, "rate_lower", rate)?;
    require(
        claim.below(ball(1.0)),
        "eta beta is not below 1, so the bound means nothing",
    )?;
    Ok(contraction)
}

/// Theory.md section 2: when a reading of beta means something.
fn reading_applies(c: &TheoremA, dims: Dims) -> Proof {
    let Dims { D, d, H, p, .. } = dims;
    let reading = c.reading;
    let of_B = matches!(reading, Reading::Stacked | Reading::PerHead);
    let value = of_B || reading == Reading::Value;
    require(
        !value || c.trained.v(),
        format!("the reading {reading} needs W^V trained"),
    )?;
    let (width, rows) = (H * D, dims.tokens());
    require(
        !of_B || width >= rows,
        format!("the reading {reading} needs H D >= N n, but H D = {width} and N n = {rows}"),
    )?;
    require(
        reading != Reading::PerHead || d >= p,
        format!("the reading per_head needs d >= p, but d = {d} and p = {p}"),
    )
}

/// h_rho_upper >= |D^2F|: over the ball by the closed form or by the matrix H with equal radii, over the box by H.
fn curvature(c: &TheoremA, at: &Point) -> Proof {
    let claimed = ball(c.h_rho_upper);
    if let Some(region) = &c.region {
        let H = sharp(at, c.trained, region.radii.into());
        at_most("|H|", block_norm(&H), "h_rho_upper", claimed)?;
        return box_inequalities(c, region, &H);
    }
    let closed = closed_form(at, c.trained, c.rho);
    if closed.at_most(claimed) {
        return Ok(());
    }
    let of_H = block_norm(&sharp(at, c.trained, [c.rho; 3]));
    at_most("h(rho)", closed.min(of_H), "h_rho_upper", claimed)
}

/// jacobian_norm_upper >= |J|, with a box the same for each block, and alpha_lower <= sigma_min(J_A').
fn jacobian(c: &TheoremA, at: &Point) -> Proof {
    let trained = parts(c.trained);
    let resolved = parts(c.region.map_or(c.trained, |region| region.resolved));
    let grams: Vec<(Part, Gram<f64>)> = trained.iter().map(|&b| (b, at.gram(&[b]))).collect();
    let joined = |parts: &[Part]| {
        let chosen = grams.iter().filter(|(part, _)| parts.contains(part));
        chosen
            .map(|(_, gram)| gram)
            .fold(Gram::new(at.dims.m()), Gram::join)
    };
    if let Some(region) = &c.region {
        for (part, gram) in &grams {
            let claimed = Blocks::from(region.jacobian_norms_upper)[*part as usize];
            norm_at_most("box.jacobian_norms_upper", claimed, gram, at, &[*part])?;
        }
    }
    let all = joined(&trained);
    norm_at_most(
        "jacobian_norm_upper",
        c.jacobian_norm_upper,
        &all,
        at,
        &trained,
    )?;
    drop(all);

    // J_A J_A' >= J_V J_V', so the value block may be enough.
    let value = grams
        .iter()
        .find(|(part, _)| *part == Part::V && resolved.contains(part));
    if value.is_some_and(|(_, gram)| gram.sigma_min_at_least(c.alpha_lower).is_ok()) {
        return Ok(());
    }
    let first = alpha(c, at, &resolved, joined(&resolved));
    drop(grams);
    decide(first, || {
        alpha(c, at, &resolved, at.gram::<DoubleDouble>(&resolved))
    })
}

fn norm_at_most(name: &str, claimed: f64, J: &Gram<f64>, at: &Point, parts: &[Part]) -> Proof {
    // |J| <= |J|_F; else one decomposition.
    if J.frobenius().at_most(ball(claimed)) {
        return Ok(());
    }
    let Err(v) = J.norm_at_most(claimed) else {
        return Ok(());
    };
    let found = at.quotient(parts, ball(0.0), &v).lower();
    unproven(format!(
        "{name} = {claimed:?} is not proven: |J'v| / |v| = {found:?} for some v"
    ))
}

fn alpha<T: Real>(c: &TheoremA, at: &Point, parts: &[Part], J: Gram<T>) -> Answer {
    let claimed = c.alpha_lower;
    let Err(v) = J.sigma_min_at_least(claimed) else {
        return Answer::Proven;
    };
    let radius = J.radius();
    drop(J);
    let found = at.quotient(parts, radius, &v);
    let upper = found.upper();
    let why =
        format!("alpha_lower = {claimed:?} is not proven: |J'v| / |v| <= {upper:?} for some v");
    if found.below(ball(claimed)) {
        Answer::Refuted(why)
    } else {
        Answer::Hidden(why)
    }
}

/// beta >= the reading's beta at M_0, as theory.md section 2 defines it.
fn beta(c: &TheoremA, at: &Point) -> Proof {
    let outputs = || at.instance.W().O.iter();
    let (factor, parts) = match c.reading {
        Reading::Stacked => {
            let rows: Vec<_> = outputs().flat_map(|o| o.row_iter()).collect();
            (smallest_output(&DMatrix::from_rows(&rows)), vec![Part::B])
        }
        Reading::PerHead => {
            let least = outputs().map(smallest_output).reduce(Ball::min);
            (least.unwrap_or(ball(0.0)), vec![Part::B])
        }
        Reading::Value => (ball(1.0), vec![Part::V]),
        Reading::Ntk => (ball(1.0), parts(c.trained)),
    };
    decide(rayleigh::<f64>(c, at, &parts, factor), || {
        rayleigh::<DoubleDouble>(c, at, &parts, factor)
    })
}

/// factor sigma_min(A)^2 <= beta, because sigma_min(A) <= |A'v| / |v| for every v. The v that is tried comes from the
/// decomposition of A A' - c I, which stops where it meets one, c being a little below beta / factor.
fn rayleigh<T: Real>(c: &TheoremA, at: &Point, parts: &[Part], factor: Ball) -> Answer {
    let beta = ball(c.beta);
    if factor.is_zero() {
        return Answer::Proven;
    }
    let A = at.gram::<T>(parts);
    let target = (beta / factor).lower();
    let why = |found: f64| {
        let (reading, beta) = (c.reading, c.beta);
        format!(
            "beta = {beta:?} is not proven to be at least the reading's ({reading}), which is {found:?} or less"
        )
    };
    let Some(v) = A.witness_below(target * (1.0 - 1.0 / f64::from(1 << 22))) else {
        let larger = ball(target).sqrt().upper();
        return match A.sigma_min_at_least(larger) {
            Ok(()) => Answer::Refuted(format!(
                "beta = {:?} is below the reading's ({})",
                c.beta, c.reading
            )),
            Err(_) => Answer::Hidden(why(f64::INFINITY)),
        };
    };
    let quotient = at.quotient(parts, A.radius(), &v);
    let found = factor * quotient * quotient;
    if found.at_most(beta) {
        Answer::Proven
    } else {
        Answer::Hidden(why(found.upper()))
    }
}

/// An upper bound of lambda_min(W'W), |W v|^2 / |v|^2 for a v that a library found.
fn smallest_output(W: &DMatrix<f64>) -> Ball {
    let square = W.transpose() * W;
    let p = square.ncols();
    let mut v = DMatrix::from_element(p, 1, ball(1.0));
    if square.iter().all(|x| x.is_finite()) {
        let eigen = square.symmetric_eigen();
        v.set_column(
            0,
            &eigen
                .eigenvectors
                .column(eigen.eigenvalues.imin())
                .map(ball),
        );
    }
    let Wv = product(&W.map(ball), &v);
    let quotient = norm(Wv.iter().copied()) / norm(v.iter().copied());
    quotient * quotient
}

fn parts(trained: Trained) -> Vec<Part> {
    let on = trained.flags();
    (0..3).filter(|&b| on[b]).map(|b| Part::BLOCKS[b]).collect()
}

// ---------------------------------------------------------------------------------------------------------------------
// Obstructions.

fn obstructed(c: &Obstructed, folder: &Path) -> Proof<String> {
    let [loss, margin] = [c.loss_lower, c.margin];
    let holds = loss > 0.0 && loss.is_finite();
    require(
        holds,
        format!("loss_lower = {loss:?} is not a positive number"),
    )?;
    let holds = margin >= 0.0 && margin.is_finite();
    require(
        holds,
        format!("margin = {margin:?} is negative or not finite"),
    )?;
    require(
        c.kernel == Kernel::Softmax,
        "only softmax attention is obstructed",
    )?;
    require(!c.trained.v(), "with W^V trained nothing obstructs")?;
    let instance = read(&c.instance, c.kernel, folder)?;
    let hull = hull_loss(&Point::new(&instance));
    at_most("loss_lower", ball(loss), "the hull bound", hull)?;
    let because = match c.reason {
        Reason::Hull => "the labels leave the hull of the values",
        Reason::ZeroGradient => {
            let holds = values_ignore_token(&instance);
            require(
                holds,
                "reason = zero_gradient, but W^V reads a feature that varies over tokens",
            )?;
            "no value depends on its token, so gradient descent does not move"
        }
    };
    let (trained, file) = (c.trained, &c.instance.file);
    Ok(format!(
        "no choice of {trained} brings the loss of {file} below {loss:?}: {because}"
    ))
}

// ---------------------------------------------------------------------------------------------------------------------
// Files.

/// The instance file, if its bytes and its kernel are the certificate's.
fn read(from: &FileRef, kernel: Kernel, folder: &Path) -> Proof<Instance> {
    let file = &from.file;
    let name = Path::new(file);
    let plain = name.file_name() == Some(name.as_os_str());
    require(
        plain,
        format!("'{file}' is not the plain name of a file beside the certificate"),
    )?;
    let path = folder.join(name);
    let bytes = input::numbers(&path)
        .map_err(|what| Error::file(&path, format!("{what}; put it beside the certificate")))?;
    let (found, said) = (sha256(&bytes), &from.sha256);
    let same = found == *said;
    require(
        same,
        format!("{file} has the SHA-256 {found}, the certificate says {said}"),
    )?;
    let instance = Instance::from_bytes(&bytes, None);
    let instance = instance.map_err(|e| Error::file(&path, e.to_string()))?;
    let found = instance.kernel();
    let same = found == kernel;
    require(
        same,
        format!("{file} has the kernel {found}, the certificate says {kernel}"),
    )?;
    Ok(instance)
}

/// The instance at M_t: the same problem, and at t > 0 other weights in the trained blocks.
fn read_centre(c: &TheoremA, instance: &Instance, folder: &Path) -> Proof<Instance> {
    let Centre { t, file, sha256 } = c.centre.clone();
    let centre = read(&FileRef { file, sha256 }, c.kernel, folder)?;
    let (here, there) = (centre.W(), instance.W());
    let moves = c.trained.flags().map(|on| on && t > 0);
    let kept = [
        ("X", centre.X() == instance.X()),
        ("y", centre.y() == instance.y()),
        ("W_O", here.O == there.O),
        ("W_Q", moves[0] || here.Q == there.Q),
        ("W_K", moves[1] || here.K == there.K),
        ("W_V", moves[2] || here.V == there.V),
    ];
    for (name, same) in kept {
        let files = (&c.centre.file, &c.instance.file);
        require(
            same,
            format!("{} and {} differ in {name}", files.0, files.1),
        )?;
    }
    Ok(centre)
}
