//! Certificates for the Rocq proof assistant: a file whose theorem is about the instance's own f64 numbers, as exact
//! dyadic numbers, and whose proof is one computation inside Rocq.
//!
//! [`library_files`] is the theory (`proofs-checks/rocq`), which the file requires; [`export`] writes the file. Nothing
//! here is trusted: a wrong number makes Rocq's computation end in `false`, and `coqc` refuses the file. What Rocq does not
//! know is that the numbers are those of the instance file; [`states`] compares.
//!
//! A file states one of: Theorem A with one ball and the closed form of h ([`export`]), a lower bound on every reachable
//! loss ([`export`] of an obstruction), a violation of a claimed bound at step t ([`export_refutation`]).

// !(a > b) is not a <= b: a NaN must be refused.
#![allow(clippy::neg_cmp_op_on_partial_ord)]

use crate::{Error, Result};
use gdcert::bounds::Reason;
use gdcert::certificate::{Certificate, Obstructed, TheoremA};
use gdcert::model::{Head, Kernel, Trained, jacobian, residual};
use gdcert::nalgebra::DMatrix;
use gdcert::numbers::linalg::singular_values;
use gdcert::problem::{Dims, Instance};
use std::borrow::Cow;
use std::fmt::{self, Write as _};

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

const FILES: [(&str, &str); 17] = [
    (
        "_CoqProject",
        include_str!("../../../proofs-checks/rocq/_CoqProject"),
    ),
    (
        "build.sh",
        include_str!("../../../proofs-checks/rocq/build.sh"),
    ),
    (
        "README.md",
        include_str!("../../../proofs-checks/rocq/README.md"),
    ),
    (
        "Spaces.v",
        include_str!("../../../proofs-checks/rocq/Spaces.v"),
    ),
    (
        "TheoremA.v",
        include_str!("../../../proofs-checks/rocq/TheoremA.v"),
    ),
    (
        "Orbit.v",
        include_str!("../../../proofs-checks/rocq/Orbit.v"),
    ),
    ("Rows.v", include_str!("../../../proofs-checks/rocq/Rows.v")),
    (
        "Model.v",
        include_str!("../../../proofs-checks/rocq/Model.v"),
    ),
    (
        "Readings.v",
        include_str!("../../../proofs-checks/rocq/Readings.v"),
    ),
    (
        "Theorem2.v",
        include_str!("../../../proofs-checks/rocq/Theorem2.v"),
    ),
    (
        "Obstruction.v",
        include_str!("../../../proofs-checks/rocq/Obstruction.v"),
    ),
    (
        "Intervals.v",
        include_str!("../../../proofs-checks/rocq/Intervals.v"),
    ),
    (
        "Instances.v",
        include_str!("../../../proofs-checks/rocq/Instances.v"),
    ),
    (
        "Check.v",
        include_str!("../../../proofs-checks/rocq/Check.v"),
    ),
    ("Hull.v", include_str!("../../../proofs-checks/rocq/Hull.v")),
    (
        "Refute.v",
        include_str!("../../../proofs-checks/rocq/Refute.v"),
    ),
    (
        "Findings.v",
        include_str!("../../../proofs-checks/rocq/Findings.v"),
    ),
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

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.seconds {
            s if s < 10.0 => write!(f, "a few seconds")?,
            s if s < 100.0 => write!(f, "about {:.0} s", (s / 10.0).ceil() * 10.0)?,
            s if s < 5400.0 => write!(f, "about {:.0} minutes", (s / 60.0).ceil())?,
            s => write!(f, "about {:.0} hours", (s / 3600.0).ceil())?,
        }
        write!(
            f,
            " of coqc on one core, about {:.1} GB",
            self.megabytes / 1000.0
        )
    }
}

/// The estimate for [`export`] of a Theorem A certificate. Measured: see `proofs-checks/rocq/README.md`.
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
        Integers::Z => 140e-6 * products + 8e-3 * exponentials + 20e-6 * gram,
        Integers::Primitive => 30e-6 * products + 1e-3 * exponentials + 20e-6 * gram,
    };
    Estimate {
        seconds: 3.0 + seconds,
        megabytes: 600.0 + 1e-3 * m * P,
    }
}

/// Beyond this estimate [`export`] refuses.
pub const LIMIT_SECONDS: f64 = 4.0 * 3600.0;

