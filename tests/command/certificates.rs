//! `check` accepts what `certify` proves, and nothing else: a campaign of tampered certificates.
//!
//! Whether a tampered certificate is still true is decided here by a third path: f64 formulas and singular value
//! decompositions of the formed Jacobian, right to about 1e-9. What they find violated by more than 1e-7, a tenth of the margin of
//! a certificate, must be refused.

use gdcert::bounds::{Curvature, Sharp, f_hull};
use gdcert::certificate::{Box3, Certificate, Checked, ScaleSearch, TheoremA, check};
use gdcert::model::{Head, jacobian, residual};
use gdcert::spectrum::Reading;
use gdcert::{Certified, Dims, Eta, Goal, Init, Instance, Kernel, Trained, certify};
use nalgebra::DMatrix;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::path::PathBuf;
use std::process::Command;

/// A certificate with its files.
struct Case {
    name: String,
    folder: tempfile::TempDir,
    json: Value,
    instance: Instance,
    centre: Instance,
}

impl Case {
    fn new(name: &str, instance: Instance, goal: &Goal) -> Case {
        let found = certify(&instance, goal).unwrap();
        let (certificate, centre) = match found {
            Certified::Rate {
                certificate,
                proven,
                ..
            } => (certificate, proven.centre),
            Certified::Obstructed(certificate) | Certified::Refuted(certificate) => {
                (certificate, None)
            }
            Certified::Refused(why) => panic!("{name}: {why}"),
        };
        let case = Case {
            name: name.to_owned(),
            folder: tempfile::tempdir().unwrap(),
            json: certificate.to_json(),
            centre: centre.clone().unwrap_or(instance.clone()),
            instance,
        };
        case.put("instance.safetensors", &case.instance.to_bytes().unwrap());
        if let Some(centre) = centre {
            case.put("centre.safetensors", &centre.to_bytes().unwrap());
        }
        case
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.folder.path().join(name), bytes).unwrap();
    }

    /// What `check` says of this JSON beside this case's files; `None` if it can not be read.
    fn verdict(&self, json: &Value) -> Option<Checked> {
        self.put("certificate.json", json.to_string().as_bytes());
        check(&self.path()).ok()
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("certificate.json")
    }

    fn accepts(&self, json: &Value) -> bool {
        matches!(self.verdict(json), Some(Checked::Valid(_)))
    }

    fn theorem_a(&self, json: &Value) -> Option<TheoremA> {
        self.put("other.json", json.to_string().as_bytes());
        match Certificate::read(&self.folder.path().join("other.json")) {
            Ok(Certificate::TheoremA(c)) => Some(c),
            _ => None,
        }
    }
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn dims(N: usize, n: usize, D: usize, d: usize, H: usize, p: usize) -> Dims {
    Dims { N, n, D, d, H, p }
}

