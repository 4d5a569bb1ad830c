//! Exact gradient descent from M_0, enclosed: for attention and for models of any kind.
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
//! any numbers: the lower ends of what a [`Motion`] gives for G(M~_{t-1}). So roundings enter
//! delta_t, the width between the ends, and nothing else.
//!
//! **Windows** (Lemma 3). One Lambda and one h serve as long as the ball of radius eps_t around
//! M~_t is in a ball of radius rho around a centre C: h is a bound over it, Lambda = |J(C)| + h rho.
//!
//! **Bits.** What is rounded at step s grows by g_s ... g_(t-1) until step t. So where errors have
//! grown by 2^k of the 2^B that are allowed for, 2^(k - B) is as good a last bit as 2^-B was at the
//! start: numbers get shorter along the orbit. M~_t are any numbers, so cutting one off is rounding
//! like all other, and enters delta_t. Nothing rests on B, or on k.

use super::ball::{Ball, ball, norm};
use super::claims::{Answer, Proof, Stop};
use super::ends::Ends;
use super::number::power;

/// What gradient descent moves: an instance's or a model's trained parameters, in some order.
pub(crate) trait Subject {
    type Motion<'a, const L: usize>: Motion<L>
    where
        Self: 'a;

    /// M_0.
    fn start(&self) -> Vec<f64>;

    /// At these parameters, which may have a width.
    fn at<const L: usize>(&self, eta: f64, point: Vec<Ends<L>>) -> Self::Motion<'_, L>;

    /// Products of numbers in a step, about.
    fn products(&self) -> u64;

    /// Calls `choose` with |J(C)| from above and h over the balls around C, and gives what it
    /// gives. `None` also where h is not known.
    fn bounds(&self, centre: &[f64], choose: &Choose) -> Option<Window>;
}

/// Chooses a window by |J(C)| and by h as a function of the radius.
pub(crate) type Choose<'a> = dyn Fn(Ball, &dyn Fn(f64) -> Option<Ball>) -> Option<Window> + 'a;

/// Gradient descent in numbers of L words.
pub(crate) trait Motion<const L: usize> {
    /// Evaluates r at the parameters.
    fn evaluate(&mut self) -> &[Ends<L>];
    /// M <- M - eta J'r, with r last evaluated: ends around G(M~).
    fn step(&mut self);
    /// The parameters.
    fn point(&mut self) -> impl Iterator<Item = &mut Ends<L>>;
}

/// Gradient descent from M_0 up to a step.
pub(crate) struct Path<'a, S> {
    pub(crate) subject: &'a S,
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
    /// Whether more bits would make any of this narrower.
    blurred: bool,
}

/// |J| <= `jacobian` and |D^2F| <= `curvature` on the ball of this radius around `centre`.
pub(crate) struct Window {
    centre: Vec<f64>,
    radius: f64,
    jacobian: Ball,
    curvature: Ball,
}

/// So many products of two words take some minutes.
const LONGEST: u64 = 1 << 39;

/// h over a window is at most this multiple of h at its centre, where the window is not as small as
/// can be: larger windows are fewer and let errors grow faster.
const SPREAD: f64 = 2.0;

/// Bits for what rounding adds at every step, where it would have been that of the first alone.
const STEPS: u64 = 16;

/// Numbers of as many words as can be.
const MOST: usize = 66;

/// An orbit as far as it has come.
struct Walk<'w> {
    windows: &'w mut Vec<Window>,
    /// Which window holds the point, and a bound on how far from its centre.
    at: usize,
    away: Ball,
    /// B, the bits for the growth of errors, and those that it took so far.
    budget: f64,
    grown: f64,
    t: u64,
    /// M~_t and |M_t - M~_t|.
    point: Vec<Ends<MOST>>,
    error: Ball,
    squares: Vec<Ball>,
    blurred: bool,
}

type Leg<S> = fn(&Path<S>, &mut Walk) -> Result<(), String>;

