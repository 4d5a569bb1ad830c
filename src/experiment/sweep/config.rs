//! From a TOML text to a [`Plan`]: every complaint names the key and the mend.

use super::plan::{Certify, Law, Plan, Sample, between};
use crate::descent::Steps;
use crate::model::{Kernel, Trained};
use crate::problem::Init;
use crate::{Error, Result};
use gdcert_base::input::same_word;
use std::str::FromStr;
use toml::{Table, Value};

const KEYS: [&str; 17] = [
    "N",
    "n",
    "D",
    "d",
    "H",
    "p",
    "kernel",
    "trained",
    "init",
    "scale",
    "logit_scale",
    "eta",
    "seeds",
    "sample",
    "steps",
    "stop_at_floor",
    "certify",
];

/// Scales beyond these overflow in what is computed from them.
const SENSIBLE: std::ops::RangeInclusive<f64> = 1e-60..=1e60;

/// A list that is longer was surely meant otherwise.
const LONGEST: u64 = 10_000_000;

impl FromStr for Plan {
    type Err = Error;

    fn from_str(text: &str) -> Result<Plan> {
        let table: Table = text.parse().map_err(|e: toml::de::Error| {
            Error::input(format!("is no TOML file: {}", e.message().trim()))
        })?;
        if let Some(unknown) = table.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(Error::input(format!(
                "{unknown}: there is no such key; the keys are {}",
                KEYS.join(", ")
            )));
        }
        let config = Config { table: &table };
        let sample = config.sample()?;
        let seeds = match (sample, table.contains_key("seeds")) {
            (Some(_), true) => {
                return Err(Error::input(
                    "seeds: a sample draws a seed for each trial; leave seeds out, or sample",
                ));
            }
            _ => config.whole("seeds", Some(0))?,
        };
        let inits = config.names("init", "lecun", |name| {
            let known = Init::NAMES.into_iter().find(|known| same_word(name, known));
            known.ok_or_else(|| unknown("initialization", name, &Init::NAMES.join(", ")))
        })?;
        if table.contains_key("scale") && inits == ["lecun"] {
            return Err(Error::input(
                "scale: init lecun has none; leave it out, or give init as lazy, paired or constant-value",
            ));
        }
        let size = |key: &str| -> Result<Vec<usize>> {
            let default = (key == "p").then_some(1);
            let sizes = config.whole(key, default)?;
            sizes
                .into_iter()
                .map(|size| usize::try_from(size).map_err(|_| too_large(key, size)))
                .collect()
        };
        let plan = Plan {
            sizes: [
                size("N")?,
                size("n")?,
                size("D")?,
                size("d")?,
                size("H")?,
                size("p")?,
            ],
            kernels: config.names("kernel", "softmax", str::parse::<Kernel>)?,
            trained: config.names("trained", "QKV", str::parse::<Trained>)?,
            inits,
            scale: config.positive("scale", 1.0, sample.is_some())?,
            logit_scale: config.positive("logit_scale", 1.0, sample.is_some())?,
            eta: config.positive("eta", 0.5, sample.is_some())?,
            seeds,
            sample,
            steps: config.steps()?,
            certify: config.certify()?,
        };
        plan.check()?;
        Ok(plan)
    }
}

struct Config<'a> {
    table: &'a Table,
}

