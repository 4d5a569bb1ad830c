//! Certificates for the Rocq proof assistant: a file whose theorem is about the instance's own f64 numbers, as exact
//! dyadic numbers, and whose proof is one computation inside Rocq.
//!
//! [`library_files`] is the theory (`proofs-checks/rocq`), which the file requires; [`export`] writes the file. Nothing
//! here is trusted: a wrong number makes Rocq's computation end in `false`, and `coqc` refuses the file. What Rocq does not
//! know is that the numbers are those of the instance file; [`compare`] finds out, and [`not_known`] says so.

// !(a > b) is not a <= b: a NaN must be refused.
#![allow(clippy::neg_cmp_op_on_partial_ord)]

mod compare;
mod obstruction;
mod rate;
mod refutation;
mod text;

pub use text::starts_as_ours;

use crate::{Error, Result};
use gdcert::certificate::Certificate;
use gdcert::model::{Kernel, Trained};
use gdcert::problem::{Dims, Instance};
use gdcert::spectrum::Reading;
use std::borrow::Cow;
use std::fmt;

/// Room for the roundings between here and Rocq's intervals.
const MARGIN: f64 = 1.0 + 1.0 / (1u64 << 20) as f64;

/// The integers that interval arithmetic inside Rocq is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Integers {
    /// Binary integers, defined in Rocq: nothing more to trust.
    #[default]
    Z,
    /// The machine's 63-bit integers. Several times as fast; `Print Assumptions` then lists them too.
    Primitive,
}

impl Integers {
    /// What the proofs rest on beside Rocq's kernel, as `Print Assumptions` lists it.
    pub fn axioms(self) -> &'static str {
        match self {
            Integers::Z => {
                "the four axioms of the real numbers (sig_not_dec, sig_forall_dec, functional_extensionality_dep, classic)"
            }
            Integers::Primitive => {
                "the four axioms of the real numbers (sig_not_dec, sig_forall_dec, functional_extensionality_dep, classic) \
                 and Rocq's primitive 63-bit integers (the operations of PrimInt63 and their specifications in Uint63)"
            }
        }
    }
}

/// Names and contents of files in `proofs-checks/rocq`.
macro_rules! files {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../../../proofs-checks/rocq/", $name)))),*]
    };
}

const FILES: [(&str, &str); 17] = files![
    "_CoqProject",
    "build.sh",
    "README.md",
    "Spaces.v",
    "TheoremA.v",
    "Orbit.v",
    "Rows.v",
    "Model.v",
    "Readings.v",
    "Theorem2.v",
    "Obstruction.v",
    "Intervals.v",
    "Instances.v",
    "Check.v",
    "Hull.v",
    "Refute.v",
    "Findings.v",
];

/// The theory: names and contents of the files that an exported file needs beside it, with `_CoqProject` and `build.sh`.
pub fn library_files(integers: Integers) -> Vec<(&'static str, Cow<'static, str>)> {
    let text = |(name, text): &(&'static str, &'static str)| {
        let text = match (integers, *name) {
            (Integers::Primitive, "Intervals.v") => Cow::Owned(
                text.replace("Specific_stdz", "Specific_bigint")
                    .replace("StdZRadix2", "BigIntRadix2"),
            ),
            _ => Cow::Borrowed(*text),
        };
        (*name, text)
    };
    FILES.iter().map(text).collect()
}

/// What `coqc` will take for one exported file, roughly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// User CPU seconds on one core of a current machine.
    pub seconds: f64,
    /// Peak memory in MB.
    pub megabytes: f64,
}

impl Estimate {
    /// The time in words.
    fn time(&self) -> String {
        match self.seconds {
            s if s < 10.0 => "a few seconds".into(),
            s if s < 100.0 => format!("about {:.0} s", (s / 10.0).ceil() * 10.0),
            s if s < 5400.0 => format!("about {:.0} minutes", (s / 60.0).ceil()),
            s => format!("about {:.0} hours", (s / 3600.0).ceil()),
        }
    }
}

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gigabytes = self.megabytes / 1000.0;
        write!(f, "{} and {gigabytes:.1} GB on one core", self.time())
    }
}

