//! How far exact gradient descent from M_0 can be enclosed, and what that proves: the bound for every t (Theorem 6), or that
//! it is exceeded (Corollary 7). Ordinary, lazy and paired initializations, eta = 0.5 / |J_0|^2.
//!
//! `cargo run --release --example orbit [SEEDS]`

#![allow(non_snake_case)]

use gdcert::bounds::Enclosure;
use gdcert::certificate::Claimed;
use gdcert::orbit::{self, Fate, Orbit, Settings};
use gdcert::spectrum::Reading;
use gdcert::{Dims, Init, Instance, Kernel, Trained, deciding_reading};
use std::time::Instant;

fn main() -> gdcert::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let seeds: u64 = arguments.next().and_then(|s| s.parse().ok()).unwrap_or(5);
    let only = arguments.next();
    type Group = (&'static str, [usize; 5], Trained, Vec<Init>, usize);
    let groups: Vec<Group> = vec![
        (
            "H1",
            [2, 4, 8, 4, 1],
            Trained::QKV,
            vec![Init::Lecun],
            20_000,
        ),
        (
            "H2",
            [2, 4, 8, 4, 2],
            Trained::QKV,
            vec![Init::Lecun],
            20_000,
        ),
        (
            "H3",
            [2, 4, 8, 4, 3],
            Trained::QKV,
            vec![Init::Lecun],
            20_000,
        ),
        (
            "H4",
            [2, 4, 8, 4, 4],
            Trained::QKV,
            vec![Init::Lecun],
            20_000,
        ),
        ("Q2", [2, 4, 8, 4, 2], Trained::Q, vec![Init::Lecun], 2000),
        ("Q3", [2, 4, 8, 4, 3], Trained::Q, vec![Init::Lecun], 2000),
        ("Q4", [2, 4, 8, 4, 4], Trained::Q, vec![Init::Lecun], 2000),
        (
            "lazy",
            [2, 4, 8, 4, 3],
            Trained::QKV,
            scales(|omega| Init::Lazy { omega }),
            20_000,
        ),
        (
            "paired",
            [2, 4, 8, 4, 4],
            Trained::Q,
            scales(|s| Init::Paired { s }),
            20_000,
        ),
        (
            "mid",
            [4, 4, 16, 4, 4],
            Trained::QKV,
            vec![Init::Lecun],
            20_000,
        ),
        (
            "large",
            [4, 8, 16, 8, 8],
            Trained::QKV,
            vec![Init::Lecun],
            20_000,
        ),
        (
            "huge",
            [8, 8, 32, 16, 8],
            Trained::QKV,
            vec![Init::Lecun],
            20_000,
        ),
    ];
    for (name, [N, n, D, d, H], trained, inits, limit) in groups {
        if only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        let dims = Dims {
            N,
            n,
            D,
            d,
            H,
            p: 1,
        };
        for kernel in [Kernel::Softmax, Kernel::Gaussian] {
            let (mut seconds, mut growth) = (Vec::new(), Vec::new());
            let (mut certified, mut refuted, mut open) = (0, 0, 0);
            for &init in &inits {
                for seed in 0..seeds {
                    let instance = Instance::random(dims, kernel, init, seed)?;
                    let clock = Instant::now();
                    let Some(orbit) = enclose(&instance, trained, limit)? else {
                        continue;
                    };
                    let took = clock.elapsed().as_secs_f64();
                    seconds.push(took);
                    growth.push(orbit.log2_growth);
                    let fate = orbit.fate(deciding_reading(trained));
                    match fate {
                        Some(Fate::Certified { .. }) => certified += 1,
                        Some(Fate::Refuted(_)) => refuted += 1,
                        _ => open += 1,
                    }
                    let fates: Vec<_> = orbit
                        .fates
                        .iter()
                        .map(|(r, f)| format!("{r}: {}", short(*f)))
                        .collect();
                    println!(
                        "  {kernel} {init:?} {seed}: {}; to t = {}, F = {}, 2^{:.0}, within {:.1e}, run {:.1e}, {took:.2} s{}",
                        fates.join(", "),
                        orbit.steps,
                        orbit.bits,
                        orbit.log2_growth,
                        orbit.distance,
                        orbit.run_distance,
                        orbit
                            .stopped
                            .map_or(String::new(), |why| format!(" ({why})")),
                    );
                }
            }
            println!(
                "{name} {kernel} {trained} {dims}: {certified} certified, {refuted} refuted, {open} open; log2 G {:.0} ({:.0}), s {:.2} ({:.2})",
                median(&mut growth),
                growth.last().unwrap_or(&0.0),
                median(&mut seconds),
                seconds.last().unwrap_or(&0.0),
            );
        }
    }
    Ok(())
}

/// Every reading that applies, the deciding one first.
fn enclose(instance: &Instance, trained: Trained, limit: usize) -> gdcert::Result<Option<Orbit>> {
    let enclosure = Enclosure::new(instance, trained);
    let eta = 0.5 / enclosure.jacobian_norm_upper().powi(2);
    let deciding = deciding_reading(trained);
    let mut claims = Vec::new();
    for reading in
        std::iter::once(deciding).chain(Reading::ALL.into_iter().filter(|r| *r != deciding))
    {
        let beta = enclosure.beta(reading);
        if reading
            .missing_hypothesis(instance.dims(), trained)
            .is_none()
            && beta.lo() > 0.0
        {
            claims.push(Claimed::reading(reading, beta));
        }
    }
    if claims.is_empty() {
        return Ok(None);
    }
    orbit::enclose(instance, trained, eta, &claims, limit, &Settings::default()).map(Some)
}

fn short(fate: Fate) -> String {
    match fate {
        Fate::Certified { t } => format!("certified from {t}"),
        Fate::Refuted(found) if found.first => format!("refuted first at {}", found.t),
        Fate::Refuted(found) => format!("refuted at {}", found.t),
        Fate::Proven { to } => format!("proven to {to}"),
    }
}

fn scales(init: impl Fn(f64) -> Init) -> Vec<Init> {
    [1.0, 3.0, 10.0, 30.0, 100.0, 300.0]
        .into_iter()
        .map(init)
        .collect()
}

/// Sorts, too.
fn median(x: &mut [f64]) -> f64 {
    x.sort_by(f64::total_cmp);
    x.get(x.len() / 2).copied().unwrap_or(0.0)
}