/// The file's text, for the weights the certificate starts from (`instance` is the centre's).
///
/// The numbers of the proof are found here anew, in the form that Rocq checks: one ball, the closed form of h, with the
/// certificate's step and beta.
///
/// # Errors
/// An instance that is too large, an obstruction for another kernel, or a certificate whose step and beta this form does not
/// close at; the message says which condition fails and what may help.
pub fn export(
    instance: &Instance,
    certificate: &Certificate,
    integers: Integers,
) -> Result<String> {
    match certificate {
        Certificate::TheoremA(c) => theorem_a(instance, c, integers),
        Certificate::Obstructed(c) => obstruction(instance, c),
        #[allow(unreachable_patterns)] // other kinds may join
        _ => Err(Error::input(format!(
            "a certificate of kind {} can not be written for Rocq; give one of Theorem A or of an obstruction",
            certificate.kind()
        ))),
    }
}

/// Whether `text` (a file that [`export`] wrote) is about this instance, number by number.
pub fn states(text: &str, instance: &Instance) -> bool {
    let definition = instance_text(instance);
    text.matches("Definition the_instance").count() == 1 && text.contains(&definition)
}

// ---------------------------------------------------------------------------------------------------------------------
// Numbers as text.

/// The exact value of a finite f64, `(mantissa, exponent)` with an odd mantissa.
fn dyad(x: f64) -> String {
    let bits = x.to_bits();
    let (exponent, fraction) = ((bits >> 52) & 0x7ff, bits & ((1 << 52) - 1));
    if exponent == 0 && fraction == 0 {
        return "(0,0)".into();
    }
    let (mantissa, power) = match exponent {
        0 => (fraction, -1074),
        e => (fraction | (1 << 52), e as i64 - 1075),
    };
    let zeros = mantissa.trailing_zeros();
    let sign = if x < 0.0 { "-" } else { "" };
    format!("({sign}{},{})", mantissa >> zeros, power + zeros as i64)
}

/// A number of at most 30 bits that is not below `x`, or not above.
fn short(x: f64, up: bool) -> f64 {
    if x == 0.0 {
        return 0.0;
    }
    let unit = 2f64.powi(x.abs().log2().floor() as i32 - 29);
    let scaled = x / unit;
    (if up { scaled.ceil() } else { scaled.floor() }) * unit
}

fn list<T>(items: impl IntoIterator<Item = T>, text: impl Fn(T) -> String) -> String {
    let items: Vec<String> = items.into_iter().map(text).collect();
    format!("[{}]", items.join(";"))
}

fn matrices(blocks: &[DMatrix<f64>]) -> String {
    let matrix = |a: &DMatrix<f64>| list(a.row_iter(), |row| list(row.iter(), |x| dyad(*x)));
    let blocks: Vec<String> = blocks.iter().map(matrix).collect();
    format!("[{}]", blocks.join(";\n    "))
}

fn kernel_name(kernel: Kernel) -> &'static str {
    match kernel {
        Kernel::Softmax => "Softmax",
        Kernel::Gaussian => "Gaussian",
    }
}

fn instance_text(instance: &Instance) -> String {
    let Dims { N, n, D, d, H, p } = instance.dims();
    let W = instance.W();
    format!(
        "Definition the_instance : instance := Instance {} {N} {n} {D} {d} {H} {p}\n\
         (* X   *) {}\n(* y   *) {}\n(* W^Q *) {}\n(* W^K *) {}\n(* W^V *) {}\n(* W^O *) {}.\n",
        kernel_name(instance.kernel()),
        matrices(instance.X()),
        matrices(instance.y()),
        matrices(&W.Q),
        matrices(&W.K),
        matrices(&W.V),
        matrices(&W.O),
    )
}

