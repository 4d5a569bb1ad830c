//! Folders about a model of the user's own, in words: what the model is, what was claimed and found, and what its certificate is
//! worth here and now.

use super::proof::{Gist, Held, Reproved, Standing, Verdicts, beside, beta_words};
use super::words::{Unproven, claimed, measured, orbit_words, verdict};
use gdcert::certificate::check;
use gdcert::graph::{Bounds, Certificate, Graph, Operation, VerdictFile};
use gdcert::spectrum::Reading;
use gdcert::verdict::Verdict;
use gdcert::verify::{ByName, ClaimRecord};
use gdcert_base::number::{at_least, at_most, digits};
use gdcert_base::printable::printable_line;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// The largest m and the most entries of J that are proven again without being asked.
const LARGEST: (usize, usize) = (512, 1 << 17);

/// Entries of the nodes or of the Jacobian times steps of an exact orbit: half a minute at most. A model's step costs more an
/// entry than attention's.
const LONGEST: usize = 1 << 24;

/// A model with the blocks that a certificate or verdict says are trained.
fn model(folder: &Path, file: &str, trained: &Value) -> Result<Graph, String> {
    let graph = Graph::load(&beside(folder, file)?).map_err(|e| e.to_string())?;
    let names = trained.as_array().into_iter().flatten();
    let names: Vec<String> = names
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect();
    graph.training(&names).map_err(|e| e.to_string())
}

fn field<'a>(c: &'a Certificate, path: &str) -> &'a Value {
    c.to_json().pointer(path).unwrap_or(&Value::Null)
}

fn text<'a>(c: &'a Certificate, path: &str) -> &'a str {
    field(c, path).as_str().unwrap_or_default()
}

fn number(c: &Certificate, path: &str) -> f64 {
    field(c, path).as_f64().unwrap_or(f64::NAN)
}

fn whole(c: &Certificate, path: &str) -> Option<usize> {
    let x = field(c, path).as_u64()?;
    usize::try_from(x).ok()
}

pub(super) fn gist(c: &Certificate) -> Gist {
    match c.kind() {
        "theorem_a" => Gist::Rate {
            t: whole(c, "/centre/t").unwrap_or(0),
            rate: number(c, "/rate_lower"),
            orbit: whole(c, "/orbit/steps"),
        },
        "refuted" => Gist::Refuted {
            claim: c.claim().to_owned(),
            t: whole(c, "/t").unwrap_or(0),
        },
        _ => Gist::Obstructed,
    }
}

/// Runs the independent checker, where that takes seconds.
pub(super) fn reprove(c: &Certificate, path: &Path, folder: &Path) -> Standing {
    let graph = match model(folder, text(c, "/model/file"), field(c, "/trained")) {
        Ok(graph) => graph,
        Err(why) => return Standing::NotTried(why),
    };
    let files = ["/model/tensors/file", "/centre/file"];
    for file in files.map(|at| text(c, at)) {
        if !file.is_empty()
            && let Err(why) = beside(folder, file)
        {
            return Standing::NotTried(why);
        }
    }
    let (m, P) = (graph.m(), graph.P());
    if m > LARGEST.0 || m.saturating_mul(P) > LARGEST.1 {
        return Standing::NotTried(format!(
            "its model is too large for that, {m} residuals and {} entries of the Jacobian; up to {} and {} are tried",
            m.saturating_mul(P),
            LARGEST.0,
            LARGEST.1
        ));
    }
    let steps = whole(c, "/orbit/steps").or(whole(c, "/t")).unwrap_or(0);
    let entries: usize = graph.nodes().iter().map(|node| node.len()).sum();
    if entries.max(m * P).saturating_mul(steps) > LONGEST {
        return Standing::NotTried(format!(
            "its exact orbit of {steps} steps takes minutes to enclose again; gdcert check does it"
        ));
    }
    Standing::of(check(path))
}

