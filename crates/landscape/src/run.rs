//! All surfaces and spectra of a point, with files that let a run go on after any interruption.

use super::bounds::{Whole, residual};
use super::files::{self, Finished, Header, RESULT, SPECTRUM, SURFACE, Spectrum};
use super::{
    Blocks, Choice, Directions, Loss, Node, Passed, Restricted, Surface, complete, lanczos, start,
};
use crate::{Error, Result};
use gdcert_base::files::{remove_abandoned, write_all, write_atomic};
use rayon::prelude::*;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

/// How much work an interruption may cost.
const SAVE: Duration = Duration::from_secs(1);

/// Up to this many weights the Hessian is formed as a whole where its products are enclosed.
const DENSE: usize = 512;

/// What a run is given.
pub struct Run<'a, L> {
    /// What it is of, and how it is made.
    pub header: &'a Header,
    /// The weights at the centre.
    pub weights: &'a [f64],
    /// Which of them are varied.
    pub blocks: &'a Blocks,
    /// Along what, see [`aim`].
    pub directions: &'a [Directions],
    /// Weights of the path, as named in the header.
    pub path: &'a [Vec<f64>],
    /// The loss, once for every point that is to be worked on at a time.
    pub workers: &'a mut [L],
    /// Where surface.json, surface.csv and spectrum.csv go.
    pub folder: &'a Path,
    /// Go on from what is there.
    pub resume: bool,
}

/// What a run tells while it goes on.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// So many products with the Hessian are done in search of directions.
    Aimed(usize),
    /// So many points are done, of all surfaces together.
    Points(usize),
    /// So many products with the Hessian are done, of all spectra together.
    Products(usize),
}

/// The directions of every seed.
///
/// # Errors
/// No seed; directions that are zero, derivatives that are not finite; [`Error::Cancelled`] when `each` breaks.
pub fn aim(
    header: &Header,
    weights: &[f64],
    blocks: &Blocks,
    loss: &mut dyn Loss,
    each: &mut dyn FnMut(Event) -> ControlFlow<()>,
) -> Result<Vec<Directions>> {
    if header.direction_seeds.is_empty() {
        return Err(Error::input(
            "a landscape needs at least one direction seed; give --direction-seeds",
        ));
    }
    let (mut done, steps) = (0, header.lanczos_steps);
    let mut product = || {
        done += 1;
        each(Event::Aimed(done - 1))
    };
    let seeds = header.direction_seeds.iter();
    seeds
        .map(|&seed| match header.directions {
            Choice::Random => Directions::random(weights, blocks, seed),
            Choice::Hessian => {
                Directions::sharpest(&mut *loss, weights, blocks, seed, steps, &mut product)
            }
        })
        .collect()
}

