//! One exact gradient descent step (all blocks trained, p = 1) beside JAX and NumPy.
//!
//! `cargo bench --bench gd_step`; see benches/README.md.

#![allow(non_snake_case)]

use gdcert::descent::Stepper;
use gdcert::{Dims, Init, Instance, Kernel, Trained};
use rayon::ThreadPool;
use std::hint::black_box;
use std::time::Instant;

mod common;
use common::{Peer, best, median, print_peaks, processor};

const SIZES: [[usize; 5]; 3] = [
    [4, 8, 32, 16, 4],
    [16, 16, 64, 32, 8],
    [64, 16, 128, 32, 16],
];
/// Ours and the peer are timed in turn this many times, so that drift of the machine hits both.
const ROUNDS: usize = 7;
/// Time for one measurement.
const SECONDS: f64 = 0.6;

fn main() {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    println!("{}, {threads} cores", processor());
    let [one, all] = [1, threads].map(|threads| {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .expect("threads")
    });
    let [peak_one, peak_all] = [&one, &all].map(print_peaks);
    let mut peer = Peer::start("gd_step_jax.py", "JAX");
    match &peer {
        Ok(peer) => println!("peer: {}", peer.version),
        Err(why) => println!("peer: none ({why}); pip install jax numpy to compare"),
    }
    println!(
        "times of a step: median (best) of {ROUNDS} rounds; ours with {}",
        instruction_set()
    );
    for sizes in SIZES {
        for kernel in [Kernel::Softmax, Kernel::Gaussian] {
            let [N, n, D, d, H] = sizes;
            let dims = Dims {
                N,
                n,
                D,
                d,
                H,
                p: 1,
            };
            let instance = Instance::random(dims, kernel, Init::Lecun, 0).expect("valid sizes");
            let mut stepper = Stepper::new(&instance, Trained::QKV);
            let mut times: [Vec<f64>; 6] = Default::default();
            for _ in 0..ROUNDS {
                times[0].push(ours(&one, &mut stepper));
                times[1].push(ours(&all, &mut stepper));
                if let Ok(peer) = &mut peer {
                    let [N, n, D, d, H] = sizes;
                    let request = format!("{kernel} {N} {n} {D} {d} {H} {SECONDS}");
                    for (all, time) in times[2..].iter_mut().zip(peer.ask(&request, 4)) {
                        all.push(time);
                    }
                }
            }
            let work = flops(dims, kernel);
            println!(
                "\n(N, n, D, d, H) = {sizes:?}, {kernel}: {:.2} Mflop",
                work / 1e6
            );
            print_times(work, [peak_one, peak_all], &times);
        }
    }
}

/// The sides in the order they are timed: ours twice, then the peer's programs.
const NAMES: [&str; 6] = [
    "1 thread",
    "all threads",
    "JAX",
    "JAX, reordered",
    "... in fori_loop",
    "NumPy",
];

/// A line for each side: median and best over the rounds, and how it compares. On a busy machine the
/// best rounds tell more than the medians.
fn print_times(work: f64, peaks: [f64; 2], times: &[Vec<f64>; 6]) {
    let both = |times: &Vec<f64>| [median(times.clone()), best(times)];
    let [one, all] = [both(&times[0]), both(&times[1])];
    let ours = [one[0].min(all[0]), one[1].min(all[1])];
    for (side, name) in NAMES.iter().enumerate() {
        let [median, best] = both(&times[side]);
        if !median.is_finite() {
            continue;
        }
        print!(
            "  {name:16} {:>11} (best {:>11})",
            micros(median),
            micros(best)
        );
        match peaks.get(side) {
            Some(peak) => println!(
                "  {:5.1} ({:5.1}) Gflop/s, {:3.0}% ({:3.0}%) of peak",
                work / median / 1e9,
                work / best / 1e9,
                100.0 * work / median / peak,
                100.0 * work / best / peak
            ),
            None => println!(
                "  {:5.1} ({:5.1}) times ours",
                median / ours[0],
                best / ours[1]
            ),
        }
    }
}

fn instruction_set() -> &'static str {
    let dims = Dims {
        N: 1,
        n: 1,
        D: 1,
        d: 1,
        H: 1,
        p: 1,
    };
    let instance = Instance::random(dims, Kernel::Softmax, Init::Lecun, 0).expect("valid sizes");
    Stepper::new(&instance, Trained::Q).instruction_set()
}

fn micros(seconds: f64) -> String {
    format!("{:.1} us", 1e6 * seconds)
}

/// Multiplications and additions that the formulas need: four products between X and Nn x Hd
/// matrices, the value vector of each head both ways, scores and their two derivatives.
fn flops(dims: Dims, kernel: Kernel) -> f64 {
    let Dims { N, n, D, d, H, .. } = dims;
    let products = 4 * 2 * N * n * D * H * d;
    let values = H * (2 * 2 * N * n * D + 2 * 2 * D * d);
    let score = match kernel {
        Kernel::Softmax => 2,
        Kernel::Gaussian => 3, // a difference, squared, added
    };
    let attention = N * H * n * n * (score * d + 2 * 2 * d);
    (products + values + attention) as f64
}

/// Seconds a step: the median over blocks of about 10 ms.
fn ours(pool: &ThreadPool, stepper: &mut Stepper) -> f64 {
    pool.install(|| {
        let mut block = |steps: usize| {
            let start = Instant::now();
            for _ in 0..steps {
                black_box(stepper.evaluate());
                stepper.step(1e-5);
            }
            start.elapsed().as_secs_f64()
        };
        let steps = ((0.01 / block(3)) * 3.0).ceil() as usize;
        let end = Instant::now();
        let mut times = Vec::new();
        while times.len() < 5 || end.elapsed().as_secs_f64() < SECONDS / 3.0 {
            times.push(block(steps) / steps as f64);
        }
        median(times)
    })
}
