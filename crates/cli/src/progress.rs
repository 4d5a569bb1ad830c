//! Progress: a bar on a terminal, now and then a plain line otherwise.

use super::say::{is_quiet, say, under_way};
use super::signals::go_on;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// How often a plain line is printed.
const EVERY: Duration = Duration::from_secs(10);

pub(super) struct Progress {
    bar: Option<ProgressBar>,
    what: String,
    total: u64,
    /// Where it started, when it continues earlier work.
    first: usize,
    /// A plain line may be due at every multiple of this.
    stride: usize,
    started: Instant,
    last: Instant,
    /// What is said of how it goes.
    state: String,
}

impl Progress {
    pub(super) fn new(what: &str, total: usize) -> Self {
        if std::io::stderr().is_terminal() {
            under_way();
        }
        let bar = (std::io::stderr().is_terminal() && !is_quiet()).then(|| {
            let style = ProgressStyle::with_template(
                "{msg} {wide_bar} {pos}/{len} {per_sec} {eta} {prefix}",
            );
            let bar = ProgressBar::with_draw_target(
                Some(total as u64),
                ProgressDrawTarget::stderr_with_hz(5),
            )
            .with_message(what.to_owned());
            match style {
                Ok(style) => bar.with_style(style),
                Err(_) => bar,
            }
        });
        let now = Instant::now();
        Progress {
            bar,
            what: what.to_owned(),
            total: total as u64,
            first: 0,
            stride: 64,
            started: now,
            last: now,
            state: String::new(),
        }
    }

    /// For steps that take much longer than a look at the clock.
    pub(super) fn of_long_steps(what: &str, first: usize, total: usize) -> Self {
        let mut progress = Progress::new(what, total);
        progress.first = first;
        progress.stride = 1;
        if let Some(bar) = &progress.bar {
            bar.set_position(first as u64);
            bar.reset_eta();
        }
        progress
    }

    /// A line among the progress.
    pub(super) fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None if is_quiet() => {}
            None => {
                under_way();
                say(line);
            }
        }
    }

    /// What is said of how it goes, from now on.
    pub(super) fn state(&mut self, state: String) {
        if let Some(bar) = &self.bar {
            bar.set_prefix(state);
        } else {
            self.state = state;
        }
    }

    /// Shows that so much is done; breaks off where a signal asks to stop.
    pub(super) fn step(&mut self, done: usize) -> ControlFlow<()> {
        self.at(done);
        go_on()
    }

    pub(super) fn at(&mut self, done: usize) {
        match &self.bar {
            Some(bar) => bar.set_position(done as u64),
            // Looking at the clock costs more than a small step: not at every one.
            None if !is_quiet()
                && done.is_multiple_of(self.stride)
                && self.last.elapsed() > EVERY =>
            {
                under_way();
                self.last = Instant::now();
                let spent = self.started.elapsed().as_secs_f64();
                let pace = spent / done.saturating_sub(self.first).max(1) as f64;
                let left = pace * (self.total as f64 - done as f64);
                let rate = pace.recip();
                say(&format!(
                    "{}: {done} of {}, {rate:.prec$} a second, about {left:.0} s left{}{}",
                    self.what,
                    self.total,
                    if self.state.is_empty() { "" } else { "; " },
                    self.state,
                    prec = usize::from(rate < 100.0) + usize::from(rate < 1.0),
                ));
            }
            None => {}
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