/// The estimate for [`export`] of a Theorem A certificate, from the times in `proofs-checks/rocq/README.md`. Where W^V = 0 (lazy) many
/// products are with 0, and half of it may do.
pub fn estimate(dims: Dims, kernel: Kernel, trained: Trained, integers: Integers) -> Estimate {
    let Dims { N, n, D, d, H, p } = dims;
    let [N, n, D, d, H, p] = [N, n, D, d, H, p].map(|x| x as f64);
    let m = N * n * p;
    let blocks = trained.flags().iter().filter(|&&b| b).count() as f64;
    let P = blocks * H * D * d;
    // Interval products: projections, scores, the Jacobian's entries with their check, elimination.
    let keys = match kernel {
        Kernel::Gaussian if trained.k() => n,
        _ => 0.0,
    };
    let products = 3.0 * N * n * H * D * d
        + N * n * n * H * (d + 2.0 * p)
        + m * H * n * (d + 2.0 * D)
        + m * P * 2.0
        + m * H * D * d * keys
        + 2.0 * m * m * m / 6.0;
    let exponentials = N * n * n * H;
    // Products of integers in the Gram matrix.
    let gram = m * m / 2.0 * P;
    let seconds = match integers {
        Integers::Z => 110e-6 * products + 4e-3 * exponentials + 10e-6 * gram,
        Integers::Primitive => 25e-6 * products + 0.7e-3 * exponentials + 10e-6 * gram,
    };
    Estimate {
        seconds: 3.0 + seconds,
        megabytes: 600.0 + 4e-3 * m * P,
    }
}

/// Beyond this estimate with primitive integers [`export`] refuses.
const LIMIT_SECONDS: f64 = 4.0 * 3600.0;

/// What `coqc` will take for a proof of the rate at these sizes, with either kind of integers, in words.
///
/// # Errors
/// More than [`LIMIT_SECONDS`].
pub fn takes(dims: Dims, kernel: Kernel, trained: Trained) -> Result<String> {
    let of = |integers| estimate(dims, kernel, trained, integers);
    let (z, primitive) = (of(Integers::Z), of(Integers::Primitive));
    if primitive.seconds > LIMIT_SECONDS {
        return Err(Error::input(format!(
            "{dims} is too large for Rocq: coqc would take {z}, and {} on primitive integers, where the limit is 4 hours; choose smaller sizes",
            primitive.time()
        )));
    }
    Ok(match (z.time(), primitive.time()) {
        (long, short) if long == short => z.to_string(),
        (_, short) => format!("{z} ({short} on primitive integers)"),
    })
}

/// The file's text, for the weights the certificate starts from (`instance` is the centre's). It states one of: Theorem A from
/// there on, a lower bound on every reachable loss, a violation of the claimed bound.
///
/// The numbers of the proof are found here anew, in the form that Rocq checks: one ball, the closed form of h, with the
/// certificate's step and beta. `Err` inside says why this form does not close, where the certificate's does.
///
/// # Errors
/// An instance or a refutation that is too large; a certificate that does not fit the instance.
pub fn export(
    instance: &Instance,
    certificate: &Certificate,
) -> Result<std::result::Result<String, String>> {
    match certificate {
        Certificate::TheoremA(c) => {
            let takes = takes(instance.dims(), instance.kernel(), c.trained)?;
            rate::export(instance, c, &takes)
        }
        Certificate::Obstructed(c) => obstruction::export(instance, c).map(Ok),
        Certificate::Refuted(c) => refutation::export(instance, c).map(Ok),
    }
}