fn header(what: &str, library: &str, about: &str, instance: &Instance) -> String {
    format!(
        "(* Written by gdcert {version}. {what}\n   {about}\n   {kernel} kernel, {dims}. A pair (m, k) is the number m 2^k.\n\n   \
         Compile beside the files of `gdcert rocq DIR`, after its build.sh:  coqc $(grep '^-Q' _CoqProject) FILE.v\n   \
         Rocq proves the theorem about the numbers below. That they are those of the instance file it does not know:\n   \
         `gdcert check` compares them. *)\n\
         From Coq Require Import Reals List ZArith.\nFrom Coquelicot Require Import Coquelicot.\n\
         From Gdcert Require Import Spaces Rows Model {library}.\nImport ListNotations.\n\n{model}\n\
         Local Open Scope Z_scope.\n{instance}\n\
         Local Open Scope R_scope.\nLemma the_loss W : f (the_model the_instance) W = loss the_instance W.\nProof. exact (loss_is the_instance eq_refl W). Qed.\n\
         (* gradient descent moves W t to W (t + 1) by eta times the partial derivatives of the loss in the trained blocks *)\n\
         Notation descent := (descent (the_model the_instance)).\n\n",
        version = env!("CARGO_PKG_VERSION"),
        kernel = kernel_name(instance.kernel()),
        dims = instance.dims(),
        instance = instance_text(instance),
        model = model_text(instance.kernel()),
    )
}

/// The model in full, for a reader to compare with `proofs-checks/README.md`, and that the theory's model is this one.
/// It is about any instance, so that nothing is computed with the numbers here.
fn model_text(kernel: Kernel) -> String {
    let score = match kernel {
        Kernel::Softmax => {
            "Definition score W i h k j := sum d (fun b => q W i h k b * kappa W i h j b) / sqrt (INR d).\n\
             Definition s W i h k j := exp (score W i h k j) / sum n (fun l => exp (score W i h k l)).\n"
        }
        Kernel::Gaussian => {
            "Definition score W i h k j := - sum d (fun b => (q W i h k b - kappa W i h j b) * (q W i h k b - kappa W i h j b)) / (2 * sqrt (INR d)).\n\
             Definition s W i h k j := exp (score W i h k j).\n"
        }
    };
    format!(
        "(* The model: sample i, head h, query token k, key token j, output c; W (Q, h, a, b) is entry (a, b) of W^Q_h. *)\n\
         Section InFull.\nLocal Open Scope R_scope.\nVariable I : instance.\n\
         Notation N := (q_N I). Notation n := (q_n I). Notation D := (q_D I). Notation d := (q_d I). Notation H := (q_H I). Notation p := (q_p I).\n\
         Notation X := (real3 (q_X I)). Notation y := (real3 (q_y I)). Notation WO := (real3 (q_O I)).\n\
         Notation sum k f := (lsum (seq 0 k) f).            (* f 0 + ... + f (k - 1) *)\n\
         Definition q (W : par -> R) i h k b := sum D (fun a => X i k a * W (Q, h, a, b)).\n\
         Definition kappa (W : par -> R) i h j b := sum D (fun a => X i j a * W (K, h, a, b)).\n\
         Definition u (W : par -> R) i h j c := sum d (fun b => sum D (fun a => X i j a * W (V, h, a, b)) * WO h b c).\n\
         {score}\
         Definition out W i k c := sum H (fun h => sum n (fun j => s W i h k j * u W i h j c)).\n\
         Definition loss W := / 2 * sum N (fun i => sum n (fun k => sum p (fun c => (out W i k c - y i k c) * (out W i k c - y i k c)))).\n\
         Lemma loss_is : q_kernel I = {name} -> forall W, f (the_model I) W = loss W.\n\
         Proof. intros kernel W. rewrite f_in_full. unfold weight, scores, Rows.score. cbn [the_model kern]. rewrite kernel. reflexivity. Qed.\n\
         End InFull.\n",
        name = kernel_name(kernel),
    )
}

fn blocks_text(trained: Trained) -> String {
    let [q, k, v] = trained.flags();
    format!("(trained {q} {k} {v})")
}

/// Bits of the mantissas: each costs time. Singular values are asked for to 14 bits only; the residual may be what is left when
/// large outputs of the heads cancel.
fn precision(instance: &Instance, norms: &Norms, residual: f64) -> u32 {
    let n = instance.dims().n as f64;
    let largest = norms
        .ups
        .iter()
        .map(|heads| heads.iter().sum::<f64>())
        .fold(0.0, f64::max);
    let lost = (n * largest / residual).log2();
    // Elimination in intervals loses bits with every row.
    let elimination = 48.0 + instance.dims().m() as f64 / 2.0;
    elimination.max(34.0 + lost.ceil()).min(400.0) as u32
}
/// Where nothing cancels.
const PRECISION: u32 = 60;
/// Room for the roundings between here and Rocq's intervals.
const MARGIN: f64 = 1.0 + 1.0 / (1u64 << 20) as f64;
/// The same for the singular values, where Rocq rounds the Jacobian's entries to few bits.
const SIGMA_MARGIN: f64 = 1.0 + 1.0 / (1u64 << 14) as f64;

