//! What the figure of a verification is drawn from: the verification itself, or the files it wrote.

use crate::proof::{Checks, Standing};
use crate::{Error, Result};
use gdcert::bounds::Reason;
use gdcert::certificate::Certificate;
use gdcert::descent::{End, FLOOR_SHARE};
use gdcert::model::{Precision, Trained};
use gdcert::verdict::Verdict;
use gdcert::verify::{VerdictFile, Verification};
use gdcert_base::input;
use serde::Deserialize;
use std::path::Path;

/// A run of gradient descent and the bounds that were held against it.
#[derive(Clone, Debug)]
pub(super) struct Story {
    pub kernel: String,
    pub trained: Trained,
    pub dims: String,
    pub eta: f64,
    /// The last step of the run.
    pub last: usize,
    pub points: Vec<Step>,
    pub claims: Vec<Line>,
    /// The name of the claim that decides.
    pub deciding: String,
    /// The step from which a rate is proven, and the rate.
    pub proven: Option<(usize, f64)>,
    /// Upper ends of f_t of the exact orbit from M_0.
    pub enclosed: Vec<f64>,
    /// How far the exact orbit was enclosed, and how far the run is from it.
    pub orbit: Option<(usize, f64)>,
    /// The hull bound, where it stands in the way.
    pub hull: Option<f64>,
    pub zero_gradient: bool,
    pub diverged: bool,
    pub precision: Precision,
    /// Rates measured over the run and over its last quarter.
    pub measured: Option<(f64, f64)>,
    /// Pairs of t and the level below which nothing is compared.
    pub floor: Vec<(f64, f64)>,
}

/// A step of the run; NaN for what is not known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub t: usize,
    pub loss: f64,
    pub moved: [f64; 3],
    /// sigma_min(B_t) / sigma_min(B_0).
    pub sigma: Option<f64>,
}

/// A claimed bound.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub name: String,
    pub verdict: Verdict,
    pub rate: f64,
    pub reason: String,
    pub checked_to: usize,
    pub first_violation: Option<usize>,
    pub floor_at: Option<usize>,
    /// Whether it is about this instance at all.
    pub applies: bool,
}

impl Story {
    pub(super) fn of(found: &Verification, deciding: &str) -> Self {
        let start = found.spectrum.sigma_min_B0;
        let steps = found.trajectory.points.iter().map(|p| Step {
            t: p.t,
            loss: p.loss,
            moved: p.moved,
            sigma: p
                .sigma_min_B
                .filter(|_| start.lower() > 0.0)
                .map(|sigma| sigma / start.value),
        });
        let f0 = found.loss0();
        let claims = found.claims.iter().map(|claim| Line {
            name: claim.name.clone(),
            verdict: claim.verdict,
            rate: claim.rate,
            reason: claim.reason.clone(),
            checked_to: claim.checked_to,
            first_violation: claim.first_violation,
            floor_at: claim.floor_at,
            applies: claim.bound(0, f0).is_some(),
        });
        let points = found.trajectory.points.iter();
        let errors = points.filter(|p| p.loss_error.is_finite());
        let obstruction = found.obstruction.as_ref();
        let orbit = found.orbit.as_ref();
        Story {
            kernel: found.kernel.to_string(),
            trained: found.trained,
            dims: found.dims.to_string(),
            eta: found.trajectory.eta,
            last: found.last().t,
            points: steps.collect(),
            claims: claims.collect(),
            deciding: deciding.to_owned(),
            proven: found
                .proven
                .as_ref()
                .map(|proven| (proven.t, proven.proof.rate_lower())),
            enclosed: orbit
                .map(|orbit| orbit.losses.iter().map(|ends| ends[1]).collect())
                .unwrap_or_default(),
            orbit: orbit.map(|orbit| (orbit.steps, orbit.run_distance)),
            hull: obstruction.and(found.f_hull),
            zero_gradient: obstruction.is_some_and(|o| o.reason == Reason::ZeroGradient),
            diverged: found.trajectory.end == End::Diverged,
            precision: found.trajectory.precision,
            measured: found.measured_rates(),
            floor: errors
                .map(|p| (p.t as f64, (p.loss_error / FLOOR_SHARE).log10()))
                .collect(),
        }
    }

