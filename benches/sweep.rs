//! Trials a second of a sweep of small instances, beside a vmapped loop in JAX.
//!
//! `cargo bench --bench sweep`; see benches/README.md.

#![allow(non_snake_case)]

use gdcert::experiment::sweep::{Plan, Shard, run};
use std::ops::ControlFlow;
use std::time::Instant;

mod common;
use common::{Peer, median, processor};

/// Trials of one kernel and H in a measurement.
const TRIALS: usize = 256;
const STEPS: usize = 2000;
/// Ours and the peer are timed in turn this many times.
const ROUNDS: usize = 3;

fn main() {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    println!("{}, {threads} cores", processor());
    let mut peer = Peer::start("sweep_jax.py", "JAX");
    match &peer {
        Ok(peer) => println!("peer: {}", peer.version),
        Err(why) => println!("peer: none ({why}); pip install jax to compare"),
    }
    println!(
        "seconds of {TRIALS} trials of {STEPS} steps at (N, n, D, d) = (2, 4, 8, 4), medians of {ROUNDS} rounds: our whole \
         sweep (draw, singular values, verdicts), JAX the loop alone"
    );
    println!("kernel    H     ours   JAX as written   JAX reordered");
    let mut sums = [0.0; 3];
    for kernel in ["softmax", "gaussian"] {
        for H in 1..=4 {
            let mut times: [Vec<f64>; 3] = Default::default();
            for _ in 0..ROUNDS {
                times[0].push(ours(kernel, H));
                if let Ok(peer) = &mut peer {
                    let answer = peer.ask(&format!("{kernel} 2 4 8 4 {H} {TRIALS} {STEPS}"), 2);
                    times[1].push(answer[0]);
                    times[2].push(answer[1]);
                }
            }
            let [ours, written, reordered] = times.map(median);
            for (sum, time) in sums.iter_mut().zip([ours, written, reordered]) {
                *sum += time;
            }
            println!(
                "{kernel:8} {H:2} {ours:8.3} {written:8.3} ({:4.1}x) {reordered:8.3} ({:4.1}x)",
                written / ours,
                reordered / ours
            );
        }
    }
    println!(
        "all: {:.0} trials a second; JAX as written takes {:.1} times as long, reordered {:.1} times",
        (8 * TRIALS) as f64 / sums[0],
        sums[1] / sums[0],
        sums[2] / sums[0]
    );
}

/// Seconds of the sweep on all threads.
fn ours(kernel: &str, H: usize) -> f64 {
    let config = format!(
        "N = 2\nn = 4\nD = 8\nd = 4\nH = {H}\nkernel = \"{kernel}\"\nseeds = {{ from = 1, to = {TRIALS} }}\n\
         steps = {STEPS}\nstop_at_floor = false\ncertify = false\n"
    );
    let plan: Plan = config.parse().expect("a valid configuration");
    let started = Instant::now();
    let mut rows = 0;
    run(
        &plan,
        Shard::WHOLE,
        0,
        &|| ControlFlow::Continue(()),
        &mut |_| {
            rows += 1;
            Ok(())
        },
    )
    .expect("a sweep");
    assert_eq!(rows, TRIALS);
    started.elapsed().as_secs_f64()
}
