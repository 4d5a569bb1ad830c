//! The classifier as a whole: derivatives, padding, threads, files, bad input.

use gdcert::Kernel;
use gdcert_train::classifier::{Architecture, Batch, Classifier, Dropout, Parameters, Real};
use safetensors::SafeTensors;

const KERNELS: [Kernel; 2] = [Kernel::Softmax, Kernel::Gaussian];

fn small(kernel: Kernel) -> Architecture {
    Architecture {
        kernel,
        vocabulary: 9,
        positions: 7,
        width: 6,
        heads: 2,
        hidden: 5,
        blocks: 2,
        classifier: 4,
        classes: 3,
    }
}

/// Embeddings of order 1 and biases that differ from their starting values, so that every layer matters.
fn lively<T: Real>(architecture: &Architecture) -> Parameters<T> {
    let mut parameters = Parameters::random(architecture, 3);
    for (i, x) in parameters.values_mut().iter_mut().enumerate() {
        let wave = T::from_f64(0.3 * ((i * i) as f64).sin());
        *x = if i < 16 * architecture.width {
            *x * T::from_f64(50.0)
        } else {
            *x
        } + wave;
    }
    parameters
}

/// Padding at the end, in between, and a sample of nothing else.
const TOKENS: [u16; 21] = [
    1, 2, 3, 4, 5, 6, 7, /**/ 8, 0, 1, 1, 3, 0, 0, /**/ 0, 0, 0, 0, 0, 0, 0,
];
const BATCH: Batch = Batch {
    tokens: &TOKENS,
    labels: &[0, 2, 1],
    length: 7,
};

/// Every parameter, by central differences in f64, with dropout on.
#[test]
fn gradients_are_derivatives() {
    for kernel in KERNELS {
        let architecture = small(kernel);
        let parameters = lively::<f64>(&architecture);
        let mut classifier = Classifier::new(&architecture).unwrap();
        let mut gradient = Parameters::zeros(&architecture);
        let dropout = Dropout { rate: 0.2, seed: 5 };
        let mut loss = |parameters: &Parameters<f64>, gradient: &mut Parameters<f64>| {
            classifier
                .differentiate(parameters, &BATCH, dropout, gradient)
                .unwrap()
                .loss
        };
        loss(&parameters, &mut gradient);
        let mut unused = Parameters::zeros(&architecture);
        let mut moved = parameters.clone();
        for i in 0..parameters.values().len() {
            let mut at = |step: f64| {
                moved.values_mut()[i] = parameters.values()[i] + step;
                loss(&moved, &mut unused)
            };
            let difference = (at(1e-5) - at(-1e-5)) / 2e-5;
            at(0.0);
            let error = (difference - gradient.values()[i]).abs();
            assert!(error < 1e-8, "{kernel}, parameter {i}: {error:e}");
        }
        // Padding has no gradient.
        assert!(
            gradient.tensor("token.weight").unwrap().values[..6]
                .iter()
                .all(|&x| x == 0.0)
        );
    }
}

