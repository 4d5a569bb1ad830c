//! Theorem 2 from random initializations: what W^Q alone reaches with either kernel, pair by pair.

use super::{Answer, Case, Commands, Experiment, Finding, Preset, Work, sweep};

pub(super) fn experiment(preset: Preset) -> Experiment {
    let (seeds, steps) = match preset {
        Preset::Quick => (10, 5000),
        Preset::Paper => (1000, 100_000),
    };
    let config = format!(
        "# the same data and weights for both kernels\nN = 2\nn = 4\nD = 16\nd = 4\nH = 4\nkernel = [\"softmax\", \"gaussian\"]\n\
         trained = \"Q\"\nseeds = {{ from = 0, to = {} }}\nsteps = {steps}\ncertify = false\n",
        seeds - 1
    );
    Experiment {
        name: "theorem-2-random",
        question: "Training W^Q alone from random initializations: does the Gaussian kernel do better?",
        statement: "Theorem 2 is about some initialization; the poster's observation is that Gaussian attention is often easier to \
                    train than softmax",
        cases: vec![Case {
            name: "lecun",
            shows: "ordinary initializations, the same draw for both kernels",
            work: Work::Commands(Commands {
                numbers: vec![
                    (
                        "both",
                        "summary.json",
                        "/query_alone_pairs/0/both_reach_zero",
                    ),
                    (
                        "only_softmax",
                        "summary.json",
                        "/query_alone_pairs/0/only_softmax",
                    ),
                    (
                        "only_gaussian",
                        "summary.json",
                        "/query_alone_pairs/0/only_gaussian",
                    ),
                    ("neither", "summary.json", "/query_alone_pairs/0/neither"),
                    ("reached_zero_below", "summary.json", "/reached_zero_below"),
                ],
                ..sweep(config)
            }),
        }],
        answer,
        needs_imdb: false,
        minutes: match preset {
            Preset::Quick => 0.2,
            Preset::Paper => 120.0,
        },
    }
}

fn answer(found: &[Finding]) -> Answer {
    let [found] = found else {
        return Answer::incomplete();
    };
    let more =
        found.number("only_gaussian").unwrap_or(0.0) - found.number("only_softmax").unwrap_or(0.0);
    let which = match more {
        m if m > 0.0 => "On these draws it did",
        m if m < 0.0 => "On these draws it did not: softmax did",
        _ => "On these draws neither kernel did better",
    };
    Answer::new(
        "measured",
        format!(
            "{which}. Of the same draws both kernels brought the loss below {} f(M_0) in {}, only the Gaussian in {}, only softmax \
             in {}, neither in {}.",
            found.text("reached_zero_below"),
            found.text("both"),
            found.text("only_gaussian"),
            found.text("only_softmax"),
            found.text("neither"),
        ),
    )
    .with("only the Gaussian", found, "only_gaussian")
    .with("only softmax", found, "only_softmax")
    .with("both", found, "both")
    .with("neither", found, "neither")
}
