//! Sizes of a classifier, and where each tensor lies among its parameters.

use crate::{Error, Result};
use gdcert_base::Kernel;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Sizes of a Transformer classifier, and its attention kernel.
///
/// The default is the poster's text setting: two blocks, D = 64, MLP width 128, two heads, byte tokens, 4096
/// positions, two classes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Architecture {
    /// How scores become attention weights.
    pub kernel: Kernel,
    /// Number of token values, padding included.
    pub vocabulary: usize,
    /// Longest sequence.
    pub positions: usize,
    /// Embedding dimension D.
    pub width: usize,
    /// Attention heads; each has dimension `width / heads`.
    pub heads: usize,
    /// Width of the MLP inside a block.
    pub hidden: usize,
    /// Transformer blocks.
    pub blocks: usize,
    /// Width of the classifier's hidden layer.
    pub classifier: usize,
    /// Classes.
    pub classes: usize,
}

impl Default for Architecture {
    fn default() -> Self {
        Architecture {
            kernel: Kernel::Softmax,
            vocabulary: 512,
            positions: 4096,
            width: 64,
            heads: 2,
            hidden: 128,
            blocks: 2,
            classifier: 128,
            classes: 2,
        }
    }
}

impl Architecture {
    /// Refuses sizes that describe no classifier.
    ///
    /// # Errors
    /// A size of 0, more token values or classes than 65536, heads that do not divide the width, or more
    /// parameters than memory can address.
    pub fn check(&self) -> Result<()> {
        let sizes = [
            ("vocabulary", self.vocabulary),
            ("positions", self.positions),
            ("width", self.width),
            ("heads", self.heads),
            ("hidden", self.hidden),
            ("blocks", self.blocks),
            ("classifier", self.classifier),
            ("classes", self.classes),
        ];
        for (name, size) in sizes {
            if size == 0 {
                return Err(Error::input(format!("{name} is 0; it must be at least 1")));
            }
            // 2^24 each keeps the number of parameters, below 2^80, within 128 bits.
            if size > 1 << 24 {
                return Err(Error::input(format!(
                    "{name} = {size} is too large; choose at most 16777216"
                )));
            }
        }
        for (name, size) in [("vocabulary", self.vocabulary), ("classes", self.classes)] {
            if size > 1 << 16 {
                return Err(Error::input(format!(
                    "{name} = {size} is too large; choose at most 65536"
                )));
            }
        }
        if !self.width.is_multiple_of(self.heads) {
            return Err(Error::input(format!(
                "width {} is not a multiple of heads = {}; choose sizes that divide",
                self.width, self.heads
            )));
        }
        if self.parameters() > isize::MAX as u128 / 64 {
            return Err(Error::input(
                "the classifier has more parameters than memory can hold; choose smaller sizes",
            ));
        }
        Ok(())
    }

    /// How many numbers the tensors hold together, without listing them: sizes of up to 2^24 give no overflow.
    pub(crate) fn parameters(&self) -> u128 {
        let [
            vocabulary,
            positions,
            width,
            hidden,
            blocks,
            classifier,
            classes,
        ] = [
            self.vocabulary,
            self.positions,
            self.width,
            self.hidden,
            self.blocks,
            self.classifier,
            self.classes,
        ]
        .map(|size| size as u128);
        let linear = |inputs: u128, outputs: u128| outputs * (inputs + 1);
        let block = 2 * (2 * width)
            + 4 * linear(width, width)
            + linear(width, hidden)
            + linear(hidden, width);
        (vocabulary + positions) * width
            + blocks * block
            + 2 * width
            + linear(width, classifier)
            + linear(classifier, classes)
    }