/// Certificates of every kind: kernels, trained blocks, readings, outputs, ball and box, at M_0 and on a tail.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let goal = |trained: &str, reading: Reading| Goal {
        trained: trained.parse().unwrap(),
        reading: Some(reading.into()),
        claims: Vec::new(),
        eta: Eta::Certified,
        tail: 0,
        orbit: None,
    };
    for kernel in [Kernel::Softmax, Kernel::Gaussian] {
        let mut add = |name: &str, dims: Dims, init: Init, goal: Goal| {
            let instance = Instance::random(dims, kernel, init, 1).unwrap();
            cases.push(Case::new(&format!("{name}, {kernel}"), instance, &goal));
        };
        let (wide, deep) = (dims(2, 3, 6, 4, 4, 1), dims(2, 2, 8, 4, 4, 1));
        let (lazy, paired) = (|omega| Init::Lazy { omega }, |s| Init::Paired { s });
        // Just above the smallest scales, where it takes the box, and far above.
        for (name, dims, init, trained, reading) in [
            ("lazy QKV, close", wide, lazy(1.0), "QKV", Reading::PerHead),
            ("paired Q, close", deep, paired(1.0), "Q", Reading::Ntk),
            ("paired QKV, close", deep, paired(1.0), "QKV", Reading::Ntk),
            (
                "lazy QKV, two outputs",
                Dims { p: 2, ..wide },
                lazy(1.0),
                "QKV",
                Reading::PerHead,
            ),
        ] {
            let goal = goal(trained, reading);
            let search = ScaleSearch::new(dims, kernel, init, goal.trained, 1).unwrap();
            let scale = 1.02 * search.smallest(0.5).unwrap();
            add(name, dims, init.with_scale(scale), goal);
        }
        add("lazy QKV", wide, lazy(1e6), goal("QKV", Reading::Ntk));
        add("lazy V", wide, lazy(10.0), goal("V", Reading::Value));
        add(
            "lazy QV, two outputs",
            dims(2, 3, 6, 4, 4, 2),
            lazy(1e6),
            goal("QV", Reading::PerHead),
        );
        add("paired Q", deep, paired(3e4), goal("Q", Reading::Ntk));
        add("paired QK", deep, paired(1e6), goal("QK", Reading::Ntk));
        add("paired KV", deep, paired(1e6), goal("KV", Reading::Ntk));
        add(
            "paired Q, two outputs",
            dims(2, 2, 12, 6, 4, 2),
            paired(1e6),
            goal("Q", Reading::Ntk),
        );
        // Readings that do not apply: fewer features than tokens, heads narrower than the output.
        add(
            "few features",
            dims(4, 3, 4, 8, 2, 1),
            paired(1e7),
            goal("QKV", Reading::Ntk),
        );
        add(
            "narrow heads",
            dims(2, 2, 8, 1, 8, 2),
            paired(1e7),
            goal("QKV", Reading::Ntk),
        );
        let tail = Goal {
            eta: Eta::Auto,
            tail: 20_000,
            ..goal("QKV", Reading::PerHead)
        };
        add("tail QKV", dims(2, 3, 8, 4, 6, 1), Init::Lecun, tail);
        let tail = Goal {
            eta: Eta::Auto,
            tail: 20_000,
            ..goal("QKV", Reading::Value)
        };
        add("tail QKV value", dims(2, 3, 8, 4, 6, 1), Init::Lecun, tail);
    }
    cases
}

fn obstructions() -> Vec<Case> {
    let goal = Goal {
        trained: Trained::Q,
        ..Goal::default()
    };
    let case = |name: &str, init: Init, seed: u64| {
        let instance =
            Instance::random(dims(3, 3, 5, 2, 2, 1), Kernel::Softmax, init, seed).unwrap();
        Case::new(name, instance, &goal)
    };
    vec![
        case("constant values", Init::ConstantValue { s: 2.0 }, 3),
        case("hull", Init::Lecun, 5),
    ]
}

/// What the claims are about, by the third path.
struct Truth {
    residual: f64,
    /// sigma_min (m-th) and norm of J over the trained blocks and over each block.
    J: (f64, f64),
    blocks: [(f64, f64); 3],
    beta: f64,
}

fn singular(J: &DMatrix<f64>) -> (f64, f64) {
    if J.ncols() == 0 {
        return (0.0, 0.0);
    }
    let s = J.clone().singular_values();
    (if J.ncols() < J.nrows() { 0.0 } else { s.min() }, s.max())
}

fn formed(instance: &Instance, trained: Trained) -> Option<DMatrix<f64>> {
    let J = jacobian::<f64>(instance, instance.W(), trained);
    J.iter().all(|x| x.abs() < 1e100).then_some(J)
}

/// beta as theory.md section 2 defines it.
fn beta(instance: &Instance, trained: Trained, reading: Reading) -> Option<f64> {
    let (Dims { n, D, H, .. }, W) = (instance.dims(), instance.W());
    let least = |O: &DMatrix<f64>| (O.transpose() * O).singular_values().min();
    let of_B = || {
        let mut B = DMatrix::zeros(instance.dims().tokens(), H * D);
        for (i, x) in instance.X().iter().enumerate() {
            for h in 0..H {
                let S = Head::new(instance, W, i, h).S;
                B.view_mut((i * n, h * D), (n, D)).copy_from(&(S * x));
            }
        }
        singular(&B).0.powi(2)
    };
    Some(match reading {
        Reading::Stacked => {
            let rows: Vec<_> = W.O.iter().flat_map(|o| o.row_iter()).collect();
            least(&DMatrix::from_rows(&rows)) * of_B()
        }
        Reading::PerHead => W.O.iter().map(least).fold(f64::MAX, f64::min) * of_B(),
        Reading::Value => singular(&formed(instance, only(2))?).0.powi(2),
        Reading::Ntk => singular(&formed(instance, trained)?).0.powi(2),
    })
}

