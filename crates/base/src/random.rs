//! Portable randomness: the same seed gives the same bits on every machine.
//!
//! A ChaCha8 generator with one stream per tensor, so that a tensor's values do not depend on the
//! others' sizes. Normals come from Marsaglia's polar method on [`rand_distr::UnitDisc`]; the one
//! transcendental in it is `libm`'s logarithm, which is pure Rust. (`StandardNormal` would call the
//! system's `exp` and `ln` as soon as any crate in the build enables `num-traits/std`.)

use nalgebra::DMatrix;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use rand_distr::{Distribution, UnitDisc};

/// The tensors of an instance; the discriminant is the ChaCha stream. Never renumber.
#[derive(Clone, Copy)]
pub enum Stream {
    X = 1,
    Y = 2,
    Q = 3,
    K = 4,
    V = 5,
    O = 6,
}

/// Standard normals of one stream.
pub struct Normals {
    rng: ChaCha8Rng,
    spare: Option<f64>,
}

impl Normals {
    pub fn new(seed: u64, stream: Stream) -> Self {
        Self::stream(seed, stream as u64)
    }

    pub fn stream(seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Normals { rng, spare: None }
    }

    /// The next number.
    #[allow(clippy::should_implement_trait)] // there is no end to them
    pub fn next(&mut self) -> f64 {
        if let Some(z) = self.spare.take() {
            return z;
        }
        loop {
            let [a, b]: [f64; 2] = UnitDisc.sample(&mut self.rng);
            let s = a * a + b * b;
            if s > 0.0 && s < 1.0 {
                let scale = (-2.0 * libm::log(s) / s).sqrt();
                self.spare = Some(b * scale);
                return a * scale;
            }
        }
    }

    /// A rows x cols matrix with entries N(0, std^2), drawn row by row.
    pub fn matrix(&mut self, rows: usize, cols: usize, std: f64) -> DMatrix<f64> {
        let values: Vec<f64> = (0..rows * cols).map(|_| std * self.next()).collect();
        DMatrix::from_row_slice(rows, cols, &values)
    }
}
