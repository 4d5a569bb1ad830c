//! The rules against derivatives, and h against the largest second derivative that a search finds.

use super::centre::Rowwise;
use super::forward::State;
use super::lattice::Lattice;
use super::*;
use crate::Builder;
use gdcert_numbers::Dual;

type Twice = Dual<Dual<f64>>;

/// Numbers to draw from: SplitMix64.
pub(super) struct Draw(u64);

impl Draw {
    pub(super) fn new(seed: u64) -> Draw {
        Draw(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
    pub(super) fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }
    pub(super) fn below(&mut self, n: usize) -> usize {
        (self.bits() % n as u64) as usize
    }
    pub(super) fn normal(&mut self) -> f64 {
        let r = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        r * (std::f64::consts::TAU * self.uniform()).cos()
    }
    pub(super) fn normals(&mut self, n: usize, scale: f64) -> Vec<f64> {
        (0..n).map(|_| scale * self.normal()).collect()
    }
}

/// A model under construction, with random arrays.
pub(super) struct Make {
    pub(super) of: Builder,
    pub(super) draw: Draw,
}

type Made = Result<usize>;

impl Make {
    pub(super) fn new(seed: u64) -> Make {
        Make {
            of: Builder::new(),
            draw: Draw::new(seed),
        }
    }
    fn weight(&mut self, name: &str, shape: &[usize], fan: usize) -> Made {
        let n = shape.iter().product();
        let values = self.draw.normals(n, 1.0 / (fan as f64).sqrt());
        self.of.parameter(name, shape, &values)
    }
    fn data(&mut self, shape: &[usize]) -> Made {
        let values = self.draw.normals(shape.iter().product(), 1.0);
        self.of.constant(shape, &values)
    }
    fn linear(&mut self, x: usize, name: &str, from: usize, to: usize, bias: bool) -> Made {
        let w = self.weight(&format!("{name}.W"), &[from, to], from)?;
        let rank = self.of.shape(x).len();
        let y = self.of.dot_general(x, w, [&[rank - 1], &[0]], [&[], &[]])?;
        if !bias {
            return Ok(y);
        }
        let b = self.weight(&format!("{name}.b"), &[to], from)?;
        let shape = self.of.shape(y).to_vec();
        let b = self.of.broadcast_in_dim(b, &shape, &[rank - 1])?;
        self.of.add(y, b)
    }
    /// Less labels, as a vector.
    fn end(mut self, out: usize) -> Result<Graph> {
        let n = self.of.shape(out).iter().product();
        let out = self.of.reshape(out, &[n])?;
        let y = self.data(&[n])?;
        let r = self.of.sub(out, y)?;
        self.of.finish(r)
    }
    fn layer_norm(&mut self, x: usize, name: &str) -> Made {
        let shape = self.of.shape(x).to_vec();
        let rank = shape.len();
        let kept: Vec<usize> = (0..rank - 1).collect();
        let mean = |make: &mut Make, x: usize| -> Made {
            let sum = make.of.reduce_sum(x, &[rank - 1])?;
            make.of.scale(sum, 1.0 / shape[rank - 1] as f64)
        };
        let m = mean(self, x)?;
        let m = self.of.broadcast_in_dim(m, &shape, &kept)?;
        let c = self.of.sub(x, m)?;
        let square = self.of.mul(c, c)?;
        let v = mean(self, square)?;
        let some = self.of.full(&shape[..rank - 1], 1e-5)?;
        let v = self.of.add(v, some)?;
        let s = self.of.rsqrt(v)?;
        let s = self.of.broadcast_in_dim(s, &shape, &kept)?;
        let y = self.of.mul(c, s)?;
        let gain = self.of.parameter(
            &format!("{name}.gain"),
            &[shape[rank - 1]],
            &vec![1.0; shape[rank - 1]],
        )?;
        let gain = self.of.broadcast_in_dim(gain, &shape, &[rank - 1])?;
        self.of.mul(y, gain)
    }
    /// Attention over x [N, n, D]: [N, n, H d], of softmax or logistic weights.
    fn attention(&mut self, x: usize, [D, d, H]: [usize; 3], softmax: bool) -> Made {
        let shape = self.of.shape(x).to_vec();
        let (N, n) = (shape[0], shape[1]);
        let mut heads = Vec::new();
        for name in ["Q", "K", "V"] {
            let w = self.weight(&format!("W_{name}"), &[H, D, d], D)?;
            // [N, n, H, d]
            heads.push(self.of.dot_general(x, w, [&[2], &[1]], [&[], &[]])?);
        }
        // [N, H, n, n]
        let scores = self
            .of
            .dot_general(heads[0], heads[1], [&[3], &[3]], [&[0, 2], &[0, 2]])?;
        let scores = self.of.scale(scores, 1.0 / (d as f64).sqrt())?;
        let p = if softmax {
            self.of.softmax(scores, 3)?
        } else {
            self.of.logistic(scores)?
        };
        // [N, H, n, d]
        let out = self
            .of
            .dot_general(p, heads[2], [&[3], &[1]], [&[0, 1], &[0, 2]])?;
        let out = self.of.transpose(out, &[0, 2, 1, 3])?;
        self.of.reshape(out, &[N, n, H * d])
    }
    fn gelu(&mut self, x: usize) -> Made {
        let shape = self.of.shape(x).to_vec();
        let z = self.of.scale(x, 0.5f64.sqrt())?;
        let e = self.of.erf(z)?;
        let one = self.of.full(&shape, 1.0)?;
        let e = self.of.add(e, one)?;
        let y = self.of.mul(x, e)?;
        self.of.scale(y, 0.5)
    }
}

pub(super) const GALLERY: [&str; 12] = [
    "factorisation",
    "tanh16",
    "tanh64",
    "tanh16x2",
    "tanh16x3",
    "sigmoid",
    "softmax",
    "softmax_o",
    "layer_norm",
    "block",
    "block_ln",
    "kernels",
];

pub(super) fn gallery(name: &str, seed: u64) -> Result<Graph> {
    let mut make = Make::new(seed);
    let tanh_net = |mut make: Make, width: usize, layers: usize| {
        let mut x = make.data(&[6, 4])?;
        let mut from = 4;
        for layer in 0..layers {
            x = make.linear(x, &format!("l{layer}"), from, width, true)?;
            x = make.of.tanh(x)?;
            from = width;
        }
        let out = make.linear(x, "out", from, 1, false)?;
        make.end(out)
    };
    match name {
        "factorisation" => {
            let u = make.weight("U", &[4, 4], 4)?;
            let v = make.weight("V", &[4, 4], 4)?;
            let uv = make.of.matmul(u, v)?;
            make.end(uv)
        }
        "tanh16" => tanh_net(make, 16, 1),
        "tanh64" => tanh_net(make, 64, 1),
        "tanh16x2" => tanh_net(make, 16, 2),
        "tanh16x3" => tanh_net(make, 16, 3),
        "sigmoid" | "softmax" | "softmax_o" => {
            let x = make.data(&[2, 4, 8])?;
            let out = make.attention(x, [8, 4, 3], name != "sigmoid")?;
            let readout = if name == "softmax_o" {
                make.weight("W_O", &[12, 1], 12)?
            } else {
                make.data(&[12, 1])?
            };
            let out = make
                .of
                .dot_general(out, readout, [&[2], &[0]], [&[], &[]])?;
            make.end(out)
        }
        "layer_norm" => {
            let x = make.data(&[6, 4])?;
            let x = make.linear(x, "l0", 4, 16, true)?;
            let x = make.layer_norm(x, "ln")?;
            let x = make.of.tanh(x)?;
            let out = make.linear(x, "out", 16, 1, false)?;
            make.end(out)
        }
        "wide" => {
            let x = make.data(&[32, 40])?;
            let x = make.linear(x, "a", 40, 64, true)?;
            let x = make.of.tanh(x)?;
            let x = make.linear(x, "b", 64, 6, true)?;
            let x = make.of.tanh(x)?;
            let out = make.linear(x, "out", 6, 1, false)?;
            make.end(out)
        }
        "block" | "block_ln" | "large_block" => {
            let large = name == "large_block";
            let [N, D, d, H] = if large { [8, 16, 8, 4] } else { [2, 8, 4, 2] };
            let x = make.data(&[N, 4, D])?;
            let a = make.attention(x, [D, d, H], true)?;
            let a = make.linear(a, "O", H * d, D, false)?;
            let mut y = make.of.add(x, a)?;
            if name == "block_ln" {
                y = make.layer_norm(y, "ln")?;
            }
            let f = make.linear(y, "up", D, 2 * D, false)?;
            let f = make.gelu(f)?;
            let f = make.linear(f, "down", 2 * D, D, false)?;
            let y = make.of.add(y, f)?;
            let out = make.linear(y, "out", D, 1, false)?;
            make.end(out)
        }
        _ => {
            // Every function, a quotient, moved entries, a maximum.
            let x = make.data(&[3, 4])?;
            let u = make.linear(x, "a", 4, 6, true)?;
            let w = make.linear(x, "b", 4, 6, true)?;
            let e = make.of.exp(u)?;
            let one = make.of.full(&[3, 6], 1.5)?;
            let p = make.of.mul(w, w)?;
            let p = make.of.add(p, one)?;
            let l = make.of.log(p)?;
            let s = make.of.sqrt(p)?;
            let q = make.of.div(e, p)?;
            let t = make.of.rsqrt(p)?;
            let sin = make.of.sin(u)?;
            let cos = make.of.cos(w)?;
            let soft = make.of.softplus(u)?;
            let erf = make.of.erf(w)?;
            let cube = make.of.map(crate::Function::IntegerPow(3), sin)?;
            let real = make.of.map(crate::Function::Pow(-1.3), p)?;
            let all = make
                .of
                .concatenate(&[l, s, q, t, cube, cos, soft, erf, real], 1)?;
            let all = make.of.slice(all, &[0, 1], &[3, 54], &[1, 2])?;
            let all = make.of.rev(all, &[1])?;
            let ten = make.of.full(&[3, 27], 10.0)?;
            let high = make.of.add(all, ten)?;
            let high = make.of.maximum(high, all)?;
            let abs = make.of.map(crate::Function::Abs, high)?;
            let z = make.of.reduce_sum(abs, &[0])?;
            let z = make.of.scale(z, 0.05)?;
            let z = make.of.softmax(z, 0)?;
            let z = make.of.pad(z, &[1], &[2], 0.5)?;
            let z = make
                .of
                .gather(z, &[2, 5], &[1, 4, 5, 7, 9, 1, 2, 29, 3, 4])?;
            make.end(z)
        }
    }
}

/// A point of the ball.
fn drawn(draw: &mut Draw, centre: &[f64], radius: f64) -> Vec<f64> {
    let step = draw.normals(centre.len(), 1.0);
    let size = step.iter().map(|x| x * x).sum::<f64>().sqrt();
    let by = radius * draw.uniform().powf(0.2) / size;
    centre.iter().zip(step).map(|(c, s)| c + by * s).collect()
}

/// D_v J at M.
fn along(at: &mut Evaluation<Dual<f64>>, m: usize, M: &[f64], v: &[f64]) -> DMatrix<f64> {
    for ((x, M), v) in at.parameters_mut().iter_mut().zip(M).zip(v) {
        *x = Dual { re: *M, eps: *v };
    }
    at.forward();
    let rows = at.jacobian();
    DMatrix::from_fn(m, M.len(), |a, j| rows[a * M.len() + j].eps)
}

/// The largest |D^2F[delta, epsilon]| that is found at M, less that at another point: each direction in turn is the best for
/// the other.
fn search(graph: &Graph, M: &[f64], less: Option<&[f64]>, draw: &mut Draw, restarts: usize) -> f64 {
    let (m, P) = (graph.m(), graph.P());
    let mut at = Evaluation::<Dual<f64>>::new(graph);
    let mut best = 0.0f64;
    for _ in 0..restarts {
        let mut v = draw.normals(P, 1.0);
        for _ in 0..10 {
            let size = v.iter().map(|x| x * x).sum::<f64>().sqrt();
            v.iter_mut().for_each(|x| *x /= size);
            let mut rows = along(&mut at, m, M, &v);
            if let Some(less) = less {
                rows -= along(&mut at, m, less, &v);
            }
            let svd = (&rows * rows.transpose()).symmetric_eigen();
            let top = svd.eigenvalues.imax();
            best = best.max(svd.eigenvalues[top].max(0.0).sqrt());
            v = (rows.transpose() * svd.eigenvectors.column(top))
                .iter()
                .copied()
                .collect();
            if v.iter().all(|x| *x == 0.0) {
                break;
            }
        }
    }
    best
}

/// The largest |D^2F[delta, epsilon]| that is found at M.
pub(super) fn adversary(graph: &Graph, M: &[f64], draw: &mut Draw, restarts: usize) -> f64 {
    search(graph, M, None, draw, restarts)
}

/// How far the sums move in a ball.
fn moves(bounds: &Bounds, radius: f64) -> f64 {
    let Ok((_, states)) = bounds.forward_matrix(radius) else {
        return f64::INFINITY;
    };
    let ball = Ball {
        states: &states,
        radius,
        moving: true,
    };
    let (rules, subsets) = (&bounds.rules, &bounds.subsets);
    let adjoints = bounds.adjoints.as_ref().unwrap();
    let sums = reverse(bounds.graph, rules, subsets, &bounds.centre, adjoints, ball);
    norm_of_nonnegative(&sums.moves.unwrap())
}

/// Lemma 7: the second derivatives of no point of a ball differ by more from those of its centre than the sums move by.
#[test]
fn second_derivatives_move_no_further_than_the_sums() {
    for name in GALLERY {
        let graph = gallery(name, 2).unwrap();
        let start = graph.start();
        let mut draw = Draw::new(9);
        let bounds = Bounds::new(&graph, &start).unwrap();
        let mut line = String::new();
        for radius in [1e-4, 0.003, 0.03] {
            if bounds.forward_matrix(radius).is_err() {
                continue;
            }
            let most = moves(&bounds, radius);
            let mut found = 0.0f64;
            for i in 0..12 {
                let mut M = drawn(&mut draw, &start, radius);
                if i > 1 {
                    // One coordinate moves more than most directions.
                    M = start.clone();
                    M[draw.below(start.len())] += 0.999 * radius;
                }
                found = found.max(search(&graph, &M, Some(&start), &mut draw, 1));
            }
            assert!(
                found <= most * (1.0 + 1e-9) + 1e-12,
                "{name} {radius}: {found} > {most}"
            );
            line += &format!(" {:9.1}", most / found);
        }
        println!("{name:14} moves / what is found to move: {line}");
    }
}

/// Models of one rule each, where the sums move little further than the second derivatives do: each factor of a product counts.
#[test]
fn each_factor_moves_the_sums() {
    type Model = fn(&mut Builder, [usize; 2]) -> Result<usize>;
    let models: [(&str, Model); 6] = [
        ("map", |b, [u, _]| b.map(crate::Function::Exp, u)),
        ("map of map", |b, [u, _]| {
            let u = b.tanh(u)?;
            b.sin(u)
        }),
        ("mul", |b, [u, w]| {
            let u = b.mul(u, u)?;
            b.mul(u, w)
        }),
        ("div", |b, [u, w]| {
            let w = b.exp(w)?;
            b.div(u, w)
        }),
        ("dot", |b, [u, w]| {
            let (u, w) = (b.exp(u)?, b.reshape(w, &[2, 2])?);
            let u = b.reshape(u, &[2, 2])?;
            let product = b.matmul(u, w)?;
            b.reshape(product, &[4])
        }),
        ("softmax", |b, [u, w]| {
            let p = b.softmax(u, 0)?;
            b.mul(p, w)
        }),
    ];
    for (name, model) in models {
        let mut make = Make::new(4);
        let size = if name == "dot" || name == "softmax" {
            4
        } else {
            1
        };
        let [u, w] = ["u", "w"].map(|name| make.weight(name, &[size], 1).unwrap());
        let out = model(&mut make.of, [u, w]).unwrap();
        let graph = make.of.finish(out).unwrap();
        let start = graph.start();
        let bounds = Bounds::new(&graph, &start).unwrap();
        let radius = 1e-3;
        let most = moves(&bounds, radius);
        let mut found = 0.0f64;
        for _ in 0..200 {
            let M = drawn(&mut make.draw, &start, radius);
            found = found.max(search(&graph, &M, Some(&start), &mut make.draw, 1));
        }
        println!(
            "{name:12} moves / what is found to move: {:.2}",
            most / found
        );
        assert!(found <= most * (1.0 + 1e-9), "{name}: {found} > {most}");
        assert!(most <= 20.0 * found, "{name}: {most}, {found}");
    }
}

/// First and second derivatives of every node along two directions at M.
fn second(graph: &Graph, M: &[f64], u: &[f64], w: &[f64]) -> Evaluation<Twice> {
    let there = graph.with_start(M).unwrap();
    let mut at = Evaluation::<Twice>::new(&there);
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
    at
}

/// Every rule at a drawn point, for directions in two blocks. Gives the largest ratios of d, H, K.
fn largest_ratios(bounds: &Bounds, states: &[State], M: &[f64], draw: &mut Draw) -> [f64; 3] {
    let graph = bounds.graph;
    let blocks = graph.blocks().len();
    let mut starts = vec![0];
    for block in graph.blocks() {
        starts.push(starts[starts.len() - 1] + block.start.values.len());
    }
    let mut direction = |b: usize| {
        let size = starts[b + 1] - starts[b];
        let mut v = vec![0.0; graph.P()];
        if draw.below(2) == 0 {
            v[starts[b] + draw.below(size)] = 1.0;
        } else {
            let step = draw.normals(size, 1.0);
            let norm = step.iter().map(|x| x * x).sum::<f64>().sqrt();
            step.iter()
                .enumerate()
                .for_each(|(i, x)| v[starts[b] + i] = x / norm);
        }
        v
    };
    let (b, c) = {
        let mut other = Draw::new(M[0].to_bits());
        (other.below(blocks), other.below(blocks))
    };
    let (u, w) = (direction(b), direction(c));
    let at = second(graph, M, &u, &w);
    let mut ratios = [0.0f64; 3];
    for (node, state) in states.iter().enumerate() {
        let of = &bounds.subsets[node];
        let values = at.value(node);
        for (e, x) in values.iter().enumerate() {
            let range = state.range[e];
            assert!(
                range.lo() <= x.re.re + 1e-13 * x.re.re.abs().max(1.0)
                    && range.hi() >= x.re.re - 1e-13 * x.re.re.abs().max(1.0),
                "{} entry {e}: {} is not in {range:?}",
                graph.describe(node),
                x.re.re
            );
        }
        let zero = Lattice::constant(of, 0.0);
        let d = state.d[b].as_ref().unwrap_or(&zero);
        let H = state.H.get(b, c).unwrap_or(&zero);
        let K = state.K.get(b, c).unwrap_or(&zero);
        for mask in 0..=of.full() {
            let count = of.first[mask].len();
            let mut sums = vec![[0.0f64; 3]; count];
            for (x, s) in values.iter().zip(&of.index[mask]) {
                let sum = &mut sums[*s as usize];
                sum[0] += x.re.eps * x.re.eps;
                sum[1] += x.eps.eps * x.eps.eps;
                sum[2] += x.eps.eps.abs();
            }
            for (s, [first, second, absolute]) in sums.into_iter().enumerate() {
                let found = [
                    (first.sqrt(), d.at[mask][s]),
                    (second.sqrt(), H.at[mask][s]),
                    (absolute, K.at[mask][s]),
                ];
                for (i, (x, bound)) in found.into_iter().enumerate() {
                    // Derivatives in f64 through some dozen nodes: 1e-11 of them, and of the values.
                    assert!(
                        x <= bound * (1.0 + 1e-11) + 1e-12,
                        "{} S = {mask:b} s = {s} blocks {b} {c} number {i}: {x} > {bound}",
                        graph.describe(node)
                    );
                    if bound > 1e-9 {
                        ratios[i] = ratios[i].max(x / bound);
                    }
                }
            }
        }
    }
    ratios
}

#[test]
fn rules_hold_for_every_node_and_subset() {
    for name in GALLERY {
        let graph = gallery(name, 3).unwrap();
        let bounds = Bounds::new(&graph, &graph.start()).unwrap();
        let mut draw = Draw::new(7);
        let mut ratios = [0.0f64; 3];
        for radius in [0.0, 0.003, 0.03] {
            let Ok((_, states)) = bounds.forward_matrix(radius) else {
                continue;
            };
            for _ in 0..20 {
                let M = drawn(&mut draw, &graph.start(), radius);
                let found = largest_ratios(&bounds, &states, &M, &mut draw);
                for (ratio, x) in ratios.iter_mut().zip(found) {
                    *ratio = ratio.max(x);
                }
            }
        }
        println!("{name}: largest d, H, K / bounds {ratios:.3?}");
    }
}

#[test]
fn h_is_above_what_a_search_finds() {
    println!(
        "{:14} {:>5} {:>9} {:>8} {:>8}",
        "model", "P", "adversary", "forward", "h"
    );
    for name in GALLERY {
        for seed in 0..2 {
            let graph = gallery(name, seed).unwrap();
            let start = graph.start();
            let mut draw = Draw::new(seed);
            let clock = std::time::Instant::now();
            let bounds = Bounds::new(&graph, &start).unwrap();
            let made = clock.elapsed();
            let found = adversary(&graph, &start, &mut draw, 4);
            let clock = std::time::Instant::now();
            let (plain, h) = (bounds.forward_curvature(0.0), bounds.curvature(0.0));
            let took = clock.elapsed() / 2;
            assert!(h >= found * (1.0 - 1e-10), "{name} {seed}: {h} < {found}");
            // But for the rounding of two norms.
            assert!(plain >= h * (1.0 - 1e-12), "{name}");
            let mut line = format!(
                "{name:14} {:5} {found:9.3} {:8.2} {:8.2} |",
                graph.P(),
                plain / found,
                h / found
            );
            let mut last = h;
            for radius in [0.001, 0.01, 0.03, 0.1] {
                let h = bounds.curvature(radius);
                assert!(
                    h >= last * (1.0 - 1e-9),
                    "{name}: h({radius}) = {h} < {last}"
                );
                last = h;
                let mut found = found;
                if h.is_finite() {
                    for _ in 0..3 {
                        let M = drawn(&mut draw, &start, radius);
                        found = found.max(adversary(&graph, &M, &mut draw, 1));
                    }
                    assert!(
                        h >= found * (1.0 - 1e-10),
                        "{name} {seed} {radius}: {h} < {found}"
                    );
                }
                line += &format!(" {:8.2}", h / found);
            }
            println!("{line} | {made:?} {took:?}");
        }
    }
}

/// Sizes that are to be certified within minutes: P = 3,000, m = 32.
#[test]
fn thousands_of_parameters() {
    for name in ["wide", "large_block"] {
        let graph = gallery(name, 0).unwrap();
        let clock = std::time::Instant::now();
        let bounds = Bounds::new(&graph, &graph.start()).unwrap();
        let made = clock.elapsed();
        let clock = std::time::Instant::now();
        let (J, sigma) = (bounds.jacobian_norm_upper(), bounds.sigma_min_lower());
        let values = clock.elapsed();
        let clock = std::time::Instant::now();
        let h = bounds.curvature(1e-3);
        let took = clock.elapsed();
        let found = adversary(&graph, &graph.start(), &mut Draw::new(1), 1);
        println!(
            "{name}: m = {}, P = {}, |J| = {J:.3}, sigma {sigma:?}, h / adversary {:.2} (forward {:.2}); {made:.1?} {values:.1?} {took:.1?}",
            graph.m(),
            graph.P(),
            h / found,
            bounds.forward_curvature(1e-3) / found
        );
        assert!(h >= found * (1.0 - 1e-10));
    }
}

/// Rows of all kinds of sparseness: full, empty, in parts that share no column. At least the largest singular value of each
/// subarray's rows, and hardly more: the square is taken 1e-3 too large at most where the two largest are close (`small`).
#[test]
fn norms_of_sparse_rows_are_spectral_norms() {
    let mut draw = Draw::new(21);
    for case in 0..60 {
        let (n, k) = (1 + draw.below(9), 1 + draw.below(9));
        let cols = 1 + draw.below(90);
        let keep = [1, 2, 10, 40][case % 4];
        let numbers: Vec<f64> = (0..n * k * cols)
            .map(|_| match draw.below(keep) {
                0 => draw.normal(),
                _ => 0.0,
            })
            .collect();
        let enclosed: Vec<Interval> = numbers.iter().map(|x| Interval::from_f64(*x)).collect();
        let of = Subsets::new(&[n, k]);
        let norms = Rowwise::of(cols, &enclosed).norms(&of);
        for mask in 0..=of.full() {
            for (s, bound) in norms.at[mask].iter().enumerate() {
                let rows: Vec<usize> = (0..n * k)
                    .filter(|e| of.index[mask][*e] as usize == s)
                    .collect();
                let A = DMatrix::from_fn(rows.len(), cols, |i, j| numbers[rows[i] * cols + j]);
                let exact = A.singular_values().max();
                assert!(
                    *bound >= exact * (1.0 - 1e-13) && *bound <= exact * (1.0 + 1e-3) + 1e-100,
                    "case {case}, subset {mask}, part {s}: {bound} for {exact}"
                );
            }
        }
    }
}

/// Lemma 7: the second derivatives at the centre by the sum over nodes are those of dual intervals through reverse sweeps, and
/// with what they move by h is never more than by the rules.
#[test]
fn second_derivatives_at_the_centre_sharpen_h() {
    println!(
        "model, P: at the centre by the rules and of the flattening, then at four radii by the rules, h (and over a cube), all / adversary"
    );
    for name in GALLERY {
        let graph = gallery(name, 1).unwrap();
        let start = graph.start();
        let mut draw = Draw::new(5);
        let clock = std::time::Instant::now();
        let bounds = Bounds::new(&graph, &start).unwrap();
        let made = clock.elapsed();
        let clock = std::time::Instant::now();
        let values = &bounds.centre.values;
        let second = second::norm(&graph, &bounds.rules, values, &start).unwrap();
        let took = clock.elapsed();
        let by_rules = bounds.curvature_by_rules(0.0);
        let found = adversary(&graph, &start, &mut draw, 4);
        assert!(
            second >= found * (1.0 - 1e-10),
            "{name}: {second} < {found}"
        );
        let small = graph.P() <= 120;
        if small {
            // Both are at least the same norm, which each may take 1e-3 too large.
            let other = sweeps(&graph, &start, 0.0);
            assert!(
                (second / other - 1.0).abs() < 2e-3,
                "{name}: {second}, {other}"
            );
        }
        let mut line = format!("{:8.2} {:6.2}", by_rules / found, second / found);
        for radius in [0.001, 0.01, 0.03, 0.1] {
            let (by_rules, h) = (bounds.curvature_by_rules(radius), bounds.curvature(radius));
            assert!(h <= by_rules);
            let mut found = found;
            for _ in 0..if h.is_finite() { 3 } else { 0 } {
                let M = drawn(&mut draw, &start, radius);
                found = found.max(adversary(&graph, &M, &mut draw, 1));
            }
            assert!(h >= found * (1.0 - 1e-10), "{name} {radius}: {h} < {found}");
            line += &format!(" | {:7.2} {:7.2}", by_rules / found, h / found);
            if small {
                line += &format!(" {:7.2}", sweeps(&graph, &start, radius) / found);
            }
        }
        println!("{name:14} {:4}: {line} | {made:.1?}, {took:.1?}", graph.P());
    }
}

/// |phi'''| is at most its bound, and hardly less where the interval has no width.
#[test]
fn third_derivatives_are_below_their_bounds() {
    use crate::Function as F;
    let mut draw = Draw::new(11);
    let powers = [-3, 0, 1, 2, 3, 5].map(F::IntegerPow);
    let others = [-1.3, 0.5, 2.7].map(F::Pow);
    for f in F::PLAIN.into_iter().chain(powers).chain(others) {
        for case in 0..200 {
            let mut middle = [0.3, 1.0, 3.0][case % 3] * draw.normal();
            let width = [0.0, 1e-3, 0.3][case / 3 % 3] * draw.uniform();
            if matches!(f, F::Log | F::Sqrt | F::Rsqrt | F::Pow(_) | F::Log1p) {
                middle = middle.abs() + 0.4;
            }
            if f.is_kinked() || f == F::IntegerPow(-3) {
                middle += 0.4_f64.copysign(middle);
            }
            let range = Interval::new(middle - width, middle + width);
            let (slopes, _) = forward::map(0, f, &[range]).unwrap();
            let bound = slopes[0].third;
            for _ in 0..4 {
                let x = middle + width * (2.0 * draw.uniform() - 1.0);
                let x = Dual {
                    re: x.clamp(range.lo(), range.hi()),
                    eps: 1.0,
                };
                let found = f.second(x, f.value(x)).eps.abs();
                assert!(
                    found <= bound * (1.0 + 1e-9) + 1e-13,
                    "{f:?} at {x:?}: {found} > {bound}"
                );
                assert!(
                    width > 0.0 || bound <= found * 1.01 + 1e-2,
                    "{f:?} at {x:?}: {bound}, {found}"
                );
            }
        }
    }
}

/// The same as `second::norm` by m reverse sweeps in dual intervals for each parameter, over the cube of this radius.
fn sweeps(graph: &Graph, at: &[f64], radius: f64) -> f64 {
    let (m, P) = (graph.m(), graph.P());
    let number = Interval::from_f64;
    let mut there = Evaluation::<Dual<Interval>>::new(graph);
    for (x, at) in there.parameters_mut().iter_mut().zip(at) {
        *x = Dual::from_f64(*at);
        x.re += Interval::new(-radius, radius);
    }
    let mut middles = Vec::with_capacity(m * P * P);
    let mut off = number(0.0);
    for j in 0..P {
        there.parameters_mut()[j].eps = number(1.0);
        there.forward();
        let rows = there.jacobian();
        there.parameters_mut()[j].eps = number(0.0);
        for x in rows {
            if !x.eps.magnitude().is_finite() {
                return f64::INFINITY;
            }
            let (middle, radius) = x.eps.mid_radius();
            middles.push(middle);
            off += number(radius).square();
        }
    }
    gdcert_numbers::verified::sigma_max(
        gdcert_numbers::linalg::view(&DMatrix::from_vec(m * P, P, middles)),
        off.sqrt().hi(),
    )
}
