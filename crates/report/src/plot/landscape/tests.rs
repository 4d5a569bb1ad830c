use super::cells::above;
use super::*;
use gdcert::landscape::Grid;

fn surface(size: usize, span: f64, loss: impl Fn(f64, f64) -> f64) -> Surface {
    let grid = Grid { size, span };
    let points = (0..grid.points()).map(|p| {
        let (i, j) = grid.place(p);
        loss(grid.at(i), grid.at(j))
    });
    Surface {
        losses: points.collect(),
        grid,
    }
}

#[test]
fn a_long_title_takes_two_lines() {
    let title = "pathfinder · 8 test samples, length 1024 · random directions, seed 0";
    assert_eq!(
        two_lines(title, 14.0, 1e4),
        [title.to_owned(), String::new()]
    );
    let [first, second] = two_lines(title, 14.0, 400.0);
    assert_eq!(format!("{first}{SEPARATOR}{second}"), title);
    assert!(text_width(&first, 14.0) <= 400.0 && text_width(&second, 14.0) <= 400.0);
    let [first, second] = two_lines(title, 14.0, 1.0);
    assert_eq!(format!("{first}{SEPARATOR}{second}"), title);
}

#[test]
fn every_surface_can_be_drawn() {
    let look = Look::screen();
    let bowl = surface(11, 1.0, |a, b| a * a + 2.0 * b * b);
    for value in [0.0, 1e300, f64::NAN, f64::INFINITY, -1e-300] {
        for size in [1, 3, 9, 205] {
            for span in [1e-300, 1.0, 1e300] {
                let odd = surface(
                    size,
                    span,
                    |a, b| if a > 0.5 * span { value } else { b / span },
                );
                let flat = surface(size, span, |_, _| value);
                for surface in [&odd, &flat] {
                    let path = [(0.0, 0.0), (2.0, f64::NAN), (0.5, -3.0), (0.1, 0.1)];
                    let panels = ["a < b", "bowl", "third"].map(|name| Landscape {
                        name,
                        surface: if name == "bowl" { &bowl } else { surface },
                        path: &path,
                    });
                    for count in [0, 1, 3] {
                        // What can go wrong with one of them does not depend on the others.
                        let odd_span = span != 1.0 && (size, count) != (3, 1);
                        let odd_count = count == 0 && size > 1 || count == 3 && size > 9;
                        if odd_span || odd_count {
                            continue;
                        }
                        for figure in [
                            contours(&panels[..count], "t & t", &look),
                            reliefs(&panels[..count], "t & t", &look),
                        ] {
                            let svg = figure.svg();
                            assert!(!svg.contains("NaN") && !svg.contains("inf"));
                            assert!(svg.contains("t &amp; t"));
                        }
                    }
                }
            }
        }
    }
}

/// From the lowest loss to the highest, whatever their size, with labels inside the picture and apart from the names.
#[test]
fn the_scale_is_that_of_the_losses() {
    let look = Look::screen();
    for (low, high) in [
        (4e-14, 8e-14),
        (0.1, 0.7),
        (9.866, 9.866002),
        (-1e200, 3e200),
        (1e-290, 1.0000001e-290),
        (2.5, 2.5),
        (0.0, 0.0),
    ] {
        for span in [1.0, 1e-7, 1e-300] {
            let bowl = surface(11, span, |a, _| low + (high - low) * 0.5 * (a / span + 1.0));
            let panels = [Landscape {
                name: "softmax attention",
                surface: &bowl,
                path: &[],
            }];
            let drawn = Panels::new(&panels, "t", &look);
            let (l, h) = bowl.range().unwrap();
            if h > l {
                let base = base(&bowl);
                let ends = (drawn.loss.low() + base, drawn.loss.high() + base);
                assert!((ends.0 - l).abs() <= 1e-9 * (h - l), "{ends:?} {l:e}");
                assert!((ends.1 - h).abs() <= 1e-9 * (h - l), "{ends:?} {h:e}");
                assert!(drawn.levels.len() >= 10, "{low:e}: {:?}", drawn.levels);
            }
            let labels = |axis: &Axis, count: usize| -> Vec<f64> {
                let labels = axis.ticks(count).into_iter().filter_map(|tick| tick.label);
                labels.map(|label| text_width(&label, SMALL)).collect()
            };
            for width in labels(&drawn.loss, 8) {
                assert!(LABELS + width <= drawn.scale, "{low:e}: {width}");
            }
            // The name of the axis ends at 28.
            for width in labels(&span_axis(&panels[0]), 5) {
                assert!(width + 8.0 + 28.0 <= drawn.left, "{span:e}: {width}");
            }
        }
    }
}

#[test]
fn a_part_of_a_cell_ends_on_the_level() {
    let cell = [
        ((0.0, 0.0), 0.0),
        ((1.0, 0.0), 2.0),
        ((1.0, 1.0), 0.0),
        ((0.0, 1.0), -2.0),
    ];
    let part = above(&cell, 1.0);
    let on = |x, y| ((x, y), true);
    assert_eq!(part, [on(0.5, 0.0), ((1.0, 0.0), false), on(1.0, 0.5)]);
    assert!(above(&cell, 3.0).is_empty());
    assert_eq!(above(&cell, -5.0).len(), 4);
}