// ---------------------------------------------------------------------------------------------------------------------
// Theorem A.

/// The norms that the closed form of h grows from, rounded up to short numbers.
struct Norms {
    x: Vec<Vec<f64>>,
    xi: Vec<f64>,
    o: Vec<f64>,
    kap: Vec<Vec<f64>>,
    ups: Vec<Vec<f64>>,
    qn: Vec<Vec<Vec<f64>>>,
}

impl Norms {
    fn new(instance: &Instance) -> Self {
        let Dims { N, n, H, .. } = instance.dims();
        let up = |x: f64| short(x * MARGIN, true);
        let longest = |a: &DMatrix<f64>| up(a.row_iter().map(|row| row.norm()).fold(0.0, f64::max));
        let heads: Vec<Vec<Head<f64>>> = (0..N)
            .map(|i| {
                (0..H)
                    .map(|h| Head::new(instance, instance.W(), i, h))
                    .collect()
            })
            .collect();
        let per_head = |value: &dyn Fn(&Head<f64>) -> f64| {
            heads
                .iter()
                .map(|heads| heads.iter().map(value).collect())
                .collect::<Vec<Vec<f64>>>()
        };
        Norms {
            x: instance
                .X()
                .iter()
                .map(|x| x.row_iter().map(|row| row.norm()).collect())
                .collect(),
            xi: instance.X().iter().map(longest).collect(),
            o: instance.W().O.iter().map(|o| o.norm()).collect(),
            kap: per_head(&|head| longest(&head.kappa)),
            ups: per_head(&|head| longest(&head.u)),
            qn: (0..N)
                .map(|i| {
                    (0..n)
                        .map(|k| heads[i].iter().map(|head| head.q.row(k).norm()).collect())
                        .collect()
                })
                .collect(),
        }
    }

    /// max_h b_ikh over the ball of radius rho (Proposition 6), rounded up.
    fn b(&self, instance: &Instance, trained: Trained, rho: f64) -> Vec<Vec<f64>> {
        let Dims { N, n, d, H, .. } = instance.dims();
        let [on_q, on_k, on_v] = trained.flags().map(|on| if on { 1.0 } else { 0.0 });
        let root_d = (d as f64).sqrt();
        let e = std::f64::consts::E;
        let one = |i: usize, k: usize, h: usize| {
            let (x_q, x_k, o_v) = (
                on_q * self.x[i][k],
                on_k * self.xi[i],
                on_v * self.xi[i] * self.o[h],
            );
            let q = self.qn[i][k][h] + x_q * rho;
            let kap = self.kap[i][h] + x_k * rho;
            let ups = self.ups[i][h] + o_v * rho;
            match instance.kernel() {
                Kernel::Softmax => {
                    let a = (x_q * kap).hypot(x_k * q) / root_d;
                    2.0 * ups * a * a + x_q * x_k * ups / root_d + a * o_v
                }
                Kernel::Gaussian => {
                    let g = x_q.hypot(x_k);
                    n as f64
                        * ((2.0 / e + 1.0) / root_d * g * g * ups
                            + (-0.5f64).exp() / root_d.sqrt() * g * o_v)
                }
            }
        };
        let largest = |i, k| {
            short(
                (0..H).map(|h| one(i, k, h)).fold(0.0, f64::max) * MARGIN,
                true,
            )
        };
        (0..N)
            .map(|i| (0..n).map(|k| largest(i, k)).collect())
            .collect()
    }
}

/// What the exported certificate says.
struct Ball {
    rho: f64,
    h: f64,
    alpha: f64,
    jacobian: f64,
    residual: f64,
    b: Vec<Vec<f64>>,
    bits: i64,
}

