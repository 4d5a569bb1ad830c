//! Theorem 2 from random initializations: what W^Q alone reaches with either kernel, pair by pair.

use super::{Answer, Case, Experiment, Finding, Preset, sweep};

pub(super) fn experiment(preset: Preset) -> Experiment {
    let (seeds, steps) = match preset {
        Preset::Quick => (10, 5000),
        Preset::Paper => (1000, 100_000),
    };
    // Days of runs are not proven on top.
    let certify = match preset {
        Preset::Quick => "\"orbit\"",
        Preset::Paper => "false",
    };
    let config = format!(
        "# the same data and weights for both kernels\nN = 2\nn = 4\nD = 16\nd = 4\nH = 4\nkernel = [\"softmax\", \"gaussian\"]\n\
         trained = \"Q\"\nseeds = {{ from = 0, to = {} }}\nsteps = {steps}\ncertify = {certify}\n",
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
            work: sweep(
                config,
                &[
                    ("both", "/query_alone_pairs/0/both_reach_zero"),
                    ("only_softmax", "/query_alone_pairs/0/only_softmax"),
                    ("only_gaussian", "/query_alone_pairs/0/only_gaussian"),
                    ("softmax_certified", "/groups/0/verdicts/ntk/certified"),
                    ("softmax_refuted", "/groups/0/verdicts/ntk/refuted"),
                    ("gaussian_certified", "/groups/1/verdicts/ntk/certified"),
                    ("gaussian_refuted", "/groups/1/verdicts/ntk/refuted"),
                    ("trials", "/groups/0/trials"),
                    ("neither", "/query_alone_pairs/0/neither"),
                    ("reached_zero_below", "/reached_zero_below"),
                ],
            ),
        }],
        answer,
        needs_imdb: false,
        minutes: match preset {
            Preset::Quick => 0.5,
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
    let proven = match found.text("softmax_certified").as_str() {
        "0" if found.text("softmax_refuted") == "0" && found.text("gaussian_refuted") == "0" => {
            String::new()
        }
        _ => format!(
            " For exact gradient descent from M_0 the bound with the sharp constant at M_0 (ntk) is proven in {} and refuted in {} of \
             {} with softmax, in {} and {} with the Gaussian.",
            found.text("softmax_certified"),
            found.text("softmax_refuted"),
            found.text("trials"),
            found.text("gaussian_certified"),
            found.text("gaussian_refuted"),
        ),
    };
    Answer::new(
        "measured",
        format!(
            "{which}. Of the same draws both kernels brought the loss below {} f(M_0) in {}, only the Gaussian in {}, only softmax \
             in {}, neither in {}.{proven}",
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
