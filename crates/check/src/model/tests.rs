//! Models: functions against each other in several precisions, and certificates, true and tampered with.

use super::curvature::{Bound, Site};
use super::file::{Function, Model};
use super::functions::{Functions, Number};
use super::orbit::{exactly, gram, jacobian};
use super::tests_of_orbits::file_of;
use super::values::{Values, function};
use crate::ball::{Ball, ball, norm};
use crate::certificate::{
    Centre, Certificate, CertificateFile, FileRef, ModelObstructed, ModelRate, ModelRef,
    ModelRefuted, Orbit, Reading, Reason,
};
use crate::ends::Ends;
use crate::files::sha256;
use crate::{Checked, Unreadable};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::{Value, json};

/// Numbers to draw from.
pub(super) struct Draw(ChaCha8Rng);

impl Draw {
    pub(super) fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }
    pub(super) fn below(&mut self, n: usize) -> usize {
        (self.0.next_u64() % n as u64) as usize
    }
    fn numbers(&mut self, n: usize, scale: f64) -> Vec<f64> {
        (0..n).map(|_| scale * (2.0 * self.uniform() - 1.0)).collect()
    }
}

pub(super) fn draw(seed: u64) -> Draw {
    Draw(ChaCha8Rng::seed_from_u64(seed))
}

const FUNCTIONS: [Function; 18] = [
    Function::Exp,
    Function::Log,
    Function::Log1p,
    Function::Expm1,
    Function::Sqrt,
    Function::Rsqrt,
    Function::Tanh,
    Function::Logistic,
    Function::Softplus,
    Function::Erf,
    Function::Erfc,
    Function::Sin,
    Function::Cos,
    Function::Atan,
    Function::Relu,
    Function::Abs,
    Function::Whole(-3),
    Function::Power(1.7),
];

/// phi(x) and phi'(x) in three precisions: the enclosures have numbers in common, and are as narrow as they should be.
#[test]
fn functions_agree_in_all_precisions() {
    let (of_balls, of_five, of_twelve) =
        (Functions::<Ball>::new(), Functions::<Ends<5>>::new(), Functions::<Ends<12>>::new());
    let mut draw = draw(1);
    for f in FUNCTIONS {
        let positive =
            matches!(f, Function::Log | Function::Sqrt | Function::Rsqrt | Function::Power(_));
        for i in 0..60 {
            let mut x = [0.01, 0.3, 1.0, 4.0][i % 4] * (2.0 * draw.uniform() - 1.0);
            if positive || f == Function::Whole(-3) {
                x = x.abs() + 0.01;
            } else if f == Function::Log1p {
                x = x.max(-0.95);
            }
            let (a, da) = function(&of_balls, f, ball(x));
            let (b, db) = function(&of_five, f, Ends::of(x));
            let (c, dc) = function(&of_twelve, f, Ends::of(x));
            for (a, b, c) in [(a, b.to_ball(), c.to_ball()), (da, db.to_ball(), dc.to_ball())] {
                for (one, other) in [(a, c), (b, c)] {
                    assert!(!one.below(other) && !other.below(one), "{f:?} of {x}");
                }
                // 110 bits, and a few for what cancels; 256 bits, of which a ball shows less.
                let size = 1.0 + c.abs().upper();
                assert!(a.upper() - a.lower() <= 1e-15 * size, "{f:?} of {x}");
            }
            let [narrow, wide] = [c.split().1, b.split().1];
            assert!(wide.at_most(ball(2f64.powi(-200))), "{f:?} of {x}: {:e}", wide.upper());
            assert!(narrow.at_most(ball(2f64.powi(-600))), "{f:?} of {x}: {:e}", narrow.upper());
        }
    }
}

#[test]
fn minus_zero_is_a_number() {
    assert_eq!(Ends::<4>::of(-0.0), Ends::ZERO);
}

/// Of a number with 0 inside neither it nor its negative need seem to be above 0.
#[test]
fn odd_functions_end_around_zero() {
    let of = Functions::<Ends<5>>::new();
    let tiny = 2f64.powi(-200);
    for x in [Ends::of(0.0).widened(Ends::of(tiny)), Ends::of(-tiny).widened(Ends::of(2.0 * tiny))]
    {
        for y in [of.tanh(x), of.erf(x), of.sin_cos(x).0] {
            let y = y.to_ball();
            assert!(y.lower() <= 0.0 && 0.0 <= y.upper() && y.abs().upper() < 64.0 * tiny);
        }
        // Nothing is known about 1 / x.
        assert!(!of.over(Ends::of(1.0), x).to_ball().is_known());
    }
}

