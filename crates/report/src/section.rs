//! An output folder, read into sections: what `gdcert report` draws and `gdcert explain` prints.

use super::figure::Figure;
use super::model_proof;
use super::plain::{self, Told};
use super::proof::{Checks, Reproved, unsupported};
use super::sweep::summary_tables;
use super::table::{Cell, Table};
use super::words::{NOT_REPROVEN, readings_table, verdict_words};
use crate::{Error, Result};
use gdcert::experiment::poster::{Answered, Finding, Summary, experiment};
use gdcert::experiment::summary::SCHEMA as SUMMARY;
use gdcert::graph::{Graph, VerdictFile as ModelVerdictFile};
use gdcert::verdict::Verdict;
use gdcert::verify::VerdictFile;
use gdcert_base::input::json as read_json;
use gdcert_base::printable::printable_line;
use gdcert_base::schema::readable;
use serde_json::Value;
use std::path::{Component, Path, PathBuf};

/// The file that says which command a folder belongs to.
pub const RUN: &str = "run.json";

/// What a result says in words.
type Teller = fn(&Value) -> Told;

/// Schemas of results that are told in words, and how.
const PLAIN: [(&str, Teller); 4] = [
    ("gdcert.train/1", plain::train),
    ("gdcert.data/1", plain::data),
    ("gdcert.surface/1", plain::surface),
    ("gdcert.falsify/1", plain::falsify),
];

/// The matrices of a counterexample, as a person would write them down.
const LISTING: &str = "counterexample.txt";

/// What reproduce sums up in.
const SUMMARY_FILE: &str = "summary.json";

/// A part of a page: what was asked, found and proven, and how to repeat it.
#[derive(Clone, Debug, Default)]
pub struct Section {
    /// Its anchor.
    pub id: String,
    /// Its title.
    pub title: String,
    /// What is claimed.
    pub statement: Option<String>,
    /// Sentences.
    pub words: Vec<String>,
    /// Tables; the first is the one to export.
    pub tables: Vec<Table>,
    /// What was found, a card each; then the page leads with them and folds the rest.
    pub cards: Vec<Card>,
    /// Lines of their own, such as matrices.
    pub listing: Option<String>,
    /// Figures.
    pub figures: Vec<Figure>,
    /// The command that repeats it.
    pub command: Option<String>,
    /// A certificate's statement and the command that checks it.
    pub proof: Option<Proof>,
    /// Its files, relative to the folder that the page is about.
    pub files: Vec<PathBuf>,
    /// Parts.
    pub parts: Vec<Section>,
}

/// A claim at a glance.
#[derive(Clone, Debug)]
pub struct Card {
    /// The anchor of its part.
    pub id: String,
    /// What was asked.
    pub question: String,
    /// The answer in a sentence or two.
    pub answer: String,
    /// The number it rests on, with its name.
    pub number: Option<(String, String)>,
    /// Proven, measured, or what else the answer is worth.
    pub worth: &'static str,
    /// A picture of it.
    pub figure: Option<Figure>,
}

/// A certificate, as a page shows it.
#[derive(Clone, Debug)]
pub struct Proof {
    /// What it proves and why, sentence by sentence.
    pub words: Vec<String>,
    /// The command that re-proves it.
    pub check: String,
}

/// What a whole folder, or a single file of it, holds. Certificates are proven again on the way, within bounds; what is
/// not is said to be not re-proven.
///
/// # Errors
/// Nothing there, or nothing that gdcert wrote; a file that is damaged or of a newer schema (named).
pub fn read(place: &Path) -> Result<Section> {
    if place.is_dir() {
        return of_folder(place);
    }
    if !place.exists() {
        return Err(Error::file(
            place,
            "is not there; name a folder or a JSON file that gdcert wrote",
        ));
    }
    let mut section = Section {
        title: printable_line(&name(place)).into_owned(),
        ..Section::default()
    };
    let folder = place.parent().unwrap_or(Path::new("."));
    add_json(&mut section, folder, &name(place), &Checks::new())?;
    if section.words.is_empty() && section.tables.is_empty() && section.proof.is_none() {
        return Err(Error::file(
            place,
            "holds no result of gdcert; name a verdict.json, certificate.json or summary.json",
        ));
    }
    Ok(section)
}

