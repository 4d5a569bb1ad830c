//! What a person reads: the terminal summary, and the files of a verification.

mod summary;

pub use summary::summary;

use crate::Result;
use crate::certify::certificate_files;
use crate::plot;
use crate::problem::Instance;
use crate::spectrum::Reading;
use crate::verdict::{Origin, trajectory_csv, verdict_json};
use crate::verify::Verification;

/// What [`verification_files`] writes whatever was found.
pub(crate) const VERIFICATION_FILES: [&str; 5] = [
    "instance.safetensors",
    "trajectory.csv",
    "rate-vs-bound.svg",
    "rate-vs-bound.png",
    "verdict.json",
];

/// The files of one verification, by name: `verdict.json`, `trajectory.csv`, `instance.safetensors`,
/// `rate-vs-bound.svg` and `.png`; if something was proven `certificate.json` (and `centre.safetensors` if from t > 0).
///
/// # Errors
/// None is expected; a figure that cannot be drawn.
pub fn verification_files(
    instance: &Instance,
    found: &Verification,
    origin: &Origin,
    title: &str,
    deciding: Reading,
) -> Result<Vec<(&'static str, Vec<u8>)>> {
    let verdict = format!("{:#}\n", verdict_json(found, origin, deciding));
    let figure = plot::rate_vs_bound(found, title, deciding)?;
    let mut files = vec![
        ("instance.safetensors", instance.to_bytes()?),
        ("trajectory.csv", trajectory_csv(found)?),
        ("rate-vs-bound.svg", figure.svg.into_bytes()),
        ("rate-vs-bound.png", figure.png),
        ("verdict.json", verdict.into_bytes()),
    ];
    if let Some(certificate) = &found.certificate {
        let centre = found.proven.as_ref().and_then(|p| p.centre.as_ref());
        files.extend(certificate_files(certificate, centre)?);
    }
    Ok(files)
}
