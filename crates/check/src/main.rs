//! `gdcert-check CERT|DIR`: exit code 0 if the certificate is proven, 1 if it is not, 2 if it can
//! not be read.

#![forbid(unsafe_code)]

use gdcert_check::{Checked, check};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "usage: gdcert-check CERT.json|DIR, the certificate or its folder; exit code 0 valid, 1 not proven, 2 unreadable";

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [path] = &arguments[..] else {
        return finish(2, USAGE);
    };
    match path.to_str() {
        Some("--help" | "-h") => return finish(0, USAGE),
        Some("--version" | "-V") => {
            return finish(0, &format!("gdcert-check {}", env!("CARGO_PKG_VERSION")));
        }
        _ => {}
    }
    match check(Path::new(path)) {
        Ok(Checked::Valid(proven)) => {
            let mut text = format!("valid: {}\n{}", proven.statement(), proven.about());
            for remark in proven.remarks() {
                text += &format!("\nnote: {remark}");
            }
            finish(0, &text)
        }
        Ok(Checked::Unproven(why)) => finish(1, &format!("not proven: {why}")),
        Err(error) => finish(2, &error.to_string()),
    }
}

/// Results go to stdout, errors to stderr; what can not be printed was not said.
fn finish(code: u8, text: &str) -> ExitCode {
    let written = match code {
        2 => writeln!(std::io::stderr(), "{text}"),
        _ => writeln!(std::io::stdout(), "{text}"),
    };
    ExitCode::from(if written.is_ok() { code } else { 2 })
}