/// Values that other programs give, to 50 digits: erf(1/2), tanh(1/2), ln 3, sin 2.
#[test]
fn functions_have_the_values_of_tables() {
    let of = Functions::<Ends<6>>::new();
    let known = [
        (of.erf(Ends::of(0.5)), "0.52049987781304653768274665389196452873645157575796"),
        (of.tanh(Ends::of(0.5)), "0.46211715726000975850231848364367254873028928033011"),
        (of.log(Ends::of(3.0)), "1.0986122886681096913952452369225257046474905578227"),
        (of.sin_cos(Ends::of(2.0)).0, "0.90929742682568169539601986591174484270225497144789"),
    ];
    for (found, digits) in known {
        // A decimal as a fraction of whole numbers.
        let (whole, rest) = digits.split_once('.').unwrap();
        let mut exact = Ends::<6>::ZERO;
        for digit in rest.bytes().rev() {
            exact = (exact + Ends::whole((digit - b'0').into())).over(10);
        }
        exact = exact + Ends::whole(whole.parse().unwrap());
        let off = (found - exact).ball().abs().upper();
        assert!(off < 1e-48, "{digits}: off by {off:e}");
    }
}

/// The files of a model: tanh network of width 3 on data that its outputs nearly fit, or another one.
#[derive(Clone)]
pub(super) struct Files {
    json: Vec<u8>,
    tensors: Vec<u8>,
    pub(super) centre: Vec<u8>,
}

pub(super) fn safetensors(arrays: &[(&str, Vec<usize>, Vec<f64>)]) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    let mut data = Vec::new();
    for (name, shape, values) in arrays {
        let begin = data.len();
        data.extend(values.iter().flat_map(|x| x.to_le_bytes()));
        let entry = json!({"dtype": "F64", "shape": shape, "data_offsets": [begin, data.len()]});
        header.insert((*name).to_owned(), entry);
    }
    let header = serde_json::to_vec(&Value::Object(header)).unwrap();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header);
    file.extend(data);
    file
}

/// r = softmax-free part: tanh(X W + b) v - y, and beside it a softmax of the same scores in one residual.
pub(super) fn network(draw: &mut Draw, off: f64) -> Files {
    let (n, D, width) = (3, 2, 4);
    let x = draw.numbers(n * D, 1.5);
    let W = draw.numbers(D * width, 1.0);
    let b = draw.numbers(width, 0.5);
    let v = draw.numbers(width, 1.0);
    let mut y = vec![0.0; n];
    for i in 0..n {
        let mut z = b.clone();
        for k in 0..D {
            (0..width).for_each(|j| z[j] += x[i * D + k] * W[k * width + j]);
        }
        let top = z.iter().fold(f64::NEG_INFINITY, |a, x| a.max(*x));
        let e: Vec<f64> = z.iter().map(|z| (z - top).exp()).collect();
        let total: f64 = e.iter().sum();
        y[i] = (0..width).map(|j| (z[j].tanh() + e[j] / total) * v[j]).sum::<f64>();
        y[i] += off * (2.0 * draw.uniform() - 1.0);
    }
    let nodes = json!([
        {"op": "parameter", "name": "W", "array": "parameter/W", "shape": [D, width]},
        {"op": "parameter", "name": "b", "array": "parameter/b", "shape": [width]},
        {"op": "parameter", "name": "v", "array": "parameter/v", "shape": [width]},
        {"op": "constant", "array": "constant/0", "shape": [n, D]},
        {"op": "dot_general", "inputs": [3, 0], "contract": [[1], [0]], "batch": [[], []], "shape": [n, width], "place": "here"},
        {"op": "broadcast_in_dim", "inputs": [1], "axes": [1], "shape": [n, width]},
        {"op": "add", "inputs": [4, 5], "shape": [n, width]},
        {"op": "tanh", "inputs": [6], "shape": [n, width]},
        {"op": "softmax", "inputs": [6], "axis": 1, "shape": [n, width]},
        {"op": "add", "inputs": [7, 8], "shape": [n, width]},
        {"op": "dot_general", "inputs": [9, 2], "contract": [[1], [0]], "batch": [[], []], "shape": [n]},
        {"op": "constant", "array": "constant/1", "shape": [n]},
        {"op": "sub", "inputs": [10, 11], "shape": [n]},
    ]);
    let arrays = [
        ("parameter/W", vec![D, width], W),
        ("parameter/b", vec![width], b),
        ("parameter/v", vec![width], v),
        ("constant/0", vec![n, D], x),
        ("constant/1", vec![n], y),
    ];
    let tensors = safetensors(&arrays);
    let model = json!({
        "schema": "gdcert.model/1", "nodes": nodes, "output": 12,
        "arrays": {"file": "model.safetensors", "sha256": sha256(&tensors)},
    });
    Files { json: serde_json::to_vec(&model).unwrap(), tensors, centre: Vec::new() }
}

