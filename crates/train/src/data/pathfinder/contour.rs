//! Laying contours: the algorithm of Linsley et al. (2018), paddle by paddle.
//!
//! A contour grows from a seed paddle. Its next paddle starts from a pivot two margins behind the
//! end of the last one and ends on a circle around it, at a pixel drawn with weight cos^2 of the bend, less
//! what other contours occupy. It does not touch any paddle but the one before it.

use super::ink::{LENGTH, MARGIN, Paddle, dilate, disc};
use super::{Point, SIDE};
use crate::data::random::{below, fraction};
use rand_chacha::ChaCha8Rng;
use std::f64::consts::PI;
use std::sync::LazyLock;

/// Distance of the two target contours' seeds, in pixels.
const SEED_DISTANCE: i32 = 7;
/// Draws of one paddle before a contour is given up.
const PADDLE_DRAWS: usize = 3;
/// Draws of one distractor before it is left out.
const DISTRACTOR_DRAWS: usize = 5;
/// No more distractors once a smaller share of the image is free.
const LEAST_FREE: f64 = 0.01;
/// How much a bend costs; 1 is the least continuous contour the weights allow.
const CONTINUITY: f64 = 1.0;

/// Contrast of a target contour's ink, in halves of a marker's.
const TARGET: u16 = 3;
/// Contrast of a distractor's ink, likewise.
const DISTRACTOR: u16 = 4;

/// A pixel counts as free up to this occupation (0.3 of 255).
const FREE: u8 = 76;
/// Two occupations together that count as touching (1.8 of 255).
const TOUCHING: u16 = 459;

const PIXELS: usize = SIDE * SIDE;

/// An image in the making.
#[derive(Clone)]
pub(super) struct Scene {
    /// Ink in halves of a marker's 0..=255.
    pub image: Vec<u16>,
    /// What contours and the border occupy, up to 255.
    taken: Vec<u8>,
}

/// The growing end of a contour.
#[derive(Clone)]
struct Head {
    pivot: Point,
    angle: f64,
    /// The last paddle and its start: it occupies the scene from when the next one stands.
    last: (&'static Paddle, Point),
}

impl Scene {
    /// Two target contours of `paddles` paddles; their first and last tips.
    pub(super) fn targets(paddles: usize, rng: &mut ChaCha8Rng) -> (Scene, [[Point; 2]; 2]) {
        loop {
            if let Some(laid) = Scene::try_targets(paddles, rng) {
                return laid;
            }
        }
    }

    fn try_targets(paddles: usize, rng: &mut ChaCha8Rng) -> Option<(Scene, [[Point; 2]; 2])> {
        let mut scene = Scene {
            image: vec![0; PIXELS],
            taken: vec![0; PIXELS],
        };
        scene.close_border(1);
        // The first seed lies where the second has room on every side.
        let mut closed = scene.clone();
        closed.close_border(2 * SEED_DISTANCE);
        let (first, first_angle) = closed.seed(rng)?;
        let (second, second_angle) = second_seed(first, rng)?;
        let mut heads = [
            scene.paint_seed(first, first_angle, TARGET),
            scene.paint_seed(second, second_angle, TARGET),
        ];
        let mut tips = [first, second];
        for _ in 1..paddles {
            for (head, tip) in heads.iter_mut().zip(&mut tips) {
                *tip = scene.extend(head, TARGET, rng)?;
            }
        }
        // The original adds the last paddle of the second contour only: a distractor may cross the end
        // of the first.
        scene.occupy(heads[1].last);
        Some((scene, [[first, tips[0]], [second, tips[1]]]))
    }

    /// `count` distractors of `paddles` paddles, fewer where there is no room.
    pub(super) fn distractors(&mut self, count: usize, paddles: usize, rng: &mut ChaCha8Rng) {
        for _ in 0..count {
            for _ in 0..DISTRACTOR_DRAWS {
                let mut next = self.clone();
                if next.distractor(paddles, rng).is_some() {
                    *self = next;
                    break;
                }
            }
        }
    }