/// Whether `text` is a file that [`export`] writes for this certificate, about these very numbers: instance, trained blocks,
/// step, beta and all that is stated, line by line. `Err` inside says where it is not.
///
/// # Errors
/// As for [`export`].
pub fn compare(
    text: &str,
    instance: &Instance,
    certificate: &Certificate,
) -> Result<std::result::Result<(), String>> {
    let expected = match certificate {
        Certificate::TheoremA(c) => rate::template(instance, c),
        Certificate::Obstructed(c) => obstruction::export(instance, c)?,
        Certificate::Refuted(c) => refutation::export(instance, c)?,
    };
    Ok(compare::same_statement(text, &expected))
}

/// What a file's theorem leaves to be known elsewhere, in sentences; with [`compare`] done, the first is known.
pub fn not_known(certificate: &Certificate) -> Vec<String> {
    let (numbers, reading) = match certificate {
        Certificate::TheoremA(c) => (&c.centre.file, Reading::named(&c.reading)),
        Certificate::Obstructed(c) => (&c.instance.file, None),
        Certificate::Refuted(c) => (&c.instance.file, Reading::named(&c.reading)),
    };
    let mut said = vec![format!("that the numbers are those of {numbers}")];
    if let Certificate::TheoremA(c) = certificate
        && c.centre.t > 0
    {
        let t = c.centre.t;
        said.push(match c.orbit {
            Some(_) => format!(
                "gradient descent before t = {t}, and that the exact M_{t}, close to the numbers of {numbers}, obeys the bound as they do"
            ),
            None => format!("that gradient descent from M_0 comes to these numbers at t = {t}"),
        });
    }
    if let Some(reading) = reading {
        said.push(format!("that beta is the reading {reading} at M_0"));
    }
    said.push("anything about a run in floating point: it is about exact gradient descent".into());
    said
}

#[cfg(test)]
mod tests {
    use super::*;
    use gdcert::certificate::TheoremA;
    use gdcert::problem::Init;
    use gdcert::{Certified, Goal, certify};

    #[test]
    fn the_library_is_what_the_project_lists() {
        let files = library_files(Integers::Z);
        let project = &files
            .iter()
            .find(|(name, _)| *name == "_CoqProject")
            .unwrap()
            .1;
        let listed: Vec<&str> = project
            .lines()
            .filter(|line| line.ends_with(".v"))
            .collect();
        let mut shipped: Vec<&str> = files
            .iter()
            .map(|f| f.0)
            .filter(|name| name.ends_with(".v"))
            .collect();
        assert_eq!(listed.len(), shipped.len());
        shipped.retain(|name| !listed.contains(name));
        assert!(shipped.is_empty(), "{shipped:?}");
        let of = |integers| {
            library_files(integers)
                .into_iter()
                .find(|f| f.0 == "Intervals.v")
                .unwrap()
                .1
        };
        assert!(of(Integers::Primitive).contains("Import Basic Specific_ops Specific_bigint"));
        assert!(of(Integers::Primitive).contains("SpecificFloat BigIntRadix2"));
        assert!(of(Integers::Z).contains("SpecificFloat StdZRadix2"));
    }

    fn certified(kernel: Kernel, trained: Trained, init: Init) -> (Instance, Certificate) {
        let dims = Dims {
            N: 2,
            n: 2,
            D: 4,
            d: 2,
            H: 2,
            p: 1,
        };
        let instance = Instance::random(dims, kernel, init, 0).unwrap();
        let goal = Goal {
            trained,
            ..Goal::default()
        };
        let certificate = match certify(&instance, &goal).unwrap() {
            Certified::Rate { certificate, .. } => certificate,
            Certified::Obstructed(certificate) => certificate,
            other => panic!("{other:?}"),
        };
        (instance, certificate)
    }

