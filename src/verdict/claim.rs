//! A claim by its name, held against a trajectory.

use super::Verdict;
use crate::bounds::Obstruction;
use crate::descent::{DIVERGED, End, FLOOR_SHARE, Point, Trajectory};
use crate::orbit::Fate;
use crate::spectrum::Estimate;
use gdcert_base::number::short;
use gdcert_numbers::U;
use serde::{Deserialize, Serialize};

/// What a claim says, before it is held against a run.
pub(crate) struct Asserted {
    /// The name of a reading of beta, or of a claim of the user's own.
    pub name: String,
    pub beta: Estimate,
    /// Whether the ends of beta are proven.
    pub proven: bool,
    /// eta beta.
    pub rate: f64,
    /// The hypothesis about sizes and trained blocks that it needs and does not have, in words.
    pub missing: Option<String>,
}

/// The verdict on one claim, with what it rests on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Claim {
    /// The name of a [`Reading`](crate::spectrum::Reading) of beta, or of a claim of the user's own.
    pub name: String,
    /// What was found.
    pub verdict: Verdict,
    /// beta at M_0 as computed, whether or not the reading applies; of a claim of the user's own the number that is claimed.
    pub beta: f64,
    /// The claimed rate eta beta.
    pub rate: f64,
    /// Why the verdict is what it is, in a sentence.
    pub reason: String,
    /// Last step at which the comparison could be decided.
    pub checked_to: usize,
    /// First step at which the bound was exceeded beyond all errors.
    pub first_violation: Option<usize>,
    /// Smallest log(bound_t / f_t) over 1 <= t before the floor; negative where the bound is exceeded.
    pub min_slack: Option<f64>,
    /// The last step up to which the bound is proven for exact gradient descent from M_0; where it is proven for every t, the
    /// last step of the run.
    pub proven_to: Option<usize>,
    /// First step at which f_t's evaluation error is no longer small against the bound.
    pub floor_at: Option<usize>,
    /// First step at which the comparison was too close for the errors.
    first_undecided: Option<usize>,
    applies: bool,
    /// Whether it does not apply because beta can not be told from 0.
    beta_hidden: bool,
}

impl Claim {
    /// The bound (1 - eta beta)^t f_0, if the reading applies.
    pub fn bound(&self, t: usize, f0: f64) -> Option<f64> {
        self.applies.then(|| f0 * decay(decay_log(self.rate), t))
    }

    /// Whether the reading's hypotheses hold.
    pub fn applies(&self) -> bool {
        self.applies
    }

    /// Takes note that a proof was found, but not accepted by the independent check.
    pub(crate) fn not_rechecked(&mut self, why: &str) {
        self.reason += &format!(
            "; a proof that covers it was found, but the independent check does not accept it: {why}"
        );
    }

    /// Takes note of what is proven about exact gradient descent from M_0. `rate` is the proven rate of a tail, `last` the last
    /// step of the run.
    pub(crate) fn settle(&mut self, fate: Fate, rate: f64, last: usize) {
        match fate {
            Fate::Certified { t } => {
                let run = match (self.verdict, self.first_violation) {
                    (Verdict::Violated, Some(t)) => format!(
                        "; the run exceeds the bound from t = {t}, where it has left the exact orbit"
                    ),
                    _ => String::new(),
                };
                self.verdict = Verdict::Certified;
                self.proven_to = Some(last.max(t));
                self.reason = match t {
                    0 => format!("{}{run}", at_start(rate)),
                    t => format!(
                        "the exact orbit is enclosed to T = {t}, with f_t below the bound at every step, then Theorem A closes: f_{{t+1}} <= (1 - {rate:.4e}) f_t for every t >= {t}, in exact arithmetic{run}"
                    ),
                };
            }
            Fate::Refuted(found) => {
                self.verdict = Verdict::Refuted;
                self.first_violation = Some(found.t);
                self.proven_to = found.first.then(|| found.t.saturating_sub(1));
                self.reason = format!(
                    "exact gradient descent exceeds the bound at t = {}{}: f_t >= {:.6e}, the bound <= {:.6e} with beta >= {:.6e}",
                    found.t,
                    match found.first {
                        true => ", at no earlier step",
                        false => "",
                    },
                    found.loss_lower,
                    found.bound_upper,
                    found.beta
                );
            }
            Fate::Proven { to } => {
                self.proven_to = Some(to);
                self.reason += &format!("; proven for exact gradient descent up to t = {to}");
                if self.verdict == Verdict::Violated {
                    self.reason += ", and not refuted";
                }
            }
        }
        self.proven_to = self.proven_to.filter(|to| *to > 0);
    }

