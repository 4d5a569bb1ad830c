//! What was found about a model of the user's own: words for a terminal, and its files.

use super::summary::{floor, measured, paragraph, table};
use crate::Result;
use crate::plot::{Format, model_rate_vs_bound};
use gdcert::descent::End;
use gdcert::graph::{Graph, VerdictFile, Verification, model_files, trajectory_csv};
use gdcert::refutation_file;
use gdcert_base::number::digits;

/// The files of a model's verification, by name: `verdict.json`, `trajectory.csv`, `model.json`, `model.safetensors`,
/// `rate-vs-bound` in the formats that are asked for, and certificates as those of an instance.
///
/// # Errors
/// None is expected; a figure that cannot be drawn.
pub fn model_verification_files(
    graph: &Graph,
    found: &Verification,
    command: &str,
    title: &str,
    deciding: &str,
    formats: &[Format],
) -> Result<Vec<(String, Vec<u8>)>> {
    let verdict = VerdictFile::new(graph, found, command, deciding)?.to_text()?;
    let figure = model_rate_vs_bound(graph, found, title, deciding);
    let mut files = model_files(graph)?;
    let named = |name: &str, bytes: Vec<u8>| (name.to_owned(), bytes);
    files.push(named("trajectory.csv", trajectory_csv(graph, found)?));
    files.extend(figure.files("rate-vs-bound", formats)?);
    files.push(named("verdict.json", verdict.into_bytes()));
    if let Some(certificate) = &found.certificate {
        let centre = found.proven.as_ref().and_then(|p| p.centre.as_deref());
        files.extend(certificate.files(graph, centre)?);
    }
    let refutations = found.refutations.iter();
    files.extend(refutations.map(|(name, c)| (refutation_file(name), c.to_text())));
    Ok(files)
}

/// The verification of a model in words and one table, as [`summary`](super::summary()) of an instance.
pub fn model_summary(graph: &Graph, found: &Verification, title: &str, deciding: &str) -> String {
    let blocks = graph.blocks().iter();
    let blocks: Vec<_> = blocks
        .map(|b| format!("{} {:?}", b.name, b.start.shape))
        .collect();
    let all = graph.parameters().count() == blocks.len();
    let names: Vec<_> = graph.blocks().iter().map(|b| b.name.as_str()).collect();
    let last = found.last();
    let rates = found.trajectory.measured_rates();
    let head = [
        (
            "Model",
            format!(
                "{title}; m = {} residuals, P = {} parameters in {}",
                graph.m(),
                graph.P(),
                blocks.join(", ")
            ),
        ),
        (
            "Run",
            format!(
                "exact gradient descent on {}, eta = {}, {} steps{}",
                match all {
                    true => "all blocks".to_owned(),
                    false => names.join(", "),
                },
                digits(found.trajectory.eta),
                last.t,
                match found.trajectory.end {
                    End::Steps => "",
                    End::Floor => " (stopped at the rounding floor)",
                    End::Diverged => " (stopped: diverged)",
                }
            ),
        ),
        (
            "Loss",
            format!(
                "f_0 = {}, f_T = {}",
                digits(found.loss0()),
                digits(last.loss)
            ),
        ),
        ("Measured", measured(rates)),
    ];
    let mut text = String::new();
    for (name, words) in head {
        text += &paragraph(&format!("{name:<10}"), "          ", &words);
    }
    text.push('\n');
    text += &table(&found.claims, rates, found.loss0(), deciding);
    text.push('\n');
    let mut remarks = vec![format!("{deciding}: {}.", found.claim(deciding).reason)];
    if let Some(orbit) = &found.orbit {
        remarks.push(format!(
            "Exact orbit: enclosed from M_0 to t = {} with {} bits; the run is within {:.1e} of exact gradient descent.",
            orbit.steps, orbit.bits, orbit.run_distance,
        ));
    }
    for (name, certificate) in &found.refutations {
        remarks.push(format!(
            "{}: {}",
            refutation_file(name),
            certificate.statement()
        ));
    }
    if let Some(certificate) = &found.certificate {
        remarks.push(format!(
            "certificate.json: {} gdcert check re-proves it.",
            certificate.statement()
        ));
    }
    remarks.push(floor(&found.claims, last.loss_error));
    for sentence in remarks {
        text += &paragraph("- ", "  ", &sentence);
    }
    text
}