fn only(b: usize) -> Trained {
    ["Q", "K", "V"][b].parse().unwrap()
}

impl Truth {
    /// `None` where f64 overflows.
    fn new(
        instance: &Instance,
        centre: &Instance,
        trained: Trained,
        reading: Reading,
    ) -> Option<Truth> {
        formed(centre, trained)?;
        let J = |trained| singular(&jacobian(centre, centre.W(), trained));
        let r: Vec<f64> = residual(centre, centre.W());
        Some(Truth {
            residual: r.iter().map(|r| r * r).sum::<f64>().sqrt(),
            J: J(trained),
            blocks: [0, 1, 2].map(|b| {
                if trained.flags()[b] {
                    J(only(b))
                } else {
                    (0.0, 0.0)
                }
            }),
            beta: beta(instance, trained, reading)?,
        })
    }

    fn resolved(&self, centre: &Instance, A: Trained) -> f64 {
        singular(&jacobian(centre, centre.W(), A)).0
    }
}

/// The smallest relative slack of all that a certificate claims or rests on; below 0 something is false.
fn slack(c: &TheoremA, instance: &Instance, centre: &Instance, truth: &Truth) -> f64 {
    let mut worst = f64::INFINITY;
    let mut need = |small: f64, large: f64| {
        let slack = (large - small) / large.abs().max(small.abs());
        // 0 <= 0 holds and is no close call; NaN does not.
        worst = match (small == 0.0 && large == 0.0, slack.is_nan()) {
            (true, _) => worst,
            (_, true) => -1.0,
            _ => worst.min(slack),
        };
    };
    for positive in [
        c.beta,
        c.alpha_lower,
        c.jacobian_norm_upper,
        c.rho,
        c.alpha,
        c.smoothness,
        c.eta,
        c.rate_lower,
    ] {
        need(f64::MIN_POSITIVE, positive);
    }
    need(0.0, c.residual_norm_upper);
    need(0.0, c.h_rho_upper);
    need(0.0, c.margin);
    let Dims { D, d, H, p, .. } = instance.dims();
    let of_B = matches!(c.reading.as_str(), "per_head" | "stacked");
    let applies = (c.trained.v() || c.reading == Reading::Ntk.name())
        && (!of_B || H * D >= instance.dims().tokens())
        && (c.reading != Reading::PerHead.name() || d >= p);
    need(f64::from(u8::from(!applies)), 0.0);
    need(truth.residual, c.residual_norm_upper);
    need(truth.J.1, c.jacobian_norm_upper);
    need(truth.beta, c.beta);
    let (alpha_c, R, h) = (c.alpha_lower, c.residual_norm_upper, c.h_rho_upper);
    let contraction = 1.0 - c.eta * c.smoothness / 2.0;
    need(0.0, contraction - f64::MIN_POSITIVE);
    need(c.rate_lower, 2.0 * c.eta * c.alpha * c.alpha * contraction);
    need(c.eta * c.beta, c.rate_lower);
    let largest_entry = |H: [[f64; 3]; 3]| {
        DMatrix::from_fn(3, 3, |a, b| H[a][b])
            .singular_values()
            .max()
    };
    // The crate's bound on |W^O_h| is up to p^{1/16} too large, check's is not.
    let exact = (p as f64).powf(-1.0 / 16.0);
    let sharp = Sharp::<f64>::new(centre, c.trained).scaled(1.0, exact);
    let H = |radii: [f64; 3]| sharp.H(&radii);
    match &c.region {
        None => {
            need(c.alpha_lower, truth.J.0);
            let crude = Curvature::new(centre, c.trained).unwrap().h(c.rho);
            let sharp = largest_entry(H([c.rho; 3]));
            need(crude.min(sharp), h);
            need(c.alpha, alpha_c - c.rho * h);
            need(
                (c.jacobian_norm_upper + c.rho * h).powi(2) + R * h,
                c.smoothness,
            );
            need(R, c.rho * c.alpha * contraction);
        }
        Some(Box3 {
            resolved,
            radii,
            jacobian_norms_upper,
        }) => {
            let (radii, norms): ([f64; 3], [f64; 3]) =
                ((*radii).into(), (*jacobian_norms_upper).into());
            let on = c.trained.flags();
            let A = resolved.flags();
            for b in 0..3 {
                need(0.0, radii[b]);
                need(
                    f64::from(u8::from(
                        !on[b] && (A[b] || radii[b] != 0.0 || norms[b] != 0.0),
                    )),
                    0.0,
                );
                need(truth.blocks[b].1, norms[b]);
            }
            need(c.alpha_lower, truth.resolved(centre, *resolved));
            let H = H(radii);
            let e: Vec<f64> = H
                .iter()
                .map(|row| (0..3).map(|b| row[b] * radii[b]).sum())
                .collect();
            let norm = |keep: [bool; 3]| {
                (0..3)
                    .filter(|&b| keep[b])
                    .map(|b| e[b] * e[b])
                    .sum::<f64>()
                    .sqrt()
            };
            need(largest_entry(H), h);
            need(c.alpha, alpha_c - norm(A));
            need(
                (c.jacobian_norm_upper + norm([true; 3])).powi(2) + R * largest_entry(H),
                c.smoothness,
            );
            let tau = 2.0 * R / ((alpha_c + c.alpha) * contraction);
            need(tau, c.rho);
            for b in (0..3).filter(|&b| on[b]) {
                let slope = (norms[b] / alpha_c + (norms[b] + e[b]) / c.alpha) / 2.0;
                need(tau * slope.min(1.0), radii[b]);
            }
        }
    }
    worst
}

