//! The softmax gradient vanishes where the logits are large; so does the Gaussian one, elsewhere.

use super::{Answer, Case, Experiment, Finding, Preset, sweep};

pub(super) fn experiment(preset: Preset) -> Experiment {
    let seeds = match preset {
        Preset::Quick => 10,
        Preset::Paper => 1000,
    };
    let kernels = sweep(
        format!(
            "# |J_Q| where W^Q and W^K are multiplied by logit_scale\nN = 2\nn = 4\nD = 16\nd = 4\nH = 4\n\
             kernel = [\"softmax\", \"gaussian\"]\ntrained = \"Q\"\nlogit_scale = {{ from = 0.01, to = 100.0, count = 9 }}\n\
             seeds = {{ from = 0, to = {} }}\nsteps = 2000\ncertify = false\n",
            seeds - 1
        ),
        &[
            ("smallest_factor", "/vanishing/0/logit_scale"),
            ("middle_factor", "/vanishing/4/logit_scale"),
            ("largest_factor", "/vanishing/8/logit_scale"),
            ("softmax_smallest", "/vanishing/0/jacobian_norm_q/median"),
            ("softmax_middle", "/vanishing/4/jacobian_norm_q/median"),
            ("softmax_largest", "/vanishing/8/jacobian_norm_q/median"),
            ("gaussian_smallest", "/vanishing/9/jacobian_norm_q/median"),
            ("gaussian_middle", "/vanishing/13/jacobian_norm_q/median"),
            ("gaussian_largest", "/vanishing/17/jacobian_norm_q/median"),
        ],
    );
    Experiment {
        name: "vanishing-gradient",
        question: "Does the gradient in W^Q vanish where attention saturates?",
        statement: "Where queries and keys are large, softmax rows are nearly one-hot and the derivative in W^Q is nearly 0",
        cases: vec![Case {
            name: "logit-scale",
            shows: "median |J_Q| at M_0 against a factor on W^Q and W^K",
            work: kernels,
        }],
        answer,
        needs_imdb: false,
        minutes: match preset {
            Preset::Quick => 0.1,
            Preset::Paper => 2.0,
        },
    }
}

fn answer(found: &[Finding]) -> Answer {
    let [found] = found else {
        return Answer::incomplete();
    };
    let norm = |kernel: &str, at: &str| found.number(&format!("{kernel}_{at}"));
    let shrinks = |kernel| norm(kernel, "largest") < norm(kernel, "middle");
    let says = |kernel| {
        let [least, middle, most] =
            ["smallest", "middle", "largest"].map(|at| match norm(kernel, at) {
                None => "not known".to_owned(),
                // Beyond what a float holds.
                Some(0.0) => "0".to_owned(),
                Some(x) => format!("{x:.1e}"),
            });
        format!("{least}, {middle} and {most}")
    };
    let yes = match (shrinks("softmax"), shrinks("gaussian")) {
        (true, true) => "Yes, for both kernels",
        (true, false) => "Yes, for softmax and not for the Gaussian kernel",
        (false, true) => "For the Gaussian kernel and not for softmax",
        (false, false) => "Not seen",
    };
    Answer::new(
        "measured",
        format!(
            "{yes}: the median |J_Q| at the factors {}, {} and {} on W^Q and W^K is {} for softmax and {} for the Gaussian kernel.",
            found.text("smallest_factor"),
            found.text("middle_factor"),
            found.text("largest_factor"),
            says("softmax"),
            says("gaussian"),
        ),
    )
    .with("softmax |J_Q| at the largest factor", found, "softmax_largest")
    .with("Gaussian |J_Q| there", found, "gaussian_largest")
}
