//! The layers put together: loss, and gradient of the loss.
//!
//! Everything but attention acts token by token. Tokens are cut into groups, the unit of parallel work; a group goes
//! through all layers between two attentions a few hundred tokens at a time, while they are in the cache. A group
//! sums the parameters' gradient over its tokens; the groups' sums are then added in order. Groups depend on the
//! sizes alone: so does the order of every sum.

use super::architecture::{BlockOffsets, Offsets};
use super::attention::{Attention, Gradient, Rows, Sample, Saved};
use super::layers::linear::{self, Linear};
use super::layers::{dropout::Dropout, embedding, gelu, loss, norm, pooling};
use super::{Architecture, Parameters, Real};
use crate::{Error, Result};
use gdcert_base::vectorised;
use rayon::prelude::*;
use std::ops::Range;

/// Sequences of one length, and their classes.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// Tokens, sample after sample; 0 is padding.
    pub tokens: &'a [u16],
    /// The class of each sample.
    pub labels: &'a [u16],
    /// Tokens of a sample, padding included.
    pub length: usize,
}

/// What came out on a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// Mean cross-entropy.
    pub loss: f64,
    /// Samples whose class has the largest logit.
    pub correct: usize,
}

/// Tokens that go through the layers at once.
const TILE: usize = 256;
/// Tokens of a group, if there are not more than [`GROUPS`] of them.
const GROUP: usize = 512;
/// Most groups.
const GROUPS: usize = 32;
/// Most numbers in all groups' gradients together, unless one group alone has more.
const SUMS: usize = 1 << 23;

/// Evaluates and differentiates the classifier; holds the buffers that this needs and reuses them.
///
/// In f32 (the default) attention runs in the fused kernels; f64 is for checks.
#[derive(Debug)]
pub struct Classifier<T = f32> {
    architecture: Architecture,
    offsets: Offsets,
    samples: Vec<Sample>,
    /// Sample of each token.
    sample_of: Vec<u32>,
    token: embedding::Index,
    position: embedding::Index,
    /// Input of each block, and the output of the last.
    x: Vec<Vec<T>>,
    saved: Vec<Block<T>>,
    dx: Vec<T>,
    dout: Vec<T>,
    dqkv: Vec<T>,
    /// As many as any batch so far needed.
    groups: Vec<Group<T>>,
    /// As many as this batch needs.
    group_count: usize,
    head: Head<T>,
}

/// What a block's backward pass needs, besides its input.
#[derive(Clone, Debug, Default)]
struct Block<T> {
    qkv: Vec<T>,
    out: Vec<T>,
    lse: Vec<T>,
    /// After attention was added.
    middle: Vec<T>,
    /// Before GELU.
    up: Vec<T>,
}

/// One group's working memory.
#[derive(Clone, Debug, Default)]
struct Group<T> {
    /// A tile of rows, `width` numbers each.
    narrow: [Vec<T>; 2],
    /// A tile of rows, `hidden` numbers each.
    wide: [Vec<T>; 3],
    /// A norm's moments of a tile of rows.
    moments: Vec<norm::Moments<T>>,
    /// Gradient of the blocks and the final norm.
    gradient: Vec<T>,
}

/// Activations and derivatives behind pooling, a row a sample.
#[derive(Clone, Debug, Default)]
struct Head<T> {
    pooled: Vec<T>,
    hidden: Vec<T>,
    logits: Vec<T>,
    dpooled: Vec<T>,
    dhidden: Vec<T>,
    dlogits: Vec<T>,
}

impl<T: Real> Classifier<T> {
    /// Prepares for this architecture.
    ///
    /// # Errors
    /// See [`Architecture::check`].
    pub fn new(architecture: &Architecture) -> Result<Self> {
        architecture.check()?;
        Ok(Classifier {
            architecture: architecture.clone(),
            offsets: architecture.offsets(),
            samples: Vec::new(),
            sample_of: Vec::new(),
            token: embedding::Index::default(),
            position: embedding::Index::default(),
            x: vec![Vec::new(); architecture.blocks + 1],
            saved: vec![Block::default(); architecture.blocks],
            dx: Vec::new(),
            dout: Vec::new(),
            dqkv: Vec::new(),
            groups: Vec::new(),
            group_count: 0,
            head: Head::default(),
        })
    }

