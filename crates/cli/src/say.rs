//! What is said: results on stdout, everything else on stderr.
//!
//! A reader that went away is no error. Any other loss on stdout is one, which the command's exit code tells; there is
//! nowhere left to tell a loss on stderr.

use gdcert_base::printable::printable;
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// Set while a command runs as a part of another one: stdout is the other's.
pub(super) static WITHIN: AtomicBool = AtomicBool::new(false);

/// Set by --quiet.
pub(super) static QUIET: AtomicBool = AtomicBool::new(false);

/// Why something could not be printed.
static LOST: Mutex<Option<String>> = Mutex::new(None);

/// Notes that wait until a command is under way: of one that refuses its input nothing is said but why. `None` from then on.
static NOTES: Mutex<Option<Vec<String>>> = Mutex::new(Some(Vec::new()));

/// Says the notes that waited; later ones are said at once.
pub(super) fn under_way() {
    let waited = NOTES.lock().ok().and_then(|mut notes| notes.take());
    for line in waited.into_iter().flatten() {
        say(&line);
    }
}

/// Prints what was asked for: JSON, a text, a script. Names and strings of files do not steer the terminal.
pub(super) fn print(text: &str) {
    under_way();
    if !WITHIN.load(Ordering::Relaxed) {
        let mut stdout = std::io::stdout().lock();
        let printed = stdout.write_all(printable(text).as_bytes());
        keep(printed.and_then(|()| stdout.flush()));
    }
}

/// Prints a summary for people, unless they want none.
pub(super) fn tell(text: &str) {
    if !is_quiet() {
        print(text);
    }
}

/// A line on stderr: an error, or what someone must know.
pub(super) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{}", printable(line));
}

/// A line on stderr that one can do without.
pub(super) fn note(line: &str) {
    if is_quiet() {
        return;
    }
    let line = format!("gdcert: {line}");
    match NOTES.lock().as_deref_mut() {
        Ok(Some(waiting)) => waiting.push(line),
        _ => say(&line),
    }
}

pub(super) fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// Remembers that something could not be printed.
pub(super) fn keep(printed: std::io::Result<()>) {
    if let Err(e) = printed
        && e.kind() != std::io::ErrorKind::BrokenPipe
        && let Ok(mut lost) = LOST.lock()
    {
        lost.get_or_insert_with(|| e.to_string());
    }
}

/// Why something could not be printed, if so.
pub(super) fn lost() -> Option<String> {
    LOST.lock().ok()?.take()
}
