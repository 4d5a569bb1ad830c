//! Finding room for a label among curves.

use super::canvas::Xy;

/// A rectangle in points: left, top, right, bottom.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rect {
    pub left: f64,
    pub top: f64,
    pub right: f64,
    pub bottom: f64,
}

impl Rect {
    /// Its outline, closed.
    pub(super) fn corners(&self) -> [Xy; 5] {
        let Rect {
            left,
            top,
            right,
            bottom,
        } = *self;
        [
            (left, top),
            (right, top),
            (right, bottom),
            (left, bottom),
            (left, top),
        ]
    }
    pub(super) fn holds(&self, (x, y): Xy) -> bool {
        (self.left..=self.right).contains(&x) && (self.top..=self.bottom).contains(&y)
    }
    fn meets(&self, other: &Rect) -> bool {
        self.left < other.right
            && other.left < self.right
            && self.top < other.bottom
            && other.top < self.bottom
    }
}

/// What already stands in a panel.
pub(super) struct Occupied {
    room: Rect,
    labels: Vec<Rect>,
    ink: Vec<Xy>,
}

impl Occupied {
    pub(super) fn new(room: Rect) -> Self {
        Occupied {
            room,
            labels: Vec::new(),
            ink: Vec::new(),
        }
    }

    /// Marks a curve as drawn.
    pub(super) fn add_path(&mut self, path: &[Xy]) {
        for pair in path.windows(2) {
            let (a, b) = (pair[0], pair[1]);
            let pieces = ((b.0 - a.0).hypot(b.1 - a.1) / 4.0)
                .ceil()
                .clamp(1.0, 500.0);
            for i in 0..=pieces as usize {
                let s = i as f64 / pieces;
                self.ink
                    .push((a.0 + s * (b.0 - a.0), a.1 + s * (b.1 - a.1)));
            }
        }
    }

    /// The freest place near `anchor` for a box of this size; it is taken from then on.
    pub(super) fn place(&mut self, anchor: Xy, width: f64, height: f64) -> Rect {
        let mut best = (
            f64::INFINITY,
            self.candidate(anchor, width, height, (0.0, 0.0)),
        );
        for ring in 0..12 {
            let far = 8.0 + 9.0 * f64::from(ring);
            for side in [1.0, -1.0] {
                for lift in [0.0, -1.0, 1.0, -0.5, 0.5] {
                    let shift = (
                        side * (far.min(24.0) + 0.5 * width),
                        lift * (far + 0.5 * height),
                    );
                    let rect = self.candidate(anchor, width, height, shift);
                    let cost = self.cost(&rect) + 0.3 * far;
                    if cost < best.0 {
                        best = (cost, rect);
                    }
                }
            }
            for lift in [-1.0, 1.0] {
                let shift = (0.0, lift * (far + 0.5 * height));
                let rect = self.candidate(anchor, width, height, shift);
                let cost = self.cost(&rect) + 0.3 * far;
                if cost < best.0 {
                    best = (cost, rect);
                }
            }
        }
        self.labels.push(best.1);
        best.1
    }

    /// The corner of a frame with the least ink in it, for a box of this size; it is taken from then on.
    pub(super) fn corner(&mut self, frame: &Rect, (width, height): (f64, f64)) -> Rect {
        let air = 5.0;
        let (right, low) = (frame.right - width - air, frame.bottom - height - air);
        let corners = [
            (right, frame.top + air),
            (frame.left + air, low),
            (right, low),
            (frame.left + air, frame.top + air),
        ];
        let mut best = (f64::INFINITY, *frame);
        for (left, top) in corners {
            let rect = Rect {
                left,
                top,
                right: left + width,
                bottom: top + height,
            };
            let cost = self.cost(&rect);
            if cost < best.0 {
                best = (cost, rect);
            }
        }
        self.labels.push(best.1);
        best.1
    }

    /// The box at a shift from the anchor, moved inside the room.
    fn candidate(&self, anchor: Xy, width: f64, height: f64, shift: Xy) -> Rect {
        let room = &self.room;
        let x = anchor.0 + shift.0 - 0.5 * width;
        let y = anchor.1 + shift.1 - 0.5 * height;
        let left = x.min(room.right - width).max(room.left);
        let top = y.min(room.bottom - height).max(room.top);
        Rect {
            left,
            top,
            right: left + width,
            bottom: top + height,
        }
    }

    fn cost(&self, rect: &Rect) -> f64 {
        let labels = self.labels.iter().filter(|l| l.meets(rect)).count();
        let ink = self.ink.iter().filter(|p| rect.holds(**p)).count();
        1000.0 * labels as f64 + 10.0 * ink as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_avoid_each_other_and_the_curves() {
        let room = Rect {
            left: 0.0,
            top: 0.0,
            right: 400.0,
            bottom: 200.0,
        };
        let mut occupied = Occupied::new(room);
        occupied.add_path(&[(0.0, 0.0), (400.0, 200.0)]);
        let a = occupied.place((200.0, 100.0), 90.0, 14.0);
        let b = occupied.place((200.0, 100.0), 90.0, 14.0);
        assert!(!a.meets(&b));
        for rect in [a, b] {
            assert!(rect.left >= 0.0 && rect.right <= 400.0);
            assert!(!occupied.ink.iter().any(|p| rect.holds(*p)));
        }
    }
}
