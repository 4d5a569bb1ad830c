//! Work in parts, on as many threads as there are cores. What is computed does not depend on how
//! many.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

static LIMIT: AtomicUsize = AtomicUsize::new(usize::MAX);

/// Lets every later check use at most `threads` threads (at least one).
pub fn limit_threads(threads: usize) {
    LIMIT.store(threads.max(1), Ordering::Relaxed);
}

/// How many threads are worth while for about this many multiplications in all.
fn threads(work: usize) -> usize {
    if cfg!(not(feature = "threads")) || work < 1 << 20 {
        return 1;
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    cores.min(LIMIT.load(Ordering::Relaxed)).min(64)
}

/// part(0), ..., part(count - 1), in this order; `work` is about what each of them costs.
pub(crate) fn each<T: Send>(count: usize, work: usize, part: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let mut results: Vec<Option<T>> = (0..count).map(|_| None).collect();
    each_chunk(&mut results, 1, work, |i, result| {
        result[0] = Some(part(i));
    });
    results.into_iter().flatten().collect()
}

/// Calls part(i, chunk i) for the chunks of this length.
pub(crate) fn each_chunk<T: Send>(
    data: &mut [T],
    length: usize,
    work: usize,
    part: impl Fn(usize, &mut [T]) + Sync,
) {
    let length = length.max(1);
    let count = data.len().div_ceil(length);
    let threads = threads(work.saturating_mul(count)).min(count);
    let queue = Mutex::new(data.chunks_mut(length).enumerate());
    on_threads(threads, &|| {
        loop {
            // No thread panics while it holds the lock.
            let next = queue.lock().ok().and_then(|mut queue| queue.next());
            let Some((i, chunk)) = next else { return };
            part(i, chunk);
        }
    });
}

/// Runs the same on so many threads, this one among them; `dyn`, so that it is compiled once.
fn on_threads(threads: usize, run: &(dyn Fn() + Sync)) {
    #[cfg(feature = "threads")]
    if threads > 1 {
        std::thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(run);
            }
            run();
        });
        return;
    }
    let _ = threads;
    run();
}
