//! `gdcert check`: is the certificate proven by the instance file beside it?

use super::{Common, Outcome, print};
use crate::Result;
use crate::certificate::{Checked, check};
use serde_json::json;
use std::path::PathBuf;

/// Re-proves a certificate from its instance file, by a path of its own that trusts no number
///
/// Prints `valid`, the statement, the files it is about and what else a reader should know, or the first condition that
/// fails (exit code 1).
#[derive(clap::Args)]
#[command(after_help = "Example: gdcert check gdcert-out/certify/certificate.json")]
pub(super) struct Args {
    /// The certificate.json, or its folder; the files it names lie beside it
    #[arg(value_name = "CERT.json|DIR")]
    certificate: PathBuf,
}

pub(super) fn run(args: &Args, common: &Common) -> Result<Outcome> {
    let (outcome, text, json) = match check(&args.certificate)? {
        Checked::Valid(proven) => {
            let (statement, about) = (proven.statement(), proven.about());
            let mut text = format!("valid: {statement}\n{about}\n");
            for remark in proven.remarks() {
                text += &format!("note: {remark}\n");
            }
            let json = json!({
                "valid": true,
                "statement": statement,
                "about": about,
                "remarks": proven.remarks(),
            });
            (Outcome::Fine, text, json)
        }
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
