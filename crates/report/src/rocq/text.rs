//! Numbers, instances and the model as Rocq's text.

use gdcert::model::{Kernel, Trained};
use gdcert::nalgebra::DMatrix;
use gdcert::problem::{Dims, Instance};

/// The exact value of a finite f64, `(mantissa, exponent)` with an odd mantissa.
pub(super) fn dyad(x: f64) -> String {
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
pub(super) fn short(x: f64, up: bool) -> f64 {
    if x == 0.0 {
        return 0.0;
    }
    let unit = 2f64.powi(x.abs().log2().floor() as i32 - 29);
    let scaled = x / unit;
    (if up { scaled.ceil() } else { scaled.floor() }) * unit
}

pub(super) fn list<T>(items: impl IntoIterator<Item = T>, text: impl Fn(T) -> String) -> String {
    let items: Vec<String> = items.into_iter().map(text).collect();
    format!("[{}]", items.join(";"))
}

pub(super) fn matrices(blocks: &[DMatrix<f64>]) -> String {
    let matrix = |a: &DMatrix<f64>| list(a.row_iter(), |row| list(row.iter(), |x| dyad(*x)));
    let blocks: Vec<String> = blocks.iter().map(matrix).collect();
    format!("[{}]", blocks.join(";\n    "))
}

pub(super) fn kernel_name(kernel: Kernel) -> &'static str {
    match kernel {
        Kernel::Softmax => "Softmax",
        Kernel::Gaussian => "Gaussian",
    }
}

pub(super) fn instance_text(instance: &Instance) -> String {
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

/// Where every file begins.
const START: &str = "(* Written by gdcert ";

/// Whether a text begins as gdcert's files do.
pub fn starts_as_ours(text: &str) -> bool {
    text.starts_with(START)
}

pub(super) fn header(what: &str, library: &str, about: &str, instance: &Instance) -> String {
    format!(
        "{START}{version}. {what}\n   {about}\n   {kernel} kernel, {dims}. A pair (m, k) is the number m 2^k.\n\n   \
         Compile beside the files of `gdcert rocq DIR`, after its build.sh:  coqc $(grep '^-Q' _CoqProject) FILE.v\n   \
         Rocq proves the theorem about the numbers below. That they are those of the instance file it does not know:\n   \
         `gdcert check --rocq FILE.v` compares them. *)\n\
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
pub(super) fn model_text(kernel: Kernel) -> String {
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

pub(super) fn blocks_text(trained: Trained) -> String {
    let [q, k, v] = trained.flags();
    format!("(trained {q} {k} {v})")
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