    /// Takes note of why the exact orbit was enclosed no further.
    pub(crate) fn not_enclosed(&mut self, why: &str) {
        self.reason += &format!("; {why}");
    }

    /// Takes note that the certificate is another claim's and does not cover it.
    pub(crate) fn not_in_certificate(&mut self) {
        self.reason += &format!("; --reading {} writes its certificate", self.name);
    }

    /// Whether what it says rests on the ends of beta, so that proven ones are needed: a violation, and that beta can not be told from 0.
    pub(crate) fn needs_proven_beta(&self) -> bool {
        self.first_violation.is_some() || self.beta_hidden
    }

    /// Takes note that f_{t+1} <= (1 - `rate`) f_t is proven from step `t` on. Says whether that certifies the claim: the rate as
    /// claimed must not be above the proven one, and before `t` the run itself must have shown the bound, at every step.
    /// `last` is the run's last step.
    pub(crate) fn certify(&mut self, t: usize, rate: f64, last: usize) -> bool {
        let shown = t == 0
            || (self.checked_to >= t && self.first_undecided.is_none_or(|undecided| undecided > t));
        let covered = self.rate <= rate;
        if !self.applies
            || !shown
            || !covered
            || !matches!(self.verdict, Verdict::Held | Verdict::NotApplicable)
        {
            return false;
        }
        if t == 0 {
            self.verdict = Verdict::Certified;
            self.reason = at_start(rate);
            self.proven_to = (last > 0).then_some(last);
        } else {
            self.verdict = Verdict::CertifiedTail;
            self.reason = format!(
                "f_t stayed below the bound at every step to t = {t}, and Theorem A closes at M_{t}: f_{{t+1}} <= (1 - {rate:.4e}) f_t for every later t, in exact arithmetic"
            );
        }
        true
    }

    /// Holds a claim against a trajectory. |J_0| is only for what is said of a run that diverges.
    pub(crate) fn new<B>(
        asserted: Asserted,
        jacobian_norm: f64,
        obstruction: Option<&Obstruction>,
        trajectory: &Trajectory<B>,
    ) -> Self {
        let beta = asserted.beta;
        let mut claim = Claim {
            name: asserted.name,
            verdict: Verdict::NotApplicable,
            beta: beta.value,
            rate: asserted.rate,
            reason: String::new(),
            checked_to: 0,
            first_violation: None,
            min_slack: None,
            proven_to: None,
            floor_at: None,
            first_undecided: None,
            applies: false,
            beta_hidden: false,
        };
        let failing = claim.hypothesis_failing(asserted.missing, beta, trajectory);
        let too_large = matches!(failing, Some(Failing::TooLarge));
        match &failing {
            Some(failing) => claim.reason = failing.words(beta, claim.rate),
            None => {
                claim.applies = true;
                claim.compare(beta, trajectory);
                if claim.verdict == Verdict::Violated {
                    let lower = beta.lower();
                    claim.reason += &match asserted.proven {
                        true => format!("; beta is proven to be at least {lower:e}"),
                        false => format!(
                            "; beta is at least {lower:e} by an error model that is not proven"
                        ),
                    };
                }
            }
        }
        claim.beta_hidden = matches!(failing, Some(Failing::Zero));
        // These two belong to the run and to the instance, whatever the reading: but no run says anything about a claim
        // that its step makes meaningless.
        if trajectory.end == End::Diverged {
            let last = &trajectory.points[trajectory.points.len() - 1];
            let diverged = match last.loss.is_finite() {
                true => format!("the loss at t = {} is above {DIVERGED:e} f_0", last.t),
                false => format!("the run overflows f64 at t = {}", last.t),
            };
            if too_large {
                claim.reason += &format!(" ({diverged})");
                if let Some(obstruction) = obstruction {
                    claim.verdict = Verdict::Obstructed;
                    claim.reason = format!("{}; {}", out_of_reach(obstruction), claim.reason);
                }
            } else {
                let step = trajectory.eta * jacobian_norm * jacobian_norm;
                claim.verdict = Verdict::Diverged;
                claim.reason = format!(
                    "{diverged}, with eta |J_0|^2 = {}{}; {}",
                    short(step),
                    match step >= 2.0 {
                        true => ", and from 2 on no descent is to be expected whatever the reading",
                        false => "",
                    },
                    match last.t {
                        0 => "scale the instance down",
                        _ => "choose a smaller --eta",
                    },
                );
            }
        } else if let Some(obstruction) = obstruction {
            claim.verdict = Verdict::Obstructed;
            claim.reason = out_of_reach(obstruction);
        }
        claim
    }

