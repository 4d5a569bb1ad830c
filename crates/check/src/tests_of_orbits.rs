//! Fixed-point ends against 1,000-bit arithmetic; orbits and what is said of them against gradient
//! descent in 600 bits.

use super::ball::ball;
use super::certificate::{Centre, FileRef, Kernel, Orbit, Reading, Refuted, TheoremA, Trained};
use super::claims::Answer;
use super::curvature::closed_form;
use super::descent::Attention;
use super::ends::Ends;
use super::files::sha256;
use super::instance::{Dims, Instance};
use super::matrix::Matrix;
use super::number::Double;
use super::orbit::{Enclosed, Motion, Path, Subject, settle};
use super::point::{Part, Point};
use super::tests::{Big, holds, instance, random};
use super::{Certificate, CertificateFile, Checked};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::json;

/// More than twice the bits of the longest numbers that are tried.
const BITS: usize = 2000;

fn big(x: f64) -> Big {
    Big::try_from(x).unwrap().with_precision(BITS).value()
}

/// An end, exactly.
fn value<const L: usize>(words: &[u64; L]) -> Big {
    let word = big(2f64.powi(64));
    let mut x = big(0.0);
    for (i, w) in words.iter().enumerate().rev() {
        let [high, low] = [w >> 32, w & 0xffff_ffff].map(|half| big(half as f64));
        x = x * &word + high * big(2f64.powi(32)) + low;
        if i == L - 1 && w >> 63 != 0 {
            x -= &word;
        }
    }
    (0..L - 1).fold(x, |x, _| x / &word)
}

fn between<const L: usize>(x: &Ends<L>) -> Option<[Big; 2]> {
    x.integers().map(|ends| ends.map(|end| value(&end)))
}

/// Whether the ends enclose the number, and in how many units of the last place.
#[track_caller]
fn covers<const L: usize>(x: &Ends<L>, exact: &Big, units: f64) {
    let Some([lo, hi]) = between(x) else { panic!("nothing is known") };
    assert!(&lo <= exact && exact <= &hi, "{lo} {exact} {hi}");
    let unit = (0..Ends::<L>::BITS).fold(big(1.0), |x, _| x * big(0.5));
    assert!(
        &hi - &lo <= big(units) * &unit,
        "{} units, not {units}",
        ((hi - lo) / unit).to_f64().value()
    );
    assert!(holds(x.ball(), &exact.clone().with_precision(2200).value()));
}

fn any<const L: usize>(rng: &mut ChaCha8Rng, size: i32) -> (Ends<L>, [Big; 3]) {
    // A number of L words below 2^size, now and then of few bits, of either sign.
    let mut words: [u64; L] = std::array::from_fn(|_| match rng.next_u32() % 4 {
        0 => 0,
        1 => u64::MAX,
        _ => rng.next_u64(),
    });
    words[L - 1] = if size > 0 { rng.next_u64() % (1 << size) } else { 0 };
    if size < 0 {
        let whole = (-size) as usize / 64;
        (L - 1 - whole.min(L - 2)..L).for_each(|i| words[i] = 0);
    }
    let mut hi = words;
    match rng.next_u32() % 3 {
        0 => {}
        1 => hi[0] = hi[0].saturating_add(rng.next_u64() % 100),
        _ => hi[1] = hi[1].saturating_add(rng.next_u64() % 100),
    }
    let mut x = Ends::of_integers([words, hi]);
    if rng.next_u32().is_multiple_of(2) {
        x = -x;
    }
    if rng.next_u32().is_multiple_of(8) {
        // 0 is inside.
        x = x - Ends::of_integers([words, words]) + Ends::of(1e-9 * random(rng));
    }
    let [lo, hi] = between(&x).unwrap();
    let inside = &lo + (&hi - &lo) * big(random(rng).abs());
    (x, [lo, hi, inside])
}