fn of_folder(folder: &Path) -> Result<Section> {
    let run = folder.join(RUN);
    if !run.is_file() {
        return Err(Error::file(
            folder,
            "holds no results of gdcert (no run.json); name the folder that a command wrote, such as gdcert-out/verify",
        ));
    }
    let run = read_json(&run)?;
    let subcommand = run["subcommand"].as_str().unwrap_or("results");
    let checks = Checks::new();
    let mut section = if subcommand == "reproduce" && folder.join(SUMMARY_FILE).is_file() {
        of_reproduce(folder, &checks)?
    } else {
        of_one_command(folder, Path::new(""), &checks)?
    };
    section.id = "top".to_owned();
    section.title = match subcommand {
        "reproduce" => "gdcert reproduce: the poster's claims".to_owned(),
        other => format!("gdcert {}", printable_line(other)),
    };
    section.command = run["command"].as_str().and_then(repeatable);
    Ok(section)
}

/// A command that a file names, if it is one: gdcert's, with nothing in it that a shell would take for more than words.
/// What a page offers for pasting must not do anything else.
fn repeatable(line: &str) -> Option<String> {
    let words_only = |command: &str| {
        let mut quoted = false;
        let mut before = ' ';
        for c in command.chars() {
            let plain = c.is_ascii_alphanumeric() || "-_./,=:+@% ".contains(c);
            match c {
                c if c.is_control() => return false,
                '\'' if before == '\\' => {}
                '\'' => quoted = !quoted,
                '\\' if !quoted => {}
                _ if before == '\\' && !quoted => return false,
                _ if !quoted && !plain => return false,
                _ => {}
            }
            before = if quoted { ' ' } else { c };
        }
        !quoted && command.starts_with("gdcert ")
    };
    line.split(" && ")
        .all(words_only)
        .then(|| printable_line(line).into_owned())
}

/// The poster's claims: a table of answers, then a section for each.
fn of_reproduce(folder: &Path, checks: &Checks) -> Result<Section> {
    let summary = Summary::read(&folder.join(SUMMARY_FILE))?;
    let mut claims = Table::new(
        "The poster's claims: answers, numbers and where the evidence is",
        &["question", "answer", "verdict", "numbers", "evidence"],
    );
    let (mut parts, mut cards) = (Vec::new(), Vec::new());
    for claim in &summary.claims {
        let claim = anew(folder, &summary, claim, checks)?;
        claims.rows.push(answer_row(&claim));
        let part = of_claim(folder, &claim, checks)?;
        cards.push(card(folder, &claim, &part));
        parts.push(part);
    }
    for left_out in &summary.not_run {
        claims.rows.push(vec![
            Cell::text(&left_out.question),
            Cell::text(format!("Not run: {}.", left_out.why)),
            Cell::text("not run"),
            Cell::text("-"),
            Cell::text("-"),
        ]);
        cards.push(Card {
            id: String::new(),
            question: left_out.question.clone(),
            answer: format!("Not run: {}.", left_out.why),
            number: None,
            worth: "not run",
            figure: None,
        });
    }
    Ok(Section {
        cards,
        words: vec![
            "Every number here stands in a file beside this page, all digits; the page shows four. A verdict is about the \
             instances that were run: certified is a proof about them, held only says what the run showed, and violated \
             refutes a reading of beta and not a theorem that asserts existence."
                .to_owned(),
        ],
        tables: vec![claims],
        files: files_of(folder, Path::new(""))?,
        parts,
        ..Section::default()
    })
}