pub(super) fn trained() -> Vec<String> {
    ["W", "b", "v"].map(str::to_owned).to_vec()
}

impl Files {
    pub(super) fn model(&self) -> Model {
        Model::read(&self.json, &self.tensors, &trained()).unwrap()
    }

    pub(super) fn reference(&self) -> ModelRef {
        ModelRef {
            file: "model.json".into(),
            sha256: sha256(&self.json),
            tensors: FileRef { file: "model.safetensors".into(), sha256: sha256(&self.tensors) },
        }
    }

    pub(super) fn check(&self, certificate: &Certificate) -> Result<Checked, Unreadable> {
        certificate.check(&|name| match name {
            "model.json" => Ok(self.json.clone()),
            "model.safetensors" => Ok(self.tensors.clone()),
            "centre.safetensors" => Ok(self.centre.clone()),
            _ => Err(Unreadable::new("no such file")),
        })
    }
}

/// Numbers for which Theorem A closes at a point, found with the checker's own bounds.
pub(super) fn certificate(
    files: &Files,
    point: &[f64],
    t: u64,
    distance: f64,
) -> Option<ModelRate> {
    let model = files.model();
    let at = Values::<Ball>::new(&model, &exactly(point));
    let J = jacobian(&at);
    let J_upper = gram::<f64>(&J).norm_upper().upper() * 1.001;
    let mut alpha = J_upper;
    while gram::<f64>(&J).sigma_min_at_least(ball(alpha)).is_err() {
        alpha *= 0.98;
        if alpha < 1e-6 {
            return None;
        }
    }
    let beta = (alpha * alpha) * 1.06;
    let r = norm(at.residual().iter().copied()).upper() * 1.01 + 1e-12;
    let site = Site::new(&at);
    for rho in [0.3, 0.1, 0.03, 0.01, 0.003, 0.001] {
        let Bound::Number(h) = site.curvature(rho + distance, super::second::norm(&at)) else {
            continue;
        };
        let h = h * 1.001;
        let alpha_lower = alpha * 0.99 - h * distance;
        let inner = alpha_lower - rho * h * 1.001;
        let smoothness = ((J_upper + rho * h).powi(2) + r * h) * 1.001;
        let eta = 0.5 / smoothness;
        let rate = 2.0 * eta * inner * inner * (1.0 - eta * smoothness / 2.0) * 0.999;
        if inner > 0.0 && r <= rho * inner * 0.7 && eta * beta * 0.6 <= rate {
            let centre = match t {
                0 => files.reference().tensors,
                _ => FileRef { file: "centre.safetensors".into(), sha256: sha256(&files.centre) },
            };
            return Some(ModelRate {
                model: files.reference(),
                trained: trained(),
                centre: Centre { t, file: centre.file, sha256: centre.sha256 },
                reading: Reading::Own("half".into()),
                beta: 0.6 * beta,
                alpha_lower,
                jacobian_norm_upper: J_upper,
                residual_norm_upper: r,
                rho,
                h_rho_upper: h,
                alpha: inner,
                smoothness,
                eta,
                rate_lower: rate,
                margin: 1e-3,
                orbit: None,
            });
        }
    }
    None
}

