//! `gdcert check`: is the certificate proven by the instance file beside it?

use super::{Common, Outcome, print, tell};
use crate::{Error, Result};
use gdcert::certificate::{Checked, check};
use gdcert_base::printable::printable_line;
use gdcert_report::remarks;
use serde_json::json;
use std::path::PathBuf;

/// Re-proves a certificate from its instance or model file, by a path of its own that trusts no number
///
/// Prints `valid` and the statement, or the first condition that fails (exit code 1).
#[derive(clap::Args)]
#[command(after_help = "Example: gdcert check gdcert-out/certify/certificate.json")]
pub(super) struct Args {
    /// The certificate.json, or its folder; the files it names lie beside it
    #[arg(value_name = "CERT.json|DIR")]
    certificate: PathBuf,
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
    let (outcome, text, json) = match check(&certificate)? {
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
    if common.json {
        print(&format!("{json:#}\n"));
    } else {
        tell(&text);
    }
    Ok(outcome)
}