fn theorem_a(instance: &Instance, c: &TheoremA, integers: Integers) -> Result<String> {
    let dims = instance.dims();
    let time = estimate(dims, instance.kernel(), c.trained, integers);
    if time.seconds > LIMIT_SECONDS {
        return Err(Error::input(format!(
            "an instance with {dims} would take {time}; the limit for Rocq is 4 hours, choose smaller sizes{}",
            match integers {
                Integers::Z => " or primitive integers",
                Integers::Primitive => "",
            }
        )));
    }
    let norms = Norms::new(instance);
    let found = close(instance, c, &norms)?;
    let about = format!(
        "{}, weights of {} (SHA-256 {}), step {}.",
        c.instance.file, c.centre.file, c.centre.sha256, c.centre.t
    );
    let what = format!(
        "Theorem A on {}, step eta = {:e}, eta beta = {:.6e}; checking takes {time}.",
        c.trained,
        c.eta,
        c.eta * c.beta
    );
    let mut text = header(&what, "Intervals Instances Check", &about, instance);
    let [q, k, v] = c.trained.flags();
    let precision = precision(instance, &norms, found.residual);
    let rows = |rows: &[Vec<f64>]| list(rows, |row| list(row, |x| dyad(*x)));
    let mut add = |line: String| {
        let _ = writeln!(text, "{line}"); // a String takes everything
    };
    add("Definition the_certificate : certificate := (Certificate".into());
    add(format!("  {q} {k} {v}   (* trained: W^Q, W^K, W^V *)"));
    for (name, value) in [
        ("rho", found.rho),
        ("h(rho)", found.h),
        ("alpha_c", found.alpha),
        ("Lambda", found.jacobian),
        ("R", found.residual),
        ("eta", c.eta),
        ("beta", c.beta),
    ] {
        add(format!("  {}   (* {name} = {value:e} *)", dyad(value)));
    }
    add(format!("  (* xi  *) {}", list(&norms.xi, |x| dyad(*x))));
    add(format!(
        "  (* kap *) {}\n  (* ups *) {}\n  (* b   *) {}",
        rows(&norms.kap),
        rows(&norms.ups),
        rows(&found.b)
    ));
    add(format!("  (* F   *) {})%Z.", found.bits));
    add("Notation eta := (dval (c_eta the_certificate)).\nNotation beta := (dval (c_beta the_certificate)).\n".into());
    add(format!(
        "(* Exact gradient descent from the weights above obeys the bound at every step. *)\n\
         Theorem converges : forall W : nat -> par -> R, descent {} eta (the_weights the_instance) W ->\n  \
         forall t, loss the_instance (W t) <= (1 - eta * beta) ^ t * loss the_instance (W 0%nat).\n\
         Proof.\n  intros W Ds t. rewrite <- !the_loss. revert W Ds t.\n  \
         apply (check_sound (F.PtoP {precision}) the_instance the_certificate). vm_cast_no_check (eq_refl true).\nQed.\n\
         Print Assumptions converges.",
        blocks_text(c.trained)
    ));
    Ok(text)
}

/// One ball at the certificate's step that covers its beta.
fn close(instance: &Instance, c: &TheoremA, norms: &Norms) -> Result<Ball> {
    let W = instance.W();
    let J = jacobian(instance, W, c.trained);
    let (m, P) = J.shape();
    let values = singular_values(&J)?;
    let smallest = if P < m { 0.0 } else { values[values.len() - 1] };
    let alpha = short(smallest / SIGMA_MARGIN, false);
    let Lambda = short(values[0] * SIGMA_MARGIN, true);
    let R = short(
        DMatrix::from_vec(m, 1, residual(instance, W)).norm() * MARGIN,
        true,
    );
    let refuse = |what: String| {
        Err(Error::input(format!(
            "{}: Theorem A with one ball and the closed form of h, which is what Rocq checks, does not close with eta = {:e}: {what}; \
             a larger scale of the initialization (--search-scale) or a later centre (--tail) may close",
            c.instance.file, c.eta
        )))
    };
    if !(alpha > 0.0) {
        return refuse("the smallest singular value of the Jacobian is 0".into());
    }
    let curvature = |rho: f64| {
        let b = norms.b(instance, c.trained, rho);
        let squares: f64 = b.iter().flatten().map(|b| b * b).sum();
        (short(squares.sqrt() * MARGIN, true), b)
    };
    // The radius grows from 0 to the least one that holds the path.
    let (eta, mut rho) = (c.eta, 0.0);
    for _ in 0..1000 {
        let (h, b) = curvature(rho);
        let change = rho * h;
        let L = (Lambda + change) * (Lambda + change) + R * h;
        let theta = 1.0 - eta * L / 2.0;
        if !(alpha > change) {
            return refuse(format!(
                "the Jacobian may change by {:.3} times its smallest singular value",
                change / alpha
            ));
        }
        if !(theta > 0.0) {
            return refuse(format!(
                "eta L / 2 is {:.3} but must be below 1",
                eta * L / 2.0
            ));
        }
        let need = R / ((alpha - change / 2.0) * theta) * MARGIN;
        if need <= rho {
            let rate = 2.0 * eta * (alpha - change) * (alpha - change) * theta;
            if !(eta * c.beta * MARGIN <= rate && eta * c.beta < 1.0) {
                return refuse(format!(
                    "the claimed rate is {:.3} times the rate that is proven",
                    eta * c.beta / rate
                ));
            }
            // Rounding every entry of J to 2^-F costs sqrt(m P) 2^-F of alpha, which may take 2^-16 of it.
            let bits = 16.0 + ((m * P) as f64).sqrt().log2() - smallest.log2();
            let bits = bits.ceil().max(1.0) as i64;
            return Ok(Ball {
                rho,
                h,
                alpha,
                jacobian: Lambda,
                residual: R,
                b,
                bits,
            });
        }
        rho = short(need * MARGIN, true);
    }
    refuse("the radius that the path needs keeps growing".into())
}

