//! Exact gradient descent from the instance's weights, enclosed.
//!
//! G(M) = M - eta J'r, |.| of weights is the Frobenius norm over the trained blocks.
//!
//! **One step** (Lemma 1). On a ball around M~ let |J| <= Lambda, |r| <= R, |D^2F| <= h. Then for M
//! in it |G(M) - G(M~)| <= g |M - M~|, g = max(1, eta Lambda^2 - 1) + eta R h: DG = (I - eta J'J) -
//! eta sum_a r_a D^2F_a, where the first matrix is symmetric with eigenvalues between 1 - eta
//! Lambda^2 and 1, and the second is at most eta R h.
//!
//! **The orbit** (Theorem 2). Let |M_t - M~_t| <= eps_t, let g_t be as above on the ball of radius
//! eps_t around M~_t, and |M~_{t+1} - G(M~_t)| <= delta_t. Then |M_{t+1} - M~_{t+1}| <= g_t eps_t +
//! delta_t = eps_{t+1}, and |r(M_t)| is within Lambda_t eps_t of |r(M~_t)|. M~_t are exact numbers,
//! any numbers: the lower ends of what [`Descent`] gives for G(M~_{t-1}). So roundings enter
//! delta_t, the width between the ends, and nothing else.
//!
//! **Windows** (Lemma 3). One Lambda and one h serve as long as the ball of radius eps_t around
//! M~_t is in a ball of radius rho around a centre C: h is the closed form over it, Lambda = |J(C)|
//! + h rho.

use super::ball::{Ball, ball, norm};
use super::certificate::Trained;
use super::claims::{Answer, Proof, Site, Stop};
use super::curvature::closed_form;
use super::descent::{Descent, products};
use super::ends::Ends;
use super::instance::Instance;
use super::matrix::Matrix;
use super::number::power;
use super::point::Part;

/// Gradient descent from the instance's weights up to a step.
pub(crate) struct Path<'a> {
    pub(crate) instance: &'a Instance,
    pub(crate) trained: Trained,
    pub(crate) eta: f64,
    pub(crate) steps: u64,
    /// How many bits to begin with.
    pub(crate) bits: u64,
    /// The distance of the last point to this one is wanted.
    pub(crate) centre: Option<&'a Instance>,
}

/// What is known about the exact orbit.
pub(crate) struct Enclosed {
    /// |r(M_t)|^2 = 2 f_t, t = 0 to `steps`.
    pub(crate) squares: Vec<Ball>,
    /// |M_T - C|; 0 without a centre.
    pub(crate) away: Ball,
    /// Whether more bits would make any of this narrower.
    blurred: bool,
}

/// Bounds on the ball of this radius around the weights of an instance.
struct Window {
    centre: Instance,
    radius: f64,
    /// |J| and |D^2F| from above.
    jacobian: Ball,
    curvature: Ball,
}

/// So many products of two words take some minutes.
const LONGEST: u64 = 1 << 38;

/// h over a window is at most this multiple of h at its centre, where the window is not as small as
/// can be: larger windows are fewer and let errors grow faster.
const SPREAD: f64 = 1.25;

type Walk = fn(&Path, &mut Vec<Window>) -> Result<Enclosed, String>;

impl Path<'_> {
    /// Proves what `decide` wants of the enclosed orbit, with as many bits as that takes.
    pub(crate) fn prove(&self, decide: &dyn Fn(&Enclosed) -> Answer) -> Proof {
        let precisions: [(usize, Walk); 9] = [
            (4, walk::<4>),
            (5, walk::<5>),
            (6, walk::<6>),
            (8, walk::<8>),
            (12, walk::<12>),
            (17, walk::<17>),
            (25, walk::<25>),
            (40, walk::<40>),
            (66, walk::<66>),
        ];
        let most = Ends::<66>::BITS as u64;
        let mut windows = Vec::new();
        let mut why = String::new();
        for (words, walk) in precisions {
            let bits = 64 * (words as u64 - 1);
            if bits < self.bits.min(most) {
                continue;
            }
            // A number costs something whatever its length, and so does a step.
            let number = (words * words + 64) as u64;
            let step = products(self.instance.dims).saturating_mul(number).saturating_add(1 << 16);
            if step.saturating_mul(self.steps.saturating_add(1)) > LONGEST {
                let (steps, before) = (self.steps, if why.is_empty() { "" } else { "; " });
                why += &format!("{before}{steps} steps with {bits} bits take too long");
                break;
            }
            match walk(self, &mut windows) {
                Ok(enclosed) => match decide(&enclosed) {
                    Answer::Hidden(hidden) if enclosed.blurred => why = hidden,
                    decided => return decided.proof(),
                },
                Err(stopped) => why = stopped,
            }
        }
        Err(Stop::Unproven(format!("the orbit could not be re-proven: {why}")))
    }
}