/// A claim as far as it stands here and now.
struct Anew<'a> {
    claim: Answered,
    /// Its cases, and why a verdict that speaks of a proof has none here.
    cases: Vec<(&'a Finding, Option<String>)>,
}

/// A claim with its answer read off its cases again, and its cases held against their own files: the summary is one file
/// more that says what it likes.
fn anew<'a>(
    folder: &Path,
    summary: &'a Summary,
    as_written: &'a Answered,
    checks: &Checks,
) -> Result<Anew<'a>> {
    let mut claim = as_written.clone();
    let mut cases = Vec::new();
    for case in summary.cases_of(&as_written.name) {
        cases.push((case, unproven_case(folder, case, checks)?));
    }
    match experiment(&claim.name, summary.preset) {
        Ok(known) => {
            let found: Vec<Finding> = cases.iter().map(|(case, _)| (*case).clone()).collect();
            let answer = (known.answer)(&found);
            claim.question = known.question.to_owned();
            claim.statement = known.statement.to_owned();
            if answer.says != claim.answer.says {
                claim.answer.says = format!("{} (summary.json words it otherwise.)", answer.says);
            }
            claim.answer.verdict = answer.verdict;
            claim.answer.numbers = answer.numbers;
        }
        Err(_) => {
            claim.answer.says = format!("In the file's own words: {}", claim.answer.says);
        }
    }
    let unproven: Vec<_> = cases
        .iter()
        .filter_map(|(case, why)| Some(format!("{} ({})", case.case, why.as_ref()?)))
        .collect();
    if !unproven.is_empty() {
        claim.answer.verdict += &format!(" {NOT_REPROVEN}");
        claim.answer.says += &format!(" Not re-proven here: {}.", unproven.join(", "));
    }
    Ok(Anew { claim, cases })
}

/// Why the verdict of a case speaks of a proof and has none here.
fn unproven_case(root: &Path, case: &Finding, checks: &Checks) -> Result<Option<String>> {
    let Some(verdict) = case.verdict else {
        return Ok(None);
    };
    let folder = root.join(below(root, case)?);
    let path = folder.join("verdict.json");
    if !path.is_file() {
        return Ok(Some("its folder has no verdict.json".to_owned()));
    }
    let file = VerdictFile::read(&path)?;
    let deciding = file.deciding();
    let own = file.claims[deciding].verdict;
    if own != verdict {
        return Ok(Some(format!(
            "summary.json says {verdict}, its own verdict.json {own}"
        )));
    }
    let proof = checks.of_verdict(&file, &folder)?;
    Ok(unsupported(
        &file,
        deciding,
        proof.as_deref(),
        &folder,
        checks,
    ))
}

/// The folder of a case, which lies below that of the summary.
fn below<'a>(root: &Path, case: &'a Finding) -> Result<&'a Path> {
    let folder = Path::new(&case.folder);
    let plain = folder
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    // By its name or through a link.
    let inside = match (root.canonicalize(), root.join(folder).canonicalize()) {
        (Ok(root), Ok(place)) => place.starts_with(&root),
        // Not there: that is said where it is read.
        _ => true,
    };
    if plain && inside {
        return Ok(folder);
    }
    Err(Error::file(
        &root.join(SUMMARY_FILE),
        format!(
            "names the folder '{}', which is not inside {}; it was not written by gdcert",
            printable_line(&case.folder),
            root.display()
        ),
    ))
}

