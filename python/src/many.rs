//! `gdcert.sweep` and `gdcert.falsify`: many instances.

use crate::errors::{raise, refused, shown};
use crate::instance::{PyInstance, kernel, room};
use crate::verify::{PyVerification, trained};
use crate::work::{Asked, number, run, size, whole};
use gdcert::experiment::falsify::{Search, Stage, Start, falsify_with as search_for};
use gdcert::experiment::sweep::{
    COLUMNS, Plan, Row, Shard, ShardFile, run as carry_out, trials_file,
};
use gdcert::{Dims, Error, Init, Kernel};
use gdcert_base::files::write_all;
use gdcert_report::RUN;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Verifies many instances, one row each: the rows and columns of `gdcert sweep`.
///
/// settings: a dict with the keys of the command's TOML file, each a value or a list; all combinations are run. N, n, D,
/// d, H, p, kernel, trained, init, scale, logit_scale, eta, seeds, steps, stop_at_floor, certify, sample; ranges as
/// {"from": 1, "to": 4}. threads: None for all cores; rows do not depend on it. shard: (k, K) runs the k-th of K parts.
/// out: a folder for the command's files (trials-k-of-K.csv and so on); resume: go on there where an earlier call
/// stopped. progress: True, False, None or a callable that gets (done, total).
///
/// Returns a Table.
///
/// >>> table = gdcert.sweep({"N": 2, "n": 4, "D": 8, "d": 4, "H": [1, 2], "steps": 50, "certify": False})
/// >>> len(table), table["H"].tolist()
/// (2, [1, 2])
#[pyfunction]
#[pyo3(signature = (settings, threads = None, shard = None, out = None, resume = false, progress = None))]
#[pyo3(
    text_signature = "(settings, threads=None, shard=(1, 1), out=None, resume=False, progress=None)"
)]
pub fn sweep<'py>(
    py: Python<'py>,
    settings: &Bound<'py, PyAny>,
    threads: Option<&Bound<'py, PyAny>>,
    shard: Option<(Bound<'py, PyAny>, Bound<'py, PyAny>)>,
    out: Option<PathBuf>,
    resume: bool,
    progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let text = toml(settings)?;
    let plan: Plan = text.parse().map_err(raise)?;
    let shard = match shard {
        None => Shard::WHOLE,
        Some((k, of)) => {
            let (k, of) = (whole("shard[0]", &k)?, whole("shard[1]", &of)?);
            Shard::new(k, of).ok_or_else(|| {
                refused(format!(
                    "shard = ({k}, {of}) must be (k, K) with 1 <= k <= K, such as (1, 4)"
                ))
            })?
        }
    };
    if resume && out.is_none() {
        return Err(refused("resume goes on in a folder; give out"));
    }
    let total = shard.count(plan.trials()) as usize;
    let asked = Asked {
        label: "trials",
        threads,
        progress,
    };
    let rows = run(py, &asked, |watch| {
        let mut rows = Vec::new();
        let mut file = match &out {
            None => None,
            Some(folder) => Some(shard_file(folder, &plan, &text, shard, resume)?),
        };
        if let (Some(folder), Some(file)) = (&out, &file)
            && file.done() > 0
        {
            rows = read_rows(&folder.join(trials_file(shard)), file.done())?;
        }
        let first = rows.len() as u64;
        let done = carry_out(&plan, shard, first, &|| watch.go_on(), &mut |finished| {
            if let Some(file) = &mut file {
                file.append(&finished)?;
            }
            rows.push(cells(&finished.row)?);
            let _ = watch.at(rows.len(), total);
            Ok(())
        });
        // What is done is kept, for resume.
        match (file.map(ShardFile::close), done) {
            (Some(closed), Ok(())) => closed?,
            (_, done) => done?,
        }
        Ok(rows)
    })?;
    table(py, rows)
}