impl<S: Subject> Path<'_, S> {
    /// Words, and the part of an orbit that is walked in numbers of so many.
    const LEGS: [(usize, Leg<S>); 11] = [
        (3, leg::<S, 3>),
        (4, leg::<S, 4>),
        (5, leg::<S, 5>),
        (6, leg::<S, 6>),
        (8, leg::<S, 8>),
        (10, leg::<S, 10>),
        (13, leg::<S, 13>),
        (18, leg::<S, 18>),
        (26, leg::<S, 26>),
        (40, leg::<S, 40>),
        (MOST, leg::<S, MOST>),
    ];

    /// The place in [`Path::LEGS`] of the shortest numbers with as many bits, or of the longest.
    fn leg(bits: f64) -> usize {
        let enough = Self::LEGS.iter().position(|(words, _)| 64.0 * (*words - 1) as f64 >= bits);
        enough.unwrap_or(Self::LEGS.len() - 1)
    }

    /// Proves what `decide` wants of the enclosed orbit, with as many bits as that takes.
    pub(crate) fn prove(&self, decide: &dyn Fn(&Enclosed) -> Answer) -> Proof {
        let most = Ends::<MOST>::BITS as u64;
        let mut windows = Vec::new();
        let mut why = String::new();
        let mut bits = self.bits.clamp(176, most - STEPS) + STEPS;
        loop {
            let (words, _) = Self::LEGS[Self::leg(bits as f64)];
            // A number costs something whatever its length, and so does a step.
            let number = (words * words + 64) as u64;
            let step = self.subject.products().saturating_mul(number).saturating_add(1 << 16);
            if step.saturating_mul(self.steps.saturating_add(1)) > LONGEST {
                let (steps, before) = (self.steps, if why.is_empty() { "" } else { "; " });
                why += &format!("{before}{steps} steps with {bits} bits take too long");
                break;
            }
            match self.walk(bits as f64, &mut windows) {
                Ok(enclosed) => match decide(&enclosed) {
                    Answer::Hidden(hidden) if enclosed.blurred => why = hidden,
                    decided => return decided.proof(),
                },
                Err(stopped) => why = stopped,
            }
            if bits == most {
                break;
            }
            bits = (bits + bits / 2).min(most);
        }
        Err(Stop::Unproven(format!("the orbit could not be re-proven: {why}")))
    }

    /// The orbit, with so many bits for the growth of errors.
    fn walk(&self, budget: f64, windows: &mut Vec<Window>) -> Result<Enclosed, String> {
        let mut walk = Walk {
            windows,
            at: 0,
            away: Ball::UNKNOWN,
            budget,
            grown: 0.0,
            t: 0,
            point: self.subject.start().into_iter().map(Ends::of).collect(),
            error: Ball::ZERO,
            squares: Vec::new(),
            blurred: false,
        };
        while walk.squares.len() as u64 <= self.steps {
            let (_, leg) = Self::LEGS[Self::leg(walk.budget - walk.grown)];
            leg(self, &mut walk)?;
        }
        let away = self.centre.map_or(Ball::ZERO, |C| distance(walk.point.iter(), C));
        let blurred = self.centre.is_some() && !walk.error.at_most(away * ball(power(-40)));
        let blurred = blurred || walk.blurred;
        Ok(Enclosed { squares: walk.squares, away: away.widened(walk.error), blurred })
    }
}

/// Makes the lower ends of the parameters the next point. Gives |difference| from above.
pub(crate) fn settle<const L: usize>(motion: &mut impl Motion<L>) -> Ball {
    norm(motion.point().map(|x| {
        let (point, width) = x.split();
        *x = point;
        width
    }))
}

/// The orbit from where it is to its last step, or to where shorter numbers will do.
fn leg<S: Subject, const L: usize>(path: &Path<S>, walk: &mut Walk) -> Result<(), String> {
    let eta = ball(path.eta);
    let mut motion = path.subject.at::<L>(path.eta, walk.point.iter().map(Ends::resized).collect());
    // What the point has below the last bit.
    let cut = settle(&mut motion);
    walk.error = (walk.error + cut).upper_ball();
    walk.away = walk.away + cut;
    loop {
        let residual = norm(motion.evaluate().iter().map(Ends::ball));
        let stopped = |walk: &Walk| {
            let bits = walk.budget;
            Err(format!("with {bits} bits it could be enclosed up to t = {} only", walk.t))
        };
        if !hold(path, walk, &mut motion) {
            return stopped(walk);
        }
        let window = &walk.windows[walk.at];
        let off = (window.jacobian * walk.error).upper_ball();
        if !off.at_most(residual * ball(power(-12))) {
            return stopped(walk);
        }
        walk.blurred |= !off.at_most(residual * ball(power(-90)));
        let exact = residual.widened(off);
        walk.squares.push(exact * exact);
        if walk.t < path.steps {
            let steep = (eta * window.jacobian * window.jacobian - ball(1.0)).max(ball(1.0));
            let g = steep + eta * exact.upper_ball() * window.curvature;
            walk.grown += g.upper().log2();
            motion.step();
            let rounding = settle(&mut motion);
            walk.error = (g * walk.error + rounding).upper_ball();
            // |M~_(t+1) - M~_t| <= eta |J'r| + delta_t.
            walk.away = walk.away + eta * window.jacobian * residual + rounding;
        }
        walk.t += 1;
        let (words, _) = Path::<S>::LEGS[Path::<S>::leg(walk.budget - walk.grown)];
        if walk.t > path.steps || words < L {
            walk.point = motion.point().map(|x| x.resized()).collect();
            return Ok(());
        }
    }
}

