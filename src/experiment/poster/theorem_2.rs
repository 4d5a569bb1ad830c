//! Theorem 2: W^Q alone is trained; the Gaussian kernel converges, softmax can get stuck.

use super::{Answer, Case, Experiment, Finding, VerifyCase, Work};
use crate::model::{Kernel, Trained};
use crate::problem::{Dims, Init};
use crate::spectrum::Reading;

pub(super) fn experiment() -> Experiment {
    let case = |name, shows, kernel, init| Case {
        name,
        shows,
        work: Work::Verify(VerifyCase {
            dims: Dims {
                N: 2,
                n: 4,
                D: 16,
                d: 4,
                H: 4,
                p: 1,
            },
            kernel,
            init,
            seed: 0,
            trained: Trained::Q,
            reading: Reading::Ntk,
            steps: 5000,
        }),
    };
    let paired = Init::Paired { s: 1e4 };
    let constant = Init::ConstantValue { s: 1e4 };
    Experiment {
        name: "theorem-2",
        question: "Training W^Q alone: does the Gaussian kernel converge where softmax gets stuck?",
        statement: "Training W^Q alone, gradient descent with the Gaussian kernel converges linearly to loss 0; with \
                    softmax it can get stuck at a positive loss",
        cases: vec![
            case(
                "gaussian-paired",
                "paired heads, large values",
                Kernel::Gaussian,
                paired,
            ),
            case(
                "softmax-paired",
                "the same for softmax: existence does not separate the kernels",
                Kernel::Softmax,
                paired,
            ),
            case(
                "gaussian-constant-value",
                "values that do not depend on the token",
                Kernel::Gaussian,
                constant,
            ),
            case(
                "softmax-constant-value",
                "the same data and weights, and 0 is out of reach: this separates them",
                Kernel::Softmax,
                constant,
            ),
            case(
                "gaussian-ordinary",
                "an ordinary initialization",
                Kernel::Gaussian,
                Init::Lecun,
            ),
            case(
                "softmax-ordinary",
                "an ordinary initialization",
                Kernel::Softmax,
                Init::Lecun,
            ),
        ],
        answer,
        needs_imdb: false,
        minutes: 0.1,
    }
}

fn answer(found: &[Finding]) -> Answer {
    let [
        _,
        softmax_paired,
        gaussian,
        softmax,
        gaussian_ordinary,
        softmax_ordinary,
    ] = found
    else {
        return Answer::incomplete();
    };
    let separated = gaussian.holds() && softmax.obstructed();
    let yes = if separated {
        "Yes, on some instances"
    } else {
        "Not shown"
    };
    Answer::new(
        if separated {
            "Gaussian certified, softmax obstructed"
        } else {
            "not shown"
        },
        format!(
            "{yes}: with the same data and weights the bound {} for the Gaussian kernel, and for softmax it {}. That some good \
             initialization exists does not separate them: with paired heads the softmax bound {}. From an ordinary \
             initialization the bound at M_0 {} for the Gaussian kernel, and for softmax it {}.",
            gaussian.phrase(),
            softmax.phrase(),
            softmax_paired.phrase(),
            gaussian_ordinary.phrase(),
            softmax_ordinary.phrase(),
        ),
    )
    .with("Gaussian: claimed rate", gaussian, "claimed_rate")
    .with("softmax: loss is at least", softmax, "loss_lower")
}