/// A folder has one configuration, and finished rows are not overwritten unasked.
fn shard_file(
    folder: &Path,
    plan: &Plan,
    text: &str,
    shard: Shard,
    resume: bool,
) -> gdcert::Result<ShardFile> {
    std::fs::create_dir_all(folder).map_err(|e| Error::write(folder, e))?;
    let there = folder.join(trials_file(shard)).exists();
    let run_file = folder.join(RUN);
    if run_file.exists() {
        let bytes = std::fs::read(&run_file)
            .map_err(|e| Error::file(&run_file, format!("cannot be read: {e}")))?;
        let run: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let earlier = run["config"].as_str().map(str::parse::<Plan>);
        if !matches!(&earlier, Some(Ok(earlier)) if earlier == plan) {
            return Err(Error::file(
                folder,
                "holds another sweep or another command's results; choose another out",
            ));
        }
    } else if there && resume {
        return Err(Error::file(
            folder,
            "has no run.json that says which sweep its trials belong to; choose another out",
        ));
    }
    if there && !resume {
        return Err(Error::file(
            folder,
            format!(
                "holds {}; give resume=True to go on, or choose another out",
                trials_file(shard)
            ),
        ));
    }
    let run = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "command": "gdcert.sweep(settings)",
        "subcommand": "sweep",
        "seed": null,
        "trials": plan.trials(),
        "config": text,
    });
    write_all(folder, &[(RUN, format!("{run:#}\n").into_bytes())], &|| {
        Ok(())
    })?;
    match resume {
        true => ShardFile::resume(folder, shard, plan),
        false => ShardFile::create(folder, shard),
    }
}

/// The first rows of a shard's file, cell by cell.
fn read_rows(path: &Path, count: u64) -> gdcert::Result<Vec<Vec<Value>>> {
    let cannot = |e: String| Error::file(path, format!("cannot read its rows: {e}"));
    let mut file = csv::Reader::from_path(path).map_err(|e| cannot(e.to_string()))?;
    let rows = file.records().take(count as usize);
    // Cell by cell: names of nested columns mean nothing to the reader.
    rows.map(|row| {
        let row: Row = row
            .and_then(|row| row.deserialize(None))
            .map_err(|e| cannot(e.to_string()))?;
        cells(&row)
    })
    .collect()
}

/// A row's cells in the order of the columns.
fn cells(row: &Row) -> gdcert::Result<Vec<Value>> {
    fn flatten(value: Value, into: &mut Vec<Value>) {
        match value {
            Value::Array(list) => list.into_iter().for_each(|v| flatten(v, into)),
            Value::Object(map) => map.into_iter().for_each(|(_, v)| flatten(v, into)),
            value => into.push(value),
        }
    }
    let value = serde_json::to_value(row);
    let value = value.map_err(|e| Error::Numerical(format!("cannot form a row: {e}")))?;
    let mut cells = Vec::with_capacity(COLUMNS.len());
    flatten(value, &mut cells);
    Ok(cells)
}

