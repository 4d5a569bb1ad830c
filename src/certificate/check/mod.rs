//! The other side of a certificate: every number in it is a claim, and this module proves each of them again from
//! the instance file, or says which one it can not prove.
//!
//! Nothing is shared with the path that finds certificates: the model is evaluated by the plain formulas ([`point`]) in numbers
//! that carry a proven error bound ([`ball`], double-double), singular values are bounded by one Cholesky
//! decomposition each, with Rump's bound on its roundings known beforehand ([`matrix`]), and nothing is searched for. What is
//! trusted: the statements of theory.md section 4 and of `proofs-checks/sharper.md`, IEEE 754 arithmetic, SHA-256, and the
//! readers of the two file formats.

mod ball;
mod curvature;
mod matrix;
mod obstruction;
mod point;
#[cfg(test)]
mod tests;

use super::Reason;
use super::file::{Box3, Centre, Certificate, FileRef, Obstructed, TheoremA};
use super::theorem_a::Blocks;
use crate::model::{DoubleDouble, Kernel, Trained};
use crate::problem::{Dims, Instance};
use crate::spectrum::Reading;
use crate::{Error, Result};
use ball::{Ball, ball};
use matrix::{Gram, Real};
use nalgebra::DMatrix;
use point::{Part, Point};
use sha2::{Digest, Sha256};
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

fn require(holds: bool, otherwise: &str) -> Proof {
    if holds { Ok(()) } else { unproven(otherwise) }
}

/// Proves small <= large.
fn at_most(small: (&str, Ball), large: (&str, Ball)) -> Proof {
    if small.1.at_most(large.1) {
        return Ok(());
    }
    unproven(format!(
        "{} = {:?} is not proven to be at most {} = {:?}",
        small.0,
        small.1.upper(),
        large.0,
        large.1.lower()
    ))
}

// ---------------------------------------------------------------------------------------------------------------------
// Theorem A: what the numbers must satisfy, and that they are what they are called.

fn theorem_a(c: &TheoremA, folder: &Path) -> Proof<String> {
    signs(c)?;
    // The one form of H that the inequalities need is the box's, so that it has to wait for the files.
    if c.region.is_none() {
        ball_inequalities(c)?;
    }
    let instance = read(&c.instance, c.kernel, folder)?;
    let centre = read_centre(c, &instance, folder)?;
    reading_applies(c, instance.dims())?;

    let at = Point::new(&centre);
    let r = at.residual_norm();
    at_most(
        ("|r|", r),
        ("residual_norm_upper", ball(c.residual_norm_upper)),
    )?;
    curvature(c, &at)?;
    jacobian(c, &at)?;
    drop(at);
    beta(c, &Point::new(&instance))?;

    let start = match c.centre.t {
        0 => format!("the weights of {}", c.instance.file),
        t => format!(
            "the weights of {} (step {t}; what came before is not part of this proof)",
            c.centre.file
        ),
    };
    Ok(format!(
        "gradient descent with step {:?} on W^{} from {start} has f_(s+1) <= (1 - {:?}) f_s for every s >= 0; \
         that covers (1 - eta beta)^s for the {} beta <= {:?}, eta beta <= {:?}",
        c.eta,
        c.trained,
        c.rate_lower,
        c.reading,
        c.beta,
        (ball(c.eta) * ball(c.beta)).upper()
    ))
}

