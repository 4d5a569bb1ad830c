use super::*;
use gdcert::descent::{End, Point, Steps};
use gdcert::{Dims, Eta, Init, Instance, Kernel, Settings, Trained, deciding_reading, verify};

fn run(kernel: Kernel, init: Init, p: usize, settings: &Settings) -> Verification {
    let dims = Dims {
        N: 1,
        n: 3,
        D: 6,
        d: 3,
        H: 2,
        p,
    };
    let instance = Instance::random(dims, kernel, init, 0).unwrap();
    verify(&instance, settings).unwrap()
}

fn steps(steps: Steps) -> Settings {
    Settings {
        steps,
        ..Settings::default()
    }
}

/// Tags open and close in order, attributes are quoted, nothing is left raw.
fn assert_well_formed(svg: &str) {
    let mut open = Vec::new();
    let mut rest = svg;
    while let Some(start) = rest.find('<') {
        assert!(!rest[..start].contains('>'));
        let end = start + rest[start..].find('>').expect("a tag that ends");
        let tag = &rest[start + 1..end];
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !tag.ends_with('/') {
            open.push(tag.split(' ').next().unwrap());
        }
        rest = &rest[end + 1..];
    }
    assert!(open.is_empty() && rest.trim().is_empty());
}

/// Numbers with long labels leave the name of their axis alone.
#[test]
fn names_of_axes_and_labels_stay_apart() {
    for eta in [1e-13, 1e-8, 1e-3] {
        let settings = Settings {
            eta: Eta::Fixed(eta),
            ..steps(Steps::Exactly(3))
        };
        let svg = draw(&run(Kernel::Softmax, Init::Lecun, 1, &settings));
        let attribute = |tag: &str, name: &str| -> Option<f64> {
            let value = tag.split(&format!("{name}=\"")).nth(1)?;
            value.split('"').next()?.parse().ok()
        };
        let mut names = Vec::new();
        let mut labels = Vec::new();
        for text in svg.split("<text ").skip(1) {
            let (tag, rest) = text.split_once('>').unwrap();
            let x = attribute(tag, "x").unwrap() / 10.0; // units of the file
            let shown = rest.split('<').next().unwrap().trim();
            if tag.contains("rotate") {
                names.push(x);
            } else if x + text_width(shown, SMALL) < LEFT && attribute(tag, "y").unwrap() > 1500.0 {
                labels.push((x, shown));
            }
        }
        // Each of its pieces is a text.
        assert!(names.len() >= 3, "{svg}");
        labels.retain(|(_, label)| label.starts_with(|c: char| c.is_ascii_digit()));
        assert!(labels.len() > 3, "{svg}");
        for (left, label) in labels {
            let least = names.iter().copied().fold(f64::INFINITY, f64::min);
            assert!(least > 10.0, "the name leaves the picture: {least}");
            assert!(
                left > least + 3.0,
                "{label} at {left} meets a name at {least}"
            );
        }
    }
}

/// Draws, checks both files, and returns the SVG.
fn draw(found: &Verification) -> String {
    let deciding = deciding_reading(found.trained).name();
    let figure = rate_vs_bound(found, "a <title> & \"more\"\u{1}", deciding);
    let svg = figure.svg();
    assert_well_formed(&svg);
    assert!(svg.len() < 170_000, "{}", svg.len());
    assert!(!svg.contains("NaN") && !svg.contains("inf"));
    let pdf = figure.file(crate::plot::Format::Pdf).unwrap();
    assert!(pdf.starts_with(b"%PDF-") && pdf.len() < 400_000);
    let png = figure.png().unwrap();
    let decoder = png::Decoder::new(&png[..]);
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!(
        (info.width, info.height),
        (3 * WIDTH as u32, 3 * figure.height as u32)
    );
    assert!(pixels.iter().any(|p| *p < 50), "an empty picture");
    svg
}