fn table(py: Python<'_>, rows: Vec<Vec<Value>>) -> PyResult<Bound<'_, PyAny>> {
    let columns = PyDict::new(py);
    for (c, name) in COLUMNS.iter().enumerate() {
        let cells: Vec<_> = rows.iter().map(|row| &row[c]).collect();
        let cells: PyResult<Vec<_>> = cells
            .into_iter()
            .map(|cell| crate::verify::object(py, cell))
            .collect();
        columns.set_item(name, cells?)?;
    }
    py.import("gdcert._table")?
        .call_method1("of_cells", (columns,))
}

/// Settings as TOML text, so that the command's own reader takes them and run.json can hold them.
fn toml(settings: &Bound<'_, PyAny>) -> PyResult<String> {
    let Ok(settings) = settings.cast::<PyDict>() else {
        return Err(refused(
            "settings must be a dict such as {\"N\": 2, \"n\": 4, \"D\": 8, \"d\": 4, \"H\": [1, 2]}",
        ));
    };
    let mut table = toml::Table::new();
    for (key, value) in settings {
        let key: String = key
            .extract()
            .map_err(|_| refused(format!("the key {key} of settings must be a string")))?;
        let value = toml_value(&key, &value)?;
        table.insert(key, value);
    }
    toml::to_string(&table).map_err(|e| refused(format!("settings: {e}")))
}

fn toml_value(key: &str, value: &Bound<'_, PyAny>) -> PyResult<toml::Value> {
    use pyo3::types::{PyBool, PyString};
    if let Ok(flag) = value.cast::<PyBool>() {
        return Ok(toml::Value::Boolean(flag.is_true()));
    }
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(toml::Value::String(text.to_string()));
    }
    if let Ok(dict) = value.cast::<PyDict>() {
        let mut table = toml::Table::new();
        for (name, value) in dict {
            let name: String = name
                .extract()
                .map_err(|_| refused(format!("{key}: the key {name} must be a string")))?;
            let value = toml_value(key, &value)?;
            table.insert(name, value);
        }
        return Ok(toml::Value::Table(table));
    }
    // Also NumPy's; a whole number first, as 2.0 is none.
    if let Ok(whole) = value.call_method0("__index__") {
        let whole = whole.extract::<i64>();
        return whole
            .map(toml::Value::Integer)
            .map_err(|_| refused(format!("{key}: {} is too large", shown(value))));
    }
    if let Ok(number) = value.extract::<f64>() {
        return Ok(toml::Value::Float(number));
    }
    if let Ok(items) = value.try_iter() {
        let items = items.map(|item| toml_value(key, &item?));
        return items.collect::<PyResult<Vec<_>>>().map(toml::Value::Array);
    }
    Err(refused(format!(
        "{key}: {} is no value of a setting; give a number, a name, a list of them or a range",
        shown(value)
    )))
}

/// What gdcert.falsify found: an instance that violates a reading of beta, if there is one.
///
/// instance and verification are None if nothing was found; refusal says why Theorem A does not close on it.
#[pyclass(name = "Falsified", module = "gdcert", frozen)]
pub struct PyFalsified {
    /// The violating instance, made as small as the search could, or None.
    #[pyo3(get)]
    instance: Option<PyInstance>,
    /// Its Verification, or None.
    #[pyo3(get)]
    verification: Option<Py<PyVerification>>,
    /// Why it is not certified, or None.
    #[pyo3(get)]
    refusal: Option<String>,
    /// Instances that were run.
    #[pyo3(get)]
    tried: u64,
}

#[pymethods]
impl PyFalsified {
    fn __bool__(&self) -> bool {
        self.instance.is_some()
    }
    fn __repr__(&self) -> String {
        match &self.instance {
            Some(instance) => format!(
                "gdcert.Falsified({}, tried={})",
                instance.inner.dims(),
                self.tried
            ),
            None => format!("gdcert.Falsified(nothing, tried={})", self.tried),
        }
    }
}

