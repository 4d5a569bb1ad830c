//! A certificate for the Rocq proof assistant: `cargo run --example rocq -- certificate.json DIR [FILE.v]` writes the theory
//! and FILE.v into DIR, where `./build.sh` and `coqc -Q . Gdcert FILE.v` check it.

use gdcert::Instance;
use gdcert::certificate::Certificate;
use gdcert::rocq::{Integers, estimate, export, library_files};
use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (path, dir, name) = match words.as_slice() {
        [path, dir] => (path, dir, "certificate.v"),
        [path, dir, name] => (path, dir, name.as_str()),
        _ => return Err("give certificate.json and a folder".into()),
    };
    let path = Path::new(path);
    let certificate = Certificate::read(path)?;
    let (file, kernel, trained) = match &certificate {
        Certificate::TheoremA(c) => (&c.centre.file, c.kernel, c.trained),
        Certificate::Obstructed(c) => (&c.instance.file, c.kernel, c.trained),
    };
    let instance = Instance::read(&path.with_file_name(file), Some(kernel))?;
    println!(
        "{}",
        estimate(instance.dims(), kernel, trained, Integers::Z)
    );
    let text = export(&instance, &certificate, Integers::Z)?;
    std::fs::create_dir_all(dir)?;
    for (name, text) in library_files(Integers::Z) {
        std::fs::write(Path::new(dir).join(name), text.as_bytes())?;
    }
    std::fs::write(Path::new(dir).join(name), text)?;
    Ok(())
}
