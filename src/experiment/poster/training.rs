//! The empirical half: the classifier trained with either kernel, and the loss around what was found.

use super::{Answer, Case, Commands, Experiment, Finding, Preset, Work};
use crate::model::Kernel;

pub(super) fn pathfinder(preset: Preset) -> Experiment {
    let case = |name, shows, kernel: Kernel| Case {
        name,
        shows,
        work: Work::Commands(Commands {
            config: None,
            lines: match preset {
                Preset::Quick => vec![
                    "data pathfinder --count 400 --out {}/data".to_owned(),
                    format!(
                        "train --task pathfinder --data {{}}/data --kernel {kernel} --steps 60 --batch 8 --warmup 10 --eval-every 20 \
                         --eval-samples 40 --log-every 10 --out {{}}/train"
                    ),
                    "landscape {}/train/checkpoint-0.safetensors --task pathfinder --data {}/data --grid 7 --samples 8 \
                     --lanczos-steps 0 --out {}/landscape"
                        .to_owned(),
                ],
                Preset::Paper => vec![
                    "data pathfinder --count 200000 --out {}/data".to_owned(),
                    format!(
                        "train --task pathfinder --data {{}}/data --kernel {kernel} --seeds 0,1,2 --steps 20000 --out {{}}/train"
                    ),
                    "landscape {}/train/checkpoint-0.safetensors --task pathfinder --data {}/data --grid 51 --out {}/landscape"
                        .to_owned(),
                ],
            },
            numbers: vec![
                ("steps", "train/summary.json", "/settings/steps"),
                ("accuracy", "train/summary.json", "/accuracy/mean"),
                ("loss", "train/summary.json", "/loss/mean"),
            ],
        }),
    };
    Experiment {
        name: "pathfinder",
        question: "Does the Gaussian kernel train better on Pathfinder?",
        statement: "A 2-layer Transformer on Pathfinder is easier to train with Gaussian than with softmax attention, and its loss \
                    landscape over W^Q and W^K is smoother",
        cases: vec![
            case("softmax", "test accuracy and loss, and the loss around the result", Kernel::Softmax),
            case("gaussian", "the same with Gaussian attention", Kernel::Gaussian),
        ],
        answer: match preset {
            Preset::Quick => answer_quick,
            Preset::Paper => answer,
        },
        minutes: match preset {
            Preset::Quick => 1.5,
            // 6 runs of 20,000 steps at about 2.5 s, 128 images of 1024 tokens each.
            Preset::Paper => 6.0 * 20_000.0 * 2.5 / 60.0,
        },
    }
}

fn answer(found: &[Finding]) -> Answer {
    let [softmax, gaussian] = found else {
        return Answer::incomplete();
    };
    let shown = |of: &Finding, name: &str| of.number(name).map_or("not known".to_owned(), |x| format!("{x:.4}"));
    Answer::new(
        "measured",
        format!(
            "After {} steps the test accuracy is {} with softmax and {} with Gaussian attention, the test loss {} and {}.",
            softmax.text("steps"),
            shown(softmax, "accuracy"),
            shown(gaussian, "accuracy"),
            shown(softmax, "loss"),
            shown(gaussian, "loss"),
        ),
    )
    .with("softmax: accuracy", softmax, "accuracy")
    .with("Gaussian: accuracy", gaussian, "accuracy")
}

/// The same numbers, and what they do not show.
fn answer_quick(found: &[Finding]) -> Answer {
    let mut answer = answer(found);
    answer.verdict = "not decided".to_owned();
    answer.says += " This run is far too short to tell the kernels apart: it shows that the commands work and what a step costs, \
                    not what the poster claims. The preset paper has the poster's 20,000 steps.";
    answer
}