/// Exact gradient descent in f64, near enough for a centre.
pub(super) fn descend(model: &Model, eta: f64, steps: u64) -> Vec<f64> {
    let mut point = exactly(&model.start());
    let mut values = Values::<Ball>::new(model, &point);
    for _ in 0..steps {
        let gradient = values.gradient(values.residual());
        for (x, g) in point.iter_mut().zip(gradient) {
            *x = ball((*x - ball(eta) * g).near());
        }
        values.move_to(&point);
    }
    point.iter().map(|x| x.near()).collect()
}

pub(super) fn valid(checked: &Result<Checked, Unreadable>) -> bool {
    matches!(checked, Ok(Checked::Valid(_)))
}

/// A certificate from the start, one that an orbit leads to, and a refutation; what each says.
#[test]
fn true_certificates_are_proven() {
    let mut found = 0;
    for seed in 0..6 {
        let mut files = network(&mut draw(seed), 0.003);
        let model = files.model();
        let Some(c) = certificate(&files, &model.start(), 0, 0.0) else { continue };
        found += 1;
        let checked = files.check(&Certificate::ModelRate(c.clone()));
        let Ok(Checked::Valid(proven)) = &checked else { panic!("{seed}: {checked:?}") };
        assert!(proven.statement().contains("the claim half"), "{}", proven.statement());
        // The same by way of its file.
        let text = serde_json::to_vec(&Certificate::ModelRate(c.clone()).to_json()).unwrap();
        let read = CertificateFile::read(&text).unwrap().certificate;
        assert_eq!(read, Certificate::ModelRate(c.clone()));
        // The reading ntk.
        let ntk = ModelRate { reading: Reading::Ntk, beta: c.rate_lower / c.eta, ..c.clone() };
        let whether = files.check(&Certificate::ModelRate(ntk.clone()));
        let J = jacobian(&Values::<Ball>::new(&model, &exactly(&model.start())));
        let above = gram::<f64>(&J).sigma_min_at_least(ball(ntk.beta).sqrt()).is_ok();
        assert!(!(above && valid(&whether)), "{seed}: beta is below lambda_min, and proven");
        // An orbit of a few steps.
        let steps = 7;
        let centre = descend(&model, c.eta, steps);
        files.centre = file_of(&model, &centre);
        let Some(tail) = certificate(&files, &centre, steps, 1e-12) else { continue };
        let orbit = Orbit { steps, distance: 1e-12, bits: 192 };
        let tail = ModelRate { eta: c.eta.min(tail.eta), orbit: Some(orbit), ..tail };
        let rate = 2.0 * tail.eta * tail.alpha.powi(2) * (1.0 - tail.eta * tail.smoothness / 2.0);
        let tail =
            ModelRate { rate_lower: 0.999 * rate, beta: 0.5 * rate / tail.eta, eta: c.eta, ..tail };
        if tail.eta == c.eta && tail.eta * tail.smoothness < 2.0 {
            let checked = files.check(&Certificate::ModelRate(tail.clone()));
            assert!(valid(&checked), "{seed}: {checked:?}");
            let Some(orbit) = &tail.orbit else { continue };
            let late = Orbit { distance: 1e-19, ..orbit.clone() };
            let checked = files
                .check(&Certificate::ModelRate(ModelRate { orbit: Some(late), ..tail.clone() }));
            assert!(!valid(&checked), "{seed}: f64 is nearer than f64");
        }
    }
    assert!(found >= 3, "{found}");
}

/// A step that is too large: the loss rises above any bound.
#[test]
fn true_refutations_are_proven() {
    let files = network(&mut draw(3), 0.5);
    let model = files.model();
    let eta = 0.2;
    let f = |t: u64| {
        let at = Values::<Ball>::new(&model, &exactly(&descend(&model, eta, t)));
        0.5 * norm(at.residual().iter().copied()).near().powi(2)
    };
    let (t, beta) = (3, 4.0);
    let (first, last) = (f(0), f(t));
    let bound = first * (1.0 - eta * beta).powi(t as i32);
    assert!(last > 1.1 * bound, "{first} {last} {bound}");
    let c = ModelRefuted {
        model: files.reference(),
        trained: trained(),
        reading: Reading::Own("mine".into()),
        eta,
        beta,
        t,
        loss_lower: last * 0.99,
        bound_upper: bound * 1.01,
        distance: 0.0,
        bits: 192,
    };
    let checked = files.check(&Certificate::ModelRefuted(c.clone()));
    assert!(valid(&checked), "{checked:?}");
    let larger = ModelRefuted { loss_lower: last * 1.01, ..c.clone() };
    assert!(!valid(&files.check(&Certificate::ModelRefuted(larger))));
    let smaller = ModelRefuted { bound_upper: bound * 0.99, ..c.clone() };
    assert!(!valid(&files.check(&Certificate::ModelRefuted(smaller))));
    // lambda_min is far below 4.
    let ntk = ModelRefuted { reading: Reading::Ntk, ..c };
    assert!(!valid(&files.check(&Certificate::ModelRefuted(ntk))));
}

