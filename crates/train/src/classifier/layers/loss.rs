//! Cross-entropy of one sample: -log softmax(logits)[label].

use crate::classifier::Real;

/// The loss, in f64 whatever the precision of the logits; writes its derivative times `share`.
pub(crate) fn cross_entropy<T: Real>(
    logits: &[T],
    label: usize,
    share: f64,
    dlogits: &mut [T],
) -> f64 {
    let top = logits
        .iter()
        .fold(f64::NEG_INFINITY, |top, x| top.max(x.to_f64()));
    let exp = |x: &T| libm::exp(x.to_f64() - top);
    let total: f64 = logits.iter().map(exp).sum();
    for (i, (x, dx)) in logits.iter().zip(dlogits).enumerate() {
        let hit = if i == label { 1.0 } else { 0.0 };
        *dx = T::from_f64(share * (exp(x) / total - hit));
    }
    libm::log(total) - (logits[label].to_f64() - top)
}

/// The class with the largest logit, the first of equals.
pub(crate) fn prediction<T: Real>(logits: &[T]) -> usize {
    let mut best = 0;
    for (class, x) in logits.iter().enumerate() {
        if *x > logits[best] {
            best = class;
        }
    }
    best
}
