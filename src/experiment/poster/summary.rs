//! `summary.json` of `gdcert reproduce`: what each case found, and the answers read off it.

use super::{Case, Commands, Experiment, Preset, experiments};
use crate::verdict::Verdict;
use crate::verify::VerdictFile;
use crate::{Error, Result};
use gdcert_base::input::json as read_json;
use gdcert_base::printable::spreadsheet;
use gdcert_base::schema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::path::Path;

/// The schema this version writes.
const SCHEMA: &str = "gdcert.reproduce/1";

/// What one case found: a row of the summary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The experiment's name.
    pub claim: String,
    /// The case's name.
    pub case: String,
    /// What the case is there to show.
    pub shows: String,
    /// Its folder below the output folder.
    pub folder: String,
    /// The command that repeats it.
    pub command: String,
    /// The verdict on the bound, where the case is about one.
    pub verdict: Option<Verdict>,
    /// Whatever else was found, by name, each number also in a file of the folder.
    #[serde(flatten)]
    pub numbers: Map<String, Value>,
}

impl Finding {
    /// A finding without numbers yet; `out` is the output folder, `imdb` where the reviews are.
    pub fn new(experiment: &Experiment, case: &Case, out: &Path, imdb: &Path) -> Self {
        let folder = format!("{}/{}", experiment.name, case.name);
        let whole = out.join(&folder);
        Finding {
            claim: experiment.name.to_owned(),
            case: case.name.to_owned(),
            shows: case.shows.to_owned(),
            command: case.work.command(&whole, imdb),
            folder,
            verdict: None,
            numbers: Map::new(),
        }
    }

    /// Takes over what a verification found.
    pub fn of_verdict(mut self, file: &VerdictFile) -> Self {
        let reading = file.deciding();
        let claim = &file.claims[reading];
        self.verdict = Some(claim.verdict);
        let numbers = json!({
            "kernel": file.kernel,
            "trained": file.trained,
            "H": file.dims.H,
            "reading": reading,
            "reason": claim.reason,
            "claimed_rate": claim.rate,
            "measured_rate": file.measured_rate,
            "measured_tail_rate": file.measured_tail_rate,
            "first_violation": claim.first_violation,
            "certified_from": file.certificate.as_ref().map(|c| c["centre"]["t"].clone()),
            "loss_lower": file.obstruction.map(|o| o.loss_lower),
            "steps": file.steps,
            "loss0": file.loss0,
            "final_loss": file.final_loss,
        });
        if let Value::Object(numbers) = numbers {
            self.numbers = numbers;
        }
        self
    }

    /// Takes over these numbers.
    pub fn with_numbers(mut self, numbers: Map<String, Value>) -> Self {
        self.numbers = numbers;
        self
    }

    /// Takes the wanted numbers from the files below the output folder `out`.
    ///
    /// # Errors
    /// A file that is not there or not JSON, or a number that it does not hold.
    pub fn of_commands(mut self, commands: &Commands, out: &Path) -> Result<Self> {
        for (name, file, pointer) in &commands.numbers {
            let path = out.join(&self.folder).join(file);
            let json = read_json(&path)?;
            let value = json.pointer(pointer).cloned().ok_or_else(|| {
                Error::file(
                    &path,
                    format!("has no {pointer}; run gdcert reproduce again"),
                )
            })?;
            self.numbers.insert((*name).to_owned(), value);
        }
        Ok(self)
    }

    /// Whether the bound was found to hold.
    pub fn holds(&self) -> bool {
        self.verdict.is_some_and(Verdict::holds)
    }

    /// Whether the bound was exceeded.
    pub fn violated(&self) -> bool {
        self.verdict.is_some_and(Verdict::fails)
    }

    /// Whether convergence to 0 was proven impossible.
    pub fn obstructed(&self) -> bool {
        self.verdict == Some(Verdict::Obstructed)
    }