fn operations<const L: usize>(seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let ln2 = Ends::<L>::ln2();
    covers(&ln2, &big(2.0).ln(), 4.0 * Ends::<L>::BITS as f64);
    let huge = 1e300;
    for round in 0..60 {
        let sizes = [(rng.next_u32() % 30) as i32, -((rng.next_u32() % 200) as i32)];
        let [a_size, b_size] = if round % 2 == 0 { sizes } else { [sizes[1], sizes[0]] };
        let (a, of_a) = any::<L>(&mut rng, a_size);
        let (b, of_b) = any::<L>(&mut rng, b_size);
        for x in &of_a {
            for y in &of_b {
                covers(&(a + b), &(x + y), huge);
                covers(&(a - b), &(x - y), huge);
                covers(&(a * b), &(x * y), huge);
                covers(
                    &a.top(b),
                    if x > y { &of_a[1] } else { &of_b[1] }.max(&of_a[1]).max(&of_b[1]),
                    huge,
                );
            }
            covers(&-a, &-x.clone(), huge);
            let n = 1 + rng.next_u32() % 1000;
            covers(&a.over(n), &(x / big(n.into())), huge);
            let k = (rng.next_u32() % 300) as usize;
            covers(&a.halved(k), &(0..k).fold(x.clone(), |x, _| x * big(0.5)), huge);
        }
        let (lo, width) = a.split();
        assert!(between(&lo).unwrap().into_iter().all(|end| end == of_a[0]));
        assert!(holds(width, &(&of_a[1] - &of_a[0]).with_precision(2200).value()));
        // Exact operands leave a few units.
        let (a, b) = (lo, b.split().0);
        let (x, y) = (&of_a[0], &of_b[0]);
        covers(&(a + b), &(x + y), 0.0);
        covers(&(a * b), &(x * y), L as f64);
        covers(&a.over(7), &(x / big(7.0)), 1.0);
    }
    for _ in 0..40 {
        let x = [1.0, 30.0, 300.0, 2000.0][rng.next_u32() as usize % 4] * (random(&mut rng) - 1.0)
            / 2.0;
        let a = Ends::<L>::of(x + 0.25).over(3).times(3);
        let x = big(x + 0.25);
        covers(&a.exp(&ln2), &x.exp(), 2f64.powi(12) * (L as f64).powi(3));
        let far = 2f64.powi(100 - Ends::<L>::BITS as i32);
        let wide = Ends::of_integers([
            a.integers().unwrap()[0],
            (a + Ends::of(far)).integers().unwrap()[1],
        ]);
        for e in [0.0, far] {
            covers(&wide.exp(&ln2), &(&x + big(e)).exp(), huge);
        }
        let y = 0.5 + 100.0 * random(&mut rng).abs();
        let a = Ends::<L>::of(y);
        covers(&a.reciprocal(), &(big(1.0) / big(y)), 64.0 + 8.0 * y);
        covers(&a.over(3).times(3).reciprocal(), &(big(1.0) / big(y)), 64.0 + 30.0 * y);
        let x = super::tests::big(random(&mut rng));
        let x: f64 = x.to_f64().value();
        let tiny = x * 2f64.powi(-((rng.next_u32() % 1000) as i32));
        covers(&Ends::<L>::of(tiny), &big(tiny), 1.0);
    }
    for d in [1, 2, 3, 4, 7, 16, 64, 1000, 65_537] {
        let root = Ends::<L>::root(d);
        covers(
            &root,
            &big(d.into()).sqrt(),
            if [1, 4, 16, 64].contains(&d) { 0.0 } else { 16.0 + L as f64 },
        );
    }
    // What does not fit is not known, and neither is what comes of it.
    let large = Ends::<L>::of(2f64.powi(62));
    assert!(large.integers().is_some() && (large + large).integers().is_none());
    for x in [f64::NAN, f64::INFINITY, 2f64.powi(63), -1e300] {
        assert!(Ends::<L>::of(x).integers().is_none());
    }
    let unknown = large * large;
    let zero = Ends::<L>::ZERO;
    let all = [
        unknown * zero,
        unknown + zero,
        -unknown,
        unknown.exp(&ln2),
        unknown.over(2),
        unknown.halved(900),
        unknown.top(zero),
        zero.top(unknown),
        zero.reciprocal(),
        Ends::of(0.4).exp(&ln2),
        zero.over(0),
    ];
    assert!(all.iter().all(|x| x.integers().is_none()));
    assert!(!unknown.ball().is_known() && !unknown.split().1.is_known() && unknown.near().is_nan());
}

#[test]
fn ends_cover_the_exact_results() {
    operations::<3>(0);
    operations::<4>(1);
    operations::<5>(2);
    operations::<8>(3);
    operations::<12>(4);
}

/// Gradient descent in 600 bits, the gradient by the chain rule: the truth, as far as 1e-150 goes.
struct Truth<'a> {
    at: &'a Instance,
    on: [bool; 3],
    eta: Big,
    W: [Vec<Table>; 3],
}

type Table = Vec<Vec<Big>>;

const EXACT: usize = 600;

fn exact(x: f64) -> Big {
    Big::try_from(x).unwrap().with_precision(EXACT).value()
}