/// A claim at a glance: proven if a proof of one of its cases was proven again just now.
fn card(folder: &Path, Anew { claim, cases }: &Anew, part: &Section) -> Card {
    let speaks_of_proof = |verdict: Option<Verdict>| {
        matches!(
            verdict,
            Some(
                Verdict::Certified
                    | Verdict::CertifiedTail
                    | Verdict::Refuted
                    | Verdict::Obstructed
            )
        )
    };
    let proofs = || {
        cases
            .iter()
            .filter(|(case, _)| speaks_of_proof(case.verdict))
    };
    let worth = if proofs().any(|(_, why)| why.is_some()) {
        "not re-proven here"
    } else if proofs().next().is_some() {
        "proven"
    } else if claim.answer.verdict == "not decided" {
        "not decided"
    } else {
        "measured"
    };
    let number = claim.answer.numbers.first().map(|number| {
        let cell = Cell::value(&Value::from(number.value));
        (number.name.clone(), as_written(&cell))
    });
    // Of a verification the loss and its bound alone, small enough to be read in a card; else the first figure there is.
    let verified = cases.iter().find_map(|(case, _)| {
        let place = folder.join(below(folder, case).ok()?);
        place.join("verdict.json").is_file().then_some(place)
    });
    let drawn = verified.and_then(|place| Figure::of_verification(folder, &place).ok());
    let first = || {
        let mut all = part.parts.iter().flat_map(|case| case.figures.iter());
        all.next().cloned()
    };
    Card {
        id: claim.name.clone(),
        question: claim.question.clone(),
        answer: claim.answer.says.clone(),
        number,
        worth,
        figure: drawn.or_else(first),
    }
}

fn as_written(cell: &Cell) -> String {
    match &cell.exact {
        Some(exact) => super::table::as_written(exact),
        None => cell.text.clone(),
    }
}

fn answer_row(Anew { claim, .. }: &Anew) -> Vec<Cell> {
    let numbers = claim.answer.numbers.iter().map(|number| {
        let value = Cell::value(&Value::from(number.value));
        (number.name.clone(), value)
    });
    vec![
        Cell::text(&claim.question),
        Cell::text(&claim.answer.says),
        Cell::text(&claim.answer.verdict),
        Cell::list(numbers.collect()),
        Cell::link(&claim.name, format!("#{}", claim.name)),
    ]
}

fn of_claim(folder: &Path, anew: &Anew, checks: &Checks) -> Result<Section> {
    let claim = &anew.claim;
    let mut parts = Vec::new();
    let mut cases = cases_table(&claim.name, anew.cases.iter().map(|(case, _)| *case));
    for ((case, unproven), row) in anew.cases.iter().zip(&mut cases.rows) {
        parts.push(of_case(folder, case, checks)?);
        if let (Some(_), Some(verdict)) = (unproven, row.last_mut()) {
            *verdict = Cell::text(format!("{} {NOT_REPROVEN}", verdict.text));
        }
    }
    Ok(Section {
        id: claim.name.clone(),
        title: claim.question.clone(),
        statement: Some(claim.statement.clone()),
        words: vec![claim.answer.says.clone()],
        tables: vec![cases],
        command: repeatable(&format!("gdcert reproduce --only {}", claim.name)),
        parts,
        ..Section::default()
    })
}

/// The cases of a claim, one row each: rates and verdict where they are about a bound, else the numbers they measured.
pub fn cases_table<'a>(claim: &str, cases: impl Iterator<Item = &'a Finding>) -> Table {
    let caption = format!("{claim}: the cases");
    let cases: Vec<_> = cases.collect();
    let start = |case: &Finding| {
        vec![
            Cell::link(&case.case, format!("#{}", anchor(case))),
            Cell::text(&case.shows),
        ]
    };
    if cases.iter().all(|case| case.verdict.is_none()) {
        let names: Vec<_> = cases.iter().flat_map(|case| case.numbers.keys()).collect();
        let mut columns = vec!["case", "shows"];
        for name in &names {
            if !columns.contains(&name.as_str()) {
                columns.push(name);
            }
        }
        let titles: Vec<_> = columns.iter().map(|name| name.replace('_', " ")).collect();
        let titles: Vec<_> = titles.iter().map(String::as_str).collect();
        let mut table = Table::new(caption, &titles);
        for case in &cases {
            let value = |name: &&str| Cell::value(case.numbers.get(*name).unwrap_or(&Value::Null));
            let mut row = start(case);
            row.extend(columns[2..].iter().map(value));
            table.rows.push(row);
        }
        return table;
    }
    let mut table = Table::new(
        caption,
        &[
            "case",
            "shows",
            "reading",
            "claimed rate",
            "measured rate",
            "verdict",
        ],
    );
    for case in cases {
        let mut row = start(case);
        row.extend([
            Cell::text(case.text("reading")),
            Cell::number(case.number("claimed_rate")),
            Cell::number(case.number("measured_rate")),
            Cell::text(case.verdict.map_or("measured", |v| v.name())),
        ]);
        table.rows.push(row);
    }
    table
}

