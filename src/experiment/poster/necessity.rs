//! The condition HD >= Nn: where it fails, sigma_min(B_0) = 0 and W^V alone can not fit the labels.

use super::{Answer, Case, Experiment, Finding, Preset, sweep};

pub(super) fn experiment(preset: Preset) -> Experiment {
    let (seeds, steps) = match preset {
        Preset::Quick => (5, 20_000),
        Preset::Paper => (100, 100_000),
    };
    let case = |name, shows, trained| Case {
        name,
        shows,
        work: sweep(
            format!(
                "# HD from 4 to 32 against N n = 12\nN = 3\nn = 4\nD = 4\nd = 4\nH = [1, 2, 3, 4, 6, 8]\n\
                 kernel = [\"softmax\", \"gaussian\"]\ntrained = \"{trained}\"\nseeds = {{ from = 0, to = {} }}\n\
                 steps = {steps}\ncertify = false\n",
                seeds - 1
            ),
            &[
                ("softmax_wide", "/groups/0/hd_at_least_nn/reached_zero"),
                ("gaussian_wide", "/groups/1/hd_at_least_nn/reached_zero"),
                ("of_wide", "/groups/0/hd_at_least_nn/trials"),
                ("softmax_narrow", "/groups/0/hd_below_nn/reached_zero"),
                ("gaussian_narrow", "/groups/1/hd_below_nn/reached_zero"),
                ("of_narrow", "/groups/0/hd_below_nn/trials"),
            ],
        ),
    };
    Experiment {
        name: "necessity",
        question: "Is HD >= Nn necessary?",
        statement: "Theorem 1 asks for HD >= Nn. Without it sigma_min(B_0) = 0, and the theorem's constant beta is 0",
        cases: vec![
            case(
                "value",
                "W^V alone is trained, N n = 12, HD from 4 (narrow) to 32 (wide)",
                "V",
            ),
            case(
                "all",
                "W^Q, W^K and W^V are trained, N n = 12, HD from 4 to 32",
                "QKV",
            ),
        ],
        answer,
        needs_imdb: false,
        minutes: match preset {
            Preset::Quick => 0.3,
            Preset::Paper => 60.0,
        },
    }
}

fn answer(found: &[Finding]) -> Answer {
    let [value, all] = found else {
        return Answer::incomplete();
    };
    let reached = |of: &Finding, part: &str| {
        let [softmax, gaussian] = ["softmax", "gaussian"].map(|k| of.text(&format!("{k}_{part}")));
        format!(
            "{softmax} of {} (softmax) and {gaussian} (Gaussian)",
            of.text(&format!("of_{part}"))
        )
    };
    let narrow = ["softmax_narrow", "gaussian_narrow"];
    let yes = if narrow.iter().all(|name| value.number(name) == Some(0.0)) {
        "For the bound, yes: sigma_min(B_0) is 0 without it, and W^V alone never reached loss 0"
    } else {
        "Not shown: W^V alone reached loss 0 without it"
    };
    let without = narrow.iter().any(|name| all.number(name) > Some(0.0));
    let needed = if without {
        "the condition is what the proof needs, not what gradient descent needs"
    } else {
        "no run shows that gradient descent can do without it"
    };
    Answer::new(
        "measured",
        format!(
            "{yes}: {} runs, against {} with HD >= Nn. With all weights trained loss 0 was reached without it in {} runs: {needed}.",
            reached(value, "narrow"),
            reached(value, "wide"),
            reached(all, "narrow"),
        ),
    )
    .with("W^V alone, HD < Nn: softmax reached 0", value, "softmax_narrow")
    .with("Gaussian", value, "gaussian_narrow")
    .with("runs each", value, "of_narrow")
}