    /// Compares f_t with the bound at every recorded step, errors on both sides.
    fn compare<B>(&mut self, beta: Estimate, trajectory: &Trajectory<B>) {
        let eta = trajectory.eta;
        let first = &trajectory.points[0];
        let mut undecided = 0usize;
        let mut by_beta = 0usize;
        let mut decided = 0usize;
        let log = decay_log(self.rate);
        let ends = [eta * beta.lower(), eta * beta.upper()].map(decay_log);
        for point in &trajectory.points[1..] {
            let t = point.t;
            let bound = first.loss * decay(log, t);
            if point.loss_error > FLOOR_SHARE * bound {
                self.floor_at = Some(t);
                break;
            }
            if point.loss.is_finite() {
                let slack = (bound / point.loss).ln();
                self.min_slack = Some(self.min_slack.map_or(slack, |s| s.min(slack)));
            }
            // (1 - eta beta)^t with the ends of beta, f_0 with its error. exp(t log(1 - rate)) is off
            // by a few roundings of its exponent.
            let exponent = t as f64 * -log;
            let power_error = 1.0 + 4.0 * (exponent + 4.0) * U;
            // Whether f_t is above the bound beyond all errors, with beta between the ends of these logarithms.
            let above = |[lowest, highest]: [f64; 2]| {
                let upper = (first.loss + first.loss_error) * decay(lowest, t) * power_error;
                let lower = (first.loss - first.loss_error) * decay(highest, t) / power_error;
                if exceeds(point, upper) {
                    Some(true)
                } else {
                    (point.loss + point.loss_error <= lower).then_some(false)
                }
            };
            if let Some(above) = above(ends) {
                self.checked_to = t;
                decided += 1;
                if above {
                    self.first_violation = self.first_violation.or(Some(t));
                }
            } else {
                undecided += 1;
                self.first_undecided = self.first_undecided.or(Some(t));
                by_beta += usize::from(above([decay_log(eta * beta.value); 2]).is_some());
            }
        }
        let close = match undecided {
            0 => String::new(),
            k => format!(
                "; {k} comparisons are too close for their errors and count neither way{}",
                match by_beta {
                    0 => String::new(),
                    j => format!(
                        " ({j} of them because beta is known only to within {:.1e} of itself)",
                        beta.error / beta.value
                    ),
                }
            ),
        };
        (self.verdict, self.reason) = self.conclude(decided, &close);
    }

    /// The first hypothesis that fails.
    fn hypothesis_failing<B>(
        &self,
        missing: Option<String>,
        beta: Estimate,
        trajectory: &Trajectory<B>,
    ) -> Option<Failing> {
        if let Some(missing) = missing {
            return Some(Failing::Missing(missing));
        }
        if beta.lower() <= 0.0 {
            return Some(Failing::Zero);
        }
        if self.rate >= 1.0 {
            return Some(Failing::TooLarge);
        }
        (trajectory.points[0].loss == 0.0).then_some(Failing::Nothing)
    }

    fn conclude(&self, decided: usize, close: &str) -> (Verdict, String) {
        let floor = match self.floor_at {
            Some(t) => format!(
                "; from t = {t} on the evaluation error of f_t is above {FLOOR_SHARE} of the bound and nothing is compared"
            ),
            None => String::new(),
        };
        if let Some(t) = self.first_violation {
            return (
                Verdict::Violated,
                format!("f_t exceeds the bound from t = {t}, beyond the errors of both{floor}"),
            );
        }
        if decided == 0 {
            return (
                Verdict::NotApplicable,
                format!("no step could be compared with the bound{floor}{close}"),
            );
        }
        (
            Verdict::Held,
            format!(
                "f_t stayed below the bound at every step to t = {}{floor}{close}",
                self.checked_to
            ),
        )
    }
}

