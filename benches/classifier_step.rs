//! A training step with Adam, PyTorch beside it; what of it is not attention; peak memory.
//!
//! `cargo bench --bench classifier_step`; see benches/README.md.

use gdcert::Kernel;
use gdcert_train::classifier::attention::{
    Attention, Gradient, Rows, Sample, Saved, backward, forward,
};
use gdcert_train::classifier::{Architecture, Batch, Classifier, Dropout, Parameters};
use gdcert_train::training::{Law, Optimizer};
use rayon::ThreadPool;
use std::time::Instant;

mod common;
use common::{Peer, best, median, processor};

/// Sequence length, batch.
const SIZES: [[usize; 2]; 3] = [[1024, 8], [1024, 32], [4000, 2]];
/// Ours and the peer are timed in turn this many times, so that drift of the machine hits both.
const ROUNDS: usize = 5;
/// Time for one measurement of the peer.
const SECONDS: f64 = 1.0;

fn main() {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    println!("{}, {threads} cores", processor());
    let pools = [1, threads].map(|threads| {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .expect("threads")
    });
    let mut peer = Peer::start("classifier_torch.py", "PyTorch");
    match &peer {
        Ok(peer) => println!("peer: {}", peer.version),
        Err(why) => println!("peer: none ({why}); pip install torch to compare"),
    }
    println!("step: median (best) of {ROUNDS} rounds, no dropout, no padding");
    for sizes in SIZES {
        let [n, batch] = sizes;
        for kernel in [Kernel::Softmax, Kernel::Gaussian] {
            println!("\nlength {n}, batch {batch}, {kernel}");
            compare(sizes, kernel, &pools, &mut peer);
        }
    }
}

fn compare(
    [n, batch]: [usize; 2],
    kernel: Kernel,
    pools: &[ThreadPool; 2],
    peer: &mut Result<Peer, String>,
) {
    let kinds: &[&str] = match kernel {
        Kernel::Softmax => &["sdpa", "none"],
        Kernel::Gaussian => &["dense", "sink"],
    };
    let mut trainer = Trainer::new(kernel, n, batch);
    let mut ours: [Vec<f64>; 3] = Default::default();
    let mut theirs = vec![Vec::new(); kinds.len()];
    for _ in 0..ROUNDS {
        for (times, pool) in ours.iter_mut().zip(pools) {
            times.push(pool.install(|| trainer.time()));
        }
        ours[2].push(pools[1].install(|| attention(&trainer.architecture, n, batch)));
        if let Ok(peer) = peer {
            for (times, kind) in theirs.iter_mut().zip(kinds) {
                times.push(peer.ask(&format!("step {kind} {n} {batch} {SECONDS}"), 2)[0]);
            }
        }
    }
    let [one, all, attention] = ours;
    let all_median = median(all.clone());
    for (name, times) in [
        ("1 thread", &one),
        ("all threads", &all),
        ("  attention", &attention),
    ] {
        println!(
            "  {name:12} {:7.1} ms ({:7.1})",
            1e3 * median(times.clone()),
            1e3 * best(times)
        );
    }
    println!(
        "    the rest   {:7.1} ms ({:7.1})",
        1e3 * (all_median - median(attention.clone())),
        1e3 * (best(&all) - best(&attention))
    );
    for (kind, times) in kinds.iter().zip(&theirs) {
        if !times.is_empty() {
            println!(
                "  torch {kind:6} {:7.1} ms ({:7.1})  {:5.2} times ours",
                1e3 * median(times.clone()),
                1e3 * best(times),
                median(times.clone()) / all_median
            );
        }
    }
    if let Some(peak) = peak_memory() {
        println!("  peak memory so far {peak:.0} MB");
    }
}

/// The classifier, its batch and Adam.
struct Trainer {
    architecture: Architecture,
    classifier: Classifier,
    parameters: Parameters,
    gradient: Parameters,
    optimizer: Optimizer,
    tokens: Vec<u16>,
    labels: Vec<u16>,
    length: usize,
}

impl Trainer {
    fn new(kernel: Kernel, n: usize, batch: usize) -> Self {
        let architecture = Architecture {
            kernel,
            positions: n,
            ..Architecture::default()
        };
        let parameters = Parameters::random(&architecture, 0);
        Trainer {
            classifier: Classifier::new(&architecture).expect("valid sizes"),
            gradient: Parameters::zeros(&architecture),
            optimizer: Optimizer::new(Law::Adam { decay: 0.0 }, &architecture),
            parameters,
            tokens: (0..n * batch).map(|i| (i * i % 256 + 1) as u16).collect(),
            labels: (0..batch).map(|i| (i % 2) as u16).collect(),
            length: n,
            architecture,
        }
    }

    fn step(&mut self) {
        let batch = Batch {
            tokens: &self.tokens,
            labels: &self.labels,
            length: self.length,
        };
        self.classifier
            .differentiate(&self.parameters, &batch, Dropout::NONE, &mut self.gradient)
            .expect("a valid batch");
        self.optimizer
            .update(&mut self.parameters, &self.gradient, 1e-4)
            .expect("the same architecture");
    }

    /// Seconds a step: the median of a few.
    fn time(&mut self) -> f64 {
        self.step();
        median(
            (0..3)
                .map(|_| {
                    let start = Instant::now();
                    self.step();
                    start.elapsed().as_secs_f64()
                })
                .collect(),
        )
    }
}

/// Seconds of a step's attention: the median of a few.
fn attention(architecture: &Architecture, n: usize, batch: usize) -> f64 {
    let Architecture {
        kernel,
        width,
        heads,
        blocks,
        ..
    } = *architecture;
    let rows = n * batch;
    let qkv: Vec<f32> = (0..rows * 3 * width)
        .map(|i| ((i * i) as f32).sin())
        .collect();
    let samples: Vec<Sample> = (0..batch)
        .map(|sample| Sample {
            queries: sample * n..(sample + 1) * n,
            keys: sample * n..(sample + 1) * n,
        })
        .collect();
    let part = |which: usize| Rows {
        values: &qkv[which * width..],
        stride: 3 * width,
    };
    let problem = Attention {
        kernel,
        heads,
        p: width / heads,
        q: part(0),
        k: part(1),
        v: part(2),
        samples: &samples,
        mask: None,
    };
    let (mut out, mut lse) = (vec![0.0; rows * width], vec![0.0; rows * heads]);
    let mut values = vec![0.0; rows * 3 * width];
    let mut once = || {
        let start = Instant::now();
        for _ in 0..blocks {
            forward(&problem, &mut out, &mut lse);
            let saved = Saved {
                out: &out,
                lse: &lse,
            };
            let gradient = Gradient {
                values: &mut values,
                stride: 3 * width,
                q: 0,
                k: width,
                v: 2 * width,
            };
            backward(&problem, saved, &qkv[..rows * width], gradient);
        }
        start.elapsed().as_secs_f64()
    };
    once();
    median((0..3).map(|_| once()).collect())
}

/// The process's largest memory so far, MB, where Linux tells it.
fn peak_memory() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
    let kilobytes: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024.0 / 1e6)
}
