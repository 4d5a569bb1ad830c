//! Exact gradient descent on a model, enclosed: as [`orbit`](crate::orbit) has it for attention, whose Lemma 1 and Theorem 2
//! ask nothing of the model but bounds.

use super::curvature::{Bound, Site};
use super::file::{Model, Op};
use super::functions::Number;
use super::values::Values;
use crate::ball::{Ball, ball, norm};
use crate::claims::{Answer, Proof, Stop};
use crate::ends::Ends;
use crate::gram::{Gram, Term};
use crate::matrix::{Matrix, Real, Rows};
use crate::number::power;

/// Gradient descent from the model's parameters up to a step.
pub(crate) struct Path<'a> {
    pub(crate) model: &'a Model,
    pub(crate) eta: f64,
    pub(crate) steps: u64,
    /// How many bits to begin with.
    pub(crate) bits: u64,
    /// The distance of the last point to this one is wanted.
    pub(crate) centre: Option<&'a [f64]>,
}

/// What is known about the exact orbit.
pub(crate) struct Enclosed {
    /// |r(M_t)|^2 = 2 f_t, t = 0 to `steps`.
    pub(crate) squares: Vec<Ball>,
    /// |M_T - C|; 0 without a centre.
    pub(crate) away: Ball,
    blurred: bool,
}

/// Bounds on the ball of this radius around a point: |J| and |D^2F|.
struct Window {
    centre: Vec<f64>,
    radius: f64,
    jacobian: Ball,
    curvature: Ball,
}

/// So many products of two words take some minutes.
const LONGEST: u64 = 1 << 38;

/// h over a window is at most this multiple of h at its centre.
const SPREAD: f64 = 1.5;

/// Products of numbers in a step, about.
fn products(model: &Model) -> u64 {
    let of = |node: &super::file::Node| {
        let size = node.size() as u64;
        match &node.op {
            Op::Product(product) => {
                let shape = |i: usize| &model.nodes[node.inputs[i]].shape;
                let sums: usize = product.contracted[0].iter().map(|a| shape(0)[*a]).product();
                3 * size * sums as u64
            }
            Op::Map(_) | Op::Softmax(_) => 200 * size,
            Op::Div => 30 * size,
            _ => 3 * size,
        }
    };
    model.nodes.iter().filter(|node| node.varies).map(of).fold(0, u64::saturating_add)
}

/// J, a row for each residual.
pub(crate) fn jacobian(at: &Values<Ball>) -> Matrix {
    let (m, P) = (at.model.residuals(), at.model.parameters());
    let mut data = Vec::with_capacity(m * P);
    let mut w = vec![Ball::ZERO; m];
    for a in 0..m {
        w[a] = ball(1.0);
        data.extend(at.gradient(&w));
        w[a] = Ball::ZERO;
    }
    Matrix { rows: m, cols: P, data }
}

/// The rows of J as a term of a Gram matrix.
pub(crate) fn term<T: Real>(J: &Matrix) -> Term<T> {
    Term::new(Rows::of(J), Rows::ones(J.rows))
}

/// J J'.
pub(crate) fn gram<T: Real>(J: &Matrix) -> Gram<T> {
    Gram::new(J.rows, std::iter::once(term(J)))
}

/// Exact numbers as balls.
pub(crate) fn exactly(point: &[f64]) -> Vec<Ball> {
    point.iter().map(|x| ball(*x)).collect()
}

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
            let number = (words * words + 64) as u64;
            let step = products(self.model).saturating_mul(number).saturating_add(1 << 16);
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

/// The lower ends of a point, as numbers without error, and at least how far the point is from them.
fn settled<const L: usize>(point: &mut [Ends<L>]) -> Ball {
    norm(point.iter_mut().map(|x| {
        let (exact, width) = x.split();
        *x = exact;
        width
    }))
}

fn walk<const L: usize>(path: &Path, windows: &mut Vec<Window>) -> Result<Enclosed, String> {
    let model = path.model;
    let bits = Ends::<L>::BITS;
    let eta = ball(path.eta);
    let step = Ends::<L>::of(path.eta);
    let mut point: Vec<Ends<L>> = model.start().iter().map(|x| Ends::of(*x)).collect();
    let mut error = settled(&mut point);
    let mut values = Values::new(model, &point);
    let mut squares = Vec::new();
    let mut blurred = false;
    let mut at = 0;
    for t in 0..=path.steps {
        if t > 0 {
            values.move_to(&point);
        }
        let stopped = || format!("with {bits} bits it could be enclosed up to t = {t} only");
        let window = hold(path, &point, windows, &mut at, error).ok_or_else(stopped)?;
        let residual = norm(values.residual().iter().map(|x| x.to_ball()));
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
            let gradient = values.gradient(values.residual());
            point.iter_mut().zip(gradient).for_each(|(x, g)| *x = *x - step * g);
            error = (g * error + settled(&mut point)).upper_ball();
        }
    }
    let away = path.centre.map_or(Ball::ZERO, |C| distance(&point, C));
    blurred |= path.centre.is_some() && !error.at_most(away * ball(power(-40)));
    Ok(Enclosed { squares, away: away.widened(error), blurred })
}

/// |M~ - C|.
fn distance<const L: usize>(point: &[Ends<L>], C: &[f64]) -> Ball {
    norm(point.iter().zip(C).map(|(x, c)| (*x - Ends::of(*c)).ball()))
}

/// A window that holds the ball of radius `error` around the point: the last one, the next one of an earlier walk, or a
/// new one.
fn hold<'w, const L: usize>(
    path: &Path,
    point: &[Ends<L>],
    windows: &'w mut Vec<Window>,
    at: &mut usize,
    error: Ball,
) -> Option<&'w Window> {
    let inside =
        |window: &Window| (distance(point, &window.centre) + error).at_most(ball(window.radius));
    for next in [*at, *at + 1] {
        if windows.get(next).is_some_and(inside) {
            *at = next;
            return windows.get(next);
        }
    }
    let last = windows.last().map_or(1.0, |window| window.radius);
    let centre: Vec<f64> = point.iter().map(Ends::near).collect();
    if centre.iter().any(|x| !x.is_finite()) {
        return None;
    }
    windows.push(open(path, centre, last)?);
    *at = windows.len() - 1;
    windows.last().filter(|window| inside(window))
}

/// A window around this point; `last` is a radius to look near. None where the model is not proven to be smooth.
fn open(path: &Path, centre: Vec<f64>, last: f64) -> Option<Window> {
    let at = Values::<Ball>::new(path.model, &exactly(&centre));
    let site = Site::new(&at);
    let at_centre = gram::<f64>(&jacobian(&at)).norm_upper();
    let curvature = |radius: f64| match site.curvature(radius) {
        Bound::Number(h) if h.is_finite() => Some(ball(h)),
        _ => None,
    };
    let most = curvature(0.0)? * ball(SPREAD);
    let eta = ball(path.eta);
    let slope = |jacobian: Ball| eta * jacobian * jacobian;
    let steep = (slope(at_centre) * ball(1.02)).max(ball(2.0));
    let mut radius = (4.0 * last).min(power(100));
    // Any radius will do; a small one leaves the orbit little room.
    for _ in 0..200 {
        if let Some(h) = curvature(radius) {
            let jacobian = (at_centre + h * ball(radius)).upper_ball();
            if h.at_most(most) && slope(jacobian).at_most(steep) {
                return Some(Window { centre, radius, jacobian, curvature: h });
            }
        }
        radius /= 2.0;
    }
    None
}
