//! Long work without the interpreter's lock: progress, Ctrl-C, threads, and no panic that gets through.

use crate::errors::{raise, refused, shown};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyString;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::any::Any;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How often Python is asked whether to stop, and told how far the work is.
const PULSE: Duration = Duration::from_millis(100);

/// How far one piece of work is, and whether it shall stop. The work tells, the thread that asked for it looks.
#[derive(Default)]
pub struct Watch {
    done: AtomicUsize,
    total: AtomicUsize,
    stop: AtomicBool,
}

impl Watch {
    /// Called by the work, from any thread, as often as it likes.
    pub fn at(&self, done: usize, total: usize) -> ControlFlow<()> {
        self.done.store(done, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
        self.go_on()
    }

    /// One more is done.
    pub fn one_more(&self, total: usize) -> ControlFlow<()> {
        self.done.fetch_add(1, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
        self.go_on()
    }

    pub fn go_on(&self) -> ControlFlow<()> {
        match self.stop.load(Ordering::Relaxed) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}

/// How a piece of work is shown and run: what the arguments `threads` and `progress` say.
pub struct Asked<'a, 'py> {
    pub label: &'a str,
    pub threads: Option<&'a Bound<'py, PyAny>>,
    pub progress: Option<&'a Bound<'py, PyAny>>,
}

/// Runs `work` on a thread of its own, without the interpreter's lock. This thread, the only one to which Python
/// delivers Ctrl-C, meanwhile asks for signals and reports progress.
pub fn run<T: Send>(
    py: Python<'_>,
    asked: &Asked<'_, '_>,
    work: impl FnOnce(&Watch) -> gdcert::Result<T> + Send,
) -> PyResult<T> {
    let threads = asked.threads.map(|given| whole("threads", given));
    let pool = match threads.transpose()? {
        None => common_pool()?,
        Some(count) => pool_of(count)?,
    };
    let show = py
        .import("gdcert._progress")?
        .call_method1("reporter", (asked.label, asked.progress))?;
    let watch = Watch::default();
    let (sender, finished) = channel();
    let finished = Mutex::new(finished); // only to let it through py.detach
    let mut raised = None;
    let result = std::thread::scope(|scope| {
        let worker = std::thread::Builder::new().spawn_scoped(scope, || {
            let result = catch_unwind(AssertUnwindSafe(|| pool.install(|| work(&watch))));
            let _ = sender.send(()); // nobody waits any more if Python raised
            result
        });
        let worker =
            worker.map_err(|e| PyRuntimeError::new_err(format!("cannot start a thread: {e}")))?;
        while let Err(RecvTimeoutError::Timeout) = py.detach(|| {
            finished
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .recv_timeout(PULSE)
        }) {
            let told = watch.total.load(Ordering::Relaxed);
            let asked = py.check_signals().and_then(|()| {
                if told > 0 && !show.is_none() {
                    show.call1((watch.done.load(Ordering::Relaxed), told))?;
                }
                Ok(())
            });
            if let Err(e) = asked {
                raised = Some(e);
                watch.stop.store(true, Ordering::Relaxed);
                break;
            }
        }
        // It looks at the watch between steps.
        Ok::<_, PyErr>(py.detach(|| worker.join()))
    })?;
    if !show.is_none() {
        let told = watch.total.load(Ordering::Relaxed);
        let last = match &raised {
            None if told > 0 => show
                .call1((watch.done.load(Ordering::Relaxed), told))
                .map(drop),
            _ => Ok(()),
        };
        if show.hasattr("close")? {
            show.call_method0("close")?;
        }
        last?;
    }
    match (raised, result) {
        (Some(e), _) => Err(e),
        (None, Ok(Ok(result))) => result.map_err(raise),
        (None, Ok(Err(panic)) | Err(panic)) => Err(bug(&*panic)),
    }
}

/// Runs short `work` without the interpreter's lock; a panic becomes an exception.
pub fn quiet<T: Send>(py: Python<'_>, work: impl FnOnce() -> T + Send) -> PyResult<T> {
    py.detach(|| catch_unwind(AssertUnwindSafe(work)))
        .map_err(|panic| bug(&*panic))
}

/// A panic's words as an exception.
fn bug(panic: &(dyn Any + Send)) -> PyErr {
    let words = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    PyRuntimeError::new_err(format!("a bug in gdcert, please report it: {words}"))
}

/// All cores. After a fork the threads of the parent's pool are not there any more: then a new one.
fn common_pool() -> PyResult<Arc<ThreadPool>> {
    static POOL: Mutex<Option<(u32, Arc<ThreadPool>)>> = Mutex::new(None);
    let mut held = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    match &*held {
        Some((process, pool)) if *process == std::process::id() => Ok(pool.clone()),
        _ => {
            let pool = Arc::new(started(ThreadPoolBuilder::new())?);
            // Dropping the parent's would wait for its threads.
            std::mem::forget(held.replace((std::process::id(), pool.clone())));
            Ok(pool)
        }
    }
}

fn pool_of(count: u64) -> PyResult<Arc<ThreadPool>> {
    if !(1..=4096).contains(&count) {
        return Err(refused(format!(
            "threads = {count} must be between 1 and 4096"
        )));
    }
    started(ThreadPoolBuilder::new().num_threads(count as usize)).map(Arc::new)
}

fn started(pool: ThreadPoolBuilder) -> PyResult<ThreadPool> {
    pool.build()
        .map_err(|e| refused(format!("cannot start the threads: {e}; lower threads")))
}

/// A whole number of at least 0.
pub fn whole(name: &str, given: &Bound<'_, PyAny>) -> PyResult<u64> {
    given
        .call_method0("__index__")
        .and_then(|index| index.extract())
        .map_err(|_| {
            refused(format!(
                "{name} = {} must be a whole number of at least 0 (and below 2^64)",
                shown(given)
            ))
        })
}

/// The same as a size.
pub fn size(name: &str, given: &Bound<'_, PyAny>) -> PyResult<usize> {
    let found = whole(name, given)?;
    usize::try_from(found).map_err(|_| refused(format!("{name} = {found} is too large")))
}

/// A real number.
pub fn number(name: &str, given: &Bound<'_, PyAny>) -> PyResult<f64> {
    given
        .extract()
        .map_err(|_| refused(format!("{name} = {} must be a number", shown(given))))
}

/// One of a kind, or several.
pub fn list<'py, T>(
    name: &str,
    given: &Bound<'py, PyAny>,
    one: impl Fn(&str, &Bound<'py, PyAny>) -> PyResult<T>,
) -> PyResult<Vec<T>> {
    match given.try_iter() {
        Ok(items) if !given.is_instance_of::<PyString>() => {
            items.map(|item| one(name, &item?)).collect()
        }
        _ => Ok(vec![one(name, given)?]),
    }
}
