//! One trial's line of `trials-K-of-M.csv`.

use crate::model::{Kernel, Trained};
use crate::problem::Dims;
use crate::spectrum::Reading;
use crate::verdict::Verdict;
use serde::{Deserialize, Serialize};

/// The columns, in order.
pub const COLUMNS: [&str; 68] = [
    "trial",
    "N",
    "n",
    "D",
    "d",
    "H",
    "p",
    "kernel",
    "trained",
    "init",
    "scale",
    "logit_scale",
    "eta_multiple",
    "seed",
    "eta",
    "steps",
    "end",
    "loss0",
    "final_loss",
    "final_loss_relative",
    "f_hull",
    "sigma_min_b0",
    "jacobian_norm",
    "jacobian_norm_q",
    "grad_norm_q",
    "measured_rate",
    "measured_tail_rate",
    "beta_stacked",
    "verdict_stacked",
    "rate_stacked",
    "tightness_stacked",
    "min_slack_stacked",
    "first_violation_stacked",
    "checked_to_stacked",
    "proven_to_stacked",
    "beta_per_head",
    "verdict_per_head",
    "rate_per_head",
    "tightness_per_head",
    "min_slack_per_head",
    "first_violation_per_head",
    "checked_to_per_head",
    "proven_to_per_head",
    "beta_value",
    "verdict_value",
    "rate_value",
    "tightness_value",
    "min_slack_value",
    "first_violation_value",
    "checked_to_value",
    "proven_to_value",
    "beta_ntk",
    "verdict_ntk",
    "rate_ntk",
    "tightness_ntk",
    "min_slack_ntk",
    "first_violation_ntk",
    "checked_to_ntk",
    "proven_to_ntk",
    "certificate",
    "certificate_t",
    "orbit_steps",
    "orbit_bits",
    "orbit_log2_growth",
    "orbit_run_distance",
    "refuted",
    "open",
    "error",
];

/// What was found on one trial. A number that is not finite, or does not exist, is `None` and an empty cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The trial's number.
    pub trial: u64,
    /// Sizes.
    pub dims: Dims,
    /// Kernel.
    pub kernel: Kernel,
    /// Trained blocks.
    #[serde(with = "trained")]
    pub trained: Trained,
    /// Initialization.
    pub init: String,
    /// omega or s, where the initialization has one.
    pub scale: Option<f64>,
    /// tau on W^Q and W^K.
    pub logit_scale: f64,
    /// eta |J_0|^2.
    pub eta_multiple: f64,
    /// Seed of the draw.
    pub seed: u64,
    /// The step.
    pub eta: Option<f64>,
    /// Steps that were run.
    pub steps: Option<u64>,
    /// Why the run ended: `steps`, `floor` or `diverged`.
    pub end: Option<String>,
    /// f(M_0).
    pub loss0: Option<f64>,
    /// The last loss.
    pub final_loss: Option<f64>,
    /// The last loss over f(M_0).
    pub final_loss_relative: Option<f64>,
    /// The hull bound: softmax only.
    pub f_hull: Option<f64>,
    /// sigma_min(B_0).
    pub sigma_min_b0: Option<f64>,
    /// |J_0| over the trained blocks.
    pub jacobian_norm: Option<f64>,
    /// |J_Q| at M_0, whether or not W^Q is trained.
    pub jacobian_norm_q: Option<f64>,
    /// |df/dW^Q|_F at M_0, whether or not W^Q is trained.
    pub grad_norm_q: Option<f64>,
    /// 1 - (f_T / f_0)^(1/T), T the last step above the rounding floor.
    pub measured_rate: Option<f64>,
    /// The same over the last quarter of the run.
    pub measured_tail_rate: Option<f64>,
    /// One for each reading of beta, in the order of [`Reading::ALL`].
    pub readings: [ReadingRow; 4],
    /// What is proven: `theorem_a` (with `certificate_t`), `orbit` (the same from M_0 on, the exact orbit being enclosed up to
    /// there), `hull` or `zero_gradient`.
    pub certificate: Option<String>,
    /// The step T of the centre M_T from which the rate is proven; 0 for M_0.
    pub certificate_t: Option<u64>,
    /// The last step to which the exact orbit was enclosed.
    pub orbit_steps: Option<u64>,
    /// The bits that took.
    pub orbit_bits: Option<u64>,
    /// log2 of the bound on the growth of errors.
    pub orbit_log2_growth: Option<f64>,
    /// How far the run in f64 can be from the exact orbit there.
    pub orbit_run_distance: Option<f64>,
    /// The readings that exact gradient descent is proven to violate, blanks between them.
    pub refuted: Option<String>,
    /// Why the deciding reading is neither certified from M_0 nor refuted, where an orbit was wanted.
    pub open: Option<String>,
    /// Why the trial could not be carried out; then nothing else but `jacobian_norm_q` was found.
    pub error: Option<String>,
}

/// What was found on one reading of beta.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReadingRow {
    /// beta at M_0, whether or not the reading applies.
    pub beta: Option<f64>,
    /// The verdict.
    pub verdict: Option<Verdict>,
    /// The claimed rate eta beta, where the reading applies.
    pub rate: Option<f64>,
    /// measured_rate / rate.
    pub tightness: Option<f64>,
    /// Smallest log(bound_t / f_t).
    pub min_slack: Option<f64>,
    /// First step at which the bound was exceeded.
    pub first_violation: Option<u64>,
    /// Last step at which the comparison could be decided.
    pub checked_to: Option<u64>,
    /// Last step up to which the bound is proven for exact gradient descent from M_0; of a certified reading the last of the run.
    pub proven_to: Option<u64>,
}

impl Row {
    /// What was found on a reading.
    pub fn reading(&self, reading: Reading) -> &ReadingRow {
        &self.readings[reading as usize]
    }
}

mod trained {
    use crate::model::Trained;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(trained: &Trained, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(trained)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Trained, D::Error> {
        String::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}
