//! A landscape's files: surface.json says what was asked for and found, surface.csv and spectrum.csv hold the numbers.

use super::{Choice, Grid, Node, Roughness, Sharpness, Surface};
use crate::{Error, Result};
use gdcert_base::Kernel;
use gdcert_base::input;
use gdcert_base::schema::readable;
use gdcert_base::statistics::mean_and_spread;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::Path;

const SCHEMA: &str = "gdcert.surface/1";
pub(super) const SURFACE: &str = "surface.csv";
pub(super) const SPECTRUM: &str = "spectrum.csv";
pub const RESULT: &str = "surface.json";

/// What a landscape is of, and how it is made: the part of surface.json that is known from the start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// `imdb`, `pathfinder` or `instance`.
    pub task: String,
    /// The attention kernel.
    pub kernel: Kernel,
    /// The point at the centre.
    pub centre: Source,
    /// On which samples the loss is taken; `None` for an instance, which has its own.
    pub batch: Option<Samples>,
    /// Arithmetic of the losses: `f32` or `f64`.
    pub precision: String,
    /// How directions are chosen.
    pub directions: Choice,
    /// One surface for each.
    pub direction_seeds: Vec<u64>,
    /// Points of a surface.
    pub grid: Grid,
    /// Steps of Lanczos' method; 0 leaves the Hessian out.
    pub lanczos_steps: usize,
    /// Other points, which are projected.
    pub path: Vec<Source>,
}

/// A checkpoint or an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Name of the file, or the instance in words.
    pub name: String,
    /// SHA-256 of the file (of the file it would be, for a drawn instance).
    pub sha256: String,
    /// Training steps taken; `None` for an instance.
    pub step: Option<u64>,
}

/// The fixed evaluation samples.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Samples {
    /// `test` or `dev`.
    pub split: String,
    /// How many.
    pub samples: usize,
    /// Tokens of a sample that are read.
    pub read: usize,
    /// Tokens to which samples are padded.
    pub length: usize,
    /// `Dataset::fingerprint` of the data they are from; `None` in files of version 0.1.0.
    #[serde(default)]
    pub data: Option<String>,
}

/// A point of the path, projected on a surface's directions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Passed {
    /// Along the W^Q direction.
    pub alpha: f64,
    /// Along the W^K direction.
    pub beta: f64,
    /// Share of the distance in W^Q and W^K that the two directions see.
    pub share: f64,
}

/// A landscape that is complete.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    /// What it is of.
    pub header: Header,
    /// One for each direction seed.
    pub surfaces: Vec<Surface>,
    /// The path on each surface.
    pub paths: Vec<Vec<Passed>>,
    /// The losses' relative error.
    pub noise: f64,
    /// Eigenvalues of the Hessian by space and seed.
    pub spectra: Vec<Spectrum>,
}

/// Eigenvalues of one block of the Hessian.
#[derive(Clone, Debug, PartialEq)]
pub struct Spectrum {
    /// `W_Q`, `W_K` or `all`.
    pub space: String,
    /// The seed of the start; `None` for all eigenvalues, of the whole matrix.
    pub seed: Option<u64>,
    /// Smallest eigenvalue first.
    pub nodes: Vec<Node>,
}

impl Header {
    fn json(&self) -> Result<Value> {
        serde_json::to_value(self)
            .map_err(|e| Error::Numerical(format!("cannot form surface.json: {e}")))
    }

    /// surface.json before anything is known.
    pub(super) fn unfinished(&self) -> Result<Vec<u8>> {
        let all = json!({
            "schema": SCHEMA,
            "version": env!("CARGO_PKG_VERSION"),
            "complete": false,
            "header": self.json()?,
        });
        Ok(format!("{all:#}\n").into_bytes())
    }

    /// The header in a folder's surface.json, and whether the landscape is complete.
    ///
    /// # Errors
    /// A missing file, or one that is no surface.json.
    pub fn read(folder: &Path) -> Result<(Self, bool)> {
        let file = folder.join(RESULT);
        let fail = |what: String| {
            Error::file(
                &file,
                format!("is no landscape ({what}); give a folder that gdcert landscape wrote"),
            )
        };
        let text = input::text(&file).map_err(fail)?;
        let all: Value = serde_json::from_str(&text).map_err(|e| fail(e.to_string()))?;
        readable(&file, all["schema"].as_str().unwrap_or_default(), SCHEMA)?;
        let header: Header =
            serde_json::from_value(all["header"].clone()).map_err(|e| fail(e.to_string()))?;
        Grid::new(header.grid.size, header.grid.span).map_err(|e| fail(e.to_string()))?;
        Ok((header, all["complete"] == true))
    }

