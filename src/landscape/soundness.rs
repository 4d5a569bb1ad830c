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

/// A symmetric matrix with the eigenvalues of H, but for 1e-110 of its size: its diagonal, and the squares beside it.
struct Tridiagonal {
    diagonal: Vec<Big>,
    squares: Vec<Big>,
}

/// By Householder's reflections, I - v v' / half with half = |v|^2 / 2, which make column after column short.
#[allow(clippy::needless_range_loop)] // i and j are rows and columns
fn tridiagonal(mut A: Vec<Vec<Big>>) -> Tridiagonal {
    let n = A.len();
    let dot = |a: &[Big], b: &[Big]| {
        let products = a.iter().zip(b).map(|(a, b)| a * b);
        products.fold(big(0.0), |sum, x| sum + x)
    };
    let mut squares = Vec::new();
    for k in 1..n {
        let mut v: Vec<Big> = (k..n).map(|i| A[i][k - 1].clone()).collect();
        let square = dot(&v, &v);
        squares.push(square.clone());
        if dot(&v[1..], &v[1..]) == big(0.0) {
            continue;
        }
        let length = Oracle::new(square).sqrt().get();
        Oracle::clear();
        v[0] = if v[0] < big(0.0) {
            &v[0] - &length
        } else {
            &v[0] + &length
        };
        let half = &dot(&v, &v) / &big(2.0);
        let mut w: Vec<Big> = (k..n).map(|i| &dot(&A[i][k..], &v) / &half).collect();
        let along = &dot(&w, &v) / &(&half * &big(2.0));
        for (w, v) in w.iter_mut().zip(&v) {
            *w = &*w - &(&along * v);
        }
        for i in k..n {
            for j in k..n {
                let change = &(&v[i - k] * &w[j - k]) + &(&w[i - k] * &v[j - k]);
                A[i][j] = &A[i][j] - &change;
            }
        }
    }
    let diagonal = (0..n).map(|i| A[i][i].clone()).collect();
    Tridiagonal { diagonal, squares }
}

/// How many eigenvalues lie below `shift`: the negative pivots of H - shift (Sylvester).
fn below(H: &Tridiagonal, shift: &Big) -> usize {
    let mut negative = 0;
    let mut before: Option<Big> = None;
    for (i, diagonal) in H.diagonal.iter().enumerate() {
        let mut pivot = diagonal - shift;
        if let Some(before) = before {
            pivot = &pivot - &(&H.squares[i - 1] / &before);
        }
        assert!(pivot != big(0.0), "a pivot is 0");
        negative += usize::from(pivot < big(0.0));
        before = Some(pivot);
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
        let H = tridiagonal(H);
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
