//! The library without the command line: one call, no printing, cancellable.

use gdcert::descent::{End, Steps};
use gdcert::spectrum::Reading;
use gdcert::verdict::Verdict;
use gdcert::{
    Dims, Error, Eta, Event, Init, Instance, Kernel, Settings, Weights, verify, verify_with,
};
use std::ops::ControlFlow;

fn instance() -> Instance {
    let dims = Dims {
        N: 2,
        n: 4,
        D: 8,
        d: 4,
        H: 3,
        p: 1,
    };
    Instance::random(dims, Kernel::Gaussian, Init::Lecun, 0).unwrap()
}

#[test]
fn the_observer_sees_every_point_and_can_cancel() {
    let settings = Settings {
        steps: Steps::Exactly(50),
        ..Settings::default()
    };
    let mut seen = Vec::new();
    let found = verify_with(&instance(), &settings, &mut |event| {
        if let Event::Point(point) = event {
            seen.push(*point);
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    // NaN marks what is not recorded, so compare as text.
    assert_eq!(
        format!("{seen:?}"),
        format!("{:?}", found.trajectory.points)
    );
    assert_eq!(seen.len(), 51);

    let cancelled = verify_with(&instance(), &settings, &mut |event| match event {
        Event::Point(point) if point.t < 10 => ControlFlow::Continue(()),
        Event::Point(point) if point.t == 10 => ControlFlow::Break(()),
        other => panic!("ran on after being cancelled: {other:?}"),
    });
    assert!(matches!(cancelled, Err(Error::Cancelled)));
}

#[test]
fn a_run_without_a_number_of_steps_stops_at_the_floor() {
    let settings = Settings {
        steps: Steps::UpTo(100_000),
        ..Settings::default()
    };
    let found = verify(&instance(), &settings).unwrap();
    assert_eq!(found.trajectory.end, End::Floor);
    let last = found.last();
    assert!(last.t < 100_000 && last.loss_error >= 0.1 * last.loss);
    let claim = found.claim(Reading::PerHead);
    assert_eq!(claim.verdict, Verdict::Certified);
    assert_eq!(claim.proven_to, Some(last.t));

    // Without the exact orbit a proof starts at a computed point.
    let settings = Settings {
        orbit: None,
        ..settings
    };
    let found = verify(&instance(), &settings).unwrap();
    let claim = found.claim(Reading::PerHead);
    assert_eq!(claim.verdict, Verdict::CertifiedTail);
    assert_eq!((claim.proven_to, found.orbit.is_some()), (None, false));
}

#[test]
fn bad_settings_and_instances_are_errors() {
    for eta in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let settings = Settings {
            eta: Eta::Fixed(eta),
            ..Settings::default()
        };
        assert!(matches!(
            verify(&instance(), &settings),
            Err(Error::Input(_))
        ));
    }
    let settings = Settings {
        curvature_at: vec![f64::NAN],
        ..Settings::default()
    };
    assert!(matches!(
        verify(&instance(), &settings),
        Err(Error::Input(_))
    ));

    // Products that overflow f64 are an error, not a verdict.
    let huge: Weights = instance().W().map(|w| w * 1e200);
    let huge = instance().with_weights(huge).unwrap();
    let found = verify(&huge.with_kernel(Kernel::Softmax), &Settings::default());
    assert!(matches!(found, Err(Error::Input(_))), "{found:?}");
}
