//! One exact gradient descent step (all blocks trained, p = 1) beside JAX and NumPy.
//!
//! `cargo bench --bench gd_step`; see benches/README.md.

#![allow(non_snake_case)]

use gdcert::descent::Stepper;
use gdcert::{Dims, Init, Instance, Kernel, Trained};
use rayon::ThreadPool;
use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

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
    let mut peer = Peer::start();
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
                    for (all, time) in times[2..].iter_mut().zip(peer.times(kernel, sizes)) {
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

/// The smallest; infinite if there are none.
fn best(x: &[f64]) -> f64 {
    x.iter().copied().fold(f64::INFINITY, f64::min)
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

/// NaN if there are none.
fn median(mut x: Vec<f64>) -> f64 {
    x.sort_by(f64::total_cmp);
    x.get(x.len() / 2).copied().unwrap_or(f64::NAN)
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

fn processor() -> String {
    std::fs::read_to_string("/proc/cpuinfo")
        .ok()
        .and_then(|info| {
            let line = info.lines().find(|line| line.starts_with("model name"))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        })
        .unwrap_or_else(|| format!("{} processor", std::env::consts::ARCH))
}

/// Prints the multiply-add peak of every instruction set on the pool; returns the highest, flop/s.
fn print_peaks(pool: &ThreadPool) -> f64 {
    let threads = pool.current_num_threads();
    let mut best: f64 = 0.0;
    for (name, chains) in chains() {
        let peak = median(
            (0..15)
                .map(|_| {
                    let start = Instant::now();
                    let flops: Vec<f64> = pool.broadcast(|_| chains(400_000));
                    flops.iter().sum::<f64>() / start.elapsed().as_secs_f64()
                })
                .collect(),
        );
        println!(
            "peak {name:8} {threads} thread(s): {:6.1} Gflop/s",
            peak / 1e9
        );
        best = best.max(peak);
    }
    best
}

/// Chains of multiply-adds in registers, by instruction set: f(rounds) runs them, returns the flops.
type Chains = Vec<(&'static str, fn(usize) -> f64)>;

fn chains() -> Chains {
    let mut all: Chains = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::*;
        macro_rules! chains {
            ($features:literal, $lanes:literal, $splat:ident, $fma:ident) => {{
                #[target_feature(enable = $features)]
                fn run(rounds: usize) -> f64 {
                    let mut x = [$splat(black_box(1.0)); 12];
                    let (a, b) = ($splat(black_box(0.999)), $splat(black_box(1e-3)));
                    for _ in 0..rounds {
                        for x in &mut x {
                            *x = $fma(*x, a, b);
                        }
                    }
                    black_box(x);
                    (rounds * 12 * 2 * $lanes) as f64
                }
                // SAFETY: pushed below only where the features were detected.
                |rounds| unsafe { run(rounds) }
            }};
        }
        if is_x86_feature_detected!("avx512f") {
            all.push((
                "AVX-512",
                chains!("avx512f", 8, _mm512_set1_pd, _mm512_fmadd_pd),
            ));
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            all.push((
                "AVX2",
                chains!("avx2,fma", 4, _mm256_set1_pd, _mm256_fmadd_pd),
            ));
        }
    }
    all.push(("portable", |rounds| {
        let mut x = [black_box(1.0); 16];
        let (a, b) = (black_box(0.999), black_box(1e-3));
        for _ in 0..rounds {
            for x in &mut x {
                *x = if cfg!(any(target_arch = "aarch64", target_feature = "fma")) {
                    f64::mul_add(*x, a, b)
                } else {
                    *x * a + b
                };
            }
        }
        black_box(x);
        (rounds * 16 * 2) as f64
    }));
    all
}

/// benches/peers/gd_step_jax.py, running.
struct Peer {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    version: String,
}

impl Peer {
    fn start() -> Result<Peer, String> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/gd_step_jax.py");
        let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let mut child = Command::new(&python)
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("{python}: {error}"))?;
        let requests = child.stdin.take().expect("piped");
        let mut answers = BufReader::new(child.stdout.take().expect("piped"));
        let mut version = String::new();
        match answers.read_line(&mut version) {
            Ok(length) if length > 0 => Ok(Peer {
                child,
                requests,
                answers,
                version: version.trim().to_owned(),
            }),
            _ => {
                let _ = child.wait();
                Err(format!("{python} has no JAX"))
            }
        }
    }

    /// Seconds a step: JAX as written, reordered, in a loop, NumPy; NaN if the peer fails.
    fn times(&mut self, kernel: Kernel, sizes: [usize; 5]) -> Vec<f64> {
        let sizes = sizes.map(|size| size.to_string()).join(" ");
        let mut answer = String::new();
        let asked = writeln!(self.requests, "{kernel} {sizes} {SECONDS}");
        if asked.is_ok() {
            let _ = self.answers.read_line(&mut answer);
        }
        let times: Vec<_> = answer.split(' ').flat_map(|t| t.trim().parse()).collect();
        if times.len() == 4 {
            times
        } else {
            vec![f64::NAN; 4]
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