/// How many certificates were refused, and how many accepted because they are still true.
#[derive(Default)]
struct Tally {
    refused: usize,
    still_true: usize,
}

/// What the third path finds false by more than this must be refused.
const FALSE: f64 = -1e-7;

impl Tally {
    /// Checks a tampered certificate of Theorem A against the truth about its (tampered) files.
    fn theorem_a(&mut self, case: &Case, what: &str, json: &Value, files: (&Instance, &Instance)) {
        let accepted = case.accepts(json);
        if !accepted {
            self.refused += 1;
            return;
        }
        let c = case.theorem_a(json).expect("accepted, so readable");
        let truth = Truth::new(files.0, files.1, c.trained, c.reading.parse().unwrap())
            .unwrap_or_else(|| {
                panic!(
                    "{}: nothing is proven where f64 overflows: {what}",
                    case.name
                )
            });
        let slack = slack(&c, files.0, files.1, &truth);
        assert!(
            slack >= FALSE,
            "{}: accepted though false by {slack:e}: {what}\n{json:#}",
            case.name
        );
        self.still_true += 1;
    }
}

#[test]
fn certificates_are_accepted_on_any_number_of_threads() {
    for case in cases().iter().chain(&obstructions()) {
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| case.verdict(&case.json))
        };
        let one = on(1);
        assert!(
            matches!(one, Some(Checked::Valid(_))),
            "{}: {one:?}\n{:#}",
            case.name,
            case.json
        );
        assert_eq!(one, on(2), "{}", case.name);
        if let Some(c) = case.theorem_a(&case.json) {
            let truth = Truth::new(
                &case.instance,
                &case.centre,
                c.trained,
                c.reading.parse().unwrap(),
            )
            .unwrap();
            // The third path agrees: true with what is left of the margin.
            let slack = slack(&c, &case.instance, &case.centre, &truth);
            assert!(slack > 0.0, "{}: {slack:e}", case.name);
        }
    }
}

/// Relative changes: within the margin 2^-20 = 9.5e-7 of a bound, just beyond it, and far.
const FACTORS: [f64; 18] = [
    1.0 - 1e-9,
    1.0 + 1e-9,
    1.0 - 5e-7,
    1.0 + 5e-7,
    1.0 - 1.2e-6,
    1.0 + 1.2e-6,
    1.0 - 3e-6,
    1.0 + 3e-6,
    1.0 - 1e-4,
    1.0 + 1e-4,
    0.9,
    1.1,
    0.5,
    2.0,
    1e-3,
    1e3,
    0.0,
    -1.0,
];

