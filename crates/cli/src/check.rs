//! `gdcert check`: is the certificate proven by the instance file beside it?

use super::{Common, Outcome, print};
use crate::Result;
use gdcert::certificate::{Checked, check};
use serde_json::json;
use std::path::PathBuf;

/// Re-proves a certificate from its instance file, by a path of its own that trusts no number
///
/// Prints `valid` and the statement, or the first condition that fails (exit code 1).
#[derive(clap::Args)]
#[command(after_help = "Example: gdcert check gdcert-out/certify/certificate.json")]
pub(super) struct Args {
    /// The certificate.json; the files it names lie beside it
    #[arg(value_name = "CERT.json")]
    certificate: PathBuf,
}

pub(super) fn run(args: &Args, common: &Common) -> Result<Outcome> {
    let (outcome, text, json) = match check(&args.certificate)? {
        Checked::Valid(statement) => (
            Outcome::Fine,
            format!("valid: {statement}\n"),
            json!({"valid": true, "statement": statement}),
        ),
        Checked::Unproven(failure) => (
            Outcome::Refuted,
            format!("not proven: {failure}\n"),
            json!({"valid": false, "failure": failure}),
        ),
    };
    print(&if common.json {
        format!("{json:#}\n")
    } else {
        text
    });
    Ok(outcome)
}