fn table(M: &Matrix<f64>) -> Table {
    (0..M.rows).map(|a| M.row(a).iter().map(|x| exact(*x)).collect()).collect()
}

fn times(a: &Table, b: &Table) -> Table {
    let entry = |row: &Vec<Big>, j: usize| {
        row.iter().zip(b).fold(exact(0.0), |sum, (x, y)| sum + x * &y[j])
    };
    a.iter().map(|row| (0..b[0].len()).map(|j| entry(row, j)).collect()).collect()
}

fn flipped(a: &Table) -> Table {
    (0..a[0].len()).map(|j| a.iter().map(|row| row[j].clone()).collect()).collect()
}

impl Truth<'_> {
    fn new(at: &Instance, trained: Trained, eta: f64) -> Truth<'_> {
        let of = |all: &[Matrix<f64>]| all.iter().map(table).collect();
        let W = [of(&at.W_Q), of(&at.W_K), of(&at.W_V)];
        Truth { at, on: trained.flags(), eta: exact(eta), W }
    }

    /// f at the weights; then they are moved by one step.
    fn step(&mut self) -> Big {
        let Dims { N, n, d, H, .. } = self.at.dims;
        let root = exact(d as f64).sqrt();
        let gaussian = self.at.kernel == Kernel::Gaussian;
        let mut loss = exact(0.0);
        let zero = |rows: usize, cols: usize| vec![vec![exact(0.0); cols]; rows];
        let mut G: Vec<[Table; 3]> =
            (0..H).map(|_| std::array::from_fn(|_| zero(self.at.dims.D, d))).collect();
        for i in 0..N {
            let X = table(&self.at.X[i]);
            let mut r: Table = table(&self.at.y[i]);
            r.iter_mut().flatten().for_each(|x| *x = -x.clone());
            let mut heads = Vec::new();
            for h in 0..H {
                let [q, kappa, v] = [0, 1, 2].map(|b| times(&X, &self.W[b][h]));
                let W_O = table(&self.at.W_O[h]);
                let u = times(&v, &W_O);
                let mut s = zero(n, n);
                for (k, j) in (0..n).flat_map(|k| (0..n).map(move |j| (k, j))) {
                    let each = q[k].iter().zip(&kappa[j]);
                    let score = each.fold(exact(0.0), |sum, (q, x)| {
                        sum + if gaussian { exact(-0.5) * (q - x) * (q - x) } else { q * x }
                    });
                    s[k][j] = (score / &root).exp();
                }
                for row in s.iter_mut().filter(|_| !gaussian) {
                    let total = row.iter().fold(exact(0.0), |sum, x| sum + x);
                    row.iter_mut().for_each(|x| *x = &*x / &total);
                }
                let out = times(&s, &u);
                for (r, out) in r.iter_mut().flatten().zip(out.iter().flatten()) {
                    *r = &*r + out;
                }
                heads.push((q, kappa, u, s, W_O));
            }
            for x in r.iter().flatten() {
                loss += exact(0.5) * x * x;
            }
            for (h, (q, kappa, u, s, W_O)) in heads.iter().enumerate() {
                let dv = times(&times(&flipped(s), &r), &flipped(W_O));
                let ds = times(&r, &flipped(u));
                let mut dC = zero(n, n);
                for k in 0..n {
                    let mean = (0..n).fold(exact(0.0), |sum, j| sum + &s[k][j] * &ds[k][j]);
                    for j in 0..n {
                        let away = if gaussian { ds[k][j].clone() } else { &ds[k][j] - &mean };
                        dC[k][j] = &s[k][j] * away / &root;
                    }
                }
                let (mut dq, mut dkappa) = (times(&dC, kappa), times(&flipped(&dC), q));
                if gaussian {
                    for (k, j, a) in (0..n * n * d).map(|b| (b / n / d, b / d % n, b % d)) {
                        dq[k][a] = &dq[k][a] - &dC[k][j] * &q[k][a];
                        dkappa[j][a] = &dkappa[j][a] - &dC[k][j] * &kappa[j][a];
                    }
                }
                for (b, of_tokens) in [dq, dkappa, dv].iter().enumerate() {
                    let of_sample = times(&flipped(&X), of_tokens);
                    for (g, x) in G[h][b].iter_mut().flatten().zip(of_sample.iter().flatten()) {
                        *g = &*g + x;
                    }
                }
            }
        }
        for (h, of_head) in G.iter().enumerate() {
            for b in (0..3).filter(|b| self.on[*b]) {
                let weights = self.W[b][h].iter_mut().flatten();
                for (w, g) in weights.zip(of_head[b].iter().flatten()) {
                    *w = &*w - &self.eta * g;
                }
            }
        }
        loss
    }

    /// |M - C|^2 over the trained blocks.
    fn distance2(&self, C: &Instance) -> Big {
        let mut sum = exact(0.0);
        for (b, block) in [&C.W_Q, &C.W_K, &C.W_V].into_iter().enumerate() {
            for (W, C) in self.W[b].iter().zip(block).filter(|_| self.on[b]) {
                for (w, c) in W.iter().flatten().zip(table(C).iter().flatten()) {
                    sum += (w - c) * (w - c);
                }
            }
        }
        sum
    }
}

