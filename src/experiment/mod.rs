//! Many instances: the poster's claims one by one, sweeps and what they add up to, the search for counterexamples.

pub mod convexity;
pub mod falsify;
pub mod poster;
pub mod summary;
pub mod sweep;

use crate::model::{Kernel, Trained};
use crate::problem::{Dims, Init};
use crate::spectrum::Reading;

/// The `gdcert verify` command for a drawn instance.
pub fn verify_command(
    dims: Dims,
    kernel: Kernel,
    init: Init,
    seed: u64,
    trained: Trained,
    reading: Reading,
) -> String {
    let Dims { N, n, D, d, H, p } = dims;
    let scale = init.scale().map_or(String::new(), |x| {
        format!(" --scale {}", gdcert_base::number::exact(x))
    });
    format!(
        "gdcert verify -N {N} -n {n} -D {D} -d {d} -H {H} -p {p} --kernel {kernel} --init {}{scale} --seed {seed} --train {trained} --reading {reading}",
        init.name(),
    )
}
