//! What the benchmarks share: the processor's peak, medians, and a peer that answers on a pipe.
//!
//! Each benchmark uses a part of it.
#![allow(dead_code)]

use rayon::ThreadPool;
use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

/// The smallest; infinite if there are none.
pub fn best(x: &[f64]) -> f64 {
    x.iter().copied().fold(f64::INFINITY, f64::min)
}

/// NaN if there are none.
pub fn median(mut x: Vec<f64>) -> f64 {
    x.sort_by(f64::total_cmp);
    x.get(x.len() / 2).copied().unwrap_or(f64::NAN)
}

pub fn processor() -> String {
    std::fs::read_to_string("/proc/cpuinfo")
        .ok()
        .and_then(|info| {
            let line = info.lines().find(|line| line.starts_with("model name"))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        })
        .unwrap_or_else(|| format!("{} processor", std::env::consts::ARCH))
}

/// Prints the multiply-add peak in f64 of every instruction set on the pool; returns the highest, flop/s. In f32 it is twice
/// that.
pub fn print_peaks(pool: &ThreadPool) -> f64 {
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

/// A Python script that answers each line with numbers.
pub struct Peer {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    pub version: String,
}

impl Peer {
    /// Starts benches/peers/`script`, which first says its version; `needs`: what may be missing.
    pub fn start(script: &str, needs: &str) -> Result<Peer, String> {
        let script = format!("{}/benches/peers/{script}", env!("CARGO_MANIFEST_DIR"));
        let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let mut child = Command::new(&python)
            .arg(script)
            // glibc keeps memory instead of giving it back and asking again: large tensors need that.
            .env("MALLOC_MMAP_MAX_", "0")
            .env("MALLOC_TRIM_THRESHOLD_", "1099511627776")
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
                Err(format!("{python} has no {needs}"))
            }
        }
    }

    /// `count` numbers in answer to a line; NaN if the peer fails.
    pub fn ask(&mut self, line: &str, count: usize) -> Vec<f64> {
        let mut answer = String::new();
        if writeln!(self.requests, "{line}").is_ok() {
            let _ = self.answers.read_line(&mut answer);
        }
        let numbers: Vec<_> = answer.split(' ').flat_map(|t| t.trim().parse()).collect();
        if numbers.len() == count {
            numbers
        } else {
            vec![f64::NAN; count]
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
