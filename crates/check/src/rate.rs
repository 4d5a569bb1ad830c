//! Theorem A: what the numbers must satisfy, and that they are what they are called.

use super::ball::{Ball, ball, norm, sum};
use super::certificate::{Blocks, Box3, Orbit, Reading, Refuted, TheoremA, Trained};
use super::claims::{Answer, Proof, Site, Stop, at_most, require};
use super::curvature::{BlockMatrix, apply, block_norm, closed_form, sharp, sharp_is_affordable};
use super::descent::Attention;
use super::files::{Files, read};
use super::gram::{Gram, Term};
use super::instance::{Dims, Instance};
use super::matrix::{Matrix, Real, Rows};
use super::number::{Double, power};
use super::orbit::{Path, exceeds, leads};
use super::point::{Part, Point};

pub(crate) fn rate(c: &TheoremA, files: &Files) -> Proof {
    signs(&numbers!(c))?;
    signs_of_box(c)?;
    // The inequalities of the box need the matrix H and have to wait for it.
    if c.region.is_none() {
        ball_inequalities(&numbers!(c))?;
    }
    let instance = read(&c.instance, c.kernel, files)?;
    let moved = if c.centre.t == 0 && c.centre.file_ref() == c.instance {
        None
    } else {
        Some(read(&c.centre.file_ref(), c.kernel, files)?)
    };
    if let Some(centre) = &moved {
        same_problem(c, &instance, centre)?;
    }
    reading_applies(&c.reading, c.trained, instance.dims)?;

    let start = Site::new(&instance);
    let there = moved.as_ref().map(Site::new);
    let at = there.as_ref().unwrap_or(&start);
    let near = Near::new(c, at.fast());
    let residual = |at: &Point| {
        let claimed = ball(c.residual_norm_upper);
        let moved = ball(c.jacobian_norm_upper) * near.distance;
        Answer::at_most("|r|", at.residual_norm() + moved, "residual_norm_upper", claimed)
    };
    residual(at.fast()).or(|| residual(at.precise())).proof()?;
    curvature(c, at, &near)?;
    let value = jacobian(c, at, &near)?;
    let claim = Claim { reading: &c.reading, trained: c.trained, beta: c.beta };
    if c.centre.t == 0 {
        return beta(&claim, &start, value, c.reading == Reading::Ntk);
    }
    drop((value, there));
    beta(&claim, &start, Value::Unknown, false)?;
    match (&c.orbit, &moved) {
        (Some(orbit), Some(centre)) => orbit_to(c, orbit, &instance, centre),
        _ => Ok(()),
    }
}

/// Which points the tail may start from: those within the orbit's distance of the centre, or the
/// centre alone.
///
/// On the way from the centre to such a point |D^2F| <= h, so J and each of its blocks change by at
/// most h times the distance in norm, and with them every singular value; |r| changes by at most |J|
/// (of all those points) times the distance. The regions of radii rho around all those points are
/// in the one of radii rho + distance around the centre. So where the numbers of the file are bounds
/// with that added, Theorem A closes at M_T with them (Theorem 6 of the orbit).
struct Near {
    distance: Ball,
    /// h times the distance.
    change: Ball,
}

impl Near {
    fn new(c: &TheoremA, at: &Point) -> Near {
        let Some(Orbit { distance, .. }) = c.orbit else {
            return Near { distance: Ball::ZERO, change: Ball::ZERO };
        };
        let h = closed_form(at, c.trained, distance);
        Near { distance: ball(distance), change: (h * ball(distance)).upper_ball() }
    }

    /// An f64 that is not below radius + distance.
    fn widened(&self, radius: f64) -> f64 {
        if self.distance.is_zero() { radius } else { (ball(radius) + self.distance).upper() }
    }
}

/// Condition 1 of Theorem 6.
fn orbit_to(c: &TheoremA, orbit: &Orbit, instance: &Instance, centre: &Instance) -> Proof {
    let subject = &Attention { instance, trained: c.trained };
    let centre = subject.weights(centre);
    let (steps, bits) = (orbit.steps, orbit.bits);
    let path = Path { subject, eta: c.eta, steps, bits, centre: Some(&centre) };
    leads(&path, c.beta, orbit.distance)
}

