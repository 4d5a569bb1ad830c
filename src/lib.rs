//! gdcert *verifies* convergence theorems for gradient descent on attention models, on concrete
//! instances: does f(M_t) <= (1 - eta beta)^t f(M_0) hold on mine, with which constant beta, for how long?
//!
//! The setting is the NeurIPS 2024 poster *Unraveling the Gradient Descent Dynamics of Transformers*
//! (arXiv 2411.07538): a one-layer attention model
//!
//! ```text
//! MH(M; X_i) = sum_h S_ih X_i W^V_h W^O_h        X_i: n x D,   W^Q_h, W^K_h, W^V_h: D x d,   W^O_h: d x p
//! f(M) = 1/2 sum_i |MH(M; X_i) - y_i|^2          y_i: n x p,   i = 1..N,   h = 1..H,   m = N n p residuals
//! ```
//!
//! with softmax or Gaussian attention weights S_ih, and exact full-batch gradient descent with a
//! fixed step eta on any subset of {W^Q, W^K, W^V}. Names in the code are these symbols.
//!
//! # The map
//!
//! Data flows one way, and imports run up this table only (a test sees to it):
//!
//! | question | module |
//! |---|---|
//! | What is an instance, where does it come from, how is it stored? | [`problem`] |
//! | Residual, gradient, Jacobian, for any [`numbers::Scalar`] | [`model`] |
//! | B_0, singular values, the four readings of beta | [`spectrum`] |
//! | What is rigorously known at a point and around it | [`bounds`] |
//! | Running gradient descent | [`descent`] |
//! | What holds beyond the steps that were run? | [`certificate`] |
//! | The step: as asked for, and as a number | [`eta`] |
//! | What exact gradient descent from M_0 does | [`orbit`] |
//! | Did the bound hold? | [`verdict`] |
//! | From an instance to a certificate | [`certify`] |
//! | From an instance to a verdict | [`mod@verify`] |
//! | The same for any smooth model | [`graph`] |
//! | The loss around an instance, and how rough it is | [`landscape`] |
//! | The poster's claims, one named experiment each; sweeps over many instances; counterexamples | [`experiment`] |
//! | Random instances for property tests of one's own (feature `proptest`) | `testing` |
//!
//! Beside it stand the crates `gdcert-numbers` (here [`numbers`]), `gdcert-check` (re-proves certificates, depends on nothing
//! here), `gdcert-landscape`, `gdcert-train` (a Transformer classifier and its data), `gdcert-report` (figures, words, pages)
//! and `gdcert-cli` (the command).
//!
//! [`verify()`] goes through all of it in one call and prints nothing; [`verify_with`] can be watched and cancelled:
//!
//! ```
//! use gdcert::{verify, Dims, Init, Instance, Kernel, Settings, spectrum::Reading};
//!
//! let dims = Dims { N: 2, n: 4, D: 8, d: 4, H: 3, p: 1 };
//! let instance = Instance::random(dims, Kernel::Softmax, Init::Lazy { omega: 10.0 }, 19)?;
//! let found = verify(&instance, &Settings::default())?;
//! for claim in &found.claims {
//!     println!("{}: {} ({})", claim.name, claim.verdict, claim.reason);
//! }
//! // With three heads the formula read literally is refuted; read per head it holds.
//! assert!(found.claim(Reading::Stacked).first_violation.is_some());
//! assert!(found.claim(Reading::PerHead).first_violation.is_none());
//! # Ok::<(), gdcert::Error>(())
//! ```
//!
//! Five common questions have a program each in `examples/`: `own_instance`, `readings`, `certificate`, `figure` and
//! `omega_star`.
//!
//! Statements and proofs are in `proofs-checks/README.md`, one executable check beside each.
//!
//! # What the numbers mean
//!
//! Losses are evaluations in f64, or in double-double where [`Settings::precision`] says so, with a
//! bound on their error ([`descent::Point::loss_error`]), derived in the source of the private module
//! `rounding`. A comparison that the errors could turn counts neither way, and a violation needs the
//! error bounds on both sides. Results do not depend on the number of threads; the same seed draws
//! the same instance on every machine.

#![warn(missing_docs)]

pub mod bounds;
pub mod certificate;
mod certify;
pub mod descent;
pub mod eta;
pub mod experiment;
pub mod graph;
pub mod landscape;
pub mod model;
pub mod orbit;
pub mod problem;
mod settle;
pub mod spectrum;
#[cfg(any(test, feature = "proptest"))]
pub mod testing;
pub mod verdict;
pub mod verify;

pub use certify::{
    CERTIFICATE_FILES, Certified, Goal, Unproven, best_rate, certificate_files, certificate_text,
    certify, certify_with, refutation_file, search_scale,
};
pub use descent::Steps;
pub use eta::Eta;
pub use gdcert_base::{Error, Result};
pub use gdcert_numbers as numbers;
pub use model::{Kernel, Precision, Trained};
pub use nalgebra;
pub use problem::{Dims, Init, Instance, Weights};
pub use spectrum::deciding_reading;
pub use verify::room::check_room;
pub use verify::{Event, Settings, Verification, verify, verify_with};