/// Every number is finite and has the sign its meaning gives it.
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
        require(
            x > 0.0 && x.is_finite(),
            &format!("{name} = {x:?} is not a positive number"),
        )?;
    }
    let mut others = vec![
        ("residual_norm_upper", c.residual_norm_upper, true),
        ("h_rho_upper", c.h_rho_upper, true),
        ("margin", c.margin, true),
    ];
    if let Some(Box3 {
        resolved,
        radii,
        jacobian_norms_upper,
    }) = &c.region
    {
        let on = c.trained.flags();
        let inside = resolved.flags().iter().zip(on).all(|(&a, on)| on || !a);
        require(
            inside,
            &format!(
                "box.resolved = {resolved} is not within the trained blocks {}",
                c.trained
            ),
        )?;
        for b in 0..3 {
            others.push(("box.radii", Blocks::from(*radii)[b], on[b]));
            others.push((
                "box.jacobian_norms_upper",
                Blocks::from(*jacobian_norms_upper)[b],
                on[b],
            ));
        }
    }
    for (name, x, trained) in others {
        require(
            x >= 0.0 && x.is_finite(),
            &format!("{name} = {x:?} is negative or not finite"),
        )?;
        require(
            trained || x == 0.0,
            &format!("{name} = {x:?} of a block that is not trained is not 0"),
        )?;
    }
    Ok(())
}

/// Theorem A of theory.md section 4. With a smaller alpha and a larger L than the formulas give, its proof stands.
fn ball_inequalities(c: &TheoremA) -> Proof {
    let [alpha, rho, h] = [c.alpha, c.rho, c.h_rho_upper].map(ball);
    let [jacobian, R] = [c.jacobian_norm_upper, c.residual_norm_upper].map(ball);
    at_most(
        ("alpha", alpha),
        ("alpha_lower - rho h", ball(c.alpha_lower) - rho * h),
    )?;
    let largest = jacobian + rho * h;
    at_most(
        ("(|J| + rho h)^2 + |r| h", largest * largest + R * h),
        ("smoothness", ball(c.smoothness)),
    )?;
    let contraction = step_and_rate(c)?;
    at_most(
        ("|r|", R),
        ("rho alpha (1 - eta L/2)", rho * alpha * contraction),
    )
}

/// Theorem A' of `proofs-checks/sharper.md`, with the matrix H over the box.
fn box_inequalities(c: &TheoremA, region: &Box3, H: &curvature::BlockMatrix) -> Proof {
    let [alpha, alpha_c, rho] = [c.alpha, c.alpha_lower, c.rho].map(ball);
    let [jacobian, R] = [c.jacobian_norm_upper, c.residual_norm_upper].map(ball);
    let radii = Blocks::from(region.radii).map(ball);
    let e = curvature::apply(H, radii);
    let in_A = (0..3).filter(|&b| region.resolved.flags()[b]);
    let loss = matrix::norm(in_A.map(|b| e[b]));
    at_most(("alpha", alpha), ("alpha_lower - |e|_A", alpha_c - loss))?;
    let largest = jacobian + matrix::norm(e.into_iter());
    at_most(
        (
            "(|J| + |e|)^2 + |r| |H|",
            largest * largest + R * curvature::block_norm(H),
        ),
        ("smoothness", ball(c.smoothness)),
    )?;
    let contraction = step_and_rate(c)?;
    let tau = ball(2.0) * R / ((alpha_c + alpha) * contraction);
    at_most(("the path length tau", tau), ("rho", rho))?;
    for b in (0..3).filter(|&b| c.trained.flags()[b]) {
        let norm = ball(Blocks::from(region.jacobian_norms_upper)[b]);
        let slope = (norm / alpha_c + (norm + e[b]) / alpha) / ball(2.0);
        let name = ["box.radii.Q", "box.radii.K", "box.radii.V"][b];
        at_most(
            ("what the block moves", tau * slope.min(ball(1.0))),
            (name, radii[b]),
        )?;
    }
    Ok(())
}

/// eta L < 2 and eta beta <= rate_lower <= 2 eta alpha^2 (1 - eta L/2); gives 1 - eta L/2.
fn step_and_rate(c: &TheoremA) -> Proof<Ball> {
    let [alpha, L, eta, rate] = [c.alpha, c.smoothness, c.eta, c.rate_lower].map(ball);
    let contraction = ball(1.0) - eta * L / ball(2.0);
    require(
        ball(0.0).below(contraction),
        &format!("eta smoothness = {:?} is not below 2", (eta * L).upper()),
    )?;
    let proven = ball(2.0) * eta * alpha * alpha * contraction;
    at_most(
        ("rate_lower", rate),
        ("2 eta alpha^2 (1 - eta L/2)", proven),
    )?;
    at_most(("eta beta", eta * ball(c.beta)), ("rate_lower", rate))?;
    require(
        (eta * ball(c.beta)).below(ball(1.0)),
        "eta beta is not below 1: the bound would mean nothing",
    )?;
    Ok(contraction)
}

