//! Running the command, for the tests that do.

use std::path::Path;
use std::process::{Command, Output};

/// Runs gdcert in a folder, to its end.
pub fn gdcert(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gdcert"))
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap()
}

/// Exit code 2 and one line on stderr, which contains all of `words`. Returns what it printed to stdout.
#[track_caller]
#[allow(dead_code)] // not every test file has something refused
pub fn refused(folder: &Path, args: &[&str], words: &[&str]) -> Vec<u8> {
    let output = gdcert(folder, args);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{args:?}: {stderr}");
    for word in words {
        assert!(stderr.contains(word), "{args:?}: no '{word}' in: {stderr}");
    }
    output.stdout
}
