//! The classifier beside PyTorch's f64 numbers, where the maintainers' case folder is at hand.

use gdcert_train::classifier::{
    Architecture, Batch, Classifier, Dropout, Outcome, Parameters, Real,
};
use safetensors::SafeTensors;
use serde_json::Value;
use std::path::Path;

struct Case {
    architecture: Architecture,
    file: Vec<u8>,
    expected: Value,
    tokens: Vec<u16>,
    labels: Vec<u16>,
    length: usize,
}

/// The encoder cases; empty, saying so, where the folder is absent.
fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/cases");
    if !folder.is_dir() {
        eprintln!("skipped: no reference cases at {}", folder.display());
        return Vec::new();
    }
    let mut cases = Vec::new();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.starts_with("encoder_") || !name.ends_with(".safetensors") {
            continue;
        }
        let file = std::fs::read(&path).unwrap();
        let expected: Value =
            serde_json::from_slice(&std::fs::read(path.with_extension("json")).unwrap()).unwrap();
        let tensors = SafeTensors::deserialize(&file).unwrap();
        let shape = |name: &str| tensors.tensor(name).unwrap().shape().to_vec();
        let integers = |name: &str| -> Vec<u16> {
            let tensor = tensors.tensor(name).unwrap();
            let (integers, _) = tensor.data().as_chunks();
            let read = |bytes: &[u8; 8]| i64::from_le_bytes(*bytes).try_into().unwrap();
            integers.iter().map(read).collect()
        };
        let blocks = (0..)
            .take_while(|i| tensors.tensor(&format!("param.blocks.{i}.up.bias")).is_ok())
            .count();
        cases.push(Case {
            architecture: Architecture {
                kernel: expected["kernel"].as_str().unwrap().parse().unwrap(),
                vocabulary: shape("param.token.weight")[0],
                positions: shape("param.position.weight")[0],
                width: shape("param.token.weight")[1],
                heads: expected["heads"].as_u64().unwrap() as usize,
                hidden: shape("param.blocks.0.up.bias")[0],
                blocks,
                classifier: shape("param.head1.bias")[0],
                classes: shape("logits")[1],
            },
            tokens: integers("ids"),
            labels: integers("labels"),
            length: shape("ids")[1],
            expected,
            file,
        });
    }
    assert!(!cases.is_empty(), "{} holds no case", folder.display());
    cases
}

impl Case {
    fn batch(&self) -> Batch<'_> {
        Batch {
            tokens: &self.tokens,
            labels: &self.labels,
            length: self.length,
        }
    }

    fn read<T: Real>(&self, prefix: &str) -> Parameters<T> {
        let tensors = SafeTensors::deserialize(&self.file).unwrap();
        Parameters::read(&self.architecture, &tensors, prefix).unwrap()
    }

    fn losses(&self, name: &str) -> Vec<f64> {
        let losses = self.expected[name].as_array().unwrap();
        losses.iter().map(|loss| loss.as_f64().unwrap()).collect()
    }
}

fn worst(a: impl Iterator<Item = f64>, b: impl Iterator<Item = f64>) -> f64 {
    a.zip(b).fold(0.0, |worst, (a, b)| worst.max((a - b).abs()))
}

/// `absolute` for logits and loss; gradients, tensor by tensor, within `relative` of the largest entry.
fn check<T: Real>(case: &Case, absolute: f64, relative: f64) {
    let tensors = SafeTensors::deserialize(&case.file).unwrap();
    let parameters = case.read::<T>("param.");
    let mut gradient = Parameters::zeros(&case.architecture);
    let mut classifier = Classifier::<T>::new(&case.architecture).unwrap();
    let Outcome { loss, correct } = classifier
        .differentiate(&parameters, &case.batch(), Dropout::NONE, &mut gradient)
        .unwrap();
    let expected = case.expected["loss"].as_f64().unwrap();
    assert!((loss - expected).abs() < absolute, "{loss} {expected}");
    let (logits, _) = tensors.tensor("logits").unwrap().data().as_chunks();
    let logits: Vec<f64> = logits.iter().map(|x| f64::from_le_bytes(*x)).collect();
    let got = classifier.logits().iter().map(|x| x.to_f64());
    let error = worst(got, logits.iter().copied());
    println!("{}: logits {error:.1e}", case.architecture.kernel);
    assert!(error < absolute, "logits: {error:e}");
    let hits = logits.chunks(case.architecture.classes).zip(&case.labels);
    let hits = hits.filter(|(row, label)| row.iter().all(|x| *x <= row[**label as usize]));
    assert_eq!(correct, hits.count());

    let expected = case.read::<f64>("grad.");
    let mut largest: f64 = 0.0;
    for (got, expected) in gradient.tensors().zip(expected.tensors()) {
        let scale = expected.values.iter().fold(0f64, |m, x| m.max(x.abs()));
        // A key's bias does not change the softmax: its gradient is 0 but for rounding.
        let scale = scale.max(1e-8);
        let got_values = got.values.iter().map(|x| x.to_f64());
        let error = worst(got_values, expected.values.iter().copied()) / scale;
        largest = largest.max(if scale > 1e-8 { error } else { 0.0 });
        let tolerance = if scale > 1e-8 {
            relative
        } else {
            100.0 * relative / 1e-2
        };
        assert!(error < tolerance, "{}: {error:e} of {scale:e}", got.name);
    }
    println!("{}: gradients {largest:.1e}", case.architecture.kernel);

    let again = classifier.evaluate(&parameters, &case.batch()).unwrap();
    assert_eq!(again, Outcome { loss, correct });
}

/// f32 against f64: the rounding error of sums over 40 tokens and some ten layers.
#[test]
fn single_precision_agrees_with_pytorch() {
    for case in cases() {
        check::<f32>(&case, 1e-5, 1e-4);
    }
}

/// The same formulas in f64 on both sides: what remains is rounding.
#[test]
fn double_precision_agrees_with_pytorch() {
    for case in cases() {
        check::<f64>(&case, 1e-12, 1e-10);
    }
}

/// Twenty full-batch steps of SGD and of Adam; the loss before each, within the drift of f32 over the steps.
#[test]
fn training_agrees_with_pytorch() {
    for case in cases() {
        for (name, adam) in [("losses_sgd", false), ("losses_adam", true)] {
            let mut parameters = case.read::<f32>("param.");
            let mut gradient = Parameters::zeros(&case.architecture);
            let mut classifier = Classifier::new(&case.architecture).unwrap();
            let mut moments = vec![[0f32; 2]; gradient.values().len()];
            for (step, expected) in (1..).zip(case.losses(name)) {
                let Outcome { loss, .. } = classifier
                    .differentiate(&parameters, &case.batch(), Dropout::NONE, &mut gradient)
                    .unwrap();
                let error = (loss - expected).abs();
                assert!(error < 1e-4, "{name} {step}: {loss} {expected}");
                let values = parameters.values_mut().iter_mut().zip(gradient.values());
                for ((x, &g), [m, v]) in values.zip(&mut moments) {
                    if adam {
                        *m += 0.1 * (g - *m);
                        *v += 0.001 * (g * g - *v);
                        let m = *m / (1.0 - 0.9f32.powi(step));
                        let v = *v / (1.0 - 0.999f32.powi(step));
                        *x -= 1e-3 * m / (v.sqrt() + 1e-8);
                    } else {
                        *x -= 0.1 * g;
                    }
                }
            }
        }
    }
}