/// Corollary 7: f_t of the exact orbit is above (1 - eta beta)^t f_0 for a beta that is not above
/// the reading's.
pub(crate) fn refuted(c: &Refuted, files: &Files) -> Proof {
    for (name, x) in [("eta", c.eta), ("beta", c.beta), ("loss_lower", c.loss_lower)] {
        let holds = x > 0.0 && x.is_finite();
        require(holds, || format!("{name} = {x:?} is not a positive number"))?;
    }
    for (name, x) in [("bound_upper", c.bound_upper), ("distance", c.distance)] {
        let holds = x >= 0.0 && x.is_finite();
        require(holds, || format!("{name} = {x:?} is negative or not finite"))?;
    }
    let (loss, bound) = (c.loss_lower, c.bound_upper);
    require(bound < loss, || {
        format!("bound_upper = {bound:?} is not below loss_lower = {loss:?}: nothing is exceeded")
    })?;
    let instance = read(&c.instance, c.kernel, files)?;
    reading_applies(&c.reading, c.trained, instance.dims)?;
    let start = Site::new(&instance);
    // With eta beta < 1 the bound is the smaller the larger beta is.
    let most = (1.0 / c.eta * (1.0 - power(-40))).min(f64::MAX);
    require((ball(c.eta) * ball(most)).below(ball(1.0)), || {
        format!("eta = {:?} is out of range", c.eta)
    })?;
    let claim = |beta: f64| Claim { reading: &c.reading, trained: c.trained, beta };
    let means_nothing = "eta beta is not proven to be below 1, so the bound may mean nothing";
    if c.reading.is_own() {
        require(c.beta <= most, || means_nothing.to_owned())?;
    } else {
        beta_at_least(&claim(c.beta), &start)?;
        beta(&claim(most), &start, Value::Unknown, true).map_err(|stop| match stop {
            Stop::Unproven(_) => Stop::Unproven(means_nothing.to_owned()),
            unreadable => unreadable,
        })?;
    }
    let subject = &Attention { instance: &instance, trained: c.trained };
    let path = Path { subject, eta: c.eta, steps: c.t, bits: c.bits, centre: None };
    exceeds(&path, c.beta, loss, bound)
}

/// The numbers of a certificate of Theorem A.
pub(crate) struct Numbers<'a> {
    pub(crate) beta: f64,
    pub(crate) alpha_lower: f64,
    pub(crate) jacobian_norm_upper: f64,
    pub(crate) residual_norm_upper: f64,
    pub(crate) rho: f64,
    pub(crate) h_rho_upper: f64,
    pub(crate) alpha: f64,
    pub(crate) smoothness: f64,
    pub(crate) eta: f64,
    pub(crate) rate_lower: f64,
    pub(crate) margin: f64,
    pub(crate) t: u64,
    pub(crate) orbit: Option<&'a Orbit>,
}

/// Of a certificate with these fields.
macro_rules! numbers {
    ($c:expr) => {
        $crate::rate::Numbers {
            beta: $c.beta,
            alpha_lower: $c.alpha_lower,
            jacobian_norm_upper: $c.jacobian_norm_upper,
            residual_norm_upper: $c.residual_norm_upper,
            rho: $c.rho,
            h_rho_upper: $c.h_rho_upper,
            alpha: $c.alpha,
            smoothness: $c.smoothness,
            eta: $c.eta,
            rate_lower: $c.rate_lower,
            margin: $c.margin,
            t: $c.centre.t,
            orbit: $c.orbit.as_ref(),
        }
    };
}
pub(crate) use numbers;

