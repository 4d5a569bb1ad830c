//! Which beta do I have? The four readings on one draw, with the error of each, without running anything.
//!
//! `cargo run --release --example readings`

use gdcert::spectrum::{Reading, Spectrum};
use gdcert::{Dims, Init, Instance, Kernel, Trained};

fn main() -> gdcert::Result<()> {
    let dims = Dims {
        N: 2,
        n: 4,
        D: 8,
        d: 4,
        H: 3,
        p: 1,
    };
    for kernel in [Kernel::Softmax, Kernel::Gaussian] {
        let instance = Instance::random(dims, kernel, Init::Lazy { omega: 10.0 }, 0)?;
        let spectrum = Spectrum::new(&instance, Trained::QKV)?;
        for reading in Reading::ALL {
            let beta = spectrum.beta(reading);
            println!(
                "{kernel:8} {:9} {:.6e} in [{:.6e}, {:.6e}]   {}",
                reading.name(),
                beta.value,
                beta.lower(),
                beta.upper(),
                reading.formula(),
            );
        }
    }
    Ok(())
}