#[test]
fn every_number_is_a_claim() {
    let mut tally = Tally::default();
    let numbers = [
        "/beta",
        "/alpha_lower",
        "/jacobian_norm_upper",
        "/residual_norm_upper",
        "/rho",
        "/h_rho_upper",
        "/alpha",
        "/smoothness",
        "/eta",
        "/rate_lower",
        "/box/radii/Q",
        "/box/radii/K",
        "/box/radii/V",
        "/box/jacobian_norms_upper/Q",
        "/box/jacobian_norms_upper/K",
        "/box/jacobian_norms_upper/V",
    ];
    let (mut boxes, mut bites) = (0, std::collections::BTreeMap::new());
    for case in &cases() {
        boxes += usize::from(case.json.get("box").is_some());
        for field in numbers {
            let Some(x) = case.json.pointer(field).and_then(Value::as_f64) else {
                continue;
            };
            for factor in FACTORS {
                let mut json = case.json.clone();
                // A number that is 0 (a block that does not move) becomes positive.
                let tampered = if x == 0.0 { factor * 1e-3 } else { factor * x };
                *json.pointer_mut(field).unwrap() = json!(tampered);
                let before = tally.refused;
                tally.theorem_a(
                    case,
                    &format!("{field} times {factor}"),
                    &json,
                    (&case.instance, &case.centre),
                );
                *bites.entry(field).or_insert(0) += tally.refused - before;
            }
        }
    }
    println!(
        "{} refused, {} still true; by field {bites:?}",
        tally.refused, tally.still_true
    );
    assert!(boxes >= 4, "{boxes} boxes");
    assert!(tally.refused >= 2000);
    assert!(numbers.iter().all(|field| bites[field] > 0), "{bites:?}");
}

/// Two numbers at once: the second is made to fit the first, so that only the claim itself can fail.
#[test]
fn consistent_lies_are_refused() {
    let mut tally = Tally::default();
    for case in &cases() {
        for factor in [1.0 + 1.2e-6, 1.001, 1.1, 2.0f64] {
            let mut lie = |certain: bool, changes: &[(&str, f64)]| {
                let mut json = case.json.clone();
                for (field, power) in changes {
                    if let Some(x) = json.pointer(field).and_then(Value::as_f64) {
                        *json.pointer_mut(field).unwrap() = json!(x * factor.powf(*power));
                    }
                }
                let before = tally.refused;
                tally.theorem_a(
                    case,
                    &format!("{changes:?} {factor}"),
                    &json,
                    (&case.instance, &case.centre),
                );
                assert!(
                    !certain || tally.refused > before,
                    "{}: {changes:?} {factor}",
                    case.name
                );
            };
            // Where the closed form was used, the sharp one may still prove a smaller h.
            // A better rate by a larger alpha; a smaller ball or a better rate by a smaller h, residual or Jacobian.
            lie(
                true,
                &[("/alpha_lower", 1.0), ("/alpha", 1.0), ("/rate_lower", 2.0)],
            );
            lie(
                // The checker's own bound may be a little sharper than the prover's.
                factor > 1.01 && case.json.get("box").is_some() && case.instance.dims().p == 1,
                &[("/h_rho_upper", -1.0)],
            );
            lie(true, &[("/residual_norm_upper", -1.0), ("/rho", -1.0)]);
            lie(
                true,
                &[("/jacobian_norm_upper", -1.0), ("/smoothness", -2.0)],
            );
            lie(true, &[("/beta", -1.0)]);
        }
    }
    println!("{} refused", tally.refused);
}

