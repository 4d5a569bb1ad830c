//! Which beta: the formula read literally fails with several heads, read per head it holds.

use super::{Answer, Case, Experiment, Finding, SMALL, VerifyCase, Work};
use crate::model::{Kernel, Trained};
use crate::problem::{Dims, Init};
use crate::spectrum::Reading;

pub(super) fn experiment() -> Experiment {
    let case = |name, shows, kernel, reading| Case {
        name,
        shows,
        work: Work::Verify(VerifyCase {
            dims: Dims { H: 6, ..SMALL },
            kernel,
            init: Init::Lazy { omega: 100.0 },
            seed: 0,
            trained: Trained::QKV,
            reading,
            steps: 2000,
        }),
    };
    let literal = "the stacked W^O, read literally";
    let smallest = "the smallest head's W^O";
    Experiment {
        name: "readings-of-beta",
        question: "Which constant beta is right with several heads: stacked or per_head?",
        statement: "beta = sigma_min(W^O)^2 sigma_min(B_0)^2. With several heads W^O can be the stacked matrix (the \
                    formula read literally) or the smallest head's block",
        cases: vec![
            case(
                "stacked-softmax",
                literal,
                Kernel::Softmax,
                Reading::Stacked,
            ),
            case(
                "per-head-softmax",
                smallest,
                Kernel::Softmax,
                Reading::PerHead,
            ),
            case(
                "stacked-gaussian",
                literal,
                Kernel::Gaussian,
                Reading::Stacked,
            ),
            case(
                "per-head-gaussian",
                smallest,
                Kernel::Gaussian,
                Reading::PerHead,
            ),
        ],
        answer,
        needs_imdb: false,
        minutes: 0.1,
    }
}

fn answer(found: &[Finding]) -> Answer {
    let [stacked, per_head, stacked_gaussian, per_head_gaussian] = found else {
        return Answer::incomplete();
    };
    let refuted = stacked.violated() && stacked_gaussian.violated();
    let right = if refuted && per_head.holds() && per_head_gaussian.holds() {
        "per_head, not stacked"
    } else {
        "Not decided"
    };
    Answer::new(
        right,
        format!(
            "{right}: with {} heads the stacked bound {} for softmax, and for the Gaussian kernel it {}. The per_head \
             bound {}, and for the Gaussian kernel it {}. This refutes a reading of beta, not the theorem, which only says that some initialization and step exist.",
            stacked.text("H"),
            stacked.phrase(),
            stacked_gaussian.phrase(),
            per_head.phrase(),
            per_head_gaussian.phrase(),
        ),
    )
    .with("stacked rate", stacked, "claimed_rate")
    .with("per_head rate", per_head, "claimed_rate")
    .with("measured tail rate", per_head, "measured_tail_rate")
}