/// The bytes of an instance file.
fn file(at: &Instance) -> Vec<u8> {
    let Dims { N, n, D, d, H, p } = at.dims;
    let tensors = [
        ("X", &at.X, [N, n, D]),
        ("y", &at.y, [N, n, p]),
        ("W_Q", &at.W_Q, [H, D, d]),
        ("W_K", &at.W_K, [H, D, d]),
        ("W_V", &at.W_V, [H, D, d]),
        ("W_O", &at.W_O, [H, d, p]),
    ];
    let mut header = json!({"__metadata__": {"kernel": at.kernel.name()}});
    let mut data = Vec::new();
    for (name, all, shape) in tensors {
        let begin = data.len();
        let numbers = all.iter().flat_map(|M| &M.data);
        numbers.for_each(|x| data.extend(x.to_le_bytes()));
        header[name] = json!({"dtype": "F64", "shape": shape, "data_offsets": [begin, data.len()]});
    }
    let header = header.to_string().into_bytes();
    [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat()
}

fn file_ref(name: &str, at: &Instance) -> FileRef {
    FileRef { file: name.to_owned(), sha256: sha256(&file(at)) }
}

fn checked(certificate: &Certificate, at: &Instance, centre: &Instance) -> Checked {
    // Through JSON and back: what is written is what is read.
    let text = certificate.to_json().to_string();
    let read = CertificateFile::read(text.as_bytes()).unwrap();
    assert_eq!(&read.certificate, certificate);
    let bytes = |name: &str| Ok(file(if name == "instance.safetensors" { at } else { centre }));
    certificate.check(&bytes).unwrap()
}

fn valid(certificate: &Certificate, at: &Instance, centre: &Instance) -> bool {
    matches!(checked(certificate, at, centre), Checked::Valid(_))
}

/// The largest a for which sigma_min >= a is proven, about.
fn sigma_min(at: &Instance, parts: &[Part]) -> f64 {
    let gram = Point::new(at, false).gram::<Double>(parts);
    let (mut low, mut high) = (0.0, gram.frobenius().upper());
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        match gram.sigma_min_at_least(ball(middle)) {
            Ok(()) => low = middle,
            Err(_) => high = middle,
        }
    }
    low
}

const MARGIN: f64 = 1e-6;

/// Theorem A with a ball around this point, if it closes for every point within `distance`.
fn close(at: &Instance, trained: Trained, eta: f64, beta: f64, distance: f64) -> Option<TheoremA> {
    let (point, parts) = (Point::new(at, false), Part::of(trained.flags()));
    let near = closed_form(&point, trained, distance).upper() * distance;
    let alpha_lower = (sigma_min(at, &parts) - near) * (1.0 - MARGIN);
    let J = (point.gram::<Double>(&parts).norm_upper().upper() + near) * (1.0 + MARGIN);
    let R = (point.residual_norm().upper() + J * distance) * (1.0 + MARGIN);
    (1..80).find_map(|step| {
        let rho = 1.02f64.powi(step) * R / alpha_lower;
        let h = closed_form(&point, trained, rho + 2.0 * distance).upper() * (1.0 + MARGIN);
        let alpha = (alpha_lower - rho * h) * (1.0 - 1e-12);
        let smoothness = ((J + rho * h).powi(2) + R * h) * (1.0 + 1e-12);
        let contraction = 1.0 - eta * smoothness / 2.0;
        let rate_lower = 2.0 * eta * alpha * alpha * contraction * (1.0 - 1e-12);
        let closes = alpha > 0.0 && R * (1.0 + 1e-12) <= rho * alpha * contraction;
        (closes && eta * beta < rate_lower).then(|| TheoremA {
            instance: file_ref("instance.safetensors", at),
            kernel: at.kernel,
            trained,
            centre: Centre {
                t: 0,
                file: "centre.safetensors".to_owned(),
                sha256: file_ref("", at).sha256,
            },
            reading: Reading::Ntk,
            beta,
            alpha_lower,
            jacobian_norm_upper: J,
            residual_norm_upper: R,
            rho,
            h_rho_upper: h,
            alpha,
            smoothness,
            eta,
            rate_lower,
            region: None,
            margin: MARGIN,
            orbit: None,
        })
    })
}