/// Every number is finite and has the sign its meaning gives it.
pub(crate) fn signs(c: &Numbers) -> Proof {
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
        require(holds, || format!("{name} = {x:?} is not a positive number"))?;
    }
    if let Some(Orbit { steps, distance, .. }) = c.orbit {
        let t = c.t;
        require(*steps > 0 && *steps == t, || {
            format!("orbit.steps = {steps} is not the centre's t = {t} > 0")
        })?;
        let holds = *distance >= 0.0 && distance.is_finite();
        require(holds, || format!("orbit.distance = {distance:?} is negative or not finite"))?;
    }
    let others = [
        ("residual_norm_upper", c.residual_norm_upper),
        ("h_rho_upper", c.h_rho_upper),
        ("margin", c.margin),
    ];
    others.into_iter().try_for_each(|(name, x)| not_negative(name, x))
}

fn not_negative(name: &str, x: f64) -> Proof {
    let holds = x >= 0.0 && x.is_finite();
    require(holds, || format!("{name} = {x:?} is negative or not finite"))
}

/// The same for a box; blocks that are not trained have zeros.
fn signs_of_box(c: &TheoremA) -> Proof {
    let Some(region) = &c.region else { return Ok(()) };
    let on = c.trained.flags();
    let (A, trained) = (region.resolved, c.trained);
    let inside = (0..3).all(|b| on[b] || !A.flags()[b]);
    require(inside, || format!("box.resolved = {A} is not within the trained blocks {trained}"))?;
    for b in 0..3 {
        let norms = region.jacobian_norms_upper;
        for (name, x) in [("box.radii", region.radii[b]), ("box.jacobian_norms_upper", norms[b])] {
            not_negative(name, x)?;
            require(on[b] || x == 0.0, || {
                format!("{name} = {x:?} is not 0, but its block is not trained")
            })?;
        }
    }
    Ok(())
}

/// Theorem A of theory.md section 4. With a smaller alpha and a larger L than the formulas give,
/// its proof stands.
pub(crate) fn ball_inequalities(c: &Numbers) -> Proof {
    let [alpha_c, alpha, rho, h] = [c.alpha_lower, c.alpha, c.rho, c.h_rho_upper].map(ball);
    let [J, R, L] = [c.jacobian_norm_upper, c.residual_norm_upper, c.smoothness].map(ball);
    at_most("alpha", alpha, "alpha_lower - rho h", alpha_c - rho * h)?;
    let largest = J + rho * h;
    let smoothness = largest * largest + R * h;
    at_most("(|J| + rho h)^2 + |r| h", smoothness, "smoothness", L)?;
    let contraction = step_and_rate(c)?;
    let reach = rho * alpha * contraction;
    at_most("|r|", R, "rho alpha (1 - eta L/2)", reach)
}

/// Theorem A' of `proofs-checks/sharper.md`, H being the matrix over the box or more.
fn box_inequalities(c: &TheoremA, region: &Box3, H: &BlockMatrix) -> Proof {
    let [alpha_c, alpha, rho] = [c.alpha_lower, c.alpha, c.rho].map(ball);
    let [J, R, L] = [c.jacobian_norm_upper, c.residual_norm_upper, c.smoothness].map(ball);
    let Box3 { resolved, radii, jacobian_norms_upper: norms } = region;
    let e = apply(H, radii.map(ball));
    let A = resolved.flags();
    let loss = norm((0..3).filter(|&b| A[b]).map(|b| e[b]));
    at_most("alpha", alpha, "alpha_lower - |e|_A", alpha_c - loss)?;
    let largest = J + norm(e.into_iter());
    let smoothness = largest * largest + R * block_norm(H);
    at_most("(|J| + |e|)^2 + |r| |H|", smoothness, "smoothness", L)?;
    let contraction = step_and_rate(&numbers!(c))?;
    let tau = ball(2.0) * R / ((alpha_c + alpha) * contraction);
    at_most("the length of the path", tau, "rho", rho)?;
    for b in (0..3).filter(|&b| c.trained.flags()[b]) {
        let at_centre = ball(norms[b]);
        let slope = (at_centre / alpha_c + (at_centre + e[b]) / alpha) / ball(2.0);
        let moves = tau * slope.min(ball(1.0));
        let radius = format!("its radius in the box, {}:", ["W^Q", "W^K", "W^V"][b]);
        at_most("what a block may move", moves, &radius, ball(radii[b]))?;
    }
    Ok(())
}