    /// The architecture.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// Loss and accuracy on a batch, without dropout.
    ///
    /// # Errors
    /// Parameters of another architecture; a batch that is empty or whose sizes, tokens or labels do not fit.
    pub fn evaluate(&mut self, parameters: &Parameters<T>, batch: &Batch) -> Result<Outcome> {
        self.check(parameters, batch)?;
        self.forward(parameters.values(), batch, Dropout::NONE, false);
        Ok(self.outcome(batch))
    }

    /// Loss and accuracy on a batch under dropout, and the gradient of the loss.
    ///
    /// # Errors
    /// As [`evaluate`](Self::evaluate); a dropout rate outside [0, 1).
    pub fn differentiate(
        &mut self,
        parameters: &Parameters<T>,
        batch: &Batch,
        dropout: Dropout,
        gradient: &mut Parameters<T>,
    ) -> Result<Outcome> {
        self.check(parameters, batch)?;
        self.check(gradient, batch)?;
        if !(0.0..1.0).contains(&dropout.rate) {
            return Err(Error::input(format!(
                "dropout {} is not a probability below 1; choose one such as 0.1",
                dropout.rate
            )));
        }
        self.forward(parameters.values(), batch, dropout, true);
        let outcome = self.outcome(batch);
        self.backward(parameters.values(), batch, dropout, gradient.values_mut());
        Ok(outcome)
    }

    /// The logits of the last batch, a row of `classes` numbers for each sample.
    pub fn logits(&self) -> &[T] {
        &self.head.logits
    }

    fn check(&self, parameters: &Parameters<T>, batch: &Batch) -> Result<()> {
        let Architecture {
            vocabulary,
            positions,
            classes,
            ..
        } = self.architecture;
        if parameters.values().len() != self.offsets.end {
            return Err(Error::input(format!(
                "{} parameters do not fit an architecture with {}; give those of the same architecture",
                parameters.values().len(),
                self.offsets.end
            )));
        }
        if batch.length == 0 || batch.length > positions {
            return Err(Error::input(format!(
                "length {} does not fit the classifier's {positions} positions; choose from 1 to {positions}",
                batch.length
            )));
        }
        if batch.labels.is_empty() || batch.tokens.len() != batch.labels.len() * batch.length {
            return Err(Error::input(format!(
                "{} tokens are not {} samples of length {}; give at least one sample, each of that length",
                batch.tokens.len(),
                batch.labels.len(),
                batch.length
            )));
        }
        // A row's number is held in 32 bits.
        if batch.tokens.len() > u32::MAX as usize {
            return Err(Error::input(
                "a batch has more than 2^32 tokens; choose fewer samples",
            ));
        }
        if let Some(token) = batch.tokens.iter().find(|&&t| t as usize >= vocabulary) {
            return Err(Error::input(format!(
                "token {token} is outside the vocabulary of {vocabulary}; choose a larger vocabulary"
            )));
        }
        if let Some(label) = batch.labels.iter().find(|&&l| l as usize >= classes) {
            return Err(Error::input(format!(
                "label {label} is not one of {classes} classes; choose more classes"
            )));
        }
        Ok(())
    }

