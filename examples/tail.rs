//! The smallest T at which Theorem A closes with centre M_T on gradient descent from an ordinary initialization
//! (all blocks trained, eta = 0.5 / |J_0|^2), with the closed form h and one radius, and with the sharp bound.
//!
//! `cargo run --release --example tail`

#![allow(non_snake_case)]

use gdcert::bounds::{Curvature, Sharp};
use gdcert::certificate::inputs;
use gdcert::certificate::theorem_a::{Inputs, Region, Step, close};
use gdcert::{Dims, Init, Instance, Kernel, Trained, model};

/// T is looked for on this grid.
const EVERY: usize = 5;

fn main() -> gdcert::Result<()> {
    let trained = Trained::QKV;
    for (kernel, [N, n, D, d, H]) in [
        (Kernel::Softmax, [2, 4, 8, 4, 3]),
        (Kernel::Gaussian, [2, 4, 8, 4, 3]),
        (Kernel::Softmax, [4, 4, 16, 4, 4]),
        (Kernel::Gaussian, [4, 4, 16, 4, 4]),
    ] {
        let dims = Dims {
            N,
            n,
            D,
            d,
            H,
            p: 1,
        };
        let mut found = [Vec::new(), Vec::new()];
        for seed in 0..5 {
            let mut instance = Instance::random(dims, kernel, Init::Lecun, seed)?;
            let eta = 0.5 / inputs(&instance, trained, trained)?.jacobian.powi(2);
            let mut first = [None; 2];
            for t in (0..2000).step_by(EVERY) {
                let centre = inputs(&instance, trained, trained)?;
                let crude = Curvature::new(&instance, trained)?;
                let one_radius = Inputs {
                    resolved: [true, false, false],
                    blocks: [centre.jacobian, 0.0, 0.0],
                    ..centre
                };
                let h = |rho: &[f64; 3]| [[crude.h(rho[0]), 0.0, 0.0], [0.0; 3], [0.0; 3]];
                let sharp = Sharp::new(&instance, trained);
                let closes = [
                    close(Region::Ball, &one_radius, h, Step::Eta(eta), [0.0; 3]).is_ok(),
                    close(
                        Region::Box,
                        &centre,
                        |rho| sharp.H(rho),
                        Step::Eta(eta),
                        [0.0; 3],
                    )
                    .is_ok(),
                ];
                for (first, closes) in first.iter_mut().zip(closes) {
                    if closes {
                        first.get_or_insert(t);
                    }
                }
                if first.iter().all(Option::is_some) {
                    break;
                }
                for _ in 0..EVERY {
                    let g = model::gradient(&instance, instance.W());
                    let mut W = instance.W().clone();
                    for (w, g) in [(&mut W.Q, &g.Q), (&mut W.K, &g.K), (&mut W.V, &g.V)] {
                        for (w, g) in w.iter_mut().zip(g) {
                            *w -= g * eta;
                        }
                    }
                    instance = instance.with_weights(W)?;
                }
            }
            for (found, first) in found.iter_mut().zip(first) {
                found.push(first.map_or("-".to_owned(), |t| t.to_string()));
            }
        }
        println!(
            "{kernel:8} {dims}: closed form T = {}, sharp T = {}",
            found[0].join(" "),
            found[1].join(" ")
        );
    }
    Ok(())
}