/// Theory.md section 2: when a reading of beta means something.
fn reading_applies(c: &TheoremA, dims: Dims) -> Proof {
    let Dims { D, d, H, p, .. } = dims;
    let reading = c.reading;
    let of_B = matches!(reading, Reading::Stacked | Reading::PerHead);
    let needs_v = of_B || reading == Reading::Value;
    require(
        !needs_v || c.trained.v(),
        &format!("the reading {reading} needs W^V trained"),
    )?;
    require(
        !of_B || H * D >= dims.tokens(),
        &format!(
            "the reading {reading} needs H D >= N n, but H D = {} and N n = {}",
            H * D,
            dims.tokens()
        ),
    )?;
    require(
        reading != Reading::PerHead || d >= p,
        &format!("the reading {reading} needs d >= p, but d = {d} and p = {p}"),
    )
}

/// h_rho_upper >= |D^2F| over the ball, by the closed form or by the matrix H with three equal radii; over the box by H.
fn curvature(c: &TheoremA, at: &Point) -> Proof {
    let claimed = ("h_rho_upper", ball(c.h_rho_upper));
    if let Some(region) = &c.region {
        let H = curvature::sharp(at, c.trained, region.radii.into());
        at_most(("|H|", curvature::block_norm(&H)), claimed)?;
        return box_inequalities(c, region, &H);
    }
    let closed = curvature::closed_form(at, c.trained, c.rho);
    if closed.at_most(claimed.1) {
        return Ok(());
    }
    let H = curvature::sharp(at, c.trained, [c.rho; 3]);
    at_most(("h(rho)", closed.min(curvature::block_norm(&H))), claimed)
}

/// alpha_lower <= sigma_min(J_A'), jacobian_norm_upper >= |J| and, with a box, the same for each block.
fn jacobian(c: &TheoremA, at: &Point) -> Proof {
    let trained = parts(c.trained);
    let resolved = parts(
        c.region
            .as_ref()
            .map_or(c.trained, |region| region.resolved),
    );
    let grams = grams::<f64>(at, &trained);
    if let Some(region) = &c.region {
        for (part, gram) in &grams {
            let claimed = Blocks::from(region.jacobian_norms_upper)[*part as usize];
            norm_at_most("box.jacobian_norms_upper", claimed, gram, at, &[*part])?;
        }
    }
    let all = total(&grams, &trained);
    norm_at_most(
        "jacobian_norm_upper",
        c.jacobian_norm_upper,
        &all,
        at,
        &trained,
    )?;
    drop(all);

    // J_A J_A' >= J_V J_V': if V is in A, its block may be enough.
    let a = c.alpha_lower;
    let value = grams
        .iter()
        .find(|(part, _)| *part == Part::V && resolved.contains(part));
    if value.is_some_and(|(_, gram)| gram.sigma_min_at_least(a).is_ok()) {
        return Ok(());
    }
    let gram = total(&grams, &resolved);
    drop(grams);
    let Err(v) = gram.sigma_min_at_least(a) else {
        return Ok(());
    };
    let radius = gram.radius();
    drop(gram);
    // Is it false, or lost in f64's rounding?
    let upper = at.quotient(&resolved, radius, &v);
    let name = "sigma_min(J'), from above,";
    if !upper.below(ball(a)) {
        let grams = self::grams::<DoubleDouble>(at, &resolved);
        if total(&grams, &resolved).sigma_min_at_least(a).is_ok() {
            return Ok(());
        }
    }
    unproven(format!(
        "alpha_lower = {a:?} is not proven: {name} is {:?}",
        upper.upper()
    ))
}