/// f32 with the fused kernels beside f64 with the plain formulas: rounding of some ten layers.
#[test]
fn precisions_agree() {
    for kernel in KERNELS {
        let architecture = Architecture {
            kernel,
            positions: 300,
            ..Architecture::default()
        };
        let single = lively::<f32>(&architecture);
        let mut double = Parameters::<f64>::zeros(&architecture);
        for (double, &single) in double.values_mut().iter_mut().zip(single.values()) {
            *double = single.into();
        }
        let tokens: Vec<u16> = (0..5 * 300)
            .map(|i| if i % 11 == 3 { 0 } else { i % 251 + 1 })
            .collect();
        let batch = Batch {
            tokens: &tokens,
            labels: &[0, 1, 1, 0, 1],
            length: 300,
        };
        let dropout = Dropout { rate: 0.1, seed: 1 };
        let mut g32 = Parameters::zeros(&architecture);
        let mut g64 = Parameters::zeros(&architecture);
        let mut classifier = Classifier::new(&architecture).unwrap();
        let a = classifier
            .differentiate(&single, &batch, dropout, &mut g32)
            .unwrap();
        let mut reference = Classifier::new(&architecture).unwrap();
        let b = reference
            .differentiate(&double, &batch, dropout, &mut g64)
            .unwrap();
        assert!((a.loss - b.loss).abs() < 1e-5, "{} {}", a.loss, b.loss);
        assert_eq!(a.correct, b.correct);
        for (a, b) in g32.tensors().zip(g64.tensors()) {
            // The softmax does not change with a key bias, whose derivative is rounding alone.
            let size = b.values.iter().fold(1e-3f64, |m, x| m.max(x.abs()));
            for (x, y) in a.values.iter().zip(b.values) {
                assert!(
                    (f64::from(*x) - y).abs() < 1e-4 * size,
                    "{kernel} {}: {x} {y}",
                    a.name
                );
            }
        }
    }
}

#[test]
fn threads_do_not_matter() {
    for kernel in KERNELS {
        let architecture = Architecture {
            kernel,
            positions: 1000,
            ..Architecture::default()
        };
        let parameters = lively::<f32>(&architecture);
        let tokens: Vec<u16> = (0..3000)
            .map(|i| if i % 1000 > 900 { 0 } else { i % 97 + 1 })
            .collect();
        let batch = Batch {
            tokens: &tokens,
            labels: &[0, 1, 1],
            length: 1000,
        };
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            let mut classifier = Classifier::new(&architecture).unwrap();
            let mut gradient = Parameters::zeros(&architecture);
            let dropout = Dropout { rate: 0.1, seed: 1 };
            pool.install(|| {
                let trained = classifier.differentiate(&parameters, &batch, dropout, &mut gradient);
                let evaluated = classifier.evaluate(&parameters, &batch).unwrap();
                // The buffers hold what they held: the same again.
                let again = classifier.differentiate(&parameters, &batch, dropout, &mut gradient);
                assert_eq!(trained.as_ref().unwrap(), again.as_ref().unwrap());
                (trained.unwrap(), evaluated, gradient.values().to_vec())
            })
        };
        let one = run(1);
        for threads in [2, 5] {
            assert!(run(threads) == one, "{kernel}, {threads} threads");
        }
    }
}

#[test]
fn samples_do_not_see_each_other() {
    for kernel in KERNELS {
        let architecture = small(kernel);
        let parameters = lively::<f64>(&architecture);
        let mut classifier = Classifier::new(&architecture).unwrap();
        classifier.evaluate(&parameters, &BATCH).unwrap();
        let together = classifier.logits().to_vec();
        for (sample, tokens) in TOKENS.chunks(7).enumerate() {
            let batch = Batch {
                tokens,
                labels: &BATCH.labels[sample..=sample],
                length: 7,
            };
            classifier.evaluate(&parameters, &batch).unwrap();
            for (a, b) in classifier.logits().iter().zip(&together[3 * sample..]) {
                assert!((a - b).abs() < 1e-12);
            }
        }
    }
}

#[test]
fn parameters_survive_a_file() {
    let architecture = small(Kernel::Softmax);
    let parameters = Parameters::<f32>::random(&architecture, 7);
    let named = parameters
        .tensors()
        .map(|tensor| (format!("model.{}", tensor.name), tensor));
    let bytes = safetensors::serialize(named, None).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(
        Parameters::read(&architecture, &file, "model.").unwrap(),
        parameters
    );

    let error = |architecture: &Architecture, prefix: &str| {
        Parameters::<f32>::read(architecture, &file, prefix)
            .unwrap_err()
            .to_string()
    };
    assert!(error(&architecture, "").contains("tensor token.weight is missing"));
    let wider = Architecture {
        hidden: 8,
        ..architecture
    };
    let message = error(&wider, "model.");
    assert!(
        message.contains("model.blocks.0.up.weight has shape [5, 6]") && message.contains("[8, 6]")
    );
}