    /// The first entry in which two headers differ: name, this value, the other.
    pub(super) fn difference(&self, other: &Header) -> Result<Option<(String, Value, Value)>> {
        let (mine, theirs) = (self.json()?, other.json()?);
        let entries = mine.as_object().into_iter().flatten();
        Ok(entries
            .map(|(key, value)| (key.clone(), value.clone(), theirs[key].clone()))
            .find(|(_, a, b)| a != b))
    }
}

impl Finished {
    /// Reads a folder.
    ///
    /// # Errors
    /// Files that are missing or not whole, or a landscape that is not complete.
    pub fn read(folder: &Path) -> Result<Self> {
        let (header, complete) = Header::read(folder)?;
        if !complete {
            return Err(Error::file(
                folder,
                "holds a landscape that is not finished; run it again with --resume",
            ));
        }
        let file = folder.join(RESULT);
        let broken =
            |e: String| Error::file(&file, format!("is no whole landscape ({e}); make it again"));
        let text = input::text(&file).map_err(broken)?;
        let all: Value = serde_json::from_str(&text).map_err(|e| broken(e.to_string()))?;
        let paths = all["surfaces"].as_array().into_iter().flatten();
        let paths = paths.map(|s| serde_json::from_value(s["path"].clone()));
        let paths = paths
            .collect::<std::result::Result<Vec<_>, _>>()
            .map_err(|e| broken(e.to_string()))?;
        let noise = all["noise"]
            .as_f64()
            .ok_or_else(|| broken("no noise".to_owned()))?;
        let (grid, wanted) = (
            header.grid,
            header.direction_seeds.len() * header.grid.points(),
        );
        let losses = read_losses(folder, &header)?;
        if losses.len() != wanted || paths.len() != header.direction_seeds.len() {
            return Err(broken(format!("{} of {wanted} points", losses.len())));
        }
        Ok(Finished {
            surfaces: losses
                .chunks(grid.points())
                .map(|part| Surface {
                    grid,
                    losses: part.to_vec(),
                })
                .collect(),
            paths,
            noise,
            spectra: read_spectra(folder)?,
            header,
        })
    }

    /// How rough each surface is.
    pub fn roughness(&self) -> Vec<Roughness> {
        let of = |surface| Roughness::of(surface, self.noise);
        self.surfaces.iter().map(of).collect()
    }

    /// The loss at the centre.
    pub fn centre_loss(&self) -> f64 {
        let middle = self.header.grid.size / 2;
        self.surfaces[0].loss(middle, middle)
    }

    /// surface.json.
    ///
    /// # Errors
    /// None is expected.
    pub fn json(&self) -> Result<Value> {
        let rough = self.roughness();
        let surfaces: Vec<Value> = rough
            .iter()
            .zip(&self.header.direction_seeds)
            .zip(&self.paths)
            .map(|((roughness, seed), path)| json!({"direction_seed": seed, "roughness": roughness, "path": path}))
            .collect();
        let over = |of: &dyn Fn(&Roughness) -> Option<f64>| spread(rough.iter().filter_map(of));
        let mut spaces = serde_json::Map::new();
        for spectra in self.spectra.chunk_by(|a, b| a.space == b.space) {
            let exact = self.header.batch.is_none();
            spaces.insert(spectra[0].space.clone(), sharpness_json(spectra, exact));
        }
        Ok(json!({
            "schema": SCHEMA,
            "version": env!("CARGO_PKG_VERSION"),
            "complete": true,
            "header": self.header.json()?,
            "centre_loss": self.centre_loss(),
            "noise": self.noise,
            "surfaces": surfaces,
            "roughness": {
                "non_convex": over(&|r| r.non_convex),
                "local_minima": over(&|r| r.local_minima.map(|n| n as f64)),
                "variation": over(&|r| r.variation),
                "range": over(&|r| Some(r.highest? - r.lowest?)),
            },
            "hessian": if spaces.is_empty() { Value::Null } else { Value::Object(spaces) },
        }))
    }
}

/// By space: what each seed found, mean and spread over seeds; and the whole matrix' values where it was formed.
fn sharpness_json(spectra: &[Spectrum], exact: bool) -> Value {
    let of = |spectrum: &Spectrum| Sharpness::of(&spectrum.nodes);
    let drawn: Vec<(u64, Sharpness)> = spectra
        .iter()
        .filter_map(|s| Some((s.seed?, of(s)?)))
        .collect();
    let over = |of: &dyn Fn(&Sharpness) -> f64| spread(drawn.iter().map(|(_, s)| of(s)));
    let seeds: Vec<Value> = drawn
        .iter()
        .map(|(seed, sharpness)| json!({"seed": seed, "found": sharpness}))
        .collect();
    let dense = spectra.iter().find(|s| s.seed.is_none()).and_then(of);
    let errors = drawn
        .iter()
        .map(|(_, s)| s.largest_error.max(s.smallest_error));
    let error = errors.reduce(f64::max);
    json!({
        "largest": over(&|s| s.largest),
        "smallest": over(&|s| s.smallest),
        "error": error,
        "error_is": if exact { "bound" } else { "estimate" },
        "mean": over(&|s| s.mean),
        "near_zero": over(&|s| s.near_zero),
        "negative": over(&|s| s.negative),
        "seeds": seeds,
        "dense": dense,
    })
}