/// What a certificate that is proven rests on, sentence by sentence.
pub(super) fn words(c: &Certificate) -> Vec<String> {
    let x = |path: &str| number(c, path);
    let mut words = match c.kind() {
        "theorem_a" => vec![
            format!(
                "Why: at the centre, the parameters in {}, the residual is at most {} and the Jacobian's smallest singular value \
                 at least {}. Around it the Jacobian changes by at most h = {} per unit of distance, so that gradient descent \
                 stays in the ball of radius rho = {}, there sigma_min(J') >= {} and the loss is {}-smooth. With eta = {} each \
                 step multiplies the loss by at most 1 - {}.",
                text(c, "/centre/file"),
                at_most(x("/residual_norm_upper")),
                at_least(x("/alpha_lower")),
                at_most(x("/h_rho_upper")),
                digits(x("/rho")),
                at_least(x("/alpha")),
                at_most(x("/smoothness")),
                digits(x("/eta")),
                at_least(x("/rate_lower")),
            ),
            format!(
                "Covers: the claim with {}.",
                beta_words(c.claim(), x("/beta"), "at most", at_most)
            ),
        ],
        "refuted" => vec![format!(
            "Why: the exact orbit, enclosed from M_0 step by step, has a loss of at least {} at t = {}, and the bound is at most \
             {} there, with {}.",
            at_least(x("/loss_lower")),
            whole(c, "/t").unwrap_or(0),
            at_most(x("/bound_upper")),
            beta_words(c.claim(), x("/beta"), "at least", at_least),
        )],
        _ => vec![
            "Why: every entry of J_0'r_0 comes out as 0 where only what is exact is computed, so that M_t = M_0 for every t."
                .to_owned(),
        ],
    };
    if let Some(steps) = whole(c, "/orbit/steps") {
        words.push(format!(
            "From M_0 on: the orbit of exact gradient descent from the parameters in {}, enclosed step by step, has f_t below the \
             bound at every t up to {steps}, and is then within {} of the centre. What is said of the centre holds for every point \
             so near to it.",
            text(c, "/model/tensors/file"),
            at_most(x("/orbit/distance")),
        ));
    }
    words.push(files_words(c));
    words
}

/// The files whose bytes a certificate binds.
pub(super) fn files_words(c: &Certificate) -> String {
    let mut files = Vec::new();
    for at in ["/model", "/model/tensors", "/centre"] {
        let (file, sha256) = (
            text(c, &format!("{at}/file")),
            text(c, &format!("{at}/sha256")),
        );
        let named = format!("{file} with SHA-256 {sha256}");
        if !file.is_empty() && !files.contains(&named) {
            files.push(named);
        }
    }
    format!(
        "Files: it is about {}, and about no other file.",
        files.join(" and ")
    )
}

impl Verdicts for VerdictFile {
    fn claims(&self) -> &ByName<ClaimRecord> {
        &self.claims
    }
    fn betas(&self) -> &ByName<Option<f64>> {
        &self.betas
    }
    fn deciding(&self) -> &str {
        &self.deciding
    }
    fn measured_rate(&self) -> Option<f64> {
        self.measured_rate
    }
    fn within(&self) -> Option<&Value> {
        self.certificate.as_ref()
    }
    fn rests_on(&self, held: &Held, name: &str, folder: &Path) -> bool {
        let Held::Model(c) = held else {
            return false;
        };
        let verdict = self.claims[name].verdict;
        let same = text(c, "/model/sha256") == self.model.sha256
            && *field(c, "/trained") == Value::from(self.trained.clone());
        let eta = number(c, "/eta") == self.eta;
        let own = Reading::named(name).is_none();
        let (beta, stated) = (number(c, "/beta"), self.betas[name]);
        match (gist(c), verdict) {
            (Gist::Rate { t, rate, orbit }, Verdict::Certified | Verdict::CertifiedTail) => {
                // One rounding, upward. Up to its tail an orbit is held against its own beta only.
                let covers = |upper: f64| {
                    (number(c, "/eta") * upper).next_up() <= rate
                        && (orbit.is_none() || upper <= beta)
                };
                let covered = match (own, c.claim() == name) {
                    (false, true) => true,
                    // Of a claim of the user's own the number is what the file says it is.
                    (true, true) => stated.is_some_and(|stated| stated <= beta || covers(stated)),
                    (true, false) => stated.is_some_and(covers),
                    (false, false) => ntk(c, folder).is_some_and(covers),
                };
                let from_start = t == 0 || orbit.is_some();
                same && eta && from_start == (verdict == Verdict::Certified) && covered
            }
            (Gist::Refuted { claim, .. }, Verdict::Refuted) => {
                let stated = stated.is_some_and(|stated| beta <= stated);
                same && eta && claim == name && (stated || !own)
            }
            (Gist::Obstructed, Verdict::Obstructed) => same,
            _ => false,
        }
    }
}