    /// Every tensor's name and shape, in the order of [`super::Parameters::values`].
    ///
    /// Names and shapes are PyTorch's: a linear layer's weight is `[out, in]`.
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let Architecture {
            vocabulary,
            positions,
            width,
            hidden,
            blocks,
            classifier,
            classes,
            ..
        } = *self;
        let mut all = Vec::new();
        let mut add = |name: String, shape: &[usize]| all.push((name, shape.to_vec()));
        add("token.weight".into(), &[vocabulary, width]);
        add("position.weight".into(), &[positions, width]);
        for block in 0..blocks {
            let mut add =
                |name: &str, shape: &[usize]| add(format!("blocks.{block}.{name}"), shape);
            add("norm1.weight", &[width]);
            add("norm1.bias", &[width]);
            // Together one [3 width, width] matrix and its bias.
            for part in ["query", "key", "value"] {
                add(&format!("attention.{part}.weight"), &[width, width]);
            }
            for part in ["query", "key", "value"] {
                add(&format!("attention.{part}.bias"), &[width]);
            }
            add("attention.output.weight", &[width, width]);
            add("attention.output.bias", &[width]);
            add("norm2.weight", &[width]);
            add("norm2.bias", &[width]);
            add("up.weight", &[hidden, width]);
            add("up.bias", &[hidden]);
            add("down.weight", &[width, hidden]);
            add("down.bias", &[width]);
        }
        add("norm.weight".into(), &[width]);
        add("norm.bias".into(), &[width]);
        add("head1.weight".into(), &[classifier, width]);
        add("head1.bias".into(), &[classifier]);
        add("head2.weight".into(), &[classes, classifier]);
        add("head2.bias".into(), &[classes]);
        all
    }

    /// Where the layers' parameters lie.
    pub(super) fn offsets(&self) -> Offsets {
        let Architecture {
            vocabulary,
            positions,
            width,
            hidden,
            blocks,
            classifier,
            classes,
            ..
        } = *self;
        let mut at = 0;
        let token = take(&mut at, vocabulary * width);
        let position = take(&mut at, positions * width);
        let start = at;
        let block = BlockOffsets::new(width, hidden);
        at += blocks * block.len;
        let norm = take(&mut at, 2 * width);
        let trunk = start..at;
        let head1 = take(&mut at, classifier * (width + 1));
        let head2 = take(&mut at, classes * (classifier + 1));
        Offsets {
            token,
            position,
            block,
            trunk,
            norm,
            head1,
            head2,
            end: at,
        }
    }
}

fn take(at: &mut usize, len: usize) -> Range<usize> {
    *at += len;
    *at - len..*at
}

/// Ranges among all parameters. A layer's weight and bias (a norm's scale and shift) are adjacent.
#[derive(Clone, Debug)]
pub(super) struct Offsets {
    pub(super) token: Range<usize>,
    pub(super) position: Range<usize>,
    pub(super) block: BlockOffsets,
    /// The blocks and the final norm: what is applied token by token.
    pub(super) trunk: Range<usize>,
    pub(super) norm: Range<usize>,
    pub(super) head1: Range<usize>,
    pub(super) head2: Range<usize>,
    pub(super) end: usize,
}

/// Ranges among one block's parameters.
#[derive(Clone, Debug)]
pub(super) struct BlockOffsets {
    pub(super) norm1: Range<usize>,
    /// Weights of query, key, value, then their biases.
    pub(super) qkv: Range<usize>,
    pub(super) output: Range<usize>,
    pub(super) norm2: Range<usize>,
    pub(super) up: Range<usize>,
    pub(super) down: Range<usize>,
    pub(super) len: usize,
}

impl BlockOffsets {
    fn new(width: usize, hidden: usize) -> Self {
        let mut at = 0;
        let norm1 = take(&mut at, 2 * width);
        let qkv = take(&mut at, 3 * width * (width + 1));
        let output = take(&mut at, width * (width + 1));
        let norm2 = take(&mut at, 2 * width);
        let up = take(&mut at, hidden * (width + 1));
        let down = take(&mut at, width * (hidden + 1));
        BlockOffsets {
            norm1,
            qkv,
            output,
            norm2,
            up,
            down,
            len: at,
        }
    }
}
