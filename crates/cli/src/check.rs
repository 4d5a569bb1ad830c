//! `gdcert check`: is the certificate proven by the instance file beside it?

use super::out::THEOREM;
use super::{Common, Outcome, print, tell};
use crate::{Error, Result};
use gdcert::certificate::{Certificate, Checked, check};
use gdcert::problem::Instance;
use gdcert_base::printable::printable_line;
use gdcert_report::remarks;
use gdcert_report::rocq::{compare, not_known};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Re-proves a certificate from its instance or model file, by a path of its own that trusts no number
///
/// Prints `valid` and the statement, or the first condition that fails (exit code 1).
#[derive(clap::Args)]
#[command(after_help = "Example: gdcert check gdcert-out/certify/certificate.json")]
pub(super) struct Args {
    /// The certificate.json, or its folder; the files it names lie beside it
    #[arg(value_name = "CERT.json|DIR")]
    certificate: PathBuf,
    /// Also compare a file that certify --rocq wrote, number by number, and say what Rocq does not know [default: certificate.v
    /// beside the certificate]
    #[arg(long, value_name = "FILE.v", num_args = 0..=1)]
    rocq: Option<Option<PathBuf>>,
}

pub(super) fn run(args: &Args, common: &Common) -> Result<Outcome> {
    let mut certificate = args.certificate.clone();
    if certificate.is_dir() {
        certificate.push("certificate.json");
        if !certificate.exists() {
            return Err(Error::file(
                &args.certificate,
                "holds no certificate.json; name the folder or the file that gdcert certify or verify wrote",
            ));
        }
    }
    let (mut outcome, mut text, mut json) = match check(&certificate)? {
        Checked::Valid(proven) => {
            let (statement, about) = (proven.statement(), proven.about());
            // What the file says beyond its numbers is no part of the proof.
            let remarks = remarks(&certificate, &proven)?;
            let mut text = format!("valid: {statement}\n{}\n", printable_line(&about));
            for remark in &remarks {
                text += &format!("not shown: {}\n", printable_line(remark));
            }
            let json = json!({
                "valid": true,
                "statement": statement,
                "about": about,
                "remarks": remarks,
            });
            (Outcome::Fine, text, json)
        }
        Checked::Unproven(failure) => (
            Outcome::Refuted,
            format!("not proven: {}\n", printable_line(&failure)),
            json!({"valid": false, "failure": failure}),
        ),
    };
    if let (Some(file), Outcome::Fine) = (&args.rocq, outcome) {
        let file = match file {
            Some(file) => file.clone(),
            None => certificate.with_file_name(THEOREM),
        };
        let (differs, not_known) = theorem(&certificate, &file)?;
        let shown = file.display();
        match &differs {
            Some(why) => {
                outcome = Outcome::Refuted;
                text += &format!("not the same: {shown}: {}\n", printable_line(why));
            }
            None => {
                text += &format!(
                    "the same: {shown} states this about the same numbers, which were compared here. If coqc accepts it, it is proven in Rocq,\n\
                     which does not know:\n"
                );
                for sentence in &not_known {
                    text += &format!("  {}\n", printable_line(sentence));
                }
            }
        }
        json["rocq"] = json!({
            "file": file,
            "same": differs.is_none(),
            "differs": differs,
            "not_known": not_known,
        });
    }
    if common.json {
        print(&format!("{json:#}\n"));
    } else {
        tell(&text);
    }
    Ok(outcome)
}

/// Where a file for Rocq differs from what the certificate says of its files, and what Rocq does not know.
fn theorem(certificate: &Path, file: &Path) -> Result<(Option<String>, Vec<String>)> {
    let bytes = std::fs::read(file).map_err(|e| {
        Error::file(
            file,
            format!("cannot read it: {e}; name the file that certify --rocq wrote"),
        )
    })?;
    let held = Certificate::read(certificate)?;
    let (numbers, kernel) = match &held {
        Certificate::TheoremA(c) => (&c.centre.file, c.kernel),
        Certificate::Obstructed(c) => (&c.instance.file, c.kernel),
        Certificate::Refuted(c) => (&c.instance.file, c.kernel),
    };
    let instance = Instance::read(&certificate.with_file_name(numbers), Some(kernel))?;
    let differs = compare(&String::from_utf8_lossy(&bytes), &instance, &held)?.err();
    Ok((differs, not_known(&held)))
}