    /// A number by name.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.numbers.get(name)?.as_f64()
    }

    /// A number or word by name, as text; empty if there is none.
    pub fn text(&self, name: &str) -> String {
        match self.numbers.get(name) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Null) | None => String::new(),
            Some(value) => value.to_string(),
        }
    }

    /// The verdict as the end of a sentence that starts with "the bound".
    pub fn phrase(&self) -> String {
        match self.verdict {
            Some(Verdict::Certified) => "is proven for every t".to_owned(),
            Some(Verdict::CertifiedTail) => format!(
                "was checked to t = {0} and is proven from there on",
                self.text("certified_from")
            ),
            Some(Verdict::Held) => format!(
                "held at every step that could be decided, of {}",
                self.text("steps")
            ),
            Some(Verdict::Violated) => {
                format!("is violated at t = {}", self.text("first_violation"))
            }
            Some(Verdict::Refuted) => {
                format!("is refuted at t = {}", self.text("first_violation"))
            }
            Some(Verdict::Obstructed) => {
                "can not hold: a loss of 0 is proven out of reach".to_owned()
            }
            Some(Verdict::Diverged) => "failed: the run diverged".to_owned(),
            Some(Verdict::NotApplicable) => format!("does not apply ({})", self.text("reason")),
            None => "was not looked at".to_owned(),
        }
    }
}

/// A number that an answer rests on, and where it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Number {
    /// What it is.
    pub name: String,
    /// The number.
    pub value: f64,
    /// The case's folder, in whose files it stands.
    pub folder: String,
}

/// The answer to an experiment's question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// In a word or two.
    pub verdict: String,
    /// In a sentence or two.
    pub says: String,
    /// The numbers it rests on.
    pub numbers: Vec<Number>,
}

impl Answer {
    /// An answer in words.
    pub fn new(verdict: impl Into<String>, says: impl Into<String>) -> Self {
        Answer {
            verdict: verdict.into(),
            says: says.into(),
            numbers: Vec::new(),
        }
    }

    /// An answer whose verdict is that of one case.
    pub fn of(found: &Finding, says: impl Into<String>) -> Self {
        let verdict = found.verdict.map_or("measured", Verdict::name);
        Answer::new(verdict, says)
    }

    /// Where the cases are not those that the answer was written for.
    pub fn incomplete() -> Self {
        Answer::new("not run", "not every case was run")
    }

    /// Adds a number of a finding, if it is there.
    pub fn with(mut self, name: &str, found: &Finding, number: &str) -> Self {
        if let Some(value) = found.number(number) {
            self.numbers.push(Number {
                name: name.to_owned(),
                value,
                folder: found.folder.clone(),
            });
        }
        self
    }
}

/// One claim with its answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answered {
    /// The experiment's name.
    pub name: String,
    /// Its question.
    pub question: String,
    /// Its statement.
    pub statement: String,
    /// The answer.
    pub answer: Answer,
}

/// A claim that was left out, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NotRun {
    /// The experiment's name.
    pub name: String,
    /// Its question.
    pub question: String,
    /// Why it was not run.
    pub why: String,
}

/// `summary.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// `gdcert.reproduce/1`.
    pub schema: String,
    /// The version that wrote it.
    pub version: String,
    /// The command line that was run.
    pub command: String,
    /// How much was run.
    #[serde(default)]
    pub preset: Preset,
    /// The claims, in the poster's order.
    #[serde(default)]
    pub claims: Vec<Answered>,
    /// The cases, in the same order.
    pub cases: Vec<Finding>,
    /// Claims that were not run.
    #[serde(default)]
    pub not_run: Vec<NotRun>,
}

impl Summary {
    /// An empty summary.
    pub fn new(command: &str, preset: Preset) -> Self {
        Summary {
            preset,
            schema: SCHEMA.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            command: command.to_owned(),
            claims: Vec::new(),
            cases: Vec::new(),
            not_run: Vec::new(),
        }
    }

