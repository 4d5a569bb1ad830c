//! Initialization schemes: the laws from which an instance is drawn.

use super::{Dims, Instance, Weights};
use crate::{Error, Result};
use gdcert_base::Kernel;
use gdcert_base::input::same_word;
use gdcert_base::random::{Normals, Stream};
use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};

/// How the weights of M_0 are drawn. In every scheme y ~ N(0,1) i.i.d., and X ~ N(0,1) i.i.d.
/// but for the constant feature of [`Init::ConstantValue`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Init {
    /// Every weight N(0, 1/fan_in): fan_in D for W^Q, W^K, W^V and d for W^O.
    Lecun,
    /// Theorem 1' of proofs-checks: W^Q, W^K as `Lecun`, W^V = 0, W^O_h = omega U_h with U_h' U_h = I_p.
    Lazy {
        /// omega > 0, the size of the output weights.
        omega: f64,
    },
    /// Theorem 2': as `Lecun` with W^V times s; the second half of the heads equals the first but for
    /// the sign of W^O, so that the model's output at M_0 is zero.
    Paired {
        /// s > 0, the value scale.
        s: f64,
    },
    /// As `Paired`, with the last feature of X equal to 1 and only the last row of W^V non-zero, so
    /// that u_j does not depend on the token j: the softmax obstruction of Theorem 2.
    ConstantValue {
        /// s > 0, the value scale.
        s: f64,
    },
}

impl Init {
    /// The names the command line and the files use.
    pub const NAMES: [&'static str; 4] = ["lecun", "lazy", "paired", "constant-value"];

    /// The scheme of that name; `scale` is omega or s, 1 if not given.
    ///
    /// # Errors
    /// An unknown name, a scale that is not finite and positive, or a scale given to `lecun`.
    pub fn from_name(name: &str, scale: Option<f64>) -> Result<Self> {
        let x = scale.unwrap_or(1.0);
        if !(x.is_finite() && x > 0.0) {
            return Err(Error::input(format!(
                "--scale {} must be a finite number above 0",
                gdcert_base::number::exact(x)
            )));
        }
        let known = Self::NAMES.into_iter().find(|known| same_word(name, known));
        match known.unwrap_or(name) {
            "lecun" if scale.is_some() => Err(Error::input(
                "--scale does not apply to --init lecun; drop it or choose lazy, paired or constant-value",
            )),
            "lecun" => Ok(Init::Lecun),
            "lazy" => Ok(Init::Lazy { omega: x }),
            "paired" => Ok(Init::Paired { s: x }),
            "constant-value" => Ok(Init::ConstantValue { s: x }),
            _ => Err(Error::input(format!(
                "unknown initialization '{name}'; choose one of {}",
                Self::NAMES.join(", ")
            ))),
        }
    }

    /// The scheme's name.
    pub fn name(&self) -> &'static str {
        match self {
            Init::Lecun => "lecun",
            Init::Lazy { .. } => "lazy",
            Init::Paired { .. } => "paired",
            Init::ConstantValue { .. } => "constant-value",
        }
    }

    /// The same scheme at another scale; `lecun` has none and stays.
    pub fn with_scale(self, scale: f64) -> Self {
        match self {
            Init::Lecun => Init::Lecun,
            Init::Lazy { .. } => Init::Lazy { omega: scale },
            Init::Paired { .. } => Init::Paired { s: scale },
            Init::ConstantValue { .. } => Init::ConstantValue { s: scale },
        }
    }

    /// omega or s, where the scheme has one.
    pub fn scale(&self) -> Option<f64> {
        match *self {
            Init::Lecun => None,
            Init::Lazy { omega: x } | Init::Paired { s: x } | Init::ConstantValue { s: x } => {
                Some(x)
            }
        }
    }
}

