//! Each layer's backward against central differences in f64, and what the layers compute.

use super::linear::Linear;
use super::*;
use crate::classifier::Dropout;
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Numbers between -2 and 2.
fn numbers(seed: u64) -> impl FnMut(usize) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    move |len| {
        let unit = |x: u32| f64::from(x) / 2f64.powi(32);
        (0..len).map(|_| 4.0 * unit(rng.next_u32()) - 2.0).collect()
    }
}

fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

/// Central differences with step 1e-5: truncation and rounding are each below 1e-9 at numbers of order 10.
#[track_caller]
fn check(x: &[f64], gradient: &[f64], loss: impl Fn(&[f64]) -> f64) {
    assert_eq!(x.len(), gradient.len());
    for i in 0..x.len() {
        let at = |step: f64| {
            let mut x = x.to_vec();
            x[i] += step;
            loss(&x)
        };
        let difference = (at(1e-5) - at(-1e-5)) / 2e-5;
        let error = (difference - gradient[i]).abs();
        assert!(error < 1e-7, "{i}: {difference} {}", gradient[i]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    #[test]
    fn linear_backward(rows in 1usize..5, inputs in 1usize..20, outputs in 1usize..20, seed: u64) {
        let mut draw = numbers(seed);
        let parameters = draw((inputs + 1) * outputs);
        let (x, dy) = (draw(rows * inputs), draw(rows * outputs));
        fn layer<P>(parameters: P, inputs: usize, outputs: usize) -> Linear<P> {
            Linear { parameters, inputs, outputs }
        }
        let loss = |parameters: &[f64], x: &[f64]| {
            let mut y = vec![f64::NAN; dy.len()];
            linear::forward(layer(parameters, inputs, outputs), x, &mut y);
            dot(&y, &dy)
        };
        // Gradients are added to what is there.
        let before = draw(parameters.len());
        let mut gradient = before.clone();
        linear::backward_parameters(layer(&mut gradient[..], inputs, outputs), &x, &dy);
        gradient.iter_mut().zip(&before).for_each(|(g, b)| *g -= b);
        let mut dx = vec![f64::NAN; x.len()];
        linear::backward_input(layer(&parameters[..], inputs, outputs), &dy, &mut dx);
        check(&parameters, &gradient, |parameters| loss(parameters, &x));
        check(&x, &dx, |x| loss(&parameters, x));
    }

    #[test]
    fn norm_backward(rows in 1usize..4, width in 2usize..40, seed: u64) {
        let mut draw = numbers(seed);
        let parameters = draw(2 * width);
        let (x, dy) = (draw(rows * width), draw(rows * width));
        let loss = |parameters: &[f64], x: &[f64]| {
            let mut y = vec![f64::NAN; x.len()];
            let mut moments = vec![[f64::NAN; 2]; rows];
            norm::moments(x, width, &mut moments);
            norm::forward(parameters, x, &moments, &mut y);
            dot(&y, &dy)
        };
        let before = draw(x.len());
        let (mut gradient, mut dx) = (vec![0.0; 2 * width], before.clone());
        let mut moments = vec![[f64::NAN; 2]; rows];
        norm::moments(&x, width, &mut moments);
        norm::backward(&parameters, &x, &moments, &dy, &mut gradient, &mut dx);
        dx.iter_mut().zip(&before).for_each(|(d, b)| *d -= b);
        check(&parameters, &gradient, |parameters| loss(parameters, &x));
        // Two equal numbers in a row of two have a large second derivative.
        if width > 4 {
            check(&x, &dx, |x| loss(&parameters, x));
        }
    }

    #[test]
    fn gelu_backward(x in prop::collection::vec(-6.0f64..6.0, 1..40)) {
        let mut dx = vec![1.0; x.len()];
        let (mut y, mut slope) = (vec![f64::NAN; x.len()], vec![f64::NAN; x.len()]);
        gelu::with_slope(&x, &mut y, &mut slope);
        gelu::backward(&slope, &mut dx);
        let mut same = y.clone();
        gelu::forward(&x, &mut same);
        prop_assert_eq!(&same, &y);
        check(&x, &dx, |x| {
            let mut y = vec![f64::NAN; x.len()];
            gelu::forward(x, &mut y);
            y.iter().sum()
        });
    }

    #[test]
    fn embedding_backward(
        rows in prop::collection::vec((0u32..5, 0u32..7), 0..30),
        width in 1usize..70,
        seed: u64,
    ) {
        let mut draw = numbers(seed);
        let tables = [draw(5 * width), draw(7 * width)];
        let dy = draw(rows.len() * width);
        let mut indices = [embedding::Index::default(), embedding::Index::default()];
        indices[0].set(rows.iter().map(|r| r.0), 5);
        indices[1].set(rows.iter().map(|r| r.1), 7);
        let loss = |tables: [&[f64]; 2]| {
            let mut y = vec![f64::NAN; dy.len()];
            embedding::forward(tables, [&indices[0], &indices[1]], 0, width, &mut y);
            dot(&y, &dy)
        };
        for i in 0..2 {
            let mut gradient = vec![f64::NAN; tables[i].len()];
            embedding::backward(&indices[i], width, &dy, &mut gradient);
            check(&tables[i], &gradient, |table| {
                loss(if i == 0 { [table, &tables[1]] } else { [&tables[0], table] })
            });
        }
    }

    #[test]
    fn pooling_backward(rows in 1usize..6, width in 1usize..70, seed: u64) {
        let mut draw = numbers(seed);
        let (x, dy) = (draw(rows * width), draw(width));
        let mut dx = vec![f64::NAN; x.len()];
        for dx in dx.chunks_mut(width) {
            pooling::backward(&dy, 0.125, dx);
        }
        check(&x, &dx, |x| {
            let mut y = vec![f64::NAN; width];
            pooling::forward(x, 0.125, &mut y);
            dot(&y, &dy)
        });
    }

    #[test]
    fn loss_backward(logits in prop::collection::vec(-5.0f64..5.0, 1..8), label: prop::sample::Index) {
        let label = label.index(logits.len());
        let mut dx = vec![f64::NAN; logits.len()];
        loss::cross_entropy(&logits, label, 0.25, &mut dx);
        check(&logits, &dx, |x| {
            0.25 * loss::cross_entropy(x, label, 0.25, &mut vec![0.0; x.len()])
        });
    }

    #[test]
    fn sums_of_many_rows(rows in 0usize..700, width in 1usize..130) {
        let x: Vec<f64> = (0..rows * width).map(|i| i as f64).collect();
        let mut sum = vec![1.0; width];
        add_rows(0..rows, &x, &mut sum);
        for (i, sum) in sum.iter().enumerate() {
            let exact: usize = (0..rows).map(|row| row * width + i).sum();
            prop_assert_eq!(*sum, 1.0 + exact as f64);
        }
    }
}

#[test]
fn huge_logits_have_a_finite_loss() {
    let mut dx = [0.0f32; 3];
    let loss = loss::cross_entropy(&[1e30, -1e30, 0.0], 0, 1.0, &mut dx);
    assert_eq!((loss, dx), (0.0, [0.0; 3]));
    let loss = loss::cross_entropy(&[1000.0f32, 0.0, 0.0], 1, 1.0, &mut dx);
    assert_eq!((loss, dx), (1000.0, [1.0, -1.0, 0.0]));
}

/// Dropped entries are as many as the rate says and the others keep the mean; another seed or place
/// drops others, the same ones again drop the same.
#[test]
fn dropout_is_fair() {
    let (rows, width) = (1000, 64);
    let run = |seed, place, row| {
        let mut x = vec![1.0f32; rows * width];
        let dropout = Dropout { rate: 0.1, seed };
        dropout.at(place).apply(row, width, &mut x);
        x
    };
    let x = run(1, 0, 0);
    let count = x.len() as f64;
    let five_sigma = 5.0 * (0.09 * count).sqrt();
    let dropped = |x: &[f32]| x.iter().filter(|&&x| x == 0.0).count() as f64;
    assert!((dropped(&x) - 0.1 * count).abs() < five_sigma);
    assert!(x.iter().all(|&x| x == 0.0 || (x - 1.0 / 0.9).abs() < 1e-6));
    // Each column on its own as well, and neighbours in a row and in a column are independent.
    for column in 0..width {
        let column: Vec<_> = x.iter().skip(column).step_by(width).copied().collect();
        assert!((dropped(&column) - 100.0).abs() < 5.0 * 90f64.sqrt());
    }
    for distance in [1, 2, 16, width] {
        let both = x
            .iter()
            .zip(&x[distance..])
            .filter(|(a, b)| **a == 0.0 && **b == 0.0);
        assert!((both.count() as f64 - 0.01 * count).abs() < 5.0 * (0.0099 * count).sqrt());
    }
    assert_eq!(x, run(1, 0, 0));
    assert_eq!(x[width..], run(1, 0, 1)[..(rows - 1) * width]);
    for other in [run(2, 0, 0), run(1, 1, 0)] {
        let both = x
            .iter()
            .zip(&other)
            .filter(|(a, b)| **a == 0.0 && **b == 0.0);
        assert!((both.count() as f64 - 0.01 * count).abs() < 5.0 * (0.0099 * count).sqrt());
    }
    let mut x = vec![1.0f32; 8];
    Dropout::NONE.at(0).apply(0, 8, &mut x);
    assert_eq!(x, [1.0; 8]);
}