/// An instance with its claim, f_t <= (1 - eta beta)^t f_0 for lambda_min(J J') and a little more.
fn claimed(kernel: Kernel, seed: u64) -> (Instance, f64, f64) {
    let at = instance(kernel, [1, 3, 6, 3, 3, 1], [0.8, 0.6, 0.6], seed);
    let J = Point::new(&at, false).gram::<Double>(&ALL).norm_upper().upper();
    let beta = sigma_min(&at, &ALL).powi(2) * (1.0 + MARGIN);
    (at, 0.5 / J / J, beta)
}

/// The file of an orbit to where Theorem A closes, whatever the losses were on the way, and the
/// centre's instance.
fn followed(at: &Instance, eta: f64, beta: f64) -> (TheoremA, Instance) {
    let subject = Attention { instance: at, trained: qkv() };
    let start = subject.start().into_iter().map(Ends::<5>::of).collect();
    let mut run = subject.at(eta, start);
    for t in 0..4000 {
        settle(&mut run);
        run.evaluate();
        let centre = subject.moved(&run.point().map(|w| w.near()).collect::<Vec<_>>());
        if t > 0
            && t % 10 == 0
            && let Some(mut found) = close(&centre, qkv(), eta, beta, NEAR)
        {
            found.instance = file_ref("instance.safetensors", at);
            found.centre.t = t;
            found.orbit = Some(Orbit { steps: t, distance: NEAR, bits: 192 });
            return (found, centre);
        }
        run.step();
    }
    panic!("no tail closes");
}

const ALL: [Part; 3] = [Part::Q, Part::K, Part::V];

const NEAR: f64 = 1e-9;

fn qkv() -> Trained {
    "QKV".parse().unwrap()
}

/// f_0 to f_steps, and where the weights are then.
fn losses(at: &Instance, eta: f64, steps: u64) -> (Vec<Big>, Truth<'_>) {
    let mut truth = Truth::new(at, qkv(), eta);
    let mut losses: Vec<Big> = (0..steps).map(|_| truth.step()).collect();
    let end = truth.W.clone();
    losses.push(truth.step());
    truth.W = end;
    (losses, truth)
}

/// Where f_t > (1 - eta beta)^t f_0 first.
fn violation(losses: &[Big], eta: f64, beta: f64) -> Option<usize> {
    let factor = exact(1.0) - exact(eta) * exact(beta);
    let mut bound = losses[0].clone();
    let above = |f: &Big| {
        let above = f > &bound;
        bound = &bound * &factor;
        above
    };
    losses.iter().position(above)
}

#[test]
fn orbits_hold_the_exact_ones() {
    for (kernel, seed) in [(Kernel::Softmax, 1), (Kernel::Gaussian, 2)] {
        let (at, eta, _) = claimed(kernel, seed);
        for (name, eta, steps) in [("Q", eta, 30), ("QKV", eta, 60), ("KV", 5.0 * eta, 20)] {
            let trained: Trained = name.parse().unwrap();
            let mut truth = Truth::new(&at, trained, eta);
            let exact: Vec<Big> = (0..=steps).map(|_| truth.step()).collect();
            for bits in [192, 448] {
                let subject = &Attention { instance: &at, trained };
                let centre = subject.weights(&at);
                let path = Path { subject, eta, steps, bits, centre: Some(&centre) };
                let within = |enclosed: &Enclosed| {
                    for (square, f) in enclosed.squares.iter().zip(&exact) {
                        let twice = (f + f).with_precision(2200).value();
                        assert!(holds(*square, &twice), "{name} {square:?} {twice}");
                        let share = if bits == 192 { 1e-6 } else { 1e-14 };
                        assert!(square.upper() - square.lower() < share * square.upper());
                    }
                    assert_eq!(enclosed.squares.len(), exact.len());
                    Answer::Proven
                };
                assert!(path.prove(&within).is_ok(), "{name} {bits}");
            }
        }
    }
}