fn anchor(case: &Finding) -> String {
    format!("{}-{}", case.claim, case.case)
}

fn of_case(folder: &Path, case: &Finding, checks: &Checks) -> Result<Section> {
    let mut section = of_one_command(folder, below(folder, case)?, checks)?;
    let id = anchor(case);
    for part in &mut section.parts {
        part.id = format!("{id}-{}", part.id);
    }
    section.id = id;
    section.title = format!("{}: {}", case.case, case.shows);
    section.command = repeatable(&case.command);
    Ok(section)
}

/// A folder below `root` that one command wrote; its paths are relative to `root`.
fn of_one_command(root: &Path, below: &Path, checks: &Checks) -> Result<Section> {
    let mut section = Section {
        files: files_of(root, below)?,
        ..Section::default()
    };
    for file in section.files.clone() {
        let name = name(&file);
        match file.extension().and_then(|e| e.to_str()) {
            Some("json") if name != RUN => {
                add_json(&mut section, &root.join(below), &name, checks)?
            }
            Some("svg") => section.figures.push(Figure::read(root, &file)?),
            Some("txt") if name == LISTING => {
                let text = gdcert_base::input::text(&root.join(&file));
                section.listing = text.ok().map(|text| lines(&text));
            }
            _ => {}
        }
    }
    for folder in folders_of(root, below)? {
        let mut part = of_one_command(root, &folder, checks)?;
        part.title = printable_line(&name(&folder)).into_owned();
        part.id = name(&folder);
        section.parts.push(part);
    }
    Ok(section)
}

/// Adds what a JSON file says. Of one that gdcert did not write nothing is said.
fn add_json(section: &mut Section, folder: &Path, file: &str, checks: &Checks) -> Result<()> {
    let path = folder.join(file);
    let json = read_json(&path)?;
    let schema = json["schema"].as_str().unwrap_or_default();
    match schema.split_once('/').map_or("", |(kind, _)| kind) {
        "gdcert.verdict" if ModelVerdictFile::is_one(&json) => {
            let verdict = ModelVerdictFile::read(&path)?;
            let proof = checks.of_verdict(&verdict, folder)?;
            let proof = proof.as_deref();
            let unproven = |name: &str| unsupported(&verdict, name, proof, folder, checks);
            let words = model_proof::verdict_words(&verdict, folder, proof, &unproven);
            section.words.extend(words);
            add_proof(section, proof);
            let table = readings_table(&verdict, &unproven);
            section.tables.insert(0, table);
        }
        "gdcert.verdict" => {
            let verdict = VerdictFile::read(&path)?;
            let proof = checks.of_verdict(&verdict, folder)?;
            let proof = proof.as_deref();
            let unproven = |name: &str| unsupported(&verdict, name, proof, folder, checks);
            section
                .words
                .extend(verdict_words(&verdict, proof, &unproven));
            add_proof(section, proof);
            let table = readings_table(&verdict, &unproven);
            section.tables.insert(0, table);
        }
        "gdcert.certificate" => {
            let proof = checks.of(&path)?;
            let proof = Proof {
                words: proof.words(),
                check: proof.check.clone(),
            };
            // That of the deciding reading comes first; refutations of others have parts of their own.
            match section.proof {
                None => section.proof = Some(proof),
                Some(_) => section.parts.push(Section {
                    id: file.replace('.', "-"),
                    title: printable_line(file).into_owned(),
                    proof: Some(proof),
                    ..Section::default()
                }),
            }
        }
        "gdcert.model" => {
            // Where there is a verdict it says what the model is.
            if folder.join("verdict.json").is_file() && !section.files.is_empty() {
                return Ok(());
            }
            let words = model_proof::model_words(&printable_line(file), &Graph::load(&path)?);
            match &mut section.proof {
                Some(proof) => proof.words.insert(1, words),
                None => section.words.push(words),
            }
        }
        "gdcert.summary" => {
            readable(&path, schema, SUMMARY)?;
            section.tables.extend(summary_tables(&json));
        }
        "gdcert.reproduce" => {
            let summary = Summary::read(&path)?;
            section
                .tables
                .push(reproduce_table(folder, &summary, checks)?);
        }
        kind => match PLAIN
            .iter()
            .find(|(known, _)| known.starts_with(&format!("{kind}/")))
        {
            Some((known, tell)) => {
                readable(&path, schema, known)?;
                let (words, tables) = tell(&json);
                let plain = |w: &String| printable_line(w).into_owned();
                section.words.extend(words.iter().map(plain));
                section.tables.extend(tables);
            }
            None if schema.is_empty() => {}
            None => {
                return Err(Error::file(
                    &path,
                    format!(
                        "has the schema '{schema}', which this version does not know; use the version of gdcert that wrote it"
                    ),
                ));
            }
        },
    }
    Ok(())
}