fn norm_at_most(name: &str, claimed: f64, gram: &Gram<f64>, at: &Point, parts: &[Part]) -> Proof {
    // |J| <= |J|_F; else one decomposition.
    if gram.frobenius().at_most(ball(claimed)) {
        return Ok(());
    }
    let Err(v) = gram.norm_at_most(claimed) else {
        return Ok(());
    };
    unproven(format!(
        "{name} = {claimed:?} is not proven: |J'v| / |v| = {:?} for some v",
        at.quotient(parts, ball(0.0), &v).lower()
    ))
}

/// beta >= the reading's definition at M_0: sigma_min(A)^2 <= |A'v|^2 / |v|^2 for any v.
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
    let claimed = ball(c.beta);
    let failure = match rayleigh::<f64>(at, &parts, factor, claimed) {
        // Only what rounding may have hidden is worth the higher precision.
        Err(Some(_)) => rayleigh::<DoubleDouble>(at, &parts, factor, claimed).err(),
        other => other.err(),
    };
    match failure {
        None => Ok(()),
        Some(Some(found)) => at_most(("beta, from above,", found), ("beta", claimed)),
        Some(None) => unproven(format!(
            "beta = {:?} is below the {} beta of the instance",
            c.beta, c.reading
        )),
    }
}

/// An upper bound of lambda_min(W'W): |W v|^2 / |v|^2 for a v that a library found.
fn smallest_output(W: &DMatrix<f64>) -> Ball {
    let square = W.transpose() * W;
    let p = square.ncols();
    let v = if square.iter().all(|x| x.is_finite()) {
        let eigen = square.symmetric_eigen();
        eigen
            .eigenvectors
            .column(eigen.eigenvalues.imin())
            .map(ball)
    } else {
        DMatrix::from_element(p, 1, ball(1.0))
            .column(0)
            .into_owned()
    };
    let v = DMatrix::from_fn(p, 1, |i, _| v[i]);
    let Wv = point::product(&W.map(ball), &v);
    let quotient = matrix::norm(Wv.iter().copied()) / matrix::norm(v.iter().copied());
    quotient * quotient
}

/// Proves factor sigma_min(A)^2 <= claimed by a vector that the decomposition of A A' - c I hands out where it stops, c a
/// little below claimed / factor. Fails with the quotient that is too large, or with nothing if the claim is false.
fn rayleigh<T: Real>(
    at: &Point,
    parts: &[Part],
    factor: Ball,
    claimed: Ball,
) -> std::result::Result<(), Option<Ball>> {
    if factor.is_zero() {
        return Ok(());
    }
    let gram = total(&grams::<T>(at, parts), parts);
    let target = (claimed / factor).lower();
    let below = target * (1.0 - 1.0 / f64::from(1 << 22));
    let Some(v) = gram.witness_below(below) else {
        let larger = ball(target).sqrt().upper();
        return Err(match gram.sigma_min_at_least(larger) {
            Ok(()) => None,
            Err(_) => Some(claimed),
        });
    };
    let quotient = at.quotient(parts, gram.radius(), &v);
    let found = factor * quotient * quotient;
    if found.at_most(claimed) {
        Ok(())
    } else {
        Err(Some(found))
    }
}

fn parts(trained: Trained) -> Vec<Part> {
    let on = trained.flags().into_iter();
    Part::BLOCKS
        .into_iter()
        .zip(on)
        .filter(|(_, on)| *on)
        .map(|(part, _)| part)
        .collect()
}

fn grams<T: Real>(at: &Point, parts: &[Part]) -> Vec<(Part, Gram<T>)> {
    parts.iter().map(|&part| (part, at.gram(part))).collect()
}

/// The Gram matrix of some of the parts, side by side.
fn total<T: Real>(grams: &[(Part, Gram<T>)], parts: &[Part]) -> Gram<T> {
    let mut chosen = grams
        .iter()
        .filter(|(part, _)| parts.contains(part))
        .map(|(_, gram)| gram);
    let mut sum = chosen.next().cloned().unwrap_or_else(|| Gram::new(0));
    chosen.for_each(|gram| sum.join(gram));
    sum
}

