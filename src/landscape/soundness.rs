//! Eigenvalues of Hessians as `gdcert landscape` states them, against 400-bit arithmetic.

use super::*;
use crate::model::Kernel;
use crate::{Dims, Init, Instance, Trained};
use gdcert_numbers::oracle::{Big, Oracle, big};
use nalgebra::DMatrix;
use std::ops::{ControlFlow, Range};
use std::path::Path;

/// What `gdcert landscape` finds, in every space.
fn spectra(instance: &Instance, steps: usize) -> Option<Vec<Spectrum>> {
    let header = Header {
        task: "instance".to_owned(),
        kernel: instance.kernel(),
        centre: Source {
            name: String::new(),
            sha256: String::new(),
            step: None,
        },
        batch: None,
        precision: "f64".to_owned(),
        directions: Choice::Random,
        direction_seeds: vec![0, 3],
        grid: Grid::new(1, 1.0).unwrap(),
        lanczos_steps: steps,
        path: Vec::new(),
    };
    let weights = instance_weights(instance.W());
    let blocks = instance_blocks(instance.dims(), Trained::QKV);
    let mut workers = [InstanceLoss::new(instance), InstanceLoss::new(instance)];
    let mut on = |_| ControlFlow::Continue(());
    let directions = aim(&header, &weights, &blocks, &mut workers[0], &mut on).ok()?;
    let folder = tempfile::tempdir().unwrap();
    let found = run(
        Run {
            header: &header,
            weights: &weights,
            blocks: &blocks,
            directions: &directions,
            path: &[],
            workers: &mut workers,
            folder: folder.path(),
            resume: false,
        },
        &mut on,
    );
    Some(found.ok()?.spectra)
}

/// The Hessian's block to 400 bits.
fn exact(instance: &Instance, ranges: &[Range<usize>]) -> Vec<Vec<Big>> {
    let weights = instance_weights(instance.W());
    let space = Restricted::to(ranges);
    let mut loss = InstanceLoss::new(instance);
    let column = |j: usize| {
        let mut unit = vec![0.0; space.dimension()];
        unit[j] = 1.0;
        let v = space.scatter(&unit, weights.len());
        let product: Vec<Oracle> = loss.differentiated(&weights, &v).unwrap();
        let parts = ranges.iter().flat_map(|range| &product[range.clone()]);
        let column: Vec<Big> = parts.map(|h| h.get()).collect();
        Oracle::clear();
        column
    };
    (0..space.dimension()).map(column).collect()
}

/// How many eigenvalues lie below `shift`: the negative pivots of H - shift (Sylvester).
#[allow(clippy::needless_range_loop)] // i and j are rows and columns
fn below(H: &[Vec<Big>], shift: &Big) -> usize {
    let mut A = H.to_vec();
    let n = A.len();
    for (i, row) in A.iter_mut().enumerate() {
        row[i] = &row[i] - shift;
    }
    let mut negative = 0;
    for k in 0..n {
        let pivot = A[k][k].clone();
        assert!(pivot != big(0.0), "a pivot is 0");
        negative += usize::from(pivot < big(0.0));
        for i in k + 1..n {
            let factor = &A[i][k] / &pivot;
            for j in k + 1..=i {
                let term = &factor * &A[j][k];
                A[i][j] = &A[i][j] - &term;
            }
        }
    }
    negative
}

