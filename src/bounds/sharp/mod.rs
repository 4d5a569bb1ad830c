//! The sharp curvature bound: the matrix H(rho) of Theorem A from exact moments at the centre.
//!
//! The closed form [`Curvature`](super::Curvature) replaces every attention row by its worst case. Here the second
//! derivative is evaluated at the centre (covariances and third moments of the attention rows), sums over
//! tokens go through |diag(c) X|_2 instead of a sum of squares, and the change over the box is
//! bounded through the next derivative. Blocks keep their own radii. Every entry is a formula in field operations,
//! sqrt, exp, max and min, and grows with every radius. Derivations: `proofs-checks/sharper.md`.

mod gaussian;
mod norm;
mod softmax;

use crate::bounds::{BlockMatrix, Blocks};
use crate::model::{Head, Kernel, Trained};
use crate::problem::{Dims, Instance};
use gdcert_numbers::Bound;
use nalgebra::DMatrix;

/// H(rho) of an instance at its weights M_0.
///
/// ```
/// use gdcert::{Dims, Init, Instance, Kernel, Trained, bounds::{Curvature, Sharp}};
/// let dims = Dims { N: 2, n: 4, D: 8, d: 4, H: 3, p: 1 };
/// let instance = Instance::random(dims, Kernel::Softmax, Init::Lecun, 0)?;
/// let sharp: Sharp = Sharp::new(&instance, Trained::Q);
/// let crude = Curvature::new(&instance, Trained::Q)?;
/// assert!(sharp.H(&[0.01, 0.0, 0.0])[0][0] < 0.1 * crude.h(0.01));
/// # Ok::<(), gdcert::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Sharp<T: Bound = f64> {
    trained: Trained,
    rows: Rows<T>,
}

#[derive(Clone, Debug)]
enum Rows<T: Bound> {
    Softmax(softmax::Softmax<T>),
    Gaussian(gaussian::Gaussian<T>),
}

/// One evaluation of H may take this many multiplications.
const WORK: u128 = 1 << 28;

/// Multiplications of one evaluation of H; `None` where it is not evaluated, since one in intervals would take minutes.
pub(crate) fn work(dims: Dims) -> Option<u64> {
    let Dims { N, n, D, d, H, .. } = dims;
    let [N, n, D, d, H] = [N, n, D, d, H].map(|x| x as u128);
    let work = H * N * n * (5 * D * D.min(N * n) + n * n * d * d.min(n));
    (work <= WORK).then_some(work as u64)
}

/// Whether H is evaluated at these sizes.
pub(crate) fn affordable(dims: Dims) -> bool {
    work(dims).is_some()
}

impl<T: Bound> Sharp<T> {
    /// Evaluates the moments at the instance's weights. Cost: N n H times a few n x n products
    /// (Gaussian: also d x d products, and n^3 d^2 for each sample and head).
    pub fn new(instance: &Instance, trained: Trained) -> Self {
        let rows = match instance.kernel() {
            Kernel::Softmax => Rows::Softmax(softmax::Softmax::new(instance, trained)),
            Kernel::Gaussian => Rows::Gaussian(gaussian::Gaussian::new(instance, trained)),
        };
        Sharp { trained, rows }
    }

    /// The bound after every u_j is multiplied by `u` and every W^O_h by `o` (both >= 0): what changes
    /// with the scale of an initialization.
    pub fn scaled(mut self, u: T, o: T) -> Self {
        match &mut self.rows {
            Rows::Softmax(rows) => rows.scale(u, o),
            Rows::Gaussian(rows) => rows.scale(u, o),
        }
        self
    }

    /// H_bc over the box |M_b - M_0,b|_F <= radii_b: |D^2 F[delta_b, eps_c]| <= H_bc |delta_b| |eps_c|. Rows
    /// and columns of blocks that are not trained are 0, and their radii are not looked at.
    pub fn H(&self, radii: &Blocks<T>) -> BlockMatrix<T> {
        let zero = T::from_f64(0.0);
        let on = self.trained.flags();
        let mut radii = *radii;
        for (radius, on) in radii.iter_mut().zip(on) {
            *radius = if on { *radius } else { zero };
        }
        let Entries { qq, qk, kk, qv, kv } = match &self.rows {
            Rows::Softmax(rows) => rows.entries(&radii, on),
            Rows::Gaussian(rows) => rows.entries(&radii, on),
        };
        [[qq, qk, qv], [qk, kk, kv], [qv, kv, zero]]
    }
}

/// The five entries of H; an entry with a block that is not trained is 0.
struct Entries<T> {
    qq: T,
    qk: T,
    kk: T,
    qv: T,
    kv: T,
}

impl<T: Bound> Entries<T> {
    fn zero() -> Self {
        let zero = T::from_f64(0.0);
        Entries {
            qq: zero,
            qk: zero,
            kk: zero,
            qv: zero,
            kv: zero,
        }
    }

    /// Entry by entry the larger: heads enter by their maximum.
    fn max(self, b: Self) -> Self {
        Entries {
            qq: self.qq.max(b.qq),
            qk: self.qk.max(b.qk),
            kk: self.kk.max(b.kk),
            qv: self.qv.max(b.qv),
            kv: self.kv.max(b.kv),
        }
    }
}

/// Data that both kernels use.
#[derive(Clone, Debug)]
struct Data<T: Bound> {
    dims: Dims,
    /// All tokens, Nn x D.
    X: DMatrix<T>,
    /// |x_k| of every token, at i n + k.
    x: Vec<T>,
    /// |W^O_h|_2 of every head, from above.
    o: Vec<T>,
    /// sqrt(d).
    root_d: T,
}

impl<T: Bound> Data<T> {
    fn new(instance: &Instance) -> Self {
        let dims = instance.dims();
        let X = DMatrix::from_fn(dims.tokens(), dims.D, |a, e| {
            T::from_f64(instance.X()[a / dims.n][(a % dims.n, e)])
        });
        let x = (0..dims.tokens()).map(|a| norm::row(&X, a)).collect();
        let o = instance.W().O.iter();
        let o = o.map(|o| norm::spectral(&o.map(T::from_f64))).collect();
        let root_d = T::from_f64(dims.d as f64).sqrt();
        Data {
            dims,
            X,
            x,
            o,
            root_d,
        }
    }

    /// Head h on every sample, at the instance's weights.
    fn heads(&self, instance: &Instance, h: usize) -> Vec<Head<T>> {
        let W = instance.W().map(T::from_f64);
        (0..self.dims.N)
            .map(|i| Head::new(instance, &W, i, h))
            .collect()
    }

    /// X_i.
    fn sample(&self, i: usize) -> DMatrix<T> {
        self.X.rows(i * self.dims.n, self.dims.n).into_owned()
    }
}

/// Whether every entry is exactly 0, as u is where W^V = 0: then its moments need no evaluation.
fn is_zero<T: Bound>(u: &DMatrix<T>) -> bool {
    u.iter().all(|u| *u == T::from_f64(0.0))
}
