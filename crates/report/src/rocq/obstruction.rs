//! Lower bounds on every reachable loss.

use super::MARGIN;
use super::text::{blocks_text, dyad, header, list};
use crate::{Error, Result};
use gdcert::bounds::Reason;
use gdcert::certificate::Obstructed;
use gdcert::model::{Head, Kernel};
use gdcert::problem::{Dims, Instance};
use std::fmt::Write as _;

/// Where nothing cancels.
const PRECISION: u32 = 60;

/// The file.
///
/// # Errors
/// Another kernel, W^V trained, or a bound that is not below what Rocq could prove: a certificate that was changed.
pub(super) fn export(instance: &Instance, c: &Obstructed) -> Result<String> {
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
