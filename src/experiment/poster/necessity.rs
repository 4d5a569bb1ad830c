//! The condition HD >= Nn: where it fails, sigma_min(B_0) = 0 and W^V alone can not fit the labels.

use super::{Answer, Case, Commands, Experiment, Finding, Preset, Work, sweep};
use crate::model::Kernel;

pub(super) fn experiment(preset: Preset) -> Experiment {
    let (seeds, steps) = match preset {
        Preset::Quick => (5, 5000),
        Preset::Paper => (100, 50_000),
    };
    let case = |name, shows, kernel: Kernel, trained| Case {
        name,
        shows,
        work: Work::Commands(Commands {
            numbers: vec![
                ("wide_trials", "summary.json", "/groups/0/hd_at_least_nn/trials"),
                ("wide_reached_zero", "summary.json", "/groups/0/hd_at_least_nn/reached_zero"),
                ("narrow_trials", "summary.json", "/groups/0/hd_below_nn/trials"),
                ("narrow_reached_zero", "summary.json", "/groups/0/hd_below_nn/reached_zero"),
            ],
            ..sweep(format!(
                "# HD from 4 to 32 against N n = 8\nN = 2\nn = 4\nD = 4\nd = 4\nH = [1, 2, 3, 4, 8]\nkernel = \"{kernel}\"\n\
                 trained = \"{trained}\"\nseeds = {{ from = 0, to = {} }}\nsteps = {steps}\ncertify = false\n",
                seeds - 1
            ))
        }),
    };
    let alone = "W^V alone is trained, N n = 8, HD from 4 to 32";
    let all = "W^Q, W^K and W^V are trained, N n = 8, HD from 4 to 32";
    Experiment {
        name: "necessity",
        question: "Is HD >= Nn necessary?",
        statement: "Theorem 1 asks for HD >= Nn. Without it sigma_min(B_0) = 0, and the theorem's constant beta is 0",
        cases: vec![
            case("value-softmax", alone, Kernel::Softmax, "V"),
            case("value-gaussian", alone, Kernel::Gaussian, "V"),
            case("all-softmax", all, Kernel::Softmax, "QKV"),
            case("all-gaussian", all, Kernel::Gaussian, "QKV"),
        ],
        answer,
        minutes: match preset {
            Preset::Quick => 0.3,
            Preset::Paper => 60.0,
        },
    }
}

fn answer(found: &[Finding]) -> Answer {
    let [value_softmax, value_gaussian, all_softmax, all_gaussian] = found else {
        return Answer::incomplete();
    };
    let reached = |of: &Finding, part: &str| {
        format!(
            "{} of {}",
            of.text(&format!("{part}_reached_zero")),
            of.text(&format!("{part}_trials"))
        )
    };
    let none = [value_softmax, value_gaussian]
        .iter()
        .all(|f| f.number("narrow_reached_zero") == Some(0.0));
    let yes = if none {
        "For the bound, yes: sigma_min(B_0) is 0 without it, and W^V alone never reached loss 0"
    } else {
        "Not shown: W^V alone reached loss 0 without it"
    };
    Answer::new(
        "measured",
        format!(
            "{yes} ({} runs with softmax, {} with the Gaussian kernel; with HD >= Nn {} and {}). With all weights trained loss 0 \
             was reached without it in {} and {} runs: the condition is what the proof needs, not what gradient descent needs.",
            reached(value_softmax, "narrow"),
            reached(value_gaussian, "narrow"),
            reached(value_softmax, "wide"),
            reached(value_gaussian, "wide"),
            reached(all_softmax, "narrow"),
            reached(all_gaussian, "narrow"),
        ),
    )
    .with("W^V alone, HD < Nn, loss 0 reached (softmax)", value_softmax, "narrow_reached_zero")
    .with("of", value_softmax, "narrow_trials")
}