    /// Read from the files of `verify`. A proof is shown only if it is proven again here.
    ///
    /// # Errors
    /// A verdict.json or trajectory.csv that is missing or damaged.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("verdict.json");
        let file = VerdictFile::read(&path)?;
        let own = input::json(&path)?;
        let (rows, bounded) = rows(&folder.join("trajectory.csv"))?;
        let first = &rows[0];
        let number = |x: &Option<f64>| x.unwrap_or(f64::NAN);
        let (f0, start) = (first.loss, first.sigma_min_b);
        let points = rows.iter().map(|row| Step {
            t: row.t,
            loss: row.loss,
            moved: row.moved.map(|x| number(&x)),
            sigma: row
                .sigma_min_b
                .zip(start.filter(|s| *s > 0.0))
                .map(|(sigma, start)| sigma / start),
        });
        let mut claims = Vec::new();
        for (name, claim) in own["claims"].as_object().into_iter().flatten() {
            let claim: Recorded = serde_json::from_value(claim.clone())
                .map_err(|e| Error::file(&path, format!("claims.{name}: {e}")))?;
            claims.push(Line {
                name: name.clone(),
                verdict: claim.verdict,
                rate: number(&claim.rate),
                reason: claim.reason,
                checked_to: claim.checked_to,
                first_violation: claim.first_violation,
                floor_at: claim.floor_at,
                applies: bounded.contains(name),
            });
        }
        let proof = Checks::new().of_verdict(&file, folder)?;
        let proven = proof.and_then(|p| match (&p.certificate, &p.standing) {
            (Certificate::TheoremA(c), Standing::Proven(_)) => Some((c.centre.t, c.rate_lower)),
            _ => None,
        });
        let from_start = file.claims[file.deciding()].verdict == Verdict::Certified;
        let enclosed = match proven {
            Some((t, _)) if from_start => rows.iter().take(t + 1).map(|row| row.loss).collect(),
            _ => Vec::new(),
        };
        // The files have no evaluation errors; where a comparison ended, one was as large as that bound.
        let slope = |rate: f64| (-rate).ln_1p() * std::f64::consts::LOG10_E;
        let mut floor: Vec<(f64, f64)> = claims
            .iter()
            .filter(|claim| claim.applies)
            .filter_map(|claim| {
                let t = claim.floor_at? as f64;
                Some((t, f0.log10() + slope(claim.rate) * t))
            })
            .filter(|(_, y)| y.is_finite())
            .collect();
        floor.sort_by(|a, b| a.0.total_cmp(&b.0));
        let last = rows.last().map_or(0, |row| row.t);
        if let Some(&(_, level)) = floor.last() {
            floor.push((last as f64, level));
        }
        let obstruction = file.obstruction;
        Ok(Story {
            kernel: file.kernel.to_string(),
            trained: file.trained,
            dims: file.dims.to_string(),
            eta: number(&file.eta),
            last,
            points: points.collect(),
            deciding: file.deciding().to_owned(),
            proven,
            enclosed,
            orbit: file
                .orbit
                .map(|orbit| (orbit.steps, number(&orbit.run_distance))),
            hull: obstruction.and(file.f_hull),
            zero_gradient: obstruction.is_some_and(|o| o.reason == Reason::ZeroGradient),
            diverged: claims.iter().any(|c| c.verdict == Verdict::Diverged),
            precision: file.precision,
            measured: file.measured_rate.zip(file.measured_tail_rate),
            floor,
            claims,
        })
    }

    pub(super) fn f0(&self) -> f64 {
        self.points.first().map_or(f64::NAN, |p| p.loss)
    }

    pub(super) fn claim(&self, name: &str) -> Option<&Line> {
        self.claims.iter().find(|claim| claim.name == name)
    }

    /// Whether a certificate is about every step from M_0 on.
    pub(super) fn is_from_start(&self) -> bool {
        let deciding = self.claim(&self.deciding);
        deciding.is_some_and(|claim| claim.verdict == Verdict::Certified)
    }
}