    #[test]
    fn a_file_states_its_own_certificate_and_no_other() {
        let (instance, certificate) =
            certified(Kernel::Softmax, Trained::QKV, Init::Lazy { omega: 1e7 });
        let text = export(&instance, &certificate).unwrap().unwrap();
        let states =
            |text: &str, instance: &Instance| compare(text, instance, &certificate).unwrap();
        assert_eq!(states(&text, &instance), Ok(()));
        let mut W = instance.W().clone();
        W.Q[0][(1, 1)] = f64::from_bits(W.Q[0][(1, 1)].to_bits() ^ 1);
        let why = states(&text, &instance.clone().with_weights(W).unwrap()).unwrap_err();
        assert!(why.ends_with("its W^Q is another"), "{why}");
        let other = instance.clone().with_kernel(Kernel::Gaussian);
        assert!(states(&text, &other).is_err());
        // The proof's own numbers are Rocq's to judge; whatever else is changed is seen.
        let free = text
            .replace("(F.PtoP 5", "(F.PtoP 6")
            .replace("(* rho = ", "(* rho = 1");
        assert_ne!(free, text);
        assert_eq!(states(&free, &instance), Ok(()));
        for (from, to) in [
            ("(* eta = ", "(* eta = 1"),
            ("(* rho = ", "*) Axiom (* rho = "),
            ("(F.PtoP ", "(F.PtoP 1 + "),
            ("true true true", "true true false"),
            ("  (* xi  *) [", "  (* xi  *) [id "),
            ("/ sqrt (INR d).", "/ INR d."),
            ("Print Assumptions converges.", ""),
            (
                "Print Assumptions converges.",
                "Print Assumptions converges.\nAxiom more : False.",
            ),
            ("(* Written by gdcert", "(* (* Written by gdcert"),
            ("step 0.", "step (* 0."),
        ] {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text, "{from}");
            assert!(states(&changed, &instance).is_err(), "{from} -> {to}");
        }
    }

    #[test]
    fn where_the_ball_does_not_close_the_refusal_says_what_fails() {
        let (instance, certificate) =
            certified(Kernel::Gaussian, Trained::Q, Init::Paired { s: 1e7 });
        let Certificate::TheoremA(mut c) = certificate else {
            unreachable!()
        };
        let refusal = |c: &TheoremA| {
            export(&instance, &Certificate::TheoremA(c.clone()))
                .unwrap()
                .unwrap_err()
        };
        c.eta *= 100.0;
        let why = refusal(&c);
        assert!(why.contains("eta L / 2 is"), "{why}");
        (c.eta, c.beta) = (c.eta / 100.0, c.beta * 10.0);
        let why = refusal(&c);
        assert!(why.contains("the claimed rate is"), "{why}");
    }

    #[test]
    fn obstructions_are_written() {
        let (instance, certificate) =
            certified(Kernel::Softmax, Trained::Q, Init::ConstantValue { s: 2.0 });
        let text = export(&instance, &certificate).unwrap().unwrap();
        assert!(text.contains("Theorem obstructed") && text.contains("Theorem does_not_move"));
        assert_eq!(compare(&text, &instance, &certificate).unwrap(), Ok(()));
        let Certificate::Obstructed(mut c) = certificate else {
            unreachable!()
        };
        c.loss_lower *= 0.99;
        let less = Certificate::Obstructed(c.clone());
        assert!(compare(&text, &instance, &less).unwrap().is_err());
        c.loss_lower *= 1.1;
        assert!(export(&instance, &Certificate::Obstructed(c)).is_err());
    }

    #[test]
    fn what_would_take_too_long_is_refused_with_the_time() {
        let of = |n| Dims {
            N: 4,
            n,
            D: 8,
            d: 8,
            H: 8,
            p: 1,
        };
        let small = takes(of(8), Kernel::Gaussian, Trained::Q).unwrap();
        assert!(small.contains("on primitive integers"), "{small}");
        let why = takes(of(1000), Kernel::Softmax, Trained::QKV)
            .unwrap_err()
            .to_string();
        assert!(
            why.contains("hours") && why.contains("choose smaller sizes"),
            "{why}"
        );
    }
}