/// Bytes of the instance changed, the hash made to match; and the same for the centre of a tail.
#[test]
fn changed_instances_are_judged_by_their_contents() {
    let mut tally = Tally::default();
    for case in &cases() {
        let centre_is_instance = case.json["centre"]["t"] == json!(0);
        let bytes = case.instance.to_bytes().unwrap();
        let data = bytes.len() - 8 * entries(&case.instance);
        let count = entries(&case.instance);
        for flip in 0..24 {
            // Exponent and sign, high and low bits of the mantissa, spread over all tensors.
            let (entry, bit) = (
                (flip * 7919 + 13) % count,
                [62, 63, 53, 51, 40, 33, 10, 0][flip % 8],
            );
            let mut bytes = bytes.clone();
            bytes[data + 8 * entry + bit / 8] ^= 1 << (bit % 8);
            case.put("instance.safetensors", &bytes);
            let mut json = case.json.clone();
            json["instance"]["sha256"] = json!(hash(&bytes));
            if centre_is_instance {
                json["centre"]["sha256"] = json!(hash(&bytes));
            }
            let path = case.folder.path().join("instance.safetensors");
            let what = format!("bit {bit} of entry {entry}");
            match Instance::read(&path, None) {
                Ok(changed) => {
                    let centre = if centre_is_instance {
                        &changed
                    } else {
                        &case.centre
                    };
                    tally.theorem_a(case, &what, &json, (&changed, centre));
                }
                Err(_) => {
                    assert_eq!(case.verdict(&json), None, "{}: {what}", case.name);
                    tally.refused += 1;
                }
            }
            // Without the matching hash nothing is accepted.
            assert!(!case.accepts(&case.json), "{}: {what}", case.name);
            tally.refused += 1;
        }
        case.put("instance.safetensors", &bytes);
    }
    println!("{} refused, {} still true", tally.refused, tally.still_true);
    assert!(tally.refused >= 600);
}

fn entries(instance: &Instance) -> usize {
    let Dims { N, n, D, d, H, p } = instance.dims();
    N * n * (D + p) + H * d * (3 * D + p)
}

/// The instance with one entry of X, y, W^O, W^Q, W^K or W^V changed in its last bits.
fn nudged(instance: &Instance, part: usize) -> Instance {
    let (mut X, mut y) = (instance.X().to_vec(), instance.y().to_vec());
    let mut W = instance.W().clone();
    let entry = match part {
        0 => &mut X[0][(0, 0)],
        1 => &mut y[0][(0, 0)],
        2 => &mut W.O[0][(0, 0)],
        3 => &mut W.Q[0][(0, 0)],
        4 => &mut W.K[0][(0, 0)],
        _ => &mut W.V[0][(0, 0)],
    };
    *entry = if *entry == 0.0 {
        1e-13
    } else {
        *entry * (1.0 + 1e-13)
    };
    Instance::new(instance.kernel(), X, y, W).unwrap()
}

