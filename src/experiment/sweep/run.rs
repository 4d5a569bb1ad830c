//! Carrying out a sweep's trials on all threads, their rows in order.

use super::plan::{Plan, Trial};
use super::row::Row;
use super::shard::Shard;
use super::trial::{carry_out, together};
use crate::descent::lanes;
use crate::{Error, Result};
use std::collections::{BTreeMap, VecDeque};
use std::ops::{ControlFlow, Range};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// No thread starts a trial that is this far ahead of the last row given out: what waits for its turn takes little memory.
const LEAD: u64 = 4096;

/// Trials of the same shape are looked for among this many at a time.
const WINDOW: u64 = 512;

/// A row and how long it took.
#[derive(Clone, Debug)]
pub struct Finished {
    /// What was found.
    pub row: Row,
    /// Time spent on the trial, in seconds on one thread; its share where several were carried out together.
    pub seconds: f64,
}

/// Carries out a shard's trials from its number `first` on (0: all), on as many threads as the current rayon pool has.
///
/// `take` gets the rows in the order of the trials; an error of it ends the sweep. `observe` is asked now and then by
/// every thread and cancels by breaking. Each trial runs on one thread.
///
/// # Errors
/// [`Error::Cancelled`], what `take` returns, or threads that cannot be started.
pub fn run(
    plan: &Plan,
    shard: Shard,
    first: u64,
    observe: &(dyn Fn() -> ControlFlow<()> + Sync),
    take: &mut (dyn FnMut(Finished) -> Result<()> + Send),
) -> Result<()> {
    let state = State {
        next: first,
        jobs: VecDeque::new(),
        given: first,
        waiting: BTreeMap::new(),
        take,
        failed: None,
    };
    let queue = Queue {
        plan,
        shard,
        count: shard.count(plan.trials()),
        state: Mutex::new(state),
        moved: Condvar::new(),
    };
    let threads = rayon::current_num_threads();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let worker = std::thread::Builder::new();
            let spawned = worker.spawn_scoped(scope, || {
                // A pool of one: a trial does not wait for others that its inner loops might have picked up.
                let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
                let worked = match &pool {
                    Ok(pool) => pool.install(|| queue.work(observe)),
                    Err(e) => Err(Error::input(format!(
                        "cannot start the threads: {e}; lower --threads"
                    ))),
                };
                if let Err(e) = worked {
                    queue.fail(e);
                }
            });
            if let Err(e) = spawned {
                queue.fail(Error::input(format!(
                    "cannot start the threads: {e}; lower --threads"
                )));
            }
        }
    });
    let state = queue.state.into_inner();
    match state.unwrap_or_else(PoisonError::into_inner).failed {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

struct Queue<'a> {
    plan: &'a Plan,
    shard: Shard,
    /// Trials of the shard.
    count: u64,
    state: Mutex<State<'a>>,
    /// Signalled when rows were given out, or something failed.
    moved: Condvar,
}

struct State<'a> {
    /// The next trial to plan, as a number within the shard; such numbers, not indices, are used below.
    next: u64,
    /// What to start next: trials to carry out together. No job holds an earlier trial than the first of the one before.
    jobs: VecDeque<Vec<u64>>,
    /// Rows given out.
    given: u64,
    /// Rows that wait for earlier ones.
    waiting: BTreeMap<u64, Finished>,
    take: &'a mut (dyn FnMut(Finished) -> Result<()> + Send),
    failed: Option<Error>,
}

impl<'a> Queue<'a> {
    fn work(&self, observe: &(dyn Fn() -> ControlFlow<()> + Sync)) -> Result<()> {
        while let Some(numbers) = self.start() {
            if observe().is_break() {
                return Err(Error::Cancelled);
            }
            let trials: Vec<Trial> = numbers.iter().map(|&number| self.trial(number)).collect();
            let started = Instant::now();
            let rows = carry_out(self.plan, &trials, observe)?;
            let seconds = started.elapsed().as_secs_f64() / rows.len() as f64;
            let finished = rows.into_iter().map(|row| Finished { row, seconds });
            self.finish(numbers.into_iter().zip(finished))?;
        }
        Ok(())
    }

    fn trial(&self, number: u64) -> Trial {
        self.plan.trial(self.shard.trial(number))
    }

    /// The next job; `None` when there is none, or another thread failed.
    fn start(&self) -> Option<Vec<u64>> {
        let mut state = self.lock();
        loop {
            if state.failed.is_some() {
                return None;
            }
            if state.jobs.is_empty() {
                let end = self.count.min(state.next + WINDOW);
                state.jobs = self.jobs(state.next..end);
                state.next = end;
            }
            if state.jobs.front()?[0] < state.given + LEAD {
                return state.jobs.pop_front();
            }
            state = self
                .moved
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Trials grouped to be carried out together.
    fn jobs(&self, numbers: Range<u64>) -> VecDeque<Vec<u64>> {
        let lanes = lanes();
        let mut jobs: Vec<(Trial, Vec<u64>)> = Vec::new();
        for number in numbers {
            let trial = self.trial(number);
            let shape = |t: &Trial| (t.dims, t.kernel, t.trained);
            let may = together(self.plan, &[trial]);
            let open = jobs
                .iter_mut()
                .rev()
                .find(|(first, job)| may && job.len() < lanes && shape(first) == shape(&trial));
            match open {
                Some((_, job)) => job.push(number),
                None => jobs.push((trial, vec![number])),
            }
        }
        jobs.into_iter().map(|(_, job)| job).collect()
    }

    fn finish(&self, rows: impl Iterator<Item = (u64, Finished)>) -> Result<()> {
        let mut state = self.lock();
        if state.failed.is_some() {
            return Ok(());
        }
        state.waiting.extend(rows);
        loop {
            let given = state.given;
            let Some(finished) = state.waiting.remove(&given) else {
                break;
            };
            (state.take)(finished)?;
            state.given += 1;
            self.moved.notify_all();
        }
        Ok(())
    }

    fn fail(&self, error: Error) {
        let mut state = self.lock();
        // That one thread was stopped because of another's failure is no news.
        if state.failed.is_none() || matches!(state.failed, Some(Error::Cancelled)) {
            state.failed = Some(error);
        }
        self.moved.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State<'a>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