/// Why a claim is certified from M_0 on without an orbit.
fn at_start(rate: f64) -> String {
    format!(
        "Theorem A closes at M_0: f_{{t+1}} <= (1 - {rate:.4e}) f_t for every t, in exact arithmetic"
    )
}

fn exceeds<B>(point: &Point<B>, bound_upper: f64) -> bool {
    // A loss that is not finite is above every bound; its error bound is not a number.
    !point.loss.is_finite() || point.loss - point.loss_error > bound_upper
}

/// log(1 - rate) without the cancellation of 1 - rate for small rates.
fn decay_log(rate: f64) -> f64 {
    (-rate).ln_1p()
}

/// (1 - rate)^t from log(1 - rate).
fn decay(log: f64, t: usize) -> f64 {
    (t as f64 * log).exp()
}

/// A hypothesis that fails.
enum Failing {
    /// About sizes and trained blocks.
    Missing(String),
    /// beta can not be told from 0.
    Zero,
    /// eta beta >= 1.
    TooLarge,
    /// f_0 = 0.
    Nothing,
}

impl Failing {
    fn words(&self, beta: Estimate, rate: f64) -> String {
        match self {
            Failing::Missing(what) => what.clone(),
            Failing::Zero => format!(
                "needs beta > 0; the computed {:.3e} is within its error {:.1e} of 0",
                beta.value, beta.error
            ),
            Failing::TooLarge => format!(
                "eta beta = {} >= 1 makes the bound meaningless; choose a smaller --eta",
                short(rate)
            ),
            Failing::Nothing => {
                "f_0 is 0, or too small for an f64: there is nothing to converge".to_owned()
            }
        }
    }
}

