//! Can it be proven for every t? A certificate from an ordinary initialization, and what it rests on.
//!
//! `cargo run --release --example certificate`

use gdcert::{Certified, Dims, Goal, Init, Instance, Kernel, certify};
use gdcert_report::certificate_words;

fn main() -> gdcert::Result<()> {
    let dims = Dims {
        N: 2,
        n: 4,
        D: 8,
        d: 4,
        H: 3,
        p: 1,
    };
    let instance = Instance::random(dims, Kernel::Softmax, Init::Lecun, 0)?;
    // Where the proof does not close at M_0, gradient descent is run until it does.
    let goal = Goal {
        tail: 2000,
        ..Goal::default()
    };
    match certify(&instance, &goal)? {
        Certified::Rate {
            certificate,
            proven,
            ..
        } => {
            println!("closes at t = {}", proven.t);
            println!("{}", certificate.statement());
            for words in certificate_words(&certificate) {
                println!("{words}");
            }
        }
        Certified::Obstructed(certificate) | Certified::Refuted(certificate) => {
            println!("{}", certificate.statement())
        }
        Certified::Refused(why) => println!("not certified: {why}"),
    }
    Ok(())
}