/// eta L < 2 and eta beta <= rate_lower <= 2 eta alpha^2 (1 - eta L/2), eta beta < 1; gives 1 - eta
/// L/2.
fn step_and_rate(c: &Numbers) -> Proof<Ball> {
    let [alpha, L, eta, rate] = [c.alpha, c.smoothness, c.eta, c.rate_lower].map(ball);
    let contraction = ball(1.0) - eta * L / ball(2.0);
    require(ball(0.0).below(contraction), || {
        format!("eta smoothness = {:?} is not below 2", (eta * L).upper())
    })?;
    let proven = ball(2.0) * eta * alpha * alpha * contraction;
    at_most("rate_lower", rate, "2 eta alpha^2 (1 - eta L/2)", proven)?;
    let claim = eta * ball(c.beta);
    at_most("eta beta", claim, "rate_lower", rate)?;
    require(claim.below(ball(1.0)), || {
        "eta beta is not below 1, so the bound means nothing".to_owned()
    })?;
    Ok(contraction)
}

/// M_t belongs to the same problem, and at t > 0 has other weights in the trained blocks alone.
fn same_problem(c: &TheoremA, instance: &Instance, centre: &Instance) -> Proof {
    let moves = c.trained.flags().map(|on| on && c.centre.t > 0);
    let kept = [
        ("X", centre.X == instance.X),
        ("y", centre.y == instance.y),
        ("W_O", centre.W_O == instance.W_O),
        ("W_Q", moves[0] || centre.W_Q == instance.W_Q),
        ("W_K", moves[1] || centre.W_K == instance.W_K),
        ("W_V", moves[2] || centre.W_V == instance.W_V),
    ];
    let sizes = centre.dims == instance.dims;
    for (name, same) in kept {
        let (there, here) = (&c.centre.file, &c.instance.file);
        require(same && sizes, || format!("{there} and {here} differ in {name}"))?;
    }
    Ok(())
}

/// Theory.md section 2: when a reading of beta means something. That beta > 0 is a matter of
/// numbers, see [`beta`].
fn reading_applies(reading: &Reading, trained: Trained, dims: Dims) -> Proof {
    let Dims { D, d, H, p, .. } = dims;
    let of_B = matches!(reading, Reading::Stacked | Reading::PerHead);
    let of_V = of_B || *reading == Reading::Value;
    require(!of_V || trained.flags()[2], || format!("the reading {reading} needs W^V trained"))?;
    let (width, rows) = (H * D, dims.tokens());
    require(!of_B || width >= rows, || {
        format!("the reading {reading} needs H D >= N n, but H D = {width} and N n = {rows}")
    })?;
    require(*reading != Reading::PerHead || d >= p, || {
        format!("the reading per_head needs d >= p, but d = {d} and p = {p}")
    })
}

/// h_rho_upper >= |D^2F|: over the ball by the closed form or, where that does not do, by the
/// matrix H with equal radii (each decides alone); over the box by H.
fn curvature(c: &TheoremA, at: &Site, near: &Near) -> Proof {
    let claimed = ball(c.h_rho_upper);
    let H = |radii: Blocks| -> Proof<BlockMatrix> {
        let affordable = sharp_is_affordable(at.fast().dims);
        require(affordable, || {
            "h_rho_upper: the sharp bound takes too long at these sizes".to_owned()
        })?;
        // Radii of blocks that are not trained count nothing.
        Ok(sharp(at.precise(), c.trained, radii.map(|radius| near.widened(radius))))
    };
    if let Some(region) = &c.region {
        let H = H(region.radii)?;
        at_most("|H|", block_norm(&H), "h_rho_upper", claimed)?;
        return box_inequalities(c, region, &H);
    }
    let closed = |at: &Point| {
        let h = closed_form(at, c.trained, near.widened(c.rho));
        Answer::at_most("h(rho)", h, "h_rho_upper", claimed)
    };
    if let Answer::Proven = closed(at.fast()).or(|| closed(at.precise())) {
        return Ok(());
    }
    let of_H = block_norm(&H([c.rho; 3])?);
    at_most("h(rho)", of_H, "h_rho_upper", claimed)
}