impl Instance {
    /// Draws an instance. The same arguments give the same bits on every machine.
    ///
    /// # Errors
    /// Zero or unaddressable sizes; `lazy` with d < p; `paired` and `constant-value` with H odd.
    ///
    /// ```
    /// use gdcert::{Dims, Init, Instance, Kernel};
    /// let dims = Dims { N: 2, n: 4, D: 8, d: 4, H: 3, p: 1 };
    /// let a = Instance::random(dims, Kernel::Softmax, Init::Lazy { omega: 10.0 }, 0)?;
    /// assert_eq!(a, Instance::random(dims, Kernel::Softmax, Init::Lazy { omega: 10.0 }, 0)?);
    /// # Ok::<(), gdcert::Error>(())
    /// ```
    pub fn random(dims: Dims, kernel: Kernel, init: Init, seed: u64) -> Result<Self> {
        dims.check()?;
        let Dims { N, n, D, d, H, p } = dims;
        let normals = |stream| Normals::new(seed, stream);
        let paired = matches!(init, Init::Paired { .. } | Init::ConstantValue { .. });
        if paired && H % 2 != 0 {
            return Err(Error::input(format!(
                "--init {} pairs the heads, so H must be even; H = {H}",
                init.name()
            )));
        }
        if matches!(init, Init::Lazy { .. }) && d < p {
            return Err(Error::input(format!(
                "--init lazy needs d >= p for orthonormal output weights; d = {d}, p = {p}"
            )));
        }

        let mut X = draw(&mut normals(Stream::X), N, n, D, 1.0);
        let y = draw(&mut normals(Stream::Y), N, n, p, 1.0);
        // Heads of a pair share their draws: only the first half is drawn.
        let drawn = if paired { H / 2 } else { H };
        let by_D = 1.0 / (D as f64).sqrt();
        let Q = draw(&mut normals(Stream::Q), drawn, D, d, by_D);
        let K = draw(&mut normals(Stream::K), drawn, D, d, by_D);
        let mut V = draw(&mut normals(Stream::V), drawn, D, d, by_D);
        let mut O = draw(
            &mut normals(Stream::O),
            drawn,
            d,
            p,
            1.0 / (d as f64).sqrt(),
        );
        match init {
            Init::Lecun => {}
            Init::Lazy { omega } => {
                V.iter_mut().for_each(|v| v.fill(0.0));
                for o in &mut O {
                    orthonormalize(o);
                    *o *= omega;
                }
            }
            Init::Paired { s } => V.iter_mut().for_each(|v| *v *= s),
            Init::ConstantValue { s } => {
                X.iter_mut().for_each(|x| x.column_mut(D - 1).fill(1.0));
                for v in &mut V {
                    v.rows_mut(0, D - 1).fill(0.0);
                    *v *= s;
                }
            }
        }
        let mut W = Weights { Q, K, V, O };
        if paired {
            W.Q.extend_from_within(..);
            W.K.extend_from_within(..);
            W.V.extend_from_within(..);
            let opposite: Vec<_> = W.O.iter().map(|o| -o).collect();
            W.O.extend(opposite);
        }
        Instance::new(kernel, X, y, W)
    }
}

fn draw(
    normals: &mut Normals,
    count: usize,
    rows: usize,
    cols: usize,
    std: f64,
) -> Vec<DMatrix<f64>> {
    (0..count)
        .map(|_| normals.matrix(rows, cols, std))
        .collect()
}

/// Orthonormal columns by Gram-Schmidt, twice (enough for working accuracy). Written out in order,
/// because a library's blocked QR rounds differently from machine to machine.
fn orthonormalize(a: &mut DMatrix<f64>) {
    let dot = |a: &DMatrix<f64>, i, j| -> f64 {
        (0..a.nrows()).fold(0.0, |s, r| s + a[(r, i)] * a[(r, j)])
    };
    for j in 0..a.ncols() {
        for _ in 0..2 {
            for i in 0..j {
                let c = dot(a, i, j);
                for r in 0..a.nrows() {
                    a[(r, j)] -= c * a[(r, i)];
                }
            }
        }
        let norm = dot(a, j, j).sqrt();
        a.column_mut(j).iter_mut().for_each(|x| *x /= norm);
    }
}
