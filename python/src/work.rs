//! Long work without the interpreter's lock: progress, Ctrl-C, threads.

use crate::errors::{raise, refused};
use pyo3::prelude::*;
use std::ops::ControlFlow;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How often Python is asked whether to stop, and told how far the work is.
const PULSE: Duration = Duration::from_millis(100);

/// Watches over one piece of work.
pub struct Watch {
    state: Mutex<State>,
}

struct State {
    last: Instant,
    /// Called with (done, total).
    progress: Option<Py<PyAny>>,
    /// What Python raised: KeyboardInterrupt, or an error of the callable.
    raised: Option<PyErr>,
    shown: bool,
}

impl Watch {
    /// `progress`: None (a bar where there is someone to see it), a bool, or a callable that gets (done, total).
    pub fn new(py: Python<'_>, label: &str, progress: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let shown = py
            .import("gdcert._progress")?
            .call_method1("reporter", (label, progress))?;
        Ok(Watch {
            state: Mutex::new(State {
                last: Instant::now(),
                progress: (!shown.is_none()).then(|| shown.unbind()),
                raised: None,
                shown: false,
            }),
        })
    }

    /// Called by the work, from any thread, as often as it likes.
    pub fn at(&self, done: usize, total: usize) -> ControlFlow<()> {
        let Ok(mut state) = self.state.try_lock() else {
            return ControlFlow::Continue(()); // another thread is asking just now
        };
        if state.raised.is_some() {
            return ControlFlow::Break(());
        }
        if state.last.elapsed() < PULSE {
            return ControlFlow::Continue(());
        }
        state.last = Instant::now();
        let asked = Python::attach(|py| {
            py.check_signals()?;
            if let Some(progress) = &state.progress {
                progress.call1(py, (done, total))?;
            }
            Ok(())
        });
        state.shown = true;
        match asked {
            Ok(()) => ControlFlow::Continue(()),
            Err(e) => {
                state.raised = Some(e);
                ControlFlow::Break(())
            }
        }
    }

    /// The result of the work, or what Python raised meanwhile.
    pub fn end<T>(self, py: Python<'_>, result: gdcert::Result<T>) -> PyResult<T> {
        let state = self
            .state
            .into_inner()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(progress) = &state.progress
            && progress.bind(py).hasattr("close")?
        {
            progress.call_method0(py, "close")?;
        }
        match state.raised {
            Some(e) => Err(e),
            None => result.map_err(raise),
        }
    }
}

/// Runs `work` without the interpreter's lock, on `threads` threads (None: all cores).
pub fn on_threads<T: Send>(
    py: Python<'_>,
    threads: Option<usize>,
    work: impl FnOnce() -> T + Send,
) -> PyResult<T> {
    match threads {
        None => Ok(py.detach(work)),
        Some(0) => Err(refused("threads must be at least 1")),
        Some(count) if count > 4096 => Err(refused(format!(
            "threads = {count} are more than any machine has; give at most 4096"
        ))),
        Some(count) => {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(count).build();
            let pool = pool.map_err(|e| refused(format!("cannot start {count} threads: {e}")))?;
            Ok(py.detach(|| pool.install(work)))
        }
    }
}