/// Whether every number of a certificate is what it is called, by evaluations that need no bounds to be refuted: at the
/// centre and at drawn points of the ball.
fn is_false(files: &Files, c: &ModelRate, draw: &mut Draw) -> bool {
    let Ok(model) = Model::read(&files.json, &files.tensors, &c.trained) else { return true };
    let start = model.start();
    let at = Values::<Ball>::new(&model, &exactly(&start));
    let J = jacobian(&at);
    let below = |x: f64| gram::<f64>(&J).norm_at_most(ball(x * (1.0 - 1e-9))).is_ok();
    let residual = norm(at.residual().iter().copied());
    if ball(c.residual_norm_upper).below(residual)
        || gram::<f64>(&J).norm_at_most(ball(c.jacobian_norm_upper)).is_err()
            && !below(c.jacobian_norm_upper)
            && gram::<f64>(&J).norm_upper().lower() > c.jacobian_norm_upper * 1.01
        || gram::<f64>(&J).sigma_min_at_least(ball(c.alpha_lower * (1.0 - 1e-9))).is_err()
    {
        return true;
    }
    // |J(M) - J(C)| <= h |M - C|.
    for _ in 0..3 {
        let step = draw.numbers(start.len(), 1.0);
        let size = step.iter().map(|x| x * x).sum::<f64>().sqrt();
        let by = c.rho.min(1e-3);
        let there: Vec<f64> = start.iter().zip(&step).map(|(x, s)| x + by * s / size).collect();
        let moved = jacobian(&Values::<Ball>::new(&model, &exactly(&there)));
        let mut change = moved;
        change.data.iter_mut().zip(&J.data).for_each(|(x, y)| *x = *x - *y);
        let along: Vec<Ball> = (0..change.rows)
            .map(|a| change.row(a).iter().zip(&step).map(|(x, s)| *x * ball(s / size)).sum())
            .collect();
        if norm(along.into_iter()).lower() > c.h_rho_upper * by * (1.0 + 1e-9) {
            return true;
        }
    }
    // f falls as fast as it says, along gradient descent.
    let f = |t: u64| {
        let at = Values::<Ball>::new(&model, &exactly(&descend(&model, c.eta, t)));
        norm(at.residual().iter().copied())
    };
    let (first, fifth) = (f(0), f(5));
    let rate = 1.0 - c.rate_lower;
    ball(rate.abs().powi(5).sqrt() * (1.0 + 1e-9)).below(fifth / first)
}