impl Config<'_> {
    /// Whole numbers: one, a list, or { from, to } with both ends.
    fn whole(&self, key: &str, default: Option<u64>) -> Result<Vec<u64>> {
        let wants = "a whole number, a list of them, or { from = 1, to = 4 }";
        let Some(value) = self.table.get(key) else {
            return match default {
                Some(default) => Ok(vec![default]),
                None => Err(Error::input(format!("{key}: is missing; give {wants}"))),
            };
        };
        let one = |value: &Value| {
            whole(value).ok_or_else(|| Error::input(format!("{key}: {value} is not {wants}")))
        };
        match value {
            Value::Array(values) => distinct(key, values, &one),
            Value::Table(range) => {
                let [from, to] = ends(key, range, ["from", "to"])?;
                let (from, to) = (one(from)?, one(to)?);
                if from > to {
                    return Err(Error::input(format!(
                        "{key}: the range from {from} to {to} is empty; give from <= to"
                    )));
                }
                if to - from >= LONGEST {
                    return Err(too_many(key, to - from));
                }
                Ok((from..=to).collect())
            }
            value => Ok(vec![one(value)?]),
        }
    }

    /// Positive numbers: one, a list, or { from, to, count } evenly in the logarithm; in a sample { from, to }.
    fn positive(&self, key: &str, default: f64, sampled: bool) -> Result<Law> {
        let range = if sampled {
            "{ from = 0.1, to = 10.0 }"
        } else {
            "{ from = 0.1, to = 10.0, count = 5 }"
        };
        let Some(value) = self.table.get(key) else {
            return Ok(Law::Among(vec![default]));
        };
        let one = |value: &Value| {
            let x = match value {
                Value::Integer(x) => *x as f64,
                Value::Float(x) => *x,
                _ => f64::NAN,
            };
            if SENSIBLE.contains(&x) {
                Ok(x)
            } else {
                Err(Error::input(format!(
                    "{key}: {value} is not a number from {:e} to {:e}, a list of them, or {range}",
                    SENSIBLE.start(),
                    SENSIBLE.end(),
                )))
            }
        };
        match value {
            Value::Array(values) => Ok(Law::Among(distinct(key, values, &one)?)),
            Value::Table(table) if sampled => {
                let [from, to] = ends(key, table, ["from", "to"])?;
                let (from, to) = ordered(key, one(from)?, one(to)?)?;
                Ok(Law::LogUniform(from, to))
            }
            Value::Table(table) => {
                let [from, to, count] = ends(key, table, ["from", "to", "count"])?;
                let (from, to) = ordered(key, one(from)?, one(to)?)?;
                let count = whole(count).filter(|count| *count >= 2).ok_or_else(|| {
                    Error::input(format!(
                        "{key}: count = {count} must be a whole number of at least 2"
                    ))
                })?;
                if count > LONGEST {
                    return Err(too_many(key, count));
                }
                let steps = (count - 1) as f64;
                let points = (0..count).map(|i| between(from, to, i as f64 / steps));
                Ok(Law::Among(points.collect()))
            }
            value => Ok(Law::Among(vec![one(value)?])),
        }
    }

    /// Names: one or a list.
    fn names<T: PartialEq>(
        &self,
        key: &str,
        default: &str,
        parse: impl Fn(&str) -> Result<T>,
    ) -> Result<Vec<T>> {
        let one = |value: &Value| match value {
            Value::String(name) => parse(name).map_err(|e| Error::input(format!("{key}: {e}"))),
            other => Err(Error::input(format!(
                "{key}: {other} is not a name or a list of names; write it as \"{default}\""
            ))),
        };
        match self.table.get(key) {
            None => Ok(vec![parse(default)?]),
            Some(Value::Array(values)) => distinct(key, values, &one),
            Some(value) => Ok(vec![one(value)?]),
        }
    }

    fn certify(&self) -> Result<Certify> {
        match self.table.get("certify") {
            None | Some(Value::Boolean(true)) => Ok(Certify::Tail),
            Some(Value::Boolean(false)) => Ok(Certify::Nothing),
            Some(Value::String(word)) if word == "orbit" => Ok(Certify::Orbit),
            Some(other) => Err(Error::input(format!(
                "certify: {other} is not true or false or \"orbit\""
            ))),
        }
    }

    fn flag(&self, key: &str, default: bool) -> Result<bool> {
        match self.table.get(key) {
            None => Ok(default),
            Some(Value::Boolean(on)) => Ok(*on),
            Some(other) => Err(Error::input(format!("{key}: {other} is not true or false"))),
        }
    }

    fn steps(&self) -> Result<Steps> {
        let steps = match self.table.get("steps") {
            None => 2000,
            Some(value) => {
                let steps = whole(value).filter(|steps| *steps >= 1);
                steps.ok_or_else(|| {
                    Error::input(format!(
                        "steps: {value} is not a whole number of at least 1"
                    ))
                })? as usize
            }
        };
        Ok(match self.flag("stop_at_floor", true)? {
            true => Steps::UpTo(steps),
            false => Steps::Exactly(steps),
        })
    }

    fn sample(&self) -> Result<Option<Sample>> {
        let wants = "sample: give it as { trials = 10000, seed = 0 }";
        let table = match self.table.get("sample") {
            None => return Ok(None),
            Some(Value::Table(table)) => table,
            Some(other) => return Err(Error::input(format!("{wants}, not {other}"))),
        };
        if let Some(key) = table
            .keys()
            .find(|key| !["trials", "seed"].contains(&key.as_str()))
        {
            return Err(Error::input(format!("{wants}; {key} is unknown")));
        }
        let count = |key: &str, least: u64| {
            let given = table.get(key);
            if given.is_none() && key == "seed" {
                return Ok(0);
            }
            given
                .and_then(whole)
                .filter(|x| *x >= least)
                .ok_or_else(|| {
                    Error::input(format!(
                        "{wants}; {key} is {} and must be a whole number of at least {least}",
                        given.map_or("missing".to_owned(), Value::to_string)
                    ))
                })
        };
        Ok(Some(Sample {
            trials: count("trials", 1)?,
            seed: count("seed", 0)?,
        }))
    }
}