#[test]
fn orbits_that_lead_to_a_tail_are_proven() {
    let mut proven = 0;
    for kernel in [Kernel::Softmax, Kernel::Gaussian] {
        for seed in 0..4 {
            let (at, eta, beta) = claimed(kernel, seed);
            let (c, centre) = followed(&at, eta, beta);
            let (losses, end) = losses(&at, eta, c.centre.t);
            assert!(end.distance2(&centre) < exact(1e-24));
            let found = checked(&Certificate::TheoremA(c.clone()), &at, &centre);
            match violation(&losses, eta, beta) {
                None => {
                    let Checked::Valid(valid) = found else { panic!("{found:?}") };
                    assert!(valid.statement().contains("for every t >= 0"));
                    assert!(valid.remarks().is_empty());
                    proven += 1;
                }
                Some(t) => {
                    let Checked::Unproven(why) = found else { panic!("{t} {found:?}") };
                    assert!(why.contains(&format!("t = {t} ")), "{t} {why}");
                    // But that it is exceeded can be proven.
                    let power = (1.0 - eta * beta).powi(t as i32);
                    let f = |t: usize| losses[t].to_f64().value();
                    let mut refuted = Refuted {
                        instance: c.instance.clone(),
                        kernel,
                        trained: c.trained,
                        reading: c.reading,
                        eta,
                        beta: beta * (1.0 - 2.0 * MARGIN),
                        t: t as u64,
                        loss_lower: f(t) * (1.0 - 1e-12),
                        bound_upper: power * f(0) * (1.0 + 3e-6 * t as f64),
                        distance: 0.0,
                        bits: 192,
                    };
                    let says = |c: &Refuted| valid(&Certificate::Refuted(c.clone()), &at, &at);
                    assert!(says(&refuted) || f(t) < refuted.bound_upper);
                    refuted.t += 1;
                    assert!(!says(&refuted) || f(t + 1) >= refuted.loss_lower);
                }
            }
        }
    }
    assert!(proven >= 3, "{proven}");
}

#[test]
fn false_orbits_are_refused() {
    let (at, eta, beta) = claimed(Kernel::Softmax, 1);
    let (c, centre) = followed(&at, eta, beta);
    let all = |c: &TheoremA, at: &Instance, centre: &Instance| {
        // Hashes that fit.
        let mut c = c.clone();
        c.instance = file_ref("instance.safetensors", at);
        c.centre.sha256 = file_ref("", centre).sha256;
        valid(&Certificate::TheoremA(c), at, centre)
    };
    let with = |change: &dyn Fn(&mut TheoremA, &mut Orbit)| {
        let (mut c, mut orbit) = (c.clone(), c.orbit.clone().unwrap());
        change(&mut c, &mut orbit);
        c.orbit = Some(orbit);
        all(&c, &at, &centre)
    };
    assert!(with(&|_, _| ()));
    // The hint is one.
    assert!(with(&|_, o| o.bits = 0) && with(&|_, o| o.bits = 900));
    // Another step, the point there being another.
    assert!(!with(&|_, o| o.steps += 1) && !with(&|_, o| o.steps = 0));
    for t in [1, c.centre.t - 1, c.centre.t + 1, u64::MAX] {
        assert!(!with(&|c, o| (c.centre.t, o.steps) = (t, t)), "{t}");
    }
    assert!(!with(&|c, o| (c.centre.t, o.steps) = (0, 0)));
    // The centre is an f64 neighbour; around it the file's numbers allow little.
    for distance in [0.0, 1e-40, 1e-20, 1e-5, 1.0, 1e300, -1e-9] {
        assert!(!with(&|_, o| o.distance = distance), "{distance}");
    }
    for factor in [0.5, 1.0 - 1e-6, 1.0 + 1e-6, 1.1] {
        assert!(!with(&|c, _| c.eta *= factor), "{factor}");
    }
    // Rates that the tail has and the way there has not.
    let (losses, _) = losses(&at, eta, c.centre.t);
    let most = c.rate_lower / eta * (1.0 - 1e-9);
    assert!(violation(&losses, eta, most).is_some());
    assert!(!with(&|c, _| c.beta = most) && !with(&|c, _| c.beta *= 0.999));
    for share in 0..20 {
        let beta = c.beta + (most - c.beta) * f64::from(share) / 20.0;
        let holds = violation(&losses, eta, beta).is_none();
        assert!(!with(&|c, _| c.beta = beta) || holds, "{share}");
    }
    // Another centre, another start, other data.
    let moved = |at: &Instance, by: f64, block: usize| {
        let mut at = at.clone();
        let all = [&mut at.W_Q, &mut at.W_K, &mut at.W_V, &mut at.W_O, &mut at.X, &mut at.y];
        all.into_iter().nth(block).unwrap()[0].data[1] += by;
        at
    };
    for block in 0..6 {
        for by in [1e-3, -1e-6, 2e-9] {
            assert!(!all(&c, &at, &moved(&centre, by, block)), "{block} {by}");
            let start = moved(&at, by, block);
            if by.abs() > 1e-8 && block < 3 {
                let (_, end) = super::tests_of_orbits::losses(&start, eta, c.centre.t);
                let far = end.distance2(&centre) > exact(NEAR * NEAR);
                assert!(!all(&c, &start, &centre) || !far, "{block} {by}");
            } else if block >= 3 {
                assert!(!all(&c, &start, &centre));
            }
        }
    }
    // Without an orbit it is what it was: a proof from the centre on.
    let mut tail = c.clone();
    tail.orbit = None;
    let found = checked(&Certificate::TheoremA(tail), &at, &centre);
    let Checked::Valid(valid) = found else { panic!("{found:?}") };
    assert!(valid.remarks()[0].contains("nothing here ties"));
    // And an orbit that a longer proof could reach is not called false.
    let mut long = c.clone();
    long.orbit = Some(Orbit { steps: u64::MAX, distance: NEAR, bits: 4096 });
    long.centre.t = u64::MAX;
    let found = checked(&Certificate::TheoremA(long), &at, &centre);
    let Checked::Unproven(why) = found else { panic!("{found:?}") };
    assert!(why.contains("take too long"), "{why}");
}

