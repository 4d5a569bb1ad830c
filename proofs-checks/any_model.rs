//! The checks of `any-model.md`: no second derivative of a random graph is above the bounds of its ball.

use gdcert::numbers::{Dual, Interval, Scalar};
use gdcert_graph::{Bounds, Builder, Evaluation, Function, Graph};
use proptest::prelude::*;

type Twice = Dual<Dual<f64>>;

/// Numbers to draw from (splitmix64).
struct Draw(u64);

impl Draw {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
    fn below(&mut self, n: usize) -> usize {
        (self.uniform() * n as f64) as usize
    }
    fn numbers(&mut self, n: usize, scale: f64) -> Vec<f64> {
        let normal = |draw: &mut Draw| (0..12).map(|_| draw.uniform()).sum::<f64>() - 6.0;
        (0..n).map(|_| scale * normal(self)).collect()
    }
}

/// A graph of random operations on arrays of one shape.
fn random_graph(draw: &mut Draw) -> gdcert::Result<Graph> {
    let mut b = Builder::new();
    let (n, k) = (1 + draw.below(3), 2 + draw.below(2));
    let shape = [n, k];
    let x = draw.numbers(n * k, 1.0);
    let x = b.constant(&shape, &x)?;
    let mut pool = vec![x];
    let mut count = 0;
    let mut linear = |b: &mut Builder, draw: &mut Draw, x: usize| {
        count += 1;
        let W = draw.numbers(k * k, 0.7);
        let W = b.parameter(&format!("W{count}"), &[k, k], &W)?;
        b.matmul(x, W)
    };
    for i in 0..3 + draw.below(6) {
        let any = |draw: &mut Draw| pool[draw.below(pool.len())];
        let (u, w) = (any(draw), any(draw));
        let made = match if i < 2 { 0 } else { draw.below(10) } {
            0 | 1 => linear(&mut b, draw, u)?,
            2 | 3 => {
                let smooth = [
                    Function::Tanh,
                    Function::Logistic,
                    Function::Erf,
                    Function::Sin,
                    Function::Atan,
                    Function::Softplus,
                    Function::IntegerPow(2),
                    Function::Erfc,
                    Function::Expm1,
                ];
                let small = b.scale(u, 0.4)?;
                b.map(smooth[draw.below(smooth.len())], small)?
            }
            4 => b.mul(u, w)?,
            5 => {
                let square = b.mul(w, w)?;
                let some = b.full(&shape, 1.2)?;
                let w = b.add(square, some)?;
                match draw.below(4) {
                    0 => b.rsqrt(w)?,
                    1 => b.log(w)?,
                    2 => b.map(Function::Pow(-0.7), w)?,
                    _ => b.div(u, w)?,
                }
            }
            6 => b.softmax(u, draw.below(2))?,
            7 => {
                let turned = b.transpose(u, &[1, 0])?;
                let flat = b.reshape(turned, &[n * k])?;
                let flat = b.rev(flat, &[0])?;
                b.reshape(flat, &shape)?
            }
            8 => {
                let axis = draw.below(2);
                let sum = b.reduce_sum(u, &[axis])?;
                let sum = b.scale(sum, 0.5)?;
                b.broadcast_in_dim(sum, &shape, &[1 - axis])?
            }
            _ => {
                let scores = b.dot_general(u, w, [&[1], &[1]], [&[], &[]])?;
                b.matmul(scores, w)?
            }
        };
        pool.push(made);
    }
    let out = pool
        .iter()
        .skip(1)
        .try_fold(pool[1], |sum, node| b.add(sum, *node))?;
    let pairs = b.dot_general(out, pool[pool.len() - 1], [&[1], &[1]], [&[0], &[0]])?;
    b.finish(pairs)
}

/// D^2F[u, w] at M.
fn second(graph: &Graph, M: &[f64], u: &[f64], w: &[f64]) -> f64 {
    let mut at = Evaluation::<Twice>::new(graph);
    for (i, x) in at.parameters_mut().iter_mut().enumerate() {
        *x = Dual {
            re: Dual {
                re: M[i],
                eps: u[i],
            },
            eps: Dual { re: w[i], eps: 0.0 },
        };
    }
    at.forward();
    let squares = at.residual().iter().map(|x| x.eps.eps * x.eps.eps);
    squares.sum::<f64>().sqrt()
}

fn unit(mut v: Vec<f64>) -> Vec<f64> {
    let size = v.iter().map(|x| x * x).sum::<f64>().sqrt();
    v.iter_mut().for_each(|x| *x /= size);
    v
}

/// Theorem 4, Lemmas 1 to 5 and 7: at drawn points of balls, along drawn and single directions.
fn second_derivatives_of(seed: u64) -> Result<(), TestCaseError> {
    let mut draw = Draw(seed);
    let graph = random_graph(&mut draw).unwrap();
    let (start, P) = (graph.start(), graph.P());
    let bounds = Bounds::new(&graph, &start).unwrap();
    let mut last = 0.0;
    for radius in [0.0, 0.01, 0.1, 0.5] {
        let h = bounds.curvature(radius);
        prop_assert!(
            h >= last * (1.0 - 1e-9),
            "h({}) = {} is below {}",
            radius,
            h,
            last
        );
        let by_rules = bounds.curvature_by_rules(radius);
        // Norms of matrices that are not larger entry by entry; a computed norm is up to rounding above the true one.
        prop_assert!(by_rules >= h);
        prop_assert!(bounds.forward_curvature(radius) >= by_rules * (1.0 - 1e-12));
        last = h;
        for _ in 0..8 {
            let single = |draw: &mut Draw| {
                let mut v = vec![0.0; P];
                v[draw.below(P)] = 1.0;
                v
            };
            let direction = |draw: &mut Draw| match draw.below(2) {
                0 => single(draw),
                _ => unit(draw.numbers(P, 1.0)),
            };
            let (u, w) = (direction(&mut draw), direction(&mut draw));
            let by = radius * draw.uniform();
            let step = unit(draw.numbers(P, 1.0));
            let M: Vec<f64> = start.iter().zip(step).map(|(x, s)| x + by * s).collect();
            let found = second(&graph, &M, &u, &w);
            // The derivative in f64 through a few dozen operations.
            prop_assert!(
                found <= h * (1.0 + 1e-10) + 1e-12,
                "radius {}: {} > {}",
                radius,
                found,
                h
            );
        }
    }
    // |J|, sigma_min and |r| at the centre.
    let mut at = Evaluation::<f64>::new(&graph);
    at.forward();
    let size = at.residual().iter().map(|x| x * x).sum::<f64>().sqrt();
    let r: Interval = bounds.residual_norm();
    prop_assert!(r.lo() <= size * (1.0 + 1e-12) && size * (1.0 - 1e-12) <= r.hi());
    prop_assert!(r.value().is_finite());
    let w = unit(draw.numbers(graph.m(), 1.0));
    at.reverse(&w);
    let along = at.gradient().iter().map(|x| x * x).sum::<f64>().sqrt();
    prop_assert!(along <= bounds.jacobian_norm_upper() * (1.0 + 1e-12));
    if let Ok(sigma) = bounds.sigma_min_lower() {
        prop_assert!(sigma <= along * (1.0 + 1e-12));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn second_derivatives_are_below_h(seed in any::<u64>()) {
        second_derivatives_of(seed)?;
    }
}

/// The rules forwards and backwards give the same matrix but for roundings.
#[test]
fn two_bounds_that_are_one_number() {
    second_derivatives_of(8_298_877_732_218_800_929).unwrap();
}