/// What an obstruction says.
fn out_of_reach(obstruction: &Obstruction) -> String {
    format!(
        "no choice of the trained blocks brings the loss below {:.4e}",
        obstruction.loss_lower
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds::{Obstruction, Reason};
    use crate::model::Precision;

    /// A run with the given losses and one error for all of them, held against eta beta = `rate`.
    fn claim(rate: f64, losses: &[f64], error: f64, beta_error: f64) -> Claim {
        judged(rate, losses, error, beta_error, End::Steps, None)
    }

    fn judged(
        rate: f64,
        losses: &[f64],
        error: f64,
        beta_error: f64,
        end: End,
        obstruction: Option<&Obstruction>,
    ) -> Claim {
        let beta = Estimate {
            value: rate,
            error: beta_error,
        };
        let point = |(t, &loss)| Point {
            t,
            loss,
            loss_error: error,
            grad_norms: [0.0; 3],
            moved: [0.0; 3],
            sigma_min_B: None,
        };
        let points = losses.iter().enumerate().map(point).collect();
        let trajectory = Trajectory {
            eta: 1.0,
            precision: Precision::F64,
            points,
            end,
        };
        let asserted = Asserted {
            name: "mine".to_owned(),
            beta,
            proven: false,
            rate,
            missing: None,
        };
        Claim::new(asserted, rate, obstruction, &trajectory)
    }

    #[test]
    fn a_faster_run_holds_and_a_slower_one_is_violated_where_it_crosses() {
        // Bound 0.9^t; the run is 0.8^t, then stalls at 0.8^3 = 0.512, above 0.9^7 = 0.478 but not 0.9^6 = 0.531.
        let mut losses: Vec<f64> = (0..4).map(|t| 0.8f64.powi(t)).collect();
        losses.extend([0.512; 3]);
        let held = claim(0.1, &losses, 1e-15, 1e-15);
        assert_eq!(
            (held.verdict, held.checked_to, held.first_violation),
            (Verdict::Held, 6, None)
        );
        let slack = held.min_slack.unwrap();
        assert!((slack - (0.9f64.powi(6) / 0.512).ln()).abs() < 1e-12);
        losses.push(0.512);
        let violated = claim(0.1, &losses, 1e-15, 1e-15);
        assert_eq!(violated.verdict, Verdict::Violated);
        assert_eq!(violated.first_violation, Some(7));
        assert!(violated.min_slack.unwrap() < 0.0);
    }

    #[test]
    fn what_errors_could_turn_counts_neither_way() {
        // 0.0001 above the bound at t = 1: within the loss's error, or within that of beta.
        let losses = [1.0, 0.9001, 0.5];
        for (error, beta_error) in [(1e-3, 0.0), (1e-9, 1e-3)] {
            let c = claim(0.1, &losses, error, beta_error);
            assert_eq!(
                (c.verdict, c.first_violation),
                (Verdict::Held, None),
                "{c:?}"
            );
            assert!(
                c.reason.contains("1 comparisons are too close"),
                "{}",
                c.reason
            );
            assert_eq!(
                c.reason
                    .contains("(1 of them because beta is known only to within 1.0e-2"),
                beta_error > 0.0,
                "{}",
                c.reason
            );
        }
        assert_eq!(claim(0.1, &losses, 1e-9, 1e-9).first_violation, Some(1));
        // Nothing decided at all is not a pass.
        let c = claim(0.1, &losses[..2], 1e-3, 0.0);
        assert_eq!(c.verdict, Verdict::NotApplicable);
    }

    /// Whatever a proof was asked for: what it proves is what counts.
    #[test]
    fn no_claim_is_certified_above_the_proven_rate() {
        let losses = [1.0, 0.5];
        let mut c = claim(0.1, &losses, 1e-15, 0.0);
        assert!(!c.certify(0, 0.1f64.next_down(), 3));
        assert_eq!(c.verdict, Verdict::Held);
        assert!(!c.certify(0, f64::NAN, 3));
        assert!(c.certify(0, 0.1, 3));
        assert_eq!(c.verdict, Verdict::Certified);
    }

    #[test]
    fn nothing_is_compared_below_the_floor() {
        // The loss stalls at its error; the bound 0.1^t falls below ten times the error at t = 4.
        let losses = [1.0, 1e-2, 1e-4, 1e-4, 1e-4, 1e-4];
        let c = claim(0.9, &losses, 5e-5, 1e-15);
        assert_eq!(
            (c.verdict, c.floor_at, c.first_violation),
            (Verdict::Held, Some(4), None)
        );
        assert_eq!(c.checked_to, 3);
    }

    #[test]
    fn precedence_of_run_and_instance() {
        let obstruction = Obstruction {
            reason: Reason::Hull,
            loss_lower: 0.5,
        };
        let losses = [1.0, 1.0];
        let c = judged(0.1, &losses, 1e-15, 0.0, End::Steps, Some(&obstruction));
        assert_eq!(c.verdict, Verdict::Obstructed);
        let c = judged(
            0.1,
            &[1.0, f64::NAN],
            1e-15,
            0.0,
            End::Diverged,
            Some(&obstruction),
        );
        assert_eq!(c.verdict, Verdict::Diverged);
        assert!(c.reason.contains("eta |J_0|^2 = 0.01"), "{}", c.reason);
        // It is worse than a claim that the step makes meaningless.
        let losses_up = [1.0, f64::NAN];
        let c = judged(
            2.0,
            &losses_up,
            1e-15,
            0.0,
            End::Diverged,
            Some(&obstruction),
        );
        assert_eq!(c.verdict, Verdict::Obstructed);
        assert!(
            c.reason.contains("below 5.0000e-1; eta beta = 2"),
            "{}",
            c.reason
        );
        // A step that leaves no claim is the first thing to say.
        let c = judged(2.0, &[1.0, f64::NAN], 1e-15, 0.0, End::Diverged, None);
        assert_eq!(c.verdict, Verdict::NotApplicable);
        for words in ["eta beta = 2.000 >= 1", "overflows f64 at t = 1"] {
            assert!(c.reason.contains(words), "{}", c.reason);
        }
        for rate in [0.0, 1.0, 2.0] {
            let c = claim(rate, &losses, 1e-15, 0.0);
            assert_eq!((c.verdict, c.bound(1, 1.0)), (Verdict::NotApplicable, None));
        }
    }
}