/// What the Jacobian's value block was seen to be.
enum Value {
    Unknown,
    /// sigma_min(J_V') > 0, with the Gram matrix.
    Resolved(Gram<f64>),
}

/// jacobian_norm_upper >= |J|, with a box the same for each block, and alpha_lower <=
/// sigma_min(J_A').
fn jacobian(c: &TheoremA, at: &Site, near: &Near) -> Proof<Value> {
    let trained = Part::of(c.trained.flags());
    let resolved = Part::of(c.region.as_ref().map_or(c.trained, |region| region.resolved).flags());
    let point = at.fast();
    let m = point.dims.m();
    let least = ball(c.alpha_lower) + near.change;
    let mut all = Gram::<f64>::new(m, std::iter::empty());
    // J_A J_A' >= J_V J_V', so the value block may be enough.
    let mut value = Value::Unknown;
    for &part in trained.iter().rev() {
        let gram = point.gram::<f64>(&[part]);
        if let Some(region) = &c.region {
            let claimed = region.jacobian_norms_upper[part as usize];
            norm_at_most("box.jacobian_norms_upper", claimed, near, &gram, at, &[part])?;
        }
        all.join(&gram);
        let enough = part == Part::V && resolved.contains(&part);
        if enough && gram.sigma_min_at_least(least).is_ok() {
            value = Value::Resolved(gram);
        }
    }
    norm_at_most("jacobian_norm_upper", c.jacobian_norm_upper, near, &all, at, &trained)?;
    if let Value::Resolved(_) = value {
        return Ok(value);
    }
    let first = if resolved == trained {
        alpha(c, least, point, &resolved, all)
    } else {
        drop(all);
        alpha(c, least, point, &resolved, point.gram::<f64>(&resolved))
    };
    first
        .or(|| {
            let point = at.precise();
            alpha(c, least, point, &resolved, point.gram::<Double>(&resolved))
        })
        .proof()?;
    Ok(value)
}

/// The norm at the centre is at most what is claimed less what it may change by near it.
fn norm_at_most(
    name: &str,
    claimed: f64,
    near: &Near,
    J: &Gram<f64>,
    at: &Site,
    parts: &[Part],
) -> Proof {
    fn decide<T: Real>(
        J: &Gram<T>,
        name: &str,
        claimed: f64,
        near: &Near,
        at: &Point,
        parts: &[Part],
    ) -> Answer {
        // |J| <= |J|_F; else one decomposition.
        let most = ball(claimed) - near.change;
        if J.frobenius().at_most(most) {
            return Answer::Proven;
        }
        let Err(v) = J.norm_at_most(most) else {
            return Answer::Proven;
        };
        let found = at.quotient::<T>(parts, &v);
        let why = format!(
            "{name} = {claimed:?} is not proven: |J'v| / |v| = {:?} for some v",
            found.lower()
        );
        if ball(claimed).below(found) { Answer::Refuted(why) } else { Answer::Hidden(why) }
    }
    decide(J, name, claimed, near, at.fast(), parts)
        .or(|| {
            let point = at.precise();
            decide(&point.gram::<Double>(parts), name, claimed, near, point, parts)
        })
        .proof()
}

/// sigma_min >= `least`, alpha_lower and what it may change by near the centre.
fn alpha<T: Real>(c: &TheoremA, least: Ball, at: &Point, parts: &[Part], J: Gram<T>) -> Answer {
    let claimed = c.alpha_lower;
    let Err(v) = J.sigma_min_at_least(least) else {
        return Answer::Proven;
    };
    drop(J);
    let found = at.quotient::<T>(parts, &v);
    let why = format!(
        "alpha_lower = {claimed:?} is not proven: |J'v| / |v| <= {:?} for some v",
        found.upper()
    );
    if found.below(ball(claimed)) { Answer::Refuted(why) } else { Answer::Hidden(why) }
}