    /// Finds the tokens that are not padding and makes room for them.
    fn arrange(&mut self, batch: &Batch, keep: bool) {
        let Architecture {
            vocabulary,
            positions,
            width,
            heads,
            hidden,
            blocks,
            classifier,
            classes,
            ..
        } = self.architecture;
        let sequences = || batch.tokens.chunks_exact(batch.length);
        self.samples.clear();
        self.sample_of.clear();
        for (sample, tokens) in (0..).zip(sequences()) {
            let start = self.sample_of.len();
            let rows = start + tokens.iter().filter(|&&token| token != 0).count();
            self.sample_of.resize(rows, sample);
            self.samples.push(Sample {
                queries: start..rows,
                keys: start..rows,
            });
        }
        let rows = self.sample_of.len();
        let kept = batch.tokens.iter().filter(|&&token| token != 0);
        self.token.set(kept.map(|&token| token.into()), vocabulary);
        let kept = sequences()
            .flat_map(|tokens| (0..).zip(tokens))
            .filter(|(_, token)| **token != 0);
        self.position
            .set(kept.map(|(position, _)| position), positions);

        let zero = T::default();
        let slots = if keep { blocks } else { 1 };
        for x in &mut self.x[..=slots] {
            x.resize(rows * width, zero);
        }
        for saved in &mut self.saved[..slots] {
            saved.qkv.resize(rows * 3 * width, zero);
            saved.out.resize(rows * width, zero);
            saved.lse.resize(rows * heads, zero);
            saved.middle.resize(rows * width, zero);
            saved.up.resize(rows * hidden, zero);
        }
        self.dx.resize(rows * width, zero);
        if keep {
            self.dout.resize(rows * width, zero);
            self.dqkv.resize(rows * 3 * width, zero);
        }
        let trunk = self.offsets.trunk.len();
        let groups = rows
            .div_ceil(GROUP)
            .clamp(1, GROUPS.min((SUMS / trunk).max(1)));
        self.group_count = groups;
        if self.groups.len() < groups {
            self.groups.resize_with(groups, Group::default);
        }
        let tile = TILE.min(rows);
        for group in &mut self.groups[..groups] {
            for narrow in &mut group.narrow {
                narrow.resize(tile * width, zero);
            }
            for wide in &mut group.wide {
                wide.resize(tile * hidden, zero);
            }
            group.moments.resize(tile, [zero; 2]);
            if keep {
                group.gradient.resize(trunk, zero);
            }
        }
        let samples = batch.labels.len();
        for (row, width) in [
            (&mut self.head.pooled, width),
            (&mut self.head.dpooled, width),
            (&mut self.head.hidden, classifier),
            (&mut self.head.dhidden, classifier),
            (&mut self.head.logits, classes),
            (&mut self.head.dlogits, classes),
        ] {
            row.resize(samples * width, zero);
        }
    }