/// Searches for an instance that violates a reading of beta, and shrinks what it finds to a small, readable one.
///
/// reading: "stacked", "per_head", "value" or "ntk". instance: begin with this one instead of draws; else N, n, D, d, H, p,
/// kernel, init, scale and seed name the law of the draws. steps: of a run, at most. tries: instances to run.
///
/// >>> found = gdcert.falsify(reading="stacked", kernel="gaussian", tries=500)
/// >>> found.verification.verdict
/// 'refuted'
#[pyfunction]
#[pyo3(signature = (reading, instance = None, *, N = None, n = None, D = None, d = None, H = None, p = None, kernel = None, init = None, scale = None, seed = None, theorem = None, train = None, steps = None, tries = None, threads = None, progress = None))]
#[pyo3(
    text_signature = "(reading, instance=None, *, N=2, n=4, D=8, d=4, H=3, p=1, kernel='softmax', init='lecun', scale=None, seed=0, theorem=1, train=None, steps=2000, tries=16384, threads=None, progress=None)"
)]
#[allow(clippy::too_many_arguments)]
pub fn falsify<'py>(
    py: Python<'py>,
    reading: &str,
    instance: Option<&PyInstance>,
    N: Option<&Bound<'py, PyAny>>,
    n: Option<&Bound<'py, PyAny>>,
    D: Option<&Bound<'py, PyAny>>,
    d: Option<&Bound<'py, PyAny>>,
    H: Option<&Bound<'py, PyAny>>,
    p: Option<&Bound<'py, PyAny>>,
    kernel: Option<&str>,
    init: Option<&str>,
    scale: Option<&Bound<'py, PyAny>>,
    seed: Option<&Bound<'py, PyAny>>,
    theorem: Option<&Bound<'py, PyAny>>,
    train: Option<&str>,
    steps: Option<&Bound<'py, PyAny>>,
    tries: Option<&Bound<'py, PyAny>>,
    threads: Option<&Bound<'py, PyAny>>,
    progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<PyFalsified> {
    let trained = trained(theorem, train)?;
    let whole_or = |name: &str, given: Option<&Bound<'py, PyAny>>, default: u64| {
        given.map_or(Ok(default), |given| whole(name, given))
    };
    let size_or = |name: &str, given: Option<&Bound<'py, PyAny>>, default: usize| {
        given.map_or(Ok(default), |given| size(name, given))
    };
    let scale = scale.map(|scale| number("scale", scale)).transpose()?;
    let kernel: Option<Kernel> = kernel.map(self::kernel).transpose()?;
    let start = match instance {
        Some(instance) => {
            let sizes = [N, n, D, d, H, p];
            if sizes.iter().any(Option::is_some) || init.is_some() || scale.is_some() {
                return Err(refused(
                    "an instance and the sizes or law of draws exclude each other; give one of them",
                ));
            }
            let inner = (*instance.inner).clone();
            Start::From(match kernel {
                Some(kernel) => inner.with_kernel(kernel),
                None => inner,
            })
        }
        None => Start::Law {
            dims: Dims {
                N: size_or("N", N, 2)?,
                n: size_or("n", n, 4)?,
                D: size_or("D", D, 8)?,
                d: size_or("d", d, 4)?,
                H: size_or("H", H, 3)?,
                p: size_or("p", p, 1)?,
            },
            kernel: kernel.unwrap_or(Kernel::Softmax),
            init: Init::from_name(init.unwrap_or("lecun"), scale).map_err(raise)?,
        },
    };
    match &start {
        Start::Law { dims, .. } => room(*dims, trained)?,
        Start::From(instance) => room(instance.dims(), trained)?,
    }
    let search = Search {
        start,
        trained,
        reading: reading.parse().map_err(raise)?,
        steps: size_or("steps", steps, 2000)?,
        tries: whole_or("tries", tries, 16_384)?,
        seed: whole_or("seed", seed, 0)?,
    };
    search.check().map_err(raise)?;
    let asked = Asked {
        label: "instances",
        threads,
        progress,
    };
    let findings = run(py, &asked, |watch| {
        search_for(&search, &|stage| match stage {
            Stage::Tried => watch.one_more(search.tries as usize),
            Stage::Shrinking => watch.go_on(),
        })
    })?;
    let tried = findings.tried;
    let Some(counterexample) = findings.counterexample else {
        return Ok(PyFalsified {
            instance: None,
            verification: None,
            refusal: None,
            tried,
        });
    };
    let instance = PyInstance::of(counterexample.instance);
    let verification = PyVerification::new(
        instance.clone(),
        counterexample.found,
        search.reading.into(),
        format!("counterexample to {}", search.reading),
        format!(
            "gdcert.falsify(reading='{}', train='{}')",
            search.reading, search.trained
        ),
    );
    Ok(PyFalsified {
        instance: Some(instance),
        verification: Some(Py::new(py, verification)?),
        refusal: Some(counterexample.refusal),
        tried,
    })
}