/// A number that is held against a reading's beta at M_0.
struct Claim<'a> {
    reading: &'a Reading,
    trained: Trained,
    beta: f64,
}

/// A reading's beta is c sigma_min(A')^2: what c is between, and the parts that A has side by side
/// (theory.md section 2).
fn reading_of(c: &Claim, W_O: &[Matrix<f64>]) -> ([Ball; 2], Vec<Part>) {
    let one = [ball(1.0); 2];
    match c.reading {
        Reading::Stacked => {
            let rows = W_O.iter().flat_map(|o| o.data.iter().copied()).collect();
            let (rows, cols, data) = (W_O.len() * W_O[0].rows, W_O[0].cols, rows);
            (smallest_output(&Matrix { rows, cols, data }), vec![Part::B])
        }
        Reading::PerHead => {
            let heads = W_O.iter().map(smallest_output);
            let least = heads.reduce(|a, b| [a[0].min(b[0]), a[1].min(b[1])]);
            (least.unwrap_or([Ball::ZERO; 2]), vec![Part::B])
        }
        Reading::Value => (one, vec![Part::V]),
        Reading::Ntk => (one, Part::of(c.trained.flags())),
        Reading::Own(_) => unreachable!("nothing is to be proven about a number that is given"),
    }
}

/// beta <= the reading's: sigma_min(A') >= sqrt(beta / c).
fn beta_at_least(c: &Claim, start: &Site) -> Proof {
    let ([factor, _], parts) = reading_of(c, &start.fast().instance.W_O);
    let (reading, beta) = (c.reading, c.beta);
    let why = || format!("beta = {beta:?} is not proven to be at most the reading's ({reading})");
    require(ball(0.0).below(factor), why)?;
    let target = (ball(beta) / factor).sqrt().upper_ball();
    let decide = |proven: bool| if proven { Answer::Proven } else { Answer::Hidden(why()) };
    decide(start.fast().gram::<f64>(&parts).sigma_min_at_least(target).is_ok())
        .or(|| decide(start.precise().gram::<Double>(&parts).sigma_min_at_least(target).is_ok()))
        .proof()
}

/// beta >= the reading's beta at M_0, as theory.md section 2 defines it, and the reading applies:
/// its beta is not 0, which need not be proven if it is `positive`.
fn beta(c: &Claim, start: &Site, value: Value, positive: bool) -> Proof {
    if c.reading.is_own() {
        return Ok(());
    }
    let W_O = &start.fast().instance.W_O;
    let ([least, factor], parts) = reading_of(c, W_O);
    require(ball(0.0).below(least), || {
        let reading = c.reading;
        format!("the reading {reading} does not apply: sigma_min(W^O) is not proven to be above 0")
    })?;
    // sigma_min(A) <= sqrt(beta / factor) is to be proven, and sigma_min(A) > 0: J_V J_V' is at
    // most max_h |W^O_h|^2 (B B' (x) I), and at M_0 alpha_lower was proven for some of the trained
    // blocks.
    let target = (ball(c.beta) / factor).sqrt();
    let resolved = positive || matches!(value, Value::Resolved(_));
    let found = |v: &[f64]| start.fast().quotient::<f64>(&parts, v).at_most(target);
    // With one output and heads of equal norms B's smallest singular vector is J_V's: any v may be
    // tried.
    if let (Value::Resolved(J_V), [Part::B | Part::V]) = (&value, &parts[..])
        && start.fast().dims.p == 1
    {
        let squares = W_O.iter().flat_map(|o| &o.data).map(|w| ball(*w) * ball(*w));
        let mean = squares.sum::<Ball>() / ball(W_O.len() as f64);
        let size = if parts == [Part::B] { mean.sqrt() } else { ball(1.0) };
        let candidate = J_V.witness_below(target * size * ball(1.0 - power(-22)));
        if candidate.is_some_and(|v| found(&v)) {
            return Ok(());
        }
    }
    drop(value);
    rayleigh::<f64>(c, start.fast(), &parts, target, resolved)
        .or(|| rayleigh::<Double>(c, start.precise(), &parts, target, resolved))
        .proof()
}

