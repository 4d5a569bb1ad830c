//! Running the command, for the tests that do.

use gdcert_train::data::pathfinder;
use serde_json::Value;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::sync::OnceLock;

/// Sizes at which a run takes no time.
pub const SIZES: [&str; 10] = ["-N", "2", "-n", "4", "-D", "8", "-d", "4", "-H", "3"];

/// A folder of its own for one test, removed at the end.
pub struct Folder(pub tempfile::TempDir);

impl Folder {
    pub fn new() -> Self {
        Folder(tempfile::tempdir().unwrap())
    }

    /// A folder in which `gdcert reproduce --only readings-of-beta --json` was run, and what that printed. It was run once for
    /// all tests.
    pub fn reproduced() -> (Self, &'static [u8]) {
        type Contents = (PathBuf, Vec<u8>);
        static ONCE: OnceLock<(Vec<Contents>, Vec<u8>)> = OnceLock::new();
        let (files, printed) = ONCE.get_or_init(|| {
            let folder = Folder::new();
            let output = folder.run(&["reproduce", "--only", "readings-of-beta", "--json"]);
            assert_eq!(output.status.code(), Some(0), "{output:?}");
            let contents = |file: PathBuf| {
                let path = file.strip_prefix(folder.0.path()).unwrap().to_owned();
                (path, std::fs::read(file).unwrap())
            };
            let files = all_files(folder.0.path()).into_iter();
            (files.map(contents).collect(), output.stdout)
        });
        let folder = Folder::new();
        for (path, contents) in files {
            let path = folder.0.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, contents).unwrap();
        }
        (folder, printed)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn run(&self, args: &[&str]) -> Output {
        gdcert(self.0.path(), args)
    }

    /// Runs a command that must exit with 0 and returns what it printed.
    #[track_caller]
    pub fn fine(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn verify(&self, args: &[&str]) -> Output {
        self.run(&[&["verify"], &SIZES[..], args].concat())
    }

    pub fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.path(file)).unwrap()
    }

    pub fn json(&self, file: &str) -> Value {
        serde_json::from_str(&self.read(file)).unwrap()
    }

    /// The names in a folder, in order.
    pub fn files(&self, folder: &str) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(self.path(folder))
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

/// All files below a folder.
pub fn all_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(all_files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

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

pub fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

/// Sends a signal such as `-INT`.
pub fn signal(child: &Child, signal: &str) {
    let sent = Command::new("kill")
        .args([signal, &child.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
}

/// Makes 40 Pathfinder images in a folder.
pub fn images(folder: &Path, seed: u64) {
    let through = &mut |_| ControlFlow::Continue(());
    pathfinder::write(folder, pathfinder::Difficulty::Baseline, 40, seed, through).unwrap();
}
