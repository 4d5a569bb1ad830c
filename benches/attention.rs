//! Attention, forward and backward, in f32: share of the multiply-add peak, and PyTorch beside it.
//!
//! `cargo bench --bench attention`; see benches/README.md.

use gdcert::Kernel;
use gdcert_train::classifier::attention::{
    Attention, Gradient, Rows, Sample, Saved, backward, forward,
};
use rayon::ThreadPool;
use std::time::Instant;

mod common;
use common::{Peer, best, median, print_peaks, processor};

/// Heads, n, p.
const SIZES: [[usize; 3]; 3] = [[16, 1024, 32], [4, 4096, 32], [1, 4096, 32]];
/// Ours and the peer are timed in turn this many times, so that drift of the machine hits both.
const ROUNDS: usize = 3;
/// Time for one measurement of the peer.
const SECONDS: f64 = 0.5;

fn main() {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    println!("{}, {threads} cores", processor());
    let pools = [1, threads].map(|threads| {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .expect("threads")
    });
    // Vectors of f32 hold twice as many numbers.
    let peaks = pools.each_ref().map(|pool| 2.0 * print_peaks(pool));
    let mut peer = Peer::start("classifier_torch.py", "PyTorch");
    match &peer {
        Ok(peer) => println!("peer: {}", peer.version),
        Err(why) => println!("peer: none ({why}); pip install torch to compare"),
    }
    println!("forward + backward: median (best) of {ROUNDS} rounds");
    for sizes in SIZES {
        for kernel in [Kernel::Softmax, Kernel::Gaussian] {
            compare(sizes, kernel, &pools, peaks, &mut peer);
        }
    }
}

fn compare(
    sizes: [usize; 3],
    kernel: Kernel,
    pools: &[ThreadPool; 2],
    peaks: [f64; 2],
    peer: &mut Result<Peer, String>,
) {
    let [heads, n, p] = sizes;
    let kinds: &[&str] = match kernel {
        Kernel::Softmax => &["sdpa"],
        Kernel::Gaussian => &["dense", "sink"],
    };
    let mut ours: [Vec<f64>; 2] = Default::default();
    let mut theirs = vec![Vec::new(); kinds.len()];
    for _ in 0..ROUNDS {
        for (times, pool) in ours.iter_mut().zip(pools) {
            times.push(pool.install(|| time(kernel, sizes)));
        }
        if let Ok(peer) = peer {
            for (times, kind) in theirs.iter_mut().zip(kinds) {
                let request = format!("attention {kind} {heads} {n} {p} {SECONDS}");
                times.push(peer.ask(&request, 2)[0]);
            }
        }
    }
    println!("\n{heads} x {n} x {p}, {kernel}");
    // Two products forward, five backward, n^2 p multiply-adds each.
    let work = 14.0 * (heads * n * n * p) as f64;
    for ((name, times), peak) in ["1 thread", "all threads"].iter().zip(&ours).zip(peaks) {
        println!(
            "  {name:12} {:7.1} ms ({:7.1})  {:5.1} Gflop/s, {:3.0}% ({:3.0}%) of peak",
            1e3 * median(times.clone()),
            1e3 * best(times),
            work / median(times.clone()) / 1e9,
            100.0 * work / median(times.clone()) / peak,
            100.0 * work / best(times) / peak,
        );
    }
    for (kind, times) in kinds.iter().zip(&theirs) {
        if !times.is_empty() {
            println!(
                "  torch {kind:6} {:7.1} ms ({:7.1})  {:5.2} times ours",
                1e3 * median(times.clone()),
                1e3 * best(times),
                median(times.clone()) / median(ours[1].clone())
            );
        }
    }
}

/// Seconds of a forward and a backward pass: the median of a few.
fn time(kernel: Kernel, [heads, n, p]: [usize; 3]) -> f64 {
    let rows = heads * n;
    let x: [Vec<f32>; 4] = std::array::from_fn(|which| normals(rows * p, which as u64));
    let samples: Vec<Sample> = (0..heads)
        .map(|head| Sample {
            queries: head * n..(head + 1) * n,
            keys: head * n..(head + 1) * n,
        })
        .collect();
    let part = |which: usize| Rows {
        values: &x[which][..],
        stride: p,
    };
    let problem = Attention {
        kernel,
        heads: 1,
        p,
        q: part(0),
        k: part(1),
        v: part(2),
        samples: &samples,
        mask: None,
    };
    let (mut out, mut lse) = (vec![0.0; rows * p], vec![0.0; rows]);
    let mut values = vec![0.0; 3 * rows * p];
    let mut once = || {
        let start = Instant::now();
        forward(&problem, &mut out, &mut lse);
        let saved = Saved {
            out: &out,
            lse: &lse,
        };
        let gradient = Gradient {
            values: &mut values,
            stride: p,
            q: 0,
            k: rows * p,
            v: 2 * rows * p,
        };
        backward(&problem, saved, &x[3], gradient);
        start.elapsed().as_secs_f64()
    };
    once();
    median((0..5).map(|_| once()).collect())
}

/// Nearly normal numbers: sums of twelve uniforms.
fn normals(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut unit = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32
    };
    (0..len)
        .map(|_| (0..12).map(|_| unit()).sum::<f32>() - 6.0)
        .collect()
}