/// sigma_min(A) <= target, because sigma_min(A) <= |A'v| / |v| for every v; and sigma_min(A) > 0,
/// unless that is known. The v comes from the decomposition of A A' - a^2 I, which stops where it
/// meets one, a being a little below the target.
fn rayleigh<T: Real>(
    c: &Claim,
    at: &Point,
    parts: &[Part],
    target: Ball,
    resolved: bool,
) -> Answer {
    let (reading, beta) = (c.reading, c.beta);
    let A = at.gram::<T>(parts);
    if !resolved && A.sigma_min_at_least(target * ball(power(-8))).is_err() {
        return Answer::Hidden(format!(
            "the reading {reading} does not apply: its beta is not proven to be above 0"
        ));
    }
    let why = format!("beta = {beta:?} is not proven to be at least the reading's ({reading})");
    let Some(v) = A.witness_below(target * ball(1.0 - power(-22))) else {
        let larger = target.upper_ball();
        return match A.sigma_min_at_least(larger) {
            Ok(()) => {
                Answer::Refuted(format!("beta = {beta:?} is below the reading's ({reading})"))
            }
            Err(_) => Answer::Hidden(why),
        };
    };
    drop(A);
    if at.quotient::<T>(parts, &v).at_most(target) { Answer::Proven } else { Answer::Hidden(why) }
}

/// Bounds of lambda_min(W'W) from below, 0 where none is proven, and from above: |W v|^2 / |v|^2 for
/// some v.
///
/// v is the largest column of (I - W'W / tr W'W)^{2^k}, a candidate that nothing rests on.
pub(crate) fn smallest_output(W: &Matrix<f64>) -> [Ball; 2] {
    let p = W.cols;
    let columns = Rows::<Double>::new(p, W.rows, |c| W.column(c).map(ball).collect());
    let gram = Gram::new(p, std::iter::once(Term::new(columns, Rows::ones(p))));
    let size = norm(W.data.iter().map(|w| ball(*w)));
    if size.is_zero() {
        return [Ball::ZERO; 2];
    }
    let scaled = W.map(|w| (ball(w) / size).in_units(0).0);
    let entry = |a: usize, b: usize| {
        (0..W.rows).fold(Double::ZERO, |sum, k| sum + scaled[(k, a)] * scaled[(k, b)])
    };
    let one = |a: usize, b: usize| Double::exact(f64::from(u8::from(a == b)));
    let mut M = Matrix::new(p, p, |a, b| one(a, b) - entry(a, b));
    for _ in 0..if p == 1 { 0 } else { 110 } {
        let square = Matrix::new(p, p, |a, b| {
            (0..p).fold(Double::ZERO, |sum, k| sum + M[(a, k)] * M[(k, b)])
        });
        let largest = square.data.iter().fold(f64::MIN_POSITIVE, |l, x| l.max(x.hi.abs()));
        M = square.map(|x| x / Double::exact(largest));
    }
    let best = (0..p).max_by(|a, b| M[(*a, *a)].hi.total_cmp(&M[(*b, *b)].hi)).unwrap_or(0);
    let v = if p == 1 { vec![ball(1.0)] } else { (0..p).map(|a| ball(M[(a, best)].hi)).collect() };
    let Wv = norm((0..W.rows).map(|k| sum(p, |a| ball(W[(k, a)]) * v[a])));
    let quotient = Wv / norm(v.iter().copied());
    let least = [1.0 - power(-40), power(-8)].map(|share| quotient * ball(share));
    let proven = |a: &Ball| ball(0.0).below(*a) && gram.sigma_min_at_least(*a).is_ok();
    let least = least.into_iter().find(proven).unwrap_or(Ball::ZERO);
    [least * least, quotient * quotient]
}