/// The certificate of a verdict file; in a folder the certificate speaks for itself.
fn add_proof(section: &mut Section, proof: Option<&Reproved>) {
    if let (true, Some(proof)) = (section.files.is_empty(), proof) {
        section.proof = Some(Proof {
            words: proof.words(),
            check: proof.check.clone(),
        });
    }
}

fn reproduce_table(folder: &Path, summary: &Summary, checks: &Checks) -> Result<Table> {
    let mut table = Table::new("The poster's claims", &["claim", "verdict", "answer"]);
    for claim in &summary.claims {
        let Anew { claim, .. } = anew(folder, summary, claim, checks)?;
        table.rows.push(vec![
            Cell::text(&claim.name),
            Cell::text(&claim.answer.verdict),
            Cell::text(&claim.answer.says),
        ]);
    }
    Ok(table)
}

/// Names of the files in a folder below `root`, relative to `root`, in order; temporary ones and the page left out.
fn files_of(root: &Path, below: &Path) -> Result<Vec<PathBuf>> {
    let mut files: Vec<_> = entries(root, below)?
        .into_iter()
        .filter(|(name, is_folder)| !is_folder && !name.starts_with('.') && name != super::PAGE)
        .map(|(name, _)| below.join(name))
        .collect();
    files.sort();
    Ok(files)
}

/// Lines without what a terminal or a page would take for more than text.
fn lines(text: &str) -> String {
    let lines = text.lines().map(|line| printable_line(line).into_owned());
    lines.collect::<Vec<_>>().join("\n")
}

/// Folders below that hold results of their own.
fn folders_of(root: &Path, below: &Path) -> Result<Vec<PathBuf>> {
    let mut folders: Vec<_> = entries(root, below)?
        .into_iter()
        .filter(|(_, is_folder)| *is_folder)
        .map(|(name, _)| below.join(name))
        .filter(|folder| root.join(folder).join(RUN).is_file())
        .collect();
    folders.sort();
    Ok(folders)
}

fn entries(root: &Path, below: &Path) -> Result<Vec<(String, bool)>> {
    let folder = root.join(below);
    let fail = |e| Error::file(&folder, format!("cannot read the folder: {e}"));
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        // Links are left out: they could lead out of the folder, or round in a circle.
        let kind = entry.file_type().map_err(fail)?;
        if kind.is_dir() || kind.is_file() {
            found.push((
                entry.file_name().to_string_lossy().into_owned(),
                kind.is_dir(),
            ));
        }
    }
    Ok(found)
}

fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}
