//! Does the bound hold on my data and weights? An instance from matrices, a verdict for every reading of beta.
//!
//! `cargo run --release --example own_instance`

#![allow(non_snake_case)]

use gdcert::{Dims, Instance, Kernel, Settings, Weights, verify};
use nalgebra::DMatrix;

fn main() -> gdcert::Result<()> {
    let dims = Dims {
        N: 2,
        n: 2,
        D: 4,
        d: 2,
        H: 2,
        p: 1,
    };
    // Any numbers will do; these are not random, so that the run is yours to change.
    let matrix = |rows, columns, shift: f64| {
        DMatrix::from_fn(rows, columns, |i, j| {
            (3.7 * i as f64 + 1.3 * j as f64 + shift).sin()
        })
    };
    let samples = |columns, shift: f64| -> Vec<_> {
        let of = |i| matrix(dims.n, columns, shift + 2.9 * i as f64);
        (0..dims.N).map(of).collect()
    };
    let heads = |rows, columns, shift: f64| -> Vec<_> {
        let of = |h| matrix(rows, columns, shift + 5.1 * h as f64);
        (0..dims.H).map(of).collect()
    };
    let weights = Weights {
        Q: heads(dims.D, dims.d, 0.1),
        K: heads(dims.D, dims.d, 0.2),
        V: heads(dims.D, dims.d, 0.3),
        O: heads(dims.d, dims.p, 0.4),
    };
    let instance = Instance::new(
        Kernel::Softmax,
        samples(dims.D, 0.5),
        samples(dims.p, 0.6),
        weights,
    )?;
    let found = verify(&instance, &Settings::default())?;
    for claim in &found.claims {
        println!(
            "{:9} rate {:.3e}  {}: {}",
            claim.name, claim.rate, claim.verdict, claim.reason
        );
    }
    Ok(())
}