#[test]
fn the_figure_says_what_was_found() {
    let lazy = Init::Lazy { omega: 10.0 };
    let found = run(Kernel::Gaussian, lazy, 1, &Settings::default());
    let svg = draw(&found);
    for text in [
        "a &lt;title&gt; &amp; &quot;more&quot;",
        "gaussian kernel · trained QKV · N=1 n=3 D=6 d=3 H=2 p=1 · η = ",
        "per_head = value = ntk",
        "stacked",
        "(per_head decides)",
        "moved |",
        "step",
        "exact gradient descent",
        env!("CARGO_PKG_VERSION"),
    ] {
        assert!(svg.contains(text), "{text}");
    }
}

#[test]
fn every_kind_of_run_can_be_drawn() {
    let auto = Settings::default();
    draw(&run(Kernel::Softmax, Init::Lecun, 2, &auto));
    draw(&run(
        Kernel::Softmax,
        Init::Lecun,
        1,
        &steps(Steps::Exactly(0)),
    ));
    draw(&run(
        Kernel::Gaussian,
        Init::Lecun,
        1,
        &steps(Steps::Exactly(1)),
    ));
    for trained in ["Q", "K", "V", "QK"] {
        let settings = Settings {
            trained: trained.parse().unwrap(),
            ..auto.clone()
        };
        draw(&run(
            Kernel::Gaussian,
            Init::Paired { s: 3.0 },
            1,
            &settings,
        ));
    }
    // Hypotheses fail: d < p, HD < Nn.
    draw(&run(Kernel::Softmax, Init::Lecun, 4, &auto));
    let still = Settings {
        trained: Trained::Q,
        eta: Eta::Fixed(0.1),
        ..auto.clone()
    };
    let svg = draw(&run(
        Kernel::Softmax,
        Init::ConstantValue { s: 1.0 },
        1,
        &still,
    ));
    assert!(svg.contains("no loss below") && svg.contains("nothing moves"));
    for eta in [1.0, 1e10, 1e200] {
        let settings = Settings {
            eta: Eta::Fixed(eta),
            ..auto.clone()
        };
        draw(&run(
            Kernel::Softmax,
            Init::Lazy { omega: 10.0 },
            1,
            &settings,
        ));
    }
    let slow = Settings {
        eta: Eta::Fixed(1e-300),
        ..auto
    };
    draw(&run(Kernel::Gaussian, Init::Lecun, 1, &slow));
}

#[test]
fn numbers_at_the_edge_can_be_drawn() {
    let lazy = Init::Lazy { omega: 10.0 };
    let good = run(Kernel::Gaussian, lazy, 1, &steps(Steps::Exactly(40)));
    for value in [0.0, 5e-324, 1e-300, 1e300, f64::INFINITY, f64::NAN, -1.0] {
        for share in [0, 1, 20] {
            let mut found = good.clone();
            for point in &mut found.trajectory.points[share..] {
                point.loss = value;
                point.loss_error = value;
                point.moved = [value; 3];
                point.sigma_min_B = point.sigma_min_B.map(|_| value);
            }
            draw(&found);
            found.trajectory.end = End::Diverged;
            found.f_hull = Some(value);
            for claim in &mut found.claims {
                claim.verdict = Verdict::Violated;
                claim.first_violation = Some(share);
                claim.rate = 1.0 - 1e-16;
            }
            draw(&found);
        }
    }
}

#[test]
fn long_runs_stay_small_and_keep_their_extremes() {
    let mut found = run(Kernel::Gaussian, Init::Lecun, 1, &steps(Steps::Exactly(10)));
    let first = found.trajectory.points[0];
    let noisy = |t: usize| Point {
        t,
        loss: first.loss * (1.0 + 0.5 * ((t * 7919) % 101) as f64),
        loss_error: first.loss * 1e-3 * (1.0 + ((t * 104_729) % 97) as f64),
        moved: [1e-3, 1e-2, 1.0].map(|m| m * (1.0 + ((t * 31) % 89) as f64)),
        ..first
    };
    found.trajectory.points = (0..=100_000).map(noisy).collect();
    for point in &mut found.trajectory.points {
        point.sigma_min_B = (point.t % 2500 == 0).then_some(1.0);
    }
    draw(&found);
}