/// Everything in the file that is not a number.
#[test]
fn words_are_claims_too() {
    let mut tally = Tally::default();
    let cases = cases();
    for case in &cases {
        let files = (&case.instance, &case.centre);
        let mut set = |field: &str, value: Value| {
            let mut json = case.json.clone();
            if json.pointer(field).is_some_and(|old| *old != value) {
                *json.pointer_mut(field).unwrap() = value;
                tally.theorem_a(case, field, &json, files);
            }
        };
        for trained in ["Q", "K", "V", "QK", "QV", "KV", "QKV"] {
            set("/trained", json!(trained));
            set("/box/resolved", json!(trained));
        }
        for reading in ["stacked", "per_head", "value", "ntk"] {
            set("/reading", json!(reading));
        }
        let unread = |field: &str, value: Value| {
            let mut json = case.json.clone();
            *json.pointer_mut(field).unwrap() = value;
            assert_eq!(case.verdict(&json), None, "{}: {field}", case.name);
        };
        unread("/schema", json!("gdcert.certificate/2"));
        unread("/trained", json!("QQ"));
        unread("/beta", json!("1"));
        unread("/eta", Value::Null);
        unread("/instance/file", json!("missing.safetensors"));
        unread("/centre/t", json!(-1));
        let refused = |field: &str, value: Value| {
            let mut json = case.json.clone();
            *json.pointer_mut(field).unwrap() = value;
            let verdict = case.verdict(&json);
            assert!(
                matches!(verdict, Some(Checked::Unproven(_))),
                "{}: {field} {verdict:?}",
                case.name
            );
        };
        let other = if case.json["kernel"] == json!("softmax") {
            "gaussian"
        } else {
            "softmax"
        };
        refused("/kernel", json!(other));
        refused("/margin", json!(-1e-6));
        refused("/instance/sha256", json!("0".repeat(64)));
        refused("/centre/sha256", json!("0".repeat(64)));
        refused("/instance/file", json!("../instance.safetensors"));
        refused("/centre/file", json!("./instance.safetensors"));
        for field in case.json.as_object().unwrap().keys() {
            let mut json = case.json.clone();
            json.as_object_mut().unwrap().shift_remove(field);
            let free = case.verdict(&json);
            assert!(
                field == "box" || free.is_none(),
                "{}: without {field}",
                case.name
            );
            if field == "box" {
                tally.theorem_a(case, "no box", &json, files);
            }
        }
        let mut json = case.json.clone();
        json["more"] = json!(1);
        assert_eq!(case.verdict(&json), None);
        // The centre of a tail called M_0, and a point that is not on the way called M_t.
        let t = case.json["centre"]["t"].as_u64().unwrap();
        if t > 0 {
            refused("/centre/t", json!(0));
        }
        let stranger = cases
            .iter()
            .find(|other| other.instance.X() != case.instance.X())
            .unwrap();
        let bytes = stranger.centre.to_bytes().unwrap();
        case.put("stranger.safetensors", &bytes);
        let mut json = case.json.clone();
        json["centre"] =
            json!({"t": t + 1, "file": "stranger.safetensors", "sha256": hash(&bytes)});
        assert!(!case.accepts(&json), "{}: another centre", case.name);
        // A point a hair away, where every number is still true: only trained blocks may differ, and at M_0 nothing.
        let trained: Trained = case.json["trained"].as_str().unwrap().parse().unwrap();
        let [q, k, v] = trained.flags();
        for (part, moves) in [false, false, false, q, k, v].into_iter().enumerate() {
            let moved = nudged(&case.centre, part);
            let bytes = moved.to_bytes().unwrap();
            case.put("stranger.safetensors", &bytes);
            for t in [0, t + 1] {
                let mut json = case.json.clone();
                json["centre"] =
                    json!({"t": t, "file": "stranger.safetensors", "sha256": hash(&bytes)});
                if moves && t > 0 {
                    tally.theorem_a(case, "centre moved", &json, (&case.instance, &moved));
                } else {
                    assert!(
                        !case.accepts(&json),
                        "{}: part {part} differs at {t}",
                        case.name
                    );
                }
            }
        }
        // Nothing rests on the words, and a difference is said.
        let mut json = case.json.clone();
        json["statement"] = json!("gradient descent converges at once");
        let proven = |json: &Value| match case.verdict(json) {
            Some(Checked::Valid(proven)) => proven,
            other => panic!("{}: {other:?}", case.name),
        };
        let (forged, own) = (proven(&json), proven(&case.json));
        assert_eq!(forged.statement(), own.statement());
        assert_eq!(own.remarks().len(), usize::from(t > 0));
        assert_eq!(forged.remarks().len(), own.remarks().len() + 1);
    }
    println!("{} refused, {} still true", tally.refused, tally.still_true);
}

#[test]
fn obstructions_are_claims() {
    for case in obstructions() {
        let hull = f_hull(&case.instance).unwrap();
        let loss = case.json["loss_lower"].as_f64().unwrap();
        assert!(loss < hull && loss > 0.999 * hull);
        for factor in FACTORS {
            let mut json = case.json.clone();
            json["loss_lower"] = json!(factor * loss);
            let accepted = case.accepts(&json);
            assert!(
                !accepted || (factor * loss <= hull * (1.0 + 1e-9) && factor > 0.0),
                "{factor}"
            );
            assert!(
                accepted || factor <= 0.0 || factor * loss > hull * (1.0 - 1e-9),
                "{factor}"
            );
        }
        let set = |field: &str, value: &str| {
            let mut json = case.json.clone();
            json[field] = json!(value);
            case.accepts(&json)
        };
        assert!(set("trained", "QK") && set("trained", "K"));
        assert!(!set("trained", "QKV") && !set("trained", "V") && !set("kernel", "gaussian"));
        // A hull bound with constant values is one; a moving gradient is not zero.
        assert!(set("reason", "hull"));
        assert_eq!(
            set("reason", "zero_gradient"),
            case.name == "constant values"
        );
        // The Gaussian kernel on the same bytes.
        let gaussian = case
            .instance
            .clone()
            .with_kernel(Kernel::Gaussian)
            .to_bytes()
            .unwrap();
        case.put("instance.safetensors", &gaussian);
        let mut json = case.json.clone();
        json["instance"]["sha256"] = json!(hash(&gaussian));
        assert!(!case.accepts(&json));
        json["kernel"] = json!("gaussian");
        assert!(!case.accepts(&json));
    }
}

