//! The softmax gradient vanishes where the logits are large; so does the Gaussian one, elsewhere.

use super::{Answer, Case, Commands, Experiment, Finding, Preset, Work, sweep};
use crate::model::Kernel;

pub(super) fn experiment(preset: Preset) -> Experiment {
    let seeds = match preset {
        Preset::Quick => 10,
        Preset::Paper => 1000,
    };
    let case = |name, shows, kernel: Kernel| Case {
        name,
        shows,
        work: Work::Commands(Commands {
            numbers: vec![
                ("smallest_scale", "summary.json", "/vanishing/0/logit_scale"),
                ("norm_at_smallest", "summary.json", "/vanishing/0/jacobian_norm_q/median"),
                ("middle_scale", "summary.json", "/vanishing/4/logit_scale"),
                ("norm_at_middle", "summary.json", "/vanishing/4/jacobian_norm_q/median"),
                ("largest_scale", "summary.json", "/vanishing/8/logit_scale"),
                ("norm_at_largest", "summary.json", "/vanishing/8/jacobian_norm_q/median"),
            ],
            ..sweep(format!(
                "# |J_Q| where W^Q and W^K are multiplied by logit_scale\nN = 2\nn = 4\nD = 16\nd = 4\nH = 4\nkernel = \"{kernel}\"\n\
                 trained = \"Q\"\nlogit_scale = {{ from = 0.01, to = 100.0, count = 9 }}\nseeds = {{ from = 0, to = {} }}\n\
                 steps = 1\ncertify = false\n",
                seeds - 1
            ))
        }),
    };
    Experiment {
        name: "vanishing-gradient",
        question: "Does the gradient in W^Q vanish where attention saturates?",
        statement: "Where queries and keys are large, softmax rows are nearly one-hot and the derivative in W^Q is nearly 0",
        cases: vec![
            case("softmax", "|J_Q| against a factor on W^Q and W^K", Kernel::Softmax),
            case("gaussian", "the same for the Gaussian kernel", Kernel::Gaussian),
        ],
        answer,
        minutes: match preset {
            Preset::Quick => 0.1,
            Preset::Paper => 2.0,
        },
    }
}

fn answer(found: &[Finding]) -> Answer {
    let [softmax, gaussian] = found else {
        return Answer::incomplete();
    };
    let shrinks = |of: &Finding| of.number("norm_at_largest") < of.number("norm_at_middle");
    let says = |of: &Finding| {
        let norm = |name: &str| of.number(name).map_or("not known".to_owned(), |x| format!("{x:.2e}"));
        format!(
            "{}, {} and {}",
            norm("norm_at_smallest"),
            norm("norm_at_middle"),
            norm("norm_at_largest")
        )
    };
    let yes = match (shrinks(softmax), shrinks(gaussian)) {
        (true, true) => "Yes, for both kernels",
        (true, false) => "Yes, for softmax and not for the Gaussian kernel",
        (false, true) => "For the Gaussian kernel and not for softmax",
        (false, false) => "Not seen",
    };
    Answer::new(
        "measured",
        format!(
            "{yes}: the median |J_Q| at the factors {}, {} and {} on W^Q and W^K is {} for softmax and {} for the Gaussian kernel.",
            softmax.text("smallest_scale"),
            softmax.text("middle_scale"),
            softmax.text("largest_scale"),
            says(softmax),
            says(gaussian),
        ),
    )
    .with("softmax |J_Q| at the largest factor", softmax, "norm_at_largest")
    .with("Gaussian |J_Q| there", gaussian, "norm_at_largest")
}