/// One token and two heads whose weights are 0 and 1 (and -1): read literally, the bound fails.
fn counterexample() -> (Instance, Refuted) {
    let one = |a: f64| Matrix { rows: 1, cols: 1, data: vec![a] };
    let two = |a: [f64; 2]| a.map(one).to_vec();
    let at = Instance {
        dims: Dims { N: 1, n: 1, D: 1, d: 1, H: 2, p: 1 },
        kernel: Kernel::Gaussian,
        X: vec![one(1.0)],
        y: vec![one(0.0)],
        W_Q: two([0.0, 1.0]),
        W_K: two([0.0, -1.0]),
        W_V: two([0.0, 1.0]),
        W_O: two([0.0, 1.0]),
    };
    // beta = |W^O|^2 |B|^2 = 1 + e^-4, but J_V sees the second head only.
    let (eta, beta, t) = (0.5, 1.018, 7);
    let (losses, _) = losses(&at, eta, t);
    let f = |t: usize| losses[t].to_f64().value();
    let bound = (1.0 - eta * beta).powi(t as i32) * f(0);
    let refuted = Refuted {
        instance: file_ref("instance.safetensors", &at),
        kernel: Kernel::Gaussian,
        trained: qkv(),
        reading: Reading::Stacked,
        eta,
        beta,
        t,
        loss_lower: f(7) * (1.0 - 1e-14),
        bound_upper: bound * (1.0 + 1e-14),
        distance: 1e-60,
        bits: 192,
    };
    (at, refuted)
}

#[test]
fn violations_are_proven() {
    let (at, c) = counterexample();
    let found = checked(&Certificate::Refuted(c.clone()), &at, &at);
    let Checked::Valid(valid) = found else { panic!("{found:?}") };
    let statement = valid.statement();
    assert!(statement.contains("exceeds the bound") && statement.contains("at t = 7:"));
    assert!(valid.about().contains("no other file.") && valid.remarks().is_empty());
    let says = |change: &dyn Fn(&mut Refuted)| {
        let mut c = c.clone();
        change(&mut c);
        checked(&Certificate::Refuted(c), &at, &at)
    };
    let unproven = |change: &dyn Fn(&mut Refuted), word: &str| {
        let found = says(change);
        let Checked::Unproven(why) = &found else { panic!("{word} {found:?}") };
        assert!(why.contains(word), "{word}: {why}");
    };
    unproven(&|c| c.beta = 1.0184, "at most the reading's");
    unproven(&|c| c.loss_lower *= 1.0 + 1e-12, "loss_lower");
    unproven(&|c| c.bound_upper *= 1.0 - 1e-12, "bound_upper");
    unproven(&|c| c.bound_upper = c.loss_lower, "nothing is exceeded");
    unproven(&|c| c.eta = 1.0, "eta beta");
    unproven(&|c| c.eta = 1e-320, "");
    unproven(&|c| c.eta = -0.5, "positive");
    unproven(&|c| c.eta = 1e300, "");
    unproven(&|c| c.t = 0, "");
    unproven(&|c| c.t = 8, "loss_lower");
    unproven(&|c| c.t = u64::MAX, "take too long");
    unproven(&|c| c.distance = -1.0, "distance");
    unproven(&|c| c.reading = Reading::PerHead, "at most the reading's");
    unproven(&|c| c.reading = Reading::Value, "at most the reading's");
    unproven(&|c| c.trained = "QK".parse().unwrap(), "W^V");
    unproven(&|c| c.kernel = Kernel::Softmax, "kernel");
    assert!(matches!(says(&|c| c.bits = 0), Checked::Valid(_)));
    assert!(matches!(says(&|c| c.bits = u64::MAX), Checked::Valid(_)));
}