    fn distractor(&mut self, paddles: usize, rng: &mut ChaCha8Rng) -> Option<()> {
        let free = self.taken.iter().filter(|t| **t <= FREE).count();
        if (free as f64) < LEAST_FREE * PIXELS as f64 {
            return None;
        }
        let (start, angle) = self.seed(rng)?;
        let mut head = self.paint_seed(start, angle, DISTRACTOR);
        for _ in 1..paddles {
            self.extend(&mut head, DISTRACTOR, rng)?;
        }
        self.occupy(head.last);
        Some(())
    }

    /// A free place and an angle for a contour's first paddle.
    fn seed(&self, rng: &mut ChaCha8Rng) -> Option<(Point, f64)> {
        for _ in 0..PADDLE_DRAWS {
            let angle = whole_degrees(rng);
            let footprint = Paddle::at(angle).footprint();
            if !sees_from_every_corner(&footprint) {
                return None;
            }
            let near = dilate(&self.taken, SIDE, &footprint);
            let free: Vec<usize> = (0..PIXELS).filter(|i| near[*i] <= FREE).collect();
            if free.is_empty() {
                return None;
            }
            let start = Point::of_index(free[below(rng, free.len())]);
            if fits(start, angle) {
                return Some((start, angle));
            }
        }
        None
    }

    /// Draws a seed paddle and gives the contour's head.
    fn paint_seed(&mut self, start: Point, angle: f64, contrast: u16) -> Head {
        let paddle = Paddle::at(angle);
        self.paint(paddle, start, contrast);
        Head {
            pivot: seed_pivot(start, angle),
            angle,
            last: (paddle, start),
        }
    }

    /// Adds a paddle to a contour; its tip, or nothing at a dead end.
    fn extend(&mut self, head: &mut Head, contrast: u16, rng: &mut ChaCha8Rng) -> Option<Point> {
        let pivot = head.pivot.towards(head.angle, LENGTH + 2 * MARGIN);
        let ends = around(pivot, head.angle, &self.taken);
        let total: f64 = ends.iter().map(|end| end.weight).sum();
        if total < 1e-4 {
            return None;
        }
        for _ in 0..PADDLE_DRAWS {
            let mut left = fraction(rng) * total;
            let drawn = ends.iter().find(|end| {
                left -= end.weight;
                left < 0.0
            });
            let end = drawn.or(ends.last())?;
            // From its tip back to the pivot.
            let paddle = Paddle::at(reversed(end.angle));
            let meets = |(i, _, room): (usize, u8, u8)| {
                u16::from(self.taken[i]) + u16::from(room) >= TOUCHING
            };
            if paddle.over(end.at).any(meets) {
                continue;
            }
            self.occupy(head.last);
            self.paint(paddle, end.at, contrast);
            *head = Head {
                pivot,
                angle: end.angle,
                last: (paddle, end.at),
            };
            return Some(end.at);
        }
        None
    }

    fn paint(&mut self, paddle: &Paddle, start: Point, contrast: u16) {
        for (i, ink, _) in paddle.over(start) {
            self.image[i] = self.image[i].max(contrast * u16::from(ink));
        }
    }

    fn occupy(&mut self, (paddle, start): (&Paddle, Point)) {
        for (i, _, room) in paddle.over(start) {
            self.taken[i] = self.taken[i].max(room);
        }
    }