// ---------------------------------------------------------------------------------------------------------------------
// Obstructions.

fn obstruction(instance: &Instance, c: &Obstructed) -> Result<String> {
    let Dims { N, n, H, p, .. } = instance.dims();
    if instance.kernel() != Kernel::Softmax || c.trained.v() {
        return Err(Error::input(
            "an obstruction is about softmax with W^Q, W^K or both trained; make the certificate agree",
        ));
    }
    // Values with room for the roundings of both sides.
    let heads: Vec<Vec<Head<f64>>> = (0..H)
        .map(|h| {
            (0..N)
                .map(|i| Head::new(instance, instance.W(), i, h))
                .collect()
        })
        .collect();
    let slack = |h: usize, i: usize| {
        let W = instance.W();
        instance.X()[i].norm() * W.V[h].norm() * W.O[h].norm() / (1u64 << 40) as f64
    };
    let end = |up: bool| -> Vec<Vec<Vec<f64>>> {
        let one = |h: usize, i: usize, c: usize| {
            let u = heads[h][i].u.column(c);
            if up {
                u.max() + slack(h, i)
            } else {
                u.min() - slack(h, i)
            }
        };
        (0..H)
            .map(|h| {
                (0..N)
                    .map(|i| (0..p).map(|c| one(h, i, c)).collect())
                    .collect()
            })
            .collect()
    };
    let (low, high) = (end(false), end(true));
    let distance = |i: usize, k: usize, c: usize| {
        let sum = |ends: &[Vec<Vec<f64>>]| ends.iter().map(|h| h[i][c]).sum::<f64>();
        let y = instance.y()[i][(k, c)];
        let outside = (sum(&low) - y).max(y - sum(&high)).max(0.0);
        let all: f64 = (0..H).map(|h| slack(h, i)).sum::<f64>() + y.abs() / (1u64 << 40) as f64;
        (outside - all).max(0.0)
    };
    let distances: Vec<Vec<Vec<f64>>> = (0..N)
        .map(|i| {
            (0..n)
                .map(|k| (0..p).map(|c| distance(i, k, c)).collect())
                .collect()
        })
        .collect();
    let bound = 0.5
        * distances
            .iter()
            .flatten()
            .flatten()
            .map(|e| e * e)
            .sum::<f64>();
    if !(c.loss_lower * MARGIN.sqrt() <= bound) {
        return Err(Error::input(format!(
            "{}: loss_lower = {:e} is not below the hull bound {bound:e} that Rocq could prove; write the certificate again",
            c.instance.file, c.loss_lower
        )));
    }
    let about = format!("{} (SHA-256 {}).", c.instance.file, c.instance.sha256);
    let what = "A lower bound on every loss that W^Q and W^K can reach.";
    let mut text = header(
        what,
        "Obstruction Intervals Instances Hull",
        &about,
        instance,
    );
    let cube =
        |cube: &[Vec<Vec<f64>>]| list(cube, |rows| list(rows, |row| list(row, |x| dyad(*x))));
    let _ = writeln!(
        text,
        "Definition the_certificate : hull_certificate := (HullCertificate\n  (* low  *) {}\n  (* high *) {}\n  (* dist *) {}\n  \
         {})%Z.   (* {:e} *)\nNotation bound := (dval (c_loss the_certificate)).\n\n\
         (* Whatever W^Q and W^K are, with W^V as above: *)\n\
         Theorem obstructed : forall W, same_V (the_model the_instance) (the_weights the_instance) W -> bound <= loss the_instance W.\n\
         Proof.\n  intros W. rewrite <- the_loss. revert W.\n  \
         apply (hull_sound (F.PtoP {PRECISION}) the_instance the_certificate). vm_cast_no_check (eq_refl true).\nQed.\n\
         Print Assumptions obstructed.",
        cube(&low),
        cube(&high),
        cube(&distances),
        dyad(c.loss_lower),
        c.loss_lower
    );
    if c.reason == Reason::ZeroGradient {
        let _ = writeln!(
            text,
            "\n(* The values do not depend on the token: gradient descent does not move. *)\n\
             Theorem does_not_move : forall eta W, descent {0} eta (the_weights the_instance) W -> forall t,\n  \
             (forall r, in_range (the_model the_instance) r -> W t r = the_weights the_instance r) /\\ loss the_instance (W t) = loss the_instance (W 0%nat).\n\
             Proof.\n  intros eta W Ds t. rewrite <- !the_loss.\n  \
             apply (constant_sound the_instance) with (tr := {0}) (eta := eta); [vm_cast_no_check (eq_refl true) | reflexivity | exact Ds].\nQed.\n\
             Print Assumptions does_not_move.",
            blocks_text(c.trained)
        );
    }
    Ok(text)
}

