//! The command line, one file per subcommand. Everything it can do is in the library.
//!
//! Exit codes: 0 done, and the deciding reading held or is proven; 1 it is violated, diverged, obstructed or not
//! applicable, `--expect` (which alone decides where it is given) is not met, nothing could be certified or a
//! certificate is not proven; 2 bad input or usage, one line on stderr; 130 after Ctrl-C, SIGTERM or SIGHUP.

mod certify;
mod check;
mod claims;
mod data;
mod explain;
mod falsify;
mod instance;
mod landscape;
mod model;
mod orbit;
mod out;
mod plot;
mod progress;
mod report;
mod reproduce;
mod rocq;
mod say;
mod shell;
mod signals;
mod summarize;
mod sweep;
mod train;
mod verify;
mod words;

use clap::{Parser, Subcommand};
use gdcert_base::files::shell_line;
pub(crate) use gdcert_base::{Error, Result};
use say::{keep, note, print, say, tell};
use signals::{go_on, interrupted};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use words::{one_of, suggestion, whole};

/// More threads than any machine has use for: each takes memory and a place in the system's table.
const MOST_THREADS: usize = 1024;

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
    /// Print no summary, no notes and no progress: errors, and what was asked for with --json
    #[arg(long, global = true)]
    quiet: bool,
    /// Folder for the results (default gdcert-out/COMMAND)
    #[arg(long, global = true, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write into a folder that holds another command's results; nothing that gdcert did not write is replaced
    #[arg(long, global = true)]
    force: bool,
}

#[derive(Subcommand)]
enum Command {
    Verify(Box<verify::Args>),
    Certify(Box<certify::Args>),
    Check(check::Args),
    Rocq(rocq::Args),
    Falsify(Box<falsify::Args>),
    Reproduce(reproduce::Args),
    Sweep(sweep::Args),
    Summarize(summarize::Args),
    #[command(subcommand)]
    Data(data::Args),
    Train(Box<train::Args>),
    Landscape(Box<landscape::Args>),
    Plot(Box<plot::Args>),
    Report(report::Args),
    Explain(explain::Args),
    Completions(shell::Completions),
    Man(shell::Man),
}

/// How a command that ran to its end exits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// 0: what was asked for holds, is proven, or is done.
    Fine,
    /// 1: it is not, or an expectation is not met.
    Refuted,
    /// 130: stopped by a signal; the command has said how to go on.
    Stopped,
}

/// Runs one command and returns the process's exit code. Never panics on bad input.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    ExitCode::from(run_code(args))
}

/// The same with the exit code as a number, for another program's `main`.
pub fn run_code(args: impl IntoIterator<Item = OsString>) -> u8 {
    let code = dispatch(args.into_iter().collect());
    match say::lost() {
        Some(why) => complain(&format!(
            "cannot write to stdout: {why}; send it somewhere else, or free some room"
        )),
        None => code,
    }
}

fn dispatch(args: Vec<OsString>) -> u8 {
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(e) if !e.use_stderr() => {
            // --help and --version.
            keep(e.print());
            keep(std::io::Write::flush(&mut std::io::stdout()));
            return 0;
        }
        Err(e) => return complain(&usage_error(&e, &args)),
    };
    say::QUIET.store(cli.common.quiet, Ordering::Relaxed);
    if let Err(e) = signals::handle() {
        return complain(&format!("cannot handle signals: {e}"));
    }
    let line = command_line(&args);
    let done = in_pool(cli, &line);
    if !matches!(done, Err(ref e) if !matches!(e, Error::Cancelled)) {
        say::under_way();
    }
    match done {
        Ok(Outcome::Fine) => 0,
        Ok(Outcome::Refuted) => 1,
        Ok(Outcome::Stopped) => 130,
        Err(Error::Cancelled) => {
            say(&format!(
                "gdcert: stopped; nothing of the unfinished work was written. To run it again: {line}"
            ));
            130
        }
        Err(e) => complain(&e.to_string()),
    }
}

fn in_pool(cli: Cli, line: &str) -> Result<Outcome> {
    let mut pool = rayon::ThreadPoolBuilder::new();
    let (threads, flag) = match cli.common.threads {
        Some(threads) => (Some(threads), "--threads"),
        None => (threads_of_environment(), THREADS),
    };
    if let Some(threads) = threads {
        if threads == 0 || threads > MOST_THREADS {
            return Err(Error::input(format!(
                "{flag} {threads} must be between 1 and {MOST_THREADS}"
            )));
        }
        pool = pool.num_threads(threads);
    }
    let pool = pool
        .build()
        .map_err(|e| Error::input(format!("cannot start the threads: {e}; lower --threads")))?;
    pool.install(|| carry_out(&cli, line))
}

/// What rayon takes its number of threads from.
const THREADS: &str = "RAYON_NUM_THREADS";

/// The number that the environment asks for; as with rayon 0, or what is no number, asks for nothing.
fn threads_of_environment() -> Option<usize> {
    let asked: usize = std::env::var(THREADS).ok()?.trim().parse().ok()?;
    (asked > 0).then_some(asked)
}

fn carry_out(cli: &Cli, line: &str) -> Result<Outcome> {
    match &cli.command {
        Command::Verify(args) => verify::run(args, &cli.common, line),
        Command::Certify(args) => certify::run(args, &cli.common, line),
        Command::Check(args) => check::run(args, &cli.common),
        Command::Rocq(args) => rocq::run(args, &cli.common, line),
        Command::Falsify(args) => falsify::run(args, &cli.common, line),
        Command::Reproduce(args) => reproduce::run(args, &cli.common, line),
        Command::Sweep(args) => sweep::run(args, &cli.common, line),
        Command::Summarize(args) => summarize::run(args, &cli.common, line),
        Command::Data(args) => data::run(args, &cli.common, line),
        Command::Train(args) => train::run(args, &cli.common, line),
        Command::Landscape(args) => landscape::run(args, &cli.common, line),
        Command::Plot(args) => plot::run(args, &cli.common, line),
        Command::Report(args) => report::run(args, &cli.common, line),
        Command::Explain(args) => explain::run(args, &cli.common),
        Command::Completions(args) => shell::completions(args, &cli.common),
        Command::Man(args) => shell::man(args, &cli.common),
    }
}

/// Runs a command as a part of another one: what it would print on stdout is not printed.
fn within(words: &[String]) -> Result<Outcome> {
    let args: Vec<OsString> = words.iter().map(Into::into).collect();
    let cli = Cli::try_parse_from(words).map_err(|e| Error::input(usage_error(&e, &args)))?;
    say::WITHIN.store(true, Ordering::Relaxed);
    let outcome = carry_out(&cli, &shell_line(words.iter().map(Into::into)));
    say::WITHIN.store(false, Ordering::Relaxed);
    outcome
}

fn complain(what: &str) -> u8 {
    say(&format!("gdcert: {}", one_line(what)));
    2
}

/// A clap error with its mend.
fn usage_error(e: &clap::Error, args: &[OsString]) -> String {
    use clap::error::ErrorKind;
    let text = one_line(&e.to_string());
    match e.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            "no command given; try gdcert reproduce, or see gdcert --help".to_owned()
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => text,
        ErrorKind::UnknownArgument => match suggestion(e, args) {
            Some(said) => said,
            None => format!("{text}; see --help"),
        },
        _ => format!("{text}; see --help"),
    }
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
