//! Theorem 1: all weights trained, an initialization and a step with linear convergence.

use super::{Answer, Case, Experiment, Finding, SMALL, VerifyCase, Work};
use crate::model::{Kernel, Trained};
use crate::problem::{Dims, Init};
use crate::spectrum::deciding_reading;

pub(super) fn experiment(name: &'static str, kernel: Kernel) -> Experiment {
    let case = |name, shows, dims, init| Case {
        name,
        shows,
        work: Work::Verify(VerifyCase {
            dims,
            kernel,
            init,
            seed: 0,
            trained: Trained::QKV,
            reading: deciding_reading(Trained::QKV),
            steps: 2000,
        }),
    };
    let wide = Dims {
        N: 4,
        n: 8,
        D: 24,
        d: 8,
        H: 4,
        p: 1,
    };
    let too_few = Dims {
        N: 8,
        n: 8,
        ..SMALL
    };
    Experiment {
        name,
        question: match kernel {
            Kernel::Softmax => "Does Theorem 1 hold with several heads, softmax attention?",
            Kernel::Gaussian => "Does Theorem 1 hold with several heads, Gaussian attention?",
        },
        statement: "If HD >= Nn, there are an initialization and a step eta such that gradient descent on W^Q, W^K and \
                    W^V satisfies f(M_t) <= (1 - eta beta)^t f(M_0) for every t",
        cases: vec![
            case(
                "lazy",
                "the initialization the theorem speaks of: W^V = 0, large W^O; proven for every t",
                SMALL,
                Init::Lazy { omega: 1e4 },
            ),
            case("ordinary", "an ordinary initialization", SMALL, Init::Lecun),
            case(
                "ordinary-wide",
                "the same, N n = 32 tokens",
                wide,
                Init::Lecun,
            ),
            case(
                "too-few-heads",
                "HD < Nn: the theorem's condition fails",
                too_few,
                Init::Lecun,
            ),
        ],
        answer,
        needs_imdb: false,
        minutes: 0.1,
    }
}

fn answer(found: &[Finding]) -> Answer {
    let [lazy, ordinary, wide, too_few] = found else {
        return Answer::incomplete();
    };
    let yes = if lazy.holds() {
        "Yes, with"
    } else {
        "Not shown: with"
    };
    Answer::of(
        lazy,
        format!(
            "{yes} {} heads and beta read {} the bound {}. From an ordinary initialization it {}; with {} heads and more data it {}. \
             With HD < Nn it {}.",
            lazy.text("H"),
            lazy.text("reading"),
            lazy.phrase(),
            ordinary.phrase(),
            wide.text("H"),
            wide.phrase(),
            too_few.phrase(),
        ),
    )
    .with("claimed rate", lazy, "claimed_rate")
    .with("measured rate", lazy, "measured_rate")
}
