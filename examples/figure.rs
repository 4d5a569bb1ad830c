//! How do I draw it? The figure of a verification as SVG and PNG in memory, here written to the folder for temporary files.
//!
//! `cargo run --release --example figure`

use gdcert::{Dims, Init, Instance, Kernel, Settings, deciding_reading, verify};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dims = Dims {
        N: 2,
        n: 4,
        D: 8,
        d: 4,
        H: 3,
        p: 1,
    };
    let instance = Instance::random(dims, Kernel::Gaussian, Init::Lazy { omega: 10.0 }, 0)?;
    let found = verify(&instance, &Settings::default())?;
    let figure = gdcert_report::plot::rate_vs_bound(
        &found,
        "lazy, seed 0",
        deciding_reading(found.trained).name(),
    );
    let place = std::env::temp_dir().join("rate-vs-bound.svg");
    std::fs::write(&place, figure.svg())?;
    println!("{}", place.display());
    Ok(())
}