/// 500 files that somebody changed: numbers, files, names, sums. None is accepted that says something false, and none
/// whose files are not the ones it names.
#[test]
fn tampered_files_are_not_accepted() {
    let mut draw = draw(11);
    let (mut accepted, mut refused, mut bases) = (0, 0, Vec::new());
    for seed in 0..8 {
        let files = network(&mut self::draw(seed), 0.003);
        if let Some(c) = certificate(&files, &files.model().start(), 0, 0.0) {
            bases.push((files, c));
        }
    }
    for round in 0..500 {
        let (files, c) = &bases[draw.below(bases.len())];
        let mut json = Certificate::ModelRate(c.clone()).to_json();
        let mut files = Files {
            json: files.json.clone(),
            tensors: files.tensors.clone(),
            centre: files.centre.clone(),
        };
        let mut must_fail = false;
        match draw.below(5) {
            0 | 1 => {
                let numbers = [
                    "beta",
                    "alpha_lower",
                    "jacobian_norm_upper",
                    "residual_norm_upper",
                    "rho",
                    "h_rho_upper",
                    "alpha",
                    "smoothness",
                    "eta",
                    "rate_lower",
                ];
                let name = numbers[draw.below(numbers.len())];
                let x = json[name].as_f64().unwrap();
                let factor = [0.0, -1.0, 0.5, 0.9, 0.999, 1.001, 1.1, 2.0, 1e300][draw.below(9)];
                json[name] = json!(x * factor);
            }
            2 => {
                // A byte of the arrays, with or without a new checksum.
                let at = files.tensors.len() - 1 - draw.below(200);
                files.tensors[at] ^= 1 << draw.below(8);
                must_fail = draw.below(2) == 0;
                if !must_fail {
                    let sum = sha256(&files.tensors);
                    json["model"]["tensors"]["sha256"] = json!(sum);
                    json["centre"]["sha256"] = json!(sum);
                }
            }
            3 => {
                // Another operation, input or axis, with a new checksum.
                let mut model: Value = serde_json::from_slice(&files.json).unwrap();
                let node = draw.below(13);
                match draw.below(4) {
                    0 => {
                        model["nodes"][node]["op"] =
                            json!(["tanh", "exp", "neg", "add", "sub", "relu"][draw.below(6)])
                    }
                    1 => model["nodes"][node]["inputs"] = json!([draw.below(13), draw.below(13)]),
                    2 => model["nodes"][node]["shape"] = json!([draw.below(5), draw.below(5)]),
                    _ => model["output"] = json!(draw.below(14)),
                }
                files.json = serde_json::to_vec(&model).unwrap();
                json["model"]["sha256"] = json!(sha256(&files.json));
            }
            _ => {
                let names = json!([
                    ["W", "b"],
                    ["v", "b", "W"],
                    ["W", "b", "v", "x"],
                    [],
                    ["W", "W", "b", "v"]
                ]);
                match draw.below(4) {
                    0 => json["trained"] = names[draw.below(5)].clone(),
                    1 => json["reading"] = json!(["ntk", "value", "stacked", ""][draw.below(4)]),
                    2 => {
                        json["centre"] = json!({"t": draw.below(3), "file": "centre.safetensors", "sha256": "00"})
                    }
                    _ => json["orbit"] = json!({"steps": 3, "distance": 0.1, "bits": 192}),
                }
            }
        }
        let bytes = serde_json::to_vec(&json).unwrap();
        let certificate = match CertificateFile::read(&bytes) {
            Ok(file) => file.certificate,
            Err(_) => {
                refused += 1;
                continue;
            }
        };
        if valid(&files.check(&certificate)) {
            accepted += 1;
            assert!(!must_fail, "round {round}: a file with another checksum");
            let Certificate::ModelRate(c) = &certificate else { panic!("round {round}") };
            assert!(!is_false(&files, c, &mut draw), "round {round}: {c:?}");
        } else {
            refused += 1;
        }
    }
    println!("{accepted} accepted, true; {refused} refused");
    assert!(refused > 300 && accepted > 10, "{accepted} {refused}");
}

/// r = f(w x) c - y for a function f, all of one number each but for x and y.
fn line(f: &str, w: f64, c: f64, x: [f64; 2], y: [f64; 2]) -> Files {
    let nodes = json!([
        {"op": "parameter", "name": "w", "array": "parameter/w", "shape": [1]},
        {"op": "parameter", "name": "c", "array": "parameter/c", "shape": [1]},
        {"op": "constant", "array": "constant/0", "shape": [1, 2]},
        {"op": "dot_general", "inputs": [0, 2], "contract": [[0], [0]], "batch": [[], []], "shape": [2]},
        {"op": f, "inputs": [3], "shape": [2]},
        {"op": "reshape", "inputs": [1], "shape": []},
        {"op": "broadcast_in_dim", "inputs": [5], "axes": [], "shape": [2]},
        {"op": "mul", "inputs": [4, 6], "shape": [2]},
        {"op": "constant", "array": "constant/1", "shape": [2]},
        {"op": "sub", "inputs": [7, 8], "shape": [2]},
    ]);
    let tensors = safetensors(&[
        ("parameter/w", vec![1], vec![w]),
        ("parameter/c", vec![1], vec![c]),
        ("constant/0", vec![1, 2], x.to_vec()),
        ("constant/1", vec![2], y.to_vec()),
    ]);
    let model = json!({
        "schema": "gdcert.model/1", "nodes": nodes, "output": 9,
        "arrays": {"file": "model.safetensors", "sha256": sha256(&tensors)},
    });
    Files { json: serde_json::to_vec(&model).unwrap(), tensors, centre: Vec::new() }
}