/// Every stated interval holds an eigenvalue; of the whole matrix the i-th one the i-th. Gives how many are known
/// better than to their own size.
fn check(instance: &Instance, what: &str) -> usize {
    let Some(found) = spectra(instance, 10) else {
        panic!("{what}: nothing was found");
    };
    let blocks = instance_blocks(instance.dims(), Trained::QKV);
    let mut known = 0;
    for (name, ranges) in [
        ("W_Q", &blocks.query),
        ("W_K", &blocks.key),
        ("all", &blocks.all),
    ] {
        let H = exact(instance, ranges);
        let entries = H.iter().flatten().map(|h| h.to_f64().value().abs());
        // Ends are moved by this, so that no pivot is exactly 0; far below what an error can be.
        let slack = &big(entries.fold(1e-300, f64::max)) * &big(1e-60);
        for spectrum in found.iter().filter(|s| s.space == name) {
            for (i, node) in spectrum.nodes.iter().enumerate() {
                assert!(
                    node.eigenvalue.is_finite() && node.error >= 0.0,
                    "{what} {node:?}"
                );
                if node.error.is_infinite() {
                    continue;
                }
                known += usize::from(node.error < node.eigenvalue.abs());
                let (value, error) = (big(node.eigenvalue), &big(node.error) + &slack);
                let low = below(&H, &(&value - &error));
                let high = below(&H, &(&value + &error));
                assert!(
                    low < high,
                    "{what} {name} {:?}: {node:?} holds none",
                    spectrum.seed
                );
                if spectrum.seed.is_none() {
                    assert!(low <= i && i < high, "{what} {name}: {i} of {node:?}");
                }
            }
        }
    }
    known
}

/// At sizes from 1e-200 to 1e150, with heads of very different sizes, both kernels.
#[test]
fn every_stated_interval_holds_an_eigenvalue() {
    let dims = Dims {
        N: 1,
        n: 3,
        D: 2,
        d: 2,
        H: 2,
        p: 1,
    };
    // Powers of ten of X, W_Q, W_K, W_V, W_O, y, and of what the second head is multiplied with.
    let sizes = [
        [0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, -160],
        [0, 0, 0, 0, 0, 0, -60],
        [-80, 0, 0, 0, 0, -80, 0],
        [0, 0, 0, -170, 0, -20, -8],
        [0, -200, -200, 0, 0, 0, 0],
        [0, 0, 0, 0, 70, 70, -3],
        [0, 0, 0, -150, 150, 0, 0],
        [1, 0, 0, 0, 0, 1, -30],
        [-150, 150, 150, 75, 75, 0, 0],
        [0, 0, 0, -100, -100, -7, 0],
    ];
    for kernel in [Kernel::Softmax, Kernel::Gaussian] {
        for (seed, size) in sizes.into_iter().enumerate() {
            let drawn = Instance::random(dims, kernel, Init::Lecun, seed as u64).unwrap();
            let ten = |power: i32| 10f64.powi(power);
            let scaled = |matrices: &[DMatrix<f64>], power: i32| -> Vec<DMatrix<f64>> {
                matrices.iter().map(|m| m * ten(power)).collect()
            };
            let mut W = drawn.W().clone();
            for (block, power) in [&mut W.Q, &mut W.K, &mut W.V, &mut W.O]
                .into_iter()
                .zip(&size[1..])
            {
                *block = scaled(block, *power);
                block[1] *= ten(size[6]);
            }
            let X = scaled(drawn.X(), size[0]);
            let y = scaled(drawn.y(), size[5]);
            let instance = Instance::new(kernel, X, y, W).unwrap();
            let known = check(&instance, &format!("{kernel} {size:?}"));
            println!("{kernel} {size:?}: {known} known");
            if seed < 4 {
                assert!(known > 0, "{kernel} {size:?}: nothing is known");
            }
        }
    }
}

#[test]
fn intervals_of_inputs_that_were_wrong_hold_an_eigenvalue() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/inputs");
    for (name, kernel) in [
        ("08-lanczos-stated-error.safetensors", Kernel::Gaussian),
        ("06-small-loss-landscape.safetensors", Kernel::Softmax),
    ] {
        let file = folder.join(name);
        if !file.exists() {
            eprintln!("skipped: no {}", file.display());
            continue;
        }
        let instance = Instance::read(&file, Some(kernel)).unwrap();
        assert!(check(&instance, name) > 0, "{name}: nothing is known");
    }
}
