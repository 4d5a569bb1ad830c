//! What a certificate proves, in words: one sentence from its numbers and the sizes of its instance.
//!
//! The sentence in a file is a copy of this one. Nothing rests on it, and nobody may be shown another one as proven.

use super::{Certificate, Obstructed, TheoremA};
use crate::bounds::Reason;
use crate::problem::Dims;

/// The sentence that belongs to a certificate's numbers, about an instance of these sizes.
pub fn statement(certificate: &Certificate, dims: Dims) -> String {
    match certificate {
        Certificate::TheoremA(c) => rate(c, dims),
        Certificate::Obstructed(c) => obstructed(c, dims),
    }
}

pub(crate) fn rate(c: &TheoremA, dims: Dims) -> String {
    format!(
        "Exact gradient descent on {} with step eta = {:e} from M_{} ({} attention, {dims}) satisfies f_(t+1) <= \
         (1 - {:.5e}) f_t for every t >= {}. The claimed rate eta beta ({}) is at most {:.5e}.",
        c.trained,
        c.eta,
        c.centre.t,
        c.kernel,
        // Rounded in the safe direction.
        c.rate_lower * (1.0 - 1e-5),
        c.centre.t,
        c.reading,
        c.eta * c.beta * (1.0 + 1e-5),
    )
}

pub(crate) fn obstructed(c: &Obstructed, dims: Dims) -> String {
    let why = match c.reason {
        Reason::Hull => "the labels leave the convex hull of the values",
        Reason::ZeroGradient => {
            "the values do not depend on the token, so attention changes nothing"
        }
    };
    format!(
        "No choice of W^Q and W^K brings the loss of this instance ({} attention, {dims}) below {:e}: {why}.",
        c.kernel, c.loss_lower,
    )
}
