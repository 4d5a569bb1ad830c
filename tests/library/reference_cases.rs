//! Expected values from an independent program, where the maintainers' case folder is at hand.

use gdcert::bounds::{Curvature, f_hull};
use gdcert::descent::{Steps, descend};
use gdcert::spectrum::{Reading, Spectrum};
use gdcert::{Instance, Trained, model};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The instance files of the case folder; empty, saying so, where it is absent.
fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/cases");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        eprintln!("skipped: no reference cases at {}", folder.display());
        return Vec::new();
    };
    let mut files: Vec<_> = entries
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "safetensors"))
        .filter(|p| p.file_name().unwrap().to_string_lossy().starts_with("case"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} holds no case", folder.display());
    files
}

#[track_caller]
fn close(name: &str, got: f64, expected: &Value, tolerance: f64) {
    let expected = expected
        .as_f64()
        .unwrap_or_else(|| panic!("{name}: not a number"));
    // A zero by structure (HD < Nn, say) must come out as zero up to rounding.
    let scale = if expected.abs() < 1e-25 {
        1e-16 / tolerance
    } else {
        expected.abs()
    };
    assert!(
        (got - expected).abs() <= tolerance * scale,
        "{name}: got {got:e}, expected {expected:e}"
    );
}

/// The two programs agree to 1e-9 relative: both are backward stable, and the cases' condition
/// numbers stay below 1e6.
#[test]
fn betas_norms_curvature_and_hull_agree() {
    for file in cases() {
        let expected: Value =
            serde_json::from_slice(&std::fs::read(file.with_extension("json")).unwrap()).unwrap();
        let instance = Instance::read(&file, None).unwrap();
        assert_eq!(
            instance.kernel().to_string(),
            expected["kernel"].as_str().unwrap()
        );
        let trained: Trained = expected["train"].as_str().unwrap().parse().unwrap();
        let at = |field: &str| format!("{} {field}", file.display());

        let r = model::residual(&instance, instance.W());
        let square: f64 = r.iter().map(|r| r * r).sum();
        close(&at("loss0"), 0.5 * square, &expected["loss0"], 1e-9);
        close(&at("|r|"), square.sqrt(), &expected["residual_norm"], 1e-9);

        let s = Spectrum::new(&instance, trained).unwrap();
        close(
            &at("sigma_min(B0)"),
            s.sigma_min_B0.value,
            &expected["sigma_min_B0"],
            1e-9,
        );
        close(
            &at("|J|"),
            s.jacobian_norm.value,
            &expected["jacobian_norm"],
            1e-9,
        );
        for reading in Reading::ALL {
            let name = format!("beta_{reading}");
            close(&at(&name), s.beta(reading).value, &expected[&name], 1e-9);
        }

        let g = model::gradient(&instance, instance.W());
        for (name, block) in [("Q", &g.Q), ("K", &g.K), ("V", &g.V)] {
            let norm = block.iter().map(|w| w.norm_squared()).sum::<f64>().sqrt();
            close(&at(name), norm, &expected["grad_norms"][name], 1e-9);
        }

        let curvature = Curvature::new(&instance, trained).unwrap();
        for (rho, h) in expected["h"].as_object().unwrap() {
            close(&at("h"), curvature.h(rho.parse().unwrap()), h, 1e-9);
        }
        match f_hull(&instance) {
            Some(f) => close(&at("f_hull"), f, &expected["f_hull"], 1e-9),
            None => assert!(expected["f_hull"].is_null()),
        }
    }
}

/// Fifty steps at the case's own eta. Rounding errors grow along a run: 1e-8.
#[test]
fn losses_agree() {
    for file in cases() {
        let expected: Value =
            serde_json::from_slice(&std::fs::read(file.with_extension("json")).unwrap()).unwrap();
        let instance = Instance::read(&file, None).unwrap();
        let trained: Trained = expected["train"].as_str().unwrap().parse().unwrap();
        let losses = expected["losses"].as_array().unwrap();
        let run = descend(
            &instance,
            trained,
            expected["eta"].as_f64().unwrap(),
            Steps::Exactly(losses.len() - 1),
        )
        .unwrap();
        assert_eq!(run.points.len(), losses.len());
        for (point, loss) in run.points.iter().zip(losses) {
            let name = format!("{} f_{}", file.display(), point.t);
            close(&name, point.loss, loss, 1e-8);
        }
    }
}
