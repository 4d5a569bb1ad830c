//! What the figure of a verification is drawn from: the verification itself, or the files it wrote.

use crate::proof::{Checks, Gist, Standing};
use crate::{Error, Result};
use gdcert::bounds::Reason;
use gdcert::descent::{End, FLOOR_SHARE, Trajectory};
use gdcert::graph::{Graph, VerdictFile as ModelVerdictFile, Verification as ModelVerification};
use gdcert::model::{Kernel, Precision, Trained};
use gdcert::orbit::Orbit;
use gdcert::problem::Dims;
use gdcert::verdict::{Claim, Verdict};
use gdcert::verify::{OrbitFile, VerdictFile, Verification};
use gdcert_base::input;
use serde::Deserialize;
use serde_json::Value;
use std::path::Path;

/// A run of gradient descent and the bounds that were held against it.
#[derive(Clone, Debug)]
pub(super) struct Story {
    /// What was run on, in words for a title.
    pub about: String,
    /// The trained blocks.
    pub blocks: Vec<String>,
    /// Whether it has a sigma_min(B_t): attention does.
    pub has_sigma: bool,
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
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub t: usize,
    pub loss: f64,
    /// How far each trained block is from M_0.
    pub moved: Vec<f64>,
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
            moved: of_trained(found.trained, p.moved),
            sigma: p
                .sigma_min_B
                .filter(|_| start.lower() > 0.0)
                .map(|sigma| sigma / start.value),
        });
        let obstruction = found.obstruction.as_ref();
        let orbit = found.orbit.as_ref();
        Story {
            about: about_attention(found.kernel, found.trained, found.dims),
            blocks: of_trained(found.trained, ["Q", "K", "V"].map(str::to_owned)),
            has_sigma: true,
            eta: found.trajectory.eta,
            last: found.last().t,
            points: steps.collect(),
            claims: lines(&found.claims, found.loss0()),
            deciding: deciding.to_owned(),
            proven: found
                .proven
                .as_ref()
                .map(|proven| (proven.t, proven.proof.rate_lower())),
            enclosed: enclosed(orbit),
            orbit: orbit.map(|orbit| (orbit.steps, orbit.run_distance)),
            hull: obstruction.and(found.f_hull),
            zero_gradient: obstruction.is_some_and(|o| o.reason == Reason::ZeroGradient),
            diverged: found.trajectory.end == End::Diverged,
            precision: found.trajectory.precision,
            measured: found.measured_rates(),
            floor: floor(&found.trajectory),
        }
    }

    /// Of a model of the user's own.
    pub fn of_model(graph: &Graph, found: &ModelVerification, deciding: &str) -> Self {
        let steps = found.trajectory.points.iter().map(|p| Step {
            t: p.t,
            loss: p.loss,
            moved: p.moved.clone(),
            sigma: None,
        });
        let orbit = found.orbit.as_ref();
        let blocks: Vec<String> = graph.blocks().iter().map(|b| b.name.clone()).collect();
        Story {
            about: about_model(graph.m(), graph.P(), &blocks, graph.parameters().count()),
            blocks,
            has_sigma: false,
            eta: found.trajectory.eta,
            last: found.last().t,
            points: steps.collect(),
            claims: lines(&found.claims, found.loss0()),
            deciding: deciding.to_owned(),
            proven: found
                .proven
                .as_ref()
                .map(|proven| (proven.t, proven.proof.rate_lower())),
            enclosed: enclosed(orbit),
            orbit: orbit.map(|orbit| (orbit.steps, orbit.run_distance)),
            hull: None,
            zero_gradient: found.obstruction.is_some(),
            diverged: found.trajectory.end == End::Diverged,
            precision: Precision::F64,
            measured: found.trajectory.measured_rates(),
            floor: floor(&found.trajectory),
        }
    }

    /// Read from the files of `verify`. A proof is shown only if it is proven again here.
    ///
    /// # Errors
    /// A verdict.json or trajectory.csv that is missing or damaged.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("verdict.json");
        let own = input::json(&path)?;
        let file = Found::read(&path, &own)?;
        let moved: Vec<String> = file
            .blocks
            .iter()
            .map(|b| format!("moved_{}", b.1))
            .collect();
        let (rows, bounded) = rows(&folder.join("trajectory.csv"), &moved)?;
        let first = &rows[0];
        let number = |x: &Option<f64>| x.unwrap_or(f64::NAN);
        let (f0, start) = (first.loss, first.sigma_min_b);
        let points = rows.iter().map(|row| Step {
            t: row.t,
            loss: row.loss,
            moved: row.moved.iter().map(number).collect(),
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
        let proof = Checks::new().beside(file.certificate.as_ref(), folder)?;
        let proven = proof.and_then(|p| match p.standing {
            Standing::Proven(..) => match p.held.gist() {
                Gist::Rate { t, rate, .. } => Some((t, rate)),
                _ => None,
            },
            _ => None,
        });
        let decided = claims.iter().find(|claim| claim.name == file.deciding);
        let from_start = decided.is_some_and(|claim| claim.verdict == Verdict::Certified);
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
        Ok(Story {
            about: file.about,
            blocks: file.blocks.into_iter().map(|b| b.0).collect(),
            has_sigma: file.has_sigma,
            eta: number(&file.eta),
            last,
            points: points.collect(),
            deciding: file.deciding,
            proven,
            enclosed,
            orbit: file
                .orbit
                .map(|orbit| (orbit.steps, number(&orbit.run_distance))),
            hull: file.hull,
            zero_gradient: file.zero_gradient,
            diverged: claims.iter().any(|c| c.verdict == Verdict::Diverged),
            precision: file.precision,
            measured: file.measured,
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

/// The numbers of trained blocks.
fn of_trained<T>(trained: Trained, all: [T; 3]) -> Vec<T> {
    let pairs = all.into_iter().zip(trained.flags());
    pairs.filter(|(_, on)| *on).map(|(x, _)| x).collect()
}

fn about_attention(kernel: Kernel, trained: Trained, dims: Dims) -> String {
    format!("{kernel} kernel · trained {trained} · {dims}")
}

/// `all`: how many blocks there are, trained or not.
fn about_model(m: usize, P: usize, blocks: &[String], all: usize) -> String {
    let trained = match blocks.len() < all {
        true => format!(" · trained {}", blocks.join(", ")),
        false => String::new(),
    };
    format!("m = {m} residuals · P = {P} parameters{trained}")
}

fn lines(claims: &[Claim], f0: f64) -> Vec<Line> {
    let line = |claim: &Claim| Line {
        name: claim.name.clone(),
        verdict: claim.verdict,
        rate: claim.rate,
        reason: claim.reason.clone(),
        checked_to: claim.checked_to,
        first_violation: claim.first_violation,
        floor_at: claim.floor_at,
        applies: claim.bound(0, f0).is_some(),
    };
    claims.iter().map(line).collect()
}

fn enclosed(orbit: Option<&Orbit>) -> Vec<f64> {
    let losses = orbit.into_iter().flat_map(|orbit| &orbit.losses);
    losses.map(|ends| ends[1]).collect()
}

fn floor<B>(trajectory: &Trajectory<B>) -> Vec<(f64, f64)> {
    let errors = trajectory
        .points
        .iter()
        .filter(|p| p.loss_error.is_finite());
    errors
        .map(|p| (p.t as f64, (p.loss_error / FLOOR_SHARE).log10()))
        .collect()
}

/// What a story needs of a verdict.json beside its claims, be it of an instance or of a model.
struct Found {
    about: String,
    /// The trained blocks by name, and by the name that trajectory.csv has for them.
    blocks: Vec<(String, String)>,
    has_sigma: bool,
    eta: Option<f64>,
    deciding: String,
    orbit: Option<OrbitFile>,
    hull: Option<f64>,
    zero_gradient: bool,
    precision: Precision,
    measured: Option<(f64, f64)>,
    certificate: Option<Value>,
}

impl Found {
    fn read(path: &Path, json: &Value) -> Result<Self> {
        if ModelVerdictFile::is_one(json) {
            let file = ModelVerdictFile::read(path)?;
            let (m, P) = (file.model.m, file.model.P);
            return Ok(Found {
                about: about_model(m, P, &file.trained, file.model.blocks.iter().count()),
                blocks: file
                    .trained
                    .iter()
                    .map(|b| (b.clone(), b.clone()))
                    .collect(),
                has_sigma: false,
                eta: Some(file.eta),
                deciding: file.deciding,
                orbit: file.orbit,
                hull: None,
                zero_gradient: file.obstruction.is_some(),
                precision: Precision::F64,
                measured: file.measured_rate.zip(file.measured_tail_rate),
                certificate: file.certificate,
            });
        }
        let file = VerdictFile::read(path)?;
        let names = ["Q", "K", "V"].map(|name| (name.to_owned(), name.to_lowercase()));
        let obstruction = file.obstruction;
        Ok(Found {
            about: about_attention(file.kernel, file.trained, file.dims),
            blocks: of_trained(file.trained, names),
            has_sigma: true,
            eta: file.eta,
            deciding: file.deciding().to_owned(),
            orbit: file.orbit,
            hull: obstruction.and(file.f_hull),
            zero_gradient: obstruction.is_some_and(|o| o.reason == Reason::ZeroGradient),
            precision: file.precision,
            measured: file.measured_rate.zip(file.measured_tail_rate),
            certificate: file.certificate,
        })
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
    let (rows, bounded) = rows(&folder.join("trajectory.csv"), &[])?;
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
    moved: Vec<Option<f64>>,
}

/// The rows of trajectory.csv with these columns of distances, and the claims whose bound applies.
fn rows(path: &Path, moved: &[String]) -> Result<(Vec<Row>, Vec<String>)> {
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
            sigma_min_b: match header.iter().any(|column| column == "sigma_min_b") {
                true => number("sigma_min_b")?,
                false => None,
            },
            moved: moved
                .iter()
                .map(|name| number(name))
                .collect::<Result<_>>()?,
        });
    }
    if rows.is_empty() {
        return Err(wrong("it has no row".to_owned()));
    }
    Ok((rows, bounded))
}
