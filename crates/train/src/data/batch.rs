//! Batches: which samples, in which order, padded to one length.

use super::random::{EPOCH, permutation, stream};
use super::{Dataset, PADDING, Sample};
use crate::{Error, Result};

/// Token sequences of equal length with their classes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// batch x length, row by row; [`PADDING`] after the end of a sample.
    pub tokens: Vec<u16>,
    /// The classes.
    pub labels: Vec<u16>,
}

impl Batch {
    /// Number of tokens that are not padding.
    pub fn read(&self) -> usize {
        self.tokens.iter().filter(|t| **t != PADDING).count()
    }
}

/// Makes a batch of these samples, cut or padded to `length`.
pub fn fill<'a>(
    batch: &mut Batch,
    samples: impl IntoIterator<Item = &'a Sample>,
    shift: u16,
    length: usize,
) {
    batch.tokens.clear();
    batch.labels.clear();
    for sample in samples {
        let kept = &sample.bytes[..sample.bytes.len().min(length)];
        batch
            .tokens
            .extend(kept.iter().map(|byte| u16::from(*byte) + shift));
        let end = (batch.labels.len() + 1) * length;
        batch.tokens.resize(end, PADDING);
        batch.labels.push(sample.label.into());
    }
}

/// The training batches of a seed: every epoch is a new shuffle without replacement, and the samples
/// that do not fill a batch at its end are left out. Step t's batch depends on the seed and t alone.
pub struct Batches<'a> {
    data: &'a Dataset,
    length: usize,
    size: usize,
    seed: u64,
    /// The epoch whose order is at hand.
    epoch: Option<u64>,
    order: Vec<usize>,
}

impl<'a> Batches<'a> {
    /// Batches of `size` training samples cut or padded to `length`.
    ///
    /// # Errors
    /// A size or length of 0, or fewer training samples than one batch takes.
    pub fn new(data: &'a Dataset, length: usize, size: usize, seed: u64) -> Result<Self> {
        if length == 0 || size == 0 {
            return Err(Error::input("--length and --batch must be at least 1"));
        }
        if data.train.len() < size {
            return Err(Error::input(format!(
                "--batch {size} is more than the {} training samples; choose a smaller one",
                data.train.len()
            )));
        }
        Ok(Batches {
            data,
            length,
            size,
            seed,
            epoch: None,
            order: Vec::new(),
        })
    }

    /// Fills in the batch of step t = 0, 1, ...
    pub fn at(&mut self, t: u64, batch: &mut Batch) {
        let per_epoch = (self.data.train.len() / self.size) as u64;
        let epoch = t / per_epoch;
        if self.epoch != Some(epoch) {
            self.order = permutation(self.data.train.len(), &mut stream(self.seed, EPOCH + epoch));
            self.epoch = Some(epoch);
        }
        let first = (t % per_epoch) as usize * self.size;
        let chosen = self.order[first..first + self.size]
            .iter()
            .map(|&i| &self.data.train[i]);
        fill(batch, chosen, self.data.shift, self.length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn numbered(count: usize) -> Dataset {
        let sample = |i: usize| Sample {
            bytes: vec![i as u8; 1 + i % 5].into(),
            label: (i % 2) as u8,
        };
        Dataset {
            shift: 1,
            train: (0..count).map(sample).collect(),
            ..Dataset::default()
        }
    }

    proptest! {
        #[test]
        fn an_epoch_shows_every_sample_once(count in 1usize..200, size in 1usize..20, seed: u64) {
            prop_assume!(size <= count);
            let data = numbered(count);
            let mut batches = Batches::new(&data, 3, size, seed).unwrap();
            let mut batch = Batch::default();
            for epoch in 0..2u64 {
                let per_epoch = (count / size) as u64;
                let mut seen = Vec::new();
                for t in epoch * per_epoch..(epoch + 1) * per_epoch {
                    batches.at(t, &mut batch);
                    prop_assert_eq!(batch.labels.len(), size);
                    prop_assert_eq!(batch.tokens.len(), 3 * size);
                    seen.extend(batch.tokens.iter().step_by(3).copied());
                }
                seen.sort_unstable();
                let all = seen.len();
                seen.dedup();
                prop_assert_eq!(seen.len(), all);
                prop_assert_eq!(all, count / size * size);
            }
        }

        #[test]
        fn a_step_s_batch_does_not_depend_on_the_steps_before(seed: u64, t in 0u64..100) {
            let data = numbered(23);
            let (mut a, mut b) = (Batch::default(), Batch::default());
            let mut walked = Batches::new(&data, 4, 5, seed).unwrap();
            for t in 0..=t {
                walked.at(t, &mut a);
            }
            Batches::new(&data, 4, 5, seed).unwrap().at(t, &mut b);
            prop_assert_eq!(a, b);
        }
    }

    #[test]
    fn samples_are_cut_and_padded() {
        let sample = |bytes: &[u8]| Sample {
            bytes: bytes.into(),
            label: 1,
        };
        let mut batch = Batch::default();
        fill(&mut batch, &[sample(b"ab"), sample(&[0, 255, 7, 9])], 1, 3);
        assert_eq!(batch.tokens, [98, 99, 0, 1, 256, 8]);
        assert_eq!(batch.read(), 5);
    }

    #[test]
    fn a_tenth_is_held_out() {
        let mut data = numbered(105);
        let all = data.train.clone();
        data.hold_out(3, 0.1);
        assert_eq!((data.train.len(), data.dev.len()), (95, 10));
        let mut again = numbered(105);
        again.hold_out(3, 0.1);
        assert_eq!(again, data);
        let mut both = [data.train, data.dev].concat();
        both.sort_by_key(|s| s.bytes[0]);
        assert_eq!(both, all);
    }

    #[test]
    fn sizes_that_make_no_batch_are_refused() {
        let data = numbered(3);
        assert!(Batches::new(&data, 1, 4, 0).is_err());
        assert!(Batches::new(&data, 0, 1, 0).is_err());
        assert!(Batches::new(&data, 1, 0, 0).is_err());
    }
}
