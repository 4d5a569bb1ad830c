//! What a paddle and a marker look like.

use super::resize::reduce;
use super::{Point, SIDE};
use std::sync::LazyLock;

/// Length of a paddle in pixels.
pub(super) const LENGTH: i32 = 2;
/// Free pixels around a paddle.
pub(super) const MARGIN: i32 = 1;
/// Radius of a marker in pixels.
const MARKER: f64 = 1.5;
/// Everything is drawn this many times larger and reduced.
const SCALE: i32 = 2;
/// Pixels from a paddle's start to the edge of its stamp: length, thickness (0.5 rounded up), margin.
const REACH: i32 = LENGTH + 1 + MARGIN;
/// Side of a stamp.
const STAMP: usize = 2 * REACH as usize + 1;

/// One paddle around its start, which is the middle pixel.
pub(super) struct Paddle {
    /// Brightness, up to 255.
    ink: [u8; STAMP * STAMP],
    /// The share of each pixel that no other contour may use, up to 255.
    room: [u8; STAMP * STAMP],
}

/// Every paddle there is. One whose direction is `angle` ends, enlarged, at a whole pixel (dy, dx)
/// with -4 <= dy, dx <= 4, and is known by it.
static PADDLES: LazyLock<Vec<Paddle>> = LazyLock::new(|| {
    let ends = -SCALE * LENGTH..=SCALE * LENGTH;
    ends.clone()
        .flat_map(|dy| ends.clone().map(move |dx| (dy, dx)))
        .map(Paddle::draw)
        .collect()
});

impl Paddle {
    /// The paddle that goes off at `angle`.
    pub(super) fn at(angle: f64) -> &'static Paddle {
        let middle = SCALE * REACH;
        let end = Point::new(middle, middle).towards(angle, SCALE * LENGTH);
        let n = SCALE * LENGTH;
        let index = (end.y - middle + n) * (2 * n + 1) + end.x - middle + n;
        &PADDLES[index as usize]
    }

    fn draw((dy, dx): (i32, i32)) -> Paddle {
        let middle = SCALE * REACH;
        let side = 2 * middle as usize + 1;
        let mut line = vec![0u8; side * side];
        for (y, x) in bresenham(dy, dx) {
            line[(middle + y) as usize * side + (middle + x) as usize] = 255;
        }
        let around: Vec<_> = disc(SCALE * MARGIN).collect();
        let widened = dilate(&line, side, &around);
        let stamp = |image: &[u8]| {
            let mut stamp = [0; STAMP * STAMP];
            stamp.copy_from_slice(&reduce(image, side, STAMP));
            stamp
        };
        Paddle {
            ink: stamp(&line),
            room: stamp(&widened),
        }
    }

    /// The pixels of the image that the stamp covers when the paddle starts at `start`: index,
    /// brightness, room.
    pub(super) fn over(&self, start: Point) -> impl Iterator<Item = (usize, u8, u8)> {
        (-REACH..=REACH)
            .flat_map(|dy| (-REACH..=REACH).map(move |dx| (dy, dx)))
            .zip(self.ink.iter().zip(&self.room))
            .filter_map(move |((dy, dx), (ink, room))| {
                let index = Point::new(start.y + dy, start.x + dx).index()?;
                Some((index, *ink, *room))
            })
    }

    /// Where a contour must not be met if a paddle is to start at a pixel, as shifts from that pixel.
    ///
    /// The original cuts the stamp to 7 x 7 pixels and takes its start for one pixel further than
    /// it is; both shape where contours begin, so they are kept.
    pub(super) fn footprint(&self) -> Vec<(i32, i32)> {
        let seen = -REACH..=LENGTH;
        seen.clone()
            .flat_map(|dy| seen.clone().map(move |dx| (dy, dx)))
            .filter(|(dy, dx)| {
                self.room[((dy + REACH) * STAMP as i32 + dx + REACH) as usize] == 255
            })
            .map(|(dy, dx)| (dy + 1, dx + 1))
            .collect()
    }
}

