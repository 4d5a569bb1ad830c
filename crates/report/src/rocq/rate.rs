//! Theorem A with one ball and the closed form of h: the numbers that Rocq checks, found anew, and the file.

use super::MARGIN;
use super::text::{blocks_text, dyad, header, list, short};
use crate::Result;
use gdcert::certificate::TheoremA;
use gdcert::model::{Head, Kernel, Trained, jacobian, residual};
use gdcert::nalgebra::DMatrix;
use gdcert::numbers::linalg::singular_values;
use gdcert::problem::{Dims, Instance};
use std::fmt::Write as _;

/// Bits of the mantissas, each of which costs time: of the model's quantities, and of the elimination behind the singular values,
/// which loses bits with every row.
struct Precision {
    model: u32,
    elimination: u32,
}

/// A margin of 2^-20 has to be seen in every norm, also in the residual that is left where large outputs of the heads cancel, and
/// entries of J to an eighth of the 2^-F to which they are rounded.
fn precision(instance: &Instance, norms: &Norms, ball: &Ball) -> Precision {
    let n = instance.dims().n as f64;
    let largest = norms
        .ups
        .iter()
        .map(|heads| heads.iter().sum::<f64>())
        .fold(0.0, f64::max);
    let lost = (n * largest / ball.residual).log2().max(0.0);
    let entries = ball.jacobian.log2() + ball.bits as f64 + 8.0;
    Precision {
        model: (28.0 + lost).max(entries).ceil().clamp(36.0, 400.0) as u32,
        elimination: 48 + instance.dims().m() as u32 / 2,
    }
}
/// The same for the singular values, where Rocq rounds the Jacobian's entries to few bits.
const SIGMA_MARGIN: f64 = 1.0 + 1.0 / (1u64 << 14) as f64;

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

/// The file; `Err` says why this form does not close at the certificate's step and beta.
pub(super) fn export(
    instance: &Instance,
    c: &TheoremA,
    takes: &str,
) -> Result<std::result::Result<String, String>> {
    let norms = Norms::new(instance);
    let found = close(instance, c, &norms)?;
    Ok(found.map(|ball| {
        let bits = precision(instance, &norms, &ball);
        file(instance, c, &norms, &ball, &bits, takes)
    }))
}

/// The file with other numbers in the places of the proof's own: what [`same_statement`](super::compare::same_statement) holds a
/// file against.
pub(super) fn template(instance: &Instance, c: &TheoremA) -> String {
    let ball = Ball {
        rho: 0.0,
        h: 0.0,
        alpha: 0.0,
        jacobian: 0.0,
        residual: 0.0,
        b: Vec::new(),
        bits: 1,
    };
    let norms = Norms {
        x: Vec::new(),
        xi: Vec::new(),
        o: Vec::new(),
        kap: Vec::new(),
        ups: Vec::new(),
        qn: Vec::new(),
    };
    let bits = Precision {
        model: 60,
        elimination: 60,
    };
    file(instance, c, &norms, &ball, &bits, "")
}

fn file(
    instance: &Instance,
    c: &TheoremA,
    norms: &Norms,
    found: &Ball,
    bits: &Precision,
    takes: &str,
) -> String {
    let about = format!(
        "{}, weights of {} (SHA-256 {}), step {}.",
        c.instance.file, c.centre.file, c.centre.sha256, c.centre.t
    );
    let what = format!(
        "Theorem A on {}, step eta = {:e}, eta beta = {:.6e}; coqc takes {takes}.",
        c.trained,
        c.eta,
        c.eta * c.beta
    );
    let mut text = header(&what, "Intervals Instances Check", &about, instance);
    let [q, k, v] = c.trained.flags();
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
         apply (check_sound (F.PtoP {}) (F.PtoP {}) the_instance the_certificate). vm_cast_no_check (eq_refl true).\nQed.\n\
         Print Assumptions converges.",
        blocks_text(c.trained),
        bits.model,
        bits.elimination
    ));
    text
}

/// One ball at the certificate's step that covers its beta.
fn close(
    instance: &Instance,
    c: &TheoremA,
    norms: &Norms,
) -> Result<std::result::Result<Ball, String>> {
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
        Ok(Err(format!(
            "Theorem A closes, but not in the form that Rocq checks, one ball with the closed form of h, at eta = {:e}: {what}; a larger scale may do",
            c.eta
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
            return Ok(Ok(Ball {
                rho,
                h,
                alpha,
                jacobian: Lambda,
                residual: R,
                b,
                bits,
            }));
        }
        rho = short(need * MARGIN, true);
    }
    refuse("the radius that the path needs keeps growing".into())
}
