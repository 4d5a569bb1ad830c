//! Gradient descent with momentum, Adam and AdamW, with PyTorch's conventions.

use crate::classifier::{Architecture, Parameters, Real};
use crate::{Error, Result};
use safetensors::SafeTensors;

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// How a gradient g changes parameters w under the learning rate eta.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Law {
    /// g += decay w;  b = momentum b + g (b = g at first);  w -= eta b.
    Sgd {
        /// Share of the last direction that is kept.
        momentum: f64,
        /// L2 regularisation.
        decay: f64,
    },
    /// g += decay w;  m, v = running means of g (0.9) and g^2 (0.999), both corrected for starting at 0;
    /// w -= eta m / (sqrt(v) + 1e-8). Kingma and Ba, ICLR 2015.
    Adam {
        /// L2 regularisation.
        decay: f64,
    },
    /// As Adam without L2, and w -= eta decay w. Loshchilov and Hutter, ICLR 2019.
    AdamW {
        /// Decoupled weight decay.
        decay: f64,
    },
}

impl Law {
    /// What is remembered between steps, as tensors are called in a checkpoint.
    fn memory(self) -> &'static [&'static str] {
        match self {
            Law::Sgd { momentum: 0.0, .. } => &[],
            Law::Sgd { .. } => &["momentum."],
            Law::Adam { .. } | Law::AdamW { .. } => &["first_moment.", "second_moment."],
        }
    }
}

/// A law and what it remembers.
#[derive(Clone, Debug, PartialEq)]
pub struct Optimizer<T = f32> {
    law: Law,
    steps: u64,
    memory: Vec<Parameters<T>>,
}

impl<T: Real> Optimizer<T> {
    /// At its first step.
    pub fn new(law: Law, architecture: &Architecture) -> Self {
        let zeros = |_: &&str| Parameters::zeros(architecture);
        Optimizer {
            law,
            steps: 0,
            memory: law.memory().iter().map(zeros).collect(),
        }
    }

    /// After `steps` steps, from a checkpoint.
    ///
    /// # Errors
    /// A missing tensor or one of another shape.
    pub(super) fn read(
        law: Law,
        steps: u64,
        architecture: &Architecture,
        file: &SafeTensors,
    ) -> Result<Self> {
        let read = |name: &&str| Parameters::read(architecture, file, name);
        Ok(Optimizer {
            law,
            steps,
            memory: law.memory().iter().map(read).collect::<Result<_>>()?,
        })
    }

    /// What it remembers, by its prefix in a checkpoint.
    pub(super) fn memory(&self) -> impl Iterator<Item = (&'static str, &Parameters<T>)> {
        self.law.memory().iter().copied().zip(&self.memory)
    }

    /// Takes one step with learning rate `lr`.
    ///
    /// # Errors
    /// Parameters or a gradient of another architecture.
    pub fn update(
        &mut self,
        parameters: &mut Parameters<T>,
        gradient: &Parameters<T>,
        lr: f64,
    ) -> Result<()> {
        let sizes = [gradient].into_iter().chain(&self.memory);
        let size = parameters.values().len();
        if sizes.into_iter().any(|p| p.values().len() != size) {
            return Err(Error::input(
                "the optimizer belongs to another architecture; make a new one",
            ));
        }
        self.steps += 1;
        let number = T::from_f64;
        let pairs = parameters.values_mut().iter_mut().zip(gradient.values());
        match (self.law, &mut self.memory[..]) {
            (Law::Sgd { momentum, decay }, []) => {
                debug_assert!(momentum == 0.0);
                let (lr, decay) = (number(lr), number(decay));
                for (w, &g) in pairs {
                    *w -= lr * (g + decay * *w);
                }
            }
            (Law::Sgd { momentum, decay }, [buffer, ..]) => {
                // b = 0 at first makes b = g.
                let (lr, mu, decay) = (number(lr), number(momentum), number(decay));
                for ((w, &g), b) in pairs.zip(buffer.values_mut()) {
                    *b = mu * *b + (g + decay * *w);
                    *w -= lr * *b;
                }
            }
            (Law::Adam { decay } | Law::AdamW { decay }, [first, second, ..]) => {
                let decoupled = matches!(self.law, Law::AdamW { .. });
                let (l2, shrink) = if decoupled {
                    (0.0, 1.0 - lr * decay)
                } else {
                    (decay, 1.0)
                };
                let t = self.steps as f64;
                let correction1 = 1.0 - libm::pow(BETA1, t);
                let correction2 = 1.0 - libm::pow(BETA2, t);
                let rate = number(lr / correction1);
                let scale = number(1.0 / correction2.sqrt());
                let (keep1, new1) = (number(BETA1), number(1.0 - BETA1));
                let (keep2, new2) = (number(BETA2), number(1.0 - BETA2));
                let (l2, shrink, epsilon) = (number(l2), number(shrink), number(EPSILON));
                let moments = first.values_mut().iter_mut().zip(second.values_mut());
                for ((w, &g), (m, v)) in pairs.zip(moments) {
                    let g = g + l2 * *w;
                    *m = keep1 * *m + new1 * g;
                    *v = keep2 * *v + new2 * g * g;
                    *w = shrink * *w - rate * *m / (v.root() * scale + epsilon);
                }
            }
            (Law::Adam { .. } | Law::AdamW { .. }, _) => {
                return Err(Error::Numerical("Adam without its moments".to_owned()));
            }
        }
        Ok(())
    }
}