/// lambda_min(J J') at M_0, from above.
fn ntk(c: &Certificate, folder: &Path) -> Option<f64> {
    let graph = model(folder, text(c, "/model/file"), field(c, "/trained")).ok()?;
    let bounds = Bounds::new(&graph, &graph.start()).ok()?;
    Some(bounds.sigma_min().ok()?.square().hi())
}

/// What a verification was about and what it found, sentence by sentence. What it proved is said only as far as it was proven
/// again.
pub(super) fn verdict_words(
    file: &VerdictFile,
    folder: &Path,
    proof: Option<&Reproved>,
    unproven: Unproven,
) -> Vec<String> {
    let trained = Value::from(file.trained.clone());
    let mut words = vec![
        verdict(file, &file.deciding, proof, unproven),
        match model(folder, &file.model.file, &trained) {
            Ok(graph) => model_words(&file.model.file, &graph),
            Err(why) => format!(
                "Model: {}, m = {} residuals, P = {} parameters that are trained; not read again here: {why}.",
                file.model.file, file.model.m, file.model.P
            ),
        },
        format!(
            "Run: exact gradient descent on {} with step eta = {}, {} steps.",
            file.trained.join(", "),
            digits(file.eta),
            file.steps
        ),
        claimed(file),
    ];
    words.extend(measured(
        file.loss0.zip(file.final_loss),
        file.measured_rate.zip(file.measured_tail_rate),
    ));
    words.extend(file.orbit.map(orbit_words));
    words
        .iter()
        .map(|words| printable_line(words).into_owned())
        .collect()
}

/// What a model is, in a sentence.
pub(super) fn model_words(file: &str, graph: &Graph) -> String {
    let shape = |of: &[usize]| format!("{of:?}");
    let blocks = graph.blocks().iter();
    let blocks: Vec<_> = blocks
        .map(|b| format!("{} {}", b.name, shape(&b.start.shape)))
        .collect();
    let trained: Vec<&str> = graph.blocks().iter().map(|b| b.name.as_str()).collect();
    let held = graph
        .parameters()
        .filter(|(name, _)| !trained.contains(name));
    let held: Vec<_> = held
        .map(|(name, start)| format!("{name} {}", shape(&start.shape)))
        .collect();
    let mut operations: BTreeMap<&str, usize> = BTreeMap::new();
    for node in graph.nodes() {
        if !matches!(
            node.operation,
            Operation::Parameter(_) | Operation::Constant(_)
        ) {
            *operations.entry(node.operation.name()).or_default() += 1;
        }
    }
    let mut operations: Vec<_> = operations.into_iter().collect();
    operations.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let named: Vec<_> = operations
        .iter()
        .map(|(name, count)| match count {
            1 => (*name).to_owned(),
            count => format!("{count} {name}"),
        })
        .collect();
    let words = format!(
        "Model: {file}, a residual in R^{} of P = {} parameters that are trained, {}{}; {} operations: {}.",
        graph.m(),
        graph.P(),
        blocks.join(", "),
        match held.is_empty() {
            true => String::new(),
            false => format!(" (held as they are: {})", held.join(", ")),
        },
        operations.iter().map(|(_, count)| count).sum::<usize>(),
        named.join(", ")
    );
    printable_line(&words).into_owned()
}