/// The orbit in numbers of L words.
fn walk<const L: usize>(path: &Path, windows: &mut Vec<Window>) -> Result<Enclosed, String> {
    let bits = Ends::<L>::BITS;
    let eta = ball(path.eta);
    let mut descent = Descent::<L>::new(path.instance, path.trained, path.eta);
    // What M_0 has below the last bit.
    let mut error = norm(descent.settle().into_iter());
    let mut squares = Vec::new();
    let mut blurred = false;
    let mut at = 0;
    for t in 0..=path.steps {
        descent.evaluate();
        let stopped = || format!("with {bits} bits it could be enclosed up to t = {t} only");
        let window = hold(path, &descent, windows, &mut at, error).ok_or_else(stopped)?;
        let residual = norm(descent.residual().iter().map(Ends::ball));
        let off = (window.jacobian * error).upper_ball();
        if !off.at_most(residual * ball(power(-12))) {
            return Err(stopped());
        }
        blurred |= !off.at_most(residual * ball(power(-90)));
        let exact = residual.widened(off);
        squares.push(exact * exact);
        if t < path.steps {
            let steep = (eta * window.jacobian * window.jacobian - ball(1.0)).max(ball(1.0));
            let g = steep + eta * exact.upper_ball() * window.curvature;
            descent.step();
            error = (g * error + norm(descent.settle().into_iter())).upper_ball();
        }
    }
    let away = path.centre.map_or(Ball::ZERO, |C| distance(&descent, path.trained, C));
    blurred |= path.centre.is_some() && !error.at_most(away * ball(power(-40)));
    Ok(Enclosed { squares, away: away.widened(error), blurred })
}

/// |M~ - C| over the trained blocks.
fn distance<const L: usize>(descent: &Descent<L>, trained: Trained, C: &Instance) -> Ball {
    let all = [&C.W_Q, &C.W_K, &C.W_V].into_iter().zip(trained.flags());
    let entries = all.filter(|(_, on)| *on).flat_map(|(block, _)| block);
    let entries = entries.flat_map(|W: &Matrix<f64>| &W.data);
    norm(descent.weights().zip(entries).map(|(w, c)| (*w - Ends::of(*c)).ball()))
}

/// A window that holds the ball of radius `error` around the weights: the last one, the next one
/// of an earlier walk, or a new one.
fn hold<'w, const L: usize>(
    path: &Path,
    descent: &Descent<L>,
    windows: &'w mut Vec<Window>,
    at: &mut usize,
    error: Ball,
) -> Option<&'w Window> {
    let inside = |window: &Window| {
        let away = distance(descent, path.trained, &window.centre) + error;
        away.at_most(ball(window.radius))
    };
    for next in [*at, *at + 1] {
        if windows.get(next).is_some_and(inside) {
            *at = next;
            return windows.get(next);
        }
    }
    let last = windows.last().map_or(1.0, |window| window.radius);
    let centre = descent.nearest();
    let finite = |W: &Matrix<f64>| W.data.iter().all(|w| w.is_finite());
    if ![&centre.W_Q, &centre.W_K, &centre.W_V].into_iter().flatten().all(finite) {
        return None;
    }
    windows.push(open(path, centre, last));
    *at = windows.len() - 1;
    windows.last().filter(|window| inside(window))
}

/// A window around these weights; `last` is a radius to look near.
fn open(path: &Path, centre: Instance, last: f64) -> Window {
    let site = Site::new(&centre);
    let point = site.fast();
    let parts = Part::of(path.trained.flags());
    let at_centre = point.gram::<f64>(&parts).norm_upper();
    let most = closed_form(point, path.trained, 0.0) * ball(SPREAD);
    let eta = ball(path.eta);
    let slope = |jacobian: Ball| eta * jacobian * jacobian;
    let steep = (slope(at_centre) * ball(1.02)).max(ball(2.0));
    let around = |radius: f64| {
        let h = closed_form(point, path.trained, radius).upper_ball();
        let jacobian = (at_centre + h * ball(radius)).upper_ball();
        (h.at_most(most) && slope(jacobian).at_most(steep), h, jacobian)
    };
    let mut radius = (4.0 * last).min(power(100));
    let (mut fits, mut curvature, mut jacobian) = around(radius);
    // Any radius will do; a small one leaves the orbit little room.
    for _ in 0..200 {
        if fits {
            break;
        }
        radius /= 2.0;
        (fits, curvature, jacobian) = around(radius);
    }
    drop(site);
    Window { centre, radius, jacobian, curvature }
}
