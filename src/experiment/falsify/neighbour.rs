//! Random changes of an instance.

use crate::model;
use crate::problem::{Dims, Instance, Weights};
use gdcert_base::random::Normals;
use nalgebra::DMatrix;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use rand_distr::{Distribution, StandardUniform};

/// The randomness of one part of the search.
pub(super) struct Random {
    normals: Normals,
    uniforms: ChaCha8Rng,
}

/// Streams of the search begin here, apart from those of the instances' tensors.
const STREAMS: u64 = 1 << 40;

impl Random {
    /// The randomness of part `part` of the search with this seed.
    pub(super) fn new(seed: u64, part: u64) -> Self {
        let stream = STREAMS.wrapping_add(part.wrapping_mul(2));
        let mut uniforms = ChaCha8Rng::seed_from_u64(seed);
        uniforms.set_stream(stream.wrapping_add(1));
        Random {
            normals: Normals::stream(seed, stream),
            uniforms,
        }
    }

    /// A number in [0, 1).
    fn fraction(&mut self) -> f64 {
        StandardUniform.sample(&mut self.uniforms)
    }

    /// A whole number below `n`.
    fn below(&mut self, n: usize) -> usize {
        ((self.fraction() * n as f64) as usize).min(n - 1)
    }

    /// A whole number in 1..=`max`, small ones as likely as large ones: uniform in the logarithm.
    pub(super) fn size(&mut self, max: usize) -> usize {
        (libm::exp(self.fraction() * libm::log(max as f64 + 1.0)) as usize).clamp(1, max)
    }
}

/// The tensors of an instance, in the order X, y, W^Q, W^K, W^V, W^O.
pub(super) type Tensors = [Vec<DMatrix<f64>>; 6];

pub(super) fn tensors(instance: &Instance) -> Tensors {
    let W = instance.W();
    [
        instance.X().to_vec(),
        instance.y().to_vec(),
        W.Q.clone(),
        W.K.clone(),
        W.V.clone(),
        W.O.clone(),
    ]
}

/// The instance with these tensors; `None` if an entry is not finite.
pub(super) fn with_tensors(instance: &Instance, tensors: Tensors) -> Option<Instance> {
    let [X, y, Q, K, V, O] = tensors;
    Instance::new(instance.kernel(), X, y, Weights { Q, K, V, O }).ok()
}

/// One random change, of a random size between 1 % and a factor of a few: noise on a tensor, noise on one entry, a tensor
/// rescaled, or the labels moved so that the residual at M_0 is rescaled.
pub(super) fn neighbour(instance: &Instance, random: &mut Random) -> Option<Instance> {
    let mut changed = tensors(instance);
    let which = random.below(changed.len());
    let tensor = &mut changed[which];
    let amount = libm::exp(libm::log(0.01) + random.fraction() * libm::log(300.0));
    let count: usize = tensor.iter().map(|block| block.len()).sum();
    let squares: f64 = tensor.iter().map(|block| block.norm_squared()).sum();
    let typical = match (squares / count as f64).sqrt() {
        0.0 => 1.0,
        rms => rms,
    };
    match random.below(4) {
        0 => {
            for entry in tensor.iter_mut().flat_map(|block| block.iter_mut()) {
                *entry += amount * typical * random.normals.next();
            }
        }
        1 => {
            let chosen = random.below(count);
            if let Some(entry) = tensor
                .iter_mut()
                .flat_map(|block| block.iter_mut())
                .nth(chosen)
            {
                *entry += amount * typical * random.normals.next();
            }
        }
        2 => {
            let factor = libm::exp(amount * random.normals.next());
            tensor.iter_mut().for_each(|block| *block *= factor);
        }
        _ => {
            let Dims { n, p, .. } = instance.dims();
            let factor = libm::exp(amount * random.normals.next());
            let r = model::residual(instance, instance.W());
            for (y, r) in changed[1].iter_mut().zip(r.chunks_exact(n * p)) {
                *y += (1.0 - factor) * DMatrix::from_row_slice(n, p, r);
            }
        }
    }
    with_tensors(instance, changed)
}