/// |M~ - C|.
fn distance<'e, const L: usize>(point: impl Iterator<Item = &'e Ends<L>>, C: &[f64]) -> Ball {
    norm(point.zip(C).map(|(w, c)| (*w - Ends::of(*c)).ball()))
}

/// Whether there is a window that holds the ball of radius `error` around the point: the last one,
/// the next one of an earlier walk, or a new one.
fn hold<S: Subject, const L: usize>(
    path: &Path<S>,
    walk: &mut Walk,
    motion: &mut impl Motion<L>,
) -> bool {
    let within = |window: &Window, away: Ball| (away + walk.error).at_most(ball(window.radius));
    if walk.windows.get(walk.at).is_some_and(|window| within(window, walk.away)) {
        return true;
    }
    let mut away = |window: &Window| distance(motion.point().map(|x| &*x), &window.centre);
    for next in [walk.at, walk.at + 1] {
        if let Some(window) = walk.windows.get(next) {
            let away = away(window);
            if within(window, away) {
                (walk.at, walk.away) = (next, away);
                return true;
            }
        }
    }
    let last = walk.windows.last().map_or(1.0, |window| window.radius);
    let centre: Vec<f64> = motion.point().map(|x| x.near()).collect();
    if !centre.iter().all(|x| x.is_finite()) {
        return false;
    }
    let Some(window) = open(path, centre, last) else { return false };
    let away = distance(motion.point().map(|x| &*x), &window.centre);
    let holds = within(&window, away);
    (walk.at, walk.away) = (walk.windows.len(), away);
    walk.windows.push(window);
    holds
}

/// A window around this point; `last` is a radius to look near.
fn open<S: Subject>(path: &Path<S>, centre: Vec<f64>, last: f64) -> Option<Window> {
    let eta = ball(path.eta);
    let slope = |jacobian: Ball| eta * jacobian * jacobian;
    path.subject.bounds(&centre, &|at_centre, curvature| {
        let most = curvature(0.0)? * ball(SPREAD);
        let steep = (slope(at_centre) * ball(1.02)).max(ball(2.0));
        let around = |radius: f64| {
            let h = curvature(radius)?.upper_ball();
            let jacobian = (at_centre + h * ball(radius)).upper_ball();
            let fits = h.at_most(most) && slope(jacobian).at_most(steep);
            let centre = centre.clone();
            fits.then_some(Window { centre, radius, jacobian, curvature: h })
        };
        // Any radius will do; a small one leaves the orbit little room.
        let first = (4.0 * last).min(power(100));
        (0..200).find_map(|halvings| around(first * power(-halvings)))
    })
}

/// The bound f_t <= (1 - eta beta)^t f_0 holds from t = 1 to T, and M_T is within `distance` of the
/// centre: condition 1 of Theorem 6.
pub(crate) fn leads<S: Subject>(path: &Path<S>, beta: f64, claimed: f64) -> Proof {
    let factor = ball(1.0) - ball(path.eta) * ball(beta);
    path.prove(&|enclosed| {
        let mut bound = enclosed.squares[0];
        for (t, square) in enclosed.squares.iter().enumerate().skip(1) {
            bound = bound * factor;
            let name = format!("2 f_t at t = {t}");
            let answer = Answer::at_most(&name, *square, "(1 - eta beta)^t 2 f_0", bound);
            let Answer::Proven = answer else { return answer };
        }
        let (away, claimed) = (enclosed.away, ball(claimed));
        Answer::at_most("the distance of M_T from the centre", away, "orbit.distance", claimed)
    })
}

/// f_t is at least `loss` at the last step, and (1 - eta beta)^t f_0 at most `bound`.
pub(crate) fn exceeds<S: Subject>(path: &Path<S>, beta: f64, loss: f64, bound: f64) -> Proof {
    let factor = ball(1.0) - ball(path.eta) * ball(beta);
    path.prove(&|enclosed| {
        let half = ball(0.5);
        let (first, last) = (enclosed.squares[0], enclosed.squares[enclosed.squares.len() - 1]);
        let power = (0..path.steps).fold(ball(1.0), |power, _| power * factor);
        match Answer::at_most("loss_lower", ball(loss), "f_t", half * last) {
            Answer::Proven => {}
            other => return other,
        }
        Answer::at_most("(1 - eta beta)^t f_0", power * half * first, "bound_upper", ball(bound))
    })
}