    fn close_border(&mut self, width: i32) {
        let inner = width..SIDE as i32 - width;
        for (i, taken) in self.taken.iter_mut().enumerate() {
            let Point { y, x } = Point::of_index(i);
            if !inner.contains(&y) || !inner.contains(&x) {
                *taken = 255;
            }
        }
    }
}

/// Whether some shift leads from each corner of the image to a pixel of it.
///
/// The original takes an image that is dilated with a footprint which leaves a corner without any pixel for one
/// without free places. So only some angles begin a contour, and most draws of a distractor
/// fail, which decides how many there are.
fn sees_from_every_corner(footprint: &[(i32, i32)]) -> bool {
    [(1, 1), (1, -1), (-1, 1), (-1, -1)].iter().all(|(v, h)| {
        let inward = |(dy, dx): &(i32, i32)| v * dy >= 0 && h * dx >= 0;
        footprint.iter().any(inward)
    })
}

/// The second target's seed, at the seed distance from the first.
fn second_seed(first: Point, rng: &mut ChaCha8Rng) -> Option<(Point, f64)> {
    for _ in 0..PADDLE_DRAWS {
        let angle = whole_degrees(rng);
        let bearing = radians(below(rng, 360) as f64);
        let distance = f64::from(SEED_DISTANCE);
        let start = Point::new(
            libm::rint(f64::from(first.y) + distance * libm::sin(bearing)) as i32,
            libm::rint(f64::from(first.x) + distance * libm::cos(bearing)) as i32,
        );
        if fits(start, angle) {
            return Some((start, angle));
        }
    }
    None
}

fn seed_pivot(start: Point, angle: f64) -> Point {
    start
        .towards(angle, LENGTH)
        .towards(reversed(angle), LENGTH + MARGIN)
}

fn fits(start: Point, angle: f64) -> bool {
    start.towards(angle, LENGTH).index().is_some() && seed_pivot(start, angle).index().is_some()
}

/// A place where a paddle may end.
struct End {
    at: Point,
    angle: f64,
    weight: f64,
}

/// Shifts to the pixels on a circle of a paddle and its margin, in reading order, each with its direction.
static RING: LazyLock<Vec<(i32, i32, f64)>> = LazyLock::new(|| {
    let radius = f64::from(LENGTH + MARGIN);
    // One sample per pixel of the arc.
    let step = 360.0 / (2.0 * radius * PI);
    let samples = (360.0 / step).ceil() as usize;
    let mut shifts: Vec<(i32, i32)> = (0..samples)
        .map(|i| radians(i as f64 * step))
        .map(|bearing| (radius * libm::sin(bearing), radius * libm::cos(bearing)))
        .map(|(y, x)| (y.floor() as i32, x.floor() as i32))
        .collect();
    shifts.sort_unstable();
    shifts.dedup();
    let direction = |(y, x)| (y, x, libm::atan2(f64::from(y), f64::from(x)));
    shifts.into_iter().map(direction).collect()
});

/// Where a paddle may end that starts at the pivot.
fn around(pivot: Point, angle: f64, taken: &[u8]) -> Vec<End> {
    let end = |&(dy, dx, to): &(i32, i32, f64)| {
        let at = Point::new(pivot.y + dy, pivot.x + dx);
        at.index()?;
        let turn = (to - angle).abs();
        let bend = (turn.min(2.0 * PI - turn) * CONTINUITY).min(0.5 * PI);
        let straight = libm::cos(bend).max(0.0);
        let next_to = |(dy, dx)| Point::new(at.y + dy, at.x + dx).index();
        let occupied = disc(MARGIN).filter_map(next_to).map(|i| taken[i]).max()?;
        Some(End {
            at,
            angle: to,
            weight: (1.0 - f64::from(occupied) / 255.0) * straight * straight,
        })
    };
    RING.iter().filter_map(end).collect()
}

fn whole_degrees(rng: &mut ChaCha8Rng) -> f64 {
    radians(below(rng, 360) as f64 - 180.0)
}

/// In this order of operations: `to_radians` rounds otherwise, and pixels are rounded up.
fn radians(degrees: f64) -> f64 {
    degrees * PI / 180.0
}

fn reversed(angle: f64) -> f64 {
    if angle < 0.0 { angle + PI } else { angle - PI }
}