// ---------------------------------------------------------------------------------------------------------------------
// Obstructions.

fn obstructed(c: &Obstructed, folder: &Path) -> Proof<String> {
    let [loss, margin] = [c.loss_lower, c.margin];
    require(
        loss > 0.0 && loss.is_finite(),
        &format!("loss_lower = {loss:?} is not a positive number"),
    )?;
    require(
        margin >= 0.0 && margin.is_finite(),
        &format!("margin = {margin:?} is negative or not finite"),
    )?;
    require(
        c.kernel == Kernel::Softmax,
        "only softmax attention is obstructed",
    )?;
    require(!c.trained.v(), "with W^V trained nothing obstructs")?;
    let instance = read(&c.instance, c.kernel, folder)?;
    let at = Point::new(&instance);
    at_most(
        ("loss_lower", ball(loss)),
        ("the hull bound", obstruction::hull_loss(&at)),
    )?;
    let because = match c.reason {
        Reason::Hull => "the labels leave the hull of the values",
        Reason::ZeroGradient => {
            require(
                obstruction::values_ignore_token(&instance),
                "reason = zero_gradient, but a feature that varies over tokens is read by W^V",
            )?;
            "no value depends on its token, so gradient descent does not move"
        }
    };
    Ok(format!(
        "no W^{} brings the loss of {} below {loss:?}: {because}",
        c.trained, c.instance.file
    ))
}

// ---------------------------------------------------------------------------------------------------------------------
// Files.

/// The instance file, if its bytes and its kernel are the certificate's.
fn read(from: &FileRef, kernel: Kernel, folder: &Path) -> Proof<Instance> {
    let name = Path::new(&from.file);
    require(
        name.file_name() == Some(name.as_os_str()),
        &format!(
            "'{}' is not the plain name of a file beside the certificate",
            from.file
        ),
    )?;
    let path = folder.join(name);
    let bytes = std::fs::read(&path).map_err(|e| {
        Error::file(
            &path,
            format!("cannot read: {e}; put it beside the certificate"),
        )
    })?;
    let digest = Sha256::digest(&bytes);
    let found: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    require(
        found == from.sha256,
        &format!(
            "{} has the SHA-256 {found}, the certificate says {}",
            from.file, from.sha256
        ),
    )?;
    let instance =
        Instance::from_bytes(&bytes, None).map_err(|e| Error::file(&path, e.to_string()))?;
    require(
        instance.kernel() == kernel,
        &format!(
            "{} has the kernel {}, the certificate says {kernel}",
            from.file,
            instance.kernel()
        ),
    )?;
    Ok(instance)
}

/// The instance at M_t: the same problem, and the same weights but in trained blocks.
fn read_centre(c: &TheoremA, instance: &Instance, folder: &Path) -> Proof<Instance> {
    let Centre { t, file, sha256 } = c.centre.clone();
    let centre = read(&FileRef { file, sha256 }, c.kernel, folder)?;
    let same = |a: &[DMatrix<f64>], b: &[DMatrix<f64>]| a == b;
    let (V, W) = (centre.W(), instance.W());
    let moves = if t > 0 { c.trained.flags() } else { [false; 3] };
    let kept = [
        ("X", same(centre.X(), instance.X()), false),
        ("y", same(centre.y(), instance.y()), false),
        ("W_O", same(&V.O, &W.O), false),
        ("W_Q", same(&V.Q, &W.Q), moves[0]),
        ("W_K", same(&V.K, &W.K), moves[1]),
        ("W_V", same(&V.V, &W.V), moves[2]),
    ];
    for (name, same, moves) in kept {
        require(
            same || moves,
            &format!("{} and {} differ in {name}", c.centre.file, c.instance.file),
        )?;
    }
    Ok(centre)
}
