//! Pathfinder: are the two marked ends of one contour, or of two?
//!
//! The generator follows the original program (Linsley et al., *Learning long-range spatial dependencies
//! with horizontal gated recurrent units*, NeurIPS 2018; Kim et al., *Disentangling neural mechanisms
//! for perceptual grouping*, ICLR 2020) with the settings Long Range Arena gives for 32 x 32 pixels.
//! Image K of a seed is drawn from a random stream of its own, so that it is the same on every machine,
//! with any number of threads and in a set of any size.

mod contour;
mod ink;
mod layout;
mod resize;

pub use layout::{read, read_with_notes, write};

use super::random::{below, stream};
use crate::{Error, Result};
use contour::Scene;
use gdcert_base::input::same_word;

/// Width and height of an image.
pub const SIDE: usize = 32;

/// How long the target contours are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difficulty {
    /// `curv_baseline`: 6 paddles.
    Baseline,
    /// `curv_contour_length_9`.
    Length9,
    /// `curv_contour_length_14`.
    Length14,
}

impl Difficulty {
    /// All of them, the easiest first.
    pub const ALL: [Difficulty; 3] = [
        Difficulty::Baseline,
        Difficulty::Length9,
        Difficulty::Length14,
    ];

    /// The name the original gives to its folder.
    pub fn name(self) -> &'static str {
        match self {
            Difficulty::Baseline => "curv_baseline",
            Difficulty::Length9 => "curv_contour_length_9",
            Difficulty::Length14 => "curv_contour_length_14",
        }
    }

    /// Paddles of a target contour.
    pub fn contour_length(self) -> usize {
        match self {
            Difficulty::Baseline => 6,
            Difficulty::Length9 => 9,
            Difficulty::Length14 => 14,
        }
    }

    /// Paddles of a distractor.
    pub fn distractor_length(self) -> usize {
        self.contour_length() / 3
    }

    fn distractors(self) -> usize {
        20 / self.distractor_length()
    }
}

impl std::str::FromStr for Difficulty {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Difficulty::ALL
            .into_iter()
            .find(|d| same_word(name, d.name()))
            .ok_or_else(|| {
                let names = Difficulty::ALL.map(Difficulty::name).join(", ");
                Error::input(format!("--difficulty {name} must be one of {names}"))
            })
    }
}

/// One image, grey, row by row; label 1 says that the two marked ends belong to one contour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// SIDE x SIDE grey levels.
    pub pixels: Vec<u8>,
    /// 0 or 1.
    pub label: u8,
}

/// Image number `index` of a seed.
///
/// ```
/// use gdcert_train::data::pathfinder::{Difficulty, image};
///
/// let one = image(Difficulty::Baseline, 0, 7);
/// assert_eq!(one, image(Difficulty::Baseline, 0, 7));
/// assert_eq!(one.pixels.iter().max(), Some(&255));
/// ```
pub fn image(difficulty: Difficulty, seed: u64, index: u64) -> Image {
    let rng = &mut stream(seed, index);
    let label = below(rng, 2) as u8;
    let (mut scene, tips) = Scene::targets(difficulty.contour_length(), rng);
    scene.distractors(
        difficulty.distractors(),
        difficulty.distractor_length(),
        rng,
    );
    let marked = below(rng, 2);
    let other = if label == 1 { marked } else { 1 - marked };
    for tip in [tips[marked][0], tips[other][1]] {
        for (pixel, ink) in scene.image.iter_mut().zip(ink::marker(tip)) {
            *pixel = (*pixel).max(2 * u16::from(ink));
        }
    }
    Image {
        pixels: stretched(&scene.image),
        label,
    }
}

/// Ink as grey levels: the least becomes 0, the most 255.
fn stretched(image: &[u16]) -> Vec<u8> {
    let (low, high) = image
        .iter()
        .fold((u16::MAX, 0), |(low, high), &p| (low.min(p), high.max(p)));
    let span = u32::from(high - low).max(1);
    let grey = |p: &u16| (2 * 255 * u32::from(p - low) + span) / (2 * span);
    image.iter().map(|p| grey(p) as u8).collect()
}

/// A pixel, or a place outside the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Point {
    y: i32,
    x: i32,
}

impl Point {
    fn new(y: i32, x: i32) -> Self {
        Point { y, x }
    }

    fn of_index(i: usize) -> Self {
        Point::new((i / SIDE) as i32, (i % SIDE) as i32)
    }

    fn index(self) -> Option<usize> {
        let inside = 0..SIDE as i32;
        (inside.contains(&self.y) && inside.contains(&self.x))
            .then(|| self.y as usize * SIDE + self.x as usize)
    }

    /// The pixel at a distance in the direction of `angle`, rounded up as the original does.
    fn towards(self, angle: f64, distance: i32) -> Point {
        let distance = f64::from(distance);
        Point::new(
            (f64::from(self.y) + distance * libm::sin(angle)).ceil() as i32,
            (f64::from(self.x) + distance * libm::cos(angle)).ceil() as i32,
        )
    }
}