fn gdcert(args: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_gdcert"))
        .args(args)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn check_on_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let sizes = ["-N", "2", "-n", "3", "-D", "6", "-d", "4", "-H", "4"];
    let certify = [
        &["certify"],
        &sizes[..],
        &["--init", "lazy", "--scale", "1e6", "--out", out],
    ]
    .concat();
    assert_eq!(gdcert(&certify).0, 0);
    let path = folder.path().join("certificate.json");
    let name = path.to_str().unwrap();
    let (code, stdout, stderr) = gdcert(&["check", name]);
    assert!(
        code == 0 && stdout.starts_with("valid: Exact gradient descent on QKV"),
        "{stdout}{stderr}"
    );
    assert_eq!(gdcert(&["check", name, "--threads", "1"]).1, stdout);
    assert_eq!(gdcert(&["check", name, "--threads", "2"]).1, stdout);
    let json: Value = serde_json::from_str(&gdcert(&["check", name, "--json"]).1).unwrap();
    assert_eq!(json["valid"], json!(true));
    let statement = json["statement"].as_str().unwrap();
    let about = json["about"].as_str().unwrap();
    assert_eq!(stdout, format!("valid: {statement}\n{about}\n"));
    assert_eq!(json["remarks"], json!([]));
    assert_eq!(gdcert(&["check", out]).1, stdout);

    let text = std::fs::read_to_string(&path).unwrap();
    let mut tampered: Value = serde_json::from_str(&text).unwrap();
    tampered["residual_norm_upper"] = json!(1.0);
    std::fs::write(&path, tampered.to_string()).unwrap();
    let (code, stdout, stderr) = gdcert(&["check", name]);
    assert!(
        code == 1 && stderr.is_empty() && stdout.lines().count() == 1,
        "{stdout}{stderr}"
    );
    assert!(
        stdout.starts_with("not proven: |r| = ") && stdout.contains("residual_norm_upper = 1.0"),
        "{stdout}"
    );
    let json: Value = serde_json::from_str(&gdcert(&["check", name, "--json"]).1).unwrap();
    assert!(json["valid"] == json!(false) && json["failure"].as_str().unwrap().contains("|r|"));

    let unreadable = |text: &str, word: &str| {
        std::fs::write(&path, text).unwrap();
        let (code, stdout, stderr) = gdcert(&["check", name]);
        assert!(
            code == 2 && stdout.is_empty() && stderr.lines().count() == 1,
            "{stdout}{stderr}"
        );
        assert!(stderr.contains(word), "no '{word}' in {stderr}");
    };
    unreadable("{", "JSON");
    unreadable(
        &text.replace("certificate/1", "certificate/2"),
        "certificate/2",
    );
    unreadable(&text.replace("\"eta\"", "\"eta2\""), "eta");
    std::fs::write(folder.path().join("instance.safetensors"), b"").unwrap();
    let empty = hash(b"");
    let (code, stdout, _) = gdcert(&["check", name]);
    assert!(code == 2 && stdout.is_empty());
    tampered = serde_json::from_str(&text).unwrap();
    unreadable(
        &text.replace(tampered["instance"]["sha256"].as_str().unwrap(), &empty),
        "safetensors",
    );
    std::fs::remove_file(folder.path().join("instance.safetensors")).unwrap();
    unreadable(&text, "instance.safetensors");
    assert_eq!(gdcert(&["check", "nowhere.json"]).0, 2);
    assert_eq!(gdcert(&["check"]).0, 2);
}