// ---------------------------------------------------------------------------------------------------------------------
// Refutations.

/// The longest run that [`export_refutation`] takes: plain interval arithmetic loses about ten bits a step.
pub const REFUTATION_STEPS: usize = 50;

/// A file that proves f_t > (1 - eta b)^t f_0 for exact gradient descent and every b >= `beta` with eta b <= 1.
///
/// # Errors
/// More steps than [`REFUTATION_STEPS`], more than 64 numbers in X and the weights, or a step or beta that is not positive.
pub fn export_refutation(
    instance: &Instance,
    trained: Trained,
    eta: f64,
    beta: f64,
    t: usize,
) -> Result<String> {
    let Dims { N, n, D, d, H, p } = instance.dims();
    let numbers = N * n * D + 3 * H * D * d + H * d * p;
    if t > REFUTATION_STEPS || numbers > 64 {
        return Err(Error::input(format!(
            "t = {t} with {numbers} numbers is too large for Rocq; the limits are {REFUTATION_STEPS} steps and 64 numbers in X and the weights"
        )));
    }
    if !(eta > 0.0 && eta.is_finite() && beta > 0.0 && eta * beta <= 1.0) {
        return Err(Error::input(format!(
            "eta = {eta} and beta = {beta} must be positive with eta beta at most 1"
        )));
    }
    let what = format!("The bound with eta = {eta:e} and beta >= {beta:e} is exceeded at t = {t}.");
    let mut text = header(&what, "Intervals Instances Refute", "No file.", instance);
    let _ = writeln!(
        text,
        "Definition the_eta : dyad := {}%Z.\nDefinition the_beta : dyad := {}%Z.\n\n\
         Theorem refuted : forall W : nat -> par -> R, descent {blocks} (dval the_eta) (the_weights the_instance) W ->\n  \
         forall b, dval the_beta <= b -> dval the_eta * b <= 1 ->\n  \
         loss the_instance (W {t}%nat) > (1 - dval the_eta * b) ^ {t} * loss the_instance (W 0%nat).\n\
         Proof.\n  intros W Ds b. rewrite <- !the_loss. revert W Ds b.\n  \
         apply (refute_sound (F.PtoP {precision}) the_instance {blocks} the_eta the_beta {t}). vm_cast_no_check (eq_refl true).\nQed.\n\
         Print Assumptions refuted.",
        dyad(eta),
        dyad(beta),
        blocks = blocks_text(trained),
        precision = 80 + 12 * t,
    );
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gdcert::problem::Init;
    use gdcert::{Certified, Goal, certify};
    use std::ops::ControlFlow;

    /// The number that a pair (m,k) means, for exponents that f64 can follow.
    fn value(text: &str) -> f64 {
        let (m, k) = text.trim_matches(['(', ')']).split_once(',').unwrap();
        let (m, k): (f64, i32) = (m.parse().unwrap(), k.parse().unwrap());
        // In two steps, as 2^k alone may underflow.
        m * 2f64.powi(k / 2) * 2f64.powi(k - k / 2)
    }

    #[test]
    fn dyads_are_the_numbers() {
        let numbers = [
            0.0,
            -0.0,
            1.0,
            -1.5,
            0.1,
            f64::MAX,
            f64::MIN_POSITIVE,
            5e-324,
            -3e-320,
            std::f64::consts::PI,
        ];
        for x in numbers {
            assert_eq!(value(&dyad(x)), x, "{x:e} as {}", dyad(x));
        }
        assert_eq!(dyad(-0.375), "(-3,-3)");
    }

    #[test]
    fn short_numbers_are_on_the_right_side_and_short() {
        for x in [0.1, 1.0, 3e-200, 7.77e150, std::f64::consts::E] {
            let (up, down) = (short(x, true), short(x, false));
            assert!(down <= x && x <= up && up <= x * (1.0 + 1e-8) && down >= x * (1.0 - 1e-8));
            let mantissa = dyad(up)
                .trim_start_matches('(')
                .split(',')
                .next()
                .unwrap()
                .parse::<u64>()
                .unwrap();
            assert!(mantissa <= 1 << 30, "{mantissa}");
        }
    }

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
        let certificate =
            match certify(&instance, &goal, &mut |_| ControlFlow::Continue(())).unwrap() {
                Certified::Rate { certificate, .. } => certificate,
                Certified::Obstructed(certificate) => certificate,
                other => panic!("{other:?}"),
            };
        (instance, certificate)
    }

    #[test]
    fn a_file_states_its_own_instance_and_no_other() {
        let (instance, certificate) =
            certified(Kernel::Softmax, Trained::QKV, Init::Lazy { omega: 1e7 });
        let text = export(&instance, &certificate, Integers::Z).unwrap();
        assert!(states(&text, &instance));
        let mut W = instance.W().clone();
        W.Q[0][(1, 1)] = f64::from_bits(W.Q[0][(1, 1)].to_bits() ^ 1);
        assert!(!states(&text, &instance.clone().with_weights(W).unwrap()));
        assert!(!states(
            &text,
            &instance.clone().with_kernel(Kernel::Gaussian)
        ));
        let Certificate::TheoremA(c) = certificate else {
            unreachable!()
        };
        assert!(text.contains(&dyad(c.eta)) && text.contains(&dyad(c.beta)));
        // The numbers of the instance survive being read back, whatever comes before them.
        assert!(!states(
            &text.replace("Definition the_instance", "Definition an_instance"),
            &instance
        ));
    }

    #[test]
    fn where_the_ball_does_not_close_the_refusal_says_what_fails() {
        let (instance, certificate) =
            certified(Kernel::Gaussian, Trained::Q, Init::Paired { s: 1e7 });
        let Certificate::TheoremA(mut c) = certificate else {
            unreachable!()
        };
        c.eta *= 100.0;
        let why = export(&instance, &Certificate::TheoremA(c.clone()), Integers::Z)
            .unwrap_err()
            .to_string();
        assert!(
            why.contains("eta L / 2 is") && why.contains("--search-scale"),
            "{why}"
        );
        (c.eta, c.beta) = (c.eta / 100.0, c.beta * 10.0);
        let why = export(&instance, &Certificate::TheoremA(c), Integers::Z)
            .unwrap_err()
            .to_string();
        assert!(why.contains("the claimed rate is"), "{why}");
    }

    #[test]
    fn obstructions_and_refutations_are_written() {
        let (instance, certificate) =
            certified(Kernel::Softmax, Trained::Q, Init::ConstantValue { s: 2.0 });
        let text = export(&instance, &certificate, Integers::Z).unwrap();
        assert!(text.contains("Theorem obstructed") && text.contains("Theorem does_not_move"));
        let Certificate::Obstructed(mut c) = certificate else {
            unreachable!()
        };
        c.loss_lower *= 1.01;
        assert!(export(&instance, &Certificate::Obstructed(c), Integers::Z).is_err());
        assert!(
            export_refutation(&instance, Trained::Q, 0.1, 1.0, 7).is_err(),
            "64 numbers at most"
        );
    }
}
