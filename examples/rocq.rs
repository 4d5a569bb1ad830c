//! Writes the theory and one certified instance for the Rocq proof assistant into a folder:
//! `cargo run --example rocq -- DIR N n D d H kernel blocks init scale seed`.

use gdcert::rocq::{Integers, estimate, export, library_files};
use gdcert::{Certified, Dims, Goal, Init, Instance, Kernel, certify, model::Trained};
use std::ops::ControlFlow;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let words = match words.as_slice() {
        [_, ..] => words,
        [] => vec!["rocq-out", "2", "2", "4", "2", "2", "softmax", "QKV", "lazy", "1e5", "0"],
    };
    let [dir, N, n, D, d, H, kernel, blocks, init, scale, seed] = words[..] else {
        return Err("give DIR N n D d H kernel blocks lazy|paired scale seed".into());
    };
    let dims = Dims { N: N.parse()?, n: n.parse()?, D: D.parse()?, d: d.parse()?, H: H.parse()?, p: 1 };
    let (kernel, trained): (Kernel, Trained) = (kernel.parse()?, blocks.parse()?);
    let init = match init {
        "lazy" => Init::Lazy { omega: scale.parse()? },
        "paired" => Init::Paired { s: scale.parse()? },
        _ => Init::ConstantValue { s: scale.parse()? },
    };
    let instance = Instance::random(dims, kernel, init, seed.parse()?)?;
    std::fs::create_dir_all(dir)?;
    for (name, text) in library_files(Integers::Z) {
        std::fs::write(format!("{dir}/{name}"), text.as_bytes())?;
    }
    println!("{}", estimate(dims, kernel, trained, Integers::Z));
    let goal = Goal { trained, ..Goal::default() };
    let certificate = match certify(&instance, &goal, &mut |_| ControlFlow::Continue(()))? {
        Certified::Rate { certificate, .. } => certificate,
        Certified::Obstructed { certificate, .. } => certificate,
        _ => return Err("no certificate; choose a larger scale".into()),
    };
    std::fs::write(format!("{dir}/instance_rocq.v"), export(&instance, &certificate, Integers::Z)?)?;
    Ok(())
}