/// Mean and standard deviation; null without values.
fn spread(values: impl Iterator<Item = f64>) -> Value {
    let (mean, sd) = mean_and_spread(values);
    json!({"mean": mean, "sd": sd})
}

#[derive(Serialize, Deserialize)]
struct Point {
    direction_seed: u64,
    i: usize,
    j: usize,
    alpha: f64,
    beta: f64,
    loss: f64,
}

/// surface.csv: the first `losses.len()` points, surface after surface.
pub(super) fn losses_csv(header: &Header, losses: &[f64]) -> Result<Vec<u8>> {
    let grid = header.grid;
    let seeds = header.direction_seeds.iter();
    let places = seeds.flat_map(|&seed| (0..grid.points()).map(move |p| (seed, grid.place(p))));
    to_csv(
        &["direction_seed", "i", "j", "alpha", "beta", "loss"],
        losses
            .iter()
            .zip(places)
            .map(|(&loss, (direction_seed, (i, j)))| Point {
                direction_seed,
                i,
                j,
                alpha: grid.at(i),
                beta: grid.at(j),
                loss,
            }),
    )
}

pub(super) fn read_losses(folder: &Path, header: &Header) -> Result<Vec<f64>> {
    let file = folder.join(SURFACE);
    let rows: Vec<Point> = from_csv(&file)?;
    let points = header.grid.points();
    let fits = |(at, row): (usize, &Point)| {
        header.direction_seeds.get(at / points) == Some(&row.direction_seed)
            && (row.i, row.j) == header.grid.place(at % points)
    };
    if !rows.iter().enumerate().all(fits) {
        return Err(Error::file(
            &file,
            "does not belong to the surface.json beside it; start over with --force, or with another --out",
        ));
    }
    Ok(rows.into_iter().map(|row| row.loss).collect())
}

#[derive(Serialize, Deserialize)]
struct Line {
    space: String,
    seed: Option<u64>,
    eigenvalue: f64,
    weight: f64,
    error: f64,
}

/// spectrum.csv: nodes and weights of each spectrum; no seed where it is the whole matrix'.
pub(super) fn spectra_csv(spectra: &[Spectrum]) -> Result<Vec<u8>> {
    let lines = spectra.iter().flat_map(|spectrum| {
        spectrum.nodes.iter().map(|node| Line {
            space: spectrum.space.clone(),
            seed: spectrum.seed,
            eigenvalue: node.eigenvalue,
            weight: node.weight,
            error: node.error,
        })
    });
    to_csv(&["space", "seed", "eigenvalue", "weight", "error"], lines)
}

pub(super) fn read_spectra(folder: &Path) -> Result<Vec<Spectrum>> {
    let file = folder.join(SPECTRUM);
    if !file.exists() {
        return Ok(Vec::new());
    }
    let lines: Vec<Line> = from_csv(&file)?;
    let same = |a: &Line, b: &Line| a.space == b.space && a.seed == b.seed;
    let spectrum = |lines: &[Line]| Spectrum {
        space: lines[0].space.clone(),
        seed: lines[0].seed,
        nodes: lines
            .iter()
            .map(|line| Node {
                eigenvalue: line.eigenvalue,
                weight: line.weight,
                error: line.error,
            })
            .collect(),
    };
    Ok(lines.chunk_by(same).map(spectrum).collect())
}

fn to_csv<R: Serialize>(columns: &[&str], rows: impl Iterator<Item = R>) -> Result<Vec<u8>> {
    let fail = |e: String| Error::Numerical(format!("cannot form a CSV file: {e}"));
    // The header by hand: it is there before the first row.
    let mut csv = csv::WriterBuilder::new()
        .has_headers(false)
        .from_writer(Vec::new());
    csv.write_record(columns).map_err(|e| fail(e.to_string()))?;
    for row in rows {
        csv.serialize(row).map_err(|e| fail(e.to_string()))?;
    }
    csv.into_inner().map_err(|e| fail(e.to_string()))
}

fn from_csv<R: DeserializeOwned>(file: &Path) -> Result<Vec<R>> {
    let broken = |e: String| {
        Error::file(
            file,
            format!("cannot be read ({e}); start over with --force, or with another --out"),
        )
    };
    let opened = input::open(file).map_err(broken)?;
    csv::Reader::from_reader(opened)
        .deserialize()
        .collect::<std::result::Result<_, _>>()
        .map_err(|e| broken(e.to_string()))
}
