use crate::model::{self, Trained};
use crate::problem::{Instance, Weights};
/// stand-in
pub struct Stepper {
    i: Instance,
    w0: Weights,
    g: Weights,
    tr: Trained,
    r: Vec<f64>,
}
#[allow(missing_docs)]
impl Stepper {
    pub fn new(i: &Instance, tr: Trained) -> Self {
        Stepper {
            w0: i.W().clone(),
            g: model::gradient(i, i.W()),
            i: i.clone(),
            tr,
            r: vec![],
        }
    }
    pub fn evaluate(&mut self) -> f64 {
        self.r = model::residual(&self.i, self.i.W());
        self.g = model::gradient(&self.i, self.i.W());
        0.5 * self.r.iter().map(|r| r * r).sum::<f64>()
    }
    pub fn step(&mut self, eta: f64) {
        let mut w = self.i.W().clone();
        for (on, (w, g)) in self.tr.flags().into_iter().zip([
            (&mut w.Q, &self.g.Q),
            (&mut w.K, &self.g.K),
            (&mut w.V, &self.g.V),
        ]) {
            if on {
                for (w, g) in w.iter_mut().zip(g) {
                    *w -= g * eta;
                }
            }
        }
        self.i = self.i.clone().with_weights(w).unwrap();
    }
    pub fn grad_norms(&self) -> [f64; 3] {
        [&self.g.Q, &self.g.K, &self.g.V]
            .map(|b| b.iter().map(|w| w.norm_squared()).sum::<f64>().sqrt())
    }
    pub fn moved(&self) -> [f64; 3] {
        let w = self.i.W();
        [(&w.Q, &self.w0.Q), (&w.K, &self.w0.K), (&w.V, &self.w0.V)].map(|(a, b)| {
            a.iter()
                .zip(b)
                .map(|(a, b)| (a - b).norm_squared())
                .sum::<f64>()
                .sqrt()
        })
    }
    pub fn block_norms(&self) -> impl Iterator<Item = [f64; 3]> + '_ {
        crate::rounding::block_norms(self.i.W()).into_iter()
    }
    pub fn weights(&self) -> Weights {
        self.i.W().clone()
    }
    pub fn B(&self) -> nalgebra::DMatrix<f64> {
        crate::spectrum::B(&self.i)
    }
}
