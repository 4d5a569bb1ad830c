//! The setting: sizes, data X and y, weights, initialization schemes, instance files.

mod dims;
mod file;
mod init;
mod npz;

pub use dims::Dims;
pub use init::Init;

use crate::{Error, Result};
use gdcert_base::Kernel;
use gdcert_numbers::Scalar;
use nalgebra::DMatrix;

/// Weights of all heads: W^Q_h, W^K_h, W^V_h (D x d) and W^O_h (d x p), one matrix a head.
///
/// Also used for a gradient, whose W^O part is empty: W^O is never trained.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights<T: Scalar = f64> {
    /// Query weights W^Q_h, D x d.
    pub Q: Vec<DMatrix<T>>,
    /// Key weights W^K_h, D x d.
    pub K: Vec<DMatrix<T>>,
    /// Value weights W^V_h, D x d.
    pub V: Vec<DMatrix<T>>,
    /// Output weights W^O_h, d x p; fixed.
    pub O: Vec<DMatrix<T>>,
}

impl<T: Scalar> Weights<T> {
    /// The same weights with every entry mapped, for instance from f64 to dual numbers.
    pub fn map<U: Scalar>(&self, f: impl Fn(T) -> U + Copy) -> Weights<U> {
        let block = |b: &[DMatrix<T>]| b.iter().map(|w| w.map(f)).collect();
        Weights {
            Q: block(&self.Q),
            K: block(&self.K),
            V: block(&self.V),
            O: block(&self.O),
        }
    }
}

/// One regression problem and one point M_0: data, labels, weights and the attention kernel.
///
/// Every entry is finite and every shape agrees with [`Instance::dims`]; [`Instance::new`] sees to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    dims: Dims,
    kernel: Kernel,
    X: Vec<DMatrix<f64>>,
    y: Vec<DMatrix<f64>>,
    W: Weights,
}

impl Instance {
    /// An instance from its parts: N matrices X_i (n x D) and y_i (n x p), and the weights of H heads.
    ///
    /// # Errors
    /// No sample or no head, a zero size, shapes that disagree, or an entry that is not finite.
    pub fn new(
        kernel: Kernel,
        X: Vec<DMatrix<f64>>,
        y: Vec<DMatrix<f64>>,
        W: Weights,
    ) -> Result<Self> {
        let (Some(x0), Some(y0), Some(q0)) = (X.first(), y.first(), W.Q.first()) else {
            return Err(Error::input(
                "an instance needs at least one sample in X and y and one head in W_Q",
            ));
        };
        let dims = Dims {
            N: X.len(),
            n: x0.nrows(),
            D: x0.ncols(),
            d: q0.ncols(),
            H: W.Q.len(),
            p: y0.ncols(),
        };
        dims.check()?;
        let all: [(&str, &[DMatrix<f64>]); 6] = [
            ("X", &X),
            ("y", &y),
            ("W_Q", &W.Q),
            ("W_K", &W.K),
            ("W_V", &W.V),
            ("W_O", &W.O),
        ];
        check_shapes(&all, &["NnD", "Nnp", "HDd", "HDd", "HDd", "Hdp"])?;
        for (name, blocks) in all {
            check_finite(name, blocks)?;
        }
        Ok(Instance {
            dims,
            kernel,
            X,
            y,
            W,
        })
    }

    /// The sizes.
    pub fn dims(&self) -> Dims {
        self.dims
    }

    /// The attention kernel.
    pub fn kernel(&self) -> Kernel {
        self.kernel
    }

    /// The same data and weights under another kernel.
    pub fn with_kernel(self, kernel: Kernel) -> Self {
        Instance { kernel, ..self }
    }

    /// The same problem at another point.
    ///
    /// # Errors
    /// Shapes that disagree with the data, or an entry that is not finite.
    pub fn with_weights(self, W: Weights) -> Result<Self> {
        Instance::new(self.kernel, self.X, self.y, W)
    }

    /// Inputs X_i, n x D each.
    pub fn X(&self) -> &[DMatrix<f64>] {
        &self.X
    }

    /// Labels y_i, n x p each.
    pub fn y(&self) -> &[DMatrix<f64>] {
        &self.y
    }

    /// The weights M_0 and W^O.
    pub fn W(&self) -> &Weights {
        &self.W
    }
}

/// Every tensor against the sizes that most of the others have: the odd one is to blame.
fn check_shapes(all: &[(&str, &[DMatrix<f64>]); 6], letters: &[&str; 6]) -> Result<()> {
    let shape = |blocks: &[DMatrix<f64>]| {
        let first = blocks.first().map_or((0, 0), DMatrix::shape);
        [blocks.len(), first.0, first.1]
    };
    // The shape that the others give a tensor, and how many agree on the least agreed of its changes.
    let wanted = |i: usize| -> ([usize; 3], usize) {
        let (mut wanted, mut voices) = (shape(all[i].1), 0);
        for (axis, letter) in letters[i].chars().enumerate() {
            let own = wanted[axis];
            let others = all.iter().zip(letters).enumerate().filter(|(j, _)| *j != i);
            let votes: Vec<usize> = others
                .flat_map(|(_, ((_, blocks), named))| {
                    let sizes = shape(blocks).into_iter().zip(named.chars());
                    sizes.filter(|(_, l)| *l == letter).map(|(size, _)| size)
                })
                .collect();
            let count = |size: usize| votes.iter().filter(|&&vote| vote == size).count();
            let most = votes.iter().copied().max_by_key(|&size| count(size));
            if let Some(size) = most.filter(|&size| count(size) > count(own)) {
                wanted[axis] = size;
                voices = voices.max(count(size));
            }
        }
        (wanted, voices)
    };
    // Where two stand against each other it is rather W_O or y than X.
    let blamed = (0..6)
        .find(|&i| wanted(i).1 >= 2)
        .or([5, 1, 0, 2, 3, 4].into_iter().find(|&i| wanted(i).1 == 1));
    if let Some(i) = blamed {
        let symbols: Vec<_> = letters[i].chars().map(String::from).collect();
        let others: Vec<_> = (0..6)
            .filter(|&j| j != i && letters[j].chars().any(|l| letters[i].contains(l)))
            .map(|j| format!("{} {:?}", all[j].0, shape(all[j].1)))
            .collect();
        return Err(Error::Shape {
            tensor: all[i].0.to_owned(),
            what: format!(
                "{} has shape {:?} but {} should be {:?} beside {}; make the shapes agree",
                all[i].0,
                shape(all[i].1),
                symbols.join(", "),
                wanted(i).0,
                others.join(", ")
            ),
        });
    }
    for (name, blocks) in all {
        let [_, rows, cols] = shape(blocks);
        if let Some(b) = blocks
            .iter()
            .position(|block| block.shape() != (rows, cols))
        {
            return Err(Error::Shape {
                tensor: (*name).to_owned(),
                what: format!(
                    "{name}[{b}] is {} x {} but should be {rows} x {cols} as {name}[0]; make the shapes agree",
                    blocks[b].nrows(),
                    blocks[b].ncols(),
                ),
            });
        }
    }
    Ok(())
}

fn check_finite(name: &str, blocks: &[DMatrix<f64>]) -> Result<()> {
    for (b, block) in blocks.iter().enumerate() {
        for j in 0..block.ncols() {
            for i in 0..block.nrows() {
                if !block[(i, j)].is_finite() {
                    return Err(Error::NotFinite {
                        tensor: name.to_owned(),
                        place: [b, i, j],
                        value: block[(i, j)],
                    });
                }
            }
        }
    }
    Ok(())
}