/// Makes every surface and spectrum, and writes them.
///
/// # Errors
/// A folder with another landscape, when it is resumed; derivatives that are not finite.
/// [`Error::Cancelled`] when `each` breaks: then the points up to here are in the folder.
pub fn run<L: Loss>(
    run: Run<L>,
    each: &mut dyn FnMut(Event) -> ControlFlow<()>,
) -> Result<Finished> {
    let Run {
        header,
        weights,
        blocks,
        directions,
        path,
        workers,
        folder,
        resume,
    } = run;
    if workers.is_empty() || directions.len() != header.direction_seeds.len() {
        return Err(Error::input(
            "a landscape needs a worker, and directions for each seed",
        ));
    }
    let exact = header.batch.is_none();
    let (mut losses, mut spectra) = if resume && folder.join(RESULT).exists() {
        remove_abandoned(folder)?;
        earlier(header, folder)?
    } else {
        (Vec::new(), Vec::new())
    };
    write_all(
        folder,
        &[
            (RESULT, header.unfinished()?),
            (SURFACE, files::losses_csv(header, &losses)?),
            (SPECTRUM, files::spectra_csv(&spectra)?),
        ],
        &|| Ok(()),
    )?;

    let points = header.grid.points();
    for (number, directions) in directions.iter().enumerate() {
        let before = number * points;
        if losses.len() >= before + points {
            continue;
        }
        let mut own = losses.split_off(before);
        let mut saved = Instant::now();
        let done = complete(
            &mut own,
            header.grid,
            weights,
            directions,
            workers,
            &mut |own| {
                let told = each(Event::Points(before + own.len()));
                if saved.elapsed() > SAVE {
                    saved = Instant::now();
                    let all = [&losses[..], own].concat();
                    // What cannot be written now is an error at the end of the surface.
                    let _ = files::losses_csv(header, &all)
                        .and_then(|csv| write_atomic(&folder.join(SURFACE), &csv));
                }
                told
            },
        );
        losses.extend(own);
        write_atomic(&folder.join(SURFACE), &files::losses_csv(header, &losses)?)?;
        done?;
    }

    if header.lanczos_steps > 0 {
        let mut products = 0;
        for (name, ranges) in [
            ("W_Q", &blocks.query),
            ("W_K", &blocks.key),
            ("all", &blocks.all),
        ] {
            let space = Restricted::to(ranges);
            let seeds = header.direction_seeds.iter().map(|&seed| Some(seed));
            let dense = exact && space.dimension() <= DENSE;
            let wanted: Vec<Option<u64>> = seeds.chain(dense.then_some(None)).collect();
            let known = |spectra: &[Spectrum], seed| {
                let same = |s: &Spectrum| s.space == name && s.seed == seed;
                spectra.iter().any(same)
            };
            let whole = if dense && !wanted.iter().all(|&seed| known(&spectra, seed)) {
                let column = |loss: &mut L, j: usize| space.column(loss, weights, j);
                let mut told = || each(Event::Products(products));
                Some(Whole::new(shared(
                    workers,
                    space.dimension(),
                    column,
                    &mut told,
                )?)?)
            } else {
                None
            };
            for seed in wanted {
                if known(&spectra, seed) {
                    products += header.lanczos_steps;
                    continue;
                }
                let nodes = match (seed, &whole) {
                    (None, Some(whole)) => whole.nodes()?,
                    (None, None) => continue,
                    (Some(seed), whole) => {
                        let mut times = |v: &[f64]| {
                            if each(Event::Products(products)).is_break() {
                                return Err(Error::Cancelled);
                            }
                            products += 1;
                            space.hessian_times(&mut workers[0], weights, v)
                        };
                        let (start, steps) = (start(seed, space.dimension()), header.lanczos_steps);
                        let found = lanczos(&mut times, start, steps)?;
                        let bound = |loss: &mut L, i: usize| {
                            let (x, theta) = (found.vector(i), found.nodes[i].eigenvalue);
                            Ok(match whole {
                                Some(whole) => Some(whole.residual(&x, theta)),
                                None => space
                                    .hessian_enclosure(loss, weights, &x)?
                                    .map(|product| residual(&product, &x, theta)),
                            })
                        };
                        let mut told = || each(Event::Products(products));
                        let bounds = shared(workers, found.nodes.len(), bound, &mut told)?;
                        let bounded = found.nodes.iter().zip(bounds);
                        // Where there is no enclosure, the estimate stays.
                        let with = |(node, bound): (&Node, Option<f64>)| Node {
                            error: bound.unwrap_or(node.error),
                            ..*node
                        };
                        bounded.map(with).collect()
                    }
                };
                spectra.push(Spectrum {
                    space: name.to_owned(),
                    seed,
                    nodes,
                });
                write_atomic(&folder.join(SPECTRUM), &files::spectra_csv(&spectra)?)?;
            }
        }
    }

    let project = |directions: &Directions| {
        let passed = path.iter().map(|other| {
            let (alpha, beta, share) = directions.project(weights, other, blocks);
            Passed { alpha, beta, share }
        });
        passed.collect()
    };
    let grid = header.grid;
    let surface = |part: &[f64]| Surface {
        grid,
        losses: part.to_vec(),
    };
    let finished = Finished {
        header: header.clone(),
        surfaces: losses.chunks(points).map(surface).collect(),
        paths: directions.iter().map(project).collect(),
        noise: workers[0].noise(),
        spectra,
    };
    let text = format!("{:#}\n", finished.json()?);
    write_atomic(&folder.join(RESULT), text.as_bytes())?;
    Ok(finished)
}

/// Refuses to go on in a folder with another landscape; nothing is written.
///
/// # Errors
/// A folder with another landscape, or files that are not whole.
pub fn refuse_another(header: &Header, folder: &Path) -> Result<()> {
    match folder.join(RESULT).exists() {
        true => earlier(header, folder).map(|_| ()),
        false => Ok(()),
    }
}

/// `task` for the numbers below `count`, each worker one at a time; `each` is asked between.
fn shared<L: Loss, T: Send>(
    workers: &mut [L],
    count: usize,
    task: impl Fn(&mut L, usize) -> Result<T> + Sync,
    each: &mut dyn FnMut() -> ControlFlow<()>,
) -> Result<Vec<T>> {
    let mut done = Vec::with_capacity(count);
    while done.len() < count {
        if each().is_break() {
            return Err(Error::Cancelled);
        }
        let next = done.len()..count.min(done.len() + workers.len());
        let found: Vec<Result<T>> = workers
            .par_iter_mut()
            .zip(next)
            .map(|(worker, i)| task(worker, i))
            .collect();
        for one in found {
            done.push(one?);
        }
    }
    Ok(done)
}

/// The losses and spectra of an interrupted run with the same header.
fn earlier(header: &Header, folder: &Path) -> Result<(Vec<f64>, Vec<Spectrum>)> {
    let (there, _) = Header::read(folder)?;
    if let Some((name, now, then)) = header.difference(&there)? {
        return Err(Error::file(
            folder,
            format!(
                "holds a landscape with {name} = {then}, not {now}; use the same flags, or another --out"
            ),
        ));
    }
    let losses = files::read_losses(folder, header)?;
    if losses.len() > header.direction_seeds.len() * header.grid.points() {
        return Err(Error::file(
            &folder.join(SURFACE),
            "has too many points; start over with --force",
        ));
    }
    Ok((losses, files::read_spectra(folder)?))
}