    /// Up to the logits. `keep`: what the backward pass needs is kept; else blocks share buffers.
    fn forward(&mut self, parameters: &[T], batch: &Batch, dropout: Dropout, keep: bool) {
        self.arrange(batch, keep);
        let Classifier {
            architecture,
            offsets,
            samples,
            x,
            saved,
            groups,
            ..
        } = self;
        let layers = Layers {
            architecture,
            offsets,
            parameters,
            dropout,
        };
        let Architecture {
            width,
            hidden,
            blocks,
            ..
        } = *architecture;
        let groups = &mut groups[..self.group_count];
        let per_group = self.sample_of.len().div_ceil(groups.len()).max(1);
        let block_slot = |block: usize| if keep { block } else { 0 };
        let x_slot = |block: usize| if keep { block } else { block % 2 };
        // Between two attentions: the end of block `next - 1`, or the embedding; then the start of block `next`,
        // or the final norm.
        for next in 0..=blocks {
            let mut y = std::mem::take(&mut x[x_slot(next)]);
            let (mut started, started_width) = if next < blocks {
                (std::mem::take(&mut saved[block_slot(next)].qkv), 3 * width)
            } else {
                (std::mem::take(&mut self.dx), width)
            };
            if next == 0 {
                let tables = [
                    &parameters[offsets.token.clone()],
                    &parameters[offsets.position.clone()],
                ];
                let indices = [&self.token, &self.position];
                (
                    &mut *groups,
                    y.par_chunks_mut(per_group * width),
                    started.par_chunks_mut(per_group * started_width),
                )
                    .into_par_iter()
                    .enumerate()
                    .for_each(|(index, (group, y, started))| {
                        for tile in tiles(y.len() / width) {
                            let row = index * per_group + tile.start;
                            let y = rows_mut(y, &tile, width);
                            embedding::forward(tables, indices, row, width, y);
                            dropout.at(0).apply(row, width, y);
                            layers.start(0, y, group, rows_mut(started, &tile, started_width));
                        }
                    });
            } else {
                let x = &x[x_slot(next - 1)];
                let Block {
                    out, middle, up, ..
                } = &mut saved[block_slot(next - 1)];
                (
                    &mut *groups,
                    y.par_chunks_mut(per_group * width),
                    started.par_chunks_mut(per_group * started_width),
                    middle.par_chunks_mut(per_group * width),
                    up.par_chunks_mut(per_group * hidden),
                    x.par_chunks(per_group * width),
                    out.par_chunks(per_group * width),
                )
                    .into_par_iter()
                    .enumerate()
                    .for_each(
                        |(index, (group, y, started, middle, up, x, out))| {
                            for tile in tiles(y.len() / width) {
                                let y = rows_mut(y, &tile, width);
                                layers.finish(
                                    next - 1,
                                    index * per_group + tile.start,
                                    rows(x, &tile, width),
                                    rows(out, &tile, width),
                                    group,
                                    rows_mut(middle, &tile, width),
                                    rows_mut(up, &tile, hidden),
                                    y,
                                );
                                layers.start(
                                    next,
                                    y,
                                    group,
                                    rows_mut(started, &tile, started_width),
                                );
                            }
                        },
                    );
            }
            x[x_slot(next)] = y;
            if next < blocks {
                let saved = &mut saved[block_slot(next)];
                saved.qkv = started;
                let problem = layers.attention(samples, &saved.qkv);
                T::attend(&problem, &mut saved.out, &mut saved.lse);
            } else {
                self.dx = started;
            }
        }
        let share = T::from_f64(1.0 / batch.length as f64);
        (self.head.pooled.par_chunks_mut(width), &*self.samples)
            .into_par_iter()
            .for_each(|(pooled, sample)| {
                pooling::forward(rows(&self.dx, &sample.queries, width), share, pooled);
            });
        let head = &mut self.head;
        let (head1, head2) = layers.head();
        linear::forward(head1, &head.pooled, &mut head.hidden);
        for x in &mut head.hidden {
            if *x < T::default() {
                *x = T::default();
            }
        }
        linear::forward(head2, &head.hidden, &mut head.logits);
    }

    /// Loss and accuracy from the logits; leaves the loss's derivative by the logits.
    fn outcome(&mut self, batch: &Batch) -> Outcome {
        let share = 1.0 / batch.labels.len() as f64;
        let classes = self.architecture.classes;
        let Head {
            logits, dlogits, ..
        } = &mut self.head;
        let mut outcome = Outcome {
            loss: 0.0,
            correct: 0,
        };
        let rows = logits
            .chunks_exact(classes)
            .zip(dlogits.chunks_exact_mut(classes));
        for ((logits, dlogits), &label) in rows.zip(batch.labels) {
            let label = label.into();
            outcome.loss += share * loss::cross_entropy(logits, label, share, dlogits);
            outcome.correct += usize::from(loss::prediction(logits) == label);
        }
        outcome
    }