/// Shifts within a radius.
pub(super) fn disc(radius: i32) -> impl Iterator<Item = (i32, i32)> {
    (-radius..=radius)
        .flat_map(move |dy| (-radius..=radius).map(move |dx| (dy, dx)))
        .filter(move |(dy, dx)| dy * dy + dx * dx <= radius * radius)
}

/// The largest value that each pixel sees at these shifts.
pub(super) fn dilate(image: &[u8], side: usize, shifts: &[(i32, i32)]) -> Vec<u8> {
    let n = side as i32;
    let mut wide = vec![0; side * side];
    for y in 0..n {
        for x in 0..n {
            wide[(y * n + x) as usize] = shifts
                .iter()
                .map(|(dy, dx)| (y + dy, x + dx))
                .filter(|(y, x)| (0..n).contains(y) && (0..n).contains(x))
                .map(|(y, x)| image[(y * n + x) as usize])
                .max()
                .unwrap_or(0);
        }
    }
    wide
}

/// The pixels of a line from (0, 0) to (dy, dx), both included.
fn bresenham(dy: i32, dx: i32) -> Vec<(i32, i32)> {
    let (long, short) = (dx.abs().max(dy.abs()), dx.abs().min(dy.abs()));
    let steep = dx.abs() <= dy.abs();
    let mut error = 2 * short - long;
    let mut minor = 0;
    (0..=long)
        .map(|major| {
            let point = if steep {
                (major * dy.signum(), minor * dx.signum())
            } else {
                (minor * dy.signum(), major * dx.signum())
            };
            if error >= 0 && long > 0 {
                minor += 1;
                error -= 2 * long;
            }
            error += 2 * short;
            point
        })
        .collect()
}

/// A filled circle around a pixel, as a whole image.
pub(super) fn marker(at: Point) -> Vec<u8> {
    let side = SCALE as usize * SIDE;
    let radius = (MARKER * f64::from(SCALE)) as i32;
    let mut large = vec![0u8; side * side];
    for (dy, dx) in disc(radius) {
        let (y, x) = (SCALE * at.y + dy, SCALE * at.x + dx);
        let inside = 0..side as i32;
        if inside.contains(&y) && inside.contains(&x) {
            large[y as usize * side + x as usize] = 255;
        }
    }
    reduce(&large, side, SIDE)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of the original program (Pillow's line and Lanczos reduction).
    #[test]
    fn paddles_are_those_of_the_original() {
        let (mut ink, mut room) = (0u64, 0u64);
        for degrees in -180..180i32 {
            let paddle = Paddle::at(f64::from(degrees).to_radians());
            for i in 0..STAMP * STAMP {
                let weight = (i as u64 + 1) * (degrees + 181) as u64;
                ink += weight * u64::from(paddle.ink[i]);
                room += weight * u64::from(paddle.room[i]);
            }
        }
        assert_eq!((ink, room), (1_166_675_868, 6_627_929_588));

        let level = Paddle::at(0.0);
        assert_eq!(level.ink[36..45], [0, 0, 2, 0, 102, 135, 116, 0, 0]);
        assert_eq!(level.room[27..36], [0, 1, 2, 20, 173, 204, 186, 28, 0]);
    }

    #[test]
    fn markers_are_those_of_the_original() {
        for (at, total, weighted) in [
            (Point::new(1, 1), 1736, 50_911),
            (Point::new(16, 9), 1906, 979_506),
            (Point::new(31, 0), 920, 896_259),
        ] {
            let image = marker(at);
            let sum: u64 = image.iter().map(|p| u64::from(*p)).sum();
            let moment: u64 = (1..).zip(&image).map(|(i, p)| i * u64::from(*p)).sum();
            assert_eq!((sum, moment), (total, weighted));
        }
    }
}
