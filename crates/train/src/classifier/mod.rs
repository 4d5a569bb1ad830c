//! A Transformer classifier that trains on the CPU: exact loss and gradients, softmax or Gaussian attention.
//!
//! ```text
//! x = token + position;  twice: x += attention(norm1(x)), x += down(gelu(up(norm2(x))))
//! logits = head2(relu(head1(mean of norm(x) over positions)))
//! ```
//!
//! Padding (token 0) takes no part: as a key it is masked, and pooling counts it as zero, so its rows are never computed.
//! Layers are in the private module `layers`, each a forward and a backward; [`attention`] never stores the
//! n x n matrix. Results do not depend on the number of threads.
//!
//! ```
//! use gdcert_train::classifier::{Architecture, Batch, Classifier, Dropout, Parameters};
//!
//! let architecture = Architecture { positions: 8, ..Architecture::default() };
//! let mut parameters = Parameters::<f32>::random(&architecture, 0);
//! let mut classifier = Classifier::new(&architecture)?;
//! let mut gradient = Parameters::zeros(&architecture);
//! let batch = Batch { tokens: &[5, 6, 7, 0, 9, 8, 7, 6], labels: &[0, 1], length: 4 };
//! let before = classifier.differentiate(&parameters, &batch, Dropout::NONE, &mut gradient)?;
//! for (value, slope) in parameters.values_mut().iter_mut().zip(gradient.values()) {
//!     *value -= 0.1 * slope;
//! }
//! let after = classifier.evaluate(&parameters, &batch)?;
//! assert!(after.loss < before.loss);
//! # Ok::<(), gdcert_base::Error>(())
//! ```

mod architecture;
pub mod attention;
mod encoder;
mod layers;
mod parameters;
mod real;

pub use architecture::Architecture;
pub use encoder::{Batch, Classifier, Outcome};
pub use layers::dropout::Dropout;
pub use parameters::{Parameters, Tensor};
pub use real::Real;
