//! The command line, one file per subcommand. Everything it can do is in the library.
//!
//! Exit codes: 0 done and no claim refuted; 1 the deciding reading is violated or diverged, or
//! `--expect` is not met, nothing could be certified or a certificate is not proven; 2 bad input or usage, one line on stderr; 130 after Ctrl-C.

mod certify;
mod check;
mod data;
mod explain;
mod falsify;
mod instance;
mod landscape;
mod out;
mod progress;
mod report;
mod reproduce;
mod shell;
mod summarize;
mod sweep;
mod train;
mod verify;

use clap::{Parser, Subcommand};
use gdcert_base::files::shell_line;
pub(crate) use gdcert_base::{Error, Result};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

/// Set by Ctrl-C; long work looks at it between steps.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Set while a command runs as a part of another one.
static WITHIN: AtomicBool = AtomicBool::new(false);

#[derive(Parser)]
#[command(
    name = "gdcert",
    version,
    about = "Verifies convergence theorems for gradient descent on attention models, on concrete instances",
    disable_help_subcommand = true,
    after_help = "Example: gdcert verify -N 2 -n 4 -D 8 -d 4 -H 3 --init lazy --scale 10"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
}

/// Flags of every command.
#[derive(clap::Args)]
struct Common {
    /// Number of threads (default: all cores); results do not depend on it
    #[arg(long, global = true, value_name = "K", allow_negative_numbers = true, value_parser = whole::<usize>)]
    threads: Option<usize>,
    /// Print the result as JSON on stdout instead of the summary
    #[arg(long, global = true)]
    json: bool,
    /// Folder for the results (default gdcert-out/COMMAND)
    #[arg(long, global = true, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write into a folder that holds another command's results
    #[arg(long, global = true)]
    force: bool,
}

#[derive(Subcommand)]
enum Command {
    Verify(Box<verify::Args>),
    Certify(Box<certify::Args>),
    Check(check::Args),
    Falsify(Box<falsify::Args>),
    Reproduce(reproduce::Args),
    Sweep(sweep::Args),
    Summarize(summarize::Args),
    #[command(subcommand)]
    Data(data::Args),
    Train(Box<train::Args>),
    Landscape(Box<landscape::Args>),
    Report(report::Args),
    Explain(explain::Args),
    Completions(shell::Completions),
    Man(shell::Man),
}

/// How a command that ran to its end exits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// 0: no claim refuted.
    Fine,
    /// 1: the deciding claim is refuted, or an expectation is not met.
    Refuted,
    /// 130: stopped by Ctrl-C; the command has said how to go on.
    Stopped,
}

/// Runs one command and returns the process's exit code. Never panics on bad input.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    ExitCode::from(run_code(args))
}

/// The same with the exit code as a number, for another program's `main`.
pub fn run_code(args: impl IntoIterator<Item = OsString>) -> u8 {
    let args: Vec<OsString> = args.into_iter().collect();
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(e) if !e.use_stderr() => {
            // --help and --version; a closed pipe is no error.
            let _ = e.print();
            return 0;
        }
        Err(e) => return complain(&usage_error(&e)),
    };
    let stop = || {
        if INTERRUPTED.swap(true, Ordering::Relaxed) {
            // The second time: at once. Files are written whole or not at all, so nothing breaks.
            std::process::exit(130);
        }
    };
    if let Err(e) = ctrlc::set_handler(stop) {
        return complain(&format!("cannot handle Ctrl-C: {e}"));
    }
    let line = command_line(&args);
    match in_pool(cli, &line) {
        Ok(Outcome::Fine) => 0,
        Ok(Outcome::Refuted) => 1,
        Ok(Outcome::Stopped) => 130,
        Err(Error::Cancelled) => {
            eprintln!(
                "gdcert: stopped; nothing of the unfinished work was written. To run it again: {line}"
            );
            130
        }
        Err(e) => complain(&e.to_string()),
    }
}

fn in_pool(cli: Cli, line: &str) -> Result<Outcome> {
    let mut pool = rayon::ThreadPoolBuilder::new();
    if let Some(threads) = cli.common.threads {
        if threads == 0 || threads > 4096 {
            return Err(Error::input(format!(
                "--threads {threads} must be between 1 and 4096"
            )));
        }
        pool = pool.num_threads(threads);
    }
    let pool = pool
        .build()
        .map_err(|e| Error::input(format!("cannot start the threads: {e}; lower --threads")))?;
    pool.install(|| carry_out(&cli, line))
}

fn carry_out(cli: &Cli, line: &str) -> Result<Outcome> {
    match &cli.command {
        Command::Verify(args) => verify::run(args, &cli.common, line),
        Command::Certify(args) => certify::run(args, &cli.common, line),
        Command::Check(args) => check::run(args, &cli.common),
        Command::Falsify(args) => falsify::run(args, &cli.common, line),
        Command::Reproduce(args) => reproduce::run(args, &cli.common, line),
        Command::Sweep(args) => sweep::run(args, &cli.common, line),
        Command::Summarize(args) => summarize::run(args, &cli.common, line),
        Command::Data(args) => data::run(args, &cli.common, line),
        Command::Train(args) => train::run(args, &cli.common, line),
        Command::Landscape(args) => landscape::run(args, &cli.common, line),
        Command::Report(args) => report::run(args, &cli.common, line),
        Command::Explain(args) => explain::run(args, &cli.common),
        Command::Completions(args) => shell::completions(args),
        Command::Man(args) => shell::man(args, &cli.common),
    }
}

/// Runs a command as a part of another one: what it would print on stdout is not printed.
fn within(words: &[String]) -> Result<Outcome> {
    let cli = Cli::try_parse_from(words).map_err(|e| Error::input(usage_error(&e)))?;
    WITHIN.store(true, Ordering::Relaxed);
    let outcome = carry_out(&cli, &shell_line(words.iter().map(Into::into)));
    WITHIN.store(false, Ordering::Relaxed);
    outcome
}

fn complain(what: &str) -> u8 {
    eprintln!("gdcert: {}", one_line(what));
    2
}

/// A clap error with its mend.
fn usage_error(e: &clap::Error) -> String {
    use clap::error::ErrorKind;
    let text = one_line(&e.to_string());
    match e.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            "no command given; try gdcert reproduce, or see gdcert --help".to_owned()
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => text,
        _ => format!("{text}; see --help"),
    }
}

/// Parses a count, saying what it should be.
fn whole<T: std::str::FromStr>(text: &str) -> std::result::Result<T, String> {
    text.parse()
        .map_err(|_| "it must be a whole number of at least 0".to_owned())
}

/// Folds a message into one line, without clap's usage block.
fn one_line(text: &str) -> String {
    let text = text.split("\n\nUsage:").next().unwrap_or(text);
    let text = text
        .split("\n\nFor more information")
        .next()
        .unwrap_or(text);
    let words: Vec<_> = text.split_whitespace().collect();
    let line = words.join(" ");
    line.strip_prefix("error: ").unwrap_or(&line).to_owned()
}

/// The command as one would type it, without the program's folder.
fn command_line(args: &[OsString]) -> String {
    let rest = args.iter().skip(1).map(|arg| arg.to_string_lossy());
    shell_line(std::iter::once("gdcert".into()).chain(rest))
}

fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// Prints to stdout; a reader that went away is no error.
fn print(text: &str) {
    use std::io::Write;
    if WITHIN.load(Ordering::Relaxed) {
        return;
    }
    let _ = std::io::stdout().write_all(text.as_bytes());
}