/// A gradient that is exactly 0 is proven to be, one that is not is not, however small; nor one that is none.
#[test]
fn standstills_are_proven() {
    let stuck = |files: &Files, trained: &[&str], loss_lower: f64| {
        let c = ModelObstructed {
            model: files.reference(),
            trained: trained.iter().map(|name| (*name).to_owned()).collect(),
            reason: Reason::ZeroGradient,
            loss_lower,
            margin: 0.0,
        };
        valid(&files.check(&Certificate::ModelObstructed(c)))
    };
    let (x, y) = ([0.3, -1.7], [0.1, 0.7]);
    for f in ["tanh", "sin", "erf", "expm1", "log1p"] {
        let both = line(f, 0.0, 0.0, x, y);
        assert!(stuck(&both, &["w", "c"], 0.2499), "{f}");
        // f_0 is 0.25.
        assert!(!stuck(&both, &["w", "c"], 0.2501), "{f}");
        let tiny = line(f, 1e-300, 0.0, x, y);
        assert!(stuck(&tiny, &["w"], 0.2499) && !stuck(&tiny, &["c"], 0.2499), "{f}");
        assert!(!stuck(&line(f, 0.0, 1e-300, x, y), &["w", "c"], 0.2499), "{f}");
    }
    // cos has no slope at 0; the cancellation of 1 and -1 is exact, that of thirds is not known to be one.
    assert!(stuck(&line("cos", 0.0, 0.3, x, y), &["w"], 0.01));
    assert!(stuck(&line("tanh", 0.0, 0.5, [1.0, -1.0], [0.75, 0.75]), &["w"], 0.5));
    assert!(!stuck(&line("tanh", 0.0, 0.5, [1.0, -1.0], [0.75, 0.5]), &["w"], 0.1));
    // Nothing is said where a function has no slope.
    assert!(!stuck(&line("sqrt", 0.0, 0.0, x, y), &["w", "c"], 0.2));
    assert!(!stuck(&line("relu", 0.0, 0.0, x, y), &["w", "c"], 0.2));
    // Of a held parameter it has a value.
    assert!(stuck(&line("relu", 0.0, 0.0, x, y), &["c"], 0.2499));
}

/// Every operation once: a softmax, products of two kinds, a quotient, all functions.
fn all_operations(draw: &mut Draw) -> (Model, usize) {
    let shape = json!([2, 3]);
    let mut nodes = vec![
        json!({"op": "parameter", "name": "a", "array": "parameter/a", "shape": [2, 3]}),
        json!({"op": "parameter", "name": "c", "array": "parameter/c", "shape": [3, 3]}),
        json!({"op": "constant", "array": "constant/0", "shape": [2, 3]}),
        json!({"op": "constant", "array": "constant/1", "shape": [2, 3]}),
        json!({"op": "dot_general", "inputs": [0, 1], "contract": [[1], [0]], "batch": [[], []], "shape": [2, 3]}),
    ];
    let mut node = |op: &str, inputs: &[usize], more: Value| {
        let mut node = json!({"op": op, "inputs": inputs, "shape": shape});
        let more = more.as_object().cloned().unwrap_or_default();
        node.as_object_mut().unwrap().extend(more);
        nodes.push(node);
        nodes.len() - 1
    };
    let mut two = |op: &str, u: usize, w: usize| node(op, &[u, w], Value::Null);
    let mul = two("mul", 4, 2);
    let square = two("mul", 4, 0);
    let square = two("mul", square, square);
    let above_1 = two("add", square, 3);
    let over = two("div", mul, above_1);
    let max = two("max", above_1, over);
    let mut sum = two("sub", over, max);
    for op in ["tanh", "logistic", "softplus", "erf", "erfc", "sin", "cos", "atan", "exp", "expm1"]
    {
        let u = node(op, &[mul], Value::Null);
        sum = node("add", &[sum, u], Value::Null);
        sum = node("mul", &[sum, 2], Value::Null);
    }
    for op in ["log", "log1p", "sqrt", "rsqrt", "abs", "relu"] {
        let u = node(op, &[above_1], Value::Null);
        sum = node("sub", &[sum, u], Value::Null);
    }
    for (u, exponent) in [(mul, 3), (above_1, -2), (mul, 2)] {
        let u = node("integer_pow", &[u], json!({"exponent": exponent}));
        sum = node("add", &[sum, u], Value::Null);
    }
    let power = node("pow", &[above_1], json!({"exponent": 0.7}));
    sum = node("add", &[sum, power], Value::Null);
    let p = node("softmax", &[sum], json!({"axis": 1}));
    let batched = json!({"contract": [[], []], "batch": [[0, 1], [0, 1]]});
    let last = node("dot_general", &[p, sum], batched);
    let both = node("add", &[last, p], Value::Null);
    let a = ("parameter/a", vec![2, 3], draw.numbers(6, 0.6));
    let c = ("parameter/c", vec![3, 3], draw.numbers(9, 0.6));
    let x = ("constant/0", vec![2, 3], draw.numbers(6, 0.8));
    let some = ("constant/1", vec![2, 3], vec![1.5; 6]);
    let tensors = safetensors(&[a, c, x, some]);
    let model = json!({
        "schema": "gdcert.model/1", "nodes": nodes, "output": both,
        "arrays": {"file": "model.safetensors", "sha256": sha256(&tensors)},
    });
    let json = serde_json::to_vec(&model).unwrap();
    let names = ["a", "c"].map(str::to_owned);
    (Model::read(&json, &tensors, &names).unwrap(), both)
}