/// A thousand files with numbers that are a little off, or far: what is accepted is true.
#[test]
fn a_thousand_tampered_refutations() {
    let (at, c) = counterexample();
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let mut accepted = 0;
    for _ in 0..1_000 {
        let mut c = c.clone();
        for _ in 0..1 + rng.next_u32() % 2 {
            let near = 2f64.powi(-((rng.next_u32() % 48) as i32));
            let factor = 1.0 + near * random(&mut rng);
            match rng.next_u32() % 5 {
                0 => c.eta *= factor,
                1 => c.beta *= factor,
                2 => c.loss_lower *= factor,
                3 => c.bound_upper *= factor,
                _ => c.t = (rng.next_u32() % 12).into(),
            }
        }
        if !valid(&Certificate::Refuted(c.clone()), &at, &at) {
            continue;
        }
        accepted += 1;
        let (losses, _) = losses(&at, c.eta, c.t);
        let power = |x: Big| (0..c.t).fold(exact(1.0), |power, _| power * &x);
        let beta = exact(1.0) + exact(-4.0).exp();
        let bound = |beta: Big| power(exact(1.0) - exact(c.eta) * beta) * &losses[0];
        assert!(beta >= exact(c.beta), "{c:?}");
        assert!(exact(c.eta) * &beta < exact(1.0), "{c:?}");
        assert!(losses[c.t as usize] >= exact(c.loss_lower), "{c:?}");
        assert!(bound(exact(c.beta)) <= exact(c.bound_upper), "{c:?}");
        assert!(losses[c.t as usize] > bound(beta), "{c:?}");
    }
    assert!((50..950).contains(&accepted), "{accepted}");
}

/// The same for a certificate with an orbit: what is accepted has its losses below the bound, its
/// M_T near the centre, and a beta that is not below the reading's.
#[test]
fn tampered_orbits() {
    let (at, eta, beta) = claimed(Kernel::Softmax, 1);
    let (c, centre) = followed(&at, eta, beta);
    let least = sigma_min(&at, &ALL).powi(2);
    let true_run = losses(&at, eta, c.centre.t);
    let mut rng = ChaCha8Rng::seed_from_u64(12);
    // GDCERT_TAMPERED says how many are tried.
    let wanted = std::env::var("GDCERT_TAMPERED").ok();
    let count = wanted.map_or(200, |count| count.parse().unwrap());
    let mut accepted = 0;
    for _ in 0..count {
        let (mut c, mut orbit, mut centre) = (c.clone(), c.orbit.clone().unwrap(), centre.clone());
        let near = 2f64.powi(-((rng.next_u32() % 48) as i32));
        let factor = 1.0 + near * random(&mut rng);
        match rng.next_u32() % 5 {
            0 => c.eta *= factor,
            1 => c.beta *= 1.0 + 4.0 * near * random(&mut rng).abs(),
            2 => orbit.distance *= factor,
            3 => {
                orbit.steps = orbit.steps + u64::from(rng.next_u32() % 9) - 4;
                c.centre.t = orbit.steps;
            }
            _ => centre.W_V[1].data[2] *= 1.0 + 1e-6 * near * random(&mut rng),
        }
        c.centre.sha256 = file_ref("", &centre).sha256;
        let (steps, distance) = (orbit.steps, orbit.distance);
        c.orbit = Some(orbit);
        if !valid(&Certificate::TheoremA(c.clone()), &at, &centre) {
            continue;
        }
        accepted += 1;
        assert!(c.beta >= least, "{c:?}");
        // A run takes a second: that of another step, where it was accepted, alone.
        let other;
        let (losses, end) = if c.eta == eta && steps + 1 == true_run.0.len() as u64 {
            &true_run
        } else {
            other = losses(&at, c.eta, steps);
            &other
        };
        assert!(violation(losses, c.eta, c.beta).is_none(), "{c:?}");
        assert!(end.distance2(&centre) <= exact(distance) * exact(distance), "{c:?}");
    }
    println!("{accepted} of {count} tampered orbits accepted, all true");
    assert!((count / 10..count - count / 10).contains(&accepted), "{accepted}");
}