#[test]
fn initial_parameters_follow_their_laws() {
    let architecture = Architecture::default();
    let parameters = Parameters::<f32>::random(&architecture, 0);
    assert_eq!(parameters, Parameters::random(&architecture, 0));
    assert_ne!(parameters, Parameters::random(&architecture, 1));
    let deviation = |name: &str| {
        let values = parameters.tensor(name).unwrap().values;
        let square: f64 = values.iter().map(|&x| f64::from(x).powi(2)).sum();
        (square / values.len() as f64).sqrt()
    };
    // Standard errors are below 1.5 %.
    for (name, expected) in [
        ("token.weight", 0.02),
        ("position.weight", 0.02),
        ("blocks.0.attention.query.weight", 0.125 / 3f64.sqrt()),
        ("blocks.1.down.weight", 1.0 / 128f64.sqrt() / 3f64.sqrt()),
    ] {
        assert!(
            (deviation(name) / expected - 1.0).abs() < 0.06,
            "{name}: {}",
            deviation(name)
        );
    }
    let bias = parameters.tensor("blocks.1.down.bias").unwrap();
    assert!(
        bias.values
            .iter()
            .all(|x| x.abs() < 1.0 / 128f32.sqrt() && *x != 0.0)
    );
    assert!(
        parameters
            .tensor("norm.weight")
            .unwrap()
            .values
            .iter()
            .all(|&x| x == 1.0)
    );
    assert!(
        parameters
            .tensor("norm.bias")
            .unwrap()
            .values
            .iter()
            .all(|&x| x == 0.0)
    );
    assert!(parameters.tensor("nothing").is_none());
}

#[test]
fn bad_input_is_named() {
    let architecture = small(Kernel::Softmax);
    let mut classifier = Classifier::<f32>::new(&architecture).unwrap();
    let parameters = Parameters::random(&architecture, 0);
    let mut error = |tokens: &[u16], labels: &[u16], length| {
        let batch = Batch {
            tokens,
            labels,
            length,
        };
        classifier
            .evaluate(&parameters, &batch)
            .unwrap_err()
            .to_string()
    };
    assert!(error(&[1, 9], &[0], 2).contains("token 9"));
    assert!(error(&[1, 1], &[3], 2).contains("label 3"));
    assert!(error(&[1; 8], &[0], 8).contains("length 8"));
    assert!(error(&[1; 3], &[0], 2).contains("3 tokens"));
    assert!(error(&[], &[], 2).contains("0 samples"));
    let other = Parameters::random(&small_with_width(8), 0);
    let message = classifier.evaluate(&other, &BATCH).unwrap_err().to_string();
    assert!(message.contains("parameters do not fit"), "{message}");
    let mut gradient = Parameters::zeros(&architecture);
    let dropout = Dropout { rate: 1.0, seed: 0 };
    let message = classifier
        .differentiate(&parameters, &BATCH, dropout, &mut gradient)
        .unwrap_err();
    assert!(message.to_string().contains("dropout 1"));
    for (architecture, expected) in [
        (
            Architecture {
                heads: 4,
                ..small(Kernel::Softmax)
            },
            "heads = 4",
        ),
        (
            Architecture {
                hidden: 0,
                ..small(Kernel::Softmax)
            },
            "hidden is 0",
        ),
        (
            Architecture {
                classes: 70000,
                ..small(Kernel::Softmax)
            },
            "classes = 70000",
        ),
        (
            Architecture {
                blocks: usize::MAX,
                ..small(Kernel::Softmax)
            },
            "too large",
        ),
    ] {
        let message = Classifier::<f32>::new(&architecture)
            .unwrap_err()
            .to_string();
        assert!(message.contains(expected), "{message}");
    }
}

fn small_with_width(width: usize) -> Architecture {
    Architecture {
        width,
        ..small(Kernel::Softmax)
    }
}
