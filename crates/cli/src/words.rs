//! What people type: numbers, names, and flags that are called otherwise here.

use super::Cli;
use clap::CommandFactory;
use clap::builder::{PossibleValue, TypedValueParser};
use clap::error::{ContextKind, ContextValue};
use gdcert_base::input::same_word;
use std::ffi::{OsStr, OsString};

/// Parses a count, also written as 1e4 or 2.5e3, saying what it should be.
pub(super) fn whole<T: TryFrom<u128>>(text: &str) -> std::result::Result<T, String> {
    let count = count(text).ok_or("it must be a whole number of at least 0, such as 20 or 1e4")?;
    T::try_from(count).map_err(|_| "it is too large".to_owned())
}

/// A whole number in decimal or scientific notation, exactly.
fn count(text: &str) -> Option<u128> {
    let (digits, exponent) = match text.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let fraction = fraction.trim_end_matches('0');
    let all = format!("{whole}{fraction}");
    if whole.is_empty() || !all.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let mantissa: u128 = all.parse().ok()?;
    let shift = exponent - i32::try_from(fraction.len()).ok()?;
    let power = 10u128.checked_pow(shift.unsigned_abs());
    match shift {
        0.. => mantissa.checked_mul(power?),
        _ => power
            .filter(|p| mantissa.is_multiple_of(*p))
            .map(|p| mantissa / p),
    }
}

/// Parses one of several names, whatever its case and with `-` or `_`; shells complete them. Another text is left as it
/// is, for whoever knows better what is wrong with it.
#[derive(Clone)]
pub(super) struct OneOf(&'static [&'static str]);

pub(super) fn one_of(names: &'static [&'static str]) -> OneOf {
    OneOf(names)
}

impl TypedValueParser for OneOf {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        arg: Option<&clap::Arg>,
        value: &OsStr,
    ) -> std::result::Result<String, clap::Error> {
        let text = clap::builder::StringValueParser::new().parse_ref(command, arg, value)?;
        let known = self.0.iter().find(|name| same_word(&text, name));
        Ok(known.map_or(text, |&name| name.to_owned()))
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(self.0.iter().map(PossibleValue::new)))
    }
}

/// What other programs call things, and what they are called here: the first that a command has.
const CALLED: &[(&[&str], &[&str])] = &[
    (
        &[
            "lr",
            "learning-rate",
            "step-size",
            "stepsize",
            "eta",
            "alpha",
        ],
        &["eta", "lr"],
    ),
    (
        &[
            "epochs",
            "epoch",
            "iterations",
            "iters",
            "iter",
            "max-iter",
            "num-steps",
            "max-steps",
            "n-steps",
            "step",
            "steps",
            "T",
            "t",
            "time",
        ],
        &["steps", "tries"],
    ),
    (
        &["heads", "num-heads", "n-heads", "nheads", "nhead", "H"],
        &["H", "heads"],
    ),
    (
        &["num-samples", "n-samples", "samples", "dataset-size", "N"],
        &["N", "samples", "count"],
    ),
    (
        &[
            "tokens",
            "num-tokens",
            "seq-len",
            "seq-length",
            "sequence-length",
            "length",
            "max-length",
            "n",
        ],
        &["n", "length"],
    ),
    (
        &[
            "dim",
            "embed-dim",
            "embedding-dim",
            "embedding",
            "d-model",
            "model-dim",
            "width",
            "hidden-size",
            "D",
        ],
        &["D", "width"],
    ),
    (
        &["head-dim", "d-head", "dim-head", "head-size", "d-k"],
        &["d", "hidden"],
    ),
    (
        &["mlp-dim", "ff-dim", "ffn-dim", "d-ff", "hidden-dim"],
        &["hidden"],
    ),
    (&["layers", "num-layers", "n-layers", "depth"], &["blocks"]),
    (&["output-width", "out-dim", "outputs", "p"], &["p"]),
    (&["batch-size", "bs"], &["batch"]),
    (
        &["attention", "attn", "kernel-type", "activation"],
        &["kernel"],
    ),
    (
        &["initialization", "initialisation", "init-scheme", "law"],
        &["init"],
    ),
    (&["omega", "s", "init-scale"], &["scale"]),
    (
        &["seeds", "seed", "random-seed", "random-state", "rng-seed"],
        &["seed", "seeds", "direction-seeds"],
    ),
    (
        &["input", "file", "load", "problem", "instance"],
        &["instance", "from", "data"],
    ),
    (&["checkpoint", "ckpt", "weights", "pretrained"], &["from"]),
    (
        &["dataset", "data-dir", "data-path", "data-folder"],
        &["data", "imdb"],
    ),
    (&["dataset-name", "data-set"], &["task"]),
    (
        &[
            "output",
            "outdir",
            "out-dir",
            "output-dir",
            "output-folder",
            "save",
            "save-dir",
            "dir",
            "o",
        ],
        &["out"],
    ),
    (&["overwrite", "f", "yes", "y"], &["force"]),
    (
        &[
            "jobs",
            "j",
            "num-threads",
            "nthreads",
            "workers",
            "num-workers",
            "cores",
            "cpus",
        ],
        &["threads"],
    ),
    (&["silent", "q", "no-progress"], &["quiet"]),
    (&["dtype", "float", "bits"], &["precision"]),
    (&["beta", "claim", "bound"], &["reading"]),
    (
        &["train-blocks", "trained", "blocks", "parameters"],
        &["train"],
    ),
    (&["verdict", "assert"], &["expect"]),
    (&["continue", "restart"], &["resume"]),
    (&["decay", "wd"], &["weight-decay"]),
    (&["optim", "opt"], &["optimizer"]),
    (&["clipping", "grad-clip", "gradient-clip"], &["clip"]),
    (&["restarts", "trials", "draws", "samples"], &["tries"]),
    (&["resolution", "points", "grid-size"], &["grid"]),
    (&["range", "extent", "radius"], &["span"]),
];

