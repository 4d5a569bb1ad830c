//! Where gradient descent does not move: the gradient at M_0 is 0 exactly, and the residual is not.

use crate::{Evaluation, Graph};
use gdcert_numbers::{Interval, Scalar};

/// A lower bound of f(M_0), above 0, if the gradient of f there is proven to be 0, so that M_t = M_0 for every t and every step.
///
/// Intervals keep exact what is exact: each entry of J'r has to come out as 0 itself, or the parameter's column of J, where r is
/// not 0. Every function in the model has to be differentiable there.
pub fn standstill(graph: &Graph) -> Option<f64> {
    let mut at = Evaluation::<Interval>::new(graph);
    at.forward();
    if at.kink().is_some() || !at.is_known() {
        return None;
    }
    at.reverse_residual();
    let zero = |g: &Interval| g.is_zero();
    if at.gradient().iter().any(|g| !g.contains(0.0)) {
        return None;
    }
    let open: Vec<bool> = at.gradient().iter().map(|g| !zero(g)).collect();
    let r = at.residual().to_vec();
    let squares = r.iter().map(|r| r.square());
    let sum = squares.fold(Interval::from_f64(0.0), |sum, x| sum + x);
    let loss = (Interval::from_f64(0.5) * sum).lo();
    if !(loss > 0.0 && loss.is_finite()) {
        return None;
    }
    let mut w = vec![Interval::from_f64(0.0); r.len()];
    let some_open = open.contains(&true);
    for i in (0..r.len()).filter(|&i| some_open && !zero(&r[i])) {
        w[i] = Interval::from_f64(1.0);
        at.reverse(&w);
        w[i] = Interval::from_f64(0.0);
        if open
            .iter()
            .zip(at.gradient())
            .any(|(open, g)| *open && !zero(g))
        {
            return None;
        }
    }
    Some(loss)
}

#[cfg(test)]
mod tests {
    use super::standstill;
    use crate::{Builder, Graph, Result};

    /// r = v tanh(X w) - y, v and w of this start.
    fn net(v: f64, w: [f64; 2], y: [f64; 2]) -> Graph {
        let build = || -> Result<Graph> {
            let mut b = Builder::new();
            let v = b.parameter("v", &[], &[v])?;
            let w = b.parameter("w", &[2], &w)?;
            let x = b.constant(&[2, 2], &[0.3, 1.7, -0.4, 0.9])?;
            let z = b.dot_general(x, w, [&[1], &[0]], [&[], &[]])?;
            let h = b.tanh(z)?;
            let v = b.broadcast_in_dim(v, &[2], &[])?;
            let outputs = b.mul(v, h)?;
            let y = b.constant(&[2], &y)?;
            let r = b.sub(outputs, y)?;
            b.finish(r)
        };
        build().unwrap()
    }

    #[test]
    fn descent_stands_where_the_gradient_is_0() {
        let stuck = net(0.0, [0.0, 0.0], [0.7, -0.2]);
        let loss = standstill(&stuck).unwrap();
        assert!((loss - 0.5 * (0.49 + 0.04)).abs() < 1e-15);
        // There is nothing to say where it moves, or where it has arrived.
        assert_eq!(standstill(&net(0.1, [0.0, 0.0], [0.7, -0.2])), None);
        assert_eq!(standstill(&net(0.0, [0.1, 0.0], [0.7, -0.2])), None);
        assert_eq!(standstill(&net(0.0, [0.0, 0.0], [0.0, 0.0])), None);
        // What is held does not count.
        let held = net(0.0, [0.1, 0.0], [0.7, -0.2]);
        let w = held.training(&["w".to_owned()]).unwrap();
        assert!(standstill(&w).is_some());
        let v = held.training(&["v".to_owned()]).unwrap();
        assert_eq!(standstill(&v), None);
    }

    /// Rows of a softmax whose values do not depend on the token, whatever numbers those are; and sums that cancel.
    #[test]
    fn exact_cancellation_is_seen() {
        let softmax = |other: f64| -> Result<Graph> {
            let mut b = Builder::new();
            let z = b.parameter("z", &[1, 3], &[0.1, -0.2, 0.7])?;
            let p = b.softmax(z, 1)?;
            let u = b.constant(&[3, 1], &[0.3, 0.3, other])?;
            let outputs = b.matmul(p, u)?;
            let y = b.full(&[1, 1], 0.1)?;
            let r = b.sub(outputs, y)?;
            b.finish(r)
        };
        assert!(standstill(&softmax(0.3).unwrap()).is_some());
        assert_eq!(standstill(&softmax(0.31).unwrap()), None);
        let line = |y: f64| -> Result<Graph> {
            let mut b = Builder::new();
            let w = b.parameter("w", &[1], &[0.0])?;
            let x = b.constant(&[2, 1], &[1.0, -1.0])?;
            let z = b.dot_general(x, w, [&[1], &[0]], [&[], &[]])?;
            let h = b.tanh(z)?;
            let y = b.constant(&[2], &[0.75, y])?;
            let r = b.sub(h, y)?;
            b.finish(r)
        };
        assert_eq!(standstill(&line(0.75).unwrap()), Some(0.5625));
        assert_eq!(standstill(&line(0.5).unwrap()), None);
        // A root at 0 has no slope.
        let root = || -> Result<Graph> {
            let mut b = Builder::new();
            let w = b.parameter("w", &[1], &[0.0])?;
            let v = b.constant(&[1], &[0.0])?;
            let s = b.sqrt(w)?;
            let s = b.mul(v, s)?;
            let y = b.constant(&[1], &[0.75])?;
            let r = b.sub(s, y)?;
            b.finish(r)
        };
        assert_eq!(standstill(&root().unwrap()), None);
    }
}