/// A whole number of at least 0, also written as 1e4.
fn whole(value: &Value) -> Option<u64> {
    match *value {
        Value::Integer(x) => u64::try_from(x).ok(),
        // Every whole number below 2^53 is an f64.
        Value::Float(x) if (0.0..9e15).contains(&x) && x.fract() == 0.0 => Some(x as u64),
        _ => None,
    }
}

/// A list without repetitions: the same trial twice would count twice.
fn distinct<T: PartialEq>(
    key: &str,
    values: &[Value],
    one: &dyn Fn(&Value) -> Result<T>,
) -> Result<Vec<T>> {
    if values.is_empty() {
        return Err(Error::input(format!(
            "{key}: the list is empty; give a value"
        )));
    }
    let mut list = Vec::with_capacity(values.len());
    for value in values {
        let parsed = one(value)?;
        if list.contains(&parsed) {
            return Err(Error::input(format!(
                "{key}: {value} is listed twice; leave one out"
            )));
        }
        list.push(parsed);
    }
    Ok(list)
}

/// The entries of a range, which has these keys and no other.
fn ends<'a, const K: usize>(
    key: &str,
    range: &'a Table,
    names: [&str; K],
) -> Result<[&'a Value; K]> {
    let wants = || Error::input(format!("{key}: a range here has {}", names.join(", ")));
    if range.len() != K {
        return Err(wants());
    }
    let mut values = Vec::with_capacity(K);
    for name in names {
        values.push(range.get(name).ok_or_else(wants)?);
    }
    values.try_into().map_err(|_| wants())
}

fn ordered(key: &str, from: f64, to: f64) -> Result<(f64, f64)> {
    if from < to {
        Ok((from, to))
    } else {
        Err(Error::input(format!(
            "{key}: the range from {from} to {to} is empty; give from < to"
        )))
    }
}

fn unknown(what: &str, name: &str, known: &str) -> Error {
    Error::input(format!("unknown {what} '{name}'; choose among {known}"))
}

fn too_large(key: &str, size: u64) -> Error {
    Error::input(format!(
        "{key}: {size} is too large for this machine; choose a smaller one"
    ))
}

fn too_many(key: &str, count: u64) -> Error {
    Error::input(format!(
        "{key}: {count} values are too many; give at most {LONGEST}"
    ))
}
