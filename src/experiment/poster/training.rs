//! The empirical half: the classifier trained with either kernel, and the loss around what was found.

use super::{Answer, Case, Commands, Experiment, Finding, Preset, Work};
use crate::model::Kernel;
use gdcert_base::number::short;

pub(super) fn pathfinder(preset: Preset) -> Experiment {
    let (images, settings, samples) = match preset {
        Preset::Quick => (
            400,
            "--steps 60 --batch 8 --warmup 10 --eval-every 20 --eval-samples 40 --log-every 10",
            8,
        ),
        Preset::Paper => (200_000, "--seeds 0,1,2 --steps 20000", 32),
    };
    let data = format!("data pathfinder --count {images} --out {{}}/data");
    Experiment {
        name: "pathfinder",
        question: "Does the Gaussian kernel train better on Pathfinder?",
        statement: "A 2-layer Transformer on Pathfinder is easier to train with Gaussian than with softmax attention, and its loss \
                    landscape over W^Q and W^K is smoother",
        cases: cases(preset, "pathfinder", "{}/data", settings, samples, &[data]),
        answer: answer_of(preset),
        needs_imdb: false,
        minutes: match preset {
            Preset::Quick => 1.0,
            // 8 runs (3 seeds of either kernel, then 2 second stages) of 20,000 steps at about 0.2 s, 128 images of 1024 tokens each, most
            // of them black and masked.
            Preset::Paper => 8.0 * 20_000.0 * 0.2 / 60.0,
        },
    }
}

pub(super) fn imdb(preset: Preset) -> Experiment {
    let (settings, samples) = match preset {
        Preset::Quick => (
            "--length 256 --steps 60 --batch 16 --warmup 10 --eval-every 20 --eval-samples 200 --log-every 10",
            16,
        ),
        Preset::Paper => ("--seeds 0,1,2 --steps 20000", 32),
    };
    Experiment {
        name: "imdb",
        question: "Does the Gaussian kernel train better on text?",
        statement: "A 2-layer Transformer on IMDb reviews, byte by byte, is easier to train with Gaussian than with softmax \
                    attention, and its loss landscape over W^Q and W^K is smoother",
        cases: cases(preset, "imdb", "{imdb}", settings, samples, &[]),
        answer: answer_of(preset),
        needs_imdb: true,
        minutes: match preset {
            Preset::Quick => 0.7,
            // 8 runs (3 seeds of either kernel, then 2 second stages) of 20,000 steps at about 7 s, 32 reviews of 4000 tokens each.
            Preset::Paper => 8.0 * 20_000.0 * 7.0 / 60.0,
        },
    }
}

/// Training with either kernel and the landscape around the first seed's end; at full size also the poster's second
/// stage, from the softmax checkpoint on with either kernel.
fn cases(
    preset: Preset,
    task: &'static str,
    data: &str,
    settings: &str,
    samples: usize,
    before: &[String],
) -> Vec<Case> {
    let (grid, lanczos) = match preset {
        Preset::Quick => (7, " --lanczos-steps 0"),
        Preset::Paper => (51, ""),
    };
    let landscape = |of: &str| {
        format!(
            "landscape {{}}/{of}/checkpoint-0.safetensors --task {task} --data {data} --grid {grid} --samples {samples}{lanczos} \
             --out {{}}/landscape-{of}"
        )
    };
    let train = |kernel: Kernel| {
        format!("train --task {task} --data {data} --kernel {kernel} {settings} --out {{}}/train")
    };
    let case = |name, shows, lines| Case {
        name,
        shows,
        work: Work::Commands(Commands {
            config: None,
            lines,
            numbers: vec![
                ("steps", "train/summary.json", "/settings/steps"),
                ("accuracy", "train/summary.json", "/accuracy/mean"),
                ("loss", "train/summary.json", "/loss/mean"),
            ],
        }),
    };
    let of = |kernel: Kernel, second: &[String]| {
        let own = [train(kernel), landscape("train")];
        [before, &own, second].concat()
    };
    let second: Vec<String> = match preset {
        Preset::Quick => Vec::new(),
        Preset::Paper => [Kernel::Softmax, Kernel::Gaussian]
            .iter()
            .flat_map(|kernel| {
                let from = "--from {}/train/checkpoint-0.safetensors --seeds 0";
                let stage = format!("second-{kernel}");
                [
                    format!("train {from} --data {data} --kernel {kernel} --out {{}}/{stage}"),
                    landscape(&stage),
                ]
            })
            .collect(),
    };
    vec![
        case(
            "softmax",
            match preset {
                Preset::Quick => "test accuracy and loss, and the loss around the result",
                Preset::Paper => {
                    "test accuracy and loss, the loss around the result, and as many steps again with either kernel"
                }
            },
            of(Kernel::Softmax, &second),
        ),
        case(
            "gaussian",
            "the same with Gaussian attention",
            of(Kernel::Gaussian, &[]),
        ),
    ]
}

fn answer_of(preset: Preset) -> fn(&[Finding]) -> Answer {
    match preset {
        Preset::Quick => answer_quick,
        Preset::Paper => answer,
    }
}

fn answer(found: &[Finding]) -> Answer {
    let [softmax, gaussian] = found else {
        return Answer::incomplete();
    };
    let shown = |of: &Finding, name: &str| {
        let number = of.number(name);
        number.map_or("not known".to_owned(), short)
    };
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
    .with("softmax: loss", softmax, "loss")
    .with("Gaussian: loss", gaussian, "loss")
}

/// The same numbers, and what they do not show.
fn answer_quick(found: &[Finding]) -> Answer {
    let mut answer = answer(found);
    answer.verdict = "not decided".to_owned();
    answer.says += " This run is far too short to tell the kernels apart: it shows that the commands work and what a step costs, \
                    not what the poster claims. The preset paper has the poster's 20,000 steps.";
    answer
}