/// t, the loss and the bound of the reading that decides, of at most so many steps up to `last`, evenly chosen; from the
/// files of `verify`.
///
/// # Errors
/// A trajectory.csv that is missing or damaged.
pub(crate) fn samples(
    folder: &Path,
    deciding: &str,
    last: f64,
    most: usize,
) -> Result<Vec<(usize, f64, Option<f64>)>> {
    let path = folder.join("verdict.json");
    let rate = input::json(&path)?["claims"][deciding]["rate"].as_f64();
    let (rows, bounded) = rows(&folder.join("trajectory.csv"))?;
    let rows: Vec<&Row> = rows.iter().filter(|row| row.t as f64 <= last).collect();
    let f0 = rows.first().map_or(f64::NAN, |row| row.loss);
    let rate = rate.filter(|_| bounded.iter().any(|name| name == deciding));
    let bound = |t: usize| rate.map(|rate| f0 * (t as f64 * (-rate).ln_1p()).exp());
    let every = rows.len().div_ceil(most.max(1)).max(1);
    Ok(rows
        .into_iter()
        .step_by(every)
        .map(|row| (row.t, row.loss, bound(row.t)))
        .collect())
}

/// What a figure needs of a claim in verdict.json, that of a reading or one of the user's own.
#[derive(Deserialize)]
struct Recorded {
    verdict: Verdict,
    rate: Option<f64>,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    checked_to: usize,
    first_violation: Option<usize>,
    floor_at: Option<usize>,
}

/// A row of trajectory.csv; what is empty there is `None`.
struct Row {
    t: usize,
    loss: f64,
    sigma_min_b: Option<f64>,
    moved: [Option<f64>; 3],
}

/// The rows of trajectory.csv, and the claims whose bound applies.
fn rows(path: &Path) -> Result<(Vec<Row>, Vec<String>)> {
    let text = input::text(path).map_err(|what| Error::file(path, what))?;
    let wrong =
        |what: String| Error::file(path, format!("is not as gdcert verify writes it: {what}"));
    let mut csv = csv::Reader::from_reader(text.as_bytes());
    let header = csv.headers().map_err(|e| wrong(e.to_string()))?.clone();
    let (mut rows, mut bounded) = (Vec::new(), Vec::new());
    for record in csv.records() {
        let record = record.map_err(|e| wrong(e.to_string()))?;
        let cell = |name: &str| -> Result<Option<&str>> {
            let at = header.iter().position(|column| column == name);
            let at = at.ok_or_else(|| wrong(format!("it has no column {name}")))?;
            Ok(record.get(at).filter(|cell| !cell.is_empty()))
        };
        let number = |name: &str| -> Result<Option<f64>> {
            let parsed = cell(name)?.map(str::parse::<f64>).transpose();
            parsed.map_err(|e| wrong(format!("{name}: {e}")))
        };
        let t = cell("t")?.and_then(|t| t.parse().ok());
        if rows.is_empty() {
            for name in header.iter().filter_map(|h| h.strip_prefix("bound_")) {
                if cell(&format!("bound_{name}"))?.is_some() {
                    bounded.push(name.to_owned());
                }
            }
        }
        rows.push(Row {
            t: t.ok_or_else(|| wrong("t is no whole number".to_owned()))?,
            loss: number("loss")?.unwrap_or(f64::NAN),
            sigma_min_b: number("sigma_min_b")?,
            moved: [number("moved_q")?, number("moved_k")?, number("moved_v")?],
        });
    }
    if rows.is_empty() {
        return Err(wrong("it has no row".to_owned()));
    }
    Ok((rows, bounded))
}
