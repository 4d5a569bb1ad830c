//! `gdcert rocq`: the theory in Rocq, and the file of one certificate for it.

use super::out::OutDir;
use super::{Common, Outcome, note, print, tell};
use crate::{Error, Result};
use gdcert::model::{Kernel, Trained};
use gdcert::problem::{Init, Instance};
use gdcert::{Certified, Eta, Goal, certify_with};
use gdcert_base::files::{beside, refuse_link, remove, shell_line, write_atomic};
use gdcert_report::rocq::{Integers, export, library_files, starts_as_ours, takes};
use serde_json::json;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Writes the theory in the proof assistant Rocq, for files of certify --rocq
///
/// Writes the theory's files with _CoqProject and build.sh, which compiles them with coqc. A FILE.v that certify --rocq wrote
/// then compiles beside them.
#[derive(clap::Args)]
#[command(after_help = "Example: gdcert rocq theory")]
pub(super) struct Args {
    /// The folder to write into
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Compute with the machine's 63-bit integers inside Rocq: several times as fast; proofs then rest on Rocq's axioms about them too
    /// (PrimInt63, Uint63)
    #[arg(long)]
    primitive_integers: bool,
}

pub(super) fn run(args: &Args, common: &Common, line: &str) -> Result<Outcome> {
    if common.out.is_some() {
        return Err(Error::input(
            "--out is not for this command, which writes into the DIR it is given; drop --out",
        ));
    }
    let place = Common {
        out: Some(args.folder.clone()),
        ..*common
    };
    let integers = match args.primitive_integers {
        true => Integers::Primitive,
        false => Integers::Z,
    };
    let mut out = OutDir::open(&place, "rocq", line, None)?;
    let files = library_files(integers).into_iter();
    out.replace(
        files
            .map(|(name, text)| (name, text.as_bytes().to_vec()))
            .collect(),
    )?;
    if common.json {
        let said = json!({"theory": args.folder, "axioms": integers.axioms()});
        print(&format!("{said:#}\n"));
    } else {
        let words = [
            "sh".into(),
            args.folder
                .join("build.sh")
                .to_string_lossy()
                .into_owned()
                .into(),
        ];
        tell(&format!(
            "The theory is in {}; {} compiles it (about a minute)\nProofs rest on {}\n",
            args.folder.display(),
            shell_line(words.into_iter()),
            integers.axioms()
        ));
    }
    Ok(Outcome::Fine)
}

/// The FILE.v of `certify --rocq`.
pub(super) struct RocqFile<'a>(&'a Path);

impl<'a> RocqFile<'a> {
    /// Refuses, before any work, a name that Rocq does not take, a file that gdcert did not write, and a place where none can
    /// be written.
    pub(super) fn new(path: &'a Path) -> Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let module = name.strip_suffix(".v").unwrap_or_default();
        let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
        let fine = module.starts_with(letter)
            && module
                .chars()
                .all(|c| letter(c) || c.is_ascii_digit() || c == '\'');
        if !fine {
            return Err(Error::file(
                path,
                "is no name that coqc takes; give letters, digits and _, then .v, such as certificate.v",
            ));
        }
        refuse_link(path)?;
        if path.exists() {
            let mut start = Vec::new();
            std::fs::File::open(path)
                .and_then(|file| file.take(100).read_to_end(&mut start))
                .map_err(|e| {
                    Error::file(path, format!("cannot read it: {e}; choose another name"))
                })?;
            if !starts_as_ours(&String::from_utf8_lossy(&start)) {
                return Err(Error::file(
                    path,
                    "was not written by gdcert and is not replaced; choose another name",
                ));
            }
        }
        beside(path)?;
        Ok(RocqFile(path))
    }

    pub(super) fn write(&self, text: &str) -> Result<()> {
        write_atomic(self.0, text.as_bytes())
    }

    /// Takes away what an earlier run proved.
    pub(super) fn clear(&self) -> Result<()> {
        remove(self.0)
    }

    /// How to have it checked.
    pub(super) fn words(&self) -> String {
        let file = self.0.display();
        format!(
            "For Rocq: {file}; in a folder that gdcert rocq DIR wrote and its build.sh compiled, coqc $(grep '^-Q' _CoqProject) FILE.v \
             checks it\n"
        )
    }
}

/// Says how long `coqc` will take.
///
/// # Errors
/// Too long.
pub(super) fn say_what_it_takes(instance: &Instance, trained: Trained) -> Result<()> {
    match takes(instance.dims(), instance.kernel(), trained) {
        Ok(takes) => note(&format!("a proof of the rate will take coqc {takes}")),
        // What cannot converge takes seconds.
        Err(_) if instance.kernel() == Kernel::Softmax && !trained.v() => {}
        Err(e) => return Err(e),
    }
    Ok(())
}

/// A drawn instance, its scale, and what was found at it.
type Scaled = (Instance, f64, Certified);

/// From a scale at which the proof closes upwards to the smallest, up to a relative 1/64, at which the form that Rocq checks does.
pub(super) fn scale_up(
    start: Scaled,
    init: Init,
    seed: u64,
    goal: &Goal,
    observe: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Scaled> {
    let closes = |(instance, _, found): &Scaled| match found {
        Certified::Rate { certificate, .. } => {
            export(instance, certificate).map(|text| text.is_ok())
        }
        _ => Ok(true), // not a question of one ball
    };
    let (dims, kernel) = (start.0.dims(), start.0.kernel());
    let goal = Goal {
        eta: Eta::Certified,
        ..goal.clone()
    };
    let mut at = |scale: f64| -> Result<Scaled> {
        if observe(0).is_break() {
            return Err(Error::Cancelled);
        }
        let instance = Instance::random(dims, kernel, init.with_scale(scale), seed)?;
        let found = certify_with(&instance, &goal, observe)?;
        Ok((instance, scale, found))
    };
    let mut low = start.1;
    let mut best = start;
    while !closes(&best)? {
        low = best.1;
        best = at(2.0 * low)?;
        if matches!(best.2, Certified::Refused(_)) {
            return Ok(best); // which says why
        }
    }
    while best.1 > low * (1.0 + 1.0 / 64.0) {
        let middle = at((low * best.1).sqrt())?;
        match matches!(middle.2, Certified::Rate { .. }) && closes(&middle)? {
            true => best = middle,
            false => low = middle.1,
        }
    }
    Ok(best)
}