/// D^2F[u, w] at a point, nearly: a difference of J w over 2e-4 u.
fn second_difference(model: &Model, point: &[f64], u: &[f64], w: &[f64]) -> f64 {
    let along = |by: f64| -> Vec<f64> {
        let there: Vec<f64> = point.iter().zip(u).map(|(x, u)| x + by * u).collect();
        let J = jacobian(&Values::<Ball>::new(model, &exactly(&there)));
        (0..J.rows).map(|a| J.row(a).iter().zip(w).map(|(x, w)| x.upper() * w).sum()).collect()
    };
    let (ahead, behind) = (along(1e-4), along(-1e-4));
    let squares = ahead.iter().zip(behind).map(|(a, b)| ((a - b) / 2e-4).powi(2));
    squares.sum::<f64>().sqrt()
}

/// Lemma 7: no difference of derivatives in the ball is above the bound, and at the centre the best of some is near it.
#[test]
fn second_derivatives_are_below_their_bounds() {
    for seed in 0..12 {
        let mut draw = draw(seed);
        let model = match seed % 2 {
            0 => network(&mut draw, 0.5).model(),
            _ => all_operations(&mut draw).0,
        };
        let start = model.start();
        let at = Values::<Ball>::new(&model, &exactly(&start));
        let (site, second) = (Site::new(&at), super::second::norm(&at));
        let direction = |draw: &mut Draw| {
            let v = draw.numbers(start.len(), 1.0);
            let size = v.iter().map(|x| x * x).sum::<f64>().sqrt();
            v.into_iter().map(|x| x / size).collect::<Vec<_>>()
        };
        let mut best = 0.0f64;
        for radius in [0.0, 1e-3, 0.02] {
            let Bound::Number(h) = site.curvature(radius, second) else { panic!("no bound") };
            let Bound::Number(by_rules) = site.curvature(radius, None) else { panic!("no bound") };
            assert!(h <= by_rules, "{seed}: {h} > {by_rules}");
            for _ in 0..60 {
                let [step, u, w] = [0; 3].map(|_| direction(&mut draw));
                let by = radius * draw.uniform();
                let point: Vec<f64> = start.iter().zip(step).map(|(x, s)| x + by * s).collect();
                let found = second_difference(&model, &point, &u, &w);
                // The difference is off by some 1e-8 of third derivatives of D F.
                assert!(found <= h * (1.0 + 1e-4) + 1e-6, "{seed} {radius}: {found} > {h}");
                if radius == 0.0 {
                    best = best.max(found);
                }
            }
        }
        let second = second.unwrap();
        assert!(best > 0.05 * second, "{seed}: {best} of {second}");
    }
}