    /// Takes in what the cases of an experiment found, in the place of what stood there.
    pub fn answer(&mut self, experiment: &Experiment, found: Vec<Finding>) {
        let claim = Answered {
            name: experiment.name.to_owned(),
            question: experiment.question.to_owned(),
            statement: experiment.statement.to_owned(),
            answer: (experiment.answer)(&found),
        };
        self.put(claim, found, experiment);
    }

    /// Keeps what an earlier summary says of an experiment, or says why it was not run.
    pub fn leave_out(&mut self, experiment: &Experiment, why: &str, earlier: Option<&Summary>) {
        let claim = |s: &Summary| s.claims.iter().find(|c| c.name == experiment.name).cloned();
        match earlier.and_then(|s| Some((s, claim(s)?))) {
            Some((s, claim)) => {
                let cases = s.cases_of(experiment.name).cloned().collect();
                self.put(claim, cases, experiment);
            }
            None => self.not_run.push(NotRun {
                name: experiment.name.to_owned(),
                question: experiment.question.to_owned(),
                why: why.to_owned(),
            }),
        }
    }

    /// Puts a claim in its place in the order of the experiments.
    fn put(&mut self, claim: Answered, found: Vec<Finding>, experiment: &Experiment) {
        let order: Vec<_> = experiments(self.preset).iter().map(|e| e.name).collect();
        let place = |name: &str| order.iter().position(|other| *other == name);
        self.not_run
            .retain(|left_out| left_out.name != experiment.name);
        self.claims.retain(|c| c.name != experiment.name);
        self.cases.retain(|c| c.claim != experiment.name);
        self.claims.push(claim);
        self.cases.extend(found);
        self.claims.sort_by_key(|c| place(&c.name));
        self.cases.sort_by_key(|c| place(&c.claim));
    }

    /// The cases of a claim.
    pub fn cases_of<'a>(&'a self, claim: &'a str) -> impl Iterator<Item = &'a Finding> {
        self.cases.iter().filter(move |case| case.claim == claim)
    }

    /// The file's text.
    ///
    /// # Errors
    /// None is expected.
    pub fn to_text(&self) -> Result<String> {
        schema::to_text(self)
    }

    /// `summary.csv`: a row a case, a column for every name that some case has.
    ///
    /// # Errors
    /// None is expected.
    pub fn to_csv(&self) -> Result<Vec<u8>> {
        let fail = |e: String| Error::Numerical(format!("cannot form summary.csv: {e}"));
        let rows: Vec<Map<String, Value>> = self
            .cases
            .iter()
            .map(|case| serde_json::to_value(case).map_err(|e| fail(e.to_string())))
            .map(|row| row.map(|row| row.as_object().cloned().unwrap_or_default()))
            .collect::<Result<_>>()?;
        let mut columns: Vec<&str> = Vec::new();
        for name in rows.iter().flat_map(Map::keys) {
            if !columns.contains(&name.as_str()) {
                columns.push(name);
            }
        }
        let mut csv = csv::Writer::from_writer(Vec::new());
        csv.write_record(columns.iter().map(|c| spreadsheet(c).into_owned()))
            .map_err(|e| fail(e.to_string()))?;
        for row in &rows {
            let cells = columns.iter().map(|&c| match row.get(c) {
                Some(Value::String(text)) => spreadsheet(text).into_owned(),
                Some(Value::Null) | None => String::new(),
                Some(number) => number.to_string(),
            });
            csv.write_record(cells).map_err(|e| fail(e.to_string()))?;
        }
        csv.into_inner().map_err(|e| fail(e.to_string()))
    }

    /// Reads a summary; fields that came later may be missing.
    ///
    /// # Errors
    /// Not a file, not JSON, a newer or another schema (named), a missing or mistyped field.
    pub fn read(path: &Path) -> Result<Self> {
        schema::read(path, SCHEMA)
    }
}