/// The flag that was surely meant by one that the command does not have.
pub(super) fn suggestion(e: &clap::Error, args: &[OsString]) -> Option<String> {
    let Some(ContextValue::String(given)) = e.get(ContextKind::InvalidArg) else {
        return None;
    };
    let word = given.trim_start_matches('-').split('=').next()?;
    let flags = flags_of(args);
    let has = |flag: &&&str| flags.iter().any(|known| known == *flag);
    let exactly = |names: &[&str]| {
        names.iter().any(|name| match name.len() {
            1 => *name == word,
            _ => same_word(word, name),
        })
    };
    let called = CALLED.iter().filter(|(names, _)| exactly(names));
    let flag = called
        .flat_map(|(_, flags)| flags.iter().find(has))
        .next()?;
    let dashes = if flag.len() == 1 { "-" } else { "--" };
    Some(format!(
        "unexpected argument '{given}'; here it is called {dashes}{flag}, see --help"
    ))
}

/// The flags of the command that these arguments name.
fn flags_of(args: &[OsString]) -> Vec<String> {
    let mut root = Cli::command();
    root.build();
    let mut command = &root;
    for arg in args.iter().skip(1).filter_map(|arg| arg.to_str()) {
        if let Some(below) = command.find_subcommand(arg) {
            command = below;
        }
    }
    let long = command.get_arguments().filter_map(|arg| arg.get_long());
    let short = command.get_arguments().filter_map(|arg| arg.get_short());
    long.map(str::to_owned)
        .chain(short.map(String::from))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_exactly() {
        for (text, value) in [
            ("0", 0),
            ("20", 20),
            ("1e4", 10_000),
            ("2.50E3", 2500),
            ("1200e-2", 12),
            ("1.8446744073709551615e19", u64::MAX.into()),
        ] {
            assert_eq!(count(text), Some(value), "{text}");
        }
        for text in [
            "", "-1", "1.5", "1e-1", "e4", "1e", "0x10", "1e99", "nan", "1 0", "+1",
        ] {
            assert_eq!(count(text), None, "{text}");
        }
        assert_eq!(whole::<u8>("2.0"), Ok(2));
        assert!(whole::<u8>("300").is_err());
        assert!(whole::<usize>("1.8446744073709551616e19").is_err());
    }

    /// No entry of the table is for nothing: each leads to a flag that some command has.
    #[test]
    fn every_suggestion_exists() {
        let mut root = Cli::command();
        root.build();
        let names: Vec<_> = root
            .get_subcommands()
            .map(|c| c.get_name().to_owned())
            .collect();
        let all: Vec<_> = names
            .iter()
            .flat_map(|name| flags_of(&["gdcert".into(), name.into()]))
            .chain(flags_of(&[
                "gdcert".into(),
                "data".into(),
                "pathfinder".into(),
            ]))
            .collect();
        for (called, flags) in CALLED {
            let known = |flag: &&str| all.iter().any(|known| known == flag);
            assert!(flags.iter().all(known), "{called:?}: {flags:?}");
        }
    }
}
