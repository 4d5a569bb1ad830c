//! Rigorous enclosures at large sizes: time and tightness, per kernel. Run on an idle machine:
//! `cargo bench --bench enclosure`.

use gdcert::bounds::Enclosure;
use gdcert::{Dims, Error, Init, Instance, Kernel, Trained};
use std::time::Instant;

fn main() -> Result<(), Error> {
    let medium = Dims {
        N: 64,
        n: 16,
        D: 128,
        d: 32,
        H: 16,
        p: 1,
    };
    let large = Dims {
        N: 256,
        n: 16,
        D: 512,
        d: 32,
        H: 16,
        p: 1,
    };
    for (dims, trained) in [(medium, Trained::QKV), (large, "V".parse()?)] {
        for kernel in [Kernel::Softmax, Kernel::Gaussian] {
            measure(dims, kernel, trained)?;
        }
    }
    Ok(())
}

fn measure(dims: Dims, kernel: Kernel, trained: Trained) -> Result<(), Error> {
    let instance = Instance::random(dims, kernel, Init::Lecun, 0)?;
    let m = dims.m();
    println!("\n{dims}, {kernel}, {trained} trained: m = {m}");
    let enclosure = timed("residual and B", || Enclosure::new(&instance, trained));
    let alpha = timed("alpha by the per-head product", || {
        enclosure.alpha_per_head()
    });
    println!(
        "  alpha_per_head >= {alpha:e}, sigma_min(B) in {:?}",
        enclosure.sigma_min_B()
    );
    let value = timed("value block", || enclosure.sigma_min_value());
    println!("  sigma_min of the value block: {value:?}");
    let norm = timed("|J|", || enclosure.jacobian_norm_upper());
    println!("  |J| <= {norm:e}");
    Ok(())
}

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    println!("  {what}: {:.2} s", start.elapsed().as_secs_f64());
    result
}