    /// From the loss's derivative by the logits to the gradient.
    fn backward(&mut self, parameters: &[T], batch: &Batch, dropout: Dropout, gradient: &mut [T]) {
        let Classifier {
            architecture,
            offsets,
            samples,
            x,
            saved,
            groups,
            dx,
            dout,
            dqkv,
            head,
            sample_of,
            ..
        } = self;
        let layers = Layers {
            architecture,
            offsets,
            parameters,
            dropout,
        };
        let Architecture {
            width,
            hidden,
            blocks,
            ..
        } = *architecture;
        let zero = T::default();
        gradient[offsets.trunk.end..].fill(zero);
        let (head1, head2) = layers.head();
        let (dhead1, dhead2) = layers.head_gradient(&mut gradient[offsets.trunk.end..]);
        linear::backward_parameters(dhead2, &head.hidden, &head.dlogits);
        linear::backward_input(head2, &head.dlogits, &mut head.dhidden);
        for (dx, &y) in head.dhidden.iter_mut().zip(&head.hidden) {
            if y <= zero {
                *dx = zero;
            }
        }
        linear::backward_parameters(dhead1, &head.pooled, &head.dhidden);
        linear::backward_input(head1, &head.dhidden, &mut head.dpooled);

        let groups = &mut groups[..self.group_count];
        groups
            .par_iter_mut()
            .for_each(|group| group.gradient.fill(zero));
        let per_group = sample_of.len().div_ceil(groups.len()).max(1);
        let share = T::from_f64(1.0 / batch.length as f64);
        // Between two attentions: the start of block `next`, or the final norm; then the end of block `next - 1`,
        // or the embedding.
        for next in (0..=blocks).rev() {
            let started =
                |index: usize, tile: &Range<usize>, group: &mut Group<T>, dx: &mut [T]| {
                    let tile = index * per_group + tile.start..index * per_group + tile.end;
                    let x = rows(&x[next], &tile, width);
                    if next < blocks {
                        layers.start_backward(next, x, rows(dqkv, &tile, 3 * width), group, dx);
                    } else {
                        let dy = &mut group.narrow[0][..x.len()];
                        for (dy, &sample) in dy.chunks_exact_mut(width).zip(&sample_of[tile]) {
                            let dpooled = &head.dpooled[sample as usize * width..][..width];
                            pooling::backward(dpooled, share, dy);
                        }
                        dx.fill(zero);
                        norm::moments(x, width, &mut group.moments);
                        let norm = &parameters[offsets.norm.clone()];
                        let at = group.gradient.len() - 2 * width;
                        let gradient = &mut group.gradient[at..];
                        norm::backward(norm, x, &group.moments, dy, gradient, dx);
                    }
                };
            if next == 0 {
                (&mut *groups, dx.par_chunks_mut(per_group * width))
                    .into_par_iter()
                    .enumerate()
                    .for_each(|(index, (group, dx))| {
                        for tile in tiles(dx.len() / width) {
                            let dx = rows_mut(dx, &tile, width);
                            started(index, &tile, group, dx);
                            dropout
                                .at(0)
                                .apply(index * per_group + tile.start, width, dx);
                        }
                    });
            } else {
                let saved = &saved[next - 1];
                (
                    &mut *groups,
                    dx.par_chunks_mut(per_group * width),
                    dout.par_chunks_mut(per_group * width),
                    saved.out.par_chunks(per_group * width),
                    saved.middle.par_chunks(per_group * width),
                    saved.up.par_chunks(per_group * hidden),
                )
                    .into_par_iter()
                    .enumerate()
                    .for_each(|(index, (group, dx, dout, out, middle, up))| {
                        for tile in tiles(dx.len() / width) {
                            let dx = rows_mut(dx, &tile, width);
                            started(index, &tile, group, dx);
                            layers.finish_backward(
                                next - 1,
                                index * per_group + tile.start,
                                rows(out, &tile, width),
                                rows(middle, &tile, width),
                                rows(up, &tile, hidden),
                                group,
                                dx,
                                rows_mut(dout, &tile, width),
                            );
                        }
                    });
                let kept = Saved {
                    out: &saved.out,
                    lse: &saved.lse,
                };
                let derivatives = Gradient {
                    values: dqkv,
                    stride: 3 * width,
                    q: 0,
                    k: width,
                    v: 2 * width,
                };
                T::attend_backward(
                    &layers.attention(samples, &saved.qkv),
                    kept,
                    dout,
                    derivatives,
                );
            }
        }
        embedding::backward(&self.token, width, dx, &mut gradient[offsets.token.clone()]);
        embedding::backward(
            &self.position,
            width,
            dx,
            &mut gradient[offsets.position.clone()],
        );
        const CHUNK: usize = 4096;
        gradient[offsets.trunk.clone()]
            .par_chunks_mut(CHUNK)
            .enumerate()
            .for_each(|(chunk, sum)| {
                sum.fill(zero);
                for group in &*groups {
                    let part = &group.gradient[chunk * CHUNK..][..sum.len()];
                    for (sum, &part) in sum.iter_mut().zip(part) {
                        *sum += part;
                    }
                }
            });
    }
}

/// The layers between two attentions, on a tile of tokens.
struct Layers<'a, T> {
    architecture: &'a Architecture,
    offsets: &'a Offsets,
    parameters: &'a [T],
    dropout: Dropout,
}

impl<T: Real> Layers<'_, T> {
    fn attention<'a>(&self, samples: &'a [Sample], qkv: &'a [T]) -> Attention<'a, T> {
        let Architecture {
            kernel,
            width,
            heads,
            ..
        } = *self.architecture;
        // All samples may be empty.
        let part = |i: usize| Rows {
            values: qkv.get(i * width..).unwrap_or(&[]),
            stride: 3 * width,
        };
        Attention {
            kernel,
            heads,
            p: width / heads,
            q: part(0),
            k: part(1),
            v: part(2),
            samples,
            mask: None,
        }
    }

    fn block(&self, block: usize) -> (&[T], &BlockOffsets) {
        let offsets = &self.offsets.block;
        let start = self.offsets.trunk.start + block * offsets.len;
        (&self.parameters[start..][..offsets.len], offsets)
    }

    fn gradient<'g>(&self, block: usize, gradient: &'g mut [T]) -> &'g mut [T] {
        let len = self.offsets.block.len;
        &mut gradient[block * len..][..len]
    }

    fn layer<P>(&self, parameters: P, inputs: usize, outputs: usize) -> Linear<P> {
        Linear {
            parameters,
            inputs,
            outputs,
        }
    }

    fn head(&self) -> (Linear<&[T]>, Linear<&[T]>) {
        let Architecture {
            width,
            classifier,
            classes,
            ..
        } = *self.architecture;
        let head1 = &self.parameters[self.offsets.head1.clone()];
        let head2 = &self.parameters[self.offsets.head2.clone()];
        (
            self.layer(head1, width, classifier),
            self.layer(head2, classifier, classes),
        )
    }

    fn head_gradient<'g>(
        &self,
        gradient: &'g mut [T],
    ) -> (Linear<&'g mut [T]>, Linear<&'g mut [T]>) {
        let Architecture {
            width,
            classifier,
            classes,
            ..
        } = *self.architecture;
        let (head1, head2) = gradient.split_at_mut(self.offsets.head1.len());
        (
            self.layer(head1, width, classifier),
            self.layer(head2, classifier, classes),
        )
    }

    /// Queries, keys and values of block `next`; behind the last block the final norm.
    fn start(&self, next: usize, x: &[T], group: &mut Group<T>, y: &mut [T]) {
        let width = self.architecture.width;
        norm::moments(x, width, &mut group.moments);
        if next == self.architecture.blocks {
            let norm = &self.parameters[self.offsets.norm.clone()];
            norm::forward(norm, x, &group.moments, y);
            return;
        }
        let (block, at) = self.block(next);
        let h = &mut group.narrow[0][..x.len()];
        norm::forward(&block[at.norm1.clone()], x, &group.moments, h);
        linear::forward(self.layer(&block[at.qkv.clone()], width, 3 * width), h, y);
    }

    /// What follows attention: y = middle + down(gelu(up(norm2(middle)))), middle = x + output(out).
    #[allow(clippy::too_many_arguments)]
    fn finish(
        &self,
        block: usize,
        row: usize,
        x: &[T],
        out: &[T],
        group: &mut Group<T>,
        middle: &mut [T],
        up: &mut [T],
        y: &mut [T],
    ) {
        let Architecture { width, hidden, .. } = *self.architecture;
        let place = |i: usize| self.dropout.at((3 * block + i) as u64);
        let (block, at) = self.block(block);
        linear::forward(
            self.layer(&block[at.output.clone()], width, width),
            out,
            middle,
        );
        place(1).apply(row, width, middle);
        add(x, middle);
        let h = &mut group.narrow[0][..x.len()];
        norm::moments(middle, width, &mut group.moments);
        norm::forward(&block[at.norm2.clone()], middle, &group.moments, h);
        linear::forward(self.layer(&block[at.up.clone()], width, hidden), h, up);
        let g = &mut group.wide[0][..up.len()];
        gelu::forward(up, g);
        place(2).apply(row, hidden, g);
        linear::forward(self.layer(&block[at.down.clone()], hidden, width), g, y);
        place(3).apply(row, width, y);
        add(middle, y);
    }

    /// dx: from the derivative by y to that by x, but for what attention adds; dout: the derivative by `out`.
    #[allow(clippy::too_many_arguments)]
    fn finish_backward(
        &self,
        block: usize,
        row: usize,
        out: &[T],
        middle: &[T],
        up: &[T],
        group: &mut Group<T>,
        dx: &mut [T],
        dout: &mut [T],
    ) {
        let Architecture { width, hidden, .. } = *self.architecture;
        let place = |i: usize| self.dropout.at((3 * block + i) as u64);
        let Group {
            narrow: [a, b],
            wide: [g, dg, slope],
            moments,
            gradient,
        } = group;
        let (a, b) = (&mut a[..dx.len()], &mut b[..dx.len()]);
        let (g, dg) = (&mut g[..up.len()], &mut dg[..up.len()]);
        let slope = &mut slope[..up.len()];
        let gradient = self.gradient(block, gradient);
        let (block, at) = self.block(block);

        a.copy_from_slice(dx);
        place(3).apply(row, width, a);
        gelu::with_slope(up, g, slope);
        place(2).apply(row, hidden, g);
        linear::backward_parameters(
            self.layer(&mut gradient[at.down.clone()], hidden, width),
            g,
            a,
        );
        linear::backward_input(self.layer(&block[at.down.clone()], hidden, width), a, dg);
        place(2).apply(row, hidden, dg);
        gelu::backward(slope, dg);
        norm::moments(middle, width, moments);
        norm::forward(&block[at.norm2.clone()], middle, moments, a);
        linear::backward_parameters(
            self.layer(&mut gradient[at.up.clone()], width, hidden),
            a,
            dg,
        );
        linear::backward_input(self.layer(&block[at.up.clone()], width, hidden), dg, b);
        norm::backward(
            &block[at.norm2.clone()],
            middle,
            moments,
            b,
            &mut gradient[at.norm2.clone()],
            dx,
        );

        a.copy_from_slice(dx);
        place(1).apply(row, width, a);
        linear::backward_parameters(
            self.layer(&mut gradient[at.output.clone()], width, width),
            out,
            a,
        );
        linear::backward_input(self.layer(&block[at.output.clone()], width, width), a, dout);
    }

    /// dx += what comes through queries, keys and values.
    fn start_backward(
        &self,
        block: usize,
        x: &[T],
        dqkv: &[T],
        group: &mut Group<T>,
        dx: &mut [T],
    ) {
        let width = self.architecture.width;
        let Group {
            narrow: [h, dh],
            moments,
            gradient,
            ..
        } = group;
        let (h, dh) = (&mut h[..x.len()], &mut dh[..x.len()]);
        let gradient = self.gradient(block, gradient);
        let (block, at) = self.block(block);
        norm::moments(x, width, moments);
        norm::forward(&block[at.norm1.clone()], x, moments, h);
        linear::backward_parameters(
            self.layer(&mut gradient[at.qkv.clone()], width, 3 * width),
            h,
            dqkv,
        );
        linear::backward_input(
            self.layer(&block[at.qkv.clone()], width, 3 * width),
            dqkv,
            dh,
        );
        norm::backward(
            &block[at.norm1.clone()],
            x,
            moments,
            dh,
            &mut gradient[at.norm1.clone()],
            dx,
        );
    }
}

vectorised! {
    /// y += x.
    fn add<T: Real>(x: &[T], y: &mut [T]) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y += x;
        }
    }
}

fn rows<'a, T>(x: &'a [T], rows: &Range<usize>, width: usize) -> &'a [T] {
    &x[rows.start * width..rows.end * width]
}

fn rows_mut<'a, T>(x: &'a mut [T], rows: &Range<usize>, width: usize) -> &'a mut [T] {
    &mut x[rows.start * width..rows.end * width]
}

/// Tiles of nearly equal size.
fn tiles(rows: usize) -> impl Iterator<Item = Range<usize>> {
    let count = rows.div_ceil(TILE);
    (0..count).map(move |i| rows * i / count..rows * (i + 1) / count)
}
